"""Files whose times are written in every way there is: read as they are meant, fast and slow alike, or refused."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.readers.source import open_source
from flows.commands.demo import settings as settings_of
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.support.files import small_files
from tests.support.files.slowly import one_by_one
from tests.support.files.small_files import Variables

START = np.datetime64("2020-01-01", "ns")
HOUR = np.timedelta64(1, "h")
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
HOURS = {"units": "hours since 2020-01-01", "standard_name": "time"}
REFERENCE = {"standard_name": "forecast_reference_time", "units": "hours since 2020-01-01"}
PERIOD = {"standard_name": "forecast_period", "units": "hours"}


def field(hours: Any) -> np.ndarray:
    """Values that say of which hour they are, after 1 January 2020."""
    return np.asarray(hours, "f4")[..., None, None] + np.arange(12, dtype="f4").reshape(3, 4) / 100


def put(path: Path, coords: Variables, hours: Any = (0, 1, 2, 3), dims: Sequence[str] = ("time",), **more: Any) -> Path:
    """A file, byte for byte as asked: one field `t` on `dims` and a grid, and the coordinates."""
    grid: Variables = {
        "lat": (("lat",), 50.0 - np.arange(3), NORTH),
        "lon": (("lon",), 5.0 + np.arange(4), EAST),
        "t": ((*dims, "lat", "lon"), field(hours), {"units": "K", **more}),
    }
    return small_files.write(path, {**coords, **grid})


def timed(path: Path, values: Any, hours: Any = (0, 1, 2, 3), **attrs: Any) -> Path:
    return put(path, {"time": (("time",), values, attrs)}, hours)


def assert_hours(ds: xr.Dataset, hours: Sequence[float]) -> None:
    """These hours, and each field at its own."""
    np.testing.assert_array_equal((ds["time"].values - START) / HOUR, hours)
    np.testing.assert_array_equal(ds["t"], field(hours))


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "attrs"),
    [
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01 09:00:00 +09:00"}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01 09:00 UTC+9"}),
        ([0, 1, 2, 3], {"units": "hours since 2019-12-31 18:00:00 -6:00"}),
        ([0, 1, 2, 3], {"units": "hours since 2019-12-31 18 -6"}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01T00:00:00Z"}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01 00:00:00 UTC"}),
        ([0, 1, 2, 3], {"units": "Hours  Since 20200101T00"}),
        ([-6, -5, -4, -3], {"units": "hours since 2020-01-01 06"}),
        ([0, 1, 2, 3], {"units": "hours since 2019-12-31 24:00:00"}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01", "calendar": "standard "}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01", "calendar": " Gregorian"}),
        ([0, 1, 2, 3], {"units": "hours since 2020-01-01", "calendar": "Proleptic-Gregorian"}),
        ([2020010100, 2020010101, 2020010102, 2020010103], {}),
        ([202001010000, 202001010100, 202001010200, 202001010300], {"units": "%Y%m%d%H%M"}),
        ([20200101 + n / 24 for n in range(4)], {"units": "day as %Y%m%d.%f"}),
        (["2020-01-01T00:00", "2020-01-01T01:00Z", "20200101T02", "2020010103"], {}),
        (["2019-12-31T24:00", "2020-01-01T10:00+09:00", "2020-01-01_02:00:00", "2020/01/01 03:00 UTC"], {}),
    ],
    ids=lambda made: " ".join(made.values()) if isinstance(made, dict) else str(made[1]),
)
def test_times_in_every_form(values: list[Any], attrs: dict[str, str], tmp_path: Path) -> None:
    assert_hours(open_source(timed(tmp_path / "a.nc", values, **attrs)), range(4))


@pytest.mark.parametrize("calendar", ["NoLeap", "365_day ", "360"])
@pytest.mark.parametrize("start", ["2020-02-28 18 -6", "2020-03-01 09:00 +9:00", "2020-02-28 24:00:00"])
def test_zones_and_clocks_in_other_calendars(calendar: str, start: str, tmp_path: Path) -> None:
    """The library cftime alone passes over a short zone, and over an hour without minutes."""
    path = timed(tmp_path / "a.nc", [0, 1, 2, 3], units=f"hours since {start}", calendar=calendar)
    first = open_source(path)["time"].values[0].isoformat()
    midnight = "2020-03-01" if "360" not in calendar or start.startswith("2020-03") else "2020-02-29"
    assert first == f"{midnight}T00:00:00"


@pytest.mark.parametrize(
    ("values", "attrs", "words"),
    [
        (
            [0, 1, 2, 3],
            {"units": "hours since 2020-01-01 00:00:00 JST"},
            "decoded: got hours since 2020-01-01 00:00:00 JST: time: time zone 'JST' is no offset such as +09:00",
        ),
        (
            [0, 1, 2, 3],
            {"units": "hours since 01-01-2020"},
            "expected a date such as 2019-01-31, got 'hours since 01-01",
        ),
        (
            [0, 1, 2, 3],
            {"units": "hours since 2020-01-01", "calendar": "mayan"},
            "time: calendar 'mayan' is none of CF's: standard, gregorian, proleptic_gregorian, noleap",
        ),
        (["202001", "202002", "202003", "202004"], {}, "time cannot be read as dates: '202001' is no date such as"),
        (np.arange(20200101, 20200105, dtype="f4"), {"units": "day as %Y%m%d"}, "float32 does not hold 20200100"),
        ([202001, 202002, 202003, 202004], {}, "expected numbers such as 20190131, got 202001 .. 202004"),
    ],
)
def test_times_that_are_not_told_are_refused(values: Any, attrs: dict[str, str], words: str, tmp_path: Path) -> None:
    assert words in refused(timed(tmp_path / "a.nc", values, **attrs))


def test_a_count_beside_times_that_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """HYCOM's tau, hours since analysis; WRF's XTIME, minutes since simulation start beside Times."""
    coords = {
        "time": (("time",), [0, 1, 2, 3], HOURS),
        "tau": (("time",), [24.0, 25.0, 26.0, 27.0], {"units": "hours since analysis"}),
    }
    with caplog.at_level(logging.WARNING):
        assert_hours(open_source(put(tmp_path / "a.nc", coords)), range(4))
    assert "left as numbers, not as dates: tau: expected a date such as 2019-01-31" in caplog.text
    wrf = {
        "Times": (("time",), [f"2020-01-01_0{n}:00:00" for n in range(4)], {}),
        "XTIME": (("time",), [0.0, 60.0, 120.0, 180.0], {"units": "minutes since simulation start"}),
    }
    assert_hours(open_source(put(tmp_path / "wrfout", wrf)), range(4))


def test_texts_kept_as_characters(tmp_path: Path, opened: list[str]) -> None:
    """WRF's Times, of a fixed length, in one file and in many."""

    def write(path: Path, hours: Sequence[int]) -> None:
        texts = np.array([f"2020-01-01_{hour:02d}:00:00" for hour in hours], "S19")
        put(path, {"Times": (("time", "DateStrLen"), texts.view("S1").reshape(-1, 19), {})}, hours)

    write(tmp_path / "whole.nc", range(4))
    assert_hours(open_source(tmp_path / "whole.nc"), range(4))
    (tmp_path / "parts").mkdir()
    for hour in range(4):
        write(tmp_path / "parts" / f"{(hour * 5) % 7}.nc", [hour])
    opened.clear()
    parts = open_source(tmp_path / "parts")
    assert len(opened) == 2
    assert_hours(parts, range(4))
    xr.testing.assert_identical(parts.load(), one_by_one(tmp_path / "parts"))


