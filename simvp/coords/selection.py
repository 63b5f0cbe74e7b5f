"""Choosing by name: one value of an axis, a variable; what is not there is refused with what is."""

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from simvp.coords.roles import HOURS, NAMES, Role, bounds, candidates
from simvp.coords.valid_time import said_valid, two_meanings
from simvp.errors import Refusal
from simvp.times import calendar_of, duration_words, durations_of, parse_duration, parse_times
from simvp.values import converted

AMOUNT = re.compile(r"([+-]?\d+(?:\.\d*)?)\s*([A-Za-z%].*)")
SHOWN = 20  # datasets whose variables a message lists
# What an axis may be asked for as, whatever it is called.
MEANT: dict[str, Role] = {
    **dict.fromkeys(("level", "height", "depth", "pressure"), "z"),
    "member": "member",
    **dict.fromkeys(("step", "lead", "lead_time", "leadtime", "prediction_timedelta", "forecast_period"), "lead"),
    **dict.fromkeys(("init", "init_time", "forecast_reference_time", "reference_time", "run"), "init"),
}


def select_values(ds: xr.Dataset, select: Mapping[str, Any]) -> xr.Dataset:
    """Take one value of each axis that `select` names; of an axis without labels, one position."""
    reasons = []
    for key, value in select.items():
        names = axis_names(ds, key)
        if not names:
            reasons.append(f"select {key}={value!r}: there is no such axis; got {_axes_listing(ds)}")
            continue
        coord = axis_of(ds, names[0])
        if coord.ndim > 1:
            reasons.append(f"select {key}={value!r}: {names[0]} has dims {coord.dims}, expected one")
            continue
        if fault := _unknown_lead(ds, names[0]):
            reasons.append(f"select {key}={value!r}: {fault}")
            continue
        hits = np.flatnonzero(_equal(np.atleast_1d(coord.values), value, str(coord.attrs.get("units", ""))))
        if len(hits) == 0:
            reasons.append(f"select {key}={value!r}: not among the values of {names[0]}: {values_of(coord)}")
        elif len(hits) > 1:
            reasons.append(f"select {key}={value!r}: {names[0]} has it {len(hits)} times: {values_of(coord)}")
        elif coord.ndim:
            ds = ds.isel({coord.dims[0]: int(hits[0])})
    if reasons:
        raise Refusal("selection", reasons)
    return ds


def axis_names(ds: xr.Dataset, key: str) -> list[str]:
    """Axes of `ds` that a key of `select` can mean, the best first: by name, else by role (level, member, step)."""
    if key in ds.dims or key in ds.coords:
        return [key]
    role = MEANT.get(key)
    axes = [c.name for c in candidates(ds) if role is not None and c.role == role and len(c.dims) < 2]
    bare = [str(d) for d in ds.dims if d not in ds.variables and re.fullmatch(rf"{key}s?\d*", str(d), re.IGNORECASE)]
    return sorted(axes, key=lambda n: ds[n].size < 2) + bare


def _equal(values: np.ndarray, value: Any, units: str) -> np.ndarray:
    """Which of the values of an axis are meant: by a number in its units, or by words such as "12h" or "850 hPa"."""
    duration = parse_duration(value) if isinstance(value, str) else None
    try:
        if isinstance(value, timedelta | np.timedelta64):
            duration = pd.Timedelta(value).to_timedelta64()
        if values.dtype.kind == "m":
            return values == (np.timedelta64(pd.Timedelta(value)) if duration is None else duration)
        if values.dtype.kind == "M":
            return values == parse_times(value)[0]
        if values.dtype == object and hasattr(values.flat[0], "calendar"):
            return values == parse_times(value, calendar_of(values))[0]
        if values.dtype.kind in "OSU":
            return values.astype(str) == str(value)
        if duration is not None:
            return np.abs(durations_of(values, units) - duration) < np.timedelta64(1, "s")
        return np.isclose(values.astype("f8"), _number(value, units), rtol=1e-6, atol=0.0)
    except (ValueError, TypeError):  # a word, asked of numbers or dates
        return np.zeros(values.shape, bool)


