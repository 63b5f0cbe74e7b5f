"""Axes found by attributes before names, the canonical form, the way back."""

import logging
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

from simvp.coords.axes import canonicalise, restore
from simvp.coords.grid import Grid
from simvp.coords.planes import find_axes
from simvp.errors import Refusal
from tests.support.worlds import address_world

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(6, "h")
LAT = np.array([52.0, 51.0, 50.0])
LON = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


def address(time: Any, lat: Any, lon: Any) -> Any:
    """A value that says where it belongs; `time` in hours since the first of January 2020."""
    return np.asarray(time) * 1e4 + np.asarray(lat) * 10 + np.asarray(lon) / 1000


def hours(times: np.ndarray) -> np.ndarray:
    return (times - TIMES[0]) / np.timedelta64(1, "h")


def field(times: np.ndarray = TIMES, lat: np.ndarray = LAT, lon: np.ndarray = LON) -> np.ndarray:
    return address(hours(times)[:, None, None], lat[:, None], lon).astype("f8")


def world(**names: str) -> xr.Dataset:
    """The plain case, under other names."""
    ds = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), field(), {"units": "K"})},
        coords={
            "time": TIMES,
            "latitude": ("latitude", LAT, {"units": "degrees_north"}),
            "longitude": ("longitude", LON, {"units": "degrees_east"}),
        },
    )
    return ds.rename(names)


def assert_addressed(ds: xr.Dataset, name: str = "t2m") -> None:
    """Every value lies where its labels say."""
    time = xr.Variable("time", hours(ds["time"].values))
    lat, lon = (ds[name].variable.astype("f8") for name in ("latitude", "longitude"))
    expected = time * 1e4 + lat * 10 + ((lon + 180) % 360 - 180) / 1000
    np.testing.assert_allclose(ds[name].values, expected.transpose(*ds[name].dims).values, rtol=0, atol=1e-9)


def bare(ds: xr.Dataset) -> xr.Dataset:
    """Without any attribute."""
    ds = ds.copy()
    for name in ds.variables:
        ds[name].attrs = {}
    return ds


@pytest.mark.parametrize(
    "names",
    [
        ("time", "latitude", "longitude"),
        ("time", "lat", "lon"),
        ("Time", "Latitude", "Longitude"),
        ("time_counter", "nav_lat", "nav_lon"),
        ("t", "LAT", "LON"),
        ("valid_time", "lat_0", "lon_0"),
        ("date", "g0_lat_1", "g0_lon_2"),
    ],
)
def test_names_where_there_are_no_attributes(names: tuple[str, str, str]) -> None:
    ds = bare(world(**dict(zip(("time", "latitude", "longitude"), names, strict=True))))
    out, axes = canonicalise(ds)
    assert (axes.time, axes.y, axes.x, axes.kind) == (*names, "latlon")
    assert out["t2m"].dims == ("time", "latitude", "longitude")
    assert_addressed(out)


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("standard_name", ("time", "latitude", "longitude")),
        ("units", (None, "degrees_north", "degrees_east")),
        ("units", (None, "degree_N", "degreesE")),
        ("_CoordinateAxisType", ("Time", "Lat", "Lon")),
        ("long_name", ("time", "Latitude", "Longitude")),
    ],
)
def test_attributes_where_names_say_nothing(attribute: str, values: tuple[str | None, ...]) -> None:
    ds = bare(world(time="WHEN", latitude="FNOCY", longitude="FNOCX"))
    for name, value in zip(("WHEN", "FNOCY", "FNOCX"), values, strict=True):
        if value is not None:
            ds[name].attrs[attribute] = value
    out, axes = canonicalise(ds)
    assert (axes.y, axes.x, axes.kind) == ("FNOCY", "FNOCX", "latlon")
    assert_addressed(out)


def test_attributes_are_believed_before_names() -> None:
    """The dim called lat is the longitude, and the other way round."""
    ds = world(latitude="lon", longitude="lat")
    out, axes = canonicalise(ds)
    assert (axes.latitude, axes.longitude) == ("lon", "lat")
    assert_addressed(out)


