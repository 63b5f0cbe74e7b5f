"""Planted changes: what they do from their day on, and that nothing is touched before; and the tables."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from datasets.simulated import SimulatedTraffic
from performance.drift import noise, years
from performance.drift.__main__ import WORLDS

WORLD = years.World(simulation=SimulatedTraffic(shape=(8, 8)), days=4)


@pytest.fixture(scope="module")
def year() -> xr.Dataset:
    return WORLD.frames(0, years.CHANGE + 2)


@pytest.mark.parametrize("name", [(world, change) for world in WORLDS for change in WORLDS[world].changes])
def test_a_change_begins_with_its_day(name: tuple[str, str]) -> None:
    world, change = name
    kept = replace(WORLDS[world]).frames(0, years.CHANGE + 2)
    made = years.with_change(kept, WORLDS[world].changes[change])
    first = years.CHANGE * WORLDS[world].simulation.frames_per_day
    assert list(made.dims) == list(kept.dims)
    for variable in kept.data_vars:
        assert made[variable].dims == kept[variable].dims
        assert made[variable].attrs["units"] == kept[variable].attrs["units"]
        np.testing.assert_array_equal(made[variable][:first], kept[variable][:first])
        assert not np.array_equal(made[variable][first:], kept[variable][first:])


def test_changes_are_what_they_are_called(year: xr.Dataset) -> None:
    since = np.arange(year.sizes["time"]) / 48 - years.CHANGE
    inflow, last = year["inflow"], {"time": -1}
    np.testing.assert_allclose(years.offset(2.0)(year, since)["inflow"], inflow + 2)
    np.testing.assert_allclose(years.scale(1.2)(year, since)["inflow"], 1.2 * inflow, rtol=1e-6)
    np.testing.assert_allclose(years.gain(1.3)(year, since)["inflow"].mean("time"), inflow.mean("time"), rtol=1e-4)
    assert float(years.gain(1.3)(year, since)["inflow"].std()) > float(inflow.std())
    grown = years.growth(0.5)(year, since)["inflow"][last] / inflow[last]
    np.testing.assert_allclose(grown, 1 + 0.5 * since[-1] / 365, rtol=1e-6)
    moved = years.trend(4.0)(year, since)["inflow"][last] - inflow[last]
    np.testing.assert_allclose(moved, 4 * since[-1] / 365, atol=1e-3)
    gone = years.without(0.25)(year, since)["inflow"].isnull()
    assert (gone.sum(["y", "x"]) == 16).all()
    assert (
        years.without_frames(4)(year, since)["inflow"].isnull().all(["y", "x"]).values[:8] == [1, 0, 0, 0] * 2
    ).all()


def test_noise_is_made_as_it_is_called() -> None:
    days = noise.autoregression(0.7)(np.random.default_rng(0), 5000)
    assert np.corrcoef(days[:-1], days[1:])[0, 1] == pytest.approx(0.7, abs=0.03)
    share, delays = noise._found(lambda random, count: random.standard_normal(min(count, 500)), 120)
    assert share <= 0.1
    assert max(delays) < 40
