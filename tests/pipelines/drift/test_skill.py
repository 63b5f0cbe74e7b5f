"""Scores by block: which forecasts count, which baseline is the best, and which days are bad."""

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from pipelines.drift.detector import follow
from pipelines.drift.skill import Blocks, blocks, coverage_factors

DAY = 86400


def scores(inits: np.ndarray, leads: int, seed: int = 0) -> xr.Dataset:
    random = np.random.default_rng(seed)
    systems = ["model", "persistence", "climatology", "extrapolation", "unmixed", "base"]
    hours = np.arange(1, leads + 1).astype("m8[h]").astype("m8[ns]")
    shape = (len(systems), 1, len(inits), leads)
    squared = random.uniform(1, 4, shape)
    squared[3] = np.nan  # a baseline that this variable does not have
    below = np.sort(random.uniform(0, 1, (1, len(inits), leads, 5)), axis=-1)
    return xr.Dataset(
        {
            "squared_error": (("system", "variable", "init_time", "lead_time"), squared),
            "below": (("variable", "init_time", "lead_time", "quantile"), below),
        },
        {
            "system": systems,
            "variable": ["t2m"],
            "init_time": inits,
            "lead_time": hours,
            "quantile": [0.05, 0.25, 0.5, 0.75, 0.95],
            "valid_time": (("init_time", "lead_time"), inits[:, None] + hours),
        },
    )


def every(hours: int, count: int) -> np.ndarray:
    return np.datetime64("2024-01-01T06", "ns") + np.arange(count) * np.timedelta64(hours, "h")


@pytest.mark.parametrize(
    ("leads", "days", "kept"),
    [(6, 1, [0, 1, 2, 3]), (12, 1, [0, 1, 2]), (24, 1, [0]), (25, 2, [0, 1, 2, 3]), (48, 2, [0])],
)
def test_a_block_holds_the_forecasts_that_lie_wholly_in_it(leads: int, days: int, kept: list[int]) -> None:
    found = scores(every(6, 8 * days), leads)
    own = blocks(found, "t2m")
    assert (own.days, own.baselines) == (days, ("persistence", "climatology"))
    assert own.start.tolist() == [int(np.datetime64("2024-01-01T06", "s").astype(int)) + days * DAY * b for b in (0, 1)]
    for block in (0, 1):
        rows = [4 * days * block + number for number in kept]
        part = found.isel(init_time=rows, variable=0)
        wanted = part["squared_error"].mean(["init_time", "lead_time"]).sel(system=["model", *own.baselines])
        np.testing.assert_allclose(own.errors[block], wanted)
        inside = (part["below"][..., 4] - part["below"][..., 0]).mean()
        assert own.inside[block] == pytest.approx(float(inside))


def test_maps_that_a_baseline_lacks_do_not_count_and_a_day_without_any_is_unknown() -> None:
    found = scores(every(24, 3), 24)
    found["squared_error"][1, 0, 1] = np.nan
    found["squared_error"][2, 0, 2, :12] = np.nan
    own = blocks(found, "t2m")
    assert np.isnan(own.errors[1]).all()
    wanted = found["squared_error"][:, 0, 2, 12:].mean("lead_time").sel(system="model")
    assert own.errors[2, 0] == pytest.approx(float(wanted))


def made(errors: Sequence[Sequence[float]], inside: Sequence[float] | None = None) -> Blocks:
    values = np.array(errors)
    return Blocks(
        start=np.arange(len(values)) * DAY,
        days=1.0,
        errors=values,
        inside=np.full(len(values), np.nan) if inside is None else np.array(inside),
        baselines=("persistence", "climatology"),
    )


def test_the_best_baseline_is_that_of_the_days_before() -> None:
    own = made([[1, 4, 2], [1, 1, 9], [2, 1, 9], [3, 2, 9]])
    # Means before: none; 4 and 2; 2.5 and 5.5; 2 and 6.67.
    assert own.best.tolist() == [-1, 1, 0, 0]
    # 1 of 9; 2 of 1; 3 of 2: the first day has no baseline to be compared with.
    np.testing.assert_array_equal(own.bad, [np.nan, 0, 1, 1])


def test_one_in_a_hundred_below_is_what_a_day_has_to_be() -> None:
    own = made([[1, 1, 9], [0.9801, 1, 9], [0.9802, 1, 9], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(own.bad, [np.nan, 0, 1, np.nan])  # 0.99 squared


def test_only_the_last_thirty_days_choose() -> None:
    own = made([[1, 1, 100]] + [[1, 2, 1]] * 40)
    assert own.best[1:31].tolist() == [0] * 30
    assert set(own.best[31:].tolist()) == {1}


def test_coverage_within_the_tolerance_is_no_evidence_and_beyond_it_is() -> None:
    random = np.random.default_rng(0)
    for share, alarm in ((0.86, False), (0.9, False), (0.94, False), (0.6, True)):
        inside = np.clip(share + random.uniform(-0.05, 0.05, 300), 0, 1)
        course = follow(coverage_factors(made([[1, 1, 1]] * 300, inside.tolist())), 3650.0)
        assert (course.alarm is not None) is alarm, share
