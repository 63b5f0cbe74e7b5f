"""Which time a field is of: run and lead added up, never taken for it; periods by bounds; leads chosen in words."""

import logging
from collections.abc import Callable
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

from simvp.coords.axes import canonicalise
from simvp.errors import Refusal

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2020-01-01", "ns")
RUNS = START + np.arange(4) * HOUR
REFERENCE = {"standard_name": "forecast_reference_time"}
PERIOD = {"standard_name": "forecast_period", "units": "hours"}
HOURS = {"units": "hours"}
VALID = {"standard_name": "time"}
GRID = {"lat": ("lat", [51.0, 50.0], {"units": "degrees_north"}), "lon": ("lon", [5.0, 6.0], {"units": "degrees_east"})}
LEADS = np.array([6, 12])


def field(hours: Any) -> np.ndarray:
    """Values that say of which hour they are, after 1 January 2020, at four places."""
    return np.asarray(hours, "f4")[..., None, None] + np.zeros((2, 2), "f4")


def forecasts(
    run: str = "time", ahead: str = "step", *, init: dict[str, str] | None = None, lead: dict[str, str] | None = None
) -> xr.Dataset:
    """Runs x leads, under these names, with the attributes `init` and `lead`."""
    hours = np.arange(4)[:, None] + LEADS
    return xr.Dataset(
        {"t": ((run, ahead, "lat", "lon"), field(hours), {"units": "K"})},
        coords={**GRID, run: (run, RUNS, init), ahead: (ahead, LEADS, lead)},
    )


def times_of(ds: xr.Dataset, **options: Any) -> np.ndarray:
    """Hours of the canonical times, which every field has to agree with."""
    out, _ = canonicalise(ds, **options)
    hours = (out["time"].values - START) / HOUR
    np.testing.assert_array_equal(out["t"].values[:, 0, 0], hours)
    return hours


