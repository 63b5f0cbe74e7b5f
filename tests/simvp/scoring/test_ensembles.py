"""Scores of members and bounds against numbers worked out by hand, and against plain loops."""

import itertools

import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.scoring.ensembles import ensemble_errors, fair_crps, rank_shares
from tests.support.worlds import formula_world

HOUR = Step(seconds=3600)


def test_crps_of_three_members_by_hand() -> None:
    # Members 1, 2, 4, truth 3: mean distance (2 + 1 + 1) / 3; pairs 1 + 3 + 2 = 6, over M (M - 1) = 6.
    members, truth = np.array([[[4.0], [1.0], [2.0]]]), np.array([[3.0]])
    assert fair_crps(members, truth).item() == pytest.approx(4 / 3 - 1)


def test_crps_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    members, truth = random.normal(size=(2, 7, 5)), random.normal(size=(2, 5))
    pairs = sum(np.abs(members[:, i] - members[:, j]) for i, j in itertools.combinations(range(7), 2))
    expected = np.abs(members - truth[:, None]).mean(1) - pairs / (7 * 6)
    np.testing.assert_allclose(fair_crps(members, truth), expected)


@pytest.mark.parametrize("count", [2, 20])
def test_crps_of_a_calibrated_gaussian_does_not_depend_on_the_number_of_members(count: int) -> None:
    random = np.random.default_rng(0)
    crps = fair_crps(random.normal(size=(1, count, 200_000)), random.normal(size=(1, 200_000))).mean()
    # 1 / sqrt(pi), and sqrt(2 / pi) the mean distance from the mean: their ratio is 0.707.
    assert crps == pytest.approx(np.pi**-0.5, rel=0.01)


def test_one_member_has_no_crps() -> None:
    assert np.isnan(fair_crps(np.zeros((1, 1, 1)), np.zeros((1, 1)))).all()


def test_ranks_by_hand_with_ties_in_equal_parts() -> None:
    # Three points of weight 1/2, 1/4, 1/4. Members 0, 0, 1 of all of them.
    members = np.array([0.0, 0.0, 1.0])[None, :, None] * np.ones((1, 3, 3))
    truth = np.array([[0.5, 2.0, 0.0]])
    # Rank 2; rank 3; and of the tie with two members rank 0, 1 or 2, a third of a quarter each.
    shares = rank_shares(members, truth, np.array([[0.5, 0.25, 0.25]]))
    np.testing.assert_allclose(shares, [[1 / 12, 1 / 12, 0.5 + 1 / 12, 0.25]], atol=1e-12)


def with_beside(members: list[float], bounds: dict[float, float], hole: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """A forecast that is the truth, with members and bounds at these distances from it; and the truth."""
    truth = formula_world(("t2m",), frames=6, shape=(3, 4))
    rows = 1 + np.arange(2)[:, None] + 1 + np.arange(3)
    forecast = label(
        {"t2m": truth["t2m"].values[rows]},
        coordinates(truth["time"].values[1:3], 3, step=HOUR, grid=Grid.of(truth)),
        grid=Grid.of(truth),
        variable_attrs={"t2m": truth["t2m"].attrs},
    )
    for suffix, dim, values, by in (
        ("_member", "member", np.arange(len(members)), np.array(members, "f4")),
        ("_quantile", "quantile", np.array(list(bounds)), np.array(list(bounds.values()), "f4")),
    ):
        beside = (forecast["t2m"] + xr.DataArray(by, dims=dim)).transpose("init_time", "lead_time", dim, ...)
        forecast["t2m" + suffix] = beside
        forecast = forecast.assign_coords({dim: values})
    if hole:
        truth["t2m"][3, 0] = np.nan
    return forecast, truth


@pytest.mark.parametrize("hole", [False, True])
def test_scores_of_a_map_by_hand(hole: bool) -> None:
    forecast, truth = with_beside([-1.0, 1.0, 3.0], {0.1: -2.0, 0.5: 0.5, 0.9: 1.0}, hole)
    scores = ensemble_errors(forecast, truth).sel(variable="t2m")
    # Distances 1, 1, 3; pairs 2 + 4 + 2 over 6. Mean 1, variance (4 + 0 + 4) / 2.
    assert scores["crps"].values == pytest.approx(np.full((2, 3), 5 / 3 - 8 / 6), abs=1e-4)
    assert scores["variance"].values == pytest.approx(np.full((2, 3), 4.0), abs=1e-3)
    assert scores["mean_squared_error"].values == pytest.approx(np.full((2, 3), 1.0), abs=1e-3)
    np.testing.assert_allclose(scores["ranks"].values, np.broadcast_to([0, 1, 0, 0], (2, 3, 4)), atol=1e-12)
    np.testing.assert_allclose(scores["below"].values, np.broadcast_to([0, 1, 1], (2, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(scores["width"].values[..., 0], 3.0, atol=1e-4)
    assert np.isnan(scores["width"].values[..., 1:]).all()
    # A row of frame 3 is missing: the first target but one of init time 1, the first of init time 2.
    expected = [[12, 8, 12], [8, 12, 12]] if hole else [[12] * 3] * 2
    np.testing.assert_array_equal(scores["points"], expected)
