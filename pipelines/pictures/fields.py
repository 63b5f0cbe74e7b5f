"""Pictures of a training and of its forecasts, as matplotlib figures that belong to nobody's global state.

Colours: Okabe and Ito's palette for lines, each with a marker of its own; viridis for fields; red and blue around
zero, of one scale on both sides, for differences. All of them can be told apart with and without colour blindness.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.pictures.clips import evenly
from simvp.errors import ConfigError
from simvp.times import show_time

MODEL = ("#000000", "o", "-")
# Okabe and Ito (2008), without their yellow, which is too light for a line on white.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
LINES = tuple((colour, marker, "--") for colour, marker in zip(_COLOURS, "s^vDXP", strict=True))
# What the model is made of is drawn like it, but less of it.
_PARTS = {"unmixed": ("0.25", "o", ":"), "base": ("0.6", "o", ":")}
_MOST_MAPS = 4
FIELD, DIFFERENCE, ABSENT = "viridis", "RdBu_r", "0.85"


def learning_curve(
    epochs: Sequence[float], curves: Mapping[str, Sequence[float]], *, ylabel: str = "loss", best: float | None = None
) -> Figure:
    """Loss by epoch, one line per curve.

    Parameters
    ----------
    epochs
        (E,) numbers of the epochs.
    curves
        (E,) values by name, such as "training" and "validation"; NaN where there is none.
    ylabel
        What is drawn, with its unit.
    best
        The epoch whose weights were kept; drawn as a line.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    styles = (MODEL, *LINES)
    drawn = {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}
    for (name, values), (colour, marker, dash) in zip(drawn.items(), styles, strict=False):
        few = marker if len(epochs) <= 40 else None
        axes.plot(epochs, values, color=colour, marker=few, ms=4, ls=dash if name != "validation" else "-", label=name)
    finite = np.concatenate([[], *(values[np.isfinite(values)] for values in drawn.values())])
    if len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
        axes.set_yscale("log")
    if best is not None:
        axes.axvline(best, color="0.5", lw=1, ls=":", label=f"kept: epoch {best:g}")
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.legend(frameon=False)
    quiet(axes)
    return figure


def skill_curve(summary: xr.Dataset, *, title: str = "") -> Figure:
    """RMSE by lead, one panel per variable: the model and every baseline.

    Parameters
    ----------
    summary
        `rmse` and `n` with dims (system, variable, lead_time), "model" among the systems; where `rmse_all` (system,
        variable) is there, the legend states the RMSE over all leads. A coordinate `units` on `variable` names
        the units.
    """
    names = [str(name) for name in summary["variable"].values]
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(columns * 6.4, rows * 4.4), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    if title and len(names) > 1:
        figure.suptitle(title, fontsize=11)
    leads, unit = lead_axis(summary["lead_time"])
    systems = [str(name) for name in summary["system"].values]
    others = [name for name in systems if name not in ("model", *_PARTS)]
    styles = dict(zip(others, LINES * 3, strict=False)) | _PARTS | {"model": MODEL}
    for axes, name in zip(panels, names, strict=False):
        for system in sorted(systems, key=lambda name: name == "model"):
            colour, marker, dash = styles[system]
            values = summary["rmse"].sel(system=system, variable=name)
            label = system.replace("_", " ")
            if "rmse_all" in summary:
                label += f"  {float(summary['rmse_all'].sel(system=system, variable=name)):#.3g}"
            width = 2.4 if system == "model" else 1.2
            few = marker if len(leads) <= 36 else None
            axes.plot(leads, values, color=colour, marker=few, ms=4.5, ls=dash, lw=width, label=label)
        units = summary["units"].sel(variable=name).item() if "units" in summary.coords else ""
        count = _range(summary["n"].sel(system="model", variable=name).values)
        above = f"{title}\n" if title and len(names) == 1 else ""
        axes.set_title(f"{above}{name}, n = {count}", fontsize=10)
        axes.set(xlabel=f"lead time ({unit})", ylabel=labelled("RMSE", units))
        axes.set_ylim(bottom=0)
        heading = "RMSE over all leads" if "rmse_all" in summary else None
        axes.legend(
            reverse=True, title=heading, frameon=False, fontsize=8, title_fontsize=8,
            loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0,
        )  # fmt: skip
        quiet(axes)
    return figure


