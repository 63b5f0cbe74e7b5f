"""The model registry: one registered model per data set, and what moves its aliases.

`simvp-<dataset>` has a version for every training. The alias `challenger` names the last one trained, `champion` the
one that forecasts. Nothing else decides who the champion is: an alias that somebody has moved in MLflow's own page
counts as much as one that `promote` has moved. `promote` also writes down, in tags, whom it replaced, so that
`rollback` knows where to go back to.

Tags of a version: `training_key`, `fingerprint` and others from the training; `gate` (the outcome), `gate_reasons`,
`gate_champion`, `gate_held_out`, `gate_n`, `gate_blocks`, `gate_missing` (what would be enough, or "nothing"),
`gate_rmse`, `gate_at` from the last judgement. Tag of the registered model: `champions`, the versions that `promote`
has made champion and nobody has taken back, oldest first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np

from datasets.archive import Archive
from pipelines.evaluation import SKILL, Gate, Judgement, Outcome, Thresholds, draw, judge, skill_csv
from pipelines.home import Home
from pipelines.known import with_known
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.tracking import (
    CHALLENGER,
    LONGEST_TAG,
    NOTE,
    Origin,
    Skill,
    card,
    log_metrics,
    model_name,
    open_registry,
    resolve_version,
)
from simvp.errors import RegistryError
from simvp.inference import CHAMPION, Registry, Version
from simvp.record import from_json
from simvp.times import show_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.tracking import MlflowClient

    from simvp.inference import Forecaster

_HISTORY = "champions"


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What `promote` did.

    Parameters
    ----------
    outcome
        As the verdict's, or "already": the candidate is the champion, nothing was judged.
    candidate, before, champion
        The version judged, the champion before, and the champion now.
    judgement
        Verdict, scores and period; None if nothing was judged.
    """

    outcome: Outcome | Literal["already"]
    candidate: Version
    before: Version | None
    champion: Version | None
    judgement: Judgement | None = None

    def table(self) -> str:
        """Comparisons and skill as Markdown; empty if nothing was judged."""
        return "\n\n".join(self.judgement.tables()) if self.judgement else ""

    @property
    def summary(self) -> str:
        """In words: what was judged, on what, and what became of it."""
        if self.judgement is None:
            return f"{self.candidate.label} is the champion already; nothing was judged, nothing moved."
        rival = f"the champion {self.before.label}" if self.before else "no champion (there is none yet)"
        when = "now" if self.outcome == "promote" else "still"
        now = f"The champion is {when} {self.champion.label}." if self.champion else "There is no champion."
        return (
            f"{self.candidate.label} against the five baselines and {rival}, targets of "
            f"{' .. '.join(self.judgement.held_out)}, {self.judgement.verdict.n} init times.\n"
            f"{self.judgement.verdict.summary}\n{now}"
        )


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """What `rollback` did: the champion before, the champion now, and why that one."""

    before: Version | None
    champion: Version
    reason: str

    @property
    def summary(self) -> str:
        """In words."""
        left = f" (it was {self.before.label})" if self.before else ""
        return f"The champion is now {self.champion.label}{left}: {self.reason}."


