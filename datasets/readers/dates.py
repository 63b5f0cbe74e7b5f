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
            values = _counted(np.ravel(var.values).astype("f8"), match, calendar)
        elif AS_NUMBER.fullmatch(units.strip()):
            values = _written(np.ravel(var.values).astype("f8"), calendar)
        else:
            continue
        attrs = {key: value for key, value in var.attrs.items() if key not in ("units", "calendar")}
        ds = ds.assign({name: xr.Variable(var.dims, values.reshape(var.shape), attrs)})
    return xr.decode_cf(ds, mask_and_scale=False, decode_coords=False, decode_timedelta=False)


def _counted(values: np.ndarray, match: re.Match[str], calendar: str) -> np.ndarray:
    months = np.floor(values + 1e-6).astype(np.int64) * (12 if match[1].lower() == "year" else 1)
    year, month, day = int(match[2]), int(match[3]), int(match[4] or 1)
    total = year * 12 + month - 1 + months
    return _stamps([(n // 12, n % 12 + 1, day) for n in total.tolist()], np.zeros(len(total)), calendar)


def _written(values: np.ndarray, calendar: str) -> np.ndarray:
    whole = np.floor(values).astype(np.int64)
    seconds = np.round((values - whole) * 86400.0 / 60.0) * 60.0  # float64 holds the minute, not the second
    return _stamps([(n // 10000, n // 100 % 100, n % 100) for n in whole.tolist()], seconds, calendar)


def _stamps(dates: list[tuple[int, int, int]], seconds: np.ndarray, calendar: str) -> np.ndarray:
    clock = seconds.astype("m8[s]")
    if calendar in ("standard", "gregorian", "proleptic_gregorian"):
        texts = [f"{year:04d}-{month:02d}-{day:02d}" for year, month, day in dates]
        return (np.array(texts, dtype="M8[s]") + clock).astype("M8[ns]")
    import cftime

    name = "360_day" if calendar == "360" else calendar
    return np.array([cftime.datetime(*date, calendar=name) for date in dates], dtype=object) + clock.astype(object)
