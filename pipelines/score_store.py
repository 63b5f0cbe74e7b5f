"""Scores of the forecasts of a store: made as these come true, and again where they do not hold any more.

They do not where the archive has changed below them, or where they were made by an older rule.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from datasets.store import Store, disk
from datasets.workers import Shared, Workers
from pipelines.evaluation import (
    MOVING,
    OWN,
    Thresholds,
    batch_size,
    chunks,
    lies_in,
    limits_of,
    score_alone,
    score_issued,
    score_pictures,
    shape_pictures,
    taken_over,
)
from pipelines.issuing import missing_history
from pipelines.pictures import png, sample_strip, skill_curve
from pipelines.progress import Progress
from pipelines.tracking import Makers
from simvp.coords import Step
from simvp.times import calendar_of, parse_times, show_time

if TYPE_CHECKING:
    from simvp.inference import Forecaster

_log = logging.getLogger(__name__)
_MOST_STRIPS = 4
_MOST_SHAPES = 24  # init times, of which the spectra are the mean
# Of a squared error: how a network rounds depends on how many init times it is given at a time.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class ScoringRun:
    """Forecasts, archive, their models, and who scores them; `gone` are those that it was said of."""

    dataset: str
    forecasts: xr.Dataset
    ds: xr.Dataset
    step: Step
    models: Makers
    batch: int
    progress: Progress
    thresholds: Thresholds
    workers: Workers | None = None
    gone: list[tuple[str, str]] = field(default_factory=list)

    @property
    def inits(self) -> np.ndarray:
        return self.forecasts["init_time"].values

    def valid(self, inits: np.ndarray) -> np.ndarray:
        """Valid times (I, L); those in the store lie in a file for each init time."""
        return self.step.shift(inits[:, None], np.arange(1, self.forecasts.sizes["lead_time"] + 1))

    def positions(self, scores: xr.Dataset) -> np.ndarray:
        """Where the init times of scores are among the forecasts; -1 where they are not."""
        return self.forecasts.indexes["init_time"].get_indexer(scores.indexes["init_time"])

    def moving(self, positions: np.ndarray) -> tuple[str, ...]:
        """Variables that one of the models of some forecasts carries on along their motion."""
        models = [self._model(maker) for maker in dict.fromkeys(self._makers(positions))]
        return tuple(dict.fromkeys(name for model in models if model for name in model.baselines.moving))

    def sure(self, positions: np.ndarray) -> bool:
        """Whether one of the models of some forecasts has members and bounds."""
        models = [self._model(maker) for maker in dict.fromkeys(self._makers(positions))]
        return any(model is not None and model.calibration is not None for model in models)

    def has_limits(self, scores: xr.Dataset) -> bool:
        """Whether the thresholds in scores are those that are wanted."""
        wanted = limits_of(self.forecasts, moving_in(scores), self.step, self.thresholds)
        if "events" not in scores or "sum" not in scores.dims:
            return not wanted and "events" not in scores
        limits = scores["threshold"].load()
        found = {
            name: tuple(edge for edge in row if np.isfinite(edge))
            for name, row in zip(scores["thresholded"].values.tolist(), limits.values.tolist(), strict=True)
        }
        return found == {name: tuple(map(float, edges)) for name, edges in wanted.items()}

    def held(self, scores: xr.Dataset, spans: list[tuple[str, str]] | None) -> xr.Dataset:
        """Those of some scores that hold, and could not be made again: of models that are gone."""
        positions, moving = self.positions(scores), tuple(scores.attrs.get(MOVING, ()))
        gone = positions >= 0
        gone[gone] = [self._model(maker) is None for maker in self._makers(positions[gone])]
        stale = self._touched(positions[gone], spans, moving)
        return scores.isel(init_time=gone & ~np.isin(positions, stale))

    def append(
        self, store: Store, positions: np.ndarray, state: Mapping[str, Any], held: xr.Dataset | None = None
    ) -> int:
        """Score these forecasts and commit them batch by batch; `held` are scores that are taken over."""
        if store.exists:
            before = store.dataset()
            moving, sure = moving_in(before), has_ensembles(before)
        else:
            sure = self.sure(positions)
            moving = tuple(dict.fromkeys((*(() if held is None else moving_in(held)), *self.moving(positions))))
        done = 0
        for rows, scores in self._scores(positions, moving, sure, held):
            if store.exists:
                store.append(scores, state)
            else:
                store.create(scores, axis="init_time", chunks={"init_time": 64}, state=state)
            done += len(rows)
            self.progress("verify", done, len(positions))
        return done

    def rescore(self, store: Store, state: Mapping[str, Any], spans: list[tuple[str, str]] | None) -> int:
        """Score those again whose frames lie in spans of time that have changed; None: any may have.

        And those that were scored without a model which has been found since. The commit of the archive is put down
        with the last of them, so that a run that is cut off begins again.
        """
        old = store.dataset().load()
        moving = moving_in(old)
        positions = self.positions(old)
        known = positions >= 0
        stale = np.union1d(self._touched(positions[known], spans, moving), positions[unlike_points(old) & known])
        lonely = positions[alone(old) & known]
        found = [self._model(maker) is not None for maker in self._makers(lonely)]
        stale = np.union1d(stale, lonely[np.array(found, bool)])
        waiting: tuple[xr.Dataset, int] | None = None
        changed = 0
        for rows, scores in self._scores(stale, moving, has_ensembles(old)):
            numbers = np.flatnonzero(np.isin(positions, rows))
            differ = differing(scores, old.isel(init_time=numbers))
            chosen = np.flatnonzero(differ | (rows == stale[-1]))
            for run in np.split(chosen, np.flatnonzero(np.diff(numbers[chosen]) > 1) + 1) if len(chosen) else ():
                if waiting is not None:
                    store.rewrite(*waiting, store.state)
                waiting = scores.isel(init_time=run), int(numbers[run[0]])
            changed += int(differ.sum())
        if waiting is not None:
            store.rewrite(*waiting, state)
        return changed

    def _touched(
        self, positions: np.ndarray, spans: list[tuple[str, str]] | None, moving: tuple[str, ...]
    ) -> np.ndarray:
        """Those of some forecasts whose truth, or what a baseline looks at, lies in the spans."""
        if spans is None or not spans:
            return positions if spans is None else positions[:0]
        calendar = calendar_of(self.ds["time"].values)
        first = parse_times([first for first, _ in spans], calendar).min()
        later = positions[self.valid(self.inits[positions])[:, -1] >= first]
        touched = [np.zeros(0, bool)]
        for rows in self._batches(later):
            inits, model = self.inits[rows], self._model(self._makers(rows)[0])
            if model is None:  # how far back a baseline looks is in the model's file
                touched.append(np.ones(len(rows), bool))
                continue
            baselines = replace(model.baselines, moving=moving)
            behind = [baselines.times_behind(inits, self.forecasts.sizes["lead_time"])]
            behind += [model.frame_times(inits)] if model.base is not None else []
            touched.append(lies_in(spans, calendar, self.valid(inits), *behind))
        return later[np.concatenate(touched)]

    def _makers(self, positions: np.ndarray) -> list[tuple[str, str]]:
        """Version and fingerprint of the models that made some forecasts."""
        chosen = self.forecasts[["model_version", "model_fingerprint"]].isel(init_time=positions)
        return list(zip(*(chosen[n].values.tolist() for n in ("model_version", "model_fingerprint")), strict=True))

    def draw(self, folder: Path, stem: str, table: xr.Dataset, scores: xr.Dataset) -> tuple[Path, ...]:
        """The skill curve, and a map strip of the last init time that is scored at every lead."""
        figures = {f"{stem}-skill": skill_curve(table, title=f"{self.dataset}, {stem.replace('-', ' of ')}")}
        heading = f"{self.dataset}, {stem.replace('-', ' of ')}"
        figures |= {f"{stem}-{name}": figure for name, figure in score_pictures(table, heading).items()}
        whole = (scores["points"].sel(system="model") > 0).all(["variable", "lead_time"]).values
        row = self.positions(scores)[whole][-1:]
        if (row >= 0).any():
            forecast = self.forecasts.isel(init_time=int(row[0])).load()
            names = table["variable"].values[:_MOST_STRIPS].tolist()
            truth = self.ds[names].sel(time=forecast["valid_time"].values).load()
            when = show_time(forecast["init_time"].values[()])
            for name in names:
                observed = forecast[name].copy(data=truth[name].values)
                title = f"{self.dataset}, {forecast['model_version'].item()}: {name} from {when}"
                figures[f"{stem}-{name}"] = sample_strip(observed, forecast[name], title=title)
            # Of one model, as far as memory goes.
            rows = self._batches(self.positions(scores)[whole])[-1]
            some = rows[np.unique(np.linspace(0, len(rows) - 1, min(_MOST_SHAPES, len(rows))).round().astype(int))]
            made, model = self.forecasts.isel(init_time=some).load(), self._model(self._makers(some)[0])
            shapes = shape_pictures(made, self.ds, model, heading)
            figures |= {f"{stem}-{name}": figure for name, figure in shapes.items()}
        for name, figure in figures.items():
            disk.write(folder / f"{name}.png", png(figure))
        return tuple(folder / f"{name}.png" for name in figures)

    def _batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Runs of forecasts of one model each, in order."""
        # The baselines of a batch come out of one model's file.
        makers, leads = self._makers(positions), self.forecasts.sizes["lead_time"]
        prints = np.array([fingerprint for _, fingerprint in makers])
        edges = np.flatnonzero(prints[1:] != prints[:-1]) + 1
        batches = []
        for run in np.split(positions, edges) if len(positions) else ():
            model = self._model(self._makers(run)[0])
            size = self.batch if model is None else batch_size(model.spec, leads, self.batch)
            lengths = [len(part) for part in chunks(self.inits[run], self.step, size)]
            batches += np.split(run, np.cumsum(lengths[:-1]))
        return batches

    def _scores(
        self, positions: np.ndarray, moving: tuple[str, ...], sure: bool, held: xr.Dataset | None = None
    ) -> Iterator[tuple[np.ndarray, xr.Dataset]]:
        """Scores of some forecasts, batch by batch, each with the positions of its own."""
        batches = self._batches(positions)
        shared = Shared(_Setting(self.forecasts, self.ds, self.step, self.thresholds), self.workers)
        sent: dict[str, Any] = {}
        jobs = []
        for rows in batches:
            version, fingerprint = maker = self._makers(rows)[0]
            model = self._model(maker)
            if model is None and maker not in self.gone:
                text = "%s, content %s, is not there: its forecasts of %s are scored alone"
                _log.warning(text, version, fingerprint, self.dataset)
                self.gone.append(maker)
            if model is not None and fingerprint not in sent:
                sent[fingerprint] = shared.also(model)
            jobs.append((rows, moving, sure, sent.get(fingerprint), held if model is None else None))
        yield from zip(batches, shared.each(_scored, jobs), strict=True)

    def _model(self, maker: tuple[str, str]) -> "Forecaster | None":
        return self.models.find(*maker)


