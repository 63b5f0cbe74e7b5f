"""Trips as counts on a grid, from small files of the forms in which they are published."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from datasets.archive.archive import Archive
from datasets.catalog.entries import SOURCES
from datasets.catalog.published import PublishedFile, PublishedSource
from datasets.catalog.trips import NEW_YORK, NEW_YORK_SQUARE, Cells, read_taxi, read_uber
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError

SMALL = Cells(south=0.0, north=4.0, west=10.0, east=16.0, shape=(2, 3))


def test_cells_by_hand() -> None:
    np.testing.assert_array_equal(SMALL.latitude, [1, 3])
    np.testing.assert_array_equal(SMALL.longitude, [11, 13, 15])
    points = {
        (0.0, 10.0): 0,  # the corner in the south-west belongs to the first cell
        (1.9, 11.9): 0,
        (1.0, 12.0): 1,
        (1.0, 15.9): 2,
        (2.0, 10.0): 3,
        (3.9, 15.9): 5,
        (4.0, 11.0): -1,  # the northern and the eastern edge lie outside
        (1.0, 16.0): -1,
        (-0.1, 11.0): -1,
        (1.0, 9.9): -1,
        (np.nan, 11.0): -1,
        (1.0, np.nan): -1,
        (-5e-324, 11.0): -1,  # outside by the least that a float can say
        (np.nextafter(4.0, 0.0), 15.0): 5,
        (1.0, np.nextafter(16.0, 0.0)): 2,
    }
    latitude, longitude = np.array(list(points)).T
    np.testing.assert_array_equal(SMALL.number(latitude, longitude), list(points.values()))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 6), st.floats(-1, 5), st.floats(9, 17)), max_size=40))
def test_counts_are_those_of_counting_one_by_one(points: list[tuple[int, float, float]]) -> None:
    slot, latitude, longitude = np.array(points, dtype=float).reshape(-1, 3).T
    counts = SMALL.count(slot.astype(int), SMALL.number(latitude, longitude), slots=4)
    expected = np.zeros((4, 2, 3))
    for when, lat, lon in points:
        if 0 <= when < 4 and 0 <= lat < 4 and 10 <= lon < 16:
            expected[when, int(lat // 2), int((lon - 10) // 2)] += 1
    np.testing.assert_array_equal(counts, expected)


def test_both_grids_of_new_york_have_the_same_edges() -> None:
    assert (NEW_YORK.shape, NEW_YORK_SQUARE.shape) == ((20, 10), (20, 20))
    np.testing.assert_allclose(NEW_YORK.latitude, NEW_YORK_SQUARE.latitude)
    np.testing.assert_allclose(NEW_YORK.longitude, NEW_YORK_SQUARE.longitude.reshape(10, 2).mean(1))
    # Nearly square: km to the north and to the east.
    rows, columns = np.diff(NEW_YORK_SQUARE.latitude)[0], np.diff(NEW_YORK_SQUARE.longitude)[0]
    np.testing.assert_allclose(111.2 * rows, 111.2 * np.cos(np.deg2rad(40.74)) * columns, rtol=0.05)


def addressed() -> np.ndarray:
    """Counts (1488, 20, 10), each of which says where it stands."""
    time, row, column = np.meshgrid(np.arange(1488), np.arange(20), np.arange(10), indexing="ij")
    return 200.0 * time + 10 * row + column


def test_taxi_counts_from_two_parts_and_from_one_file(tmp_path: Path) -> None:
    counts = addressed()
    volume = counts.transpose(0, 2, 1)[..., None]
    np.savez(tmp_path / "train.npz", volume=volume[:1041])
    np.savez(tmp_path / "test.npz", volume=volume[1041:])
    ds = read_taxi([tmp_path / "train.npz", tmp_path / "test.npz"])
    assert ds["pickups"].chunks is not None
    for time, row, column in [(0, 0, 0), (0, 0, 9), (0, 19, 0), (1040, 3, 4), (1041, 3, 4), (1487, 19, 9)]:
        label = {
            "time": np.datetime64("2015-01-01") + time * np.timedelta64(30, "m"),
            "latitude": 40.63 + 0.011 * (row + 0.5),
            "longitude": -74.05 + 0.03 * (column + 0.5),
        }
        assert ds["pickups"].sel(label, method="nearest", tolerance=1e-9) == counts[time, row, column]
    xr.Dataset(
        {"pickups": (("time", "y", "x"), counts, {"units": "1"})},
        {"time": ds["time"].values, "y": np.arange(20.0), "x": np.arange(10.0)},
    ).to_netcdf(tmp_path / "ready.nc")
    assert read_taxi([tmp_path / "ready.nc"]).equals(ds)


def test_taxi_counts_of_another_form_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", flow=np.zeros(3))
    with pytest.raises(SourceError, match=r"a\.npz: expected an array volume, got flow"):
        read_taxi([tmp_path / "a.npz"])
    np.savez(tmp_path / "b.npz", volume=np.zeros((3, 10, 20)))
    with pytest.raises(SourceError, match=r"b\.npz: expected volume \(N, columns, rows, 1\), got \(3, 10, 20\)"):
        read_taxi([tmp_path / "b.npz"])
    np.savez(tmp_path / "c.npz", volume=np.zeros((3, 10, 20, 1)))
    with pytest.raises(SourceError, match=r"c\.npz: expected counts \(1488, 20, 10\), got \(3, 20, 10\)"):
        read_taxi([tmp_path / "c.npz"])
    (tmp_path / "d.npz").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"d\.npz: expected npz"):
        read_taxi([tmp_path / "d.npz"])


# Header and quotes as in the published files.
APRIL = """"Date/Time","Lat","Lon","Base"
"4/1/2014 0:11:00",40.769,-73.9549,"B02512"
"4/1/2014 0:59:59",40.769,-73.9549,"B02512"
"4/1/2014 1:00:00",40.769,-73.9549,"B02512"
"4/1/2014 0:17:00",40.7267,-74.0345,"B02512"
"4/30/2014 23:30:00",40.695,-74.1783,"B02764"
"""
SEPTEMBER = """"Date/Time","Lat","Lon","Base"
"9/30/2014 22:59:00",40.6451,-73.7841,"B02764"
"9/30/2014 23:58:00",40.6451,-73.7841,"B02764"
"""


def write_uber(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"apr": APRIL, "sep": SEPTEMBER}.items():
        (folder / f"{name}.csv").write_text(text)
    return [folder / "apr.csv", folder / "sep.csv"]


def test_uber_pick_ups_by_hour_and_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ds = read_uber(write_uber(tmp_path))
    counts = ds["pickups"]
    assert counts.shape == (183 * 24, 20, 20)
    assert [str(time)[:13] for time in ds["time"].values[[0, -1]]] == ["2014-04-01T00", "2014-09-30T23"]
    # 40.769 N: (40.769 - 40.63) / 0.011 = 12.6; 73.9549 W: (74.05 - 73.9549) / 0.015 = 6.3
    np.testing.assert_array_equal(counts[:3, 12, 6], [2, 1, 0])
    # 40.7267 N: 8.8; 74.0345 W: 1.03
    assert counts[0, 8, 1] == 1
    # Kennedy Airport, 40.6451 N: 1.4; 73.7841 W: 17.7
    np.testing.assert_array_equal(counts[-3:, 1, 17], [0, 1, 1])
    assert counts.sum() == 6  # Newark lies outside
    assert "6 of 7 pick-ups lie on the grid" in caplog.text
    assert counts.attrs == {
        "units": "1",
        "long_name": "Uber pick-ups in an hour",
        "cell_methods": "time: sum area: sum",
    }


def test_uber_files_of_another_form_are_refused_with_every_reason(tmp_path: Path) -> None:
    good, *_ = write_uber(tmp_path)
    texts = {
        "columns.csv": '"Date/Time","Latitude","Lon"\n"4/1/2014 0:11:00",40.7,-74\n',
        "times.csv": "Date/Time,Lat,Lon\n2014-04-01 00:11,40.7,-74\n4/1/2014 0:11:00,40.7,-74\n",
        "places.csv": "Date/Time,Lat,Lon\n4/1/2014 0:11:00,north,-74\n",
        "empty.csv": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as caught:
        read_uber([good, *(tmp_path / name for name in texts)])
    text = str(caught.value)
    assert f"{tmp_path / 'columns.csv'}: expected columns Date/Time, Lat, Lon; Lat missing" in text
    assert (
        f"{tmp_path / 'times.csv'}: expected times as 4/1/2014 0:11:00, and two numbers; 1 of 2 lines have others, "
        "as 2014-04-01 00:11, 40.7, -74"
    ) in text
    assert "places.csv: expected times as 4/1/2014 0:11:00, and two numbers; 1 of 1 lines have others, as" in text
    assert "empty.csv: expected text with commas: No columns to parse from file" in text
    assert "apr.csv" not in text


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_uber_pick_ups_are_ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_uber(tmp_path / "nyc-uber")
    source = SOURCES["nyc-uber"]
    assert isinstance(source, PublishedSource)
    made = tuple(
        PublishedFile(url=f"https://here.example/{f.name}", checksum=hashlib.sha256(f.read_bytes()).hexdigest())
        for f in files
    )
    monkeypatch.setitem(SOURCES, "nyc-uber", replace(source, published=made))  # type: ignore[arg-type]
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    home = Home(tmp_path / "home")
    report = ingest(home, "nyc-uber")
    assert (report.step, report.length, report.absent, report.files_read) == ("1 h", 4392, 0, 2)
    archive = Archive(home.archive("nyc-uber"))
    assert set(archive.head.sources) == {str(file) for file in files}
    assert archive.dataset()["pickups"].sum() == 6
    assert archive.dataset().attrs["license"] == source.licence
