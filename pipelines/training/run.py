"""Any training, of gridded data or of clips: one that goes on after a kill, is tracked, and ends as a version.

The same settings on the same data and code are one training: it has a key, and its checkpoint lies in a folder of that
key. What is particular to the data is a `Task`.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
import xarray as xr
from filelock import FileLock
from torch import nn

from datasets.store import disk
from pipelines.home import Home
from pipelines.progress import Progress
from pipelines.ranks import ALONE, Ranks
from pipelines.tracking import (
    NOTE,
    Run,
    code_digest,
    git_state,
    open_run,
    package_versions,
    register_version,
    shares,
)
from pipelines.training import checkpoint
from pipelines.training.config import OPERATIONAL, LoopConfig
from pipelines.training.device import choose_device, choose_precision, threads
from pipelines.training.loop import Score, TrainingLoop
from simvp.inference import Forecaster, Version

_log = logging.getLogger(__name__)

# What a training imports and what does not decide what it makes: how it is tracked and drawn, and the sources, of which
# nothing but the study is taken, which is in the plan.
BESIDE = (
    "pipelines.machine",
    "pipelines.promote",
    "pipelines.tracking",
    "pipelines.pictures",
    "datasets.catalog",
    "simvp.files",
    "simvp.inference.summary",
)
LOCK_SECONDS = 24 * 3600.0
WORDS_SECONDS = 0.25  # between two looks at the loss, for each of which the device is waited for


class Task(Protocol):
    """What is trained, on which data, and how it is scored.

    Attributes
    ----------
    name
        Of the experiment and of the registered model.
    """

    name: str
    loop: TrainingLoop

    @property
    def config(self) -> LoopConfig:
        """Settings."""

    @property
    def variant(self) -> str:
        """What is trained, in a few words, for the name of the run."""

    def begin(self, *, fresh: bool, ranks: Ranks = ALONE) -> None:
        """Make `loop`, on the device; `fresh`: no checkpoint will replace its weights. Called in all of `ranks`."""

    def log_start(self, run: Run) -> None:
        """Settings, tags and what else the run should hold before the first update."""

    def validate(self, network: nn.Module) -> Score:
        """Score a network (in eval mode): the loss chooses the epoch."""

    def score_words(self, entry: Mapping[str, Any]) -> str:
        """Scores of one epoch of the history, in words."""

    def finish(self, run: Run) -> None:
        """What is made with the best network, which `loop` now holds, beside the model itself."""

    def package(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        """What the model is made of, as fields of `Forecaster`; its provenance; and tags of the version."""

    def example(self) -> xr.Dataset:
        """T frames or more, canonical, as an example of what the model takes."""

    def page(self, model: Forecaster, run_id: str) -> str:
        """What the page of the version says of the model, as Markdown; the run's artifacts have the pictures."""


