"""Dates in texts, in numbers and counted since a date: read as they are meant, or refused."""

from datetime import datetime, timedelta

import cftime
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from simvp.times import (
    calendar_name,
    count_units,
    dates_of,
    duration_words,
    durations_of,
    is_plain,
    parse_duration,
    writes_dates,
)

MOMENTS = st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2250, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20190131", "2019-01-31T00"),
        ("2019013106", "2019-01-31T06"),
        ("201901310630", "2019-01-31T06:30"),
        ("20190131063015", "2019-01-31T06:30:15"),
        ("20190131T0630Z", "2019-01-31T06:30"),
        ("20190131 06", "2019-01-31T06"),
        ("2019/01/31 06:00", "2019-01-31T06"),
        ("2019-01-31_06:00:00", "2019-01-31T06"),
        ("2019-1-31", "2019-01-31T00"),
        ("2019-01", "2019-01-01T00"),
        ("2019-01-31T24:00", "2019-02-01T00"),
        ("2019-01-31 24:00:00Z", "2019-02-01T00"),
        ("2019013124", "2019-02-01T00"),
        ("2019-12-31T24:00:00 UTC", "2020-01-01T00"),
        ("2019-01-31T06:00+09:00", "2019-01-30T21"),
        ("2019-01-31T06:00:00 -0630", "2019-01-31T12:30"),
        ("2019-01-31 06:00 GMT", "2019-01-31T06"),
        (" 2019-01-31\x00\x00", "2019-01-31T00"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    for values in (np.array([text]), np.array([text], object), np.array([text.encode()])):
        assert dates_of(values)[0] == np.datetime64(expected, "ns")


@pytest.mark.parametrize(
    "text", ["201901", "01/02/2019", "2019-02-30", "20190230", "20191301", "soon", "2019-01-31 JST"]
)
def test_texts_that_are_no_date_or_may_be_two(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no date such as 2019-01-31T06:00"):
        dates_of(np.array(["2019-01-31", text]))


@given(MOMENTS, st.sampled_from(["%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d_%H:%M:%S", "%Y/%m/%d %H:%M:%SZ"]))
def test_every_moment_in_every_form(moment: datetime, form: str) -> None:
    assert dates_of(np.array([moment.strftime(form)]))[0] == np.datetime64(moment, "ns")


@given(MOMENTS)
def test_moments_as_numbers(moment: datetime) -> None:
    for form, unit in (("%Y%m%d", "D"), ("%Y%m%d%H", "h"), ("%Y%m%d%H%M", "m"), ("%Y%m%d%H%M%S", "s")):
        number = np.array([int(moment.strftime(form))])
        assert writes_dates(number)
        assert dates_of(number)[0] == np.datetime64(moment).astype(f"M8[{unit}]")
        assert dates_of(number.astype("f8"))[0] == np.datetime64(moment).astype(f"M8[{unit}]")
    minute = moment.hour * 60 + moment.minute
    fraction = np.array([float(moment.strftime("%Y%m%d")) + minute / 1440])
    assert dates_of(fraction, "day as %Y%m%d.%f")[0] == np.datetime64(moment).astype("M8[m]")


@pytest.mark.parametrize("units", ["", "1", "day as %Y%m%d.%f", "YYYYMMDD", "yyyymmdd", "%Y%m%d", "YYYY-MM-DD"])
def test_units_of_dates_as_numbers(units: str) -> None:
    assert writes_dates(np.array([20190131, 20190201]), units)


@pytest.mark.parametrize("units", ["hours", "m", "hours since 2019-01-01", "month as %Y%m.%f"])
def test_units_of_something_else(units: str) -> None:
    assert not writes_dates(np.array([20190131, 20190201]), units)
    with pytest.raises(ValueError, match="they are numbers in"):
        dates_of(np.array([20190131]), units)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([20190101, 20190102], "f4"), "float32 does not hold 20190100: above 16777216 it has no odd numbers"),
        (np.array([20190230]), "2019-02-30"),
        (np.array([201901, 201902]), "expected numbers such as 20190131, got 201901 .. 201902"),
        (np.array([20190101, 2019010206]), "expected numbers such as 20190131"),
        (np.array([20190101.0, np.nan]), "expected numbers such as 20190131"),
        (np.array([2019010125]), "expected numbers such as 20190131"),
        (np.array([0, 6, 12]), "expected numbers such as 20190131, got 0 .. 12"),
    ],
)
def test_numbers_that_are_no_dates(values: np.ndarray, words: str) -> None:
    assert not writes_dates(values)
    with pytest.raises(ValueError, match=words):
        dates_of(values)


def test_numbers_in_another_calendar() -> None:
    assert dates_of(np.array([20190230]), "", "360_day")[0] == cftime.datetime(2019, 2, 30, calendar="360_day")


