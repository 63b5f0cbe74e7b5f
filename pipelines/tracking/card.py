"""A version's page in words: the model card, which MLflow shows as its description, as Markdown.

MLflow's page draws pictures that its server has as artifacts of a run, by an address relative to the page. Its
databases hold 5000 characters of a description: of many variables and leads the card shows as many as fit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from simvp.contract import FrameSpec
    from simvp.inference import Forecaster

LONGEST = 4900
NOTES = "### Notes"
"""Heading of what people write themselves; it stays when the card is made anew."""

_ASKED = "*Write here what others should know: it stays when the gate judges again.*"
_SHOWN = (
    (6, 12),
    (4, 8),
    (3, 5),
    (2, 3),
    (1, 2),
    (1, 1),
)  # leads and variables at most, until the card is short enough
_UNSTATED = "Not stated by the source. Find it out before you pass forecasts on."
_PARTS = ("unmixed", "base")
_LIMITS = (
    "Other grids, steps, units or variables: refused, with every reason.",
    "Leads beyond T': they are rolled out, and neither the validation nor the gate has looked at them.",
    "Warnings, or decisions about safety: these are no official forecasts. How sure one is, its members and bounds say "
    "(predict with members=20, levels=(0.05, 0.95)).",
    "Times or a climate unlike the training period: skill is known of the periods named above, and of nothing else.",
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the data of a model come from, for people.

    Parameters
    ----------
    dataset
        Its name here.
    title, source, licence
        As the source says; empty where it says nothing.
    """

    dataset: str
    title: str = ""
    source: str = ""
    licence: str = ""

    @classmethod
    def of(cls, dataset: str, attrs: Mapping[str, Any]) -> "Origin":
        """By the attributes of an archive, which are those of its source."""
        says = {
            key: str(attrs.get(key, "")).strip() for key in ("title", "references", "source", "institution", "license")
        }
        source = next(filter(None, (says["references"], says["source"], says["institution"])), "")
        return cls(dataset=dataset, title=says["title"], source=source, licence=says["license"])


@dataclass(frozen=True, kw_only=True)
class Skill:
    """Scores to be shown on a card.

    Parameters
    ----------
    table
        As from `pipelines.evaluation.skill_table`: `rmse` (system, variable, lead_time) and `rmse_all` (system,
        variable); "model" and its parts are among the systems.
    on
        What was forecast, in words.
    picture
        The same as a picture: its path among the artifacts of the run.
    """

    table: xr.Dataset
    on: str
    picture: str = ""


def shares(provenance: Mapping[str, Any]) -> dict[str, str]:
    """By variable: RMSE of the base forecast, and what correction and mixture change of it, in percent.

    All on the validation blocks; empty for a model that has no base forecast.
    """
    return {
        state: f"base {rmse['base']:.4g}, correction {_change(rmse['unmixed'], rmse['base'])}, mixture "
        f"{_change(rmse['model'], rmse['unmixed'])}"
        for state, rmse in _combined(provenance).items()
    }


def card(
    model: "Forecaster",
    origin: Origin,
    *,
    skill: Skill | None = None,
    verdict: str = "",
    run_id: str = "",
    before: str = "",
) -> str:
    """The card of a version, `LONGEST` characters at most.

    Parameters
    ----------
    model
        With its provenance.
    origin
        Of its data.
    skill
        What is known of its forecasts.
    verdict
        Of the gate, in words; empty where it has not judged yet.
    run_id
        Run whose artifacts hold the picture.
    before
        The card that this one replaces: what stands below its notes is kept.
    """
    notes = before.partition(NOTES)[2].strip() or _ASKED
    for leads, variables in _SHOWN:
        text = "\n\n".join([*_sections(model, origin, skill, verdict, run_id, leads, variables), f"{NOTES}\n\n{notes}"])
        if len(text) <= LONGEST:
            break
    return text[:LONGEST]


