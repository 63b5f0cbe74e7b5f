"""Data to forecast from: labelled arrays, and files by path, glob and list."""

import os
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import simvp
from datasets.store.store import Store
from simvp.errors import ArchiveError, ContractError, SourceError
from simvp.files import source
from simvp.files.source import opened
from simvp.inference.forecaster import Forecaster
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(["t2m"], frames=8 * 24, shape=(3, 4))


@pytest.fixture(scope="module")
def model(world: xr.Dataset) -> Forecaster:
    return small_forecaster(world)


def refused(data: Any, kind: type[Exception] = SourceError) -> str:
    with pytest.raises(kind) as caught, opened(data):
        pass
    return str(caught.value)


class TestPredict:
    def test_a_data_array_comes_back_as_one(self, world: xr.Dataset, model: Forecaster) -> None:
        whole = simvp.predict(world, model)
        for forecast in (simvp.predict(world["t2m"], model), model.predict(world["t2m"])):
            assert isinstance(forecast, xr.DataArray)
            xr.testing.assert_equal(forecast.drop_vars("created"), whole["t2m"].drop_vars("created"))
            assert forecast.attrs["units"] == "K"

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    @pytest.mark.parametrize("form", ["netcdf", "netcdf3", "zarr2", "zarr3"])
    def test_a_path_is_what_lies_there(self, world: xr.Dataset, model: Forecaster, form: str, tmp_path: Path) -> None:
        path = tmp_path / "frames"
        if form.startswith("zarr"):
            world.to_zarr(path, zarr_format=int(form[-1]), consolidated=form == "zarr2")  # type: ignore[call-overload]
        else:
            world.to_netcdf(path, format="NETCDF3_CLASSIC" if form == "netcdf3" else "NETCDF4")
        expected = simvp.predict(world, model)
        for given in (path, str(path)):
            forecast = simvp.predict(given, model)
            np.testing.assert_array_equal(forecast["t2m"], expected["t2m"])
            np.testing.assert_array_equal(forecast["valid_time"], expected["valid_time"])

    def test_files_are_closed_again(self, world: xr.Dataset, model: Forecaster, tmp_path: Path) -> None:
        world.to_netcdf(tmp_path / "a.nc")
        forecast = simvp.predict(tmp_path / "a.nc", model)
        with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:  # HDF5 lets nobody write to a file that is open
            file.title = "changed"
        assert np.isfinite(forecast["t2m"].values).all()
        assert forecast["latitude"].values[0] == world["latitude"].values[0]

    def test_several_files_by_glob_and_list(self, world: xr.Dataset, model: Forecaster, tmp_path: Path) -> None:
        for day in range(8):
            world.isel(time=slice(24 * day, 24 * day + 24)).to_netcdf(tmp_path / f"day{day}.nc")
        expected = simvp.predict(world, model)["t2m"]
        files = [tmp_path / f"day{day}.nc" for day in reversed(range(8))]
        for given in (tmp_path / "day*.nc", str(tmp_path / "day?.nc"), files, tuple(map(str, files))):
            np.testing.assert_array_equal(simvp.predict(given, model)["t2m"], expected)

    def test_an_archive_is_opened_as_one(self, world: xr.Dataset, model: Forecaster, tmp_path: Path) -> None:
        first = world.assign_coords(present=("time", np.ones(world.sizes["time"], bool)))
        Store(tmp_path / "archive.zarr").create(first, axis="time", chunks={"time": 24}, state={"kind": "archive"})
        forecast = simvp.predict(tmp_path / "archive.zarr", model)
        np.testing.assert_array_equal(forecast["t2m"], simvp.predict(world, model)["t2m"])

    def test_grib(self, tmp_path: Path) -> None:
        pytest.importorskip("cfgrib", reason="no cfgrib, which reads GRIB")
        grib = pytest.importorskip("tests.support.files.grib", reason="no ecCodes, which writes GRIB")
        values = grib.maps(30)
        path = grib.keep(tmp_path / "a.grib", [grib.message(value, hour=hour) for hour, value in enumerate(values)])
        with opened(path) as ds:
            grib.assert_at_places(ds["t2m"], values)
            np.testing.assert_array_equal(ds["time"], grib.times(*range(30)))
        assert [file.name for file in tmp_path.iterdir()] == ["a.grib"]  # no index beside it


