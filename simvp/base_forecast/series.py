"""Frames of one variable by the slots of its step, as departures from a climatology, filled where points are missing.

Letters: R slots of a run, P points (those where training saw values, in the order of the flattened grid).
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from simvp.contract import Climatology
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
    """

    field: xr.DataArray
    step: Step
    valid: np.ndarray

    def slots(self, times: np.ndarray) -> np.ndarray:
        """Slots of times on the step."""
        return self.step.index(times, self.field["time"].values[0])

    def times(self, slots: np.ndarray) -> np.ndarray:
        """Inverse of `slots`."""
        return self.step.shift(self.field["time"].values[0], slots)

    def read(self, first: int, last: int) -> np.ndarray:
        """Frames of the slots `first` .. `last`, (R, P) float32; NaN where a value, or a frame, is not there."""
        values = np.full((last - first + 1, int(self.valid.sum())), np.nan, np.float32)
        slots = self._index
        start, stop = np.searchsorted(slots, [first, last + 1])
        if stop > start:
            frames = np.asarray(self.field[start:stop].values, np.float32)
            values[slots[start:stop] - first] = frames.reshape(len(frames), -1)[:, self.valid.reshape(-1)]
        return values

    @property
    def _index(self) -> np.ndarray:
        times = self.field["time"].values
        return self.step.index(times, times[0])


def fill_forward(departures: np.ndarray, limit: int) -> np.ndarray:
    """Departures (R, P) with missing points filled in place by the last one seen there, else by 0, the climatology.

    What was seen longer than `limit` slots ago counts no more. Frames without any point stay missing, and are not
    bridged: the same rule as `simvp.contract.filling` has for the inputs of the network.

    Returns
    -------
    np.ndarray
        (R,) bool: which frames are there.
    """
    finite = np.isfinite(departures)
    here = finite.any(1)
    if not finite[here].all():
        age = np.zeros(departures.shape[1], np.int64)
        last = np.zeros(departures.shape[1], np.float32)
        for row in np.flatnonzero(here):
            known = finite[row]
            age = np.where(known, 0, age + 1)
            last = np.where(known, departures[row], np.where(age < limit, last, np.float32(0)))
            departures[row] = last
    return here


def maps_at(climatology: Climatology, times: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Climatology for times, (R, P) float32, at the points that count."""
    return climatology.at_points(times, np.flatnonzero(valid.reshape(-1)))
