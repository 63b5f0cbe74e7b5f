"""What a variable is beyond its name, units and grid: the level, the member, the class that its maps are of.

A scalar coordinate, an axis of one value and a value chosen of a longer axis say the same (CF 5.7), and differ from
variable to variable: temperature at 2 m, wind at 10 m. Each variable keeps its own in the attribute `FIXED`, as JSON:
``{"plev": "850 hPa", "number": "1"}``. These, ``standard_name`` and ``cell_methods`` are equal all along a series.
"""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from simvp.coords.roles import NAMES, Role, bounds, candidates
from simvp.record import from_json
from simvp.values import converted

FIXED = "fixed_at"
KINDS: tuple[Role, ...] = ("z", "member")
# Global attributes that tell one member of an ensemble from another (CMIP5, CMIP6, UKCP; CORDEX has that of the model
# around its own).
MEMBERS = (
    *("variant_label", "realization_index", "realization", "ensemble_member", "ensemble_member_id", "member_id"),
    *("driving_variant_label", "driving_model_ensemble_member"),
)
# Attributes that tell levels apart where no coordinate does (NCEP, NCL, wgrib2).
LEVELS = ("level", "level_desc", "level_type", "level_indicator", "height", "depth", "pressure", "number", "member")
# Names of what follows from the time of a map or counts files, of grid mappings that lack their attributes, and of
# levels without a height, to which cfgrib gives the value 0.
PASSING = re.compile(
    r"(.*_)?(time|date|day|month|year|hour|minute|second|season|week|weekday|dayofyear|doy|orbit|granule|record|frame)"
    r"(_.*)?|crs|spatial_ref|.*projection.*|.*mercator|rotated_pole|surface|meansea|entireatmosphere|nominaltop"
)
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?: +(.*))?", re.IGNORECASE)
METHOD = re.compile(r"((?:\w+ *: *)+)(\w+(?: +(?:where|over|within) +\w+)*)")
EXPVER = re.compile(r"exp_?ver|experimentversionnumber", re.IGNORECASE)
VERSIONS = {"1", "5", "0001", "0005"}  # of ERA5: of one series (see datasets.readers.expver)


class Difference(NamedTuple):
    """What two variables of one name say of themselves, each in its own way."""

    what: str
    mine: str
    theirs: str


