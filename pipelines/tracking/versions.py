"""What is written into MLflow's model registry, and the versions of a data set's model.

One registered model per data set, `simvp-<dataset>`, with a version for every training. Reading is the part of
`simvp.inference.Registry`, which a notebook uses too; where there is no registry yet, only a training makes one.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.home import Home
from pipelines.tracking.database import mend_database
from simvp.errors import RegistryError
from simvp.inference import CHAMPION, PREFIX, Registry, Version, registry_exists

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHALLENGER = "challenger"
LONGEST_TAG = 4000  # MLflow's databases hold 5000 characters in older schemas


def model_name(dataset: str) -> str:
    """Registered model of a data set."""
    return f"{PREFIX}{dataset}"


def open_registry(home: Home) -> Registry:
    """The registry of a home.

    Raises
    ------
    RegistryError
        Nothing there: asking for a model must not make an empty registry.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    mend_database(home)
    return Registry.find(home.path)


def list_versions(home: Home, dataset: str) -> tuple[Version, ...]:
    """Every version, first to last; empty where there is none, or no registry yet."""
    if not registry_exists(home.tracking_uri):
        return ()
    return open_registry(home).versions(model_name(dataset))


def find_version(home: Home, dataset: str, training_key: str) -> Version | None:
    """The last version of a training, if it was made."""
    # No search by tag: MLflow gives no aliases with what it finds, and a data set has few versions.
    versions = [version for version in list_versions(home, dataset) if version.training_key == training_key]
    return versions[-1] if versions else None


def resolve_version(home: Home, dataset: str, which: str | int = CHAMPION) -> Version:
    """The version that an alias or a number names.

    Raises
    ------
    RegistryError
        No registry, no model, or nothing of that name; what there is is listed.
    """
    wanted = str(which).removeprefix("@")
    return open_registry(home).resolve(f"{model_name(dataset)}{'/' if wanted.isdigit() else '@'}{wanted}")


def register_version(
    home: Home, dataset: str, *, source: str, run_id: str, tags: Mapping[str, str], text: str = ""
) -> Version:
    """Make a version of a logged model and call it the challenger.

    Parameters
    ----------
    source
        Address of the logged model.
    run_id
        Of the training.
    tags
        With `training_key` and `fingerprint`. A version of the same training key is not made a second time.
    text
        Description of the version, as Markdown.

    Raises
    ------
    RegistryError
        Tags that are missing.
    """
    name = model_name(dataset)
    lost = [key for key in ("training_key", "fingerprint") if not tags.get(key)]
    if lost:
        raise RegistryError(f"Version of {name}", [f"tags: {key} is missing" for key in lost])
    if version := find_version(home, dataset, tags["training_key"]):
        return set_challenger(home, version)
    with open_registry(home).client() as client:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name, description=f"SimVP forecasts of {dataset}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {key: str(value)[:LONGEST_TAG] for key, value in tags.items()}
        where, model = _place(client, source)
        made = client.create_model_version(
            name, source=where, run_id=run_id, tags=texts, description=text or None, model_id=model
        )
    return set_challenger(home, Version(name=name, version=str(made.version)))


def set_challenger(home: Home, version: Version) -> Version:
    """Give a version the alias `challenger`."""
    registry = open_registry(home)
    with registry.client() as client:
        client.set_registered_model_alias(version.name, CHALLENGER, version.version)
    return registry.resolve(version.label)


def _place(client: "MlflowClient", source: str) -> tuple[str, str | None]:
    """Where a logged model lies, as `create_model_version` wants it, and the model's id.

    MLflow's client for a database would look the model up at the address that is set for the whole process, whatever
    address the client was made for. A server looks it up in its own database, and accepts no other source.
    """
    model = source.removeprefix("models:/")
    if not model.startswith("m-"):
        return source, None
    if client.tracking_uri.startswith(("http://", "https://")):
        return source, model
    return str(client.get_logged_model(model).artifact_location), model
