"""Files of any naming, in NetCDF, GRIB or Zarr, to one canonical labelled Dataset, lazily."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from datasets.readers.combine import Part, combine
from datasets.readers.concat import TIMES, Family, Kind, alone, families, joined
from datasets.readers.dates import as_meant, decode_dates
from datasets.readers.expver import settle_versions
from datasets.readers.files import Location, SourceFile, recognise, source_files
from datasets.readers.grib import KEYS, open_grib
from datasets.readers.groups import (
    Names,
    by_group,
    consolidated,
    holding,
    left_out,
    maps_in_groups,
    not_there,
    parents,
    with_parents,
)
from datasets.readers.stored import AsStored
from datasets.sizes import refuse_coordinates, refuse_maps
from simvp.coords import Axes, axis_names, canonicalise, check_names, label_names, period_bounds, select_values
from simvp.errors import Refusal, SourceError, Unavailable, fault_around, shortened
from simvp.settings import shown_address
from simvp.values import is_unit

logger = logging.getLogger(__name__)

SHOWN = 10

Raw = tuple[SourceFile, xr.Dataset]


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What is requested of every file; see `open_source`. Variables by group.

    Of what is selected, all that is no key of a message is an axis.
    """

    variables: Names | None
    units: Mapping[str, str]
    select: Mapping[str, Any]
    axes: Mapping[str, Any]


def open_source(
    source: Location | Sequence[Location],
    *,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
    beside: Sequence[Location] = (),
) -> xr.Dataset:
    """Open gridded data as one canonical Dataset, lazily.

    Parameters
    ----------
    source
        A file, a folder, a glob, a URL, or a list of these; the format is known by content. Files may hold one time
        each or many, one variable each or many, and may come in any order.
    variables
        Data variables to keep, those in a group as ``group:name``, such as "Grid:precipitation" or "science/air:t".
        Default: every one on time, y and x in the root; then a file that has maps in groups too is refused.
    units
        Units of variables that have none in the source, or none that is known, by name.
    select
        One value of every further axis, such as ``{"level": 850}``, ``{"number": 0}`` or ``{"lead": "12h"}``; of GRIB
        files also keys of the message, such as ``typeOfLevel`` or ``stepRange``.
    beside
        Files that were read before, local: what is new has to be of one series with them. Times that are in none of the
        files of the source are left out again.

    Returns
    -------
    xr.Dataset
        As `simvp.coords.canonicalise` describes; time covers every time of every file. Where a variable has no frame at
        a time at which another has one, it is NaN. `file_of` finds the file of a frame.

    Raises
    ------
    Unavailable
        A network or a server is away.
    SourceError
        With every reason, each with its file: nothing there, no known format, cut off, variables or axes that are not
        there, a grid or units that differ between files, a time in two files.
    """
    wanted = None if variables is None else by_group(variables)
    names = source_files(source)
    recognised = recognise([*names, *beside])
    keys = KEYS if recognised[0].format == "grib" else ()
    axes = {key: value for key, value in (select or {}).items() if key not in keys}
    request = _Request(variables=wanted, units=units or {}, select=select or {}, axes=axes)
    groups = [""] if wanted is None else list(wanted)
    files, read = (
        [replace(file, group=group) for group in groups for file in some]
        for some in (recognised[: len(names)], recognised[len(names) :])
    )
    new, old = families(files, partial(_kind, request)), alone(read)
    try:
        try:
            return _combined(new, old, request)
        except Refusal:
            if len(new) == len(files):
                raise
            # Opened one by one, every file with something wrong is named.
            return _combined(alone(files), old, request)
    except Unavailable:
        raise
    except Refusal as refusal:
        title = f"source {source}" if isinstance(source, Location) else f"source of {len(names)} files"
        remedy = refusal.remedy or "mend the files, or state variables, units and select as they have them"
        raise SourceError(title, shortened(refusal.reasons, SHOWN), remedy) from None


def file_of(ds: xr.Dataset, variable: str, time: Any) -> str:
    """Name of the file from which `open_source` has a frame of a variable; empty where that is not known."""
    for name, variables, times in ds.encoding.get("files", ()):
        if variable in variables and (times == time).any():
            return str(name)
    return ""


def _combined(new: Sequence[Family], old: Sequence[Family], request: _Request) -> xr.Dataset:
    groups = [*new, *old]
    several = sum(len(group.files) for group in groups) > 1
    raw: list[Raw] = []
    try:
        reasons: list[str] = []
        for group in groups:
            first = group.files[0]
            try:
                opened = _open(first, request)
                if request.variables is None:
                    _refuse_others(first, opened, request)
                if group.kind is not None:
                    opened = [joined(group, opened[0])]
                raw += [(first, ds) for ds in opened]
            except SourceError as error:
                reasons += _of_file(first.title, error, several)
        reasons = reasons or _unmet(raw, request)
        if reasons:
            raise SourceError("source", reasons)
        parts = _canonical(raw, request, several)
        ds = combine(parts)
        ds.encoding = {**ds.encoding, "files": [one for name, part in parts for one in _files(name, part, groups)]}
    except Refusal:
        for _, ds in raw:
            ds.close()
        raise
    if not old:
        return ds
    names = {group.files[0].title for group in new}
    times = {time for name, part in parts if name in names for time in part["time"].values.tolist()}
    chosen = ds.isel(time=[time in times for time in ds["time"].values.tolist()])
    chosen.encoding = ds.encoding
    return chosen


