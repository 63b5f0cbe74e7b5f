"""Time axes in numbers, decoded where xarray does not, or would pass over what they say: zones, calendars, months."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from simvp.times import calendar_name, count_units, is_plain

logger = logging.getLogger(__name__)

SINCE = re.compile(r"(month|year)s?\s+since\s+(-?\d+)-(\d+)(?:-(\d+))?(.*)", re.IGNORECASE)
TIMES = xr.coders.CFDatetimeCoder()  # datetime64[ns] where it fits, cftime for other calendars


def as_meant(ds: xr.Dataset) -> bool:
    """Whether every axis of time of a decoded dataset was written in a form that xarray reads as it is meant."""
    # xarray moves units from the attributes to the encoding when it decodes them.
    left = any(counts_time(var.attrs) for var in ds.variables.values())
    written = [var.encoding for var in ds.variables.values() if counts_time(var.encoding)]
    return not left and all(is_plain(str(one["units"]), str(one.get("calendar", ""))) for one in written)


def counts_time(attrs: Mapping[Any, Any]) -> bool:
    """Whether a variable with these attributes counts time since a date."""
    return "since" in str(attrs.get("units", "")).lower()


def in_plain_words(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a count of time, units and calendar in the form that every library reads (see `count_units`).

    Raises
    ------
    ValueError
        No calendar of CF, no date, or a zone that is no offset.
    """
    calendar = calendar_name(str(attrs.get("calendar", "")))
    return {**attrs, "units": count_units(str(attrs["units"]), calendar), "calendar": calendar}


def decode_dates(ds: xr.Dataset) -> xr.Dataset:
    """Decode times of any form.

    "months since" counts calendar months, of the file's calendar, from the given date; a fraction, such as the half
    that marks the middle of a month, is dropped, so that each month keeps its first label.

    Parameters
    ----------
    ds
        As opened with ``decode_times=False``.

    Raises
    ------
    ValueError
        Times that cannot be decoded, where their dims have no other times that can.
    """
    decoded: dict[str, xr.Variable] = {}
    faults: dict[str, str] = {}
    counted = {str(name): var for name, var in ds.variables.items() if counts_time(var.attrs)}
    for name, var in _with_bounds(ds, counted).items():
        try:
            decoded[name] = _decoded(name, var)
        except (ValueError, OverflowError) as error:
            faults[name] = f"{name}: {error}"
    told = {var.dims for var in decoded.values()} | {v.dims for v in ds.variables.values() if v.dtype.kind in "SUM"}
    untold = [text for n, text in faults.items() if ds.variables[n].ndim < 2 and ds.variables[n].dims not in told]
    if untold:
        raise ValueError("; ".join(untold))
    for text in faults.values():
        logger.warning("left as numbers, not as dates: %s", text)
    return ds.assign(decoded)


def _with_bounds(ds: xr.Dataset, counted: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """The variables, and their bounds, which have the units and the calendar of theirs (CF 7.1)."""
    every = dict(counted)
    for var in counted.values():
        for key in ("bounds", "climatology"):
            name = str(var.attrs.get(key, ""))
            if name in ds.variables and name not in counted:
                own = ds.variables[name].copy(deep=False)
                own.attrs = {**own.attrs, **{k: var.attrs[k] for k in ("units", "calendar") if k in var.attrs}}
                every[name] = own
    return every


def _decoded(name: str, var: xr.Variable) -> xr.Variable:
    match = SINCE.fullmatch(str(var.attrs["units"]).strip())
    if match is None:
        plain = var.copy(deep=False)
        plain.attrs = in_plain_words(var.attrs)
        return TIMES.decode(plain, name=name)
    attrs = {key: value for key, value in var.attrs.items() if key not in ("units", "calendar")}
    values = _months(np.ravel(var.values).astype("f8"), match, calendar_name(str(var.attrs.get("calendar", ""))))
    return xr.Variable(var.dims, values.reshape(var.shape), attrs)


def _months(values: np.ndarray, match: re.Match[str], calendar: str) -> np.ndarray:
    months = np.floor(values + 1e-6).astype(np.int64) * (12 if match[1].lower() == "year" else 1)
    year, month, day = int(match[2]), int(match[3]), int(match[4] or 1)
    dates = [(n // 12, n % 12 + 1, day) for n in (year * 12 + month - 1 + months).tolist()]
    if calendar in ("standard", "gregorian", "proleptic_gregorian"):
        texts = [f"{year:04d}-{month:02d}-{day:02d}" for year, month, day in dates]
        return np.array(texts, dtype="M8[s]").astype("M8[ns]")
    import cftime

    return np.array([cftime.datetime(*date, calendar=calendar) for date in dates], dtype=object)