def test_axis_attribute_alone_makes_an_index_grid_with_its_values() -> None:
    ds = bare(world(latitude="FNOCY", longitude="FNOCX"))
    ds["FNOCY"].attrs["axis"], ds["FNOCX"].attrs["axis"] = "Y", "X"
    out, axes = canonicalise(ds)
    assert (axes.y, axes.x, axes.kind, axes.latitude) == ("FNOCY", "FNOCX", "index", None)
    assert out["t2m"].dims == ("time", "y", "x")
    np.testing.assert_array_equal(out["y"], LAT)


def test_axis_attribute_with_plain_degrees_is_geography() -> None:
    ds = bare(world(latitude="FNOCY", longitude="FNOCX"))
    ds["FNOCY"].attrs |= {"axis": "Y", "units": "degrees"}
    ds["FNOCX"].attrs |= {"axis": "X", "units": "degrees"}
    assert find_axes(ds).kind == "latlon"


def test_any_dim_order_and_direction_and_the_source_stays_as_it_is() -> None:
    ds = world().transpose("longitude", "time", "latitude").isel(time=[2, 0, 3, 1])
    before = ds.copy(deep=True)
    out, _ = canonicalise(ds)
    xr.testing.assert_identical(ds, before)
    assert out["t2m"].dims == ("time", "latitude", "longitude")
    np.testing.assert_array_equal(out["time"], TIMES)
    np.testing.assert_array_equal(out["latitude"], LAT)
    assert_addressed(out)


def test_nothing_is_computed() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("read")

    ds = world().chunk(time=1)
    ds["t2m"] = ds["t2m"].copy(data=ds["t2m"].data.map_blocks(fail, dtype="i2", meta=np.empty((0, 0, 0), "i2")))
    out, _ = canonicalise(ds.isel(time=[1, 0, 2, 3]))
    assert out["t2m"].dtype == np.float32
    with pytest.raises(AssertionError, match="read"):
        out["t2m"].compute()


def test_other_variables_are_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    ds = world()
    ds["orography"] = (("latitude", "longitude"), np.zeros((3, 5)))
    ds["index"] = ("time", np.zeros(4))
    ds["time_bnds"] = (("time", "bnds"), np.zeros((4, 2)))
    ds["time"].attrs["bounds"] = "time_bnds"
    with caplog.at_level(logging.INFO, "simvp.coords.axes"):
        out, _ = canonicalise(ds)
    assert list(out.data_vars) == ["t2m"]
    assert "ignored, not on (time, y, x): index, orography" in caplog.text


def test_a_static_map_asked_for_is_repeated_along_time() -> None:
    ds = world()
    ds["orography"] = (("latitude", "longitude"), address(0, LAT[:, None], LON), {"units": "m"})
    out, _ = canonicalise(ds, ["t2m", "orography"])
    assert out["orography"].dims == ("time", "latitude", "longitude")
    np.testing.assert_array_equal(out["orography"][3], ds["orography"])


