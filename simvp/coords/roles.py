"""Which variable of a Dataset is an axis: by CF attributes first, by names only where these are silent."""

import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr
from cf_xarray.criteria import coordinate_criteria

from simvp.coords.mapping import is_geographic

Role = Literal["time", "latitude", "longitude", "y", "x", "z", "member", "init", "lead"]

# Attributes in the order in which they are believed; what each may say is the CF table of cf_xarray.
ATTRIBUTES = ("standard_name", "_CoordinateAxisType", "units", "axis", "cartesian_axis", "grads_dim", "long_name")
TABLES: tuple[tuple[Role, str], ...] = (
    ("latitude", "latitude"),
    ("longitude", "longitude"),
    ("time", "T"),
    ("y", "Y"),
    ("x", "X"),
    ("z", "Z"),
    ("z", "vertical"),
)
# Reversed, so that of two roles with the same saying the first of the tables has it.
SAYINGS: dict[tuple[str, str], Role] = {
    (attribute, saying.lower()): role
    for role, table in reversed(TABLES)
    for attribute, sayings in coordinate_criteria[table].items()
    if attribute in ATTRIBUTES
    for saying in sayings
} | {
    ("standard_name", "realization"): "member",
    ("standard_name", "forecast_period"): "lead",
    ("standard_name", "forecast_reference_time"): "init",
}
# CF knows degrees of north and east alone; files count towards south and west too.
SAYINGS |= {("units", f"degree{s}_{end}"): "latitude" for s in ("", "s") for end in ("south", "s")}
SAYINGS |= {("units", f"degree{s}_{end}"): "longitude" for s in ("", "s") for end in ("west", "w")}

NAMES: dict[Role, re.Pattern[str]] = {
    "time": re.compile(r"(valid_?)?times?\d*(_?(counter|centered|instant))?|t|date_?(time)?|xtime"),
    "latitude": re.compile(r"(nav_|x|g\d_)?lat(itude)?s?(_?\d|_m|_rho|_[tuvf])*|gphi[tuvf]?"),
    "longitude": re.compile(r"(nav_|x|g\d_)?lon(g(itude)?)?s?(_?\d|_m|_rho|_[tuvf])*|glam[tuvf]?"),
    "y": re.compile(r"y[_c]?\d*|yt?_?[tuv]?|j|nj|nlat|r_?lat|rows?|h|south_north|y_?dim|yaxis|grid_latitude"),
    "x": re.compile(r"x[_c]?\d*|xt?_?[tuv]?|i|ni|nlon|r_?lon|col(umn)?s?|w|west_east|x_?dim|xaxis|grid_longitude"),
    "z": re.compile(r"(p|o|i?so|model_?)?lev(el)?s?\d*|isobaricinhpa|pressure|depth\w?|height\w*|altitude|z|hybrid"),
    "member": re.compile(r"number|(ens(emble)?_?)?members?(_?id)?|ens(emble)?|realis?z?ations?|perturbation_?number"),
    "init": re.compile(
        r"(forecast_)?ref(erence)?_?time|(forecast_)?init(ial(i[sz]ation)?)?_?(time|date)\w*|(model_?)?run_?(time|date)|"
        r"base_?time|analysis_?time|issue_?time|(forecast_)?start_?(time|date)|cycle_?time"
    ),
    "lead": re.compile(
        r"((forecast|fcst|fc)_?)?(step|lead(_?times?)?(_?(hours?|days?|months?))?)|prediction_timedelta|"
        r"(forecast|fcst|fc)_?(period|hour|day|month|time|horizon)s?\d*|f?hrs?|f_?hours?|fxx|tau"
    ),
}
# What writers who give it no standard_name call the time of a run, among them cfgrib: "initial time of forecast".
INIT_WORDS = re.compile(
    r"\binit(ial(i[sz]ation)?)? (time|date)|\b(model run|forecast (start|issue|reference|base|init\w*)) (time|date)|"
    r"^reference (time|date)$",
    re.IGNORECASE,
)
PLACES = ("latitude", "longitude")
# An axis of them is one of leads or of the time of day; along time they are a remark.
HOURS = re.compile(r"hours?(_of_(the_)?day)?|time_of_(the_)?day")
LEAD_WORDS = re.compile(
    r"\blead[ -]?time|\bforecast (lead|period|step|hour|horizon)|\btime since (forecast|model run|init)", re.IGNORECASE
)
DEGREES = ("degree", "degrees", "deg")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A variable that says of itself that it is an axis; the lower the rank, the better it says so."""

    name: str
    role: Role
    rank: int
    dims: tuple[str, ...]

    @property
    def said(self) -> bool:
        """Whether attributes say so, not only the name."""
        return self.rank < len(ATTRIBUTES)


def candidates(ds: xr.Dataset) -> list[Candidate]:
    """Every variable that may be an axis, best first: of at most two dims, or three where places may move with time."""
    auxiliary = bounds(ds)
    axes = []
    for key, var in ds.variables.items():
        name, dims = str(key), tuple(map(str, var.dims))
        if var.ndim > 3 or name in auxiliary:
            continue
        role, rank = _attributed(ds, name, var.attrs)
        if role is None:
            hours = dims == (name,) and HOURS.fullmatch(name.lower())
            role, rank = "lead" if hours else _named(name), len(ATTRIBUTES)
            if role not in PLACES and key not in ds.coords and var.ndim > 1:
                continue
        if role is not None and (var.ndim < 3 or role in PLACES):
            axes.append(Candidate(name=name, role=role, rank=rank, dims=dims))
    return sorted(axes, key=lambda c: (c.rank, c.name not in ds.dims, c.name))


def bounds(ds: xr.Dataset) -> set[str]:
    """Variables that only describe others: cell bounds, cell measures, grid mappings."""
    auxiliary = {str(name) for name, var in ds.variables.items() if "grid_mapping_name" in var.attrs}
    for var in ds.variables.values():
        for key in ("bounds", "climatology", "ancillary_variables", "cell_measures", "edges"):
            text = str(var.attrs.get(key) or var.encoding.get(key) or "")
            auxiliary.update(word for word in text.split() if word in ds.variables)
        auxiliary.update(name for name in grid_mappings(var) if name in ds.variables)
    return auxiliary | {str(name) for name in ds.variables if re.search(r"_(bnds|bounds)$", str(name).lower())}


def analyses(ds: xr.Dataset, used: Container[str]) -> bool:
    """Whether GRIB calls the fields analyses ("an") or does not tell ("af"): what cfgrib leaves without its step."""
    kinds = {v.attrs.get("GRIB_dataType") for v in ds.data_vars.values() if any(dim in used for dim in v.dims)}
    return bool(kinds) and kinds <= {"an", "af"}


def grid_mappings(var: xr.Variable) -> dict[str, list[str]]:
    """Names of the grid mappings of a variable, each with the coordinates that it is of, if CF's long form says so."""
    text = str(var.attrs.get("grid_mapping") or var.encoding.get("grid_mapping") or "")
    found: dict[str, list[str]] = {}
    for word in text.split():
        if word.endswith(":") or not found:
            found[word.rstrip(":")] = []
        else:
            next(reversed(found.values())).append(word)
    return found


