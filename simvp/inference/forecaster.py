"""A trained model that owns its contract: labelled data in, labelled forecast out, and one file to keep it in.

Letters: B batch, T frames in, T' frames out, C channels (states first), S states, F forcings and statics, H rows,
W columns, I init times, L leads.
"""

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
import xarray as xr

from simvp.base_forecast import BaseForecast
from simvp.budget import fitting
from simvp.contract import FrameSpec, attach, canonical_known, fill, known_faults
from simvp.coords import find_axes, restore
from simvp.errors import ContractError, Refusal, RegistryError
from simvp.files import Data, Location, as_given, opened
from simvp.inference import model_file
from simvp.inference.device import device_of
from simvp.inference.experts import expert_maps, issued, ratio_faults, weight_faults
from simvp.inference.inputs import filled_words, frames_of, vetted
from simvp.inference.model_file import read_header
from simvp.inference.origin import origin_of
from simvp.inference.replay import adapted, with_ratios
from simvp.inference.request import runs_of, steps_of
from simvp.inference.summary import as_html, as_text
from simvp.mixture import Mixture
from simvp.networks import (
    GriddedSimVP,
    SimVP,
    evaluated,
    loaded,
    refuse_beyond,
    sizes_of,
    written,
)
from simvp.record import below
from simvp.scoring import Baselines
from simvp.uncertainty import Calibration, request_faults, with_bounds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecaster:
    """A contract, and the forecasts made under it: base, network, baselines, and the mixture of them that is issued.

    Parameters
    ----------
    spec
        The only way between labels and tensors; holds the only copy of the scaling.
    network
        From (B, T, C, H, W) to (B, T', S, H, W), both in departures of the contract; `GriddedSimVP` of the gridded
        pipeline, or the bare `SimVP` of a benchmark. None: the base alone.
    baselines
        Fitted on the same past, so that scores always have something to stand beside.
    base
        What the network corrects; None: it stands alone, as in a benchmark.
    correction
        (S, T') how much of the difference between network and base is added to the base, 0 to 1.
    mixture
        Of base, corrected base and baselines; None: the corrected base is what is issued.
    calibration
        Errors of its forecasts, of which bounds and members are made; None: there are none.
    provenance
        JSON: where the model comes from ("dataset", "title", "institution", "source", "code_version", "created",
        "run_id" ...). Kept in the file, left out of the fingerprint.
    version
        Name in the registry, "simvp-era5-uk/3"; "unregistered" for a model that does not come from there.
    """

    spec: FrameSpec
    network: GriddedSimVP | SimVP | None
    baselines: Baselines
    base: BaseForecast | None = None
    correction: np.ndarray | None = None
    mixture: Mixture | None = None
    calibration: Calibration | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = "unregistered"
    _prints: dict[Hashable, str] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(self)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the contract, the sizes, the weights or the baselines, and nothing else.

        Hashing the weights of a published size takes as long as a forecast: it is done again when they are written to.
        """
        state = () if self.network is None else written(self.network)
        if state is None or state not in self._prints:
            header, arrays = model_file.content_of(self)
            self._prints.clear()  # the state before is gone: one is enough
            self._prints[state] = model_file.fingerprint({"format": model_file.format_of(header), **header}, arrays)
        return self._prints[state]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return torch.device("cpu") if self.network is None else next(iter(self.network.parameters())).device

    @property
    def history(self) -> int:
        """Frames up to the init time that are looked at where they are there; the last T of them have to be."""
        return max(self.spec.frames_in, 0 if self.base is None else self.base.history)

    def frame_times(self, init_times: np.ndarray) -> np.ndarray:
        """Times (I, M) of all frames that network and base look at for init times (I,)."""
        back = np.arange(1 - self.spec.frames_in, 1)
        if self.base is not None:
            back = np.union1d(self.base.steps_back(), back)
        return self.spec.step.shift(np.asarray(init_times)[:, None], back)

    def known_times(self, init_times: np.ndarray, leads: int) -> np.ndarray | None:
        """Times (N,) of the known inputs that forecasts look at; None without any."""
        if not self.spec.known_channels or not len(init_times):
            return None
        parts = self.spec.known_times(init_times, leads), self.frame_times(init_times)
        return np.unique(np.concatenate([part.reshape(-1) for part in parts]))

    def to(self, device: str | torch.device) -> "Forecaster":
        """Move the network to a device, and return this forecaster.

        Raises
        ------
        ContractError
            A device that this machine does not have.
        """
        target = device_of(device)
        if self.network is not None:
            self.network.to(target)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all."""
        header, arrays = model_file.content_of(self)
        model_file.write(path, {**header, "provenance": dict(self.provenance)}, arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str | torch.device | None = None, *, version: str = "unregistered"
    ) -> "Forecaster":
        """Read a file that `save` wrote; the network is on the CPU unless a device is given.

        Raises
        ------
        RegistryError
            No such file; truncated; of another kind or format; content that is not what was saved.
        """
        header = read_header(path)
        arrays = model_file.read_arrays(path)
        fingerprint = model_file.fingerprint(header, arrays)
        if fingerprint != header["fingerprint"]:
            reason = f"expected the content {header['fingerprint']}, got {fingerprint}"
            raise RegistryError(
                model_file.subject_of(path), [reason], "it was changed after it was written: copy it again"
            )
        with model_file.as_written(path):
            weights = {name: torch.from_numpy(value) for name, value in below(arrays, "network").items()}
            network = None if header["network"] is None else loaded(sizes_of(header["network"]), weights)
            forecaster = cls(
                spec=FrameSpec.from_header(header["spec"], below(arrays, "spec")),
                network=network,
                baselines=Baselines.from_header(header["baselines"], below(arrays, "baselines")),
                base=BaseForecast.from_header(header["base"], below(arrays, "base")) if "base" in header else None,
                correction=arrays.get("correction"),
                mixture=Mixture.from_header(header["mixture"], below(arrays, "mixture"))
                if "mixture" in header
                else None,
                calibration=Calibration.from_header(header["calibration"], below(arrays, "calibration"))
                if "calibration" in header
                else None,
                provenance=header["provenance"],
                version=version,
            )
            model_file.refuse_misfits(forecaster)
        forecaster._prints[() if network is None else written(network)] = fingerprint
        return forecaster if device is None else forecaster.to(device)

    def forecast(
        self, z: "ArrayLike | torch.Tensor", init_times: np.ndarray, steps: int, ds: xr.Dataset | None = None
    ) -> np.ndarray:
        """Roll the network out, in blocks of T'.

        The input of each further block is the last T frames of inputs and predictions together: states as
        predicted (zero where masked), forcings computed and known inputs read for their valid times, statics as they
        are.

        Parameters
        ----------
        z
            (B, T, C, H, W) frames of the contract.
        init_times
            (B,) times of the last of them.
        steps
            Number of leads.
        ds
            Frames that carry the known inputs, where the contract has some.

        Returns
        -------
        np.ndarray
            (B, steps, S, H, W) float32 departures of the contract.
        """
        spec = self.spec
        assert self.network is not None
        x = torch.as_tensor(z, dtype=torch.float32).to(self.device)
        departures = np.empty((len(x), steps, spec.n_states, *spec.shape), np.float32)
        with evaluated(self.network), torch.inference_mode():
            for done in range(0, steps, spec.frames_out):
                y = self.network(x)  # (B, T', S, H, W)
                departures[:, done : done + spec.frames_out] = y[:, : steps - done].cpu()
                if done + spec.frames_out < steps:
                    leads = np.arange(done + 1, done + spec.frames_out + 1)
                    times = spec.step.shift(np.asarray(init_times)[:, None], leads)  # (B, T')
                    maps = torch.from_numpy(spec.forcings(times.reshape(-1), ds)).unflatten(0, times.shape)
                    valid = torch.from_numpy(spec.mask).to(self.device)
                    # (B, T', C, H, W)
                    frames = torch.cat([torch.where(valid, y, 0.0), maps.to(self.device)], dim=2)
                    x = torch.cat([x[:, frames.shape[1] :], frames[:, -spec.frames_in :]], dim=1)
        return departures

    @overload
    def predict(
        self,
        ds: xr.DataArray,
        *,
        init_time: Any = ...,
        horizon: Any = ...,
        units: Mapping[str, str] | None = ...,
        known: xr.Dataset | Location | None = ...,
        device: str | torch.device | None = ...,
        weights: np.ndarray | None = ...,
        error_ratios: np.ndarray | None = ...,
        adapt: bool = ...,
        members: int = ...,
        levels: Sequence[float] = ...,
    ) -> xr.DataArray: ...
    @overload
    def predict(
        self,
        ds: xr.Dataset | Location | Sequence[Location],
        *,
        init_time: Any = ...,
        horizon: Any = ...,
        units: Mapping[str, str] | None = ...,
        known: xr.Dataset | Location | None = ...,
        device: str | torch.device | None = ...,
        weights: np.ndarray | None = ...,
        error_ratios: np.ndarray | None = ...,
        adapt: bool = ...,
        members: int = ...,
        levels: Sequence[float] = ...,
    ) -> xr.Dataset: ...
    def predict(
        self,
        ds: Data,
        *,
        init_time: Any = None,
        horizon: Any = None,
        units: Mapping[str, str] | None = None,
        known: xr.Dataset | Location | None = None,
        device: str | torch.device | None = None,
        weights: np.ndarray | None = None,
        error_ratios: np.ndarray | None = None,
        adapt: bool = False,
        members: int = 0,
        levels: Sequence[float] = (),
    ) -> xr.Dataset | xr.DataArray:
        """Labelled forecast from labelled data.

        Parameters
        ----------
        ds
            Any names of axes, any order of dims, latitude up or down, lazy or not. Variables that the model does
            not know are ignored. A DataArray is the Dataset of its one variable; files are named by their path, a glob
            or a list of paths (`simvp.files.source`).
        init_time
            Time of the last observed frame: None for the last frame of `ds`; one time; several; or "all", every
            time with a full history, where those whose history lacks too many values are left out and logged.
        horizon
            Steps, a timedelta, or words such as "24h"; T' steps by default. Longer than T' rolls out.
        units
            Units of variables that carry none.
        known
            The known future inputs that the model was trained with, on time alone or on time and the grid, with their
            units: for the T input frames and the valid times, up to a multiple of T' steps. A Dataset, or the path of
            files. What `ds` carries by default (`simvp.contract.known`).
        device
            Where to compute; CUDA if there is one, else the CPU. The network stays there.
        weights
            (I, L, S, E) of the experts, in the order of `mixture.experts`, as an issued forecast has them; by default
            those of the validation.
        error_ratios
            (I, L, S) by how much errors of late were larger than on validation, as an issued forecast has them: bounds
            and members are spread as much more; by default 1.
        adapt
            Whether weights and error ratios follow from how the experts did before each init time, on `ds`: their
            forecasts are made again for all earlier init times with a full history, and count once verified, if their
            targets come after everything that the model was fitted on.
        members
            Members of an ensemble around the forecast, ``<variable>_member (init_time, lead_time, member, ...)``: the
            same for the same init time and model, however often they are asked for.
        levels
            Quantiles of bounds around the forecast, rising, as (0.05, 0.95) for a band that holds in 90 of 100 cases:
            ``<variable>_quantile (init_time, lead_time, quantile, ...)``.

        Returns
        -------
        xr.Dataset or xr.DataArray
            A DataArray for a DataArray, where neither members nor levels are asked for; else a Dataset.
            Layout of `simvp.coords.forecast_layout` on the names and the order of `ds`, in the units of the contract,
            with coordinates model_version, model_fingerprint, archive_commit and archive_snapshot (where they are
            known) and created on init_time. Where inputs lack some of their points, these are filled by the rule of
            `simvp.contract.filling`, and the attribute filled_input says how many.

        Raises
        ------
        ContractError
            With every reason at once: variables, units, grid, step, calendar, horizon, init times without a full
            history, more missing values than are filled, values that cannot be in these units, known inputs that are
            missing, of other units or another grid, weights that are none.
        SourceError
            Files that cannot be opened.
        Refusal
            A domain that the memory does not hold.
        """
        with opened(ds) as labelled, opened(xr.Dataset() if known is None else known) as inputs:
            forecast = self._predict(
                labelled, init_time, horizon, units, inputs, device, weights, error_ratios, adapt, members, levels
            )
            return as_given(forecast, ds)

    def _predict(
        self,
        ds: xr.Dataset,
        init_time: Any,
        horizon: Any,
        units: Mapping[str, str] | None,
        known: xr.Dataset,
        device: str | torch.device | None,
        weights: np.ndarray | None,
        error_ratios: np.ndarray | None,
        adapt: bool,
        members: int,
        levels: Sequence[float],
    ) -> xr.Dataset:
        """As `predict`, from a Dataset."""
        canonical, faults = self.spec.faults(ds, units)
        if canonical is not None and known.data_vars:
            fields, reasons = canonical_known(self.spec, known)
            canonical, faults = attach(canonical, fields), faults + reasons
        steps, runs, shares = 0, np.empty((0, self.spec.frames_in), np.int64), np.empty((0, self.spec.n_states))
        try:
            steps = steps_of(horizon, self.spec.step, self.spec.frames_out)
        except Refusal as refusal:
            faults += [f"horizon: {reason}" for reason in refusal.reasons]
        try:
            target = device_of(device)
        except Refusal as refusal:
            faults += refusal.reasons
        if canonical is not None and not any(reason.startswith("time:") for reason in faults):
            try:
                runs = runs_of(init_time, canonical["time"].values, self.spec.step, self.spec.frames_in)
            except Refusal as refusal:
                faults += refusal.reasons
        if canonical is not None and not faults and self.network is not None:
            window = (1, self.spec.frames_in, self.spec.n_channels, *self.spec.shape)
            refuse_beyond(self.network, window, (len(runs), steps, self.spec.n_states, *self.spec.shape), target)
        whole = canonical
        if canonical is not None and len(runs):
            every = isinstance(init_time, str) and init_time == "all"
            canonical, runs, shares, value_faults = vetted(self.spec, canonical, runs, every)
            faults += value_faults
            if steps and len(runs) and not any(reason.startswith("known input") for reason in faults):
                needed = self.spec.known_times(canonical["time"].values[runs[:, -1]], steps)
                faults += known_faults(self.spec.known_channels, canonical, needed)
        if weights is not None and len(runs):
            weights = np.asarray(weights, np.float64)
            faults += weight_faults(self.mixture, weights, (len(runs), steps, self.spec.n_states), adapt)
        if error_ratios is not None and len(runs):
            error_ratios = np.asarray(error_ratios, np.float64)
            faults += ratio_faults(error_ratios, (len(runs), steps, self.spec.n_states), adapt)
        values = len(runs) * steps * self.spec.n_states * self.spec.shape[0] * self.spec.shape[1]
        faults += request_faults(self.calibration, members, levels, values)
        if faults or canonical is None or whole is None:
            raise ContractError("The data does not fit what the model was trained on", list(dict.fromkeys(faults)))
        others = sorted(str(name) for name in ds.data_vars if name not in self.spec.states)
        if others:
            logger.info("not used by the model: %s", ", ".join(others))
        # Coordinates and attributes come before the network, which leaves nothing of the data in the caches.
        axes, (origin, attrs) = find_axes(ds, list(self.spec.states)), origin_of(self, ds, len(runs))
        coords = self.spec.coordinates(canonical["time"].values[runs[:, -1]], steps, origin)
        if filled := filled_words(self.spec, shares[np.unique(runs)]):
            attrs["filled_input"] = filled
            logger.info("filled input: %s", filled)
        departures = self._batches(canonical, runs, steps, target)
        forecast = self.spec.to_dataset(departures, coords, attrs)
        if self.base is not None:
            if adapt:
                found = adapted(self, whole, forecast["init_time"].values, steps, device)
                weights, error_ratios = (None, None) if found is None else found
            forecast = issued(self, whole, forecast, weights)
            forecast = with_ratios(forecast, self.spec.states, error_ratios)
        if self.calibration is not None and (members or len(levels)):
            forecast = with_bounds(
                forecast, self.spec, self.calibration, members=members, levels=levels, fingerprint=self.fingerprint
            )
        return restore(forecast, axes, ds)

    def experts(
        self, ds: xr.Dataset, init_times: np.ndarray, leads: int, device: str | torch.device | None = None
    ) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
        """Forecasts of all experts, (I, L, S, H, W) physical, and the labels that belong to them.

        Parameters
        ----------
        ds
            Canonical Dataset that the contract accepts, with the full history of each init time.
        init_times
            (I,) rising.
        leads, device
            As in `predict`.
        """
        times = ds["time"].values
        runs = runs_of(init_times, times, self.spec.step, self.spec.frames_in)
        origin, attrs = origin_of(self, ds, len(runs))
        coords = self.spec.coordinates(times[runs[:, -1]], leads, origin)
        forecast = self.spec.to_dataset(self._batches(ds, runs, leads, device_of(device)), coords, attrs)
        network = None
        if self.network is not None:
            network = np.stack([forecast[state].values for state in self.spec.states], axis=2)
        return forecast, expert_maps(self, ds, init_times, leads, network)

    def _batches(self, ds: xr.Dataset, runs: np.ndarray, steps: int, device: torch.device) -> np.ndarray:
        """Departures (I, L, S, H, W) for all runs, computed in batches of bounded size."""
        spec = self.spec
        if self.network is None:
            return np.zeros((len(runs), steps, spec.n_states, *spec.shape), np.float32)
        if self.device != device:
            self.network.to(device)
        values = (spec.frames_in * spec.n_channels + steps * spec.n_states) * spec.shape[0] * spec.shape[1]
        size = fitting(4 * values, share=64)
        departures = np.empty((len(runs), steps, spec.n_states, *spec.shape), np.float32)
        for start in range(0, len(runs), size):
            part, batch = frames_of(ds, runs[start : start + size])
            frames = spec.to_frames(part.load())
            z = frames[None] if len(batch) == 1 else frames[batch]  # (B, T, C, H, W)
            fill(z[:, :, : spec.n_states])
            departures[start : start + size] = self.forecast(z, part["time"].values[batch[:, -1]], steps, part)
        return departures