def test_projected_axes_keep_values_mapping_and_geography() -> None:
    y, x = np.array([3e5, 2e5, 1e5]), np.array([0.0, 1e5, 2e5, 3e5, 4e5])
    lat2, lon2 = np.meshgrid(LAT, LON, indexing="ij")
    ds = xr.Dataset(
        {"rain": (("time", "yc", "xc"), field(), {"units": "mm", "grid_mapping": "crs: yc xc"}), "crs": ((), "")},
        coords={
            "time": TIMES,
            "yc": ("yc", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "xc": ("xc", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "lat": (("yc", "xc"), lat2, {"standard_name": "latitude"}),
            "lon": (("yc", "xc"), lon2, {"standard_name": "longitude"}),
        },
    )
    ds["crs"].attrs["grid_mapping_name"] = "lambert_conformal_conic"
    out, axes = canonicalise(ds)
    assert (axes.kind, axes.y, axes.x, axes.latitude, axes.grid_mapping) == ("projected", "yc", "xc", "lat", "crs")
    assert out["rain"].dims == ("time", "y", "x")
    assert out["rain"].attrs["grid_mapping"] == "crs"
    assert out["crs"].attrs == {"grid_mapping_name": "lambert_conformal_conic"}
    np.testing.assert_array_equal(out["y"], y)
    np.testing.assert_array_equal(out["latitude"], lat2)


def test_curvilinear_grid_takes_its_dims_from_the_geography() -> None:
    lat2, lon2 = np.meshgrid(LAT, LON, indexing="ij")
    ds = xr.Dataset(
        {"tos": (("time", "dim0", "dim1"), field())},
        coords={
            "time": TIMES,
            "nav_lat": (("dim0", "dim1"), lat2, {"standard_name": "latitude"}),
            "nav_lon": (("dim0", "dim1"), lon2, {"standard_name": "longitude"}),
        },
    )
    out, axes = canonicalise(ds)
    assert (axes.kind, axes.y, axes.x) == ("curvilinear", "dim0", "dim1")
    np.testing.assert_array_equal(out["y"], np.arange(3))
    assert out["y"].attrs["long_name"] == "row"
    assert_addressed(out, "tos")


@pytest.mark.parametrize("dims", [("y", "x"), ("nj", "ni"), ("row", "col"), ("south_north", "west_east"), ("h", "w")])
def test_index_grid_gets_rows_and_columns(dims: tuple[str, str]) -> None:
    ds = xr.Dataset({"inflow": (("time", *dims), field().astype("i4"))}, coords={"time": TIMES})
    out, axes = canonicalise(ds)
    assert (axes.kind, axes.y, axes.x) == ("index", *dims)
    np.testing.assert_array_equal(out["x"], np.arange(5))
    assert out["inflow"].dtype == np.float64  # int32 does not fit into float32


def test_rotated_pole() -> None:
    ds = bare(world(latitude="rlat", longitude="rlon"))
    ds["rlat"].attrs |= {"standard_name": "grid_latitude", "units": "degrees", "axis": "Y"}
    ds["rlon"].attrs |= {"standard_name": "grid_longitude", "units": "degrees", "axis": "X"}
    ds["pole"] = ((), 0, {"grid_mapping_name": "rotated_latitude_longitude"})
    ds["t2m"].attrs["grid_mapping"] = "pole"
    out, axes = canonicalise(ds)
    assert (axes.kind, axes.grid_mapping, out["t2m"].dims) == ("projected", "pole", ("time", "y", "x"))


def test_latitude_on_dims_of_other_names() -> None:
    ds = world().rename(latitude="j", longitude="i").rename_vars(j="lat", i="lon")
    out, axes = canonicalise(ds)
    assert (axes.y, axes.latitude, axes.kind) == ("j", "lat", "latlon")
    assert_addressed(out)


@pytest.mark.parametrize("how", ["dim", "scalar coordinate", "scalar variable"])
def test_one_time(how: str) -> None:
    ds = world().isel(time=slice(1, 2))
    if how != "dim":
        ds = ds.squeeze("time").rename(time="when")
        ds["when"].attrs["standard_name"] = "time"
    if how == "scalar variable":
        ds = ds.reset_coords("when")
    out, axes = canonicalise(ds)
    assert axes.times == ("time" if how == "dim" else "when")
    np.testing.assert_array_equal(out["time"], TIMES[1:2])
    assert_addressed(out)


def test_time_by_attribute_beside_an_axis_of_numbers() -> None:
    ds = world(time="time_counter")
    ds = ds.assign_coords(time_centered=("time_counter", TIMES, {"standard_name": "time"}), time_counter=np.arange(4.0))
    ds["time_counter"].attrs["axis"] = "T"
    out, axes = canonicalise(ds)
    assert (axes.time, axes.times) == ("time_counter", "time_centered")
    np.testing.assert_array_equal(out["time"], TIMES)


def test_valid_time_of_a_forecast_once_a_step_is_chosen() -> None:
    ds = world().expand_dims(step=np.array([0, 6], "timedelta64[h]").astype("timedelta64[ns]"), axis=1)
    ds["time"].attrs["standard_name"] = "forecast_reference_time"
    ds = ds.assign_coords(valid_time=ds["time"] + ds["step"])
    ds["valid_time"].attrs = {"standard_name": "time"}
    with pytest.raises(Refusal, match=r"step has 2 values; choose one with select=\{'step': \.\.\.\} out of"):
        canonicalise(ds)
    out, _ = canonicalise(ds, select={"step": "6h"})
    np.testing.assert_array_equal(out["time"], TIMES + np.timedelta64(6, "h"))


@pytest.mark.parametrize("calendar", ["360_day", "noleap"])
def test_other_calendars_stay_cftime(calendar: str) -> None:
    times = [cftime.datetime(2001, month, 16, calendar=calendar) for month in (3, 1, 2, 4)]
    ds = world().assign_coords(time=times)
    out, _ = canonicalise(ds)
    assert [t.month for t in out["time"].values] == [1, 2, 3, 4]
    assert out["time"].values[0].calendar == calendar
    np.testing.assert_array_equal(out["t2m"][0], ds["t2m"][1])


def test_cftime_of_the_common_calendar_and_texts_become_dates() -> None:
    for times in (
        [cftime.datetime(2020, 1, 1, 6 * k, calendar="standard") for k in range(4)],
        [f"2020-01-01_{6 * k:02d}:00:00" for k in range(4)],
    ):
        out, _ = canonicalise(world().assign_coords(time=times))
        np.testing.assert_array_equal(out["time"], TIMES)
        assert out["time"].dtype == "datetime64[ns]"


def test_days_as_floating_point_become_whole_seconds() -> None:
    out, _ = canonicalise(world().assign_coords(time=TIMES + np.timedelta64(17_920, "ns")))
    np.testing.assert_array_equal(out["time"], TIMES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([0, 90, 180, 270], [0, 90, 180, 270]),
        ([-180, -90, 0, 90], [-180, -90, 0, 90]),
        ([180, 270, 0, 90], [0, 90, 180, 270]),  # round the globe: rolled
        ([0, 90, -180, -90], [-180, -90, 0, 90]),
        ([358, 359, 0, 1], [-2, -1, 0, 1]),  # a region: shifted, not torn apart
        ([178, 179, -180, -179], [178, 179, 180, 181]),
        ([1, 0, 359, 358], [1, 0, -1, -2]),
        ([3, 1, 2, 0], [0, 1, 2, 3]),
        ([4, 3, 2, 1], [4, 3, 2, 1]),
    ],
)
def test_longitudes_are_joined(source: list[float], expected: list[float]) -> None:
    lon = np.array(source, "f8")
    signed = (lon + 180) % 360 - 180
    ds = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), address(hours(TIMES)[:, None, None], LAT[:, None], signed))},
        coords={"time": TIMES, "lat": LAT, "lon": lon},
    )
    out, axes = canonicalise(ds)
    np.testing.assert_array_equal(out["longitude"], expected)
    assert_addressed(out)
    back = restore(out.rename(time="init_time").expand_dims(lead_time=1), axes, ds)
    np.testing.assert_array_equal(back["lon"], lon)
    np.testing.assert_array_equal(back["t2m"].squeeze("lead_time").transpose("init_time", "lat", "lon"), ds["t2m"])


