"""What an archive is: its grid, variables and regular time axis; and how the first Dataset decides them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace as changed
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import Grid, Step, fixed_labels, on_step, with_labels
from simvp.errors import Refusal
from simvp.record import plain
from simvp.times import DAY, calendar_of, encode_times, fields_of, find_step

# The layout of an archive on the disk, which never changes once it is made. A chunk is about one window of hourly
# frames: a frame a chunk makes windows four times as slow to read, and every append writes the last chunk anew.
CHUNK_FRAMES, CHUNK_BYTES = 64, 2 * 2**20
BLOCK_BYTES = 32 * 2**20  # of frames in a commit, whole chunks of them
FEW = 8  # frames in which a step that nobody would choose, such as 299 s, may be chance
# Attributes of a Dataset that say when and where one file was made, and what part of the series it held.
OF_ONE_FILE = re.compile(
    r"history|.*file_?name|tracking_id|uu?id|date|date_.*|.*_date|timestamp|time_coverage_.*|(start|end|begin|stop)_?time|"
    r"NCO|CDO|CDI|nco_.*|NETCDF4?.*|GRIB_.*"
)
LISTED = 5  # faults of one kind that are spelled out; the rest is counted


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What an archive is, and how far it reaches.

    Parameters
    ----------
    grid
        Grid of every frame.
    variables
        Type and attributes by name, among them the level or member that the maps are of (`simvp.coords.identity`).
    step, calendar, origin
        Slot i lies i steps after `origin`, the first time.
    length
        Slots.
    chunk
        Frames in a chunk of a variable.
    block
        Frames are read, checked and committed in blocks that start at multiples of this slot number.
    """

    grid: Grid
    variables: Mapping[str, tuple[np.dtype, Mapping[str, Any]]]
    step: Step
    calendar: str
    origin: Any
    length: int
    chunk: int
    block: int

    @property
    def dims(self) -> tuple[str, str, str]:
        """Dims of every variable."""
        return ("time", *self.grid.dims)

    def times(self, start: int, stop: int) -> np.ndarray:
        """Times of the slots start .. stop - 1."""
        return self.step.shift(self.origin, np.arange(start, stop))


