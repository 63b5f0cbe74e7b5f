"""A slow decoder of gridded files, written against the CF conventions and nothing else of this project."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import zarr

Moment = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Values by label: times as numbers (year .. second), degrees, and float64 values (time, latitude, longitude)."""

    times: list[Moment]
    latitudes: np.ndarray
    longitudes: np.ndarray
    values: np.ndarray


def decode(paths: Sequence[str], name: str) -> Decoded:
    """The variable `name` of files that follow one another, in the order of time, rising latitude and longitude."""
    frames: dict[Moment, np.ndarray] = {}
    for path in paths:
        stored = _stored(Path(path))
        dims, raw, attrs = stored[name]
        axes = {_axis(stored, dim): dim for dim in dims}
        order = [axes["time"], axes["latitude"], axes["longitude"]]
        rest = [dim for dim in dims if dim not in order]
        values = _unpacked(raw, attrs, netcdf=path.endswith(".nc"))
        values = values.transpose([dims.index(dim) for dim in (*rest, *order)]).reshape(
            values.shape[:0] + _shape(stored, order)
        )
        latitudes, longitudes = (_unpacked(*stored[dim][1:], netcdf=False) for dim in order[1:])
        moments = _moments(*stored[order[0]][1:])
        rows, columns = np.argsort(latitudes), np.argsort(longitudes)
        frames |= {moment: values[n][rows][:, columns] for n, moment in enumerate(moments)}
    times = sorted(frames)
    return Decoded(
        times=times,
        latitudes=latitudes[rows],
        longitudes=longitudes[columns],
        values=np.stack([frames[time] for time in times]),
    )


def _stored(path: Path) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Dims, values and attributes of every variable, as they stand in the file."""
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            return {
                name: (var.dimensions, var[...], {key: var.getncattr(key) for key in var.ncattrs()})
                for name, var in file.variables.items()
            }
    stored = {}
    for name, array in zarr.open_group(path, mode="r").arrays():
        attrs = dict(array.attrs)
        dims = attrs.pop("_ARRAY_DIMENSIONS", None) or array.metadata.dimension_names
        if array.metadata.zarr_format == 2 and array.fill_value not in (None, 0):
            attrs["_FillValue"] = array.fill_value
        stored[name] = tuple(dims), np.asarray(array[...]), attrs
    return stored


def _axis(stored: dict[str, Any], dim: str) -> str:
    """What an axis is: CF 4.1 to 4.4."""
    attrs = stored[dim][2]
    units = str(attrs.get("units", ""))
    if " since " in units:
        return "time"
    if units in ("degrees_north", "degree_north", "degreesN"):
        return "latitude"
    return "longitude" if units in ("degrees_east", "degree_east", "degreesE") else dim


def _shape(stored: dict[str, Any], order: Sequence[str]) -> tuple[int, ...]:
    return tuple(len(stored[dim][1]) for dim in order)


def _unpacked(raw: np.ndarray, attrs: dict[str, Any], *, netcdf: bool) -> np.ndarray:
    """Missing data (CF 2.5.1) and packed data (CF 8.1), value by value, in float64."""
    if str(attrs.get("_Unsigned", "")).lower() == "true":
        raw = raw.view(raw.dtype.str.replace("i", "u"))
    marks = [mark for key in ("_FillValue", "missing_value") for mark in np.ravel(attrs.get(key, []))]
    if netcdf and "_FillValue" not in attrs and raw.dtype.itemsize > 1:  # bytes have none: NetCDF User's Guide
        marks.append(netCDF4.default_fillvals[raw.dtype.str[1:]])
    low, high = np.ravel(attrs.get("valid_range", [attrs.get("valid_min", -np.inf), attrs.get("valid_max", np.inf)]))
    values = np.empty(raw.shape)
    for place in np.ndindex(raw.shape):
        value = raw[place]
        missing = any(value == raw.dtype.type(mark) for mark in marks) or not low <= value <= high
        unpacked = float(value) * float(attrs.get("scale_factor", 1)) + float(attrs.get("add_offset", 0))
        values[place] = np.nan if missing else unpacked
    return values


def _moments(raw: np.ndarray, attrs: dict[str, Any]) -> list[Moment]:
    """Times (CF 4.4) through cftime, to the second."""
    calendar = str(attrs.get("calendar", "standard")).lower()
    zone = re.search(r" ([+-])(\d{1,2}):(\d\d)$", attrs["units"])  # which cftime drops in other calendars
    units = attrs["units"][: zone.start()] if zone else attrs["units"]
    east = int(f"{zone[1]}1") * timedelta(hours=int(zone[2]), minutes=int(zone[3])) if zone else timedelta()
    dates = cftime.num2date(raw, units.removesuffix("Z"), calendar, only_use_cftime_datetimes=True) - east
    dates = [date + timedelta(microseconds=500_000) for date in dates]
    return [(d.year, d.month, d.day, d.hour, d.minute, d.second) for d in dates]
