"""One canonical form for gridded data of any naming, and the way back to the caller's names."""

import logging
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords.grid import GEOGRAPHIC, horizontal_dims, reordered
from simvp.coords.labels import axis_labels, time_labels
from simvp.coords.roles import Axes, bounds, candidates, find_axes
from simvp.coords.selection import axis_of, check_names, listing, select_values, values_of
from simvp.coords.units import same_units
from simvp.errors import Refusal

__all__ = ["Axes", "canonicalise", "find_axes", "restore"]

logger = logging.getLogger(__name__)

# Attributes that describe how or where one file was stored, not what the variable is.
STORAGE = re.compile(
    r"GRIB_.*|_FillValue|missing_value|scale_factor|add_offset|dtype|coordinates|bounds|ancillary_variables|"
    r"cell_measures|valid_(min|max|range)|actual_range|history|_Netcdf4.*|_ChunkSizes|_nc3_strict|edges"
)
_TIME = {"standard_name": "time", "axis": "T"}
# What writers put where they have nothing to say; cfgrib says "unknown".
MEANINGLESS = ("", "unknown", "undefined", "none", "missing")


def canonicalise(
    ds: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    select: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> tuple[xr.Dataset, Axes]:
    """Bring gridded data of any naming into the canonical form; nothing but coordinates is read.

    Parameters
    ----------
    ds
        Dataset of any names, dim order and axis direction. Left as it is.
    variables
        Data variables to keep. Default: every one on time, y and x.
    select
        One value for every other dim, by the name of the dim, of its coordinate, or "level", "member", "lead" and
        "init" for whatever these axes are called; a number in the units of the axis, or words such as "12h".
    units
        Units of variables that have none. The result says so in the attribute ``units_source="stated"``.

    Returns
    -------
    canonical : xr.Dataset
        Dims (time, latitude, longitude), or (time, y, x) on projected, curvilinear and index grids. Time is the valid
        time (`simvp.coords.valid_time`), strictly increasing, datetime64[ns] or cftime; y and x are strictly monotone,
        in the direction of the source. Longitudes that jump at the border of their range are joined: rolled where they
        go round the globe, else shifted by 360.
    axes : Axes
        The axes in the names of `ds`.

    Raises
    ------
    Refusal
        With every reason why this is not one series of maps.
    """
    ds = select_values(ds, select or {})
    check_names([ds], variables or ())
    axes = find_axes(ds, variables)
    names = list(variables) if variables is not None else _gridded(ds, axes)
    reasons = [reason for name in names for reason in _shape_faults(ds, name, axes)]
    if not names:
        reasons.append(f"no variable on time, y and x; got {listing(ds)}")
    reasons += _unit_faults(ds, names, units or {})
    times, order_t, remark, faults_t = time_labels(ds, axes, names)
    rows, order_y, faults_y = axis_labels(ds, axes, "y")
    columns, order_x, faults_x = axis_labels(ds, axes, "x")
    if reasons := [*reasons, *faults_t, *faults_y, *faults_x]:
        raise Refusal("data", reasons)

    y, x = ("latitude", "longitude") if axes.kind == "latlon" else ("y", "x")
    dims = {axes.time: "time", axes.y: y, axes.x: x}
    orders = {dim: order for dim, order in (("time", order_t), (y, order_y), (x, order_x)) if order is not None}
    fields: dict[Hashable, xr.Variable] = {}
    for name in names:
        var = _arranged(ds.variables[name], dims, len(times)).isel(orders)
        var.attrs = _variable_attrs(ds, name, axes, units or {})
        fields[name] = var
    coords = {
        "time": _axis(ds, axes.times, "time", times, _TIME | ({"comment": remark} if remark else {})),
        y: _axis(ds, axes.rows, y, rows, _axis_attrs(ds, axes, y)),
        x: _axis(ds, axes.columns, x, columns, _axis_attrs(ds, axes, x)),
    }
    coords |= _planes(ds, axes, orders)
    if axes.grid_mapping is not None:
        coords[axes.grid_mapping] = xr.Variable((), np.int32(0), dict(ds.variables[axes.grid_mapping].attrs))
    attrs = {key: value for key, value in ds.attrs.items() if not str(key).startswith("GRIB_")}
    return xr.Dataset(fields, coords, attrs), axes


def restore(forecast: xr.Dataset, axes: Axes, original: xr.Dataset) -> xr.Dataset:
    """A canonical forecast on the axis names, the order and the coordinates of the data it was made from.

    Parameters
    ----------
    forecast
        Canonical dims (init_time, lead_time, latitude, longitude) or (init_time, lead_time, y, x), any further ones.
    axes
        Axes of `original`, as `canonicalise` returned them.
    original
        The caller's Dataset. Where it has time, the forecast has init_time and lead_time.
    """
    y, x = horizontal_dims(forecast)
    sources = {y: axes.rows, x: axes.columns}
    wanted = {
        dim: np.asarray(original.variables[source], "f8")
        for dim, source in sources.items()
        if source in original.variables and dim in forecast.coords
    }
    forecast = reordered(forecast, {dim: np.asarray(forecast.variables[dim], "f8") for dim in wanted}, wanted)
    grid = {"latitude", "longitude", "y", "x", axes.grid_mapping} & set(forecast.coords)
    kept = {n for n, c in original.coords.items() if c.dims and set(c.dims) <= {axes.y, axes.x}}
    kept |= {n for n in (axes.latitude, axes.longitude, axes.grid_mapping) if n is not None}
    # Made at once: dropping, renaming and assigning one after the other takes three times as long.
    variables = {}
    for name in set(forecast.variables) - grid:
        var = variables[name] = forecast.variables[name].copy(deep=False)
        var.dims = tuple({y: axes.y, x: axes.x}.get(str(dim), dim) for dim in var.dims)
    coords = {n: variables[n] for n in forecast.coords if n in variables} | {n: original.variables[n] for n in kept}
    fields = {
        n: variables[n].transpose(..., *_dim_order(original, str(n), axes), missing_dims="ignore")
        for n in forecast.data_vars
    }
    indexes = {n: i for n, i in forecast.xindexes.items() if n in variables}
    indexes |= {n: i for n, i in original.xindexes.items() if n in kept}
    return xr.Dataset(fields, xr.Coordinates(coords, indexes), forecast.attrs)


def _dim_order(original: xr.Dataset, name: str, axes: Axes) -> list[Hashable]:
    """Dims of a variable of `original` with those of a forecast instead of time, which comes first if it has none."""
    dims = original[name].dims if name in original.variables else (axes.time, axes.y, axes.x)
    dims = dims if axes.time in dims else (axes.time, *dims)
    return [new for dim in dims for new in (("init_time", "lead_time") if dim == axes.time else (dim,))]


def _gridded(ds: xr.Dataset, axes: Axes) -> list[str]:
    """Numeric data variables on time, y and x; the others are named in the log."""
    aside = bounds(ds) | {axes.times, axes.latitude, axes.longitude}
    needed = {axes.y, axes.x} | ({axes.time} if axes.time in ds.dims else set())
    names = [
        str(n) for n, v in ds.data_vars.items() if n not in aside and needed <= set(v.dims) and v.dtype.kind in "fiub"
    ]
    names = [n for n in names if axes.time in ds.variables[n].dims or _other_time(ds, n, axes) is None]
    ignored = sorted(str(n) for n in ds.data_vars if n not in names and n not in aside)
    for name in [n for n in ignored if {axes.y, axes.x} <= set(ds.variables[n].dims)]:
        if other := _other_time(ds, name, axes):
            size, remedy = ds.sizes[other], f"read it by itself: variables=[{name!r}]"
            logger.warning("left out: %s, on another axis of time, %s (%d times); %s", name, other, size, remedy)
            ignored.remove(name)
    if ignored:
        logger.info("ignored, not on (time, y, x): %s", ", ".join(ignored))
    return names


def _other_time(ds: xr.Dataset, name: str, axes: Axes) -> str | None:
    """A dim of a variable that is an axis of time, but not that of `axes`."""
    dims = [str(d) for d in ds.variables[name].dims if d not in (axes.time, axes.y, axes.x)]
    dated = {c.dims[0] for c in candidates(ds) if c.role == "time" and len(c.dims) == 1}
    dated |= {dim for dim in dims if dim in ds.variables and ds.variables[dim].dtype.kind == "M"}
    return next((dim for dim in dims if dim in dated), None)


def _shape_faults(ds: xr.Dataset, name: str, axes: Axes) -> list[str]:
    var = ds.variables[name]
    reasons = []
    if var.dtype.kind not in "fiub":
        reasons.append(f"{name}: expected numbers, got {var.dtype}")
    if missing := [d for d in (axes.y, axes.x) if d not in var.dims]:
        reasons.append(f"{name}: has no {' and no '.join(missing)}; got dims {var.dims}")
    if axes.time not in var.dims and (other := _other_time(ds, name, axes)):
        return [*reasons, f"{name}: lies on another axis of time, {other}, than {axes.time}; read it by itself"]
    return reasons + [
        f"{name}: {dim} has {ds.sizes[dim]} values; choose one with select={{{dim!r}: ...}} "
        f"out of {values_of(axis_of(ds, dim))}"
        for dim in map(str, var.dims)
        if dim not in (axes.time, axes.y, axes.x) and ds.sizes[dim] > 1
    ]


def _unit_faults(ds: xr.Dataset, names: Sequence[str], units: Mapping[str, str]) -> list[str]:
    reasons = []
    for name, stated in units.items():
        if name not in names:
            reasons.append(f"units stated for {name!r}, which is not among the variables {', '.join(names) or 'none'}")
        elif not stated.strip():
            reasons.append(f"{name}: the stated unit is empty")
        elif (present := _units(ds, name)) and not same_units(present, stated):
            reasons.append(f"{name}: units are {present!r} in the source and {stated!r} as stated")
    return reasons


def _units(ds: xr.Dataset, name: str) -> str:
    text = str(ds.variables[name].attrs.get("units", "")).strip()
    return "" if text.lower() in MEANINGLESS else text


def _arranged(source: xr.Variable, dims: Mapping[str, str], times: int) -> xr.Variable:
    """A variable on (time, y, x) under their canonical names, in float32 or float64, whichever holds its type."""
    var = source.isel({dim: 0 for dim in source.dims if dim not in dims}).copy(deep=False)
    var.dims = tuple(dims[str(dim)] for dim in var.dims)
    var.encoding = {}
    _, y, x = dims.values()
    if "time" not in var.dims:  # one map: a file of a single time, or a static map beside a series
        var = var.set_dims({"time": times, **var.sizes})
    var = var.transpose("time", y, x)
    if var.dtype.type in (np.float32, np.float64):
        return var if var.dtype.isnative else var.astype(var.dtype.newbyteorder("="))
    return var.astype("f4" if var.dtype.itemsize <= 2 else "f8")  # float32 is exact for integers up to 2^24


def _variable_attrs(ds: xr.Dataset, name: str, axes: Axes, units: Mapping[str, str]) -> dict[str, Any]:
    attrs = {
        str(k): v for k, v in ds.variables[name].attrs.items() if not STORAGE.fullmatch(str(k)) and k != "grid_mapping"
    }
    if str(attrs.get("standard_name", "")).lower() in MEANINGLESS:
        attrs.pop("standard_name", None)
    attrs.pop("units", None)
    if present := _units(ds, name):
        attrs["units"] = present
    elif name in units:
        attrs |= {"units": units[name].strip(), "units_source": "stated"}
    if axes.grid_mapping is not None:
        attrs["grid_mapping"] = axes.grid_mapping
    return attrs


def _axis(ds: xr.Dataset, name: str, dim: str, labels: np.ndarray, attrs: Mapping[str, Any]) -> xr.Variable:
    """A coordinate; where the labels are those of the source, its own, whose index need not be made again."""
    source = ds.variables.get(name)
    if source is None or source.dtype != labels.dtype or not np.array_equal(source.values, labels):
        return xr.Variable(dim, labels, attrs)
    own = source.copy(deep=False)
    own.dims, own.attrs, own.encoding = (dim,), dict(attrs), {}
    return own


def _axis_attrs(ds: xr.Dataset, axes: Axes, name: str) -> dict[str, Any]:
    vertical = name in ("latitude", "y")
    source = axes.rows if vertical else axes.columns
    attrs = ds.variables[source].attrs if source in ds.variables else {}
    kept = {k: attrs[k] for k in ("standard_name", "long_name", "units") if k in attrs}
    if axes.kind == "latlon":
        kept |= GEOGRAPHIC[name]
    elif not kept:
        kept["long_name"] = "row" if vertical else "column"
    return kept | {"axis": "Y" if vertical else "X"}


def _planes(ds: xr.Dataset, axes: Axes, orders: Mapping[str, np.ndarray]) -> dict[str, xr.Variable]:
    """Latitude and longitude of every point, where the dims are not they."""
    if axes.kind == "latlon" or axes.latitude is None or axes.longitude is None:
        return {}
    planes = {}
    for (name, attrs), source in zip(GEOGRAPHIC.items(), (axes.latitude, axes.longitude), strict=True):
        plane = ds.variables[source].transpose(axes.y, axes.x)
        planes[name] = xr.Variable(("y", "x"), plane.data, attrs).isel(orders, missing_dims="ignore")
    return planes
