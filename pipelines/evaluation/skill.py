"""The skill table: RMSE of the model and the baselines by variable and lead, with the count behind it."""

import csv
import io
from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr

from pipelines.evaluation.bootstrap import studentise
from pipelines.evaluation.evaluate import ENSEMBLE, LEVELS, MEMBERS, MODEL, SYSTEMS
from pipelines.evaluation.verdict import PARTS
from simvp.errors import ConfigError
from simvp.scoring import EXTRAPOLATION, contingency, fractions_skill, summarise
from simvp.times import encode_times

CSI = "CSI: hits / (hits + misses + false alarms) of the points that reach a threshold"
SHARP = (
    f"{CSI}; sharp: the model's rain with the distribution of the extrapolated one, in an order in which the model has "
    "as much say as gained on validation blocks"
)
"""Below scores of thresholds, and where something moves."""

OWN = ("unmixed", "base")
"""Parts of the model that a table shows beside it."""

_FEWEST = 5  # blocks of init times that a limit is taken from

MORE = ("mae", "bias", "acc")
"""Of the model, beside its RMSE."""

COLUMNS = ("model", *OWN, *SYSTEMS[1:], EXTRAPOLATION)
"""Of a table, as far as its scores have them: the model and its parts, and the baselines."""


def by_model(errors: xr.Dataset) -> dict[str, xr.Dataset]:
    """Errors of each model that made some of the forecasts, by its version, in the order of their first init times.

    Scores of two models are never averaged together: the mean belongs to neither. Two that bear the same version
    ("unregistered") are told apart by their content.
    """
    if not set(MODEL) <= set(errors.coords):
        return {"": errors}
    made = list(zip(*(errors[name].values.tolist() for name in MODEL), strict=True))
    models = list(dict.fromkeys(made))
    versions = [version for version, _ in models]
    labels = [v if versions.count(v) == 1 else f"{v}, content {content}" for v, content in models]
    parts = ([i for i, one in enumerate(made) if one == model] for model in models)
    return {label: errors.isel(init_time=part) for label, part in zip(labels, parts, strict=True)}


def skill_table(errors: xr.Dataset) -> xr.Dataset:
    """Scores by variable and lead, and over all leads, of every system on the same maps.

    Parameters
    ----------
    errors
        From `pipelines.evaluation.evaluate`: dims (system, variable, init_time, lead_time).

    Returns
    -------
    xr.Dataset
        `rmse`, `mae`, `bias`, `acc`, `n` and `points` (system, variable, lead_time); the same over all leads (square
        root of the mean square) as `rmse_all`, ... (system, variable). A map counts only where every system has it;
        "unmixed" and "base", the parts of the model, are there where they lack none of these maps. Where no baseline
        has any, as the file of the model is not there any more, the model stands alone.
        Where the model has members and bounds, `crps` (fair), `single_error` (mean absolute error of the forecast on
        the same points), `coverage` and `width` of the 90 % band, `spread` (root of the mean variance of the members
        times (M + 1) / M) and `member_rmse` of their mean, `ranks`, `below`: (variable, lead_time), and ``_all``;
        limits of `coverage_all` by a block bootstrap, `coverage_low` and `coverage_high` (variable).
        Where there are thresholds, `csi`, `ets`, `frequency_bias` (contender, thresholded, rank_of_threshold,
        lead_time), `fss` (..., scale, ...), and ``_all``, see `simvp.scoring.events`.
        Coordinates `units` (variable) and `lead_hours` (lead_time), attributes `weighting` and `version`.

    Raises
    ------
    ConfigError
        Forecasts of several models: a table each, see `by_model`.
    """
    models = list(by_model(errors))
    if len(models) > 1:
        reason = f"expected the scores of one model, got those of {', '.join(models)}"
        raise ConfigError("Skill table", [reason], "make a table of each of `by_model(errors)`")
    errors = errors.sel(system=_complete(errors))
    # Paired: a baseline that lacks the hard maps would look better than it is.
    by_lead = summarise(errors, "init_time", paired="system")
    overall = summarise(errors, ["init_time", "lead_time"], paired="system")
    table = by_lead.assign({f"{name}_all": overall[name].variable for name in overall.data_vars})
    if "ranks" in errors:
        table = table.assign(_sure(errors, "init_time"))
        every = _sure(errors, ["init_time", "lead_time"])
        table = table.assign({f"{name}_all": values for name, values in every.items()}).assign(_limits(errors))
    if "events" in errors and len(errors["system"]) > 1:
        sums = errors["events"].sum("init_time")
        table = table.assign(_reached(sums))
        table = table.assign({f"{name}_all": values for name, values in _reached(sums.sum("lead_time")).items()})
    table = table.assign_coords(lead_hours=("lead_time", lead_hours(errors))).drop_vars("valid_time", errors="ignore")
    return table.assign_attrs(version=models[0])


