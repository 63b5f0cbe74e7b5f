"""Mixture: what is issued as a weighted mean of several forecasts, with weights from verified errors."""
