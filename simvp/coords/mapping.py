"""Where on the earth: latitude and longitude in degrees of north and east; grid mappings, compared by their places."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from simvp.c_libraries import import_apart
from simvp.record import plain
from simvp.values import conversion

if TYPE_CHECKING:
    from pyproj import CRS

Attrs = Mapping[str, Any]

# "degreeS" is south, "degrees" is not.
ANGLE = re.compile(r"((?P<unit>(?i:rad|deg))(?i:ian|ree)?s?)?[_ ]*(?P<towards>(?i:north|south|east|west|[nsew]))?")
ANGULAR = re.compile(r"deg|rad|arc|gon|°", re.IGNORECASE)
BEYOND = 1e-3  # degrees: as far as rounding, of packed coordinates too, leads beyond a pole
SPHERE = 6_371_229.0  # m: the earth on which the distance of two places is taken

# CF, appendix F: the attributes that PROJ is given, and those of them that name the earth itself.
EARTH = (
    r"earth_radius|semi_(major|minor)_axis|inverse_flattening|longitude_of_prime_meridian|"
    r"\w+_(crs|datum|ellipsoid|meridian)_name"
)
PARAMETERS = re.compile(
    rf"{EARTH}|grid_mapping_name|(latitude|longitude)_of_\w+|(grid_north_pole|north_pole_grid)_(latitude|longitude)|"
    r"standard_parallel|straight_vertical_longitude_from_pole|false_(easting|northing)|scale_factor_at_\w+|"
    r"perspective_point_height|(fixed|sweep)_angle_axis|azimuth_of_central_line"
)
# Where writers put a whole reference system as one text or number, beside or instead of those.
TEXTS = re.compile(
    r"crs(_wkt)?|spatial_ref|(map_)?projection|proj_?4\w*|proj_?(params|string|text)|pyproj_srs|esri_pe_string|"
    r"(epsg|EPSG)(_code)?"
)


def reference_texts(*attributes: Attrs) -> dict[str, Any]:
    """Texts of a reference system among the attributes of a Dataset or of its variables, of which PROJ reads one.

    For files without a grid mapping variable, as radar networks, WRF tools and salem write them.
    """
    texts = {k: v for attrs in attributes for k, v in attrs.items() if TEXTS.fullmatch(k) and isinstance(v, str | int)}
    return texts if texts and _systems(json.dumps(plain(texts), sort_keys=True)) else {}


def degrees(values: np.ndarray, units: Any) -> np.ndarray:
    """Latitudes or longitudes in degrees of north or east; the array itself where its units are these.

    Parameters
    ----------
    units
        CF's "degrees_north" in any spelling, degrees or radians of any direction (CF has no "degrees_west", files do),
        other angles that the parser of units knows. None, or "1": degrees.

    Raises
    ------
    ValueError
        Units that are no angle.
    """
    text = str(units or "").strip()
    if said := ANGLE.fullmatch(text.lower() if text.isupper() else text):
        factor = 180.0 / np.pi if (said["unit"] or "").lower() == "rad" else 1.0
        factor *= -1.0 if (said["towards"] or "n").lower()[0] in "sw" else 1.0
    elif ANGULAR.search(text):
        factor = conversion(text, "degree") or 1.0
    elif text == "1":
        factor = 1.0
    else:
        raise ValueError(f"expected degrees or another angle, got units {text!r}")
    return values if factor == 1.0 else np.asarray(values, "f8") * factor


def apart(line: xr.Variable, points: xr.Variable) -> float:
    """How far latitudes or longitudes of points, (N, M), are from those of their rows, (N,), in degrees.

    0 where it is less than 1/1000 of the spacing of the rows, or where the units of either are no angle.
    """
    try:
        along, values = (degrees(np.asarray(var.values, "f8"), var.attrs.get("units")) for var in (line, points))
    except ValueError:
        return 0.0
    off = np.abs((values - along[:, None] + 180.0) % 360.0 - 180.0)
    spacing = np.abs(np.diff(along)).min(initial=1.0)
    return float(np.nanmax(off, initial=0.0)) if (off > 1e-3 * spacing).any() else 0.0


def beyond(role: str, values: np.ndarray) -> str:
    """What is wrong with latitudes or longitudes, in degrees, that are nowhere on the earth; empty where nothing is."""
    low, high = (-90.0, 90.0) if role == "latitude" else (-360.0, 720.0)
    known = values[np.isfinite(values)]
    if not known.size or (known.min() >= low - BEYOND and known.max() <= high + BEYOND):
        return ""
    return f"{role} reaches from {known.min():.6g} to {known.max():.6g} degrees, expected {low:g} .. {high:g}"


def first_on_meridian(longitudes: np.ndarray) -> np.ndarray:
    """For each column the position of the first column on its meridian, (W,) int64.

    Its own, unless the globe is closed and a meridian has two numbers: 0 and 360, or -180 and 180.
    """
    around = np.asarray(longitudes, "f8") % 360.0
    order = np.argsort(around, kind="stable")
    near = 1e-3 * float(np.median(np.abs(np.diff(longitudes)))) if len(longitudes) > 1 else 0.0
    group = np.concatenate([[0], np.cumsum(np.diff(around[order]) > near)])
    if around[order[0]] + 360.0 - around[order[-1]] <= near:  # rounding put it a little below 360
        group[group == group[-1]] = 0
    meridian = np.empty(len(order), np.int64)
    meridian[order] = group
    _, first, inverse = np.unique(meridian, return_index=True, return_inverse=True)
    return first[inverse]


def measured(values: np.ndarray, units: Any, mapping: Attrs | None = None) -> tuple[np.ndarray, str]:
    """Numbers along y or x in metres ("m") or degrees ("degree"), or as they are where their units are neither ("").

    The angles of a geostationary view become metres, as PROJ counts them: times the height of the satellite.
    """
    text, mapping = str(units or "").strip(), mapping or {}
    if text.lower() in ("degree", "degrees"):  # as "m" below: the parser takes half a second to import
        factor: float | None = 1.0
    else:
        factor = conversion(text, "degree") if ANGULAR.search(text) else None
    if factor is not None:
        height = mapping.get("perspective_point_height")
        if height is not None and "geostationary" in str(mapping.get("grid_mapping_name")).lower():
            return np.deg2rad(values * factor) * float(np.ravel(height)[0]), "m"
        return (values if factor == 1.0 else values * factor), "degree"
    if (factor := 1.0 if text == "m" else conversion(text, "m")) is not None:
        return (values if factor == 1.0 else values * factor), "m"
    return values, ""


def is_geographic(attrs: Attrs) -> bool:
    """Whether a mapping is of latitude and longitude themselves; so is one that says nothing."""
    name = attrs.get("grid_mapping_name")
    systems = {} if name else _systems(json.dumps(_said(attrs), sort_keys=True, default=str))
    if not systems:
        return str(name or "latitude_longitude").strip().lower() == "latitude_longitude"
    return all(crs.is_geographic and not crs.is_derived for crs in systems.values())


def alike(mine: Attrs, theirs: Attrs) -> bool:
    """Whether two grid mappings are one: the same numbers along y and x are the same place."""
    if _said(mine) == _said(theirs):
        return True
    pairs = _pairs(mine, theirs)
    return bool(pairs) and not _unread(mine, theirs) and all(a.equals(b, ignore_axis_order=True) for a, b in pairs)


def same_earth(mine: Attrs, theirs: Attrs) -> bool:
    """Whether ellipsoid and prime meridian are the same, to a few metres, where both mappings name them.

    Of latitude and longitude nothing else can differ.
    """
    stated = all(any(re.fullmatch(EARTH, k) or TEXTS.fullmatch(k) for k in one) for one in (mine, theirs))
    return not stated or all(_one_earth(a, b) for a, b in _pairs(mine, theirs))


def metres_apart(
    mine: Attrs, theirs: Attrs, points: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]
) -> float | None:
    """Largest distance of the points (y, x), in metres or degrees as `measured` gives them, of two mappings.

    Returns
    -------
    float or None
        Metres; infinite where one mapping sees a point that the other does not, or none of them any. None where the
        mappings cannot be compared so: PROJ does not read them, they are of two ellipsoids, or have numbers that are no
        attributes of CF.
    """
    pyproj = import_apart("pyproj")
    far = []
    for pair in _pairs(mine, theirs):
        turned = all(crs.is_geographic for crs in pair)  # a rotated pole needs no ellipsoid
        if _unread(mine, theirs) or not (same_earth(mine, theirs) if turned else _one_earth(*pair)):
            return None
        places = []
        for crs, (y, x) in zip(pair, (points, others), strict=True):
            base = crs.source_crs if crs.is_geographic and crs.is_derived else crs.geodetic_crs
            size = 1.0 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor  # a text may be "+units=km"
            places.append(pyproj.Transformer.from_crs(crs, base, always_xy=True).transform(x / size, y / size))
        far.append(_distance(*places))
    return max(far, default=None)


def difference(mine: Attrs, theirs: Attrs) -> str:
    """What two mappings say otherwise, in words."""
    ours, other = ({k: v for k, v in _said(one).items() if not TEXTS.fullmatch(k)} for one in (mine, theirs))
    if (
        ours == other or len({"grid_mapping_name" in one for one in (ours, other)}) > 1
    ):  # texts are longer than attributes
        for pair in _pairs(mine, theirs):
            ours, other = (_said(crs.to_cf()) | {"crs_wkt": ""} for crs in pair)
    differing = (k for k in ours | other if not _equal(ours.get(k), other.get(k)))
    keys = sorted(differing, key=lambda k: (k.endswith("_name"), k))
    keys = (
        ["grid_mapping_name"] if "grid_mapping_name" in keys else keys[:4]
    )  # of another name all else is different too
    words = [f"{key} expected {ours.get(key, 'none')}, got {other.get(key, 'none')}" for key in keys]
    return "; ".join(words) or "the texts of the reference systems differ"


def _equal(a: Any, b: Any) -> bool:
    """Whether two values are the same to a reader, for whom the axes of GRS 80 and WGS 84 are."""
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return bool(np.isclose(a, b, rtol=1e-8, atol=0.0)) if numbers else a == b


def _said(attrs: Attrs) -> dict[str, Any]:
    """Attributes that say where a mapping puts a point: those of CF, texts, and numbers of any name."""
    kept = {
        k: v
        for k, v in plain(attrs).items()
        if PARAMETERS.fullmatch(k) or TEXTS.fullmatch(k) or isinstance(v, int | float)
    }
    return {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in kept.items()}


def _unread(mine: Attrs, theirs: Attrs) -> bool:
    """Whether both have a number of another value under a name that is not CF's, so that PROJ knows nothing of it."""
    ours, other = _said(mine), _said(theirs)
    return any(
        ours[k] != other[k]
        for k in ours.keys() & other.keys()
        if not PARAMETERS.fullmatch(k) and not TEXTS.fullmatch(k)
    )


