"""Quantiles of errors: that they cover what they say, whatever the errors have in common."""

import numpy as np
import pytest

from simvp.uncertainty.conformal import LEVELS, at_levels, known_levels, quantiles


def test_of_independent_numbers_the_kth_of_n_covers_k_in_n_plus_1() -> None:
    # 39 numbers in groups of their own are worth 39: at 0.95 the quantile is taken at 0.95 + 0.45 / 39.
    values = np.random.default_rng(0).normal(size=39)
    found, worth = quantiles(values[:, None, None], np.arange(39))
    assert worth == pytest.approx(39)
    at = float(at_levels(found[0], np.array([0.95]))[0])
    assert at == pytest.approx(np.quantile(values, 0.95 + 0.45 / 39))
    assert at > np.quantile(values, 0.95)


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_bounds_cover_what_they_say_in_the_mean_though_errors_are_alike(alike: float) -> None:
    """Maps of 40 points in 12 groups, of whose variance a part is common to the map."""
    random = np.random.default_rng(1)
    covered, raw = [], []
    new = random.normal(size=100_000)
    for _ in range(400):
        common, own = random.normal(size=(12, 1, 1)), random.normal(size=(12, 1, 40))
        errors = np.sqrt(alike) * common + np.sqrt(1 - alike) * own
        low, high = at_levels(quantiles(errors, np.arange(12))[0][0], np.array([0.1, 0.9]))
        covered.append(((low <= new) & (new <= high)).mean())
        plain = np.quantile(errors, [0.1, 0.9])
        raw.append(((plain[0] <= new) & (new <= plain[1])).mean())
    assert np.mean(covered) == pytest.approx(0.8, abs=0.012)
    if alike == 0.9:  # the quantiles as they are cover too little
        assert np.mean(raw) < 0.76


def test_a_level_that_few_errors_say_nothing_of_is_not_known() -> None:
    found, worth = quantiles(np.random.default_rng(0).normal(size=(10, 2, 1)), np.arange(10))
    low, high = known_levels(found)
    assert worth == pytest.approx(10, rel=0.1)
    assert high == pytest.approx(1 - low)
    assert low == 0.05  # 0.05 - 0.45 / 10 is above zero, 0.04 - 0.46 / 10 is not
    assert np.isnan(at_levels(found, np.array([0.01]))).all()


def test_between_two_levels_a_quantile_lies_between_theirs_and_beyond_all_there_is_none() -> None:
    known = LEVELS * 100
    assert at_levels(known, np.array([0.05, 0.055, 0.123])) == pytest.approx([5.0, 5.5, 12.3])
    assert np.isnan(at_levels(known, np.array([0.001, 0.999]))).all()


def test_one_group_is_worth_one_error() -> None:
    assert quantiles(np.random.default_rng(0).normal(size=(5, 1, 4)), np.zeros(5, int))[1] == 1.0


def test_what_is_not_known_does_not_count() -> None:
    values = np.random.default_rng(0).normal(size=(40, 1, 3))
    holes = np.concatenate([values, np.full((40, 1, 2), np.nan)], axis=2)
    for one, other in zip(quantiles(values, np.arange(40)), quantiles(holes, np.arange(40)), strict=True):
        np.testing.assert_array_equal(one, other)
