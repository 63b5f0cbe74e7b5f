"""Lowest, highest, mean and missing share of frames, and frames that jump."""

import numpy as np
import pytest

from datasets.archive.summary import Summary, usual

RANDOM = np.random.default_rng(0)


def series(frames: int = 40) -> np.ndarray:
    """(n, 5, 6) temperatures with a daily wave and noise."""
    wave = 280 + 8 * np.sin(np.arange(frames) / 4)
    return (wave[:, None, None] + RANDOM.normal(0, 3, (frames, 5, 6))).astype("f4")


@pytest.mark.filterwarnings("error")
def test_against_numpy_on_all_values() -> None:
    values = series()
    values[RANDOM.random(values.shape) < 0.2] = np.nan
    values[7] = np.nan
    record = Summary.of(values).record()
    assert record == {
        "lowest": pytest.approx(np.nanmin(values)),
        "highest": pytest.approx(np.nanmax(values)),
        "mean": pytest.approx(np.nanmean(values, dtype="f8"), rel=1e-6),
        "missing": pytest.approx(np.isnan(values).mean()),
    }
    assert Summary.of(values[7:8]).record() == {"missing": 1.0}


def test_parts_joined_are_the_whole() -> None:
    values = series()
    values[3, 2] = np.nan
    parts = [Summary.of(values[:10], {-9999.0: 2}), Summary.of(values[10:], {-9999.0: 3, -1.0: 1})]
    joined, whole = Summary.joined(parts), Summary.of(values)
    assert joined.record() == {**whole.record(), "marks": {"-9999": 5, "-1": 1}}
    assert joined.at(np.array([3])).record() == Summary.of(values[3:4]).record()


def test_nothing_jumps_in_a_natural_series() -> None:
    assert Summary.of(series(200)).jumps({}) == []
    rain = np.maximum(RANDOM.normal(-3, 2, (200, 5, 6)), 0).astype("f4")
    assert Summary.of(rain).jumps({}) == []
    assert Summary.of(np.zeros((50, 5, 6), "f4")).jumps({}) == []
    drift = np.arange(50)[:, None, None] * 1000.0 + np.arange(30).reshape(5, 6)
    assert Summary.of(drift).jumps({}) == []


def test_frames_in_other_units_and_frames_that_are_gone_jump() -> None:
    values = series()
    values[4:6] -= 273.15
    values[20, :4] = np.nan
    jumps = dict(Summary.of(values).jumps({}))
    assert list(jumps) == [4, 5, 20]
    assert jumps[4].startswith("mean ")
    assert ", where others lie from 27" in jumps[4]
    assert jumps[20] == "80% missing, where others miss 0%"


def test_a_single_frame_jumps_from_those_before() -> None:
    values = series()
    records = [(8, {"t": Summary.of(values[start : start + 8]).record()}) for start in (0, 8, 16)]
    before = usual(records)["t"]
    assert before["lowest"] == pytest.approx(values[:24].min())
    assert Summary.of(values[24:25]).jumps(before) == []
    assert [i for i, _ in Summary.of(values[24:25] - 273.15).jumps(before)] == [0]
    assert Summary.of(values[24:25]).jumps({}) == []
    assert usual(records[1:]) == {}  # too few to say what is usual
