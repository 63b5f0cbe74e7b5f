"""The step that times jitter around: found where they are near one, refused with the nearest where they are not."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from simvp.errors import Refusal
from simvp.times import find_step, first_slot, nearest_slots, tolerance
from simvp.times.nominal import DAY, STEPS

MIDNIGHT = 18_262 * DAY  # 1 January 2020
SCANS = MIDNIGHT + np.array([2, 301, 597, 903, 1200, 1498, 1803, 2099])


def test_scans_that_start_some_seconds_early_and_late() -> None:
    assert find_step(SCANS) == 300
    assert first_slot(SCANS, 300) == MIDNIGHT
    slots, late = nearest_slots(SCANS, 300, MIDNIGHT)
    assert slots.tolist() == list(range(8))
    assert late.tolist() == [2, 1, -3, 3, 0, -2, 3, -1]


@pytest.mark.parametrize("since", [0, -25_567, -3_000 * 30])  # days from 1970, of which float32 keeps 7 digits
def test_hours_as_days_in_float32(since: int) -> None:
    days = (18_262 - since + np.arange(24) / 24).astype("f4").astype("f8")
    times = np.rint((days + since) * DAY).astype(np.int64)
    assert len(np.unique(np.diff(times))) > 1
    assert (find_step(times), first_slot(times, 3600)) == (3600, MIDNIGHT)


def test_exact_times_keep_their_first_whatever_it_is() -> None:
    times = MIDNIGHT + 127 + 300 * np.arange(5)
    assert (find_step(times), first_slot(times, 300)) == (300, MIDNIGHT + 127)


@pytest.mark.parametrize(
    ("first", "step", "expected"),
    [
        (1800, 3600, 1800),  # the middle of each hour
        (17 * 60, 3600, 17 * 60),  # neither whole nor half: the middle of the times, to the minute
        (43_200, DAY, 43_200),
        (20, 600, 0),  # late by 20 s throughout: whole steps are near
    ],
)
def test_where_the_slots_begin(first: int, step: int, expected: int) -> None:
    times = MIDNIGHT + first + step * np.arange(6) + np.array([0, 5, -4, 3, -5, 4])
    assert first_slot(times, step) == MIDNIGHT + expected


@given(
    st.sampled_from([step for step in STEPS if step >= 60]),
    st.lists(st.tuples(st.integers(1, 3), st.floats(-0.9, 0.9)), min_size=6, max_size=40),
)
def test_times_within_the_tolerance_find_their_slots(step: int, made: list[tuple[int, float]]) -> None:
    slots = np.cumsum([gap for gap, _ in made])
    late = np.rint([share * tolerance(step) for _, share in made]).astype(np.int64)
    times = MIDNIGHT + slots * step + late
    origin = first_slot(times, step)
    found, rest = nearest_slots(times, step, origin)
    assert (np.abs(rest) <= tolerance(step)).all()
    assert (np.diff(found) == np.diff(slots)).all()


@pytest.mark.parametrize(
    ("step", "found", "allowed"),
    [
        *((60, True, 6), (300, True, 30), (3600, True, 360), (10_800, True, 600), (DAY, True, 600)),
        *((60, False, 15), (300, False, 75), (3600, False, 600), (DAY, False, 600)),
    ],
)
def test_the_tolerance_is_a_share_of_the_step_and_ten_minutes_at_most(step: int, found: bool, allowed: int) -> None:
    assert tolerance(step, found=found) == allowed
    times = MIDNIGHT + step * np.arange(9)
    times[4] += allowed
    assert first_slot(times, step, found=found) == MIDNIGHT
    times[4] += 1
    times[6] -= allowed  # nor is there another beginning from which both are near
    with pytest.raises(Refusal, match="of 9 times miss a step of"):
        first_slot(times, step, found=found)


def test_times_that_keep_to_no_step_are_told_the_nearest() -> None:
    times = SCANS.copy()
    times[3] += 120
    with pytest.raises(
        Refusal, match=r"times are 177 s to 426 s apart, most nearly 5 min: 1 of 8 times miss"
    ) as caught:
        find_step(times)
    assert "a step of 5 min by more than 30 s" in str(caught.value)


def test_seconds_in_float32_since_1970() -> None:
    """They keep 128 s: those of half hours find their step, those of five minutes need it stated."""
    halves, fives = ((86_400 * 18_262 + n * np.arange(24)).astype("f4").astype(np.int64) for n in (1800, 300))
    assert (find_step(halves), first_slot(halves, 1800)) == (1800, MIDNIGHT)
    with pytest.raises(Refusal, match=r"most nearly 5 min: \d+ of 24 times miss a step of 5 min by more than 30 s"):
        find_step(fives)
    assert nearest_slots(fives, 300, first_slot(fives, 300))[0].tolist() == list(range(24))


def test_one_half_hour_among_hours_does_not_make_half_hours() -> None:
    times = MIDNIGHT + np.array([0, 1, 2, 2.5, 3, 4, 5]) * 3600
    with pytest.raises(Refusal, match="most nearly 1 h"):
        find_step(times.astype(np.int64))
