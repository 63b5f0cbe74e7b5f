"""`simvp up`: a Prefect server, an MLflow server and a worker on this machine, until Ctrl-C.

Ports: `PREFECT_PORT` (4200) and `MLFLOW_PORT` (5000). Everything is kept under `SIMVP_HOME` (.simvp), or where
`SIMVP_STORE`, `MLFLOW_TRACKING_URI` and `PREFECT_API_DATABASE_CONNECTION_URL` say: docs/deployment.md.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from flows.local.addresses import Addresses
from flows.local.password import password_file
from flows.local.schedules import scheduled
from flows.local.services import Services
from flows.local.signals import SIGNALS, Stop, stopped_by_signals
from pipelines.home import Home
from pipelines.machine import refuse_unusable
from pipelines.tracking import CHECKOUT
from simvp.cli import main
from simvp.errors import Refusal
from simvp.inference import registry_exists
from simvp.settings import shown_address

POOL = "local"


def _second_terminal(services: Services, names: Sequence[str]) -> list[str]:
    """What a second terminal has to do first: settings other than those in prefect.toml have to be exported.

    Then a flow, of every data set that has deployments of its own.
    """
    lines = [f"cd {CHECKOUT}", ". .venv/bin/activate"]
    if services.addresses.prefect_port != Addresses.prefect_port:
        lines.append(f"export PREFECT_API_URL={services.addresses.prefect_api}")
    if services.home.prefect != CHECKOUT / ".simvp" / "prefect":
        lines.append(f"export SIMVP_HOME={services.home.path} PREFECT_HOME={services.home.prefect}")
        lines.append(f"export PREFECT_PROFILES_PATH={services.home.prefect / 'profiles.toml'}")
    if services.home.store != services.home.path:
        lines.append(f"export SIMVP_STORE={services.home.store}")
    return [*lines, *(f"prefect deployment run forecast/{name} --watch" for name in names or ["daily"])]


def up() -> None:
    """Run a Prefect server, an MLflow server and a worker on this machine, until Ctrl-C.

    Ports: PREFECT_PORT (4200) and MLFLOW_PORT (5000). Says how a second terminal runs the flows. A data set that a
    NAME.toml of the working folder describes gets deployments of its own, as forecast/NAME, with the settings of the
    file, on the schedule that it gives.

    Example: simvp up
    """
    home = Home.default()
    own = scheduled(Path.cwd())
    # Prefect reads its settings from the working folder, and children take the home from the environment.
    os.environ["SIMVP_HOME"] = str(home.path)
    os.chdir(CHECKOUT)
    logging.basicConfig(level=logging.WARNING)
    console = Console(highlight=False, soft_wrap=True)
    services = None
    held = ExitStack()
    try:
        held.enter_context(stopped_by_signals())
        addresses = Addresses.from_environment()
        addresses.check_free()
        refuse_unusable(home)
        if home.tracking_uri != addresses.mlflow:
            registry_exists(home.tracking_uri)
        services = Services(home=home, addresses=addresses)
        held.enter_context(services.alone())
        console.print("Starting the servers ...")
        services.make_databases()
        services.start_prefect()
        services.start_mlflow()
        services.wait()
        services.announce()
        console.print("Deploying the flows ...")
        services.deploy(POOL, own)
        services.end_dead_runs(POOL)
        services.start_worker(POOL)
        console.print(f"Prefect   {addresses.prefect_ui}   (its pages ask for a password: cat {password_file(home)})")
        console.print(f"MLflow    {shown_address(addresses.mlflow)}")
        console.print(f"Home      {services.home.path}")
        console.print(f"Logs      {', '.join(str(path) for path in services.logs.values())}")
        console.print("In a second terminal:")
        for line in _second_terminal(services, list(dict.fromkeys(str(one["name"]) for one in own))):
            console.print(f"    {line}")
        console.print("Ctrl-C stops everything.")
        while not (ended := services.ended()):
            time.sleep(1)
        raise Refusal(f"{' and '.join(ended)} ended by itself", [], "see the logs")
    except Stop:
        console.print("Stopping ...")
    finally:
        for number in SIGNALS:  # an impatient second Ctrl-C would leave servers behind
            signal.signal(number, signal.SIG_IGN)
        if services is not None:
            services.stop()
        held.close()


if __name__ == "__main__":
    sys.exit(main(["up", *sys.argv[1:]]))
