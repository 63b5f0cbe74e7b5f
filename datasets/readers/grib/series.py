"""Whether the GRIB fields of one variable are one series of maps, or why not, and by what they can be told apart."""

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from datasets.readers.grib.messages import KEYS, Field, differences

logger = logging.getLogger(__name__)

# One name with two values of one of these is two quantities, also where they never meet in time.
LABELS = (
    *("derivedForecast", "percentileValue", "quantileValue", "probabilityType", "scaledValueOfLowerLimit"),
    *("scaledValueOfUpperLimit", "constituentType", "aerosolType"),
)
MEANING = ("stepType", "typeOfLevel", "paramId", "typeOfFirstFixedSurface", "indicatorOfTypeOfLevel", *LABELS)
AXES = ("number", "level:float", "directionNumber", "frequencyNumber")
# Fields that agree in these, which are attributes for cfgrib, are a cube of time, step and AXES.
ATTRIBUTES = (
    *(
        "edition",
        "centre",
        "centreDescription",
        "subCentre",
        "dataType",
        "numberOfPoints",
        "gridType",
        "md5GridSection",
    ),
    *("second", "uvRelativeToGrid", *MEANING),
)

REGULAR = ("regular_ll", "regular_gg")  # a latitude for each row, a longitude for each column
CURVED = ("rotated_ll", "lambert_azimuthal_equal_area")  # latitude and longitude for each point
# The same; but ecCodes 2.50 goes north and east from the first point whatever the scanning mode says, and lists the
# points row by row whatever the order of the values.
PROJECTED = ("lambert", "polar_stereographic")
GRIDS = {
    "reduced_gg": "a reduced Gaussian grid (reduced_gg)",
    "reduced_ll": "a reduced latitude-longitude grid (reduced_ll)",
    "rotated_gg": "a rotated Gaussian grid (rotated_gg)",  # ecCodes 2.50 gives its places as if it were not rotated
    "mercator": "a Mercator grid (mercator)",
    "sh": "spherical harmonics (sh)",
    "space_view": "a view from space (space_view)",
    "unstructured_grid": "an unstructured grid (unstructured_grid)",
}
REMEDY = "bring it onto a regular one first (cdo -R or remapbil), or read other variables or another gridType"
CALENDAR_UNITS = {3, 4, 5, 6, 7}  # months, years, decades, normals, centuries (code table 4.4)
LISTED = 6  # values that a reason lists


def scanning_mode(field: Field) -> int:
    """Order of the values, an octet of code table 3.4; in edition 1 it has three bits."""
    return int(field.get("scanningMode") or 0) & (0xE0 if field.get("edition") == 1 else 0xFF)


def lead_of(field: Field) -> float:
    """Hours from the reference time to the end of what a field is of; NaN in months and years."""
    return _hours(field, "endStep:int")


def period_of(field: Field) -> float:
    """Hours over which a field is a sum, a mean or an extreme; 0 of one at an instant."""
    return 0.0 if field.get("stepType") == "instant" else lead_of(field) - _hours(field, "startStep:int")


def reference_of(field: Field) -> np.datetime64:
    """Reference time, to the second."""
    from cfgrib.cfmessage import from_grib_date_time

    return np.datetime64(from_grib_date_time(field), "s") + np.timedelta64(field.get("second") or 0, "s")


def in_words(hours: float) -> str:
    """A period: 15 minutes, 1 hour, 6 hours."""
    number, unit = (hours, "hour") if hours.is_integer() else (60 * hours, "minute")
    return f"{number:g} {unit}" + ("" if number == 1 else "s")


def cubes_of(fields: Sequence[Field]) -> dict[Hashable, list[Field]]:
    """Fields of one variable in cubes of time, step, member and level; those of equal keys have all axes in common."""
    kinds = _grouped(fields, lambda field: tuple(map(field.get, ATTRIBUTES)))
    cubes: dict[Hashable, list[Field]] = {}
    for kind, alike in kinds.items():
        times = frozenset((field.date, lead_of(field)) for field in alike)
        cubes[kind[: -len(MEANING)], times, _axes(alike), str(labels_of(alike))] = alike
    return cubes


def labels_of(cube: Sequence[Field]) -> dict[str, tuple[Any, str]]:
    """What all fields of a cube are fixed at and cfgrib has no coordinate for, each with its unit."""
    first = cube[0]
    labels = {key: (first.get(key), "1") for key in LABELS if first.get(key) is not None}
    if first.get("stepType") != "instant" and (hours := period_of(first)) > 0:
        labels["period"] = hours, "hours"
    bottoms = {field.get("bottomLevel") for field in cube}
    if len(bottoms) == 1 and first.get("bottomLevel") not in (None, first.get("level:float")):
        labels["bottomLevel"] = first["bottomLevel"], "1"
    return labels


