"""Training on an archive: contract, baselines, windows and network from a plan, and what is kept of it in MLflow."""

import copy
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from pipelines.home import Home
from pipelines.pictures import learning_curve, sample_strip, skill_curve
from pipelines.progress import Progress
from pipelines.ranks import ALONE, Ranks
from pipelines.tracking import Origin, Run, Skill, card
from pipelines.training.calibration import Choice, Grams, choice, left_out_errors
from pipelines.training.combination import Combination, choose_says, combine, validation_grams
from pipelines.training.config import TrainConfig
from pipelines.training.device import choose_device, choose_precision
from pipelines.training.loop import Score, TrainingLoop
from pipelines.training.network import build_network, fit_start, variant_words
from pipelines.training.plan import MINIMUM, Plan, network_pays, too_few_windows
from pipelines.training.validation import Correction, Validation
from pipelines.windows import (
    Audit,
    Frames,
    Sequences,
    ShiftChoice,
    audit_table,
    choose_shifts,
    find_windows,
    missing_values,
    sufficient_share,
)
from simvp.base_forecast import BaseForecast
from simvp.contract import FrameSpec, Statistics, carried, known_faults
from simvp.errors import ConfigError
from simvp.inference import Forecaster
from simvp.scoring import Baselines, rain_limits
from simvp.uncertainty import Calibration

