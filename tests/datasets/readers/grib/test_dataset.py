"""What comes out of a GRIB file: every value at its place and time, or a refusal that names what is in the way."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.readers.grib import open_grib
from datasets.readers.source import open_source
from simvp.errors import SourceError
from tests.support.files.grib import assert_at_places, keep, maps, message, of_sections, sections, times

RAIN = {"productDefinitionTemplateNumber": 8, "shortName": "tp", "stepType": "accum"}
MEAN = {"productDefinitionTemplateNumber": 8, "stepType": "avg"}
UPPER = {"typeOfLevel": "isobaricInhPa", "shortName": "t"}
MEMBER = {"productDefinitionTemplateNumber": 1, "numberOfForecastsInEnsemble": 2, "shortName": "2t"}


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source, **options)
    return str(caught.value)


def two_kinds(path: Path, one: dict[str, Any], other: dict[str, Any], count: int = 4) -> Path:
    """Messages of two kinds at the same times; the second has values that are 100 higher."""
    pairs = [(message(v, hour=n, **one), message(v + 100, hour=n, **other)) for n, v in enumerate(maps(count))]
    return keep(path, [made for pair in pairs for made in pair])


# ---- what shares a name, a time or a place


def test_sums_over_several_periods(tmp_path: Path) -> None:
    path = two_kinds(tmp_path / "a", {**RAIN, "stepRange": "5-6"}, {**RAIN, "stepRange": "0-6"})
    text = refused(path)
    assert "tp: two messages or more share their place at 4 of 4 times, steps and levels, first 2020-01-01T06" in text
    assert "they differ in stepRange (5-6, 0-6)" in text
    assert "choose with select={'stepRange': '5-6'}" in text
    for steps, more, hours in (("5-6", 0, "1 hour"), ("0-6", 100, "6 hours")):
        ds = open_source(path, select={"stepRange": steps})
        assert_at_places(ds["tp"], maps(4) + more)
        np.testing.assert_array_equal(ds["time"], times(6, 7, 8, 9))
        assert ds["tp"].attrs["cell_methods"] == f"time: sum (comment: over {hours})"


def test_sums_since_the_start_of_a_run(tmp_path: Path) -> None:
    made = [message(v, **RAIN, stepRange=f"0-{n + 1}") for n, v in enumerate(maps(3))]
    made += [message(v, forecastTime=n + 1) for n, v in enumerate(maps(3))]
    path = keep(tmp_path / "a", made)
    text = refused(path)
    assert "tp: stepType accum over 1 hour, 2 hours, 3 hours is not one series (stepRange 0-1, 0-2, 0-3)" in text
    assert_at_places(open_source(path, variables=["t2m"])["t2m"], maps(3))
    chosen = open_source(path, variables=["tp"], select={"step": 2})
    assert_at_places(chosen["tp"], maps(3)[1:2])
    assert chosen["tp"].attrs["cell_methods"] == "time: sum (comment: over 2 hours)"


def test_sums_of_equal_periods_are_a_series(tmp_path: Path) -> None:
    path = keep(tmp_path / "a", [message(v, **RAIN, stepRange=f"{n}-{n + 1}") for n, v in enumerate(maps(3))])
    ds = open_source(path)
    assert_at_places(ds["tp"], maps(3))
    np.testing.assert_array_equal(ds["time"], times(1, 2, 3))
    assert ds["tp"].attrs["cell_methods"] == "time: sum (comment: over 1 hour)"


@pytest.mark.parametrize(("kind", "method"), [("avg", "mean"), ("max", "maximum"), ("min", "minimum")])
def test_an_instant_and_a_statistic_of_one_parameter(kind: str, method: str, tmp_path: Path) -> None:
    statistic = {"productDefinitionTemplateNumber": 8, "stepType": kind, "stepRange": "0-1"}
    path = two_kinds(
        tmp_path / "a",
        {"forecastTime": 1},
        {**statistic, "shortName": "10u"} | {"parameterNumber": 0, "parameterCategory": 0, "level": 2},
    )
    text = refused(path)
    assert f"stepType {kind}" in text
    assert "stepType instant" in text
    ds = open_source(path, select={"stepType": "instant"})
    assert_at_places(ds["t2m"], maps(4))
    assert "cell_methods" not in ds["t2m"].attrs
    (field,) = open_source(path, select={"stepType": kind}).data_vars.values()
    assert_at_places(field, maps(4) + 100)
    assert field.attrs["cell_methods"] == f"time: {method} (comment: over 1 hour)"


def test_members(tmp_path: Path) -> None:
    path = two_kinds(tmp_path / "a", {**MEMBER, "perturbationNumber": 1}, {**MEMBER, "perturbationNumber": 2})
    assert "t2m: number has 2 values; choose one with select={'number': ...} out of 1, 2" in refused(path)
    for key in ("number", "member", "perturbationNumber"):
        assert_at_places(open_source(path, select={key: 2})["t2m"], maps(4) + 100)


def test_a_control_beside_its_members(tmp_path: Path) -> None:
    path = two_kinds(
        tmp_path / "a", {"typeOfProcessedData": 3}, {**MEMBER, "perturbationNumber": 2, "typeOfProcessedData": 4}
    )
    text = refused(path)
    assert (
        "t2m: several kinds of messages, on other levels or of other members; they differ in dataType (cf, pf)" in text
    )
    assert_at_places(open_source(path, select={"dataType": "cf"})["t2m"], maps(4))
    assert_at_places(open_source(path, select={"number": 2})["t2m"], maps(4) + 100)


def test_a_message_without_a_member_beside_one_with(tmp_path: Path) -> None:
    path = two_kinds(tmp_path / "a", {}, {**MEMBER, "perturbationNumber": 1})
    text = refused(path)
    assert "t2m: several kinds of messages, with and without a number of a member; they differ in " in text
    assert "perturbationNumber (None, 1)" in text
    assert_at_places(open_source(path, select={"number": 1})["t2m"], maps(4) + 100)


def test_levels(tmp_path: Path) -> None:
    path = two_kinds(tmp_path / "a", {**UPPER, "level": 850}, {**UPPER, "level": 500})
    assert (
        "t: isobaricInhPa has 2 values; choose one with select={'isobaricInhPa': ...} out of 850.0, 500.0"
        in refused(path)
    )
    assert_at_places(open_source(path, select={"level": 500})["t"], maps(4) + 100)


def test_kinds_of_level_that_never_meet(tmp_path: Path) -> None:
    """One after the other in time they are two quantities all the same."""
    made = [
        message(maps(1)[0], hour=0, **UPPER, level=850),
        message(maps(1)[0], hour=1, shortName="t", typeOfLevel="surface"),
    ]
    text = refused(keep(tmp_path / "a", made))
    assert "t: several kinds of messages: typeOfLevel is isobaricInhPa (1), surface (1)" in text
    assert "choose one with select={'typeOfLevel': 'isobaricInhPa'}" in text


PERCENTILE = {"productDefinitionTemplateNumber": 6, "shortName": "2t"}
DERIVED = {"productDefinitionTemplateNumber": 2, "shortName": "2t"}


@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize(
    ("keys", "key", "values"),
    [
        (PERCENTILE, "percentileValue", (10, 90)),
        (DERIVED, "derivedForecast", (0, 4)),
        ({"shortName": "t", "typeOfLevel": "heightAboveGroundLayer", "topLevel": 0}, "bottomLevel", (7, 28)),
    ],
)
def test_percentiles_ensemble_means_and_layers(
    keys: dict[str, Any], key: str, values: tuple[int, int], apart: int, tmp_path: Path
) -> None:
    """Whether at the same times or one after the other, they are several quantities."""
    made = [message(maps(2)[n], hour=n * apart, **keys, **{key: value}) for n, value in enumerate(values)]
    path = keep(tmp_path / "a", made)
    text = refused(path)
    assert key in text
    assert f"select={{'{key}': {values[0]}}}" in text
    (field,) = open_source(path, select={key: values[1]}).data_vars.values()
    assert_at_places(field, maps(2)[1:])


def test_a_key_that_nobody_reads(tmp_path: Path) -> None:
    path = two_kinds(tmp_path / "a", {}, {"subCentre": 7})
    text = refused(path)
    assert "t2m: two messages or more share their place at 4 of 4 times" in text
    assert "they differ in subCentre (0, 7); choose with select={'subCentre': 0}" in text
    for chosen in (7, "7", [7, 8]):
        assert_at_places(open_source(path, select={"subCentre": chosen})["t2m"], maps(4) + 100)
    assert "no GRIB message with {'subCentre': 9}" in refused(path, select={"subCentre": 9})


def test_a_key_that_cannot_be_chosen_by(tmp_path: Path) -> None:
    text = refused(two_kinds(tmp_path / "a", {}, {"hoursAfterDataCutoff": 3}))
    assert "they differ in hoursAfterDataCutoff" in text
    assert "choose with grib_copy -w hoursAfterDataCutoff=" in text


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("more", [0, 100])
def test_the_same_header_twice(more: int, edition: int, tmp_path: Path) -> None:
    made = [message(maps(1)[0] + n * more, edition=edition) for n in range(2)]
    text = refused(keep(tmp_path / "a", made))
    assert "t2m: two messages or more share their place at 1 of 1 times" in text
    assert "they have the same header; leave one of them out" in text


def test_an_analysis_and_a_forecast_of_one_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = [message(v, hour=n, typeOfProcessedData=0) for n, v in enumerate(maps(2))]
    forecast = message(maps(1)[0], hour=0, typeOfProcessedData=1, forecastTime=1)
    text = refused(keep(tmp_path / "a", [*made, forecast]))
    assert "t2m: several kinds of messages share the time 2020-01-01T01:00:00; they differ in " in text
    assert "dataType (an, fc)" in text
    later = message(maps(3)[2], hour=0, typeOfProcessedData=1, forecastTime=2)
    with caplog.at_level(logging.WARNING):
        ds = open_source(keep(tmp_path / "b", [*made, later]))
    assert "t2m: one series of messages that differ in dataType" in caplog.text
    assert_at_places(ds["t2m"], maps(3))


def test_combinations_without_a_message_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = [message(maps(3)[hour], hour=hour, **UPPER, level=level) for level, hour in ((850, 0), (500, 0), (850, 1))]
    with caplog.at_level(logging.WARNING):
        ds = open_source(keep(tmp_path / "a", made), select={"level": 850})
    assert "t: 1 of 4 combinations of time, step, level and member have no message, and no values" in caplog.text
    assert_at_places(ds["t"], maps(2))


def test_what_tells_a_variable_from_another_of_its_name_is_a_coordinate(tmp_path: Path) -> None:
    made = [message(maps(1)[0], **RAIN, stepRange="0-6"), message(maps(1)[0], **PERCENTILE, percentileValue=90)]
    made.append(message(maps(1)[0], shortName="t", typeOfLevel="heightAboveGroundLayer", topLevel=0, bottomLevel=7))
    labels = {"period", "percentileValue", "bottomLevel"}
    opened = open_grib(str(keep(tmp_path / "a", made)), {})
    found = {str(name): {label: float(ds[label]) for label in labels & set(ds.coords)} for ds in opened for name in ds}
    assert found == {"tp": {"period": 6.0}, "t2m": {"percentileValue": 90.0}, "t": {"bottomLevel": 7.0}}
    assert "period" in opened[0]["tp"].encoding["coordinates"].split()


# ---- names


def test_parameters_without_a_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nameless = {"parameterCategory": 20, "parameterNumber": 201}
    path = two_kinds(tmp_path / "a", nameless, {**nameless, "parameterNumber": 202})
    first, second = "unknown_ecmf_0_20_201", "unknown_ecmf_0_20_202"
    assert f"ecCodes calls 2 parameters 'unknown': {first}, {second}; name those to be read" in refused(path)
    ds = open_source(path, variables=[first, second])
    assert_at_places(ds[first], maps(4))
    assert_at_places(ds[second], maps(4) + 100)
    assert list(open_source(path, select={"parameterNumber": 202}).data_vars) == [second]


def test_parameters_of_a_local_table_of_edition_1(tmp_path: Path) -> None:
    one, other = ({"edition": 1, "centre": "kwbc", "table2Version": 250, "indicatorOfParameter": n} for n in (201, 202))
    path = two_kinds(tmp_path / "a", one, other)
    assert "unknown_kwbc_250_201, unknown_kwbc_250_202" in refused(path)
    assert_at_places(open_source(path, select={"indicatorOfParameter": 202})["unknown_kwbc_250_202"], maps(4) + 100)


def test_variables_that_are_not_asked_for_are_in_nobodys_way(tmp_path: Path) -> None:
    twice = [message(maps(1)[0] + n, shortName="10u") for n in range(2)]
    path = keep(tmp_path / "a", [message(maps(1)[0]), *twice])
    assert "u10: two messages or more" in refused(path)
    assert_at_places(open_source(path, variables=["t2m"])["t2m"], maps(1))
    wind = keep(tmp_path / "wind", twice)
    assert_at_places(open_source([path, wind], variables=["t2m"])["t2m"], maps(1))


def test_a_key_of_a_message_is_an_axis_in_other_formats(tmp_path: Path) -> None:
    ds = xr.Dataset(
        {"t": (("time", "channel", "lat", "lon"), np.zeros((2, 2, 3, 4), "f4"), {"units": "K"})},
        coords={"time": times(0, 1), "channel": [1, 2], "lat": np.arange(3.0), "lon": np.arange(4.0)},
    )
    ds.to_netcdf(tmp_path / "a.nc")
    assert open_source(tmp_path / "a.nc", select={"channel": 2})["t"].shape == (2, 3, 4)


# ---- times


def test_steps_of_minutes_and_their_sums(tmp_path: Path) -> None:
    rain = {**RAIN, "indicatorOfUnitForTimeRange": 0, "indicatorOfUnitOfTimeRange": 0, "stepUnits": 0}
    made = [message(v, **rain, stepRange=f"{15 * n}-{15 * n + 15}") for n, v in enumerate(maps(3))]
    ds = open_source(keep(tmp_path / "a", made))
    np.testing.assert_array_equal(ds["time"], times(0.25, 0.5, 0.75))
    assert ds["tp"].attrs["cell_methods"] == "time: sum (comment: over 15 minutes)"
    assert_at_places(ds["tp"], maps(3))


def test_reference_times_with_seconds(tmp_path: Path) -> None:
    made = [message(v, hour=n, second=38 - n) for n, v in enumerate(maps(2))]
    ds = open_source(keep(tmp_path / "a", made))
    np.testing.assert_array_equal(
        ds["time"], [t + np.timedelta64(s, "s") for t, s in zip(times(0, 1), (38, 37), strict=True)]
    )
    assert_at_places(ds["t2m"], maps(2))


@pytest.mark.parametrize(
    "keys", [{"indicatorOfUnitOfTimeRange": 3, "forecastTime": 1}, {"edition": 1, "unitOfTimeRange": 4, "P1": 1}]
)
def test_steps_of_months_and_years_are_refused(keys: dict[str, Any], tmp_path: Path) -> None:
    """A month after the first of January is not the 31st, which is what ecCodes says."""
    made = message(maps(1)[0], **keys)
    assert "t2m: steps in months or years" in refused(keep(tmp_path / "a", [made]))


@pytest.mark.parametrize("lead", [6, 12])
def test_runs_at_one_lead(lead: int, tmp_path: Path) -> None:
    made = [message(maps(16)[run + step], hour=run, forecastTime=step) for run in range(4) for step in (6, 12)]
    ds = open_source(keep(tmp_path / "a", made), select={"step": lead})
    np.testing.assert_array_equal(ds["time"], times(*range(lead, lead + 4)))
    assert_at_places(ds["t2m"], maps(16)[lead : lead + 4])


# ---- reading


def test_fields_of_one_message(tmp_path: Path) -> None:
    """The second has its grid from the first, and its bitmap."""
    values = maps(2)
    values[:, 1, 2] = 9999.0
    made = []
    for hour, field in enumerate(values):
        options: dict[str, Any] = {"hour": hour, "bitmapPresent": 1, "missingValue": 9999.0}
        u = message(field, shortName="10u", **options)
        v = message(np.where(field == 9999.0, field, field + 100), shortName="10v", **options)
        again = [b"\x00\x00\x00\x06\x06\xfe" if number == 6 else part for number, part in sections(v) if number > 3]
        made.append(of_sections([*(part for _, part in sections(u)), *again]))
    ds = open_source(keep(tmp_path / "a", made))
    holed = np.where(values == 9999.0, np.nan, values)
    np.testing.assert_allclose(ds["u10"], holed, atol=1e-4)
    np.testing.assert_allclose(ds["v10"], holed + 100, atol=1e-4)


def test_values_are_read_when_they_are_asked_for_and_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cfgrib.messages import FileStream

    read: list[Any] = []
    plain = FileStream.__getitem__

    def recorded(self: FileStream, item: Any) -> Any:
        read.append(item)
        return plain(self, item)

    path = keep(tmp_path / "a", [message(v, hour=n, mode=0x30) for n, v in enumerate(maps(6))])
    with monkeypatch.context() as patch:
        patch.setattr(FileStream, "__getitem__", recorded)
        ds = open_source(path)
        assert set(read) <= {0}  # the first one, for its grid
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds))["t2m"].compute(), ds["t2m"])
    assert_at_places(ds["t2m"][2:4], maps(6)[2:4])
    assert ds["t2m"].data.name == open_source(path)["t2m"].data.name
    keep(path, [message(v + 1, hour=n, mode=0x30) for n, v in enumerate(maps(6))])
    assert ds["t2m"].data.name != open_source(path)["t2m"].data.name