def training_key(config: LoopConfig, module: str, **deciding: Any) -> str:
    """SHA-256 of all that decides what a training makes: settings, the precision that is used, data and code.

    Parameters
    ----------
    module
        Where the training begins ("pipelines.train"): its code and that of all it imports count.
    deciding
        Plain values that stand for the data and what was taken from them.
    """
    parts = {
        "config": config.model_dump(mode="json", exclude={*OPERATIONAL, "precision"}),
        "precision": choose_precision(config.precision, choose_device(config.device)),
        "code": code_digest(module, beside=BESIDE),
        **deciding,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of a training that one process may look for, or make, at a time; it goes when that is done."""
    lock = folder.with_suffix(".lock")
    with disk.exclusive(FileLock(lock), LOCK_SECONDS):
        yield
        disk.discard(folder)
        # One who waits for this lock, or makes a new one, finds what was made.
        disk.discard(lock)


def run_training(
    home: Home,
    task: Task,
    key: str,
    folder: Path,
    progress: Progress,
    *,
    register: bool = True,
    ranks: Ranks = ALONE,
) -> tuple[Run, Version | None]:
    """Train from wherever the checkpoint in `folder` stands, track it, and register the model.

    In the first of `ranks`; the others call `join_training`.

    Returns
    -------
    tuple
        The run, and the version, which is the challenger now; None where it was not to be registered.

    Raises
    ------
    DivergedError
        A loss is no number.
    """
    with _begun(task, folder, ranks) as state:
        loop = task.loop
        run_id = None if state is None else state["run_id"]
        with open_run(home, task.name, key, run_id=run_id, title=f"{task.name}, {task.variant}") as run:
            _log_start(run, task)
            loop.run(
                task.validate,
                on_batch=_teller(task, progress),
                on_epoch=lambda loop, entry: _log_epoch(run, task, entry),
                save=lambda loop: checkpoint.save(folder, {"run_id": run.run_id, "loop": loop.state()}),
            )
            loop.network.load_state_dict(loop.best)
            task.finish(run)
            # Inside the run: MLflow looks the logged model up at the address of the process.
            return run, _register(home, task, key, folder, run) if register else None


def join_training(task: Task, folder: Path, ranks: Ranks) -> None:
    """Take part in the training that the first of `ranks` runs; nothing is tracked, scored or written."""
    with _begun(task, folder, ranks):
        task.loop.run(task.validate)


@contextmanager
def _begun(task: Task, folder: Path, ranks: Ranks) -> Iterator[dict[str, Any] | None]:
    """A task whose loop stands where the checkpoint does, which is the first one's for all of them."""
    # A training seeds PyTorch's random numbers; whoever called gets theirs back.
    gpu = choose_device(task.config.device).type == "cuda"
    devices = [torch.cuda.current_device()] if gpu else []  # those of the other processes are theirs
    with threads(task.config.threads), torch.random.fork_rng(devices):
        state = ranks.once(lambda: checkpoint.load(folder))
        task.begin(fresh=state is None, ranks=ranks)
        if state is not None:
            task.loop.restore(state["loop"])
        yield state


def _teller(task: Task, progress: Progress) -> Callable[[TrainingLoop], None]:
    """Tells of every batch: epoch, loss, score and time left, in new words a few times a second."""
    began, first, epochs = time.monotonic(), task.loop.step, task.config.epochs
    words, epoch, written = "", -1, began

    def tell(loop: TrainingLoop) -> None:
        nonlocal words, epoch, written
        now, total = time.monotonic(), epochs * loop.batches
        if now - written > WORDS_SECONDS or loop.epoch != epoch:
            epoch, written = loop.epoch, now
            left = (now - began) / max(1, loop.step - first) * (total - loop.step)
            scores = f", validation {task.score_words(loop.history[-1])}" if loop.history else ""
            words = f"training: epoch {epoch + 1}/{epochs}, loss {loop.read_loss():.4f}{scores}, {left:.0f} s left"
        progress(words, loop.step, total)

    return tell


def _log_start(run: Run, task: Task) -> None:
    code = git_state()
    commit = str(code["commit"])
    tags = {"git_commit": commit, "git_dirty": str(code["dirty"]).lower(), "mlflow.source.git.commit": commit}
    tags["threads_wait"] = os.environ.get("OMP_WAIT_POLICY", "default").lower()
    run.log_settings({}, tags)
    task.log_start(run)
    for entry in task.loop.history:  # what a run that is gone has been told
        _log_entry(run, entry)


def _log_epoch(run: Run, task: Task, entry: Mapping[str, Any]) -> None:
    loop = task.loop
    speed = {}
    if entry["epoch"]:
        seconds = loop.seconds[-1]
        speed = {
            "windows_per_second": loop.batches * task.config.batch_size / max(seconds, 1e-9),
            "epoch_seconds": seconds,
            "minutes": sum(loop.seconds) / 60,
            "data_wait_seconds": loop.waited,
        }
    _log_entry(run, entry, **speed)
    _log.info("epoch %d: validation %s", entry["epoch"], task.score_words(entry))


def _log_entry(run: Run, entry: Mapping[str, Any], **more: float) -> None:
    values = {name: float(value) for name, value in entry.items() if name != "epoch"}
    run.log_metrics({**values, **more}, int(entry["epoch"]))


def _register(home: Home, task: Task, key: str, folder: Path, run: Run) -> Version:
    """The model as one file under its contract, as a version in the registry."""
    parts, origin, tags = task.package()
    provenance = {
        **origin,
        "training_key": key,
        "config": task.config.model_dump(mode="json", exclude=set(OPERATIONAL)),
        "git": git_state(),
        "packages": package_versions(),
        "run_id": run.run_id,
    }
    forecaster = Forecaster(**parts, provenance=provenance)
    file = folder / "forecaster.safetensors"
    forecaster.save(file)
    run.log_settings({}, {"fingerprint": forecaster.fingerprint, "stopped": task.loop.stopped})
    tags |= {"training_key": key, "fingerprint": forecaster.fingerprint}
    tags |= {f"skill_{state}": text for state, text in shares(provenance).items()}
    source = run.log_model(file, forecaster.spec, task.example(), step=int(task.loop.best_epoch))
    text = task.page(forecaster, run.run_id)
    run.log_settings({}, {NOTE: text})
    return register_version(home, task.name, source=source, run_id=run.run_id, tags=tags, text=text)
