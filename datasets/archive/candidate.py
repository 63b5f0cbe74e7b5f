"""Candidate frames compared with an archive: every reason to refuse them, known before anything is written."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from datasets.archive.commits import ABSENT, frame_digest
from datasets.archive.schema import LISTED, Schema, attrs_of, duplicate_faults, shown
from datasets.archive.summary import Summary
from simvp.contract import impossible
from simvp.coords import Step, differences, unsaid
from simvp.errors import Refusal, Unavailable, fault_around
from simvp.times import calendar_of, encode_times
from simvp.values import same_units

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Frames that fit the schema by name, unit, grid and time.

    Parameters
    ----------
    ds
        The archive's variables on its grid, in its order; times rising; values not read yet.
    slots
        (N,) int64 slot of each frame.
    snapped
        How many frames have a time in the source that jitters around that of their slot.
    """

    ds: xr.Dataset
    slots: np.ndarray
    snapped: int

    def blocks(self, size: int) -> Iterator[slice]:
        """Rows of each block of slots, in order."""
        edges = np.flatnonzero(np.diff(self.slots // size)) + 1
        for start, stop in zip([0, *edges], [*edges, len(self.slots)], strict=True):
            yield slice(int(start), int(stop))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidates of one block, each beside what the archive has of it.

    Parameters
    ----------
    slots, times
        (n,) int64; (n,) as the source labels them.
    kinds
        (n,) texts: "append", "fill", "replace", "same", or "absent" (no variable has a value).
    frames
        (n, H, W) by variable, as they will stand in the archive; empty where there is nothing to write.
    digests
        (n,) uint64 of these frames; see `datasets.archive.commits.frame_digest`.
    summaries
        What the source's frames hold, by variable.
    faults
        Reasons to refuse.
    """

    slots: np.ndarray
    times: np.ndarray
    kinds: np.ndarray
    frames: Mapping[str, np.ndarray]
    digests: np.ndarray
    summaries: Mapping[str, Summary]
    faults: tuple[str, ...]


def candidates_of(ds: xr.Dataset, schema: Schema, step: Step | None) -> tuple[Candidates | None, list[str]]:
    """Frames in the order of slots, or every reason why they do not fit. No values are read.

    Parameters
    ----------
    ds
        Canonical Dataset.
    step
        Step that the caller states, to be the archive's.
    """
    reasons = _name_faults(ds, schema)
    shaped = [name for name in schema.variables if name in ds.data_vars]
    crooked = [name for name in shaped if ds[name].dims != schema.dims]
    reasons += [f"{name}: expected dims {schema.dims}, got {ds[name].dims}" for name in crooked]
    if not crooked and shaped:
        reasons += schema.grid.faults(ds)
    # Words such as "1 month" say nothing of the day on which a month is labelled; the times decide that.
    if step is not None and (step.seconds, step.months) != (schema.step.seconds, schema.step.months):
        reasons.append(f"step: expected {schema.step}, got {step}")
    slots, time_reasons = _slots(ds, schema)
    reasons += time_reasons
    if reasons or slots is None:
        return None, reasons
    ds, snapped = _snapped(ds, slots, schema)
    order = np.argsort(slots, kind="stable")
    if (np.diff(order) < 0).any():
        ds = ds.isel(time=order)
    return Candidates(ds=schema.grid.align(ds[list(schema.variables)]), slots=slots[order], snapped=snapped), []


def compare(
    candidates: Candidates, rows: slice, schema: Schema, archived: xr.Dataset | None, *, replace: bool
) -> Comparison:
    """Read the frames of one block and say what each of them is to the archive.

    A variable that has no value in a frame is not there: it can be filled later, and a candidate without values takes
    nothing away.

    Parameters
    ----------
    archived
        The archive, lazily; None before its first commit.
    replace
        Whether other values than the archive's are taken, instead of a reason to refuse. Digests are not trusted
        then: what is stored is read, and damage in it is an error.
    """
    slots, times = candidates.slots[rows], candidates.ds["time"].values[rows]
    try:
        loaded = candidates.ds.isel(time=rows).compute()
    except MemoryError:
        raise
    except Exception as error:  # every reader has its own for a truncated or damaged file
        start, end = (shown(times[i]) for i in (0, -1))
        if isinstance(away := fault_around(error, f"frames {start} .. {end} cannot be read"), Unavailable):
            raise away from error
        fault = f"frames {start} .. {end} cannot be read: {type(error).__name__}: {error}"
        return Comparison(
            slots=slots,
            times=times,
            kinds=np.full(len(slots), "absent", object),
            frames={},
            digests=np.full(len(slots), ABSENT),
            summaries={},
            faults=(fault,),
        )
    with np.errstate(over="ignore"):  # what overflows is infinite then, and refused
        frames = {name: loaded[name].values.astype(of[0], copy=False) for name, of in schema.variables.items()}
    faults, summaries = [], {}
    for name, (_, attrs) in schema.variables.items():
        frames[name], summaries[name], reasons = _examined(frames[name], name, attrs, times)
        faults += reasons
    filled = {name: summary.counts > 0 for name, summary in summaries.items()}
    anything = np.logical_or.reduce(list(filled.values()))
    kinds = np.where(anything, np.where(slots < schema.length, "same", "append"), "absent").astype(object)
    digests = np.full(len(slots), ABSENT)
    for i in np.flatnonzero(anything):
        digests[i] = frame_digest(int(slots[i]), {name: values[i] for name, values in frames.items()})
    inside = np.flatnonzero(kinds == "same")
    if archived is not None and len(inside) and not replace:
        stored = archived["digest"].isel(time=slice(int(slots[inside[0]]), int(slots[inside[-1]]) + 1)).values
        inside = inside[digests[inside] != stored[slots[inside] - slots[inside[0]]]]
    if archived is not None and len(inside):
        first, last = int(slots[inside[0]]), int(slots[inside[-1]])
        committed = archived[list(schema.variables)].isel(time=slice(first, last + 1)).compute()
        at = slots[inside] - first
        for name, values in frames.items():
            old, new = committed[name].values[at], values[inside]
            old_there = ~np.isnan(old).all(axis=(1, 2))
            new_there = filled[name][inside]
            other = (old != new) & ~(np.isnan(old) & np.isnan(new))
            differs = other.any(axis=(1, 2)) & old_there & new_there
            values[inside] = np.where(new_there[:, None, None], new, old)
            fills = new_there & ~old_there & (kinds[inside] == "same")
            kinds[inside[fills]] = "fill"
            kinds[inside[differs]] = "replace"
            if not replace:
                faults += [
                    _difference(name, times[inside[i]], old[i], new[i], int(other[i].sum()))
                    for i in np.flatnonzero(differs)
                ]
        for i in inside:  # of what the archive will hold: a variable that is missing here may be there
            digests[i] = frame_digest(int(slots[i]), {name: values[i] for name, values in frames.items()})
    if faults or np.isin(kinds, ("same", "absent")).all():
        frames = {}
    return Comparison(
        slots=slots,
        times=times,
        kinds=kinds,
        frames=frames,
        digests=digests,
        summaries=summaries,
        faults=tuple(faults),
    )


def _examined(
    values: np.ndarray, name: str, attrs: Mapping[str, Any], times: np.ndarray
) -> tuple[np.ndarray, Summary, list[str]]:
    """Frames without marks of missing values that no attribute declares, what they hold, and what they cannot hold."""
    summary, faults = Summary.of(values), []
    if (summary.counts == 0).all():
        return values, summary, []
    lowest, highest = float(np.nanmin(summary.lowest)), float(np.nanmax(summary.highest))
    if (found := impossible(values, name, attrs, lowest, highest)) is not None:
        if found.marks:
            values = np.where(found.where, values.dtype.type(np.nan), values)
            summary = Summary.of(values, found.marks)
        faults += [f"{found.fault}; frames {shown(times[0])} .. {shown(times[-1])}"] if found.fault else []
    for i in np.flatnonzero(np.isinf(summary.lowest) | np.isinf(summary.highest)):
        faults.append(f"{name} at {shown(times[i])}: {int(np.isinf(values[i]).sum())} infinite values")
    return values, summary, faults


def _name_faults(ds: xr.Dataset, schema: Schema) -> list[str]:
    reasons = []
    expected, names = set(schema.variables), set(map(str, ds.data_vars))
    if expected != names:
        sides = {"missing": expected - names, "not in the archive": names - expected}
        differing = "".join(f"; {side}: {', '.join(sorted(of))}" for side, of in sides.items() if of)
        listed, got = (", ".join(sorted(of)) for of in (expected, names))
        reasons.append(f"variables: expected {listed}, got {got}{differing}")
    given = attrs_of(ds)
    for name, (_, attrs) in schema.variables.items():
        if name not in names:
            continue
        mine, theirs = attrs.get("units"), given[name].get("units")
        if (mine is None) != (theirs is None):
            expected_units, got = ("no units" if text is None else f"units {text}" for text in (mine, theirs))
            reasons.append(f"{name}: expected {expected_units}, got {got}; state the units of the source")
        elif mine is not None and not same_units(str(mine), str(theirs)):
            reasons.append(f"{name}: expected units {mine}, got {theirs}")
        reasons += [
            f"{name}: expected {what} {expected}, got {got}" for what, expected, got in differences(attrs, given[name])
        ]
        if labels := unsaid(attrs, given[name]):
            logger.warning("%s: the archive is of %s; the new frames do not say", name, ", ".join(labels))
    return reasons


def _slots(ds: xr.Dataset, schema: Schema) -> tuple[np.ndarray | None, list[str]]:
    if "time" not in ds.coords or ds.sizes.get("time", 0) == 0:
        return None, ["time: expected frames, got none"]
    times = ds["time"].values
    if times.dtype.kind == "M" and np.isnat(times).any():
        return None, [f"time: {int(np.isnat(times).sum())} frames have no time (NaT)"]
    calendar = calendar_of(times)
    if calendar != schema.calendar:  # cftime has one name for each
        return None, [f"time: expected the {schema.calendar} calendar, got {calendar}"]
    reasons = duplicate_faults(times)
    try:
        slots = schema.step.index(times, schema.origin, jitter=True)
    except Refusal as refusal:
        return None, reasons + [f"time: {reason}" for reason in refusal.reasons]
    if not reasons:
        reasons += _crowded_faults(times, slots, schema)
    if early := int((slots < 0).sum()):
        reasons.append(
            f"time: {early} frames lie before the archive's first, {shown(schema.origin)} "
            f"(the first of them: {shown(times[np.argmin(slots)])}); an archive grows at its end only, "
            "so make a new one that starts with them"
        )
    return slots, reasons + ([] if reasons else _hole_faults(np.sort(slots), schema))


def _crowded_faults(times: np.ndarray, slots: np.ndarray, schema: Schema) -> list[str]:
    values, counts = np.unique(slots, return_counts=True)
    pairs = (times[slots == slot][:2] for slot in values[counts > 1][:LISTED])
    return [f"time: {shown(a)} and {shown(b)} are near one slot of the step of {schema.step}" for a, b in pairs]


def _snapped(ds: xr.Dataset, slots: np.ndarray, schema: Schema) -> tuple[xr.Dataset, int]:
    """Frames under the times of their slots, and how many of them had another time."""
    labels = schema.step.shift(schema.origin, slots)
    late = np.abs(encode_times(ds["time"].values)[0] - encode_times(labels)[0])
    if not late.any():
        return ds, 0
    count = int((late > 0).sum())
    text = "time: %d of %d frames are labelled with whole steps of %s, which their times miss by up to %d s"
    logger.warning(text, count, len(late), schema.step, late.max())
    return ds.assign_coords(time=("time", labels, ds["time"].attrs)), count


def _hole_faults(slots: np.ndarray, schema: Schema) -> list[str]:
    """A date that is wrong by decades would otherwise become an archive of decades of absent frames."""
    year = schema.step.per_year(schema.calendar) or 1
    ends = np.concatenate([[schema.length - 1] if schema.length else [], slots[slots >= schema.length]]).astype(int)
    holes = np.diff(ends) - 1
    allowed = np.maximum(10 * (ends[:-1] + 1), year)
    reasons = []
    for i in np.flatnonzero(holes > allowed)[:LISTED]:
        before, after = map(shown, schema.step.shift(schema.origin, ends[i : i + 2]))
        reasons.append(
            f"time: {after} would leave {holes[i]} absent frames after {before}; at most {allowed[i]} "
            "in a row are taken (ten times the archive before them, or a year)"
        )
    return reasons


def _difference(name: str, time: Any, old: np.ndarray, new: np.ndarray, count: int) -> str:
    both = ~(np.isnan(old) | np.isnan(new))
    largest = np.abs(new[both].astype("f8") - old[both]).max() if both.any() else np.nan
    size = f"by up to {largest:.6g}" if largest > 0 else "in where values are missing"
    return f"{name} at {shown(time)}: {count} of {old.size} values differ from the archived ones, {size}"
