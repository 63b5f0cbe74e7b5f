"""Spatiotemporal forecasting of gridded data with SimVP."""