def _files(name: str, part: xr.Dataset, groups: Sequence[Family]) -> list[tuple[str, tuple[str, ...], np.ndarray]]:
    """Files of a part, with their variables and times; of files read as one, where their times do not interleave."""
    variables, times = tuple(map(str, part.data_vars)), part["time"].values
    group = next(one for one in groups if one.files[0].title == name)
    if group.kind is None:
        return [(name, variables, times)]
    if any(before.max() > after.min() for before, after in pairwise(group.times)):
        return []
    ends = np.cumsum([len(one) for one in group.times])[:-1]
    return [(file.title, variables, of) for file, of in zip(group.files, np.split(times, ends), strict=True)]


def _canonical(raw: Sequence[Raw], request: _Request, several: bool) -> list[Part]:
    parts: list[Part] = []
    reasons: list[str] = []
    for file, ds in raw:
        if len(raw) > 1 and (empty := _frameless(ds)):
            logger.warning("passed over, without a frame (%s has length 0): %s", empty, file.title)
            continue
        try:
            canonical = _canonical_one(file, ds, request, lenient=len(raw) > 1)
        except Refusal as refusal:
            reasons += _of_file(file.title, refusal, several)
            if file.group and refusal.subject == "axes":
                around = f"coordinates are those of {file.group} and of the groups around it"
                reasons.append(f"{around}; {holding(maps_in_groups(file))}")
            continue
        if canonical is None:
            logger.info("passed over, none of the variables: %s", file.title)
        else:
            parts.append((file.title, canonical[0]))
    if not parts and not reasons and all(map(_frameless, (ds for _, ds in raw))):
        names = [file.title for file, _ in raw]
        reasons = ["none of the files has a frame; " + ", ".join(shortened(names, SHOWN))]
    met = {str(name) for _, ds in parts for name in ds.data_vars}
    if not reasons:
        stray = [v for v in request.units if v not in met]
        reasons = [f"units stated for {v!r}, which is not among the variables {sorted(met)}" for v in stray]
    if reasons:
        raise SourceError("source", reasons)
    return parts


def _frameless(ds: xr.Dataset) -> str:
    """The dim of length 0 for which no field of a file has a value; empty where one has."""
    fields = [var for var in ds.data_vars.values() if var.ndim > 1]
    empty = [str(dim) for var in fields for dim in var.dims if not ds.sizes[dim]]
    return empty[0] if empty and not any(var.size for var in fields) else ""


def _canonical_one(
    file: SourceFile, ds: xr.Dataset, request: _Request, *, lenient: bool
) -> tuple[xr.Dataset, Axes] | None:
    """One file as a canonical dataset; None where it has none of the variables. Lenient: it may lack axes to select."""
    wanted = None if request.variables is None else [v for v in request.variables[file.group] if v in ds.variables]
    if wanted == []:
        return None
    units = {v: u for v, u in request.units.items() if v in ds.variables}
    select = {k: v for k, v in request.axes.items() if axis_names(ds, k)} if lenient else request.axes
    ds, select = settle_versions(ds, select)
    planes = [(str(name), var.shape, var.dtype.itemsize) for name, var in ds.coords.items() if var.ndim > 1]
    refuse_coordinates(file.path, planes)
    canonical, found = canonicalise(ds, wanted, select=select, units=units)
    maps = [(str(name), var.shape[1:], var.dtype.itemsize) for name, var in canonical.data_vars.items()]
    refuse_maps(file.path, maps)
    reasons = [
        f"{name}: units {unit!r} are no unit that is known; state them, as units={{{str(name)!r}: 'K'}}, or "
        f"units={{{str(name)!r}: {unit!r}}} where it counts things of that name"
        for name, unit in ((name, str(var.attrs.get("units", "1"))) for name, var in canonical.data_vars.items())
        if name not in units and not is_unit(unit)
    ]
    if reasons:
        raise Refusal("units", reasons)
    return canonical, found


def _kind(request: _Request, file: SourceFile) -> Kind | None:
    """What files like this one are, where they can be read without being opened in full."""
    try:
        raw = _open(file, request)[0]
        return None if request.variables is None and maps_in_groups(file) else _kind_of(file, raw, request)
    except Refusal:
        return None


