"""Models in an MLflow registry: where it is, its models' versions, which of them are champions, and their files.

MLflow is imported only when a registry is asked. Its global state (tracking address, active run) is neither read nor
set, and a registry that is not there is an error: opening one must never create an empty database.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simvp.errors import RegistryError, fault_around
from simvp.inference.registry_address import find_address, subject_of
from simvp.settings import shown_address, without_secrets

if TYPE_CHECKING:
    import torch

    from simvp.inference.forecaster import Forecaster

logger = logging.getLogger(__name__)

CHAMPION = "champion"
PREFIX = "simvp-"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model. Aliases move and tags are added, so neither counts in a comparison.

    Parameters
    ----------
    name, version
        Registered model ("simvp-era5-uk") and number as text ("3").
    run_id
        The training run in MLflow; empty where there is none.
    source
        Where MLflow keeps the files.
    created
        When it was registered, ms since 1970: a registry made anew counts versions from 1 again.
    aliases
        Aliases that name this version now.
    tags
        `training_key`, `fingerprint` and others from the training, and those that `pipelines.promote` writes.
    """

    name: str
    version: str
    run_id: str = ""
    source: str = ""
    created: int = 0
    aliases: tuple[str, ...] = field(default=(), compare=False)
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def label(self) -> str:
        """As forecasts name it: "simvp-era5-uk/3"."""
        return f"{self.name}/{self.version}"

    @property
    def fingerprint(self) -> str:
        """Of the model file; empty where the version was registered by hand."""
        return self.tags.get("fingerprint", "")

    @property
    def training_key(self) -> str:
        """Of configuration, commit and periods; empty where the version was registered by hand."""
        return self.tags.get("training_key", "")


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
    def find(cls, home: str | os.PathLike[str] | None = None) -> "Registry":
        """The registry at `MLFLOW_TRACKING_URI`, else the one in a home: by default `SIMVP_HOME`, else ".simvp".

        Raises
        ------
        RegistryError
            Nothing there, a database that is half made, or an address where a folder is expected; nothing is created.
        Unavailable
            A server that is away, silent or failing.
        """
        return cls(uri=find_address(home))

    @property
    def subject(self) -> str:
        """How errors name it."""
        return subject_of(self.uri)

    def champions(self) -> tuple[Version, ...]:
        """The champion of every registered model of this project that has one, by name."""
        with self.client() as client:
            models = _pages(client.search_registered_models, f"name LIKE '{PREFIX}%'")
            numbers = {model.name: str(model.aliases[CHAMPION]) for model in models if CHAMPION in model.aliases}
            return tuple(_version(client.get_model_version(*pair)) for pair in sorted(numbers.items()))

    def versions(self, name: str) -> tuple[Version, ...]:
        """Every version of a registered model, first to last; empty where there is no such model."""
        with self.client() as client:
            # A search gives versions without their aliases; the model has those of all of them.
            models = _pages(client.search_registered_models, f"name = '{name}'")
            if not models:
                return ()
            aliases = {alias: str(number) for alias, number in models[0].aliases.items()}
            versions = _pages(client.search_model_versions, f"name = '{name}'")
            return tuple(_version(version, aliases) for version in sorted(versions, key=lambda v: int(v.version)))

    def resolve(self, name: str) -> Version:
        """The version that a name means.

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
        model, _, number = model.partition("/")
        # One question where all is well; what else there is is asked for only to say why not.
        try:
            with self.client() as client:
                if number:
                    return _version(client.get_model_version(model, number))
                return _version(client.get_model_version_by_alias(model, alias or CHAMPION))
        except RegistryError:
            raise self._lost(model, "version" if number else "alias", number or alias or CHAMPION) from None

    def _lost(self, model: str, kind: str, wanted: str) -> RegistryError:
        """Why there is no such version, with what there is."""
        with self.client() as client:
            names = sorted(registered.name for registered in _pages(client.search_registered_models))
        versions = self.versions(model) if model in names else ()
        if not versions:
            reason = (
                f"no version is registered in {shown_address(self.uri)}; its models are: {', '.join(names) or 'none'}"
            )
            return RegistryError(f"Model {model}", [reason], "train one: simvp train, or the flow train")
        listed = ", ".join(v.version + (f" ({', '.join(v.aliases)})" if v.aliases else "") for v in versions)
        remedy = "name one of these versions"
        if wanted == CHAMPION:
            remedy = (
                "promote one (simvp promote, or the flow promote), set the alias champion in MLflow's page, or name a "
                "version"
            )
        return RegistryError(f"Model {model}", [f"expected the {kind} {wanted!r}, got versions {listed}"], remedy)

    @contextmanager
    def file(self, version: Version) -> Iterator[Path]:
        """The model file of a version, in a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="simvp-") as folder:
            with self.client() as client:
                from mlflow.artifacts import download_artifacts

                source = client.get_model_version_download_uri(version.name, version.version)
                # To a folder of our own: MLflow would add a file to a model that it finds on a local disk.
                path = download_artifacts(source, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri)
            yield model_file_in(path)

    def load(self, version: Version, device: "str | torch.device | None" = None) -> "Forecaster":
        """The model of a version; on the CPU unless a device is given.

        Raises
        ------
        RegistryError
            Its file is gone, damaged, or another one than was registered.
        """
        from simvp.inference.forecaster import Forecaster

        try:
            with self.file(version) as path:
                forecaster = Forecaster.load(path, device, version=version.label)
        except RegistryError as error:
            raise _unloadable(version, error.reasons) from error
        if version.fingerprint not in ("", forecaster.fingerprint):
            reason = f"expected the content {version.fingerprint}, as registered, got {forecaster.fingerprint}"
            raise _unloadable(version, [reason])
        logger.info("model %s version %s from %s", version.name, version.version, shown_address(self.uri))
        return forecaster

    @contextmanager
    def client(self) -> Iterator[Any]:
        """MLflow's client for this registry; its errors come out as ours.

        Raises
        ------
        Unavailable
            A server that is away, silent or failing, or a database that somebody else holds; within 20 s.
        RegistryError
            Anything else that MLflow refuses.
        """
        subject = self.subject
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise RegistryError(subject, ["MLflow is not installed"], "install mlflow, or give model=<file>") from error
        try:
            with short_waits():
                yield MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except (MlflowException, OSError) as error:
            refusal = RegistryError(subject, [without_secrets(str(error), self.uri)])
            raise fault_around(error, subject) or refusal from error


