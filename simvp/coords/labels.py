"""Labels along the axes: times, rows and columns, made monotone without changing what they label."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from simvp.coords.roles import Axes
from simvp.coords.selection import few
from simvp.coords.valid_time import valid_times

TimeLabels = tuple[np.ndarray, np.ndarray | None, str, list[str]]


def time_labels(ds: xr.Dataset, axes: Axes, names: Sequence[str]) -> TimeLabels:
    """Rising valid times, the order that sorts them (None: they are sorted), a remark on them, and what is wrong."""
    values, remark, faults = valid_times(ds, axes, names)
    if faults:
        return values, None, remark, faults
    order = None
    if not (values[1:] > values[:-1]).all():
        order = np.argsort(values, kind="stable")
        values = values[order]
    same = values[1:][values[1:] == values[:-1]]
    if len(same):
        single = ds.variables[axes.times].encoding.get("dtype") == np.float32
        why = "; they are stored in float32, which may be too coarse for them" if single else ""
        faults = [f"time: {len(same)} times occur more than once: {few(np.unique(same))}{why}"]
    return values, order, remark, faults


def axis_labels(ds: xr.Dataset, axes: Axes, axis: str) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Monotone labels of y or x, the order that makes them so, and what is wrong with them."""
    dim, name = (axes.y, axes.rows) if axis == "y" else (axes.x, axes.columns)
    if name not in ds.variables or ds.variables[name].dims != (dim,) or ds.variables[name].dtype.kind not in "fiu":
        return np.arange(ds.sizes[dim]), None, []
    labels = ds.variables[name].values
    labels = labels.astype("f8") if labels.dtype.kind in "iu" else labels
    values = labels.astype("f8")
    if not np.isfinite(values).all():
        return labels, None, [f"{name}: {int((~np.isfinite(values)).sum())} of {len(values)} values are missing"]
    if len(np.unique(values)) < len(values):
        return labels, None, [f"{name}: values occur more than once"]
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return labels, None, []
    if axes.kind == "latlon" and axis == "x":
        return *_join_longitudes(labels), []
    order = np.argsort(values)
    return labels[order], order, []


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
