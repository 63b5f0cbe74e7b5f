"""Files that hold exactly the numbers and attributes that a test names: nothing is masked or packed on the way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import zarr

AXES = {
    "time": {"standard_name": "time", "units": "hours since 2020-01-01"},
    "lat": {"standard_name": "latitude", "units": "degrees_north"},
    "lon": {"standard_name": "longitude", "units": "degrees_east"},
}


def places(values: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
    """Hours from `first` on, latitudes from 50 down, longitudes from 5 up."""
    frames, rows, columns = values.shape
    return {
        "time": np.arange(first, first + frames, dtype="i4"),
        "lat": 50.0 - np.arange(rows),
        "lon": 5.0 + np.arange(columns),
    }


def write_netcdf(
    path: Path,
    values: np.ndarray,
    attrs: Mapping[str, Any],
    *,
    name: str = "t",
    first: int = 0,
    axes: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]] | None = None,
    written: slice = slice(None),
    form: Any = "NETCDF4",
) -> Path:
    """One variable (time, lat, lon), as stored; of its frames only those of `written` are written."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        for axis, labels in places(values, first).items():
            labels, more = (axes or {}).get(axis, (labels, {}))
            file.createDimension(axis, len(labels))
            variable = file.createVariable(axis, labels.dtype, (axis,))
            variable.set_auto_maskandscale(False)
            variable.setncatts({**AXES[axis], **more})
            variable[:] = labels
        own = dict(attrs)
        variable = file.createVariable(name, values.dtype, tuple(AXES), fill_value=own.pop("_FillValue", None))
        variable.set_auto_maskandscale(False)
        variable.setncatts(own)
        variable[written] = values[written]
    return path


def write_zarr(
    path: Path,
    values: np.ndarray,
    attrs: Mapping[str, Any],
    *,
    version: int = 2,
    fill: Any = None,
    fills: Mapping[str, Any] | None = None,
    axes: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """One variable `t`, a chunk a frame; `fill` is its fill value, `fills` those of the axes."""
    group = zarr.create_group(path, zarr_format=version)
    arrays = {axis: (labels, AXES[axis]) for axis, labels in {**places(values), **(axes or {})}.items()}
    for name, (array, own) in {**arrays, "t": (values, attrs)}.items():
        dims = list(AXES) if name == "t" else [name]
        named: dict[str, Any] = {"dimension_names": dims} if version == 3 else {}
        made = group.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=(1, *array.shape[1:]) if name == "t" else array.shape,
            fill_value=fill if name == "t" else (fills or {}).get(name),
            **named,
        )
        made[...] = array
        made.attrs.update({**own, **({} if version == 3 else {"_ARRAY_DIMENSIONS": dims})})
    return path
