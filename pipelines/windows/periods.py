"""Periods of an archive: which frames train, which choose, and which are never looked at.

The rule, where nothing is given
--------------------------------
Held-out
    The end of the series, since that is what operation will meet: a fifth of the span, at most 30 days of
    sub-daily steps or a year of longer fixed ones; longer, up to a quarter of the span, where the gate could not
    find `GATE_BLOCKS` blocks of T + T' + 1 init times else. Sub-daily periods are rounded to whole days.
Validation
    4, else 3, else 2 blocks of 2 T' frames or more each, about 15 % and if possible no more than a quarter of what
    is before the held-out period, one in the middle of each of as many equal stretches. Where these span a year,
    each block is moved within its stretch to a season of its own (the first n-th of the year, the second, ...): blocks
    at equal distances in a series of whole years would all lie in one season.
Train
    The rest.
Reference
    Everything before the held-out period: what the baselines are fitted on.

Studies and operations
----------------------
A study has fixed periods: those given, else those derived from the archive as it is. In operations the held-out
period moves along as the archive grows: its newest days are the gate, which no model has seen.
"""

from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from pipelines.windows.windows import find_windows
from simvp.coords import Step
from simvp.errors import Refusal
from simvp.settings import Settings
from simvp.times import DAY, encode_times, name_time, parse_times

Mode = Literal["study", "operations"]
Interval = tuple[str, str]

GATE_BLOCKS = 8
HELD_OUT_SHARE, HELD_OUT_MOST = 0.2, 0.25
VALIDATION_SHARE, VALIDATION_MOST = 0.15, 0.25
VALIDATION_BLOCKS = (4, 3, 2)
MONTH_DAYS = 30.436875  # a 12th of the mean Gregorian year, 365.2425 days


class Choice(Settings):
    """Periods as far as they are given; what is not given is derived. Times in words, first and last included."""

    subject: ClassVar[str] = "Periods"

    held_out: Interval | None = Field(default=None, description="First and last time of the held-out period.")
    held_out_days: float | None = Field(default=None, gt=0, description="Days to hold out at the end of the archive.")
    validation: tuple[Interval, ...] = Field(default=(), description="First and last time of each validation block.")
    reference: tuple[Interval, ...] = Field(default=(), description="The same of what the baselines are fitted on.")


class Periods(Settings):
    """The three disjoint parts and the baselines' reference, as first and last time of each piece."""

    mode: Mode
    train: tuple[Interval, ...]
    validation: tuple[Interval, ...]
    held_out: Interval
    reference: tuple[Interval, ...]


