"""The labelled forecast: what it looks like, that files keep it, and the way to other tools' names and back."""

from collections.abc import Callable
from pathlib import Path

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import netCDF4
import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import (
    as_cf,
    check,
    coordinates,
    faults,
    from_cfgrib,
    from_earth2studio,
    from_weatherbench2,
    label,
    to_cfgrib,
    to_earth2studio,
    to_weatherbench2,
)
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.errors import Refusal
from tests.support.worlds import Kind, address, address_world

HOUR = Step(seconds=3600)
MONTH = Step(months=1, anchor="day", day=1)
ADAPTERS = [
    (to_earth2studio, from_earth2studio),
    (to_weatherbench2, from_weatherbench2),
    (to_cfgrib, from_cfgrib),
]


def forecast(step: Step = HOUR, grid: Kind = "latlon", calendar: str = "standard", inits: int = 3) -> xr.Dataset:
    world = address_world(frames=12, grid=grid, step="MS" if step.months else "1h", calendar=calendar)
    fields = {str(n): address(v, np.arange(inits * 4), (6, 8)).reshape(inits, 4, 6, 8) for v, n in enumerate(world)}
    return label(
        fields,
        coordinates(world["time"].values[2 : 2 + inits], 4, step=step, grid=Grid.of(world)),
        grid=Grid.of(world),
        variable_attrs={str(name): world[name].attrs for name in world.data_vars},
        attrs={"title": "Forecast of t2m"},
    )


def test_dims_times_and_attributes() -> None:
    ds = forecast()
    assert ds["t2m"].dims == ("init_time", "lead_time", "latitude", "longitude")
    assert ds["init_time"].values[0] == np.datetime64("2020-01-01T02")
    assert ds["lead_time"].values[0] == np.timedelta64(1, "h")  # the first lead is one step
    assert ds["valid_time"].values[2, 3] == np.datetime64("2020-01-01T08")  # 04 + 4 h
    assert ds["init_time"].attrs["standard_name"] == "forecast_reference_time"
    assert ds["lead_time"].attrs["standard_name"] == "forecast_period"
    assert ds["valid_time"].attrs["standard_name"] == "time"
    assert "time" not in ds.variables
    assert ds["latitude"].attrs["units"] == "degrees_north"
    assert [ds[n].attrs["axis"] for n in ("latitude", "longitude")] == ["Y", "X"]
    assert ds["latitude"].values[0] > ds["latitude"].values[-1]  # as in the source
    assert ds["t2m"].attrs["units"] == "K"
    assert ds["t2m"].attrs["standard_name"] == "air_temperature"
    assert ds.attrs["Conventions"].startswith("CF-")
    assert ds.attrs["title"] == "Forecast of t2m"
    assert faults(ds) == []


def test_cf_xarray_reads_the_roles() -> None:
    ds = forecast()
    assert ds.cf["forecast_reference_time"].name == "init_time"
    assert ds.cf["forecast_period"].name == "lead_time"
    assert ds.cf["Y"].name == "latitude"
    assert ds.cf["latitude"].name == "latitude"


@pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear", "index"])
def test_the_time_of_a_forecast_is_its_valid_time(grid: Kind) -> None:
    ds = forecast(grid=grid)
    assert ds.cf["time"].name == "valid_time"
    assert ds.cf["T"].name == "valid_time"
    assert ds["t2m"].cf["time"].name == "valid_time"


@pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear", "index"])
@pytest.mark.parametrize("step", [HOUR, MONTH], ids=str)
def test_no_coordinate_is_written_with_a_fill_value(grid: Kind, step: Step, tmp_path: Path) -> None:
    ds = forecast(step, grid=grid)
    ds.to_netcdf(tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert {name for name, var in file.variables.items() if "_FillValue" in var.ncattrs()} == set(ds.data_vars)


def test_of_the_source_only_what_holds_for_a_forecast_is_kept() -> None:
    world = address_world(frames=12)
    holds = {"units": "K", "standard_name": "air_temperature", "long_name": "2 metre temperature"}
    holds |= {"cell_methods": "time: mean", "units_metadata": "temperature: on_scale"}
    does_not = {
        "comment": "from station data",
        "references": "a paper",
        "statistics": "mean 280",
        "units_source": "stated",
    }
    ds = label(
        {"t2m": np.zeros((1, 4, 6, 8))},
        coordinates(world["time"].values[2:3], 4, step=HOUR, grid=Grid.of(world)),
        grid=Grid.of(world),
        variable_attrs={"t2m": holds | does_not},
    )
    assert ds["t2m"].attrs == holds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"standard_name": "air_temperature"}, {"standard_name": "air_temperature"}),
        ({"standard_name": "air_temperature standard_error"}, {"standard_name": "air_temperature standard_error"}),
        ({"standard_name": "2 m temperature"}, {"long_name": "2 m temperature"}),
        ({"standard_name": "T2", "long_name": "temperature"}, {"long_name": "temperature"}),
        ({"cell_methods": "Times: mean"}, {"cell_methods": "time: mean"}),
        ({"cell_methods": "time: sum (interval: 1 hr)"}, {"cell_methods": "time: sum (interval: 1 hr)"}),
        ({"cell_methods": "area: time: mean"}, {"cell_methods": "area: time: mean"}),
        ({"cell_methods": "lat: lon: mean"}, {"cell_methods": "latitude: longitude: mean"}),
        ({"cell_methods": "ensemble: mean"}, {}),
    ],
)
def test_what_cf_does_not_allow_is_left_out(given: dict[str, str], expected: dict[str, str]) -> None:
    assert as_cf(given, ("init_time", "lead_time", "latitude", "longitude")) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("projected", "projection_y_coordinate"), ("curvilinear", None), ("index", None)],
)
def test_other_grids_are_y_and_x(kind: Kind, expected: str | None) -> None:
    ds = forecast(grid=kind)
    assert ds["t2m"].dims == ("init_time", "lead_time", "y", "x")
    assert ds["y"].attrs.get("standard_name") == expected
    # Rows and columns without a place on the earth are no axes to CF (5.6).
    assert [ds[dim].attrs.get("axis") for dim in "yx"] == ([None, None] if kind == "index" else ["Y", "X"])
    if kind == "projected":
        assert ds["crs"].attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"
        assert ds["t2m"].attrs["grid_mapping"] == "crs"
    else:
        assert ds["y"].attrs["long_name"] == "row"
        assert ds["x"].attrs["long_name"] == "column"
    assert ("latitude" in ds.coords) == (kind == "curvilinear")


def test_months_are_counted_and_labelled_by_valid_time() -> None:
    ds = forecast(MONTH)
    np.testing.assert_array_equal(ds["lead_time"], [1, 2, 3, 4])
    assert ds["lead_time"].dtype == np.int64
    assert ds["lead_time"].attrs["units"] == "month"
    assert ds["init_time"].values[0] == np.datetime64("2020-03-01")
    assert ds["valid_time"].values[0, 3] == np.datetime64("2020-07-01")
    assert faults(ds) == []


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
@pytest.mark.parametrize("step", [HOUR, MONTH], ids=str)
@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_files_keep_every_label(form: str, step: Step, calendar: str, tmp_path: Path) -> None:
    ds = forecast(step, calendar=calendar)
    path = tmp_path / "forecast"
    if form == "netcdf":
        ds.to_netcdf(path)
        with xr.open_dataset(path, decode_timedelta=True) as back:
            back.load()
    else:
        ds.to_zarr(path, zarr_format=3, consolidated=False)
        back = xr.open_zarr(path, consolidated=False, decode_timedelta=True).load()
    for name in ds.variables:
        np.testing.assert_array_equal(back[name].values, ds[name].values, err_msg=str(name))
        assert back[name].dtype.kind == ds[name].dtype.kind
    assert back["lead_time"].attrs.get("units") == ds["lead_time"].attrs.get("units")
    assert faults(back) == []