@dataclass(frozen=True)
class _Setting:
    """Forecasts and the archive, both lazy, its step, and thresholds to score."""

    forecasts: xr.Dataset
    ds: xr.Dataset
    step: Step
    thresholds: Thresholds


def _scored(
    setting: _Setting,
    rows: np.ndarray,
    moving: tuple[str, ...],
    sure: bool,
    model: "Forecaster | None",
    held: xr.Dataset | None,
) -> xr.Dataset:
    """Scores of some forecasts of one model."""
    forecast = setting.forecasts.isel(init_time=rows).load()
    if model is None:
        scores = score_alone(
            forecast, setting.ds, moving=moving, step=setting.step, thresholds=setting.thresholds, sure=sure
        )
        scores = scores if held is None else taken_over(scores, held)
    else:
        whole = np.ones(len(rows), bool)
        if model.base is not None:
            lacking = missing_history(setting.ds, model.spec, forecast["init_time"].values, forecast.sizes["lead_time"])
            whole[list(lacking)] = False
        scores = score_issued(
            forecast, setting.ds, model, moving=moving, whole=whole, thresholds=setting.thresholds, sure=sure
        )
    scores = scores.transpose("init_time", "system", "variable", "lead_time", ...)
    origin = {name: coord.variable for name, coord in forecast.coords.items() if coord.dims == ("init_time",)}
    return scores.assign_coords(origin)


