"""Quantiles of errors such that bounds made of them cover what they say.

Errors of a map, and of init times that follow one another, are alike: some hundred thousand of them may be worth forty.
The quantile at p of errors that are worth K independent ones covers p - (p - 1/2) / K in the mean, not p (to second
order; for K numbers it is exact: the k-th of K covers k / (K + 1)). It is therefore taken at p + (p - 1/2) / K; where
that leaves 0 to 1 there are too few errors to say it.

K is found from the errors: the share of a group of init times (a run of L steps, or a block of validation) that lies
below the quantile differs from group to group; its mean over G groups has the variance v = var / G, and that of K
independent errors would be p (1 - p) / K.
"""

import numpy as np

LEVELS = np.unique(np.round(np.append(np.arange(1, 100) / 100, [0.005, 0.025, 0.975, 0.995]), 4))
"""Probabilities whose quantiles are kept; others lie between two of them."""

_INNER = (LEVELS >= 0.1) & (LEVELS <= 0.9)  # of levels further out, groups that are few say little

MOST = 200_000
"""Errors of a state at a lead that are looked at."""


def quantiles(errors: np.ndarray, *groups: np.ndarray) -> tuple[np.ndarray, float]:
    """Quantiles (L, Q) at `LEVELS`, and the number K of independent errors that they are worth.

    Parameters
    ----------
    errors
        (N, L, P) of one state, each in units of its spread; NaN does not count.
    groups
        (N,) of the init times, in one way or several: what says that the errors are worth least counts.

    Returns
    -------
    tuple
        NaN where there are too few errors for a level.
    """
    leads, points = errors.shape[1:]
    stride = max(1, -(-len(errors) * points // MOST))
    parts = [errors[:, lead, ::stride] for lead in range(leads)]
    worth = min(_worth(parts, own) for own in groups)
    wanted = LEVELS + (LEVELS - 0.5) / worth
    inside = (wanted > 0) & (wanted < 1)
    found = np.full((leads, len(LEVELS)), np.nan)
    for lead, part in enumerate(parts):
        if (values := part[np.isfinite(part)]).size:
            found[lead, inside] = np.quantile(values, wanted[inside])
    return found, worth


def _worth(parts: list[np.ndarray], groups: np.ndarray) -> float:
    """K, one number for all leads and levels, the mean of what each of them says of the variance."""
    shares = []
    for part in parts:
        known = np.isfinite(part)
        values, every = part[known], np.broadcast_to(groups[:, None], part.shape)[known]
        names, own = np.unique(every, return_inverse=True)
        if len(names) < 2:
            continue
        edges = np.quantile(values, LEVELS[_INNER])
        # How many of each group lie at or below each edge.
        bins = np.searchsorted(edges, values, side="left")
        counts = np.zeros((len(names), len(edges) + 1))
        np.add.at(counts, (own, bins), 1)
        below = counts.cumsum(1)[:, :-1] / counts.sum(1, keepdims=True)
        mean = below.mean(0)
        shares.append(below.var(0) / len(names) / np.maximum(mean * (1 - mean), 1e-9))
    if not shares:
        return 1.0
    return float(max(1.0, 1.0 / max(float(np.mean(shares)), 1e-9)))


def at_levels(known: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (..., R) at other levels (R,), between those of `LEVELS` (..., Q); NaN beyond those that are known."""
    place = np.clip(np.searchsorted(LEVELS, levels), 1, len(LEVELS) - 1)
    low, high = LEVELS[place - 1], LEVELS[place]
    part = np.clip((levels - low) / (high - low), 0.0, 1.0)
    left, right = known[..., place - 1], known[..., place]
    # Not 0 * NaN: at a level that is kept its own quantile is enough.
    mixed = np.where(part == 0, left, np.where(part == 1, right, left + part * (right - left)))
    return np.where((levels < LEVELS[0]) | (levels > LEVELS[-1]), np.nan, mixed)


def known_levels(known: np.ndarray) -> tuple[float, float]:
    """Lowest and highest level of which every state and lead (..., Q) has a quantile; NaN where there is none."""
    there = np.isfinite(known).all(tuple(range(known.ndim - 1)))
    return (float(LEVELS[there][0]), float(LEVELS[there][-1])) if there.any() else (float("nan"), float("nan"))
