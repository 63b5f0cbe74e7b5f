"""Correction and mixture from Gram matrices, against least squares and scores on explicit maps."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import xarray as xr

from pipelines.training.combination import BATCH, choose_without, combine, validation_grams
from simvp.mixture.mixture import Mixture, gram_matrices, left_out_errors, trust
from simvp.mixture.prior import FLOOR
from tests.support.mixed import FRAMES_OUT, mixed_forecaster, noisy_world

NAMES = ("base", "network", "persistence", "climatology")
STATES, LEADS, POINTS = 2, 2, 6
BLOCKS = np.repeat([0, 1, 2, 3], 10)
INITS = np.arange(40) + 30 * BLOCKS


def world(helps: float = 0.4, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Maps (N, L, S, 1, P) by expert, and the truth: base + helps (network - base) + noise."""
    rng = np.random.default_rng(seed)
    shape = (len(BLOCKS), LEADS, STATES, 1, POINTS)
    maps = {name: rng.normal(0, 2, shape) for name in NAMES}
    truth = maps["base"] + helps * (maps["network"] - maps["base"]) + rng.normal(0, 0.5, shape)
    return {name: field.astype("f4") for name, field in maps.items()}, truth.astype("f4")


def grams_of(maps: dict[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """(S, L, N, E, E)."""
    grams = gram_matrices(maps, truth, np.ones((1, POINTS)), np.ones((STATES, 1, POINTS), bool))
    return grams.transpose(2, 1, 0, 3, 4)


def least_squares(maps: dict[str, np.ndarray], truth: np.ndarray, rows: np.ndarray, state: int, lead: int) -> float:
    """Slope through the origin of the truth less the base on the network less the base, kept within 0 and 1."""
    base, network, y = (f[rows, lead, state].ravel().astype("f8") for f in (maps["base"], maps["network"], truth))
    return float(np.clip(np.linalg.lstsq((network - base)[:, None], y - base, rcond=None)[0][0], 0, 1))


@pytest.mark.parametrize("helps", [0.4, 0.9, 2.0])
def test_the_correction_is_least_squares_on_explicit_maps(helps: float) -> None:
    maps, truth = world(helps)
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    assert made.correction is not None
    every = np.ones(len(BLOCKS), bool)
    for state, lead in product(range(STATES), range(LEADS)):
        wanted = least_squares(maps, truth, every, state, lead)
        assert made.correction[state, lead] == pytest.approx(wanted, abs=1e-4)
    assert (made.correction <= 1).all()


def test_its_standard_error_is_the_jackknife_over_the_blocks() -> None:
    maps, truth = world()
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    for state, lead in product(range(STATES), range(LEADS)):
        without = np.array([least_squares(maps, truth, b != BLOCKS, state, lead) for b in range(4)])
        wanted = np.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum())
        assert made.correction_error[state, lead] == pytest.approx(wanted, abs=1e-4)
    assert (made.correction_error > 0).all()


def test_where_it_does_not_help_the_factor_is_zero() -> None:
    # The network is wrong by more than it knows: the best slope is negative for one variable, and for the other of
    # another sign in each half of the blocks, so that no block gains by what the others say.
    maps, truth = world(-0.5)
    sign = np.where(BLOCKS % 2, 1, -1)[:, None, None, None, None]
    base, network = maps["base"], maps["network"]
    truth[:, :, 1] = (base + sign * 0.5 * (network - base))[:, :, 1]
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    np.testing.assert_array_equal(made.correction, 0)
    for state in ("a", "b"):
        assert made.rmse[state]["unmixed"] == made.rmse[state]["base"]


def test_with_one_block_there_is_no_correction() -> None:
    maps, truth = world()
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, np.zeros(40, int))
    np.testing.assert_array_equal(made.correction, 0)
    assert all(np.isfinite(value) for row in made.rmse.values() for value in row.values())


