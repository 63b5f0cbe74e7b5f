"""`simvp.at`: a forecast at one place, from the cells around it, with the bias that earlier forecasts had there.

A value of a cell is a mean over it, and a station is a place: nothing here makes the one into the other, but for what
earlier forecasts say of the mean difference.
"""

from typing import Literal

import numpy as np
import xarray as xr

from simvp.coords import Grid, horizontal_dims
from simvp.errors import Refusal
from simvp.scoring.verification import canonical_forecast
from simvp.times import encode_times

SUBJECT = "Forecast at a point"
EARTH = 6371.0088  # km, mean radius of the WGS 84 ellipsoid

INDEPENDENT, CONFIDENCE = 10, 1.645
"""Init times without common targets that a bias needs, and how many of its standard errors it has to be away from 0."""


def at(
    forecast: xr.Dataset | xr.DataArray,
    latitude: float,
    longitude: float,
    *,
    method: Literal["nearest", "bilinear"] = "nearest",
    past: xr.Dataset | None = None,
    observed: xr.Dataset | None = None,
) -> xr.Dataset:
    """A forecast at a place.

    Parameters
    ----------
    forecast
        As `simvp.predict` gives it, with members and bounds where it has them.
    latitude, longitude
        Degrees north and east.
    method
        "nearest": the nearest cell that has values. "bilinear": between the four cells around, on grids of latitude and
        longitude where all four have values.
    past, observed
        Earlier forecasts, as `simvp.open_forecasts` gives them, and what was observed at the place: variables of the
        same names and units along ``time``. The mean error of the earlier ones at a lead, if it is further from zero
        than chance, is taken off.

    Returns
    -------
    xr.Dataset
        Without the axes of the grid. Coordinates `latitude` and `longitude` of the place, `distance` in km to the
        centre of the nearest cell that was used, and, with `observed`, ``<variable>_bias`` (lead_time), what was taken
        off; 0 where fewer than `INDEPENDENT` init times without common targets speak for it.

    Raises
    ------
    Refusal
        A grid that lies nowhere on the earth, a place outside of it, cells without values, or one of `past` and
        `observed` alone.
    """
    if (past is None) != (observed is None):
        raise Refusal(SUBJECT, ["expected past and observed together, got one of them"])
    found = _taken(canonical_forecast(forecast), latitude, longitude, method)
    if past is None or observed is None:
        return found
    earlier = _taken(canonical_forecast(past), latitude, longitude, method)
    for name in [str(name) for name in found.data_vars if name in observed and name in earlier]:
        bias = _bias(earlier[name], observed[name])
        beside = [str(other) for other in found.data_vars if str(other) in (name, f"{name}_member", f"{name}_quantile")]
        found = found.assign({other: found[other] - bias for other in beside}).assign_coords({f"{name}_bias": bias})
    return found


def _taken(forecast: xr.Dataset, latitude: float, longitude: float, method: str) -> xr.Dataset:
    """The forecast at the place, without its horizontal dims."""
    grid = Grid.of(forecast)
    rows, columns = horizontal_dims(forecast)
    distance = _kilometres(grid, latitude, longitude)
    first = forecast[next(iter(forecast.data_vars))]
    valid = first.notnull().all([dim for dim in first.dims if dim not in (rows, columns)]).transpose(rows, columns)
    if method == "nearest":
        weights, nearest = _nearest(grid, distance, valid.values)
    else:
        weights, nearest = _bilinear(grid, distance, valid.values, latitude, longitude)
    cells = np.argwhere(weights > 0)
    parts = [forecast.isel({rows: int(i), columns: int(j)}, drop=True) * weights[i, j] for i, j in cells]
    made = sum(parts[1:], parts[0]) if len(parts) > 1 else parts[0]
    for name in made.data_vars:
        made[name].attrs = {key: text for key, text in forecast[name].attrs.items() if key != "grid_mapping"}
    attrs = {"long_name": "distance to the centre of the nearest cell that was used", "units": "km"}
    made = made.drop_vars([name for name in ("latitude", "longitude") if name in made.coords])
    return made.assign_coords(latitude=latitude, longitude=longitude, distance=((), nearest, attrs)).assign_attrs(
        forecast.attrs
    )


