"""Scores of forecasts that have come true, kept in a store beside those of the five baselines.

A forecast is scored once all its valid times lie within the archive. It is scored again when a frame that its score
rests on has been filled or replaced since, which the archive's log tells: a score is always that against the archive as
it is. The baselines are those inside the file of the very model that made the forecast, found by its fingerprint, so
that model and baselines knew the same past. Every version has a table of its own; no mean is taken over two.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.store import Store, disk
from pipelines.evaluation import (
    by_model,
    chunks,
    differing,
    in_words,
    lies_in,
    markdown,
    past_frames,
    score,
    select_frames,
    skill_csv,
    skill_table,
    unlike_points,
    unpredictable,
)
from pipelines.forecast import Kind, replace_store
from pipelines.home import Home
from pipelines.pictures import png, sample_strip, skill_curve
from pipelines.progress import Progress, silent
from pipelines.tracking import Makers
from simvp.coords import Step, calendar_of, parse_times, show_time
from simvp.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from simvp.inference import Forecaster

_log = logging.getLogger(__name__)

_MOST_STRIPS = 4


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What has been scored, and how it came out.

    Parameters
    ----------
    dataset, kind, horizon, path
        Which forecasts, and where the scores store lies.
    scored, rescored, pending
        Init times scored now, those whose scores have changed with the archive, and those still waiting for the truth.
    n
        Init times in the scores store.
    models
        Versions that made them.
    skills
        `pipelines.evaluation.skill.skill_table` by the version that made the forecasts, the newest last.
    unpredictable
        By variable, the share of the model's mean square error over all leads that no forecast can avoid, where the
        data set states it.
    csv, pictures
        Files written.
    """

    dataset: str
    kind: Kind
    horizon: str
    path: Path
    scored: int
    rescored: int
    pending: int
    n: int
    models: tuple[str, ...] = ()
    skills: Mapping[str, xr.Dataset] = field(default_factory=dict, compare=False)
    unpredictable: Mapping[str, float] = field(default_factory=dict)
    csv: Path | None = None
    pictures: tuple[Path, ...] = ()

    @property
    def skill(self) -> xr.Dataset | None:
        """The table of the version that made the newest forecasts; None while nothing is scored."""
        return list(self.skills.values())[-1] if self.skills else None

    @property
    def summary(self) -> str:
        """In words: counts, and each version beside the best baseline over all leads."""
        lines = [
            f"{self.dataset}, {self.kind} of {self.horizon}: {self.scored} init times scored, {self.n} in all"
            + (f", {self.rescored} scored again" if self.rescored else "")
            + (f", {self.pending} wait for the truth" if self.pending else "")
            + "."
        ]
        for version, table in self.skills.items():
            lines += [f"Forecasts by {version}:"] if len(self.skills) > 1 else []
            lines += [in_words(table, str(name)) for name in table["variable"].values]
        lines += [
            f"{name}: {share:.0%} of the model's mean square error is noise that nobody can predict."
            for name, share in self.unpredictable.items()
        ]
        return "\n".join(lines)

    def table(self) -> str:
        """RMSE by variable and lead, model and baselines, as Markdown, of each version; empty if nothing is scored."""
        heads = {version: f"Forecasts by {version}\n\n" if len(self.skills) > 1 else "" for version in self.skills}
        return "\n\n".join(heads[version] + markdown(table) for version, table in self.skills.items())


