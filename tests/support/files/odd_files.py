"""Small files of which each is odd in one way: their times, their places, their levels."""

from typing import Any

import numpy as np

from tests.support.files.small_files import KELVIN, Variables, hourly, maps

RUN = {"standard_name": "forecast_reference_time", "units": "hours since 2020-01-01"}
VALID = {"standard_name": "time", "units": "hours since 2020-01-01"}
BARE = {"units": "hours since 2020-01-01"}
HOURS = {"units": "hours"}


def one(values: Any = None, first: int = 0, **attrs: Any) -> Variables:
    """Hourly maps in K of a variable with these attributes beside."""
    return hourly("t", maps(4, first) if values is None else values, {**KELVIN, **attrs}, first=first)


def timed(values: Any, attrs: dict[str, Any], more: Variables | None = None) -> Variables:
    """Maps at these times."""
    return one(maps(len(values))) | {"time": (("time",), np.asarray(values), attrs)} | (more or {})


def holding(number: float, frames: int = 4) -> np.ndarray:
    values = maps(frames, add=280.0)
    values[1, 2, 3] = number
    return values


def levels(**more: Any) -> Variables:
    """On two levels."""
    axis = (("plev",), np.array([850.0, 500.0]), {"units": "hPa", "standard_name": "air_pressure"})
    return one() | {"plev": axis, "t": (("time", "plev", "lat", "lon"), np.stack([maps()] * 2, 1), KELVIN)} | more


def at_level(level: float | None, first: int = 0) -> Variables:
    if level is None:
        return one(first=first)
    return one(first=first, coordinates="plev") | {"plev": ((), np.float64(level), {"units": "hPa"})}


def leads(times: dict[str, Any], values: Any, attrs: dict[str, Any], name: str = "lead") -> Variables:
    """Times and an axis of leads."""
    made = one() | {"time": (("time",), np.arange(4), times), name: ((name,), np.asarray(values), attrs)}
    return made | {"t": (("time", name, "lat", "lon"), np.stack([maps()] * len(values), 1), KELVIN)}


def run(hour: int) -> Variables:
    """One run over its leads."""
    made = {name: of for name, of in one().items() if name != "time"}
    made |= {"reftime": ((), np.int32(hour), RUN), "lead": (("lead",), np.arange(4), HOURS)}
    return made | {"t": (("lead", "lat", "lon"), maps(), KELVIN)}


def daily(bounds: bool) -> Variables:
    """Means of days, labelled at their end."""
    days = np.arange(1, 5)
    edges = {"time_bnds": (("time", "edge"), np.stack([days - 1, days], 1), {})} if bounds else {}
    return timed(days, {"units": "days since 2020-01-01", "bounds": "time_bnds"}, edges)


def many_years() -> Variables:
    days = np.array([15, 45, 75, 105])
    edges = np.stack([days - 15, days + 3650], 1)
    attrs = {"units": "days since 1990-01-01", "climatology": "climatology_bnds"}
    return timed(days, attrs, {"climatology_bnds": (("time", "edge"), edges, {})})


def two_axes() -> Variables:
    third = {"time3": (("time3",), np.array([0, 3]), VALID)}
    return one() | third | {"rain": (("time3", "lat", "lon"), maps(2), {"units": "mm"})}


def turned(*, first: int = 0, unit: str = "m", mapped: bool = True, **attrs: Any) -> Variables:
    """On a map projection."""
    mapping = {"grid_mapping_name": "polar_stereographic", "latitude_of_projection_origin": 90.0}
    mapping |= {"straight_vertical_longitude_from_pole": 10.0, "standard_parallel": 60.0, "earth_radius": 6371229.0}
    made = {"time": (("time",), np.arange(first, first + 4), BARE)}
    for name, size in (("y", 3), ("x", 4)):
        said = {"standard_name": f"projection_{name}_coordinate", "units": unit}
        made[name] = ((name,), 1000.0 * np.arange(1, size + 1), said)
    if not mapped:
        return made | {"t": (("time", "y", "x"), maps(4, first), KELVIN)}
    crs = ((), np.int32(0), {**mapping, **attrs})
    return made | {"crs": crs, "t": (("time", "y", "x"), maps(4, first), {**KELVIN, "grid_mapping": "crs"})}


def on_earth(radius: float, first: int = 0) -> Variables:
    crs = ((), np.int32(0), {"grid_mapping_name": "latitude_longitude", "earth_radius": radius})
    return one(first=first, grid_mapping="crs") | {"crs": crs}


def shifted(name: str, values: Any, attrs: dict[str, Any], first: int = 0) -> Variables:
    return one(first=first) | {name: ((name,), np.asarray(values), attrs)}


def points(*, first: int = 0, off: float = 0.0, nest: float = 0.0) -> Variables:
    """Latitude and longitude of every point, with a time where they move along it."""
    lat = 50.0 + off - np.arange(3)[:, None] + 0.01 * np.arange(4)
    lon = 5.0 + np.arange(4) + 0.01 * np.arange(3)[:, None]
    dims: tuple[str, ...] = ("y", "x")
    if nest:
        dims, lat, lon = ("time", *dims), lat + nest * np.arange(4)[:, None, None], np.stack([lon] * 4)
    made = {"time": (("time",), np.arange(first, first + 4), BARE)}
    made |= {"lat": (dims, lat, {"units": "degrees_north"}), "lon": (dims, lon, {"units": "degrees_east"})}
    return made | {"t": (("time", "y", "x"), maps(4, first), {**KELVIN, "coordinates": "lat lon"})}


def numbered() -> Variables:
    """Rows and columns that are called latitude and longitude, beside those of the points."""
    made = points()
    made = {"time": made["time"]} | {f"{n}itude": (("lat", "lon"), *made[n][1:]) for n in ("lat",)}
    made["longitude"] = (("lat", "lon"), *points()["lon"][1:])
    made |= {n: ((n,), np.arange(float(size)), one()[n][2]) for n, size in (("lat", 3), ("lon", 4))}
    return made | {"t": (("time", "lat", "lon"), maps(), KELVIN)}


def staggered() -> Variables:
    wider = (("lon_u",), 4.5 + np.arange(5.0), {"units": "degrees_east"})
    return one() | {"lon_u": wider, "u": (("time", "lat", "lon_u"), np.ones((4, 3, 5), "f4"), {"units": "m s-1"})}


def listed(*dims: str) -> Variables:
    """Places that lie along one dim, or along time too."""
    shape = (4, 5)[-len(dims) :]
    made = {"time": (("time",), np.arange(4), BARE)}
    for name, start in (("lat", 50.0), ("lon", 5.0)):
        attrs = {"units": "degrees_north" if name == "lat" else "degrees_east"}
        made[name] = (dims, start + np.arange(np.prod(shape)).reshape(shape), attrs)
    return made | {"t": (("time", dims[-1]), np.ones((4, 5), "f4"), KELVIN)}
