"""Tests of "the mean of this series is not above zero", each as a p-value: small where it is.

All take gains (R, N), R series of N init times, and give (R,) p-values. A lower bound of a level is above zero exactly
where the p-value is below one less the level.
"""

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
from scipy.fft import dct
from scipy.special import stdtr

from performance.gate.series import BLOCK, WINDOW
from pipelines.evaluation import cut_blocks, studentise

LEAST = 5  # blocks
DRAWS = 1000  # of every bootstrap


def gate(gains: np.ndarray) -> np.ndarray:
    """The gate as it is: the larger p-value of its bootstrap and of Student's t (`pipelines.evaluation.bootstrap`)."""
    _, blocks = cut_blocks(np.arange(gains.shape[1]), BLOCK, LEAST)
    values = np.empty(len(gains))
    for row, series in enumerate(gains):
        mean, error, k, pivots = studentise(series, blocks, draws=DRAWS, seed=0)
        values[row] = max(stdtr(k - 1, -mean / error), (pivots >= mean / error).mean())
    return values


def student(gains: np.ndarray) -> np.ndarray:
    """Student's t on the means of the gate's blocks."""
    _, blocks = cut_blocks(np.arange(gains.shape[1]), BLOCK, LEAST)
    means = np.stack([gains[:, blocks == block].mean(1) for block in range(blocks[-1] + 1)], axis=1)
    k = means.shape[1]
    return np.asarray(stdtr(k - 1, -means.mean(1) / (means.std(1, ddof=1) / k**0.5)))


def stationary(gains: np.ndarray) -> np.ndarray:
    """Stationary bootstrap (Politis and Romano 1994), blocks of the gate's length in the mean, centred at the mean."""
    return _stationary(gains, np.full(len(gains), BLOCK))


def stationary_automatic(gains: np.ndarray) -> np.ndarray:
    """The same with the mean length of Politis and White (2004), corrected by Patton, Politis and White (2009)."""
    return _stationary(gains, np.array([round(automatic_length(series)) for series in gains]))


def diebold_mariano(gains: np.ndarray) -> np.ndarray:
    """Diebold and Mariano (1995) with the correction of Harvey, Leybourne and Newbold (1997), h = T + T'.

    Bartlett's weights (Newey and West 1987) instead of equal ones, under which the variance may be negative.
    """
    n, h = gains.shape[1], WINDOW
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    return np.asarray(stdtr(n - 1, -_ratio(gains, h) * correction**0.5))


def fixed_b(gains: np.ndarray) -> np.ndarray:
    """The same ratio at twice the gate's block, with the law it has of white noise (Kiefer and Vogelsang 2005)."""
    null = _fixed_b_null(gains.shape[1], 2 * BLOCK)
    return 1.0 - np.searchsorted(null, _ratio(gains, 2 * BLOCK)) / len(null)


def cosines(gains: np.ndarray) -> np.ndarray:
    """Equal-weighted cosines (Mueller 2004) by the rule of Lazarus, Lewis, Stock and Watson (2018): 0.4 n^(2/3)."""
    return _cosines(gains, int(0.4 * gains.shape[1] ** (2 / 3)))


def cosines_of_blocks(gains: np.ndarray) -> np.ndarray:
    """Equal-weighted cosines, as many as the gate judges blocks: none is shorter than two blocks."""
    _, blocks = cut_blocks(np.arange(gains.shape[1]), BLOCK, LEAST)
    return _cosines(gains, int(blocks[-1]) + 1)


TESTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the gate": gate,
    "Student's t on its blocks": student,
    "stationary bootstrap, mean length a block": stationary,
    "stationary bootstrap, automatic length": stationary_automatic,
    "Diebold-Mariano, HLN": diebold_mariano,
    "Diebold-Mariano, fixed-b": fixed_b,
    "cosines, rule of LLSW": cosines,
    "cosines, as many as blocks": cosines_of_blocks,
}


def automatic_length(series: np.ndarray) -> float:
    """Mean block length of the stationary bootstrap that estimates the variance of the mean of (N,) values best."""
    n = len(series)
    covariance = _covariances(series[None])[0]
    quiet, most = max(5, int(np.log10(n) ** 0.5)), int(np.ceil(n**0.5)) + max(5, int(np.log10(n) ** 0.5))
    loud = np.abs(covariance[1 : most + quiet + 1] / covariance[0]) >= 2 * (np.log10(n) / n) ** 0.5
    # The first lag after which `quiet` lags in a row are no more than noise; else the last loud one.
    silent = [lag for lag in range(most) if not loud[lag : lag + quiet].any()]
    lag = silent[0] if silent else int(np.flatnonzero(loud[:most])[-1]) + 1
    lags = np.arange(-min(2 * max(lag, 1), most), min(2 * max(lag, 1), most) + 1)
    weights = np.minimum(1.0, 2 * (1 - np.abs(lags) / lags[-1])) * covariance[np.abs(lags)]
    length = np.abs((weights * np.abs(lags)).sum() / weights.sum()) ** (2 / 3) * n ** (1 / 3)
    return float(np.clip(length, 1.0, np.ceil(min(3 * n**0.5, n / 3))))


def _stationary(gains: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    means, n = gains.mean(1), gains.shape[1]
    values = np.empty(len(gains))
    for length in np.unique(lengths):
        rows = lengths == length
        # The same draws for all series of a length: how often each value is in each draw.
        drawn = (gains[rows] - means[rows, None]) @ _multiplicity(n, int(length)).T / n
        values[rows] = (drawn >= means[rows, None]).mean(1)
    return values


@lru_cache(maxsize=100)
def _multiplicity(n: int, length: int) -> np.ndarray:
    """(DRAWS, n): how often a draw of the stationary bootstrap, on a circle, holds each of n values."""
    rng = np.random.default_rng(0)
    at = rng.integers(0, n, DRAWS)
    counts = np.zeros((DRAWS, n), np.float32)
    for _ in range(n):
        counts[np.arange(DRAWS), at] += 1
        fresh = rng.random(DRAWS) < 1 / length
        at = np.where(fresh, rng.integers(0, n, DRAWS), (at + 1) % n)
    return counts


def _covariances(gains: np.ndarray) -> np.ndarray:
    """(R, N) autocovariances of (R, N), divided by N at every lag."""
    n = gains.shape[1]
    spectrum = np.abs(np.fft.rfft(gains - gains.mean(1, keepdims=True), 2 * n, axis=1)) ** 2
    return np.fft.irfft(spectrum, 2 * n, axis=1)[:, :n] / n


def _ratio(gains: np.ndarray, bandwidth: int) -> np.ndarray:
    """Mean over its standard error, with Bartlett's weights 1 - lag / bandwidth."""
    covariance = _covariances(gains)[:, :bandwidth]
    weights = 2 * (1 - np.arange(bandwidth) / bandwidth)
    weights[0] = 1
    return gains.mean(1) / (covariance @ weights / gains.shape[1]) ** 0.5


@cache
def _fixed_b_null(n: int, bandwidth: int) -> np.ndarray:
    return np.sort(_ratio(np.random.default_rng(1).standard_normal((20_000, n)), bandwidth))


def _cosines(gains: np.ndarray, number: int) -> np.ndarray:
    n = gains.shape[1]
    # Orthonormal, so that each coefficient squared is the long-run variance and noise.
    coefficients = dct(gains, type=2, norm="ortho", axis=1)[:, 1 : number + 1]
    return np.asarray(stdtr(number, -gains.mean(1) * (n / (coefficients**2).mean(1)) ** 0.5))
