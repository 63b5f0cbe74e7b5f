"""Climatologies: means by position against hand-computed ones, and the choice of the period."""

import numpy as np
import pandas as pd
import pytest

from simvp.contract.climatology import Climatology, Sums, choose, size_of, supported
from simvp.contract.statistics import cycles_in
from simvp.coords.steps import Step
from simvp.errors import ConfigError

HOUR, DAY, MONTH = Step(seconds=3600), Step(seconds=86400), Step(months=1, anchor="day", day=1)


def hours(n: int) -> np.ndarray:
    return pd.date_range("2021-01-04", periods=n, freq="1h").to_numpy().astype("M8[ns]")


def fit(blocks: list[tuple[np.ndarray, np.ndarray]], step: Step, period: str) -> tuple[Climatology, float]:
    sums = Sums(step, [period], blocks[0][1].shape[1:])
    for times, frames in blocks:
        sums.add(times, frames)
    return sums.climatology(period)


def test_hour_of_day_means_by_hand():
    # Two days of hours; day 1 has the value of the hour, day 2 the hour plus 4: means hour + 2, departures -2 and +2.
    times = hours(48)
    values = (np.arange(48) % 24 + 4.0 * (np.arange(48) >= 24))[:, None, None]
    fitted, deviation = fit([(times, values)], HOUR, "day")
    assert np.array_equal(fitted.values[0, :, 0, 0], np.arange(24) + 2.0)
    assert deviation == 2.0
    assert np.array_equal(fitted.at(hours(72)[60:61])[0], [[14.0]])  # noon of the third day


def test_blocks_and_missing_values_change_nothing_but_what_they_hide():
    rng = np.random.default_rng(0)
    times, values = hours(24 * 9), 280 + rng.normal(size=(24 * 9, 3, 4))
    values[5, 1, 1] = np.nan
    whole, deviation = fit([(times, values)], HOUR, "day")
    parts, same = fit([(times[a : a + 7], values[a : a + 7]) for a in range(0, len(times), 7)], HOUR, "day")
    expected = np.nanmean(values.reshape(9, 24, 3, 4), axis=0)
    np.testing.assert_allclose(whole.values[0], expected, rtol=1e-6)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-7)
    departures = values.reshape(9, 24, 3, 4) - expected
    assert deviation == pytest.approx(np.sqrt(np.nanmean(departures**2)), rel=1e-9)
    assert same == pytest.approx(deviation, rel=1e-9)


def test_a_large_offset_does_not_swallow_the_spread():
    values = (1e6 + np.tile([0.0, 0.25], 48))[:, None, None]
    _, deviation = fit([(hours(96), values)], HOUR, "none")
    assert deviation == pytest.approx(0.125, rel=1e-9)


def test_months_are_interpolated_between_their_middles():
    times = pd.date_range("2001-01-01", "2004-12-31", freq="D").to_numpy().astype("M8[ns]")
    months = pd.DatetimeIndex(times).month.to_numpy().astype(float)
    fitted, _ = fit([(times, months[:, None, None])], DAY, "year")
    at = fitted.at(np.array(["2005-04-16", "2005-05-01", "2005-07-31T12"], "M8[ns]"))[:, 0, 0]
    # 16 April is the middle of April; 1 May is half way from April to May; 31 July noon is 30.5/31 - 1/2 past July's.
    np.testing.assert_allclose(at, [4.0, 4.5, 7 + 30.5 / 31 - 0.5], rtol=1e-6)


def test_months_of_monthly_data_are_taken_as_they_are():
    times = pd.date_range("2001-01-01", periods=48, freq="MS").to_numpy().astype("M8[ns]")
    fitted, deviation = fit([(times, (np.arange(48.0) % 12)[:, None, None])], MONTH, "year")
    assert np.array_equal(fitted.at(times[:12])[:, 0, 0], np.arange(12))
    assert deviation == 0


def test_a_position_never_seen_has_the_mean_of_the_others():
    values = np.arange(12.0)[:, None, None]
    fitted, _ = fit([(hours(12), values)], HOUR, "day")
    assert fitted.values[0, 23, 0, 0] == pytest.approx(5.5)


