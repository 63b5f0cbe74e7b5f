"""What a notebook calls: by Forecaster, by file, by registered name, and by whichever champion fits."""

import logging
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from mlflow import MlflowClient

import simvp
from simvp.errors import ContractError, RegistryError
from simvp.inference.forecaster import Forecaster
from simvp.inference.registry import Registry, Version
from tests.support.models import small_forecaster
from tests.support.registries import database, register
from tests.support.worlds import formula_world


@pytest.fixture(scope="module")
def other() -> Forecaster:
    return small_forecaster(formula_world(["inflow", "outflow"], frames=14 * 24, shape=(3, 4), grid="index"))


@pytest.fixture(scope="module")
def file(small: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "forecaster.safetensors"
    small.save(path)
    return path


def same(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    volatile = ["created", "model_version"]
    xr.testing.assert_equal(ours.drop_vars(volatile), theirs.drop_vars(volatile))


def refused(ds: xr.Dataset) -> str:
    """What a forecast without a model is refused with."""
    with pytest.raises(RegistryError) as caught:
        simvp.predict(ds)
    return str(caught.value)


def test_by_forecaster_file_and_folder(small: Forecaster, file: Path, world: xr.Dataset) -> None:
    expected = small.predict(world, horizon=5)
    same(simvp.predict(world, small, horizon=5), expected)
    same(simvp.predict(world, file, horizon=5), expected)
    same(simvp.predict(world, str(file), horizon=5), expected)
    same(simvp.predict(world, file.parent, horizon=5), expected)
    assert simvp.load(file).fingerprint == small.fingerprint


def test_every_argument_arrives(small: Forecaster, world: xr.Dataset) -> None:
    bare = world.copy(deep=True)
    del bare["t2m"].attrs["units"]
    inits = world["time"].values[[20, 30]]
    forecast = simvp.predict(bare, small, init_time=inits, horizon="6h", units={"t2m": "K"}, device="cpu")
    np.testing.assert_array_equal(forecast["init_time"], inits)
    assert forecast.sizes["lead_time"] == 6
    with pytest.raises(ContractError, match="t2m: units are missing"):
        simvp.predict(bare, small)


class TestFiles:
    def test_a_missing_file_is_not_looked_up_in_a_registry(self, tmp_path: Path) -> None:
        with pytest.raises(RegistryError, match="expected a file, found none"):
            simvp.load(tmp_path / "none")
        with pytest.raises(RegistryError, match="expected a file, found none"):
            simvp.load("none.safetensors")

    def test_folders_without_and_with_two_models(self, file: Path, tmp_path: Path) -> None:
        with pytest.raises(RegistryError, match=r"expected one \.safetensors file, got none"):
            simvp.load(tmp_path)
        for name in ("a.safetensors", "b.safetensors"):
            (tmp_path / name).write_bytes(file.read_bytes())
        with pytest.raises(RegistryError, match=r"got a\.safetensors, b\.safetensors"):
            simvp.load(tmp_path)


class TestChampions:
    """With no model given, the one champion whose contract accepts the data."""

    @pytest.fixture
    def two(self, home: Path, small: Forecaster, other: Forecaster) -> Path:
        register(home, "simvp-weather", small, "champion")
        register(home, "simvp-traffic", other, "champion")
        return home

    def test_the_one_that_accepts(
        self, two: Path, small: Forecaster, world: xr.Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "simvp"):
            forecast = simvp.predict(world)
        same(forecast, small.predict(world))
        assert forecast["model_version"].values.tolist() == ["simvp-weather/1"]
        assert "model simvp-weather version 1" in caplog.text

    def test_a_version_is_read_once_and_a_new_champion_at_once(
        self, two: Path, small: Forecaster, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[tuple[str, str]] = []
        fetch = Registry.file

        def file(registry: Registry, version: Version) -> AbstractContextManager[Path]:
            read.append((version.name, version.version))
            return fetch(registry, version)

        monkeypatch.setattr(Registry, "file", file)
        for _ in range(2):
            same(simvp.predict(world), small.predict(world))
            same(simvp.predict(world, "simvp-weather"), small.predict(world))
        # Both contracts, then the network of the one that accepts.
        assert read == [("simvp-traffic", "1"), ("simvp-weather", "1"), ("simvp-weather", "1")]
        register(two, "simvp-weather", small_forecaster(world, seed=1), "champion")
        assert simvp.predict(world)["model_version"].values.tolist() == ["simvp-weather/2"]
        assert read[3:] == [("simvp-weather", "2"), ("simvp-weather", "2")]

    def test_the_registry_is_asked_once_a_version(
        self, two: Path, world: xr.Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[tuple[str, ...]] = []

        def counted(name: str) -> None:
            call = getattr(MlflowClient, name)
            monkeypatch.setattr(
                MlflowClient,
                name,
                lambda client, *texts, **options: calls.append((name, *texts)) or call(client, *texts, **options),
            )

        for name in dir(MlflowClient):
            if name.startswith(("get_", "search_")):
                counted(name)
        simvp.predict(world)
        versions = [("get_model_version", "simvp-traffic", "1"), ("get_model_version", "simvp-weather", "1")]
        listed = [("search_registered_models", "name LIKE 'simvp-%'")]
        # Beside these MLflow asks where the files lie, when they are read for the first time.
        assert [call for call in calls if call in versions or "search" in call[0]] == [*listed, *versions]
        calls.clear()
        simvp.predict(world)
        assert calls == [*listed, *versions]
        for name, call in {
            "simvp-weather": ("get_model_version_by_alias", "simvp-weather", "champion"),
            "simvp-weather/1": ("get_model_version", "simvp-weather", "1"),
        }.items():
            calls.clear()
            simvp.predict(world, name)
            assert calls == [call]

    def test_a_registry_made_anew_is_read_anew(self, home: Path, small: Forecaster, world: xr.Dataset) -> None:
        register(home, "simvp-weather", small, "champion")
        before = simvp.predict(world)
        client = MlflowClient(tracking_uri=database(home), registry_uri=database(home))
        client.delete_registered_model("simvp-weather")
        shutil.rmtree(home / "mlflow" / "artifacts" / "simvp-weather")
        another = small_forecaster(world, seed=1)
        register(home, "simvp-weather", another, "champion")
        after = simvp.predict(world)
        assert before["model_version"].values.tolist() == after["model_version"].values.tolist() == ["simvp-weather/1"]
        same(after, another.predict(world))
        assert not np.array_equal(before["t2m"], after["t2m"])

    def test_none_that_accepts_says_why_not_for_each(self, two: Path, world: xr.Dataset) -> None:
        shifted = world.assign_coords(latitude=world["latitude"] + 0.1)
        text = refused(shifted)
        assert "None of the 2 champions" in text
        assert "simvp-weather version 1: grid: latitude differs by up to 0.1" in text
        assert "simvp-traffic version 1: inflow: the variable is missing" in text
        assert "outflow: the variable is missing" in text

    def test_several_that_accept_are_listed(self, home: Path, small: Forecaster, world: xr.Dataset) -> None:
        register(home, "simvp-weather", small, "champion")
        register(home, "simvp-again", small, "champion")
        text = refused(world)
        assert "Several champions accept this data" in text
        assert "simvp-again version 1" in text
        assert "simvp-weather version 1" in text
        assert "choose one: model='simvp-again'" in text
        assert simvp.predict(world, "simvp-weather").sizes["init_time"] == 1

    def test_challengers_and_foreign_models_are_no_candidates(
        self, home: Path, small: Forecaster, world: xr.Dataset
    ) -> None:
        register(home, "simvp-weather", small, "challenger")
        register(home, "somebody-elses", small, "champion")
        with pytest.raises(RegistryError, match=r"no model simvp-\* has the alias 'champion'"):
            simvp.predict(world)

    def test_values_are_refused_by_the_chosen_contract(self, home: Path, small: Forecaster, world: xr.Dataset) -> None:
        register(home, "simvp-weather", small, "champion")
        celsius = world.copy(deep=True)
        celsius["t2m"].values -= 273.15
        with pytest.raises(ContractError, match="t2m: values of"):
            simvp.predict(celsius)
