"""MLflow's database, made and brought up to date so that a kill at any moment leaves the old one or the new one.

In a file that is done beside its place (`DatabaseFile`). On a database server there is no such place: PostgreSQL takes
all migrations in one transaction, and two first starts wait for each other by an advisory lock.
"""

import gc
import os
import sys
import zlib
from pathlib import Path

from pipelines.home import Home
from pipelines.tracking.artifacts import artifact_root
from pipelines.tracking.database_file import DatabaseFile
from simvp.errors import Refusal, RegistryError
from simvp.inference import registry_exists

__all__ = ["make_database", "mend_database", "mlflow_file"]

_SQLITE = "sqlite:///"
_OF_A_NEW_ONE = {"experiments": "experiment_id = 0", "workspaces": "name = 'default'"}


def mlflow_file(address: str) -> DatabaseFile | None:
    """The file at an address of MLflow's; None where it is no file."""
    if not address.startswith(_SQLITE):
        return None
    path = Path(address.removeprefix(_SQLITE).partition("?")[0]).absolute()
    return DatabaseFile(path=path, package="mlflow", by_itself=_OF_A_NEW_ONE)


def make_database(home: Home) -> None:
    """Have MLflow's database whole: made where there is none or where one was left half made, brought up to date.

    What lies behind a server is that server's business.

    Raises
    ------
    RegistryError
        It cannot be reached, is something else, or cannot be brought up to date; it is as it was then.
    ConfigError
        The file is no database, or is in use.
    """
    there, file = registry_exists(home.tracking_uri), mlflow_file(home.tracking_uri)
    if file is not None:
        with file.unfinished() as part:
            if part is not None:
                migrate(part, artifact_root(home), place=file.path)
    elif not there:
        _make_on_server(home.tracking_uri)


def mend_database(home: Home) -> None:
    """As `make_database`, for what only reads: where there is no database, none is made, nor where none can be."""
    file = mlflow_file(home.tracking_uri)
    if file is not None and file.path.is_file() and os.access(file.path.parent, os.W_OK):
        make_database(home)


def migrate(path: Path, artifacts: str, *, place: Path) -> None:
    """Run all migrations that a database file lacks, which may not be there yet, and which belongs to a place.

    Raises
    ------
    RegistryError
        MLflow cannot; in its own words.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from alembic.util import CommandError
    from mlflow.db import upgrade
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    address, old = f"{_SQLITE}{path}", path.exists()
    try:
        assert upgrade.callback is not None
        upgrade.callback(address)
        # Looks whether all is there, and makes MLflow's experiment "Default", which two first clients would both make.
        SqlAlchemyStore(address, artifacts).engine.dispose()
    except (CommandError, MlflowException, SQLAlchemyError) as error:
        if not old:
            raise
        raise RegistryError(
            f"Database of MLflow {place}",
            [f"cannot be brought to the tables of this version of MLflow: {_in_short(error)}"],
            f"it is as it was: put back a copy of it, or move it away to begin anew: mv {place} {place}.damaged",
        ) from error
    finally:
        gc.collect()  # the first engine keeps the file open until then


def _make_on_server(address: str) -> None:
    from mlflow.db import upgrade
    from sqlalchemy import create_engine, text

    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            if address.startswith("postgres"):  # dropped with the connection, also by a kill
                connection.execute(text(f"SELECT pg_advisory_lock({zlib.crc32(b'simvp mlflow')})"))
            if not registry_exists(address):
                assert upgrade.callback is not None
                upgrade.callback(address)
    finally:
        engine.dispose()


def _in_short(error: Exception) -> str:
    return str(error).partition("\n")[0]


def main() -> int:
    """Run the migrations of a file for a place, or make the database of `SIMVP_HOME`; 2 after a refusal, printed."""
    try:
        home = Home.default()
        if len(sys.argv) == 3:
            path, place = map(Path, sys.argv[1:])
            migrate(path, artifact_root(home), place=place)
        else:
            make_database(home)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
