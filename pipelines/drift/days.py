"""Level, spread and missing share of every day of an archive, as departures from what a model takes for usual."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.budget import BUDGET, fitting
from simvp.times import DAY, encode_times

if TYPE_CHECKING:
    from simvp.contract import FrameSpec, State

STATISTICS = ("level", "spread", "missing")
_LEAST_SPREAD = 1e-6  # of the standard deviation of training; the logarithm of none would be infinite
_SHARES = 1000  # missing shares are counted in thousandths: a few points more or less are none


@dataclass(frozen=True, kw_only=True)
class Days:
    """What the days of a series are like, by state.

    Parameters
    ----------
    number
        (D,) of each day, rising by one: whole days since 1970-01-01; of steps longer than a day, of the frame.
    length
        Days of one of these: 1, or the days of a step that is longer.
    values
        (D, S, 3): mean departure from the climatology, in standard deviations of training; logarithm of the
        standard deviation of the departures within the day and the map; share of the points that are missing.
        NaN on a day without any value, but for the share.
    """

    number: np.ndarray
    length: float
    values: np.ndarray

    def among(self, first: int, last: int) -> "Days":
        """Those from `first` to `last`, both included."""
        inside = (self.number >= first) & (self.number <= last)
        return Days(number=self.number[inside], length=self.length, values=self.values[inside])


def daily(ds: xr.Dataset, spec: "FrameSpec") -> Days:
    """The whole days of an archive; of one that is too large for the budget of memory, with fewer frames of each.

    Parameters
    ----------
    ds
        Of the archive, lazy, with the variables and on the grid of the contract; absent frames are NaN.
    """
    seconds = encode_times(ds["time"].values)[0]
    per_day = spec.step.per_day or 1
    length = max(1.0, float(np.median(np.diff(seconds))) / DAY) if len(seconds) > 1 else 1.0
    number = np.arange(len(seconds)) if length > 1 else seconds // DAY
    size = 4 * len(spec.states) * int(np.prod(spec.shape))
    every = int(min(per_day, -(-size * len(seconds) // BUDGET)))
    slot = (seconds % DAY) // max(spec.step.seconds, 1)
    chosen = np.flatnonzero(slot % every == 0) if every > 1 else np.arange(len(seconds))
    chosen = chosen[-fitting(size) :]
    whole = _whole(number, per_day)
    chosen = chosen[np.isin(number[chosen], whole)]
    sums = np.concatenate([_sums(ds.isel(time=part), spec) for part in _parts(chosen, size)] or [np.zeros((0,))])
    if not len(chosen):
        return Days(number=np.zeros(0, np.int64), length=length, values=np.zeros((0, len(spec.states), 3)))
    every_day = np.arange(number[chosen[0]], number[chosen[-1]] + 1)
    totals = np.zeros((len(every_day), *sums.shape[1:]))
    np.add.at(totals, number[chosen] - every_day[0], sums)
    return Days(number=every_day, length=length, values=_statistics(totals))


def _whole(number: np.ndarray, per_day: int) -> np.ndarray:
    """Days that have all their slots."""
    days, counts = np.unique(number, return_counts=True)
    return days[counts >= per_day]


def _parts(chosen: np.ndarray, size: int) -> Sequence[np.ndarray]:
    at_once = fitting(size, 16)
    return [chosen[start : start + at_once] for start in range(0, len(chosen), at_once)]


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
