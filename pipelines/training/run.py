"""One training: contract, baselines, windows and network from a plan, the loop, and the registered version."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipelines.home import Home
from pipelines.pictures import learning_curve, sample_strip
from pipelines.tracking import Run, git_state, open_run, package_versions, register_version
from pipelines.training import checkpoint
from pipelines.training.config import OPERATIONAL, TrainConfig
from pipelines.training.device import choose_device, choose_precision
from pipelines.training.loop import Fitting
from pipelines.training.network import build_network, fit_start
from pipelines.training.plan import MINIMUM, Plan, too_few_windows
from pipelines.training.validation import Validation
from pipelines.windows import Audit, Frames, Sequences, audit_table, find_windows
from simvp.contract import FrameSpec, Statistics
from simvp.inference import Forecaster
from simvp.scoring import Baselines

_log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a training made, or found.

    Parameters
    ----------
    dataset, version, fingerprint, training_key
        The registered version, ``simvp-<dataset>`` number `version`, and what it is.
    run_id, experiment_id
        Of the MLflow run.
    existing
        Whether the version was there already; then the fields below `plan` are empty.
    archive_commit
        That was read.
    plan
        Step, T, T', periods; `plan.text` says it in words.
    audit
        One row per part: offered, used, and dropped by reason.
    history
        One entry per epoch: losses, learning rate, validation RMSE.
    best_epoch
        Whose weights were kept.
    validation
        For each state: RMSE of the model and of the best baseline on the same windows, and that baseline's name.
    """

    dataset: str
    version: str
    fingerprint: str
    training_key: str
    run_id: str
    experiment_id: str
    existing: bool
    archive_commit: str
    plan: Plan
    audit: tuple[dict[str, Any], ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    best_epoch: int | None = None
    validation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Training:
    """One training, from the plan to the version."""

    def __init__(
        self,
        home: Home,
        config: TrainConfig,
        ds: xr.Dataset,
        plan: Plan,
        commit: str,
        key: str,
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self.home, self.config, self.plan, self.commit, self.key = home, config, plan, commit, key
        self.folder, self.progress = folder, progress
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        # Nothing at or after the first held-out target is read: a value that was never seen cannot leak.
        end = int(np.searchsorted(ds["time"].values, plan.intervals("held_out")[0][0]))
        self.times, self.present = ds["time"].values, np.asarray(ds["present"].values, bool)
        self.ds = ds.isel(time=slice(0, end))

    def run(self) -> TrainReport:
        """Train, track and register."""
        self._tell("reading the archive", 0, 0)
        spec, baselines, windows = self._prepare()
        self.spec, self.baselines = spec, baselines
        state = checkpoint.load(self.folder)
        network = build_network(spec, self.config)
        if state is None:
            fit_start(network, windows["train"], spec, 4 * self.config.batch_size)
        network = network.to(self.device)
        self.fitting = Fitting(network, self.config, windows["train"], spec.weights, precision=self.precision)
        if state is not None:
            self.fitting.restore(state["fitting"])
        self.validation = Validation(windows["validation"], spec, baselines, self.ds)
        self._clock = (time.monotonic(), self.fitting.step)
        with open_run(
            self.home, self.config.dataset, self.key, run_id=None if state is None else state["run_id"]
        ) as run:
            self._log_start(run)
            self._epoch_clock = time.monotonic()
            self.fitting.run(
                lambda average: self.validation.score(average, self.fitting.autocast),
                on_batch=self._on_batch,
                on_epoch=lambda fitting, entry: self._on_epoch(run, entry),
                save=lambda fitting: checkpoint.save(self.folder, {"run_id": run.run_id, "fitting": fitting.state()}),
            )
            self._tell("saving the model", self.fitting.step, self.fitting.step)
            network.load_state_dict(self.fitting.best)
            forecaster = Forecaster(
                spec=spec, network=network.to("cpu").eval(), baselines=baselines, provenance=self._provenance(run)
            )
            file = self.folder / "forecaster.safetensors"
            forecaster.save(file)
            self._log_end(run, forecaster)
            # Inside the run: MLflow looks the logged model up at the address of the process.
            version = register_version(
                self.home,
                self.config.dataset,
                source=run.log_model(file),
                run_id=run.run_id,
                tags=self._version_tags(forecaster),
            )
        return TrainReport(
            dataset=self.config.dataset,
            version=version.version,
            fingerprint=forecaster.fingerprint,
            training_key=self.key,
            run_id=run.run_id,
            experiment_id=run.experiment_id,
            existing=False,
            archive_commit=self.commit,
            plan=self.plan,
            audit=tuple(audit.row() for audit in self.audits),
            history=tuple(self.fitting.history),
            best_epoch=self.fitting.best_epoch,
            validation=self._summary(),
        )

    def _prepare(self) -> tuple[FrameSpec, Baselines, dict[str, Sequences]]:
        """Contract, baselines and windows; the audit on the way."""
        plan, config = self.plan, self.config
        names = [str(name) for name in self.ds.data_vars]
        train, reference = plan.intervals("train"), plan.intervals("reference")
        statistics = Statistics(self.ds, plan.step, train=train, reference=reference, log1p=config.log1p)
        spec = FrameSpec.fit(
            self.ds,
            frames_in=plan.frames_in,
            frames_out=plan.frames_out,
            train=train,
            states=names,
            step=plan.step,
            cycle=plan.cycle,
            log1p=config.log1p,
            bounds=config.bounds,
            archive_commit=self.commit,
            statistics=statistics,
        )
        baselines = Baselines.fit(
            self.ds,
            variables=names,
            step=plan.step,
            cycle=spec.cycle,
            leads=plan.frames_out,
            period=reference,
            weights=spec.weights,
            statistics=statistics,
        )
        frames = Frames(self.ds, spec, memory=config.memory_mib << 20)
        # Of the held-out frames only the time axis is known here.
        complete = np.concatenate([frames.complete, np.ones(len(self.times) - len(frames.complete), bool)])
        self.audits: list[Audit] = []
        windows = {}
        for part in MINIMUM:
            inits, audit = find_windows(
                self.times,
                self.present,
                plan.step,
                plan.frames_in,
                plan.frames_out,
                plan.intervals(part),
                part,
                complete=complete,
            )
            self.audits.append(audit)
            if part == "validation" and len(inits) > config.validation_windows:
                inits = inits[np.linspace(0, len(inits) - 1, config.validation_windows).round().astype(int)]
            windows[part] = Sequences(frames, inits, spec)
        counts = {audit.part: audit.used for audit in self.audits}
        if any(counts[part] < least for part, least in MINIMUM.items()):
            usable = int((self.present & complete).sum())
            raise too_few_windows(plan.frames_in, plan.frames_out, counts, frames=usable)
        return spec, baselines, windows

    def _summary(self) -> dict[str, dict[str, Any]]:
        return self.validation.summary(self.fitting.best_entry)

    def _provenance(self, run: Run) -> dict[str, Any]:
        return {
            "dataset": self.config.dataset,
            "archive_commit": self.commit,
            "training_key": self.key,
            "periods": self.plan.periods.model_dump(mode="json"),
            "config": self.config.model_dump(mode="json", exclude=set(OPERATIONAL)),
            "epochs": self.fitting.epoch,
            "best_epoch": self.fitting.best_epoch,
            "validation": self._summary(),
            "git": git_state(),
            "packages": package_versions(),
            "run_id": run.run_id,
        }

    def _log_start(self, run: Run) -> None:
        code = git_state()
        settings = {
            **self.config.model_dump(mode="json"),
            "plan": self.plan.model_dump(mode="json", exclude={"text", "counts", "periods"}),
            "device": str(self.device),
            "precision": self.precision,
            "cycle": self.spec.cycle,
            "lag": self.spec.lag,
            "parameters": sum(p.numel() for p in self.fitting.network.parameters()),
        }
        tags = {
            "dataset": self.config.dataset,
            "archive_commit": self.commit,
            "git_commit": str(code["commit"]),
            "git_dirty": str(code["dirty"]).lower(),
            "mlflow.source.git.commit": str(code["commit"]),
        }
        run.log_settings(settings, tags)
        run.log_data(self.config.dataset, self.home.archive(self.config.dataset), self.commit)
        run.log_text(self.plan.text, "plan.txt")
        run.log_json([audit.row() for audit in self.audits], "windows.json")
        run.log_text(audit_table(self.audits), "windows.md")
        run.log_json(self.spec.to_header(), "contract.json")
        run.log_json(self.validation.reference, "baselines.json")
        flat = {
            f"baseline_rmse_{s}_{n}": value
            for s, scores in self.validation.reference.items()
            for n, value in scores.items()
        }
        run.log_metrics(flat, 0)
        for entry in self.fitting.history:
            self._log_epoch(run, entry)

    def _log_epoch(self, run: Run, entry: Mapping[str, Any], **more: float) -> None:
        values = {name: float(value) for name, value in entry.items() if name != "epoch"}
        run.log_metrics({**values, **more}, int(entry["epoch"]))

    def _log_end(self, run: Run, forecaster: Forecaster) -> None:
        history = self.fitting.history
        curves = {n: [entry.get(f"{n}_loss", float("nan")) for entry in history] for n in ("training", "validation")}
        best = self.fitting.best_epoch
        figure = learning_curve([entry["epoch"] for entry in history], curves, best=best)
        run.log_figure(figure, "learning_curve.png")
        for state, (truth, forecast) in self.validation.sample(forecaster.network).items():
            run.log_figure(sample_strip(truth, forecast), f"sample_{state}.png")
        run.log_json(history, "history.json")
        run.log_json(self._summary(), "validation.json")
        run.log_settings({}, {"fingerprint": forecaster.fingerprint, "stopped": self.fitting.stopped})

    def _version_tags(self, forecaster: Forecaster) -> dict[str, str]:
        tags = {
            "training_key": self.key,
            "fingerprint": forecaster.fingerprint,
            "archive_commit": self.commit,
            "held_out": " .. ".join(self.plan.periods.held_out),
        }
        for state, row in self._summary().items():
            tags[f"validation_{state}"] = (
                f"RMSE {row['rmse']:.4g} {row['units']}; {row['best_baseline']} {row['baseline_rmse']:.4g}"
            )
        return tags

    def _on_batch(self, fitting: Fitting, loss: float) -> None:
        if self.progress is None:
            return
        steps = self.config.epochs * fitting.batches
        since, first = self._clock
        each = (time.monotonic() - since) / max(1, fitting.step - first)
        left = each * (steps - fitting.step)
        words = f"epoch {fitting.epoch + 1}/{self.config.epochs}, loss {loss:.4f}"
        if fitting.history:
            words += f", validation {self._score_words(fitting.history[-1])}"
        self._tell(f"training: {words}, {left:.0f} s left", fitting.step, steps)

    def _on_epoch(self, run: Run, entry: Mapping[str, Any]) -> None:
        seconds = time.monotonic() - self._epoch_clock
        updates = 0 if not entry["epoch"] else self.fitting.batches
        speed = {
            "windows_per_second": updates * self.config.batch_size / max(seconds, 1e-9),
            "epoch_seconds": seconds,
            "data_wait_seconds": self.fitting.waited,
        }
        self._log_epoch(run, entry, **speed if updates else {})
        self._epoch_clock = time.monotonic()
        _log.info("epoch %d: validation %s", entry["epoch"], self._score_words(entry))

    def _score_words(self, entry: Mapping[str, Any]) -> str:
        rows = self.validation.summary(entry)
        return ", ".join(
            f"{state} {row['rmse']:.4g} ({row['best_baseline']} {row['baseline_rmse']:.4g})"
            for state, row in rows.items()
        )

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)
