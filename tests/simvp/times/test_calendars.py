"""Calendars: times counted, stored, read from words and named, in every calendar."""

from datetime import datetime

import cftime
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from simvp.errors import Refusal
from simvp.times.calendars import decode_times, encode_times, fields_of, name_time, parse_times, show_time


def cf(calendar: str, *days: tuple[int, int, int]) -> np.ndarray:
    return np.array([cftime.datetime(*day, calendar=calendar) for day in days])


@given(st.lists(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2250, 1, 1)), min_size=1, max_size=20))
def test_calendar_fields_are_those_of_pandas(days: list[datetime]) -> None:
    index = pd.DatetimeIndex(np.array(days, "M8[ns]"))
    found = fields_of(index.values)
    expected = {
        "year": index.year,
        "month": index.month,
        "day": index.day,
        "second": (index.hour * 60 + index.minute) * 60 + index.second,
        "days": index.days_in_month,
        "weekday": index.day_of_week,
    }
    assert {name: part.tolist() for name, part in found.items()} == {n: p.tolist() for n, p in expected.items()}


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "julian"])
def test_times_survive_storage_in_other_calendars(calendar):
    times = cf(calendar, (1850, 1, 1), (2014, 2, 28), (2300, 12, 30))
    seconds, name = encode_times(times)
    assert seconds.dtype == np.int64
    assert name == calendar
    assert list(decode_times(seconds, name)) == list(times)
    assert encode_times(times[1])[0].shape == ()
    assert encode_times(times.reshape(3, 1))[0].tolist() == [[s] for s in seconds]


def test_years_beyond_nanoseconds_survive_storage():
    times = cf("standard", (850, 1, 1), (2300, 6, 1))
    assert list(decode_times(*encode_times(times))) == list(times)


def test_half_hours_survive_storage():
    times = np.datetime64("2021-01-01T00:30", "ns") + np.arange(4) * np.timedelta64(1, "h")
    assert np.array_equal(decode_times(*encode_times(times)), times)


def test_texts_become_times_of_the_calendar():
    assert parse_times("2001-02-30T06", "360_day")[0] == cftime.datetime(2001, 2, 30, 6, calendar="360_day")
    assert parse_times(["2001-02-03", np.datetime64("2021-01-01T01")])[1] == np.datetime64("2021-01-01T01", "ns")
    with pytest.raises(Refusal, match=r"expected a time in the proleptic_gregorian calendar, got 'noon'"):
        parse_times("noon")
    with pytest.raises(Refusal, match="its calendar is noleap"):
        parse_times(cf("noleap", (2001, 1, 1))[0], "360_day")


def test_weekdays_agree_between_calendars():
    days = pd.date_range("2021-01-04", periods=7, freq="D").to_numpy()  # a Monday
    same = cf("standard", *((2021, 1, d) for d in range(4, 11)))
    assert fields_of(days)["weekday"].tolist() == list(range(7)) == fields_of(same)["weekday"].tolist()


@pytest.mark.parametrize(
    ("time", "name", "shown"),
    [
        (np.datetime64("2020-01-01T06", "ns"), "2020-01-01T06:00:00", "2020-01-01 06:00"),
        (np.datetime64("2020-01-01T06", "h"), "2020-01-01T06:00:00", "2020-01-01 06:00"),
        (np.datetime64("2020-01-01T00:00:30", "ns"), "2020-01-01T00:00:30", "2020-01-01 00:00:30"),
        (
            np.datetime64("2020-01-01T00:00:00.5", "ns"),
            "2020-01-01T00:00:00.500000000",
            "2020-01-01 00:00:00.500000000",
        ),
        (cftime.datetime(2020, 2, 30, 6, calendar="360_day"), "2020-02-30 06:00:00", "2020-02-30 06:00"),
    ],
)
def test_times_have_names_that_can_be_read_back(time: object, name: str, shown: str) -> None:
    assert (name_time(time), show_time(time)) == (name, shown)
    calendar = getattr(time, "calendar", "proleptic_gregorian")
    assert parse_times(name, calendar)[0] == parse_times(time, calendar)[0]