def _nearest(grid: Grid, distance: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (H, W), 1 at the nearest valid cell, and its distance in km."""
    if not valid.any():
        raise Refusal(SUBJECT, ["expected a cell with values, got none"])
    away = np.where(valid, distance, np.inf)
    weights = np.zeros(distance.shape)
    weights[np.unravel_index(away.argmin(), away.shape)] = 1.0
    spacing = _spacing(distance)
    if (least := float(distance.min())) > spacing:
        apart = f"cells lie {spacing:.4g} km apart"
        reason = f"expected a place on the grid, got one {least:.4g} km from its nearest cell; {apart}"
        raise Refusal(SUBJECT, [reason], "choose a place within the grid")
    return weights, float(away.min())


def _bilinear(
    grid: Grid, distance: np.ndarray, valid: np.ndarray, latitude: float, longitude: float
) -> tuple[np.ndarray, float]:
    """Weights (H, W) of the four cells around a place, and the distance in km of the nearest."""
    if grid.kind != "latlon":
        raise Refusal(SUBJECT, [f"method: expected nearest for a grid that is {grid.kind}, got bilinear"])
    east = grid.columns[0] + (longitude - grid.columns[0]) % 360
    parts = [_between(axis, value) for axis, value in ((grid.rows, latitude), (grid.columns, east))]
    if any(part is None for part in parts):
        span = ", ".join(f"{dim} {axis[0]:g} .. {axis[-1]:g}" for dim, axis in grid.axes.items())
        raise Refusal(SUBJECT, [f"expected a place between cells of {span}, got {latitude:g}, {longitude:g}"])
    weights = np.outer(*(part for part in parts if part is not None))
    if not valid[weights > 0].all():
        missing = int((~valid[weights > 0]).sum())
        raise Refusal(SUBJECT, [f"expected values in the cells around, {missing} have none"], "take method='nearest'")
    return weights, float(distance[weights > 0].min())


def _between(axis: np.ndarray, value: float) -> np.ndarray | None:
    """Weights along an axis, of the two labels around a value; None beyond its ends."""
    turned = np.asarray(axis if axis[-1] >= axis[0] else axis[::-1])
    if not turned[0] <= value <= turned[-1]:
        return None
    place = min(max(int(np.searchsorted(turned, value)), 1), len(turned) - 1)
    part = (value - turned[place - 1]) / (turned[place] - turned[place - 1])
    weights = np.zeros(len(turned))
    weights[[place - 1, place]] = 1 - part, part
    return weights if axis[-1] >= axis[0] else weights[::-1]


def _kilometres(grid: Grid, latitude: float, longitude: float) -> np.ndarray:
    """(H, W) great circle distances from the centres of the cells to a place."""
    if grid.kind == "latlon":
        rows, columns = np.meshgrid(grid.rows, grid.columns, indexing="ij")
    elif grid.latitude is not None and grid.longitude is not None:
        rows, columns = grid.latitude, grid.longitude
    else:
        reason = f"expected a grid with latitude and longitude, got one that is {grid.kind}"
        raise Refusal(SUBJECT, [reason], "add the coordinates latitude and longitude of its cells")
    a, b = np.deg2rad(rows), np.deg2rad(latitude)
    turn = np.deg2rad(columns - longitude)
    # The haversine: the cosine has no digits for what is near.
    square = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return np.asarray(2 * EARTH * np.arcsin(np.sqrt(np.clip(square, 0, 1))))


def _spacing(distance: np.ndarray) -> float:
    """Km between neighbours about the nearest cell, from differences of distances."""
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    near = distance[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
    return float(near.max() - near.min()) if near.size > 1 else np.inf


def _bias(earlier: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
    """Mean error by lead (lead_time), 0 where it may be chance."""
    valid = encode_times(earlier["valid_time"].transpose("init_time", "lead_time").values)[0]
    times = encode_times(observed["time"].values)[0]
    series = dict(zip(times.tolist(), observed.values.reshape(len(times), -1)[:, 0].tolist(), strict=True))
    seen = np.array([[series.get(int(time), np.nan) for time in row] for row in valid])
    error = earlier.transpose("init_time", "lead_time").values - seen
    inits = encode_times(earlier["init_time"].values)[0]
    bias = np.zeros(error.shape[1])
    for lead in range(error.shape[1]):
        known = np.isfinite(error[:, lead])
        if not known.any():
            continue
        # Init times of the same stretch of a lead share errors: a mean of each counts once.
        stretch = (inits[known] - inits[0]) // max(1, int(valid[0, lead] - inits[0]))
        means = np.array([error[known, lead][stretch == one].mean() for one in np.unique(stretch)])
        if len(means) >= INDEPENDENT:
            mean, limit = means.mean(), CONFIDENCE * means.std(ddof=1) / np.sqrt(len(means))
            bias[lead] = mean if abs(mean) > limit else 0.0
    attrs = {"long_name": f"mean error of earlier forecasts of {earlier.name}", "units": earlier.attrs.get("units", "")}
    return xr.DataArray(bias, {"lead_time": earlier["lead_time"]}, dims="lead_time", attrs=attrs)
