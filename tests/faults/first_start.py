"""First starts of a home that are killed at a random moment; the next start has to work as if nothing had been.

``python -m tests.faults.first_start KIND FOLDER KILLS SEED`` makes that many homes below a folder, and prints for each
when it was killed and what was there. Kinds:

``training``
    A training opens its run, and MLflow's database is made.
``earlier``
    The same by MLflow alone, in place, as versions before this one did; the next start is ours.
``postgres``
    As ``training``, in a database of a PostgreSQL server.
``together``
    Several trainings begin at once, one of them is killed.
``up``
    `make up`, with both databases, servers, work pool and deployments; everything that it started is killed with it.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from flows.local.addresses import free_port
from flows.local.databases import prefect_file
from pipelines.home import Home
from pipelines.tracking.database import mlflow_file
from pipelines.tracking.database_file import DatabaseFile
from simvp.errors import RegistryError
from tests.conftest import CHECKOUT
from tests.flows.postgres import postgres_server

UP_SECONDS = 240
SKIPPED = 5  # exit code


def train(home: Home) -> None:
    """What a training does before its first update, and after its last."""
    from pipelines.tracking.runs import open_run
    from pipelines.tracking.versions import open_registry

    with open_run(home, "waves", "key") as run:
        run.log_settings({"epochs": 1}, {"training_key": "key"})
    with open_registry(home).client() as client, suppress(RegistryError):  # one that began with it has made it
        client.create_registered_model("simvp-waves")


def by_mlflow_alone(home: Home) -> None:
    """MLflow's database, made where it lies."""
    import mlflow

    mlflow.MlflowClient(tracking_uri=home.database_uri, registry_uri=home.database_uri).search_experiments()


def refuse_half_made(file: DatabaseFile | None) -> None:
    """A database is whole, sound, and alone in its place."""
    assert file is not None
    assert file.is_whole
    with closing(sqlite3.connect(file.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert list(file.path.parent.glob("*.part-*")) == []


def found(home: Home) -> str:
    """What is left of MLflow's database: number of tables, and the migration that it stands at."""
    file = mlflow_file(home.database_uri)
    if file is None or not file.path.exists():
        return "none"
    with closing(sqlite3.connect(file.path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = database.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    return f"{len(tables)} tables, {version[0] if version else 'no migration'}"


# --- the start in a fork, so that imports are paid for once -----------------------------------------------------------


def _fork(work: Callable[[Home], None], home: Home) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    with suppress(BaseException):
        home.mlflow.mkdir(parents=True, exist_ok=True)
        work(home)
        code = 0
    os._exit(code)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_in_fork(
    work: Callable[[Home], None],
    folder: Path,
    kills: int,
    chance: random.Random,
    before: Callable[[int], None] = lambda number: None,
) -> None:
    """Kill the first start of `kills` homes; then train in each. `before` each of them something may be done."""
    import mlflow  # noqa: F401

    span = 5.0
    for number in range(kills):
        before(number)
        home, delay = Home(folder / str(number)), span * chance.random()
        child = _fork(work, home)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        assert _ended(child) in (0, -signal.SIGKILL)
        print(f"kill {number + 1} after {delay:.2f} of {span:.2f} s, left: {found(home)}", flush=True)
        begin = time.monotonic()
        assert _ended(_fork(train, home)) == 0, f"the training after kill {number + 1}"
        span = max(span, time.monotonic() - begin)
        if home.tracking_uri == home.database_uri:
            refuse_half_made(mlflow_file(home.database_uri))
        shutil.rmtree(home.path)


def kill_on_postgres(folder: Path, kills: int, chance: random.Random) -> None:
    """Kill the first start of `kills` homes whose MLflow has a database each on one server."""
    with postgres_server() as server:

        def before(number: int) -> None:
            server.create(f"first{number}")
            os.environ["MLFLOW_TRACKING_URI"] = server.address(f"first{number}")

        kill_in_fork(train, folder, kills, chance, before)


def kill_one_of_several(folder: Path, kills: int, chance: random.Random) -> None:
    """Begin three trainings at once in each of `kills` homes, and kill one: the others find a whole database."""
    import mlflow  # noqa: F401

    for number in range(kills):
        home, delay = Home(folder / str(number)), 15.0 * chance.random()
        first, *others = [_fork(train, home) for _ in range(3)]
        time.sleep(delay)
        os.kill(first, signal.SIGKILL)
        assert _ended(first) in (0, -signal.SIGKILL)
        assert [_ended(other) for other in others] == [0, 0], f"the others after kill {number + 1}"
        print(f"kill {number + 1} after {delay:.2f} s of one of three", flush=True)
        refuse_half_made(mlflow_file(home.database_uri))
        shutil.rmtree(home.path)


# --- `make up` as it is -----------------------------------------------------------------------------------------------


def _up(home: Home) -> tuple[subprocess.Popen[bytes], Path]:
    log = home.path.with_suffix(".log")
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    environment = {**os.environ, **ports, "SIMVP_HOME": str(home.path), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        command = [sys.executable, "-m", "simvp", "up"]
        return subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=out, stderr=out), log


def _is_up(process: subprocess.Popen[bytes], log: Path, seconds: float) -> bool:
    """Whether it has come up after that many seconds; an end is a fault."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if "Ctrl-C stops" in log.read_text():
            return True
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    return False


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """As a machine that goes down."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait()


def kill_up(folder: Path, kills: int, chance: random.Random) -> None:
    """Kill the first `make up` of `kills` homes; then let it come up, and stop it."""
    span = 30.0
    for number in range(kills):
        home = Home(folder / str(number))
        delay = span * chance.random()
        _is_up(*(first := _up(home)), delay)
        _kill_all(first[0])
        print(f"kill {number + 1} after {delay:.1f} s, left of MLflow's database: {found(home)}", flush=True)
        second, log = _up(home)
        try:
            assert _is_up(second, log, UP_SECONDS), log.read_text()
            refuse_half_made(mlflow_file(home.database_uri))
            refuse_half_made(prefect_file(home))
        finally:
            second.terminate()
            second.wait(60)
        assert second.returncode == 0
        shutil.rmtree(home.path)


def main(kind: str, folder: Path, kills: int, seed: int) -> None:
    """Run one kind."""
    for name in ("MLFLOW_TRACKING_URI", "SIMVP_STORE"):
        os.environ.pop(name, None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    chance = random.Random(seed)
    others = {"up": kill_up, "together": kill_one_of_several, "postgres": kill_on_postgres}
    if kind in others:
        others[kind](folder, kills, chance)
    else:
        kill_in_fork({"training": train, "earlier": by_mlflow_alone}[kind], folder, kills, chance)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    except pytest.skip.Exception as reason:  # no PostgreSQL here
        print(reason)
        sys.exit(SKIPPED)
