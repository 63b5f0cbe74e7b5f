"""The databases of the servers, made and looked at before these start: their own errors are pages of traceback."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from flows.local.signals import end_with_parent
from pipelines.home import Home
from pipelines.tracking import CHECKOUT, DatabaseFile, mlflow_file
from simvp.errors import ConfigError, Refusal
from simvp.inference import registry_exists
from simvp.settings import shown_address, without_secrets

__all__ = ["PREFECT_DATABASES", "check_prefect_database", "make_databases", "prefect_file"]

# Two names of one setting.
PREFECT_DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
_EXAMPLE = "postgresql+asyncpg://user:password@host:5432/prefect"
_SECONDS = 5.0


_SQLITE = "sqlite+aiosqlite:///"


def prefect_file(home: Home) -> DatabaseFile | None:
    """Prefect's database as a file, in the home or where a setting names one; None where it is on a server."""
    _, address = _stated()
    if address and not address.startswith(_SQLITE):
        return None
    path = Path(address.removeprefix(_SQLITE).partition("?")[0]) if address else home.prefect / "prefect.db"
    return None if ":memory:" in address else DatabaseFile(path=path.absolute(), package="prefect")


def make_databases(home: Home, environment: Mapping[str, str], *, mlflow: str = "") -> None:
    """Have the databases of the servers whole, each made beside its place where it is not; both at the same time.

    On a database server the programs do it themselves, each migration in a transaction.

    Parameters
    ----------
    environment
        Of the servers.
    mlflow
        Address of MLflow's database; empty where no server of MLflow is started.

    Raises
    ------
    Refusal
        One cannot be made, or is something else; it is as it was then.
    """
    module = "pipelines.tracking.database"
    with ExitStack() as stack:
        started: dict[str, subprocess.Popen[str]] = {}

        def start(what: str, folder: Path, *command: str, **settings: str) -> None:
            started[what] = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=folder,
                    env={**environment, **settings},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    preexec_fn=end_with_parent if sys.platform == "linux" else None,
                )
            )
            stack.callback(started[what].terminate)  # where something else goes wrong

        if (file := prefect_file(home)) is not None and (part := stack.enter_context(file.unfinished())):
            # The place by its name alone: an address cannot hold every path.
            address = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"{_SQLITE}{part.name}"}
            start(file.subject, part.parent, "prefect", "server", "database", "upgrade", "-y", **address)
        if (file := mlflow_file(mlflow)) is not None and (part := stack.enter_context(file.unfinished())):
            start(file.subject, CHECKOUT, module, str(part), str(file.path))
        elif file is None and mlflow and not registry_exists(mlflow):
            start(f"Database of mlflow {shown_address(mlflow)}", CHECKOUT, module, MLFLOW_TRACKING_URI=mlflow)
        for what, process in started.items():
            out, _ = process.communicate()
            if process.returncode == 2 and out.startswith("Database of"):  # a refusal in words
                raise Refusal(out.strip())
            if process.returncode:
                raise Refusal(f"{what} could not be made", [without_secrets(out.strip()[-2000:], mlflow)])


def check_prefect_database() -> None:
    """Refuse a database that a Prefect server cannot use; without a setting it makes a file of its own.

    Raises
    ------
    ConfigError
        It cannot be reached, lets nobody in, or is MLflow's; without the password.
    """
    name, address = _stated()
    if not address or address.startswith("sqlite"):
        return
    subject = f"database of Prefect {shown_address(address)} (from {name})"
    if not address.startswith("postgresql+asyncpg://"):
        raise ConfigError(subject, [f"expected an address like {_EXAMPLE}"])
    if fault := _fault(address):
        remedy = f"make it (createdb), start it, or set {name} to one that is there: {_EXAMPLE}"
        raise ConfigError(subject, [without_secrets(fault, address)], remedy)


def _stated() -> tuple[str, str]:
    """The setting that names Prefect's database, and the address; both empty where there is none."""
    return next(((name, os.environ[name]) for name in PREFECT_DATABASES if os.environ.get(name)), ("", ""))


def _fault(address: str) -> str:
    """Why a server cannot use a database; empty if it can."""
    from asyncpg.exceptions import PostgresError
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        tables = asyncio.run(_tables(address))
        mlflow = make_url(os.environ.get("MLFLOW_TRACKING_URI") or "http://")
    except TimeoutError:
        return f"no answer within {_SECONDS:.0f} s"
    except (SQLAlchemyError, PostgresError, OSError, ValueError) as error:
        return f"expected a database that lets us in, got {error}"
    place = make_url(address)
    # Each has a table alembic_version, in which it looks for its own schema.
    if "registered_models" in tables or (mlflow.host, mlflow.port, mlflow.database) == (
        place.host,
        place.port,
        place.database,
    ):
        return "it is MLflow's: Prefect and MLflow need a database each"
    return ""


async def _tables(address: str) -> set[str]:
    from sqlalchemy import inspect
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(address, connect_args={"timeout": _SECONDS})
    try:
        async with engine.connect() as connection:
            return set(await connection.run_sync(lambda one: inspect(one).get_table_names()))
    finally:
        await engine.dispose()
