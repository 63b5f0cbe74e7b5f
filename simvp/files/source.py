"""Data to forecast from, in whatever form it is handed over: labelled arrays, or the files that hold them."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from glob import glob, has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr
from xarray.backends import NetCDF4BackendEntrypoint

from simvp.coords import find_axes
from simvp.errors import ContractError, Refusal, SourceError, shortened
from simvp.places import is_address
from simvp.stores import open_archive

Location = str | os.PathLike[str]
Data = xr.Dataset | xr.DataArray | Location | Sequence[Location]
Given = TypeVar("Given", bound=Any)

SUBJECT = "Data to forecast from"
SHOWN = 5
# First bytes of a file, what it is, and the packages of which one has to be there to read it.
MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "NetCDF-4", ("netCDF4", "h5netcdf")),
    (b"CDF", "NetCDF", ("netCDF4", "scipy")),
    (b"GRIB", "GRIB", ("cfgrib",)),
)
ZARR = ("zarr.json", ".zmetadata", ".zgroup")
REPOSITORY = ("refs", "repo")  # of Icechunk


@contextmanager
def opened(data: Any) -> Iterator[xr.Dataset]:
    """A Dataset as it is, a DataArray as the Dataset of its one variable, files as xarray opens them, lazily.

    Files are closed again at the end.

    Parameters
    ----------
    data
        A Dataset or a DataArray; or the path of a NetCDF or GRIB file, of a plain Zarr store, or of an archive
        (`simvp.open_archive`), which may be an address; or several files: a glob, or a list of paths.

    Raises
    ------
    ContractError
        A DataArray without a name, or something else.
    SourceError
        Nothing there, no known format, a package that is missing, or files that are not of one series.
    """
    if isinstance(data, xr.Dataset):
        yield data
    elif isinstance(data, xr.DataArray):
        yield _dataset_of(data)
    elif isinstance(data, str | os.PathLike):
        with ExitStack() as files:
            yield _open_all(files, _found(os.fspath(data)))
    elif isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
        with ExitStack() as files:
            yield _open_all(files, [name for one in data for name in _found(os.fspath(one))])
    else:
        kind = type(data)
        got = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        remedy = "label it: xr.Dataset({name: (dims, values, {'units': ...})}, coords)"
        if hasattr(data, "to_xarray"):
            remedy = "make it one: data.set_index([time, latitude, longitude]).to_xarray()"
        raise ContractError(SUBJECT, [f"expected an xarray Dataset, a DataArray or a path of files, got {got}"], remedy)


def as_given(forecast: xr.Dataset, data: Given) -> Any:
    """The forecast in the form of the data: a DataArray for one, but for members; loaded where the data is in files."""
    if isinstance(data, xr.DataArray) and len(forecast.data_vars) == 1:
        return forecast[data.name]
    return forecast if isinstance(data, xr.Dataset | xr.DataArray) else forecast.load()


def _dataset_of(data: xr.DataArray) -> xr.Dataset:
    if data.name is not None and data.name not in data.coords:
        return data.to_dataset()
    reason = f"expected a DataArray with the name of a variable, got one called {data.name!r}"
    raise ContractError(SUBJECT, [reason], "give it the name of the model's variable: data.rename(name)")


def _found(path: str) -> list[str]:
    """The files or stores that a path or a glob names."""
    path = path if is_address(path) else os.path.expanduser(path)
    if is_address(path) or os.path.lexists(path) or not has_magic(path):
        return [path]
    names = sorted(glob(path, recursive=True))
    if not names:
        raise SourceError(SUBJECT, [f"no file matches {path}"], "check the path")
    return names


def _open_all(files: ExitStack, names: Sequence[str]) -> xr.Dataset:
    """One Dataset of all files, along time and side by side."""
    several = len(names) > 1
    made: list[xr.Dataset] = []
    reasons: list[str] = []
    for name in names:
        try:
            ds = files.enter_context(_open(name, several))
            made.append(_dated(ds, name) if several else ds)
        except Refusal as refusal:
            if not several:
                raise
            reasons += refusal.reasons or [refusal.subject]
    if reasons:
        raise SourceError(SUBJECT, shortened(reasons, SHOWN), "name the files of one series")
    if not several:
        return made[0]
    try:
        whole = xr.combine_by_coords(
            made,
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            join="exact",
            combine_attrs="override",
        )
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        reason = f"the {len(names)} files {names[0]} .. {names[-1]} are not of one series: {text}"
        remedy = "name files of one grid whose times do not overlap, or put them together first"
        raise SourceError(SUBJECT, [reason], remedy) from error
    assert isinstance(whole, xr.Dataset)
    return whole


def _open(path: str, several: bool) -> xr.Dataset:
    """One file or store, lazily; where there are several, as dask arrays if dask is there."""
    chunks: dict[str, int] | None = {} if several and find_spec("dask") else None
    return open_archive(path, chunks=chunks) if is_repository(path) else open_file(path, SUBJECT, chunks=chunks)


def is_repository(path: str) -> bool:
    """Whether a path is that of an Icechunk repository, as archives and stores of forecasts are: any address is."""
    return is_address(path) or any(os.path.exists(os.path.join(path, mark)) for mark in REPOSITORY)


def is_zarr(place: Path) -> bool:
    """Whether a folder is a plain Zarr store."""
    return any((place / mark).exists() for mark in ZARR)


def _consolidated(place: Path) -> bool:
    """Whether the metadata of a Zarr store lies in one place, which xarray warns of where it has to find out."""
    group = place / "zarr.json"
    return (place / ".zmetadata").exists() or (group.exists() and "consolidated_metadata" in group.read_text("utf-8"))


def open_file(path: str, subject: str, **options: Any) -> xr.Dataset:
    """A NetCDF or GRIB file or a plain Zarr store, lazily, as xarray opens it.

    Raises
    ------
    SourceError
        None of these, or one that cannot be read here; `subject` says what it was for.
    """
    place = Path(path)
    if not place.exists():
        raise SourceError(subject, [f"expected a file or a folder, found none: {path}"], "check the path")
    if place.is_dir():
        if not is_zarr(place):
            reason = f"expected a file, a Zarr store or a repository, got a folder of something else: {path}"
            raise SourceError(subject, [reason], f"name the files in it: {place / '*.nc'}")
        _need(subject, "Zarr", ("zarr",), path)
        options |= {"engine": "zarr", "consolidated": _consolidated(place)}
    elif not stat.S_ISREG(place.stat().st_mode):  # a pipe without a writer never answers
        raise SourceError(subject, [f"expected a file, got something else: {path}"], "copy its content into a file")
    else:
        with open(place, "rb") as file:
            head = file.read(8)
        form = next(((what, packages) for magic, what, packages in MAGIC if head.startswith(magic)), None)
        if form is None:
            reason = f"{path}: expected NetCDF, Zarr or GRIB by content, got first bytes {head!r}"
            raise SourceError(subject, [reason], "open it with xarray, and hand over the Dataset")
        _need(subject, *form, path)
        if form[0] == "GRIB":  # whose index would be written beside the file
            options |= {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}}
        elif find_spec("netCDF4"):  # as xarray would choose; to look engines up by name it imports all, ecCodes too
            options |= {"engine": NetCDF4BackendEntrypoint}
    try:
        return xr.open_dataset(path, **options)
    except Exception as error:  # the backends raise whatever the library beneath them does
        text = " ".join(str(error).replace(path, place.name).split())[:300]
        remedy = "open it with xarray as it needs (engine, filter_by_keys ...), and hand over the Dataset"
        raise SourceError(subject, [f"{path} cannot be opened: {text}"], remedy) from error


def _need(subject: str, form: str, packages: Sequence[str], path: str) -> None:
    """Refuse a format that no package here can read."""
    if not any(find_spec(package) for package in packages):
        reason = f"{path}: {form} is read with {' or '.join(packages)}, which is not installed"
        raise SourceError(subject, [reason], f"pip install {packages[-1]}")


def _dated(ds: xr.Dataset, path: str) -> xr.Dataset:
    """A Dataset with a dim of times, also where it holds a single map, whose other dates say nothing of the series."""
    try:
        axes = find_axes(ds)
    except Refusal as refusal:
        raise SourceError(SUBJECT, [f"{path}: {reason}" for reason in refusal.reasons]) from None
    if axes.time in ds.dims:
        return ds
    aside = [name for name, var in ds.coords.items() if not var.ndim and var.dtype.kind in "mMO" and name != axes.times]
    return ds.drop_vars(aside).expand_dims(axes.times)
