"""Small files as other programs write them: nothing is encoded, masked or scaled on the way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

Variables = dict[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]
KELVIN = {"units": "K", "standard_name": "air_temperature"}


def maps(frames: int = 4, first: int = 0, add: float = 200.0) -> np.ndarray:
    """Values (frames, 3, 4), float32, that say where they belong: frame + row / 10 + column / 100."""
    frame = np.arange(first, first + frames)[:, None, None]
    return (add + frame + np.arange(3)[:, None] / 10 + np.arange(4) / 100).astype("f4")


def hourly(name: str, values: Any, attrs: Mapping[str, Any] = KELVIN, *, first: int = 0, **more: Any) -> Variables:
    """`name` on (time, lat, lon), hourly from 2020-01-01 plus `first` hours on, with its coordinates and `more`."""
    frames = len(values)
    return {
        "time": (("time",), np.arange(first, first + frames), {"units": "hours since 2020-01-01"}),
        "lat": (("lat",), np.array([50.0, 49.0, 48.0]), {"units": "degrees_north"}),
        "lon": (("lon",), np.array([5.0, 6.0, 7.0, 8.0]), {"units": "degrees_east"}),
        **more,
        name: (("time", "lat", "lon"), values, attrs),
    }


def write(path: Path, variables: Variables, group: str = "", **attrs: Any) -> Path:
    """A NetCDF-4 file, or a group more of one."""
    with netCDF4.Dataset(path, "a" if path.exists() else "w") as file:
        file.setncatts(attrs)
        fill(file.createGroup(group) if group else file, variables)
    return path


def fill(group: netCDF4.Dataset, variables: Variables) -> None:
    """Variables into a file or a group that is open; dims are made as they are met."""
    for name, (dims, values, attrs) in variables.items():
        array = np.asarray(values)
        for dim, size in zip(dims, array.shape, strict=True):
            if dim not in group.dimensions:
                group.createDimension(dim, size)
        own = dict(attrs)
        text = array.dtype.kind in "UO"
        var = group.createVariable(name, str if text else array.dtype, dims, fill_value=own.pop("_FillValue", None))
        var.set_auto_maskandscale(False)
        var.setncatts(own)
        var[...] = array.astype(object) if text else array
