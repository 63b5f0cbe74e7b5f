"""A small world, a model of it, and an empty registry."""

from pathlib import Path

import pytest
import xarray as xr

from simvp.inference.forecaster import Forecaster
from tests.support.models import small_forecaster
from tests.support.registries import registry_at
from tests.support.worlds import formula_world


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(frames=14 * 24, shape=(3, 4))


@pytest.fixture(scope="module")
def small(world: xr.Dataset) -> Forecaster:
    return small_forecaster(world)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return registry_at(tmp_path, monkeypatch)
