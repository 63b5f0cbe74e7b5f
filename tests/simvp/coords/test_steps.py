"""Steps: counting, shifting and labelling time in every calendar."""

import cftime
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from simvp.coords.steps import Step, history, lead_times
from simvp.errors import Refusal

HOURS = pd.date_range("2021-01-01", periods=48, freq="1h").to_numpy().astype("M8[ns]")
MONTHS = pd.date_range("1999-11-01", periods=30, freq="MS").to_numpy().astype("M8[ns]")


def cf(calendar: str, *days: tuple[int, int, int]) -> np.ndarray:
    return np.array([cftime.datetime(*day, calendar=calendar) for day in days])


def test_hours_with_a_hole_are_hours():
    assert Step.infer(np.delete(HOURS, slice(10, 13))) == Step(seconds=3600)


def test_months_are_counted_not_measured():
    step = Step.infer(MONTHS)
    assert (step.months, step.anchor, step.day) == (1, "day", 1)
    assert step.timedelta is None
    assert list(step.shift(MONTHS[0], [2, 14])) == list(pd.to_datetime(["2000-01-01", "2001-01-01"]))
    assert list(step.index(MONTHS[[0, 3, 29]], MONTHS[0])) == [0, 3, 29]


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
@pytest.mark.parametrize("anchor", ["day", "end", "middle", "middle day"])
def test_labels_of_months_follow_the_source(anchor, calendar):
    source = Step(
        months=1, anchor=anchor, day=16 if anchor == "day" else 0, second=43200 if anchor in ("day", "end") else 0
    )
    origin = np.datetime64("1999-01-01", "ns") if calendar == "standard" else cf(calendar, (1999, 1, 1))[0]
    times = source.shift(origin, np.arange(26))
    step = Step.infer(times)
    assert np.array_equal(step.shift(times[0], np.arange(26)), times)
    assert np.array_equal(step.index(times[::5], times[0]), np.arange(0, 26, 5))


def test_mid_february_of_a_leap_year_is_the_fifteenth_at_noon():
    # February 2000 has 29 days: half of it is 14.5 days after the 1st.
    labelled = Step(months=1, anchor="middle").shift(np.datetime64("2000-01-16T12", "ns"), 1)
    assert labelled == np.datetime64("2000-02-15T12", "ns")
    rounded = Step(months=1, anchor="middle day").shift(np.datetime64("2000-01-16", "ns"), 1)
    assert rounded == np.datetime64("2000-02-15", "ns")


def test_years_are_twelve_months_in_the_common_calendar_and_360_days_in_the_other():
    years = pd.date_range("1980-06-01", periods=12, freq="YS-JUN").to_numpy()
    assert Step.infer(years).months == 12
    assert Step.infer(cf("360_day", *((1860 + i, 6, 1) for i in range(5)))) == Step(seconds=360 * 86400)


def test_evenly_spaced_twelfths_of_a_year_are_a_fixed_step():
    twelfths = np.datetime64("1982-01-16", "s") + np.arange(24) * np.timedelta64(2629746, "s")
    assert Step.infer(twelfths.astype("M8[ns]")) == Step(seconds=2629746)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (HOURS[:1], r"two frames at least are needed to see it, got 1\n.*state the step"),
        (HOURS[[0, 1, 1, 2]], "expected rising times, got 2021-01-01T01.* followed by 2021-01-01T01"),
        (
            np.append(HOURS[:5], np.datetime64("2021-01-01T05:30", "ns")),
            "steps of 1 h .* got 1 between them: 2021-01-01T05:30",
        ),
    ],
)
def test_refusals(times, words):
    with pytest.raises(Refusal, match=words):
        Step.infer(times)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("1h", Step(seconds=3600)),
        ("30 min", Step(seconds=1800)),
        ("1D", Step(seconds=86400)),
        ("1 month", Step(months=1, anchor="day", day=1)),
        ("2 years", Step(months=24, anchor="day", day=1)),
    ],
)
def test_words(text, step):
    assert Step.parse(text) == step
    assert Step.from_header(step.to_header()) == step


@pytest.mark.parametrize("text", ["", "soon", "-1h", "0h", "1.5s"])
def test_words_that_are_no_step(text):
    with pytest.raises(Refusal, match="expected words like 1h, 30min"):
        Step.parse(text)


def test_leads_are_durations_and_months_are_counts():
    assert list(lead_times(Step(seconds=3600), 2)) == [np.timedelta64(1, "h"), np.timedelta64(2, "h")]
    assert lead_times(Step(seconds=3600), 2).dtype == "m8[ns]"
    assert list(lead_times(Step(months=3, anchor="day", day=1), 2)) == [3, 6]


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(1, 5))
def test_history_is_every_run_that_spans_no_gap(present, frames):
    slots = sorted(present)
    times = np.datetime64("2021-01-01", "ns") + np.array(slots) * np.timedelta64(1, "h")
    expected = [
        [slots.index(i - frames + 1 + k) for k in range(frames)]
        for i in slots
        if all(i - k in present for k in range(frames))
    ]
    assert history(times, Step(seconds=3600), frames).tolist() == expected


def test_frames_in_a_year():
    assert Step(seconds=86400).per_year("360_day") == 360
    assert Step(seconds=86400).per_year() == 365
    assert Step(months=1).per_year() == 12
    assert Step(months=12).per_year() is None
    assert Step(seconds=360 * 86400).per_year("360_day") is None


def test_horizons_have_names_that_can_be_read_back() -> None:
    assert Step.parse("1h").horizon(12) == "12h"
    assert Step.parse("30min").horizon(3) == "90min"
    assert Step.parse("1D").horizon(3) == "72h"
    assert Step.parse("1 month").horizon(6) == "6months"
    assert Step.parse(Step.parse("1 month").horizon(6)).months == 6
