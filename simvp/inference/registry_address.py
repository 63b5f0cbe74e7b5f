"""Whether there is a registry at an address: asked without MLflow, which would make one, or try for minutes."""

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from functools import lru_cache
from http.client import InvalidURL
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from simvp.errors import RegistryError, Unavailable, fault_around
from simvp.places import is_address
from simvp.settings import shown_address, without_secrets

_SQLITE = "sqlite:///"
_DATABASES = ("postgres", "mysql", "mssql")
_MODELS, _FIRST = "registered_models", "experiments"  # tables; the second is among the first that MLflow makes
_SECONDS = 5.0  # MLflow's own client tries a silent server for minutes
_REMEDY = (
    "train a model first (simvp train, or the flow train), set MLFLOW_TRACKING_URI or SIMVP_HOME to where models were "
    "registered, or give a model file"
)
_LATER = "try again later, start it, or set MLFLOW_TRACKING_URI to where models are registered"


def find_address(home: str | os.PathLike[str] | None = None) -> str:
    """Address of the registry at `MLFLOW_TRACKING_URI`, else of the one in a home; see `Registry.find`.

    Raises
    ------
    RegistryError
        Nothing there, a database that is half made, or an address where a folder is expected; nothing is created.
    Unavailable
        A server that is away, silent or failing.
    """
    place = str(home or os.environ.get("SIMVP_HOME") or ".simvp")
    stated = os.environ.get("MLFLOW_TRACKING_URI")
    if is_address(place) and not stated:
        reason = "expected a local folder with MLflow's database, got an address"
        raise RegistryError(f"SIMVP_HOME {shown_address(place)}", [reason], _REMEDY)
    uri = stated or f"{_SQLITE}{Path(place).absolute() / 'mlflow' / 'mlflow.db'}"
    if not registry_exists(uri):
        missing = "it is an empty database"
        if uri.startswith(_SQLITE):
            half = "expected an MLflow database, got an empty one, or what a start that was killed has left of one"
            missing = half if _file_at(uri).exists() else "there is no such database"
        raise RegistryError(f"{subject_of(uri)} ({_told_by(uri)})", [missing], _REMEDY)
    _refuse_unfinished(uri)
    return uri


def registry_exists(uri: str) -> bool:
    """Whether there is a registry at an address; False where a training would make one.

    That is where there is no file yet, an empty database, or one of MLflow's that a start has left half made.

    A server that answers is left to MLflow's client. Nothing is created.

    Raises
    ------
    Unavailable
        A server that is away, silent or failing, or a database that somebody else holds; within 5 s.
    RegistryError
        What is there is something else, or lets nobody in.
    """
    try:
        if uri.startswith(_SQLITE):
            return _is_registry(_file_at(uri))
        if uri.startswith(("http://", "https://")):
            _ask(uri)
        if uri.startswith(_DATABASES):
            return _has_models(uri)
    except _Fault as fault:
        reason = without_secrets(str(fault), uri)
        # Not `from`: what the driver and SQLAlchemy say in between may quote the address.
        subject = f"{subject_of(uri)} ({_told_by(uri)})"
        kind, remedy = (Unavailable, _LATER) if fault.away else (RegistryError, _REMEDY)
        raise kind(subject, [reason], remedy) from None
    return True


def subject_of(uri: str) -> str:
    """How errors name a registry."""
    return f"Model registry {shown_address(uri)}"


class _Fault(Exception):
    """Why an address is no registry, or is none now."""

    def __init__(self, text: str, error: Exception | None = None) -> None:
        super().__init__(text)
        self.away = error is not None and isinstance(fault_around(error, ""), Unavailable)


def _told_by(uri: str) -> str:
    stated = os.environ.get("MLFLOW_TRACKING_URI") == uri
    return f"from {'MLFLOW_TRACKING_URI' if stated else 'SIMVP_HOME; MLFLOW_TRACKING_URI is not set'}"


def _ask(uri: str) -> None:
    try:
        # Its health is for everybody, and urllib would take a password for a part of the name.
        urlopen(f"{shown_address(uri).rstrip('/')}/health", timeout=_SECONDS).close()
    except (URLError, OSError, InvalidURL) as error:
        if isinstance(error, HTTPError) and not isinstance(fault_around(error, uri), Unavailable):
            return  # somebody answers; what is refused here may be allowed to MLflow's client
        reason = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise _Fault(f"expected a server that answers, got {reason}", error) from error


def _is_registry(path: Path) -> bool:
    """Found out without MLflow, which would make a database of any file; False where there is none."""
    if not path.is_file():
        return False
    try:
        tables = {name for (name,) in _ask_file(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise _Fault(f"expected an MLflow database, got a file that cannot be read as one: {error}", error) from error
    if _others(tables):
        raise _Fault("expected an MLflow database, got one without registered models")
    return _MODELS in tables


def _ask_file(path: Path, question: str) -> list[tuple[Any, ...]]:
    # Not read-only: what a writer that was killed has begun is taken back by the first who opens the file after it.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_SECONDS)) as database:
        return database.execute(question).fetchall()


def _others(tables: Collection[str]) -> bool:
    """Whether tables are somebody else's: neither MLflow's, nor some of those that MLflow makes first."""
    return bool(tables) and not {_MODELS, _FIRST} & set(tables)


@lru_cache(maxsize=1)
def _newest_migration() -> str | None:
    """Of the installed MLflow, which has some seventy; None where there is none, which its client says."""
    package = find_spec("mlflow")
    if package is None or package.origin is None:
        return None
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(package.origin).parent / "store" / "db_migrations")).get_current_head()


def _refuse_unfinished(uri: str) -> None:
    """Refuse a file in which MLflow would go on where a start was killed: half of a migration cannot be done again.

    Raises
    ------
    RegistryError
        It is half made, or of another version of MLflow.
    """
    if not uri.startswith(_SQLITE) or (wanted := _newest_migration()) is None:
        return
    try:
        found = _ask_file(_file_at(uri), "SELECT version_num FROM alembic_version")
    except sqlite3.Error:
        found = []
    if found != [(wanted,)]:
        reason = (
            f"expected the tables of MLflow's migration {wanted}, got those of {found[0][0] if found else 'none'}: a "
            "start that made them was killed, or they are of another version of MLflow"
        )
        remedy = "the next training, promotion or `make up` of this home brings them up to date"
        raise RegistryError(f"{subject_of(uri)} ({_told_by(uri)})", [reason], remedy)


def _file_at(uri: str) -> Path:
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def _has_models(uri: str) -> bool:
    """Whether a database server has MLflow's tables, asked once: MLflow's client would try for two minutes."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    try:
        seconds = {"connect_timeout": int(_SECONDS)} if uri.startswith("postgresql") else {}
        engine = create_engine(uri, connect_args=seconds)
        try:
            tables = set(inspect(engine).get_table_names())
        finally:
            engine.dispose()
    except (ArgumentError, NoSuchModuleError) as error:
        raise _Fault(f"expected an address like postgresql://user:password@host:5432/mlflow: {error}") from error
    except ModuleNotFoundError as error:
        package = "psycopg2-binary" if error.name == "psycopg2" else f"'{error.name}[binary]'"
        raise _Fault(f"the driver {error.name} is not installed: pip install {package}") from error
    except DBAPIError as error:
        raise _Fault(f"expected a database that lets us in, got {str(error.orig).strip()}", error) from error
    if _others(tables):
        raise _Fault(f"expected an MLflow or an empty database, got one with other tables ({min(tables)}, ...)")
    return _MODELS in tables
