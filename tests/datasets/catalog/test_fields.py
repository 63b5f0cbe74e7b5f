"""Parts of fields and means over blocks, among them radar files of the published form."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from datasets.catalog.fields import PACIFIC, block_means, read_pacific, read_radar, within
from datasets.readers import open_source


def test_a_part_keeps_the_order_and_both_ends() -> None:
    latitude, longitude = np.arange(88, -90, -2.0), np.arange(0, 360, 2.0)
    ds = xr.Dataset(
        {"a": (("latitude", "longitude"), latitude[:, None] * 1000 + longitude)},
        {"latitude": latitude, "longitude": longitude},
    )
    part = within(ds, PACIFIC)
    np.testing.assert_array_equal(part["latitude"], np.arange(30, -32, -2))
    np.testing.assert_array_equal(part["longitude"], np.arange(120, 292, 2))
    assert part["a"].sel(latitude=-30, longitude=290) == -30_000 + 290


def test_means_over_blocks_by_hand() -> None:
    values = np.array([[1, 2, 5, 6, 9], [3, np.nan, 7, 8, 9], [0, 0, np.nan, np.nan, 9], [0, 4, np.nan, np.nan, 9]])
    ds = xr.Dataset(
        {"rain": (("time", "y", "x"), values[None], {"units": "mm"})},
        {"time": [np.datetime64("2020-01-01", "ns")], "y": [3.0, 2, 1, 0], "x": np.arange(5.0)},
        {"title": "kept"},
    )
    means = block_means(ds, 2)
    np.testing.assert_array_equal(
        means["rain"][0], [[2, 6.5], [1, np.nan]]
    )  # of what is there; the fifth column is cut
    np.testing.assert_array_equal(means["y"], [2.5, 0.5])
    np.testing.assert_array_equal(means["x"], [0.5, 2.5])
    assert means["rain"].attrs == {"units": "mm", "cell_methods": "area: mean"}
    assert means.attrs == {"title": "kept"}


def write_radar(path: Path, minute: int, stored: np.ndarray) -> None:
    """A file as the radar's are: one frame of packed amounts of ten minutes, on a projected grid in km."""
    rows, columns = stored.shape
    with netCDF4.Dataset(path, "w") as file:
        file.Conventions = "CF-1.7"
        file.createDimension("y", rows)
        file.createDimension("x", columns)
        file.createDimension("n2", 2)
        for name, offset in {"valid_time": 0, "start_time": -600}.items():
            time = file.createVariable(name, "i8", ())
            time.units = "seconds since 1970-01-01 00:00:00 UTC"
            time[()] = 1604102400 + 60 * minute + offset
        file["valid_time"].standard_name = "time"
        amount = file.createVariable("precipitation", "i2", ("y", "x"), zlib=True, fill_value=-1)
        amount.setncatts(
            {
                "long_name": "Accumulated precipitation",
                "standard_name": "precipitation_amount",
                "units": "kg m-2",
                "add_offset": 0.0,
                "scale_factor": 0.05,
                "grid_mapping": "proj",
            }
        )
        amount.set_auto_maskandscale(False)
        amount[:] = stored
        file.createVariable("proj", "i1", ()).setncatts(
            {
                "grid_mapping_name": "albers_conical_equal_area",
                "standard_parallel": [-26.2, -29.3],
                "longitude_of_central_meridian": 153.24,
                "latitude_of_projection_origin": -27.7178,
                "semi_major_axis": 6378137.0,
                "semi_minor_axis": 6356752.31414,
            }
        )
        for name, size, sign in (("y", rows, -1), ("x", columns, 1)):
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts(
                {"standard_name": f"projection_{name}_coordinate", "units": "km", "bounds": f"{name}_bounds"}
            )
            axis[:] = sign * 0.5 * (np.arange(size) - (size - 1) / 2)
            bounds = file.createVariable(f"{name}_bounds", "f8", (name, "n2"))
            bounds[:] = axis[:][:, None] + np.array([-0.25, 0.25])


def test_radar_files_become_frames_of_4_km(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    stored = random.integers(0, 200, (3, 32, 24)).astype("i2")
    stored[1, :8, :8] = -1  # a block without a value
    stored[2, 8, 8] = -1
    stored[2, 9, 9] = -2  # stands beside the declared mark in the published files
    for number, frame in enumerate(stored):
        write_radar(tmp_path / f"66_20201031_00{number}000.nc", 10 * number, frame)
    files = sorted(tmp_path.glob("*.nc"))
    ds = read_radar(files)
    rain = ds["precipitation"]
    assert rain.shape == (3, 4, 3)
    expected = np.empty((3, 4, 3))
    for time, row, column in np.ndindex(expected.shape):
        block = stored[time, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        expected[time, row, column] = 0.05 * block[block >= 0].mean() if (block >= 0).any() else np.nan
    np.testing.assert_allclose(rain, expected, rtol=1e-5)
    assert rain.isnull().sum() == 1
    assert rain.min() >= 0
    np.testing.assert_array_equal(
        ds["time"], np.datetime64("2020-10-31T00:00", "ns") + np.arange(3) * np.timedelta64(10, "m")
    )
    np.testing.assert_allclose(np.diff(ds["y"]), -4.0)
    np.testing.assert_allclose(np.diff(ds["x"]), 4.0)
    assert rain.attrs["units"] == "kg m-2"
    assert rain.attrs["grid_mapping"] == "proj"
    assert ds["proj"].attrs["grid_mapping_name"] == "albers_conical_equal_area"


def test_the_pacific_of_a_global_file(shared: Path, tmp_path: Path) -> None:
    part = open_source(shared / "data" / "skill" / "ersst-pacific-2010-2020.nc")[["sst"]].load()
    globe = part.reindex(latitude=np.arange(88, -90, -2.0), longitude=np.arange(0, 360, 2.0), fill_value=1.0)
    globe.to_netcdf(tmp_path / "sst.mnmean.nc")
    again = read_pacific([tmp_path / "sst.mnmean.nc"])
    np.testing.assert_array_equal(again["sst"], part["sst"])
    assert again["latitude"].equals(part["latitude"])


@pytest.mark.parametrize("size", [1, 8])
def test_dry_stays_dry(size: int) -> None:
    ds = xr.Dataset({"rain": (("time", "y", "x"), np.zeros((2, 16, 16), "f4"))}).chunk()
    assert (block_means(ds, size)["rain"] == 0).all()