def _pairs(mine: Attrs, theirs: Attrs) -> list[tuple["CRS", "CRS"]]:
    """The reference systems of both, each by what both have: attributes, a text. Else by what each has."""
    ours, other = (_systems(json.dumps(_said(one), sort_keys=True, default=str)) for one in (mine, theirs))
    both = [(ours[way], other[way]) for way in ours if way in other]
    return both or list(zip(ours.values(), other.values(), strict=False))


@cache
@lru_cache(maxsize=64)
def _systems(said: str) -> dict[str, "CRS"]:
    """Reference systems that a mapping describes, by CF's attributes and by a text; without those PROJ cannot read."""
    pyproj, attrs = import_apart("pyproj"), json.loads(said)
    named = {k: v for k, v in attrs.items() if PARAMETERS.fullmatch(k)}
    if "grid_mapping_name" in named:
        named["grid_mapping_name"] = str(named["grid_mapping_name"]).strip().lower()
    ways: list[tuple[str, Callable[[], CRS]]] = [("attributes", partial(pyproj.CRS.from_cf, named))]
    for key, value in attrs.items():
        if TEXTS.fullmatch(key):
            text = f"EPSG:{str(value).rpartition(':')[2]}" if key.lower().startswith("epsg") else str(value)
            ways.append(("text", partial(pyproj.CRS.from_user_input, text)))
    found: dict[str, CRS] = {}
    for way, read in ways if named else ways[1:]:
        try:
            whole = read()
        except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError):
            continue
        crs = whole.source_crs if whole.is_bound else whole.sub_crs_list[0] if whole.is_compound else whole
        if crs is not None and crs.geodetic_crs is not None and crs.ellipsoid is not None:
            found.setdefault(way, crs)
    return found


def _one_earth(a: "CRS", b: "CRS") -> bool:
    """Whether two systems have one ellipsoid, to a few metres, and one prime meridian."""
    earths = []
    for crs in (a, b):
        assert crs.ellipsoid is not None
        meridian = 0.0 if crs.prime_meridian is None else crs.prime_meridian.longitude
        earths.append((crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre, meridian))
    return bool(np.allclose(earths[0], earths[1], rtol=1e-6, atol=1e-6))


def _distance(mine: tuple[Any, Any], theirs: tuple[Any, Any]) -> float:
    """Largest distance on a sphere, in metres, of points (longitude, latitude) in degrees."""
    lon, lat, other_lon, other_lat = (np.deg2rad(np.where(np.isfinite(v), v, np.nan)) for v in (*mine, *theirs))
    if (np.isnan(lat) != np.isnan(other_lat)).any() or np.isnan(lat).all():
        return np.inf
    squared = np.sin((lat - other_lat) / 2) ** 2 + np.cos(lat) * np.cos(other_lat) * np.sin((lon - other_lon) / 2) ** 2
    return float(2 * SPHERE * np.arcsin(np.sqrt(np.nanmax(squared, initial=0.0))))
