"""NetCDF files that differ in their times and values alone, opened as one dataset.

A folder of hourly files says the same a thousand times: the same dims, attributes and coordinates. xarray needs six
milliseconds to learn that from a file whose values it reads in one. So headers are compared as they stand in the
files, one file of each kind is opened in full, and the values of the others are read and decoded as that file's are.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK
from xarray.core import indexing

from datasets.readers.dates import TIMES, counts_time, in_plain_words
from datasets.readers.files import SourceFile
from datasets.readers.stored import read_from, shapes_of
from datasets.sizes import refuse_arrays
from simvp.coords import MEMBERS, Axes
from simvp.times import dates_of
from simvp.values import decode, in_single, stored_as

# Attributes of packing, which are applied file by file, and those whose values no canonical dataset depends on.
PACKING = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max")
PER_FILE = (*PACKING, "actual_range", "history")
# Attributes of a whole file that name its projection.
PLACING = re.compile(
    r"crs|spatial_ref|epsg|proj_?4|proj(ection|_?(params|string|text))|pyproj_srs|esri_pe|GeoTransform", re.IGNORECASE
)


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
        Variables that have to be equal for two files to be one dataset: rows, columns, places, levels, leads. Those
        that are written along time are equal in all frames.
    bounds
        Bounds of the times, if there are any.
    """

    axes: Axes
    names: tuple[str, ...]
    fixed: tuple[str, ...]
    bounds: str | None


