"""Static maps: found on the grid of the frames in whatever order, and refused in words."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.readers.static_maps import open_maps
from simvp.coords.axes import canonicalise
from simvp.errors import SourceError

ROWS, COLUMNS = np.array([52.0, 51.0, 50.0]), np.array([0.0, 1.0])
HEIGHT = np.arange(6.0).reshape(3, 2)


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
