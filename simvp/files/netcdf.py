"""A forecast from one init time as CF knows time series: (time, y, x), the time being that for which it holds."""

from collections.abc import Hashable
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import described, find_axes, unfilled
from simvp.errors import Refusal
from simvp.times import calendar_of, encode_times, name_time

REFERENCE, PERIOD = "forecast_reference_time", "forecast_period"
FILL = np.float32(9.969209968386869e36)  # NC_FILL_FLOAT; NaN is no number to some tools
UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
CRS = "crs"
# Of an earth that is not told.
_LATLON = {"grid_mapping_name": "latitude_longitude", "long_name": "latitude and longitude"}
_TIME = {"standard_name": "time", "long_name": "time for which the forecast holds", "axis": "T"}


def by_valid_time(one: xr.Dataset) -> xr.Dataset:
    """A forecast from one init time on the axis `time`, its valid time, with dims in the order T, Z, Y, X.

    Parameters
    ----------
    one
        Labelled forecast with a scalar init time, on any names of axes.

    Returns
    -------
    xr.Dataset
        Coordinates ``time``, ``forecast_period (time)`` and the scalar ``forecast_reference_time``; which model made it
        from what stands in attributes. Without the weights of the experts, which are no maps.
    """
    fields = [name for name, var in one.data_vars.items() if "lead_time" in var.dims and var.ndim > 1]
    beside = {str(name): var for name, var in one.coords.items() if not var.ndim and var.dtype.kind in "UTSO"}
    beside |= {"created": one["created"]} if "created" in one.coords else {}
    stated = {name: str(var.values[()]) for name, var in beside.items() if name != "init_time"}
    attrs = {**one.attrs, **{name: text.removesuffix(".000000000") for name, text in stated.items() if text}}
    # The newest that every checker knows, among them those that know no texts and no whole numbers of 64 bits.
    attrs["Conventions"] = "CF-1.8"
    kept = {name: one.variables[name] for name in [*fields, *_beside(one, fields, set(stated))]}
    coords: dict[Hashable, xr.Variable] = {
        "time": xr.Variable("time", one["valid_time"].values, _TIME),
        PERIOD: xr.Variable("time", one["lead_time"].values, dict(one["lead_time"].attrs)),
        REFERENCE: xr.Variable((), one["init_time"].values, dict(one["init_time"].attrs)),
    }
    variables = {}
    for name, var in kept.items():
        var = variables[name] = as_made(var if var.dtype != np.int64 else var.astype(np.int32))
        var.dims = tuple("time" if dim == "lead_time" else dim for dim in var.dims)
    maps = xr.Dataset(variables, coords, attrs).set_coords([name for name in kept if name not in fields])
    axes = find_axes(maps, [str(name) for name in fields])
    if axes.kind == "latlon" and axes.grid_mapping is None:  # else GDAL takes it for a plane
        maps = maps.assign_coords({CRS: xr.Variable((), np.int32(0), dict(_LATLON))})
    mapping = axes.grid_mapping or (CRS if axes.kind == "latlon" else None)
    for name in fields:
        maps[name] = maps[name].transpose("time", ..., axes.y, axes.x)
        maps[name].attrs.pop("grid_mapping", None)
        maps[name].encoding = _written(maps[name].variable) | ({} if mapping is None else {"grid_mapping": mapping})
    _timed(maps)
    return unfilled(described(maps, axes))


def as_made(variable: xr.Variable) -> xr.Variable:
    """A variable without the way in which some file kept it, but for what it refers to."""
    made = variable.copy(deep=False)
    made.encoding = {key: made.encoding[key] for key in ("bounds", "grid_mapping") if key in made.encoding}
    return made


def _beside(one: xr.Dataset, fields: list[Hashable], aside: set[str]) -> list[Hashable]:
    """Coordinates, bounds and the grid mapping of the maps."""
    dims = {dim for name in fields for dim in one[name].dims} - {"lead_time"}
    bounds = {one[name].encoding.get("bounds") for name in one.coords}
    return [
        name
        for name, var in one.variables.items()
        if name not in fields
        and (name in one.coords or name in bounds)
        and name not in ("init_time", "lead_time", "valid_time", *aside)
        and (set(var.dims) <= dims or name in bounds)
    ]


def _written(var: xr.Variable) -> dict[str, Any]:
    """How maps are written: compressed, one time a chunk, and missing values as every tool knows them."""
    chunks = tuple(1 if dim == "time" else size for dim, size in var.sizes.items())
    fill = {"_FillValue": var.dtype.type(FILL)} if var.dtype.kind == "f" else {}
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks, **fill}


def _timed(maps: xr.Dataset) -> None:
    """Tell how times are written: as numbers that every tool reads, in the largest unit in which they are whole."""
    init = maps[REFERENCE].values
    seconds = encode_times(maps["time"].values)[0] - encode_times(init[None] if init.ndim == 0 else init)[0]
    unit = next(unit for unit, length in UNITS.items() if not (seconds % length).any())
    calendar = calendar_of(np.atleast_1d(init))
    since = {
        "units": f"{unit} since {name_time(init[()]).replace('T', ' ')}",
        "calendar": "standard" if calendar == "proleptic_gregorian" else calendar,
        "dtype": "float64",
    }
    for name in ("time", REFERENCE):
        maps[name].encoding = dict(since)
    if maps[PERIOD].dtype.kind == "m":
        maps[PERIOD].encoding = {"units": unit, "dtype": "float64"}


def writer(subject: str) -> Any:
    """The package that writes NetCDF here.

    Raises
    ------
    Refusal
        There is none.
    """
    engines = {"netcdf4": "netCDF4", "h5netcdf": "h5netcdf"}
    engine = next((engine for engine, package in engines.items() if find_spec(package)), None)
    if engine is None:
        reason = "NetCDF is written with netCDF4 or h5netcdf, and neither is installed"
        raise Refusal(subject, [reason], "pip install netCDF4; or export to Zarr: format='zarr2'")
    return engine
