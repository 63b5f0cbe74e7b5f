"""Which variable of a Dataset is an axis: by CF attributes first, by names only where these are silent."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr
from cf_xarray.criteria import coordinate_criteria

from simvp.coords.grid import Kind
from simvp.coords.mapping import apart, is_geographic
from simvp.coords.valid_time import time_dim, times_and_lead
from simvp.errors import Refusal

Plane = tuple[str, str, str | None, str | None, Kind]  # y, x, latitude, longitude, kind
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
# An axis of them is one of leads or of the time of day; along time they are a remark.
HOURS = re.compile(r"hours?(_of_(the_)?day)?|time_of_(the_)?day")
LEAD_WORDS = re.compile(
    r"\blead[ -]?time|\bforecast (lead|period|step|hour|horizon)|\btime since (forecast|model run|init)", re.IGNORECASE
)
DEGREES = ("degree", "degrees", "deg")
OTHERS: tuple[Role, ...] = ("z", "member", "lead")
REMEDY = "; interpolate it to rows and columns first"
GRIB_GRIDS = {
    "reduced_gg": "a reduced Gaussian grid",
    "reduced_ll": "a reduced grid",
    "sh": "spherical harmonics",
    "unstructured_grid": "an unstructured mesh",
    "healpix": "an unstructured mesh",
}


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of a Dataset, in its own names.

    Parameters
    ----------
    time, y, x
        Dims. `time` is the name of a variable where each file holds one time and no such dim.
    times
        Variable that holds the times; often, not always, called as the dim is.
    lead
        Variable of leads, where `times` are those of runs: the valid time, which is the time of a field, is their sum.
        None where `times` are valid times.
    latitude, longitude
        Variables, 1-D or 2-D, or None where the grid has no geography.
    kind
        See `simvp.coords.grid.Grid`.
    grid_mapping
        CF grid mapping variable, or None.
    numbered
        Variables called as y and x are say nothing of rows and columns: latitude and longitude of the points contradict
        them.
    """

    time: str
    times: str
    lead: str | None
    y: str
    x: str
    latitude: str | None
    longitude: str | None
    kind: Kind
    grid_mapping: str | None
    numbered: bool = False

    @property
    def rows(self) -> str:
        """Variable that labels y: its latitude where that has one dim, else called as y is, if there is one."""
        return "" if self.numbered else self.latitude if self.kind == "latlon" and self.latitude is not None else self.y

    @property
    def columns(self) -> str:
        """Variable that labels x."""
        return (
            "" if self.numbered else self.longitude if self.kind == "latlon" and self.longitude is not None else self.x
        )


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
        if role is None and (key in ds.coords or var.ndim < 2):
            role, rank = (
                ("lead" if dims == (name,) and HOURS.fullmatch(name.lower()) else _named(name)),
                len(ATTRIBUTES),
            )
        if role is not None and (var.ndim < 3 or role in ("latitude", "longitude")):
            axes.append(Candidate(name=name, role=role, rank=rank, dims=dims))
    return sorted(axes, key=lambda c: (c.rank, c.name not in ds.dims, c.name))


def bounds(ds: xr.Dataset) -> set[str]:
    """Variables that only describe others: cell bounds, cell measures, grid mappings."""
    auxiliary = {str(name) for name, var in ds.variables.items() if "grid_mapping_name" in var.attrs}
    for var in ds.variables.values():
        for key in ("bounds", "climatology", "ancillary_variables", "cell_measures", "edges"):
            text = str(var.attrs.get(key) or var.encoding.get(key) or "")
            auxiliary.update(word for word in text.split() if word in ds.variables)
        mapping = mapping_name(var)
        auxiliary.update([mapping] if mapping is not None and mapping in ds.variables else [])
    return auxiliary | {str(name) for name in ds.variables if re.search(r"_(bnds|bounds)$", str(name).lower())}


def mapping_name(var: xr.Variable) -> str | None:
    """Name of the grid mapping of a variable, out of CF's short or long form."""
    text = str(var.attrs.get("grid_mapping") or var.encoding.get("grid_mapping") or "")
    return text.split()[0].rstrip(":") if text.split() else None


