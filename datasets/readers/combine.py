"""Many canonical datasets, one of each file, to one: along time, and side by side where they hold other variables."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from operator import itemgetter
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import Grid, differences, unsaid
from simvp.errors import Refusal, shortened
from simvp.values import same_units

logger = logging.getLogger(__name__)


Part = tuple[str, xr.Dataset]
"""What one file contributes: the name of the file, and a canonical Dataset."""


def combine(parts: Sequence[Part]) -> xr.Dataset:
    """Combine canonical datasets of one grid along time; nothing but coordinates is read.

    Raises
    ------
    Refusal
        Naming the files: another grid, other units, another level, member or standard_name, another calendar, a time
        that is in two files, variables that only some of the files of one series have.
    """
    if len(parts) == 1:
        return parts[0][1]
    parts, reasons = _on_one_grid(sorted(parts, key=itemgetter(0)))
    reasons += _unit_faults(parts) + _identity_faults(parts) + _calendar_faults(parts)
    if reasons:
        raise Refusal("files", reasons)
    groups: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in parts:
        groups[tuple(sorted(map(str, part[1].data_vars)))].append(part)
    reasons = [reason for group in groups.values() for reason in _time_faults(group)] + _group_faults(groups)
    if reasons:
        raise Refusal("files", reasons)
    return _side_by_side([along_time([ds for _, ds in group]) for group in groups.values()])


def _on_one_grid(parts: Sequence[Part]) -> tuple[list[Part], list[str]]:
    first, grid = parts[0][0], Grid.of(parts[0][1])
    aligned, reasons = [parts[0]], []
    for name, ds in parts[1:]:
        if grid.identical(Grid.of(ds)):
            aligned.append((name, ds))
        elif faults := grid.faults(ds):
            reasons += [f"{name}: not on the grid of {first}: {fault}" for fault in faults]
        else:
            aligned.append((name, grid.align(ds)))
    return aligned, reasons


def _unit_faults(parts: Sequence[Part]) -> list[str]:
    reasons = []
    first: dict[str, tuple[str, Any]] = {}
    for file, ds in parts:
        for name, var in ds.data_vars.items():
            units = var.attrs.get("units")
            where, expected = first.setdefault(str(name), (file, units))
            if units != expected and (units is None or expected is None or not same_units(str(units), str(expected))):
                reasons.append(f"{file}: {name} has units {units!r}, but {expected!r} in {where}")
    return reasons


def _identity_faults(parts: Sequence[Part]) -> list[str]:
    """Variables of one name that are not one quantity: on another level, of another member, with another method."""
    reasons = []
    first: dict[str, tuple[str, xr.DataArray]] = {}
    silent: dict[str, list[str]] = defaultdict(list)
    for file, ds in parts:
        for name, var in ds.data_vars.items():
            where, expected = first.setdefault(str(name), (file, var))
            for what, mine, theirs in differences(expected.attrs, var.attrs):
                reason = f"{file}: {name} has {what} {theirs}, but {what} {mine}"
                remedy = "choose among the messages by select={'typeOfLevel': ...} or another key"
                # One GRIB file, of which cfgrib makes several datasets, or two files.
                reasons.append(f"{reason} too; {remedy}" if file == where else f"{reason} in {where}")
            for label in unsaid(expected.attrs, var.attrs) + unsaid(var.attrs, expected.attrs):
                silent[f"{name}: {label}"].append(file)
    for label, files in silent.items():
        logger.warning("%s is not said in every file: %s", label, ", ".join(shortened(files, 3)))
    return reasons


def _calendar_faults(parts: Sequence[Part]) -> list[str]:
    calendars = [(name, _calendar(ds)) for name, ds in parts]
    first, expected = calendars[0]
    return [f"{name}: calendar {other}, but {expected} in {first}" for name, other in calendars if other != expected]


def _calendar(ds: xr.Dataset) -> str:
    times = ds["time"].values
    return str(times[0].calendar) if times.dtype == object else "standard"


def _time_faults(group: Sequence[Part]) -> list[str]:
    file_of: dict[Any, str] = {}
    reasons = []
    for name, ds in group:
        times = ds["time"].values
        twice = [place for place, time in enumerate(times.tolist()) if time in file_of]
        if twice:
            at, other = str(times[twice[0]]), file_of[times.tolist()[twice[0]]]
            if other == name:  # one GRIB file, of which cfgrib makes several datasets
                names = ", ".join(map(str, ds.data_vars))
                remedy = "choose among them by select={'typeOfLevel': ...} or another key of the message"
                reasons.append(f"{name}: several kinds of messages for {names} at {at}; {remedy}")
            else:
                count = f"{len(twice)} times, first {at}, are" if len(twice) > 1 else f"time {at} is"
                made = str(ds["time"].attrs.get("comment", ""))  # valid times of runs that overlap
                remedy = f" ({made}); choose one lead: select={{'lead': ...}}" if made.startswith("valid times") else ""
                reasons.append(f"{count} both in {other} and in {name}{remedy}")
        file_of |= dict.fromkeys(times.tolist(), name)
    return reasons


def _group_faults(groups: dict[tuple[str, ...], list[Part]]) -> list[str]:
    """Variables that are in files of several kinds: one of these lacks what the other has."""
    reasons = []
    # Of the kinds of files, the one that lacks nothing: most variables, and of equals most files.
    whole = max(groups, key=lambda names: (len(names), len(groups[names])))
    for names, group in groups.items():
        if names != whole and set(names) & set(whole):
            lacking = ", ".join(name for name in whole if name not in names)
            reasons.append(f"{group[0][0]}: has no {lacking}, which {groups[whole][0][0]} has")
    kinds = [names for names in groups if not set(names) & set(whole)]
    for other, names in combinations(kinds, 2):
        if shared := ", ".join(sorted(set(names) & set(other))):
            reasons.append(f"{shared}: in {groups[names][0][0]} and in {groups[other][0][0]}")
    return reasons


def along_time(series: Sequence[xr.Dataset]) -> xr.Dataset:
    """Datasets that differ in their times alone, as one, lazily, in the order of time."""
    ds = series[0]
    if len(series) > 1:
        # "override", for all has been compared by now, and xarray would read and compare every coordinate again.
        whole = sorted(series, key=lambda one: one["time"].values[0])
        override: dict[str, Any] = dict.fromkeys(("compat", "join", "combine_attrs"), "override")
        ds = xr.concat(whole, "time", data_vars="all", coords="minimal", **override)
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
