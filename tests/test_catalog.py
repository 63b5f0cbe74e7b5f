"""The named sources, and what happens where a file or the network is missing."""

from pathlib import Path

import numpy as np
import pooch
import pytest
import xarray as xr

from datasets.catalog import DEFAULT, SOURCES, FileSource, SimulatedSource, find_source
from datasets.simulated import SimulatedWeather
from simvp.errors import SourceError

HOUR = np.timedelta64(1, "h")
NAME = "era5-2mt-2019-03-uk.grib"


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(SourceError) as caught:
        find_source("era5")
    text = str(caught.value)
    assert "data set 'era5': expected one of simulated-weather, simulated-traffic, era5-uk" in text
    assert "did you mean 'era5-uk'" in text


@pytest.mark.parametrize("name", SOURCES)
def test_every_named_source_says_what_it_is(name: str) -> None:
    source = find_source(name)
    assert source.title
    assert source.licence
    assert source.states


def small() -> SimulatedSource:
    return SimulatedSource(simulation=SimulatedWeather(shape=(8, 8)))


def test_the_default_starts_with_its_initial_span_and_goes_on_day_by_day() -> None:
    assert isinstance(find_source(DEFAULT), SimulatedSource)
    source = small()
    first = source.open()
    assert first.sizes["time"] == SimulatedWeather.initial_days * 24
    assert first["t2m"].chunks is not None
    last = first["time"].values[-1]
    for day in range(3):
        more = source.open(last)["time"].values
        np.testing.assert_array_equal(more, first["time"].values[-1] + (24 * day + 1 + np.arange(24)) * HOUR)
        last = more[-1]
    assert source.files() == []


def test_an_interrupted_ingest_goes_on_to_the_same_end() -> None:
    source = small()
    end = source.open()["time"].values[-1]
    within = source.open(end - 30 * HOUR)["time"].values
    assert (within[0], within[-1]) == (end - 29 * HOUR, end)
    in_the_day = source.open(end + 5 * HOUR)["time"].values
    assert (in_the_day[0], in_the_day[-1]) == (end + 6 * HOUR, end + 24 * HOUR)


def test_traffic_goes_on_by_48_half_hours() -> None:
    source = find_source("simulated-traffic")
    last = source.open()["time"].values[-1]
    more = source.open(last)["time"].values
    assert len(more) == 48
    assert more[0] - last == np.timedelta64(30, "m")


def test_era5_study_has_the_157_init_times_of_the_reference() -> None:
    study = find_source("era5-uk").study
    assert study is not None
    first, last = (np.datetime64(text) for text in study.held_out)
    hours = int((last - first) / HOUR) + 1
    assert hours == 7 * 24
    assert hours - study.frames_out + 1 == 157
    ((start, end),) = study.reference
    assert int((np.datetime64(end) - np.datetime64(start)) / HOUR) + 1 == 21 * 24


def test_era5_is_taken_from_the_data_directory(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data"))
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **options: pytest.fail("fetched"))
    source = find_source("era5-uk")
    assert source.files() == [shared / "data" / NAME]
    ds = source.open()
    assert ds["t2m"].shape == (744, 33, 49)
    assert "contains modified Copernicus Climate Change Service information" in ds.attrs["license"]
    assert ds.attrs["references"].startswith("https://github.com/pydata/xarray-data/")


def test_another_file_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(b"GRIB something else 7777")
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    with pytest.raises(SourceError) as caught:
        find_source("era5-uk").open()
    text = str(caught.value)
    assert (
        f"{tmp_path / NAME}: expected sha256 e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9, got"
        in text
    )
    assert "unset SIMVP_DATA to have it fetched" in text


def test_a_file_not_in_the_data_directory_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> str:
        asked.update(url=url, known_hash=known_hash, fname=fname)
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path / "empty"))
    assert find_source("era5-uk").files() == [tmp_path / NAME]
    assert asked["known_hash"] == "sha256:e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9"
    assert asked["url"].endswith(f"/{asked['fname']}")


def test_without_network_the_file_to_put_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", offline)
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    with pytest.raises(SourceError) as caught:
        find_source("era5-uk").open()
    text = str(caught.value)
    assert f"file {NAME}: cannot be fetched from https://github.com/" in text
    assert "SIMVP_DATA is not set" in text
    assert f"put {NAME} into a directory and set SIMVP_DATA to it" in text
    monkeypatch.setenv("SIMVP_DATA", "/nowhere")
    with pytest.raises(SourceError, match="/nowhere has no such file"):
        find_source("era5-uk").open()


def test_a_users_files(tmp_path: Path) -> None:
    for day in range(3):
        xr.Dataset(
            {
                "rr": (("time", "y", "x"), np.full((1, 4, 5), float(day))),
                "other": (("time", "y", "x"), np.zeros((1, 4, 5))),
            },
            coords={"time": [np.datetime64("2020-01-01", "ns") + np.timedelta64(day, "D")]},
        ).to_netcdf(tmp_path / f"{day}.nc")
    source = FileSource(source=str(tmp_path / "*.nc"), variables=["rr"], units={"rr": "mm"})
    assert [Path(file).name for file in source.files()] == ["0.nc", "1.nc", "2.nc"]
    ds = source.open(after=np.datetime64("2020-01-03", "ns"))
    np.testing.assert_array_equal(ds["rr"][:, 0, 0], [0, 1, 2])  # all of it: some frames may have come late
    assert ds["rr"].attrs["units"] == "mm"