def test_selection_by_name_alias_text_and_position() -> None:
    ds = world().expand_dims(plev=[85000.0, 50000.0], number=[0, 1, 2])
    ds["plev"].attrs = {"standard_name": "air_pressure", "units": "Pa"}
    ds["number"].attrs = {"standard_name": "realization"}
    ds["t2m"] = ds["t2m"] + ds["plev"] * 1e3 + ds["number"] * 1e9
    for key, value in (("plev", 50000), ("level", "50000"), ("level", 50000.0)):
        out, _ = canonicalise(ds, select={key: value, "member": 2})
        np.testing.assert_array_equal(out["t2m"], ds["t2m"].sel(plev=50000, number=2))
    positions = ds.drop_vars("number")
    out, _ = canonicalise(positions, select={"plev": 85000, "number": 1})
    np.testing.assert_array_equal(out["t2m"], positions["t2m"].isel(plev=0, number=1))


def test_what_remains_to_be_selected_is_listed() -> None:
    ds = world().expand_dims(plev=[85000.0, 50000.0], number=[0, 1, 2])
    ds["plev"].attrs = {"units": "Pa"}
    with pytest.raises(Refusal) as caught:
        canonicalise(ds)
    text = str(caught.value)
    assert "t2m: plev has 2 values; choose one with select={'plev': ...} out of 85000.0, 50000.0 Pa" in text
    assert "t2m: number has 3 values; choose one with select={'number': ...} out of 0, 1, 2" in text


