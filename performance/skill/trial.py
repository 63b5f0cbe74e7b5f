"""One data set from its source to the gate's verdict, once for each seed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from datasets.archive import Archive
from pipelines.evaluation import Judgement, judge, skill_table
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.intake import Location
from pipelines.progress import Progress, silent
from pipelines.tracking import open_registry, resolve_version
from pipelines.train import train
from pipelines.training import Plan, TrainConfig
from simvp.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of one data set, and what came of it.

    Parameters
    ----------
    seed
        Of the training.
    plan
        Step, T, T' and periods.
    parameters
        Of the network; 0 where there is none.
    judgement
        By the gate, with the errors of every init time.
    skill
        `pipelines.evaluation.skill_table` of the model, its parts and the baselines, on the maps that all of them have.
    correction, correction_error
        (S, L) part of the network's difference from the base that is taken, and its standard error; None without a
        network.
    training, judging
        Seconds.
    rain
        Of rain: `events` of the gate's scores, of all init times in the validation blocks, each block forecast by a
        model of its own that was trained on what lies before it (a rolling origin); None where nothing is rain, or
        where no block has enough before it.
    """

    seed: int
    plan: Plan
    parameters: int
    judgement: Judgement
    skill: xr.Dataset = field(repr=False)
    correction: np.ndarray | None
    correction_error: np.ndarray | None
    training: float
    judging: float
    rain: xr.DataArray | None = None


@dataclass(frozen=True, kw_only=True)
class Trials:
    """All trainings of one data set; `ingest` are the seconds that its archive took, `frames` it holds."""

    name: str
    ingest: float
    frames: int
    trials: tuple[Trial, ...]


def run(
    home: Home,
    name: str,
    seeds: int,
    *,
    source: Location | Sequence[Location] | None = None,
    settings: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> Trials:
    """Ingest a data set into an empty home; train and judge it as often as there are seeds.

    Parameters
    ----------
    name, source
        A name of the catalogue, or any together with files.
    settings
        Of the training, where they are not to be the default ones.

    Raises
    ------
    Refusal
        Of any of the stages.
    """
    start = time.perf_counter()
    archived = ingest(home, name, source=source, progress=progress)
    seconds = time.perf_counter() - start
    trials = tuple(_trial(home, TrainConfig(dataset=name, seed=s, **(settings or {})), progress) for s in range(seeds))
    return Trials(name=name, ingest=seconds, frames=archived.length - archived.absent, trials=trials)


def _trial(home: Home, config: TrainConfig, progress: Progress) -> Trial:
    start = time.perf_counter()
    report = train(home, config, progress=progress)
    trained = time.perf_counter()
    forecaster = open_registry(home).load(resolve_version(home, config.dataset, report.version))
    # Beside no champion: seed after seed is a first model.
    judgement = judge(forecaster, None, Archive(home.archive(config.dataset)).dataset(), progress=progress)
    error = forecaster.provenance["combination"].get("correction_error")
    return Trial(
        seed=config.seed,
        plan=report.plan,
        parameters=0 if forecaster.network is None else sum(p.numel() for p in forecaster.network.parameters()),
        judgement=judgement,
        skill=skill_table(judgement.errors),
        correction=forecaster.correction,
        correction_error=None if error is None else np.array(error),
        training=trained - start,
        judging=time.perf_counter() - trained,
        rain=_rolling(home, config, report.plan, progress) if "events" in judgement.errors else None,
    )


def _rolling(home: Home, config: TrainConfig, plan: Plan, progress: Progress) -> xr.DataArray | None:
    """Counts of hits and misses in the validation blocks, by models that have seen nothing of a block or after it."""
    counts = []
    for block in plan.periods.validation:
        own = {"periods": {"held_out": block}, "frames_in": plan.frames_in, "frames_out": plan.frames_out}
        try:
            report = train(home, TrainConfig(**{**config.model_dump(), **own}), progress=progress)
        except ConfigError:
            continue  # the first block may have too little before it
        forecaster = open_registry(home).load(resolve_version(home, config.dataset, report.version))
        judgement = judge(forecaster, None, Archive(home.archive(config.dataset)).dataset(), progress=progress)
        if "events" in judgement.errors:  # where it has been dry before, nobody knows that it is rain
            counts.append(judgement.errors["events"])
    return xr.concat(counts, "init_time") if counts else None
