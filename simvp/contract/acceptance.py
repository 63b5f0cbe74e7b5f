"""What data a contract accepts: its names, units, grid, times and values, or the reasons not to."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.contract.filling import missing_shares, percent
from simvp.contract.known import carry
from simvp.contract.plausible import implausible
from simvp.contract.possible import impossible
from simvp.coords import Step, canonicalise, differences, on_step
from simvp.errors import Refusal
from simvp.times import calendar_of, name_time
from simvp.values import same_units

if TYPE_CHECKING:
    from simvp.contract.frame_spec import FrameSpec

logger = logging.getLogger(__name__)

STANDARD_CALENDARS = ("proleptic_gregorian", "standard", "gregorian")


def header_faults(
    spec: "FrameSpec", ds: xr.Dataset, units: Mapping[str, str] | None
) -> tuple[xr.Dataset | None, list[str]]:
    """As `FrameSpec.faults`."""
    present = [n for n in spec.states if n in ds.data_vars]
    here = ", ".join(map(str, ds.data_vars)) or "none"
    faults = [f"{n}: the variable is missing; the data has {here}" for n in spec.states if n not in present]
    if not present:
        return None, faults
    try:
        canonical, _ = canonicalise(ds, present, units={n: u for n, u in (units or {}).items() if n in present})
    except Refusal as refusal:
        return None, faults + (list(refusal.reasons) or [refusal.subject])
    for channel in (state for state in spec.state_channels if state.name in present):
        theirs = canonical[channel.name].attrs.get("units")
        if not theirs:
            faults.append(
                f"{channel.name}: units are missing, expected {channel.units!r}; "
                f"state them: units={{{channel.name!r}: {channel.units!r}}}"
            )
        elif not same_units(theirs, channel.units):
            faults.append(f"{channel.name}: expected units {channel.units!r}, got {theirs!r}; convert the data")
        for what, mine, other in differences(channel.attrs, canonical[channel.name].attrs):
            faults.append(f"{channel.name}: expected {what} {mine}, got {other}")
    grid_faults = spec.grid.faults(canonical)
    canonical, time_faults = _on_step(spec, canonical)
    faults += grid_faults + time_faults
    if grid_faults or len(present) < spec.n_states:
        return None, faults
    return spec.grid.align(carry(ds, canonical[list(spec.states)])), faults


def value_faults(spec: "FrameSpec", ds: xr.Dataset) -> list[str]:
    """As `FrameSpec.value_faults`."""
    faults = []
    for channel in spec.state_channels:
        values = channel.points(ds[channel.name].values)
        shares = missing_shares(values[:, None], values.shape[-1])
        lacking, worst = int((shares > spec.missing_share).sum()), int(np.argmax(shares))
        if lacking:
            faults.append(
                f"{channel.name}: missing values: {lacking} of {len(shares)} frames lack more than "
                f"{percent(spec.missing_share)} of the points where training had values (missing_share), "
                f"the worst {percent(shares[worst])} at {name_time(ds['time'].values[worst])}; "
                "mend or leave out these frames, or train with a higher missing_share"
            )
        finite = np.isfinite(values)
        there = values if finite.all() else values[finite]
        ends = (there.min(), there.max()) if there.size else (0.0, 0.0)
        found = impossible(there, channel.name, ds[channel.name].attrs, *ends)
        if found is not None and found.marks:
            marks = ", ".join(f"{number:g} ({count} values)" for number, count in found.marks.items())
            faults.append(f"{channel.name}: {marks} stands for missing values undeclared; put NaN in its place")
        why = implausible(values, channel.seen, channel.units, channel.amount)
        if why:
            faults.append(f"{channel.name}: {why}")
        elif found is not None and found.fault:
            faults.append(found.fault)
    return faults


def _on_step(spec: "FrameSpec", ds: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """A canonical Dataset under the times of the step's slots, and what is wrong with its times."""
    times = ds["time"].values
    calendar = calendar_of(times)
    if calendar != spec.calendar and not {calendar, spec.calendar} <= set(STANDARD_CALENDARS):
        return ds, [f"time: expected the {spec.calendar} calendar, got {calendar}"]
    if len(times) < 2:
        return ds, []
    try:
        step = Step.infer(times)
        faults = [f"time: expected a step of {spec.step}, got {step}"]
    except Refusal as refusal:
        step, faults = None, [f"time: {reason}" for reason in refusal.reasons]
    if step is not None and (step.seconds, step.months) == (spec.step.seconds, spec.step.months):
        return ds, []
    if spec.step.months or (step is not None and (step.months or step.seconds % spec.step.seconds == 0)):
        return ds, faults
    try:
        slots = on_step(times, spec.step)
    except Refusal:
        return ds, faults
    logger.warning("time: frames are labelled with whole steps of %s, which their times jitter around", spec.step)
    return ds.assign_coords(time=("time", slots, ds["time"].attrs)), []
