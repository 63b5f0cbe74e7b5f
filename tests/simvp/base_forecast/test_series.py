"""Frames by slot: gaps, times before and after the data, and filling against a loop."""

import numpy as np
import pytest

from simvp.base_forecast import series
from simvp.base_forecast.series import fill_forward, maps_at
from tests.simvp.base_forecast.worlds import KINDS, world


@pytest.mark.parametrize("name", KINDS)
def test_frames_lie_at_their_slots(name: str) -> None:
    made = world(name, 3, masked=True, gaps=True)
    times, values = made.ds["time"].values, made.ds["x"].values
    slots = made.series.slots(times)
    assert (np.diff(slots) > 1).any()  # frames that are not there
    np.testing.assert_array_equal(made.series.times(slots), times)
    read = made.series.read(-5, int(slots[-1]) + 3)
    assert read.shape == (10, slots[-1] + 9)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[:, slots + 5], values[:, made.valid].T)
    others = np.setdiff1d(np.arange(read.shape[1]), slots + 5)
    assert np.isnan(read[:, others]).all()
    np.testing.assert_array_equal(made.series.read(7, 20), read[:, 12:26])
    assert np.isnan(made.series.read(-9, -4)).all()


def test_lazy_frames_are_read_as_loaded_ones() -> None:
    made = world("day", gaps=True)
    lazy = type(made)(made.ds.chunk(time=7), made.kind)
    np.testing.assert_array_equal(lazy.series.read(-3, 90), made.series.read(-3, 90))


@pytest.mark.parametrize("seed", range(5))
def test_a_missing_point_is_what_was_last_seen_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    departures = rng.normal(size=(4, 30)).astype("f4")
    departures[rng.random(departures.shape) < 0.4] = np.nan
    departures[:, rng.choice(30, 5, replace=False)] = np.nan
    departures[2, :11] = np.nan
    before = departures.copy()
    seen = fill_forward(departures)
    assert seen is not None
    for point in range(4):
        last = -1
        for column in range(30):
            last = column if np.isfinite(before[point, column]) else last
            assert seen[point, column] == last
            if np.isnan(before[:, column]).all():
                assert np.isnan(departures[point, column])
            else:
                assert departures[point, column] == (0 if last < 0 else before[point, last])


def test_where_nothing_is_missing_nothing_is_filled() -> None:
    departures = np.ones((3, 4), "f4")
    departures[:, 1] = np.nan  # a frame that is not there
    before = departures.copy()
    assert fill_forward(departures) is None
    np.testing.assert_array_equal(departures, before)


def test_climatology_at_the_points_that_count() -> None:
    made = world("week", masked=True)
    times = made.ds["time"].values[3:50]
    expected = made.climatology.at(times)[:, made.valid].T
    np.testing.assert_array_equal(maps_at(made.climatology, times, made.valid), expected)


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_runs_hold_every_init_time_once(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(series, "fitting", lambda item, share=1: most)
    inits = np.r_[3:20, 400:409, 1000]
    parts = list(series.near_each_other(inits, 10, 5, 8))
    np.testing.assert_array_equal(np.concatenate(parts), inits)
    assert all(len(part) <= most for part in parts)
    assert all(part[-1] - part[0] <= max(most, 16) for part in parts)
    assert list(series.near_each_other(inits[:0], 10, 5, 8)) == []