# ---- runs and leads


def runs(path: Path, first: int = 0, count: int = 4) -> Path:
    init = np.arange(first, first + count)
    coords = {
        "time": (("time",), init, REFERENCE),
        "prediction_timedelta": (("prediction_timedelta",), [6, 12], PERIOD),
    }
    return put(path, coords, init[:, None] + [6, 12], ("time", "prediction_timedelta"))


def test_one_lead_of_many_runs(tmp_path: Path) -> None:
    path = runs(tmp_path / "a.nc")
    assert_hours(open_source(path, select={"prediction_timedelta": 6}), range(6, 10))
    assert_hours(open_source(path, select={"step": "12h"}), range(12, 16))
    words = (
        "t: prediction_timedelta has 2 values; choose one with select={'prediction_timedelta': ...} out of 6, 12 hours"
    )
    assert words in refused(path)
    assert "select step='3h': not among the values of prediction_timedelta: 6, 12 hours" in refused(
        path, select={"step": "3h"}
    )


@pytest.mark.parametrize("typed", ["prediction_timedelta:12h", "lead:12 hours", "step:12", "step:0.5d"])
def test_a_lead_in_words_at_the_command_line(typed: str, tmp_path: Path) -> None:
    path = runs(tmp_path / "a.nc")
    _, description = settings_of(source=str(path), words={"select": typed})
    settings = description.ingest
    assert_hours(open_source(path, select=settings.select), range(12, 16))


