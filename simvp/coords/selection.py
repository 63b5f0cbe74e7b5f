"""Choosing by name: one value of an axis, a variable; what is not there is refused with what is."""

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from simvp.coords.roles import bounds, candidates
from simvp.errors import Refusal

SHOWN = 20  # datasets whose variables a message lists


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
        hits = np.flatnonzero(_equal(np.atleast_1d(coord.values), value))
        if len(hits) == 0:
            reasons.append(f"select {key}={value!r}: not among the values of {names[0]}: {values_of(coord)}")
        elif coord.ndim:
            ds = ds.isel({coord.dims[0]: int(hits[0])})
    if reasons:
        raise Refusal("selection", reasons)
    return ds


def axis_names(ds: xr.Dataset, key: str) -> list[str]:
    """Axes of `ds` that a key of `select` can mean, the best first: by name, else by role (level, member, step)."""
    if key in ds.dims or key in ds.coords:
        return [key]
    role = {"level": "z", "height": "z", "depth": "z", "pressure": "z", "member": "member", "step": "lead"}.get(key)
    axes = [c.name for c in candidates(ds) if role is not None and c.role == role and len(c.dims) < 2]
    bare = [str(d) for d in ds.dims if d not in ds.variables and re.fullmatch(rf"{key}s?\d*", str(d), re.IGNORECASE)]
    return sorted(axes, key=lambda n: ds[n].size < 2) + bare


def _equal(values: np.ndarray, value: Any) -> np.ndarray:
    try:
        if values.dtype.kind == "m":
            return values == np.timedelta64(pd.Timedelta(value))
        if values.dtype.kind == "M":
            return values == np.datetime64(value)
        if values.dtype.kind in "OSU":
            return values.astype(str) == str(value)
        return np.isclose(values.astype("f8"), float(value), rtol=1e-6, atol=0.0)
    except ValueError:  # a word, asked of numbers or dates
        return np.zeros(values.shape, bool)


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
    return few(np.atleast_1d(coord.values)) + unit


def few(values: np.ndarray, limit: int = 12) -> str:
    """The first of many values, for a message."""
    texts = [str(v) for v in (values if len(values) <= limit else values[: limit - 1])]
    return ", ".join(texts) + (f", ... ({len(values)} in all)" if len(values) > limit else "")
