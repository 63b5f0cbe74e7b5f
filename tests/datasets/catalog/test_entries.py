"""The data sets known by name: what they say of themselves, and that their frames are what they say."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest

from datasets.archive.archive import Archive
from datasets.catalog.entries import SOURCES, find_source
from datasets.catalog.published import PackagedSource, PublishedSource
from datasets.catalog.sources import SimulatedSource
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.conftest import CHECKOUT

HOUR = np.timedelta64(1, "h")
PUBLISHED = [name for name, source in SOURCES.items() if isinstance(source, PublishedSource)]


def published(name: str) -> PublishedSource:
    source = find_source(name)
    assert isinstance(source, PublishedSource)
    return source


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(SourceError) as caught:
        find_source("era5")
    text = str(caught.value)
    assert text == (
        "data set 'era5': expected one of simulated-weather, simulated-traffic, era5-uk, ersst-pacific, nyc-taxi, "
        "nyc-uber, radar-brisbane, radklim-germany, e1-north-america, taxibj (did you mean 'era5-uk'?)\n"
        "To mend it: name one of these, or give the files to ingest as its source"
    )


@pytest.mark.parametrize("name", SOURCES)
def test_every_named_source_says_what_it_is(name: str) -> None:
    source = find_source(name)
    assert source.title
    assert source.licence
    assert bool(source.references) != isinstance(source, SimulatedSource)
    assert re.search(r"[0-9]+ (days?|months|years)|four years", source.span)
    assert source.states
    assert source.shape is not None
    assert len(source.states) == source.shape[0]
    assert bool(source.folder) != isinstance(source, SimulatedSource | PackagedSource)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_fixed_and_checked(name: str) -> None:
    source = published(name)
    for file in source.published:
        if name == "radklim-germany":  # nobody told its checksum
            assert (file.checksum, "/reproc/2017_002/" in file.url) == ("", True)
            continue
        assert re.fullmatch(r"[0-9a-f]{64}|git:[0-9a-f]{40}", file.checksum)
        # era5-uk is asked for at the address that it had before; its content is checked all the same.
        assert re.match(r"https://github\.com/[^/]+/[^/]+/raw/([0-9a-f]{40}|master)/", file.url)
        assert ("/raw/master/" in file.url) == (name == "era5-uk")
    assert len({file.name for file in source.published}) == len(source.published)
    told = [file.checksum for file in source.published if file.checksum]
    assert len(set(told)) == len(told)


def test_the_documents_say_the_same() -> None:
    page, readme = (CHECKOUT / "docs" / "datasets.md").read_text(), (CHECKOUT / "README.md").read_text()
    for name, source in SOURCES.items():
        assert readme.count(f"`{name}`") >= 1
        if isinstance(source, PublishedSource | PackagedSource):
            (row,) = (line for line in page.splitlines() if line.startswith(f"| [`{name}`](#{name})"))
            assert f"\n## {name}\n" in page
            assert source.shape is not None
            assert f"{source.shape[1]} x {source.shape[2]}" in row
            assert all(f"`{state}`" in row for state in source.states)
        if isinstance(source, PublishedSource):
            first = f"{source.folder.removeprefix('./')}{source.published[0].name}"
            assert first in row or name == "radar-brisbane"
            assert source.prepared is None or f"`{source.prepared.name}`" in row


def test_folders_keep_files_of_one_name_apart() -> None:
    folders = [published(name).folder for name in PUBLISHED if name != "era5-uk"]
    assert len(set(folders)) == len(folders)
    assert all(re.fullmatch(r"[a-z0-9-]+/", folder) for folder in folders)


def test_era5_study_has_the_157_init_times_of_the_reference() -> None:
    study = find_source("era5-uk").study
    assert study is not None
    first, last = (np.datetime64(text) for text in study.held_out)
    hours = int((last - first) / HOUR) + 1
    assert hours == 7 * 24
    assert hours - study.frames_out + 1 == 157
    ((start, end),) = study.reference
    assert int((np.datetime64(end) - np.datetime64(start)) / HOUR) + 1 == 21 * 24


def test_the_radar_day_is_complete() -> None:
    times = [
        re.fullmatch(r"66_20201031_(\d\d)(\d\d)00\.prcp-c10\.nc", f.name) for f in published("radar-brisbane").published
    ]
    minutes = [60 * int(time[1]) + int(time[2]) for time in times if time]
    assert minutes == list(range(0, 24 * 60, 10))


def test_the_months_of_uber_follow_each_other() -> None:
    names = [file.name for file in published("nyc-uber").published]
    assert names == [f"uber-raw-data-{month}14.csv" for month in ("apr", "may", "jun", "jul", "aug", "sep")]


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooch, "retrieve", lambda *args, **options: pytest.fail("fetched"))


def test_era5_is_taken_from_the_data_directory(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data"))
    no_network(monkeypatch)
    source = find_source("era5-uk")
    assert source.files() == [shared / "data" / "era5-2mt-2019-03-uk.grib"]
    ds = source.open()
    assert ds["t2m"].shape == (744, 33, 49)
    assert source.shape == (1, 33, 49)
    assert "contains modified Copernicus Climate Change Service information" in ds.attrs["license"]
    assert ds.attrs["references"].startswith("https://github.com/pydata/xarray-data/")


def test_taxi_counts_of_january_2015(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data" / "skill"))
    no_network(monkeypatch)
    source = find_source("nyc-taxi")
    assert source.present()
    ds = source.open()
    counts = ds["pickups"].load()
    assert counts.shape == (31 * 48, *source.shape[1:])  # type: ignore[index]
    assert counts.sum(dtype="f8") == 12_489_895
    assert counts.attrs["units"] == "1"
    # The airports are where they are: LaGuardia 40.774 N 73.872 W, Kennedy 40.645 N 73.785 W; the sea has no taxis.
    whole = counts.sum("time")
    outside = whole.where((whole["longitude"] > -73.9) & (whole["latitude"] < 40.83))
    busiest = outside.where(outside == outside.max(), drop=True)
    assert abs(busiest["latitude"].item() - 40.645) <= 0.011
    assert abs(busiest["longitude"].item() + 73.785) <= 0.03
    laguardia = whole.sel(latitude=40.774, longitude=-73.872, method="nearest")
    assert laguardia > 20 * whole.sel(latitude=40.774, longitude=-73.842, method="nearest")
    # The snow of 26 and 27 January: from 23:00 no car may drive.
    assert counts.sel(time="2015-01-27T03:00").sum() < 0.05 * counts.sel(time="2015-01-20T03:00").sum()


def test_sea_surface_of_the_pacific(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data" / "skill"))
    no_network(monkeypatch)
    source = find_source("ersst-pacific")
    ds = source.open()
    assert ds["sst"].shape == (128, *source.shape[1:])  # type: ignore[index]
    days = (ds["time"].values[-1] - ds["time"].values[0]).astype("m8[D]").astype(int) + 31
    assert f"128 months ({days:,} days)" in source.span
    assert (ds["latitude"].min(), ds["latitude"].max()) == (-30, 30)
    assert (ds["longitude"].min(), ds["longitude"].max()) == (120, 290)
    assert ds["sst"].isnull().all("time").sum() == 248  # land


def test_a_climate_model_out_of_a_package() -> None:
    pytest.importorskip("iris_sample_data")
    source = find_source("e1-north-america")
    assert source.present()
    ds = source.open()
    assert ds["air_temperature"].shape == (240, *source.shape[1:])  # type: ignore[index]
    assert ds["air_temperature"].attrs["units"] == "K"
    assert ds.attrs["license"] == source.licence
    assert [time.year for time in ds["time"].values[[0, -1]]] == [1860, 2099]


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_a_prepared_file_and_what_is_published_make_the_same_archive(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data" / "skill"))
    source = published("nyc-taxi")
    first = ingest(Home(tmp_path / "prepared"), "nyc-taxi")
    assert (first.step, first.length, first.absent) == ("30 min", 1488, 0)
    # The same counts once more, as their repository has them.
    counts = source.open()["pickups"].values[..., None].transpose(0, 2, 1, 3)
    folder = tmp_path / "data" / "nyc-taxi"
    folder.mkdir(parents=True)
    for file, part in zip(source.published, (slice(1041), slice(1041, None)), strict=True):
        np.savez(folder / file.name, volume=counts[part].astype("f8"))
    made = tuple(replace(file, checksum=file.found(folder / file.name)[7:]) for file in source.published)
    monkeypatch.setitem(SOURCES, "nyc-taxi", replace(source, published=made))  # type: ignore[arg-type]
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path / "data"))
    second = ingest(Home(tmp_path / "published"), "nyc-taxi")
    assert second.files_read == 2
    archive = Archive(Home(tmp_path / "published").archive("nyc-taxi"))
    other = Archive(Home(tmp_path / "prepared").archive("nyc-taxi"))
    assert archive.dataset().equals(other.dataset())
    assert archive.dataset().attrs["license"] == source.licence
