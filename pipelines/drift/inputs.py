"""Whether days are like those that a model was fitted on: the chance of what is new in each of them.

A day is much like the day before. What is tested is therefore what that does not explain: x(t) - m - a (x(t-1) - m),
with mean m and correlation a of the days of the reference, whose own remainders say how rare one is. Of a series that
is an autoregression of order one, the chances are even and independent as long as nothing changes, up to what a sample
of days can tell; the bets are smaller by that (`detector.on_chance`). docs/explanation/drift.md has how it does on
others.
"""

import numpy as np

from pipelines.drift.detector import on_chance

LEAST_DAYS = 20
"""Days of a reference, of which fewer say nothing of what is rare."""


def input_factors(known: np.ndarray, new: np.ndarray, *, rising_only: bool = False) -> np.ndarray:
    """Factors (D, J) of bets that new days are unlike known ones.

    Parameters
    ----------
    known
        (N,) of consecutive days; NaN where nothing is known.
    new
        (D,) of the days that follow, or of later ones.
    rising_only
        Whether only what is higher than it should be counts, as of a missing share.
    """
    mean, again = _fit(known)
    reference = _remainders(known, mean, again)
    reference = np.sort(reference[np.isfinite(reference)])
    fresh = _remainders(np.concatenate([known[-1:], new]), mean, again)[1:]
    below, above = (np.searchsorted(reference, fresh, side=side) for side in ("left", "right"))
    count = len(reference)
    higher, lower = (count - below + 1.0) / (count + 1), (above + 1.0) / (count + 1)
    sides = [higher] if rising_only else [higher, lower]
    unknown = ~np.isfinite(fresh)
    return np.concatenate([on_chance(np.where(unknown, np.nan, side), count) for side in sides], axis=1)


def _fit(known: np.ndarray) -> tuple[float, float]:
    """Mean, and correlation of a day with the one before, 0 to 0.99."""
    mean = float(np.nanmean(known))
    pairs = np.stack([known[:-1], known[1:]])[:, np.isfinite(known[:-1]) & np.isfinite(known[1:])] - mean
    square = float((pairs[0] ** 2).sum())
    return mean, float(np.clip((pairs[0] * pairs[1]).sum() / square, 0.0, 0.99)) if square > 0 else 0.0


def _remainders(days: np.ndarray, mean: float, again: float) -> np.ndarray:
    """What the day before does not explain; rounded, so that days that are equal are equally rare."""
    before = np.concatenate([[np.nan], days[:-1]])
    return np.round(days - mean - again * (before - mean), 9)
