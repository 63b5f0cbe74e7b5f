"""Climatology: maps of the mean by position in the day, the week or the year.

Four periods. "none": one map, the mean. "day": a map for each step of the day. "week": for each step of the
week. "year": for each month (and, below a day, for each step of the day too); steps shorter than 20 days are
interpolated between the middles of the months, since a jump at midnight of the first is nobody's climate.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.record import Record
from simvp.times import DAY, encode_times, fields_of

Period = Literal["none", "day", "week", "year"]

# Fewer leave a mean of one or two days a map, which is their weather and no climate.
CYCLES_NEEDED: dict[Period, int] = {"day": 4, "week": 4, "year": 3}
# Periods whose maps are means of the maps of a longer one.
PARTS: dict[Period, set[Period]] = {"none": set(), "day": {"none"}, "week": {"none", "day"}, "year": {"none", "day"}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Climatology(Record):
    """Maps by position in a period.

    Parameters
    ----------
    period
        "none", "day", "week" or "year".
    step
        Of the series it was fitted on.
    values
        (M, K, H, W) float32: M = 12 months for "year", else 1; K positions in the day or the week, else 1. A
        position that was never seen has the mean of the others, a point that was never seen NaN.
    """

    unnamed: ClassVar[str] = "values"
    period: Period
    step: Step
    values: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Maps for `times`, (N, H, W) float32."""
        month, slot = _bins(times, self.step, self.period)
        if self.period != "year" or not 0 < self.step.seconds < 20 * DAY:
            return self.values[month, slot]
        calendar = fields_of(times)
        middle = (calendar["day"] - 1 + calendar["second"] / DAY) / calendar["days"] - 0.5
        other = (month + np.where(middle < 0, -1, 1)) % 12
        weight = np.abs(middle)[:, None, None].astype("f4")
        return (1 - weight) * self.values[month, slot] + weight * self.values[other, slot]

    def at_points(self, times: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Values for `times` at flat positions in the map (P,): (N, P) float32."""
        points = self.values.reshape(*self.values.shape[:2], 1, -1)[..., places]
        return Climatology(period=self.period, step=self.step, values=points).at(times)[:, 0]


class Sums:
    """Sums of frames by position, of which the climatology of any of some periods can be made.

    Parameters
    ----------
    step
        Of the series.
    periods
        That may be asked for. The longest alone are summed up: hours of the day are sums over the hours of the week.
    shape
        (H, W).
    """

    def __init__(self, step: Step, periods: Sequence[Period], shape: tuple[int, ...]) -> None:
        self._step = step
        sizes = {period: prod(_positions(step, period)) for period in longest(periods)}
        self._total = {period: np.zeros((size, *shape)) for period, size in sizes.items()}
        self._count = {period: np.zeros((size, *shape), np.int32) for period, size in sizes.items()}
        self._origin: np.ndarray | None = None
        self._square = 0.0

    def add(self, times: np.ndarray, frames: np.ndarray) -> None:
        """Add frames (n, H, W) of `times` (n,); NaN is left out, point by point. Sums are in float64."""
        finite = np.isfinite(frames)
        if not finite.any():
            return
        if self._origin is None:
            # Departures from a first map keep the squares small, and are exactly zero where nothing varies.
            first = frames[finite.any((1, 2)).argmax()].astype("f8")
            self._origin = np.where(np.isfinite(first), first, first[np.isfinite(first)].mean())
        departures = np.where(finite, frames - self._origin, 0.0)
        self._square += float(np.vdot(departures, departures))
        for period, total in self._total.items():
            where = _places(times, self._step, period)
            for position in np.unique(where):
                rows = where == position
                total[position] += departures[rows].sum(0)
                self._count[period][position] += finite[rows].sum(0, dtype=np.int32)

    def empty(self) -> "Sums":
        """Sums of no frame yet, which `without` can take away from these once some of these frames are in them."""
        other = copy.copy(self)
        other._total = {period: np.zeros_like(total) for period, total in self._total.items()}
        other._count = {period: np.zeros_like(count) for period, count in self._count.items()}
        other._square = 0.0
        return other

    def without(self, part: "Sums") -> "Sums":
        """The sums of the frames that are not in `part`, which began as `empty` of these."""
        rest = copy.copy(self)
        rest._total = {period: total - part._total[period] for period, total in self._total.items()}
        rest._count = {period: count - part._count[period] for period, count in self._count.items()}
        rest._square = self._square - part._square
        return rest

    @property
    def valid(self) -> np.ndarray:
        """(H, W) bool: where any frame had a value."""
        return np.asarray(next(iter(self._count.values())).any(0))

    def covers(self, period: Period) -> bool:
        """Whether the climatology of a period can be made."""
        return any(period == kept or period in PARTS[kept] for kept in self._total)

    def climatology(self, period: Period) -> tuple[Climatology, float]:
        """The climatology of one of the periods, and the standard deviation of the departures from its positions.

        The deviation is over all frames and points (one number, population form; 0 where nothing varies).
        """
        if self._origin is None:
            raise ConfigError("Climatology", ["no frame with a value in the training period"])
        source = next(p for p in self._total if p == period or period in PARTS[p])
        wanted = _positions(self._step, period)
        shape = (*_positions(self._step, source), *self._origin.shape)
        over = tuple(axis for axis in range(3) if wanted[axis] == 1)
        total, count = (a[source].reshape(shape).sum(over, keepdims=True) for a in (self._total, self._count))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            left = self._square - np.nansum(count * mean**2)
            mean = np.where(count > 0, mean, total.sum((0, 1, 2)) / count.sum((0, 1, 2)))
        deviation = float(np.sqrt(max(left, 0.0) / count.sum()))
        values = (mean + self._origin).astype("f4").reshape(wanted[0], -1, *self._origin.shape)
        return Climatology(period=period, step=self._step, values=values), deviation


def longest(periods: Sequence[Period]) -> list[Period]:
    """The periods that are no parts of others."""
    return [period for period in periods if not any(period in PARTS[other] for other in periods)]


def size_of(step: Step, periods: Sequence[Period], points: int) -> int:
    """Bytes of `Sums`: a float64 and an int32 for each position of the longest periods."""
    return 12 * points * sum(prod(_positions(step, period)) for period in longest(periods))


def supported(step: Step, cycles: Mapping[Period, float]) -> list[Period]:
    """Periods that the step resolves and the span repeats often enough; "none" always.

    `cycles` says how many days, weeks and years the training frames span.
    """
    resolved: dict[Period, bool] = {
        "day": step.per_day is not None and step.per_day >= 2,
        "week": step.per_day is not None,
        "year": bool(step.months and step.months < 12) or 0 < step.seconds <= 31 * DAY,
    }
    return ["none", *(p for p, ok in resolved.items() if ok and cycles[p] >= CYCLES_NEEDED[p])]


def choose(times: np.ndarray, points: np.ndarray, step: Step, periods: Iterable[Period]) -> Period:
    """The period that predicts best what it was not fitted on.

    Frames are split in two by the parity of the year, the week or the day, whichever is the longest among the
    candidates; the position means of either half predict the other; the smallest mean squared departure wins.
    A richer period that has learned nothing but noise loses here. Of two that are equal, the simpler.

    Parameters
    ----------
    times
        (N,).
    points
        (N, P), a sample of points of the frames.
    """
    periods = list(periods)
    if len(periods) == 1:
        return periods[0]
    calendar = fields_of(times)
    day = encode_times(times)[0] // DAY
    half = calendar["year"] % 2 if "year" in periods else (day // 7 if "week" in periods else day) % 2
    best: Period = "none"
    smallest = np.inf
    for period in periods:
        where = _places(times, step, period)
        error, count = 0.0, 0
        for fitted in (0, 1):
            means = _means(points[half == fitted], where[half == fitted], int(where.max()) + 1)
            departure = points[half != fitted] - means[where[half != fitted]]
            error += float(np.nansum(departure**2))
            count += int(np.isfinite(departure).sum())
        # The margin is for rounding: a week that is seven equal days differs from one day in the last digits.
        if count and error / count < smallest * (1 - 1e-6):
            best, smallest = period, error / count
    return best


def _means(points: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    means = np.full((size, points.shape[1]), np.nan)
    for position in np.unique(where):
        values = points[where == position]
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            means[position] = np.where(finite, values, 0.0).sum(0, dtype="f8") / finite.sum(0)
    return means


def _positions(step: Step, period: Period) -> tuple[int, int, int]:
    """Numbers of months, of weekdays and of positions in the day."""
    per_day = 1 if period == "none" else step.per_day or 1
    return 12 if period == "year" else 1, 7 if period == "week" else 1, per_day


def _places(times: np.ndarray, step: Step, period: Period) -> np.ndarray:
    """Position of each time among all of a period."""
    month, slot = _bins(times, step, period)
    return month * prod(_positions(step, period)[1:]) + slot


def _bins(times: np.ndarray, step: Step, period: Period) -> tuple[np.ndarray, np.ndarray]:
    """Month (0 .. 11, or 0) and position in the day or week of each time."""
    zero = np.zeros(len(times), np.int64)
    if period == "none":
        return zero, zero
    calendar = fields_of(times)
    slot = calendar["second"] // step.seconds if step.per_day else zero
    if period == "week":
        slot = slot + calendar["weekday"] * (step.per_day or 1)
    return (calendar["month"] - 1 if period == "year" else zero), slot