def test_dates_that_were_dates() -> None:
    zoned = np.array([pd.Timestamp("2020-01-01T09", tz="Asia/Tokyo")], object)
    assert dates_of(zoned)[0] == np.datetime64("2020-01-01", "ns")
    noise = np.array(["2020-01-01T00:00:00.000017920"], "M8[ns]")
    assert dates_of(noise)[0] == np.datetime64("2020-01-01", "ns")
    assert dates_of(np.array([cftime.datetime(2020, 1, 1, calendar="standard")], object)).dtype == "M8[ns]"
    with pytest.raises(ValueError, match="years 1200 to 1200; expected 1680 to 2260, or cftime dates"):
        dates_of(np.array(["1200-01-01"], "M8[s]"))


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ("hours since 2020-01-01 09:00:00 +09:00", "hours since 2020-01-01 00:00:00"),
        ("hours since 2019-12-31 18:00:00 -6:00", "hours since 2020-01-01 00:00:00"),
        ("Hours Since 2020-01-01 09 +9", "hours since 2020-01-01 00:00:00"),
        ("hours since 2020-01-01 05:30 +0530", "hours since 2020-01-01 00:00:00"),
        ("hours since 2020-01-01 9:0 UTC+9", "hours since 2020-01-01 00:00:00"),
        ("hours since 2020-01-01 -3", "hours since 2020-01-01 03:00:00"),
        ("hours since 2020-01-01 UTC", "hours since 2020-01-01 00:00:00"),
        ("seconds since 2020-01-01T00:00:00.250Z", "seconds since 2020-01-01 00:00:00.250000"),
        ("hours since 2019-12-31 24:00:00", "hours since 2020-01-01 00:00:00"),
        ("hours since 20200101", "hours since 2020-01-01 00:00:00"),
        ("minutes  since 2020/1/1 6:30", "minutes since 2020-01-01 06:30:00"),
        ("days since 2020-06", "days since 2020-06-01 00:00:00"),
        ("days since 1-1-1 00:00:0.0", "days since 0001-01-01 00:00:00"),
        ("seconds since 1981-01-01 00:00:00 0:00", "seconds since 1981-01-01 00:00:00"),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_counts_in_one_form(units: str, expected: str, calendar: str) -> None:
    assert count_units(units, calendar) == expected
    assert is_plain(expected, calendar)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ("hours since 2020-01-01 00:00:00 JST", r"time zone 'JST' is no offset such as \+09:00, got 'hours since"),
        ("hours since 2020-01-01 EST", "time zone 'EST' is no offset"),
        ("hours since 2020-01-01 00:00 local", "time zone 'local' is no offset"),
        ("hours since 01-01-2020", "expected a date such as 2019-01-31, got 'hours since 01-01-2020'"),
        ("minutes since simulation start", "expected a date such as 2019-01-31"),
        ("hours", "expected units such as 'hours since 2019-01-01', got 'hours'"),
    ],
)
def test_counts_from_no_date(units: str, words: str) -> None:
    assert not is_plain(units, "standard")
    with pytest.raises(ValueError, match=words):
        count_units(units, "standard")


def test_counts_in_weeks() -> None:
    with pytest.raises(
        ValueError, match="expected seconds, minutes, hours or days since a date, got 'weeks since 2020"
    ):
        count_units("weeks since 2020-01-01", "standard")


@given(MOMENTS, st.integers(-14 * 60, 14 * 60), st.sampled_from(["{:+03d}:{:02d}", "{:+03d}{:02d}", " {:+d}:{:02d}"]))
def test_offsets_of_every_form(moment: datetime, minutes: int, form: str) -> None:
    sign, size = (-1, -minutes) if minutes < 0 else (1, minutes)
    hours, rest = divmod(size, 60)
    zone = form.format(hours, rest) if sign > 0 else form.format(hours, rest).replace("+", "-")
    text = count_units(f"seconds since {moment:%Y-%m-%d %H:%M:%S}{zone}", "standard")
    assert text == f"seconds since {moment - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("standard ", "standard"),
        (" Gregorian\x00", "gregorian"),
        ("NoLeap", "noleap"),
        ("no leap", "noleap"),
        ("365_DAY", "365_day"),
        ("360", "360_day"),
        ("365 days", "365_day"),
        ("Proleptic-Gregorian", "proleptic_gregorian"),
        ("", "standard"),
    ],
)
def test_calendars_as_files_write_them(text: str, name: str) -> None:
    assert calendar_name(text) == name


def test_a_calendar_that_is_none() -> None:
    with pytest.raises(ValueError, match="calendar 'mayan' is none of CF's: standard, gregorian"):
        calendar_name("mayan")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("12h", 720),
        ("12 Hours", 720),
        ("90min", 90),
        ("1.5 hrs", 90),
        ("PT12H", 720),
        ("P1DT6H", 1800),
        ("2 days", 2880),
        ("0 days 06:30:00", 390),
        ("6:00", 360),
    ],
)
def test_durations_in_words(text: str, minutes: int) -> None:
    duration = parse_duration(text)
    assert duration == np.timedelta64(minutes, "m")
    assert parse_duration(duration_words(duration)) == duration


@pytest.mark.parametrize("text", ["soon", "12", "6-hour", "12 hPa", "1 month", "P", ""])
def test_words_that_are_no_duration(text: str) -> None:
    assert parse_duration(text) is None


def test_durations_of_numbers() -> None:
    half = np.timedelta64(30, "m")
    assert (durations_of(np.array([0.5, 1.0]), "hours") == [half, 2 * half]).all()
    assert (durations_of(np.array([half])) == [half]).all()
    for units in ("", "months", "hPa"):
        with pytest.raises(ValueError, match="expected a unit of time such as hours"):
            durations_of(np.array([1, 2]), units)
    with pytest.raises(ValueError, match="values are missing"):
        durations_of(np.array([1.0, np.nan]), "h")