@stage
def promote(
    home: Home,
    dataset: str,
    version: str | int | None = None,
    *,
    gate: Gate | None = None,
    thresholds: Thresholds | None = None,
    batch: int = 32,
    device: str | None = None,
    progress: Progress = silent,
) -> Promotion:
    """Judge a version on its held-out period, and make it champion if it is better than everything it has to beat.

    Parameters
    ----------
    version
        Number or alias; by default the challenger.
    gate, thresholds, batch, device, progress
        As in `pipelines.evaluation.judge`.

    Raises
    ------
    ConfigError
        Thresholds of what is not forecast, or none for the score of the gate.
    RegistryError
        Nothing of that name; a model that cannot be loaded, or without a held-out period; a champion that has seen some
        of that period, or that cannot forecast the archive as it is. The alias stays where it is.
    """
    registry = open_registry(home)
    candidate = resolve_version(home, dataset, CHALLENGER if version is None else version)
    before = _champion(registry, candidate.name)
    if before is not None and before.version == candidate.version:
        return Promotion(outcome="already", candidate=candidate, before=before, champion=before)
    challenger, champion = registry.load(candidate), registry.load(before) if before else None
    ds = with_known(home, dataset, Archive(home.archive(dataset)).dataset())
    judgement = judge(
        challenger,
        champion,
        ds,
        gate=gate,
        thresholds=thresholds,
        batch=batch,
        device=device,
        progress=progress,
    )
    if judgement.verdict.outcome == "promote":
        registry.load(candidate)  # the judgement took its time: what will forecast is still there, and whole
    figures = draw(judgement, challenger, champion, ds, device=device) if candidate.run_id else {}
    origin = Origin.of(dataset, ds.attrs)
    with registry.client() as client:
        _record(client, candidate, before, judgement, figures)
        _describe(client, candidate, before, judgement, challenger, origin)
        _set_tags(client, candidate, before, judgement)
        if judgement.verdict.outcome == "promote":
            _crown(client, candidate, before)
    return Promotion(
        outcome=judgement.verdict.outcome,
        candidate=registry.resolve(candidate.label),
        before=before,
        champion=_champion(registry, candidate.name),
        judgement=judgement,
    )


@stage
def rollback(home: Home, dataset: str) -> Rollback:
    """Give the alias back to the champion before that can be loaded.

    Where somebody has moved the alias by hand, that is taken back first: the champion is then the last one that
    `promote` has made.

    Raises
    ------
    RegistryError
        No model, or nothing to go back to; the alias stays where it is.
    """
    registry, name = open_registry(home), model_name(dataset)
    versions = {version.version: version for version in registry.versions(name)}
    if not versions:
        raise RegistryError(f"Model {name}", ["no version is registered"], "train one first")
    before = next((version for version in versions.values() if CHAMPION in version.aliases), None)
    holder = before.version if before else None
    with registry.client() as client:
        history = [number for number in _history(client, name) if number in versions]
    reason = "the alias had been moved by hand, and this is the last version that the gate let through"
    if holder in history[-1:]:
        reason = "it was the champion before"
        history = [number for number in history if number != holder]
    lost = _drop_unloadable(registry, versions, history)
    if lost and history:
        reason += f"; passed over: {'; '.join(lost)}"
    if not history:
        shown = f"the champion is {name}/{holder}" if holder else "there is no champion"
        other = "other version that can be loaded" if lost else "other version"
        raise RegistryError(
            f"Rollback of {name}",
            [f"no {other} was ever promoted; {shown}, versions are {', '.join(versions)}", *lost],
            "set the alias champion in MLflow's page to the version that you want",
        )
    with registry.client() as client:
        client.set_registered_model_alias(name, CHAMPION, history[-1])
        client.set_registered_model_tag(name, _HISTORY, json.dumps(history))
    return Rollback(before=before, champion=registry.resolve(f"{name}/{history[-1]}"), reason=reason)


def _drop_unloadable(registry: Registry, versions: Mapping[str, Version], history: list[str]) -> list[str]:
    """Take from the end of a history what cannot be loaded; returns what that is, and why."""
    lost = []
    while history:
        try:
            registry.load(versions[history[-1]])
            break
        except RegistryError as error:
            lost.append(f"{error.subject}: {'; '.join(error.reasons)}")
            history.pop()
    return lost


def _champion(registry: Registry, name: str) -> Version | None:
    return next((version for version in registry.versions(name) if CHAMPION in version.aliases), None)


