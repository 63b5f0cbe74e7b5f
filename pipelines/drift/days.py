"""Level, spread, pattern and missing share of every day of an archive, beside what a model takes for usual."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from simvp.budget import BUDGET, fitting
from simvp.times import DAY, encode_times

if TYPE_CHECKING:
    from simvp.contract import FrameSpec

STATISTICS: tuple[Literal["level", "spread", "pattern", "missing"], ...] = ("level", "spread", "pattern", "missing")
_LEAST_SPREAD = 1e-6  # of the standard deviation of training; the logarithm of none would be infinite
_SHARES = 1000  # missing shares are counted in thousandths: a few points more or less are none


@dataclass(frozen=True, kw_only=True)
class Days:
    """What the days of a series are like, by state.

    Parameters
    ----------
    seconds
        (D,) since 1970-01-01 at which each day begins; none is left out. Of a step longer than a day, or of which a day
        is no whole number, a frame stands for a day.
    length
        Days of one of these: 1, or the days of the step.
    values
        (D, S, 4): mean departure from the climatology, in standard deviations of training; logarithm of the
        standard deviation of the departures within the day and the map; logarithm of that of their means at each
        point, which a day does not average out; share of the points that are missing.
        NaN on a day without any value, but for the share.
    """

    seconds: np.ndarray
    length: float
    values: np.ndarray

    def at(self, rows: np.ndarray) -> "Days":
        """Some of them."""
        return Days(seconds=self.seconds[rows], length=self.length, values=self.values[rows])


def daily(ds: xr.Dataset, spec: "FrameSpec") -> Days:
    """The whole days of an archive.

    Of an archive larger than the budget of memory, fewer frames of each day are read, always of the same hours, and of
    one of which one frame a day is too much, the newest days alone.

    Parameters
    ----------
    ds
        Of the archive, lazy, with the variables and on the grid of the contract; absent frames are NaN.
    """
    seconds = encode_times(ds["time"].values)[0]
    per_day, size = spec.step.per_day, 4 * len(spec.states) * int(np.prod(spec.shape))
    number = np.arange(len(seconds)) if per_day is None else seconds // DAY
    length = 1.0 if per_day is not None or len(seconds) < 2 else float(np.median(np.diff(seconds))) / DAY
    every = min(per_day or 1, -(-size * len(seconds) // BUDGET))
    chosen = np.flatnonzero((seconds % DAY) // max(spec.step.seconds, 1) % every == 0)[-fitting(size) :]
    days, first, counts = np.unique(number, return_index=True, return_counts=True)
    chosen = chosen[np.isin(number[chosen], days[counts >= (per_day or 1)])]
    begin = seconds[first] // DAY * DAY if per_day is not None else seconds[first]
    if not len(chosen):
        return Days(seconds=begin[:0], length=length, values=np.zeros((0, len(spec.states), len(STATISTICS))))
    inside = (days >= number[chosen[0]]) & (days <= number[chosen[-1]])
    days, begin = days[inside], begin[inside]
    values = np.full((len(days), len(spec.states), len(STATISTICS)), np.nan)
    for part in _whole_days(number[chosen], fitting(size, 16)):
        frames = ds.isel(time=chosen[part])
        day = np.searchsorted(days, number[chosen[part]])
        for s, state in enumerate(spec.state_channels):
            departures = state.points(state.normalise(frames[state.name].values, frames["time"].values)).astype("f8")
            for one in np.unique(day):
                values[one, s] = _statistics(departures[day == one])
    return Days(seconds=begin, length=length, values=values)


def _whole_days(number: np.ndarray, frames: int) -> Iterator[slice]:
    """Pieces of about so many frames that cut no day, of which `number` (N,) is that of each frame."""
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    start = 0
    for edge, following in zip(edges[1:], [*edges[2:], len(number) + frames], strict=True):
        if following - start > frames:
            yield slice(start, edge)
            start = edge


def _statistics(departures: np.ndarray) -> tuple[float, float, float, float]:
    """Level, spread, pattern and missing share of the departures (N, P) of a day."""
    known = np.isfinite(departures)
    missing = round(_SHARES * (1 - float(known.mean()))) / _SHARES
    if not known.any():
        return np.nan, np.nan, np.nan, missing
    filled = np.where(known, departures, 0.0)
    level = float(filled.sum() / known.sum())
    spread = np.sqrt(max(float((filled**2).sum() / known.sum()) - level**2, 0.0))
    counts = known.sum(0)
    pattern = (filled.sum(0)[counts > 0] / counts[counts > 0]).std()
    return level, float(np.log(max(spread, _LEAST_SPREAD))), float(np.log(max(pattern, _LEAST_SPREAD))), missing
