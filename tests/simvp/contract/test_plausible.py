"""Values are compared with those of training: temperatures by quantiles and spread, rain by how hard it rains."""

import numpy as np
import pytest

from simvp.contract.bounds import never_below_zero
from simvp.contract.channel import State
from simvp.contract.climatology import Climatology
from simvp.contract.plausible import implausible, intermittent, what_was_seen
from simvp.contract.statistics import log_scale
from simvp.coords import Step

UNITS_OFF = "are the units right?"


def storm(frames: int = 60, seed: int = 0) -> np.ndarray:
    """Rain (frames, 16, 24), mm: a fifth of the points wet, exponential with a mean of 2."""
    draws = np.random.default_rng(seed)
    shape = (frames, 16, 24)
    return np.where(draws.random(shape) < 0.2, draws.exponential(2.0, shape), 0.0).astype("f4")


SEEN = what_was_seen(storm())


def evening(wet: int = 5, amount: float = 0.02) -> np.ndarray:
    """Four dry frames after a storm, in which a few points have traces."""
    values = np.zeros((4, 16, 24), "f4")
    values.reshape(-1)[:wet] = amount
    return values


def test_what_was_seen_of_rain_by_hand():
    points = np.array([0.0] * 17 + [2.0, 2.0, 5.0, np.nan])
    seen = what_was_seen(points)
    # Twenty values with the sum 9 and the squares' sum 33.
    assert seen["mean"] == pytest.approx(9 / 20)
    assert seen["spread"] == pytest.approx(np.sqrt(33 / 20 - (9 / 20) ** 2))
    assert seen["quantiles"] == [0.0, 0.0, 0.0, 0.0, 0.0, pytest.approx(2.15), 5.0]
    assert "mean" not in what_was_seen(np.array([270.0, 280.0]))


def test_a_dry_evening_after_a_storm_is_plausible_however_long():
    for values in (
        np.zeros((500, 16, 24), "f4"),
        evening(),
        evening(wet=80, amount=0.02),
        np.where(storm(4, seed=1) > 5, 1e-3, 0).astype("f4"),
    ):
        assert implausible(values, SEEN, "mm", True) is None
    # As a temperature is judged it is refused: its spread is below a 30th.
    assert "standard deviation" in str(implausible(evening(), SEEN, "mm", False))


def test_drizzle_and_a_heavier_storm_are_plausible():
    rain = storm(4, seed=1)
    for factor in (1 / 100, 1 / 20, 3.0, 20.0):
        assert implausible(rain * factor, SEEN, "mm", True) is None
    # A storm after a dry month with traces, which would be away by every quantile.
    dry = what_was_seen(np.where(storm() > 8, 0.7, 0.0))
    assert implausible(np.maximum(rain, 1.0), dry, "mm", True) is None


@pytest.mark.parametrize("factor", [1 / 1000, 1 / 600, 1 / 3600], ids=["m", "kg m-2 s-1 of ten minutes", "of an hour"])
@pytest.mark.parametrize("period", ["now", "before the mean was kept"])
def test_rain_in_larger_units_is_refused_when_it_rains(factor: float, period: str):
    seen = {name: value for name, value in SEEN.items() if period == "now" or name != "mean"}
    for seed in range(1, 4):
        why = implausible(storm(4, seed) * np.float32(factor), seen, "mm", True)
        assert why is not None
        assert "their intensity (the mean weighted by the amount itself)" in why
        assert why.endswith(UNITS_OFF)
        assert implausible(storm(4, seed), seen, "mm", True) is None


@pytest.mark.parametrize("factor", [600, 1000, 3600])
def test_rain_in_smaller_units_is_refused_even_in_light_rain(factor: float):
    for rain in (storm(4, seed=1), storm(4, seed=1) / 10):
        assert implausible(rain * factor, SEEN, "mm", True) is not None
    why = str(implausible(storm(4, seed=1) * 1000, SEEN, "mm", True))
    assert "the highest value, " in why
    assert f"times the highest that training saw, {SEEN['quantiles'][-1]:.6g}, expected 30 times at most" in why


def test_rain_that_is_nowhere_extreme_but_everywhere_heavy_is_refused():
    """24 times the highest value ever seen, on every point: 100 times the intensity."""
    highest = SEEN["quantiles"][-1]
    assert 24 * highest > 4.0 * 100
    why = str(implausible(np.full((4, 5), 24 * highest), SEEN, "mm", True))
    assert "their intensity" in why
    assert implausible(np.full((4, 5), 15 * highest), SEEN, "mm", True) is None