def _crown(client: "MlflowClient", candidate: Version, before: Version | None) -> None:
    """Move the alias, then write down whom it was taken from.

    A kill in between leaves an alias that looks moved by hand, which `rollback` and the next `promote` understand.
    """
    client.set_registered_model_alias(candidate.name, CHAMPION, candidate.version)
    newest = [version.version for version in (before, candidate) if version]
    history = [number for number in _history(client, candidate.name) if number not in newest] + newest
    # So many numbers stay within the length of a tag (`LONGEST_TAG`).
    client.set_registered_model_tag(candidate.name, _HISTORY, json.dumps(history[-200:]))


def _record(
    client: "MlflowClient",
    candidate: Version,
    before: Version | None,
    judgement: Judgement,
    figures: "Mapping[str, Figure]",
) -> None:
    """Verdict and scores as artifacts and metrics of the run, and of the logged model behind the version."""
    if not candidate.run_id:
        return
    client.log_text(candidate.run_id, json.dumps(judgement.verdict.to_json(), indent=1), "gate/verdict.json")
    client.log_text(candidate.run_id, judgement.text(), "gate/verdict.md")
    client.log_text(candidate.run_id, skill_csv(judgement.skill), "gate/scores.csv")
    for name, figure in figures.items():
        client.log_figure(candidate.run_id, figure, name)
    values = {f"gate/rmse_{name}_{system}": v for name, row in judgement.rmse().items() for system, v in row.items()}
    for c in judgement.verdict.comparisons:
        values[f"gate/improvement_percent_{c.variable}_{c.reference}"] = c.improvement
        values[f"gate/bound_percent_{c.variable}_{c.reference}"] = c.bound
    values["gate/promote"] = float(judgement.verdict.outcome == "promote")
    values = {name: value for name, value in values.items() if np.isfinite(value)}
    log_metrics(client, candidate.run_id, values)


def _describe(
    client: "MlflowClient",
    candidate: Version,
    before: Version | None,
    judgement: Judgement,
    model: "Forecaster",
    origin: Origin,
) -> None:
    """The model card anew, with the verdict and the skill on the held-out period."""
    verdict, held_out = judgement.verdict, " to ".join(map(show_time, judgement.held_out))
    rival = f"and {before.label}" if before else "alone, as there was no champion"
    scope = f"{verdict.n} init times in {verdict.blocks} blocks, against the baselines {rival}"
    head, *reasons = verdict.summary.splitlines()
    skill = Skill(
        table=judgement.with_champion(),
        on=f"the held-out period, {held_out}",
        picture=SKILL if candidate.run_id else "",
    )
    text = card(
        model,
        origin,
        skill=skill,
        verdict="\n".join([f"**{head}** ({datetime.now(UTC):%Y-%m-%d}, {scope})", *reasons]),
        run_id=candidate.run_id,
        before=client.get_model_version(candidate.name, candidate.version).description or "",
    )
    client.update_model_version(candidate.name, candidate.version, description=text)
    if candidate.run_id:
        client.set_tag(candidate.run_id, NOTE, text)


def _set_tags(client: "MlflowClient", candidate: Version, before: Version | None, judgement: Judgement) -> None:
    """Verdict and scores as tags of the version; the outcome last, when all is there."""
    verdict = judgement.verdict
    lacking = verdict.shortfall
    tags = {
        "gate_reasons": "\n".join(verdict.reasons),
        "gate_champion": before.version if before else "none",
        "gate_held_out": " .. ".join(judgement.held_out),
        "gate_n": str(verdict.n),
        "gate_blocks": f"{verdict.blocks} of {verdict.needed_blocks}",
        "gate_missing": f"{lacking.more} more, targets up to {lacking.until}" if lacking else "nothing",
        "gate_rmse": json.dumps(judgement.rmse()),
        "gate_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gate": verdict.outcome,
    }
    for key, value in tags.items():
        client.set_model_version_tag(candidate.name, candidate.version, key, value[:LONGEST_TAG])


def _history(client: "MlflowClient", name: str) -> list[str]:
    text = client.get_registered_model(name).tags.get(_HISTORY, "[]")
    try:
        return [str(number) for number in from_json(text)]
    except ValueError:  # edited by hand
        return []
