"""What is usual at a place and a time: maps by position in the day, the week or the year.

Four periods. "none": one map, the mean. "day": a map for each step of the day. "week": for each step of the
week. "year": for each month (and, below a day, for each step of the day too); steps shorter than 20 days are
interpolated between the middles of the months, since a jump at midnight of the first is nobody's climate.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from simvp.coords import DAY, Record, Step, encode_times, fields_of
from simvp.errors import ConfigError

Period = Literal["none", "day", "week", "year"]
Blocks = Iterable[tuple[np.ndarray, np.ndarray]]

CYCLES_NEEDED: dict[Period, int] = {
    "day": 4,
    "week": 4,
    "year": 3,
}  # fewer leave a mean of one or two days a map


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

    @classmethod
    def fit(cls, blocks: Blocks, step: Step, period: Period) -> tuple["Climatology", float]:
        """Means by position, in one pass.

        Parameters
        ----------
        blocks
            Yields (times (n,), frames (n, H, W)); NaN is left out, point by point. Sums are in float64.
        step, period
            As in the record.

        Returns
        -------
        tuple
            The climatology, and the standard deviation of the departures from the position means over all
            frames and points (one number, population form; 0 where nothing varies).
        """
        months, slots = _positions(step, period)
        total = squares = count = np.zeros(0)
        origin = 0.0
        for times, frames in blocks:
            month, slot = _bins(times, step, period)
            if not count.size:
                total, squares, count = (np.zeros((months * slots, *frames.shape[1:])) for _ in range(3))
                first = frames[np.isfinite(frames)]
                origin = float(first.mean(dtype="f8")) if first.size else 0.0  # keeps the squares small
            seen = np.isfinite(frames)
            values = np.where(seen, frames.astype("f8") - origin, 0.0)
            where = month * slots + slot
            for position in np.unique(where):
                rows = where == position
                total[position] += values[rows].sum(0)
                squares[position] += (values[rows] ** 2).sum(0)
                count[position] += seen[rows].sum(0)
        if not count.any():
            raise ConfigError("Climatology", ["no frame with a value in the training period"])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            left = np.nansum(squares - count * mean**2)
            mean = np.where(count > 0, mean, total.sum(0) / count.sum(0))
        deviation = float(np.sqrt(max(left, 0.0) / count.sum()))
        values = (mean + origin).astype("f4").reshape(months, slots, *mean.shape[1:])
        return cls(period=period, step=step, values=values), deviation

    def at(self, times: np.ndarray) -> np.ndarray:
        """Maps for `times`, (N, H, W) float32."""
        month, slot = _bins(times, self.step, self.period)
        if self.period != "year" or not _interpolated(self.step):
            return self.values[month, slot]
        found = fields_of(times)
        middle = (found["day"] - 1 + found["second"] / DAY) / found["days"] - 0.5
        other = (month + np.where(middle < 0, -1, 1)) % 12
        weight = np.abs(middle)[:, None, None].astype("f4")
        return (1 - weight) * self.values[month, slot] + weight * self.values[other, slot]


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
    found = fields_of(times)
    day = encode_times(times)[0] // DAY
    half = found["year"] % 2 if "year" in periods else (day // 7 if "week" in periods else day) % 2
    best: Period = "none"
    smallest = np.inf
    for period in periods:
        month, slot = _bins(times, step, period)
        where = month * _positions(step, period)[1] + slot
        error, count = 0.0, 0
        for fitted in (0, 1):
            means = _means(points[half == fitted], where[half == fitted], int(where.max()) + 1)
            departure = points[half != fitted] - means[where[half != fitted]]
            error += float(np.nansum(departure**2))
            count += int(np.isfinite(departure).sum())
        if count and error / count < smallest * (1 - 1e-6):
            best, smallest = period, error / count
    return best


def _means(points: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    total, count = np.zeros((size, points.shape[1])), np.zeros((size, points.shape[1]))
    seen = np.isfinite(points)
    np.add.at(total, where, np.where(seen, points, 0.0))
    np.add.at(count, where, seen)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def _interpolated(step: Step) -> bool:
    return 0 < step.seconds < 20 * DAY


def _positions(step: Step, period: Period) -> tuple[int, int]:
    """Numbers of months and of positions in the day or week."""
    per_day = step.per_day or 1
    return (12 if period == "year" else 1), {"none": 1, "day": per_day, "week": 7 * per_day, "year": per_day}[period]


def _bins(times: np.ndarray, step: Step, period: Period) -> tuple[np.ndarray, np.ndarray]:
    """Month (0 .. 11, or 0) and position in the day or week of each time."""
    zero = np.zeros(len(times), np.int64)
    if period == "none":
        return zero, zero
    found = fields_of(times)
    slot = found["second"] // step.seconds if step.per_day else zero
    if period == "week":
        slot = slot + found["weekday"] * (step.per_day or 1)
    return (found["month"] - 1 if period == "year" else zero), slot
