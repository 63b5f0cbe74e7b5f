"""Files that differ in their times and values alone are read as one, to the bit what they are one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from datasets.readers.source import open_source
from simvp.errors import SourceError
from tests.support.files.slowly import one_by_one

LAT = np.array([52.0, 51.0, 50.0], "f4")
LON = np.array([-2.0, -1.0, 0.0, 1.0], "f4")
START = np.datetime64("2020-01-01", "ns")
PACKED = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 300.0, "_FillValue": np.int16(-32768)}
World = Callable[[int], tuple[xr.Dataset, dict[str, Any]]]


def hourly(file: int, count: int = 1) -> xr.Dataset:
    """Times and values of one file: whatever is mixed up is seen."""
    hour = np.arange(count) + count * file
    values = 300 + hour[:, None, None] / 4 + LAT[:, None] / 64 + LON / 512
    return xr.Dataset(
        {"t2m": (("time", "lat", "lon"), values.astype("f4"), {"units": "K", "long_name": "2 m temperature"})},
        coords={
            "time": ("time", START + hour * np.timedelta64(1, "h"), {"standard_name": "time"}),
            "lat": ("lat", LAT, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", LON, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        attrs={"title": "world", "history": f"made as number {file}"},
    )


def as_is(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file), {}


def scaled_file_by_file(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(file)
    ds["t2m"][0, 1, file % 4] = np.nan
    return ds, {"t2m": {**PACKED, "scale_factor": 0.01 + 0.001 * file, "add_offset": 300.0 - file}}


def scaled_too_finely_for_float32(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file), {"t2m": {**PACKED, "scale_factor": 1e-5 if file == 3 else 0.01, "add_offset": 301.0}}


def counted_from_its_own_date(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file), {"time": {"units": f"minutes since 2020-01-01T{file:02d}:00:00", "dtype": "f8"}}


def of_several_times(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(file, 4)
    return ds.isel(time=slice(1, None) if file == 2 else [0, 2, 1, 3]), {}


def of_interleaved_times(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(0, 18)
    return ds.isel(time=slice(file, None, 6)), {}


def of_a_scalar_time(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file).squeeze("time"), {}


def of_a_time_that_is_no_coordinate(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file).squeeze("time").reset_coords("time").rename(time="when"), {}


def of_a_time_on_an_axis_of_its_own(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(file)
    return ds.isel(time=0, drop=True).assign_coords(when=("t", ds["time"].values, {"standard_name": "time"})), {}


def turned_and_on_levels(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = xr.concat([hourly(file) + level for level in (0, 8)], "plev").assign_coords(plev=[850.0, 500.0])
    return ds.transpose("lon", "plev", "time", "lat").isel(lat=[2, 1, 0]), {}


def whole_numbers(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file).astype("i4"), {}


def of_two_variables_and_bounds(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(file).assign(u=(hourly(file)["t2m"].astype("f8") - 300).drop_attrs())
    ds["mask"] = (("lat", "lon"), np.full((3, 4), file))
    return ds.assign(time_bnds=(("time", "two"), [[file, file + 1.0]])), {}


def without_leap_days(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    times = xr.date_range("2020-02-28T22", periods=6, freq="h", calendar="noleap", use_cftime=True)
    return hourly(file).assign_coords(time=("time", times[file : file + 1], {"standard_name": "time"})), {}


def on_a_plane(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds = hourly(file).rename(lat="j", lon="i").drop_vars(["i", "j"])
    rows, columns = np.meshgrid(LAT, LON, indexing="ij")
    attrs = {"latitude": {"units": "degrees_north"}, "longitude": {"units": "degrees_east"}}
    planes = {"latitude": rows + columns / 10, "longitude": columns + rows / 10}
    return ds.assign_coords({n: (("j", "i"), v, attrs[n]) for n, v in planes.items()}), {}


def on_one_level(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file).expand_dims(plev=[850.0], axis=1).assign_coords(station="north"), {}


def of_two_versions(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    return hourly(file).assign_coords(number=0, expver=("time", ["0001" if file < 2 else "0005"])), {}


WORLDS: list[tuple[World, dict[str, Any]]] = [
    (as_is, {}),
    (scaled_file_by_file, {}),
    (counted_from_its_own_date, {}),
    (of_several_times, {}),
    (of_interleaved_times, {}),
    (of_a_scalar_time, {}),
    (of_a_time_that_is_no_coordinate, {}),
    (of_a_time_on_an_axis_of_its_own, {}),
    (turned_and_on_levels, {"select": {"level": 500}}),
    (whole_numbers, {}),
    (of_two_variables_and_bounds, {}),
    (of_two_variables_and_bounds, {"variables": ["u"], "units": {"u": "m"}}),
    (of_two_variables_and_bounds, {"variables": ["t2m", "mask"]}),
    (without_leap_days, {}),
    (on_a_plane, {}),
    (on_one_level, {}),
    (of_two_versions, {}),
]


def write(folder: Path, world: World) -> Path:
    """Four files, under names that are not in the order of time."""
    folder.mkdir(exist_ok=True)
    for file in range(4):
        ds, encoding = world(file)
        ds.to_netcdf(folder / f"{(file * 5) % 7}.nc", encoding=encoding)
    return folder


def assert_same(ds: xr.Dataset, expected: xr.Dataset) -> None:
    xr.testing.assert_identical(ds.load(), expected.load())
    assert {n: v.dtype for n, v in ds.variables.items()} == {n: v.dtype for n, v in expected.variables.items()}


@pytest.mark.parametrize(("world", "options"), WORLDS, ids=lambda made: getattr(made, "__name__", ""))
def test_read_as_one_they_are_what_they_are_one_by_one(
    world: World, options: dict[str, Any], tmp_path: Path, opened: list[str]
) -> None:
    folder = write(tmp_path / "files", world)
    ds = open_source(folder, **options)
    assert len(opened) == 2  # one to see what they are, and the first in time, for its attributes
    expected = one_by_one(folder, **options)
    assert ds.sizes["time"] == expected.sizes["time"] >= 4
    part = {"time": [3, 1, 2], ds[next(iter(ds.data_vars))].dims[1]: slice(None, None, -1)}
    assert_same(ds.isel(part), expected.isel(part))
    assert_same(ds, expected)


def changed(how: Callable[[xr.Dataset], xr.Dataset]) -> World:
    return lambda file: (how(hourly(file)) if file in (1, 2) else hourly(file), {})


def on_levels(file: int) -> tuple[xr.Dataset, dict[str, Any]]:
    ds, _ = turned_and_on_levels(file)
    return ds.isel(plev=[1, 0]) if file in (1, 2) else ds, {}


ODD: dict[str, World] = {
    "grid in another order": changed(lambda ds: ds.isel(lat=[2, 1, 0])),
    "grid with noise": changed(lambda ds: ds.assign_coords(lat=ds["lat"] + np.float32(1e-5))),
    "unit spelled otherwise": changed(lambda ds: ds.assign(t2m=ds["t2m"].assign_attrs(units="kelvin"))),
    "another type": changed(lambda ds: ds.astype("f8", keep_attrs=True)),
    "another variable": changed(lambda ds: ds.rename(t2m="d2m")),
    "another name of an axis": changed(lambda ds: ds.rename(lat="y", lon="x")),
    "one finer than float32": scaled_too_finely_for_float32,
    "levels in another order": on_levels,
}


@pytest.mark.parametrize("case", ODD)
def test_odd_ones_among_them_are_read_as_they_are(case: str, tmp_path: Path, opened: list[str]) -> None:
    folder = write(tmp_path / "files", ODD[case])
    options: dict[str, Any] = {"select": {"level": 500}} if "level" in case else {}
    ds = open_source(folder, **options)
    assert len(opened) < 5
    assert_same(ds, one_by_one(folder, **options))


REFUSED: dict[str, World] = {
    "shifted grid": changed(lambda ds: ds.assign_coords(lat=ds["lat"] + np.float32(0.25))),
    "smaller grid": changed(lambda ds: ds.isel(lat=[0, 1])),
    "smaller grid without labels": lambda file: (
        hourly(file).rename(lat="y", lon="x").drop_vars(["y", "x"]).isel(y=slice(2 if file in (1, 2) else 3)),
        {},
    ),
    "level": lambda file: (hourly(file).assign_coords(plev=500.0 if file in (1, 2) else 850.0), {}),
    "standard name": lambda file: (
        hourly(file).assign(t2m=hourly(file)["t2m"].assign_attrs(standard_name="ab"[file in (1, 2)])),
        {},
    ),
    "unit": changed(lambda ds: ds.assign(t2m=ds["t2m"].assign_attrs(units="degC"))),
    "one variable more": changed(lambda ds: ds.assign(d2m=ds["t2m"])),
    "times twice": changed(lambda ds: ds.assign_coords(time=hourly(0)["time"].values)),
    "no dates": changed(lambda ds: ds.assign_coords(time=("time", [1.0], {"units": "hours since yesterday"}))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_wrong_one_is_named_as_when_they_are_opened_one_by_one(case: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "files", REFUSED[case])
    with pytest.raises(SourceError) as expected:
        one_by_one(folder)
    with pytest.raises(SourceError) as refused:
        open_source(folder)
    assert str(refused.value) == str(expected.value)
    assert "3.nc" in str(refused.value)


def test_one_file_is_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_source(write(tmp_path / "files", as_is))
    read: list[str] = []
    plain = netCDF4.Dataset

    def recorded(path: str, *rest: Any) -> netCDF4.Dataset:
        read.append(Path(path).name)
        return plain(path, *rest)

    monkeypatch.setattr(netCDF4, "Dataset", recorded)
    ds["t2m"][1:3].load()
    assert read == ["5.nc", "3.nc"]  # numbers 1 and 2: those of the slice alone, each once
