"""One canonical form for gridded data of any naming, and the way back to the caller's names."""

import logging
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords.forecast_layout import BOUNDS_OF, MEMBERS_OF, described, unfilled
from simvp.coords.grid import GEOGRAPHIC, horizontal_dims, reordered
from simvp.coords.identity import fixed_labels, with_labels
from simvp.coords.labels import axis_labels, misplaced, on_earth, pixel_centres, time_labels
from simvp.coords.mapping import degrees, first_on_meridian, reference_texts
from simvp.coords.planes import Axes, find_axes
from simvp.coords.roles import ATTRIBUTES, bounds, candidates
from simvp.coords.selection import axis_of, check_names, listing, select_values, values_of
from simvp.errors import Refusal
from simvp.values import finish, is_applied, is_unit, same_units

__all__ = ["Axes", "canonicalise", "find_axes", "restore"]

logger = logging.getLogger(__name__)

# Attributes that describe how or where one file was stored, not what the variable is.
STORAGE = re.compile(
    r"GRIB_.*|dtype|coordinates|bounds|ancillary_variables|cell_measures|actual_range|history|_Netcdf4.*|_ChunkSizes|"
    r"_nc3_strict|edges"
)
_TIME = {"standard_name": "time", "axis": "T"}
# Of places that are written with every frame: so many are looked at, and so far rounding may move them (in degrees; a
# nest moves by a cell).
LOOKS, STILL = 25, 1e-4
# What writers put where they have nothing to say; cfgrib says "unknown".
MEANINGLESS = ("", "unknown", "undefined", "none", "missing", "n/a", "na", "null")


