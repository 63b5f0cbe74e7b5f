"""Scores of forecasts that have come true, kept in a store beside those of the baselines.

A forecast is scored once all its valid times lie within the archive. It is scored again when a frame that its score
rests on has been filled or replaced since, which the archive's log tells: a score is always that against the archive as
it is. The baselines are those inside the file of the very model that made the forecast, found by its fingerprint, so
that model and baselines knew the same past. It makes its own parts again, too: what it forecasts without the mixture of
experts ("unmixed"), and its base forecast alone ("base"). Where that file is gone, the forecast is scored alone. Every
version has a table of its own; no mean is taken over two.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.store import Store, disk, refuse_unseen
from datasets.workers import workers
from pipelines.evaluation import (
    Thresholds,
    by_model,
    in_words,
    markdown,
    refuse_others,
    skill_csv,
    skill_table,
    sure_words,
    unpredictable,
)
from pipelines.forecast_store import forecasts_at, only_horizon
from pipelines.home import Home
from pipelines.issuing import Kind
from pipelines.known import with_known
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.score_store import ScoringRun, has_ensembles, has_parts, moving_in
from pipelines.tracking import Makers
from simvp.coords import single_maps

if TYPE_CHECKING:
    from simvp.inference import Forecaster

_log = logging.getLogger(__name__)


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
    path: Path | str
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
            lines += filter(None, (sure_words(table, str(name)) for name in table["variable"].values))
        lines += [
            f"{name}: {share:.0%} of the model's mean square error is noise that nobody can predict."
            for name, share in self.unpredictable.items()
        ]
        return "\n".join(lines)

    def table(self) -> str:
        """RMSE by variable and lead, model and baselines, as Markdown, of each version; empty if nothing is scored."""
        heads = {version: f"Forecasts by {version}\n\n" if len(self.skills) > 1 else "" for version in self.skills}
        return "\n\n".join(heads[version] + markdown(table) for version, table in self.skills.items())


@stage
def verify(
    home: Home,
    dataset: str,
    *,
    kind: Kind = "forecasts",
    horizon: str | None = None,
    model: "Forecaster | Path | str | None" = None,
    thresholds: Thresholds | None = None,
    batch: int = 64,
    scheduler: str | None = None,
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
    thresholds
        By variable, in its units; of rain 0.1 and 1 mm/h by default. Where they change, all is scored again.
    batch
        Init times at a time.
    scheduler
        Address of the dask scheduler whose workers score, batch by batch; see `datasets.workers.workers`.
    progress
        Called as progress("verify", init times done, init times).

    Raises
    ------
    ConfigError
        Several horizons and none chosen, thresholds of what is not forecast, or a scheduler that does not answer.
    ArchiveError
        No such forecasts, or no archive.
    RegistryError
        A registry that does not answer, or no such file as `model`.
    """
    horizon = horizon or only_horizon(home, dataset, kind)
    issued = Store(forecasts_at(home, dataset, kind, horizon))
    forecasts, issue = issued.snapshot()
    refuse_others(thresholds, list(map(str, single_maps(forecasts).data_vars)), f"verification of {dataset}")
    archive = Archive(home.archive(dataset))
    ds = with_known(home, dataset, archive.dataset())
    path = home.scores(dataset, f"{kind}-{horizon}")
    store = Store(path)
    state = {"kind": kind, "dataset": dataset, "archive_commit": ds.attrs["archive_commit"], "of": issue.get("key")}
    rescored = 0
    with workers(scheduler) as team, store.lock():
        if team is not None:
            team.everywhere(refuse_unseen, archive.path)
            team.everywhere(refuse_unseen, issued.path)
        makers = Makers(home, dataset, model)
        run = ScoringRun(dataset, forecasts, ds, archive.step, makers, batch, progress, thresholds or {}, team)
        # Scored when the last valid time lies within the archive.
        ready = np.flatnonzero(run.valid(run.inits)[:, -1] <= ds["time"].values[-1])
        later = ready[run.inits[ready] > store.ends()[-1]] if store.exists else ready
        # `system` was called `method` once, rain had five baselines, and models had no parts. Scores can be made anew,
        # but for those of models that are gone.
        # Nor had any members and bounds; thresholds are settings, which change.
        before = store.dataset() if store.exists else None
        outdated = before is not None and (
            not has_parts(before)
            or not {*run.moving(later)} <= {*moving_in(before)}
            or (run.sure(later) and not has_ensembles(before))
            or not run.has_limits(before)
        )
        if outdated:
            _log.warning("scores of another layout in %s: every forecast is scored again", path)
        spans: list[tuple[str, str]] | None = []
        made_of = store.state if before is not None else {}
        if before is not None and made_of.get("archive_commit", "") != state["archive_commit"]:
            spans = archive.changed_since(made_of.get("archive_commit", ""))
        if before is not None and (outdated or made_of.get("of") != state["of"]):
            # Another hindcast: its scores are made beside the old ones, which stay until those are whole.
            building = store.building()
            building.discard()
            same = outdated and "system" in before.dims and made_of.get("of") == state["of"]
            scored = run.append(building, ready, state, run.held(before.load(), spans) if same else None)
            if building.exists:
                building.publish()
        else:
            if before is not None:
                rescored = run.rescore(store, state, spans)
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
