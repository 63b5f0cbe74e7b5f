"""Limits of the coverage: as wide as independent blocks make them, and none of too few."""

import numpy as np
import pytest
import xarray as xr

from pipelines.evaluation.evaluate import LEVELS
from pipelines.evaluation.skill import _limits

LEADS = 3


def scores(inside: np.ndarray) -> xr.Dataset:
    """`below` of hourly init times at which so much of a map lay in the 90 % band, at every lead."""
    below = np.zeros((1, len(inside), LEADS, len(LEVELS)))
    below[..., -1] = inside[:, None]
    inits = np.datetime64("2020-01-01", "ns") + np.arange(len(inside)) * np.timedelta64(1, "h")
    valid = inits[:, None] + np.arange(1, LEADS + 1) * np.timedelta64(1, "h")
    return xr.Dataset(
        {"below": (("variable", "init_time", "lead_time", "quantile"), below)},
        {
            "variable": ["t2m"],
            "quantile": list(LEVELS),
            "init_time": inits,
            "valid_time": (("init_time", "lead_time"), valid),
        },
    )


def limits(inside: np.ndarray) -> tuple[float, float]:
    found = _limits(scores(inside))
    return float(found["coverage_low"][1][0]), float(found["coverage_high"][1][0])


def test_the_limits_hold_the_truth_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        # Whole blocks are alike, as neighbouring init times are.
        low, high = limits(0.8 + np.repeat(random.normal(0, 0.03, 20), 6))
        held += low <= 0.8 <= high
    assert 172 <= held <= 192  # of 200, where 90 % is nominal


def test_alike_init_times_make_wide_limits() -> None:
    random = np.random.default_rng(0)
    alike, apart = np.repeat(random.normal(0.8, 0.02, 20), 6), random.normal(0.8, 0.02, 120)
    assert np.diff(limits(alike)) > 1.5 * np.diff(limits(apart))


@pytest.mark.parametrize(("count", "known"), [(29, False), (30, True)])
def test_fewer_than_five_blocks_have_none(count: int, known: bool) -> None:
    assert np.isfinite(limits(np.full(count, 0.9))).all() == known
