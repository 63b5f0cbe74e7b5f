"""A forecast that is sharp: where it rains is the mean's to say, how hard is the distribution's of observed rain.

A forecast with the least squared error is smooth: it has drizzle all over, and no heavy rain. Matching gives its values
the distribution of a sharp field in the order of their ranks (probability-matched mean: Ebert 2001, Monthly Weather
Review 129, 2461-2480, where the fields are those of an ensemble).
"""

import numpy as np


def probability_matched(mean: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The values of `reference` in the rank order of `mean`, map by map.

    Parameters
    ----------
    mean
        (..., H, W).
    reference
        (..., H, W) of the same shape, in the same units: rain as it was last observed, or extrapolated from there.

    Returns
    -------
    np.ndarray
        (..., H, W) float32: each map has the values of its reference, the highest where the mean is highest. Among
        points of equal mean (mostly zero) the order is that of the reference. Points that one of the two does not
        know keep the mean, and their values of the reference are not given away.
    """
    made = np.array(mean, np.float32)
    for values, sharp in zip(made.reshape(-1, *made.shape[-2:]), _maps(reference), strict=True):
        known = np.isfinite(values) & np.isfinite(sharp)
        ours, theirs = values[known], sharp[known]
        ranked = np.empty_like(ours)
        ranked[np.lexsort((theirs, ours))] = np.sort(theirs)
        values[known] = ranked
    return made


def _maps(fields: np.ndarray) -> np.ndarray:
    return np.asarray(fields, np.float32).reshape(-1, *np.shape(fields)[-2:])
