"""Normalised frames of an archive, in bounded memory, and what they lack."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pipelines.windows.held import Held, empty_windows
from simvp.budget import fitting
from simvp.contract import FrameSpec, carried, missing_shares, percent
from simvp.times import name_time

if TYPE_CHECKING:
    from pipelines.ranks import Ranks  # which loads PyTorch

BLOCK = 256  # frames at most that are read at a time while they are normalised or looked through
# Read window by window, a pass over an archive of 24,000 frames took 65 s; in runs it takes 2 s.
RUNS = 8  # runs of frames in memory at a time, where not all frames fit
MOST_FORCINGS = 6  # sine and cosine of the time of day, of week and of year
MOST_NAMED = 3  # frames with missing values; the rest is counted


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
        Bytes that the frames may take in memory, counted as whole maps of every channel; 0 for frames that are only
        looked through.
    ranks
        Processes that train together: each reads its share of the frames and is given those of the others.

    Attributes
    ----------
    missing : np.ndarray
        (N, S) share of the points of each state that are missing, from 0 to 1 (`simvp.contract.filling`).
    run : int or None
        Init positions of a run; None where all frames are held.
    runs : int
        Runs that are held at a time.
    """

    def __init__(self, ds: xr.Dataset, spec: FrameSpec, *, memory: int = 2 << 30, ranks: "Ranks | None" = None) -> None:
        self._ds, self._spec = ds, spec
        self.times = ds["time"].values
        self.run: int | None = None
        self.runs = 0
        self._held: Held | None = None
        self._runs: OrderedDict[int, Held] = OrderedDict()
        count, reach = ds.sizes["time"], spec.frames_in + spec.frames_out
        frame = 4 * spec.n_channels * math.prod(spec.shape)
        share = memory // (RUNS * frame)
        if frame * count <= memory:
            self._held = Held(count, spec)
        else:
            self.run = max(reach, share - reach)
            self.runs = max(1, min(RUNS, memory // ((self.run + reach) * frame)))
        self._block = min(BLOCK, max(reach, share) if memory else fitting(frame, 16))
        self.missing = np.zeros((count, spec.n_states))
        points = spec.mask.sum(axis=(1, 2))
        own = slice(0, count) if ranks is None else ranks.share(count)
        for start, part in self._blocks(own.start, own.stop):
            self.missing[start : start + len(part)] = missing_shares(part[:, : spec.n_states], points)
            if self._held is not None:
                self._held.put(start, part)
        if ranks is not None:
            ranks.add_up(self.missing, *([] if self._held is None else self._held.arrays))

    @property
    def whole(self) -> np.ndarray:
        """(N,) bool: frames that lack nothing outside the mask."""
        return np.asarray(~self.missing.any(axis=1))

    @property
    def usable(self) -> np.ndarray:
        """(N,) bool: frames that lack no more than the contract allows."""
        return np.asarray((self.missing <= self._spec.missing_share).all(axis=1))

    def windows(self, inits: np.ndarray, *, alone: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Windows at the init positions (B,): inputs (B, T, C, H, W) and targets (B, T', S, H, W), float32.

        `alone`: not worth reading and holding a run for.
        """
        x, y = empty_windows(self._spec, len(inits))
        T, length = self._spec.frames_in, self._spec.frames_in + self._spec.frames_out
        for row, init in enumerate(inits.tolist()):
            start = init - T + 1
            if alone:
                frames = self._read(start, start + length)
                x[row], y[row] = frames[:T], frames[T:, : self._spec.n_states]
            else:
                held, first = (self._held, 0) if self._held is not None else self._run_of(init)
                held.copy(start - first, x[row], y[row])
        return x, y

    def _run_of(self, init: int) -> tuple[Held, int]:
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
                frames = Held(self.run + self._spec.frames_in + self._spec.frames_out - 1, self._spec)
            for start, part in self._blocks(first, (number + 1) * self.run + self._spec.frames_out):
                frames.put(start - first, part)
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


def surely_fits(ds: xr.Dataset, memory: int, statics: int = 0) -> bool:
    """Whether `Frames` of these states and known inputs, and of so many statics, will hold all frames.

    Told before their contract is known.
    """
    values = max(field.size for field in ds.data_vars.values())
    return 4 * values * (len(ds.data_vars) + len(carried(ds)) + statics + MOST_FORCINGS) <= memory


def missing_values(frames: Frames, present: np.ndarray, spec: FrameSpec) -> list[str]:
    """A line for each variable that has missing values outside the mask, in frames that are there.

    Parameters
    ----------
    frames
        Looked through already.
    present
        (N,) bool; an absent frame is a gap, and lacks nothing.
    """
    lines, limit = [], spec.missing_share
    times, shares = frames.times[present], frames.missing[present]
    for name, share in zip(spec.states, shares.T, strict=True):
        if not share.any():
            continue
        lacking, over = share[share > 0], int((share > limit).sum())
        words = (
            f"{name}: missing values in {len(lacking)} of {len(share)} frames, {percent(lacking.mean())} of their "
            f"points in the mean; {over} of them lack more than {percent(limit)} (missing_share)"
        )
        if over:
            worst = np.argsort(-share, kind="stable")[: min(over, MOST_NAMED)]
            listed = ", ".join(f"{name_time(times[n])} ({percent(share[n])})" for n in worst)
            words += f" and are left out, the worst {listed}"
        lines.append(words)
    return lines


def sufficient_share(frames: Frames, present: np.ndarray) -> float | None:
    """The missing_share that takes all frames that have some value of every variable; None where it is 0.

    Rounded up to a hundredth.
    """
    most = frames.missing[present].max(axis=1, initial=0.0)
    partial = most[(most > 0) & (most < 1)]
    return min(math.ceil(100 * partial.max()) / 100, 0.99) if len(partial) else None
