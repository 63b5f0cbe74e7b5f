"""Real MLflow registries on SQLite, without a server, for the tests that look models up."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.tracking import makers
from pipelines.tracking.database import migrate, mlflow_file
from simvp.inference.forecaster import Forecaster
from simvp.inference.registry import Registry, Version


def database(home: Path) -> str:
    """Address of the registry below a home."""
    return f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"


@cache
def _empty() -> tempfile.TemporaryDirectory[str]:
    """An empty registry; making one takes MLflow seconds, so it is made once and copied."""
    folder = tempfile.TemporaryDirectory(prefix="simvp-tests-")
    home = Path(folder.name)
    file = mlflow_file(database(home))
    assert file is not None
    with file.unfinished() as part:
        assert part is not None
        migrate(part, str(home / "mlflow" / "artifacts"), place=file.path)
    Path(f"{file.path}.lock").unlink()
    return folder


def registry_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry in a home below `folder`, and the environment of somebody who has told nothing else."""
    home = folder / "home"
    shutil.copytree(_empty().name, home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SIMVP_HOME", str(home))
    return home


def register(home: Path, name: str, forecaster: Forecaster, alias: str) -> str:
    """Register a version whose files lie in the home, and set an alias on it; the version."""
    client = MlflowClient(tracking_uri=database(home), registry_uri=database(home))
    if name not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model(name)
    number = len(client.search_model_versions(f"name='{name}'")) + 1
    folder = home / "mlflow" / "artifacts" / name / str(number)
    (folder / "data").mkdir(parents=True)
    forecaster.save(folder / "data" / "forecaster.safetensors")
    version = client.create_model_version(name, str(folder)).version
    client.set_registered_model_alias(name, alias, version)
    return str(version)


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, *models: Forecaster) -> None:
    """Let a registry that is only asked by fingerprint hold these models, and no others."""
    prints = {model.version[-1]: model.fingerprint for model in models}
    versions = [Version(name=name, version=v, tags={"fingerprint": f}) for v, f in prints.items()]
    monkeypatch.setattr(makers, "list_versions", lambda home, dataset: versions)
    monkeypatch.setattr(makers, "open_registry", lambda home: Registry(uri="not asked"))
    monkeypatch.setattr(Registry, "load", lambda registry, v: {m.version: m for m in models}[v.label])
