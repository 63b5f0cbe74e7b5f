"""Skill with known future inputs and static maps, and without: `python -m performance.skill.known`.

``--world traffic``: simulated traffic with a calendar of holidays; ``--world weather``: simulated weather with a
numerical forecast that has errors, and with the share of land as a static map. Prints the RMSE of model, base forecast
and best baseline over all leads on the held-out period, which nothing was fitted on; of traffic on its holidays too.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from datasets.archive import Archive
from datasets.simulated import SimulatedTraffic, SimulatedWeather, numerical_forecast, with_holidays
from pipelines.evaluation import judge
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.known import with_known
from pipelines.tracking import open_registry, resolve_version
from pipelines.train import train
from pipelines.training import TrainConfig
from simvp.contract import carried, values_at
from simvp.scoring import NAMES


def main() -> None:
    """Make the world, train without and with, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=("traffic", "weather"), default="traffic")
    parser.add_argument("--size", default="none", help="of the network")
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--days", type=int, default=56)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in _rows(Path(folder), asked.world, asked.size, asked.cells, asked.days):
            print(line, flush=True)


def _rows(root: Path, world: str, size: str, cells: int, days: int) -> Iterator[str]:
    home, variants = Home(root / "home"), _variants(root, world, cells, days)
    yield "| known to the model | variable | maps | model | base forecast | best baseline |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    for name, (ds, sources, settings) in variants.items():
        if not home.datasets:
            ds.to_netcdf(root / "frames.nc")
            ingest(home, world, source=root / "frames.nc", known=sources)
        report = train(home, TrainConfig(dataset=world, **{"size": size, **settings}))
        model = open_registry(home).load(resolve_version(home, world, report.version))
        archived = with_known(home, world, Archive(home.archive(world)).dataset())
        squares = judge(model, None, archived).errors["squared_error"]
        for maps, chosen in _chosen(squares, archived).items():
            rmse = squares.where(chosen).mean(("init_time", "lead_time")) ** 0.5
            for state in model.spec.states:
                own = rmse.sel(variable=state)
                rivals = own.sel(system=list(NAMES))
                best = f"{float(rivals.min()):.3f} ({rivals.idxmin().item().replace('_', ' ')})"
                both = [f"{float(own.sel(system=system)):.3f}" for system in ("model", "base")]
                yield f"| {name} | {state} | {maps} | {' | '.join(both)} | {best} |"


def _chosen(squares: xr.DataArray, archived: xr.Dataset) -> dict[str, xr.DataArray]:
    """Which maps are looked at, (init_time, lead_time): all of them; those on holidays, where there are some."""
    valid = squares["init_time"] + squares["lead_time"]
    every = {"all": xr.ones_like(valid, bool)}
    if "holiday" not in carried(archived):
        return every
    flags = values_at(archived, "holiday", valid.values.reshape(-1))[:, 0, 0].reshape(valid.shape)
    return {**every, "on holidays": valid.copy(data=flags > 0)} if (flags > 0).any() else every


def _variants(
    root: Path, world: str, cells: int, days: int
) -> dict[str, tuple[xr.Dataset, dict[str, Any], dict[str, Any]]]:
    """By what is known: the frames, sources of known inputs, and settings of the training."""
    shape = (cells, cells)
    if world == "traffic":
        # A calendar with holidays among the last days, which are held out.
        ds, calendar = with_holidays(SimulatedTraffic(shape=shape).dataset(frames=48 * days).load(), seed=3)
        calendar.to_dataframe().to_csv(root / "calendar.csv")
        sources = {"calendar": {"source": str(root / "calendar.csv"), "units": {"holiday": "1"}}}
        return {"nothing": (ds, sources, {"known": ()}), "holidays": (ds, sources, {})}
    weather = SimulatedWeather(shape=shape)
    ds = weather.dataset(frames=24 * days).load()
    numerical_forecast(ds).to_netcdf(root / "nwp.nc")
    axes = {name: ds[name] for name in ("latitude", "longitude")}
    xr.Dataset({"land": (("latitude", "longitude"), weather.land, {"units": "1"})}, axes).to_netcdf(root / "land.nc")
    sources, static = {"nwp": {"source": str(root / "nwp.nc")}}, {"static": {"source": str(root / "land.nc")}}
    return {
        "nothing": (ds, sources, {"known": ()}),
        "share of land": (ds, sources, {"known": (), **static}),
        "numerical forecast": (ds, sources, {}),
        "both": (ds, sources, static),
    }


if __name__ == "__main__":
    main()