def verify(
    home: Home,
    dataset: str,
    *,
    kind: Kind = "forecasts",
    horizon: str | None = None,
    model: "Forecaster | Path | str | None" = None,
    batch: int = 64,
    progress: Progress = silent,
) -> VerifyReport:
    """Score what can be scored, and write the skill table and the pictures.

    Parameters
    ----------
    kind
        "forecasts" (operational) or "hindcasts". The table of the hindcasts is `skill.csv`, that of the forecasts
        `skill-forecasts.csv`: a handful of operational init times must not take the place of a test.
    horizon
        As the store is called, "12h"; may be left out where there is only one.
    model
        The model or its file, for forecasts of a model that is not in the registry.
    batch
        Init times at a time.
    progress
        Called as progress("verify", init times done, init times).

    Raises
    ------
    ConfigError
        Several horizons and none chosen.
    ArchiveError
        No such forecasts, or no archive.
    RegistryError
        A model that made some of the forecasts cannot be found.
    """
    horizon = horizon or _only_horizon(home, dataset, kind)
    forecasts, issue = Store(_folder(home, dataset, kind, horizon)).snapshot()
    archive = Archive(home.archive(dataset))
    ds = archive.dataset()
    run = _Run(dataset, forecasts, ds, archive.step, Makers(home, dataset, model), batch, progress)
    path = home.scores(dataset, f"{kind}-{horizon}")
    store = Store(path)
    state = {"kind": kind, "dataset": dataset, "archive_commit": ds.attrs["archive_commit"], "of": issue.get("key")}
    # Scored when the last valid time lies within the archive.
    ready = np.flatnonzero(run.valid(run.inits)[:, -1] <= ds["time"].values[-1])
    rescored = 0
    with store.lock():
        # `system` was called `method` once. Scores can be made anew, so nothing converts them.
        outdated = store.exists and "system" not in store.dataset().dims
        if outdated:
            _log.warning("scores of another layout in %s: every forecast is scored again", path)
        if store.exists and (outdated or store.state.get("of") != state["of"]):
            # Another hindcast: its scores are made beside the old ones, which stay until those are whole.
            building = Store(path.with_name(f"{path.stem}.building.zarr"))
            disk.discard(building.path)
            scored = run.append(building, ready, state)
            if building.exists:
                replace_store(building.path, path)
        else:
            later = ready
            if store.exists:
                before = store.state.get("archive_commit", "")
                spans = [] if before == state["archive_commit"] else archive.changed_since(before)
                rescored = run.rescore(store, state, spans)
                later = ready[run.inits[ready] > store.ends()[-1]]
            scored = run.append(store, later, state)
    report = VerifyReport(
        dataset=dataset,
        kind=kind,
        horizon=horizon,
        path=path,
        scored=scored,
        rescored=rescored,
        pending=forecasts.sizes["init_time"] - len(ready),
        n=store.length if store.exists else 0,
    )
    if not store.exists:
        return report
    scores = store.dataset().load()
    skills = {version: skill_table(part) for version, part in by_model(scores).items()}
    newest = list(skills)[-1]
    table = skills[newest]
    noise = {
        str(name): float(ds[name].attrs["unpredictable_std"])
        for name in table["variable"].values
        if "unpredictable_std" in ds[name].attrs
    }
    csv = home.skill_csv(dataset)
    csv = csv if kind == "hindcasts" else csv.with_stem(f"{csv.stem}-forecasts")
    disk.write(csv, skill_csv(*(table.assign_attrs(version=version) for version, table in skills.items())).encode())
    return replace(
        report,
        models=tuple(sorted({str(label) for label in scores["model_version"].values})),
        skills=skills,
        unpredictable=unpredictable(table, noise),
        csv=csv,
        pictures=run.draw(home.pictures(dataset), f"{kind}-{horizon}", table, by_model(scores)[newest]),
    )


def horizons(home: Home, dataset: str, kind: Kind = "forecasts") -> tuple[str, ...]:
    """Horizons of which there are forecasts ("12h", ...), in alphabetical order."""
    folder = _folder(home, dataset, kind, "any").parent
    names = (path.name.removesuffix(".zarr") for path in folder.glob("*.zarr") if (path / "zarr.json").is_file())
    return tuple(sorted(name for name in names if not name.endswith(".building")))


@dataclass(frozen=True)
class _Run:
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

    def append(self, store: Store, positions: np.ndarray, state: Mapping[str, Any]) -> int:
        """Score these forecasts and commit them batch by batch."""
        self._find_models(positions)
        done = 0
        for rows in self._batches(positions):
            scores = self._score(rows)
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
        old = store.dataset().load()
        positions = self.positions(old)
        known = positions >= 0
        stale = np.union1d(self._touched(positions[known], spans), positions[unlike_points(old) & known])
        self._find_models(stale)
        waiting: tuple[xr.Dataset, int] | None = None
        changed = 0
        for rows in self._batches(stale):
            scores, numbers = self._score(rows), np.flatnonzero(np.isin(positions, rows))
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

    def _touched(self, positions: np.ndarray, spans: list[tuple[str, str]] | None) -> np.ndarray:
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
            earlier = self.models[fingerprint].baselines.seasonal_times(inits, self.forecasts.sizes["lead_time"])
            touched.append(lies_in(spans, calendar, inits, self.valid(inits), earlier))
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

    def _score(self, rows: np.ndarray) -> xr.Dataset:
        forecast = self.forecasts.isel(init_time=rows).load()
        model = self.models[str(forecast["model_fingerprint"].values[0])]
        baselines, leads = model.baselines, forecast.sizes["lead_time"]
        inits, valid = self.inits[rows], forecast["valid_time"].values
        earlier = baselines.seasonal_times(inits, leads)
        truth = select_frames(self.ds, baselines.variables, inits, valid, earlier).load()
        past = past_frames(self.ds, truth, model, inits, leads)
        scores = score(forecast, truth, baselines, past=past).transpose("init_time", "system", "variable", "lead_time")
        origin = {name: coord.variable for name, coord in forecast.coords.items() if coord.dims == ("init_time",)}
        return scores.assign_coords(origin)

    def _find_models(self, positions: np.ndarray) -> None:
        self.models.find(self._makers(positions))


def _folder(home: Home, dataset: str, kind: Kind, horizon: str) -> Path:
    return home.forecasts(dataset, horizon) if kind == "forecasts" else home.hindcasts(dataset, horizon)


def _only_horizon(home: Home, dataset: str, kind: Kind) -> str:
    names = horizons(home, dataset, kind)
    if len(names) == 1:
        return names[0]
    if names:
        raise ConfigError(f"Horizon of the {kind} of {dataset}", [f"there are several: {', '.join(names)}"], "name one")
    flow = "forecast" if kind == "forecasts" else "forecast with hindcast_start and hindcast_end"
    raise ArchiveError(
        f"{kind.capitalize()} of {dataset}",
        [f"expected some in {_folder(home, dataset, kind, 'any').parent}, got none"],
        f"issue some first: the flow {flow}",
    )
