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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simvp.coords import show_time
from simvp.errors import ConfigError

_MODEL = ("#000000", "o", "-")
# Okabe and Ito (2008), without their yellow, which is too light for a line on white.
_LINES = (
    ("#E69F00", "s", "--"),
    ("#56B4E9", "^", "--"),
    ("#009E73", "v", "--"),
    ("#0072B2", "D", "--"),
    ("#D55E00", "X", "--"),
    ("#CC79A7", "P", "--"),
)
_MOST_MAPS = 4
_FIELD, _DIFFERENCE, _ABSENT = "viridis", "RdBu_r", "0.85"


def learning_curve(
    epochs: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    ylabel: str = "loss",
    best: float | None = None,
    title: str = "",
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
    figure, (axes,) = _figure(1, 6.4, 4.0, title)
    styles = (_MODEL, *_LINES)
    drawn = [np.asarray(values, dtype=np.float64) for values in curves.values()]
    for (name, _), values, (colour, marker, dash) in zip(curves.items(), drawn, styles, strict=False):
        few = marker if len(epochs) <= 40 else None
        axes.plot(epochs, values, color=colour, marker=few, ms=4, ls=dash if name != "validation" else "-", label=name)
    finite = np.concatenate([values[np.isfinite(values)] for values in drawn]) if drawn else np.empty(0)
    if len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
        axes.set_yscale("log")
    if best is not None:
        axes.axvline(best, color="0.5", lw=1, ls=":", label=f"kept: epoch {best:g}")
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    _quiet(axes)
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
    figure, panels = _figure(len(names), 6.4, 4.4, title if len(names) > 1 else "")
    leads, unit = _lead_axis(summary["lead_time"])
    systems = [str(name) for name in summary["system"].values]
    styles = dict(zip([name for name in systems if name != "model"], _LINES * 3, strict=False)) | {"model": _MODEL}
    for axes, name in zip(panels, names, strict=True):
        for system in sorted(systems, key=lambda name: name == "model"):
            colour, marker, dash = styles[system]
            values = summary["rmse"].sel(system=system, variable=name)
            label = system.replace("_", " ")
            if "rmse_all" in summary:
                label += f"  {float(summary['rmse_all'].sel(system=system, variable=name)):.3g}"
            width = 2.4 if system == "model" else 1.2
            few = marker if len(leads) <= 36 else None
            axes.plot(leads, values, color=colour, marker=few, ms=4.5, ls=dash, lw=width, label=label)
        units = _shown_units(summary["units"].sel(variable=name).item() if "units" in summary.coords else "")
        counts = summary["n"].sel(system="model", variable=name).values if "n" in summary else np.empty(0)
        count = f", n = {_range(counts)}" if counts.size else ""
        above = f"{title}\n" if title and len(names) == 1 else ""
        axes.set_title(f"{above}{name}{count}", fontsize=10)
        axes.set(xlabel=f"lead time ({unit})", ylabel=f"RMSE ({units})" if units else "RMSE")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        heading = "RMSE over all leads" if "rmse_all" in summary else None
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], labels[::-1], title=heading, frameon=False, fontsize=8, title_fontsize=8,
            loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0,
        )  # fmt: skip
        _quiet(axes)
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
        raise ConfigError(
            "Map strip",
            [f"expected truth on {forecast.dims} {forecast.shape}, got {truth.dims} {truth.shape}"],
        )
    if leads is None:
        last = forecast.sizes["lead_time"] - 1
        leads = sorted({round(p) for p in np.linspace(0, last, min(_MOST_MAPS, last + 1))})
    hours, unit = _lead_axis(forecast["lead_time"])
    shown = np.stack([truth.isel(lead_time=list(leads)).values, forecast.isel(lead_time=list(leads)).values])
    difference = shown[1] - shown[0]
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    apart = np.abs(difference[np.isfinite(difference)])
    # A single wild point would grey out all else; the bar's arrows say that values lie beyond.
    limit = float(np.quantile(apart, 0.995)) if apart.size else 1.0
    y, x = (_axis_values(forecast, str(d)) for d in (rows, columns))
    width, height = _map_size(x, y, forecast, len(leads))
    figure = Figure(figsize=(len(leads) * width + 1.9, 3 * height + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, len(leads), squeeze=False, sharex=True, sharey=True)
    stacked = (("truth", shown[0]), ("forecast", shown[1]), ("forecast − truth", difference))
    drawn: list[Any] = []
    for row, (name, fields) in enumerate(stacked):
        line = grid[row]
        for axes, field, lead in zip(line, fields, leads, strict=True):
            scale: dict[str, Any] = {"cmap": _FIELD, "vmin": low, "vmax": high if high > low else low + 1.0}
            if row == 2:
                scale = {"cmap": _DIFFERENCE, "vmin": -(limit or 1.0), "vmax": limit or 1.0}
            drawn.append(axes.pcolormesh(x, y, field, shading="nearest", rasterized=True, **scale))
            axes.set_facecolor(_ABSENT)
            axes.tick_params(labelsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            if row == 0:
                axes.set_title(f"+{hours[lead]:g} {unit}", fontsize=9)
        line[0].set_ylabel(f"{name}\n{_axis_label(forecast, str(rows))}", fontsize=9)
    for axes in grid[2]:
        axes.set_xlabel(_axis_label(forecast, str(columns)), fontsize=9)
    if str(rows) == "y" and not forecast["y"].attrs.get("units"):
        grid[0, 0].invert_yaxis()  # rows are counted from the top
    units = _shown_units(forecast.attrs.get("units", ""))
    quantity = str(forecast.attrs.get("long_name") or forecast.name or "value")
    field_label = f"{quantity} ({units})" if units else quantity
    bar = figure.colorbar(drawn[0], ax=list(grid[:2].flat), shrink=0.8, aspect=30)
    bar.set_label(_wrapped(field_label), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar = figure.colorbar(drawn[-1], ax=list(grid[2]), extend="both", aspect=15)
    bar.set_label(f"difference ({units})" if units else "difference", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title or _init_text(forecast), fontsize=10)
    return figure


def png(figure: Figure, *, dpi: int = 110) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _figure(panels: int, width: float, height: float, title: str) -> tuple[Figure, list[Axes]]:
    columns = min(panels, 2)
    rows = -(-panels // columns)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in list(grid.flat)[panels:]:
        axes.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure, list(grid.flat)[:panels]


def _quiet(axes: Axes) -> None:
    axes.grid(color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _lead_axis(leads: xr.DataArray) -> tuple[np.ndarray, str]:
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


def _axis_values(field: xr.DataArray, dim: str) -> np.ndarray:
    if dim in field.coords:
        return np.asarray(field[dim].values, dtype=np.float64)
    return np.arange(field.sizes[dim], dtype=np.float64)


def _axis_label(field: xr.DataArray, dim: str) -> str:
    attrs = field[dim].attrs if dim in field.coords else {}
    units = {"degrees_north": "°N", "degrees_east": "°E"}.get(str(attrs.get("units", "")), attrs.get("units", ""))
    name = dim if dim in ("latitude", "longitude") else str(attrs.get("long_name", dim))
    return f"{name} ({units})" if units else name


def _shown_units(units: object) -> str:
    """Units for a label; a bare number's "1" says nothing there."""
    return "" if units == "1" else str(units)


def _map_size(x: np.ndarray, y: np.ndarray, field: xr.DataArray, maps: int) -> tuple[float, float]:
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


def _init_text(field: xr.DataArray) -> str:
    if "init_time" not in field.coords or field["init_time"].ndim:
        return ""
    return f"forecast of {show_time(field['init_time'].values[()])}"
