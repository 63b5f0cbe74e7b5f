"""Pictures of a judgement: what a challenger gains on each reference, and where on the grid it errs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pipelines.pictures.fields import DIFFERENCE, FIELD, axis_label, draw_map, labelled, map_size

_PASSED, _NOT = "#0072B2", "#D55E00"
_WIDEST = 1e3  # percent: beyond it is no bound, but a reference that hardly errs


def gains(rows: Sequence[tuple[str, str, float, float, bool]], *, confidence: float, title: str = "") -> Figure:
    """Improvement on every reference as a point, and down to its lower bound as a line.

    Parameters
    ----------
    rows
        Variable, reference, improvement and lower bound in percent of the reference's RMSE, and whether it passed.
    confidence
        Of the bound.
    title
        Above all.
    """
    figure = Figure(figsize=(6.8, 1.5 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_, _, gain, bound, passed) in enumerate(rows):
        colour = _PASSED if passed else _NOT
        if np.isfinite(bound) and abs(bound) < _WIDEST:
            axes.plot([bound, gain], [place, place], color=colour, lw=2, marker="|", ms=9, markevery=[0])
        if np.isfinite(gain):
            axes.plot(gain, place, color=colour, marker="o" if passed else "X", ms=7)
    axes.axvline(0, color="0.4", lw=1)
    axes.set_yticks(range(len(rows)), [f"{variable} against {name.replace('_', ' ')}" for variable, name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"RMSE lower by, in percent\nline: down to the lower {confidence:.0%} bound; blue: passed")
    axes.grid(axis="x", color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure


def error_map(maps: xr.DataArray, *, title: str = "") -> Figure:
    """RMSE of two systems on one scale, and the difference, first less second.

    Parameters
    ----------
    maps
        (system, row, column), two systems; attribute units.
    title
        Above all.
    """
    rows, columns = (str(dim) for dim in maps.dims[1:])
    y, x = (maps[dim].values.astype(np.float64) for dim in (rows, columns))
    names = [str(name).replace("_", " ") for name in maps["system"].values]
    fields = [*maps.values, maps.values[0] - maps.values[1]]
    width, height = map_size(x, y, maps, 3)
    figure = Figure(figsize=(3 * width + 3.4, height + 1.2), layout="constrained")
    grid = figure.subplots(1, 3, sharex=True, sharey=True)
    finite = maps.values[np.isfinite(maps.values)]
    high = float(np.quantile(finite, 0.995)) if finite.size else 1.0
    apart = np.abs(fields[2][np.isfinite(fields[2])])
    limit = float(np.quantile(apart, 0.995)) if apart.size else 1.0
    scales = [{"cmap": FIELD, "vmin": 0.0, "vmax": high or 1.0}] * 2
    scales.append({"cmap": DIFFERENCE, "vmin": -(limit or 1.0), "vmax": limit or 1.0})
    drawn = []
    for axes, field, scale, name in zip(grid, fields, scales, [*names, " − ".join(names)], strict=True):
        drawn.append(draw_map(axes, x, y, field, **scale))
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(axis_label(maps, columns), fontsize=9)
    grid[0].set_ylabel(axis_label(maps, rows), fontsize=9)
    if rows == "y" and not maps["y"].attrs.get("units"):
        grid[0].invert_yaxis()  # rows are counted from the top
    units = maps.attrs.get("units", "")
    for axes, last, word in ((grid[:2], drawn[1], "RMSE"), (grid[2:], drawn[2], "difference")):
        bar = figure.colorbar(last, ax=list(axes), extend="max" if word == "RMSE" else "both", aspect=18)
        bar.set_label(labelled(word, units), fontsize=9)
        bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    return figure
