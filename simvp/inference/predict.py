"""What a notebook calls: labelled data in, labelled forecast out, by whichever model fits."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import xarray as xr

from simvp.contract import FrameSpec
from simvp.errors import RegistryError
from simvp.files import Data, Location, as_given, opened
from simvp.inference.forecaster import Forecaster
from simvp.inference.model_file import read_contract
from simvp.inference.registry import CHAMPION, PREFIX, Registry, Version, model_file_in
from simvp.settings import shown_address

if TYPE_CHECKING:
    import torch


@overload
def predict(
    ds: xr.DataArray,
    model: Forecaster | Location | None = ...,
    *,
    init_time: Any = ...,
    horizon: Any = ...,
    units: Mapping[str, str] | None = ...,
    known: xr.Dataset | Location | None = ...,
    device: "str | torch.device | None" = ...,
    adapt: bool = ...,
    members: int = ...,
    levels: Sequence[float] = ...,
) -> xr.DataArray: ...
@overload
def predict(
    ds: xr.Dataset | Location | Sequence[Location],
    model: Forecaster | Location | None = ...,
    *,
    init_time: Any = ...,
    horizon: Any = ...,
    units: Mapping[str, str] | None = ...,
    known: xr.Dataset | Location | None = ...,
    device: "str | torch.device | None" = ...,
    adapt: bool = ...,
    members: int = ...,
    levels: Sequence[float] = ...,
) -> xr.Dataset: ...
def predict(
    ds: Data,
    model: Forecaster | Location | None = None,
    *,
    init_time: Any = None,
    horizon: Any = None,
    units: Mapping[str, str] | None = None,
    known: xr.Dataset | Location | None = None,
    device: "str | torch.device | None" = None,
    adapt: bool = False,
    members: int = 0,
    levels: Sequence[float] = (),
) -> xr.Dataset | xr.DataArray:
    """Labelled forecast from labelled data.

    Parameters
    ----------
    ds
        Data with the model's variables on its grid and step, under any names of axes; the last T frames before
        an init time are what the model needs, and `Forecaster.history` what it looks at where they are there. A
        Dataset, a DataArray, or the path of files: NetCDF, Zarr, GRIB, an archive; several by a glob or a list.
    model
        A Forecaster, a file, a name in the MLflow registry ("simvp-era5-uk", "simvp-era5-uk@challenger",
        "models:/simvp-era5-uk/3"), or None: the one champion whose contract accepts `ds`. The registry is asked every
        time, but a version that was read before is not read again.
    init_time, horizon, units, known, device, adapt, members, levels
        As in `Forecaster.predict`.

    Returns
    -------
    xr.Dataset or xr.DataArray
        As from `Forecaster.predict`: dims (init_time, lead_time) and the caller's own, in the caller's order. A
        DataArray for a DataArray, where neither members nor levels are asked for.

    Raises
    ------
    ContractError
        The data does not fit the model, every reason at once; or is nothing of the kind.
    SourceError
        Files that cannot be opened.
    RegistryError
        No such model; or none given and not exactly one champion accepts the data: for each, why not.
    """
    with opened(ds) as labelled:
        forecaster = model if isinstance(model, Forecaster) else _chosen(labelled, model, units)
        forecast = forecaster.predict(
            labelled,
            init_time=init_time,
            horizon=horizon,
            units=units,
            known=known,
            device=device,
            adapt=adapt,
            members=members,
            levels=levels,
        )
        return as_given(forecast, ds)


def load(name: str | os.PathLike[str], device: "str | torch.device | None" = None) -> Forecaster:
    """Read a model from a file, or from the MLflow registry.

    Parameters
    ----------
    name
        A file or a folder with one; or a registered name: "simvp-era5-uk" (its champion),
        "simvp-era5-uk@challenger", "simvp-era5-uk/3", with or without "models:/" before it.
    device
        Where the network shall be; the CPU by default.

    Raises
    ------
    RegistryError
        Neither a file nor a registered name.
    """
    if _is_file(name):
        return Forecaster.load(model_file_in(name) if Path(name).is_dir() else name, device)
    registry = Registry.find()
    return registry.load(registry.resolve(os.fspath(name)), device)


def _is_file(name: str | os.PathLike[str]) -> bool:
    text = os.fspath(name)
    if text.startswith("models:/"):
        return False
    shaped = text.endswith(".safetensors") or text.startswith((".", os.sep, "~"))
    return not isinstance(name, str) or shaped or Path(text).exists()


def _chosen(ds: xr.Dataset, model: str | os.PathLike[str] | None, units: Mapping[str, str] | None) -> Forecaster:
    if model is not None and _is_file(model):
        return load(model)
    registry = Registry.find()
    return _kept(registry, _champion_for(registry, ds, units) if model is None else registry.resolve(os.fspath(model)))


# A version never changes, but a registry made anew counts from 1 again: `Version.created` is part of the key.
@lru_cache(maxsize=2)
def _kept(registry: Registry, version: Version) -> Forecaster:
    return registry.load(version)


# Contracts are small beside networks, and all champions are asked for theirs.
@lru_cache(maxsize=32)
def _contract(registry: Registry, version: Version) -> FrameSpec:
    with registry.file(version) as path:
        return read_contract(path)


def _champion_for(registry: Registry, ds: xr.Dataset, units: Mapping[str, str] | None) -> Version:
    """The one champion whose contract accepts the data; contracts are read without networks."""
    champions = registry.champions()
    if not champions:
        reason = f"no model {PREFIX}* has the alias {CHAMPION!r}"
        raise RegistryError(
            registry.subject, [reason], "promote a version (simvp promote), or give model=<name or file>"
        )
    faults = {version: _contract(registry, version).faults(ds, units)[1] for version in champions}
    labels = {version: f"{version.name} version {version.version}" for version in champions}
    accepting = [version for version in champions if not faults[version]]
    if len(accepting) == 1:
        return accepting[0]
    if accepting:
        subject, remedy = "Several champions accept this data", f"choose one: model={accepting[0].name!r}"
        raise RegistryError(subject, [labels[version] for version in accepting], remedy)
    which = "The one champion" if len(champions) == 1 else f"None of the {len(champions)} champions"
    verb = "does not accept" if len(champions) == 1 else "accepts"
    subject = f"{which} in {shown_address(registry.uri)} {verb} this data"
    refusing = [f"{labels[version]}: {'; '.join(faults[version])}" for version in champions]
    raise RegistryError(subject, refusing, "mend the data, or give model=<name or file>")
