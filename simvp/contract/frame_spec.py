"""The contract between data and network: what a frame is made of, and the only conversion there and back.

Labels become tensors in `FrameSpec.to_frames` and tensors labels in `FrameSpec.to_dataset`, in training and in
prediction alike, so a scaling cannot be applied twice or forgotten. A state is given to the network as its departure
from a climatology, over one standard deviation: what is left is what a good forecaster would not get for free.

Letters: N frames, I init times, L leads, C channels, S states (the first S channels), F forcings, H rows, W columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract.acceptance import header_faults, value_faults
from simvp.contract.channel import Forcing, Known, State, Static, forcing_names
from simvp.contract.filling import MISSING_SHARE, missing_shares
from simvp.contract.known import KnownInputs, carried, frames_of_known
from simvp.contract.statistics import Statistics, cycles_in, positions_in, seasonal_cycle
from simvp.coords import Grid, Step, area_weights, coordinates, label
from simvp.errors import ConfigError, ContractError
from simvp.record import Record, below
from simvp.times import calendar_of, fields_of

ROLES = {kind.role: kind for kind in (State, Forcing, Known, Static)}


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameSpec(Record):
    """What a frame is made of, fitted on the training period only.

    Parameters
    ----------
    state_channels, forcing_channels, known_channels, static_channels
        What is predicted, what follows from the time, what is given for times to come, and what never changes; a frame
        has them in this order. Known inputs lie in it T' steps ahead: the last T' of T frames have those of the valid
        times.
    grid, step, calendar
        Of the data.
    frames_in, frames_out
        T and T'.
    cycle
        Steps of the seasonal cycle (of seasonal persistence), or None.
    lag
        Steps of a cycle that fits into the T input frames, or None.
    fitted_on
        The training period, the number of its frames and the archive commit.
    missing_share
        Most of the points of a frame that may be missing, as a share (`simvp.contract.filling`).
    """

    state_channels: tuple[State, ...]
    forcing_channels: tuple[Forcing, ...] = ()
    known_channels: tuple[Known, ...] = ()
    static_channels: tuple[Static, ...] = ()
    grid: Grid
    step: Step
    calendar: str
    frames_in: int
    frames_out: int
    cycle: int | None
    lag: int | None
    fitted_on: Mapping[str, Any]
    missing_share: float = MISSING_SHARE

    @classmethod
    def fit(
        cls,
        ds: xr.Dataset,
        *,
        frames_in: int,
        frames_out: int,
        train: Sequence[tuple[Any, Any]],
        states: Sequence[str] | None = None,
        statics: Sequence[str] = (),
        known: Sequence[str] = (),
        step: Step | None = None,
        cycle: int | Literal["auto"] | None = "auto",
        log1p: Sequence[str] | Literal["auto"] = "auto",
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        archive_commit: str = "",
        statistics: Statistics | None = None,
        missing_share: float = MISSING_SHARE,
    ) -> "FrameSpec":
        """Fit the contract on the training period of a canonical Dataset, read in bounded blocks.

        Parameters
        ----------
        ds
            Canonical: (time, row, column) for each variable. Frames that are NaN throughout count as absent.
        frames_in, frames_out
            T and T'.
        train
            Closed intervals (first time, last time). No frame outside them is looked at.
        states
            Predicted variables, in order; by default all that have a time.
        statics
            Variables of (row, column), given to the network with every frame.
        known
            Known inputs that `ds` carries (`simvp.contract.known`).
        step, cycle
            By default seen in the times, and in which cycle brings the fields closest to themselves.
        log1p
            States to take the logarithm of; "auto": those that look like amounts (`statistics.log_scale`) and that can
            be some by unit and name.
        bounds
            Physical bounds by state; without, they follow from unit and name (`simvp.contract.bounds.bounds_of`).
        archive_commit
            Commit of the archive that `ds` was read from.
        statistics
            Of the same `train`, `step` and `log1p`, where baselines are fitted on the same reading of the frames.
        missing_share
            As in the record; 0 for frames that lack nothing.

        Raises
        ------
        ConfigError
            A state or a known input without units or without values in the training period; a known input that never
            changes there; no training frame; unknown names.
        """
        names = [str(v) for v in ds.data_vars if "time" in ds[v].dims] if states is None else list(states)
        wanted = dict.fromkeys([*names, *statics, *(bounds or {}), *(() if log1p == "auto" else log1p)])
        faults = [f"{n}: expected one of {', '.join(map(str, ds.data_vars))}" for n in wanted if n not in ds]
        faults += [
            f"{n}: units are missing; state them at ingest" for n in names if n in ds and not ds[n].attrs.get("units")
        ]
        if not 0 <= missing_share < 1:
            faults.append(f"missing_share: expected 0 or more and less than 1, got {missing_share}")
        times = ds["time"].values
        calendar = calendar_of(times)
        if not len(positions := positions_in(ds, train)):
            faults.append(f"no frame in the training period, {len(times)} frames {times[0]} .. {times[-1]}")
        if faults:
            raise ConfigError("Contract", faults)
        step = step or Step.infer(times)
        statistics = statistics or Statistics(ds, step, train=train, log1p=log1p)
        assert np.array_equal(statistics.train, positions)
        channels, samples = [], []
        for name in names:
            summary, _ = statistics[name]
            if not summary.valid.any():
                raise ConfigError("Contract", [f"{name}: only NaN in the training period"])
            channels.append(State.fit(ds[name], summary, (bounds or {}).get(name)))
            samples.append(summary.points)
        spans = cycles_in(times[positions])
        if cycle == "auto":
            cycle = seasonal_cycle(times[positions], samples, step, calendar)
        lag = next((n for n in (step.per_day, cycle) if n and 1 < n <= frames_in), None)
        forcings = forcing_names(step, cycle, spans)
        known_channels = _fit_known(ds, known, step, train)
        return cls(
            state_channels=tuple(channels),
            forcing_channels=tuple(Forcing(name=name) for name in forcings),
            known_channels=known_channels,
            static_channels=tuple(Static.fit(ds[name]) for name in statics),
            grid=Grid.of(ds[names]),
            step=step,
            calendar=calendar,
            frames_in=frames_in,
            frames_out=frames_out,
            cycle=cycle,
            lag=lag,
            fitted_on={
                "train": [[str(a), str(b)] for a, b in train],
                "frames": len(positions),
                "archive_commit": archive_commit,
            },
            missing_share=missing_share,
        )

    def corrected(self, factors: Mapping[str, Sequence[float]]) -> "FrameSpec":
        """The contract with the factors of these states (`State.factors`)."""
        own = {name: tuple(values) for name, values in factors.items()}
        states = tuple(replace(c, factors=own.get(c.name, c.factors)) for c in self.state_channels)
        return replace(self, state_channels=states)

    def fitted_on_all(self, statistics: Statistics) -> "FrameSpec":
        """The contract to be used after training: climatologies of all frames that `statistics`, of its fit, have read.

        Period, logarithm and scale stay those that the network was trained under.
        """
        return replace(
            self,
            state_channels=tuple(replace(c, climatology=statistics.final(c.name)) for c in self.state_channels),
            fitted_on={**self.fitted_on, "climatology_frames": statistics.frames},
        )

    @property
    def channels(self) -> tuple[State | Forcing | Known | Static, ...]:
        """All channels in the order of a frame."""
        return (*self.state_channels, *self.forcing_channels, *self.known_channels, *self.static_channels)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the predicted variables."""
        return tuple(state.name for state in self.state_channels)

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.state_channels)

    @property
    def n_channels(self) -> int:
        """C."""
        return len(self.channels)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.grid.shape

    @property
    def mask(self) -> np.ndarray:
        """(S, H, W) bool, True where a value is expected."""
        return np.stack([state.valid for state in self.state_channels])

    @property
    def weights(self) -> np.ndarray:
        """Area weights (H, W), mean one."""
        return area_weights(self.grid)[0]

    @property
    def weighting(self) -> str:
        """Name of the area weights."""
        return area_weights(self.grid)[1]

    def check(self, ds: xr.Dataset, units: Mapping[str, str] | None = None) -> xr.Dataset:
        """`ds` as a canonical Dataset that this contract accepts, not loaded.

        Raises
        ------
        ContractError
            With every reason at once.
        """
        canonical, faults = self.faults(ds, units)
        if faults or canonical is None:
            raise ContractError("The data does not fit what the model was trained on", faults)
        return canonical

    def faults(self, ds: xr.Dataset, units: Mapping[str, str] | None = None) -> tuple[xr.Dataset | None, list[str]]:
        """Reasons to refuse `ds` by its names, dims, units, grid, calendar and step; nothing is loaded.

        Parameters
        ----------
        ds
            With any names of axes, any order of dims, either direction of latitude; other variables are ignored.
        units
            Units of variables that carry none.

        Returns
        -------
        tuple
            The canonical Dataset in this contract's order, None where it cannot be made; and the reasons.
        """
        return header_faults(self, ds, units)

    def missing(self, ds: xr.Dataset) -> np.ndarray:
        """Share of the points of loaded frames that are missing where training had values, (N, S) from 0 to 1."""
        fields = [channel.points(ds[channel.name].values)[:, None] for channel in self.state_channels]
        return np.stack([missing_shares(points, points.shape[-1]) for points in fields], axis=1)

    def value_faults(self, ds: xr.Dataset) -> list[str]:
        """Reasons to refuse loaded frames by their values: too many are missing, or they cannot be plausible."""
        return value_faults(self, ds)

    def to_frames(self, ds: xr.Dataset) -> np.ndarray:
        """Frames of a canonical Dataset that `check` has passed, (N, C, H, W) float32; absent values stay NaN."""
        times = ds["time"].values
        frames = np.empty((len(times), self.n_channels, *self.shape), np.float32)
        for number, channel in enumerate(self.state_channels):
            values = ds[channel.name].values
            for part in self._parts(len(times)):
                frames[part, number] = channel.normalise(values[part], times[part])
        self._know(times, frames[:, self.n_states :], ds)
        return frames

    def forcings(self, times: np.ndarray, ds: xr.Dataset | None = None) -> np.ndarray:
        """All channels but the states for any times, past or future, (N, F, H, W) float32.

        `ds`: frames that carry the known inputs, where there are any.
        """
        frames = np.empty((len(times), self.n_channels - self.n_states, *self.shape), np.float32)
        self._know(times, frames, xr.Dataset() if ds is None else ds)
        return frames

    def _know(self, times: np.ndarray, frames: np.ndarray, ds: xr.Dataset) -> None:
        """Write all channels but the states for `times` into `frames` (N, F, H, W)."""
        calendar, longitude = fields_of(times), self._longitude()
        known = KnownInputs(ds, self.known_channels)
        ahead = self.step.shift(times, np.full(len(times), self.frames_out)) if self.known_channels else times
        for number, channel in enumerate(self.channels[self.n_states :]):
            if isinstance(channel, Forcing):
                frames[:, number] = channel.at(calendar, longitude)
            elif isinstance(channel, Known):
                frames[:, number] = known.at(channel.name, ahead)
            elif isinstance(channel, Static):
                frames[:, number] = channel.values

    def known_times(self, init_times: np.ndarray, leads: int) -> np.ndarray:
        """Times (I, M) at which known inputs have to be there: of the input frames and of whole blocks of T' leads.

        A network that is rolled out sees a block's inputs together: what it says of one lead must not hang on how many
        leads are asked for.
        """
        blocks = -(-leads // self.frames_out)
        return self.step.shift(
            np.asarray(init_times)[:, None], np.arange(1 - self.frames_in, blocks * self.frames_out + 1)
        )

    def extents(self) -> list[tuple[int, int]]:
        """Rows and columns over which the maps of each channel change: (1, 1), (1, W) or (H, W)."""
        calendar, longitude = fields_of(np.array(["2000-01-01"], "datetime64[ns]")), self._longitude()
        shapes = [channel.at(calendar, longitude).shape for channel in self.forcing_channels]
        others = self.n_channels - self.n_states - len(shapes)
        return [
            *[self.shape] * self.n_states,
            *((rows, columns) for _, rows, columns in shapes),
            *[self.shape] * others,
        ]

    def coordinates(
        self, init_times: np.ndarray, leads: int, more: Mapping[str, xr.Variable] | None = None
    ) -> xr.Coordinates:
        """Coordinates of a forecast from `init_times` (I,); lead 1 is one step later (`simvp.coords.coordinates`)."""
        return coordinates(init_times, leads, step=self.step, grid=self.grid, more=more)

    def to_dataset(
        self, departures: np.ndarray, coords: xr.Coordinates, attrs: Mapping[str, Any] | None = None
    ) -> xr.Dataset:
        """Labelled forecast in physical units (layout of `simvp.coords.forecast_layout`).

        Parameters
        ----------
        departures
            (I, L, S, H, W), what the network gives.
        coords
            What `coordinates` made for I init times and L leads.
        attrs
            Attributes of the Dataset.
        """
        n_init, n_lead = departures.shape[:2]
        valid = coords.variables["valid_time"].values.reshape(-1)
        leads = np.tile(np.arange(1, n_lead + 1), n_init)
        fields = {}
        for number, channel in enumerate(self.state_channels):
            flat = departures[:, :, number].reshape(n_init * n_lead, *self.shape)
            maps = np.empty_like(flat)
            for part in self._parts(len(flat)):
                maps[part] = channel.denormalise(flat[part], valid[part], leads[part])
            fields[channel.name] = maps.reshape(n_init, n_lead, *self.shape)
        states = {c.name: {**c.attrs, "units": c.units} for c in self.state_channels}
        return label(fields, coords, grid=self.grid, variable_attrs=states, attrs=attrs)

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        header = super().to_header()
        channels = [record for role in ROLES for record in header.pop(f"{role}_channels")]
        if self.missing_share == MISSING_SHARE:  # models that were saved before there was a limit have none
            del header["missing_share"]
        return {**header, "channels": channels}

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, to be saved beside the header."""
        arrays = super().arrays()
        for number, channel in enumerate(self.channels):
            arrays |= channel.arrays_under(f"channel.{number}")
        return arrays

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> "FrameSpec":
        """Inverse of `to_header` and `arrays`."""
        arrays = arrays or {}
        channels: dict[str, Any] = {f"{role}_channels": () for role in ROLES}
        for number, record in enumerate(header["channels"]):
            channel = ROLES[record["role"]].from_header(record, below(arrays, f"channel.{number}"))
            channels[f"{channel.role}_channels"] += (channel,)
        return super().from_header({**header, **channels}, arrays)

    def _parts(self, count: int) -> Iterator[slice]:
        """Frames to work on at a time, so that what is made on the way stays small."""
        size = fitting(4 * self.shape[0] * self.shape[1], 256)
        return (slice(start, start + size) for start in range(0, count, size))

    def _longitude(self) -> np.ndarray:
        """Degrees east, broadcasting to (H, W); 0 where the grid has none."""
        if self.grid.kind == "latlon":
            return self.grid.columns[None, :]
        return np.zeros((1, 1)) if self.grid.longitude is None else np.nan_to_num(self.grid.longitude)


def _fit_known(ds: xr.Dataset, names: Sequence[str], step: Step, train: Sequence[tuple[Any, Any]]) -> tuple[Known, ...]:
    """Channels of known inputs, by their own climatology of the training period."""
    here, channels, faults = carried(ds), [], []
    for name in names:
        if name not in here:
            faults.append(f"known input {name}: expected one of {', '.join(here) or 'none'}")
            continue
        field = frames_of_known(ds, name)
        if not field.attrs.get("units"):
            faults.append(f"known input {name}: units are missing; state them at ingest, '1' for a pure number")
            continue
        summary = Statistics(field.to_dataset(), step, train=train)[name][0]
        if not summary.valid.any():
            faults.append(f"known input {name}: no value in the training period")
        elif not summary.deviation > 0:
            faults.append(
                f"known input {name}: it never changes in the training period, so that nothing is learned of it"
            )
        else:
            channels.append(Known.fit(field, summary))
    if faults:
        raise ConfigError("Contract", faults, "leave it out (known), or ingest more of its source")
    return tuple(channels)
