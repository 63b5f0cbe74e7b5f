"""What a data set holds, as the contract sees it: variables, units, grid, step, and axes to choose from."""

from collections.abc import Hashable
from typing import Any

import xarray as xr

from simvp.coords import Grid, Step, canonicalise, find_axes
from simvp.errors import Refusal
from simvp.times import name_time

__all__ = ["contents", "forecast_contents", "grid_words", "lines", "model_contents"]

SHOWN = 6  # values of an axis, at most


def contents(ds: xr.Dataset) -> dict[str, Any]:
    """What is in a data set; only coordinates are read.

    Parameters
    ----------
    ds
        Labelled data of any names.

    Returns
    -------
    dict
        Plain values: "variables" (name to units; "none" where a file states none), "dims" of each, and, where it is one
        series of maps, "grid", "step", "frames", "first", "last"; else "choose" (further axes with their values) and
        "not yet a series" with every reason.
    """
    found: dict[str, Any] = {}
    try:
        canonical, _ = canonicalise(ds)
    except Refusal as refusal:
        names = [str(name) for name, var in ds.data_vars.items() if var.ndim > 1]
        found["variables"] = {name: str(ds[name].attrs.get("units", "none")) for name in names}
        found["dims"] = {name: list(map(str, ds[name].dims)) for name in names}
        found["choose"] = _further(ds, names)
        found["not yet a series"] = list(refusal.reasons)
        return found
    names = [str(name) for name in canonical.data_vars]
    grid, times = Grid.of(canonical), canonical["time"].values
    found["variables"] = {name: str(ds[name].attrs.get("units", "none")) for name in names}
    found["dims"] = {name: list(map(str, ds[name].dims)) for name in names}
    found["grid"] = grid_words(grid)
    try:
        found["step"] = str(Step.infer(times))
    except Refusal as refusal:
        found["step"] = f"not seen: {'; '.join(refusal.reasons)}"
    return {**found, "frames": len(times), "first": name_time(times[0]), "last": name_time(times[-1])}


def forecast_contents(forecast: xr.Dataset) -> dict[str, Any]:
    """What a labelled forecast holds; its init times, how far it goes, and which model made it."""
    inits, valid = forecast["init_time"].values.reshape(-1), forecast["valid_time"].values.reshape(-1)
    made = forecast["model_version"].values.reshape(-1) if "model_version" in forecast.coords else ()
    return {
        "variables": {str(name): str(var.attrs.get("units", "none")) for name, var in forecast.data_vars.items()},
        "init times": len(inits),
        "first": name_time(inits[0]),
        "last": name_time(inits[-1]),
        "leads": int(forecast.sizes["lead_time"]),
        "valid until": name_time(valid.max()),
        "models": sorted({str(version) for version in made}),
    }


def model_contents(forecaster: Any) -> dict[str, Any]:
    """What a model (`simvp.Forecaster`) needs and gives, as plain values; its text has the rest."""
    spec = forecaster.spec
    return {
        "version": forecaster.version,
        "fingerprint": forecaster.fingerprint,
        "variables": {state.name: state.units for state in spec.state_channels},
        **({"known inputs": {c.name: c.units for c in spec.known_channels}} if spec.known_channels else {}),
        "grid": grid_words(spec.grid),
        "step": str(spec.step),
        "frames in": spec.frames_in,
        "frames out": spec.frames_out,
        "network": forecaster.network is not None,
        "provenance": {name: value for name, value in forecaster.provenance.items() if isinstance(value, str)},
    }


def grid_words(grid: Grid) -> str:
    """A grid in words: kind, size, and where its axes begin and end."""
    rows, columns = (f"{dim} {axis[0]:g} .. {axis[-1]:g}" for dim, axis in grid.axes.items())
    return f"{grid.kind}, {grid.shape[0]} x {grid.shape[1]}, {rows}, {columns}"


def lines(found: dict[str, Any]) -> list[str]:
    """Contents as lines to print."""
    shown: dict[str, str] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} ({_words(inner)})" for key, inner in value.items())
        elif isinstance(value, list):
            value = "; ".join(map(str, value))
        shown[name] = str(value)
    width = max(map(len, shown))
    return [f"{name:<{width}}  {value}" for name, value in shown.items() if value]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _further(ds: xr.Dataset, names: list[str]) -> dict[str, list[str]]:
    """Values of every axis that is neither time nor place, of which one has to be chosen."""
    try:
        axes = find_axes(ds)
        own: set[Hashable] = {axes.time, axes.y, axes.x}
    except Refusal:
        return {}
    dims = dict.fromkeys(dim for name in names for dim in ds[name].dims if dim not in own)
    return {str(dim): _values(ds, dim) for dim in dims if ds.sizes[dim] > 1}


def _values(ds: xr.Dataset, dim: Hashable) -> list[str]:
    if dim not in ds.coords:
        return [f"{ds.sizes[dim]} without labels"]
    values = ds[dim].values
    some = [str(value) for value in values[:SHOWN]]
    return [*some, f"and {len(values) - SHOWN} more"] if len(values) > SHOWN else some
