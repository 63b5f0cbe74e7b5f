"""Pictures of members and bounds: whether they hold what they promise, and how sure a forecast is at a place."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.pictures.fields import labelled, lead_axis, quiet
from simvp.errors import ConfigError

_INK, _SECOND, _BAND = "#000000", "#0072B2", "#56B4E9"


def ensemble_panels(summary: xr.Dataset, *, title: str = "") -> Figure:
    """Four panels for each variable: CRPS by lead, spread beside error, ranks, and reliability of the bounds.

    Parameters
    ----------
    summary
        `crps`, `single_error`, `spread`, `member_rmse` (variable, lead_time), `ranks_all` (variable, rank) and
        `below_all` (variable, quantile), as `pipelines.evaluation.skill_table` has them.
    """
    names = [str(name) for name in summary["variable"].values]
    figure = Figure(figsize=(15.0, 3.6 * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    leads, unit = lead_axis(summary["lead_time"])
    for row, name in zip(figure.subplots(len(names), 4, squeeze=False), names, strict=True):
        own = summary.sel(variable=name)
        units = str(own["units"].item()) if "units" in own.coords else ""
        pairs = (
            (("CRPS of members (fair)", "crps"), ("mean absolute error of the forecast", "single_error")),
            (("spread of members", "spread"), ("RMSE of their mean", "member_rmse")),
        )
        for axes, lines in zip(row[:2], pairs, strict=True):
            for (label, score), (colour, marker, dash) in zip(
                lines, ((_INK, "o", "-"), (_SECOND, "s", "--")), strict=True
            ):
                axes.plot(leads, own[score], color=colour, marker=marker, ms=4, ls=dash, label=label)
            axes.set(xlabel=f"lead time ({unit})", ylabel=labelled(name, units))
            axes.set_ylim(bottom=0)
            axes.legend(frameon=False, fontsize=8)
            quiet(axes)
        _ranks(row[2], own["ranks_all"].values)
        _reliability(row[3], own["below_all"])
    return figure


def fan_chart(forecast: xr.Dataset, variable: str, *, observed: xr.DataArray | None = None, title: str = "") -> Figure:
    """A forecast at a place by lead, with its bounds as bands and its members as thin lines.

    Parameters
    ----------
    forecast
        From `simvp.at`, of one init time; with bounds, members or both.
    variable
        Its name.
    observed
        What came true, along ``lead_time``.

    Raises
    ------
    ConfigError
        Several init times, or a forecast that has a grid still.
    """
    one = forecast.squeeze("init_time") if forecast.sizes.get("init_time") == 1 else forecast
    if one[variable].dims != ("lead_time",):
        reason = f"expected one init time at a place, got {one[variable].dims}"
        raise ConfigError(
            "Fan chart", [reason], "choose an init time, and take simvp.at(forecast, latitude, longitude)"
        )
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    leads, unit = lead_axis(one["lead_time"])
    if f"{variable}_quantile" in one:
        bounds = one[f"{variable}_quantile"].transpose("quantile", "lead_time")
        levels = bounds["quantile"].values
        for number in range(len(levels) // 2):
            low, high = levels[number], levels[-1 - number]
            edges = bounds.values[number], bounds.values[-1 - number]
            label = f"{low:.3g} to {high:.3g}"
            axes.fill_between(leads, *edges, color=_BAND, alpha=0.25 + 0.2 * number, lw=0, label=label)
    if f"{variable}_member" in one:
        members = one[f"{variable}_member"].transpose("lead_time", "member").values
        axes.plot(leads, members, color="0.6", lw=0.6)
    axes.plot(leads, one[variable], color=_INK, marker="o", ms=4, label="forecast")
    if observed is not None:
        axes.plot(leads, observed, color="#D55E00", marker="^", ms=4, ls="none", label="observed")
    axes.set(xlabel=f"lead time ({unit})", ylabel=labelled(variable, one[variable].attrs.get("units", "")), title=title)
    axes.legend(frameon=False, fontsize=8)
    quiet(axes)
    return figure


def _ranks(axes: Axes, shares: np.ndarray) -> None:
    """Rank histogram, in units of what every rank would have."""
    count = len(shares)
    axes.bar(np.arange(count), shares * count, color=_SECOND, width=0.85)
    axes.axhline(1.0, color=_INK, lw=1)
    axes.set(xlabel="members below what came true", ylabel="how often, times number of ranks", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)


def _reliability(axes: Axes, below: xr.DataArray) -> None:
    """Share of what came true at or below each bound, beside what the bound says."""
    line: dict[str, Any] = {"color": "0.5", "lw": 1, "ls": ":"}
    axes.plot([0, 1], [0, 1], **line)
    axes.plot(below["quantile"], below, color=_INK, marker="o", ms=5)
    axes.set(xlabel="level of the bound", ylabel="share at or below it", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
