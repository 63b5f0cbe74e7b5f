"""The stores of the forecasts of a data set: one for each kind and horizon, for variables and a grid of its own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import xarray as xr

from datasets.store import Store, disk
from pipelines.home import Home
from simvp.errors import ArchiveError, ConfigError, Refusal

if TYPE_CHECKING:
    from simvp.contract import FrameSpec

Kind = Literal["forecasts", "hindcasts"]


def forecasts_at(home: Home, dataset: str, kind: Kind, horizon: str) -> Path:
    """Where the forecasts of a horizon are kept."""
    return home.forecasts(dataset, horizon) if kind == "forecasts" else home.hindcasts(dataset, horizon)


def horizons(home: Home, dataset: str, kind: Kind = "forecasts") -> tuple[str, ...]:
    """Horizons of which there are forecasts ("12h", ...), in alphabetical order."""
    folder = forecasts_at(home, dataset, kind, "any").parent
    names = (path.name.removesuffix(".zarr") for path in folder.glob("*.zarr") if (path / "zarr.json").is_file())
    return tuple(sorted(name for name in names if not name.endswith(".building")))


def only_horizon(home: Home, dataset: str, kind: Kind) -> str:
    """The horizon of which there are forecasts.

    Raises
    ------
    ConfigError
        There are several.
    ArchiveError
        There is none.
    """
    names = horizons(home, dataset, kind)
    if len(names) == 1:
        return names[0]
    if names:
        raise ConfigError(f"Horizon of the {kind} of {dataset}", [f"there are several: {', '.join(names)}"], "name one")
    flow = "forecast" if kind == "forecasts" else "forecast with hindcast_start and hindcast_end"
    raise ArchiveError(
        f"{kind.capitalize()} of {dataset}",
        [f"expected some in {forecasts_at(home, dataset, kind, 'any').parent}, got none"],
        f"issue some first: the flow {flow}",
    )


def replace_store(whole: Path, path: Path) -> None:
    """Let a whole store take the place of the one before, which is removed last.

    A kill in between leaves nothing under the name for a moment, and the whole store beside it, from where the next
    run takes it.
    """
    old = path.with_name(f"{path.name}.old")
    disk.discard(old)
    if path.exists():
        os.rename(path, old)
    disk.publish(whole, path)
    disk.discard(old)


def as_stored(store: Store, forecast: xr.Dataset) -> xr.Dataset:
    """The forecast as a store takes it: without weights, where it was made before forecasts had them."""
    if "weights_digest" in store.dataset().coords:
        return forecast
    own = [name for name in forecast.coords if "expert" in forecast[name].dims]
    return forecast.drop_vars([*own, "weights_digest"])


def refuse_other_variables(store: Store, spec: "FrameSpec") -> None:
    """Refuse a model whose forecasts a store cannot take.

    Raises
    ------
    ConfigError
        Other variables, or another grid.
    """
    issued = store.dataset()
    ours, theirs = list(spec.states), [str(name) for name in issued.data_vars]
    faults = []
    if set(ours) != set(theirs):
        faults.append(f"variables: the store holds {', '.join(theirs)}, the model forecasts {', '.join(ours)}")
    try:
        faults += spec.grid.faults(issued)
    except Refusal as refusal:
        faults += refusal.reasons
    if faults:
        raise ConfigError(
            f"Forecast store {store.path}",
            faults,
            "what was issued stays as it is: move the store away, or give this model a data set of its own",
        )