def _kind_of(file: SourceFile, raw: xr.Dataset, request: _Request) -> Kind | None:
    one = _canonical_one(file, raw, request, lenient=True)
    if one is None:
        return None
    canonical, axes = one
    names = tuple(map(str, canonical.data_vars))
    chosen = [axis_names(raw, key)[0] for key in request.axes if axis_names(raw, key)]
    # What a variable is fixed at, and its further axes: files that differ in these are not one dataset.
    labels = [n for v in canonical.data_vars.values() for n in label_names(v.attrs)]
    further = [dim for name in names for dim in raw[name].dims if dim != axes.time]
    places = (axes.latitude, axes.longitude)  # where they lie along time they are the same in every frame
    fixed = [n for n in (*places, axes.y, axes.x, axes.lead, *chosen, *labels, *further) if n in raw.variables]
    if any(axes.time in raw[name].dims and name not in places for name in fixed):
        return None
    bounds = period_bounds(raw, axes.times)
    # What files read as one leave out, such as the time of the run, must not be what tells the axes apart.
    kept = {axes.times, bounds, *places, *names}
    stale = [n for n, v in raw.variables.items() if axes.time in v.dims and n not in kept]
    without = _canonical_one(file, raw.drop_vars(stale), request, lenient=True) if stale else one
    if without is None or without[1] != axes:
        return None
    return Kind(axes=axes, names=names, fixed=tuple(dict.fromkeys(map(str, fixed))), bounds=bounds)


def _of_file(name: str, refusal: Refusal, several: bool) -> list[str]:
    return [f"{name}: {reason}" if several else reason for reason in refusal.reasons]


def _unmet(raw: Sequence[Raw], request: _Request) -> list[str]:
    """What was requested and is in none of the files."""
    every = [ds for _, ds in raw]
    stray = {k: v for k, v in request.axes.items() if not any(axis_names(ds, k) for ds in every)}
    checks: list[Callable[[], object]] = [partial(select_values, every[0], stray)]
    for group, names in (request.variables or {}).items():
        checks.append(partial(check_names, [ds for file, ds in raw if file.group == group], names))
    reasons: list[str] = []
    for check in reversed(checks):
        try:
            check()
        except Refusal as refusal:
            reasons += refusal.reasons
    if reasons and (maps := maps_in_groups(raw[0][0])):
        reasons.append(holding(maps))
    return reasons


def _refuse_others(file: SourceFile, opened: Sequence[xr.Dataset], request: _Request) -> None:
    """Refuse a file with maps in groups, where nobody said which variables are wanted."""
    if not (maps := maps_in_groups(file)):
        return
    there: list[str] = []
    for ds in opened:
        try:
            one = _canonical_one(file, ds, request, lenient=True)
        except Refusal:
            continue
        there += [] if one is None else map(str, one[0].data_vars)
    raise SourceError(file.name, [left_out(maps, there)])


def _open(file: SourceFile, request: _Request) -> list[xr.Dataset]:
    """The datasets in one file: one, or in GRIB as many as it takes."""
    try:
        options: dict[str, Any] = {"by": "netcdf4"}
        if file.format == "grib":
            if file.group:
                raise SourceError(file.name, [f"group {file.group!r}: GRIB has no groups"])
            return open_grib(
                file.path, request.select, None if request.variables is None else request.variables.get("")
            )
        if file.format == "zarr":
            options = {"by": "zarr", "consolidated": consolidated(file.path)}
        whole = [_dated(file.path, group=group or None, **options) for group in (file.group, *parents(file.group))]
        return [with_parents(whole[0], whole[1:])]
    except SourceError:
        raise
    except Exception as error:  # the backends raise whatever the library beneath them does
        if isinstance(away := fault_around(error, f"source {shown_address(file.title)}"), Unavailable):
            raise away from error
        text = " ".join(str(error).replace(file.path, file.name).split())
        if file.group and (reason := not_there(file)):
            raise SourceError(file.name, [reason]) from None
        raise SourceError(file.name, [f"cannot be opened as {file.format}: {text[:300]}"]) from error


def _dated(path: str, **options: Any) -> xr.Dataset:
    """Open with decoded times; those that xarray would misread or cannot decode are decoded here."""
    try:
        ds = xr.open_dataset(path, engine=AsStored, chunks="auto", decode_times=TIMES, **options)
        if as_meant(ds):
            return ds
        ds.close()
    except ValueError as error:
        if "decode time" not in str(error):
            raise
    ds = xr.open_dataset(path, engine=AsStored, chunks="auto", decode_times=False, **options)
    try:
        return decode_dates(ds)
    except ValueError as error:
        stated = {str(v.attrs.get("units")) for v in ds.variables.values() if "since" in str(v.attrs.get("units", ""))}
        hint = "; months of a climatology, in year 0, are no series" if any(" 0000-" in unit for unit in stated) else ""
        why = " ".join(str(error).partition(". Try opening")[0].split())  # without xarray's advice to its own callers
        text = f"got {', '.join(sorted(stated))}{hint}: {why[:200]}"
        raise SourceError(path, [f"times cannot be decoded: {text}"]) from error