def moving_in(scores: xr.Dataset) -> tuple[str, ...]:
    """Variables that extrapolation carries on along their motion."""
    return tuple(scores.attrs.get(MOVING, ()))


def has_parts(scores: xr.Dataset) -> bool:
    """Whether the parts of a model are among the systems."""
    return "system" in scores.dims and {*OWN} <= {*scores["system"].values.tolist()}


def has_ensembles(scores: xr.Dataset) -> bool:
    """Whether there are scores of members and bounds."""
    return "crps" in scores.data_vars


def unlike_points(scores: xr.Dataset) -> np.ndarray:
    """(I,) bool: whether the systems were scored on different points of a map, as they were once."""
    points = scores["points"]
    return ((points > 0) & (points != points.sel(system="model"))).any(["system", "variable", "lead_time"]).values


def alone(scores: xr.Dataset) -> np.ndarray:
    """(I,) bool: which forecasts were scored without their model, and so beside no baseline at all."""
    points = scores["points"]
    others = points.drop_sel(system=["model", *OWN]) > 0
    own = points.sel(system="model") > 0
    return own.any(["variable", "lead_time"]).values & ~others.any(["system", "variable", "lead_time"]).values


def differing(new: xr.Dataset, old: xr.Dataset) -> np.ndarray:
    """(I,) bool: for which init times the scores of the same forecasts differ."""
    found = np.zeros(new.sizes["init_time"], bool)
    parts = new["system"].isin(OWN)
    for name, values in new.data_vars.items():
        before = old[name].transpose(*values.dims)
        same = (values == before) | (values.isnull() & before.isnull())
        if name == "squared_error":
            same |= parts & (abs(values - before) <= _ROUNDING * before)
        elif name != "points" and "system" in values.dims:
            same |= parts & (values.isnull() == before.isnull())
        found |= ~same.all([dim for dim in values.dims if dim != "init_time"]).values
    return found
