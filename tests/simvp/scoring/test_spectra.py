"""Energy of maps that can be worked out by hand."""

import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.scoring.spectra import energy

DAY = Step(seconds=86400)


def pair(seen: np.ndarray, said: np.ndarray, units: str = "mm") -> tuple[xr.Dataset, xr.Dataset]:
    """Truth of two days, of which the second is `seen`, and a forecast of it, `said`, from the first."""
    grid = Grid(kind="index", dims=("y", "x"), rows=np.arange(seen.shape[0]), columns=np.arange(seen.shape[1]))
    times = np.array(["2020-01-01", "2020-01-02"], "M8[ns]")
    truth = xr.Dataset(
        {"rain": (("time", "y", "x"), np.stack([np.zeros_like(seen), seen]).astype("f4"), {"units": units})},
        {"time": times, "y": np.arange(seen.shape[0]), "x": np.arange(seen.shape[1])},
    )
    forecast = label(
        {"rain": said[None, None].astype("f4")},
        coordinates(times[:1], 1, step=DAY, grid=grid),
        grid=grid,
        variable_attrs={"rain": {"units": units}},
    )
    return forecast, truth


def test_energy_is_the_variance_at_the_wavelength_of_a_wave() -> None:
    # A cosine of 4 half waves over 16 rows has a wavelength of 8 points, and the variance 1 / 2.
    wave = np.cos(np.pi * 4 * (np.arange(16) + 0.5) / 16)[:, None] * np.ones(16)
    forecast, truth = pair(5 + wave, 0.5 * wave, "K")
    found = energy({"forecast": forecast}, truth)["energy"].squeeze()
    at = found["wavelength"].values.tolist().index(pytest.approx(15 / 2))
    assert found.sel(system="truth").values == pytest.approx(np.eye(len(found["band"]))[at] / 2, abs=1e-6)
    assert found.sel(system="forecast").sum().item() == pytest.approx(1 / 8)


def test_maps_with_holes_have_no_energy() -> None:
    seen = np.ones((4, 4))
    seen[0, 0] = np.nan
    assert np.isnan(energy({"forecast": pair(seen, seen)[0]}, pair(seen, seen)[1])["energy"]).all()
