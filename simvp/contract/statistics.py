"""What the contract learns from the training period: a sample to choose by, and what values are plausible."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.contract.climatology import CYCLES_NEEDED, Period
from simvp.coords import DAY, Step, encode_times

BLOCK_BYTES = 64e6  # of float32 frames read at once
SAMPLE_VALUES = 20_000_000  # frames x points kept in memory to choose by
SAMPLE_POINTS = 2048
LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def blocks(ds: xr.Dataset, name: str, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames of one variable, a bounded block at a time.

    Yields
    ------
    tuple
        times (n,) and frames (n, H, W) at `positions` along time, in order.
    """
    height, width = ds[name].shape[1:]
    size = max(1, int(BLOCK_BYTES // (4 * height * width)))
    times = ds["time"].values
    for start in range(0, len(positions), size):
        chosen = positions[start : start + size]
        # One slice per block: a zarr array reads it chunk by chunk, once, where a list of positions is slow.
        frames = ds[name].isel(time=slice(int(chosen[0]), int(chosen[-1]) + 1)).values[chosen - chosen[0]]
        yield times[chosen], frames


def sample(ds: xr.Dataset, name: str, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread points of every frame, and where the variable is ever seen.

    Returns
    -------
    points
        (N, P) float32.
    valid
        (H, W) bool: False where every frame is NaN.
    """
    height, width = ds[name].shape[1:]
    valid = np.zeros((height, width), bool)
    for _, frames in blocks(ds, name, positions):
        valid |= np.isfinite(frames).any(0)
    seen = np.flatnonzero(valid)
    number = max(1, min(SAMPLE_POINTS, SAMPLE_VALUES // max(1, len(positions)), len(seen)))
    chosen = seen[np.linspace(0, len(seen) - 1, number).astype(int)] if len(seen) else seen
    rows = [frames.reshape(len(frames), -1)[:, chosen] for _, frames in blocks(ds, name, positions)]
    return np.concatenate(rows).astype("f4"), valid


def cycles_in(times: np.ndarray) -> Mapping[Period, float]:
    """Days, weeks and years that the times span."""
    seconds, _ = encode_times(times[[0, -1]])
    days = float(seconds[1] - seconds[0]) / DAY
    return {"none": 0.0, "day": days, "week": days / 7, "year": days / 365.2425}


def seasonal_cycle(times: np.ndarray, samples: Sequence[np.ndarray], step: Step, calendar: str) -> int | None:
    """Steps of the cycle (a day, a week or a year) after which the fields come back closest to themselves.

    Parameters
    ----------
    times
        (N,), rising.
    samples
        One (N, P) array a state.

    Returns
    -------
    int or None
        The lag, among those that the span repeats often enough, with the smallest mean squared difference in
        units of each state's variance; None where the step resolves no cycle.
    """
    spans = cycles_in(times)
    lengths: dict[Period, int | None] = {
        "day": step.per_day if (step.per_day or 0) > 1 else None,
        "week": 7 * step.per_day if step.per_day else None,
        "year": step.per_year(calendar),
    }
    index = step.index(times, times[0])
    best, smallest = None, np.inf
    for period, lag in lengths.items():
        if lag is None or spans[period] < CYCLES_NEEDED[period]:
            continue
        earlier = np.searchsorted(index, index - lag).clip(0, len(index) - 1)
        rows = np.flatnonzero(index[earlier] == index - lag)
        error = sum(float(np.nanmean((s[rows] - s[earlier[rows]]) ** 2) / max(np.nanvar(s), 1e-30)) for s in samples)
        if len(rows) and error < smallest * (1 - 1e-6):
            best, smallest = lag, error
    return best


def log_scale(points: np.ndarray) -> float | None:
    """Scale s of log(1 + x / s) for amounts such as rain and counts; None where the values are no amounts.

    Amounts are never negative and lean far to one side (skewness above 2); s is the mean of what is above
    zero, so that the transform does not depend on the unit.
    """
    values = points[np.isfinite(points)].astype("f8")
    deviation = values.std()
    if values.size == 0 or values.min() < 0 or deviation == 0:
        return None
    skewness = float((((values - values.mean()) / deviation) ** 3).mean())
    return float(values[values > 0].mean()) if skewness > 2 else None


def logarithm(values: np.ndarray, scale: float | None) -> np.ndarray:
    """log(1 + x / s) as float32; the values themselves where there is no scale."""
    values = np.asarray(values, np.float32)
    return values if scale is None else np.log1p(values.clip(0) / np.float32(scale))


def what_was_seen(points: np.ndarray) -> dict[str, Any]:
    """Quantiles and spread of a sample in physical units, for `implausible`."""
    values = points[np.isfinite(points)]
    return {
        "quantiles": np.quantile(values, LEVELS).astype(float).tolist(),
        "spread": float(values.std(dtype="f8")),
    }


def implausible(values: np.ndarray, seen: Mapping[str, Any], units: str, amount: bool) -> str | None:
    """Why `values` cannot be in the same units as what training saw; None where they can.

    Wide on purpose: a model trained in March still runs in July. Two marks: the middle quantiles lie more
    than five times the training range (5 to 95 %) away; or the spread is off by a factor of 30 (of 200 for
    amounts, where a dry spell is no mistake). A field without any spread, inside the range of training, passes.
    """
    known = np.isfinite(values)
    values = values if known.all() else values[known]
    if not values.size:
        return None
    low, high, spread = float(values.min()), float(values.max()), _deviation(values)
    expected = np.asarray(seen["quantiles"])
    middle, reach = expected[2:5], 5 * max(expected[5] - expected[1], seen["spread"], 1e-30)
    # No quantile lies outside the range, which is known sooner: most data needs no sorting.
    away = low < middle.max() - reach or high > middle.min() + reach
    away = away and np.abs(np.quantile(values, LEVELS[2:5]) - middle).max() > reach
    factor = 200 if amount else 30
    constant = spread == 0 and expected[0] <= low <= expected[-1]
    spread_off = seen["spread"] > 0 and not constant and not 1 / factor < spread / seen["spread"] < factor
    if not away and not spread_off:
        return None
    return (
        f"values of {low:.6g} .. {high:.6g} (median {np.median(values):.6g}) where training saw "
        f"{expected[0]:.6g} .. {expected[-1]:.6g} (median {expected[3]:.6g}) {units}; are the units right?"
    )


def _deviation(values: np.ndarray) -> float:
    """Standard deviation in float64, which is not made of all values at once."""
    mean = values.mean(dtype="f8")
    return float(np.sqrt(sum(np.square(part - mean).sum() for part in np.atleast_2d(values)) / values.size))
