"""How large errors are: factors that were put in are found, and none where nothing was."""

import numpy as np
import pytest

from simvp.coords.steps import Step
from simvp.uncertainty.spread import Errors, Spread, activity, slots_of

HOUR = Step.parse("1h")
SHAPE = (4, 5)


def errors(days: int = 12, leads: int = 2, *, blocks: int = 4, seed: int = 0) -> Errors:
    """White errors of standard deviation 1, every three hours, in blocks of as many days."""
    random = np.random.default_rng(seed)
    hours = np.arange(0, 24 * days, 3)
    return Errors(
        values=random.normal(size=(len(hours), leads, 1, *SHAPE)).astype("f4"),
        init_times=np.datetime64("2021-06-01", "ns") + hours * np.timedelta64(1, "h"),
        blocks=hours * blocks // (24 * days),
        activities=np.ones((len(hours), 1)),
        step=HOUR,
    )


def scaled(of: Errors, by: np.ndarray, activities: np.ndarray | None = None) -> Errors:
    own = of.activities if activities is None else activities
    values = (of.values * by).astype("f4")
    return Errors(values=values, init_times=of.init_times, blocks=of.blocks, activities=own, step=of.step)


def test_white_errors_have_one_spread_for_each_lead() -> None:
    spread, kinds = Spread.choose(scaled(errors(), np.array([1.0, 2.0])[:, None, None, None]))
    assert kinds == ((False, False, False),)
    np.testing.assert_allclose(spread.leads, [[1.0, 2.0]], rtol=0.05)
    np.testing.assert_array_equal(spread.places, 1.0)


def test_a_place_that_errs_more_is_found() -> None:
    by = np.ones(SHAPE)
    by[0] = 3.0
    spread, kinds = Spread.choose(scaled(errors(40), by))
    assert kinds[0][0]
    np.testing.assert_allclose((spread.places[0] * spread.leads[0, 0])[0], 3.0, rtol=0.15)
    np.testing.assert_allclose((spread.places[0] * spread.leads[0, 0])[1:], 1.0, rtol=0.15)


def test_an_hour_that_errs_more_is_found() -> None:
    of = errors(40)
    spread, kinds = Spread.choose(scaled(of, np.where(of.slots < 12, 1.0, 2.0)[:, :, None, None, None]))
    assert kinds[0][1]
    found = spread.slots[0] * spread.leads[0, 0]
    seen = np.unique(of.slots)
    np.testing.assert_allclose(found[seen[seen < 12]], 1.0, rtol=0.2)
    np.testing.assert_allclose(found[seen[seen >= 12]], 2.0, rtol=0.2)


def test_errors_that_grow_with_the_activity_are_found_and_none_is_beyond_what_was_seen() -> None:
    of = errors(40)
    lively = np.exp(np.random.default_rng(1).normal(0, 0.4, (len(of), 1)))
    spread, kinds = Spread.choose(scaled(of, lively[:, :, None, None, None], lively))
    assert kinds[0][2]
    assert spread.exponents[0] == pytest.approx(1.0, abs=0.1)
    low, usual, high = spread.activities[0]
    slots = np.zeros((2, 2), int)
    ends, beyond = (spread.at(slots, np.array(pair)[:, None]) for pair in ((low, high), (low / 9, high * 9)))
    np.testing.assert_array_equal(ends, beyond)
    assert usual == pytest.approx(np.exp(np.log(lively).mean()), rel=1e-5)


def test_the_mean_square_is_that_of_the_errors_whatever_was_shrunk() -> None:
    by = np.linspace(0.2, 3, 20).reshape(SHAPE)
    of = scaled(errors(4), by)
    spread = Spread.fit(of, [(True, True, True)])
    relative = of.values / spread.at(of.slots, of.activities)
    np.testing.assert_allclose((relative**2).mean((0, 2, 3, 4)), 1.0, rtol=1e-4)


def test_activity_by_hand() -> None:
    # Changes of 1 and 3 at every point: root of (1 + 9) / 2; what is not known does not count.
    departures = np.array([0.0, 1.0, 4.0])[None, :, None, None, None] * np.ones((1, 3, 1, 2, 2))
    departures[:, :, :, 0, 0] = np.nan
    assert activity(departures).item() == pytest.approx(np.sqrt(5))
    assert activity(departures[:, :1]).item() == 0.0


def test_slots_are_those_of_the_valid_times() -> None:
    times = np.array(["2021-06-01T22"], "M8[ns]")
    assert slots_of(times, 3, HOUR).tolist() == [[23, 0, 1]]
    assert slots_of(times, 3, Step.parse("1D")).tolist() == [[0, 0, 0]]


def test_two_init_times_share_a_group_only_where_they_are_near() -> None:
    of = errors(2, leads=6, blocks=2)
    # Every three hours, leads of six: pairs, and none across the two blocks.
    np.testing.assert_array_equal(of.groups, np.repeat(np.arange(8), 2))


def test_many_errors_are_thinned_to_choose_and_all_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    of = errors(40)
    assert of.thinned().values.shape == of.values.shape
    monkeypatch.setattr("simvp.uncertainty.spread.MOST", of.values.size // 4)
    assert of.thinned().values.shape[-2:] == (2, 3)
    spread, _ = Spread.choose(of)
    assert spread.places.shape == (1, *SHAPE)
