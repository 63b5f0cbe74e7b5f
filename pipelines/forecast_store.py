"""The stores of the forecasts of a data set: one for each kind and horizon, for variables and a grid of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from datasets.location import join, names_in
from datasets.store import Store
from pipelines.home import Home
from pipelines.issuing import Kind
from simvp.coords import RATIO_OF, single_maps
from simvp.errors import ArchiveError, ConfigError, Refusal

if TYPE_CHECKING:
    from simvp.contract import FrameSpec


def forecasts_at(home: Home, dataset: str, kind: Kind, horizon: str) -> Path | str:
    """Where the forecasts of a horizon are kept."""
    return home.forecasts(dataset, horizon) if kind == "forecasts" else home.hindcasts(dataset, horizon)


def horizons(home: Home, dataset: str, kind: Kind = "forecasts") -> tuple[str, ...]:
    """Horizons of which there are forecasts ("12h", ...), in alphabetical order."""
    home.dataset(dataset)  # refuses what is no name
    names = names_in(join(home.store, dataset, kind))
    return tuple(name.removesuffix(".zarr") for name in names if name.endswith(".zarr"))


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
    how = f"simvp forecast {dataset}" + ("" if kind == "forecasts" else " --hindcast FIRST LAST")
    raise ArchiveError(
        f"{kind.capitalize()} of {dataset}",
        [f"expected some in {join(home.store, dataset, kind)}, got none"],
        f"issue some first: {how}, or the flow forecast",
    )


def as_stored(store: Store, forecast: xr.Dataset) -> xr.Dataset:
    """The forecast as a store takes it: without what forecasts did not have yet when the store was made."""
    kept = store.dataset().coords
    if "model_source" not in kept:
        forecast = forecast.drop_vars("model_source")
    forecast = forecast.drop_vars(
        [name for name in forecast.coords if str(name).endswith(RATIO_OF) and name not in kept]
    )
    if "weights_digest" in kept:
        return forecast
    own = [name for name in forecast.coords if "expert" in forecast[name].dims]
    return forecast.drop_vars([*own, "weights_digest"])


def refuse_other_variables(store: Store, spec: "FrameSpec", members: int = 0, levels: Sequence[float] = ()) -> None:
    """Refuse a model whose forecasts, or as many members and such bounds, a store cannot take.

    Raises
    ------
    ConfigError
        Other variables, another grid, another number of members, or other levels.
    """
    issued = store.dataset()
    ours, theirs = list(spec.states), [str(name) for name in single_maps(issued).data_vars]
    faults = []
    if (held := issued.sizes.get("member", 0)) != members:
        faults.append(f"members: the store holds {held} beside each forecast, got {members}")
    if (kept := issued["quantile"].values.tolist() if "quantile" in issued.coords else []) != list(levels):
        faults.append(f"levels: the store holds {kept} beside each forecast, got {list(levels)}")
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
            "what was issued stays as it is: move the store and its scores away, or give this model its own data set",
        )
