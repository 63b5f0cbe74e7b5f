"""The labelled forecast: dims (init_time, lead_time, row, column), CF attributes, other tools' names for it.

No axis is called `time`, which is the init time in some tools and the valid time in others: `init_time` is the time
of the last observed frame, the first lead is one step later, and `valid_time` is always stored.
"""

import re
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from simvp.coords.grid import GEOGRAPHIC, Grid, Kind, horizontal_dims
from simvp.coords.roles import NAMES
from simvp.coords.steps import Step, lead_times
from simvp.errors import Refusal
from simvp.times import EPOCH, calendar_of

if TYPE_CHECKING:
    from simvp.coords.planes import Axes

CONVENTIONS = "CF-1.11"
VOLATILE = ("created", "history", "archive_snapshot")
"""Coordinates and attributes that say when and where a forecast was made; left out of every comparison."""

MEMBERS_OF, BOUNDS_OF = "_member", "_quantile"
"""After the name of a variable: its members, along the dim ``member``, and its bounds, along ``quantile``."""

RATIO_OF = "_error_ratio"
"""After the name of a variable: the coordinate that says how errors of late were, beside those of the validation."""

_BESIDE = {MEMBERS_OF: "member", BOUNDS_OF: "quantile"}

# What holds for a variable whoever made it: not the comments, the references, the statistics of the source's own file.
_VARIABLE_ATTRS = (
    "units",
    "standard_name",
    "long_name",
    "short_name",
    "cell_methods",
    "units_metadata",
    "positive",
    "fixed_at",
)
_TIME_ATTRS = {
    # No axis "T": cf_xarray would find two times, and `forecast.cf["time"]` is the valid time.
    "init_time": {"standard_name": "forecast_reference_time", "long_name": "time of the last observed frame"},
    "valid_time": {"standard_name": "time", "long_name": "time for which the forecast holds"},
    "lead_time": {"standard_name": "forecast_period", "long_name": "time since the last observed frame"},
}
# CF 3.3 and appendix C: what a standard name looks like, and what may follow it.
_STANDARD_NAME = re.compile(r"[a-z][a-z0-9_]*( (detection_minimum|number_of_observations|standard_error|status_flag))?")
# CF 7.3: names before a colon, outside of the parentheses that may follow a method.
_METHOD_NAMES = re.compile(r"\([^)]*\)|(\w+)\s*:")
_MAPPING_NAME = "map projection"
_INDEX_ATTRS = {"y": {"long_name": "row"}, "x": {"long_name": "column"}}
_EARTH2STUDIO = {"init_time": "time", "latitude": "lat", "longitude": "lon", "member": "ensemble"}
_WEATHERBENCH2 = {"init_time": "time", "lead_time": "prediction_timedelta"}
_CFGRIB = {"init_time": "time", "lead_time": "step", "member": "number"}


def coordinates(
    init_times: np.ndarray, leads: int, *, step: Step, grid: Grid, more: Mapping[str, xr.Variable] | None = None
) -> xr.Coordinates:
    """Coordinates of a labelled forecast.

    Parameters
    ----------
    init_times
        (I,) times of the last observed frames, datetime64 or cftime; the calendar is theirs.
    leads
        Number of leads L.
    step
        Time between two leads. Calendar months have no duration: their `lead_time` is an int64 count with units
        "month", and `valid_time` says which month is meant.
    grid
        Grid of the fields.
    more
        Further coordinates, by name.

    Returns
    -------
    xr.Coordinates
        On dims init_time, lead_time, and latitude and longitude, or y and x; times encoded as int64 seconds.
    """
    init_times = np.asarray(init_times)
    valid = step.shift(init_times[:, None], np.arange(1, leads + 1))
    lead_attrs = dict(_TIME_ATTRS["lead_time"]) | ({"units": "month"} if step.months else {})
    coords = {
        "init_time": xr.Variable(("init_time",), init_times, _TIME_ATTRS["init_time"]),
        "lead_time": xr.Variable(("lead_time",), lead_times(step, leads), lead_attrs),
        "valid_time": xr.Variable(("init_time", "lead_time"), valid, _TIME_ATTRS["valid_time"]),
        **_grid_coords(grid),
        **(more or {}),
    }
    calendar = calendar_of(init_times) if init_times.size else "proleptic_gregorian"
    for name in ("init_time", "valid_time"):
        coords[name].encoding = {"units": EPOCH, "dtype": "int64", "calendar": calendar}
    return xr.Coordinates(coords)


