"""What every test file may ask for."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is loaded: tests share the cores with each other and with servers (`flows.waits_asleep`).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from pipelines.tracking.provenance import CHECKOUT

__all__ = ["CHECKOUT", "SECRET"]

SECRET = "moto-never-looks-at-it"
"""The key of the bucket, which nothing may write down."""

# The same examples on every run, so that a change is blamed for what it did; `make test-all` looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Leave out fsync in a module: no test cuts the power, and a kill empties no page cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr("datasets.store.disk.sync_all", lambda folder: None)
        yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied: its tables take longer to make than a small training."""
    from pipelines.tracking.database import migrate, mlflow_file

    file = mlflow_file(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")
    assert file is not None
    with file.unfinished() as part:
        assert part is not None
        migrate(part, str(file.path.with_name("artifacts")), place=file.path)
    return file.path


@pytest.fixture(scope="session")
def object_store() -> Iterator[dict[str, str]]:
    """Environment of whoever keeps something with moto's server, in the place of S3."""
    pytest.importorskip("boto3", reason="no boto3, which makes buckets")
    moto = pytest.importorskip("moto.server", reason="no moto, whose server is the object store of the tests")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": SECRET}
    regions = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **keys, **regions}
    server.stop()


@pytest.fixture
def bucket(object_store: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address in an empty bucket, and the environment in which it can be reached."""
    import boto3

    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    name = "weather" + "".join(c for c in tmp_path.name if c.isalnum()).lower()[-30:]
    with closing(boto3.client("s3")) as client:
        client.create_bucket(Bucket=name)
    return f"s3://{name}/simvp"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden files and sample data: $SIMVP_SHARED, else the folder `shared` beside the checkout."""
    folder = Path(os.environ.get("SIMVP_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden files and sample data in {folder}; set SIMVP_SHARED to their directory")
    return folder
