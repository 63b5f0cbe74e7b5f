"""Data whose times jitter around the step of the contract are taken for its slots; others are refused."""

import logging

import numpy as np
import pytest
import xarray as xr

from simvp.contract.frame_spec import FrameSpec

START = np.datetime64("2020-01-01", "ns")
LATE = np.array([2, 1, -3, 3, 0, -2, 3, -1, 2, 4])


def scans(seconds: np.ndarray) -> xr.Dataset:
    values = 280 + np.arange(len(seconds))[:, None, None] / 8 + np.arange(12).reshape(3, 4) / 64
    return xr.Dataset(
        {"t": (("time", "lat", "lon"), values.astype("f4"), {"units": "K"})},
        coords={
            "time": START + seconds * np.timedelta64(1, "s"),
            "lat": ("lat", [52.0, 51.0, 50.0], {"units": "degrees_north"}),
            "lon": ("lon", [5.0, 6.0, 7.0, 8.0], {"units": "degrees_east"}),
        },
    )


@pytest.fixture(scope="module")
def spec() -> FrameSpec:
    ds = scans(300 * np.arange(40)).rename(lat="latitude", lon="longitude")
    return FrameSpec.fit(ds, frames_in=3, frames_out=2, train=[(ds["time"].values[0], ds["time"].values[-1])])


@pytest.mark.parametrize("some", [slice(None), slice(2), slice(3, 6), [0, 1, 2, 5, 9]])
def test_scans_are_taken_for_their_slots(
    spec: FrameSpec, some: slice | list[int], caplog: pytest.LogCaptureFixture
) -> None:
    slots = np.arange(10)[some]
    with caplog.at_level(logging.WARNING):
        ds, faults = spec.faults(scans((300 * np.arange(10) + LATE)[some]))
    assert faults == []
    assert ds is not None
    np.testing.assert_array_equal(ds["time"], START + 300 * slots * np.timedelta64(1, "s"))
    assert "time: frames are labelled with whole steps of 5 min, which their times jitter around" in caplog.text


def test_exact_times_stay(spec: FrameSpec, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ds, faults = spec.faults(scans(300 * np.arange(10) + 127))
    assert faults == []
    assert ds is not None
    np.testing.assert_array_equal(ds["time"], START + (300 * np.arange(10) + 127) * np.timedelta64(1, "s"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (np.array([0, 300, 680, 900]), "time: expected steps of "),
        (600 * np.arange(5), "time: expected a step of 5 min, got 10 min"),
        (360 * np.arange(5), "time: expected a step of 5 min, got 6 min"),
    ],
)
def test_other_steps_are_refused(spec: FrameSpec, seconds: np.ndarray, words: str) -> None:
    _, faults = spec.faults(scans(seconds))
    assert any(fault.startswith(words) for fault in faults)