def sample_strip(
    truth: xr.DataArray, forecast: xr.DataArray, *, leads: Sequence[int] | None = None, title: str = ""
) -> Figure:
    """Truth, forecast and their difference at some leads of one init time.

    Parameters
    ----------
    truth, forecast
        Dims (lead_time, latitude, longitude), or y and x; the same coordinates.
    leads
        Positions along `lead_time`; by default up to four, spread from the first to the last.
    title
        Above all; by default the init time of the forecast, where it has one.

    Raises
    ------
    ConfigError
        If the two do not lie on the same axes.
    """
    rows, columns = (d for d in forecast.dims if d != "lead_time")
    if truth.dims != forecast.dims or truth.shape != forecast.shape:
        reason = f"expected truth on {forecast.dims} {forecast.shape}, got {truth.dims} {truth.shape}"
        raise ConfigError("Map strip", [reason])
    if leads is None:
        leads = evenly(forecast.sizes["lead_time"], _MOST_MAPS)
    hours, unit = lead_axis(forecast["lead_time"])
    shown = np.stack([truth.isel(lead_time=list(leads)).values, forecast.isel(lead_time=list(leads)).values])
    difference = shown[1] - shown[0]
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    apart = np.abs(difference[np.isfinite(difference)])
    # A single wild point would grey out all else; the bar's arrows say that values lie beyond.
    limit = float(np.quantile(apart, 0.995)) if apart.size else 1.0
    y, x = (forecast[dim].values.astype(np.float64) for dim in (rows, columns))  # counted where there are none
    width, height = map_size(x, y, forecast, len(leads))
    figure = Figure(figsize=(len(leads) * width + 1.9, 3 * height + 1.1), layout="constrained")
    grid = figure.subplots(3, len(leads), squeeze=False, sharex=True, sharey=True)
    stacked = (("truth", shown[0]), ("forecast", shown[1]), ("forecast − truth", difference))
    drawn: list[Any] = []
    for row, (name, fields) in enumerate(stacked):
        line = grid[row]
        for axes, field, lead in zip(line, fields, leads, strict=True):
            scale: dict[str, Any] = {"cmap": FIELD, "vmin": low, "vmax": high if high > low else low + 1.0}
            if row == 2:
                scale = {"cmap": DIFFERENCE, "vmin": -(limit or 1.0), "vmax": limit or 1.0}
            drawn.append(draw_map(axes, x, y, field, **scale))
            if row == 0:
                axes.set_title(f"+{hours[lead]:g} {unit}", fontsize=9)
        line[0].set_ylabel(f"{name}\n{axis_label(forecast, str(rows))}", fontsize=9)
    for axes in grid[2]:
        axes.set_xlabel(axis_label(forecast, str(columns)), fontsize=9)
    if str(rows) == "y" and not forecast["y"].attrs.get("units"):
        grid[0, 0].invert_yaxis()  # rows are counted from the top
    units = forecast.attrs.get("units", "")
    quantity = str(forecast.attrs.get("long_name") or forecast.name or "value")
    bar = figure.colorbar(drawn[0], ax=list(grid[:2].flat), shrink=0.8, aspect=30)
    bar.set_label(_wrapped(labelled(quantity, units)), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar = figure.colorbar(drawn[-1], ax=list(grid[2]), extend="both", aspect=15)
    bar.set_label(labelled("difference", units), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if not title and "init_time" in forecast.coords and not forecast["init_time"].ndim:
        title = f"forecast of {show_time(forecast['init_time'].values[()])}"
    figure.suptitle(title, fontsize=10)
    return figure


def draw_map(axes: Axes, x: np.ndarray, y: np.ndarray, field: np.ndarray, **scale: Any) -> Any:
    """Draw a map (rows, columns), grey where it has no value, with few marks on its axes; what a colour bar is of."""
    drawn = axes.pcolormesh(x, y, field, shading="nearest", rasterized=True, **scale)
    axes.set_facecolor(ABSENT)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return drawn


def png(figure: Figure, *, dpi: int = 110) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def quiet(axes: Axes) -> None:
    """A light grid behind what is drawn, whole numbers below it, and no frame."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def lead_axis(leads: xr.DataArray) -> tuple[np.ndarray, str]:
    """Leads as numbers, and their unit: hours, days from four days on, or months."""
    values = leads.values
    if values.dtype.kind != "m":
        return values.astype(np.float64), "months"
    hours = values / np.timedelta64(1, "h")
    if hours.max() < 1:
        return hours * 60.0, "min"
    return (hours / 24.0, "d") if hours.min() >= 24 else (hours, "h")


def _range(counts: np.ndarray) -> str:
    low, high = int(np.min(counts)), int(np.max(counts))
    return str(low) if low == high else f"{low} to {high}"


def axis_label(field: xr.DataArray, dim: str) -> str:
    attrs = field[dim].attrs
    units = {"degrees_north": "°N", "degrees_east": "°E"}.get(str(attrs.get("units", "")), attrs.get("units", ""))
    name = dim if dim in ("latitude", "longitude") else str(attrs.get("long_name", dim))
    return f"{name} ({units})" if units else name


def labelled(name: str, units: object) -> str:
    """Name and units for a label; a bare number's "1" says nothing there."""
    return f"{name} ({units})" if units and units != "1" else name


def map_size(x: np.ndarray, y: np.ndarray, field: xr.DataArray, maps: int) -> tuple[float, float]:
    """Width and height of one map in inches: near the true shape, whatever the number of maps."""
    tall = abs(float(y[-1] - y[0])) or 1.0
    wide = abs(float(x[-1] - x[0])) or 1.0
    if "latitude" in field.dims:
        wide *= max(float(np.cos(np.deg2rad(np.mean(y)))), 0.2)
    ratio = float(np.clip(tall / wide, 0.4, 1.6))
    width = 2.3 if maps > 1 else 3.4
    return width, width * ratio


def _wrapped(label: str, width: int = 40) -> str:
    if len(label) <= width:
        return label
    cut = label.rfind(" ", 0, width)
    return f"{label[:cut]}\n{label[cut + 1 :]}" if cut > 0 else label
