"""What has to start before anything is forecast: the import, and a run of `forecast/daily` from command to end."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from datasets.archive import Archive
from datasets.simulated import SimulatedWeather
from flows.local import Addresses, Services, free_port
from performance.predict import FORCINGS, Case, sizes_of
from performance.report import Goal, Section, Table
from performance.timing import Timing, alternate, in_process, said
from pipelines.home import Home
from pipelines.tracking import CHECKOUT
from simvp.coords import Step

DATASET = "start"
DAYS = 20
FORECAST = "numpy, xarray, simvp.predict, and a forecast of a saved model"
IMPORTS = {
    "numpy, xarray": "import numpy, xarray",
    "numpy, xarray, simvp": "import numpy, xarray, simvp",
    "numpy, xarray, torch": "import numpy, xarray, torch",
    "numpy, xarray, simvp.predict": "import numpy, xarray, simvp; simvp.predict",
    "prefect": "import prefect.flow_engine",
    "mlflow": "import mlflow",
}


def measure(folder: Path, *, short: bool = False) -> Section:
    """Imports in fresh interpreters, and runs of the deployment on servers of its own."""
    codes = {**IMPORTS, FORECAST: f"import simvp, xarray; simvp.predict(*{_saved(folder)!r})"}
    ways = {name: partial(_python, code) for name, code in codes.items()}
    saved_forecast(folder, short=short)
    timings = alternate(ways, repetitions=1 if short else 7)
    plain, ours, *_ = timings.values()
    extra = Timing(tuple(a - b for a, b in zip(ours.seconds, plain.seconds, strict=True)))
    tables = [Table(columns=("imported", "seconds"), rows=tuple((n, str(t)) for n, t in timings.items()))]
    goals = [
        Goal(
            wanted="`import simvp` under 0.2 s beyond numpy and xarray",
            found=f"{said(extra.median)} s",
            met=extra.median < 0.2,
        ),
        Goal(
            wanted="a forecast of a saved model from a fresh interpreter, until it has ended, in 3 s",
            found=f"{said(timings[FORECAST].median)} s",
            met=timings[FORECAST].median <= 3,
        ),
    ]
    if not short:
        runs = _runs(folder, repetitions=4)
        network = in_process(network_seconds, str(folder / "home")).value
        parts = {name: Timing(tuple(run[name] for run in runs)) for name in runs[0]}
        tables.append(
            Table(
                title="`prefect deployment run forecast/daily --watch`, four init times",
                columns=("from .. to", "seconds"),
                rows=tuple((name, str(timing)) for name, timing in parts.items()),
            )
        )
        outside = parts["run created .. flow ended"].median - network
        whole = parts["command .. its end"].median
        goals.append(
            Goal(
                wanted="a run of `forecast/daily` under 10 s outside the network, from its creation to its end",
                found=f"{said(outside)} s and {said(network)} s in the network; {said(whole)} s with the command line",
                met=outside < 10,
            )
        )
    return Section(
        title="Start",
        text=(
            "Imports in fresh interpreters, and one of `simvp.predict(data, model)` with both in files, the network of "
            "size `small` on 73 x 144. Then what `make up` starts (Prefect server, MLflow server, worker), a "
            f"model of size `tiny` as champion, {DAYS} days of simulated weather and a day more before each run; the "
            "first run, which makes the store, does not count. Times within the run are Prefect's own."
        ),
        tables=tuple(tables),
        goals=tuple(goals),
        notes=(
            "Where the rest goes: the worker looks for runs once a second and starts a process, which imports Prefect, "
            "xarray and Zarr before the flow starts, and MLflow and PyTorch within it, to ask for the champion and to "
            "run it; see the imports above. What remains are requests to the two servers. The command line imports "
            "Prefect too, and asks for the state of the run every few seconds.",
        ),
    )


def saved_forecast(folder: Path, *, short: bool) -> None:
    """A model file of a network with random weights, and data for one forecast."""
    case = Case("small", 12, (12, 16) if short else (73, 144), sizes_of("tiny" if short else "small"), FORCINGS)
    data, model = map(Path, _saved(folder))
    ds = case.dataset(1)
    ds.to_netcdf(data)
    case.forecaster(ds).save(model)


def _saved(folder: Path) -> tuple[str, str]:
    return str(folder / "data.nc"), str(folder / "model.safetensors")


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT)


def _world(first_day: int, days: int) -> Any:
    world = SimulatedWeather(shape=(16, 16), noise_std=0.2).dataset(frames=24 * (first_day + days))
    return world.isel(time=slice(24 * first_day, None)).load()


def prepare(path: str) -> None:
    """A home with an archive and a champion."""
    from mlflow import MlflowClient

    from pipelines.train import train
    from pipelines.training import TrainConfig

    home = Home(path)
    Archive(home.archive(DATASET)).append(_world(0, DAYS), step=Step.parse("1h"))
    config = TrainConfig(dataset=DATASET, frames_in=12, frames_out=6, size="tiny", epochs=1, epoch_updates=5)
    version = train(home, config).version
    client = MlflowClient(tracking_uri=home.database_uri, registry_uri=home.database_uri)
    client.set_registered_model_alias(f"simvp-{DATASET}", "champion", version)


def network_seconds(path: str) -> float:
    """Seconds of the network alone for four init times."""
    import torch

    from pipelines.tracking import open_registry, resolve_version

    home = Home(path)
    forecaster = open_registry(home).load(resolve_version(home, DATASET, "champion"))
    network = forecaster.network
    assert network is not None
    spec = forecaster.spec
    x = torch.randn(4, spec.frames_in, spec.n_channels, *spec.shape)
    with torch.inference_mode():
        network(x)
        start = time.perf_counter()
        network(x)
    return time.perf_counter() - start


def _runs(folder: Path, repetitions: int) -> list[dict[str, float]]:
    """Seconds of the parts of every counted run."""
    home = Home(folder / "home")
    in_process(prepare, str(home.path))
    services = Services(home=home, addresses=Addresses(prefect_port=free_port(), mlflow_port=free_port()))
    try:
        services.make_databases()
        services.start_prefect()
        services.start_mlflow()
        services.wait()
        services.deploy("local")
        services.start_worker("local")
        runs = []
        for number in range(repetitions + 1):
            Archive(home.archive(DATASET)).append(_world(DAYS + number, 1))
            runs.append(_run(services))
        return runs[1:]
    finally:
        services.stop()


def _run(services: Services) -> dict[str, float]:
    words = ["-m", "prefect", "deployment", "run", "forecast/daily", "--watch", "--param", f"dataset={DATASET}"]
    environment = {
        **os.environ,
        "PREFECT_API_URL": services.addresses.prefect_api,
        "SIMVP_HOME": str(services.home.path),
        "PREFECT_HOME": str(services.home.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    began = time.time()
    done = subprocess.run([sys.executable, *words], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    ended = time.time()
    if done.returncode:
        raise RuntimeError(f"forecast/daily failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    run_id = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", done.stdout)
    assert run_id, done.stdout
    show = "import json, sys; from prefect import get_client\nwith get_client(sync_client=True) as client:\n"
    show += "    run = client.read_flow_run(sys.argv[1])\n"
    show += "print(json.dumps([str(t) for t in (run.created, run.start_time, run.end_time)]))"
    told = subprocess.run(
        [sys.executable, "-c", show, run_id[0]],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    created, started, finished = (
        datetime.fromisoformat(text).timestamp() for text in json.loads(told.stdout.splitlines()[-1])
    )
    return {
        "command .. run created": created - began,
        "run created .. flow started (worker, process, imports)": started - created,
        "flow started .. flow ended": finished - started,
        "run created .. flow ended": finished - created,
        "flow ended .. command ended": ended - finished,
        "command .. its end": ended - began,
    }
