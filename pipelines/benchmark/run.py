"""A run of a vision benchmark, from its files to a row of the report.

It goes as with gridded data: windows, the same training loop with the same checkpoints, every number in MLflow,
the model as a version in the registry. The best epoch is chosen on validation clips. The test clips are scored after
every epoch too, but only to state, marked as such, the number that published codes would print, which choose on them.

The same settings on the same data and code are one run: cut off, it goes on; requested once more, it gives the rows
that it has.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from datasets.benchmarks import find_benchmark
from datasets.store import disk
from datasets.video import PARTS, Clips, Part
from pipelines.benchmark.config import EVALUATION_SEED, BenchmarkConfig
from pipelines.benchmark.rows import Row, frame, published, report
from pipelines.benchmark.training import VideoTask
from pipelines.home import Home
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.ranks import Ranks, joined, launched, launches
from pipelines.training import choose_device, exclusive_folder, join_training, run_training, training_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """The results of a run.

    Parameters
    ----------
    rows
        For each horizon: the network chosen on validation, the same chosen on the test clips, and persistence.
    existing
        Whether they were there already.
    run_id, version
        Of the MLflow run and of the registered model ("" where it was not to be registered).
    pictures
        Files of this run.
    path
        The report of all runs.
    """

    rows: tuple[Row, ...]
    existing: bool
    run_id: str
    version: str
    pictures: tuple[Path, ...]
    path: Path

    @property
    def summary(self) -> str:
        """In words, for each horizon: how much less error than persistence, and which scores say otherwise."""
        lines = []
        for row in (row for row in self.rows if row.selected_on in ("validation", "unknown")):
            (other,) = (r for r in self.rows if r.method == "persistence" and r.horizon == row.horizon)
            ours, theirs = row.scores["mse_per_frame"], other.scores["mse_per_frame"]
            epoch = f" (epoch {row.chosen_epoch} of {row.epochs})" if row.epochs else ""
            apart = f"{100 * abs(1 - ours / theirs):.1f} % {'less' if ours < theirs else 'more'}"
            lines.append(
                f"{row.data}, T' = {row.horizon}: MSE per frame {ours:.4g}{epoch}, persistence {theirs:.4g}: "
                f"{apart}, on {row.test}.{_otherwise(row.scores, other.scores)}"
            )
        return "\n".join(lines)


def _otherwise(scores: Mapping[str, float], still: Mapping[str, float]) -> str:
    """The scores by which a network that has less squared error is worse than persistence; empty for none.

    A network that blurs has the least squared error: it may be behind in all else.
    """
    worse = [
        f"{name} {scores[key]:.4g} (persistence {still[key]:.4g})"
        for key, name, sign in (("mae_per_frame", "MAE per frame", 1), ("ssim_paper", "SSIM", -1))
        if sign * (scores[key] - still[key]) > 0
    ]
    return f" But worse than persistence by {' and '.join(worse)}." if worse else ""


@stage
def run_benchmark(
    home: Home, config: BenchmarkConfig, *, register: bool = True, progress: Progress = silent
) -> BenchmarkReport:
    """Train, score and report one benchmark.

    Parameters
    ----------
    home
        Where checkpoints, rows, pictures and MLflow are.
    config
        Settings, from `pipelines.benchmark.config.plan_benchmark`.
    register
        Whether the model becomes a version in the registry, with the alias `challenger`.
    progress
        Called as ``progress(what, done, total)``.

    Raises
    ------
    SourceError
        Files that are missing, damaged or of another form; nothing is written.
    DivergedError
        The loss is no number.
    RankError
        One of several processes died.
    """
    if launches(config):
        return launched(run_benchmark, home, config, progress=progress, register=register)
    device = choose_device(config.device)
    with joined(device) as ranks:
        return _run(home, config, device, ranks, register=register, progress=progress)


def _run(
    home: Home, config: BenchmarkConfig, device: torch.device, ranks: Ranks, *, register: bool, progress: Progress
) -> BenchmarkReport:
    benchmark = find_benchmark(config.data)
    parts: dict[Part, Clips] = {
        part: benchmark.open(part, seed=config.seed if part == "train" else EVALUATION_SEED, device=str(device))
        for part in PARTS
    }
    further = [
        benchmark.open("test", frames_out=horizon, seed=EVALUATION_SEED, device=str(device))
        for horizon in benchmark.horizons
        if horizon != benchmark.frames_out
    ]
    key = training_key(config, "pipelines.benchmark.run", clips=_digest([*parts.values(), *further]))
    folder = home.benchmarks / benchmark.name
    file = folder / "rows" / f"{key[:16]}.json"
    training = folder / "training" / key[:16]
    with exclusive_folder(training) if ranks.first else nullcontext():
        finished = ranks.once(lambda: _finished(file))
        existing = finished is not None
        if finished is None:
            task = VideoTask(config, parts, further, device, folder / "pictures" / key[:16], progress)
            if ranks.first:
                run, version = run_training(home, task, key, training, progress, register=register, ranks=ranks)
                finished = keep_rows(file, task.rows, run.run_id, "" if version is None else version.label)
            else:
                join_training(task, training, ranks)

    def made() -> BenchmarkReport:
        assert finished is not None
        return report_of(home, folder, key, finished, existing=existing)

    return ranks.once(made)


def keep_rows(file: Path, rows: Sequence[Row], run_id: str, version: str = "") -> dict[str, Any]:
    """Write down what a finished run has made; returns it as `report_of` takes it."""
    finished = {"rows": [row.model_dump(mode="json") for row in rows], "run_id": run_id, "version": version}
    disk.write(file, json.dumps(finished, indent=1).encode())
    return finished


def report_of(home: Home, folder: Path, key: str, finished: Mapping[str, Any], *, existing: bool) -> BenchmarkReport:
    """The report of a run that wrote down its rows; that of all runs is written anew."""
    return BenchmarkReport(
        rows=tuple(Row.model_validate(row) for row in finished["rows"]),
        existing=existing,
        run_id=finished["run_id"],
        version=finished["version"],
        pictures=tuple(sorted((folder / "pictures" / key[:16]).glob("*"))),
        path=write_report(home),
    )


def write_report(home: Home) -> Path:
    """Write `report.md` and `report.csv` with every finished run beside the published rows; returns the first."""
    path = home.benchmarks / "report.md"
    with disk.exclusive(FileLock(home.benchmarks / ".report.lock"), 60.0):  # several runs may end at once
        runs = [_finished(path) for path in sorted(home.benchmarks.glob("*/rows/*.json"))]
        ours = [Row.model_validate(row) for run in runs if run is not None for row in run["rows"]]
        rows = [*published(), *_without_repetitions(sorted(ours, key=lambda row: row.when))]
        disk.write(home.benchmarks / "report.csv", frame(rows).to_csv(index=False).encode())
        disk.write(path, report(rows).encode())
    return path


def _without_repetitions(rows: Sequence[Row]) -> list[Row]:
    """Rows without the repetitions of persistence, which is the same for every run on a test set."""
    kept: dict[str, Row] = {}
    for row in rows:
        same = row.model_dump_json(include={"data", "horizon", "method", "test", "scores"})
        kept.setdefault(same if row.method == "persistence" else row.model_dump_json(), row)
    return list(kept.values())


def _finished(path: Path) -> dict[str, Any] | None:
    """What a finished run wrote down; None where there is none. What is damaged is set aside, beside it, and said."""
    try:
        finished: dict[str, Any] = json.loads(path.read_bytes())
        [Row.model_validate(row) for row in finished["rows"]]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        why = str(error).partition("\n")[0]
        _log.warning("rows %s are damaged (%s): set aside as %s; the run begins anew", path, why, aside.name)
        return None
    return finished


def _digest(parts: Sequence[Clips]) -> str:
    """Which clips a run is made of: where they come from, how many, and the frames of the first and the last."""
    digest = hashlib.sha256()
    for clips in parts:
        digest.update(f"{clips.part} {clips.frames_out} {len(clips)} {clips.origin}".encode())
        # The origin names files, and files of one name can differ.
        digest.update(clips.frames(np.array([0, len(clips) - 1])).cpu().numpy().tobytes())
    return digest.hexdigest()
