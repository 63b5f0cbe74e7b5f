"""Small files made from random conventions: packing, marks of missing values, orders, axes, calendars, units."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import zarr
from hypothesis import strategies as st

Attrs = Mapping[str, Any]
ROWS, COLUMNS = 3, 4
FORMS = ("NETCDF3_CLASSIC", "NETCDF4", "zarr2", "zarr3")
TIME_UNITS = {"seconds": 1, "second": 1, "s": 1, "minutes": 60, "min": 60, "hours": 3600, "h": 3600, "days": 86400}
ORIGINS = (
    "1970-01-01",
    "1900-01-01 00:00:00",
    "2019-1-1 0:0:0",
    "2000-01-01T12:00:00Z",
    "1950-01-01 00:00:00.0",
    "2018-12-31 18:00:00 -6:00",
    "2019-01-01 09:00:00 +09:00",
)
CALENDARS = (
    None,
    "standard",
    "gregorian",
    "Gregorian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "360_day",
    "all_leap",
)
LATITUDES: tuple[tuple[str, Attrs], ...] = (
    ("lat", {"units": "degrees_north", "standard_name": "latitude"}),
    ("latitude", {"units": "degree_north"}),
    ("a", {"standard_name": "latitude", "units": "degreesN"}),
    ("lat", {"units": "degrees_north", "axis": "Y"}),
)
LONGITUDES: tuple[tuple[str, Attrs], ...] = (
    ("lon", {"units": "degrees_east", "standard_name": "longitude"}),
    ("longitude", {"units": "degree_east"}),
    ("o", {"standard_name": "longitude", "units": "degreesE"}),
    ("lon", {"units": "degrees_east", "axis": "X"}),
)
KINDS = ("f4", "f8", "i2", "i4", "i1", "u1")
MARKS = ("none", "_FillValue", "missing_value", "missing_value of another type", "both", "two missing values")
RANGES = ("none", "valid_range", "valid_min", "valid_max")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one source of one or more files looks like.

    Parameters
    ----------
    form
        Of `FORMS`.
    files
        Into how many the frames are split along time; 1 for Zarr.
    frames, hours
        How many, and how far apart.
    time_unit, origin, calendar, time_kind
        Of the time axis as it is stored.
    shuffled
        Whether the frames of a file stand in another order than that of time.
    latitude, longitude
        Name and attributes.
    falling, west
        Whether latitudes fall; the westernmost longitude, degrees.
    packed_axes
        Whether latitude and longitude are 16 bit integers with a scale and an offset.
    order, level
        Of the dims of the variable, and whether there is one more of size 1.
    kind, unsigned
        Type of the variable as stored; signed bytes may be meant as unsigned.
    scale, offset, scale_kind
        Packing; None: not packed so.
    marks, limits
        How missing values are marked, of `MARKS`, `RANGES`.
    seed
        Of the values.
    """

    form: str
    files: int
    frames: int
    hours: int
    time_unit: str
    origin: str
    calendar: str | None
    time_kind: str
    shuffled: bool
    latitude: tuple[str, Attrs]
    longitude: tuple[str, Attrs]
    falling: bool
    west: float
    packed_axes: bool
    order: tuple[str, ...]
    level: bool
    kind: str
    unsigned: bool
    scale: float | None
    offset: float | None
    scale_kind: str
    marks: str
    limits: str
    seed: int

    def write(self, folder: Path) -> list[str]:
        """Write the files; their paths."""
        chosen = np.random.default_rng(self.seed)
        seconds = self.hours * 3600 * np.arange(self.frames) + 86400 * 365
        parts = np.array_split(np.arange(self.frames), self.files)
        raw, attrs = self._field(chosen)
        paths = []
        for number, part in enumerate(parts):
            rows = chosen.permutation(part) if self.shuffled else part
            path = folder / f"{number}.{'zarr' if self.form.startswith('zarr') else 'nc'}"
            _store(path, self.form, self._variables(seconds[rows], raw[rows], attrs))
            paths.append(str(path))
        return paths

    def _field(self, chosen: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
        """Values as they are stored (frames, rows, columns), some of them missing, and what the file says of them."""
        kind = np.dtype(self.kind)
        shape = (self.frames, ROWS, COLUMNS)
        span = (1, 100) if kind.itemsize == 1 else (-1000, 1000)
        raw = chosen.integers(*span, shape).astype(kind)
        if kind.kind == "f":
            raw = (raw / 8 + chosen.random(shape)).astype(kind)
        one, other = (kind.type(value) for value in ((120, 121) if kind.itemsize == 1 else (-9999, 9999)))
        attrs: dict[str, Any] = {"units": "m s-1", "long_name": "something"}
        if self.marks in ("_FillValue", "both"):
            attrs["_FillValue"] = one
        if self.marks in ("missing_value", "both"):
            attrs["missing_value"] = other if self.marks == "both" else one
        if self.marks == "missing_value of another type":
            attrs["missing_value"] = np.float64(one) if kind != np.float64 else np.float32(one)
        if self.marks == "two missing values":
            attrs["missing_value"] = np.array([one, other])
        places = chosen.random(shape)
        if self.marks != "none":
            raw[places < 0.1] = one
        if self.marks in ("both", "two missing values"):
            raw[(places >= 0.1) & (places < 0.2)] = other
        low, high = (kind.type(value) for value in ((10, 90) if kind.itemsize == 1 else (-900, 900)))
        if kind.kind == "f":
            low, high = kind.type(-110), kind.type(110)
        attrs |= {
            "none": {},
            "valid_range": {"valid_range": np.array([low, high])},
            "valid_min": {"valid_min": low},
            "valid_max": {"valid_max": high},
        }[self.limits]
        if self.unsigned and self.kind == "i1":
            attrs["_Unsigned"] = "true"
        if self.scale is not None:
            attrs["scale_factor"] = np.dtype(self.scale_kind).type(self.scale)
        if self.offset is not None:
            attrs["add_offset"] = np.dtype(self.scale_kind).type(self.offset)
        return raw, attrs

    def _variables(self, seconds: np.ndarray, raw: np.ndarray, attrs: Attrs) -> dict[str, tuple[Any, ...]]:
        times = (seconds / TIME_UNITS[self.time_unit]).astype(self.time_kind)
        time_attrs: dict[str, Any] = {"units": f"{self.time_unit} since {self.origin}", "standard_name": "time"}
        if self.calendar is not None:
            time_attrs["calendar"] = self.calendar
        (north, north_attrs), (east, east_attrs) = self.latitude, self.longitude
        rows = 40.0 + 0.5 * np.arange(ROWS)[:: -1 if self.falling else 1]
        columns = self.west + 0.5 * np.arange(COLUMNS)
        if self.packed_axes:
            packing = {"scale_factor": 0.5, "add_offset": 10.0}
            rows, columns = (np.round((axis - 10.0) / 0.5).astype("i2") for axis in (rows, columns))
            north_attrs, east_attrs = {**north_attrs, **packing}, {**east_attrs, **packing}
        names = {"time": "time", "row": north, "column": east}
        dims = tuple(names[dim] for dim in self.order)
        values = raw.transpose([("time", "row", "column").index(dim) for dim in self.order])
        extra: dict[str, tuple[Any, ...]] = {}
        if self.level:
            dims, values = ("plev", *dims), values[None]
            extra = {"plev": (("plev",), np.array([85000.0]), {"units": "Pa", "standard_name": "air_pressure"})}
        return {
            "time": (("time",), times, time_attrs),
            north: ((north,), rows, north_attrs),
            east: ((east,), columns, east_attrs),
            **extra,
            "v": (dims, values, attrs),
        }


def _store(path: Path, form: str, variables: Mapping[str, tuple[Any, ...]]) -> None:
    if form.startswith("zarr"):
        root = zarr.create_group(path, zarr_format=int(form[-1]))
        for name, (dims, values, attrs) in variables.items():
            named = {"dimension_names": dims} if form == "zarr3" else {}
            # As xarray writes them: the mark of a missing value is the array's own fill value in format 2, else text.
            own = {key: _as_json(value) for key, value in attrs.items()}
            fill = own.pop("_FillValue", None) if form == "zarr2" else None
            if form == "zarr3" and "_FillValue" in own:
                own.pop("_FillValue")
                own["missing_value"] = _as_json(np.append(attrs["_FillValue"], attrs.get("missing_value", [])))
            array = root.create_array(name, shape=values.shape, dtype=values.dtype, fill_value=fill, **named)
            array[...] = values
            array.attrs.update(own | ({"_ARRAY_DIMENSIONS": list(dims)} if form == "zarr2" else {}))
        return
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, (dims, values, attrs) in variables.items():
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            own = dict(attrs)
            made = file.createVariable(name, values.dtype, dims, fill_value=own.pop("_FillValue", None))
            made.set_auto_maskandscale(False)
            made.setncatts(own)
            made[...] = values


def _as_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any `Plan` that its form can hold."""
    form = draw(st.sampled_from(FORMS))
    kinds = [kind for kind in KINDS if not (form == "NETCDF3_CLASSIC" and kind == "u1")]
    kind = draw(st.sampled_from(kinds))
    packing = draw(st.sampled_from(("none", "scale", "both"))) if kind[0] in "iu" else "none"
    frames = draw(st.integers(3, 6))
    integer = ["i4"] if form == "NETCDF3_CLASSIC" else ["i4", "i8"]
    unit = draw(st.sampled_from(sorted(TIME_UNITS)))
    hours = draw(st.sampled_from((1, 3, 24)))
    whole = TIME_UNITS[unit] <= 3600 * hours
    return Plan(
        form=form,
        files=1 if form.startswith("zarr") else draw(st.integers(1, 3)),
        frames=frames,
        hours=hours,
        time_unit=unit,
        origin=draw(st.sampled_from(ORIGINS)),
        calendar=draw(st.sampled_from(CALENDARS)),
        time_kind=draw(st.sampled_from([*(integer if whole else []), "f8"])),
        shuffled=draw(st.booleans()),
        latitude=draw(st.sampled_from(LATITUDES)),
        longitude=draw(st.sampled_from(LONGITUDES)),
        falling=draw(st.booleans()),
        west=draw(st.sampled_from((5.0, 100.0, -3.0, 357.0, 179.5))),
        packed_axes=draw(st.booleans()),
        order=tuple(draw(st.permutations(("time", "row", "column")))),
        level=draw(st.booleans()),
        kind=kind,
        unsigned=draw(st.booleans()),
        scale=None if packing == "none" else draw(st.sampled_from((0.01, 0.1, 0.25, 2.0))),
        offset=draw(st.sampled_from((1.5, 273.15, -40.0))) if packing == "both" else None,
        scale_kind=draw(st.sampled_from(("f4", "f8"))),
        marks=draw(st.sampled_from(MARKS)),
        limits=draw(st.sampled_from(RANGES)),
        seed=draw(st.integers(0, 2**16)),
    )
