"""A registry that is away, silent or failing: forecasts go on with the last champion that the home knows."""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import simvp
from datasets.archive import Archive
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.train import train
from pipelines.training.config import TrainConfig
from simvp.errors import RegistryError, Unavailable
from tests.faults.edge_support import failing_server, refused_port, silent_server
from tests.support.files.repositories import plain
from tests.support.models import small_forecaster
from tests.support.registries import register, registry_at
from tests.support.wave_home import wave_home, world

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

SECONDS = 20
Server = Callable[[], AbstractContextManager[str]]
WAYS = [
    pytest.param(lambda: nullcontext(refused_port()), "refused", id="refuses"),
    pytest.param(failing_server, "HTTP Error 500", id="fails"),
    pytest.param(silent_server, "timed out", id="silent", marks=pytest.mark.slow),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """With an archive, and a champion in its registry."""
    home = Home(registry_at(tmp_path, monkeypatch))
    wave_home(home, "waves")
    register(home.path, "simvp-waves", small_forecaster(world(14), frames_in=4, seed=1), "champion")
    return home


@pytest.mark.parametrize(("server", "text"), WAYS)
def test_the_last_champion_that_the_home_knows(
    server: Server, text: str, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        began = time.monotonic()
        with pytest.raises(Unavailable) as away:
            forecast(home, "waves")
        assert time.monotonic() - began < SECONDS
        assert f"Model registry {address} (from MLFLOW_TRACKING_URI)" in str(away.value)
        assert text in str(away.value)
        assert "no champion of waves was read here before" in str(away.value)
        assert "To mend it: try again later, start it, or set MLFLOW_TRACKING_URI" in str(away.value)
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        first = forecast(home, "waves")
        assert (first.model_version, first.model_source) == ("simvp-waves/1", "registry")
        Archive(home.archive("waves")).append(world(1, first=14 * 24))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        began = time.monotonic()
        caplog.clear()
        second = forecast(home, "waves")
    assert time.monotonic() - began < SECONDS
    assert len(second.issued) == 4
    assert (second.model_version, second.fingerprint) == ("simvp-waves/1", first.fingerprint)
    assert second.model_source.startswith("copy of ")
    assert "The registry is away: this is the last champion that this home knows (copy of " in second.summary
    (warning,) = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert text in warning
    assert f"Forecasting with simvp-waves/1, {second.model_source}" in warning
    issued = plain(second.path)
    assert issued["model_source"].values.tolist() == ["registry"] * 4 + [second.model_source] * 4


@pytest.mark.parametrize(("server", "text"), WAYS)
def test_who_names_a_model_or_trains_is_refused(
    server: Server, text: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast(home, "waves")
    with server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        before = sorted(home.path.rglob("*"))
        for refused in (
            lambda: forecast(home, "waves", model="challenger"),
            lambda: train(home, TrainConfig(dataset="waves", frames_in=4, frames_out=2, size="none", threads=1)),
            lambda: simvp.predict(world(14), "simvp-waves"),
        ):
            began = time.monotonic()
            with pytest.raises(Unavailable, match=text):
                refused()
            assert time.monotonic() - began < SECONDS
        made = {path.relative_to(home.path).parts[1] for path in home.path.rglob("*") if path not in before}
        assert made <= {"training"}  # the lock of the training


def test_another_champion_takes_the_place_of_the_one_that_was_known(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast(home, "waves")
    register(home.path, "simvp-waves", small_forecaster(world(14), frames_in=4, seed=2), "champion")
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    second = forecast(home, "waves")
    assert second.model_version == "simvp-waves/2"
    assert [path.stem for path in home.champion("waves").glob("*.safetensors")] == [second.fingerprint]
    Archive(home.archive("waves")).append(world(1, first=15 * 24))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refused_port())
    assert forecast(home, "waves").model_version == "simvp-waves/2"


def test_a_copy_that_is_damaged_or_gone_is_not_forecast_with(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(home, "waves")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refused_port())
    (file,) = home.champion("waves").glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    with pytest.raises(Unavailable, match="expected the content"):
        forecast(home, "waves")
    (home.champion("waves") / "known.json").write_bytes(b"\xff{")
    with pytest.raises(Unavailable, match="no champion of waves was read here before"):
        forecast(home, "waves")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.rmtree(home.mlflow)
    with pytest.raises(RegistryError, match="there is no such database"):  # not away: it is not there
        forecast(home, "waves")


def test_a_server_that_hangs_once_it_has_said_that_it_is_well(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(home, "waves")
    monkeypatch.setattr("simvp.inference.registry_address._ask", lambda uri: None)
    monkeypatch.setitem(simvp.inference.registry._PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    with silent_server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert forecast(home, "waves").model_source.startswith("copy of ")
    with failing_server(503) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(Unavailable, match="the server answers 503"):
            forecast(home, "waves", model="1")
