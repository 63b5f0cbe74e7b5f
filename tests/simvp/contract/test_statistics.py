"""Reading the past: how often each frame is read, and that reading together changes nothing."""

import numpy as np
import pytest
import xarray as xr

from simvp.contract import statistics
from simvp.contract.frame_spec import FrameSpec
from simvp.contract.statistics import Statistics
from simvp.coords.steps import Step
from simvp.scoring.baselines import Baselines
from tests.support.counting import Counted, counted
from tests.support.worlds import formula_world

HOUR = Step(seconds=3600)
FRAMES = 14 * 24
TRAIN = [("2020-01-01T00", "2020-01-05T23"), ("2020-01-08T00", "2020-01-12T23")]
REFERENCE = [("2020-01-01T00", "2020-01-12T23")]


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    """A temperature with a daily cycle and NaN at one point, and rain."""
    ds = formula_world(("t2m", "rain"), frames=FRAMES)
    rng = np.random.default_rng(0)
    hours = np.arange(FRAMES)[:, None, None]
    warm = ds.t2m.values + 6 * np.sin(2 * np.pi * hours / 24) + rng.normal(size=ds.t2m.shape)
    warm[:, 2, 3] = np.nan
    wet = rng.gamma(0.5, 2.0, ds.rain.shape) * (rng.random(ds.rain.shape) < 0.3)
    dims = ds.t2m.dims
    return ds.assign(t2m=(dims, warm.astype("f4"), {"units": "K"}), rain=(dims, wet.astype("f4"), {"units": "mm"}))


def both(ds: xr.Dataset, statistics: Statistics | None) -> tuple[FrameSpec, Baselines]:
    spec = FrameSpec.fit(ds, frames_in=24, frames_out=12, train=TRAIN, step=HOUR, statistics=statistics)
    baselines = Baselines.fit(
        ds,
        variables=spec.states,
        step=HOUR,
        cycle=spec.cycle,
        leads=12,
        period=REFERENCE,
        weights=spec.weights,
        statistics=statistics,
    )
    return spec, baselines


def together(ds: xr.Dataset) -> Statistics:
    return Statistics(ds, HOUR, train=TRAIN, reference=REFERENCE, log1p="auto")


def reads(array: Counted) -> np.ndarray:
    """How often each frame was read."""
    return np.bincount(array.read, minlength=len(array.values))


def expected_reads(train: int, reference: int) -> np.ndarray:
    counts = np.full(FRAMES, reference)
    counts[: 5 * 24] = counts[7 * 24 :] = train
    counts[12 * 24 :] = 0
    return counts


def test_contract_and_baselines_read_each_frame_once_and_logarithms_twice(world):
    lazy, arrays = counted(world)
    spec, _ = both(lazy, together(lazy))
    t2m, rain = spec.state_channels
    assert (t2m.climatology.period, t2m.log_scale) == ("day", None)
    assert rain.log_scale is not None
    np.testing.assert_array_equal(reads(arrays["t2m"]), expected_reads(train=1, reference=1))
    # One slice per block is read, from the first frame of training to the last: with those in the gap between.
    np.testing.assert_array_equal(reads(arrays["rain"]), expected_reads(train=2, reference=2))


def test_in_small_blocks_too(world, monkeypatch):
    frame = world.t2m[0].nbytes
    monkeypatch.setattr(statistics, "fitting", lambda item, share: 7 if item == frame else 10**9)
    lazy, arrays = counted(world)
    both(lazy, together(lazy))
    np.testing.assert_array_equal(reads(arrays["t2m"]), expected_reads(train=1, reference=1))
    assert reads(arrays["rain"]).max() == 2


def test_read_together_or_one_after_the_other_is_the_same(world):
    for one, other in zip(both(world, together(world)), both(world, None), strict=True):
        assert one.to_header() == other.to_header()
        for name, values in other.arrays().items():
            np.testing.assert_array_equal(one.arrays()[name], values, err_msg=name)


def test_sums_that_do_not_fit_are_made_in_a_second_reading(world, monkeypatch):
    whole = both(world, together(world))
    monkeypatch.setattr(statistics, "fitting", lambda item, share: 0 if item == 1 else 10**9)
    lazy, arrays = counted(world)
    for one, other in zip(both(lazy, together(lazy)), whole, strict=True):
        assert one.to_header() == other.to_header()
        for name, values in other.arrays().items():
            np.testing.assert_allclose(one.arrays()[name], values, rtol=1e-6, err_msg=name)
    assert reads(arrays["t2m"]).max() == reads(arrays["rain"]).max() == 2