def label(
    fields: Mapping[str, np.ndarray],
    coords: xr.Coordinates,
    *,
    grid: Grid,
    variable_attrs: Mapping[str, Mapping[str, Any]],
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Forecast Dataset from bare arrays.

    Parameters
    ----------
    fields
        One array (I, L, H, W) per variable, in physical units.
    coords
        What `coordinates` made for them.
    grid
        Grid of the fields.
    variable_attrs
        Attributes of each variable, by name; of them units, names, cell_methods and the like are kept.
    attrs
        Attributes of the Dataset; `Conventions` is added.

    Returns
    -------
    xr.Dataset
        Dims (init_time, lead_time, latitude, longitude), or y and x; chunks of one init time as preferred encoding.
    """
    dims = ("init_time", "lead_time", *grid.dims)
    chunks = dict(zip(dims, (1, coords.sizes["lead_time"], *grid.shape), strict=True))
    mapping = {"grid_mapping": grid.mapping[0]} if grid.mapping else {}
    variables = {}
    for name, values in fields.items():
        own = variable_attrs.get(name, {})
        kept = as_cf({key: own[key] for key in _VARIABLE_ATTRS if key in own}, dims) | mapping
        variables[name] = xr.Variable(dims, values, kept, encoding={"preferred_chunks": chunks})
    return unfilled(xr.Dataset(variables, coords, {"Conventions": CONVENTIONS, **(attrs or {})}))


def unfilled(ds: xr.Dataset) -> xr.Dataset:
    """`ds`, with its coordinates told to be written without a `_FillValue`.

    No value of a coordinate may be missing (CF 2.5.1), and xarray marks NaN as the fill value of every float that it
    writes, of coordinates too (pydata/xarray#1865, #5448).
    """
    for name in ds.coords:
        ds.variables[name].encoding.pop("missing_value", None)
        ds.variables[name].encoding["_FillValue"] = None
    return ds


def as_cf(attrs: Mapping[str, Any], dims: tuple[str, ...]) -> dict[str, Any]:
    """Attributes of a variable without what CF does not allow in a forecast.

    A text that can be no standard name says what the variable is (``long_name``), where nothing else does. The methods
    of cells name the axes of the source, which a forecast has not: the time of a mean is its valid time.
    """
    kept = dict(attrs)
    name = str(kept.get("standard_name", ""))
    if name and not _STANDARD_NAME.fullmatch(name):
        kept.setdefault("long_name", kept.pop("standard_name"))
        kept.pop("standard_name", None)
    if "cell_methods" in kept:
        known = {*dims, *GEOGRAPHIC, "area", "time"}
        methods = _METHOD_NAMES.sub(_renamed, str(kept["cell_methods"]))
        if known.issuperset(found[1] for found in _METHOD_NAMES.finditer(methods) if found[1]):
            kept["cell_methods"] = methods
        else:
            del kept["cell_methods"]
    return kept


def _renamed(found: re.Match[str]) -> str:
    """An axis of the source that a method is over, by the name that every forecast has for it."""
    name = (found[1] or "").lower()
    roles = {"time": "time", "latitude": "latitude", "longitude": "longitude"}
    own = next((new for role, new in roles.items() if name and NAMES[role].fullmatch(name)), None)  # type: ignore[index]
    return found[0] if own is None else f"{own}:"


def described(forecast: xr.Dataset, axes: "Axes") -> xr.Dataset:
    """`forecast`, in which the coordinates of its plane say what they are, where they did not (CF 4 and 5)."""
    attrs: dict[Hashable, dict[str, Any]] = {}
    for dim, rows, letter in ((axes.y, axes.rows, "Y"), (axes.x, axes.columns, "X")):
        attrs[dim] = {} if dim not in forecast.coords else _axis_attrs(axes.kind, letter)
        if axes.kind == "latlon":
            attrs.setdefault(rows, {}).update(GEOGRAPHIC["latitude" if letter == "Y" else "longitude"])
    if axes.kind != "latlon" and axes.latitude and axes.longitude:
        attrs |= {axes.latitude: GEOGRAPHIC["latitude"], axes.longitude: GEOGRAPHIC["longitude"]}
    if axes.grid_mapping:
        attrs[axes.grid_mapping] = {"long_name": _MAPPING_NAME}
    for name, own in attrs.items():
        if name in forecast.coords:
            variable = forecast.variables[name]
            variable.attrs = {**own, **variable.attrs}
    return forecast


def _axis_attrs(kind: Kind, letter: str) -> dict[str, str]:
    """What tells the axis of a plane. Rows and columns that lie nowhere on the earth are none to CF (5.6)."""
    if kind == "index":
        return {}
    return {"axis": letter} | ({"units": "1"} if kind == "curvilinear" else {})


def _grid_coords(grid: Grid) -> dict[str, xr.Variable]:
    """Coordinates of the grid with the CF attributes that every forecast has."""
    coords = grid.coords()
    if grid.mapping is not None:
        coords[grid.mapping[0]].attrs.setdefault("long_name", _MAPPING_NAME)
    for name, variable in coords.items():
        variable.attrs |= GEOGRAPHIC.get(name, {})
        if name in grid.dims:
            variable.attrs = {**variable.attrs, **_axis_attrs(grid.kind, "YX"[grid.dims.index(name)])}
        if grid.kind == "index":
            variable.attrs.pop("axis", None)
        if name in _INDEX_ATTRS and grid.kind in ("index", "curvilinear"):
            variable.attrs = {**_INDEX_ATTRS[name], **variable.attrs}
        elif name in _INDEX_ATTRS:
            variable.attrs.setdefault("standard_name", f"projection_{name}_coordinate")
    return coords


def single_maps(forecast: xr.Dataset) -> xr.Dataset:
    """A forecast without the members and the bounds that lie beside its variables."""
    beside = [
        name
        for name, variable in forecast.data_vars.items()
        for suffix, dim in _BESIDE.items()
        if dim in variable.dims and str(name).removesuffix(suffix) in set(forecast.data_vars) - {name}
    ]
    # A list of names, not `drop_vars`: coordinates that no variable has a use for go too.
    return forecast[[name for name in forecast.data_vars if name not in beside]] if beside else forecast


def faults(ds: xr.Dataset) -> list[str]:
    """Every way in which `ds` departs from the layout of a labelled forecast; empty if it does not."""
    rows, columns = horizontal_dims(ds)
    dims, coords = (", ".join(map(str, names)) or "none" for names in (ds.dims, ds.coords))
    axes = ("init_time", "lead_time", rows, columns)
    times = ("init_time", "lead_time", "valid_time")
    reasons = [f"dims: expected {name}, got {dims}" for name in axes if name not in ds.dims]
    reasons += [f"coordinates: expected {name}, got {coords}" for name in times if name not in ds.coords]
    if reasons:
        return reasons
    if set(ds["valid_time"].dims) != {"init_time", "lead_time"}:
        reasons.append(f"valid_time: expected dims ('init_time', 'lead_time'), got {ds['valid_time'].dims}")
    elif ds["lead_time"].dtype.kind == "m":
        difference = ds["valid_time"] - ds["init_time"] != ds["lead_time"]
        if bool(difference.any()):
            reasons.append(f"valid_time: {int(difference.sum())} values are not init_time + lead_time")
    elif ds["lead_time"].dtype.kind != "i" or ds["lead_time"].attrs.get("units") != "month":
        reasons.append(
            f"lead_time: expected timedelta64, or int64 with units 'month', got {ds['lead_time'].dtype} "
            f"with units {ds['lead_time'].attrs.get('units')!r}"
        )
    if ds["init_time"].to_index().has_duplicates:
        reasons.append("init_time: expected distinct times, got repeated ones")
    expected = set(axes)
    reasons += [
        f"{name}: expected dims (init_time, lead_time, {rows}, {columns}), got {variable.dims}"
        for name, variable in ds.data_vars.items()
        if not expected <= set(variable.dims) <= expected | {"member"}
        and not (str(name).endswith(BOUNDS_OF) and set(variable.dims) == expected | {"quantile"})
    ]
    return reasons


def check(ds: xr.Dataset) -> None:
    """Refuse a Dataset that is not a labelled forecast, with every reason."""
    reasons = faults(ds)
    if reasons:
        raise Refusal(
            "Labelled forecast", reasons, "label it with simvp.coords.forecast_layout.label, or rename with an adapter"
        )


def to_earth2studio(forecast: xr.Dataset) -> xr.Dataset:
    """Forecast under earth2studio's names: time (init), lead_time, lat, lon, ensemble; no valid_time.

    Raises
    ------
    Refusal
        Not a labelled forecast, or leads of calendar months, which only valid_time can label.
    """
    check(forecast)
    _refuse_months(forecast, "earth2studio")
    return _rename(forecast.drop_vars("valid_time"), _EARTH2STUDIO)


def from_earth2studio(ds: xr.Dataset) -> xr.Dataset:
    """Inverse of `to_earth2studio`; valid_time is init time + lead."""
    return _returned(ds, _EARTH2STUDIO)


def to_weatherbench2(forecast: xr.Dataset) -> xr.Dataset:
    """Forecast under WeatherBench 2's older names: time (init), prediction_timedelta.

    Raises
    ------
    Refusal
        Not a labelled forecast, or leads of calendar months, which are no timedelta.
    """
    check(forecast)
    _refuse_months(forecast, "WeatherBench 2")
    return _rename(forecast, _WEATHERBENCH2)


def from_weatherbench2(ds: xr.Dataset) -> xr.Dataset:
    """Inverse of `to_weatherbench2`; valid_time is added where it is missing."""
    return _returned(ds, _WEATHERBENCH2)


def to_cfgrib(forecast: xr.Dataset) -> xr.Dataset:
    """Forecast under cfgrib's names: time (init), step, number."""
    check(forecast)
    return _rename(forecast, _CFGRIB)


def from_cfgrib(ds: xr.Dataset) -> xr.Dataset:
    """Inverse of `to_cfgrib`; valid_time is added where it is missing."""
    return _returned(ds, _CFGRIB)


def _rename(ds: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    return ds.rename({old: new for old, new in names.items() if old in ds.variables or old in ds.dims})


def _returned(ds: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    """A renamed forecast, with valid_time where the other tool does not keep it; refused if it is not one."""
    ds = _rename(ds, {new: old for old, new in names.items()})
    if "valid_time" not in ds.coords and {"init_time", "lead_time"} <= set(ds.coords):
        _refuse_months(ds, "a forecast without valid_time")
        valid = ds["init_time"].variable + ds["lead_time"].variable
        ds = ds.assign_coords(valid_time=(valid.dims, valid.data, _TIME_ATTRS["valid_time"]))
        ds["valid_time"].encoding.update(ds["init_time"].encoding)
    check(ds)
    return ds


def _refuse_months(ds: xr.Dataset, where: str) -> None:
    if ds["lead_time"].dtype.kind != "m":
        raise Refusal(
            f"Forecast for {where}",
            [f"lead_time: expected timedelta64, got {ds['lead_time'].dtype} counts of calendar months"],
            "keep the labelled forecast: its valid_time says which month is meant",
        )
