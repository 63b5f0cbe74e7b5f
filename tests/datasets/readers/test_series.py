"""Series of values by time alone: CSV and NetCDF, and every wrong one in words."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.readers.series import open_series
from simvp.errors import SourceError

DAYS = np.arange("2024-01-01", "2024-01-04", dtype="M8[D]").astype("M8[ns]")
ONE = {"units": "1"}


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