def _sure(errors: xr.Dataset, dims: str | list[str]) -> dict[str, xr.DataArray]:
    """Scores of members and bounds, in the mean over maps."""
    mean = errors[[*ENSEMBLE, "ranks", "below", "width"]].mean(dims)
    inside = mean["below"].sel(quantile=LEVELS[-1], drop=True) - mean["below"].sel(quantile=LEVELS[0], drop=True)
    return {
        "crps": mean["crps"],
        "single_error": mean["single_error"],
        "coverage": inside,
        "width": mean["width"].sel(quantile=LEVELS[0], drop=True),
        "spread": (mean["variance"] * (MEMBERS + 1) / MEMBERS) ** 0.5,
        "member_rmse": mean["mean_squared_error"] ** 0.5,
        "ranks": mean["ranks"],
        "below": mean["below"],
    }


def _limits(errors: xr.Dataset) -> dict[str, tuple[str, np.ndarray]]:
    """Limits, 90 % on both sides together, of the coverage over all leads; NaN of fewer than `_FEWEST` blocks.

    By a studentised block bootstrap over the init times; a block is twice as many as share a target with the first.
    """
    below = errors["below"]
    inside = below.sel(quantile=LEVELS[-1], drop=True) - below.sel(quantile=LEVELS[0], drop=True)
    each = inside.mean("lead_time").transpose("variable", "init_time")
    valid = errors["valid_time"].transpose("init_time", "lead_time").values
    length = 2 * max(1, int((valid[:, 0] <= valid[0, -1]).sum()))
    edges = np.full((2, each.sizes["variable"]), np.nan)
    for number, values in enumerate(each.values):
        known = values[np.isfinite(values)]
        if len(known) >= _FEWEST * length:
            blocks = np.minimum(np.arange(len(known)) // length, len(known) // length - 1)
            found = studentise(known, blocks, draws=2000, seed=0)
            edges[:, number] = found.mean - np.quantile(found.pivots, [0.95, 0.05]) * found.error
    return {f"coverage_{side}": ("variable", row) for side, row in zip(("low", "high"), edges.clip(0, 1), strict=True)}


def _reached(sums: xr.DataArray) -> dict[str, xr.DataArray]:
    """Scores of thresholds, of sums over maps."""
    scores = {str(name): values for name, values in contingency(sums).items()}
    return {**scores, "fss": fractions_skill(sums)}


def sure_words(table: xr.Dataset, name: str) -> str:
    """What members and bounds are worth, over all leads; empty of a model that has none."""
    if "crps_all" not in table:
        return ""
    own = table.sel(variable=name)
    crps, single, inside = (float(own[f"{score}_all"]) for score in ("crps", "single_error", "coverage"))
    if not np.isfinite(crps):
        return ""
    units = str(table["units"].sel(variable=name).item())
    low, high = float(own["coverage_low"]), float(own["coverage_high"])
    limits = f" ({low:.1%} to {high:.1%} by a block bootstrap)" if np.isfinite(low + high) else ""
    return (
        f"{name}: fair CRPS of {MEMBERS} members {crps:.4g} {units}, {crps / single:.3f} of the mean absolute error "
        f"{single:.4g} {units} (0.707: calibrated and Gaussian); the 90 % band holds {inside:.1%} of what came true"
        f"{limits}."
    )


def lead_hours(errors: xr.Dataset) -> np.ndarray:
    """Hours from init to valid time, (L,): of calendar months the mean over the init times, to a tenth of an hour."""
    leads = errors["lead_time"].values
    if leads.dtype.kind == "m":
        return leads / np.timedelta64(1, "h")
    valid, _ = encode_times(errors["valid_time"].transpose("init_time", "lead_time").values)
    inits, _ = encode_times(errors["init_time"].values)
    return ((valid - inits[:, None]) / 3600).mean(0).round(1)


def skill_csv(*tables: xr.Dataset) -> str:
    """One `skill_table` or several, of a model each, as comma separated values.

    One line per model, variable and lead: variable, lead_hours (a number; for calendar months the mean length), n (init
    times scored), weighting, the RMSE of the model, of its parts as far as a table has them, and of each baseline
    in the variable's units, version of the model; of the model mae, bias and acc, and, where one of the tables has
    them, crps, coverage_90 and width_90 of its members and bounds. "nan" is what a table does not have and another has.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [name for name in COLUMNS if any(name in table["system"] for table in tables)]
    sure = {"crps": "crps", "coverage": "coverage_90", "width": "width_90"} if any("crps" in t for t in tables) else {}
    writer.writerow(["variable", "lead_hours", "n", "weighting", *columns, "version", *MORE, *sure.values()])
    for table in tables:
        weighting, version, number = table.attrs["weighting"], table.attrs["version"], 0
        for name, lead, n, scores in _lines(table):
            if lead != "all":
                rmse = dict(zip(_systems(table), scores, strict=True))
                shown = (f"{rmse.get(system, np.nan):.6g}" for system in columns)
                own = table.sel(variable=name).isel(lead_time=number % table.sizes["lead_time"])
                more = [own[score].sel(system="model").item() if score in own else np.nan for score in MORE]
                more += [own[score].item() if score in own else np.nan for score in sure]
                writer.writerow([name, lead, n, weighting, *shown, version, *(f"{value:.6g}" for value in more)])
                number += 1
    return text.getvalue()


def markdown(table: xr.Dataset) -> str:
    """RMSE by lead and over all leads as a Markdown table; the best of each line in bold."""
    systems = _systems(table)
    lines = [
        "| variable | lead h | n | " + " | ".join(name.replace("_", " ") for name in systems) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(systems),
    ]
    for name, lead, n, scores in _lines(table):
        units = table["units"].sel(variable=name).item()
        label = f"{name} ({units})" if units else name
        best = min(filter(np.isfinite, scores), default=np.nan)
        shown = (f"**{score:.4g}**" if score == best else f"{score:.4g}" for score in scores)
        lines.append(f"| {label} | {lead} | {n} | {' | '.join(shown)} |")
    lines += ["", f"RMSE, weighted by {table.attrs['weighting']}"]
    if "csi" in table:
        contenders = table["contender"].values.tolist()
        lines += [
            "",
            "| variable | at least | lead h | " + " | ".join(name.replace("_", " ") for name in contenders) + " |",
            "| --- | --- | ---: |" + " ---: |" * len(contenders),
        ]
        for name, least, lead, scores in csi_lines(table):
            best = max(filter(np.isfinite, scores), default=np.nan)
            shown = (f"**{score:.3f}**" if score == best else f"{score:.3f}" for score in scores)
            lines.append(f"| {name} | {least} | {lead} | {' | '.join(shown)} |")
        for name, least, score, scores in fraction_lines(table):
            lines.append(f"| {name} | {least} | {score} | {' | '.join(f'{one:.3f}' for one in scores)} |")
        lines += [
            "",
            f"{note(table)}; ETS, frequency bias and FSS (of squares, their side in points) are over all leads",
        ]
    return "\n".join(lines)


def note(table: xr.Dataset) -> str:
    """What stands below the scores of thresholds of a table."""
    return SHARP if "sharp" in table["contender"] else CSI


def csi_lines(table: xr.Dataset) -> Iterator[tuple[str, str, str, list[float]]]:
    """Variable, threshold in its units, lead in hours or "all", and the CSI of every contender, line by line."""
    for name, least, scores in _thresholds(table):
        for lead, hours in enumerate(table["lead_hours"].values):
            yield name, least, f"{hours:.4g}", scores["csi"].isel(lead_time=lead).values.tolist()
        yield name, least, "all", scores["csi_all"].values.tolist()


def fraction_lines(table: xr.Dataset) -> Iterator[tuple[str, str, str, list[float]]]:
    """Variable, threshold in its units, name of a score, and that of every contender over all leads, line by line."""
    for name, least, scores in _thresholds(table):
        yield name, least, "ETS", scores["ets_all"].values.tolist()
        yield name, least, "frequency bias", scores["frequency_bias_all"].values.tolist()
        for scale in scores["scale"].values.tolist():
            yield name, least, f"FSS {scale}", scores["fss_all"].sel(scale=scale).values.tolist()


def _thresholds(table: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Variable, threshold in its units, and the scores (contender, ...) at it."""
    for name in table["thresholded"].values.tolist():
        units = table["units"].sel(variable=name).item()
        own = table.sel(thresholded=name, variable=name).transpose("contender", ...)
        for rank in np.flatnonzero(np.isfinite(own["threshold"].values)):
            at = own.isel(rank_of_threshold=rank)
            yield name, f"{at['threshold'].item():.4g} {units}".strip(), at


def unpredictable(table: xr.Dataset, noise: Mapping[str, float]) -> dict[str, float]:
    """Share of the model's mean square error, over all leads, that no forecast can avoid.

    Parameters
    ----------
    table
        From `skill_table`.
    noise
        Standard deviation, by variable and in its units, of what is new in every frame and lasts no longer.
    """
    shares = {}
    for name, deviation in noise.items():
        rmse = float(table["rmse_all"].sel(system="model", variable=name))
        if rmse > 0:
            shares[name] = (deviation / rmse) ** 2
    return shares


def in_words(table: xr.Dataset, name: str) -> str:
    """The model beside the best baseline, over all leads."""
    scores = table["rmse_all"].sel(variable=name)
    rmse = {str(system): float(scores.sel(system=system)) for system in table["system"].values}
    model = rmse.pop("model")
    units = str(table["units"].sel(variable=name).item())
    finite = {system: value for system, value in rmse.items() if np.isfinite(value) and system not in PARTS}
    if list(rmse) == [] and np.isfinite(model):
        return f"{name}: RMSE over all leads {model:.4g} {units}; the model's file, with the baselines, is not there."
    if not finite or not np.isfinite(model):
        return f"{name}: no init time yet that the model and all baselines have a score for."
    best = min(finite, key=lambda system: finite[system])
    n = int(table["n_all"].sel(variable=name, system="model"))
    word = "below" if model < finite[best] else "not below"
    return (
        f"{name}: RMSE over all leads {model:.4g} {units}, {word} the best baseline's {finite[best]:.4g} "
        f"({best.replace('_', ' ')}), {n} maps, weighted by {table.attrs['weighting']}."
    )


def _systems(table: xr.Dataset) -> tuple[str, ...]:
    """The columns of a table."""
    return tuple(name for name in COLUMNS if name in table["system"])


def _complete(errors: xr.Dataset) -> list[str]:
    """Systems of a table: no part of a model decides which maps count, so that one that lacks some is left out."""
    known = errors["squared_error"].notnull()
    rivals = [name for name in errors["system"].values.tolist() if name not in PARTS]
    baselines = [name for name in rivals if name != "model"]
    if baselines and not known.sel(system=baselines).any() and known.sel(system="model").any():
        return ["model"]
    counted = known.sel(system=rivals).all("system")
    parts = [name for name in OWN if name in errors["system"] and bool((known.sel(system=name) | ~counted).all())]
    return [*rivals, *parts]


def _lines(table: xr.Dataset) -> Iterator[tuple[str, str, int, list[float]]]:
    """Variable, lead in hours or "all", n and the RMSE of every system, line by line."""
    for name in table["variable"].values.tolist():
        scores = table.sel(variable=name, system=list(_systems(table)))
        for lead, hours in enumerate(table["lead_hours"].values):
            row = scores.isel(lead_time=lead)
            yield name, f"{hours:g}", int(row["n"].sel(system="model")), row["rmse"].values.tolist()
        yield name, "all", int(scores["n_all"].sel(system="model")), scores["rmse_all"].values.tolist()
