"""Weights of the points of a grid by the area that each stands for."""

import numpy as np

from simvp.coords.grid import Grid

_POLE = 90.0


def area_weights(grid: Grid) -> tuple[np.ndarray, str]:
    """Share of the area that every point of a grid stands for.

    On latitude and longitude the weight is cos(latitude), unless the grid reaches a pole: there the cosine is
    zero on a row that does have an area, and the weight is the integral of cos(latitude) over the cell, whose
    edges lie half way between the rows and at the pole. A grid reaches a pole when no further row would fit
    between its outermost row and the pole. Longitudes are taken to be evenly spaced. On projected,
    curvilinear and index grids every point counts alike.

    Returns
    -------
    weights
        (H, W) float64 with mean one.
    name
        "cos_latitude", "cell_area" or "uniform".
    """
    if grid.kind != "latlon":
        return np.ones(grid.shape), "uniform"
    rows, name = _row_weights(grid.rows)
    return np.repeat(rows[:, None] / rows.mean(), grid.shape[1], axis=1), name


def _row_weights(latitude: np.ndarray) -> tuple[np.ndarray, str]:
    """Weight of every row of a latitude axis (H,), which is strictly monotone, in degrees."""
    cosine = np.cos(np.deg2rad(latitude))
    if latitude.size < 2:
        return np.maximum(cosine, np.finfo(np.float64).tiny), "cos_latitude"
    rising = latitude if latitude[0] < latitude[-1] else latitude[::-1]
    # A hair less than a whole spacing, so that a grid that merely stops one row short is a regional one.
    south = rising[0] + _POLE < 0.999 * (rising[1] - rising[0])
    north = _POLE - rising[-1] < 0.999 * (rising[-1] - rising[-2])
    if not (south or north):
        return cosine, "cos_latitude"
    middle = (rising[1:] + rising[:-1]) / 2
    lowest = -_POLE if south else max(-_POLE, rising[0] - (rising[1] - rising[0]) / 2)
    highest = _POLE if north else min(_POLE, rising[-1] + (rising[-1] - rising[-2]) / 2)
    cells = np.diff(np.sin(np.deg2rad(np.concatenate([[lowest], middle, [highest]]))))
    return (cells if latitude[0] < latitude[-1] else cells[::-1]), "cell_area"