def faults_of(path: str, name: str, fields: Sequence[Field]) -> list[str]:
    """Every reason why the fields of one variable are not one series; a cube with holes is only warned of."""
    reasons = (
        _unreadable(name, fields)
        or _meanings(name, fields)
        or _sharing(path, name, fields)
        or _layers(name, fields)
        or _overlapping(path, name, fields)
        or _periods(name, fields)
    )
    if not reasons:
        _warn_of_kinds(name, fields)
        _warn_of_holes(name, fields)
    return reasons


def _unreadable(name: str, fields: Sequence[Field]) -> list[str]:
    """Grids, scanning modes, bitmaps and steps for which ecCodes or cfgrib has no values, places or times."""
    reasons = []
    grids = {str(field.get("gridType")) for field in fields}
    for grid in sorted(grids - {*REGULAR, *CURVED, *PROJECTED}):
        what = GRIDS.get(grid, f"a grid of type {grid}")
        reasons.append(f"{name}: on {what}, which is not read; {REMEDY}")
    for grid, mode in sorted({(str(field.get("gridType")), scanning_mode(field)) for field in fields}):
        if mode & 0x0F or (grid in PROJECTED and mode & 0xC0 != 0x40):
            what = "staggers rows or columns" if mode & 0x0F else "is placed wrongly by ecCodes"
            reasons.append(
                f"{name}: scanning mode {mode:08b} of gridType {grid} {what}, and is not read; write it in another"
            )
    for fault, ill in _grouped(fields, _fault).items():
        if fault:
            reasons.append(
                f"{name}: {len(ill)} of {len(fields)} fields cannot be read, the first at byte {ill[0].at}: {fault}"
            )
    if any(np.isnan(lead_of(field)) for field in fields):
        reasons.append(
            f"{name}: steps in months or years, of which ecCodes makes 30 and 365 days; give them in hours or days"
        )
    return reasons


def _fault(field: Field) -> str:
    rows, columns, points = map(field.get, ("Ny", "Nx", "numberOfPoints"))
    on_grid = field.get("gridType") in (*REGULAR, *CURVED, *PROJECTED)
    wrong = on_grid and (None in (rows, columns) or rows * columns != points)
    return field.fault or (f"it has {points} points for {rows} rows of {columns}" if wrong else "")


def _meanings(name: str, fields: Sequence[Field]) -> list[str]:
    """Fields of one name that are several quantities; winds along rows and winds to the east, where these differ."""
    turned = any(field.get("gridType") not in REGULAR for field in fields)
    for key in (*MEANING, *(["uvRelativeToGrid"] if turned else [])):
        if len({field.get(key) for field in fields}) > 1:
            return [_of_several_kinds(name, key, fields)]
    return []


def _of_several_kinds(name: str, key: str, fields: Sequence[Field]) -> str:
    counts = {value: len(alike) for value, alike in _grouped(fields, lambda field: field.get(key)).items()}
    listed = _few([f"{value} ({count})" for value, count in counts.items()])
    first = next(iter(counts))
    return f"{name}: several kinds of messages: {key} is {listed}; choose one with select={{{key!r}: {first!r}}}"


def _sharing(path: str, name: str, fields: Sequence[Field]) -> list[str]:
    """Fields of one time, step, member and level: cfgrib would keep the last of them."""
    cells = _grouped(fields, lambda field: (field.date, lead_of(field), *map(field.get, AXES)))
    shared = [cell for cell in cells.values() if len(cell) > 1]
    if not shared:
        return []
    one, other, *_ = shared[0]
    where = (
        f"at {len(shared)} of {len(cells)} times, steps and levels, first {_valid(one)} (bytes {one.at} and {other.at})"
    )
    return [f"{name}: two messages or more share their place {where}; {_apart(path, one, other)}"]


def _layers(name: str, fields: Sequence[Field]) -> list[str]:
    """Layers of one upper and several lower edges: cfgrib has one level for both."""
    for alike in _grouped(fields, lambda field: field.get("level:float")).values():
        if len({field.get("bottomLevel") for field in alike}) > 1:
            return [_of_several_kinds(name, "bottomLevel", alike)]
    return []