def find_axes(ds: xr.Dataset, variables: Sequence[str] | None = None) -> Axes:
    """Find time, y and x of the gridded variables of a Dataset.

    Attributes are believed before names: standard_name, _CoordinateAxisType, units, axis, long_name, in this order.

    Parameters
    ----------
    ds
        Dataset of any naming.
    variables
        Variables that matter; every data variable by default.

    Raises
    ------
    Refusal
        No time axis, no horizontal axes, or variables on more than one horizontal grid.
    """
    ranked = candidates(ds)
    reasons: list[str] = []
    names = [str(n) for n in (variables if variables is not None else ds.data_vars) if n in ds.variables]
    dims = {name: tuple(map(str, ds.variables[name].dims)) for name in names}
    if variables is None:
        aside = bounds(ds) | {c.name for c in ranked if c.rank < len(ATTRIBUTES)}
        dims = {name: d for name, d in dims.items() if name not in aside and len(d) > 1}
    used = Counter(dim for d in dims.values() for dim in d)
    times, lead, wrong = times_and_lead(ds, ranked, used)
    reasons += wrong
    time = "" if times is None else time_dim(ds, times, lead, used)
    grids = {name: _horizontal(ds, ranked, name, time) for name in dims}
    planes: dict[Plane, str] = {}
    for name, plane in grids.items():
        if plane is not None:
            planes.setdefault(plane, name)
    if not planes:
        reasons.append(
            "no horizontal axes: expected latitude and longitude, or y and x, known by standard_name, units, axis "
            f"or name; got dims {_sizes(ds)}{_gridless(ds, ranked, dims, time)}"
        )
    if len(planes) > 1:
        groups = [
            f"({y}, {x}): " + ", ".join(n for n, p in grids.items() if p is not None and p[:2] == (y, x))
            for y, x, *_ in planes
        ]
        remedy = "staggered; choose variables of one" if _staggered(ds, list(planes)) else "choose variables of one"
        reasons.append("more than one horizontal grid: " + "; ".join([*groups, remedy]))
    if reasons or times is None:
        raise Refusal("axes", reasons)
    (y, x, latitude, longitude, kind), name = next(iter(planes.items()))
    mapping = mapping_name(ds.variables[name])
    geographic = mapping in ds.variables and _is_geographic(ds, str(mapping))
    if mapping not in ds.variables or (geographic and kind != "latlon"):
        mapping = None
    geographic_dims = {d for c in ranked if c.role in ("latitude", "longitude") and c.dims == (c.name,) for d in c.dims}
    return Axes(
        time=time,
        times=times,
        lead=lead,
        y=y,
        x=x,
        latitude=latitude,
        longitude=longitude,
        kind=kind,
        grid_mapping=mapping,
        numbered=kind == "curvilinear" and {y, x} <= geographic_dims,
    )


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
    projected = any("grid_mapping_name" in v.attrs and not _is_geographic(ds, str(n)) for n, v in ds.variables.items())
    return str(attrs.get("units", "")).strip().lower() in DEGREES and not projected


def _is_geographic(ds: xr.Dataset, mapping: str) -> bool:
    return is_geographic(ds.variables[mapping].attrs)


def _named(name: str) -> Role | None:
    return next((role for role, pattern in NAMES.items() if pattern.fullmatch(name.lower())), None)


def _horizontal(ds: xr.Dataset, ranked: Sequence[Candidate], name: str, time: str) -> Plane | None:
    """Dims y and x, latitude and longitude variables, and kind of the grid of one variable."""
    dims = tuple(str(d) for d in ds.variables[name].dims if d != time)

    def along(role: Role) -> Candidate | None:
        return next((c for c in ranked if c.role == role and len(c.dims) == 1 and c.dims[0] in dims), None)

    lat, lon = along("latitude"), along("longitude")
    plane = _plane(ds, ranked, name, time)
    if lat and lon and lat.dims != lon.dims and (plane is None or not _contradicted(ds, lat, lon, plane)):
        return lat.dims[0], lon.dims[0], lat.name, lon.name, "latlon"
    geography = (None, None) if plane is None else (plane[0].name, plane[1].name)

    y, x = _axis(ds, along("y"), "y", dims), _axis(ds, along("x"), "x", dims)
    if plane is not None and lat and lon:  # contradicted, they still name the dims
        y, x = y or lat.dims[0], x or lon.dims[0]
    if plane is not None:
        own = tuple(d for d in plane[0].dims if d != time)
        if y not in own or x not in own or y == x:
            y, x = own if y != own[1] and x != own[0] else own[::-1]
    if y is None or x is None or y == x:
        return None
    projected = (along("y") or along("x")) is not None and _is_projection(ds, y, x)
    kind: Kind = "projected" if projected else "index" if plane is None else "curvilinear"
    return y, x, *geography, kind


