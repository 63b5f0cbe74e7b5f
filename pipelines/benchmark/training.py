"""One run of a benchmark: training, scores after every epoch, the saved model, pictures, and rows for the report."""

import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from datasets.video import Clips, Part
from pipelines.benchmark.clip_batches import ClipBatches, clip_contract
from pipelines.benchmark.config import BenchmarkConfig, plan_benchmark
from pipelines.benchmark.costs import costs_of
from pipelines.benchmark.rows import SCORES, Row, Selection
from pipelines.benchmark.scores import (
    NAMES,
    clip_files,
    keep_files,
    log_scores,
    persistence,
    processor,
    rolled_out,
    row_fields,
    score,
    squared_error,
)
from pipelines.home import Home
from pipelines.pictures import learning_curve, png
from pipelines.tracking import Run, git_state, open_run, package_versions, register_version
from pipelines.training import Fitting, Score, checkpoint, choose_precision
from simvp.inference import Forecaster
from simvp.networks import SimVP
from simvp.scoring import overall

_log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


class BenchmarkTraining:
    """One run, from the clips to the rows."""

    def __init__(
        self,
        home: Home,
        config: BenchmarkConfig,
        parts: Mapping[Part, Clips],
        further: Sequence[Clips],
        device: torch.device,
        key: str,
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self.home, self.parts, self.further = home, parts, further
        self.device, self.key, self.folder, self.progress = device, key, folder, progress
        self.train = ClipBatches(parts["train"])
        self.validation = ClipBatches(parts["validation"], config.validation_clips)
        self.test = ClipBatches(parts["test"], config.test_clips)
        updates = config.epoch_updates or max(1, len(self.train) // config.batch_size)
        self.config = config.model_copy(update={"epoch_updates": updates})
        self.precision = choose_precision(config.precision, device)
        self.seconds: list[float] = []  # of training, by epoch
        self.partial = 0.0  # of the epoch under way

    def run(self, pictures: Path, *, register: bool) -> dict[str, Any]:
        """Train, track, save; rows, run and version as plain values."""
        config = self.config
        torch.manual_seed(config.seed)
        network = SimVP(config.sizes).to(self.device)
        x, y, _ = (part[:1].to(self.device) for part in self.train.batch(np.array([0])))
        self.costs = costs_of(network, x, lambda predicted: ((predicted - y) ** 2).mean())
        shape = self.parts["train"].benchmark.size
        self.fitting = Fitting(network, config, self.train, np.ones(shape), precision=self.precision)
        state = checkpoint.load(self.folder)
        if state is not None:
            self.fitting.restore(state["fitting"])
            self.seconds, self.partial = list(state["seconds"]), float(state["partial"])
        self._began = (time.monotonic(), self.fitting.step)
        run_id = None if state is None else state["run_id"]
        with open_run(self.home, self._name, self.key, run_id=run_id) as run:
            self._log_start(run)
            self._mark = time.monotonic()
            self.fitting.run(
                self._validate,
                on_batch=self._on_batch,
                on_epoch=lambda fitting, entry: self._on_epoch(run, entry),
                save=lambda fitting: self._save(run),
            )
            network.load_state_dict(self.fitting.best)
            self._tell("scoring the test clips", 0, 0)
            if self.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(self.device)
                run.log_metrics({"cuda_peak_bytes_per_clip": peak / config.batch_size}, 0)
            rows = self._rows(run, network)
            self._draw(run, network, pictures)
            version = self._register(run, network, rows) if register else ""
        return {"rows": [row.model_dump(mode="json") for row in rows], "run_id": run.run_id, "version": version}

    @property
    def _name(self) -> str:
        """Of the experiment and of the registered model; a gridded data set may have the benchmark's own name."""
        return f"benchmark-{self.config.data}"

    @property
    def _method(self) -> str:
        """The network in words, with what is not as in its preset."""
        usual = plan_benchmark(self.config.data, variant=self.config.variant, preset=self.config.preset).network
        changed = [f"{name} {value}" for name, value in self.config.network.items() if value != usual[name]]
        return ", ".join([NAMES[self.config.variant], *changed])

    def _validate(self, network: nn.Module) -> Score:
        """Mean squared error on the validation clips, which chooses; and the scores on the test clips, which do not."""
        self.partial += time.monotonic() - self._mark
        if self.fitting.epoch:
            self.seconds.append(self.partial)
        self.partial = 0.0
        self._tell(f"scoring epoch {self.fitting.epoch}", self.fitting.step, self._steps)
        chosen = squared_error(network, self.validation, self.fitting.autocast)
        shown = overall(score(network, self.test, self.fitting.autocast))
        more = {"validation_mse_per_frame": chosen * math.prod(self.validation.clips.benchmark.shape)}
        more |= {f"test_{name}": shown[name] for name in SCORES}
        self._mark = time.monotonic()
        return Score(loss=chosen, more=more)

    def _save(self, run: Run) -> None:
        now = time.monotonic()
        self.partial, self._mark = self.partial + now - self._mark, now
        state = {"run_id": run.run_id, "fitting": self.fitting.state(), "seconds": self.seconds}
        checkpoint.save(self.folder, {**state, "partial": self.partial})
        self._mark = time.monotonic()

    @property
    def _steps(self) -> int:
        return self.config.epochs * self.fitting.batches

    def _on_batch(self, fitting: Fitting, loss: float) -> None:
        since, first = self._began
        left = (time.monotonic() - since) / max(1, fitting.step - first) * (self._steps - fitting.step)
        words = f"epoch {fitting.epoch + 1}/{self.config.epochs}, loss {loss:.4f}"
        if fitting.history:
            words += f", validation MSE {fitting.history[-1]['validation_mse_per_frame']:.4g} per frame"
        self._tell(f"training: {words}, {left:.0f} s left", fitting.step, self._steps)

    def _on_epoch(self, run: Run, entry: Mapping[str, Any]) -> None:
        values = {name: float(value) for name, value in entry.items() if name != "epoch"}
        if entry["epoch"]:
            values |= {"epoch_seconds": self.seconds[-1], "minutes": sum(self.seconds) / 60}
            values["data_wait_seconds"] = self.fitting.waited
        run.log_metrics(values, int(entry["epoch"]))
        _log.info("epoch %d: validation MSE %.5g per frame", entry["epoch"], entry["validation_mse_per_frame"])

    def _log_start(self, run: Run) -> None:
        code = git_state()
        parts = {f"{part}_clips": clips.origin for part, clips in self.parts.items()}
        settings = {
            **self.config.model_dump(mode="json"),
            **parts,
            "parameters": self.costs.parameters,
            "multiply_adds": self.costs.multiply_adds,
            "memory_per_clip": self.costs.memory,
            "used_device": processor(self.device, self.precision),
            "used_precision": self.precision,
        }
        tags = {
            "benchmark": self.config.data,
            "git_commit": str(code["commit"]),
            "git_dirty": str(code["dirty"]).lower(),
        }
        run.log_settings(settings, tags)

    def _rows(self, run: Run, network: SimVP) -> list[Row]:
        """Rows of the benchmark's own horizon, then of the longer ones, by rollout."""
        fitting = self.fitting
        lowest = min(fitting.history, key=lambda entry: entry["test_mse_per_frame"])
        on_test = {name: lowest[f"test_{name}"] for name in SCORES}
        rows = []
        for batches in (self.test, *(ClipBatches(clips, self.config.test_clips) for clips in self.further)):
            longer = rolled_out(network, batches.clips.frames_out, self.device)
            scores = score(longer, batches, fitting.autocast), persistence(batches, self.device)
            rows.append(self._row(run, batches, "validation", overall(scores[0]), fitting.best_epoch))
            if batches is self.test:
                rows.append(self._row(run, batches, "test", on_test, int(lowest["epoch"])))
            rows.append(self._row(run, batches, "nothing", overall(scores[1])))
            log_scores(run, *scores, batches)
        run.log_json([row.model_dump(mode="json") for row in rows], "rows.json")
        return rows

    def _row(
        self,
        run: Run,
        batches: ClipBatches,
        selected: Selection,
        scores: Mapping[str, float],
        epoch: int | None = None,
    ) -> Row:
        trained = self.parts["train"]
        common = row_fields(batches, scores, train=f"clips: {trained.origin}", comparable=trained.comparable)
        common |= {"selected_on": selected, "source": f"run {run.run_id[:8]}"}
        if epoch is None:
            return Row(method="persistence", **common)
        return Row(
            method=self._method,
            epochs=self.config.epochs,
            chosen_epoch=epoch,
            updates_per_epoch=self.config.epoch_updates,
            parameters=self.costs.parameters,
            multiply_adds=self.costs.multiply_adds,
            memory=self.costs.memory,
            seconds_per_epoch=statistics.median(self.seconds),
            device=processor(self.device, self.precision),
            preset=self.config.preset,
            seed=self.config.seed,
            **common,
        )

    def _draw(self, run: Run, network: SimVP, folder: Path) -> None:
        """Pictures of test clips, and the learning curve; kept and logged."""
        files = clip_files(network, self.test, self._method)
        history = self.fitting.history
        trained = history[1:]  # the untrained network's error would squeeze all others
        curves = {part: [entry[f"{part}_mse_per_frame"] for entry in trained] for part in ("validation", "test")}
        epochs = [entry["epoch"] for entry in trained]
        curve = learning_curve(epochs, curves, ylabel="MSE per frame", best=self.fitting.best_epoch)
        files["learning_curve.png"] = png(curve)
        keep_files(run, files, folder)
        run.log_json(history, "history.json")

    def _register(self, run: Run, network: SimVP, rows: Sequence[Row]) -> str:
        """The model as one file under its contract, as a version in the registry."""
        spec, baselines = clip_contract(self.parts["train"])
        provenance = {
            "dataset": self.config.data,
            "title": self.parts["train"].benchmark.title,
            "training_key": self.key,
            "config": self.config.model_dump(mode="json"),
            "clips": {part: clips.origin for part, clips in self.parts.items()},
            "git": git_state(),
            "packages": package_versions(),
            "run_id": run.run_id,
        }
        made = Forecaster(spec=spec, network=network.to("cpu").eval(), baselines=baselines, provenance=provenance)
        file = self.folder / "forecaster.safetensors"
        made.save(file)
        best = rows[0].scores["mse_per_frame"]
        tags = {
            "training_key": self.key,
            "fingerprint": made.fingerprint,
            "test_mse_per_frame": f"{best:.5g} (epoch chosen on validation), on {rows[0].test}",
        }
        version = register_version(self.home, self._name, source=run.log_model(file), run_id=run.run_id, tags=tags)
        return version.label

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)