def _sections(
    model: "Forecaster", origin: Origin, skill: Skill | None, verdict: str, run_id: str, leads: int, variables: int
) -> list[str]:
    spec, shown = model.spec, list(model.spec.states[:variables])
    units = ", ".join(f"{state.name} ({state.units})" for state in spec.state_channels[:variables])
    more = f" and {spec.n_states - variables} more" if spec.n_states > variables else ""
    parts = [
        f"**Forecasts of {units}{more}**, {spec.frames_out} steps of {spec.step} ahead.",
        f"Gate: {_short(verdict)}",
    ]
    if skill is not None:
        if skill.picture and run_id:
            parts.append(
                f"![RMSE by lead, model and baselines](get-artifact?path={quote(skill.picture)}&run_uuid={run_id})"
            )
        parts += [f"### Skill on {skill.on}", _skill(skill.table, shown, leads)]
    if whose := _whose(model.provenance, shown):
        parts += ["### Whose skill it is", whose]
    parts += [
        "### Data and model",
        _facts(model, origin),
        "### Not to be used for",
        "\n".join(f"* {line}" for line in _LIMITS),
        f"### Licence of the data\n\n{origin.licence or _UNSTATED}",
    ]
    return parts


def _short(verdict: str, most: int = 1000) -> str:
    if not verdict:
        return "not judged yet (`prefect deployment run promote/manual`)."
    lines = [line.strip() for line in verdict.splitlines() if not line.strip().startswith("beside it")]
    text = "\n".join([lines[0], "", *(f"* {line.removeprefix('- ')}" for line in lines[1:])])
    return text if len(text) <= most else f"{text[:most].rsplit(chr(10), 1)[0]}\n* ... (artifact gate/verdict.md)"


def _skill(table: xr.Dataset, names: Sequence[str], leads: int) -> str:
    """RMSE by lead and over all leads; the best of a line in bold."""
    systems = [str(name) for name in table["system"].values if name not in _PARTS]
    chosen = np.unique(np.linspace(0, table.sizes["lead_time"] - 1, leads).round().astype(int))
    lines = [
        _row("RMSE", "lead", *(name.replace("_", " ") for name in systems)),
        f"| --- | ---: |{' ---: |' * len(systems)}",
    ]
    for name in names:
        scores = table.sel(variable=name, system=systems)
        label = f"{name} ({table['units'].sel(variable=name).item()})"
        rows = [(lead_words(table["lead_time"].values[k]), scores["rmse"].isel(lead_time=k).values) for k in chosen]
        for lead, values in [*rows, ("all", scores["rmse_all"].values)]:
            best = np.nanmin(values) if np.isfinite(values).any() else np.nan
            cells = (f"**{value:.4g}**" if value == best else f"{value:.4g}" for value in values)
            lines.append(_row(*(cell.replace(" ", "&nbsp;") for cell in (label, lead)), *cells))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    """A line of a table: MLflow's page leaves no room between columns."""
    return f"| {'&emsp; | '.join(cells)} |"


def lead_words(lead: Any) -> str:
    """A lead in the unit that suits it: minutes, hours, days from four days on, or calendar months."""
    if not isinstance(lead, np.timedelta64):
        return f"{lead} months"
    hours = lead / np.timedelta64(1, "h")
    if hours < 1:
        return f"{60 * hours:g} min"
    return f"{hours / 24:g} d" if hours >= 96 else f"{hours:g} h"


