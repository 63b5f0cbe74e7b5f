"""Extrapolation along the estimated motion: each point gets what lies upstream of it in the last frame.

Nothing grows or decays on the way. Trajectories are followed backwards in one step a lead, with the motion at the
middle of the step (semi-Lagrangian scheme: Germann and Zawadzki 2002, Monthly Weather Review 130, 2859-2873).

What comes from outside of the grid, or from where the last frame has no value, is the nearest value there is. On four
days of radar this is better than dry air and than the value that was there before (RMSE -1 to -4 %), and unlike a
missing value it leaves all points to be scored: where one system has none, no system is.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from simvp.motion.flow import SHORT, SIDE, pair_motion, spread

FRAMES = 3
"""Frames that the motion is estimated from: on radar as good as 4, and better than 2."""


def extrapolate(frames: np.ndarray, leads: int) -> np.ndarray:
    """The last frame, carried on along the motion of the last few ones.

    Parameters
    ----------
    frames
        (B, T, H, W) of an amount such as rain in any unit, evenly in time, NaN where unknown.
    leads
        L.

    Returns
    -------
    np.ndarray
        (B, L, H, W) float32: of leads 1 .. L. With fewer than two known frames, or where nothing moves, it is the last
        frame. Otherwise points that none of the frames know are NaN, and everything is where the last frame is not
        there.
    """
    frames = np.asarray(frames, np.float32)
    made = np.empty((len(frames), leads, *frames.shape[2:]), np.float32)
    for number, flow in enumerate(_motions(_coarse(frames))):
        last = frames[number, -1]
        if not flow.any() or not np.isfinite(last).any():
            made[number] = last
            continue
        made[number] = _carried(last, flow, leads)
        made[number, :, np.isnan(frames[number]).all(0)] = np.nan
    return made


def _motions(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Motion (2, h, w) of each series of (B, T, h, w); pairs of frames that the series before has are not redone."""
    before: dict[tuple[bytes, bytes, int], tuple[np.ndarray, np.ndarray]] = {}
    for series in frames:
        known = np.flatnonzero(np.isfinite(series).any((1, 2)))
        found = {}
        for a, b in pairwise(known.tolist()):
            key = series[a].tobytes(), series[b].tobytes(), b - a
            found[key] = before[key] if key in before else pair_motion(series[a], series[b], b - a)
        before = found
        yield spread(list(found.values()), series.shape[1:])


def _carried(last: np.ndarray, flow: np.ndarray, leads: int) -> np.ndarray:
    """(L, H, W) of one frame (H, W) along a motion (2, h, w) of blocks of its points."""
    from scipy.ndimage import distance_transform_edt, map_coordinates

    missing = np.isnan(last)
    if missing.any():
        last = last[tuple(distance_transform_edt(missing, return_distances=False, return_indices=True))]
    size = _block(last.shape)
    cells = np.indices(flow.shape[1:], np.float32)
    places = np.indices(last.shape, np.float32)
    # The middle of block i of `size` points is at size * i + (size - 1) / 2.
    in_cells = (places - (size - 1) / 2) / size
    back, step = np.zeros_like(flow), flow
    made = np.empty((leads, *last.shape), np.float32)
    for lead in range(leads):
        middle = cells - back - step / 2
        step = np.stack([map_coordinates(part, middle, order=1, mode="nearest") for part in flow])
        back = back + step
        path = back if size == 1 else np.stack([map_coordinates(b, in_cells, order=1, mode="nearest") for b in back])
        map_coordinates(last, places - size * path, made[lead], order=1, mode="nearest")
    return made


def _coarse(frames: np.ndarray) -> np.ndarray:
    """Means of the blocks that motion is estimated on, (B, T, h, w); a rest at the end of the axes is left out."""
    size = _block(frames.shape[2:])
    rows, columns = (length // size for length in frames.shape[2:])
    blocks = frames[..., : rows * size, : columns * size].reshape(*frames.shape[:2], rows, size, columns, size)
    known = np.isfinite(blocks)
    count = known.sum((3, 5))
    total = np.where(known, blocks, 0).sum((3, 5))
    return np.divide(total, count, out=np.full(count.shape, np.nan, np.float32), where=count > 0)


def _block(shape: tuple[int, ...]) -> int:
    """Side of the blocks, in points: that leaves at most `SIDE` rows and columns, unless one of them is very short."""
    return max(1, min(-(-max(shape) // SIDE), min(shape) // SHORT))
