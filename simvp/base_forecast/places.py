"""Points that a fit is made on: all, or of a large grid evenly spread squares, which say as much.

Departures of neighbouring points are much alike: more points of the same maps change no coefficient that matters, and
frames at all of them would take memory without bound.
"""

import math

import numpy as np

MOST, SIDE = 1 << 14, 4
"""Points that are fitted on without being thinned, and points along a side of a square."""


def stride(valid: np.ndarray) -> int:
    """Rows from a square to the next one; 1 where all points (H, W) that count are fitted on."""
    count = int(valid.sum())
    return 1 if count <= MOST else math.ceil(SIDE * math.sqrt(count / MOST))


def fitted(valid: np.ndarray) -> np.ndarray:
    """(H, W) bool, points of the squares; all that count where these have none."""
    every = stride(valid)
    row, column = np.ogrid[: valid.shape[0], : valid.shape[1]]
    squares = valid & (row % every < SIDE) & (column % every < SIDE)
    return squares if squares.any() else valid


def with_neighbours(places: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W) bool: points, and the 3 x 3 around each that count: what predictors of these points look at."""
    from scipy.ndimage import binary_dilation

    return valid & binary_dilation(places, np.ones((3, 3), bool))
