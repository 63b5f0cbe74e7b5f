"""Looking models up in a real MLflow registry on SQLite: what is found, what is refused, what is left alone."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
import xarray as xr

import simvp
from simvp.errors import RegistryError, Unavailable
from simvp.inference.forecaster import Forecaster
from simvp.inference.registry import Registry, Version
from tests.support.registries import database, register, registry_at


def labels(versions: tuple[Version, ...]) -> list[str]:
    return [version.label for version in versions]


class TestNames:
    @pytest.fixture
    def filled(self, home: Path, small: Forecaster) -> Path:
        register(home, "simvp-weather", small, "champion")
        register(home, "simvp-weather", small, "challenger")
        return home

    @pytest.mark.parametrize(
        ("name", "version"),
        [
            ("simvp-weather", "1"),
            ("simvp-weather@champion", "1"),
            ("simvp-weather@challenger", "2"),
            ("simvp-weather/2", "2"),
            ("models:/simvp-weather", "1"),
            ("models:/simvp-weather@challenger", "2"),
            ("models:/simvp-weather/1", "1"),
        ],
    )
    def test_every_form(self, filled: Path, name: str, version: str) -> None:
        found = Registry.find().resolve(name)
        assert (found.name, found.version) == ("simvp-weather", version)

    def test_a_loaded_model_knows_its_version(self, filled: Path, small: Forecaster) -> None:
        loaded = simvp.load("simvp-weather@challenger")
        assert loaded.version == "simvp-weather/2"
        assert loaded.fingerprint == small.fingerprint

    def test_a_version_is_described_alike_however_it_is_found(self, filled: Path) -> None:
        registry = Registry.find()
        first, second = registry.versions("simvp-weather")
        assert (first.aliases, second.aliases) == (("champion",), ("challenger",))
        assert first.created > 0
        assert Path(second.source).is_dir()
        (champion,) = registry.champions()
        assert vars(champion) == vars(registry.resolve("simvp-weather/1")) == vars(first)
        assert registry.versions("simvp-wether") == ()

    def test_what_is_not_there_is_listed(self, filled: Path) -> None:
        for name, text in {
            "simvp-wether": "no version is registered in sqlite.*; its models are: simvp-weather",
            "it's": "no version is registered in sqlite.*; its models are: simvp-weather",
            "simvp-weather/7": r"expected the version '7', got versions 1 \(champion\), 2 \(challenger\)",
            "simvp-weather/best": r"expected the version 'best', got versions 1 \(champion\), 2 \(challenger\)",
            "simvp-weather@best": r"expected the alias 'best', got versions 1 \(champion\), 2 \(challenger\)",
        }.items():
            with pytest.raises(RegistryError, match=text):
                simvp.load(name)

    def test_champions(self, filled: Path, small: Forecaster) -> None:
        register(filled, "simvp-a", small, "champion")
        register(filled, "simvp-b", small, "challenger")
        assert labels(Registry.find().champions()) == ["simvp-a/1", "simvp-weather/1"]


class TestFile:
    @pytest.mark.parametrize("fault", ["gone", "another", "changed"])
    def test_a_champion_that_cannot_be_loaded_is_never_forecast_with(
        self, home: Path, small: Forecaster, world: xr.Dataset, fault: str
    ) -> None:
        register(home, "simvp-weather", small, "champion")
        (file,) = home.rglob("*.safetensors")
        client = mlflow.MlflowClient(tracking_uri=database(home), registry_uri=database(home))
        client.set_model_version_tag("simvp-weather", "1", "fingerprint", small.fingerprint)
        assert simvp.load("simvp-weather").fingerprint == small.fingerprint
        if fault == "gone":
            file.unlink()
            reason = "expected one .safetensors file, got none"
        elif fault == "changed":
            content = bytearray(file.read_bytes())
            content[-8] ^= 1
            file.write_bytes(content)
            reason = f"expected the content {small.fingerprint}, got "
        else:
            client.set_model_version_tag("simvp-weather", "1", "fingerprint", "0" * 16)
            reason = f"expected the content {'0' * 16}, as registered, got {small.fingerprint}"
        with pytest.raises(RegistryError) as refused:
            Registry.find().load(Registry.find().resolve("simvp-weather"))
        text = str(refused.value)
        assert text.startswith(f"Model simvp-weather/1 cannot be loaded: {reason}")
        assert text.endswith("take the champion before it: prefect deployment run promote/manual -p rollback=true")
        with pytest.raises(RegistryError):
            simvp.predict(world, "simvp-weather")

    def test_a_database_that_a_killed_start_has_left_is_refused_and_left(self, home: Path) -> None:
        with sqlite3.connect(home / "mlflow" / "mlflow.db") as database:
            database.execute("UPDATE alembic_version SET version_num = 'somewhere'")
            database.execute("DROP TABLE workspaces")
        before = (home / "mlflow" / "mlflow.db").read_bytes()
        with pytest.raises(RegistryError) as refused:
            simvp.load("simvp-weather")
        assert "got those of somewhere: a start that made them was killed, or they are of another" in str(refused.value)
        assert "`make up` of this home brings them up to date" in str(refused.value)
        assert (home / "mlflow" / "mlflow.db").read_bytes() == before


class TestWhere:
    def test_the_stated_address_comes_before_the_home(
        self, home: Path, small: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        register(home, "simvp-home", small, "champion")
        assert labels(Registry.find().champions()) == ["simvp-home/1"]
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        other = registry_at(elsewhere, monkeypatch)
        monkeypatch.setenv("SIMVP_HOME", str(home))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", database(other))
        register(other, "simvp-stated", small, "champion")
        assert labels(Registry.find().champions()) == ["simvp-stated/1"]

    def test_the_default_home_is_in_the_working_directory(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("SIMVP_HOME")
        monkeypatch.chdir(tmp_path)
        home.rename(tmp_path / ".simvp")
        assert Registry.find().uri == database(tmp_path / ".simvp")

    @pytest.mark.parametrize("variable", ["SIMVP_HOME", "MLFLOW_TRACKING_URI"])
    def test_a_missing_database_is_refused_and_not_made(
        self, variable: str, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.delenv("SIMVP_HOME", raising=False)
        value = str(tmp_path / "h") if variable == "SIMVP_HOME" else f"sqlite:///{tmp_path}/x.db"
        monkeypatch.setenv(variable, value)
        for call in (lambda: simvp.predict(world), lambda: simvp.load("simvp-weather")):
            with pytest.raises(RegistryError) as caught:
                call()
            assert "there is no such database" in str(caught.value)
            assert variable in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_a_home_that_is_an_address_is_named(self, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.setenv("SIMVP_HOME", "s3://user:secret@bucket/home")
        with pytest.raises(RegistryError, match=r"SIMVP_HOME s3://bucket/home: expected a local folder .* an address"):
            simvp.predict(world)

    @pytest.mark.parametrize("content", ["empty", "text", "foreign"])
    def test_what_is_no_mlflow_database_is_left_as_it_is(
        self, content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "x.db"
        path.write_bytes(b"" if content != "text" else b"notes" * 1000)
        if content == "foreign":
            with sqlite3.connect(path) as made:
                made.execute("CREATE TABLE mine (a)")
        before = path.read_bytes()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        with pytest.raises(RegistryError, match="expected an MLflow database"):
            Registry.find()
        assert path.read_bytes() == before

    def test_a_server_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            port = server.server_port
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(
            Unavailable, match=r"expected a server that answers, got .*refused\nTo mend it: try again later"
        ):
            simvp.load("simvp-weather")

    def test_a_server_that_answers_anything_is_left_to_mlflow(
        self, monkeypatch: pytest.MonkeyPatch, answering: str
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", answering)
        assert Registry.find().uri == answering

    @pytest.fixture
    def answering(self) -> Iterator[str]:
        with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()


def test_looking_up_leaves_mlflow_and_the_folder_alone(
    home: Path, small: Forecaster, world: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(home, "simvp-weather", small, "champion")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    files = sorted(p for p in home.rglob("*") if p.is_file())
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run(), dict(os.environ)
    simvp.predict(world)
    simvp.load("models:/simvp-weather@champion")
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run(), dict(os.environ)) == before
    assert list(work.iterdir()) == []
    assert sorted(p for p in home.rglob("*") if p.is_file()) == files


def test_mlflow_loads_what_mlflow_logged(
    home: Path, small: Forecaster, world: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged, registered and loaded by MLflow itself, then asked for by name: the same model each time."""
    path = tmp_path / "forecaster.safetensors"
    small.save(path)
    # MLflow's own functions go by the environment; its setter would leave a mark there.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database(home))
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("logged", artifact_location=str(home / "mlflow" / "artifacts"))
    with mlflow.start_run(experiment_id=experiment):
        info = mlflow.pyfunc.log_model(
            name="model",
            loader_module="simvp.mlflow_model",
            data_path=str(path),
            pip_requirements=["simvp"],
            registered_model_name="simvp-logged",
        )
    client.set_registered_model_alias("simvp-logged", "champion", "1")
    forecast = mlflow.pyfunc.load_model(info.model_uri).predict(world)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    expected = small.predict(world)
    xr.testing.assert_equal(forecast.drop_vars("created"), expected.drop_vars("created"))
    assert simvp.load("simvp-logged").fingerprint == small.fingerprint
