"""Files of any naming, in NetCDF, GRIB or Zarr, to one canonical labelled Dataset that reads nothing until asked."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from datasets.combine import Part, combine
from datasets.dates import AS_NUMBER, decode_dates
from datasets.formats import ZARR_ROOTS, Location, SourceFile, checksums, recognise, source_files
from datasets.grib import KEYS, open_grib
from simvp.axes import canonicalise
from simvp.errors import Refusal, SourceError
from simvp.selection import axis_names, check_names, select_values

__all__ = ["checksums", "open_source", "source_files"]

logger = logging.getLogger(__name__)

TIMES = xr.coders.CFDatetimeCoder()  # datetime64[ns] where it fits, cftime for other calendars
SHOWN = 10


def open_source(
    source: Location | Sequence[Location],
    *,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
    chunks: Any = "auto",
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
        One value of every further axis, such as ``{"level": 850}`` or ``{"number": 0}``; of GRIB files also keys of
        the message, such as ``typeOfLevel``.
    chunks
        Dask chunks, as in `xarray.open_dataset`.

    Returns
    -------
    xr.Dataset
        As `simvp.axes.canonicalise` describes; time covers every time of every file. Where a variable has no frame at
        a time at which another has one, it is NaN.

    Raises
    ------
    SourceError
        With every reason, each with its file: nothing there, no known format, cut off, variables or axes that are not
        there, a grid or units that differ between files, a time in two files.
    """
    units, select = units or {}, select or {}
    files = recognise(source_files(source))
    title = f"source {source}" if isinstance(source, Location) else f"source of {len(files)} files"
    raw: list[tuple[str, xr.Dataset]] = []
    try:
        reasons: list[str] = []
        for file in files:
            try:
                raw += [(file.name, ds) for ds in _open(file, select, chunks)]
            except SourceError as error:
                reasons += _of_file(file.name, error, len(files))
        axes = {key: value for key, value in select.items() if key not in KEYS}
        reasons = reasons or _unmet([ds for _, ds in raw], variables, axes)
        if reasons:
            raise SourceError(title, _shortened(reasons))
        return combine(_canonical(raw, variables, units, axes, several=len(files) > 1))
    except Refusal as refusal:
        for _, ds in raw:
            ds.close()
        raise SourceError(title, _shortened(refusal.reasons), refusal.remedy) from None


def _canonical(
    raw: Sequence[tuple[str, xr.Dataset]],
    variables: Sequence[str] | None,
    units: Mapping[str, str],
    select: Mapping[str, Any],
    *,
    several: bool,
) -> list[Part]:
    parts: list[Part] = []
    reasons: list[str] = []
    for name, ds in raw:
        wanted = None if variables is None else [v for v in variables if v in ds.variables]
        if wanted == []:
            logger.info("passed over, none of the variables: %s", name)
            continue
        own = {v: u for v, u in units.items() if v in ds.variables}
        here = {k: v for k, v in select.items() if axis_names(ds, k)} if len(raw) > 1 else select
        try:
            canonical, _ = canonicalise(_unpacked(ds), wanted, select=here, units=own)
        except Refusal as refusal:
            reasons += _of_file(name, refusal, 2 if several else 1)
        else:
            parts.append(Part(name=name, ds=canonical))
    met = {str(name) for part in parts for name in part.ds.data_vars}
    if not reasons:
        stray = [v for v in units if v not in met]
        reasons = [f"units stated for {v!r}, which is not among the variables {sorted(met)}" for v in stray]
    if reasons:
        raise SourceError("source", reasons)
    return parts


def _of_file(name: str, refusal: Refusal, files: int) -> list[str]:
    return [f"{name}: {reason}" if files > 1 else reason for reason in refusal.reasons]


def _shortened(reasons: Sequence[str]) -> list[str]:
    if len(reasons) > 0 and reasons[-1].startswith("... and "):
        return list(reasons)
    return [*reasons[:SHOWN], *([f"... and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else [])]


def _unmet(raw: Sequence[xr.Dataset], variables: Sequence[str] | None, select: Mapping[str, Any]) -> list[str]:
    """What was asked for and is in none of the files."""
    reasons: list[str] = []
    try:
        check_names(raw, variables or ())
    except Refusal as refusal:
        reasons += refusal.reasons
    for key, value in select.items():
        if raw and not any(axis_names(ds, key) for ds in raw):
            try:
                select_values(raw[0], {key: value})
            except Refusal as refusal:
                reasons += refusal.reasons
    return reasons


def _open(file: SourceFile, select: Mapping[str, Any], chunks: Any) -> list[xr.Dataset]:
    """The datasets in one file: one, or in GRIB as many as it takes."""
    opened = {"netcdf": _open_netcdf, "zarr": _open_zarr}
    try:
        if file.format == "grib":
            return open_grib(file.path, select, chunks)
        return [opened[file.format](file.path, chunks)]
    except SourceError:
        raise
    except Exception as error:  # the backends raise whatever the library beneath them does
        text = " ".join(str(error).replace(file.path, file.name).split())
        raise SourceError(file.name, [f"cannot be opened as {file.format}: {text[:300]}"]) from error


def _open_netcdf(path: str, chunks: Any) -> xr.Dataset:
    return _dated(path, chunks, engine="netcdf4")


def _open_zarr(path: str, chunks: Any) -> xr.Dataset:
    return _dated(path, chunks, engine="zarr", consolidated=_consolidated(path))


def _consolidated(path: str) -> bool:
    """Whether a Zarr store has consolidated metadata; asked first, since opening without it warns."""
    import fsspec

    fs, root = fsspec.core.url_to_fs(path)
    if fs.exists(f"{root}/{ZARR_ROOTS[0]}"):
        return b'"consolidated_metadata"' in fs.cat_file(f"{root}/{ZARR_ROOTS[0]}")
    return bool(fs.exists(f"{root}/.zmetadata"))


def _dated(path: str, chunks: Any, **options: Any) -> xr.Dataset:
    """Open with decoded times; those that xarray leaves as numbers or cannot decode are decoded here."""
    try:
        ds = xr.open_dataset(path, chunks=chunks, decode_times=TIMES, decode_timedelta=False, **options)
        if not any(AS_NUMBER.fullmatch(str(v.attrs.get("units", "")).strip()) for v in ds.variables.values()):
            return ds
    except ValueError as error:
        if "decode time" not in str(error):
            raise
    ds = xr.open_dataset(path, chunks=chunks, decode_times=False, decode_timedelta=False, **options)
    try:
        return decode_dates(ds)
    except ValueError as error:
        stated = {str(v.attrs.get("units")) for v in ds.variables.values() if "since" in str(v.attrs.get("units", ""))}
        hint = "; months of a climatology, in year 0, are no series" if any(" 0000-" in unit for unit in stated) else ""
        raise SourceError(path, [f"times cannot be decoded: got {', '.join(sorted(stated))}{hint}"]) from error


def _unpacked(ds: xr.Dataset) -> xr.Dataset:
    """Values packed in at most 16 bits as float32, which holds them: xarray decodes some of them to float64."""
    for name, var in ds.data_vars.items():
        packed = np.dtype(var.encoding.get("dtype", "f8"))
        scale = abs(float(np.ravel(var.encoding.get("scale_factor", 1.0))[0]))
        offset = abs(float(np.ravel(var.encoding.get("add_offset", 0.0))[0]))
        exact = offset * np.finfo("f4").eps < scale
        if var.dtype == np.float64 and packed.kind in "iu" and packed.itemsize <= 2 and exact:
            ds = ds.assign({name: var.astype("f4")})
    return ds
