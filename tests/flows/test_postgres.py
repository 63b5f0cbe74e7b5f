"""MLflow and Prefect on a real PostgreSQL server; what cannot be used is refused in words, without the password."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.local.addresses import Addresses, free_port
from flows.local.databases import check_prefect_database
from flows.local.services import PREFECT, Services
from pipelines.home import Home
from simvp.errors import ConfigError, RegistryError, Unavailable
from simvp.inference import registry_exists
from simvp.inference.registry import Registry
from tests.flows.postgres import ESCAPED, PASSWORD, Postgres, postgres_server
from tests.support.small_home import FRAMES_IN, FRAMES_OUT, write_source

DATASET = "walk"
SECRETS = (PASSWORD, ESCAPED, "s3cr3t")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_server() as running:
        for database in ("mlflow", "empty", "other"):
            running.create(database)
        yield running


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which nothing may appear."""
    folder = tmp_path / "nowhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def holding(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_training_is_registered_and_judged_in_postgresql(
    server: Postgres, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    from pipelines.ingest import ingest
    from pipelines.promote import promote
    from pipelines.tracking.versions import list_versions, open_registry, resolve_version
    from pipelines.train import train
    from pipelines.training import TrainConfig

    address = server.address("mlflow")
    home = Home(tmp_path / "home")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.delenv("SIMVP_STORE", raising=False)
    assert list_versions(home, DATASET) == ()  # an empty database: no registry yet, and asking makes none
    assert server.tables("mlflow") == set()
    with pytest.raises(RegistryError, match="it is an empty database"):
        Registry.find(home.path)

    ingest(home, DATASET, source=write_source(tmp_path / "source"))
    config = TrainConfig(
        dataset=DATASET, frames_in=FRAMES_IN, frames_out=FRAMES_OUT, size="tiny", epochs=1, threads=1, device="cpu"
    )
    trained = train(home, config)
    assert train(home, config).existing
    promotion = promote(home, DATASET)
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    client.set_registered_model_alias(f"simvp-{DATASET}", "champion", trained.version)
    version = resolve_version(home, DATASET, "champion")
    assert version.tags["gate"] == promotion.outcome
    assert open_registry(home).load(version).fingerprint == trained.fingerprint

    models = [path.relative_to(home.artifacts) for path in home.artifacts.rglob("*.safetensors")]
    assert len(models) == 1
    assert Path(client.get_run(trained.run_id).info.artifact_uri.removeprefix("file://")).is_relative_to(home.artifacts)
    assert not (home.mlflow / "mlflow.db").exists()
    assert list(nowhere.iterdir()) == []
    printed = "".join(capfd.readouterr())
    for secret in SECRETS:
        assert holding(home.path, secret) == []
        assert secret not in printed
        assert secret not in server.dump("mlflow")


@pytest.mark.parametrize("driver", ["", "+psycopg2"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("password", "password authentication failed"),
        ("silent", "refused"),
        ("database", 'database "none" does not exist'),
        ("foreign", r"an MLflow or an empty database, got one with other tables \(alembic_version, ...\)"),
    ],
)
def test_a_registry_that_cannot_be_used_is_refused_at_once(
    server: Postgres, nowhere: Path, fault: str, words: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.address({"database": "none", "foreign": "other"}.get(fault, "empty"), driver=driver)
    if fault == "password":
        address = server.address("empty", driver=driver, password="wr0ng%2Fone")
    if fault == "silent":
        address = address.replace(f":{server.port}/", f":{free_port()}/")
    if fault == "foreign":
        server._client("psql", "other", "--command", "CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    start = time.monotonic()
    with pytest.raises(Unavailable if fault == "silent" else RegistryError, match=words) as refused:
        registry_exists(address)
    assert time.monotonic() - start < 30  # MLflow's client alone tries for two minutes
    text = str(refused.value)
    assert f"Model registry postgresql{driver}://127.0.0.1:" in text
    assert "from MLFLOW_TRACKING_URI" in text
    assert not any(secret in text for secret in (*SECRETS, "wr0ng"))
    assert list(nowhere.iterdir()) == []


def test_a_training_is_refused_before_anything_is_written(
    server: Postgres, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.tracking import open_run

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address("empty", password="wr0ng"))
    with pytest.raises(RegistryError, match="password authentication failed"), open_run(Home(tmp_path / "h"), "a", "b"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"nowhere"}


def test_a_prefect_server_keeps_everything_in_postgresql(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.create("prefect")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", server.address("prefect", driver="+asyncpg"))
    home = Home(tmp_path / "home")
    services = Services(home=home, addresses=Addresses(prefect_port=free_port()), temporary=True)
    assert not any("CONNECTION_URL" in name for name in services.environment)  # what a worker sees, and hands on
    try:
        services.start_prefect()
        services.wait()
        words = Path(f"/proc/{services.processes[PREFECT].pid}/cmdline").read_text()
    finally:
        services.stop()
    assert {"flow_run", "work_pool"} <= server.tables("prefect")
    assert list(home.prefect.glob("*.db")) == []
    for secret in SECRETS:
        assert holding(home.path, secret) == []
        assert secret not in words


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("password", "password authentication failed"),
        ("silent", "expected a database that lets us in, got .*Connect call failed"),
        ("database", 'database "none" does not exist'),
        ("driver", r"expected an address like postgresql\+asyncpg://"),
        ("shared", "Prefect and MLflow need a database each"),
    ],
)
@pytest.mark.parametrize("name", ["PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"])
def test_a_database_that_prefect_cannot_use_is_refused_before_its_server_starts(
    server: Postgres, fault: str, words: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.address("none" if fault == "database" else "empty", driver="" if fault == "driver" else "+asyncpg")
    if fault == "password":
        address = server.address("empty", driver="+asyncpg", password="wr0ng%2Fone")
    if fault == "silent":
        address = address.replace(f":{server.port}/", f":{free_port()}/")
    if fault == "shared":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address("empty"))
    monkeypatch.setenv(name, address)
    with pytest.raises(ConfigError, match=words) as refused:
        check_prefect_database()
    text = str(refused.value)
    assert f"(from {name})" in text
    assert not any(secret in text for secret in (*SECRETS, "wr0ng"))


def test_no_setting_and_a_file_are_left_to_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith("DATABASE_CONNECTION_URL"):
            monkeypatch.delenv(name)
    check_prefect_database()
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/at/all.db")
    check_prefect_database()
