"""Missing points: how many a frame may have, by hand, and what stands in for them."""

import numpy as np
import pytest
import xarray as xr

from simvp.contract.filling import MISSING_SHARE, fill, filled_frames, missing_shares, percent
from simvp.contract.frame_spec import FrameSpec
from simvp.errors import ConfigError
from tests.support.worlds import formula_world

N = np.nan


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(("t2m",), frames=7 * 24, shape=(5, 6))


def fit(ds: xr.Dataset, **given) -> FrameSpec:
    times = ds["time"].values
    return FrameSpec.fit(ds, **{"frames_in": 4, "frames_out": 2, "train": [(times[0], times[-1])], **given})


@pytest.mark.parametrize(
    ("seen", "filled"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, N, N, 4], [1, 1, 1, 4]),  # the last one before
        ([1, 2, N, N], [1, 2, 2, 2]),
        ([N, N, 3, 4], [3, 3, 3, 4]),  # none before: the next
        ([N, 2, N, 4], [2, 2, 2, 4]),
        ([N, N, N, N], [0, 0, 0, 0]),  # none at all: the climatology
        ([np.inf, 2, -np.inf, 4], [2, 2, 2, 4]),
    ],
)
def test_a_point_takes_what_was_last_seen_there_in_its_window(seen, filled):
    inputs = np.zeros((2, 4, 2, 3, 3), np.float32) + 7
    inputs[1, :, 1, 2, 0] = seen
    fill(inputs)
    assert inputs[1, :, 1, 2, 0].tolist() == filled
    inputs[1, :, 1, 2, 0] = 7
    assert (inputs == 7).all()  # no other point, state or window


def test_shares_are_of_the_points_that_count():
    maps = np.zeros((3, 2, 2, 5))
    maps[1, 0, 0, :2] = N
    maps[2, 1] = N
    assert missing_shares(maps, np.array([8, 10])).tolist() == [[0, 0], [0.25, 0], [0, 1]]


@pytest.mark.parametrize(("holes", "faults"), [(0, 0), (1, 0), (3, 0), (4, 1), (30, 1)])
def test_a_tenth_of_30_points_may_be_missing(world, holes, faults):
    spec, ds = fit(world), world.isel(time=slice(0, 5)).copy(deep=True)
    assert spec.missing_share == MISSING_SHARE == 0.1
    ds["t2m"].values[2].flat[:holes] = N
    assert spec.missing(ds)[:, 0].tolist() == [0, 0, holes / 30, 0, 0]
    found = spec.value_faults(ds)
    assert len(found) == faults
    for fault in found:
        assert fault.startswith("t2m: missing values: 1 of 5 frames lack more than 10 % of the points")
        assert f"the worst {percent(holes / 30)} at 2020-01-01T02:00:00" in fault


def test_masked_points_are_not_missing(world):
    ds = world.copy(deep=True)
    ds["t2m"][:, :4] = N  # land: 6 points are left
    spec = fit(ds)
    assert not spec.missing(ds).any()
    ds["t2m"][3, 4, 0] = N  # one of 6
    assert spec.missing(ds)[3, 0] == 1 / 6
    assert len(spec.value_faults(ds)) == 1


def test_the_limit_is_kept_and_the_usual_one_is_not_written(world):
    usual, other = fit(world), fit(world, missing_share=0.25)
    # Models that were saved before there was a limit keep their fingerprint.
    assert "missing_share" not in usual.to_header()
    assert FrameSpec.from_header(usual.to_header(), usual.arrays()).missing_share == 0.1
    assert FrameSpec.from_header(other.to_header(), other.arrays()).missing_share == 0.25


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_limit_that_is_no_share_is_refused(world, share):
    with pytest.raises(ConfigError, match="missing_share: expected 0 or more and less than 1"):
        fit(world, missing_share=share)


def test_frames_of_baselines_are_the_last_inputs_of_their_windows(world):
    spec, ds = fit(world), world.copy(deep=True)
    rng = np.random.default_rng(0)
    for frame in range(40, 60):
        ds["t2m"].values[frame].flat[rng.choice(30, 3, replace=False)] = N
    ds["t2m"].values[50].flat[:4] = N  # too many
    ds["t2m"][45] = N  # absent
    ds = ds.drop_isel(time=55)
    chosen = ds["time"].values[[38, 44, 46, 50, 45, 54, 56]]
    found = filled_frames(ds, spec, np.array([*chosen, np.datetime64("2031-01-01")]).reshape(2, 4))
    assert found["time"].values.tolist() == sorted(chosen.tolist())
    for time in chosen:
        at = int(np.flatnonzero(ds["time"].values == time)[0])
        raw, got = ds["t2m"].values[at], found["t2m"].sel(time=time).values
        if at in (45, 50):
            assert np.array_equal(got, raw, equal_nan=True)
            continue
        seen = np.isfinite(raw)
        assert np.array_equal(got[seen], raw[seen])  # what was observed, bit for bit
        back = (time - ds["time"].values) / np.timedelta64(1, "h")
        window = spec.to_frames(ds.isel(time=(back >= 0) & (back < 4)))[None, :, :1]
        fill(window)
        np.testing.assert_allclose(spec.to_frames(found.sel(time=[time]))[0, 0], window[0, -1, 0], atol=1e-5)
    assert np.isfinite(found["t2m"].sel(time=chosen[1]).values).all()