def test_selection_of_what_is_not_there() -> None:
    ds = world().expand_dims(plev=[85000.0, 50000.0]).assign_coords(height=2.0)
    with pytest.raises(Refusal) as caught:
        canonicalise(ds, select={"plev": 850, "colour": 1, "height": 10})
    assert caught.value.reasons == (
        "select plev=850: not among the values of plev: 85000.0, 50000.0",
        "select colour=1: there is no such axis; got plev, time, latitude, longitude, height",
        "select height=10: not among the values of height: 2.0",
    )


def test_units_stated_where_there_are_none() -> None:
    ds = world()
    ds["t2m"].attrs = {"units": "unknown"}
    out, _ = canonicalise(ds)
    assert "units" not in out["t2m"].attrs
    out, _ = canonicalise(ds, units={"t2m": "K"})
    assert out["t2m"].attrs == {"units": "K", "units_source": "stated"}
    out, _ = canonicalise(world(), units={"t2m": "kelvin"})  # says the same
    assert out["t2m"].attrs == {"units": "K"}


def test_units_that_contradict_and_units_of_nothing() -> None:
    with pytest.raises(Refusal) as caught:
        canonicalise(world(), units={"t2m": "degC", "rain": "mm"})
    assert caught.value.reasons == (
        "t2m: units are 'K' in the source and 'degC' as stated",
        "units stated for 'rain', which is not among the variables t2m",
    )


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda ds: ds.drop_vars("time"), "no time axis: expected a coordinate"),
        (lambda ds: ds.assign_coords(time=[0, 6, 12, 18]), "time holds numbers without dates; expected units such as"),
        (lambda ds: ds.isel(latitude=0), "no horizontal axes: expected latitude and longitude, or y and x"),
        (lambda ds: ds.isel(time=[0, 1, 1, 2]), "1 times occur more than once: 2020-01-01T06:00:00"),
        (
            lambda ds: ds.assign_coords(time=[TIMES[0], TIMES[1], np.datetime64("NaT"), TIMES[3]]),
            "1 of 4 times are missing",
        ),
        (
            lambda ds: ds.assign_coords(latitude=("latitude", [52.0, 51.0, 51.0], LATS)),
            "latitude: values occur more than",
        ),
        (lambda ds: ds.assign_coords(latitude=("latitude", [52.0, np.nan, 51.0], LATS)), "1 of 3 values are missing"),
        (lambda ds: ds.assign(t2m=ds["t2m"].astype(str)), "no variable on time, y and x; got t2m"),
    ],
)
def test_refusals(spoil: Any, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        canonicalise(spoil(world()))
    assert text in str(caught.value)


LATS = {"units": "degrees_north"}


def test_two_grids_are_refused_until_one_is_chosen() -> None:
    ds = world()
    ds["u10"] = (("time", "lat_u", "longitude"), np.zeros((4, 2, 5)))
    ds = ds.assign_coords(lat_u=("lat_u", [51.5, 50.5], LATS))
    with pytest.raises(
        Refusal, match=r"more than one horizontal grid: \(latitude, longitude\): t2m; \(lat_u, longitude\): u10"
    ):
        canonicalise(ds)
    assert canonicalise(ds, ["u10"])[1].y == "lat_u"


def test_a_variable_that_is_not_there() -> None:
    ds = world()
    ds["t2m"].attrs["standard_name"] = "air_temperature"
    for asked in ("T2M", "air_temperature"):
        with pytest.raises(Refusal, match=f"variable '{asked}' is not there .did you mean 't2m'.*; got t2m "):
            canonicalise(ds, [asked])
    with pytest.raises(Refusal, match="'rain' is not there; got t2m"):
        canonicalise(ds, ["rain"])


def test_attributes_of_storage_go_and_those_of_meaning_stay() -> None:
    ds = world()
    ds["t2m"].attrs |= {
        "GRIB_paramId": 167,
        "standard_name": "unknown",
        "long_name": "2 m temperature",
        "cell_methods": "time: mean",
        "valid_range": [0, 400],
    }
    ds["t2m"].encoding = {"scale_factor": 0.1}
    ds.attrs = {"GRIB_centre": "ecmf", "title": "world"}
    out, _ = canonicalise(ds)
    assert out["t2m"].attrs == {"units": "K", "long_name": "2 m temperature", "cell_methods": "time: mean"}
    assert out["t2m"].encoding == {}
    assert out.attrs == {"title": "world"}


def test_a_forecast_goes_back_to_latitudes_that_are_no_dim() -> None:
    ds = world().rename_dims(latitude="row").reset_index("latitude")
    out, axes = canonicalise(ds)
    back = restore(out.rename(time="init_time").expand_dims(lead_time=[1]), axes, ds)
    assert back["latitude"].dims == ("row",)
    assert set(back.xindexes) == {"init_time", "lead_time", "longitude"}
    np.testing.assert_array_equal(back["t2m"].squeeze("lead_time").values, ds["t2m"].values)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (("radian", np.deg2rad(LAT)), ("radian", np.deg2rad(LON))),
        (("degrees_south", -LAT), ("degrees_west", -LON)),
        (("degrees_north", LAT[::-1]), ("degrees_east", np.array([0.0, 90, 180, 270, 360]))),
        (("degrees_north", LAT), ("degrees_east", np.array([180.0, -90, 0, 90, -180]))),
    ],
)
def test_a_forecast_goes_back_to_latitudes_and_longitudes_as_the_caller_has_them(lat: Any, lon: Any) -> None:
    """Radians, degrees south and west, a meridian that stands twice."""
    ds = world()
    ds = ds.assign_coords(
        latitude=("latitude", lat[1], {"units": lat[0]}), longitude=("longitude", lon[1], {"units": lon[0]})
    )
    if np.ptp(lon[1]) >= 360:
        ds["t2m"][..., 4] = ds["t2m"][..., 0]
    out, axes = canonicalise(ds)
    assert (np.abs(out["latitude"]) >= 50).all()
    assert out.sizes["longitude"] == (4 if np.ptp(lon[1]) >= 360 else 5)
    mine = out.sortby("latitude").sortby("longitude")  # a model's own order
    back = restore(mine.rename(time="init_time").expand_dims(lead_time=1), axes, ds)
    for name, axis in (("latitude", "Y"), ("longitude", "X")):
        xr.testing.assert_equal(back[name], ds[name])
        assert back[name].attrs == {"standard_name": name, "axis": axis, **ds[name].attrs}
    np.testing.assert_array_equal(
        back["t2m"].squeeze("lead_time").transpose(*("init_time", *ds["t2m"].dims[1:])), ds["t2m"]
    )