LAYOUTS = {
    "WeatherBench": ("time", "prediction_timedelta", {"init": REFERENCE, "lead": PERIOD}),
    "bare time": ("time", "prediction_timedelta", {"lead": HOURS}),
    "axis T": ("time", "step", {"init": {"axis": "T", "long_name": "time of the run"}, "lead": PERIOD}),
    "named run": ("init_time", "lead_time", {"init": {"axis": "T"}, "lead": HOURS}),
    "long name": ("time", "lead", {"init": {"long_name": "initial time of forecast", "axis": "T"}, "lead": HOURS}),
    "NCL": ("initial_time0_hours", "forecast_time0", {"lead": HOURS}),
    "attributes alone": ("S", "L", {"init": REFERENCE, "lead": PERIOD}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_runs_and_leads_are_read_at_one_lead(layout: str) -> None:
    init, lead, attrs = LAYOUTS[layout]
    ds = forecasts(init, lead, **attrs)
    for value, first in (
        (6, 6),
        (12, 12),
        ("12h", 12),
        ("12 hours", 12),
        ("720min", 12),
        ("PT6H", 6),
        ("0.25 days", 6),
    ):
        np.testing.assert_array_equal(times_of(ds, select={lead: value}), np.arange(4) + first)
    for key in ("step", "lead", "lead_time", "forecast_period"):
        np.testing.assert_array_equal(times_of(ds, select={key: 12}), np.arange(4) + 12)
    with pytest.raises(Refusal, match=rf"t: {lead} has 2 values; choose one with select=.* out of 6, 12"):
        canonicalise(ds)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_run_is_a_series_of_its_leads(layout: str) -> None:
    init, lead, attrs = LAYOUTS[layout]
    ds = forecasts(init, lead, **attrs)
    np.testing.assert_array_equal(times_of(ds.isel({init: 2})), LEADS + 2)
    np.testing.assert_array_equal(times_of(ds.isel({init: [2]})), LEADS + 2)
    np.testing.assert_array_equal(times_of(ds, select={init: "2020-01-01T02:00"}), LEADS + 2)


def test_one_run_at_one_lead_and_its_scalars() -> None:
    ds = forecasts("time", "step", init=REFERENCE, lead=PERIOD)
    assert times_of(ds.isel(time=1, step=1)) == [13]
    assert times_of(ds.isel(time=[1], step=[1])) == [13]
    np.testing.assert_array_equal(times_of(ds.isel(step=0)), np.arange(4) + 6)
    np.testing.assert_array_equal(times_of(ds.isel(step=[0])), np.arange(4) + 6)


def test_runs_in_another_calendar() -> None:
    runs = [cftime.datetime(2020, 2, 28, hour, calendar="noleap") for hour in (0, 6, 12, 18)]
    ds = forecasts(init=REFERENCE, lead=PERIOD).assign_coords(time=("time", runs, REFERENCE))
    out, _ = canonicalise(ds, select={"step": "12h"})
    assert [time.isoformat() for time in out["time"].values[1:3]] == ["2020-02-28T18:00:00", "2020-03-01T00:00:00"]


def test_leads_as_durations() -> None:
    ds = forecasts(init=REFERENCE, lead={}).assign_coords(step=LEADS * HOUR)
    for value in ("12h", "12 hours", np.timedelta64(12, "h")):
        np.testing.assert_array_equal(times_of(ds, select={"step": value}), np.arange(4) + 12)
    with pytest.raises(Refusal, match="select step=12: not among the values of step: 6 h, 12 h"):
        canonicalise(ds, select={"step": 12})


def test_a_valid_time_that_says_so_is_believed_beside_run_and_lead() -> None:
    """As iris writes it: time is the valid time, run and lead stand beside it."""
    ds = xr.Dataset(
        {"t": (("time", "lat", "lon"), field(range(4)))},
        coords={**GRID, "time": ("time", RUNS, VALID), "forecast_period": ((), 6, PERIOD)},
    )
    np.testing.assert_array_equal(times_of(ds), range(4))
    run = ("time", RUNS - 6 * HOUR, REFERENCE)
    np.testing.assert_array_equal(times_of(ds.assign_coords(forecast_reference_time=run)), range(4))
    bare = ds.assign_coords(time=("time", RUNS), forecast_reference_time=run)
    np.testing.assert_array_equal(times_of(bare), range(4))
    grown = bare.drop_vars("forecast_reference_time").assign_coords(forecast_period=("time", np.arange(4) + 6, PERIOD))
    np.testing.assert_array_equal(times_of(grown), range(4))


def test_an_analysis_is_of_the_time_of_its_run(caplog: pytest.LogCaptureFixture) -> None:
    """What cfgrib makes of a reanalysis, without the coordinates that a caller drops: step and valid_time."""
    ds = forecasts(init=REFERENCE, lead=PERIOD).isel(step=0, drop=True)
    for kind in ("an", "af"):
        ds["t"].attrs["GRIB_dataType"] = kind
        caplog.clear()
        np.testing.assert_array_equal(canonicalise(ds)[0]["time"], RUNS)
        assert "time, the init time, is taken for the valid time" in caplog.text
    ds["t"].attrs["GRIB_dataType"] = "fc"
    with pytest.raises(Refusal, match="no valid time: time is the init time of a forecast"):
        canonicalise(ds)


def test_valid_times_of_two_dims_once_a_lead_is_chosen() -> None:
    ds = forecasts("run", "lead", lead={}).drop_vars(["run", "lead"])
    valid = RUNS[:, None] + LEADS * HOUR
    ds = ds.assign_coords(valid_time=(("run", "lead"), valid, VALID))
    np.testing.assert_array_equal(times_of(ds, select={"lead": 1}), np.arange(4) + 12)
    with pytest.raises(Refusal, match=r"no single time axis: valid_time has dims \('run', 'lead'\); choose one lead"):
        canonicalise(ds)


def test_a_valid_time_by_leads_with_runs_of_two_dims() -> None:
    """Verification's layout: the time is valid, and the run is what differs from lead to lead."""
    ds = xr.Dataset(
        {"t": (("time", "lead", "lat", "lon"), field(np.arange(4)[:, None] + [0, 0]))},
        coords={
            **GRID,
            "time": ("time", RUNS, VALID),
            "lead": ("lead", LEADS, PERIOD),
            "run": (("time", "lead"), RUNS[:, None] - LEADS * HOUR, REFERENCE),
        },
    )
    np.testing.assert_array_equal(times_of(ds, select={"lead": 6}), range(4))


REFUSED: dict[str, tuple[Callable[[], xr.Dataset], dict[str, Any], str]] = {
    "a run without lead": (
        lambda: forecasts(init=REFERENCE, lead=PERIOD).isel(step=0, drop=True),
        {},
        r"no valid time: time is the init time of a forecast; give files with the lead \(forecast_period\), or set",
    ),
    "standard_name time beside an axis of leads": (
        lambda: forecasts(init=VALID, lead=PERIOD),
        {"select": {}},
        "time: its standard_name says valid time, but the fields have an axis of leads too, step; if it is the init",
    ),
    "a lead chosen beside standard_name time": (
        lambda: forecasts(init=VALID, lead=PERIOD),
        {"select": {"step": 6}},
        "select step=6: time: its standard_name says valid time, but the fields have an axis of leads too, step",
    ),
    "months as leads": (
        lambda: forecasts("forecast_reference_time", "leadtime_month", init=REFERENCE, lead={"units": "months"}),
        {"select": {"leadtime_month": 6}},
        "the leads of leadtime_month are not told .expected a unit of time such as hours, got 'months'.",
    ),
    "a chosen month as lead": (
        lambda: forecasts("forecast_reference_time", "leadtime_month", init=REFERENCE, lead={}).isel(leadtime_month=0),
        {},
        "no valid time: leadtime_month counts leads in months, and from which month on is not told",
    ),
    "leads without unit": (
        lambda: forecasts(init=REFERENCE),
        {"select": {"step": 6}},
        "select step=6: the leads of step are not told .expected a unit of time such as hours, got 'none'.",
    ),
    "leads without values": (
        lambda: forecasts().drop_vars("step"),
        {"select": {"step": 1}},
        "select step=1: the leads of step are not told .it has no values., so neither are valid times",
    ),
    "times and leads on one dim": (
        lambda: xr.Dataset(
            {"t": (("time", "lat", "lon"), field(range(4)))},
            coords={**GRID, "time": ("time", RUNS), "lead": ("time", [6, 12, 6, 12], HOURS)},
        ),
        {},
        "time: init times or valid times. lead lies on the same axis; set the standard_name of time to time or",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_told_is_refused(case: str) -> None:
    made, options, words = REFUSED[case]
    with pytest.raises(Refusal, match=words):
        canonicalise(made(), **options)


def test_times_in_hours_beside_the_time_of_a_run() -> None:
    ds = forecasts("reference_time", "time", lead={"units": "hours", "long_name": "forecast hour"})
    np.testing.assert_array_equal(times_of(ds.isel(reference_time=1)), LEADS + 1)
    np.testing.assert_array_equal(times_of(ds, select={"time": "12h"}), np.arange(4) + 12)


def beside_run(time: Any, run: Any, lead: Any, **attrs: str) -> xr.Dataset:
    coords = {"time": ("time", time, attrs), "reftime": (*run, REFERENCE), "lead": (*lead, PERIOD)}
    return xr.Dataset({"t": (("time", "lat", "lon"), field(np.arange(4) + 6))}, coords={**GRID, **coords})


def test_times_beside_runs_and_leads_are_told_by_their_values() -> None:
    six = 6 * HOUR
    for run, lead in ((("time", RUNS), ((), 6)), (("time", RUNS), ("time", np.full(4, 6)))):
        np.testing.assert_array_equal(times_of(beside_run(RUNS + six, run, lead)), np.arange(4) + 6)
        np.testing.assert_array_equal(times_of(beside_run(RUNS, run, lead)), np.arange(4) + 6)
        with pytest.raises(
            Refusal, match=r"time: init times or valid times. They are neither reftime nor reftime \+ lead"
        ):
            canonicalise(beside_run(RUNS + HOUR, run, lead))
        with pytest.raises(
            Refusal, match="time: its standard_name says valid time, but it is reftime without the lead, l"
        ):
            canonicalise(beside_run(RUNS, run, lead, **VALID))
    one = beside_run(RUNS + six, ((), START), ("time", np.arange(4) + 6))
    np.testing.assert_array_equal(times_of(one), np.arange(4) + 6)
    middle = beside_run(RUNS + six, ("time", RUNS), ((), 7), **VALID)
    np.testing.assert_array_equal(times_of(middle), np.arange(4) + 6)
    scalar = forecasts("reftime", "step", init=REFERENCE, lead=PERIOD).assign_coords(date=START + HOUR)
    np.testing.assert_array_equal(times_of(scalar, select={"step": 12}), np.arange(4) + 12)
    stray = forecasts(init={}, lead=PERIOD).assign_coords(reference_time=((), START, REFERENCE))
    with pytest.raises(Refusal, match="They are neither reference_time nor reference_time"):
        canonicalise(stray, select={"step": 12})


def test_a_number_of_steps_is_no_lead() -> None:
    ds = forecasts(lead=HOURS).isel(step=0, drop=True).assign_coords(step=120, number_of_steps=4)
    np.testing.assert_array_equal(canonicalise(ds)[0]["time"], RUNS)


def test_a_level_in_words() -> None:
    ds = forecasts("time", "plev", lead={"standard_name": "air_pressure", "units": "Pa"})
    ds = ds.assign_coords(plev=("plev", [85000.0, 50000.0], ds["plev"].attrs))
    for value in ("500hPa", "500 hPa", "5e4", 50000):
        np.testing.assert_array_equal(canonicalise(ds, select={"level": value})[0]["t"], ds["t"][:, 1])
    for value in ("500 K", "500 bananas", "500"):
        with pytest.raises(Refusal, match=f"select level='{value}': not among the values of plev: 85000.0, 50000.0 Pa"):
            canonicalise(ds, select={"level": value})


# ---- how times are written


@pytest.mark.parametrize(
    ("values", "attrs"),
    [
        (["20200101", "20200102"], {}),
        ([20200101, 20200102], {}),
        ([20200101, 20200102], {"units": "day as %Y%m%d"}),
        ([20200101.0, 20200102.0], {"units": "day as %Y%m%d.%f"}),
        ([2020010100, 2020010200], {"long_name": "YYYYMMDDHH"}),
        (["2019-12-31T24:00", "2020-01-01T24:00"], {}),
        (["2020-01-01 09:00+09:00", "2020-01-02 09:00+09:00"], {}),
    ],
)
def test_dates_in_every_form(values: list[Any], attrs: dict[str, str]) -> None:
    ds = xr.Dataset({"t": (("time", "lat", "lon"), field([0, 24]))}, coords={**GRID, "time": ("time", values, attrs)})
    np.testing.assert_array_equal(times_of(ds), [0, 24])


@pytest.mark.parametrize(
    ("values", "attrs", "words"),
    [
        (["201901", "201902"], {}, "time: time cannot be read as dates: '201901' is no date such as 2019-01-31T06:00"),
        (np.array([20190101, 20190102], "f4"), {"units": "day as %Y%m%d"}, "float32 does not hold 20190100"),
        (
            np.array([20190101, 20190102], "f4"),
            {},
            "time holds numbers without dates; .*: float32 does not hold 20190100",
        ),
        ([201901, 201902], {}, "time holds numbers without dates; .*: expected numbers such as 20190131, got 201901"),
        ([0, 24], {"units": "hours since 2020-01-01 JST"}, "time zone 'JST' is no offset such as .09:00"),
        ([0, 24], {"units": "hours since 2020-01-01", "calendar": "mayan"}, "calendar 'mayan' is none of CF's"),
    ],
)
def test_dates_in_no_form(values: Any, attrs: dict[str, str], words: str) -> None:
    ds = xr.Dataset({"t": (("time", "lat", "lon"), field([0, 24]))}, coords={**GRID, "time": ("time", values, attrs)})
    with pytest.raises(Refusal, match=words):
        canonicalise(ds)


def test_times_that_were_decoded_without_their_zone() -> None:
    """As a caller of `predict` hands them over: xarray passes over a zone in letters, and cftime over a short one."""
    coords = {**GRID, "time": ("time", [0, 24], {"units": "hours since 2020-01-01 00:00:00 JST"})}
    ds = xr.Dataset({"t": (("time", "lat", "lon"), field([0, 24]))}, coords=coords)
    with pytest.raises(Refusal, match="time zone 'JST' is no offset"):
        canonicalise(xr.decode_cf(ds))
    ds["time"].attrs = {"units": "hours since 2020-01-01 18 +9", "calendar": "noleap"}
    with pytest.raises(
        Refusal, match=r"'hours since 2020-01-01 18 \+9' was decoded as 2020-01-01 00:00:00, but is 2020-01-01 09:"
    ):
        canonicalise(xr.decode_cf(ds))
    ds["time"].attrs = {"units": "hours since 2020-01-01 09:00 +9"}
    np.testing.assert_array_equal(times_of(xr.decode_cf(ds)), [0, 24])


def test_times_in_float32_that_fall_together_name_it() -> None:
    days = (737_000 + np.arange(4) / 48).astype("f4")
    coords = {**GRID, "time": ("time", days, {"units": "days since 0001-01-01"})}
    ds = xr.decode_cf(xr.Dataset({"t": (("time", "lat", "lon"), field(range(4)))}, coords=coords))
    with pytest.raises(Refusal, match=r"times occur more than once: .*; they are stored in float32, which may be too"):
        canonicalise(ds)


# ---- periods


def means(ends: Any, starts: Any, labels: Any, **attrs: str) -> xr.Dataset:
    return xr.Dataset(
        {
            "t": (("time", "lat", "lon"), field(range(len(ends))), {"cell_methods": "time: mean", **attrs}),
            "time_bnds": (("time", "nv"), np.stack([starts, ends], axis=1)),
        },
        coords={**GRID, "time": ("time", labels, {"bounds": "time_bnds"})},
    )


MONTHS = np.arange("2020-01", "2020-08", dtype="M8[M]").astype("M8[ns]")
NOLEAP = np.array([cftime.datetime(2020, month, 1, calendar="noleap") for month in range(1, 8)], object)
DAYS = START + np.arange(7) * np.timedelta64(1, "D")
SIXES = START + np.arange(7) * 6 * HOUR


@pytest.mark.parametrize("edges", [MONTHS, NOLEAP, DAYS], ids=["months", "noleap", "days"])
def test_a_mean_lies_in_its_period(edges: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    ds = means(edges[1:], edges[:-1], edges[1:])
    with caplog.at_level(logging.WARNING):
        out, _ = canonicalise(ds)
    np.testing.assert_array_equal(out["time"], edges[:-1])
    assert "6 of 6 fields are labelled at the start of each period, of which the source names the end" in caplog.text
    assert "bounds: time_bnds" in out["time"].attrs["comment"]
    np.testing.assert_array_equal(out["t"], ds["t"])


@pytest.mark.parametrize(
    "ds",
    [
        means(MONTHS[1:], MONTHS[:-1], MONTHS[:-1]),
        means(MONTHS[1:], MONTHS[:-1], MONTHS[:-1] + 15 * np.timedelta64(1, "D")),
        means(SIXES[1:], SIXES[:-1], SIXES[1:]),
        means(MONTHS[1:], MONTHS[:-1], MONTHS[1:], cell_methods="time: point"),
    ],
    ids=["at the start", "in the middle", "of hours", "of points"],
)
def test_other_labels_stay(ds: xr.Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        out, _ = canonicalise(ds)
    np.testing.assert_array_equal(out["time"], ds["time"])
    assert "comment" not in out["time"].attrs
    assert not caplog.text


def test_bounds_that_are_named_and_absent(caplog: pytest.LogCaptureFixture) -> None:
    ds = means(MONTHS[1:], MONTHS[:-1], MONTHS[1:]).drop_vars("time_bnds")
    with caplog.at_level(logging.WARNING):
        out, _ = canonicalise(ds)
    np.testing.assert_array_equal(out["time"], MONTHS[1:])
    assert "whether time begins or ends each period is not told, for time_bnds is absent" in caplog.text


def test_a_climatology_is_no_series() -> None:
    ds = means(MONTHS[1:] + np.timedelta64(3653, "D"), MONTHS[:-1], MONTHS[:-1])
    ds = ds.rename(time_bnds="climatology_bnds")
    ds["time"].attrs = {"climatology": "climatology_bnds"}
    with pytest.raises(Refusal, match=r"time: a climatology \(attribute climatology: climatology_bnds, 2020-01-01"):
        canonicalise(ds)
    numbers = ds.assign(climatology_bnds=(("time", "nv"), [[0.0, 4000.0]] * 6))
    with pytest.raises(Refusal, match=r"time: a climatology \(attribute climatology: climatology_bnds\)"):
        canonicalise(numbers)
    numbers["time"].encoding = {"units": "days since 2020-01-01", "calendar": "standard"}
    with pytest.raises(Refusal, match=r"climatology_bnds, 2020-01-01 .. 2030-12-14"):
        canonicalise(numbers)
    # A mean day of each month is a series of months.
    diurnal = means(MONTHS[1:] + 6 * HOUR, MONTHS[:-1] + 6 * HOUR, MONTHS[:-1] + 9 * HOUR)
    diurnal["time"].attrs = {"climatology": "time_bnds"}
    np.testing.assert_array_equal(canonicalise(diurnal)[0]["time"], diurnal["time"])


# ---- more than one axis of time, and none


def two_axes() -> xr.Dataset:
    ds = xr.Dataset({"t": (("time", "lat", "lon"), field(range(4)))}, coords={**GRID, "time": RUNS})
    return ds.assign(rain=(("time3", "lat", "lon"), field([0, 3]) + 100)).assign_coords(time3=RUNS[[0, 3]])


def test_fields_on_another_axis_of_time_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        out, _ = canonicalise(two_axes())
    assert list(out.data_vars) == ["t"]
    assert (
        "left out: rain, on another axis of time, time3 (2 times); read it by itself: variables=['rain']" in caplog.text
    )
    rain, axes = canonicalise(two_axes(), ["rain"])
    assert axes.times == "time3"
    np.testing.assert_array_equal(rain["time"], RUNS[[0, 3]])
    for sizes in (slice(None), slice(1)):
        with pytest.raises(Refusal, match="rain: lies on another axis of time, time3, than time; read it by itself"):
            canonicalise(two_axes().isel(time3=sizes), ["t", "rain"])


def test_the_axis_of_most_fields_then_the_longest_is_the_one() -> None:
    ds = two_axes().rename(time="b_time", time3="a_time")
    for name in ("a_time", "b_time"):
        ds[name].attrs = VALID
    assert canonicalise(ds)[1].times == "b_time"
    assert canonicalise(ds.assign(snow=ds["rain"]))[1].times == "a_time"


def test_no_frames() -> None:
    with pytest.raises(Refusal, match="no frames: expected times along time, got a time axis of length 0"):
        canonicalise(two_axes()[["t"]].isel(time=slice(0)))
