"""Where MLflow puts files: the home, a bucket, or where MLflow's own variable says; never the working directory."""

from contextlib import closing
from pathlib import Path

import pytest

from pipelines.home import Home
from pipelines.tracking.artifacts import artifact_root
from pipelines.tracking.runs import open_run
from simvp.errors import ConfigError
from tests.conftest import SECRET


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_TRACKING_URI", "SIMVP_STORE"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path / "home")


@pytest.mark.parametrize(
    ("store", "stated", "root"),
    [
        ("", "", "file://{home}/mlflow/artifacts"),
        ("/data/stores", "", "file://{home}/mlflow/artifacts"),
        ("s3://fields/simvp/", "", "s3://fields/simvp/mlflow"),
        ("gs://fields", "", "gs://fields/mlflow"),
        ("s3://fields", "s3://models", "s3://models"),
        ("az://c/a", "wasbs://c@a.blob.core.windows.net/a", "wasbs://c@a.blob.core.windows.net/a"),
    ],
)
def test_root_of_new_experiments(
    home: Home, store: str, stated: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMVP_STORE", store)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", stated)
    assert artifact_root(home) == root.format(home=home.path)


def test_a_store_that_mlflow_calls_otherwise_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_STORE", "az://key:secret@container/a")
    with pytest.raises(ConfigError) as refused:
        artifact_root(home)
    assert "set MLFLOW_DEFAULT_ARTIFACT_ROOT to the same place as MLflow calls it: wasbs://" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("stated", ["s3://key:secret@models", "https://files/models?sig=secret"])
def test_a_root_with_a_password_is_refused(home: Home, stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", stated)
    with pytest.raises(ConfigError, match="MLflow keeps it in its database") as refused:
        artifact_root(home)
    assert "secret" not in str(refused.value)


def test_a_model_goes_to_the_bucket_and_comes_back(
    home: Home, bucket: str, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    import boto3

    from pipelines.tracking.versions import open_registry, register_version
    from tests.support.wave_home import forecaster

    monkeypatch.setenv("SIMVP_STORE", bucket)
    home.mlflow.mkdir(parents=True)
    shutil.copy(empty_database, home.mlflow / "mlflow.db")
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    with open_run(home, "a", "key") as run:
        run.log_text("| a |", "windows.md")
        source, run_id = run.log_model(model, forecaster().spec), run.run_id
    tags = {"training_key": "key", "fingerprint": "0" * 16}
    version = register_version(home, "a", source=source, run_id=run_id, tags=tags)
    assert version.source.startswith(f"{bucket}/mlflow/")
    with open_registry(home).file(version) as path:
        assert path.read_bytes() == b"weights"
    with closing(boto3.client("s3")) as client:
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket.split("/")[2])["Contents"]]
    assert f"simvp/mlflow/{run_id}/artifacts/windows.md" in keys
    assert all(key.startswith("simvp/mlflow/") for key in keys)
    written = [path for path in home.path.rglob("*") if path.is_file()]
    assert written == [home.mlflow / "mlflow.db"]
    assert SECRET.encode() not in written[0].read_bytes()
