"""A home with a small trained model, made once per session for the tests that need one."""

import functools
import os
import tempfile
import time
from pathlib import Path

import xarray as xr

from datasets.simulated.worlds import SimulatedWeather
from pipelines.home import Home
from tests.support.files.repositories import plain

DATASET = "small"
FRAMES_IN, FRAMES_OUT = 6, 3


def write_source(folder: Path, days: int = 16, *, first: int = 0) -> Path:
    """One NetCDF file per day of a small simulated world; returns the glob that finds them."""
    world = SimulatedWeather(shape=(8, 8), noise_std=0.2).dataset(frames=24 * (first + days))
    folder.mkdir(parents=True, exist_ok=True)
    for day in range(first, first + days):
        world.isel(time=slice(24 * day, 24 * day + 24)).to_netcdf(path := folder / f"day{day:03}.nc")
        os.utime(path, (time.time() - 60,) * 2)  # a file that may still be written is not known again
    return folder / "day*.nc"


@functools.cache
def small_home() -> tuple[Home, tempfile.TemporaryDirectory[str]]:
    """Home with an archive, and a champion that was trained for one epoch; nobody writes into it afterwards.

    The gate would say that there is too little data: the alias is moved by hand, as an owner may do in MLflow's page.
    """
    from pipelines.ingest import ingest
    from pipelines.train import train
    from pipelines.training.config import TrainConfig

    folder = tempfile.TemporaryDirectory(prefix="simvp-tests-")
    root = Path(folder.name)
    home = Home(root / "home")
    ingest(home, DATASET, source=write_source(root / "source"))
    config = TrainConfig(dataset=DATASET, frames_in=FRAMES_IN, frames_out=FRAMES_OUT, size="tiny", epochs=1, threads=1)
    trained = train(home, config)
    crown(home, DATASET, trained.version)
    return home, folder


def crown(home: Home, dataset: str, version: str) -> None:
    """Move the alias champion by hand."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=home.database_uri, registry_uri=home.database_uri)
    client.set_registered_model_alias(f"simvp-{dataset}", "champion", version)


def archive(home: Home) -> xr.Dataset:
    """The archive as an analyst opens it."""
    return plain(home.archive(DATASET))