@pytest.mark.parametrize("chosen", [np.timedelta64(12, "h"), timedelta(hours=12), np.int64(12)])
def test_a_lead_as_python_has_it_is_kept_for_the_next_ingest(chosen: Any, tmp_path: Path) -> None:
    runs(tmp_path / "a.nc")
    for appended in (4, 0):
        source = tmp_path / "a.nc" if appended else None
        select = {"lead": chosen} if appended else None
        report = ingest(Home(tmp_path / "home"), "runs", source=source, select=select)
        assert (report.appended, report.first) == (appended, "2020-01-01T12:00:00")


@pytest.mark.parametrize("name", ["fhour", "fcst_step", "fxx", "forecast_horizon", "leadtime_hours", "ahead"])
def test_axes_of_leads_by_their_names(name: str, tmp_path: Path) -> None:
    attrs = {"units": "hours"} | ({"long_name": "Lead time of the forecast"} if name == "ahead" else {})
    init = {"units": "hours since 2020-01-01"}
    coords = {"time": (("time",), np.arange(4), init), name: ((name,), np.array([6, 12]), attrs)}
    put(tmp_path / "a.nc", coords, np.arange(4)[:, None] + [6, 12], ("time", name))
    assert_hours(open_source(tmp_path / "a.nc", select={name: "12h"}), [12, 13, 14, 15])


def test_hours_of_the_day_on_an_axis(tmp_path: Path) -> None:
    days = {"units": "days since 2020-01-01"}
    said = {**days, "standard_name": "time"}
    for name, attrs, of in (("a", days, {}), ("b", said, {}), ("d", days, {"standard_name": "forecast_period"})):
        hours = {"units": "hours", **of}
        coords = {"day": (("day",), np.arange(2), attrs), "hour": (("hour",), np.array([0, 12]), hours)}
        put(tmp_path / f"{name}.nc", coords, np.array([[0, 12], [24, 36]]), ("day", "hour"))
    words = "day: its standard_name says valid time, but the fields have an axis of leads too, hour"
    assert words in refused(tmp_path / "b.nc", select={"hour": 12})
    words = "select hour=12: hours of what is not told; set the standard_name of hour to forecast_period"
    assert words in refused(tmp_path / "a.nc", select={"hour": 12})
    assert "hour has 2 values" in refused(tmp_path / "a.nc")
    assert_hours(open_source(tmp_path / "d.nc", select={"hour": 12}), [12, 36])
    hours = {"units": "hours since 2020-01-01"}
    coords = {"time": (("time",), np.arange(4), hours), "hour": (("time",), np.array([22, 23, 0, 1]), {"units": "h"})}
    put(tmp_path / "c.nc", coords)
    assert_hours(open_source(tmp_path / "c.nc"), range(4))


def test_runs_of_many_files_are_read_as_one(tmp_path: Path, opened: list[str]) -> None:
    for number in range(4):
        runs(tmp_path / f"{(number * 5) % 7}.nc", first=number, count=1)
    ds = open_source(tmp_path, select={"lead": "12h"})
    assert len(opened) == 2
    assert_hours(ds, range(12, 16))
    xr.testing.assert_identical(ds.load(), one_by_one(tmp_path, select={"lead": "12h"}))


@pytest.mark.parametrize("alike", [True, False])
def test_scalar_leads(alike: bool, tmp_path: Path, opened: list[str]) -> None:
    """One lead in each file: the same in all, or another in each."""
    for number in range(4):
        lead = 6 if alike else 6 - number
        coords = {"time": (("time",), [2 * number], REFERENCE), "forecast_period": ((), lead, PERIOD)}
        put(tmp_path / f"{number}.nc", coords, [2 * number + lead], coordinates="forecast_period")
    ds = open_source(tmp_path)
    assert_hours(ds, [6, 8, 10, 12] if alike else [6, 7, 8, 9])
    assert len(opened) == (2 if alike else 5)
    xr.testing.assert_identical(ds.load(), one_by_one(tmp_path))


