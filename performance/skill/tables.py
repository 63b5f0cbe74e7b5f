"""What the trainings of one data set found, as a section of the page; of several seeds the medians."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from math import nan

import numpy as np
import xarray as xr

from datasets.catalog import NamedSource
from performance.report import Section, Table
from performance.skill.trial import Trial, Trials
from pipelines.evaluation import PARTS, WEIGHT, csi_lines, note
from simvp.coords import Step
from simvp.scoring import RATES, contingency, outcomes

MODEL, PARTS_SHOWN = "model", ("unmixed", "base")
SUMMARY = (
    "data set, variable",
    "units",
    "n",
    "best baseline",
    "its RMSE",
    "base",
    "unmixed",
    "model",
    "model / best baseline",
    "worst lead",
    "gate",
    "training, s",
)


def section(found: Trials, source: NamedSource) -> Section:
    """Rows for the table on top, and for the variables of the data set RMSE by lead, CSI and shares."""
    skill, tables = medians([trial.skill for trial in found.trials]), list[Table]()
    variables = [str(name) for name in skill["variable"].values]
    leads = lead_words(found.trials[0].plan.step, skill.sizes["lead_time"])
    for variable in variables:
        tables += [_by_lead(skill, variable, leads), *_csi(skill, variable, leads), *_rolling(found.trials, variable)]
        tables += _shares(found.trials, variable, leads)
    return Section(
        title=found.name,
        text=f"{source.title}. {_words(found)}",
        tables=tuple(tables),
        notes=(*((f"{note(skill)}.",) if "csi" in skill else ()), *map(_verdict, found.trials)),
        summary=Table(columns=SUMMARY, rows=tuple(_row(found, skill, variable, leads) for variable in variables)),
    )


def lead_words(step: Step, leads: int) -> list[str]:
    """From the init time to each valid time: "30 min", "1 h", ... or "1 month", "2 months", ..."""
    each = range(1, leads + 1)
    return [str(Step(seconds=n * step.seconds) if step.seconds else Step(months=n * step.months)) for n in each]


def medians(skills: Sequence[xr.Dataset]) -> xr.Dataset:
    """One skill table of those of several seeds: the median of every RMSE and CSI."""
    together = xr.concat(skills, "seed", coords="minimal", compat="override", join="exact", combine_attrs="override")
    names = [name for name in ("rmse", "rmse_all", "csi", "csi_all") if name in together]
    return skills[0].assign({name: together[name].median("seed") for name in names})


def ratios(skill: xr.Dataset, variable: str) -> tuple[float, float, int]:
    """RMSE of the model over that of the best baseline: over all leads; at the worst lead, each beside the best there.

    And which lead that is, the first one 0.

    Parameters
    ----------
    skill
        From `pipelines.evaluation.skill_table`.
    """
    scores = skill.sel(variable=variable)
    model, baselines = scores.sel(system=MODEL), scores.sel(system=list(_baselines(skill)))
    by_lead = (model["rmse"] / baselines["rmse"].min("system")).values
    overall = float(model["rmse_all"] / baselines["rmse_all"].min("system"))
    if not np.isfinite(by_lead).any():
        return overall, nan, 0
    worst = int(np.nanargmax(by_lead))
    return overall, float(by_lead[worst]), worst


def _row(found: Trials, skill: xr.Dataset, variable: str, leads: Sequence[str]) -> tuple[str, ...]:
    rmse = _overall(skill, variable)
    best = min(_baselines(skill), key=lambda name: rmse[name] if np.isfinite(rmse[name]) else np.inf)
    each = [ratios(trial.skill, variable) for trial in found.trials]
    at = ", ".join(leads[lead] for lead in sorted({lead for *_, lead in each}))
    return (
        f"[{found.name}](#{found.name}) {variable}",
        str(skill["units"].sel(variable=variable).item()),
        f"{int(skill['n'].sel(variable=variable, system=MODEL).max())}",
        best.replace("_", " "),
        f"{rmse[best]:.4g}",
        *(f"{rmse[name]:.4g}" if name in rmse else "" for name in (*reversed(PARTS_SHOWN), MODEL)),
        _ranged([overall for overall, *_ in each]),
        f"{_ranged([worst for _, worst, _ in each])} at {at}",
        ", ".join(dict.fromkeys(trial.judgement.verdict.outcome for trial in found.trials)),
        f"{statistics.median(trial.training for trial in found.trials):.0f}",
    )


def _words(found: Trials) -> str:
    """How it was trained and judged."""
    trials, plan = found.trials, found.trials[0].plan
    network = f"a network of {trials[0].parameters:,} parameters" if trials[0].parameters else "no network"
    first, last = trials[0].judgement.held_out
    seeds = "seed 0" if len(trials) == 1 else f"seeds 0 to {len(trials) - 1}"
    return (
        f"{found.frames:,} frames every {plan.step}, T = {plan.frames_in}, T' = {plan.frames_out}, {network}, {seeds}. "
        f"Held out: targets of {first} .. {last}. Seconds: ingest {found.ingest:.0f}, training "
        f"{_seconds(t.training for t in trials)}, judging {_seconds(t.judging for t in trials)}."
    )


def _by_lead(skill: xr.Dataset, variable: str, leads: Sequence[str]) -> Table:
    """RMSE of every system, the lowest of each line in bold, and the model's over the best baseline's."""
    own, rows = skill.sel(variable=variable), []
    for lead, words in enumerate(leads):
        at = own.isel(lead_time=lead)
        rows.append(_line(words, at["n"], _scores(at["rmse"])))
    rows.append(_line("all", own["n_all"], _overall(skill, variable)))
    units = own["units"].item()
    return Table(
        title=f"RMSE of {variable}{f', {units}' if units else ''}, weighted by {skill.attrs['weighting']}",
        columns=("lead", "n", *(name.replace("_", " ") for name in _systems(skill)), "model / best baseline"),
        rows=tuple(rows),
    )


def _line(label: str, n: xr.DataArray, rmse: Mapping[str, float]) -> tuple[str, ...]:
    least = min(filter(np.isfinite, rmse.values()), default=nan)
    shown = (f"**{score:.4g}**" if score == least else f"{score:.4g}" for score in rmse.values())
    best = np.nanmin([score for name, score in rmse.items() if name not in (MODEL, *PARTS_SHOWN)])
    return (label, str(int(n.sel(system=MODEL))), *shown, f"{rmse[MODEL] / best:.3f}")


def _csi(skill: xr.Dataset, variable: str, leads: Sequence[str]) -> Iterator[Table]:
    """CSI of rain, the highest of each line in bold."""
    if "csi" not in skill or variable not in skill["thresholded"].values:
        return
    rows = []
    lines = ((least, scores) for name, least, _, scores in csi_lines(skill) if name == variable)
    for (least, scores), lead in zip(lines, cycle([*leads, "all"])):
        highest = max(filter(np.isfinite, scores), default=nan)
        shown = (f"**{score:.3f}**" if score == highest else f"{score:.3f}" for score in scores)
        rows.append((least, lead, *shown))
    names = (str(name).replace("_", " ") for name in skill["contender"].values)
    yield Table(title=f"CSI of {variable}", columns=("at least", "lead", *names), rows=tuple(rows))


def _rolling(trials: Sequence[Trial], variable: str) -> Iterator[Table]:
    """CSI over all leads of the validation blocks, of the counts of all seeds; points with rain that was hit or missed.

    The held-out period may be dry: these are not, or their counts say so.
    """
    rain = [trial.rain for trial in trials if trial.rain is not None]
    if not rain or variable not in rain[0]["thresholded"].values:
        return
    total = sum(counts.sel(thresholded=variable).sum(["init_time", "lead_time"]) for counts in rain[1:])
    counts = rain[0].sel(thresholded=variable).sum(["init_time", "lead_time"]) + total
    rows = []
    for rate in range(counts.sizes["rank_of_threshold"]):
        at = counts.isel(rank_of_threshold=rate)
        scores, wet = contingency(at)["csi"], outcomes(at)[3].sel(contender="model")
        highest = float(scores.max())
        shown = (f"**{score:.3f}**" if score == highest else f"{score:.3f}" for score in scores.values.tolist())
        rows.append((f"{RATES[rate]:g} mm/h", str(sum(c.sizes["init_time"] for c in rain)), f"{int(wet):,}", *shown))
    names = (str(name).replace("_", " ") for name in counts["contender"].values)
    yield Table(
        title=f"CSI of {variable} on validation blocks, each forecast by a model trained on what lies before it",
        columns=("at least", "init times", "points with rain", *names),
        rows=tuple(rows),
    )


def _shares(trials: Sequence[Trial], variable: str, leads: Sequence[str]) -> Iterator[Table]:
    """Weights of the experts in the mean over init times and seeds, and how much of the network's correction is taken.

    Of the first and the last lead, and in the mean over the leads; experts that never have a weight are left out.
    """
    name = f"{variable}{WEIGHT}"
    if any(name not in trial.judgement.errors.coords for trial in trials):
        return
    each = [t.judgement.errors[name].mean("init_time").transpose("lead_time", "expert") for t in trials]
    weights = np.mean([one.values for one in each], axis=0)
    experts = [str(expert) for expert in each[0]["expert"].values]
    here = [number for number in range(len(experts)) if weights[:, number].any()]
    state = trials[0].skill["variable"].values.tolist().index(variable)
    rows = []
    for label, part in ((leads[0], slice(0, 1)), (leads[-1], slice(len(leads) - 1, None)), ("all", slice(None))):
        shares = (f"{share:.2f}" for share in weights[part].mean(0)[here])
        rows.append((label, *shares, _correction(trials, state, part)))
    yield Table(
        title=f"What {variable} is made of: mean weights of the experts; the part of the network's correction",
        columns=("lead", *(experts[number].replace("_", " ") for number in here), "correction"),
        rows=tuple(rows),
    )


def _correction(trials: Sequence[Trial], state: int, leads: slice) -> str:
    """The part that is taken, with its standard error, in the mean over leads and seeds."""
    taken = [trial.correction[state, leads] for trial in trials if trial.correction is not None]
    if not taken:
        return "no network"
    errors = [trial.correction_error[state, leads] for trial in trials if trial.correction_error is not None]
    return f"{np.mean(taken):.2f}" + (f" ± {np.mean(errors):.2f}" if errors else "")


def _verdict(trial: Trial) -> str:
    """The gate's, with its reasons; of those for a promotion the one against the best baseline of each variable."""
    verdict = trial.judgement.verdict
    reasons: Iterable[str] = verdict.reasons
    if verdict.outcome == "promote":
        nearest = sorted(verdict.comparisons, key=lambda c: c.reference_rmse, reverse=True)
        reasons = {comparison.variable: comparison.reason for comparison in nearest}.values()
    return "\n".join([f"Gate, seed {trial.seed}: {verdict.outcome}.", "", *(f"* {reason}" for reason in reasons)])


def _systems(skill: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    """The model, its parts, and the baselines."""
    names = [str(name) for name in skill["system"].values]
    return (MODEL, *(name for name in PARTS_SHOWN if name in names), *_baselines(skill))


def _baselines(skill: xr.Dataset | xr.DataArray) -> tuple[str, ...]:
    return tuple(str(name) for name in skill["system"].values if name != MODEL and name not in PARTS)


def _overall(skill: xr.Dataset, variable: str) -> dict[str, float]:
    return _scores(skill["rmse_all"].sel(variable=variable))


def _scores(rmse: xr.DataArray) -> dict[str, float]:
    """By system, in the order of the columns, of scores (system)."""
    return {name: float(rmse.sel(system=name)) for name in _systems(rmse)}


def _ranged(values: Sequence[float]) -> str:
    """The median; of several, with the smallest and the largest."""
    words = f"{statistics.median(values):.3f}"
    return words if len(values) == 1 else f"{words} ({min(values):.3f} .. {max(values):.3f})"


def _seconds(values: Iterable[float]) -> str:
    return " and ".join(f"{value:.0f}" for value in values)
