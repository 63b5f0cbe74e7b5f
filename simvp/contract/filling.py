"""Missing points of frames: how many a frame may have, and what stands in for them.

The rule
--------
Limit
    A frame is taken while no more than `FrameSpec.missing_share` of the points of each of its variables are missing.
    The points that count are those where training saw values: land in a sea surface temperature is masked, not
    missing. A frame that lacks more is left out as an absent one is, and so is every window that it lies in.
Inputs
    A missing point takes the departure from the climatology that was last seen there within the T frames that the
    network is given; where none was seen before, the next one; where all T are missing, the climatology itself.
    Nothing later than the init time is looked at.
Targets
    A missing point counts neither in the loss nor in a score.
Baselines
    They look at frames that are filled in the same way (`filled_frames`), so that they have a forecast wherever the
    model has one.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.times import encode_times

if TYPE_CHECKING:
    from simvp.contract.frame_spec import FrameSpec

MISSING_SHARE = 0.1
"""Share of the points of a frame that may be missing, where nothing is said."""


def missing_shares(maps: np.ndarray, points: np.ndarray | int) -> np.ndarray:
    """Share of the points that are missing in each map.

    Parameters
    ----------
    maps
        (..., H, W), finite where the mask says that nothing is expected.
    points
        How many points count, a number or (...).
    """
    finite = np.isfinite(maps)
    whole = finite.all(axis=(-2, -1))
    shares = np.zeros(whole.shape)
    if not whole.all():  # most frames lack nothing, and counting takes several times as long as seeing that
        counts = np.broadcast_to(points, whole.shape)[~whole]
        shares[~whole] = (~finite[~whole]).sum(axis=(-2, -1)) / counts
    return shares


def percent(share: float) -> str:
    """A share in words: "10 %"."""
    return f"{100 * share:.3g} %"


def fill(inputs: np.ndarray) -> None:
    """Fill what is missing in windows of input frames, in place.

    Parameters
    ----------
    inputs
        (B, T, S, H, W) departures from the climatology, NaN where missing.
    """
    missing = ~np.isfinite(inputs)
    if not missing.any():
        return
    for now in range(1, inputs.shape[1]):
        np.copyto(inputs[:, now], inputs[:, now - 1], where=missing[:, now])
    for now in range(inputs.shape[1] - 2, -1, -1):
        np.copyto(inputs[:, now], inputs[:, now + 1], where=~np.isfinite(inputs[:, now]))
    np.copyto(inputs, 0.0, where=~np.isfinite(inputs))


def filled_frames(ds: xr.Dataset, spec: "FrameSpec", times: np.ndarray) -> xr.Dataset:
    """Frames at some times, each filled as the last input of a window is; for the baselines, which look at single ones.

    Parameters
    ----------
    ds
        Canonical, lazy or not, with the T frames up to each of `times` as far as there are any.
    times
        Of any shape; those that `ds` does not have are left out.

    Returns
    -------
    xr.Dataset
        The states, physical, loaded. What was observed is as it was, and so is a frame that lacks more than the
        contract allows.
    """
    present, wanted = encode_times(ds["time"].values)[0], encode_times(times.reshape(-1))[0]
    chosen = np.flatnonzero(np.isin(present, wanted))
    index = spec.step.index(ds["time"].values, ds["time"].values[0])
    slots = index[chosen][:, None] + np.arange(1 - spec.frames_in, 1)  # (K, T)
    places = np.searchsorted(index, slots)
    there = index[places] == slots
    # Windows overlap, and each of their frames is read once.
    read = np.unique(places[there])
    near = ds[list(spec.states)].isel(time=read).load()
    frames = near.isel(time=np.searchsorted(read, chosen))
    for state in spec.state_channels:
        maps = frames[state.name].values
        points = state.points(maps)[:, None]
        shares = missing_shares(points, points.shape[-1])
        lacking = np.flatnonzero((shares > 0) & (shares <= spec.missing_share))
        if not len(lacking):
            continue
        departures = state.normalise(near[state.name].values, near["time"].values)
        for row in lacking:
            window = departures[np.searchsorted(read, places[row][there[row]])]
            fill(window[None, :, None])
            whole = state.denormalise(window[-1:], frames["time"].values[row : row + 1])[0]
            np.copyto(maps[row], whole, where=~np.isfinite(maps[row]))
    return frames
