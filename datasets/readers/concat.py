"""NetCDF files that differ in their times and values alone, opened as one dataset.

A folder of hourly files says the same a thousand times: the same dims, attributes and coordinates. xarray needs six
milliseconds to learn that from a file whose values it reads in one. So headers are compared as they stand in the
files, one file of each kind is opened in full, and the values of the others are read and decoded as that file's are.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK
from xarray.core import indexing

from datasets.readers.formats import SourceFile
from simvp.coords import Axes

TIMES = xr.coders.CFDatetimeCoder()  # datetime64[ns] where it fits, cftime for other calendars

# Attributes of packing, which are applied file by file, and those whose values no canonical dataset depends on.
PACKING = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max")
PER_FILE = (*PACKING, "actual_range", "history")
# Attributes of a whole file that name its projection.
PLACING = re.compile(r"crs|spatial_ref|epsg|proj_?4|proj_?(params|string|text)|pyproj_srs|esri_pe", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What files with one header have in common, in their own names.

    Parameters
    ----------
    axes
        Axes.
    names
        Variables that are read.
    fixed
        Variables that have to be equal for two files to be one dataset: rows, columns, places, levels. Those that are
        written along time are equal in all frames.
    """

    axes: Axes
    names: tuple[str, ...]
    fixed: tuple[str, ...]


