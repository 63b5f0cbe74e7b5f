"""Whether days are like those that a model was fitted on: the chance of what is new in each of them.

A day is much like the days before. What is tested is therefore what these do not explain: x(t) - m less the sum of
a(k) (x(t-k) - m), with mean m and shares a(k) of the days of the reference, whose own remainders say how rare one is.
Of a series that is such an autoregression the chances are even and independent as long as nothing changes, up to what
a sample of days can tell; the bets are smaller by that (`detector.on_chance`). docs/explanation/drift.md has how it
does on others.
"""

import numpy as np

from pipelines.drift.detector import on_chance

LEAST_DAYS = 20
"""Days of a reference, of which fewer say nothing of what is rare."""

MOST_SHARES, _DAYS_A_SHARE = 7, 60
"""Days before that a day is compared with, at most, and known days for each of them: a week needs 420."""


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
    mean, share = _fit(known)
    reference = _remainders(known, mean, share)
    reference = np.sort(reference[np.isfinite(reference)])
    fresh = _remainders(np.concatenate([known[-len(share) :], new]), mean, share)[len(share) :]
    below, above = (np.searchsorted(reference, fresh, side=side) for side in ("left", "right"))
    count = len(reference)
    higher, lower = (count - below + 1.0) / (count + 1), (above + 1.0) / (count + 1)
    sides = [higher] if rising_only else [higher, lower]
    unknown = ~np.isfinite(fresh)
    return np.concatenate([on_chance(np.where(unknown, np.nan, side), count) for side in sides], axis=1)


def _fit(known: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean, and the share of each of the days before in a day, the last one first, by least squares."""
    mean = float(np.nanmean(known))
    order = int(np.clip(len(known) // _DAYS_A_SHARE, 1, MOST_SHARES))
    before = _before(known - mean, order)
    whole = np.isfinite(known) & np.isfinite(before).all(1)
    return mean, np.linalg.lstsq(before[whole], known[whole] - mean)[0]


def _before(days: np.ndarray, order: int) -> np.ndarray:
    """(D, K) of each day those before it, the last one first; NaN before the first."""
    return np.stack([np.concatenate([np.full(lag, np.nan), days[:-lag]]) for lag in range(1, order + 1)], axis=1)


def _remainders(days: np.ndarray, mean: float, share: np.ndarray) -> np.ndarray:
    """What the days before do not explain; rounded, so that days that are equal are equally rare."""
    return np.round(days - mean - _before(days - mean, len(share)) @ share, 9)
