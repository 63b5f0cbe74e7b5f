"""Blocks of an autocorrelated series, and a bound of its mean that few blocks cannot fool.

How often it errs, what it finds, and what other tests do instead: docs/gate.md.
"""

from itertools import count
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

# Beyond this many blocks more length buys more than more blocks do: t(9) at 90 % is 1.38, the normal 1.28.
MOST_BLOCKS = 10
_LEAST_ERROR = 0.25  # of the standard error, in a bootstrap draw


def lower_bound(gains: np.ndarray, blocks: np.ndarray, *, confidence: float, draws: int = 4000, seed: int = 0) -> float:
    """Lower confidence bound of the mean of an autocorrelated series.

    Parameters
    ----------
    gains
        (N,) values.
    blocks
        (N,) number of the block each value belongs to; at least two blocks.
    confidence
        One-sided level.
    draws, seed
        Of the bootstrap.

    Returns
    -------
    float
        The lower of the studentised bootstrap of the blocks and Student's t; a mean over blocks of unequal size
        is a ratio of sums, and its standard error the linearised one.
    """
    mean, error, k, pivots = studentise(gains, blocks, draws=draws, seed=seed)
    student = mean - stdtrit(k - 1, confidence) * error
    quantile = float(np.quantile(pivots, confidence, method="higher"))
    return float(min(student, mean - quantile * error))


class Studentised(NamedTuple):
    """Mean over all values, its standard error, the blocks behind it, and the pivots of the bootstrap."""

    mean: float
    error: float
    blocks: int
    pivots: np.ndarray


def studentise(gains: np.ndarray, blocks: np.ndarray, *, draws: int, seed: int) -> Studentised:
    """What `lower_bound` is made of; `pivots` (draws,) are (mean of a draw - mean) / standard error of the draw."""
    _, label = np.unique(blocks, return_inverse=True)
    counts = np.bincount(label).astype(np.float64)
    sums = np.bincount(label, weights=gains)
    k = len(counts)
    mean, error = _ratio(sums, counts)
    picks = np.random.default_rng(seed).integers(0, k, (draws, k))
    means, errors = _ratio(sums[picks], counts[picks])
    # A draw of blocks that are nearly equal has hardly any standard error of its own, and would count for any distance.
    pivots = (means - mean) / np.maximum(errors, _LEAST_ERROR * error) if error > 0 else np.zeros(draws)
    return Studentised(float(mean), float(error), k, pivots)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> tuple[Any, Any]:
    """Mean over all values of k blocks (last axis) and its standard error."""
    k = counts.shape[-1]
    total = counts.sum(-1, keepdims=True)
    mean = sums.sum(-1, keepdims=True) / total
    residuals = (sums - mean * counts) * k / total
    # Rounding leaves 1e-17 where all blocks are equal, and a pivot on that is noise.
    residuals = np.where(np.abs(residuals) <= 1e-12 * np.abs(mean), 0.0, residuals)
    return mean[..., 0], np.sqrt((residuals**2).sum(-1) / (k * (k - 1)))


def cut_blocks(index: np.ndarray, length: int, least: int) -> tuple[int, np.ndarray]:
    """Cut a series into blocks: how many could be judged, and the block of each init time as it is judged.

    Parameters
    ----------
    index
        (N,) int64, rising: steps since the first init time.
    length
        Shortest block in steps.
    least
        Fewest blocks that are judged.

    Returns
    -------
    int
        Blocks of at least `length` steps that are at least half full, before they are lengthened.
    np.ndarray
        (N,) block of each init time, as judged.
    """
    span = int(index[-1] - index[0]) + 1 if len(index) else 0
    if span < length:
        return 0, np.zeros_like(index)
    whole = _fill(index, span, span // length)
    available = int(whole[-1]) + 1
    wanted = min(max(available // 2, least), MOST_BLOCKS)
    if available <= wanted:
        return available, whole
    longer = _fill(index, span, wanted)
    return available, longer if longer[-1] + 1 >= least else whole


def missing_steps(index: np.ndarray, last: int, length: int, least: int) -> int:
    """Steps after `last`, an init time at each, that make `least` blocks together with `index`; see `cut_blocks`."""
    start = int(index[0]) if len(index) else last + 1
    # A shorter span cannot hold them; where init times are absent it takes more than that.
    for steps in count(max(0, start + least * length - last - 1)):
        if cut_blocks(np.append(index, last + 1 + np.arange(steps)), length, least)[0] >= least:
            return steps
    raise AssertionError("a series without gaps holds any number of blocks")


def _fill(index: np.ndarray, span: int, number: int) -> np.ndarray:
    """Cut `span` steps into `number` equal blocks; a block less than half full joins the one before it."""
    raw = (index - index[0]) * number // span
    counts = np.bincount(raw, minlength=number)
    full = counts * 2 >= counts.max()
    # Blocks before the first full one join that one.
    joined = np.maximum(np.cumsum(full) - 1, 0)
    return joined[raw]
