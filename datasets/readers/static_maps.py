"""Static maps: fields of two axes that never change, such as orography or a land mask, on the grid of some frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from simvp.coords import Grid, canonicalise
from simvp.errors import Refusal, SourceError
from simvp.files import opened


def open_maps(
    source: str | Path | Sequence[str | Path],
    frames: xr.Dataset,
    *,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
) -> dict[str, xr.DataArray]:
    """Maps (row, column) by name, in the order of the frames' grid, loaded.

    Parameters
    ----------
    source
        Files that xarray opens.
    frames
        Canonical: whose grid it has to be.
    variables
        To keep; all with two axes by default. One with a time needs one value of it chosen.
    units, select
        As of `open_source`.

    Raises
    ------
    SourceError
        Nothing there; variables that are not there, have further axes or the name of a variable of the frames; another
        grid; a map that is the same at every point.
    """
    title = f"static maps {source}"
    remedy = "name those to keep (variables), and put them on the grid of the frames first"
    with opened(source if isinstance(source, str | Path) else list(source)) as found:
        names = list(variables or [str(n) for n in found.data_vars if found[n].ndim > 1])
        reasons = [
            f"{n}: there is no such variable, but {', '.join(map(str, found.data_vars))}"
            for n in names
            if n not in found
        ]
        reasons += [f"{n}: the frames have a variable of that name" for n in names if n in frames.data_vars]
        if reasons or not names:
            raise SourceError(title, reasons or ["there is no variable with two axes"], remedy)
        maps = found[names].load()
    if "time" not in maps.dims:
        maps = maps.drop_vars("time", errors="ignore").expand_dims(time=frames["time"].values[:1])
    try:
        canonical, _ = canonicalise(
            maps, names, select=select, units={n: u for n, u in (units or {}).items() if n in names}
        )
    except Refusal as refusal:
        raise SourceError(title, refusal.reasons, remedy) from None
    grid = Grid.of(frames[list(frames.data_vars)])
    reasons = grid.faults(canonical)
    if canonical.sizes["time"] != 1:
        reasons.append(f"expected one map of each, got {canonical.sizes['time']} times; choose one (select)")
    if not reasons:
        made = {n: grid.align(canonical)[n].isel(time=0, drop=True) for n in names}
        reasons = [f"{n}: it is the same at every point" for n, one in made.items() if not one.std() > 0]
    if reasons:
        raise SourceError(title, reasons, remedy)
    return made
