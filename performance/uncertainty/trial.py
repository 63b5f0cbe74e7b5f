"""One training of a data set, and its members and bounds on the period that was held out."""

import time
from dataclasses import dataclass

import numpy as np
import xarray as xr

from datasets.archive import Archive
from pipelines.evaluation import chunks, scorable
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.progress import Progress, silent
from pipelines.tracking import open_registry, resolve_version
from pipelines.train import train
from pipelines.training import TrainConfig
from simvp.contract import FrameSpec
from simvp.inference import Forecaster, Replay, truth_maps
from simvp.scoring import ensemble_errors
from simvp.times import encode_times
from simvp.uncertainty import with_bounds

MEMBERS, LEVELS = 20, (0.05, 0.5, 0.95)
BATCH = 16
CLIMATOLOGY, PERSISTENCE = "climatological ensemble", "dressed persistence"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Scores of members and bounds, and what they cost.

    Parameters
    ----------
    name, seed
        Data set, and seed of the training.
    leads, trained_leads
        L that were forecast, T' of the model.
    errors
        `simvp.scoring.ensemble_errors` of every init time, by system: model and the two to beat.
    plain, members
        Seconds of the forecasts alone, and of members and bounds.
    megabytes
        Of the error maps in the model's file.
    """

    name: str
    seed: int
    leads: int
    trained_leads: int
    errors: dict[str, xr.Dataset]
    plain: float
    members: float
    megabytes: float


def run(home: Home, name: str, seed: int, *, horizon: int = 1, every: int = 1, progress: Progress = silent) -> Trial:
    """Train on a data set, and score every so-many-th init time of the held-out period.

    Parameters
    ----------
    horizon
        How many times as far as the model was trained for.
    """
    if name not in home.datasets:
        ingest(home, name, progress=progress)
    report = train(home, TrainConfig(dataset=name, seed=seed), progress=progress)
    model = open_registry(home).load(resolve_version(home, name, report.version))
    assert model.calibration is not None
    ds, spec = Archive(home.archive(name)).dataset(), model.spec
    leads = horizon * spec.frames_out
    times, _ = scorable(ds, [spec], report.plan.periods.held_out, leads=leads)
    replay, spent = Replay(model, leads), np.zeros(2)
    parts: dict[str, list[xr.Dataset]] = {"model": [], CLIMATOLOGY: [], PERSISTENCE: []}
    past = ds[list(spec.states)].sel(time=slice(None, report.plan.periods.held_out[0])).load()
    for chosen in chunks(times[::every], spec.step, BATCH):
        start = time.perf_counter()
        forecast = replay.forecasts(ds, chosen)["model"]
        middle = time.perf_counter()
        own = with_bounds(
            forecast, spec, model.calibration, members=MEMBERS, levels=LEVELS, fingerprint=model.fingerprint
        )
        spent += np.array([middle - start, time.perf_counter() - middle])
        parts["model"].append(ensemble_errors(own, ds))
        for system, made in _others(model, forecast, past, ds).items():
            parts[system].append(ensemble_errors(made, ds))
        progress("scoring", sum(len(part["init_time"]) for part in parts["model"]), len(times[::every]))
    return Trial(
        name=name,
        seed=seed,
        leads=leads,
        trained_leads=spec.frames_out,
        errors={
            system: xr.concat(one, "init_time", data_vars="minimal", coords="minimal", compat="override")
            for system, one in parts.items()
        },
        plain=float(spent[0]),
        members=float(spent[1]),
        megabytes=model.calibration.errors.nbytes / 2**20,
    )


def _others(model: Forecaster, forecast: xr.Dataset, past: xr.Dataset, ds: xr.Dataset) -> dict[str, xr.Dataset]:
    """Ensembles that cost nothing, of the same times.

    The climatological one has the frames of the same time of day, of days drawn from before the held-out period. The
    other is persistence, and its errors from init times of the same time of day, drawn from there.
    """
    spec, step = model.spec, model.spec.step
    inits, leads = forecast["init_time"].values, forecast.sizes["lead_time"]
    times = past["time"].values
    seconds = encode_times(times)[0]
    found: dict[str, dict[str, list[np.ndarray]]] = {CLIMATOLOGY: {}, PERSISTENCE: {}}
    for number, init in enumerate(encode_times(inits)[0]):
        random = np.random.default_rng([int(init), 1])
        alike = np.flatnonzero((seconds - init) % 86400 == 0) if step.per_day else np.arange(len(times))
        alike = alike[alike < len(times) - leads]
        drawn = random.choice(alike, MEMBERS, replace=len(alike) < MEMBERS)
        follow = drawn[None] + 1 + np.arange(leads)[:, None]  # (L, M)
        last = truth_maps(spec, ds, step.shift(inits[[number]], -1), 1)[0, 0]  # (S, H, W) at the init time
        for s, state in enumerate(spec.states):
            frames = past[state].values
            found[CLIMATOLOGY].setdefault(state, []).append(frames[follow])
            found[PERSISTENCE].setdefault(state, []).append(last[s] + frames[follow] - frames[drawn])
    return {system: _with_members(forecast, spec, fields) for system, fields in found.items()}


def _with_members(forecast: xr.Dataset, spec: FrameSpec, fields: dict[str, list[np.ndarray]]) -> xr.Dataset:
    """The labels of a forecast with members (I, L, M, H, W), within the bounds, and their mean."""
    made = forecast
    for channel in spec.state_channels:
        members = np.stack(fields[channel.name])
        members = np.clip(members, *channel.bounds) if channel.bounds != (None, None) else members
        dims = forecast[channel.name].dims
        made = made.assign({channel.name: (dims, members.mean(2), forecast[channel.name].attrs)})
        made[f"{channel.name}_member"] = ((*dims[:2], "member", *dims[2:]), members)
    return made
