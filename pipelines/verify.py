"""Scores of forecasts that have come true, kept in a store beside those of the five baselines.

A forecast is scored once all its valid times lie within the archive. Frames that were absent then and have arrived
since are scored later. The baselines are those inside the file of the very model that made the forecast, found by its
fingerprint, so that model and baselines knew the same past.
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
    chunks,
    in_words,
    markdown,
    past_frames,
    score,
    select_frames,
    skill_csv,
    skill_table,
    unpredictable,
)
from pipelines.forecast import Kind, replace_store
from pipelines.home import Home
from pipelines.pictures import png, sample_strip, skill_curve
from pipelines.progress import Progress, silent
from pipelines.tracking import list_versions, open_registry
from simvp.coords import Step, show_time
from simvp.errors import ArchiveError, ConfigError, RegistryError

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
        Init times scored now, scored again since missing frames have arrived, and still waiting for the truth.
    n
        Init times in the scores store.
    models
        Versions that made them.
    skill
        `pipelines.evaluation.skill.skill_table`; None while nothing is scored.
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
    skill: xr.Dataset | None = field(default=None, compare=False)
    unpredictable: Mapping[str, float] = field(default_factory=dict)
    csv: Path | None = None
    pictures: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        """In words: counts, and the model beside the best baseline over all leads."""
        lines = [
            f"{self.dataset}, {self.kind} of {self.horizon}: {self.scored} init times scored, {self.n} in all"
            + (f", {self.rescored} scored again" if self.rescored else "")
            + (f", {self.pending} wait for the truth" if self.pending else "")
            + "."
        ]
        if self.skill is not None:
            lines += [in_words(self.skill, str(name)) for name in self.skill["variable"].values]
        lines += [
            f"{name}: {share:.0%} of the model's mean square error is noise that nobody can predict."
            for name, share in self.unpredictable.items()
        ]
        return "\n".join(lines)

    def table(self) -> str:
        """RMSE by variable and lead, model and baselines, as Markdown; empty while nothing is scored."""
        return "" if self.skill is None else markdown(self.skill)


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
    run = _Run(home, dataset, forecasts, ds, archive.step, model, batch, progress)
    path = home.scores(dataset, f"{kind}-{horizon}")
    store = Store(path)
    state = {"kind": kind, "dataset": dataset, "archive_commit": ds.attrs["archive_commit"], "of": issue.get("key")}
    # Scored when the last valid time lies within the archive.
    ready = np.flatnonzero(forecasts["valid_time"].isel(lead_time=-1).values <= ds["time"].values[-1])
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
                rescored = run.rescore(store, state)
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
    table = skill_table(scores)
    noise = {
        str(name): float(ds[name].attrs["unpredictable_std"])
        for name in table["variable"].values
        if "unpredictable_std" in ds[name].attrs
    }
    csv = home.skill_csv(dataset)
    csv = csv if kind == "hindcasts" else csv.with_stem(f"{csv.stem}-forecasts")
    disk.write(csv, skill_csv(table).encode())
    return replace(
        report,
        models=tuple(sorted({str(label) for label in scores["model_version"].values})),
        skill=table,
        unpredictable=unpredictable(table, noise),
        csv=csv,
        pictures=run.draw(home.pictures(dataset), f"{kind}-{horizon}", table, scores),
    )


def horizons(home: Home, dataset: str, kind: Kind = "forecasts") -> tuple[str, ...]:
    """Horizons of which there are forecasts ("12h", ...), in alphabetical order."""
    folder = _folder(home, dataset, kind, "any").parent
    names = (path.name.removesuffix(".zarr") for path in folder.glob("*.zarr") if (path / "zarr.json").is_file())
    return tuple(sorted(name for name in names if not name.endswith(".building")))


@dataclass(frozen=True)
class _Run:
    """Forecasts, the archive they are scored against, and where their models are found."""

    home: Home
    dataset: str
    forecasts: xr.Dataset
    ds: xr.Dataset
    step: Step
    model: "Forecaster | Path | str | None"
    batch: int
    progress: Progress
    models: dict[str, "Forecaster"] = field(default_factory=dict)

    @property
    def inits(self) -> np.ndarray:
        return self.forecasts["init_time"].values

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

    def rescore(self, store: Store, state: Mapping[str, Any]) -> int:
        """Score those again for which a frame was missing, if the archive has changed since."""
        if store.state.get("archive_commit") == state["archive_commit"]:
            return 0
        old = store.dataset().load()
        short = (old["points"] == 0).any(["system", "variable", "lead_time"]).values
        positions, changed = self.positions(old), 0
        for number in np.flatnonzero(short & (positions >= 0)).tolist():
            row = positions[[number]]
            self._find_models(row)
            scores = self._score(row)
            if not scores["points"].equals(old["points"].isel(init_time=[number])):
                store.rewrite(scores, number, state)
                changed += 1
        return changed

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
        prints = self.forecasts["model_fingerprint"].values[positions]
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
        return scores.assign_coords({name: forecast[name] for name in ("model_version", "model_fingerprint")})

    def _find_models(self, positions: np.ndarray) -> None:
        """Load the models that made these forecasts.

        Raises
        ------
        RegistryError
            With every one that cannot be found.
        """
        prints = self.forecasts["model_fingerprint"].values[positions].tolist()
        labels = self.forecasts["model_version"].values[positions].tolist()
        lost = []
        for fingerprint, label in dict(zip(prints, labels, strict=True)).items():
            if fingerprint in self.models:
                continue
            model = self._find(fingerprint, label)
            if model is None:
                lost.append(f"{label}, content {fingerprint}, which made {prints.count(fingerprint)} of them")
            else:
                self.models[fingerprint] = model
        if lost:
            raise RegistryError(
                f"Models of the forecasts of {self.dataset}",
                [f"expected it in the registry: {text}" for text in lost],
                "the baselines to compare with are in the model's file: name the file as `model`",
            )

    def _find(self, fingerprint: str, label: str) -> "Forecaster | None":
        from simvp.inference import Forecaster

        if self.model is not None:
            model = self.model if isinstance(self.model, Forecaster) else Forecaster.load(self.model)
            if model.fingerprint == fingerprint:
                return model
        # The version that the forecast names comes first; another may hold the same content.
        for version in sorted(list_versions(self.home, self.dataset), key=lambda v: v.label != label):
            if version.fingerprint == fingerprint:
                return open_registry(self.home).load(version)
        return None


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
