"""Training on the clips of a benchmark: scores after every epoch, pictures, and rows for the report."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from datasets.video import Clips, Part
from pipelines.benchmark.clip_batches import ClipBatches, clip_contract
from pipelines.benchmark.config import BenchmarkConfig, plan_benchmark
from pipelines.benchmark.costs import costs_of
from pipelines.benchmark.rows import SCORES, Row, Selection
from pipelines.benchmark.scores import (
    NAMES,
    clip_files,
    compare,
    keep_files,
    processor,
    rolled_out,
    row_fields,
    score,
    squared_error,
)
from pipelines.pictures import learning_curve, png
from pipelines.progress import Progress
from pipelines.ranks import ALONE, Ranks
from pipelines.tracking import Origin, Run, card
from pipelines.training import Score, TrainingLoop, choose_precision
from simvp.inference import Forecaster
from simvp.networks import SimVP
from simvp.scoring import overall


class VideoTask:
    """Training on the clips of a benchmark, as `pipelines.training.run.Task`; `rows` come at its end."""

    def __init__(
        self,
        config: BenchmarkConfig,
        parts: Mapping[Part, Clips],
        further: Sequence[Clips],
        device: torch.device,
        pictures: Path,
        progress: Progress,
    ) -> None:
        self.parts, self.further, self.device = parts, further, device
        self.pictures, self.progress = pictures, progress
        self.train = ClipBatches(parts["train"])
        self.validation = ClipBatches(parts["validation"], config.validation_clips)
        self.test = ClipBatches(parts["test"], config.test_clips)
        updates = config.epoch_updates or max(1, len(self.train) // config.batch_size)
        self.config = config.model_copy(update={"epoch_updates": updates})
        self.precision = choose_precision(config.precision, device)
        self.name = f"benchmark-{config.data}"  # a gridded data set may have the benchmark's own name
        self.rows: list[Row] = []

    def begin(self, *, fresh: bool, ranks: Ranks = ALONE) -> None:
        """The network, what it costs, and its loop."""
        torch.manual_seed(self.config.seed)
        self.network = SimVP(self.config.sizes).to(self.device)
        x, y, _ = (part[:1].to(self.device) for part in self.train.batch(np.array([0])))
        self.costs = costs_of(self.network, x, lambda predicted: ((predicted - y) ** 2).mean())
        weights = np.ones(self.parts["train"].benchmark.size)
        self.loop = TrainingLoop(self.network, self.config, self.train, weights, precision=self.precision, ranks=ranks)

    @property
    def variant(self) -> str:
        """The network in words, with what is not as in its preset."""
        preset = plan_benchmark(self.config.data, variant=self.config.variant, preset=self.config.preset).network
        changed = [f"{name} {value}" for name, value in self.config.network.items() if value != preset[name]]
        return ", ".join([NAMES[self.config.variant], *changed])

    def validate(self, network: nn.Module) -> Score:
        """Mean squared error on the validation clips, which chooses; and the scores on the test clips, which do not."""
        loop = self.loop
        self.progress(f"scoring epoch {loop.epoch}", loop.step, self.config.epochs * loop.batches)
        chosen = squared_error(network, self.validation, loop.autocast)
        shown = overall(score(network, self.test, loop.autocast))
        more = {"validation_mse_per_frame": chosen * math.prod(self.validation.clips.benchmark.shape)}
        return Score(loss=chosen, more=more | {f"test_{name}": shown[name] for name in SCORES})

    def score_words(self, entry: Mapping[str, Any]) -> str:
        """The error that chooses."""
        return f"MSE {entry['validation_mse_per_frame']:.4g} per frame"

    def log_start(self, run: Run) -> None:
        """Settings, clips, and what the network costs."""
        settings = {
            **self.config.model_dump(mode="json"),
            **{f"{part}_clips": clips.origin for part, clips in self.parts.items()},
            "parameters": self.costs.parameters,
            "multiply_adds": self.costs.multiply_adds,
            "memory_per_clip": self.costs.memory,
            "used_device": processor(self.device, self.precision),
            "used_precision": self.precision,
        }
        run.log_settings(settings, {"benchmark": self.config.data})

    def finish(self, run: Run) -> None:
        """Scores of the best epoch on the test clips; pictures of them and the learning curve, kept and logged."""
        self.progress("scoring the test clips", 0, 0)
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
            run.log_metrics({"cuda_peak_bytes_per_clip": peak / self.config.batch_size}, 0)
        self._score(run)
        files = clip_files(self.network, self.test, self.variant)
        history = self.loop.history
        trained = history[1:]  # the untrained network's error would squeeze all others
        curves = {part: [entry[f"{part}_mse_per_frame"] for entry in trained] for part in ("validation", "test")}
        epochs = [entry["epoch"] for entry in trained]
        curve = learning_curve(epochs, curves, ylabel="MSE per frame", best=self.loop.best_epoch)
        files["learning_curve.png"] = png(curve)
        keep_files(run, files, self.pictures)
        run.log_json(history, "history.json")

    def package(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        """The contract of the protocol; with where the clips come from, and the error on the test clips."""
        provenance = {
            "dataset": self.config.data,
            "title": self.parts["train"].benchmark.title,
            "clips": {part: clips.origin for part, clips in self.parts.items()},
        }
        best = self.rows[0]
        words = f"{best.scores['mse_per_frame']:.5g} (epoch chosen on validation), on {best.test}"
        spec, baselines = clip_contract(self.parts["train"])
        parts = {"spec": spec, "network": self.network.to("cpu").eval(), "baselines": baselines}
        return parts, provenance, {"test_mse_per_frame": words}

    def example(self) -> xr.Dataset:
        """The first clip of the test."""
        return self.test.clips.labelled(0).isel(time=slice(0, self.test.clips.frames_in))

    def page(self, model: Forecaster, run_id: str) -> str:
        """The model card, without scores: those of a benchmark are compared in its report."""
        about = self.parts["train"].benchmark
        return card(model, Origin(dataset=about.name, title=about.title, source=about.source, licence=about.licence))

    def _score(self, run: Run) -> None:
        """Rows of the benchmark's own horizon, then of the longer ones, by rollout."""
        loop = self.loop
        lowest = min(loop.history, key=lambda entry: entry["test_mse_per_frame"])
        on_test = {name: lowest[f"test_{name}"] for name in SCORES}
        for batches in (self.test, *(ClipBatches(clips, self.config.test_clips) for clips in self.further)):
            longer = rolled_out(self.network, batches.clips.frames_out, self.device)
            ours, still = compare(run, longer, batches, loop.autocast)
            self.rows.append(self._row(run, batches, "validation", ours, loop.best_epoch))
            if batches is self.test:
                self.rows.append(self._row(run, batches, "test", on_test, int(lowest["epoch"])))
            self.rows.append(self._row(run, batches, "nothing", still))
        run.log_json([row.model_dump(mode="json") for row in self.rows], "rows.json")

    def _row(
        self, run: Run, batches: ClipBatches, selected: Selection, scores: Mapping[str, float], epoch: int | None = None
    ) -> Row:
        trained = self.parts["train"]
        common = row_fields(batches, scores, train=f"clips: {trained.origin}", comparable=trained.comparable)
        common |= {"selected_on": selected, "source": f"run {run.run_id[:8]}"}
        if epoch is None:
            return Row(method="persistence", **common)
        return Row(
            method=self.variant,
            epochs=self.config.epochs,
            chosen_epoch=epoch,
            updates_per_epoch=self.config.epoch_updates,
            **vars(self.costs),
            seconds_per_epoch=statistics.median(self.loop.seconds),
            device=processor(self.device, self.precision),
            preset=self.config.preset,
            seed=self.config.seed,
            **common,
        )