@pytest.mark.parametrize("scalar", [True, False])
def test_bare_times_that_the_runs_beside_them_tell(scalar: bool, tmp_path: Path) -> None:
    """Times that are valid times, for run and lead add up to them; read as one, files lack the run."""
    for number in range(4):
        dims, run = ((), number) if scalar else (("time",), [number])
        coords = {
            "time": (dims, run + 6 if scalar else [number + 6], {"units": HOURS["units"]}),
            "reftime": (dims, run, REFERENCE),
            "lead": ((), 6, PERIOD),
        }
        put(tmp_path / f"{number}.nc", coords, number + 6 if scalar else [number + 6], dims, coordinates="lead reftime")
    ds = open_source(tmp_path)
    assert_hours(ds, range(6, 10))
    xr.testing.assert_identical(ds.load(), one_by_one(tmp_path))


def test_leads_of_one_run_in_each_file(tmp_path: Path) -> None:
    for number in range(3):
        coords = {"run": ((), 6 * number, REFERENCE), "lead": (("lead",), [1, 2, 3], PERIOD)}
        put(tmp_path / f"{number}.nc", coords, 6 * number + np.array([1, 2, 3]), ("lead",))
    ds = open_source(tmp_path)
    assert_hours(ds, [1, 2, 3, 7, 8, 9, 13, 14, 15])
    assert ds["time"].attrs["comment"] == "valid times: run + lead"


def test_runs_that_overlap(tmp_path: Path) -> None:
    for number in range(3):
        coords = {"run": ((), number, REFERENCE), "lead": (("lead",), [1, 2, 3], PERIOD)}
        put(tmp_path / f"{number}.nc", coords, number + np.array([1, 2, 3]), ("lead",))
    assert "(valid times: run + lead); choose one lead: select={'lead': ...}" in refused(tmp_path)
    assert_hours(open_source(tmp_path, select={"lead": "2h"}), [2, 3, 4])


# ---- periods


EDGES = np.array([0, 31, 60, 91, 121])  # days of the months of 2020


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_monthly_means_lie_in_their_months_in_one_file_and_in_many(
    calendar: str, turned: bool, tmp_path: Path, opened: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    edges = EDGES if calendar == "standard" else np.array([0, 31, 59, 90, 120])
    attrs = {"units": "days since 2020-01-01", "calendar": calendar, "bounds": "time_bnds"}

    def month(path: Path, at: slice) -> None:
        ends, starts = edges[1:][at], edges[:-1][at]
        pairs = np.stack([ends, starts] if turned else [starts, ends], axis=1)
        bounds = (("time", "nv"), pairs.astype("f8"), {})
        coords = {"time": (("time",), ends.astype("f8"), attrs), "time_bnds": bounds}
        put(path, coords, np.arange(4)[at], cell_methods="time: mean")

    month(tmp_path / "whole.nc", slice(None))
    with caplog.at_level(logging.WARNING):
        whole = open_source(tmp_path / "whole.nc").load()
    assert "4 of 4 fields are labelled at the start of each period, of which the source names the end" in caplog.text
    assert [(int(str(time)[5:7]), str(time)[8:10]) for time in whole["time"].values] == [
        (n, "01") for n in (1, 2, 3, 4)
    ]
    (tmp_path / "parts").mkdir()
    for number in range(4):
        month(tmp_path / "parts" / f"{(number * 5) % 7}.nc", slice(number, number + 1))
    opened.clear()
    parts = open_source(tmp_path / "parts").load()
    assert len(opened) == 2
    xr.testing.assert_identical(parts, whole)
    xr.testing.assert_identical(parts, one_by_one(tmp_path / "parts"))


# ---- files without a frame


def test_a_file_without_a_frame(tmp_path: Path, opened: list[str], caplog: pytest.LogCaptureFixture) -> None:
    empty = put(tmp_path / "0.nc", {"time": (("time",), np.empty(0, "i8"), HOURS)}, np.empty(0))
    assert "no frames: expected times along time, got a time axis of length 0" in refused(empty)
    assert str(empty) in refused(empty)
    for name, first in (("a", 0), ("c", 1), ("d", 2)):
        timed(tmp_path / f"{name}.nc", [first], [first], **HOURS)
    opened.clear()
    with caplog.at_level(logging.WARNING):
        assert_hours(open_source(tmp_path), range(3))
    assert f"passed over, without a frame (time has length 0): {empty}" in caplog.text
    assert len(opened) == 3  # the other files are read as one all the same
    assert_hours(one_by_one(tmp_path), range(3))


def test_files_of_which_none_has_a_frame(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / f"{name}.nc", {"time": (("time",), np.empty(0, "i8"), HOURS)}, np.empty(0))
    text = refused(tmp_path)
    assert "none of the files has a frame" in text
    assert "a.nc" in text
    assert "b.nc" in text