@pytest.mark.parametrize("step", [HOUR, Step(seconds=6 * 3600), DAY, MONTH])
def test_sums_of_the_longest_periods_give_all_others(step):
    rng = np.random.default_rng(2)
    times = step.shift(np.datetime64("2001-01-01", "ns"), np.arange(500))
    values = rng.normal(280.0, 3.0, (500, 2, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 0, 0] = np.nan
    periods = ["none", "day", "week", "year"] if step.months == 0 else ["none", "year"]
    sums = Sums(step, periods, (2, 3))
    for start in range(0, 500, 37):
        sums.add(times[start : start + 37], values[start : start + 37])
    assert sums.valid.tolist() == [[False, True, True], [True, True, True]]
    for period in periods:
        assert sums.covers(period)
        climatology, deviation = sums.climatology(period)
        alone, same = fit([(times, values)], step, period)
        np.testing.assert_allclose(climatology.values, alone.values, rtol=1e-6)
        assert deviation == pytest.approx(same, rel=1e-9)
    assert not Sums(step, ["none"], (2, 3)).covers("year")


def test_the_size_of_sums_is_what_they_take():
    sums = Sums(HOUR, ["none", "day", "week", "year"], (5, 6))
    held = sum(a.nbytes for held in (sums._total, sums._count) for a in held.values())
    assert size_of(HOUR, ["none", "day", "week", "year"], 30) == held == 12 * 30 * (7 * 24 + 12 * 24)


def test_at_points_is_at_a_few_points_of_the_map():
    times = pd.date_range("2001-01-01", periods=40, freq="9D").to_numpy().astype("M8[ns]")
    maps = np.arange(12 * 2 * 3.0).reshape(12, 1, 2, 3).astype("f4")
    climatology = Climatology(period="year", step=DAY, values=maps)
    expected = climatology.at(times).reshape(40, -1)[:, [4, 1]]
    np.testing.assert_array_equal(climatology.at_points(times, np.array([4, 1])), expected)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ConfigError, match="no frame with a value in the training period"):
        fit([(hours(3), np.full((3, 2, 2), np.nan))], HOUR, "day")


@pytest.mark.parametrize(
    ("step", "frames", "expected"),
    [
        (HOUR, 24 * 3, ["none"]),
        (HOUR, 24 * 6, ["none", "day"]),
        (HOUR, 24 * 29, ["none", "day", "week"]),
        (DAY, 366 * 3 + 2, ["none", "week", "year"]),
        (Step(seconds=7 * 3600), 24 * 40, ["none"]),
    ],
)
def test_periods_that_the_step_resolves_and_the_span_repeats(step, frames, expected):
    times = np.datetime64("2021-01-01", "ns") + np.arange(frames) * step.timedelta
    assert supported(step, cycles_in(times)) == expected


@pytest.mark.parametrize("truth", ["none", "day", "week"])
def test_the_period_in_the_data_is_chosen_over_richer_and_poorer_ones(truth):
    rng = np.random.default_rng(1)
    times = hours(24 * 56)
    index = np.arange(len(times))
    position = {"none": 0 * index, "day": index % 24, "week": index % 168}[truth]
    points = rng.normal(size=(168, 5))[position] + 0.7 * rng.normal(size=(len(times), 5))
    assert choose(times, points, HOUR, ["none", "day", "week"]) == truth


@pytest.mark.parametrize("periods", [["none"], ["day", "none"], ["none", "day", "week", "year"]])
def test_sums_without_some_frames_are_those_of_the_others(periods):
    rng = np.random.default_rng(3)
    times, values = hours(24 * 40), rng.normal(280.0, 3.0, (24 * 40, 2, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 0, 0] = np.nan
    values[100:, 0, 1] = np.nan  # seen among those that are taken away alone
    total = Sums(HOUR, periods, (2, 3))
    total.add(times, values)
    before = [total.climatology(period) for period in periods]
    part = total.empty()
    for rows in (slice(0, 60), slice(60, 100), slice(700, 703)):
        part.add(times[rows], values[rows])
    left = np.r_[100:700, 703 : len(times)]
    rest, alone = total.without(part), Sums(HOUR, periods, (2, 3))
    alone.add(times[left], values[left])
    assert rest.valid.tolist() == alone.valid.tolist() == [[False, False, True], [True, True, True]]
    for number, period in enumerate(periods):
        climatology, deviation = rest.climatology(period)
        expected, same = alone.climatology(period)
        np.testing.assert_allclose(climatology.values, expected.values, rtol=1e-6)
        assert deviation == pytest.approx(same, rel=1e-6)
        # The sums that frames were taken away from are as they were.
        np.testing.assert_array_equal(total.climatology(period)[0].values, before[number][0].values)
        assert total.climatology(period)[1] == before[number][1]


def test_sums_without_nothing_are_themselves():
    total = Sums(HOUR, ["day"], (2, 3))
    total.add(hours(50), np.random.default_rng(0).normal(size=(50, 2, 3)))
    whole, none = total.without(total.empty()), total.empty()
    assert not none.valid.any()
    np.testing.assert_array_equal(whole.climatology("day")[0].values, total.climatology("day")[0].values)
