"""Many canonical datasets, one of each file, to one: along time, and side by side where they hold other variables."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import Grid, same_units
from simvp.errors import Refusal

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one file contributes: a canonical Dataset, and the name of the file."""

    name: str
    ds: xr.Dataset


def combine(parts: Sequence[Part]) -> xr.Dataset:
    """Combine canonical datasets of one grid along time; nothing but coordinates is read.

    Raises
    ------
    Refusal
        Naming the files: another grid, other units, another calendar, a time that is in two files, variables that only
        some of the files of one series have.
    """
    if len(parts) == 1:
        return parts[0].ds
    parts = sorted(parts, key=lambda part: part.name)
    parts, reasons = _on_one_grid(parts)
    reasons += _unit_faults(parts) + _calendar_faults(parts)
    if reasons:
        raise Refusal("files", reasons)
    groups: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in parts:
        groups[tuple(sorted(map(str, part.ds.data_vars)))].append(part)
    reasons = [reason for group in groups.values() for reason in _time_faults(group)] + _group_faults(groups)
    if reasons:
        raise Refusal("files", reasons)
    return _side_by_side([along_time([part.ds for part in group]) for group in groups.values()])


def _on_one_grid(parts: Sequence[Part]) -> tuple[list[Part], list[str]]:
    grid = Grid.of(parts[0].ds)
    aligned, reasons = [parts[0]], []
    for part in parts[1:]:
        other = Grid.of(part.ds)
        if _equal(grid, other):
            aligned.append(part)
        elif faults := grid.faults(part.ds):
            reasons += [f"{part.name}: not on the grid of {parts[0].name}: {fault}" for fault in faults]
        else:
            aligned.append(Part(name=part.name, ds=grid.align(part.ds)))
    return aligned, reasons


def _equal(a: Grid, b: Grid) -> bool:
    """Equal to the last bit, as it is in most archives: no need to look further."""
    mine, theirs = a.arrays(), b.arrays()
    return (
        a.dims == b.dims
        and mine.keys() == theirs.keys()
        and all(np.array_equal(mine[k], theirs[k], equal_nan=True) for k in mine)
    )


def _unit_faults(parts: Sequence[Part]) -> list[str]:
    reasons = []
    first: dict[str, tuple[str, Any]] = {}
    for part in parts:
        for name, var in part.ds.data_vars.items():
            units = var.attrs.get("units")
            where, expected = first.setdefault(str(name), (part.name, units))
            if units != expected and (units is None or expected is None or not same_units(str(units), str(expected))):
                reasons.append(f"{part.name}: {name} has units {units!r}, but {expected!r} in {where}")
    return reasons


def _calendar_faults(parts: Sequence[Part]) -> list[str]:
    first, expected = parts[0].name, _calendar(parts[0].ds)
    return [
        f"{part.name}: calendar {_calendar(part.ds)}, but {expected} in {first}"
        for part in parts
        if _calendar(part.ds) != expected
    ]


def _calendar(ds: xr.Dataset) -> str:
    times = ds["time"].values
    return str(times[0].calendar) if times.dtype == object else "standard"


def _time_faults(group: Sequence[Part]) -> list[str]:
    file_of: dict[Any, str] = {}
    reasons = []
    for part in group:
        times = part.ds["time"].values
        twice = [place for place, time in enumerate(times.tolist()) if time in file_of]
        if twice:
            at, other = str(times[twice[0]]), file_of[times.tolist()[twice[0]]]
            count = f"{len(twice)} times, first {at}, are" if len(twice) > 1 else f"time {at} is"
            if other == part.name:  # one GRIB file, of which cfgrib makes several datasets
                names = ", ".join(map(str, part.ds.data_vars))
                remedy = "choose among them by select={'typeOfLevel': ...} or another key of the message"
                reasons.append(f"{part.name}: several kinds of messages for {names} at {at}; {remedy}")
            else:
                reasons.append(f"{count} both in {other} and in {part.name}")
        file_of |= dict.fromkeys(times.tolist(), part.name)
    return reasons


def _group_faults(groups: dict[tuple[str, ...], list[Part]]) -> list[str]:
    """Variables that are in files of several kinds: one of these lacks what the other has."""
    reasons = []
    # Of the kinds of files, the one that lacks nothing: most variables, and of equals most files.
    whole = max(groups, key=lambda names: (len(names), len(groups[names])))
    for names, group in groups.items():
        lacking = [name for name in whole if name not in names]
        if names != whole and set(names) & set(whole):
            reasons.append(f"{group[0].name}: has no {', '.join(lacking)}, which {groups[whole][0].name} has")
    kinds = [names for names in groups if not set(names) & set(whole)]
    for at, names in enumerate(kinds):
        for other in kinds[:at]:
            shared = ", ".join(sorted(set(names) & set(other)))
            reasons += [f"{shared}: in {groups[names][0].name} and in {groups[other][0].name}"] if shared else []
    return reasons


def along_time(series: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets that differ in their times alone, as one, lazily, in the order of time."""
    ds = series[0]
    if len(series) > 1:
        # "override", for all has been compared by now, and xarray would read and compare every coordinate again.
        ds = xr.concat(
            sorted(series, key=lambda one: one["time"].values[0]),
            "time",
            data_vars="all",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
    times = ds["time"].values
    return ds if (times[1:] > times[:-1]).all() else ds.isel(time=np.argsort(times, kind="stable"))


def _side_by_side(series: Sequence[xr.Dataset]) -> xr.Dataset:
    times = np.unique(np.concatenate([ds["time"].values for ds in series]))
    whole = []
    for ds in series:
        if ds.sizes["time"] < len(times):
            names = ", ".join(map(str, ds.data_vars))
            logger.warning("%s: %d of %d times have no frame", names, len(times) - ds.sizes["time"], len(times))
            ds = ds.reindex(time=times)
        whole.append(ds)
    return xr.merge(whole, join="exact", compat="override", combine_attrs="override")