def corrected_by_hand(maps: dict[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """The base corrected by the factors of the other blocks, (N, L, S, 1, P)."""
    made = maps["base"].astype("f8")
    for state, lead, block in product(range(STATES), range(LEADS), range(4)):
        factor = least_squares(maps, truth, block != BLOCKS, state, lead)
        rows = block == BLOCKS
        made[rows, lead, state] += factor * (maps["network"] - maps["base"])[rows, lead, state]
    return made


def test_scores_are_those_of_explicit_maps_corrected_by_the_other_blocks() -> None:
    maps, truth = world()
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    corrected = corrected_by_hand(maps, truth)
    for number, state in enumerate(("a", "b")):
        for name, field in {**maps, "unmixed": corrected}.items():
            wanted = np.sqrt(((field - truth)[:, :, number].astype("f8") ** 2).mean())
            assert made.rmse[state][name] == pytest.approx(wanted, rel=1e-4), name
        assert made.rmse[state]["unmixed"] < made.rmse[state]["base"]


def test_the_mixture_is_fitted_on_the_corrected_base_as_explicit_maps_give_it() -> None:
    maps, truth = world()
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    assert made.mixture is not None
    assert made.mixture.experts == ("base", "corrected", "network", "persistence", "climatology")
    own = {
        "base": maps["base"],
        "corrected": corrected_by_hand(maps, truth).astype("f4"),
        **{name: maps[name] for name in NAMES[1:]},
    }
    grams = grams_of(own, truth)
    wanted = Mixture.fit(tuple(own), grams, INITS, BLOCKS)
    np.testing.assert_allclose(made.mixture.prior, wanted.prior, atol=1e-4)
    np.testing.assert_allclose(made.mixture.scale, wanted.scale, rtol=1e-4)
    errors = left_out_errors(wanted, grams, INITS, BLOCKS)
    for number, state in enumerate(("a", "b")):
        assert made.rmse[state]["model"] == pytest.approx(np.sqrt(errors[number].mean()), rel=1e-3)


def test_absent_experts_stay_absent_beside_the_corrected_base() -> None:
    maps, truth = world()
    maps["persistence"][:8] = np.nan
    maps["network"][3, 0] = np.nan
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS)
    assert np.isnan(made.rmse["a"]["persistence"])  # not of the same maps as the others
    assert np.isfinite([made.rmse["a"][name] for name in ("base", "climatology", "model")]).all()
    assert np.isfinite(made.mixture.prior).all()


def test_without_a_network_there_is_no_correction_and_without_the_switch_no_mixture() -> None:
    maps, truth = world()
    own = {name: field for name, field in maps.items() if name != "network"}
    made = combine(tuple(own), ("a", "b"), grams_of(own, truth), INITS, BLOCKS)
    assert made.correction is None
    assert made.correction_error is None
    assert made.mixture.experts == ("base", "persistence", "climatology")
    assert made.rmse["a"]["unmixed"] == made.rmse["a"]["base"]
    assert "network" not in made.rmse["a"]
    off = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS, mixed=False)
    assert off.mixture is None
    assert off.rmse["a"]["model"] == off.rmse["a"]["unmixed"]
    assert set(off.to_json()) == {"correction", "correction_error", "rmse", "rmse_by_lead"}
    assert set(made.to_json()) == {"experts", "aggregation", "weights", "rmse", "rmse_by_lead"}


def test_only_the_maps_that_are_judged_count_in_the_scores() -> None:
    maps, truth = world()
    judged = np.ones((STATES, len(BLOCKS), LEADS), bool)
    judged[0, 5:, :] = False
    made = combine(NAMES, ("a", "b"), grams_of(maps, truth), INITS, BLOCKS, judged=judged)
    wanted = np.sqrt(((maps["base"] - truth)[:5, :, 0].astype("f8") ** 2).mean())
    assert made.rmse["a"]["base"] == pytest.approx(wanted, rel=1e-4)


def test_what_is_no_better_than_trust_stays_near_it() -> None:
    # Four experts with the same errors: nothing is learned of them.
    maps, truth = world()
    same = dict.fromkeys(("base", "persistence", "climatology"), maps["base"])
    made = combine(tuple(same), ("a", "b"), grams_of(same, truth), INITS, BLOCKS)
    np.testing.assert_allclose(
        made.mixture.prior,
        np.broadcast_to((1 - FLOOR) * trust(tuple(same)) + FLOOR / 3, made.mixture.prior.shape),
        atol=1e-6,
    )


def test_gram_matrices_of_validation_are_those_of_the_forecasts() -> None:
    ds = noisy_world()
    ds["t2m"][:, 1, 2] = np.nan
    model = mixed_forecaster(ds, mixed=False, correction=0.0)
    own = replace(model, correction=None)
    times = ds["time"].values[250 : 250 + BATCH + 3]
    told: list[tuple[str, int, int]] = []
    names, grams = validation_grams(own, ds, times, lambda *row: told.append(row))
    assert names[:2] == ("base", "network")
    assert "corrected" not in names
    assert grams.shape == (2, FRAMES_OUT, len(times), len(names), len(names))
    assert told == [("combining", BATCH, BATCH + 3), ("combining", BATCH + 3, BATCH + 3)]
    forecast = replace(own, base=None).predict(ds, init_time=times)
    area = xr.DataArray(own.spec.weights, dims=("latitude", "longitude"))
    for state, lead in product(range(2), range(FRAMES_OUT)):
        name = own.spec.states[state]
        truth = ds[name].sel(time=forecast["valid_time"].isel(lead_time=lead))
        squares = (forecast[name].isel(lead_time=lead) - truth) ** 2
        wanted = squares.weighted(area).mean(("latitude", "longitude")).values
        np.testing.assert_allclose(grams[state, lead, :, 1, 1], wanted, rtol=1e-3)


@pytest.mark.parametrize("blocks", [BLOCKS, np.repeat([0, 1], 20)])
def test_what_the_other_blocks_choose_knows_nothing_of_the_block_left_out(blocks: np.ndarray) -> None:
    maps, truth = world()
    own, other = grams_of(maps, truth), grams_of(maps, np.where((blocks == 1)[:, None, None, None, None], 9.0, truth))
    first, second = (choose_without(NAMES, grams, INITS, blocks, 1) for grams in (own, other))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] is not None
    assert second[1] is not None
    np.testing.assert_array_equal(first[1].prior, second[1].prior)
    assert first[1].aggregation == second[1].aggregation
    # And it is that of the others: of another block it knows.
    assert not np.allclose(
        choose_without(NAMES, other, INITS, blocks, 0)[0], choose_without(NAMES, own, INITS, blocks, 0)[0]
    )
    for state, lead in product(range(STATES), range(LEADS)):
        assert first[0][state, lead] == pytest.approx(least_squares(maps, truth, blocks != 1, state, lead), abs=1e-4)


def test_without_a_network_and_without_a_mixture_nothing_is_chosen() -> None:
    maps, truth = world()
    del maps["network"]
    assert choose_without(tuple(maps), grams_of(maps, truth), INITS, BLOCKS, 0, mixed=False) == (None, None)