def test_a_few_points_with_values_are_found_on_a_wide_grid():
    ds = formula_world(("t2m",), frames=10 * 24, shape=(60, 70))
    values = np.full(ds.t2m.shape, np.nan, "f4")
    places = [(3, 5), (20, 41), (59, 69)]
    for row, column in places:
        values[:, row, column] = ds.t2m.values[:, row, column]
    lazy, arrays = counted(ds.assign(t2m=(ds.t2m.dims, values, ds.t2m.attrs)))
    summary = Statistics(lazy, HOUR, train=[("2020-01-01", "2020-01-10T23")])["t2m"][0]
    assert summary.points.shape == (240, 3)
    assert np.isfinite(summary.points).all()
    assert np.argwhere(summary.valid).tolist() == [list(place) for place in places]
    assert reads(arrays["t2m"]).max() == 2


def test_a_wide_grid_is_sampled_evenly(monkeypatch):
    # Noise with a memory, of its own at each point: the damping out of 2,048 points beside that out of all 4,200.
    rng = np.random.default_rng(1)
    ds = formula_world(("t2m",), frames=12 * 24, shape=(60, 70))
    red = np.zeros(ds.t2m.shape)
    for t in range(1, len(red)):
        red[t] = 0.8 * red[t - 1] + rng.normal(size=red.shape[1:])
    ds = ds.assign(t2m=(ds.t2m.dims, 280 + red, {"units": "K"}))
    spec, sampled = both(ds, None)
    monkeypatch.setattr(statistics, "SAMPLE_POINTS", 10**6)
    exact, whole = both(ds, None)
    np.testing.assert_allclose(sampled.damping, whole.damping, atol=0.005)
    assert not np.array_equal(sampled.damping, whole.damping)
    assert spec.state_channels[0].scale == exact.state_channels[0].scale
    np.testing.assert_array_equal(spec.arrays()["channel.0.climatology"], exact.arrays()["channel.0.climatology"])


def test_where_nothing_was_seen_there_is_no_summary(world):
    statistics = together(world.assign(t2m=world.t2m * np.nan))
    assert [summary.valid.any() for summary in statistics["t2m"]] == [False, False]
    assert all(summary.valid.all() for summary in statistics["rain"])


def test_baselines_of_the_training_period_are_those_of_that_period(world):
    statistics = together(world)
    for name in ("t2m", "rain"):
        given = {
            "variables": [name],
            "step": HOUR,
            "cycle": 24,
            "leads": 3,
            "period": TRAIN,
            "weights": np.ones((6, 8)),
        }
        one = Baselines.fit(world, statistics=statistics.training, **given)
        other = Baselines.fit(world, **given)
        assert one.to_header() == other.to_header()
        for key, values in other.arrays().items():
            np.testing.assert_allclose(one.arrays()[key], values, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("small", [False, True])
def test_the_last_contract_has_the_climatology_of_all_frames_and_the_choices_of_training(world, small, monkeypatch):
    if small:  # sums that do not fit are made in a second reading
        monkeypatch.setattr(statistics, "fitting", lambda item, share: 0 if item == 1 else 10**9)
    # The part of the reference that training did not see is another world: choices made of it would be others.
    values = world["rain"].values.copy()
    values[5 * 24 : 7 * 24] += 500
    ds = world.assign(rain=(world.rain.dims, values, world.rain.attrs))
    lazy, arrays = counted(ds)
    known = together(lazy)
    spec = FrameSpec.fit(lazy, frames_in=24, frames_out=12, train=TRAIN, step=HOUR, statistics=known)
    last = spec.fitted_on_all(known)
    assert (reads(arrays["t2m"]).max(), reads(arrays["rain"]).max()) == (2 if small else 1, 2)
    for before, after in zip(spec.state_channels, last.state_channels, strict=True):
        assert after.to_header() == before.to_header()
        assert np.array_equal(after.valid, before.valid)
        whole = before.transformed(ds[before.name].values[: 12 * 24])
        expected = whole.mean(0) if before.climatology.period == "none" else whole.reshape(12, 24, 6, 8).mean(0)
        np.testing.assert_allclose(after.climatology.values[0], np.atleast_3d(expected.T).T, rtol=1e-4)
        assert not np.allclose(before.climatology.values, after.climatology.values, rtol=1e-3, equal_nan=True)
    assert last.fitted_on == {**spec.fitted_on, "climatology_frames": 12 * 24}
    assert (last.cycle, last.lag, last.forcing_channels) == (spec.cycle, spec.lag, spec.forcing_channels)


def test_the_sample_is_of_all_frames(world):
    known = Statistics(world, HOUR, train=TRAIN[:1], reference=TRAIN[1:])
    times, values, places = known.sample("rain")
    rows = np.r_[: 5 * 24, 7 * 24 : 12 * 24]
    np.testing.assert_array_equal(times, world["time"].values[rows])
    np.testing.assert_array_equal(values, world["rain"].values.reshape(FRAMES, -1)[rows][:, places])
    assert known.frames == 10 * 24
