"""Training: from the archive to a registered version of the model, tracked in MLflow, resumable after any kill.

The same settings on the same commit, periods and code are one training: it has a key, its checkpoint lies under
that key, and asked again it returns the version that it has already made.
"""

import hashlib
import json

import torch
import xarray as xr
from filelock import FileLock

from datasets.archive import Archive
from datasets.catalog import find_source
from datasets.store import disk
from pipelines.home import Home
from pipelines.tracking import close_run, code_digest, find_version, set_challenger
from pipelines.training import (
    OPERATIONAL,
    Plan,
    Progress,
    TrainConfig,
    Training,
    TrainReport,
    choose_device,
    choose_precision,
    derive_plan,
    threads,
)
from pipelines.windows import surely_fits
from simvp.errors import ConfigError

__all__ = ["TrainConfig", "TrainReport", "train", "training_key"]

# What a training imports and what does not decide what it makes: how it is tracked and drawn, and the sources, of which
# nothing but the study is taken, which is in the plan.
BESIDE = (
    "pipelines.promote",
    "pipelines.tracking.runs",
    "pipelines.pictures.fields",
    "pipelines.tracking.provenance",
    "datasets.catalog",
)


def train(home: Home, config: TrainConfig, *, progress: Progress | None = None) -> TrainReport:
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
    """
    archive = Archive(home.archive(config.dataset))
    if not archive.exists:
        raise ConfigError(f"Training on {config.dataset}", [f"no archive at {archive.path}"], "ingest first")
    ds = archive.dataset()
    commit = str(ds.attrs["archive_commit"])
    ds = _selected(ds, config)
    plan = _plan(ds, archive, config)
    key = training_key(config, commit, plan, in_memory=surely_fits(ds, config.memory_mib << 20))
    folder = home.training(config.dataset) / key[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with disk.exclusive(FileLock(folder.with_suffix(".lock")), 24 * 3600.0):
        found = find_version(home, config.dataset, key)
        if found is None:
            with threads(config.threads), torch.random.fork_rng():
                report = Training(home, config, ds, plan, commit, key, folder, progress).run()
        else:
            set_challenger(home, found)
            report = TrainReport(
                dataset=config.dataset,
                version=found.version,
                fingerprint=found.fingerprint,
                training_key=key,
                run_id=found.run_id,
                experiment_id=close_run(home, found.run_id),
                existing=True,
                archive_commit=commit,
                plan=plan,
            )
        disk.discard(folder)
        # One who waits for this lock, or makes a new one, finds the version.
        disk.discard(folder.with_suffix(".lock"))
    return report


def training_key(config: TrainConfig, commit: str, plan: Plan, *, in_memory: bool) -> str:
    """SHA-256 of all that decides what a training makes: settings, precision used, commit, plan and code.

    Where not all frames may fit `in_memory`, how many do decides the order of the windows.
    """
    parts = {
        "config": config.model_dump(mode="json", exclude={*OPERATIONAL, "precision"}),
        "memory_mib": None if in_memory else config.memory_mib,
        "commit": commit,
        "plan": plan.model_dump(mode="json", exclude={"text", "counts"}),
        "precision": choose_precision(config.precision, choose_device(config.device)),
        "code": code_digest("pipelines.train", beside=BESIDE),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _selected(ds: xr.Dataset, config: TrainConfig) -> xr.Dataset:
    named = {*config.variables, *config.bounds, *(() if config.log1p == "auto" else config.log1p)}
    here = ", ".join(map(str, ds.data_vars))
    faults = [f"{name}: expected one of {here}" for name in sorted(named) if name not in ds.data_vars]
    if faults:
        raise ConfigError(f"Training on {config.dataset}", faults)
    return ds[list(config.variables)] if config.variables else ds


def _plan(ds: xr.Dataset, archive: Archive, config: TrainConfig) -> Plan:
    """The plan: what the settings say, then what the study of a named source fixes, then what the data say."""
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
        given_by="given" if study is None else f"fixed by the study {name}",
    )
