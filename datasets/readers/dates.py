"""Time axes that xarray does not decode: months and years since a date, and dates written as numbers."""

import re

import numpy as np
import xarray as xr

SINCE = re.compile(r"(month|year)s?\s+since\s+(-?\d+)-(\d+)(?:-(\d+))?(.*)", re.IGNORECASE)
AS_NUMBER = re.compile(r"day\s+as\s+%Y%m%d(\.%f)?", re.IGNORECASE)


def decode_dates(ds: xr.Dataset) -> xr.Dataset:
    """Decode times, after the forms above have been turned into dates.

    "months since" counts calendar months, of the file's calendar, from the given date; a fraction, such as the half
    that marks the middle of a month, is dropped, so that each month keeps its first label. "day as %Y%m%d.%f" is the
    absolute time of CDO.

    Parameters
    ----------
    ds
        As opened with ``decode_times=False``.

    Raises
    ------
    ValueError
        Numbers that are no dates of the calendar, or units that nothing here reads.
    """
    for name, var in ds.variables.items():
        units = str(var.attrs.get("units", ""))
        calendar = str(var.attrs.get("calendar", "standard")).lower()
        if match := SINCE.fullmatch(units.strip()):
            values = _counted(np.asarray(var.values, "f8"), match, calendar)
        elif AS_NUMBER.fullmatch(units.strip()):
            values = _written(np.asarray(var.values, "f8"), calendar)
        else:
            continue
        attrs = {key: value for key, value in var.attrs.items() if key not in ("units", "calendar")}
        ds = ds.assign({name: xr.Variable(var.dims, values, attrs)})
    return xr.decode_cf(ds, mask_and_scale=False, decode_coords=False, decode_timedelta=False)


def _counted(values: np.ndarray, match: re.Match[str], calendar: str) -> np.ndarray:
    months = np.floor(values + 1e-6).astype(np.int64) * (12 if match[1].lower() == "year" else 1)
    year, month, day = int(match[2]), int(match[3]), int(match[4] or 1)
    total = (year * 12 + month - 1 + months).ravel()
    stamps = [(int(n) // 12, int(n) % 12 + 1, day, 0.0) for n in total]
    return _stamps(stamps, calendar).reshape(values.shape)


def _written(values: np.ndarray, calendar: str) -> np.ndarray:
    whole = np.floor(values).astype(np.int64).ravel()
    seconds = np.round((values.ravel() - whole) * 86400.0 / 60.0) * 60.0  # float64 holds the minute, not the second
    stamps = [
        (int(n) // 10000, int(n) // 100 % 100, int(n) % 100, float(s)) for n, s in zip(whole, seconds, strict=True)
    ]
    return _stamps(stamps, calendar).reshape(values.shape)


def _stamps(stamps: list[tuple[int, int, int, float]], calendar: str) -> np.ndarray:
    if calendar in ("standard", "gregorian", "proleptic_gregorian"):
        days = [f"{year:04d}-{month:02d}-{day:02d}" for year, month, day, _ in stamps]
        seconds = np.array([int(second) for *_, second in stamps], dtype="timedelta64[s]")
        return (np.array(days, dtype="datetime64[s]") + seconds).astype("datetime64[ns]")
    import datetime

    import cftime

    name = "360_day" if calendar == "360" else calendar
    return np.array(
        [
            cftime.datetime(year, month, day, calendar=name) + datetime.timedelta(seconds=second)
            for year, month, day, second in stamps
        ],
        dtype=object,
    )
