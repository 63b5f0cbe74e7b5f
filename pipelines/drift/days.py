"""Level, spread and missing share of every day of an archive, as departures from what a model takes for usual."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from simvp.budget import BUDGET, fitting
from simvp.times import DAY, encode_times

if TYPE_CHECKING:
    from simvp.contract import FrameSpec, State

STATISTICS: tuple[Literal["level", "spread", "missing"], ...] = ("level", "spread", "missing")
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
        (D, S, 3): mean departure from the climatology, in standard deviations of training; logarithm of the
        standard deviation of the departures within the day and the map; share of the points that are missing.
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
        return Days(seconds=begin[:0], length=length, values=np.zeros((0, len(spec.states), 3)))
    inside = (days >= number[chosen[0]]) & (days <= number[chosen[-1]])
    days, begin = days[inside], begin[inside]
    totals = np.zeros((len(days), len(spec.states), 4))
    for part in _parts(chosen, size):
        np.add.at(totals, np.searchsorted(days, number[part]), _sums(ds.isel(time=part), spec))
    return Days(seconds=begin, length=length, values=_statistics(totals))


def _parts(chosen: np.ndarray, size: int) -> Iterator[np.ndarray]:
    at_once = fitting(size, 16)
    return (chosen[start : start + at_once] for start in range(0, len(chosen), at_once))


def _sums(ds: xr.Dataset, spec: "FrameSpec") -> np.ndarray:
    """Of each frame and state: number of values, of points, sum and sum of squares of the departures; (N, S, 4)."""
    times = ds["time"].values
    return np.stack([_of_state(ds[state.name].values, state, times) for state in spec.state_channels], axis=1)


def _of_state(values: np.ndarray, state: "State", times: np.ndarray) -> np.ndarray:
    departures = state.points(state.normalise(values, times)).astype("f8")
    known = np.isfinite(departures)
    departures = np.where(known, departures, 0.0)
    points = np.full(len(times), departures.shape[1])
    return np.stack([known.sum(1), points, departures.sum(1), (departures**2).sum(1)], axis=1)


def _statistics(totals: np.ndarray) -> np.ndarray:
    known, points, total, square = np.moveaxis(totals, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = total / known
        deviation = np.sqrt(np.maximum(square / known - level**2, 0.0))
        spread = np.where(known > 0, np.log(np.maximum(deviation, _LEAST_SPREAD)), np.nan)
        missing = np.round(_SHARES * (1 - known / points)) / _SHARES
    return np.stack([level, spread, missing], axis=-1)
