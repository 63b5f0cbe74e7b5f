"""Two worlds that the tests live in, both canonical Datasets on any of the four kinds of grid.

* The address world: every value encodes its variable, its time index and its point, so that any swap, shift
  or mirror of anything is seen; `addresses` says where a stray value came from.
* The formula world: every value follows an exact formula in time, so that a forecast of any length can be
  proved: a network that knows the formula must be right to the last digit after any number of rollout blocks.

Both are cut from an endless series by the absolute index of the first frame: ``first=24`` continues
``frames=24``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import xarray as xr

Kind = Literal["latlon", "projected", "curvilinear", "index"]


class Labels(TypedDict, total=False):
    """Time of frame 0, a pandas frequency ("1h", "30min", "MS"), a CF calendar (not "standard": cftime), the grid."""

    start: str
    step: str
    calendar: str
    grid: Kind


WAVE = 7  # steps; prime to 24, so that 7 days of hours see each phase once at each hour of the day
TEMPERATURE = ("t2m", "d2m")
ATTRS: Mapping[str, Mapping[str, str]] = {
    "t2m": {"units": "K", "standard_name": "air_temperature", "long_name": "2 metre temperature"},
    "d2m": {"units": "K", "standard_name": "dew_point_temperature", "long_name": "2 metre dewpoint temperature"},
    "inflow": {"units": "1", "long_name": "vehicles entering the cell in one step"},
    "outflow": {"units": "1", "long_name": "vehicles leaving the cell in one step"},
}


def coordinates(shape: tuple[int, int], grid: Kind = "latlon") -> tuple[tuple[str, str], dict[str, xr.Variable]]:
    """Dims and coordinates (no two axes alike, latitude from north to south) of a grid of `shape`, (H, W)."""
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    latitude = {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude"}
    longitude = {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"}
    if grid == "latlon":
        return ("latitude", "longitude"), {
            "latitude": xr.Variable("latitude", 58.0 - 0.25 * rows, {**latitude, "axis": "Y"}),
            "longitude": xr.Variable("longitude", -10.0 + 0.5 * columns, {**longitude, "axis": "X"}),
        }
    if grid == "projected":
        y = {"units": "m", "standard_name": "projection_y_coordinate", "axis": "Y"}
        x = {"units": "m", "standard_name": "projection_x_coordinate", "axis": "X"}
        mapping = {
            "grid_mapping_name": "lambert_azimuthal_equal_area",
            "latitude_of_projection_origin": 52.0,
            "longitude_of_projection_origin": 10.0,
            "false_easting": 0.0,
            "false_northing": 0.0,
        }
        return ("y", "x"), {
            "y": xr.Variable("y", 900e3 - 2000.0 * rows, y),
            "x": xr.Variable("x", -50e3 + 1000.0 * columns, x),
            "crs": xr.Variable((), 0, mapping),
        }
    made = {
        "y": xr.Variable("y", rows, {"long_name": "row"}),
        "x": xr.Variable("x", columns, {"long_name": "column"}),
    }
    if grid == "curvilinear":
        made["latitude"] = xr.Variable(("y", "x"), 40.0 + 0.5 * rows[:, None] + 0.05 * columns, latitude)
        made["longitude"] = xr.Variable(("y", "x"), 5.0 - 0.03 * rows[:, None] + 0.4 * columns, longitude)
    return ("y", "x"), made


def address(variable: int, time: Any, shape: tuple[int, int]) -> np.ndarray:
    """Values, float64 (N, H, W), of variable number `variable` at the absolute time indices `time`, (N,).

    Mixed radix: ((variable x 10^4 + time) x H + row) x W + column. `addresses` is the inverse.
    """
    time = np.atleast_1d(np.asarray(time, np.int64))
    assert time.min() >= 0
    assert time.max() < 10_000
    frame = (variable * 10_000 + time)[:, None, None]
    return ((frame * shape[0] + np.arange(shape[0])[:, None]) * shape[1] + np.arange(shape[1])).astype("f8")


def addresses(values: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Variable number, time index, row and column that values of the address world name."""
    rest, column = np.divmod(np.asarray(values).astype(np.int64), shape[1])
    rest, row = np.divmod(rest, shape[0])
    variable, time = np.divmod(rest, 10_000)
    return variable, time, row, column


