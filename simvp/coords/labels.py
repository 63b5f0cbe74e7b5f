"""Labels along the axes: times, rows and columns, made monotone without changing what they label."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords.mapping import beyond, degrees, first_on_meridian
from simvp.coords.planes import Axes
from simvp.coords.selection import few
from simvp.coords.valid_time import valid_times

TimeLabels = tuple[np.ndarray, np.ndarray | None, str, list[str]]

logger = logging.getLogger(__name__)


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
    """Monotone labels of y or x, the order that makes them so, and what is wrong with them.

    Latitudes and longitudes are in degrees of north and east. The order leaves out columns that repeat a meridian.
    """
    dim, name = (axes.y, axes.rows) if axis == "y" else (axes.x, axes.columns)
    if name not in ds.variables:
        return pixel_centres(ds, axes, axis), None, []
    if ds.variables[name].dims != (dim,) or ds.variables[name].dtype.kind not in "fiu":
        said = f"{name}: expected numbers along {dim}, got {few(np.ravel(ds.variables[name].values)[:1])!r}"
        return np.arange(ds.sizes[dim]), None, [said] if axes.kind in ("latlon", "projected") else []
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


def pixel_centres(ds: xr.Dataset, axes: Axes, axis: str) -> np.ndarray:
    """Numbers along y or x of a file that has none: by the attribute GeoTransform of GDAL, else of rows and columns.

    GeoTransform is the corner of the first pixel, its size and its turn: "x0 dx rx y0 ry dy"; one that is turned has no
    rows and columns of one y and one x.
    """
    size = ds.sizes[axes.y if axis == "y" else axes.x]
    every = [] if axes.numbered else [ds.attrs, *(var.attrs for var in ds.variables.values())]
    texts = [str(attrs.get("GeoTransform", "")) for attrs in every]
    numbers = next((text.replace(",", " ").split() for text in texts if text), [])
    try:
        x0, dx, turn, y0, other_turn, dy = map(float, numbers)
    except ValueError:
        return np.arange(size)
    if turn or other_turn:
        return np.arange(size)
    first, step = (y0, dy) if axis == "y" else (x0, dx)
    return first + step * (np.arange(size) + 0.5)


def misplaced(ds: xr.Dataset, name: str, axes: Axes) -> list[str]:
    """What cfgrib, used by the caller, puts elsewhere than the messages say, by the attributes it leaves.

    It takes columns that follow one another for rows, and numbers all columns in rising order, those that go west or
    cross Greenwich too (github.com/ecmwf/cfgrib/issues/402).
    """
    attrs = ds.variables[name].attrs
    remedy = "; open the file by its path, or drop the attributes GRIB_... once it is set right"
    if attrs.get("GRIB_jPointsAreConsecutive") == 1:
        said = "a scanning mode with GRIB_jPointsAreConsecutive 1, which cfgrib reads in the wrong order"
        return [f"{name}: {said}{remedy}"]
    first, last = (attrs.get(f"GRIB_longitudeOf{end}GridPointInDegrees") for end in ("First", "Last"))
    if axes.kind != "latlon" or axes.columns not in ds.variables:
        return []
    longitudes = ds.variables[axes.columns].values
    whole = len(longitudes) > 1 and attrs.get("GRIB_Nx") == len(longitudes)
    if not whole or first is None or last is None:
        return []
    if (attrs.get("GRIB_iScansNegatively") or first % 360 > last % 360) and (np.diff(longitudes) > 0).all():
        off = abs((longitudes[0] - first + 180.0) % 360.0 - 180.0)
        if off > 0.5 * np.diff(longitudes).min():
            said = f"{axes.columns} begins at {longitudes[0]:g}, the values at {first:g}"
            key = "GRIB_longitudeOfFirstGridPointInDegrees"
            return [f"{name}: {said} ({key}), as cfgrib numbers columns in rising order{remedy}"]
    return []


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