def _plane(ds: xr.Dataset, ranked: Sequence[Candidate], name: str, time: str) -> tuple[Candidate, Candidate] | None:
    """Latitude and longitude of the points of a variable, on two of its dims, be it that they repeat along time (WRF).

    Those that it names in its attribute `coordinates` come first.
    """
    var = ds.variables[name]
    named = f"{var.attrs.get('coordinates', '')} {var.encoding.get('coordinates', '')}".split()
    planes: dict[Role, Candidate] = {}
    for c in sorted(ranked, key=lambda c: c.name not in named):
        own = {d for d in c.dims if d != time}
        if c.role in ("latitude", "longitude") and len(own) == 2 and own <= set(var.dims) - {time}:
            planes.setdefault(c.role, c)
    lat, lon = planes.get("latitude"), planes.get("longitude")
    return None if lat is None or lon is None or set(lat.dims) != set(lon.dims) else (lat, lon)


def _contradicted(ds: xr.Dataset, lat: Candidate, lon: Candidate, plane: tuple[Candidate, Candidate]) -> bool:
    """Whether latitude and longitude of the points are others than those of rows and columns.

    So it is on the tripolar grids of CMIP, whose rows and columns are numbered under the names lat and lon. The points
    are believed where they are coordinates (CF 5.2); where they are not, nothing says which of the two is right.
    """
    for line, points in zip((lat, lon), plane, strict=True):
        if len(points.dims) > 2 or line.dims[0] not in points.dims:
            continue
        row = ds.variables[points.name].transpose(line.dims[0], ...)
        off = apart(ds.variables[line.name], row)
        if off and points.name not in ds.coords:
            raise Refusal(
                "axes",
                [
                    f"{line.name}({line.dims[0]}) and {points.name}({', '.join(points.dims)}) are both {line.role} and "
                    f"differ by up to {off:.4g} degrees"
                ],
                f"drop the wrong one, or name {points.name} in the attribute coordinates of the data",
            )
        if off:
            return True
    return False


def _gridless(ds: xr.Dataset, ranked: Sequence[Candidate], dims: Mapping[str, tuple[str, ...]], time: str) -> str:
    """What the data lie on that have no rows and columns, as the end of a sentence; empty where that is not known."""
    kinds = sorted({str(ds.variables[name].attrs.get("GRIB_gridType", "")) for name in dims} - {""})
    words = ", ".join(f"{GRIB_GRIDS.get(kind, 'a grid')} (GRIB_gridType {kind})" for kind in kinds)
    mesh = words or "an unstructured mesh or a list of points"
    places = {c.role: c for c in ranked if c.role in ("latitude", "longitude")}
    if len(places) == 2 and len({c.dims for c in places.values()}) == 1:
        c = places["latitude"]
        if len(c.dims) == 1:
            return f"; {c.name} and {places['longitude'].name} both lie along {c.dims[0]}: {mesh}{REMEDY}"
        if time in c.dims:
            return f"; {c.name} has dims ({', '.join(c.dims)}), it changes with {time}: a swath{REMEDY}"
    flat, deep = ({d for c in ranked if c.role in roles for d in c.dims} for roles in (("y", "x", *places), OTHERS))
    for name, own in dims.items():
        rest = [d for d in own if d != time and d not in deep]
        if len(rest) == 1 and rest[0] not in flat:
            return f"; {name} lies along {rest[0]} alone: {mesh}{REMEDY}"
    return ""


def _staggered(ds: xr.Dataset, planes: Sequence[Plane]) -> bool:
    """Whether the grids differ by at most one row and one column, as those of a model's cells and of their edges do."""
    sizes = [[ds.sizes[dim] for dim in plane[:2]] for plane in planes]
    return all(abs(a - b) <= 1 for one in sizes for a, b in zip(one, sizes[0], strict=True))


def _axis(ds: xr.Dataset, said: Candidate | None, role: Role, dims: tuple[str, ...]) -> str | None:
    if said is not None and said.rank < len(ATTRIBUTES):
        return said.dims[0]
    return next((dim for dim in dims if NAMES[role].fullmatch(dim.lower())), said.dims[0] if said else None)


def _is_projection(ds: xr.Dataset, y: str, x: str) -> bool:
    """Whether y and x carry the coordinates of a map projection or of a rotated pole."""
    if y not in ds.variables or x not in ds.variables:
        return False
    standard = str(ds.variables[y].attrs.get("standard_name", ""))
    mapped = any(
        (name := mapping_name(var)) in ds.variables and not _is_geographic(ds, str(name))
        for var in ds.variables.values()
        if {y, x} <= set(var.dims)
    )
    return standard in ("projection_y_coordinate", "grid_latitude", "projection_y_angular_coordinate") or mapped


def _sizes(ds: xr.Dataset) -> str:
    return "(" + ", ".join(f"{name}: {size}" for name, size in ds.sizes.items()) + ")"
