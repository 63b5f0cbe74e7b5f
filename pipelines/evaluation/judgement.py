"""Judging a model on the period that was held out of its training, beside the champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray as xr

from pipelines.evaluation.evaluate import ENSEMBLE, evaluate, scorable
from pipelines.evaluation.gate import Gate, decide
from pipelines.evaluation.skill import markdown, skill_table
from pipelines.evaluation.thresholds import Thresholds, refuse_others
from pipelines.evaluation.verdict import Verdict
from pipelines.progress import Progress, silent
from pipelines.windows import dropped_words
from simvp.errors import RegistryError
from simvp.times import parse_times

if TYPE_CHECKING:
    from simvp.inference import Forecaster


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate decided, and what it looked at.

    Parameters
    ----------
    verdict
        Of the gate.
    skill
        `pipelines.evaluation.skill.skill_table` of the candidate.
    errors
        Of the candidate, from `pipelines.evaluation.evaluate`: its parts are among the systems.
    held_out
        First and last time of the targets.
    rival
        Errors of the champion on the same maps, as the system "model"; None where there was none.
    """

    verdict: Verdict
    skill: xr.Dataset = field(compare=False)
    errors: xr.Dataset = field(compare=False, repr=False)
    held_out: tuple[str, str]
    rival: xr.Dataset | None = field(default=None, compare=False, repr=False)

    def text(self) -> str:
        """Verdict, comparisons and skill table as Markdown."""
        return "\n\n".join([self.verdict.summary, *self.tables()])

    def tables(self) -> tuple[str, str]:
        """The comparisons and the skill table, as Markdown."""
        return self.verdict.table(), markdown(self.skill)

    def with_champion(self) -> xr.Dataset:
        """The RMSE of the skill table, with the champion as a further system where there was one."""
        table = self.skill[["rmse", "rmse_all", "n"]]
        if self.rival is None:
            return table
        rival = skill_table(self.rival)[["rmse", "rmse_all", "n"]].assign_coords(system=["champion"])
        return xr.concat(
            [table, rival.reindex(variable=table["variable"])], "system", coords="minimal", compat="override"
        )

    def rmse(self) -> dict[str, dict[str, float]]:
        """Over all leads, by variable and system, to six digits; of parts of the model where both have a score."""
        scores = self.skill["rmse_all"].transpose("system", "variable").to_pandas()
        found = {str(name): {str(system): float(rmse) for system, rmse in row.items()} for name, row in scores.items()}
        for part in self.verdict.beside:
            found[part.variable][part.system] = part.rmse
        return {name: {system: float(f"{rmse:.6g}") for system, rmse in row.items()} for name, row in found.items()}


def judge(
    candidate: "Forecaster",
    champion: "Forecaster | None",
    ds: xr.Dataset,
    *,
    gate: Gate | None = None,
    thresholds: Thresholds | None = None,
    batch: int = 32,
    device: str | None = None,
    progress: Progress = silent,
) -> Judgement:
    """Score a candidate and the champion on the candidate's held-out period, and let the gate decide.

    Parameters
    ----------
    candidate, champion
        Models with their provenance; both forecast the candidate's leads from the same init times.
    ds
        The archive.
    gate
        What has to be shown.
    thresholds
        As in `pipelines.evaluation.score`: what the score "csi" is of.
    batch
        Init times at a time.
    device
        Where both networks run; by default CUDA if there is one, else the CPU.
    progress
        Told in init times.

    Raises
    ------
    ConfigError
        Thresholds of what the candidate does not forecast, or none for the score of the gate.
    RegistryError
        A candidate without a held-out period; a model that has seen some of it; a champion that cannot forecast
        the archive or forecasts more variables; not one init time to judge.
    """
    held_out = _held_out(candidate)
    refuse_others(thresholds, candidate.spec.states, f"promotion of {candidate.version}")
    faults = _seen(candidate, held_out, candidate.version)
    if champion is not None:
        who = f"the champion {champion.version}"
        faults += _seen(champion, held_out, who)
        faults += [f"{who} cannot forecast this archive: {reason}" for reason in champion.spec.faults(ds)[1]]
        lost = [name for name in champion.spec.states if name not in candidate.spec.states]
        faults += [f"{name}: {who} forecasts it, {candidate.version} does not" for name in lost]
    subject = f"{candidate.version} cannot be judged on {held_out[0]} .. {held_out[1]}"
    if faults:
        raise RegistryError(
            subject,
            faults,
            "train a challenger on the archive as it is, with a held-out period that no model has seen (operations: "
            "the newest days), or move the alias champion in MLflow's page",
        )
    spec, leads = candidate.spec, candidate.spec.frames_out
    specs = [spec, *([champion.spec] if champion else [])]
    init_times, audit = scorable(ds, specs, held_out, leads=leads)
    if not len(init_times):
        dropped = dropped_words(audit.dropped) or "none offered"
        raise RegistryError(subject, [f"no init time has all its inputs and targets in the archive ({dropped})"])
    # Both forecast the candidate's leads from the same init times, scored on the same points: the gate compares pairs.
    rivals = {"champion": champion} if champion else {}
    scores = evaluate(
        candidate,
        ds,
        init_times,
        batch=batch,
        rivals=rivals,
        thresholds=thresholds,
        device=device,
        progress=progress,
    )
    errors, rival = scores.drop_sel(system=["champion"] if champion else []), None
    if champion is not None:
        rival = scores.sel(system=["champion"], variable=list(champion.spec.states)).assign_coords(system=["model"])
        rival = rival.drop_vars(
            [name for name in (*ENSEMBLE, "ranks", "below", "width") if name in rival]
        )  # those are of the candidate
        rival = rival.rename(champion_crps="crps") if "champion_crps" in rival else rival
        errors = errors.drop_vars("champion_crps", errors="ignore")
        if "events" in scores:
            errors, rival = errors.drop_sel(contender="champion"), rival.sel(contender=["champion"])
    # Two blocks apart share no frame only if a block is longer than the windows of both models.
    frames_in = max(s.frames_in for s in specs)
    times = ds["time"].values
    spans = int(spec.step.index(times[-1:], times[0])[0]) + 1
    verdict = decide(errors, rival, step=spec.step, frames_in=frames_in, frames_out=leads, gate=gate, archive=spans)
    return Judgement(verdict=verdict, skill=skill_table(errors), errors=errors, held_out=held_out, rival=rival)


def _held_out(forecaster: "Forecaster") -> tuple[str, str]:
    periods = forecaster.provenance.get("periods", {})
    if "held_out" not in periods:
        raise RegistryError(
            f"{forecaster.version} cannot be judged",
            ["expected a held-out period in its file, got none"],
            "train it anew: simvp train, or the flow train",
        )
    first, last = periods["held_out"]
    return str(first), str(last)


def _seen(forecaster: "Forecaster", held_out: tuple[str, str], who: str) -> list[str]:
    """What of the held-out period a model was trained or chosen on."""
    calendar = forecaster.spec.calendar
    start, end = parse_times(held_out, calendar)
    periods: Mapping[str, Any] = forecaster.provenance.get("periods", {})
    pieces = [(part, piece) for part in ("train", "validation") for piece in periods.get(part, ())]
    pieces = pieces or [("train", piece) for piece in forecaster.spec.fitted_on.get("train", ())]
    reasons = []
    for part, piece in pieces:
        first, last = parse_times(piece, calendar)
        if first <= end and last >= start:
            reasons.append(f"{who} has seen some of it: its {part} period is {piece[0]} .. {piece[1]}")
    return reasons
