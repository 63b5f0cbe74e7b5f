"""Forecasts for other tools: NetCDF with the valid time as its axis, one file for each init time, or plain Zarr."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from simvp.coords import unfilled
from simvp.errors import ConfigError, Refusal
from simvp.files.netcdf import as_made, by_valid_time, writer
from simvp.files.source import Location, is_repository, is_zarr, open_file
from simvp.files.whole import written_whole
from simvp.places import is_address
from simvp.stores import open_forecasts
from simvp.times import EPOCH, calendar_of, encode_times, fields_of, name_time, parse_times

Format = Literal["netcdf", "zarr2", "zarr3"]

SUBJECT = "Export of a forecast"
NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf")


def export(
    forecast: xr.Dataset | xr.DataArray | Location,
    out: Location,
    *,
    format: Format = "netcdf",
    init_time: Any = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a forecast for tools that do not know simvp: CDO, GDAL, QGIS, Panoply, R ...

    Parameters
    ----------
    forecast
        What `predict` gives; or the path of a store of forecasts or hindcasts, or of a NetCDF file or a Zarr store that
        a forecast was written to.
    out
        A file, where there is one init time and its name ends in ".nc"; else a folder, in which every init time gets a
        file ``NAME_YYYYMMDDTHH.nc``, with the data set as its name, and with minutes where there are some. Of Zarr the
        folder that becomes the store.
    format
        "netcdf": NetCDF-4, CF: dims (time, latitude, longitude), or y and x, under the names that the forecast has;
        ``time`` is the valid time, ``forecast_period`` the lead beside it, ``forecast_reference_time`` the init time.
        The weights of the experts are left out. "zarr2" or "zarr3": plain Zarr with consolidated metadata, and all that
        the forecast has.
    init_time
        One of them or several; all by default.
    overwrite
        Whether what is there is replaced.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    Refusal
        Not a forecast, no such init time, something there already, a package that is missing, a full disk. Nothing is
        left half written.
    """
    if format not in get_args(Format):
        raise ConfigError(SUBJECT, [f"format: expected one of {', '.join(get_args(Format))}, got {format!r}"])
    if is_address(str(out)):
        raise Refusal(SUBJECT, [f"expected a file or folder of this machine, got {out}"], "write it here, then copy it")
    place = Path(os.path.expanduser(out))
    with _opened(forecast) as ds:
        ds = _chosen(ds, init_time)
        return (
            _netcdf(ds, place, overwrite)
            if format == "netcdf"
            else (_zarr(ds, place, 2 if format == "zarr2" else 3, overwrite),)
        )


@contextmanager
def _opened(forecast: Any) -> Iterator[xr.Dataset]:
    if isinstance(forecast, str | os.PathLike):
        path = os.path.expanduser(forecast)
        with open_forecasts(path) if is_repository(path) else _file(path) as ds:
            yield _checked(ds)
    elif isinstance(forecast, xr.DataArray) and forecast.name is not None:
        yield _checked(forecast.to_dataset())
    elif isinstance(forecast, xr.Dataset):
        yield _checked(forecast)
    else:
        got = "a DataArray without a name" if isinstance(forecast, xr.DataArray) else type(forecast).__name__
        raise Refusal(
            SUBJECT, [f"expected a forecast or the path of one, got {got}"], "give what simvp.predict returns"
        )


def _file(path: str) -> xr.Dataset:
    return open_file(path, SUBJECT, decode_timedelta=True, decode_coords="all")


def _checked(ds: xr.Dataset) -> xr.Dataset:
    """A labelled forecast, also one from which an init time was chosen."""
    if absent := [name for name in ("init_time", "lead_time", "valid_time") if name not in ds.coords]:
        coords = ", ".join(map(str, ds.coords)) or "none"
        reason = f"expected a labelled forecast with coordinates {', '.join(absent)}, got {coords}"
        raise Refusal(SUBJECT, [reason], "give what simvp.predict returns, or a store of forecasts")
    if "lead_time" not in ds.dims:
        raise Refusal(SUBJECT, ["expected an axis of leads, got one lead"], "choose it as a list: .isel(lead_time=[0])")
    return ds


def _times(ds: xr.Dataset) -> np.ndarray:
    return np.atleast_1d(ds["init_time"].values)