SKILL = "validation_skill.png"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """The version of a training, and how it came about.

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
        For each state: RMSE of the model and of the best baseline on the same windows, both fitted without them, and
        that baseline's name.
    missing
        A line for each variable of which frames lack values: how many, how much, and how many are left out for it.
    shifts
        By what training windows shift, and how that was chosen, in words.
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
    missing: tuple[str, ...] = ()
    shifts: str = ""


class GriddedTask:
    """Training on an archive by a plan, as `pipelines.training.run.Task`.

    Attributes
    ----------
    spec, rivals
        Contract and baselines while the network is trained and chosen: of the training period.
    final_spec, baselines
        Those that are saved: of all that lies before the held-out period.
    shifts, corrections
        By what windows shift in training, and what the logarithms miss, once that is known.
    """

    spec: FrameSpec
    rivals: Baselines
    final_spec: FrameSpec
    baselines: Baselines
    shifts: ShiftChoice
    corrections: dict[str, Correction]

    def __init__(
        self,
        home: Home,
        config: TrainConfig,
        ds: xr.Dataset,
        plan: Plan,
        commit: str,
        progress: Progress,
        statics: Mapping[str, xr.DataArray] = MappingProxyType({}),
    ) -> None:
        self.statics = statics
        self.home, self.config, self.plan, self.commit, self.progress = home, config, plan, commit, progress
        self.name = config.dataset
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.trained = network_pays(plan) if config.size == "auto" else config.size != "none"
        # Nothing at or after the first held-out target is read: a value that was never seen cannot leak.
        end = int(np.searchsorted(ds["time"].values, plan.intervals("held_out")[0][0]))
        self.times, self.present = ds["time"].values, np.asarray(ds["present"].values, bool)
        self.ds = ds.isel(time=slice(0, end))

    @property
    def variant(self) -> str:
        """Member of the family and its size, or that there is no network."""
        return variant_words(self.config) if self.trained else "base forecast only"

    def begin(self, *, fresh: bool, ranks: Ranks = ALONE) -> None:
        """Contract, baselines and windows, then the network and its loop; what is fitted is fitted by the first."""
        self.progress("reading the archive", 0, 0)
        if ranks.first:
            self._fit()
        self.spec, self.shifts = ranks.once(lambda: (self.spec, self.shifts))
        windows = self._windows(ranks)
        network = build_network(self.spec, self.config, self.shifts.shifts)
        if fresh and ranks.first:
            fit_start(network, windows["train"], self.spec, 4 * self.config.batch_size)
        network = network.to(self.device)
        # Without a network to be trained, the linear start of one is scored once, and left out of the model.
        config = self.config if self.trained else self.config.model_copy(update={"epochs": 0})
        self.loop = TrainingLoop(
            network, config, windows["train"], self.spec.weights, precision=self.precision, ranks=ranks
        )
        if ranks.first:
            self.validation = Validation(
                windows["validation"], self.spec, self.rivals, self.ds, self._blocks(windows["validation"].inits)
            )

    def validate(self, network: nn.Module) -> Score:
        """Loss as in training, and the RMSE of each state, on the validation windows."""
        return self.validation.score(network, self.loop.autocast)

    def score_words(self, entry: Mapping[str, Any]) -> str:
        """RMSE of each state beside its best baseline's."""
        return ", ".join(
            f"{state} {row['rmse']:.4g} ({row['best_baseline']} {row['baseline_rmse']:.4g})"
            for state, row in self.validation.summary(entry).items()
        )

    def log_start(self, run: Run) -> None:
        """Data, settings and what follows from them: plan, windows, contract and baselines."""
        settings = {
            **self.config.model_dump(mode="json"),
            "plan": self.plan.model_dump(mode="json", exclude={"text", "counts", "periods"}),
            "device": str(self.device),
            "precision": self.precision,
            "cycle": self.spec.cycle,
            "lag": self.spec.lag,
            **self.shifts.shifts._asdict(),
            "parameters": sum(p.numel() for p in self.loop.network.parameters()),
        }
        run.log_settings(settings, {"dataset": self.config.dataset, "archive_commit": self.commit})
        run.log_data(self.config.dataset, self.home.archive(self.config.dataset), self.commit)
        run.log_text(f"{self.plan.text}\nshifts      {self.shifts.text}", "plan.txt")
        run.log_json([audit.row() for audit in self.audits], "windows.json")
        run.log_text("\n".join([audit_table(self.audits), *(f"* {line}" for line in self.missing)]), "windows.md")
        run.log_json(self.final_spec.to_header(), "contract.json")
        run.log_json(self.validation.reference, "baselines.json")
        scores = self.validation.reference.items()
        run.log_metrics({f"baseline_rmse_{s}_{name}": rmse for s, row in scores for name, rmse in row.items()}, 0)

    def finish(self, run: Run) -> None:
        """What the logarithms miss; base, correction and mixture; learning curve, samples, and the scores as tables."""
        loop, history = self.loop, self.loop.history
        self.corrections = self.validation.factors(loop.network, loop.autocast)
        factors = {name: correction.factors for name, correction in self.corrections.items()}
        self.spec, self.final_spec = self.spec.corrected(factors), self.final_spec.corrected(factors)
        loop.network.to("cpu").eval()
        self._combine()
        self.progress("saving the model", loop.step, loop.step)
        if self.trained:
            curves = {n: [entry.get(f"{n}_loss", math.nan) for entry in history] for n in ("training", "validation")}
            figure = learning_curve([entry["epoch"] for entry in history], curves, best=loop.best_epoch)
            run.log_figure(figure, "learning_curve.png")
            for state, (truth, forecast) in self.validation.sample(loop.network).items():
                run.log_figure(sample_strip(truth, forecast), f"sample_{state}.png")
        run.log_figure(skill_curve(self.combination.table(self.spec), title="validation blocks"), SKILL)
        run.log_json(history, "history.json")
        run.log_json(self._summary(), "validation.json")
        run.log_json(self.combination.to_json(), "combination.json")
        run.log_json({name: asdict(c) for name, c in self.corrections.items()}, "corrections.json")

    def package(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        """As fitted on all that is known before the held-out period; with data, periods and the validation scores."""
        summary, periods = self._summary(), self.plan.periods
        provenance = {
            "dataset": self.config.dataset,
            "archive_commit": self.commit,
            "archive_snapshot": str(self.ds.attrs.get("archive_snapshot", "")),
            "periods": periods.model_dump(mode="json"),
            "epochs": self.loop.epoch,
            "best_epoch": self.loop.best_epoch,
            "validation": summary,
            "combination": self.combination.to_json(),
            "corrections": {name: asdict(correction) for name, correction in self.corrections.items()},
            "shifts": self.shifts.text,
        }
        if "known_commits" in self.ds.attrs:
            provenance["known_commits"] = dict(self.ds.attrs["known_commits"])
        tags = {"archive_commit": self.commit, "held_out": " .. ".join(periods.held_out)}
        for state, row in summary.items():
            baseline = f"{row['best_baseline']} {row['baseline_rmse']:.4g}"
            tags[f"validation_{state}"] = f"RMSE {row['rmse']:.4g} {row['units']}; {baseline}; {row['n']} maps"
        parts = {
            "spec": self.final_spec,
            "network": self._network,
            "baselines": self.baselines,
            "base": self.base,
            "correction": self.combination.correction,
            "mixture": self.combination.mixture,
            "calibration": self.calibration,
        }
        return parts, provenance, tags

    def example(self) -> xr.Dataset:
        """The frames before the first init time of the validation, and that itself."""
        last = int(self.inits["validation"][0]) + 1
        return self.ds.isel(time=slice(last - self.plan.frames_in, last))

    def page(self, model: Forecaster, run_id: str) -> str:
        """The model card, with the skill on the validation blocks."""
        skill = Skill(
            table=self.combination.table(self.spec), on="the validation blocks, left out of every fit", picture=SKILL
        )
        return card(model, Origin.of(self.config.dataset, self.ds.attrs), skill=skill, run_id=run_id)

    def outcome(self) -> dict[str, Any]:
        """The fields of `TrainReport` that only a new version has."""
        return {
            "audit": tuple(audit.row() for audit in self.audits),
            "history": tuple(self.loop.history),
            "best_epoch": self.loop.best_epoch,
            "validation": {
                state: {**row, "baselines": dict(self.validation.reference[state])}
                for state, row in self._summary().items()
            },
            "missing": tuple(self.missing),
            "shifts": self.shifts.text,
        }

    @property
    def _network(self) -> nn.Module | None:
        return self.loop.network if self.trained else None

    def _combine(self) -> None:
        """Fit the base, twice: without the validation blocks, on which correction and mixture are fitted; with them."""
        train, reference = self.inits["train"], self.inits["reference"]
        chosen = self._fit_base(self.rivals, self.statistics.training, train)
        own = Forecaster(spec=self.spec, network=self._network, baselines=self.rivals, base=chosen)  # type: ignore[arg-type]
        inits = self.validation.windows.inits
        names, grams = validation_grams(own, self.ds, self.times[inits], self.progress)
        blocks = self.validation.blocks
        slots = self.plan.step.index(self.times, self.times[0])[inits]
        self.combination: Combination = combine(
            names, self.spec.states, grams, slots, blocks, judged=self.validation.judged, mixed=self.config.mixture
        )
        if rain_limits(self.ds, self.rivals.moving, self.plan.step):
            own = replace(own, correction=self.combination.correction, mixture=self.combination.mixture)
            says = choose_says(own, self.ds, self.times[inits], blocks, self.progress)
            self.combination = replace(self.combination, sharp=says)
        known = {choice(self.spec, self.loop.best_epoch): (names, grams)}
        self._calibrate(chosen, known)
        self.base = self._fit_base(self.baselines, self.statistics, reference, chosen)

    def _calibrate(self, base: BaseForecast, known: Mapping[Choice, Grams]) -> None:
        """What the errors on each validation block say, forecast by what the other blocks would have chosen."""
        loop, inits = self.loop, self.validation.windows.inits
        network = copy.deepcopy(loop.network).to(self.device)

        def chosen_without(block: int) -> Forecaster:
            network.load_state_dict(loop.left_out[block]["weights"])
            corrections = self.validation.factors(network, loop.autocast, without=block)
            factors = {name: correction.factors for name, correction in corrections.items()}
            return Forecaster(
                spec=self.spec.corrected(factors),
                network=network.eval() if self.trained else None,  # type: ignore[arg-type]
                baselines=self.rivals,
                base=base,
            )

        errors = left_out_errors(
            chosen_without,
            {block: kept["epoch"] for block, kept in loop.left_out.items()},
            self.ds,
            self.times[inits],
            self.validation.blocks,
            known=known,
            mixed=self.config.mixture,
            progress=self.progress,
        )
        self.calibration = (
            None if errors is None else Calibration.fit(errors, self.spec, self.combination.by_lead["model"] ** 2)
        )

    def _blocks(self, inits: np.ndarray) -> np.ndarray:
        """Number of the validation block that the targets of each init time lie in."""
        first, blocks = self.times[inits + 1], np.zeros(len(inits), int)
        for number, (start, end) in enumerate(self.plan.intervals("validation")):
            blocks[(first >= start) & (first <= end)] = number
        return blocks

    def _fit_base(
        self, baselines: Baselines, statistics: Statistics, inits: np.ndarray, chosen: BaseForecast | None = None
    ) -> BaseForecast:
        self.progress("fitting the base forecast", 0, 0)
        return BaseForecast.fit(
            self.ds,
            baselines=baselines,
            statistics=statistics,
            init_times=self.times[inits],
            frames_in=self.plan.frames_in,
            weights=self.spec.weights,
            choices=None if chosen is None else chosen.choices,
            known=self.spec.known_channels,
        )

    def _summary(self) -> dict[str, dict[str, Any]]:
        """The model beside the best baseline, and what it is made of, on the validation blocks."""
        rows = self.validation.summary(self.loop.best_entry)
        for state, row in rows.items():
            rmse = self.combination.rmse[state]
            more = {f"{name}_rmse": rmse[name] for name in ("base", "network", "unmixed") if name in rmse}
            row |= {"rmse": rmse["model"], **more}
        return rows

    def _fit(self) -> None:
        """Contract, baselines and shifts of the training period; baselines and contract of the saved model."""
        plan, config = self.plan, self.config
        names = [str(name) for name in self.ds.data_vars]
        train, reference = plan.intervals("train"), plan.intervals("reference")
        self.statistics = statistics = Statistics(
            self.ds, plan.step, train=train, reference=reference, log1p=config.log1p
        )
        self.spec = spec = FrameSpec.fit(
            self.ds.assign(self.statics),
            frames_in=plan.frames_in,
            frames_out=plan.frames_out,
            train=train,
            states=names,
            statics=list(self.statics),
            known=carried(self.ds),
            step=plan.step,
            cycle=plan.cycle,
            log1p=config.log1p,
            bounds=config.bounds,
            archive_commit=self.commit,
            statistics=statistics,
            missing_share=config.missing_share,
        )
        present = self.times[: self.ds.sizes["time"]][self.present[: self.ds.sizes["time"]]]
        remedy = "train on what it covers (periods), or without it (known)"
        if faults := known_faults(spec.known_channels, self.ds, present, remedy):
            raise ConfigError(f"Training on {self.config.dataset}", faults)
        # On validation, model and baselines are compared that have seen the same frames.
        self.rivals, self.baselines = (
            Baselines.fit(
                self.ds,
                variables=names,
                step=plan.step,
                cycle=spec.cycle,
                leads=plan.frames_out,
                period=period,
                weights=spec.weights,
                statistics=known,
            )
            for period, known in ((train, statistics.training), (reference, statistics))
        )
        self.final_spec = spec.fitted_on_all(statistics)
        self.shifts = choose_shifts(spec, statistics, config.drift)
        _log.info("shifts: %s", self.shifts.text)

    def _windows(self, ranks: Ranks) -> dict[str, Sequences]:
        """Windows to train on and to score, with their audit."""
        plan, config, spec = self.plan, self.config, self.spec
        frames = Frames(self.ds, spec, memory=config.memory_mib << 20, ranks=ranks)
        axis = self.times, self.present, plan.step, plan.frames_in, plan.frames_out
        # Of the held-out frames only the time axis is known here.
        known, ahead = len(frames.usable), len(self.times) - len(frames.usable)
        complete = np.concatenate([frames.usable, np.ones(ahead, bool)])
        self.missing = missing_values(frames, self.present[:known], spec)
        for line in self.missing:
            _log.info("%s", line)
        self.audits: list[Audit] = []
        self.inits = {"reference": find_windows(*axis, plan.intervals("reference"), "reference", complete=complete)[0]}
        windows = {}
        for part in MINIMUM:
            inits, audit = find_windows(*axis, plan.intervals(part), part, complete=complete)
            self.audits.append(audit)
            if part == "validation" and len(inits) > config.validation_windows:
                inits = inits[np.linspace(0, len(inits) - 1, config.validation_windows).round().astype(int)]
            self.inits[part] = inits
            windows[part] = Sequences(frames, inits, spec)
        counts = {audit.part: audit.used for audit in self.audits}
        if any(counts[part] < least for part, least in MINIMUM.items()):
            raise too_few_windows(
                plan.frames_in,
                plan.frames_out,
                counts,
                frames=int((self.present & complete).sum()),
                lost={audit.part: audit.dropped["nan"] for audit in self.audits},
                missing=self.missing,
                share=sufficient_share(frames, self.present[:known]),
            )
        return windows
