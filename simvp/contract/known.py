"""Known future inputs: values that the user has for the valid times, beside the frames that are forecast from.

They have times of their own, which reach beyond the last frame. A Dataset of frames carries them as coordinates
``known_<name>`` on a dim of their own, so that whatever is handed the frames has them too, and no list of its variables
names them. A map is given at the times of the frames; a series (a calendar: time alone, the same at every point) may
have a longer step, and each of its values holds until the next.

Letters: N times, H rows, W columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract.channel import Known
from simvp.coords import canonicalise
from simvp.errors import Refusal
from simvp.times import encode_times, name_time
from simvp.values import same_units

if TYPE_CHECKING:
    from simvp.contract.frame_spec import FrameSpec

PREFIX = "known_"
SOURCE = "known_source"
"""Attribute of a known input: the name of its source."""


@dataclass(frozen=True, eq=False)
class KnownInputs:
    """Known inputs as departures, at any times.

    Parameters
    ----------
    ds
        Frames that carry them.
    channels
        Of the contract.
    """

    ds: xr.Dataset
    channels: tuple[Known, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the contract."""
        return tuple(channel.name for channel in self.channels)

    def at(self, name: str, times: np.ndarray) -> np.ndarray:
        """Departures (N, H, W) float32, (N, 1, 1) of a series; NaN where a value is not there."""
        channel = next(channel for channel in self.channels if channel.name == name)
        return channel.normalise(values_at(self.ds, name, times), times)