def test_a_forecast_goes_back_to_a_rotated_grid_whose_columns_cross_zero() -> None:
    ds = world().rename(latitude="rlat", longitude="rlon").assign_coords(rlon=[358.0, 359.0, 0.0, 1.0, 2.0])
    ds["rlat"].attrs |= {"standard_name": "grid_latitude", "units": "degrees"}
    ds["rlon"].attrs |= {"standard_name": "grid_longitude", "units": "degrees"}
    out, axes = canonicalise(ds)
    mine = out.assign_coords(x=((out["x"] + 180) % 360 - 180).assign_attrs(out["x"].attrs)).sortby("x")
    assert Grid.of(mine).faults(out) == []
    xr.testing.assert_equal(Grid.of(mine).align(out), mine)
    back = restore(mine.rename(time="init_time").expand_dims(lead_time=1), axes, ds)
    np.testing.assert_array_equal(back["t2m"].squeeze("lead_time"), ds["t2m"])


def test_a_forecast_goes_back_to_places_that_are_written_with_every_frame() -> None:
    lat2, lon2 = np.meshgrid(LAT, LON, indexing="ij")
    dims = ("Time", "south_north", "west_east")
    ds = xr.Dataset(
        {"T2": (dims, field(), {"units": "K"})},
        coords={
            "XTIME": ("Time", TIMES),
            "XLAT": (dims, np.broadcast_to(lat2, (4, 3, 5)), {"units": "degree_north"}),
            "XLONG": (dims, np.broadcast_to(lon2, (4, 3, 5)), {"units": "degree_east"}),
        },
    )
    out, axes = canonicalise(ds)
    np.testing.assert_array_equal(out["latitude"], lat2)
    back = restore(out.drop_vars("time").rename(time="init_time").expand_dims(lead_time=[1], axis=1), axes, ds)
    assert back["T2"].dims == ("init_time", "lead_time", "south_north", "west_east")
    assert back["XLAT"].dims == ("south_north", "west_east")
    np.testing.assert_array_equal(back["XLONG"], lon2)
    ds = ds.assign_coords(XLAT=ds["XLAT"] + xr.DataArray([0, 0, 0, 1], dims="Time"))
    with pytest.raises(
        Refusal, match="XLAT: latitude of the points moves along Time, by up to 1; expected a grid that"
    ):
        canonicalise(ds)


