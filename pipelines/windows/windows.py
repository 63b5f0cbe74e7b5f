"""Windows of T input and T' target frames: which the archive offers, which are used, and their values.

A window goes by its init position, the place of its last input frame on the time axis. It belongs to the part
(train, validation, held-out) in which all its targets lie; its inputs may reach back into another part, since what
has been observed is known when the forecast is made. Windows come from the time coordinate, never from positions
alone: none spans a gap.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pipelines.windows.batches import Batches
from simvp.budget import fitting
from simvp.contract import FrameSpec, fill, missing_shares
from simvp.coords import Step, encode_times
from simvp.errors import ConfigError

BLOCK = 256  # frames at most that are read at a time while they are normalised or looked through
# Read window by window, a pass over an archive of 24,000 frames took 65 s; in runs it takes 2 s.
RUNS = 8  # runs of frames in memory at a time, where not all frames fit
SPARE = 2  # of them, whose windows are not mixed with those of the others; a batch may reach into the next
MOST_FORCINGS = 6  # sine and cosine of the time of day, of week and of year

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


class Frames:
    """Normalised frames of an archive, in memory where they fit, else a few runs of them at a time.

    A run is what the windows of some successive init positions need. `RUNS` of them are held, those that were needed
    last, and together they take up the memory that is allowed; where that is little, a run is still as long as two
    windows, and fewer are held: one at least. While they are normalised or looked through, frames are read in blocks no
    larger than a run.

    Parameters
    ----------
    ds
        Canonical, with every variable of the contract; lazy or not.
    spec
        The contract that normalises.
    memory
        Bytes that the frames may take in memory; 0 for frames that are only looked through.

    Attributes
    ----------
    missing : np.ndarray
        (N, S) share of the points of each state that are missing, from 0 to 1 (`simvp.contract.filling`).
    run : int or None
        Init positions of a run; None where all frames are held.
    runs : int
        Runs that are held at a time.
    """

    def __init__(self, ds: xr.Dataset, spec: FrameSpec, *, memory: int = 2 << 30) -> None:
        self._ds, self._spec = ds, spec
        self.times = ds["time"].values
        self.run: int | None = None
        self.runs = 0
        self._held: np.ndarray | None = None
        self._runs: OrderedDict[int, np.ndarray] = OrderedDict()
        count, reach = ds.sizes["time"], spec.frames_in + spec.frames_out
        frame = 4 * spec.n_channels * math.prod(spec.shape)
        share = memory // (RUNS * frame)
        if frame * count <= memory:
            self._held = np.empty((count, spec.n_channels, *spec.shape), np.float32)
        else:
            self.run = max(reach, share - reach)
            self.runs = max(1, min(RUNS, memory // ((self.run + reach) * frame)))
        self._block = min(BLOCK, max(reach, share) if memory else fitting(frame, 16))
        self.missing = np.zeros((count, spec.n_states))
        points = spec.mask.sum(axis=(1, 2))
        for start, part in self._blocks(0, count):
            self.missing[start : start + len(part)] = missing_shares(part[:, : spec.n_states], points)
            if self._held is not None:
                self._held[start : start + len(part)] = part

    @property
    def whole(self) -> np.ndarray:
        """(N,) bool: frames that lack nothing outside the mask."""
        return np.asarray(~self.missing.any(axis=1))

    @property
    def usable(self) -> np.ndarray:
        """(N,) bool: frames that lack no more than the contract allows."""
        return np.asarray((self.missing <= self._spec.missing_share).all(axis=1))

    def windows(self, inits: np.ndarray, *, alone: bool = False) -> np.ndarray:
        """Windows at the init positions (B,): (B, T + T', C, H, W) float32.

        `alone`: not worth reading and holding a run for.
        """
        before, length = self._spec.frames_in - 1, self._spec.frames_in + self._spec.frames_out
        if self._held is not None:
            return self._held[inits[:, None] + np.arange(-before, length - before)]
        windows = np.empty((len(inits), length, self._spec.n_channels, *self._spec.shape), np.float32)
        for row, init in enumerate(inits.tolist()):
            if alone:
                windows[row] = self._read(init - before, init - before + length)
            else:
                frames, first = self._run_of(init)
                windows[row] = frames[init - before - first : init - before - first + length]
        return windows

    def _run_of(self, init: int) -> tuple[np.ndarray, int]:
        """The run with that init position, and the position of its first frame."""
        assert self.run is not None
        number = init // self.run
        first = max(0, number * self.run - self._spec.frames_in + 1)
        if number not in self._runs:
            # Their arrays are used again, since new ones tear holes into the heap: where 32 MiB are allowed, a pass
            # over 384 x 384 maps takes 72 MiB, and took 89 with new ones.
            if len(self._runs) >= self.runs:
                frames = self._runs.popitem(last=False)[1]
            else:
                most = self.run + self._spec.frames_in + self._spec.frames_out - 1
                frames = np.empty((most, self._spec.n_channels, *self._spec.shape), np.float32)
            for start, part in self._blocks(first, (number + 1) * self.run + self._spec.frames_out):
                frames[start - first : start - first + len(part)] = part
            self._runs[number] = frames
        self._runs.move_to_end(number)
        return self._runs[number], first

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Frames from `start` to before `stop`, or to the end, a block at a time, with the place of its first."""
        stop = min(stop, len(self.times))
        for first in range(start, stop, self._block):
            yield first, self._read(first, min(first + self._block, stop))

    def _read(self, start: int, stop: int) -> np.ndarray:
        return self._spec.to_frames(self._ds.isel(time=slice(start, stop)))


def surely_fits(ds: xr.Dataset, memory: int) -> bool:
    """Whether `Frames` of these states will hold all frames, told before their contract is known."""
    values = max(field.size for field in ds.data_vars.values())
    return 4 * values * (len(ds.data_vars) + MOST_FORCINGS) <= memory


class Sequences(Batches):
    """Windows as arrays.

    Parameters
    ----------
    frames
        Where the values come from.
    inits
        (M,) init positions, from `find_windows`.
    spec
        The contract: T, T', state channels and mask.

    Attributes
    ----------
    specks : bool
        Whether some frames lack some of their points, and not all.
    """

    def __init__(self, frames: Frames, inits: np.ndarray, spec: FrameSpec) -> None:
        self.inits = inits
        self._frames, self._spec = frames, spec
        self._mask, self._whole = spec.mask.astype(np.float32), frames.whole
        self.specks = bool(((frames.missing > 0) & (frames.missing < 1)).any())
        climatologies = [state.climatology for state in spec.state_channels]
        self._cyclic = any(climatology.period != "none" for climatology in climatologies)
        self._means = [climatology.values.mean(axis=(0, 1)) for climatology in climatologies]
        # A few windows from all over the archive are read one by one: their runs hold more than they do.
        runs = 0 if frames.run is None else len(np.unique(inits // frames.run)) * frames.run
        self._sparse = len(inits) * (spec.frames_in + spec.frames_out) < runs

    def __len__(self) -> int:
        return len(self.inits)

    def arranged(self, random: np.random.Generator) -> np.ndarray:
        """All windows in a random order, (M,).

        Where the frames are held in runs, each run is read once: the runs come in an order of their own, one after the
        other, and each stays for as long as all but `SPARE` of those that are held take; its windows are spread evenly
        over that time.
        """
        if self._frames.run is None or self._sparse:
            return super().arranged(random)
        run = self.inits // self._frames.run
        place = random.permutation(int(run.max()) + 1)[run]  # a run that has no window leaves a place empty
        place = np.unique(place, return_inverse=True)[1]
        mixed = max(1, self._frames.runs - SPARE)
        return np.argsort(place + mixed * random.random(len(run)), kind="stable")

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs x (B, T, C, H, W), targets y (B, T', S, H, W), mask m; float32, normalised.

        What is missing is filled in x, by the rule of `simvp.contract.filling`. In y it is 0, and then so is the mask,
        which has a map for each of y.
        """
        inits, (T, S) = self.inits[indices], (self._spec.frames_in, self._spec.n_states)
        values = self._frames.windows(inits, alone=self._sparse)
        x, y = values[:, :T], values[:, T:, :S]
        if self._whole[self._run(inits)].all():
            return x, y, self._mask
        fill(x[:, :, :S])
        known = np.isfinite(y)
        np.copyto(y, 0.0, where=~known)
        return x, y, self._mask * known

    def _run(self, inits: np.ndarray) -> np.ndarray:
        """Positions of the frames of windows, (B, T + T')."""
        return inits[:, None] + np.arange(1 - self._spec.frames_in, self._spec.frames_out + 1)

    def seasonal_cycle(self, indices: np.ndarray) -> np.ndarray | None:
        """The climatology less its mean map over inputs and targets, (B, T + T', S, H, W) float32.

        Normalised as the frames are; 0 where a point is masked. None where no state has a cycle.
        """
        if not self._cyclic:
            return None
        run = self._run(self.inits[indices])
        cycle = np.empty((*run.shape, len(self._spec.states), *self._spec.shape), np.float32)
        for number, state in enumerate(self._spec.state_channels):
            maps = state.climatology.at(self._frames.times[run.reshape(-1)]) - self._means[number]
            cycle[:, :, number] = (maps / state.scale).reshape(*run.shape, *self._spec.shape)
        return np.nan_to_num(cycle, copy=False)


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
