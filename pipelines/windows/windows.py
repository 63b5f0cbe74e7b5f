"""Windows of T input and T' target frames: which the archive offers, and which are used.

A window goes by its init position, the place of its last input frame on the time axis. It belongs to the part
(train, validation, held-out) in which all its targets lie; its inputs may reach back into another part, since what
has been observed is known when the forecast is made. Windows come from the time coordinate, never from positions
alone: none spans a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.times import encode_times

REASONS = ("series_edge", "split_edge", "gap", "nan")
MEANING = {
    "series_edge": "the series begins after the first input or ends before the last target",
    "split_edge": "a target lies outside the part",
    "gap": "a frame is absent",
    "nan": "a frame has more missing values than missing_share allows",
}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What became of every window that one part offered; ``offered == used + sum(dropped.values())``.

    Parameters
    ----------
    part
        Name of the part.
    offered
        Windows whose first target lies in the part: one for each slot of its time axis.
    used
        Windows to train on or to score.
    dropped
        Count by the first of `REASONS` that holds.
    """

    part: str
    offered: int
    used: int
    dropped: Mapping[str, int]

    def row(self) -> dict[str, str | int]:
        """One row of the audit table."""
        return {"part": self.part, "offered": self.offered, "used": self.used, **self.dropped}


def audit_table(audits: Sequence[Audit]) -> str:
    """Markdown table of several parts, with the reasons explained below it."""
    head = ["part", "offered", "used", *REASONS]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(map(str, audit.row().values())) + " |" for audit in audits]
    return "\n".join([*lines, "", *(f"* {name}: {MEANING[name]}" for name in REASONS)])


def dropped_words(dropped: Mapping[str, int]) -> str:
    """How many windows were dropped for what; empty for none."""
    return "; ".join(f"{count} dropped since {MEANING[reason]}" for reason, count in dropped.items() if count)


def find_windows(
    times: np.ndarray,
    present: np.ndarray,
    step: Step,
    frames_in: int,
    frames_out: int,
    intervals: Sequence[tuple[Any, Any]],
    part: str,
    *,
    complete: np.ndarray | None = None,
) -> tuple[np.ndarray, Audit]:
    """Windows of one part.

    Parameters
    ----------
    times
        (N,), rising, on the step; a frame may be absent as a missing label or as a slot that is not `present`.
    present
        (N,) bool.
    intervals
        First and last time of each piece of the part, both included.
    complete
        (N,) bool, False where a frame lacks more of its values than is allowed; default: none does.

    Returns
    -------
    tuple
        Init positions in `times`, int64, rising; the window at position p has the inputs p - T + 1 .. p and the
        targets p + 1 .. p + T'. And the audit.

    Raises
    ------
    ConfigError
        Times that repeat or fall back.
    Refusal
        Times off the step.
    """
    if not len(times):
        return np.empty(0, np.int64), Audit(part=part, offered=0, used=0, dropped=dict.fromkeys(REASONS, 0))
    index = step.index(times, times[0])
    if (np.diff(index) <= 0).any():
        at = int(np.argmax(np.diff(index) <= 0))
        raise ConfigError("Time axis", [f"expected rising times, got {times[at]} followed by {times[at + 1]}"])
    slots = int(index[-1]) + 1
    inside = _inside(times, step, slots, intervals)
    here = np.zeros(slots, bool)
    here[index] = present
    whole = np.zeros(slots, bool)
    whole[index] = True if complete is None else complete
    whole |= ~here  # an absent frame is a gap, and only that

    target = np.flatnonzero(inside)
    first, last = target - frames_in, target + frames_out - 1
    edge = (first < 0) | (last >= slots)
    failed = {
        "series_edge": edge,
        "split_edge": _misses(inside, target, last, edge),
        "gap": _misses(here, first, last, edge),
        "nan": _misses(whole, first, last, edge),
    }
    left, dropped = np.ones(len(target), bool), {}
    for reason in REASONS:
        dropped[reason] = int((left & failed[reason]).sum())
        left &= ~failed[reason]
    inits = np.searchsorted(index, target[left] - 1).astype(np.int64)
    return inits, Audit(part=part, offered=len(target), used=int(left.sum()), dropped=dropped)


def _inside(times: np.ndarray, step: Step, slots: int, intervals: Sequence[tuple[Any, Any]]) -> np.ndarray:
    """Which slots of the regular axis lie in one of the intervals, (slots,) bool."""
    axis = times if slots == len(times) else step.shift(times[0], np.arange(slots))
    seconds, _ = encode_times(axis)
    inside = np.zeros(slots, bool)
    for start, end in intervals:
        bounds, _ = encode_times(np.array([start, end], dtype=times.dtype))
        inside |= (seconds >= bounds[0]) & (seconds <= bounds[1])
    return inside


def _misses(good: np.ndarray, first: np.ndarray, last: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Whether not all of good[first .. last] hold, for each pair; False where `skip`."""
    bad = np.concatenate([[0], np.cumsum(~good)])
    first, last = np.where(skip, 0, first), np.where(skip, -1, last)
    return bad[last + 1] > bad[first]