def address_world(
    variables: Sequence[str] = TEMPERATURE,
    *,
    frames: int = 48,
    first: int = 0,
    shape: tuple[int, int] = (6, 8),
    dtype: str = "float32",
    **labels: Unpack[Labels],
) -> xr.Dataset:
    """Canonical Dataset, dims (time, y, x), of the values of `address`, exact in the dtype or refused here.

    Parameters
    ----------
    variables
        Names; the known ones (t2m, d2m: K; inflow, outflow: 1) get their attributes, others the units "1".
    frames, first
        How many frames, and the absolute index of the first one.
    shape, dtype
        (H, W), and the dtype of the values.
    labels
        See `Labels`.
    """
    fields = {}
    for number, name in enumerate(variables):
        exact = address(number, np.arange(first, first + frames), shape)
        fields[name] = exact.astype(dtype)
        assert np.array_equal(fields[name], exact), f"addresses do not fit into {dtype}; take a smaller world"
    return _dataset(fields, first, **labels)


def formula(variable: int, time: Any, shape: tuple[int, int], *, trend: float = 0.0) -> np.ndarray:
    """Values, float64 (N, H, W), of the formula world at the absolute time indices `time`, (N,); in K.

    With v the number of the variable::

        280 + 5 v + row/4 - column/8 + trend t + (4 + v) cos(2 pi ((t + row + 2 column) mod 7) / 7)

    Without a trend x(t + 7) = x(t) bit for bit, and departures d from the mean obey
    d(t + 1) = 2 cos(2 pi / 7) d(t) - d(t - 1). The mean over any 7 whole days of hours, also of one hour of
    the day alone, is the map without the cosine: the departure from an hour-of-day climatology fitted on 7 n
    days is the cosine.
    """
    time = np.atleast_1d(np.asarray(time, np.int64))[:, None, None]
    row, column = np.arange(shape[0])[:, None], np.arange(shape[1])
    phase = np.cos(2 * np.pi / WAVE * np.arange(WAVE))[(time + row + 2 * column) % WAVE]
    return 280.0 + 5.0 * variable + row / 4 - column / 8 + trend * time + (4.0 + variable) * phase


def formula_world(
    variables: Sequence[str] = TEMPERATURE,
    *,
    frames: int = 14 * 24,
    first: int = 0,
    shape: tuple[int, int] = (6, 8),
    dtype: str = "float32",
    trend: float = 0.0,
    **labels: Unpack[Labels],
) -> xr.Dataset:
    """Canonical Dataset, dims (time, y, x), whose values are `formula`; parameters as in `address_world`."""
    times = np.arange(first, first + frames)
    fields = {name: formula(number, times, shape, trend=trend).astype(dtype) for number, name in enumerate(variables)}
    return _dataset(fields, first, **labels)


def _dataset(
    fields: Mapping[str, np.ndarray],
    first: int,
    *,
    start: str = "2020-01-01",
    step: str = "1h",
    calendar: str = "standard",
    grid: Kind = "latlon",
) -> xr.Dataset:
    frames, *shape = next(iter(fields.values())).shape
    dims, coords = coordinates((shape[0], shape[1]), grid)
    cftime = None if calendar == "standard" else True
    times = xr.date_range(start, periods=first + frames, freq=step, calendar=calendar, use_cftime=cftime).to_numpy()[
        first:
    ]
    if times.dtype.kind == "M":
        times = times.astype("datetime64[ns]")
    coords["time"] = xr.Variable("time", times, {"standard_name": "time", "axis": "T"})
    mapping = {"grid_mapping": "crs"} if grid == "projected" else {}
    return xr.Dataset(
        {
            name: xr.Variable(("time", *dims), values, {**ATTRS.get(name, {"units": "1"}), **mapping})
            for name, values in fields.items()
        },
        coords=coords,
    )