Describe = Callable[[SourceFile], Kind | None]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Files that are one dataset, in the order of their first times.

    Parameters
    ----------
    kind
        None: one file, of whatever kind.
    files, times, bounds
        The files, the times of each as they stand in it, and their bounds, (N, 2), if there are any.
    """

    kind: Kind | None
    files: Sequence[SourceFile]
    times: Sequence[np.ndarray] = ()
    bounds: Sequence[np.ndarray] = ()


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
    members: dict[Hashable, tuple[Kind | None, list[SourceFile], list[_Labels | None]]] = {}
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
    if bounds := family.kind.bounds:
        fields[bounds] = xr.Variable((axes.time, first[bounds].dims[-1]), np.concatenate(family.bounds))
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
        self._paths = [(file.path, file.group) for file in family.files]
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
            with read_from(self._paths[number][0], self._name), _opened(*self._paths[number]) as file:
                variable = _raw(file, self._name, tuple(whole))
            out[place] = _values(self._name, variable)
        return out[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]


_Labels = tuple[xr.Variable, ...]  # times of a file as they are stored, and their bounds, if there are any


def _joined_or_alone(kind: Kind | None, files: Sequence[SourceFile], stored: Sequence[_Labels | None]) -> list[Family]:
    """One family in the order of time, unless there are files whose times are no dates, or of several kinds.

    Parameters
    ----------
    stored
        Labels of each file, as they are stored.
    """
    if kind is None or len(files) == 1:
        return alone(files)
    labels = [one for one in stored if one is not None]
    try:
        times = _decoded(kind.axes.times, [one[0] for one in labels], (-1,))
        bounds = [] if kind.bounds is None else _decoded(kind.bounds, [_with_units(*one) for one in labels], (-1, 2))
        order = sorted(range(len(times)), key=lambda i: times[i].min())
    except Exception:  # opened in full, a file says in words what is wrong with it
        return alone(files)
    sorted_bounds = [bounds[i] for i in order] if bounds else []
    return [Family(kind=kind, files=[files[i] for i in order], times=[times[i] for i in order], bounds=sorted_bounds)]


def _with_units(times: xr.Variable, bounds: xr.Variable) -> xr.Variable:
    """Bounds under the units and the calendar of their times where they have none, as CF 7.1 has it."""
    attrs = {key: times.attrs[key] for key in ("units", "calendar") if key in times.attrs}
    return xr.Variable(bounds.dims, bounds.values, {**attrs, **bounds.attrs})


def _decoded(name: str, stored: Sequence[xr.Variable], shape: tuple[int, ...]) -> list[np.ndarray]:
    """Times of each file, in this shape, decoded at once where they count from one date."""
    if stored[0].dtype == "S1":  # texts, a character each
        shape = (-1, stored[0].shape[-1])
    times = [labels.values.reshape(shape) for labels in stored]
    alike: dict[str, list[int]] = defaultdict(list)
    for number, labels in enumerate(stored):
        alike[repr((labels.dtype, labels.attrs))].append(number)
    for numbers in alike.values():
        parts = [times[number] for number in numbers]
        attrs = stored[numbers[0]].attrs
        attrs = in_plain_words(attrs) if counts_time(attrs) else attrs
        decoded = _dates(name, xr.Variable(("time", "bounds")[: len(shape)], np.concatenate(parts), attrs))
        units, calendar = (str(decoded.attrs.get(key, "")) for key in ("units", "calendar"))
        whole = dates_of(decoded.values.reshape(-1), units, calendar).reshape(decoded.shape)
        ends = np.cumsum([len(part) for part in parts])
        for number, part in zip(numbers, np.split(whole, ends[:-1]), strict=True):
            times[number] = part
    return times


def _looked_at(
    file: SourceFile, kinds: dict[Hashable, Kind | None], describe: Describe
) -> tuple[Hashable, Kind, _Labels] | None:
    """What a file has in common with all files of its dataset, its kind, and its times as they are stored."""
    if file.format != "netcdf":
        return None
    try:
        with _opened(file.path, file.group) as opened:
            if not all(dim.size for dim in opened.dimensions.values()):
                return None  # without a frame it shows nothing of the others
            refuse_arrays(file.path, shapes_of(opened))
            header = file.group, _header(opened)
            if kind := kinds.get(header):
                if file.group and any(not _own_dims(opened, name) for name in kind.names):
                    return None
                sizes = tuple((name, dim.size) for name, dim in opened.dimensions.items() if name != kind.axes.time)
                fixed = tuple(_fixed(opened.variables[name], kind.axes.time) for name in kind.fixed)
                labels = tuple(_raw(opened, name) for name in (kind.axes.times, kind.bounds) if name is not None)
                return (header, sizes, fixed), kind, labels
        if header in kinds:
            return None
        kinds[header] = describe(file)
        return _looked_at(file, kinds, describe)
    except Exception:  # opened in full, the file says in words what is wrong with it
        return None


def _own_dims(group: netCDF4.Dataset, name: str) -> bool:
    """Whether a variable lies on dims of its own group: those of groups around it are not compared."""
    return set(group.variables[name].dimensions) <= set(group.dimensions)


@contextmanager
def _opened(path: str, group: str = "") -> Iterator[netCDF4.Dataset]:
    """A file, or a group of it, whose variables give their values as they are stored."""
    with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        yield file[group] if group else file


def _raw(file: netCDF4.Dataset, name: str, key: Any = ()) -> xr.Variable:
    """A variable as it stands in the file, at the end of `key` where this has more axes than it."""
    stored = file.variables[name]
    values = stored[key[len(key) - stored.ndim :] if key else ...]
    return xr.Variable(stored.dimensions, values, {key: stored.getncattr(key) for key in stored.ncattrs()})


def _values(name: str, variable: xr.Variable) -> np.ndarray:
    how = stored_as(name, variable.dtype, variable.attrs, form="netcdf")
    return how.values(variable.values)


def _dates(name: str, variable: xr.Variable) -> xr.Variable:
    counted = decode(name, variable, form="netcdf", coordinate=True)
    options: dict[str, Any] = {"mask_and_scale": False, "decode_times": TIMES, "decode_timedelta": False}
    return xr.conventions.decode_cf_variable(name, counted, **options)


def _header(file: netCDF4.Dataset) -> Hashable:
    """Everything that decides what a file is, but for sizes and values."""
    decisive = ("coordinates", *MEMBERS)
    whole = tuple((k, str(file.getncattr(k))) for k in file.ncattrs() if k in decisive or PLACING.search(k))
    variables = ((name, var.dimensions, str(var.dtype), _attributes(var)) for name, var in file.variables.items())
    return whole, tuple(file.groups), *variables


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
    values = np.asarray(values)
    return packing, (values.astype(str) if values.dtype == object else values).tobytes()  # of texts, not of addresses


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
