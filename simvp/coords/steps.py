"""The step of a series: how times are counted and shifted by it, and which step some times have.

A step is a fixed number of seconds or a number of calendar months. Months are counted, not measured: the
frame after January is February, however long January is, and the label of a month follows the convention of
the source (a fixed day, the last day, the middle of the month, or the middle rounded down to a day). A year is
12 months.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from simvp.errors import Refusal
from simvp.record import Record
from simvp.times import (
    DAY,
    calendar_of,
    decode_times,
    encode_times,
    fields_of,
    first_slot,
    month_start,
    nearest_slots,
    tolerance,
)

Anchor = Literal["", "day", "end", "middle", "middle day"]
_UNITS = ((DAY, "d"), (3600, "h"), (60, "min"), (1, "s"))
_YEAR = {"360_day": 360, "noleap": 365, "365_day": 365, "all_leap": 366, "366_day": 366}


@dataclass(frozen=True, kw_only=True)
class Step(Record):
    """The time from one frame to the next.

    Parameters
    ----------
    seconds
        Length of a fixed step; 0 for calendar months.
    months
        Number of calendar months; 0 for a fixed step.
    anchor, day, second
        For months: where in the month a frame is labelled. "day": on day `day`, `second` seconds after
        midnight; "end": on the last day, likewise; "middle": exactly half way; "middle day": half way,
        rounded down to a day.
    """

    seconds: int = 0
    months: int = 0
    anchor: Anchor = ""
    day: int = 0
    second: int = 0

    def __post_init__(self) -> None:
        if (self.seconds > 0) == (self.months > 0) or self.seconds < 0 or self.months < 0:
            raise Refusal("Step", [f"expected seconds or months, got seconds={self.seconds}, months={self.months}"])

    @classmethod
    def infer(cls, times: np.ndarray) -> "Step":
        """Most common difference between neighbours; every other difference must be a multiple of it.

        Parameters
        ----------
        times
            (N,), N >= 2, strictly increasing.

        Raises
        ------
        Refusal
            Fewer than two times, times out of order or repeated, or times that lie off the step.
        """
        if len(times) < 2:
            raise Refusal(
                "Time step", [f"two frames at least are needed to see it, got {len(times)}"], "state the step"
            )
        seconds, calendar = encode_times(times)
        differences = np.diff(seconds)
        if (differences <= 0).any():
            at = int(np.argmax(differences <= 0))
            raise Refusal("Time axis", [f"expected rising times, got {times[at]} followed by {times[at + 1]}"])
        # No month is shorter than 28 days. Months of 30 days throughout are a fixed step, which has a duration.
        if differences.min() >= 28 * DAY and not (calendar == "360_day" and len(set(differences)) == 1):
            monthly = _infer_months(times, calendar)
            if monthly is not None:
                return monthly
        values, counts = np.unique(differences, return_counts=True)
        step = cls(seconds=int(values[np.argmax(counts)]))
        step.index(times, times[0])
        return step

    @classmethod
    def parse(cls, text: str) -> "Step":
        """Step from words such as "1h", "30 min", "6h", "1D", "1 month", "1 year"."""
        number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
        unit = text.strip()[len(number) :].strip()
        months = {"month": 1, "months": 1, "MS": 1, "year": 12, "years": 12, "YS": 12}.get(unit)
        try:
            if months is not None:
                return cls(months=months * int(number or 1), anchor="day", day=1)
            seconds = pd.Timedelta(text.strip() if number else f"1{unit}").total_seconds()
        except ValueError:
            seconds = 0.0
        if not seconds > 0 or seconds % 1:
            raise Refusal("Time step", [f"expected words like 1h, 30min, 1D, 1 month or 1 year, got {text!r}"])
        return cls(seconds=int(seconds))

    def __str__(self) -> str:
        if self.months:
            number, unit = (self.months // 12, "year") if self.months % 12 == 0 else (self.months, "month")
            return f"{number} {unit}{'s' if number > 1 else ''}"
        return next(f"{self.seconds // size} {unit}" for size, unit in _UNITS if self.seconds % size == 0)

    def horizon(self, n: int) -> str:
        """Name of `n` steps that `parse` reads back and a file can bear: "12h", "90min", "72h", "6months"."""
        if self.months:
            return f"{self.months * n}months"
        seconds = self.seconds * n
        return next(f"{seconds // size}{unit}" for size, unit in _UNITS[1:] if seconds % size == 0)

    @property
    def timedelta(self) -> np.timedelta64 | None:
        """The step as a duration; None for calendar months, which have none."""
        return np.timedelta64(self.seconds, "s").astype("m8[ns]") if self.seconds else None

    @property
    def per_day(self) -> int | None:
        """Frames in a day, where a day is a whole number of steps; else None."""
        return DAY // self.seconds if self.seconds and DAY % self.seconds == 0 else None

    def per_year(self, calendar: str = "standard") -> int | None:
        """Frames in a year, to the nearest; None for steps longer than half a year."""
        if self.months:
            return 12 // self.months if 12 % self.months == 0 and self.months < 12 else None
        frames = round(_YEAR.get(calendar, 365.2425) * DAY / self.seconds)
        return frames if frames >= 2 else None

    def shift(self, times: Any, n: Any) -> np.ndarray:
        """`times` moved by `n` steps (shapes broadcast)."""
        times = np.asarray(times) if np.ndim(times) else _scalar(times)
        if self.seconds:
            if times.dtype == object:
                return np.asarray(times + np.asarray(n) * timedelta(seconds=self.seconds), dtype=object)
            return times.astype("M8[ns]") + np.asarray(n) * self.timedelta
        months = _month_number(times) + np.asarray(n) * self.months
        return _month_label(months, self, calendar_of(times))

    def index(self, times: np.ndarray, origin: Any, *, jitter: bool = False) -> np.ndarray:
        """Whole steps from `origin` to each of `times`, int64.

        Parameters
        ----------
        jitter
            Whether times near a slot count for it (`simvp.times.tolerance`), instead of those on it alone.

        Raises
        ------
        Refusal
            Times that lie between two steps; the message names the first few.
        """
        times = np.asarray(times)
        first = _scalar(origin)
        if self.seconds:
            start = int(encode_times(first.reshape(1))[0][0])
            number, late = nearest_slots(encode_times(times)[0], self.seconds, start)
            off = np.abs(late) > (tolerance(self.seconds) if jitter else 0)
        else:
            number, rest = np.divmod(_month_number(times) - _month_number(first), self.months)
            off = (rest != 0) | (self.shift(first, number) != times)
        if off.any():
            listed = ", ".join(str(t) for t in times[off][:3])
            near = f", give or take {tolerance(self.seconds)} s" if jitter and self.seconds else ""
            raise Refusal(
                "Time axis",
                [f"expected steps of {self} counted from {first}{near}, got {int(off.sum())} between them: {listed}"],
                "give the step, or take the frames off the step out",
            )
        return number.astype(np.int64)

    def to_header(self) -> dict[str, Any]:
        """Fields that are set."""
        return {name: value for name, value in vars(self).items() if value}


def on_step(times: np.ndarray, step: Step, *, found: bool = False) -> np.ndarray:
    """Rising times, each moved to the slot that it is near (`simvp.times.first_slot`); exact ones as they are.

    Parameters
    ----------
    found
        Whether the step was found from the times.

    Raises
    ------
    Refusal
        Times that are near none.
    """
    if step.months:
        step.index(times, times[0])
        return times
    seconds, calendar = encode_times(times)
    origin = first_slot(seconds, step.seconds, found=found)
    slots, late = nearest_slots(seconds, step.seconds, origin)
    return decode_times(origin + slots * step.seconds, calendar) if late.any() else times


def lead_times(step: Step, n: int) -> np.ndarray:
    """Leads 1 .. n: timedelta64[ns] for a fixed step, int64 counts of months for calendar months."""
    return np.arange(1, n + 1) * (step.timedelta or step.months)


def history(times: np.ndarray, step: Step, frames: int) -> np.ndarray:
    """Positions of every run of `frames` consecutive frames.

    Parameters
    ----------
    times
        (N,), rising; frames may be absent.

    Returns
    -------
    np.ndarray
        (M, frames) int64; the last column is the init position. A run never spans a gap.
    """
    if len(times) < frames:
        return np.empty((0, frames), dtype=np.int64)
    index = step.index(times, times[0])
    starts = np.flatnonzero(index[frames - 1 :] - index[: len(index) - frames + 1] == frames - 1)
    return starts[:, None] + np.arange(frames)


def _scalar(time: Any) -> np.ndarray:
    if isinstance(time, np.datetime64):
        return np.asarray(time.astype("M8[ns]"))
    if isinstance(time, np.ndarray):
        return time.reshape(())
    scalar = np.empty((), dtype=object)
    scalar[()] = time
    return scalar if hasattr(time, "calendar") else np.asarray(pd.Timestamp(time).to_datetime64())


def _month_number(times: np.ndarray) -> np.ndarray:
    calendar = fields_of(times)
    return calendar["year"] * 12 + calendar["month"] - 1


def _infer_months(times: np.ndarray, calendar: str) -> Step | None:
    """Step of calendar months whose labels give back every one of `times`, if there is one."""
    fields = fields_of(times)
    number = fields["year"] * 12 + fields["month"] - 1
    differences = np.diff(number)
    values, counts = np.unique(differences, return_counts=True)
    months = int(values[np.argmax(counts)])
    if months < 1 or (differences % months).any():
        return None
    day, second = int(fields["day"][0]), int(fields["second"][0])
    # Only a day that every month has can be the fixed one: the 31st is the last day, or none of these.
    candidates = [Step(months=months, anchor="day", day=day, second=second)] if day <= 28 else []
    candidates += [
        Step(months=months, anchor="end", second=second),
        Step(months=months, anchor="middle"),
        Step(months=months, anchor="middle day"),
    ]
    seconds, _ = encode_times(times)
    labels = ((step, encode_times(_month_label(number, step, calendar))[0]) for step in candidates)
    return next((step for step, label in labels if np.array_equal(label, seconds)), None)


def _month_label(number: np.ndarray, step: Step, calendar: str) -> np.ndarray:
    """Time at which `step` labels the months `number` (12 x year + month - 1)."""
    number = np.asarray(number, np.int64)
    start, end = month_start(number, calendar), month_start(number + 1, calendar)
    if step.anchor == "day":
        seconds = start + (step.day - 1) * DAY + step.second
    elif step.anchor == "end":
        seconds = end - DAY + step.second
    else:
        seconds = (start + end) // 2
        if step.anchor == "middle day":
            seconds -= (seconds - start) % DAY
    return decode_times(seconds, calendar)