def fixed_labels(
    ds: xr.Dataset, names: Sequence[str], axes: Sequence[Hashable | None]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Where each variable is fixed, by the name of the coordinate, and what changes along time though it may not.

    Parameters
    ----------
    ds
        Of any naming. Nothing but scalars, axes of one value and levels along time is read.
    names
        Variables.
    axes
        Dims and coordinates of time, y and x; the dim of time is the first.
    """
    listed = {name: _coordinates_of(ds[name]) for name in map(str, ds.data_vars)}
    somewhere = {name for own in listed.values() for name in own}
    fixed: dict[str, dict[str, str]] = {name: {} for name in names}
    reasons = []
    for name, (dims, texts) in _labels(ds, axes).items():
        for field in names:
            # CF 5: the attribute `coordinates` says which scalar belongs to which variable; of no variable, to all.
            own = set(dims) <= set(ds[field].dims) if dims else name in listed.get(field, []) or name not in somewhere
            if own and len(texts) > 1:
                reasons.append(f"{field}: {name} changes along {dims[0]}: {', '.join(texts[:5])}; expected one value")
            elif own and texts[0]:
                fixed[field][name] = texts[0]
    member = next((key for key in MEMBERS if key in ds.attrs and np.ndim(ds.attrs[key]) == 0), None)
    for labels in fixed.values():
        if member is not None and not any(NAMES["member"].fullmatch(name.lower()) for name in labels):
            labels[member] = str(ds.attrs[member])
    return fixed, reasons


def with_labels(attrs: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of a variable that is fixed at these labels, and where it was before."""
    whole = {**_fixed(attrs), **labels}
    return {**attrs, FIXED: json.dumps(whole, ensure_ascii=False, sort_keys=True)} if whole else dict(attrs)


def label_names(attrs: Mapping[str, Any]) -> list[str]:
    """Names of the coordinates that a variable is fixed at."""
    return list(_fixed(attrs))


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """In what two variables of one name are not the same quantity, by their attributes; what only one says is none."""
    found = []
    standard, other = (str(attrs.get("standard_name", "")) for attrs in (mine, theirs))
    if standard and other and standard.casefold() != other.casefold():
        found.append(Difference("standard_name", standard, other))
    methods, others = _methods(mine), _methods(theirs)
    if any(methods[dim] != others[dim] for dim in methods.keys() & others.keys()):
        found.append(Difference("cell_methods", str(mine["cell_methods"]), str(theirs["cell_methods"])))
    ours, theirs_at = _said(mine), _said(theirs)
    for name, (counterpart, text) in _paired(ours, theirs_at).items():
        if _same(ours[name], text):
            continue
        if counterpart == name:
            found.append(Difference(name, ours[name], text))
        else:
            found.append(Difference("level or member", f"{name} {ours[name]}", f"{counterpart} {text}"))
    return found


def unsaid(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Labels of the one variable that the other says nothing of."""
    ours = _said(mine)
    return [f"{name} {text}" for name, text in ours.items() if name not in _paired(ours, _said(theirs))]


def _coordinates_of(field: xr.DataArray) -> list[str]:
    return str(field.encoding.get("coordinates") or field.attrs.get("coordinates") or "").split()


def _labels(ds: xr.Dataset, axes: Sequence[Hashable | None]) -> dict[str, tuple[tuple[str, ...], list[str]]]:
    """Dims and values of every coordinate that says at what a map is."""
    roles = {c.name: c.role for c in reversed(candidates(ds))}
    aside = bounds(ds) | {str(name) for name in axes}
    labels = {}
    for key, coord in ds.variables.items():
        name, role = str(key), roles.get(str(key))
        if name in aside or PASSING.fullmatch(name.lower()) or role not in (None, *KINDS):
            continue
        along_time = coord.dims == (axes[0],)
        said = key in ds.coords or (role in KINDS and coord.ndim == 0)
        fixed = coord.ndim == 0 or (coord.ndim == 1 and (role in KINDS if along_time else coord.size == 1))
        if said and fixed and coord.size and coord.dtype.kind in "fiuSUOT":
            texts = list(dict.fromkeys(_text(value, coord.attrs) for value in np.ravel(coord.values)))
            era5 = EXPVER.fullmatch(name) and set(texts) <= VERSIONS
            labels[name] = tuple(map(str, coord.dims)), ["final or preliminary"] if era5 else texts
    return labels


def _text(value: Any, attrs: Mapping[str, Any]) -> str:
    """A label as it is shown and compared; empty where there is none."""
    if isinstance(value, bytes | str):
        return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value).strip()
    if not isinstance(value, int | float | np.integer | np.floating) or np.isnan(value):
        return ""
    units = str(attrs.get("units", "")).strip()
    return f"{float(str(value)):.9g} {'' if units == '1' else units}".strip()  # str: float32 in its own digits


def _fixed(attrs: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {str(name): str(text) for name, text in from_json(attrs.get(FIXED, "{}")).items()}
    except (TypeError, ValueError, AttributeError):  # somebody else's attribute of that name
        return {}


def _said(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Labels, and levels that stand in attributes."""
    stated = {name: str(attrs[name]).strip() for name in LEVELS if np.ndim(attrs.get(name, [])) == 0}
    return {name: text for name, text in stated.items() if text} | _fixed(attrs)


def _paired(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """For each of our labels the one of theirs that says the same kind of thing: by name, else the only one left."""
    pairs = {name: (name, theirs[name]) for name in ours if name in theirs}
    for kind in KINDS:
        mine, other = (
            [name for name in labels if name not in pairs and _kind(name, labels[name]) == kind]
            for labels in (ours, theirs)
        )
        if len(mine) == len(other) == 1 and _comparable(ours[mine[0]], theirs[other[0]]):
            pairs[mine[0]] = other[0], theirs[other[0]]
    return pairs


def _kind(name: str, text: str) -> str | None:
    named = next((kind for kind in KINDS if NAMES[kind].fullmatch(name.lower())), None)
    units = _number(text)[1]
    vertical = units and any(converted(1.0, units, unit) is not None for unit in ("Pa", "m"))
    return named or ("z" if vertical else None)


def _comparable(ours: str, theirs: str) -> bool:
    """Whether two levels of other names can be compared: 850 hPa with 85000 Pa, not with level 12."""
    return bool(_number(ours)[1]) == bool(_number(theirs)[1])


def _number(text: str) -> tuple[float | None, str]:
    match = NUMBER.fullmatch(text)
    return (float(match[1]), match[2] or "") if match else (None, "")


def _same(ours: str, theirs: str) -> bool:
    (mine, unit), (other, its) = _number(ours), _number(theirs)
    if mine is None or other is None:
        return ours.casefold() == theirs.casefold()
    value = converted(other, its, unit) if unit and its else other
    return value is not None and bool(np.isclose(mine, value, rtol=1e-6, atol=0.0))  # as far as float32 keeps a level


def _methods(attrs: Mapping[str, Any]) -> dict[str, list[str]]:
    """Methods by dim, out of CF's ``cell_methods``, without what stands in parentheses."""
    methods: dict[str, list[str]] = {}
    for dims, method in METHOD.findall(re.sub(r"\([^)]*\)", "", str(attrs.get("cell_methods", "")))):
        for dim in re.findall(r"\w+", dims):
            name = "time" if NAMES["time"].fullmatch(dim.lower()) else dim
            methods.setdefault(name, []).append(" ".join(method.split()).lower())
    return methods