def test_the_refusal_says_the_intensities_that_it_compared():
    # Half of 8 points at 2: intensity 4 * 4 / (4 * 2) = 2, wet share 1 / 2; now half at 0.002.
    seen = {"quantiles": [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0], "spread": 1.0, "mean": 1.0}
    why = implausible(np.array([0.0, 0.002] * 4), seen, "mm", True)
    assert why == (
        "values of 0 .. 0.002 (median 0.001) where training saw 0 .. 2 (median 1) mm: their intensity (the mean "
        "weighted by the amount itself), 0.002, is 0.001 times training's 2 although 50.0% of the points are wet "
        "(50.0% in training), expected 1/300 to 100 times; are the units right?"
    )
    # Less than a third of training's share is not enough to say that it rains.
    assert implausible(np.array([0.0] * 11 + [0.002] * 2), seen, "mm", True) is None
    assert implausible(np.array([0.0] * 9 + [0.002] * 2), seen, "mm", True) is not None


def test_noise_of_packing_on_a_dry_evening_is_no_rain_of_another_unit():
    """Training's dry points lie at one step above zero, and so do all points of the evening."""
    noise = np.float32(4e-4)
    seen = what_was_seen(np.maximum(storm(), noise))
    values = np.full((4, 16, 24), noise)
    values[:, ::2] = noise / 2
    assert implausible(values, seen, "mm", True) is None
    assert implausible(storm(4, seed=1) / 1000, seen, "mm", True) is not None


def test_packing_below_zero_does_not_stop_rain_from_being_an_amount():
    rain = storm()
    rain[3, 4, 5] = -0.003
    assert log_scale(rain) == pytest.approx(log_scale(storm()), rel=1e-3)
    seen = what_was_seen(rain)
    assert intermittent(seen)
    assert implausible(evening(), seen, "mm", True) is None
    # What goes below by more than rounding is none: a difference.
    rain[3, 4, 5] = -3.0
    assert log_scale(rain) is None
    assert not intermittent(what_was_seen(rain))


def test_below_zero_by_rounding_is_a_hundredth_of_the_highest():
    assert never_below_zero(0.0, 0.0)
    assert never_below_zero(-0.1, 15.3)  # accumulations of an Australian radar, in steps of 0.05
    assert not never_below_zero(-0.2, 15.3)
    assert not never_below_zero(-1e-9, -1e-10)


def test_values_far_below_zero_are_no_rain():
    why = str(implausible(storm(4) - 32, SEEN, "mm", True))  # decibels
    assert "the 25% quantile, -32, is 32 away from training's 0, more than 5 times its range from 5 to 95 %" in why


def test_rain_without_a_logarithm_is_an_amount_by_its_floor_and_its_sample():
    """As in models saved where one value of -0.003 mm took the logarithm away."""
    means = Climatology(period="none", step=Step(seconds=600), values=np.zeros((1, 1, 2, 3), "f4"))
    made = [
        State(name="rain", units="mm", climatology=means, valid=np.ones((2, 3), bool), seen=seen, bounds=bounds)
        for seen, bounds in (
            (SEEN, (0.0, None)),
            (SEEN, (None, None)),
            (what_was_seen(np.random.default_rng(0).uniform(0, 100, 999)), (0.0, 100.0)),
        )
    ]
    assert [channel.amount for channel in made] == [True, False, False]


def test_celsius_for_kelvin_says_the_quantile_and_a_flat_field_the_spread():
    draws = np.random.default_rng(0)
    seen = what_was_seen(draws.normal(280.0, 3.0, 10_000))
    celsius = draws.normal(280.0, 3.0, (4, 50)) - 273.15
    why = str(implausible(celsius, seen, "K", False))
    assert "% quantile, " in why
    assert "more than 5 times its range from 5 to 95 %" in why
    assert implausible(celsius + 273.15 + 12, seen, "K", False) is None
    why = str(implausible(280 + draws.normal(0.0, 0.003, (4, 50)), seen, "K", False))
    assert "their standard deviation, 0.00" in why
    assert "expected 1/30 to 30 times; are the units right?" in why


def test_plausible_is_what_every_quantile_says():
    rng = np.random.default_rng(0)
    seen = what_was_seen(rng.normal(280.0, 3.0, 10_000))
    expected = np.asarray(seen["quantiles"])
    width = max(expected[5] - expected[1], seen["spread"])
    verdicts = set()
    for _ in range(200):
        # From well inside to well outside, and skewed, so that some quantiles are away and some values only.
        values = rng.normal(rng.uniform(180, 380), 10 ** rng.uniform(-2, 3), (3, 50)).astype("f4")
        values[rng.random(values.shape) < rng.uniform(0, 0.6)] = rng.choice([280.0, -500.0, np.nan])
        known = values[np.isfinite(values)]
        away = np.abs(np.quantile(known, (0.25, 0.5, 0.75)) - expected[2:5]).max() > 5 * width
        off = not 1 / 30 < known.std(dtype="f8") / seen["spread"] < 30
        assert (implausible(values, seen, "K", False) is not None) == (away or off)
        verdicts.add((bool(away), off))
    assert len(verdicts) == 4