class Layout:
    """The time axis in slots, and the pieces laid on it."""

    def __init__(self, times: np.ndarray, present: np.ndarray, step: Step, mode: Mode) -> None:
        self.times, self.present, self.step, self.mode = times, present, step, mode
        index = step.index(times, times[0])
        self.slots = int(index[-1]) + 1
        self.axis = times if self.slots == len(times) else step.shift(times[0], np.arange(self.slots))
        self.seconds, self.calendar = encode_times(self.axis)
        self.stated: set[str] = set()
        self._held_out: tuple[int, int] | None = None
        self._pieces: dict[str, list[tuple[int, int]]] = {"validation": [], "reference": []}

    def take(self, choice: Choice) -> list[str]:
        """Take over the periods that are given; returns every fault in them."""
        faults: list[str] = []
        if choice.held_out is not None and choice.held_out_days is not None:
            faults.append("held_out and held_out_days: expected one of them, got both")
        if choice.held_out is not None:
            self._held_out = self._piece("held_out", choice.held_out, faults)
        elif choice.held_out_days is not None:
            frames = max(1, round(choice.held_out_days / days_of(self.step)))
            if frames >= self.slots:
                faults.append(
                    f"held_out_days: expected less than the span of the archive ({self.slots} frames), got "
                    f"{choice.held_out_days:g} days, which are {frames} frames"
                )
            else:
                self._held_out = (self.slots - frames, self.slots - 1)
        for name, runs in self._pieces.items():
            for number, piece in enumerate(getattr(choice, name)):
                slots = self._piece(f"{name}[{number}]", piece, faults)
                if slots is None:
                    continue
                runs.append(slots)
                if self._held_out is not None and slots[1] >= self._held_out[0]:
                    faults.append(
                        f"{name}[{number}]: expected an end before the held-out period, which begins at "
                        f"{name_time(self.axis[self._held_out[0]])}, got {piece[1]}"
                    )
            runs.sort()
            for (_, end), (start, _) in pairwise(runs):
                if start <= end:
                    faults.append(
                        f"{name}: expected pieces apart from each other, got one up to "
                        f"{name_time(self.axis[end])} and one from {name_time(self.axis[start])}"
                    )
        self.stated = {n for n, v in choice.model_dump().items() if v not in (None, ())}
        return faults

    def periods(self, frames_in: int, frames_out: int) -> tuple[Periods, dict[str, int]]:
        """Periods for T and T', and the windows in each part."""
        held = self._held_out or self._derive_held_out(frames_in, frames_out)
        validation = self._pieces["validation"] or self._derive_validation(held[0], frames_out)
        edges = [(-1, -1), *validation, (held[0], held[0])]
        train = [(a[1] + 1, b[0] - 1) for a, b in pairwise(edges) if b[0] - a[1] > 1]
        reference = self._pieces["reference"] or ([(0, held[0] - 1)] if held[0] else [])
        parts = {"train": train, "validation": validation, "held_out": [held], "reference": reference}
        counts = {}
        for part in ("train", "validation", "held_out"):
            ends = [(self.axis[a], self.axis[b]) for a, b in parts[part]]
            inits, _ = find_windows(self.times, self.present, self.step, frames_in, frames_out, ends, part)
            counts[part] = len(inits)
        names: dict[str, Any] = {n: tuple(self._name(piece) for piece in pieces) for n, pieces in parts.items()}
        return Periods(mode=self.mode, **{**names, "held_out": names["held_out"][0]}), counts

    def _derive_held_out(self, frames_in: int, frames_out: int) -> tuple[int, int]:
        return self.slots - held_out_frames(self.slots, self.step, frames_in, frames_out), self.slots - 1

    def _derive_validation(self, end: int, frames_out: int) -> list[tuple[int, int]]:
        for blocks in VALIDATION_BLOCKS:
            size = _whole_days(max(2 * frames_out, round(VALIDATION_SHARE * end / blocks)), self.step)
            if size * blocks <= VALIDATION_MOST * end:
                break
        if size * blocks > end:
            return []
        unit, year = _unit(size, self.step), self.step.per_year(self.calendar)
        pieces = []
        for block in range(blocks):
            starts = np.arange(-(-end * block // blocks), end * (block + 1) // blocks - size + 1)
            starts = starts[starts % unit == 0] if (starts % unit == 0).any() else starts
            middle = np.abs(starts - (starts[0] + starts[-1]) / 2)
            season = np.zeros(len(starts))
            if year is not None and end >= year:
                apart = np.abs((starts / year - (block + 0.5) / blocks) % 1)
                season = np.round(np.minimum(apart, 1 - apart) * year / unit)
            # The season decides, and among starts of the same distance to it the middle of the stretch.
            start = int(starts[np.lexsort((middle, season))[0]])
            pieces.append((start, start + size - 1))
        return pieces

    def _name(self, piece: tuple[int, int]) -> Interval:
        return name_time(self.axis[piece[0]]), name_time(self.axis[piece[1]])

    def _piece(self, name: str, piece: Interval, faults: list[str]) -> tuple[int, int] | None:
        """Slots of a given interval; a fault where it is no time, empty or outside the series."""
        try:
            bounds, _ = encode_times(parse_times(piece, self.calendar))
        except Refusal as refusal:
            faults += [f"{name}: {reason}" for reason in refusal.reasons]
            return None
        inside = np.flatnonzero((self.seconds >= bounds[0]) & (self.seconds <= bounds[1]))
        if not len(inside):
            faults.append(
                f"{name}: expected frames of the archive ({name_time(self.axis[0])} .. {name_time(self.axis[-1])}), "
                f"got none in {piece[0]} .. {piece[1]}"
            )
            return None
        return int(inside[0]), int(inside[-1])


def held_out_frames(slots: int, step: Step, frames_in: int, frames_out: int) -> int:
    """Frames at the end of an archive of `slots` frames that are held out where nothing is given, for T and T'."""
    frames = round(HELD_OUT_SHARE * slots)
    if step.seconds:
        frames = min(frames, round((30 if step.seconds < DAY else 365) / days_of(step)))
    # The targets of the last init time lie in the period as well.
    wanted = GATE_BLOCKS * (frames_in + frames_out + 1) + frames_out - 1
    frames = max(frames, min(wanted, int(HELD_OUT_MOST * slots)), 1)
    return min(_whole_days(frames, step), slots - 1)


def days_of(step: Step) -> float:
    """Length of a step in days; of calendar months the mean one."""
    return step.seconds / DAY if step.seconds else step.months * MONTH_DAYS


def _unit(frames: int, step: Step) -> int:
    day = step.per_day or 1
    return day if frames >= day else 1


def _whole_days(frames: int, step: Step) -> int:
    unit = _unit(frames, step)
    return -(-frames // unit) * unit
