"""A trained model that owns its contract: labelled data in, labelled forecast out, and one file to keep it in.

Letters: B batch, T frames in, T' frames out, C channels (states first), S states, F forcings and statics, H rows,
W columns, I init times, L leads.
"""

import logging
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from simvp.budget import fitting
from simvp.contract import FrameSpec, fill, percent
from simvp.coords import find_axes, restore
from simvp.errors import ContractError, Refusal, RegistryError
from simvp.inference import model_file
from simvp.inference.model_file import read_header
from simvp.inference.origin import origin_of
from simvp.inference.request import dataset_of, runs_of, steps_of
from simvp.networks import GriddedSimVP, SimVP, build, evaluated, refuse_beyond, written
from simvp.record import below
from simvp.scoring import Baselines

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecaster:
    """A contract, the network trained under it, and the baselines fitted beside it.

    Parameters
    ----------
    spec
        The only way between labels and tensors; holds the only copy of the scaling.
    network
        From (B, T, C, H, W) to (B, T', S, H, W), both in departures of the contract; `GriddedSimVP` of the gridded
        pipeline, or the bare `SimVP` of a benchmark.
    baselines
        Fitted on the same past, so that scores always have something to stand beside.
    provenance
        JSON: where the model comes from ("dataset", "title", "institution", "source", "code_version", "created",
        "run_id" ...). Kept in the file, left out of the fingerprint.
    version
        Name in the registry, "simvp-era5-uk/3"; "unregistered" for a model that does not come from there.
    """

    spec: FrameSpec
    network: GriddedSimVP | SimVP
    baselines: Baselines
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = "unregistered"
    _prints: dict[Hashable, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with the contract, the sizes, the weights or the baselines, and nothing else.

        Hashing the weights of a published size takes as long as a forecast: it is done again when they are written to.
        """
        state = written(self.network)
        if state is None or state not in self._prints:
            content = {"format": model_file.FORMAT, **self._header()}
            self._prints.clear()  # the state before is gone: one is enough
            self._prints[state] = model_file.fingerprint(content, self._arrays())
        return self._prints[state]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.network.parameters())).device

    def to(self, device: str | torch.device) -> "Forecaster":
        """Move the network to a device, and return this forecaster.

        Raises
        ------
        ContractError
            A device that this machine does not have.
        """
        self.network.to(_device(device))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all."""
        model_file.write(path, {**self._header(), "provenance": dict(self.provenance)}, self._arrays())

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
        subject = f"Model file {os.fspath(path)}"
        arrays = model_file.read_arrays(path)
        fingerprint = model_file.fingerprint(header, arrays)
        if fingerprint != header["fingerprint"]:
            reason = f"expected the content {header['fingerprint']}, got {fingerprint}"
            raise RegistryError(subject, [reason], "it was changed after it was written: copy it again")
        try:
            # Building a network draws random weights, which must not move the caller's random state.
            with torch.random.fork_rng(devices=[]):
                network = build(header["network"])
            network.load_state_dict({name: torch.from_numpy(v) for name, v in below(arrays, "network").items()})
        except (Refusal, RuntimeError) as error:
            raise RegistryError(subject, [f"its weights do not fit its sizes: {error}"]) from error
        forecaster = cls(
            spec=FrameSpec.from_header(header["spec"], below(arrays, "spec")),
            network=network.eval(),
            baselines=Baselines.from_header(header["baselines"], below(arrays, "baselines")),
            provenance=header["provenance"],
            version=version,
        )
        forecaster._prints[written(forecaster.network)] = fingerprint
        return forecaster if device is None else forecaster.to(device)

    def forecast(self, z: "ArrayLike | torch.Tensor", init_times: np.ndarray, steps: int) -> np.ndarray:
        """Roll the network out, in blocks of T'.

        The input of each further block is the last T frames of inputs and predictions together: states as
        predicted (zero where masked), forcings computed for their valid times, statics as they are.

        Parameters
        ----------
        z
            (B, T, C, H, W) frames of the contract.
        init_times
            (B,) times of the last of them.
        steps
            Number of leads.

        Returns
        -------
        np.ndarray
            (B, steps, S, H, W) float32 departures of the contract.
        """
        spec = self.spec
        x = torch.as_tensor(z, dtype=torch.float32).to(self.device)
        departures = np.empty((len(x), steps, spec.n_states, *spec.shape), np.float32)
        with evaluated(self.network), torch.inference_mode():
            for done in range(0, steps, spec.frames_out):
                y = self.network(x)  # (B, T', S, H, W)
                departures[:, done : done + spec.frames_out] = y[:, : steps - done].cpu()
                if done + spec.frames_out < steps:
                    leads = np.arange(done + 1, done + spec.frames_out + 1)
                    times = spec.step.shift(np.asarray(init_times)[:, None], leads)  # (B, T')
                    maps = torch.from_numpy(spec.forcings(times.reshape(-1))).unflatten(0, times.shape)
                    valid = torch.from_numpy(spec.mask).to(self.device)
                    # (B, T', C, H, W)
                    frames = torch.cat([torch.where(valid, y, 0.0), maps.to(self.device)], dim=2)
                    x = torch.cat([x[:, frames.shape[1] :], frames[:, -spec.frames_in :]], dim=1)
        return departures

    def predict(
        self,
        ds: xr.Dataset | xr.DataArray,
        *,
        init_time: Any = None,
        horizon: Any = None,
        units: Mapping[str, str] | None = None,
        device: str | torch.device | None = None,
    ) -> xr.Dataset:
        """Labelled forecast from labelled data.

        Parameters
        ----------
        ds
            Any names of axes, any order of dims, latitude up or down, lazy or not. Variables that the model does
            not know are ignored. A DataArray is the Dataset of its one variable.
        init_time
            Time of the last observed frame: None for the last frame of `ds`; one time; several; or "all", every
            time with a full history, where those whose history lacks too many values are left out and logged.
        horizon
            Steps, a timedelta, or words such as "24h"; T' steps by default. Longer than T' rolls out.
        units
            Units of variables that carry none.
        device
            Where to compute; CUDA if there is one, else the CPU. The network stays there.

        Returns
        -------
        xr.Dataset
            Layout of `simvp.coords.forecast_layout` on the names and the order of `ds`, in the units of the contract,
            with coordinates model_version, model_fingerprint, archive_commit (where it is known) and created on
            init_time. Where inputs lack some of their points, these are filled by the rule of
            `simvp.contract.filling`, and the attribute filled_input says how many.

        Raises
        ------
        ContractError
            With every reason at once: variables, units, grid, step, calendar, horizon, init times without a full
            history, more missing values than are filled, values that cannot be in these units.
        Refusal
            A domain that the memory does not hold.
        """
        ds = dataset_of(ds)
        canonical, faults = self.spec.faults(ds, units)
        steps, runs, shares = 0, np.empty((0, self.spec.frames_in), np.int64), np.empty((0, self.spec.n_states))
        try:
            steps = steps_of(horizon, self.spec.step, self.spec.frames_out)
        except Refusal as refusal:
            faults += [f"horizon: {reason}" for reason in refusal.reasons]
        try:
            target = _device(device)
        except Refusal as refusal:
            faults += refusal.reasons
        if canonical is not None and not any(reason.startswith("time:") for reason in faults):
            try:
                runs = runs_of(init_time, canonical["time"].values, self.spec.step, self.spec.frames_in)
            except Refusal as refusal:
                faults += refusal.reasons
        if canonical is not None and not faults:
            window = (1, self.spec.frames_in, self.spec.n_channels, *self.spec.shape)
            refuse_beyond(self.network, window, (len(runs), steps, self.spec.n_states, *self.spec.shape), target)
        if canonical is not None and len(runs):
            every = isinstance(init_time, str) and init_time == "all"
            canonical, runs, shares, value_faults = self._vetted(canonical, runs, every)
            faults += value_faults
        if faults or canonical is None:
            raise ContractError("The data does not fit what the model was trained on", list(dict.fromkeys(faults)))
        others = sorted(str(name) for name in ds.data_vars if name not in self.spec.states)
        if others:
            logger.info("not used by the model: %s", ", ".join(others))
        # Coordinates and attributes come before the network, which leaves nothing of the data in the caches.
        axes, (origin, attrs) = find_axes(ds, list(self.spec.states)), origin_of(self, ds, len(runs))
        coords = self.spec.coordinates(canonical["time"].values[runs[:, -1]], steps, origin)
        if filled := self._filled(shares[np.unique(runs)]):
            attrs["filled_input"] = filled
            logger.info("filled input: %s", filled)
        departures = self._batches(canonical, runs, steps, target)
        return restore(self.spec.to_dataset(departures, coords, attrs), axes, ds)

    def _vetted(
        self, ds: xr.Dataset, runs: np.ndarray, every: bool
    ) -> tuple[xr.Dataset, np.ndarray, np.ndarray, list[str]]:
        """The frames needed (loaded if they fit), the runs in their positions, and what is wrong with their values.

        Third, the share of the points of each that is missing, (N, S).
        """
        ds, runs = _frames_of(ds, runs)
        count = ds.sizes["time"]
        size = fitting(ds.nbytes // count)
        if size >= count:
            ds = ds.load()
        shares = np.zeros((count, self.spec.n_states))
        faults: list[str] = []
        for start in range(0, count, size):
            block = ds if size >= count else ds.isel(time=slice(start, start + size)).load()
            shares[start : start + size] = self.spec.missing(block)
            usable = (shares[start : start + size] <= self.spec.missing_share).all(1)
            if every and not usable.all():
                block = block.isel(time=usable)
            faults += self.spec.value_faults(block) if block.sizes["time"] else []
        if every:
            whole = (shares <= self.spec.missing_share)[runs].all((1, 2))
            if not whole.any():
                faults.append(
                    f"init_time: each of the {len(runs)} full histories has missing values: frames that lack more than "
                    f"{percent(self.spec.missing_share)} of their points, up to {percent(shares.max())}"
                )
            elif not whole.all():
                logger.info("%d of %d init times left out: missing values", (~whole).sum(), len(runs))
            runs = runs[whole]
        return ds, runs, shares, faults

    def _filled(self, shares: np.ndarray) -> str:
        """How much of the input frames was filled, from the missing shares (N, S), in words; empty for nothing."""
        texts = []
        for channel, share in zip(self.spec.state_channels, shares.T, strict=True):
            if share.any():
                texts.append(
                    f"{channel.name} {round(share.sum() * channel.valid.sum())} missing values in "
                    f"{np.count_nonzero(share)} of {len(share)} input frames (at most {percent(share.max())} of one)"
                )
        return "; ".join(texts)

    def _batches(self, ds: xr.Dataset, runs: np.ndarray, steps: int, device: torch.device) -> np.ndarray:
        """Departures (I, L, S, H, W) for all runs, computed in batches of bounded size."""
        spec = self.spec
        if self.device != device:
            self.network.to(device)
        values = (spec.frames_in * spec.n_channels + steps * spec.n_states) * spec.shape[0] * spec.shape[1]
        size = fitting(4 * values, share=64)
        departures = np.empty((len(runs), steps, spec.n_states, *spec.shape), np.float32)
        for start in range(0, len(runs), size):
            part, batch = _frames_of(ds, runs[start : start + size])
            frames = spec.to_frames(part.load())
            z = frames[None] if len(batch) == 1 else frames[batch]  # (B, T, C, H, W)
            fill(z[:, :, : spec.n_states])
            departures[start : start + size] = self.forecast(z, part["time"].values[batch[:, -1]], steps)
        return departures

    def _header(self) -> dict[str, Any]:
        return {
            "spec": self.spec.to_header(),
            "network": self.network.config.to_dict(),
            "baselines": self.baselines.to_header(),
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {f"network.{name}": value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        return {**self.spec.arrays_under("spec"), **weights, **self.baselines.arrays_under("baselines")}


def _frames_of(ds: xr.Dataset, runs: np.ndarray) -> tuple[xr.Dataset, np.ndarray]:
    """The frames that the runs (I, T) need, not copied where none is left out, and the runs in their positions."""
    needed, inverse = np.unique(runs, return_inverse=True)
    if len(needed) == ds.sizes["time"]:
        return ds, runs
    first, last = int(needed[0]), int(needed[-1]) + 1
    chosen = slice(first, last) if last - first == len(needed) else needed
    return ds.isel(time=chosen), inverse.reshape(runs.shape)


def _device(device: str | torch.device | None) -> torch.device:
    """A device that this machine has, or a refusal; by default CUDA if there is one, else the CPU."""
    present = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    try:
        target = torch.device(present[-1] if device is None else device)
        torch.empty(0, device=target)  # a name alone tells nothing of the machine
    except (RuntimeError, AssertionError) as error:
        raise ContractError("Device", [f"device: expected one of {', '.join(present)}, got {str(device)!r}"]) from error
    return target