def _overlapping(path: str, name: str, fields: Sequence[Field]) -> list[str]:
    """Kinds of messages of one variable that are not simply parts of one series: of other levels, or of one time."""
    first, *others = kinds = list(_grouped(fields, lambda field: tuple(map(field.get, ATTRIBUTES))).values())
    for kind in others:
        if _axes(kind) != _axes(first):
            what = "several kinds of messages, on other levels or of other members"
            return [f"{name}: {what}; {_apart(path, first[0], kind[0])}"]
    members = _grouped(fields, lambda field: field.get("number") is None)
    if len(members) > 1:  # cfgrib cannot sort what has none
        (one, *_), (other, *_) = members.values()
        return [f"{name}: several kinds of messages, with and without a number of a member; {_apart(path, one, other)}"]
    if not others:
        return []
    by_time = _grouped([(n, f) for n, kind in enumerate(kinds) for f in kind], lambda pair: _valid(pair[1]))
    for time, pairs in by_time.items():
        if len({n for n, _ in pairs}) > 1:
            one, other = pairs[0][1], next(f for n, f in pairs if n != pairs[0][0])
            return [f"{name}: several kinds of messages share the time {time}; {_apart(path, one, other)}"]
    return []


def _periods(name: str, fields: Sequence[Field]) -> list[str]:
    """Sums or means over other periods: as from the start of a run to each of its steps."""
    periods = _grouped(fields, period_of)
    if len(periods) < 2:
        return []
    over = ", ".join(in_words(hours) for hours in sorted(periods)[:LISTED]) + (", ..." if len(periods) > LISTED else "")
    ranges = [str(alike[0].get("stepRange")) for alike in periods.values()]
    return [
        f"{name}: stepType {fields[0].get('stepType')} over {over} is not one series (stepRange {_few(ranges)}); "
        f"choose one with select={{'stepRange': {ranges[-1]!r}}}, or one step"
    ]


def _warn_of_kinds(name: str, fields: Sequence[Field]) -> None:
    for key in ("centre", "subCentre", "dataType", "uvRelativeToGrid"):
        if len(values := {field.get(key) for field in fields}) > 1:
            logger.warning("%s: one series of messages that differ in %s (%s)", name, key, _few([*map(str, values)]))


def _warn_of_holes(name: str, fields: Sequence[Field]) -> None:
    for alike in _grouped(fields, lambda field: tuple(map(field.get, ATTRIBUTES))).values():
        sizes = [len({key(field) for field in alike}) for key in (lambda f: f.date, lead_of)]
        sizes += [len({field.get(key) for field in alike}) for key in AXES]
        if len(alike) < (places := int(np.prod(sizes))):
            text = "%s: %d of %d combinations of time, step, level and member have no message, and no values"
            logger.warning(text, name, places - len(alike), places)


def _apart(path: str, one: Field, other: Field) -> str:
    """In what two fields differ, and how to choose."""
    differing = differences(path, one, other, KEYS)
    if not differing:
        same = (one.header, one.date) == (other.header, other.date)
        what = "have the same header" if same else "differ in what ecCodes has no name for"
        return f"they {what}; leave one of them out (grib_copy)"
    texts = [f"{key} ({mine}, {theirs})" for key, (mine, theirs) in list(differing.items())[:LISTED]]
    key = next(iter(differing))
    mine, theirs = differing[key]
    value = theirs if mine is None else mine
    remedy = f"choose with select={{{key!r}: {value!r}}}" if key in KEYS else f"choose with grib_copy -w {key}={value}"
    return f"they differ in {', '.join(texts)}; {remedy}"


def _axes(fields: Sequence[Field]) -> Hashable:
    return tuple(frozenset(field.get(key) for field in fields) for key in AXES)


def _valid(field: Field) -> np.datetime64:
    return reference_of(field) + np.timedelta64(round(3600 * lead_of(field)), "s")


def _hours(field: Field, key: str) -> float:
    """Hours that a step key is after the reference time; NaN where its unit has no length, as months have none."""
    from cfgrib.cfmessage import from_grib_step

    try:
        hours = float(from_grib_step(field, key))
    except (KeyError, ValueError, IndexError):
        return float("nan")
    units = {field.get(f"indicatorOfUnit{of}TimeRange:int") for of in ("Of", "For")}
    return float("nan") if hours and units & CALENDAR_UNITS else hours


def _grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts[:LISTED]) + (f", ... ({len(texts)} in all)" if len(texts) > LISTED else "")
