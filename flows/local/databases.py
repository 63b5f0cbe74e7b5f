"""The database of the Prefect server, looked at before the server is started: its own errors are pages of traceback."""

import asyncio
import os

from simvp.errors import ConfigError
from simvp.settings import shown_address, without_secrets

__all__ = ["PREFECT_DATABASES", "check_prefect_database"]

# Two names of one setting.
PREFECT_DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
_EXAMPLE = "postgresql+asyncpg://user:password@host:5432/prefect"
_SECONDS = 5.0


def check_prefect_database() -> None:
    """Refuse a database that a Prefect server cannot use; without a setting it makes a file of its own.

    Raises
    ------
    ConfigError
        It cannot be reached, lets nobody in, or is MLflow's; without the password.
    """
    name, address = next(((name, os.environ[name]) for name in PREFECT_DATABASES if os.environ.get(name)), ("", ""))
    if not address or address.startswith("sqlite"):
        return
    subject = f"database of Prefect {shown_address(address)} (from {name})"
    if not address.startswith("postgresql+asyncpg://"):
        raise ConfigError(subject, [f"expected an address like {_EXAMPLE}"])
    if fault := _fault(address):
        remedy = f"make it (createdb), start it, or set {name} to one that is there: {_EXAMPLE}"
        raise ConfigError(subject, [without_secrets(fault, address)], remedy)


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
