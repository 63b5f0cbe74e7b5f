"""Mixture: what is issued as a weighted mean of several forecasts, with weights from verified errors."""

from simvp.mixture.aggregation import Aggregation, replay, squared_errors
from simvp.mixture.mixture import Mixture, Recursion, digest, gram_matrices, left_out_errors, mix
from simvp.mixture.prior import BlockErrors, choose, prior_from

__all__ = [
    "Aggregation",
    "BlockErrors",
    "Mixture",
    "Recursion",
    "choose",
    "digest",
    "gram_matrices",
    "left_out_errors",
    "mix",
    "prior_from",
    "replay",
    "squared_errors",
]
