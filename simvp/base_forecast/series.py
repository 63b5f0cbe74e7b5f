"""Frames of one variable by the slots of its step, transformed, and filled where points are missing.

Letters: R slots of a run, P points (those where training saw values, in the order of the flattened grid).
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from simvp.base_forecast.transform import IDENTITY, Transform
from simvp.budget import fitting
from simvp.contract import Climatology, KnownInputs
from simvp.coords import Step


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Access to frames by slot: steps since the first time of the data, whether a frame is there or not.

    Parameters
    ----------
    field
        (time, row, column), canonical; lazy or not.
    step
        Of the series.
    valid
        (H, W) bool, the points that count.
    transform
        Of the values that are read.
    kept
        What has been read, and made of it, before any transform: for several transforms of the same frames. None:
        nothing is kept.
    known
        Inputs that are known for times to come too; None where there are none.
    """

    field: xr.DataArray
    step: Step
    valid: np.ndarray
    transform: Transform = IDENTITY
    kept: dict[Hashable, np.ndarray] | None = None
    known: KnownInputs | None = None

    def slots(self, times: np.ndarray) -> np.ndarray:
        """Slots of times on the step."""
        return self.step.index(times, self.field["time"].values[0])

    def times(self, slots: np.ndarray) -> np.ndarray:
        """Inverse of `slots`."""
        return self.step.shift(self.field["time"].values[0], slots)

    def read(self, first: int, last: int) -> np.ndarray:
        """Frames of the slots `first` .. `last`, (P, R) float32; NaN where a value, or a frame, is not there."""
        return self.transform.forward(self.once(("frames", first, last), lambda: self._observed(first, last)))

    def once(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What `make` returns, and the same again for the same key where things are kept; not to be written to."""
        if self.kept is None:
            return make()
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def known_at(self, name: str, first: int, last: int) -> np.ndarray:
        """Departures of a known input at the slots `first` .. `last`, (R, H, W), or (R, 1, 1) of a series."""
        assert self.known is not None
        known = self.known
        return self.once(("known", name, first, last), lambda: known.at(name, self.times(np.arange(first, last + 1))))

    def _observed(self, first: int, last: int) -> np.ndarray:
        values = np.full((int(self.valid.sum()), last - first + 1), np.nan, np.float32)
        slots = self._index
        start, stop = np.searchsorted(slots, [first, last + 1])
        if stop > start:
            frames = np.asarray(self.field[start:stop].values, np.float32)
            values[:, slots[start:stop] - first] = frames[:, self.valid].T
        return values

    @property
    def _index(self) -> np.ndarray:
        times = self.field["time"].values
        return self.step.index(times, times[0])


def fill_forward(departures: np.ndarray) -> np.ndarray | None:
    """Departures (P, R) with missing points filled in place by the last one seen there, else by 0, the climatology.

    Frames without any point stay missing, and what was seen before them is carried on across them.

    Returns
    -------
    np.ndarray or None
        (P, R) int32: the column at which each was seen, -1 where it was not; None where nothing is missing.
    """
    known = np.isfinite(departures)
    here = known.any(0)
    if known[:, here].all():
        return None
    column = np.arange(departures.shape[1], dtype=np.int32)
    seen = np.maximum.accumulate(np.where(known, column, np.int32(-1)), axis=1)
    filled = np.where(seen < 0, np.float32(0), np.take_along_axis(departures, np.maximum(seen, 0), axis=1))
    np.copyto(departures, filled, where=here)
    return seen


def maps_at(climatology: Climatology, times: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Climatology for times, (P, R) float32, at the points that count."""
    return np.ascontiguousarray(climatology.at_points(times, np.flatnonzero(valid.reshape(-1))).T)


def near_each_other(inits: np.ndarray, points: int, held: int, frames: int) -> Iterator[np.ndarray]:
    """Runs of rising init slots that are near each other, few enough for memory.

    Parameters
    ----------
    inits
        (N,).
    points
        P.
    held
        Values that are held at once for a point and an init time.
    frames
        T + L.
    """
    most, longest = fitting(4 * points * (held + 4), 16), max(fitting(16 * points, 16), 2 * frames)
    start = 0
    for stop in range(1, len(inits) + 1):
        if stop == len(inits) or stop - start >= most or inits[stop] - inits[start] > longest:
            yield inits[start:stop]
            start = stop
