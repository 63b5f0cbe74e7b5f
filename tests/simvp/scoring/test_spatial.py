"""Fractions skill, contingency and energy of maps that can be worked out by hand."""

import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.scoring.spatial import contingency, energy, fractions_errors, fractions_skill

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


def test_rain_beside_its_place_is_nothing_at_one_point_and_something_in_a_square() -> None:
    seen, said = np.zeros((5, 7)), np.zeros((5, 7))
    seen[2, 2], said[2, 3] = 1, 1
    forecast, truth = pair(seen, said)
    skill = fractions_skill(fractions_errors({"forecast": forecast}, truth, {"rain": (0.5,)}, (1, 3))).squeeze()
    # Squares of 3: a ninth at 9 points each, 6 of them common. Differences at 3 + 3 points, squares at 9 + 9.
    assert skill.sel(scale=1).item() == 0
    assert skill.sel(scale=3).item() == pytest.approx(1 - 6 / 18)


def test_squares_at_the_edge_and_around_holes_have_the_points_that_they_have() -> None:
    seen, said = np.zeros((3, 3)), np.zeros((3, 3))
    seen[0, 0], said[0, 0], seen[2, 2] = 1, 1, np.nan
    forecast, truth = pair(seen, said)
    sums = fractions_errors({"forecast": forecast}, truth, {"rain": (0.5,)}, (3,)).sel(scale=3).squeeze()
    # At the corner 1 of 4, at two edges 1 of 6, in the middle 1 of 8 known ones.
    assert sums["observed"].item() == pytest.approx(1 / 16 + 2 / 36 + 1 / 64)
    assert sums["difference"].item() == pytest.approx(0, abs=1e-12)
    assert sums["points"].item() == 8


def test_fractions_are_those_of_plain_loops() -> None:
    random = np.random.default_rng(0)
    seen, said = random.random((6, 8)), random.random((6, 8))
    seen[random.random(seen.shape) < 0.2] = np.nan
    forecast, truth = pair(seen, said)
    sums = fractions_errors({"forecast": forecast}, truth, {"rain": (0.6,)}, (1, 5)).squeeze()
    known = np.isfinite(seen)
    for side in (1, 5):
        half, difference, total = side // 2, 0.0, 0.0
        for i, j in np.argwhere(known):
            square = (slice(max(0, i - half), i + half + 1), slice(max(0, j - half), j + half + 1))
            f, o = (((field >= np.float32(0.6)) & known)[square].sum() / known[square].sum() for field in (said, seen))
            difference, total = difference + (f - o) ** 2, total + f**2 + o**2
        own = sums.sel(scale=side)
        assert own["difference"].item() == pytest.approx(difference)
        assert (own["forecast"] + own["observed"]).item() == pytest.approx(total)


def test_contingency_by_hand() -> None:
    # 12 points: 2 hits, 1 miss, 3 false alarms, 6 correct noes. By chance 3 * 5 / 12 hits.
    seen = np.array([[1, 1, 1, 0], [0] * 4, [0] * 4])
    said = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [0] * 4])
    forecast, truth = pair(seen, said)
    found = contingency(fractions_errors({"forecast": forecast}, truth, {"rain": (0.5,)})).squeeze()
    assert found["csi"].item() == pytest.approx(2 / 6)
    assert found["ets"].item() == pytest.approx((2 - 1.25) / (6 - 1.25))
    assert found["frequency_bias"].item() == pytest.approx(5 / 3)


def test_where_nothing_reaches_a_threshold_there_is_no_score() -> None:
    forecast, truth = pair(np.zeros((3, 3)), np.zeros((3, 3)))
    sums = fractions_errors({"forecast": forecast}, truth, {"rain": (0.5,)})
    assert np.isnan(fractions_skill(sums)).all()
    assert all(np.isnan(values).all() for values in contingency(sums).data_vars.values())


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