def _chosen(ds: xr.Dataset, init_time: Any) -> xr.Dataset:
    """The forecast from some init times."""
    times = _times(ds)
    if not len(times):
        raise Refusal(SUBJECT, ["expected init times, got none"], "forecast first")
    if init_time is None:
        return ds
    wanted = parse_times(init_time, calendar_of(times))
    have, need = encode_times(times)[0], encode_times(wanted)[0] if len(wanted) else np.empty(0)
    absent = [name_time(time) for time, second in zip(wanted, need, strict=True) if second not in have]
    if absent or not len(wanted):
        got = f"got {len(times)} from {name_time(times[0])} to {name_time(times[-1])}"
        reason = f"init_time: expected {', '.join(absent) or 'one or more'}, {got}"
        raise Refusal(SUBJECT, [reason], "choose among these")
    return ds.isel(init_time=np.flatnonzero(np.isin(have, need)), missing_dims="ignore")


def _netcdf(ds: xr.Dataset, place: Path, overwrite: bool) -> tuple[Path, ...]:
    engine = writer(SUBJECT)
    times = _times(ds)
    places = [place]
    if place.suffix.lower() not in NETCDF_SUFFIXES or place.is_dir():
        places = files_of(ds, place)
    elif len(times) > 1:
        reason = f"expected one init time for a file, {place}, got {len(times)}: {name_time(times[0])} .. "
        remedy = "name a folder, or choose one: init_time=..."
        raise Refusal(SUBJECT, [reason + name_time(times[-1])], remedy)
    with written_whole(places, subject=f"{SUBJECT} to {place}", overwrite=overwrite) as parts:
        for number, part in enumerate(parts):
            by_valid_time(ds.isel(init_time=number, missing_dims="ignore")).to_netcdf(
                part, engine=engine, format="NETCDF4"
            )
    return tuple(places)


def files_of(ds: xr.Dataset, folder: Path) -> list[Path]:
    """The NetCDF file of each init time of a forecast in a folder."""
    return [folder / f"{_name(ds)}_{stamp}.nc" for stamp in _stamps(_times(ds))]


def _name(ds: xr.Dataset) -> str:
    """Of the data set, as far as it can be in the name of a file."""
    return re.sub(r"[^\w.-]+", "-", str(ds.attrs.get("data_set", ""))).strip("-.") or "forecast"


def _stamps(times: np.ndarray) -> list[str]:
    """YYYYMMDDTHH of each time; minutes, and seconds, where there are some."""
    fields = fields_of(times)
    stamps = []
    for year, month, day, second in zip(*(fields[name] for name in ("year", "month", "day", "second")), strict=True):
        shown = 3 if second % 60 else 2 if second % 3600 else 1
        clock = "".join(f"{part:02}" for part in (second // 3600, second // 60 % 60, second % 60)[:shown])
        stamps.append(f"{year:04}{month:02}{day:02}T{clock}")
    return stamps


def _zarr(ds: xr.Dataset, place: Path, version: Literal[2, 3], overwrite: bool) -> Path:
    subject = f"{SUBJECT} to {place}"
    if not find_spec("zarr"):
        raise Refusal(subject, ["Zarr is written with zarr, which is not installed"], "pip install 'simvp[store]'")
    if overwrite and place.exists() and not is_zarr(place):
        raise Refusal(subject, ["expected a Zarr store to replace, got something else"], "remove it first")
    ds = ds.assign({name: as_made(var) for name, var in ds.variables.items()})
    if find_spec("dask"):  # so that a store that does not fit into memory goes through it piece by piece
        ds = ds.chunk({str(dim): 1 if dim == "init_time" else -1 for dim in ds.dims})
    times = {"units": EPOCH, "dtype": "int64", "calendar": calendar_of(_times(ds))}
    encoding: dict[Any, dict[str, Any]] = {name: dict(times) for name in ("init_time", "valid_time")}
    for name, var in ds.data_vars.items():
        encoding[name] = {"chunks": tuple(1 if dim == "init_time" else size for dim, size in var.sizes.items())}
    with written_whole([place], subject=subject, overwrite=overwrite) as (part,), warnings.catch_warnings():
        # Both are known here, and docs/data.md says them: of anything else that Zarr has to say a user shall hear.
        for remark in ("Consolidated metadata is currently not part in the Zarr format 3", ".*does not have a Zarr V3"):
            warnings.filterwarnings("ignore", remark)
        unfilled(ds).to_zarr(part, zarr_format=version, consolidated=True, encoding=encoding)
    return place
