"""Large grids: the fit is made on squares of points, which look at what all of them would look at."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from simvp.base_forecast import places
from simvp.base_forecast.normal_equations import group_points
from simvp.base_forecast.places import fitted, stride, with_neighbours
from simvp.base_forecast.predictors import Block
from simvp.coords.steps import Step
from tests.simvp.base_forecast.worlds import KINDS, Kind, World
from tests.support.worlds import coordinates

SHAPE = (40, 52)


def large(shape: tuple[int, int], frames: int, seed: int = 0, *, rain: bool = False) -> World:
    """A wave that travels over the grid by a column a frame, noise, and a point without values."""
    rng, kind = np.random.default_rng(seed), replace(KINDS["day"], frames=frames)
    row, column = np.mgrid[: shape[0], : shape[1]].astype("f4")
    values = np.empty((frames, *shape), "f4")
    for now in range(frames):
        values[now] = np.sin((column - now) / 5) * np.cos(row / 7) + 0.3 * np.sin(np.pi * now / 2)
        values[now] += rng.normal(scale=0.2, size=shape)
    if rain:
        values = np.clip(values - 0.5, 0, None)
    values[:, 1, 1] = np.nan
    dims, coords = coordinates(shape)
    coords["time"] = xr.Variable("time", kind.step.shift(np.datetime64("2001-01-01", "ns"), np.arange(frames)))
    attributes = {"units": "mm", "standard_name": "precipitation_amount"} if rain else {"units": "1"}
    return World(xr.Dataset({"x": xr.Variable(("time", *dims), values, attributes)}, coords=coords), kind)


@pytest.fixture
def thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST", 300)


def test_small_grids_are_fitted_on_at_all_points() -> None:
    valid = np.ones((128, 128), bool)
    valid[3, 5] = False
    assert stride(valid) == 1
    np.testing.assert_array_equal(fitted(valid), valid)
    np.testing.assert_array_equal(with_neighbours(fitted(valid), valid), valid)


def test_squares_are_evenly_spread(thinned: None) -> None:
    # 4 sqrt(1600 / 300) = 9.2: 4 of every 10 rows and columns.
    valid = np.ones((40, 40), bool)
    assert stride(valid) == 10
    expected = np.isin(np.arange(40) % 10, [0, 1, 2, 3])
    np.testing.assert_array_equal(fitted(valid), expected[:, None] & expected)
    around = np.isin(np.arange(40) % 10, [9, 0, 1, 2, 3, 4]) & (np.arange(40) < 39)  # no square begins at 40
    np.testing.assert_array_equal(with_neighbours(fitted(valid), valid), around[:, None] & around)


def test_each_group_begins_with_a_square(thinned: None) -> None:
    valid = np.ones(SHAPE, bool)
    valid[:3, 7:20] = False
    for size in (1, 5, 20, 1000):
        group, number = group_points(valid, size, stride(valid))
        assert number <= size
        assert set(group[fitted(valid)[valid]]) == set(range(number))


def test_a_mask_that_no_square_meets_is_fitted_on_as_it_is(thinned: None) -> None:
    valid = np.zeros((40, 40), bool)
    valid[np.arange(40) % 6 >= 4] = True
    assert stride(valid) == 6
    np.testing.assert_array_equal(fitted(valid), valid)


@pytest.mark.parametrize("rain", [False, True])
def test_predictors_of_a_square_are_those_of_the_whole_grid(thinned: None, rain: bool) -> None:
    """All but the mean over the domain, which is that of the points that are looked at."""
    made = large(SHAPE, 60, rain=rain)
    design = replace(made.design(others=("none",)), moving=rain, amount=rain)
    on = fitted(made.valid)
    near = with_neighbours(on, made.valid)
    assert on.sum() < near.sum() < made.valid.sum()
    inits = np.array([20, 21, 25])

    def block(valid: np.ndarray) -> Block:
        share = made.weights[valid] / made.weights[valid].sum()
        return Block(
            series=replace(made.series, valid=valid),
            design=design,
            climatology=made.climatology,
            others={"none": made.statistics["x"][1].mean},
            area=share.astype("f4"),
            inits=inits,
            leads=made.kind.leads,
            ahead=True,
            whole=made.series,
        )

    few, all_ = block(near), block(made.valid)
    domain = design.names.index("domain")
    for lead in (1, made.kind.leads):
        z, expected = few.predictors(lead)[on[near]], all_.predictors(lead)[on[made.valid]]
        np.testing.assert_allclose(np.delete(z, domain, 1), np.delete(expected, domain, 1), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(z[:, domain], expected[:, domain], atol=0.1)
        np.testing.assert_array_equal(few.targets(lead)[on[near]], all_.targets(lead)[on[made.valid]])


def test_it_forecasts_as_well_as_a_fit_on_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    made = large(SHAPE, 160)
    later = made.init_times(made.kind.leads)
    later = later[later > made.period[0][1]]
    truth = made.series.read(0, made.kind.frames - 1).T

    def error() -> float:
        base = made.fit()
        assert base.parts[0].group.shape == (made.valid.sum(),)
        slots = made.series.slots(later)[:, None] + np.arange(1, made.kind.leads + 1)
        found = base.predict(made.ds, later)[:, :, 0][..., made.valid]
        return float(np.sqrt(np.mean((found - truth[slots]) ** 2)))

    whole = error()
    monkeypatch.setattr(places, "MOST", 300)
    assert stride(made.valid) == 11
    # Groups of a tile each, where each point had been one.
    assert error() < 1.05 * whole


@pytest.mark.slow
def test_memory_of_a_fit_does_not_follow_the_grid() -> None:
    """Maps of a megapixel: beyond the sums of the climatology, which are maps, what is held stays in the budget."""
    import dask.array as da

    rng = np.random.default_rng(0)
    some = rng.normal(size=(24, 1000, 1000)).astype("f4")
    field = da.concatenate([da.from_array(some, chunks=(4, 1000, 1000), name=False)] * 10)
    dims, coords = coordinates((1000, 1000))
    kind = Kind(Step(seconds=7 * 3600), None, 12, 12, 240)
    coords["time"] = xr.Variable("time", kind.step.shift(np.datetime64("2001-01-01", "ns"), np.arange(240)))
    made = World(xr.Dataset({"x": xr.Variable(("time", *dims), field, {"units": "1"})}, coords=coords), kind)
    assert made.baselines.step == kind.step  # contract and baselines have budgets of their own
    tracemalloc.start()
    made.fit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 30
