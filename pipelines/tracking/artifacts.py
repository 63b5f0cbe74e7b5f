"""Where MLflow puts the files of the runs: figures, tables, models."""

import os

from pipelines.home import Home
from simvp.errors import ConfigError
from simvp.settings import shown_address

_OWN = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
_BUCKETS = ("s3://", "gs://")


def artifact_root(home: Home) -> str:
    """Address below which the files of new experiments lie.

    `MLFLOW_DEFAULT_ARTIFACT_ROOT` where it is set: MLflow's own variable, for what its server calls the default
    artifact root. Else `mlflow` below `SIMVP_STORE`, where that is a bucket. Else the home. Never the working
    directory, where MLflow would put them for a database without a server.

    Raises
    ------
    ConfigError
        `SIMVP_STORE` is an object store that MLflow knows by another address, or an address holds a password, which
        MLflow would write into its database.
    """
    if stated := os.environ.get(_OWN):
        if shown_address(stated) != stated:
            raise ConfigError(
                f"{_OWN} {shown_address(stated)}",
                ["expected no name, no password and no query in it: MLflow keeps it in its database"],
                "state credentials by the environment variables of the cloud",
            )
        return stated
    store = os.environ.get("SIMVP_STORE", "")
    if store.startswith(_BUCKETS):
        return f"{store.rstrip('/')}/mlflow"
    if "://" in store and not store.startswith("file://"):
        raise ConfigError(
            f"artifacts of MLflow below SIMVP_STORE {shown_address(store)}",
            ["MLflow takes no address of this kind"],
            f"set {_OWN} to the same place as MLflow calls it: wasbs://container@account.blob.core.windows.net/folder",
        )
    return home.artifacts.as_uri()