def attrs_of(ds: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Attributes of each variable of a canonical Dataset, with the level or member that scalar coordinates tell."""
    names = list(map(str, ds.data_vars))
    mappings = {variable.attrs.get("grid_mapping") for variable in ds.data_vars.values()}
    labels, _ = fixed_labels(ds, names, ("time", *ds.dims, *mappings))
    return {name: with_labels(ds[name].attrs, labels[name]) for name in names}


def duplicate_faults(times: np.ndarray) -> list[str]:
    """Times that stand more than once."""
    seconds, _ = encode_times(times)
    _, first, counts = np.unique(seconds, return_index=True, return_counts=True)
    twice = times[first[counts > 1]]
    listed = ", ".join(map(shown, twice[:LISTED]))
    return [f"time: expected each time once, got {len(twice)} of them repeatedly: {listed}"] if len(twice) else []


def shown(time: Any) -> str:
    """A time in words, to the second."""
    return str(time.astype("M8[s]")) if isinstance(time, np.datetime64) else time.isoformat()


def schema_of(ds: xr.Dataset, step: Step, origin: Any, length: int = 0, block: int = 0) -> Schema:
    """Schema of the archive that `ds` was read from, or is the template of; its times need not be decoded.

    Parameters
    ----------
    block
        0: as many whole chunks as there are in BLOCK_BYTES.
    """
    grid = Grid.of(ds)
    attrs = attrs_of(ds)
    variables = {str(name): (variable.dtype, attrs[str(name)]) for name, variable in ds.data_vars.items()}
    sizes = [dtype.itemsize * grid.shape[0] * grid.shape[1] for dtype, _ in variables.values()]
    chunk = int(np.clip(CHUNK_BYTES // max(sizes), 1, CHUNK_FRAMES))
    return Schema(
        grid=grid,
        variables=variables,
        step=step,
        calendar=calendar_of(np.array([origin])),
        origin=origin,
        length=length,
        chunk=chunk,
        block=block or chunk * max(1, BLOCK_BYTES // (chunk * sum(sizes))),
    )


def new_schema(ds: xr.Dataset, step: Step | None) -> tuple[Schema, xr.Dataset]:
    """Schema, and template with attributes and static coordinates, of the archive that `ds` makes.

    Parameters
    ----------
    ds
        Canonical Dataset; no values are read.
    step
        None: seen from the times.

    Raises
    ------
    Refusal
        Every reason why no archive can be made.
    """
    reasons = [] if ds.data_vars else ["variables: expected one or more, got none"]
    dims = ("time", *(("latitude", "longitude") if "latitude" in ds.dims else ("y", "x")))
    for name, variable in ds.data_vars.items():
        if variable.dims != dims or variable.dtype.kind not in "fiu":
            reasons.append(f"{name}: expected numbers over {dims}, got {variable.dtype} over {variable.dims}")
    if "time" not in ds.coords or not ds.sizes.get("time"):
        reasons.append("time: expected frames, got none")
    elif ds["time"].dtype.kind == "M" and bool(ds["time"].isnull().any()):
        reasons.append(f"time: {int(ds['time'].isnull().sum())} frames have no time (NaT)")
    else:
        times = np.sort(ds["time"].values)
        reasons += duplicate_faults(times)
        try:
            slots, step = _slots_and_step(times, step) if not reasons else (times, step)
        except Refusal as refusal:
            hint = "; state the step, such as 1h, 1D or 1 month" if step is None else ""
            reasons += [f"time step: {reason}{hint}" for reason in refusal.reasons]
    if reasons or step is None:
        raise Refusal("New archive", reasons)
    template = _template(ds)
    if slots[0] != times[0] or (slots != times).any():
        remark = f"labelled with whole steps of {step}, which the times of the source jitter around"
        template["time"].attrs["comment"] = "; ".join(filter(None, (ds["time"].attrs.get("comment"), remark)))
    return schema_of(template, step, slots[0]), template


def _slots_and_step(times: np.ndarray, stated: Step | None) -> tuple[np.ndarray, Step]:
    """Times of the slots that hold `times`, and the step: as stated, else that of most, else the nearest usual one."""
    if stated is not None and stated.months:
        return times, _months(times, stated)
    if stated is not None:
        return on_step(times, stated), stated
    seconds, _ = encode_times(times)
    try:
        step = Step.infer(times)
    except Refusal as refusal:
        if len(times) < 3:
            raise
        try:
            step = Step(seconds=find_step(seconds))
        except Refusal as other:
            raise Refusal(refusal.subject, [f"{refusal.reasons[0]}; {other.reasons[0]}"]) from None
        return on_step(times, step, found=True), step
    if step.seconds and DAY % step.seconds and step.seconds % DAY and len(times) < FEW:
        try:
            near = Step(seconds=find_step(seconds))
        except Refusal:
            return times, step
        text = f"{len(times)} frames do not show whether the step is {step} or {near} with times that jitter"
        raise Refusal("Time step", [text])
    return times, step


def _months(times: np.ndarray, stated: Step) -> Step:
    # Words such as "1 month" do not say where in the month a frame is labelled; the times do.
    if len(times) > 1:
        inferred = Step.infer(times)
        return changed(inferred, months=stated.months) if inferred.months else stated
    date = fields_of(times)
    day, second = int(date["day"][0]), int(date["second"][0])
    # A day that not every month has is the last of the month.
    return Step(months=stated.months, anchor="day" if day <= 28 else "end", day=day, second=second)


def _template(ds: xr.Dataset) -> xr.Dataset:
    """`ds` as an archive describes it: floats, float64 grid, no coordinate that changes with time."""
    mappings = {variable.attrs.get("grid_mapping") for variable in ds.data_vars.values()}
    stray = [
        name
        for name, coord in ds.coords.items()
        if name != "time" and name not in mappings and ("time" in coord.dims or coord.dtype.kind in "MmO")
    ]
    ds = ds.drop_vars(stray).assign_coords(Grid.of(ds).coords()).copy()
    for name, variable in ds.data_vars.items():
        # float32 holds every float of that size and every integer of 16 bits.
        single = variable.dtype.itemsize <= (4 if variable.dtype.kind == "f" else 2)
        ds[name] = variable.astype("f4" if single else "f8", keep_attrs=True)
    ds.attrs = {key: value for key, value in ds.attrs.items() if not OF_ONE_FILE.fullmatch(str(key))}
    for name in ds.variables:
        # Bounds lie along time or are derived again; what is not stored is not named.
        ds[name].attrs = {k: v for k, v in plain(ds[name].attrs).items() if k not in ("bounds", "coordinates")}
    return ds
