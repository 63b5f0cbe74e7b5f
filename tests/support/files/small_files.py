"""Small files as other programs write them: nothing is encoded, masked or scaled on the way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import zarr

Variables = dict[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]
"""Dims, numbers as they are to be stored, and attributes, by name."""
KELVIN = {"units": "K", "standard_name": "air_temperature"}


def maps(frames: int = 4, first: int = 0, add: float = 200.0) -> np.ndarray:
    """Values (frames, 3, 4), float32, that say where they belong: frame + row / 10 + column / 100."""
    frame = np.arange(first, first + frames)[:, None, None]
    return (add + frame + np.arange(3)[:, None] / 10 + np.arange(4) / 100).astype("f4")


def hourly(name: str, values: Any, attrs: Mapping[str, Any] = KELVIN, *, first: int = 0, **more: Any) -> Variables:
    """`name` on (time, lat, lon), hourly from 2020-01-01 plus `first` hours on, from 50 N down and from 5 E up.

    Parameters
    ----------
    more
        Variables beside it, or other coordinates instead of these.
    """
    frames, rows, columns = np.shape(values)
    return {
        "time": (("time",), np.arange(first, first + frames, dtype="i4"), {"units": "hours since 2020-01-01"}),
        "lat": (("lat",), 50.0 - np.arange(rows), {"units": "degrees_north"}),
        "lon": (("lon",), 5.0 + np.arange(columns), {"units": "degrees_east"}),
        **more,
        name: (("time", "lat", "lon"), values, attrs),
    }


def write(
    path: Path,
    variables: Variables,
    group: str = "",
    *,
    form: Any = "NETCDF4",
    written: slice = slice(None),
    **attrs: Any,
) -> Path:
    """A NetCDF file, or a group more of one; of fields only those frames that are `written`."""
    with netCDF4.Dataset(path, "a" if group and path.exists() else "w", format=form) as file:
        file.setncatts(attrs)
        fill(file.createGroup(group) if group else file, variables, written)
    return path


def fill(group: netCDF4.Dataset, variables: Mapping[str, Any], written: slice = slice(None)) -> None:
    """Variables into a file or a group that is open; dims are made as they are met, that of time unlimited."""
    for name, (dims, values, attrs) in variables.items():
        array = np.asarray(values)
        for dim, size in zip(dims, array.shape, strict=True):
            if dim not in group.dimensions:
                group.createDimension(dim, None if dim == "time" else size)
        own = dict(attrs)
        text = array.dtype.kind in "UO"
        var = group.createVariable(name, str if text else array.dtype, dims, fill_value=own.pop("_FillValue", None))
        var.set_auto_maskandscale(False)
        var.setncatts(own)
        part = written if array.ndim > 1 else ...
        var[part] = array.astype(object)[part] if text else array[part]


def write_zarr(
    path: Path,
    variables: Variables,
    group: str = "",
    *,
    version: int = 3,
    fills: Mapping[str, Any] | None = None,
) -> Path:
    """A Zarr store, or a group more of one, a chunk a frame.

    Parameters
    ----------
    fills
        Fill values by name; that of Zarr where there is none.
    """
    root = zarr.open_group(path, mode="a", zarr_format=version)  # type: ignore[arg-type]
    inner = root.require_group(group) if group else root
    for name, (dims, values, attrs) in variables.items():
        array = np.asarray(values)
        named: dict[str, Any] = {"dimension_names": list(dims)} if version == 3 else {}
        made = inner.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=(1, *array.shape[1:]) if array.ndim > 1 else array.shape or "auto",
            fill_value=(fills or {}).get(name),
            **named,
        )
        made[...] = array
        made.attrs.update({**attrs, **({} if version == 3 else {"_ARRAY_DIMENSIONS": list(dims)})})
    return path
