"""The sequential tests: the evidence against brute force, bets that are fair, and how often they are wrong."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelines.drift.detector import follow, on_chance, on_every_second, on_mean, threshold
from pipelines.drift.inputs import input_factors


@given(st.lists(st.lists(st.floats(0, 3), min_size=2, max_size=2), min_size=1, max_size=12), st.floats(0.5, 20))
def test_the_evidence_is_what_a_stake_on_every_block_has_become(bets: list[list[float]], limit: float) -> None:
    paid = np.array(bets)
    course = follow(paid, limit)
    wanted = [np.mean([paid[start : t + 1].prod(0) for start in range(t + 1)], axis=1).sum() for t in range(len(paid))]
    np.testing.assert_allclose(course.evidence, wanted, rtol=1e-9, atol=1e-300)
    over = [t for t, evidence in enumerate(wanted) if evidence >= limit]
    if over and min(abs(evidence - limit) for evidence in wanted) > 1e-9:
        assert course.alarm == over[0]
        best = max(paid[start : over[0] + 1].prod(0).max() for start in range(over[0] + 1))
        assert paid[course.begin : over[0] + 1].prod(0).max() == pytest.approx(best)
    elif not over:
        assert course.alarm is course.begin is None


def test_bad_days_in_a_row_until_an_alarm_are_those_of_a_geometric_series() -> None:
    # Stakes of 1/4, 1/2 and 9/10 pay 1.25, 1.5 and 1.9: sums q (q^n - 1) / (q - 1), whose mean has to reach 5 x 3652.4.
    def mean(n: int) -> float:
        return float(np.mean([q * (q**n - 1) / (q - 1) for q in (1.25, 1.5, 1.9)]))

    limit = threshold(5, 1.0)
    assert limit == pytest.approx(18262.125)
    assert mean(15) < limit <= mean(16)
    assert follow(on_every_second(np.ones(40)), limit).alarm == 15
    assert follow(on_every_second(np.ones(40)), limit).begin == 0


def test_days_of_which_nothing_is_known_cost_nothing_and_pay_nothing() -> None:
    unknown = np.array([np.nan])
    for bets in (on_every_second(unknown), on_mean(unknown, -1), on_chance(unknown, 9)):
        assert (bets == 1).all()


def test_no_bet_is_better_than_fair() -> None:
    assert on_every_second(np.array([0.0, 1.0])).mean(0) == pytest.approx(1)
    # Means of zero or below: the worst are those of two points, one of them the lowest.
    for high in (0.1, 0.5, 0.9):
        share = 0.2 / (0.2 + high)  # of the high value, for a mean of zero
        bets = on_mean(np.array([-0.2, high]), -0.2)
        np.testing.assert_allclose((1 - share) * bets[0] + share * bets[1], 1)
        assert (bets >= 0).all()
    for reference in (20, 120, 1000):
        even = on_chance(np.arange(1, reference + 2) / (reference + 1), reference)
        assert (even.mean(0) <= 1).all()
        assert even[0].max() > np.sqrt(reference) / 3  # what never came before pays


def test_payments_are_smaller_by_what_a_small_sample_leaves_open() -> None:
    # Of three known values p is 1/4 at the least, and 0.6 p^-0.4 is 1.0447, 0.7917, 0.6732 or 0.6: mean 0.777 and
    # standard deviation 0.1688, so that 1.0447 is divided by 1 + 2 x 0.1688 / sqrt(3) = 1.1949.
    assert on_chance(np.array([0.25]), 3)[0, 2] == pytest.approx(1.0447 / 1.1949, abs=1e-4)


def test_false_alarms_are_as_rare_as_is_said() -> None:
    """Fair days: at most n / c of all series have an alarm within n blocks."""
    random, series, blocks, limit = np.random.default_rng(0), 400, 60, 100.0
    coins = random.integers(0, 2, (series, blocks)).astype(float)
    found = [follow(on_every_second(days), limit).alarm is not None for days in coins]
    assert 0 < np.mean(found) <= blocks / limit
    # And where the days hang together: bad with a chance of one half at most, whatever the days before were.
    worse = np.zeros((series, blocks))
    for t in range(1, blocks):
        worse[:, t] = random.random(series) < np.where(worse[:, t - 1] > 0, 0.5, 0.1)
    assert np.mean([follow(on_every_second(days), limit).alarm is not None for days in worse]) <= blocks / limit


def autoregression(random: np.random.Generator, days: int, again: float) -> np.ndarray:
    noise, values = random.standard_normal(days + 50), np.zeros(days + 50)
    for t in range(1, days + 50):
        values[t] = again * values[t - 1] + noise[t]
    return values[50:]


@pytest.mark.parametrize("again", [0.0, 0.7])
def test_days_that_hang_together_raise_no_more_alarms(again: float) -> None:
    random, years = np.random.default_rng(1), 30
    found = [autoregression(random, 365 + 365, again) for _ in range(years)]
    alarms = [follow(input_factors(days[:365], days[365:]), 365.0).alarm is not None for days in found]
    assert np.mean(alarms) <= 0.5  # of series as long as the mean time between two: at most 1 each


def test_a_step_is_found_after_days_and_a_fall_of_what_may_only_rise_is_not() -> None:
    random = np.random.default_rng(2)
    days = autoregression(random, 800, 0.5)
    limit = threshold(5, 1.0)
    assert follow(input_factors(days[:400], days[400:]), limit).alarm is None
    for size in (5.0, -5.0):
        moved = days[400:] + np.where(np.arange(400) >= 100, size, 0)
        course = follow(input_factors(days[:400], moved), limit)
        assert course.alarm is not None
        assert course.begin is not None
        assert 100 < course.alarm <= 120
        assert 95 <= course.begin <= course.alarm
    assert follow(input_factors(days[:400], moved, rising_only=True), limit).alarm is None


def test_what_never_varied_is_compared_too() -> None:
    nothing = np.zeros(100)
    assert follow(input_factors(nothing, nothing, rising_only=True), 10.0).alarm is None
    some = np.concatenate([nothing[:30], np.full(30, 0.05)])
    course = follow(input_factors(nothing, some, rising_only=True), threshold(5, 1.0))
    assert course.begin == 30
    assert course.alarm is not None
    assert course.alarm <= 36
