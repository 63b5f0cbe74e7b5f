"""ERA5 with preliminary months: final values first, whatever form the Climate Data Store writes them in."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.readers import open_source
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.support.files.small_files import KELVIN, hourly, maps, write

NAN = np.float32(np.nan)


def on_an_axis(folder: Path, versions: Any = (1, 5), form: str = "i4") -> Path:
    """(time, expver, lat, lon): four final frames, two preliminary ones."""
    values = np.full((6, 2, 3, 4), NAN)
    values[:4, list(versions).index(1)], values[4:, list(versions).index(5)] = maps(4), maps(2, 4)
    numbers = np.array([f"{version:04d}" for version in versions] if form == "text" else versions)
    variables = hourly("t", maps(6), expver=(("expver",), numbers if form == "text" else numbers.astype(form), {}))
    variables["t"] = (("time", "expver", "lat", "lon"), values, {**KELVIN, "_FillValue": NAN})
    return write(folder / "era5.nc", variables)


def along_time(folder: Path, form: str = "text") -> Path:
    """The same with a coordinate along time."""
    texts = np.array(["0001"] * 4 + ["0005"] * 2)
    numbers = texts if form == "text" else texts.astype(form)
    attrs = {**KELVIN, "coordinates": "expver"}
    return write(folder / "era5.nc", hourly("t", maps(6), attrs, expver=(("time",), numbers, {})))


@pytest.mark.parametrize("versions", [(1, 5), (5, 1)])
@pytest.mark.parametrize("form", ["i4", "f8", "text"])
def test_an_axis_of_versions_is_one_series(versions: Any, form: str, tmp_path: Path) -> None:
    ds = open_source(on_an_axis(tmp_path, versions, form))
    np.testing.assert_array_equal(ds["t"], maps(6))
    assert ds["t"].dtype == np.float32
    assert ds["t"].attrs == KELVIN


@pytest.mark.parametrize("form", ["text", "i4"])
def test_versions_along_time_are_one_series(form: str, tmp_path: Path) -> None:
    ds = open_source(along_time(tmp_path, form))
    np.testing.assert_array_equal(ds["t"], maps(6))
    assert ds["t"].attrs == KELVIN


def test_final_values_come_first_where_a_time_has_both(tmp_path: Path) -> None:
    values = np.concatenate([maps(4), maps(4, 2) + 50])
    hours = np.array([0, 1, 2, 3, 2, 3, 4, 5])
    attrs = {**KELVIN, "coordinates": "expver"}
    variables = hourly("t", values, attrs, expver=(("time",), np.array([1] * 4 + [5] * 4), {}))
    variables["time"] = (("time",), hours, variables["time"][2])
    ds = open_source(write(tmp_path / "era5.nc", variables))
    np.testing.assert_array_equal(ds["t"], np.concatenate([maps(4), maps(2, 4) + 50]))
    assert ds["t"].attrs == KELVIN


def test_files_of_either_version_follow_each_other(tmp_path: Path) -> None:
    for number, version in enumerate(("0001", "0005")):
        attrs = {**KELVIN, "coordinates": "expver number"}
        scalars = {"expver": ((), np.array(version), {}), "number": ((), np.int64(0), {})}
        write(tmp_path / f"{number}.nc", hourly("t", maps(3, 3 * number), attrs, first=3 * number, **scalars))
    np.testing.assert_array_equal(open_source(tmp_path)["t"], maps(6))


@pytest.mark.parametrize("made", [on_an_axis, along_time])
def test_one_version_chosen_says_how_many_times_it_lacks(
    made: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        report = ingest(Home(tmp_path / "home"), "era5", source=made(tmp_path), select={"expver": 1})
    assert (report.length, report.absent) == (4, 0)
    text = caplog.text.replace("'", "")
    assert "2 of 6 times" in text
    assert "expver" in text
    assert "no value" in text


def test_a_version_that_is_not_there_and_another_experiment(tmp_path: Path) -> None:
    path = along_time(tmp_path)
    with pytest.raises(SourceError, match="select expver=7: not among the values of expver: 1, 5"):
        open_source(path, select={"expver": 7})
    path.unlink()
    path = on_an_axis(tmp_path)
    import netCDF4

    with netCDF4.Dataset(path, "a") as file:
        file["expver"][:] = [1, 7]
    with pytest.raises(SourceError, match=r"t: expver has 2 values; choose one with select=\{'expver': \.\.\.\}"):
        open_source(path)
