"""Simulated worlds, the years of TaxiBJ, and a user's own files as sources."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.catalog import DEFAULT, FileSource, SimulatedSource, find_source
from datasets.readers.taxibj_years import YEARS
from datasets.simulated.worlds import SimulatedWeather
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.datasets.video.test_taxibj import counts_of, slots_of, time_of, write_year

HOUR = np.timedelta64(1, "h")


@pytest.mark.parametrize("name", ["simulated-weather", "simulated-traffic"])
def test_simulated_sources_are_always_there_and_of_their_shape(name: str) -> None:
    source = find_source(name)
    assert source.present()
    assert (source.wanted, source.references, source.files()) == ("", "", [])
    ds = source.open()
    assert [ds[state].shape[1:] for state in source.states] == [source.shape[1:]] * source.shape[0]  # type: ignore[index]


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


def test_taxibj_says_what_to_fetch_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find_source("taxibj")
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert not source.present()
    with pytest.raises(SourceError, match="SIMVP_DATA is not set"):
        source.files()
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    (tmp_path / "taxibj").mkdir()
    (tmp_path / "taxibj" / "dataset.npz").write_bytes(b"PK")
    assert not source.present()
    for call in (source.files, source.open):
        with pytest.raises(SourceError) as caught:
            call()
        text = str(caught.value)
        assert f"expected {YEARS[0]} to {YEARS[3]}" in text
        assert f"{tmp_path / 'taxibj'} does not hold them" in text
        assert "a series is read from the HDF5 files alone: dataset.npz has no times" in text
        assert "fetch them from https://github.com/" in text
        assert "into the folder taxibj of a directory, and set SIMVP_DATA to that directory" in text
    with pytest.raises(SourceError, match="benchmark taxibj"):
        ingest(Home(tmp_path / "home"), "taxibj")
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_taxibj_is_ingested_year_by_year_with_its_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    folder, home = tmp_path / "taxibj", Home(tmp_path / "home")
    years = {
        YEARS[0]: slots_of("2013-07-01", 3, [(1, 10), (1, 11), (2, 48)]),
        YEARS[1]: slots_of("2013-07-06", 2),
    }
    for name, slots in years.items():
        write_year(folder / name, slots, counts_of(slots))
    source = find_source("taxibj")
    assert source.present()
    assert source.files() == [folder / name for name in years]
    ds = source.open(after=np.datetime64("2013-07-07", "ns"))
    assert ds.attrs == {"title": source.title, "license": source.licence, "references": source.references}

    def check() -> None:
        kept = Archive(home.archive("taxibj")).dataset()
        frame_at = {
            time_of(slot): frame for of in years.values() for slot, frame in zip(of, counts_of(of), strict=True)
        }
        values = np.stack([kept[name].values for name in ("inflow", "outflow")], axis=1)
        times = kept["time"].values.astype("M8[s]").tolist()
        for place, time in enumerate(times):
            assert bool(kept["present"][place]) == (time in frame_at)
            expected = frame_at.get(time, np.full((2, 32, 32), np.nan))
            np.testing.assert_array_equal(values[place], expected)
        assert (times[0], times[-1]) == (min(frame_at), max(frame_at))

    first = ingest(home, "taxibj")
    assert (first.step, first.variables) == ("30 min", ("inflow", "outflow"))
    assert (first.appended, first.length, first.absent) == (237, 7 * 48, 7 * 48 - 237)
    check()
    archive = Archive(home.archive("taxibj"))
    assert set(archive.head.sources) == {str(folder / name) for name in years}
    assert archive.source_settings["catalog"] == "taxibj"
    assert archive.dataset()["inflow"].attrs["units"] == "1"
    assert archive.dataset().attrs["license"] == source.licence
    again = ingest(home, "taxibj")
    assert (again.appended, again.unchanged, again.commit) == (0, 237, first.commit)
    years[YEARS[3]] = slots_of("2013-07-08", 1, [(0, 1)])
    write_year(folder / YEARS[3], years[YEARS[3]], counts_of(years[YEARS[3]]))
    more = ingest(home, "taxibj")
    assert (more.appended, more.unchanged, more.filled, more.length) == (47, 237, 0, 8 * 48)
    check()
    years[YEARS[2]] = slots_of("2013-07-04", 1)
    write_year(folder / YEARS[2], years[YEARS[2]], counts_of(years[YEARS[2]]))
    late = ingest(home, "taxibj")  # a year that was fetched later fills its slots
    assert (late.appended, late.filled, late.absent) == (0, 48, 3 + 48 + 1)
    check()


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