def _number(value: Any, units: str) -> float:
    """A number in `units`, out of one or of words such as "850 hPa"."""
    try:
        return float(value)
    except ValueError:
        amount = AMOUNT.fullmatch(value.strip())
        number = None if amount is None else converted(float(amount[1]), amount[2], units)
        return np.nan if number is None else number


def _unknown_lead(ds: xr.Dataset, name: str) -> str:
    """Why an axis of leads that are not told gives no valid times; empty for any other axis."""
    coord = axis_of(ds, name)
    ranked = candidates(ds)
    lead = NAMES["lead"].fullmatch(name.lower()) or any(c.name == name and c.role == "lead" for c in ranked)
    if not lead or not coord.ndim:
        return ""
    said = [c for c in ranked if c.role == "time" and said_valid(ds, c.name)]
    if said:
        told = any(c.role == "init" or (c in said and set(coord.dims) <= set(c.dims)) for c in ranked)
        return "" if told else two_meanings(ds, said[0].name, name)
    if HOURS.fullmatch(name.lower()) and coord.attrs.get("standard_name") != "forecast_period":
        return (
            f"hours of what is not told; set the standard_name of {name} to forecast_period if they are added to time"
        )
    try:
        if name in ds.variables:
            durations_of(np.ravel(coord.values), str(coord.attrs.get("units", "")))
            return ""
        error = "it has no values"
    except ValueError as wrong:
        error = str(wrong)
    return f"the leads of {name} are not told ({error}), so neither are valid times; give files with the valid time"


def check_names(datasets: Sequence[xr.Dataset], variables: Sequence[str]) -> None:
    """Refuse variables that are in none of the datasets, with the likely ones and with all that are there."""
    reasons = []
    for name in variables:
        if not any(name in ds.variables for ds in datasets):
            meant = _meant(datasets, name)
            hint = f" (did you mean {meant!r}?)" if meant else ""
            there = ", ".join(dict.fromkeys(listing(ds) for ds in datasets[:SHOWN]))
            reasons.append(f"variable {name!r} is not there{hint}; got {there}")
    if reasons:
        raise Refusal("variables", reasons)


def _meant(datasets: Sequence[xr.Dataset], name: str) -> str | None:
    labels: dict[str, str] = {}
    for ds in datasets:
        for key, var in ds.data_vars.items():
            for text in (str(key), var.attrs.get("standard_name"), var.attrs.get("long_name")):
                labels.setdefault(str(text).lower().replace(" ", "_"), str(key))
    close = difflib.get_close_matches(name.lower(), labels, 1, 0.6)
    return labels[close[0]] if close else None


def axis_of(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Coordinate of that name; positions, where a dim has none."""
    return ds[name] if name in ds.variables else xr.DataArray(np.arange(ds.sizes[name]), dims=name)


def listing(ds: xr.Dataset) -> str:
    """Data variables and their dims, for a message."""
    aside = bounds(ds)
    return ", ".join(f"{n} {v.dims}" for n, v in ds.data_vars.items() if n not in aside) or "no data variables"


def _axes_listing(ds: xr.Dataset) -> str:
    names: Iterable[Hashable] = [*ds.dims, *(n for n in ds.coords if n not in ds.dims and ds[n].ndim == 0)]
    return ", ".join(str(n) for n in names)


def values_of(coord: xr.DataArray) -> str:
    """Values of an axis with their unit, for a message."""
    unit = f" {coord.attrs['units']}" if coord.attrs.get("units") else ""
    values = np.atleast_1d(coord.values)
    if values.dtype.kind == "m":
        return few(np.array([duration_words(value) for value in values]))
    return few(values) + unit


def few(values: np.ndarray, limit: int = 12) -> str:
    """The first of many values, for a message."""
    texts = [str(v) for v in (values if len(values) <= limit else values[: limit - 1])]
    return ", ".join(texts) + (f", ... ({len(values)} in all)" if len(values) > limit else "")
