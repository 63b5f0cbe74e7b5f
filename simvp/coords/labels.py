"""Labels along the axes: times, rows and columns, made monotone without changing what they label."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords.mapping import beyond, degrees, first_on_meridian
from simvp.coords.roles import Axes
from simvp.coords.selection import few

logger = logging.getLogger(__name__)


def time_labels(name: str, coord: xr.Variable) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Canonical times, the order that sorts them (None: they are sorted), and what is wrong with them."""
    values = np.atleast_1d(coord.values)
    try:
        values = _dates(values)
    except (ValueError, TypeError) as error:
        return values, None, [f"time: {name} cannot be read as dates: {error}"]
    if values.dtype.kind == "M" and np.isnat(values).any():
        return values, None, [f"time: {int(np.isnat(values).sum())} of {len(values)} times are missing in {name}"]
    order = None
    if not (values[1:] > values[:-1]).all():
        order = np.argsort(values, kind="stable")
        values = values[order]
    same = values[1:][values[1:] == values[:-1]]
    faults = [f"time: {len(same)} times occur more than once: {few(np.unique(same))}"] if len(same) else []
    return values, order, faults


def _dates(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "SU" or (values.dtype == object and isinstance(values.flat[0], str)):
        values = np.array([str(v, "ascii") if isinstance(v, bytes) else str(v) for v in values])
        values = np.array([v.strip().replace("_", "T") for v in values], dtype="datetime64[ns]")
    if values.dtype.kind == "M" and values.dtype != "datetime64[ns]":
        # datetime64[ns] reaches from 1677 to 2262; a cast from beyond wraps around without a word.
        years = values.astype("datetime64[Y]").astype(np.int64) + 1970
        if (np.abs(years[~np.isnat(values)] - 1970) > 290).any():
            raise ValueError(f"years {years.min()} to {years.max()}; expected 1680 to 2260, or cftime dates")
    if values.dtype == object and not hasattr(values.flat[0], "calendar"):
        values = values.astype("datetime64[ns]")
    if values.dtype == object:  # cftime: plain dates where the calendar is the common one
        values = np.array([_whole_second(v) for v in values], dtype=object)
        if all(v.calendar in ("standard", "gregorian", "proleptic_gregorian") and 1700 < v.year < 2200 for v in values):
            return _whole(np.array([v.isoformat() for v in values], dtype="datetime64[ns]"))
        return values
    return _whole(values.astype("datetime64[ns]"))


def _whole_second(time: Any) -> Any:
    off = (time.microsecond + 500_000) % 1_000_000 - 500_000
    return time - timedelta(microseconds=off) if off and abs(off) < 10_000 else time


def _whole(times: np.ndarray) -> np.ndarray:
    """Whole seconds, where floating-point days or hours missed one by less than a hundredth."""
    seconds = (times + np.timedelta64(500_000_000, "ns")).astype("datetime64[s]").astype("datetime64[ns]")
    near = np.abs(times - seconds) < np.timedelta64(10_000_000, "ns")
    return np.where(near, seconds, times)


def axis_labels(ds: xr.Dataset, axes: Axes, axis: str) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Monotone labels of y or x, the order that makes them so, and what is wrong with them.

    Latitudes and longitudes are in degrees of north and east. The order leaves out columns that repeat a meridian.
    """
    dim, name = (axes.y, axes.rows) if axis == "y" else (axes.x, axes.columns)
    if name not in ds.variables or ds.variables[name].dims != (dim,) or ds.variables[name].dtype.kind not in "fiu":
        return np.arange(ds.sizes[dim]), None, []
    labels = ds.variables[name].values
    labels = labels.astype("f8") if labels.dtype.kind in "iu" else labels
    if not np.isfinite(labels.astype("f8")).all():
        return labels, None, [f"{name}: {int((~np.isfinite(labels)).sum())} of {len(labels)} values are missing"]
    if len(np.unique(labels)) < len(labels):
        return labels, None, [f"{name}: values occur more than once"]
    if axes.kind != "latlon":
        return *_monotone(labels), []
    labels, faults = on_earth(name, "latitude" if axis == "y" else "longitude", labels, ds.variables[name].attrs)
    if faults or axis == "y":
        return (labels, None, faults) if faults else (*_monotone(labels), [])
    first = first_on_meridian(labels)
    kept = np.unique(first)
    if len(kept) == len(labels):
        return *_monotone_or_joined(labels), []
    twice = np.flatnonzero(first != np.arange(len(first)))
    logger.info("%s: left out, the meridians of %s once more: %s", name, few(labels[first[twice]]), few(labels[twice]))
    labels, order = _monotone_or_joined(labels[kept])
    return labels, kept if order is None else kept[order], []


def on_earth(name: str, role: str, values: np.ndarray, attrs: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Latitudes or longitudes in degrees of north or east, none a little beyond a pole, and what is wrong with them."""
    try:
        values = degrees(values, attrs.get("units"))
    except ValueError as error:
        return values, [f"{name}: {role}: {error}"]
    if fault := beyond(role, values):
        return values, [f"{name}: {fault}"]
    return (np.clip(values, -90.0, 90.0) if role == "latitude" and (np.abs(values) > 90.0).any() else values), []


def _monotone(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    steps = np.diff(labels.astype("f8"))
    if (steps > 0).all() or (steps < 0).all():
        return labels, None
    order = np.argsort(labels)
    return labels[order], order


def _monotone_or_joined(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    steps = np.diff(labels.astype("f8"))
    return (labels, None) if (steps > 0).all() or (steps < 0).all() else _join_longitudes(labels)


def _join_longitudes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Longitudes with one jump of their range: round the globe they are rolled, on a region shifted by 360 degrees."""
    steps = np.diff(labels.astype("f8"))
    rising = (steps > 0).sum() >= (steps < 0).sum()
    jumps = np.flatnonzero(steps < 0 if rising else steps > 0)
    turn = np.zeros(len(labels))
    turn[jumps[0] + 1 :] = 360.0 if rising else -360.0
    joined = labels + turn.astype(labels.dtype if labels.dtype.kind == "f" else "f8")
    gaps = np.abs(np.diff(joined))
    span = abs(joined[-1] - joined[0])
    if len(jumps) > 1 or span >= 360.0:
        order = np.argsort(labels)
        return labels[order], order
    if span + gaps.max() >= 360.0 - 0.5 * gaps.max():  # across the border lies no more than one and a half spacings
        order = np.roll(np.arange(len(labels)), -(jumps[0] + 1))
        return labels[order], order
    return joined if joined.max() <= 360.0 or joined.min() < -180.0 else joined - np.sign(turn[-1]) * 360.0, None
