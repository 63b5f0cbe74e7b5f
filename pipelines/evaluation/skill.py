"""The skill table: RMSE of the model and the five baselines by variable and lead, with the count behind it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from datasets.store import disk
from simvp.scoring import NAMES, summarise

COLUMNS = ("variable", "lead_hours", "n", "weighting", "model", *NAMES)


def skill_table(errors: xr.Dataset) -> xr.Dataset:
    """Scores by variable and lead, and over all leads, of every system on the same maps.

    Parameters
    ----------
    errors
        From `pipelines.evaluation.evaluate`: dims (system, variable, init_time, lead_time).

    Returns
    -------
    xr.Dataset
        `rmse`, `mae`, `bias`, `acc` and `n` (system, variable, lead_time); the same over all leads (square root
        of the mean square) as `rmse_all`, ... (system, variable). A map counts only where every system has it.
        Coordinates `units` (variable) and `lead_hours` (lead_time), attribute `weighting`.
    """
    # Paired: a baseline that lacks the hard maps would look better than it is.
    by_lead = summarise(errors, "init_time", paired="system")
    overall = summarise(errors, ["init_time", "lead_time"], paired="system")
    table = by_lead.assign({f"{name}_all": overall[name].variable for name in overall.data_vars})
    return table.assign_coords(lead_hours=("lead_time", lead_hours(errors))).drop_vars("valid_time", errors="ignore")


def lead_hours(errors: xr.Dataset) -> np.ndarray:
    """Hours from init to valid time, (L,): of calendar months the mean over the init times, to a tenth of an hour."""
    leads = errors["lead_time"].values
    if leads.dtype.kind == "m":
        return leads / np.timedelta64(1, "h")
    apart = errors["valid_time"].transpose("init_time", "lead_time").values - errors["init_time"].values[:, None]
    if apart.dtype.kind == "m":
        hours = apart / np.timedelta64(1, "h")
    else:
        hours = np.array([[gap.total_seconds() / 3600 for gap in row] for row in apart])
    return hours.mean(0).round(1)


def skill_csv(table: xr.Dataset) -> str:
    """`skill_table` as comma separated values.

    One line per variable and lead: variable, lead_hours (a number; for calendar months the mean length), n (init
    times scored), weighting, then the RMSE of the model and of each baseline in the variable's units.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in table["variable"].values:
        for lead, hours in enumerate(table["lead_hours"].values):
            row = table.isel(lead_time=lead).sel(variable=name)
            scores = [float(row["rmse"].sel(system=system)) for system in COLUMNS[4:]]
            count = int(row["n"].sel(system="model"))
            writer.writerow([name, f"{hours:g}", count, table.attrs["weighting"], *(f"{s:.6g}" for s in scores)])
    return text.getvalue()


def write_skill_csv(path: Path, table: xr.Dataset) -> None:
    """`skill_csv` as a file, replaced at once."""
    disk.write(path, skill_csv(table).encode())


def markdown(table: xr.Dataset) -> str:
    """RMSE by lead and over all leads as a Markdown table; the best of each line in bold."""
    lines = [
        "| variable | lead h | n | " + " | ".join(name.replace("_", " ") for name in COLUMNS[4:]) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(COLUMNS[4:]),
    ]
    for name in table["variable"].values:
        units = str(table["units"].sel(variable=name).item())
        label = f"{name} ({units})" if units else str(name)
        chosen = table.sel(variable=name)
        for lead, hours in enumerate(table["lead_hours"].values):
            row = chosen.isel(lead_time=lead)
            lines.append(_line(label, f"{hours:g}", row["n"], row["rmse"]))
        lines.append(_line(label, "all", chosen["n_all"], chosen["rmse_all"]))
    return "\n".join([*lines, "", f"RMSE, weighted by {table.attrs['weighting']}"])


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
    finite = {system: value for system, value in rmse.items() if np.isfinite(value)}
    if not finite or not np.isfinite(model):
        return f"{name}: no init time yet that the model and all baselines have a score for."
    best = min(finite, key=lambda system: finite[system])
    n = int(table["n_all"].sel(variable=name, system="model"))
    word = "below" if model < finite[best] else "not below"
    return (
        f"{name}: RMSE over all leads {model:.4g} {units}, {word} the best baseline's {finite[best]:.4g} "
        f"({best.replace('_', ' ')}), {n} maps, weighted by {table.attrs['weighting']}."
    )


def _line(label: str, lead: str, n: xr.DataArray, rmse: xr.DataArray) -> str:
    scores = {system: float(rmse.sel(system=system)) for system in COLUMNS[4:]}
    best = min((s for s in scores.values() if np.isfinite(s)), default=np.nan)
    shown = (f"**{s:.4g}**" if s == best else f"{s:.4g}" for s in scores.values())
    return f"| {label} | {lead} | {int(n.sel(system='model'))} | " + " | ".join(shown) + " |"