def test_a_forecast_goes_back_to_the_callers_names_and_order() -> None:
    ds = world(time="when", latitude="lat", longitude="lon").isel(lat=slice(None, None, -1))
    ds["when"].attrs["standard_name"] = "time"
    ds = ds.transpose("lat", "when", "lon").assign_coords(region=("lat", ["a", "b", "c"]))
    out, axes = canonicalise(ds)
    flipped = out.isel(latitude=[2, 0, 1][::-1])  # a model's own order
    forecast = flipped.rename(time="init_time").expand_dims(lead_time=[1, 2], axis=1).drop_vars("init_time")
    back = restore(forecast, axes, ds)
    assert back["t2m"].dims == ("lat", "init_time", "lead_time", "lon")
    xr.testing.assert_equal(back["lat"].drop_vars("region"), ds["lat"].drop_vars("region"))
    assert back["lat"].attrs == {"standard_name": "latitude", "axis": "Y", **ds["lat"].attrs}
    np.testing.assert_array_equal(back["region"], ["a", "b", "c"])
    np.testing.assert_array_equal(back["t2m"].isel(lead_time=1).values, ds["t2m"].values)


def test_a_forecast_keeps_bounds_and_the_callers_grid_mapping() -> None:
    ds = address_world(frames=4, grid="projected").rename(crs="lambert")
    ds = ds.assign_coords(y_bnds=(("y", "edge"), np.stack([ds["y"] + 1000, ds["y"] - 1000], axis=-1)))
    ds["y"].attrs["bounds"], ds["x"].attrs["bounds"] = "y_bnds", "of_which_nothing_is_there"
    for field in ds.data_vars.values():
        field.attrs["grid_mapping"] = "lambert"
    out, axes = canonicalise(ds)
    forecast = out.rename(time="init_time", lambert="crs").expand_dims(lead_time=1)
    for field in forecast.data_vars.values():
        field.attrs["grid_mapping"] = "crs"  # the contract's own name
    back = restore(forecast, axes, ds)
    assert back["t2m"].attrs["grid_mapping"] == "lambert"
    assert "crs" not in back.coords
    np.testing.assert_array_equal(back["y_bnds"], ds["y_bnds"])
    assert back["y"].encoding["bounds"] == "y_bnds"
    assert "bounds" not in {**back["x"].attrs, **back["x"].encoding}
    assert ds["x"].attrs["bounds"] == "of_which_nothing_is_there"  # the caller's data stays as it is