@contextmanager
def short_waits() -> Iterator[None]:
    """Let MLflow wait for a server for seconds instead of minutes, unless somebody has told how long.

    For questions to a registry. What a training writes may take longer, and rides through a server that starts anew.
    """
    new = {name: value for name, value in _PATIENCE.items() if name not in os.environ}  # read at every request
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def _unloadable(version: Version, reasons: Sequence[str]) -> RegistryError:
    if CHAMPION in version.aliases:
        remedy = (
            "put its file back, or take the champion before it: prefect deployment run promote/manual -p rollback=true"
        )
    else:
        remedy = "put its file back, or name another version"
    return RegistryError(f"Model {version.label} cannot be loaded", reasons, remedy)


def _version(version: Any, aliases: Mapping[str, str] | None = None) -> Version:
    """MLflow's record as ours; `aliases` of the model where the record comes without its own."""
    number = str(version.version)
    own = version.aliases if aliases is None else [alias for alias, holder in aliases.items() if holder == number]
    return Version(
        name=version.name,
        version=number,
        run_id=str(version.run_id or ""),
        source=str(version.source or ""),
        created=int(version.creation_timestamp),
        aliases=tuple(sorted(own)),
        tags={str(key): str(value) for key, value in version.tags.items()},
    )


def _pages(search: Callable[..., Any], query: str = "") -> list[Any]:
    """Everything that a search of MLflow's client finds, page after page."""
    page = search(query)
    records = list(page)
    while page.token:
        page = search(query, page_token=page.token)
        records += page
    return records


def model_file_in(path: str | os.PathLike[str]) -> Path:
    """The one model file in a folder (or the file itself).

    Raises
    ------
    RegistryError
        None, or several.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "none"
        raise RegistryError(f"Model {path}", [f"expected one .safetensors file, got {listed}"])
    return files[0]
