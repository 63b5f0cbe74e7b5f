"""Files of any naming, in NetCDF, GRIB or Zarr, to one canonical labelled Dataset that reads nothing until request."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from datasets.readers.combine import Part, combine
from datasets.readers.concat import TIMES, Family, Kind, alone, families, in_single, joined
from datasets.readers.dates import as_meant, decode_dates
from datasets.readers.formats import Location, SourceFile, recognise, shortened, source_files
from datasets.readers.grib import KEYS, open_grib
from simvp.coords import Axes, axis_names, canonicalise, check_names, period_bounds, select_values
from simvp.errors import Refusal, SourceError

logger = logging.getLogger(__name__)

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What every file is request for; see `open_source`."""

    variables: Sequence[str] | None
    units: Mapping[str, str]
    select: Mapping[str, Any]


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
        Data variables to keep. Default: every one on time, y and x.
    units
        Units of variables that have none in the source, by name.
    select
        One value of every further axis, such as ``{"level": 850}``, ``{"number": 0}`` or ``{"lead": "12h"}``; of GRIB
        files also keys of the message, such as ``typeOfLevel``.
    beside
        Files that were read before, local: what is new has to be of one series with them. Times that are in none of the
        files of the source are left out again.

    Returns
    -------
    xr.Dataset
        As `simvp.coords.canonicalise` describes; time covers every time of every file. Where a variable has no frame at
        a time at which another has one, it is NaN.

    Raises
    ------
    SourceError
        With every reason, each with its file: nothing there, no known format, cut off, variables or axes that are not
        there, a grid or units that differ between files, a time in two files.
    """
    request = _Request(variables=variables, units=units or {}, select=select or {})
    names = source_files(source)
    files = recognise([*names, *beside])
    new, old = families(files[: len(names)], partial(_kind, request)), alone(files[len(names) :])
    try:
        try:
            return _combined(new, old, request)
        except Refusal:
            if len(new) == len(names):
                raise
            # Opened one by one, every file with something wrong is named.
            return _combined(alone(files[: len(names)]), old, request)
    except Refusal as refusal:
        title = f"source {source}" if isinstance(source, Location) else f"source of {len(names)} files"
        raise SourceError(title, shortened(refusal.reasons, SHOWN), refusal.remedy) from None


def _combined(new: Sequence[Family], old: Sequence[Family], request: _Request) -> xr.Dataset:
    groups = [*new, *old]
    several = sum(len(group.files) for group in groups) > 1
    raw: list[tuple[str, xr.Dataset]] = []
    try:
        reasons: list[str] = []
        for group in groups:
            name = group.files[0].name
            try:
                opened = _open(group.files[0], request.select)
                if group.kind is not None:
                    opened = [joined(group, _unpacked(opened[0]))]
                raw += [(name, ds) for ds in opened]
            except SourceError as error:
                reasons += _of_file(name, error, several)
        reasons = reasons or _unmet([ds for _, ds in raw], request)
        if reasons:
            raise SourceError("source", reasons)
        parts = _canonical(raw, request, several)
        ds = combine(parts)
    except Refusal:
        for _, ds in raw:
            ds.close()
        raise
    if not old:
        return ds
    names = {group.files[0].name for group in new}
    times = {time for name, part in parts if name in names for time in part["time"].values.tolist()}
    return ds.isel(time=[time in times for time in ds["time"].values.tolist()])


def _canonical(raw: Sequence[tuple[str, xr.Dataset]], request: _Request, several: bool) -> list[Part]:
    parts: list[Part] = []
    reasons: list[str] = []
    for name, ds in raw:
        if len(raw) > 1 and (empty := _frameless(ds)):
            logger.warning("passed over, without a frame (%s has length 0): %s", empty, name)
            continue
        try:
            canonical = _canonical_one(ds, request, lenient=len(raw) > 1)
        except Refusal as refusal:
            reasons += _of_file(name, refusal, several)
            continue
        if canonical is None:
            logger.info("passed over, none of the variables: %s", name)
        else:
            parts.append((name, canonical[0]))
    if not parts and not reasons and all(map(_frameless, (ds for _, ds in raw))):
        reasons = ["none of the files has a frame; " + ", ".join(shortened([name for name, _ in raw], SHOWN))]
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


def _canonical_one(ds: xr.Dataset, request: _Request, *, lenient: bool) -> tuple[xr.Dataset, Axes] | None:
    """One file as a canonical dataset; None where it has none of the variables. Lenient: it may lack axes to select."""
    wanted = None if request.variables is None else [v for v in request.variables if v in ds.variables]
    if wanted == []:
        return None
    units = {v: u for v, u in request.units.items() if v in ds.variables}
    axes = {key: value for key, value in request.select.items() if key not in KEYS}
    select = {k: v for k, v in axes.items() if axis_names(ds, k)} if lenient else axes
    return canonicalise(_unpacked(ds), wanted, select=select, units=units)


def _kind(request: _Request, file: SourceFile) -> Kind | None:
    """What files like this one are, where they can be read without being opened in full."""
    try:
        raw = _open(file, request.select)[0]
        return _kind_of(raw, request)
    except Refusal:
        return None


def _kind_of(raw: xr.Dataset, request: _Request) -> Kind | None:
    one = _canonical_one(raw, request, lenient=True)
    if one is None:
        return None
    canonical, axes = one
    names = tuple(map(str, canonical.data_vars))
    chosen = [axis_names(raw, key)[0] for key in request.select if key not in KEYS and axis_names(raw, key)]
    fixed = [n for n in (axes.latitude, axes.longitude, axes.y, axes.x, axes.lead, *chosen) if n in raw.variables]
    if any(axes.time in raw[name].dims for name in fixed):
        return None
    bounds = period_bounds(raw, axes.times)
    # What files read as one leave out, such as the time of the run, must not be what tells the axes apart.
    stale = [n for n, v in raw.variables.items() if axes.time in v.dims and n not in {axes.times, bounds, *names}]
    without = _canonical_one(raw.drop_vars(stale), request, lenient=True) if stale else one
    if without is None or without[1] != axes:
        return None
    return Kind(axes=axes, names=names, fixed=tuple(dict.fromkeys(map(str, fixed))), bounds=bounds)


def _of_file(name: str, refusal: Refusal, several: bool) -> list[str]:
    return [f"{name}: {reason}" if several else reason for reason in refusal.reasons]


def _unmet(raw: Sequence[xr.Dataset], request: _Request) -> list[str]:
    """What was request for and is in none of the files."""
    stray = {k: v for k, v in request.select.items() if k not in KEYS and not any(axis_names(ds, k) for ds in raw)}
    reasons: list[str] = []
    for check in (partial(check_names, raw, request.variables or ()), partial(select_values, raw[0], stray)):
        try:
            check()
        except Refusal as refusal:
            reasons += refusal.reasons
    return reasons


def _open(file: SourceFile, select: Mapping[str, Any]) -> list[xr.Dataset]:
    """The datasets in one file: one, or in GRIB as many as it takes."""
    try:
        if file.format == "grib":
            return open_grib(file.path, select)
        if file.format == "zarr":
            return [_dated(file.path, engine="zarr", consolidated=_consolidated(file.path))]
        return [_dated(file.path, engine="netcdf4")]
    except SourceError:
        raise
    except Exception as error:  # the backends raise whatever the library beneath them does
        text = " ".join(str(error).replace(file.path, file.name).split())
        raise SourceError(file.name, [f"cannot be opened as {file.format}: {text[:300]}"]) from error


def _consolidated(path: str) -> bool:
    """Whether a Zarr store has consolidated metadata: to open one without it as if it had some warns."""
    import zarr

    return zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None


def _dated(path: str, **options: Any) -> xr.Dataset:
    """Open with decoded times; those that xarray would misread or cannot decode are decoded here."""
    try:
        ds = xr.open_dataset(path, chunks="auto", decode_times=TIMES, decode_timedelta=False, **options)
        if as_meant(ds):
            return ds
        ds.close()
    except ValueError as error:
        if "decode time" not in str(error):
            raise
    ds = xr.open_dataset(path, chunks="auto", decode_times=False, decode_timedelta=False, **options)
    try:
        return decode_dates(ds)
    except ValueError as error:
        stated = {str(v.attrs.get("units")) for v in ds.variables.values() if "since" in str(v.attrs.get("units", ""))}
        hint = "; months of a climatology, in year 0, are no series" if any(" 0000-" in unit for unit in stated) else ""
        why = " ".join(str(error).partition(". Try opening")[0].split())  # without xarray's advice to its own callers
        text = f"got {', '.join(sorted(stated))}{hint}: {why[:200]}"
        raise SourceError(path, [f"times cannot be decoded: {text}"]) from error


def _unpacked(ds: xr.Dataset) -> xr.Dataset:
    """Values packed in at most 16 bits as float32, which holds them: xarray decodes some of them to float64."""
    for name, var in ds.data_vars.items():
        if var.dtype == np.float64 and in_single(np.dtype(var.encoding.get("dtype", "f8")), var.encoding):
            ds = ds.assign({name: var.astype("f4")})
    return ds