def attach(ds: xr.Dataset, known: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Frames that carry known inputs, by name: (time, row, column) on the grid of the frames, or (time,); lazily."""
    coords: dict[str, xr.Variable] = {}
    for name, field in known.items():
        time = f"{PREFIX}{name}_time"
        coords[time] = xr.Variable(time, field["time"].values)
        coords[PREFIX + name] = field.reset_coords(drop=True).drop_vars("time").rename({"time": time}).variable
    return ds.drop_vars([name for name in coords if name in ds.coords]).assign_coords(coords)


def carry(
    source: xr.Dataset, ds: xr.Dataset, times: np.ndarray | None = None, names: Sequence[str] | None = None
) -> xr.Dataset:
    """`ds` with the known inputs that `source` carries, or those named; of maps those at `times` alone."""
    found = {}
    for name in carried(source) if names is None else names:
        field = _field(source, name)
        if times is not None and field.ndim > 1:
            wanted = encode_times(times.reshape(-1))[0]
            field = field.isel(time=np.flatnonzero(np.isin(encode_times(field["time"].values)[0], wanted)))
        found[name] = field
    return attach(ds, found) if found else ds


def carried(ds: xr.Dataset) -> list[str]:
    """Names of the known inputs that frames carry."""
    every = {str(name) for name in ds.coords}
    return [n[len(PREFIX) :] for n in sorted(every) if n.startswith(PREFIX) and f"{n}_time" in every]


def values_at(ds: xr.Dataset, name: str, times: np.ndarray) -> np.ndarray:
    """Physical values of a known input, (N, H, W) float32, (N, 1, 1) of a series; NaN where there is none."""
    field = _field(ds, name)
    shape = field.shape[1:] or (1, 1)
    values = np.full((len(times), *shape), np.nan, np.float32)
    rows, there = _rows(field, times)
    if there.any():
        needed, inverse = np.unique(rows[there], return_inverse=True)
        first, last = int(needed[0]), int(needed[-1]) + 1
        block = field.isel(time=slice(first, last) if last - first == len(needed) else needed).values
        values[there] = block.reshape(len(needed), *shape)[inverse]
    return values


def frames_of_known(ds: xr.Dataset, name: str) -> xr.DataArray:
    """A known input at the times of frames that carry it, (time, row, column), or (time, 1, 1) of a series; NaN where
    there is none; lazy where maps are.
    """
    field, times = _field(ds, name), ds["time"]
    rows, there = _rows(field, times.values)
    frames = field.isel(time=rows).assign_coords(time=times.values)
    if not there.all():
        frames = frames.where(xr.DataArray(there, dims="time"))
    if "present" in ds.coords:
        frames = frames.assign_coords(present=("time", ds["present"].values))
    frames = frames.expand_dims({"row": 1, "column": 1}, (1, 2)) if frames.ndim == 1 else frames
    return frames.rename(name)


def canonical_known(spec: "FrameSpec", known: xr.Dataset) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Known inputs as a caller hands them over, in the form that `attach` takes; and the reasons to refuse them.

    Parameters
    ----------
    known
        Each variable on time alone, or on time and the grid of the contract, under any names of axes.
    """
    found: dict[str, xr.DataArray] = {}
    faults: list[str] = []
    for channel in spec.known_channels:
        if channel.name not in known:
            continue
        field = known[channel.name]
        try:
            if field.ndim == 1:
                time = field.dims[0]
                if field[time].dtype.kind not in "MO":  # datetime64, or objects of cftime
                    raise TypeError
                encode_times(field[time].values)
                found[channel.name] = field.rename({time: "time"} if time != "time" else {})
                continue
            canonical, _ = canonicalise(known[[channel.name]], [channel.name])
        except Refusal as refusal:
            faults += [f"known input {channel.name}: {reason}" for reason in refusal.reasons or [refusal.subject]]
            continue
        except (KeyError, TypeError, ValueError):
            faults.append(f"known input {channel.name}: expected a dim with times, got {field.dims}")
            continue
        if reasons := spec.grid.faults(canonical):
            faults += [f"known input {channel.name}: {reason}" for reason in reasons]
        else:
            found[channel.name] = spec.grid.align(canonical)[channel.name]
    return found, faults


def known_faults(
    channels: Sequence[Known],
    ds: xr.Dataset,
    times: np.ndarray,
    remedy: str = "hand it over: known=Dataset with {name}",
) -> list[str]:
    """What is wrong with the known inputs that frames carry: not there, in other units, of another form, or with NaN.

    Parameters
    ----------
    channels
        Of the contract.
    ds
        Frames that carry them.
    times
        At which values are needed, of any shape.
    remedy
        What to do where values are missing; "{name}" is that of the input.
    """
    faults, here = [], carried(ds)
    wanted = np.unique(times.reshape(-1))
    for channel in channels:
        what = f"known input {channel.name}" + (f" (source {channel.source})" if channel.source else "")
        mend = remedy.format(name=channel.name)
        if channel.source:
            mend += f", or ingest newer values from the source [ingest.known.{channel.source}]"
        if channel.name not in here:
            span = f"{name_time(wanted[0])} .. {name_time(wanted[-1])}"
            faults.append(f"{what}: it is missing, and needed for {span}; {mend}")
            continue
        field = _field(ds, channel.name)
        theirs, shape = str(field.attrs.get("units", "")), field.shape[1:] or (1, 1)
        if not theirs:
            faults.append(f"{what}: units are missing, expected {channel.units!r}; set its attribute units")
        elif not same_units(theirs, channel.units):
            faults.append(f"{what}: expected units {channel.units!r}, got {theirs!r}; convert the data")
        elif shape != channel.valid.shape:
            faults.append(f"{what}: expected {_form(channel.valid.shape)}, got {_form(shape)}")
        elif len(lacking := _lacking(channel, ds, wanted)):
            faults.append(f"{what}: missing, or NaN, at {_listed(lacking)} of {len(wanted)} times needed; {mend}")
    return faults


def _lacking(channel: Known, ds: xr.Dataset, times: np.ndarray) -> np.ndarray:
    """Those of some times at which the input lacks a value where training had one."""
    size = fitting(4 * channel.valid.size, 16)
    blocks = (times[start : start + size] for start in range(0, len(times), size))
    known = [np.isfinite(values_at(ds, channel.name, part)[:, channel.valid]).all(1) for part in blocks]
    return np.asarray(times[~np.concatenate(known)])


def _field(ds: xr.Dataset, name: str) -> xr.DataArray:
    """A known input under the dims that `attach` was given."""
    variable = ds.coords[PREFIX + name].variable
    times = ds[variable.dims[0]].values
    return xr.DataArray(variable).rename({variable.dims[0]: "time"}).assign_coords(time=times)


def _rows(field: xr.DataArray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N,) of the values that hold at times, and whether there is one."""
    seconds, wanted = encode_times(field["time"].values)[0], encode_times(times)[0]
    if not len(seconds):
        return np.zeros(len(wanted), int), np.zeros(len(wanted), bool)
    rows = np.searchsorted(seconds, wanted, side="right") - 1
    later = wanted - seconds[np.maximum(rows, 0)]
    holds = np.diff(seconds).min() if field.ndim == 1 and len(seconds) > 1 else 0
    return np.maximum(rows, 0), (rows >= 0) & ((later == 0) | (later < holds))


def _form(shape: tuple[int, ...]) -> str:
    return "a series (time)" if shape == (1, 1) else f"maps of {shape[0]} x {shape[1]}"


def _listed(times: np.ndarray) -> str:
    ends = name_time(times[0]) if len(times) == 1 else f"{name_time(times[0])} .. {name_time(times[-1])}"
    return f"{len(times)} ({ends})"