def canonicalise(
    ds: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    select: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> tuple[xr.Dataset, Axes]:
    """Bring gridded data of any naming into the canonical form; nothing but coordinates is read.

    Parameters
    ----------
    ds
        Dataset of any names, dim order and axis direction. Left as it is.
    variables
        Data variables to keep. Default: every one on time, y and x.
    select
        One value for every other dim, by the name of the dim, of its coordinate, or "level", "member", "lead" and
        "init" for whatever these axes are called; a number in the units of the axis, or words such as "12h".
    units
        Units of variables that have none, or a text that is no unit. The result says so in the attribute
        ``units_source="stated"``.

    Returns
    -------
    canonical : xr.Dataset
        Dims (time, latitude, longitude), or (time, y, x) on projected, curvilinear and index grids. Time is the valid
        time (`simvp.coords.valid_time`), strictly increasing, datetime64[ns] or cftime; y and x are strictly monotone,
        in the direction of the source. Longitudes that jump at the border of their range are joined: rolled where they
        go round the globe, else shifted by 360. Where a variable is of one level or member, its attribute ``fixed_at``
        says which (`simvp.coords.identity`).
    axes : Axes
        The axes in the names of `ds`.

    Raises
    ------
    Refusal
        With every reason why this is not one series of maps.
    """
    ds = select_values(ds, select or {})
    check_names([ds], variables or ())
    axes = find_axes(ds, variables)
    names = list(variables) if variables is not None else _gridded(ds, axes)
    reasons = [reason for name in names for reason in _shape_faults(ds, name, axes)]
    reasons += [reason for name in names for reason in misplaced(ds, name, axes)]
    if not names:
        reasons.append(f"no variable on time, y and x; got {listing(ds)}")
    reasons += _unit_faults(ds, names, units or {})
    times, order_t, remark, faults_t = time_labels(ds, axes, names)
    aside = (axes.time, axes.times, axes.lead, axes.y, axes.x, axes.latitude, axes.longitude, axes.grid_mapping)
    labels, moving = fixed_labels(ds, names, aside)
    finished, faults = _finished(ds, names)
    reasons += [*moving, *faults]
    rows, order_y, faults_y = axis_labels(ds, axes, "y")
    columns, order_x, faults_x = axis_labels(ds, axes, "x")
    planes, faults_p = _planes(ds, axes)
    if reasons := [*reasons, *faults_t, *faults_y, *faults_x, *faults_p]:
        raise Refusal("data", reasons)

    y, x = ("latitude", "longitude") if axes.kind == "latlon" else ("y", "x")
    dims = {axes.time: "time", axes.y: y, axes.x: x}
    orders = {dim: order for dim, order in (("time", order_t), (y, order_y), (x, order_x)) if order is not None}
    mapping = _mapping(ds, axes, names)
    fields: dict[Hashable, xr.Variable] = {}
    for name in names:
        var = _arranged(finished[name], dims, len(times)).isel(orders)
        own = _variable_attrs(ds, name, units or {}) | ({} if mapping is None else {"grid_mapping": mapping[0]})
        var.attrs = with_labels(own, labels[name])
        fields[name] = var
    coords = {
        "time": _axis(ds, axes.times, "time", times, _TIME | ({"comment": remark} if remark else {})),
        y: _axis(ds, axes.rows, y, rows, _axis_attrs(ds, axes, y)),
        x: _axis(ds, axes.columns, x, columns, _axis_attrs(ds, axes, x)),
    }
    coords |= {n: plane.isel(orders, missing_dims="ignore") for n, plane in planes.items()}
    if mapping is not None:
        coords[mapping[0]] = xr.Variable((), np.int32(0), mapping[1])
    attrs = {key: value for key, value in ds.attrs.items() if not str(key).startswith("GRIB_")}
    return xr.Dataset(fields, coords, attrs), axes


def restore(forecast: xr.Dataset, axes: Axes, original: xr.Dataset) -> xr.Dataset:
    """A canonical forecast on the axis names, the order and the coordinates of the data it was made from.

    Parameters
    ----------
    forecast
        Canonical dims (init_time, lead_time, latitude, longitude) or (init_time, lead_time, y, x), any further ones.
    axes
        Axes of `original`, as `canonicalise` returned them.
    original
        The caller's Dataset. Where it has time, the forecast has init_time and lead_time.
    """
    y, x = horizontal_dims(forecast)
    wanted: dict[str, np.ndarray] = {}
    for dim, source in ((y, axes.rows), (x, axes.columns)):
        if source not in original.variables:
            wanted[dim] = pixel_centres(original, axes, dim).astype("f8")
        elif dim in forecast.coords:
            var = original.variables[source]
            values = degrees(var.values, var.attrs.get("units")) if axes.kind == "latlon" else var
            wanted[dim] = np.asarray(values, "f8")
    repeated = first_on_meridian(wanted[x]) if x == "longitude" and x in wanted else np.arange(forecast.sizes[x])
    own = np.unique(repeated)
    if len(own) < len(repeated):
        wanted[x] = wanted[x][own]
    forecast = reordered(forecast, {dim: np.asarray(forecast.variables[dim], "f8") for dim in wanted}, wanted)
    if len(own) < len(repeated):  # the forecast has one column for each meridian, the caller's data has some twice
        forecast = forecast.isel({x: np.searchsorted(own, repeated)})
    grid = {"latitude", "longitude", "y", "x", axes.grid_mapping} & set(forecast.coords)
    kept = {n for n, c in original.coords.items() if c.dims and set(c.dims) <= {axes.y, axes.x}}
    kept |= {n for n in (axes.latitude, axes.longitude, axes.grid_mapping) if n is not None}
    # Made at once: dropping, renaming and assigning one after the other takes three times as long.
    variables = {}
    for name in set(forecast.variables) - grid:
        var = variables[name] = forecast.variables[name].copy(deep=False)
        var.dims = tuple({y: axes.y, x: axes.x}.get(str(dim), dim) for dim in var.dims)
    coords = {n: variables[n] for n in forecast.coords if n in variables}
    coords |= {n: original.variables[n].isel({axes.time: 0}, missing_dims="ignore").copy(deep=False) for n in kept}
    coords |= _bounded(original, coords, axes)
    coords |= {  # the one level and the one member that the maps are of, and so the forecast is
        c.name: original.variables[c.name].squeeze()
        for c in candidates(original)
        if c.role in ("z", "member") and c.name in original.coords and original.variables[c.name].size == 1
    }
    fields = {
        n: variables[n].transpose(..., *_dim_order(original, str(n), variables[n].dims, axes), missing_dims="ignore")
        for n in forecast.data_vars
    }
    if axes.grid_mapping is not None:  # the caller's, under its name
        for var in fields.values():
            if (theirs := var.attrs.get("grid_mapping")) != axes.grid_mapping:
                coords.pop(theirs, None)
                var.attrs = {**var.attrs, "grid_mapping": axes.grid_mapping}
    indexes = {n: i for n, i in forecast.xindexes.items() if n in variables}
    indexes |= {n: i for n, i in original.xindexes.items() if n in kept}
    made = xr.Dataset(fields, xr.Coordinates(coords, indexes), forecast.attrs)
    return unfilled(described(made, axes))


def _bounded(original: xr.Dataset, coords: Mapping[Hashable, xr.Variable], axes: Axes) -> dict[Hashable, xr.Variable]:
    """Bounds of the coordinates of the plane; a coordinate does not name bounds that a forecast has not."""
    found: dict[Hashable, xr.Variable] = {}
    for var in coords.values():
        said = var.attrs.pop("bounds", None) or var.encoding.pop("bounds", None)
        if said in original.variables and {axes.y, axes.x}.issuperset(original.variables[said].dims[:-1]):
            found[said] = original.variables[said].copy(deep=False)
            var.encoding["bounds"] = said  # where xarray looks for it when it writes
    return found


def _dim_order(original: xr.Dataset, name: str, own: tuple[Hashable, ...], axes: Axes) -> list[Hashable]:
    """Dims of a variable of `original` with those of a forecast instead of time, which comes first if it has none.

    What else the forecast has, along the dims `own` (members, quantiles), comes after the lead. It has the order of
    the variable that it is of.
    """
    of = name.removesuffix(MEMBERS_OF).removesuffix(BOUNDS_OF)
    dims = original[of].dims if of in original.variables else (axes.time, axes.y, axes.x)
    dims = dims if axes.time in dims else (axes.time, *dims)
    times = ("init_time", "lead_time", *(dim for dim in own if dim in ("member", "quantile") and dim not in dims))
    return [new for dim in dims for new in (times if dim == axes.time else (dim,))]


def _gridded(ds: xr.Dataset, axes: Axes) -> list[str]:
    """Numeric data variables on time, y and x; the others are named in the log."""
    aside = bounds(ds) | {axes.times, axes.latitude, axes.longitude}
    aside |= {c.name for c in candidates(ds) if c.role in GEOGRAPHIC and c.rank < len(ATTRIBUTES)}
    needed = {axes.y, axes.x} | ({axes.time} if axes.time in ds.dims else set())
    names = [
        str(n) for n, v in ds.data_vars.items() if n not in aside and needed <= set(v.dims) and v.dtype.kind in "fiub"
    ]
    names = [n for n in names if axes.time in ds.variables[n].dims or _other_time(ds, n, axes) is None]
    ignored = sorted(str(n) for n in ds.data_vars if n not in names and n not in aside)
    for name in [n for n in ignored if {axes.y, axes.x} <= set(ds.variables[n].dims)]:
        if other := _other_time(ds, name, axes):
            size, remedy = ds.sizes[other], f"read it by itself: variables=[{name!r}]"
            logger.warning("left out: %s, on another axis of time, %s (%d times); %s", name, other, size, remedy)
            ignored.remove(name)
    if ignored:
        logger.info("ignored, not on (time, y, x): %s", ", ".join(ignored))
    return names


def _other_time(ds: xr.Dataset, name: str, axes: Axes) -> str | None:
    """A dim of a variable that is an axis of time, but not that of `axes`."""
    dims = [str(d) for d in ds.variables[name].dims if d not in (axes.time, axes.y, axes.x)]
    dated = {c.dims[0] for c in candidates(ds) if c.role == "time" and len(c.dims) == 1}
    dated |= {dim for dim in dims if dim in ds.variables and ds.variables[dim].dtype.kind == "M"}
    return next((dim for dim in dims if dim in dated), None)


def _finished(ds: xr.Dataset, names: Sequence[str]) -> tuple[dict[str, xr.Variable], list[str]]:
    """Variables with the missing values that their headers still tell, and headers that cannot be read."""
    finished: dict[str, xr.Variable] = {}
    reasons: list[str] = []
    for name in names:
        try:
            finished[name] = finish(name, ds.variables[name])
        except Refusal as refusal:
            reasons += refusal.reasons
    return finished, reasons


def _shape_faults(ds: xr.Dataset, name: str, axes: Axes) -> list[str]:
    var = ds.variables[name]
    reasons: list[str] = []
    if var.dtype.kind not in "fiub":
        reasons.append(f"{name}: expected numbers, got {var.dtype}")
    if missing := [d for d in (axes.y, axes.x) if d not in var.dims]:
        reasons.append(f"{name}: has no {' and no '.join(missing)}; got dims {var.dims}")
    if axes.time not in var.dims and (other := _other_time(ds, name, axes)):
        return [*reasons, f"{name}: lies on another axis of time, {other}, than {axes.time}; read it by itself"]
    return reasons + [
        f"{name}: {dim} has {ds.sizes[dim]} values; choose one with select={{{dim!r}: ...}} "
        f"out of {values_of(axis_of(ds, dim))}"
        for dim in map(str, var.dims)
        if dim not in (axes.time, axes.y, axes.x) and ds.sizes[dim] > 1
    ]


def _unit_faults(ds: xr.Dataset, names: Sequence[str], units: Mapping[str, str]) -> list[str]:
    reasons = []
    for name, stated in units.items():
        if name not in names:
            reasons.append(f"units stated for {name!r}, which is not among the variables {', '.join(names) or 'none'}")
        elif not stated.strip():
            reasons.append(f"{name}: the stated unit is empty")
        elif (present := _units(ds, name)) and is_unit(present) and not same_units(present, stated):
            reasons.append(f"{name}: units are {present!r} in the source and {stated!r} as stated")
    return reasons


def _units(ds: xr.Dataset, name: str) -> str:
    text = str(ds.variables[name].attrs.get("units", "")).strip()
    return "" if text.lower() in MEANINGLESS else text


def _arranged(source: xr.Variable, dims: Mapping[str, str], times: int) -> xr.Variable:
    """A variable on (time, y, x) under their canonical names, in float32 or float64, whichever holds its type."""
    var = source.isel({dim: 0 for dim in source.dims if dim not in dims}).copy(deep=False)
    var.dims = tuple(dims[str(dim)] for dim in var.dims)
    var.encoding = {}
    _, y, x = dims.values()
    if "time" not in var.dims:  # one map: a file of a single time, or a static map beside a series
        var = var.set_dims({"time": times, **var.sizes})
    var = var.transpose("time", y, x)
    if var.dtype.type in (np.float32, np.float64):
        return var if var.dtype.isnative else var.astype(var.dtype.newbyteorder("="))
    return var.astype("f4" if var.dtype.itemsize <= 2 else "f8")  # float32 is exact for integers up to 2^24


def _mapping(ds: xr.Dataset, axes: Axes, names: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Name and attributes of the grid mapping: those of its variable, or texts that stand elsewhere in the file."""
    if axes.grid_mapping is not None:
        return axes.grid_mapping, dict(ds.variables[axes.grid_mapping].attrs)
    places = [ds.variables[name].attrs for name in (axes.y, axes.x, *names) if name in ds.variables]
    texts = {} if axes.kind == "latlon" else reference_texts(ds.attrs, *places)
    return ("crs", texts) if texts and "crs" not in ds.variables else None


def _variable_attrs(ds: xr.Dataset, name: str, units: Mapping[str, str]) -> dict[str, Any]:
    attrs = {
        str(k): v
        for k, v in ds.variables[name].attrs.items()
        if not STORAGE.fullmatch(str(k)) and not is_applied(str(k)) and k != "grid_mapping"
    }
    if str(attrs.get("standard_name", "")).lower() in MEANINGLESS:
        attrs.pop("standard_name", None)
    attrs.pop("units", None)
    present, stated = _units(ds, name), units.get(name, "").strip()
    if stated and not (present and is_unit(present)):
        attrs |= {"units": stated, "units_source": "stated"}
    elif present:
        attrs["units"] = present
    return attrs


def _axis(ds: xr.Dataset, name: str, dim: str, labels: np.ndarray, attrs: Mapping[str, Any]) -> xr.Variable:
    """A coordinate; where the labels are those of the source, its own, whose index need not be made again."""
    source = ds.variables.get(name)
    if source is None or source.dtype != labels.dtype or not np.array_equal(source.values, labels):
        return xr.Variable(dim, labels, attrs)
    own = source.copy(deep=False)
    own.dims, own.attrs, own.encoding = (dim,), dict(attrs), {}
    return own


def _axis_attrs(ds: xr.Dataset, axes: Axes, name: str) -> dict[str, Any]:
    vertical = name in ("latitude", "y")
    source = axes.rows if vertical else axes.columns
    attrs = ds.variables[source].attrs if source in ds.variables else {}
    kept = {k: attrs[k] for k in ("standard_name", "long_name", "units") if k in attrs}
    if axes.kind == "latlon":
        kept |= GEOGRAPHIC[name]
    elif not kept:
        kept["long_name"] = "row" if vertical else "column"
    return kept | {"axis": "Y" if vertical else "X"}


def _planes(ds: xr.Dataset, axes: Axes) -> tuple[dict[str, xr.Variable], list[str]]:
    """Latitude and longitude of every point, where the dims are not they, and what is wrong with them."""
    if axes.kind == "latlon" or axes.latitude is None or axes.longitude is None:
        return {}, []
    planes, faults = {}, []
    for (name, attrs), source in zip(GEOGRAPHIC.items(), (axes.latitude, axes.longitude), strict=True):
        plane = ds.variables[source].transpose(..., axes.y, axes.x)
        if plane.ndim > 2:  # WRF writes them with every frame; a nest may follow a storm
            looks = np.unique(np.linspace(0, len(plane) - 1, LOOKS).astype(int))
            frames = plane[looks].values
            moved = float(np.nanmax(np.abs(frames - frames[0]), initial=0.0))
            if moved > STILL:
                faults.append(
                    f"{source}: {name} of the points moves along {axes.time}, by up to {moved:.4g}; expected a grid "
                    "that stays where it is, got one that follows something, such as a moving nest"
                )
            plane = plane[0]
        values = plane.values
        values, wrong = on_earth(source, name, values, ds.variables[source].attrs)
        planes[name] = xr.Variable(("y", "x"), values, attrs)
        faults += wrong
    return planes, faults