Describe = Callable[[SourceFile], Kind | None]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Files that are one dataset, in the order of their first times.

    Parameters
    ----------
    kind
        None: one file, of whatever kind.
    files, times
        The files, and the times of each as they stand in it.
    """

    kind: Kind | None
    files: Sequence[SourceFile]
    times: Sequence[np.ndarray] = ()


def families(files: Sequence[SourceFile], describe: Describe) -> list[Family]:
    """Sort files into those that are one dataset, in the order of the first file of each; no field is read.

    Parameters
    ----------
    describe
        Opens one file in full and says what it is; None: files like it are to be opened one by one.
    """
    if len(files) == 1:
        return alone(files)
    kinds: dict[Hashable, Kind | None] = {}
    members: dict[Hashable, tuple[Kind | None, list[SourceFile], list[Any]]] = {}
    for file in files:
        key, kind, labels = _looked_at(file, kinds, describe) or (file, None, None)
        _, alike, stored = members.setdefault(key, (kind, [], []))
        alike.append(file)
        stored.append(labels)
    return [family for one in members.values() for family in _joined_or_alone(*one)]


def alone(files: Sequence[SourceFile]) -> list[Family]:
    """Each file by itself."""
    return [Family(kind=None, files=[file]) for file in files]


def joined(family: Family, first: xr.Dataset) -> xr.Dataset:
    """The files of a family as one dataset, in their own names, along their axis of time.

    Parameters
    ----------
    first
        The first of the files, opened in full. All attributes, and all that does not lie along time, are its own.
    """
    assert family.kind is not None
    axes, names = family.kind.axes, family.kind.names
    count = sum(len(times) for times in family.times)
    fields = {}
    for name in names:
        like = first[name].variable
        dims = like.dims if axes.time in like.dims else (axes.time, *like.dims)
        shape = tuple(count if dim == axes.time else like.sizes[dim] for dim in dims)
        values = Joined(family, name, dims.index(axes.time), shape, like.dtype)
        lazy = xr.Variable(dims, indexing.LazilyIndexedArray(values), like.attrs, like.encoding)
        fields[name] = lazy.chunk("auto")  # a slice of a chunk reads no more than the slice
    places = {n: first[n].variable.isel({axes.time: 0}) for n in family.kind.fixed if axes.time in first[n].dims}
    stale = [name for name, var in first.variables.items() if name in {axes.times, *names} or axes.time in var.dims]
    times = xr.Variable((axes.time,), np.concatenate(family.times), first[axes.times].attrs)
    return first.drop_vars(stale).assign(fields).assign_coords({axes.times: times, **places})


class Joined(BackendArray):
    """One variable of the files of a family, one after the other along time; a file is open only while it is read.

    Parameters
    ----------
    axis
        Of time. Files that lack it are joined along a new one, the first.
    shape, dtype
        Of all the files together, after decoding.
    """

    def __init__(self, family: Family, name: str, axis: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._name, self._axis = name, axis
        self._paths = [file.path for file in family.files]
        self._ends = np.cumsum([len(times) for times in family.times])
        self.shape, self.dtype = shape, dtype

    def __dask_tokenize__(self) -> object:
        return type(self).__name__, self._name, self._paths, self.shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """Values at `key`: for each axis a position, a slice or rising positions."""
        whole = [slice(k, k + 1) if isinstance(k, int | np.integer) else k for k in key]
        chosen = [np.arange(size)[k] for size, k in zip(self.shape, whole, strict=True)]
        out = np.empty([len(positions) for positions in chosen], self.dtype)
        rows = chosen[self._axis]
        at = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(at):
            there = np.flatnonzero(at == number)
            whole[self._axis] = rows[there] - (self._ends[number - 1] if number else 0)
            place = (slice(None),) * self._axis + (slice(there[0], there[-1] + 1),)
            with _opened(self._paths[number]) as file:
                variable = _raw(file, self._name, tuple(whole))
            out[place] = _decode(self._name, variable).values
        return out[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]


def in_single(dtype: np.dtype, packing: Mapping[str, Any]) -> bool:
    """Whether float32 holds values packed in `dtype` with this ``scale_factor`` and ``add_offset``.

    It has 24 bits for 16, unless the offset is so large that a step of the scale is lost beside it.
    """
    scale = abs(float(np.ravel(packing.get("scale_factor", 1.0))[0]))
    offset = abs(float(np.ravel(packing.get("add_offset", 0.0))[0]))
    return dtype.kind in "iu" and dtype.itemsize <= 2 and bool(offset * np.finfo("f4").eps < scale)


def _joined_or_alone(kind: Kind | None, files: Sequence[SourceFile], stored: Sequence[xr.Variable]) -> list[Family]:
    """One family in the order of time, unless there are files whose times are no dates, or of several kinds.

    Parameters
    ----------
    stored
        Times of each file, as they are stored.
    """
    if kind is None or len(files) == 1:
        return alone(files)
    try:
        times = _decoded(kind.axes.times, stored)
        order = sorted(range(len(times)), key=lambda i: times[i].min())
    except Exception:  # opened in full, a file says in words what is wrong with it
        return alone(files)
    return [Family(kind=kind, files=[files[i] for i in order], times=[times[i] for i in order])]


def _decoded(name: str, stored: Sequence[xr.Variable]) -> list[np.ndarray]:
    """Times of each file, decoded at once where they count from one date."""
    times = [np.atleast_1d(labels.values) for labels in stored]
    alike: dict[str, list[int]] = defaultdict(list)
    for number, labels in enumerate(stored):
        alike[repr((labels.dtype, labels.attrs))].append(number)
    for numbers in alike.values():
        parts = [times[number] for number in numbers]
        whole = _decode(name, xr.Variable("time", np.concatenate(parts), stored[numbers[0]].attrs)).values
        if whole.dtype.kind != "M" and not hasattr(whole[0], "calendar"):
            raise ValueError(f"expected dates, got {whole.dtype}")
        ends = np.cumsum([len(part) for part in parts])
        for number, part in zip(numbers, np.split(whole, ends[:-1]), strict=True):
            times[number] = part
    return times


def _looked_at(
    file: SourceFile, kinds: dict[Hashable, Kind | None], describe: Describe
) -> tuple[Hashable, Kind, xr.Variable] | None:
    """What a file has in common with all files of its dataset, its kind, and its times as they are stored."""
    if file.format != "netcdf":
        return None
    try:
        with _opened(file.path) as opened:
            header = _header(opened)
            if kind := kinds.get(header):
                sizes = tuple((name, dim.size) for name, dim in opened.dimensions.items() if name != kind.axes.time)
                fixed = tuple(_fixed(opened.variables[name], kind.axes.time) for name in kind.fixed)
                return (header, sizes, fixed), kind, _raw(opened, kind.axes.times)
        if header in kinds:
            return None
        kinds[header] = describe(file)
        return _looked_at(file, kinds, describe)
    except Exception:  # opened in full, the file says in words what is wrong with it
        return None


@contextmanager
def _opened(path: str) -> Iterator[netCDF4.Dataset]:
    """A file whose variables give their values as they are stored."""
    with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        yield file


def _raw(file: netCDF4.Dataset, name: str, key: Any = ()) -> xr.Variable:
    """A variable as it stands in the file, at the end of `key` where this has more axes than it."""
    stored = file.variables[name]
    values = stored[key[len(key) - stored.ndim :] if key else ...]
    return xr.Variable(stored.dimensions, values, {key: stored.getncattr(key) for key in stored.ncattrs()})


def _decode(name: str, variable: xr.Variable) -> xr.Variable:
    return xr.conventions.decode_cf_variable(name, variable, decode_times=TIMES, decode_timedelta=False)


def _header(file: netCDF4.Dataset) -> Hashable:
    """Everything that decides what a file is, but for sizes and values."""
    whole = tuple(
        (key, str(file.getncattr(key))) for key in file.ncattrs() if key == "coordinates" or PLACING.search(key)
    )
    variables = ((name, var.dimensions, str(var.dtype), _attributes(var)) for name, var in file.variables.items())
    return whole, *variables


def _fixed(stored: netCDF4.Variable, time: str) -> Hashable:
    """What a variable says that has to be equal in all files: its values as they stand, and how they are unpacked.

    Raises
    ------
    ValueError
        It lies along time, as latitude and longitude do in WRF, and changes.
    """
    values = stored[...]
    if time in stored.dimensions:
        values = np.moveaxis(values, stored.dimensions.index(time), 0)
        if (values != values[:1]).any():
            raise ValueError("moves")
        values = values[0]
    packing = tuple(_exactly(stored.getncattr(key)) for key in stored.ncattrs() if key in PACKING)
    return packing, values.tobytes()


def _exactly(value: Any) -> Hashable:
    return value if isinstance(value, str) else (np.asarray(value).dtype.str, np.asarray(value).tobytes())


def _attributes(var: netCDF4.Variable) -> Hashable:
    attrs = {key: var.getncattr(key) for key in var.ncattrs()}
    packed = [in_single(np.dtype(var.dtype), attrs)] if "scale_factor" in attrs or "add_offset" in attrs else []
    return (*packed, *((key, _comparable(key, value)) for key, value in attrs.items()))


def _comparable(key: str, value: Any) -> Hashable:
    if isinstance(value, str):
        # Files that count from a date of their own differ in their units.
        return "" if key in PER_FILE else f"{value.partition(' since ')[0]} since" if " since " in value else value
    return (np.asarray(value).dtype.str, b"") if key in PER_FILE else _exactly(value)