def mapping_of(var: xr.Variable, labels: Collection[str | None]) -> str | None:
    """Name of the grid mapping of these coordinates, or of a variable of one mapping that does not say of which."""
    found = grid_mappings(var)
    return next((name for name, of in found.items() if not of or set(of) & set(labels)), None)


def _attributed(ds: xr.Dataset, name: str, attrs: Mapping[str, Any]) -> tuple[Role | None, int]:
    if not attrs.get("standard_name") and INIT_WORDS.search(str(attrs.get("long_name", "")).replace("_", " ")):
        return "init", ATTRIBUTES.index("long_name")
    counted = ds.variables[name].dtype.kind in "iufm" and not attrs.get("standard_name")
    if counted and LEAD_WORDS.search(str(attrs.get("long_name", "")).replace("_", " ")):
        return "lead", ATTRIBUTES.index("long_name")
    for rank, attribute in enumerate(ATTRIBUTES):
        role = SAYINGS.get((attribute, str(attrs.get(attribute, "")).strip().lower()))
        if role in ("y", "x") and attribute == "axis" and _in_degrees(ds, attrs):
            role = "latitude" if role == "y" else "longitude"
        if role is not None:
            return role, rank
    return None, 0


def _in_degrees(ds: xr.Dataset, attrs: Mapping[str, Any]) -> bool:
    """Plain degrees on a Y or X axis: geographic, unless the file knows a projection."""
    projected = any("grid_mapping_name" in v.attrs and not is_geographic(v.attrs) for v in ds.variables.values())
    return str(attrs.get("units", "")).strip().lower() in DEGREES and not projected


def _named(name: str) -> Role | None:
    return next((role for role, pattern in NAMES.items() if pattern.fullmatch(name.lower())), None)
