"""Scores of the forecasts of a store: made as these come true, and again where they do not hold any more.

They do not where the archive has changed below them, or where they were made by an older rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from datasets.store import Store, disk
from pipelines.evaluation import MOVING, chunks, past_frames, score, select_frames
from pipelines.pictures import png, sample_strip, skill_curve
from pipelines.progress import Progress
from pipelines.tracking import Makers
from simvp.coords import Step
from simvp.times import calendar_of, encode_times, parse_times, show_time

_MOST_STRIPS = 4


@dataclass(frozen=True)
class ScoringRun:
    """Forecasts, the archive they are scored against, and their models."""

    dataset: str
    forecasts: xr.Dataset
    ds: xr.Dataset
    step: Step
    models: Makers
    batch: int
    progress: Progress

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
        self._find_models(positions)
        models = [self.models[fingerprint] for _, fingerprint in self._makers(positions)]
        return tuple(dict.fromkeys(name for model in models for name in model.baselines.moving))

    def append(self, store: Store, positions: np.ndarray, state: Mapping[str, Any]) -> int:
        """Score these forecasts and commit them batch by batch."""
        moving = moving_in(store) if store.exists else self.moving(positions)
        self._find_models(positions)
        done = 0
        for rows in self._batches(positions):
            scores = self._score(rows, moving)
            if store.exists:
                store.append(scores, state)
            else:
                store.create(scores, axis="init_time", chunks={"init_time": 64}, state=state)
            done += len(rows)
            self.progress("verify", done, len(positions))
        return done

    def rescore(self, store: Store, state: Mapping[str, Any], spans: list[tuple[str, str]] | None) -> int:
        """Score those again whose frames lie in spans of time that have changed; None: any may have.

        The commit of the archive is put down with the last of them, so that a run that is cut off begins again.
        """
        old, moving = store.dataset().load(), moving_in(store)
        positions = self.positions(old)
        known = positions >= 0
        stale = np.union1d(self._touched(positions[known], spans, moving), positions[unlike_points(old) & known])
        self._find_models(stale)
        waiting: tuple[xr.Dataset, int] | None = None
        changed = 0
        for rows in self._batches(stale):
            scores, numbers = self._score(rows, moving), np.flatnonzero(np.isin(positions, rows))
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
        self._find_models(later)  # how far back a baseline looks is in the model's file
        touched = [np.zeros(0, bool)]
        for rows in self._batches(later):
            inits, (_, fingerprint) = self.inits[rows], self._makers(rows[:1])[0]
            baselines = replace(self.models[fingerprint].baselines, moving=moving)
            behind = baselines.times_behind(inits, self.forecasts.sizes["lead_time"])
            touched.append(lies_in(spans, calendar, self.valid(inits), behind))
        return later[np.concatenate(touched)]

    def _makers(self, positions: np.ndarray) -> list[tuple[str, str]]:
        """Version and fingerprint of the models that made some forecasts."""
        chosen = self.forecasts[["model_version", "model_fingerprint"]].isel(init_time=positions)
        return list(zip(*(chosen[n].values.tolist() for n in ("model_version", "model_fingerprint")), strict=True))

    def draw(self, folder: Path, stem: str, table: xr.Dataset, scores: xr.Dataset) -> tuple[Path, ...]:
        """The skill curve, and a map strip of the last init time that is scored at every lead."""
        figures = {f"{stem}-skill": skill_curve(table, title=f"{self.dataset}, {stem.replace('-', ' of ')}")}
        whole = (scores["points"] > 0).all(["system", "variable", "lead_time"]).values
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
        for name, figure in figures.items():
            disk.write(folder / f"{name}.png", png(figure))
        return tuple(folder / f"{name}.png" for name in figures)

    def _batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Runs of forecasts of one model each, in order."""
        # The baselines of a batch come out of one model's file.
        prints = np.array([fingerprint for _, fingerprint in self._makers(positions)])
        edges = np.flatnonzero(prints[1:] != prints[:-1]) + 1
        batches = []
        for run in np.split(positions, edges) if len(positions) else ():
            lengths = [len(part) for part in chunks(self.inits[run], self.step, self.batch)]
            batches += np.split(run, np.cumsum(lengths[:-1]))
        return batches

    def _score(self, rows: np.ndarray, moving: tuple[str, ...]) -> xr.Dataset:
        """Scores of some forecasts of one model."""
        forecast = self.forecasts.isel(init_time=rows).load()
        model = self.models[str(forecast["model_fingerprint"].values[0])]
        if moving != model.baselines.moving:
            # Of an older model; the motion is not fitted, so that its forecasts can be set beside it too.
            model = replace(model, baselines=replace(model.baselines, moving=moving))
        baselines, leads = model.baselines, forecast.sizes["lead_time"]
        inits, valid = self.inits[rows], forecast["valid_time"].values
        truth = select_frames(self.ds, baselines.variables, valid, baselines.frame_times(inits, leads)).load()
        past = past_frames(self.ds, truth, model, inits, leads)
        scores = score(forecast, truth, baselines, past=past)
        scores = scores.transpose("init_time", "system", "variable", "lead_time", ...)
        origin = {name: coord.variable for name, coord in forecast.coords.items() if coord.dims == ("init_time",)}
        return scores.assign_coords(origin)

    def _find_models(self, positions: np.ndarray) -> None:
        self.models.find(self._makers(positions))


def moving_in(store: Store) -> tuple[str, ...]:
    """Variables that extrapolation carries on along their motion, in the scores of a store."""
    return tuple(store.dataset().attrs.get(MOVING, ()))


def lies_in(spans: Sequence[tuple[Any, Any]], calendar: str, *times: np.ndarray) -> np.ndarray:
    """(N,) bool: whether any of the times of a forecast lies in one of some spans.

    Parameters
    ----------
    spans
        First and last time, both included; texts or times.
    calendar
        Of the times.
    times
        Arrays (N, ...) of times.
    """
    seconds = np.concatenate([encode_times(part.reshape(len(part), -1))[0] for part in times], axis=1)
    found = np.zeros(len(seconds), bool)
    for span in spans:
        first, last = encode_times(parse_times(span, calendar))[0]
        found |= ((seconds >= first) & (seconds <= last)).any(1)
    return found


def unlike_points(scores: xr.Dataset) -> np.ndarray:
    """(I,) bool: whether the systems were scored on different points of a map, as they were once."""
    points = scores["points"]
    return ((points > 0) & (points != points.sel(system="model"))).any(["system", "variable", "lead_time"]).values


def differing(new: xr.Dataset, old: xr.Dataset) -> np.ndarray:
    """(I,) bool: for which init times the scores of the same forecasts differ."""
    found = np.zeros(new.sizes["init_time"], bool)
    for name, values in new.data_vars.items():
        before = old[name].transpose(*values.dims).values
        other = (values.values != before) & ~(np.isnan(values.values) & np.isnan(before))
        found |= other.any(tuple(at for at, dim in enumerate(values.dims) if dim != "init_time"))
    return found
