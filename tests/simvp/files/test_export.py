"""Forecasts written for other tools: what is in the files, how they are called, and that they are whole."""

import os
import warnings
from pathlib import Path
from typing import Any

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

import simvp
from datasets.store.store import Store
from simvp.coords.steps import Step
from simvp.errors import ConfigError, Refusal, SourceError
from simvp.files import export as exporting, netcdf
from tests.simvp.files.forecasts import HOUR, LEADS, forecast
from tests.support.worlds import Kind

HALF = Step(seconds=1800)
MONTH = Step(months=1, anchor="day", day=1)


def refused(*arguments: Any, kind: type[Exception] = Refusal, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        simvp.export(*arguments, **options)
    return str(caught.value)


class TestNetCDF:
    @pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear", "index"])
    def test_every_value_stands_at_its_valid_time(self, grid: Kind, tmp_path: Path) -> None:
        ds = forecast(grid, masked=True)
        paths = simvp.export(ds, tmp_path)
        assert [path.name for path in paths] == [f"small_20200101T0{hour}.nc" for hour in (2, 3, 4)]
        for number, path in enumerate(paths):
            with xr.open_dataset(path, decode_timedelta=True) as back:
                assert back["t2m"].dims == ("time", *ds["t2m"].dims[2:])
                for name in ds.data_vars:
                    np.testing.assert_array_equal(back[name], ds[name].isel(init_time=number))
                    assert back[name].dtype == ds[name].dtype
                np.testing.assert_array_equal(back["time"], ds["valid_time"].isel(init_time=number))
                np.testing.assert_array_equal(back["forecast_period"], ds["lead_time"])
                assert back["forecast_period"].dims == ("time",)
                assert back["forecast_reference_time"].values == ds["init_time"].values[number]
                for dim in ds["t2m"].dims[2:]:
                    np.testing.assert_array_equal(back[dim], ds[dim])

    def test_what_the_file_says_of_itself(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast("projected", inits=1, masked=True), tmp_path / "a.nc")
        with netCDF4.Dataset(path) as file:
            said = {name: {key: var.getncattr(key) for key in var.ncattrs()} for name, var in file.variables.items()}
            assert file.Conventions == "CF-1.8"
            assert file.model_version == "simvp-small/1"
            assert file.created == "2020-01-02T03:04:05"
            assert {str(var.dtype) for var in file.variables.values()} <= {"float32", "float64", "int32"}
            assert np.isclose(file["t2m"].getncattr("_FillValue"), netCDF4.default_fillvals["f4"])
        assert {name for name, attrs in said.items() if "_FillValue" in attrs} == {"t2m", "d2m"}
        assert [said[name]["axis"] for name in ("time", "y", "x")] == ["T", "Y", "X"]
        assert said["time"]["units"] == "hours since 2020-01-01T02:00:00"
        assert said["time"]["standard_name"] == "time"
        assert said["forecast_period"]["units"] == "hours"
        assert said["t2m"]["grid_mapping"] == "crs"
        assert said["t2m"]["coordinates"] == "forecast_period forecast_reference_time"
        assert said["crs"]["grid_mapping_name"] == "lambert_azimuthal_equal_area"

    def test_a_grid_of_latitude_and_longitude_says_so(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(inits=1), tmp_path / "a.nc")
        with netCDF4.Dataset(path) as file:
            assert file["t2m"].grid_mapping == "crs"
            assert file["crs"].grid_mapping_name == "latitude_longitude"
            assert "earth_radius" not in file["crs"].ncattrs()  # nobody knows

    @pytest.mark.parametrize(
        ("step", "unit"), [(HOUR, "hours"), (HALF, "minutes"), (Step(seconds=90), "seconds"), (MONTH, "hours")], ids=str
    )
    @pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
    def test_calendars_and_steps(self, step: Step, unit: str, calendar: str, tmp_path: Path) -> None:
        ds = forecast(step=step, calendar=calendar)
        (path,) = simvp.export(ds, tmp_path / "a.nc", init_time=ds["init_time"].values[1])
        with netCDF4.Dataset(path) as file:
            assert file["time"].calendar == calendar
            assert file["time"].units.startswith(f"{unit} since ")
        with xr.open_dataset(path, decode_timedelta=True) as back:
            np.testing.assert_array_equal(back["time"], ds["valid_time"][1])
            assert back["forecast_period"].values[0] == (1 if step is MONTH else np.timedelta64(step.seconds, "s"))

    def test_names_and_order_of_the_caller(self, tmp_path: Path) -> None:
        ds = forecast(inits=1)
        own = ds.rename(latitude="lat", longitude="lon").transpose("lon", "lat", "lead_time", "init_time")
        own["lat"].attrs, own["lon"].attrs = {}, {}  # as in a notebook
        (path,) = simvp.export(own, tmp_path / "a.nc")
        with xr.open_dataset(path) as back:
            assert back["t2m"].dims == ("time", "lat", "lon")
            np.testing.assert_array_equal(back["t2m"], ds["t2m"][0])
            assert back["lat"].attrs == {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
            assert back.cf["T"].name == back.cf["time"].name == "time"
        assert own["lat"].attrs == {}

    def test_members_lie_between_time_and_the_map(self, tmp_path: Path) -> None:
        ds = forecast(inits=1)
        members = xr.concat([ds, ds + 0], xr.Variable("member", [0, 1], {"standard_name": "realization"}))
        members = members.assign_coords(valid_time=ds["valid_time"])
        (path,) = simvp.export(members, tmp_path / "a.nc")
        with xr.open_dataset(path) as back:
            assert back["t2m"].dims == ("time", "member", "latitude", "longitude")
            np.testing.assert_array_equal(back["t2m"].sel(member=1), ds["t2m"][0])

    def test_bounds_of_the_source_are_kept(self, tmp_path: Path) -> None:
        ds = forecast(inits=1)
        edges = np.stack([ds["latitude"] - 0.125, ds["latitude"] + 0.125], axis=-1)
        ds = ds.assign_coords(lat_bnds=(("latitude", "bnds"), edges))
        ds["latitude"].encoding["bounds"] = "lat_bnds"
        (path,) = simvp.export(ds, tmp_path / "a.nc")
        with netCDF4.Dataset(path) as file:
            assert file["latitude"].bounds == "lat_bnds"
            assert "coordinates" not in file.ncattrs()
            np.testing.assert_array_equal(file["lat_bnds"][:], edges)

    def test_weights_of_experts_are_left_out(self, tmp_path: Path) -> None:
        ds = forecast(inits=1).assign_coords(
            expert=["base", "network"], t2m_weight=(("init_time", "lead_time", "expert"), np.full((1, LEADS, 2), 0.5))
        )
        (path,) = simvp.export(ds, tmp_path / "a.nc")
        with netCDF4.Dataset(path) as file:
            assert set(file.variables) == {
                *("t2m", "d2m", "time", "latitude", "longitude", "crs"),
                *("forecast_period", "forecast_reference_time"),
            }

    @pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
    def test_either_package_writes_it(self, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(netcdf, "find_spec", lambda name: name.lower() == engine or None)
        ds = forecast(inits=1, masked=True)
        (path,) = simvp.export(ds, tmp_path / "a.nc")
        with netCDF4.Dataset(path) as file:
            assert file["t2m"].filters()["zlib"]
            assert file["t2m"].chunking() == [1, 6, 8]
            np.testing.assert_array_equal(np.ma.filled(file["t2m"][:], np.nan), ds["t2m"][0])

    def test_without_either_it_says_which_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(netcdf, "find_spec", lambda name: None)
        text = refused(forecast(), tmp_path / "a")
        assert "NetCDF is written with netCDF4 or h5netcdf, and neither is installed" in text
        assert "pip install netCDF4" in text
        assert list(tmp_path.iterdir()) == []


class TestZarr:
    @pytest.mark.parametrize("version", [2, 3])
    @pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear", "index"])
    @pytest.mark.filterwarnings("error")
    def test_all_of_it_without_simvp(self, version: int, grid: Kind, tmp_path: Path) -> None:
        ds = forecast(grid, masked=True)
        assert simvp.export(ds, tmp_path / "a.zarr", format=f"zarr{version}") == (tmp_path / "a.zarr",)  # type: ignore[arg-type]
        group = zarr.open_group(tmp_path / "a.zarr", mode="r")
        assert group.metadata.zarr_format == version
        assert group.metadata.consolidated_metadata is not None
        assert isinstance(group["t2m"], zarr.Array)
        assert group["t2m"].chunks[:2] == (1, LEADS)
        assert group["valid_time"].attrs["units"] == "seconds since 1970-01-01"
        with xr.open_zarr(tmp_path / "a.zarr", chunks=None, decode_timedelta=True) as back:
            xr.testing.assert_equal(back.load(), ds)

    @pytest.mark.parametrize("calendar", ["360_day", "standard"])
    def test_a_calendar(self, calendar: str, tmp_path: Path) -> None:
        ds = forecast(calendar=calendar)
        simvp.export(ds, tmp_path / "a.zarr", format="zarr2", init_time=ds["init_time"].values[1:])
        with xr.open_zarr(tmp_path / "a.zarr", chunks=None) as back:
            np.testing.assert_array_equal(back["valid_time"], ds["valid_time"][1:])


class TestWhatIsGiven:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Path:
        path = tmp_path / "12h.zarr"
        Store(path).create(forecast(), axis="init_time", chunks={"init_time": 1}, state={"kind": "forecasts"})
        return path

    def test_a_store_of_forecasts(self, store: Path, tmp_path: Path) -> None:
        (path,) = simvp.export(store, tmp_path / "a.nc", init_time="2020-01-01T03")
        with xr.open_dataset(path) as back:
            np.testing.assert_array_equal(back["t2m"], forecast()["t2m"][1])
        assert len(simvp.export(str(store), tmp_path / "all")) == 3

    @pytest.mark.parametrize("grid", ["latlon", "projected"])
    def test_a_file_that_a_forecast_was_written_to(self, grid: Kind, tmp_path: Path) -> None:
        ds = forecast(grid, inits=1)
        ds.to_netcdf(tmp_path / "own.nc")
        simvp.export(ds, tmp_path / "own.zarr", format="zarr3")
        (direct,) = simvp.export(ds, tmp_path / "direct.nc")
        with xr.open_dataset(direct) as expected:
            for given in ("own.nc", "own.zarr"):
                (path,) = simvp.export(tmp_path / given, tmp_path / f"{given}.nc")
                with xr.open_dataset(path) as back:
                    xr.testing.assert_identical(back, expected)

    def test_one_init_time_and_one_variable(self, tmp_path: Path) -> None:
        ds = forecast("projected")
        (path,) = simvp.export(ds["t2m"].isel(init_time=1), tmp_path / "a.nc")
        with xr.open_dataset(path) as back:
            np.testing.assert_array_equal(back["t2m"], ds["t2m"][1])
            assert back["t2m"].attrs["grid_mapping"] == "crs"
        chosen = ds.isel(init_time=1)
        simvp.export(chosen, tmp_path / "a.zarr", format="zarr2", init_time="2020-01-01T03")
        with xr.open_zarr(tmp_path / "a.zarr", chunks=None, decode_timedelta=True) as back:
            xr.testing.assert_equal(back.load(), chosen)

    def test_nothing_of_it_is_changed(self, tmp_path: Path) -> None:
        ds = forecast("projected")
        before = ds.copy(deep=True)
        encodings = {name: dict(var.encoding) for name, var in ds.variables.items()}
        simvp.export(ds, tmp_path / "a")
        simvp.export(ds, tmp_path / "a.zarr", format="zarr2")
        xr.testing.assert_identical(ds, before)
        assert {name: dict(var.encoding) for name, var in ds.variables.items()} == encodings


class TestNames:
    def test_minutes_and_seconds_where_there_are_some(self, tmp_path: Path) -> None:
        half = simvp.export(forecast(step=HALF), tmp_path)
        assert [path.name for path in half] == [
            *("small_20200101T01.nc", "small_20200101T0130.nc", "small_20200101T02.nc"),
        ]
        (path,) = simvp.export(forecast(step=Step(seconds=90), inits=1), tmp_path)
        assert path.name == "small_20200101T0003.nc"
        ninety = simvp.export(forecast(step=Step(seconds=90), inits=2), tmp_path, overwrite=True)
        assert ninety[1].name == "small_20200101T000430.nc"

    def test_of_a_calendar(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(step=MONTH, calendar="360_day", inits=1), tmp_path)
        assert path.name == "small_20200301T00.nc"

    @pytest.mark.parametrize(("data_set", "name"), [("", "forecast"), ("../a b", "a-b"), ("era5-uk", "era5-uk")])
    def test_of_the_data_set(self, data_set: str, name: str, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(inits=1).assign_attrs(data_set=data_set), tmp_path)
        assert path.name == f"{name}_20200101T02.nc"

    def test_a_folder_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        (path,) = simvp.export(forecast(inits=1), tmp_path / "new" / "folder")
        assert path == tmp_path / "new" / "folder" / "small_20200101T02.nc"
        assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing unfinished is left


class TestWhole:
    @pytest.mark.parametrize("format", ["netcdf", "zarr2"])
    def test_what_is_there_is_replaced_only_when_told(self, format: Any, tmp_path: Path) -> None:
        place = tmp_path / ("a.nc" if format == "netcdf" else "a.zarr")
        simvp.export(forecast(inits=1), place, format=format)
        text = refused(forecast(inits=1) + 1, place, format=format)
        assert f"expected nothing there yet, got {place}" in text
        assert "say overwrite=True to replace it" in text
        simvp.export((forecast(inits=1) + 1).assign_attrs(title="new"), place, format=format, overwrite=True)
        with xr.open_dataset(place) as back:
            assert back.attrs["title"] == "new"
        assert list(tmp_path.iterdir()) == [place]

    def test_one_that_is_there_keeps_all_from_being_written(self, tmp_path: Path) -> None:
        (tmp_path / "small_20200101T03.nc").write_text("mine")
        assert "got " + str(tmp_path / "small_20200101T03.nc") in refused(forecast(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["small_20200101T03.nc"]

    @pytest.mark.parametrize("format", ["netcdf", "zarr3"])
    def test_an_error_in_the_middle_leaves_what_was_there(
        self, format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / ("a.nc" if format == "netcdf" else "a.zarr")
        simvp.export(forecast(inits=1), place, format=format)
        name = "to_netcdf" if format == "netcdf" else "to_zarr"
        write = getattr(xr.Dataset, name)

        def full(ds: xr.Dataset, part: Path, **options: Any) -> None:
            write(ds, part, **options)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(xr.Dataset, name, full)
        text = refused(forecast(inits=1) + 1, place, format=format, overwrite=True)
        assert "there is no space left on the disk" in text
        monkeypatch.undo()
        with xr.open_dataset(place) as back:
            assert float(back["t2m"].min()) == 0
        assert list(tmp_path.iterdir()) == [place]

    def test_a_folder_of_something_else_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        text = refused(forecast(), tmp_path, format="zarr2", overwrite=True)
        assert "expected a Zarr store to replace, got something else" in text
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_no_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        assert "there is no permission" in refused(forecast(), tmp_path / "a")


class TestRefusals:
    def test_several_init_times_into_one_file(self, tmp_path: Path) -> None:
        text = refused(forecast(), tmp_path / "a.nc")
        assert "expected one init time for a file" in text
        assert "got 3: 2020-01-01T02:00:00 .. 2020-01-01T04:00:00" in text
        assert "name a folder, or choose one: init_time=..." in text

    def test_an_init_time_that_is_not_there(self, tmp_path: Path) -> None:
        text = refused(forecast(), tmp_path, init_time=["2020-01-01T03", "2020-01-01T09"])
        assert "init_time: expected 2020-01-01T09:00:00, got 3 from 2020-01-01T02:00:00 to" in text
        assert "init_time: expected one or more" in refused(forecast(), tmp_path, init_time=[])

    def test_a_format(self, tmp_path: Path) -> None:
        text = refused(forecast(), tmp_path, format="grib", kind=ConfigError)
        assert "format: expected one of netcdf, zarr2, zarr3, got 'grib'" in text

    def test_what_is_no_forecast(self, tmp_path: Path) -> None:
        assert "expected a forecast or the path of one, got int" in refused(3, tmp_path)
        nameless = forecast()["t2m"].rename(None)
        assert "got a DataArray without a name" in refused(nameless, tmp_path)
        text = refused(forecast().drop_vars("valid_time"), tmp_path)
        assert "expected a labelled forecast with coordinates valid_time, got init_time, lead_time" in text
        assert "expected an axis of leads, got one lead" in refused(forecast().isel(lead_time=0), tmp_path)
        assert "expected init times, got none" in refused(forecast().isel(init_time=[]), tmp_path)
        assert "found none" in refused(tmp_path / "none.nc", tmp_path, kind=SourceError)

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("mine")
        assert f"expected a folder, got a file: {tmp_path / 'a'}" in refused(forecast(), tmp_path / "a")

    def test_without_zarr(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exporting, "find_spec", lambda name: None)
        text = refused(forecast(), tmp_path / "a", format="zarr2")
        assert "Zarr is written with zarr, which is not installed" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("format", ["zarr2", "zarr3"])
def test_zarr_has_nothing_to_say_that_is_not_known(format: Any, tmp_path: Path) -> None:
    simvp.export(forecast(), tmp_path / "a", format=format)


def test_other_remarks_of_zarr_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = xr.Dataset.to_zarr

    def remarking(self: xr.Dataset, *args: Any, **options: Any) -> Any:
        warnings.warn_explicit("chunks are lost", UserWarning, "asynchronous.py", 1, module="zarr.api.asynchronous")
        return own(self, *args, **options)

    monkeypatch.setattr(xr.Dataset, "to_zarr", remarking)
    with pytest.warns(UserWarning, match="chunks are lost"):
        simvp.export(forecast(), tmp_path / "a", format="zarr3")