class TestOpened:
    def test_files_of_one_map_each(self, world: xr.Dataset, tmp_path: Path) -> None:
        for hour in range(4):
            one = world.isel(time=hour).assign_coords(run=np.datetime64("2020-01-01") + np.timedelta64(hour, "D"))
            one.to_netcdf(tmp_path / f"{hour}.nc")
        with opened(tmp_path / "*.nc") as ds:
            xr.testing.assert_equal(ds["t2m"].load(), world["t2m"].isel(time=slice(0, 4)))

    def test_variables_in_files_of_their_own(self, tmp_path: Path) -> None:
        world = formula_world(frames=4, shape=(3, 4))
        for name in world.data_vars:
            world[[name]].to_netcdf(tmp_path / f"{name}.nc")
        with opened(tmp_path / "*.nc") as ds:
            xr.testing.assert_equal(ds.load(), world)

    def test_without_dask_several_files_are_read(
        self, world: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for part in range(2):
            world.isel(time=slice(96 * part, 96 * part + 96)).to_netcdf(tmp_path / f"{part}.nc")
        there = source.find_spec
        monkeypatch.setattr(source, "find_spec", lambda name: None if name == "dask" else there(name))
        with opened(tmp_path / "*.nc") as ds:
            assert ds.chunks == {}
            xr.testing.assert_equal(ds.load(), world)

    def test_the_home_of_the_user(self, world: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        world.to_netcdf(tmp_path / "a[1].nc")  # a name that is there is no pattern
        with opened("~/a[1].nc") as ds:
            assert ds.sizes["time"] == world.sizes["time"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "got"),
        [
            (np.zeros((3, 4)), "numpy.ndarray"),
            (None, "NoneType"),
            (3, "int"),
            (b"a.nc", "bytes"),
            ([], "list"),
            ([3], "list"),
        ],
    )
    def test_a_wrong_type(self, data: Any, got: str) -> None:
        text = refused(data, ContractError)
        assert f"expected an xarray Dataset, a DataArray or a path of files, got {got}" in text
        assert "label it: xr.Dataset" in text

    def test_a_table(self) -> None:
        text = refused(pd.DataFrame({"t2m": [1.0]}), ContractError)
        assert "got pandas.DataFrame" in text
        assert ".to_xarray()" in text

    def test_a_data_array_without_the_name_of_a_variable(self, world: xr.Dataset) -> None:
        assert "got one called None" in refused(world["t2m"].rename(None), ContractError)
        assert "got one called 'time'" in refused(world["time"], ContractError)

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert f"expected a file or a folder, found none: {tmp_path}/a.nc" in refused(tmp_path / "a.nc")
        assert f"no file matches {tmp_path}/*.nc" in refused(tmp_path / "*.nc")

    def test_what_is_no_data(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("a note")
        text = refused(tmp_path / "notes.txt")
        assert "expected NetCDF, Zarr or GRIB by content, got first bytes b'a note'" in text
        assert f"name the files in it: {tmp_path}/*.nc" in refused(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        assert "expected a file, got something else" in refused(tmp_path / "pipe")

    def test_a_damaged_file(self, world: xr.Dataset, tmp_path: Path) -> None:
        world.to_netcdf(tmp_path / "a.nc")
        whole = (tmp_path / "a.nc").read_bytes()
        (tmp_path / "a.nc").write_bytes(whole[: len(whole) // 3])
        assert "a.nc cannot be opened: " in refused(tmp_path / "a.nc")

    def test_a_package_that_is_missing(
        self, world: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.to_netcdf(tmp_path / "a.nc")
        world.to_zarr(tmp_path / "a.zarr", zarr_format=2)
        (tmp_path / "a.grib").write_bytes(b"GRIB....")
        monkeypatch.setattr(source, "find_spec", lambda name: None)
        text = refused(tmp_path / "a.nc")
        assert "NetCDF-4 is read with netCDF4 or h5netcdf, which is not installed" in text
        assert "pip install h5netcdf" in text
        assert "GRIB is read with cfgrib" in refused(tmp_path / "a.grib")
        assert "Zarr is read with zarr" in refused(tmp_path / "a.zarr")

    def test_files_that_are_not_of_one_series(self, world: xr.Dataset, tmp_path: Path) -> None:
        world.isel(time=slice(0, 9)).to_netcdf(tmp_path / "0.nc")
        world.isel(time=slice(5, 20)).to_netcdf(tmp_path / "1.nc")
        text = refused(tmp_path / "*.nc")
        assert f"the 2 files {tmp_path}/0.nc .. {tmp_path}/1.nc are not of one series" in text
        assert "whose times do not overlap" in text
        (tmp_path / "2.nc").write_text("a note")
        xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "3.nc")
        text = refused(tmp_path / "*.nc")
        assert f"{tmp_path}/2.nc: expected NetCDF, Zarr or GRIB by content" in text
        assert f"{tmp_path}/3.nc: no time axis" in text

    def test_a_folder_of_forecasts_is_no_archive(self, tmp_path: Path) -> None:
        from tests.simvp.files.forecasts import forecast

        Store(tmp_path / "a").create(forecast(), axis="init_time", chunks={}, state={"kind": "forecasts"})
        assert "expected archive, got a store of forecasts" in refused(tmp_path / "a", ArchiveError)