def test_a_later_half_hour_is_stored_as_itself(tmp_path: Path) -> None:
    ds = forecast()
    ds.to_zarr(tmp_path / "a", zarr_format=3, consolidated=False)
    with xr.open_zarr(tmp_path / "a", consolidated=False, decode_cf=False) as raw:
        # Whole seconds since a fixed epoch: appended times need no finer unit than what is there.
        assert raw["init_time"].dtype == np.int64
        assert raw["init_time"].attrs["units"] == "seconds since 1970-01-01"
        assert raw["valid_time"].dtype == np.int64


@pytest.mark.parametrize(("there", "back"), ADAPTERS)
@pytest.mark.parametrize("grid", ["latlon", "projected", "curvilinear"])
def test_there_and_back(
    there: Callable[[xr.Dataset], xr.Dataset], back: Callable[[xr.Dataset], xr.Dataset], grid: Kind
) -> None:
    ds = forecast(grid=grid)
    member = ds.expand_dims(member=[0, 1], axis=2)
    for given in (ds, member):
        renamed = there(given)
        assert "init_time" not in renamed.variables
        xr.testing.assert_identical(back(renamed), given)
        for name in given.data_vars:
            np.testing.assert_array_equal(renamed[name].values, given[name].values)


def test_names_of_each_tool() -> None:
    ds = forecast().expand_dims(member=[0, 1])
    assert set(to_earth2studio(ds).coords) == {"time", "lead_time", "lat", "lon", "ensemble"}
    assert set(to_weatherbench2(ds).dims) == {
        "time",
        "prediction_timedelta",
        "latitude",
        "longitude",
        "member",
    }
    assert set(to_cfgrib(ds).dims) == {"time", "step", "latitude", "longitude", "number"}


@pytest.mark.parametrize("there", [to_earth2studio, to_weatherbench2])
def test_leads_of_months_do_not_go_where_they_cannot_be_labelled(
    there: Callable[[xr.Dataset], xr.Dataset],
) -> None:
    with pytest.raises(Refusal, match="expected timedelta64, got int64 counts of calendar months"):
        there(forecast(MONTH))


def test_months_go_to_cfgrib_and_back() -> None:
    ds = forecast(MONTH)
    xr.testing.assert_identical(from_cfgrib(to_cfgrib(ds)), ds)


class TestRefusals:
    def test_what_is_no_forecast(self) -> None:
        with pytest.raises(Refusal) as caught:
            check(address_world(frames=3))
        assert "dims: expected init_time, got time, latitude, longitude" in str(caught.value)
        assert "coordinates: expected valid_time" in str(caught.value)

    def test_valid_time_that_is_not_init_plus_lead(self) -> None:
        ds = forecast()
        wrong = ds.assign_coords(valid_time=ds["valid_time"] - np.timedelta64(1, "h"))
        assert faults(wrong) == ["valid_time: 12 values are not init_time + lead_time"]

    def test_integer_leads_without_a_unit(self) -> None:
        ds = forecast().assign_coords(lead_time=[1, 2, 3, 4])
        assert "expected timedelta64, or int64 with units 'month', got int64" in faults(ds)[0]

    def test_an_init_time_issued_twice(self) -> None:
        ds = forecast().isel(init_time=[0, 0, 1])
        assert faults(ds) == ["init_time: expected distinct times, got repeated ones"]

    def test_a_variable_without_leads(self) -> None:
        ds = forecast()
        ds["t2m"] = ds["t2m"].isel(lead_time=0, drop=True)
        assert "t2m: expected dims (init_time, lead_time, latitude, longitude)" in faults(ds)[0]

    def test_a_foreign_dataset_does_not_come_back(self) -> None:
        with pytest.raises(Refusal, match="coordinates: expected lead_time"):
            from_earth2studio(address_world(frames=3))
