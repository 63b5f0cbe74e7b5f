"""Scores: the five baselines, errors of labelled forecasts with their weights and counts, metrics of video."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
