"""What lies beside the frames: series by time alone, and static maps; and every wrong one in words."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.readers.series import open_series
from datasets.readers.static_maps import open_maps
from simvp.coords.axes import canonicalise
from simvp.errors import SourceError

DAYS = np.arange("2024-01-01", "2024-01-04", dtype="M8[D]").astype("M8[ns]")
ONE = {"units": "1"}
ROWS, COLUMNS = np.array([52.0, 51.0, 50.0]), np.array([0.0, 1.0])
HEIGHT = np.arange(6.0).reshape(3, 2)


def test_a_csv_is_read_by_its_header_with_times_in_utc(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("when, open, closed\n2024-01-01T01:00+01:00,1,0.5\n2024-01-02T00:00Z,0,\n")
    ds = open_series(tmp_path / "a.csv", units={"open": "1", "closed": "m"})
    assert ds is not None
    assert ds["open"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(ds["time"], DAYS[:2])
    np.testing.assert_array_equal(ds["open"][:, 0, 0], [1, 0])
    np.testing.assert_array_equal(ds["closed"][:, 0, 0], [0.5, np.nan])
    assert ds["closed"].attrs["units"] == "m"


def test_a_file_of_series_is_one_and_a_file_of_maps_is_none(tmp_path: Path) -> None:
    series = xr.Dataset({"a": ("t", [1.0, 2.0, 3.0], ONE), "b": ("t", [1.0, 2.0, 3.0])}, {"t": DAYS})
    series.to_netcdf(tmp_path / "series.nc")
    ds = open_series(tmp_path / "series.nc", variables=["a"])
    assert ds is not None
    assert list(ds.data_vars) == ["a"]
    np.testing.assert_array_equal(ds["time"], DAYS)
    xr.Dataset({"a": (("t", "y", "x"), np.zeros((3, 2, 2)))}, {"t": DAYS}).to_netcdf(tmp_path / "maps.nc")
    assert open_series(tmp_path / "maps.nc") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("day\n2024-01-01\n", "expected two columns or more, got day"),
        ("day,a\nsoon,1\n", "day: expected times as 2024-03-01 or 2024-03-01T06:00"),
        ("day,a\n2024-01-01,yes\n", "a: expected numbers"),
        (
            "day,a\n2024-01-02,1\n2024-01-01,1\n",
            "expected rising times, got 2024-01-02T00:00:00 followed by 2024-01-01",
        ),
        ("day,a\n2024-01-01,1\n2024-01-02,1\n2024-01-02T07:01,1\n", "time"),
        ("day,a\n2024-01-01,1\n", r"a: units are missing, or none; state them: units\.a = \"1\" for a pure number"),
    ],
)
def test_a_csv_that_is_no_series_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match=reason):
        open_series(tmp_path / "a.csv")


def test_variables_that_are_not_there_and_dims_without_times_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,a\n2024-01-01,1\n")
    with pytest.raises(SourceError, match="b: there is no such variable, but a"):
        open_series(tmp_path / "a.csv", variables=["b"])
    with pytest.raises(SourceError, match="there is no such file"):
        open_series(tmp_path / "b.csv")
    xr.Dataset({"a": ("n", [1.0, 2.0], ONE)}, {"n": [1, 2]}).to_netcdf(tmp_path / "numbers.nc")
    with pytest.raises(SourceError, match="n: expected times, got int64"):
        open_series(tmp_path / "numbers.nc")


def frames() -> xr.Dataset:
    times = np.arange(3).astype("M8[h]").astype("M8[ns]")
    ds = xr.Dataset(
        {"x": (("time", "lat", "lon"), np.zeros((3, 3, 2), "f4"), {"units": "K"})},
        {"time": times, "lat": ROWS, "lon": COLUMNS},
    )
    return canonicalise(ds)[0]


def maps(values: np.ndarray = HEIGHT, name: str = "z", rows: np.ndarray = ROWS) -> xr.Dataset:
    return xr.Dataset({name: (("lat", "lon"), values, {"units": "m"})}, {"lat": rows, "lon": COLUMNS})


def test_a_map_comes_in_the_order_of_the_frames_with_or_without_a_time(tmp_path: Path) -> None:
    maps().isel(lat=slice(None, None, -1)).transpose("lon", "lat").to_netcdf(tmp_path / "a.nc")
    found = open_maps(tmp_path / "a.nc", frames())
    assert list(found) == ["z"]
    assert found["z"].dims == frames()["x"].dims[1:]
    np.testing.assert_array_equal(found["z"], HEIGHT)
    maps().expand_dims(time=[np.datetime64("1990-01-01", "ns")]).to_netcdf(tmp_path / "b.nc")
    np.testing.assert_array_equal(open_maps(tmp_path / "b.nc", frames(), variables=["z"])["z"], HEIGHT)


@pytest.mark.parametrize(
    ("ds", "variables", "reason"),
    [
        (maps(), ["y"], "y: there is no such variable, but z"),
        (maps(name="x"), None, "x: the frames have a variable of that name"),
        (maps(np.ones((3, 2))), None, "z: it is the same at every point"),
        (maps(rows=ROWS + 0.2), None, r"latitude differs by up to 0\.2"),
        (xr.Dataset({"z": ("lat", [1.0])}), None, "there is no variable with two axes"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    tmp_path: Path, ds: xr.Dataset, variables: list[str] | None, reason: str
) -> None:
    ds.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(SourceError, match=reason):
        open_maps(tmp_path / "a.nc", frames(), variables=variables)
