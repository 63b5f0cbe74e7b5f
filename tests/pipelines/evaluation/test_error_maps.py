"""Where on the grid models err: derived by hand for models that err by a constant."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluation.pictures import MOST, error_maps
from pipelines.home import Home
from tests.support.wave_home import SHAPE, forecaster, wave_home


def test_rmse_at_every_point_of_models_and_of_a_baseline(tmp_path: Path) -> None:
    ds = wave_home(Home(tmp_path)).dataset()
    inits = ds["time"].values[270:320]
    models = {"challenger": forecaster(0.5), "champion": forecaster(-0.25)}
    maps = error_maps(models, ds, inits, baseline="persistence")
    assert maps["system"].values.tolist() == ["challenger", "champion", "persistence"]
    assert maps["t2m"].shape == (3, *SHAPE)
    assert maps["t2m"].attrs["units"] == ds["t2m"].attrs["units"]
    assert maps.attrs["n"] == MOST
    np.testing.assert_allclose(maps["t2m"].sel(system="challenger"), 0.5, atol=1e-3)
    np.testing.assert_allclose(maps["t2m"].sel(system="champion"), 0.25, atol=1e-3)
    # The last frame, kept: over the same init times and all leads.
    chosen = np.unique(np.linspace(0, len(inits) - 1, MOST).round().astype(int)) + 270
    field = ds["t2m"].values
    still = np.sqrt(np.mean([(field[chosen + lead] - field[chosen]) ** 2 for lead in (1, 2, 3)], axis=(0, 1)))
    np.testing.assert_allclose(maps["t2m"].sel(system="persistence"), still, rtol=1e-4)


def test_few_init_times_are_all_taken(tmp_path: Path) -> None:
    ds = wave_home(Home(tmp_path)).dataset()
    maps = error_maps({"challenger": forecaster(0.5)}, ds, ds["time"].values[300:302])
    assert maps.attrs["n"] == 2
    assert maps["t2m"].values == pytest.approx(0.5, abs=1e-3)
