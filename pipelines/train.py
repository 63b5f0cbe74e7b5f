"""Training: from the archive to a registered version of the model, tracked in MLflow, resumable after any kill.

The same settings on the same commit, periods and code are one training: it has a key, its checkpoint lies under
that key, and requested once more it returns the version that it has already made.

``torchrun --standalone --nproc-per-node 2 -m pipelines.train '{"dataset": "simulated-weather"}'`` trains in processes
that torchrun starts; the setting `processes` starts them by itself.
"""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.catalog import find_source
from datasets.readers import open_maps
from pipelines.home import Home
from pipelines.known import with_known
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.ranks import Ranks, joined, launched, launches
from pipelines.tracking import close_run, find_version, set_challenger
from pipelines.training import (
    GriddedTask,
    Plan,
    TrainConfig,
    TrainReport,
    choose_device,
    derive_plan,
    exclusive_folder,
    join_training,
    run_training,
    training_key,
)
from pipelines.windows import surely_fits
from simvp.contract import carried, carry
from simvp.errors import ConfigError, Refusal
from simvp.record import from_json

__all__ = ["TrainConfig", "TrainReport", "train"]


@stage
def train(home: Home, config: TrainConfig, *, progress: Progress = silent) -> TrainReport:
    """Train on the archive of a data set and register the version as `challenger`.

    Parameters
    ----------
    home
        Where archive, checkpoints and MLflow are.
    config
        Settings.
    progress
        Called as ``progress(what, done, total)`` with the updates done and in all; `what` says epoch, loss,
        validation RMSE and the time left.

    Raises
    ------
    ConfigError
        No archive, unknown variables, settings that do not fit the data, or too few windows; nothing is written.
    DivergedError
        The loss is no number.
    RankError
        One of several processes died.
    """
    if launches(config):
        return launched(train, home, config, progress=progress)
    with joined(choose_device(config.device)) as ranks:
        return _train(home, config, progress, ranks)


def _train(home: Home, config: TrainConfig, progress: Progress, ranks: Ranks) -> TrainReport:
    archive = Archive(home.archive(config.dataset))
    if not archive.exists:
        raise ConfigError(
            f"Training on {config.dataset}", [f"no archive at {archive.path}"], f"simvp ingest {config.dataset}"
        )
    ds = with_known(home, config.dataset, archive.dataset())
    commit = str(ds.attrs["archive_commit"])
    read, ds = ds, _selected(ds, config)
    statics = {} if config.static is None else open_maps(frames=ds, **config.static.model_dump())
    plan = _plan(ds, archive, config)
    archive.keep(read)
    beside = _beside(ds, statics)
    key = _key(config, commit, plan, beside, in_memory=surely_fits(ds, config.memory_mib << 20, len(statics)))
    if ranks.once(lambda: key) != key:
        reason = "the archive changed while the processes opened it"
        raise ConfigError(f"Training on {config.dataset}", [reason], "start the training again")
    folder = home.training(config.dataset) / key[:16]
    outcome: dict[str, Any] = {}
    with exclusive_folder(folder) if ranks.first else nullcontext():
        version = ranks.once(lambda: find_version(home, config.dataset, key))
        task = GriddedTask(home, config, ds, plan, commit, progress, statics)
        if version is None and ranks.first:
            version = run_training(home, task, key, folder, progress, ranks=ranks)[1]
            outcome = task.outcome()
        elif version is None:
            join_training(task, folder, ranks)
        elif ranks.first:
            set_challenger(home, version)

    def report() -> TrainReport:
        assert version is not None
        return TrainReport(
            dataset=config.dataset,
            version=version.version,
            fingerprint=version.fingerprint,
            training_key=key,
            run_id=version.run_id,
            experiment_id=close_run(home, version.run_id),
            existing=not outcome,
            archive_commit=commit,
            plan=plan,
            **outcome,
        )

    return ranks.once(report)


def _beside(ds: xr.Dataset, statics: Mapping[str, xr.DataArray]) -> dict[str, Any]:
    """What stands for the data beside the frames: commits of known inputs, digests of static maps."""
    known = {"known": dict(ds.attrs["known_commits"])} if carried(ds) else {}
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(one.values).tobytes()).hexdigest() for name, one in statics.items()
    }
    return known | ({"static": digests} if digests else {})


def _key(
    config: TrainConfig, commit: str, plan: Plan, beside: Mapping[str, Any] = MappingProxyType({}), *, in_memory: bool
) -> str:
    """Where not all frames may fit `in_memory`, how many do decides the order of the windows."""
    memory = None if in_memory else config.memory_mib
    values = plan.model_dump(mode="json", exclude={"text", "counts"})
    return training_key(config, "pipelines.train", memory_mib=memory, commit=commit, plan=values, **beside)


def _selected(ds: xr.Dataset, config: TrainConfig) -> xr.Dataset:
    """The variables that are asked for, and the known inputs that are."""
    names = {*config.variables, *config.bounds, *(() if config.log1p == "auto" else config.log1p)}
    here, known = ", ".join(map(str, ds.data_vars)), carried(ds)
    faults = [f"{name}: expected one of {here}" for name in sorted(names) if name not in ds.data_vars]
    wanted = known if config.known is None else config.known
    faults += [f"known {name}: expected one of {', '.join(known) or 'none'}" for name in wanted if name not in known]
    if faults:
        raise ConfigError(f"Training on {config.dataset}", faults)
    frames = ds[list(config.variables or ds.data_vars)]
    return carry(ds, frames, names=wanted)


def _plan(ds: xr.Dataset, archive: Archive, config: TrainConfig) -> Plan:
    """The plan: what the settings say, then what the study of a source in the catalog fixes, then what the data say."""
    name = archive.source_settings.get("catalog")
    study = find_source(name).study if name else None
    own = config.periods.held_out is not None or config.periods.held_out_days is not None
    if config.mode == "operations" or own:
        study = None
    choice, frames_in, frames_out = config.periods, config.frames_in, config.frames_out
    if study is not None:
        fixed = {"held_out": study.held_out, "reference": choice.reference or study.reference}
        choice = choice.model_copy(update=fixed)
        if frames_in is None and frames_out is None:
            frames_in, frames_out = study.frames_in, study.frames_out
    return derive_plan(
        ds,
        archive.step,
        frames_in=frames_in,
        frames_out=frames_out,
        cycle=config.cycle,
        choice=choice,
        mode=config.mode or ("study" if study or config.periods.held_out else "operations"),
        source="given" if study is None else f"fixed by the study {name}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train by settings in JSON, in this process or in those of torchrun; 2 after a refusal, which is printed."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        report = train(Home.default(), TrainConfig(**_settings(words)))
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        print(f"simvp-{report.dataset} version {report.version}, fingerprint {report.fingerprint}")
    return 0


def _settings(words: Sequence[str]) -> dict[str, Any]:
    try:
        (text,) = words
        settings = from_json(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ConfigError(
            "python -m pipelines.train",
            [f"expected the settings as one JSON object, got {' '.join(words)!r}"],
            """for example '{"dataset": "simulated-weather", "epochs": 3}'""",
        )
    return settings


if __name__ == "__main__":
    sys.exit(main())
