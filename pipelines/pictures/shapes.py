"""Pictures of the shape of forecasts: skill over the scale, energy over the wavelength, and how wide the bounds are."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pipelines.pictures.clips import evenly
from pipelines.pictures.fields import FIELD, LINES, MODEL, axis_label, draw_map, labelled, lead_axis, map_size, quiet

_MOST_LEADS = 3
_WAVES = (2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512)  # of the marks below energies, in points


def scale_panels(table: xr.Dataset, *, title: str = "") -> Figure:
    """Fractions skill score over the side of the squares, a panel for each variable and threshold.

    Parameters
    ----------
    table
        `fss_all` (contender, thresholded, rank_of_threshold, scale) with the coordinate `threshold`, as
        `pipelines.evaluation.skill_table` has it.
    """
    limits = table["threshold"].transpose("thresholded", "rank_of_threshold").values
    shown = np.argwhere(np.isfinite(limits))
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(5.0 * columns + 1.6, 3.8 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, (number, rank) in zip(panels, shown, strict=False):
        own = table["fss_all"].isel(thresholded=number, rank_of_threshold=rank)
        name = str(own["thresholded"].values)
        units = str(table["units"].sel(variable=name).values)
        lines = iter(LINES * 3)
        for contender in own["contender"].values.tolist():
            colour, marker, dash = MODEL if contender == "model" else next(lines)
            values = own.sel(contender=contender)
            axes.plot(
                own["scale"], values, color=colour, marker=marker, ms=4, ls=dash, label=contender.replace("_", " ")
            )
        quiet(axes)
        axes.set_xscale("log")
        axes.set_xticks(own["scale"].values, [str(side) for side in own["scale"].values])
        axes.minorticks_off()
        axes.set(xlabel="side of squares (points)", ylabel="fractions skill score", ylim=(0, 1))
        axes.set_title(f"{name} at least {limits[number, rank]:g} {units}".strip(), fontsize=10)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def spectra_panels(energy: xr.Dataset, *, title: str = "") -> Figure:
    """Energy by wavelength, of what came true and of the forecast at some leads, and the ratio of the two.

    Parameters
    ----------
    energy
        From `simvp.scoring.energy`, of one forecast, with a coordinate `units` (variable).
    """
    names = [str(name) for name in energy["variable"].values]
    figure = Figure(figsize=(11.0, 3.8 * len(names)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    hours, unit = lead_axis(energy["lead_time"])
    forecast = next(str(name) for name in energy["system"].values if name != "truth")
    for row, name in zip(figure.subplots(len(names), 2, squeeze=False), names, strict=True):
        own = energy["energy"].sel(variable=name)
        truth, made = (own.sel(system=system).transpose("lead_time", "band").values for system in ("truth", forecast))
        waves = energy["wavelength"].values
        row[0].plot(waves, truth.mean(0), color=MODEL[0], lw=2, label="what came true")
        leads = evenly(len(hours), _MOST_LEADS)
        for lead, (colour, marker, dash) in zip(leads, LINES, strict=False):
            style = {"color": colour, "marker": marker, "ms": 4, "ls": dash}
            row[0].plot(waves, made[lead], label=f"forecast, +{hours[lead]:g} {unit}", **style)
            row[1].plot(waves, made[lead] / truth[lead], **style)
        units = str(energy["units"].sel(variable=name).values)
        row[0].set(ylabel=labelled(f"energy of {name}", f"{units}²" if units not in ("", "1") else ""), yscale="log")
        row[0].legend(frameon=False, fontsize=8)
        row[1].axhline(1.0, color=MODEL[0], lw=1)
        row[1].set(ylabel="energy of the forecast, of that of the truth", ylim=(0, None))
        for axes in row:
            quiet(axes)
            axes.set(xlabel="wavelength (points)", xscale="log")
            sides = [side for side in _WAVES if waves.min() <= side <= waves.max()]
            axes.set_xticks(sides, [str(side) for side in sides])
            axes.minorticks_off()
            axes.invert_xaxis()
    return figure


def width_map(width: xr.DataArray, *, title: str = "") -> Figure:
    """How far two bounds lie apart at every point, at some leads.

    Parameters
    ----------
    width
        (lead_time, row, column), in the units of the variable; attribute units.
    """
    rows, columns = (str(dim) for dim in width.dims[1:])
    leads = evenly(width.sizes["lead_time"], _MOST_LEADS)
    hours, unit = lead_axis(width["lead_time"])
    y, x = (width[dim].values.astype(np.float64) for dim in (rows, columns))
    across, height = map_size(x, y, width, len(leads))
    figure = Figure(figsize=(len(leads) * across + 1.9, height + 1.2), layout="constrained")
    grid = figure.subplots(1, len(leads), squeeze=False, sharex=True, sharey=True)[0]
    finite = width.values[np.isfinite(width.values)]
    high = float(np.quantile(finite, 0.995)) if finite.size else 1.0
    for axes, lead in zip(grid, leads, strict=True):
        field = width.isel(lead_time=lead).values
        drawn = draw_map(axes, x, y, field, cmap=FIELD, vmin=0, vmax=high or 1.0)
        axes.set_title(f"+{hours[lead]:g} {unit}", fontsize=9)
        axes.set_xlabel(axis_label(width, columns), fontsize=9)
    grid[0].set_ylabel(axis_label(width, rows), fontsize=9)
    if rows == "y" and not width["y"].attrs.get("units"):
        grid[0].invert_yaxis()  # rows are counted from the top
    bar = figure.colorbar(drawn, ax=list(grid), extend="max", aspect=18)
    bar.set_label(labelled("width", width.attrs.get("units", "")), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    return figure