def _whose(provenance: Mapping[str, Any], names: Sequence[str]) -> str:
    """For each variable what base, network and mixture make of the RMSE on the validation blocks."""
    found = provenance.get("combination", {})
    rows = {name: rmse for name, rmse in _combined(provenance).items() if name in names}
    if not rows:
        return ""
    lines = [
        _row("RMSE on the validation blocks", "best baseline", "base forecast", "with the network", "with the mixture"),
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for state, rmse in rows.items():
        row = provenance["validation"][state]
        network, mixture = "no network", "switched off"
        if "correction" in found:
            network = f"{rmse['unmixed']:.4g} ({_change(rmse['unmixed'], rmse['base'])})"
        if "weights" in found:
            mixture = f"{rmse['model']:.4g} ({_change(rmse['model'], rmse['unmixed'])})"
        baseline = f"{row['baseline_rmse']:.4g} ({row['best_baseline'].replace('_', ' ')})"
        base = f"{rmse['base']:.4g} ({_change(rmse['base'], row['baseline_rmse'])})"
        lines.append(_row(f"{state} ({row['units']})", baseline, base, network, mixture))
    return "\n".join(lines)


def _facts(model: "Forecaster", origin: Origin) -> str:
    spec, provenance = model.spec, model.provenance
    periods = provenance.get("periods", {})
    rows = {
        "data set": "; ".join(filter(None, (f"`{origin.dataset}`", origin.title, origin.source))),
        "trained on": _pieces(periods.get("train", spec.fitted_on.get("train", ()))),
        "validated on": _pieces(periods.get("validation", ())),
        "held out for the gate": _pieces([periods["held_out"]] if "held_out" in periods else ()),
        "grid": _grid(spec),
        "frames": f"T = {spec.frames_in} in, T' = {spec.frames_out} out, every {spec.step}; {spec.calendar} calendar",
        "takes": _taken(spec),
        "network": _network(model),
        "learned as": "; ".join(_transform(spec, k) for k in range(min(spec.n_states, 4))),
        "content": f"`{model.fingerprint}`, archive commit `{str(provenance.get('archive_commit', ''))[:12]}`, code "
        f"`{str(provenance.get('git', {}).get('commit', 'unknown'))[:12]}`",
    }
    return "\n".join(["| | |", "| --- | --- |", *(_row(name, text) for name, text in rows.items() if text)])


def _pieces(pieces: Sequence[Sequence[str]]) -> str:
    """First and last time of pieces: of many the whole span, with their number."""
    if not pieces:
        return ""
    if len(pieces) <= 2:
        return ", ".join(f"{_minute(first)} to {_minute(last)}" for first, last in pieces)
    return f"{len(pieces)} blocks between {_minute(pieces[0][0])} and {_minute(pieces[-1][1])}"


def _minute(time: str) -> str:
    return time.replace("T", " ").removesuffix(".000000000").removesuffix(":00")


def _grid(spec: "FrameSpec") -> str:
    grid = spec.grid
    size = f"{grid.shape[0]} x {grid.shape[1]} points"
    if grid.kind == "index":
        return f"{size}, rows and columns without a place"
    spans = []
    for name, values in grid.axes.items():
        units = (
            str(grid.attrs.get(name, {}).get("units", "")).replace("degrees_north", "°N").replace("degrees_east", "°E")
        )
        spans.append(f"{name} {values.min():g} to {values.max():g} {units}".rstrip())
    return f"{size}; {', '.join(spans)}"


def _taken(spec: "FrameSpec") -> str:
    """Forms of an input; MLflow's signature can say one of them only, and holds none."""
    from simvp.mlflow_model import axes_of  # with PyTorch, which those who judge do without

    shapes = [f"{name} {('N', *spec.shape)}" for name in spec.states[:4]] + ["time (N,)"]
    shapes += [f"{name} {values.shape}" for name, (_, values) in axes_of(spec).items()]
    arrays = ", ".join(shapes).replace("'", "")
    return f"an xarray Dataset or DataArray; a table with a row for each time and place; arrays by name: {arrays}"


def _network(model: "Forecaster") -> str:
    if model.network is None:
        return "none: the base forecast, a ridge regression, alone"
    count = sum(parameter.numel() for parameter in model.network.parameters())
    return (
        f"SimVP that corrects the base forecast, {count:,} parameters" if model.base else f"SimVP, {count:,} parameters"
    )


def _transform(spec: "FrameSpec", number: int) -> str:
    state = spec.state_channels[number]
    words = "departure from its climatology" if state.climatology.period != "none" else "departure from its mean"
    named = zip(("at least", "at most"), state.bounds, strict=True)
    limits = [f"{word} {bound:g}" for word, bound in named if bound is not None]
    logarithm = ", as a logarithm" if state.log_scale is not None else ""
    return f"{state.name}: {words}{logarithm}{', forecasts ' if limits else ''}{' and '.join(limits)}"


def _combined(provenance: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    found: Mapping[str, Mapping[str, float]] = provenance.get("combination", {}).get("rmse", {})
    return found


def _change(rmse: float, before: float) -> str:
    """In percent, with its sign."""
    if not (before > 0 and math.isfinite(rmse)):
        return "unknown"
    return f"{100 * (rmse / before - 1):+.1f} %"
