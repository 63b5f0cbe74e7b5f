"""The versions of a data set's model in MLflow's registry: made, found, named by an alias, loaded.

One registered model per data set, `simvp-<dataset>`, with a version for every training. Tags of a version:
`training_key`, `fingerprint` and others from the training, and those that `pipelines.promote` writes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.home import Home
from simvp.errors import RegistryError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from simvp.inference import Forecaster

CHAMPION, CHALLENGER = "champion", "challenger"
LONGEST_TAG = 4000  # MLflow's databases hold 5000 characters in older schemas


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model.

    Parameters
    ----------
    name, version
        Registered model ("simvp-era5-uk") and number as text ("3").
    run_id
        The training run in MLflow.
    source
        Where MLflow keeps the files.
    aliases
        Aliases that name this version now.
    tags
        As in the module's description.
    """

    name: str
    version: str
    run_id: str
    source: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str] = field(compare=False)

    @property
    def label(self) -> str:
        """As forecasts name it: "simvp-era5-uk/3"."""
        return f"{self.name}/{self.version}"

    @property
    def uri(self) -> str:
        """MLflow's name: "models:/simvp-era5-uk/3"."""
        return f"models:/{self.label}"

    @property
    def fingerprint(self) -> str:
        """Of the model file; empty where the version was registered by hand."""
        return self.tags.get("fingerprint", "")

    @property
    def training_key(self) -> str:
        """Of configuration, commit and periods; empty where the version was registered by hand."""
        return self.tags.get("training_key", "")


def model_name(dataset: str) -> str:
    """Registered model of a data set."""
    return f"simvp-{dataset}"


def register_version(home: Home, dataset: str, *, source: str, run_id: str, tags: Mapping[str, str]) -> Version:
    """Make a version of a logged model and call it the challenger.

    Parameters
    ----------
    source
        Address of the logged model.
    run_id
        Of the training.
    tags
        With `training_key` and `fingerprint`. A version of the same training key is not made a second time.

    Raises
    ------
    RegistryError
        Tags that are missing.
    """
    lost = [name for name in ("training_key", "fingerprint") if not tags.get(name)]
    if lost:
        raise RegistryError(f"Version of {model_name(dataset)}", [f"tags: {name} is missing" for name in lost])
    from mlflow.exceptions import MlflowException

    name = model_name(dataset)
    client = open_registry(home, may_create=True)
    found = _find(client, name, tags["training_key"])
    if found is None:
        try:
            client.create_registered_model(name, description=f"SimVP forecasts of {dataset}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {key: str(value)[:LONGEST_TAG] for key, value in tags.items()}
        where, model = _place(client, source)
        made = client.create_model_version(name, source=where, run_id=run_id, tags=texts, model_id=model)
        found = str(made.version)
    client.set_registered_model_alias(name, CHALLENGER, found)
    return version_of(client, name, found)


def set_challenger(home: Home, version: Version) -> Version:
    """Give a version the alias `challenger`."""
    client = open_registry(home)
    client.set_registered_model_alias(version.name, CHALLENGER, version.version)
    return version_of(client, version.name, version.version)


def find_version(home: Home, dataset: str, training_key: str) -> Version | None:
    """The version of a training, if it was made; None as well where there is no registry yet."""
    if not _there(home):
        return None
    client, name = open_registry(home), model_name(dataset)
    found = _find(client, name, training_key)
    return None if found is None else version_of(client, name, found)


def list_versions(home: Home, dataset: str) -> tuple[Version, ...]:
    """Every version, first to last; empty where there is none."""
    if not _there(home):
        return ()
    client, name = open_registry(home), model_name(dataset)
    numbers = sorted((str(v.version) for v in _search(client, f"name='{name}'")), key=int)
    return tuple(version_of(client, name, number) for number in numbers)


def resolve_version(home: Home, dataset: str, which: str | int = CHAMPION) -> Version:
    """The version that an alias or a number names.

    Raises
    ------
    RegistryError
        No registry, no model, or nothing of that name; what there is is listed.
    """
    client, name, wanted = open_registry(home), model_name(dataset), str(which).removeprefix("@")
    known = list_versions(home, dataset)
    if not known:
        raise RegistryError(f"Model {name}", ["no version is registered"], "train one: the flow train, or make demo")
    for version in known:
        if wanted in (version.version, *version.aliases):
            return version_of(client, name, version.version)
    listed = ", ".join(v.version + (f" ({', '.join(v.aliases)})" if v.aliases else "") for v in known)
    remedy = "name one of these versions"
    if wanted == CHAMPION:
        remedy = "promote one (the flow promote), set the alias champion in MLflow's page, or name a version"
    raise RegistryError(f"Model {name}", [f"expected a version or alias {wanted!r}, got versions {listed}"], remedy)


def load_version(home: Home, version: Version, device: str | None = None) -> "Forecaster":
    """The model of a version."""
    from simvp.inference import Forecaster, Registry

    with Registry(uri=home.tracking_uri).file(version.name, version.version) as file:
        return Forecaster.load(file, device, version=version.label)


def _there(home: Home) -> bool:
    local = home.tracking_uri.removeprefix("sqlite:///")
    return local == home.tracking_uri or Path(local).is_file()


def open_registry(home: Home, *, may_create: bool = False) -> "MlflowClient":
    """The registry.

    Raises
    ------
    RegistryError
        No database file there yet: asking for a model must not make an empty registry.
    """
    if may_create:
        if home.tracking_uri == home.database_uri:
            home.mlflow.mkdir(parents=True, exist_ok=True)
    elif not _there(home):
        raise RegistryError(
            "Model registry",
            [f"expected MLflow's database at {home.tracking_uri}, got nothing there"],
            "train a model first (the flow train), or set MLFLOW_TRACKING_URI or SIMVP_HOME",
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)


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


def _search(client: "MlflowClient", query: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_model_versions(query, max_results=1000, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _find(client: "MlflowClient", name: str, training_key: str) -> str | None:
    found = _search(client, f"name='{name}' and tag.training_key='{training_key}'")
    return str(max(int(v.version) for v in found)) if found else None


def _aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def alias_of(client: "MlflowClient", name: str, alias: str) -> str | None:
    return _aliases(client, name).get(alias)


def version_of(client: "MlflowClient", name: str, number: str) -> Version:
    found = client.get_model_version(name, number)
    named = tuple(sorted(alias for alias, held in _aliases(client, name).items() if held == number))
    return Version(
        name=name,
        version=str(found.version),
        run_id=str(found.run_id or ""),
        source=str(found.source or ""),
        aliases=named,
        tags={str(k): str(v) for k, v in found.tags.items()},
    )
