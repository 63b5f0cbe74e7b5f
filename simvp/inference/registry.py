"""Models in an MLflow registry: where it is, which versions are champions, and their files.

MLflow is imported only when a registry is asked. Its global state (tracking address, active run) is neither read nor
set, and a registry that is not there is an error: opening one must never create an empty database.
"""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from simvp.errors import RegistryError

logger = logging.getLogger(__name__)

ALIAS = "champion"
PREFIX = "simvp-"
_SECONDS = 5.0  # MLflow's own client tries a silent server for minutes


@dataclass(frozen=True, kw_only=True)
class Registry:
    """An MLflow model registry that is there.

    Parameters
    ----------
    uri
        Address as MLflow takes it: "sqlite:///...", "http://...", "postgresql://...".
    """

    uri: str

    @classmethod
    def find(cls) -> "Registry":
        """The registry at `MLFLOW_TRACKING_URI`, else the one in `SIMVP_HOME` (".simvp" by default).

        Raises
        ------
        RegistryError
            Nothing there; nothing is created.
        """
        stated = os.environ.get("MLFLOW_TRACKING_URI", "")
        home = Path(os.environ.get("SIMVP_HOME", ".simvp")).absolute()
        uri = stated or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
        fault = _fault(uri)
        if fault:
            where = "MLFLOW_TRACKING_URI" if stated else "SIMVP_HOME; MLFLOW_TRACKING_URI is not set"
            raise RegistryError(
                f"Model registry {uri} (from {where})",
                [fault],
                "set MLFLOW_TRACKING_URI or SIMVP_HOME to where models were registered, or give model=<file>",
            )
        return cls(uri=uri)

    def champions(self) -> list[tuple[str, str]]:
        """Name and version of every registered model of this project that has a champion, by name."""
        with self._client() as client:
            found, token = [], None
            while True:
                page = client.search_registered_models(f"name LIKE '{PREFIX}%'", page_token=token)
                found += [(model.name, str(model.aliases[ALIAS])) for model in page if ALIAS in model.aliases]
                token = page.token
                if not token:
                    return sorted(found)

    def resolve(self, name: str) -> tuple[str, str]:
        """Registered name and version.

        Parameters
        ----------
        name
            "simvp-era5-uk" (its champion), "simvp-era5-uk@challenger", "simvp-era5-uk/3", each with or without
            "models:/" before it.

        Raises
        ------
        RegistryError
            No such model, alias or version; the message lists those that there are.
        """
        text = name.removeprefix("models:/")
        model, _, alias = text.partition("@")
        model, _, version = model.partition("/")
        with self._client() as client:
            registered = {found.name: found for found in client.search_registered_models(max_results=1000)}
            if model not in registered:
                listed = ", ".join(sorted(registered)) or "none"
                raise RegistryError(f"Model {name}", [f"expected a registered model of {self.uri}: {listed}"])
            aliases = registered[model].aliases
            if version:
                versions = sorted(
                    (str(v.version) for v in client.search_model_versions(f"name='{model}'")), key=_number
                )
                if version not in versions:
                    raise RegistryError(f"Model {name}", [f"expected one of the versions {', '.join(versions)}"])
                return model, version
            if (alias or ALIAS) not in aliases:
                listed = ", ".join(f"{key} (version {v})" for key, v in sorted(aliases.items())) or "none"
                reason = f"expected the alias {alias or ALIAS!r}, got {listed}"
                raise RegistryError(f"Model {name}", [reason], "promote a version, or name one: models:/NAME/VERSION")
            return model, str(aliases[alias or ALIAS])

    def stamp(self, name: str, version: str) -> tuple[str, int]:
        """Where the files of a version are and when it was registered, ms; a registry made anew gives other ones."""
        with self._client() as client:
            found = client.get_model_version(name, version)
            return str(found.source), int(found.creation_timestamp)

    @contextmanager
    def file(self, name: str, version: str) -> Iterator[Path]:
        """The model file of a version, in a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="simvp-") as folder:
            with self._client() as client:
                from mlflow.artifacts import download_artifacts

                source = client.get_model_version_download_uri(name, version)
                # To a folder of our own: MLflow would add a file to a model that it finds on a local disk.
                path = download_artifacts(
                    artifact_uri=source, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri
                )
            yield model_file_in(path)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """MLflow's client for this registry; its errors come out as ours."""
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise RegistryError(
                f"Model registry {self.uri}",
                ["MLflow is not installed"],
                "install mlflow, or give model=<file>",
            ) from error
        try:
            yield MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except (MlflowException, OSError) as error:
            raise RegistryError(f"Model registry {self.uri}", [str(error)]) from error


def model_file_in(path: str | os.PathLike[str]) -> Path:
    """The one model file in a folder (or the file itself).

    Raises
    ------
    RegistryError
        None, or several.
    """
    path = Path(path)
    found = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise RegistryError(f"Model {path}", [f"expected one .safetensors file, got {listed}"])
    return found[0]


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _fault(uri: str) -> str | None:
    """Why there is no registry at an address; None if there may be one."""
    if uri.startswith("sqlite:///"):
        return _database_fault(Path(uri.removeprefix("sqlite:///").partition("?")[0]))
    if uri.startswith(("http://", "https://")):
        try:
            urlopen(f"{uri.rstrip('/')}/health", timeout=_SECONDS).close()
        except HTTPError:
            return None  # somebody answers; what is refused here may be allowed to MLflow's client
        except (URLError, OSError) as error:
            return f"expected a server that answers, got {getattr(error, 'reason', error)}"
    return None


def _database_fault(path: Path) -> str | None:
    """Why a file is not an MLflow database, found out without MLflow, which would make one of it."""
    if not path.is_file():
        return "there is no such database"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'registered_models'").fetchall()
    except sqlite3.Error as error:
        return f"expected an MLflow database, got a file that cannot be read as one: {error}"
    return None if tables else "expected an MLflow database, got one without registered models"
