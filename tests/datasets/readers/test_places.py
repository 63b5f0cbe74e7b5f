"""Files whose grids are the same numbers at other places, or the same places in other numbers."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from datasets.readers import source
from datasets.readers.source import open_source
from simvp.coords import Grid, canonicalise, restore
from simvp.errors import Refusal, SourceError
from tests.support.files import small_files
from tests.support.files.slowly import one_by_one

Variable = tuple[tuple[str, ...], Any, Mapping[str, Any]]
FRAMES, ROWS, COLUMNS = 3, 3, 4
NORTH = {"standard_name": "latitude", "units": "degrees_north"}
EAST = {"standard_name": "longitude", "units": "degrees_east"}
LAEA = {
    "grid_mapping_name": "lambert_azimuthal_equal_area",
    "latitude_of_projection_origin": 52.0,
    "longitude_of_projection_origin": 10.0,
}
LCC = {
    "grid_mapping_name": "lambert_conformal_conic",
    "standard_parallel": [30.0, 60.0],
    "latitude_of_projection_origin": 45.0,
}
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
GEOSTATIONARY = {
    "grid_mapping_name": "geostationary",
    "perspective_point_height": 35786023.0,
    "longitude_of_projection_origin": -75.0,
    "sweep_angle_axis": "x",
}
Y, X, TURNED = 9000.0 - 1000.0 * np.arange(ROWS), 2000.0 + 1000.0 * np.arange(COLUMNS), 1.0 + np.arange(COLUMNS)
# Places of a model's cells, of which neither rows nor columns are straight.
XLAT = np.add.outer(40.0 + np.arange(ROWS), 0.1 * np.arange(COLUMNS)).astype("f4")
XLONG = np.add.outer(-0.2 * np.arange(ROWS), 7.0 + np.arange(COLUMNS)).astype("f4")


def field(file: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Values that say which frame, row and column they are of."""
    frame = np.arange(FRAMES)[:, None, None] + FRAMES * file
    return (100 * frame + 10 * np.arange(rows)[:, None] + np.arange(columns)).astype("f4")


def write(path: Path, variables: Mapping[str, Variable], file: int = 0, **attrs: Any) -> Path:
    """Variables, and an hourly time that goes on from file to file, encoded by nobody."""
    hours = (("time",), np.arange(FRAMES) + FRAMES * file, {"standard_name": "time", "units": "hours since 2020-01-01"})
    return small_files.write(path, {"time": hours, **variables}, **attrs)


def on_plane(
    path: Path,
    mapping: Mapping[str, Any] | None,
    file: int = 0,
    *,
    y: Any = Y,
    x: Any = X,
    units: str = "m",
    packing: Mapping[str, Any] | None = None,
    **attrs: Any,
) -> Path:
    axes = {n: {"standard_name": f"projection_{n}_coordinate", "units": units, **(packing or {})} for n in "yx"}
    named = {} if mapping is None else {"grid_mapping": "crs"}
    variables: dict[str, Variable] = {
        "y": (("y",), y, axes["y"]),
        "x": (("x",), x, axes["x"]),
        "t": (("time", "y", "x"), field(file), {"units": "K", **named}),
    }
    return write(path, variables | ({} if mapping is None else {"crs": ((), np.int32(0), mapping)}), file, **attrs)


def on_degrees(
    path: Path, lat: Variable | None = None, lon: Variable | None = None, file: int = 0, **more: Variable
) -> Path:
    lat = lat or (("lat",), 50.0 - np.arange(ROWS), NORTH)
    lon = lon or (("lon",), 5.0 + np.arange(COLUMNS), EAST)
    values = field(file, np.shape(lat[1])[0], np.shape(lon[1])[-1])
    return write(
        path, {"lat": lat, "lon": lon, **more, "t": (("time", *lat[0][:1], *lon[0][-1:]), values, {"units": "K"})}, file
    )


def turned(path: Path, mapping: Mapping[str, Any], file: int = 0, columns: Any = TURNED) -> Path:
    variables: dict[str, Variable] = {
        "rlat": (("rlat",), 2.0 - np.arange(ROWS), {"standard_name": "grid_latitude", "units": "degrees"}),
        "rlon": (("rlon",), columns, {"standard_name": "grid_longitude", "units": "degrees"}),
        "pole": ((), np.int32(0), mapping),
        "t": (("time", "rlat", "rlon"), field(file), {"units": "K", "grid_mapping": "pole"}),
    }
    return write(path, variables, file)


def wrf(path: Path, file: int = 0, moved: Any = 0.0, units: tuple[str, str] = ("degree_north", "degree_east")) -> Path:
    dims = ("Time", "south_north", "west_east")
    moving = np.broadcast_to(np.asarray(moved, "f4"), (FRAMES,))[:, None, None]
    since = {"units": "hours since 2020-01-01", "description": "minutes since 2020-01-01"}
    variables: dict[str, Variable] = {
        "XTIME": (("Time",), np.arange(FRAMES) + FRAMES * file, since),
        "XLAT": (dims, XLAT + moving, {"units": units[0]}),
        "XLONG": (dims, XLONG + 0 * moving, {"units": units[1]}),
        "T2": (dims, field(file), {"units": "K", "coordinates": "XLONG XLAT XTIME"}),
    }
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in zip(dims, (FRAMES, ROWS, COLUMNS), strict=True):
            nc.createDimension(name, size)
        for name, (own, values, attrs) in variables.items():
            var = nc.createVariable(name, np.asarray(values).dtype, own)
            var.setncatts(dict(attrs))
            var[...] = values
    return path


def refused(*paths: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(list(paths))
    return str(caught.value)


def assert_field(ds: xr.Dataset, files: int = 1, name: str = "t") -> None:
    np.testing.assert_array_equal(ds[name].values, np.concatenate([field(file) for file in range(files)]))


MAPPINGS: list[tuple[dict[str, Any], str]] = [
    (LCC, "grid_mapping_name expected lambert_azimuthal_equal_area, got lambert_conformal_conic"),
    ({**LAEA, "longitude_of_projection_origin": 20.0}, "longitude_of_projection_origin expected 10.0, got 20.0"),
    ({**LAEA, "false_easting": 4321000.0}, "false_easting expected none, got 4321000.0"),
    ({**LAEA, "earth_radius": 6371229.0}, "earth_radius expected none, got 6371229.0"),
    ({"spatial_ref": "EPSG:3035"}, "false_easting expected 0.0, got 4321000.0"),
]


@pytest.mark.parametrize(("theirs", "text"), MAPPINGS)
def test_the_same_numbers_on_another_projection_are_refused(theirs: dict[str, Any], text: str, tmp_path: Path) -> None:
    one, two = on_plane(tmp_path / "a.nc", LAEA), on_plane(tmp_path / "b.nc", theirs, 1)
    told = refused(one, two)
    assert "b.nc: not on the grid of " in told
    assert "grid: another projection (grid_mapping crs): " in told
    assert text in told
    (fault,) = Grid.of(open_source(one)).faults(open_source(two))
    assert text in fault


@pytest.mark.parametrize("how", ["false easting", "kilometres", "text", "text of the whole file", "name"])
def test_the_same_places_in_other_numbers_are_one_grid(how: str, tmp_path: Path, caplog: Any) -> None:
    text = "+proj=laea +lat_0=52 +lon_0=10"
    mapping: Any = {
        "false easting": {**LAEA, "false_easting": 5e5},
        "text": {"proj4": text},
        "text of the whole file": None,
    }
    y, x = Y, X
    one = on_plane(tmp_path / "a.nc", LAEA)
    two = on_plane(
        tmp_path / "b.nc",
        mapping.get(how, LAEA),
        1,
        y=y / 1000 if how == "kilometres" else y,
        x=x / 1000 if how == "kilometres" else x + 5e5 if how == "false easting" else x,
        units="km" if how == "kilometres" else "m",
        **({"proj4": text} if how == "text of the whole file" else {}),
    )
    if how == "name":
        with netCDF4.Dataset(two, "a") as nc:
            nc.renameVariable("crs", "laea")
            nc["t"].grid_mapping = "laea"
    with caplog.at_level(logging.WARNING):
        ds = open_source([one, two])
    assert_field(ds, 2)
    np.testing.assert_array_equal(ds["x"], x)
    assert ds["x"].attrs["units"] == "m"
    assert (ds["t"].attrs["grid_mapping"], ds["crs"].attrs) == ("crs", LAEA)
    assert "laea" not in ds.coords
    assert "taken to be in the same place" not in caplog.text


def test_the_same_numbers_in_kilometres_are_refused(tmp_path: Path) -> None:
    told = refused(on_plane(tmp_path / "a.nc", LAEA), on_plane(tmp_path / "b.nc", LAEA, 1, units="km"))
    assert "x differs by up to 4.995e+06 m" in told
    assert "expected 2000 .. 5000 (spacing 1000) m, got 2000 .. 5000 (spacing 1000) km" in told
    told = refused(on_plane(tmp_path / "a.nc", LAEA), on_plane(tmp_path / "b.nc", LAEA, 1, units="degrees"))
    assert "grid: x: expected units m, got degrees" in told


def test_texts_that_name_the_projection_of_a_whole_file_count(tmp_path: Path) -> None:
    paths = [
        on_plane(tmp_path / f"{lon}.nc", None, n, proj4=f"+proj=laea +lat_0=52 +lon_0={lon}")
        for n, lon in enumerate((5, 6))
    ]
    assert "longitude_of_projection_origin expected 5.0, got 6.0" in refused(*paths)


@pytest.mark.parametrize("name", ["projection", "map_projection", "proj4"])
@pytest.mark.parametrize("mapped", [True, False])
def test_texts_under_the_names_that_writers_give_them_count(name: str, mapped: bool, tmp_path: Path) -> None:
    paths = []
    for n, lon in enumerate((5, 6)):
        text = {name: f"+proj=stere +lat_0=90 +lat_ts=60 +lon_0={lon}"}
        paths.append(on_plane(tmp_path / f"{n}.nc", text if mapped else None, n, **(text if not mapped else {})))
    assert "straight_vertical_longitude_from_pole expected 5.0, got 6.0" in refused(*paths)


LONG = ["crs: y x geo: lat lon", "geo: lat lon crs: y x", "geo: lat lon crs: x"]


@pytest.mark.parametrize("long", LONG)
def test_of_several_mappings_that_of_rows_and_columns_counts(long: str, tmp_path: Path) -> None:
    paths = [
        on_plane(tmp_path / f"{n}.nc", {**LAEA, "longitude_of_projection_origin": o}, n)
        for n, o in enumerate((9, 9, 8))
    ]
    for path in paths:
        with netCDF4.Dataset(path, "a") as nc:
            nc.createVariable("geo", "i4").grid_mapping_name = "latitude_longitude"
            nc["t"].grid_mapping = long
    ds = open_source(paths[:2])
    assert_field(ds, 2)
    assert ds["t"].attrs["grid_mapping"] == "crs"
    assert "longitude_of_projection_origin expected 9, got 8" in refused(paths[0], paths[2])


def by_transform(path: Path, transform: str, file: int = 0, flip: bool = False) -> Path:
    """GDAL's form without coordinates of rows and columns."""
    mapping = {"spatial_ref": "EPSG:32632", "GeoTransform": transform}
    values = field(file)[:, ::-1] if flip else field(file)
    variables: dict[str, Variable] = {
        "crs": ((), np.int32(0), mapping),
        "t": (("time", "y", "x"), values, {"units": "K", "grid_mapping": "crs"}),
    }
    return write(path, variables, file)


def test_pixels_lie_where_the_transform_of_gdal_puts_them(tmp_path: Path) -> None:
    one = by_transform(tmp_path / "a.nc", "400000 1000 0 5500000 0 -1000 ")
    up = by_transform(tmp_path / "b.nc", "400000, 1000, 0, 5497000, 0, 1000", 1, flip=True)
    ds = open_source([one, up])
    assert_field(ds, 2)
    np.testing.assert_array_equal(ds["y"], 5499500.0 - 1000.0 * np.arange(ROWS))
    np.testing.assert_array_equal(ds["x"], 400500.0 + 1000.0 * np.arange(COLUMNS))
    told = refused(one, by_transform(tmp_path / "c.nc", "500000 1000 0 5500000 0 -1000", 1))
    assert "grid: x differs by up to 100000, allowed is 1/1000 of the spacing (1)" in told
    raw = xr.open_dataset(up)
    canonical, axes = canonicalise(raw)
    forecast = canonical.isel(y=slice(None, None, -1)).rename(time="init_time").expand_dims(lead_time=[1])
    back = restore(forecast.transpose("init_time", "lead_time", "y", "x"), axes, raw)
    np.testing.assert_array_equal(back["t"].isel(lead_time=0), raw["t"])


@pytest.mark.parametrize(
    ("step", "far", "allowed"),
    [(0.01, 1e-4, "1/328 of the spacing (3.05e-05)"), (0.1, 2e-4, "1/1000 of the spacing (0.0001)")],
)
def test_fine_grids_are_the_same_in_single_precision(step: float, far: float, allowed: str, tmp_path: Path) -> None:
    lon = 350.0 + step * np.arange(COLUMNS)
    one = on_degrees(tmp_path / "a.nc", lon=(("lon",), lon, EAST))
    ds = open_source([one, on_degrees(tmp_path / "b.nc", lon=(("lon",), lon.astype("f4"), EAST), file=1)])
    assert_field(ds, 2)
    np.testing.assert_array_equal(ds["longitude"], lon)
    moved = (lon + far).astype("f4")
    told = refused(one, on_degrees(tmp_path / "c.nc", lon=(("lon",), moved, EAST), file=1))
    assert f"allowed is {allowed}" in told


def test_places_that_say_nothing_but_their_names_are_places(tmp_path: Path) -> None:
    paths = []
    for n, moved in enumerate((0.0, 0.0, 0.5)):
        variables: dict[str, Variable] = {
            "nav_lat": (("y", "x"), XLAT + moved, {}),
            "nav_lon": (("y", "x"), XLONG, {}),
            "sst": (("time", "y", "x"), field(n), {"units": "K"}),
        }
        paths.append(write(tmp_path / f"{n}.nc", variables, n))
    ds = open_source(paths[:2])
    assert_field(ds, 2, "sst")
    np.testing.assert_array_equal(ds["latitude"], XLAT)
    assert "latitude of the points differs by up to 0.5 degrees" in refused(*paths)


def test_a_file_without_grid_mapping_is_taken_with_a_warning(tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        assert_field(open_source([on_plane(tmp_path / "a.nc", LAEA), on_plane(tmp_path / "b.nc", None, 1)]), 2)
    assert "one of two has a grid_mapping, the other has not" in caplog.text


def test_a_rotated_grid_of_another_pole_is_refused_and_of_the_same_is_not(tmp_path: Path) -> None:
    one = turned(tmp_path / "a.nc", ROTATED)
    told = refused(one, turned(tmp_path / "b.nc", {**ROTATED, "grid_north_pole_latitude": 43.0}, 1))
    assert "grid_north_pole_latitude expected 39.25, got 43.0; the points lie up to 416.9 km apart" in told
    ds = open_source([one, turned(tmp_path / "d.nc", {**ROTATED, "grid_north_pole_longitude": 198.0}, 1)])
    assert_field(ds, 2)
    ds = open_source([one, turned(tmp_path / "c.nc", ROTATED, 1, columns=361.0 + np.arange(COLUMNS))])
    assert_field(ds, 2)
    np.testing.assert_array_equal(ds["x"], 1.0 + np.arange(COLUMNS))


@pytest.mark.parametrize("attribute", ["add_offset", "scale_factor"])
def test_packed_coordinates_are_compared_unpacked(attribute: str, tmp_path: Path) -> None:
    paths = []
    for file in range(2):
        packing = {"scale_factor": np.float32(0.01), "add_offset": np.float32(0.05)}
        packing[attribute] += np.float32(0.02 * file)
        scene = tmp_path / f"{file}.nc"
        numbers = {"y": np.arange(ROWS, dtype="i2"), "x": np.arange(COLUMNS, dtype="i2")}
        paths.append(on_plane(scene, GEOSTATIONARY, file, units="rad", packing=packing, **numbers))
    assert "1.nc: not on the grid of " in refused(*paths)


def test_files_of_one_packing_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is packed anew, to the same places, is one grid as well."""
    packing = {"scale_factor": np.float64(0.5), "add_offset": np.float64(100.0)}
    paths = [
        on_plane(
            tmp_path / f"{n}.nc",
            LAEA,
            n,
            packing=packing,
            y=np.arange(ROWS, dtype="i2"),
            x=np.arange(COLUMNS, dtype="i2"),
        )
        for n in range(3)
    ]
    shifted = {"scale_factor": np.float64(0.5), "add_offset": np.float64(99.0)}
    numbers = {"y": np.arange(ROWS, dtype="i2") + 2, "x": np.arange(COLUMNS, dtype="i2") + 2}
    paths.append(on_plane(tmp_path / "3.nc", LAEA, 3, packing=shifted, **numbers))
    opened = []
    plain = source._open
    monkeypatch.setattr(source, "_open", lambda file, *rest: opened.append(file.name) or plain(file, *rest))
    ds = open_source(paths)
    assert len(opened) == 3  # the first, to see what they are and for its attributes, and the odd one
    assert_field(ds, 4)
    np.testing.assert_array_equal(ds["x"], 100 + 0.5 * np.arange(COLUMNS))


@pytest.mark.parametrize(
    ("lat", "lon", "expected"),
    [
        (
            ("radian", np.deg2rad([50.0, 49.0, 48.0])),
            ("radians", np.deg2rad([-1.0, 0.0, 1.0])),
            ([50, 49, 48], [-1, 0, 1]),
        ),
        (("degrees_south", [1.0, 2.0]), ("degrees_west", [90.0, 91.0]), ([-1, -2], [-90, -91])),
        (("degrees", [-3.0, -2.0]), ("degree_W", [-2.0, 3.0]), ([-3, -2], [2, -3])),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_degrees_of_north_and_east_whatever_the_file_counts(
    lat: Any, lon: Any, expected: Any, named: bool, tmp_path: Path
) -> None:
    """Radians, degrees south and west."""
    attrs = [
        {"units": units, **({"standard_name": n} if named else {})}
        for n, (units, _) in zip(("latitude", "longitude"), (lat, lon), strict=True)
    ]
    ds = open_source(on_degrees(tmp_path / "a.nc", (("lat",), lat[1], attrs[0]), (("lon",), lon[1], attrs[1])))
    np.testing.assert_allclose(ds["latitude"], expected[0], atol=1e-12)
    np.testing.assert_allclose(ds["longitude"], expected[1], atol=1e-12)
    assert (ds["latitude"].attrs["units"], ds["longitude"].attrs["units"]) == ("degrees_north", "degrees_east")
    np.testing.assert_array_equal(ds["t"], field(0, len(lat[1]), len(lon[1])))


@pytest.mark.parametrize(
    ("lat", "units", "text"),
    [
        ([150.0, 149.0], "degrees_north", "lat: latitude reaches from 149 to 150 degrees, expected -90 .. 90"),
        ([89.0, 90.0, 91.0], "degrees_north", "lat: latitude reaches from 89 to 91 degrees"),
        ([2.0, 1.0], "radians", "lat: latitude reaches from 57.2958 to 114.592 degrees"),
        ([3e5, 2e5], "m", "lat: latitude: expected degrees or another angle, got units 'm'"),
    ],
)
def test_latitudes_that_are_none_are_refused(lat: list[float], units: str, text: str, tmp_path: Path) -> None:
    assert text in refused(on_degrees(tmp_path / "a.nc", (("lat",), lat, {**NORTH, "units": units})))


def test_latitudes_written_as_texts_are_refused(tmp_path: Path) -> None:
    ds = xr.open_dataset(on_degrees(tmp_path / "a.nc"))
    with pytest.raises(Refusal, match="lat: expected numbers along lat, got '50N'"):
        canonicalise(ds.assign_coords(lat=("lat", ["50N", "49N", "48N"], {"standard_name": "latitude"})))


def test_rounding_beyond_a_pole_is_the_pole(tmp_path: Path) -> None:
    ds = open_source(on_degrees(tmp_path / "a.nc", (("lat",), np.array([90.00001, 0, -90.00001], "f4"), NORTH)))
    np.testing.assert_array_equal(ds["latitude"], [90, 0, -90])


@pytest.mark.parametrize(
    ("lon", "kept"),
    [
        ([0, 90, 180, 270, 360], [0, 1, 2, 3]),
        ([-180, -90, 0, 90, 180], [0, 1, 2, 3]),
        ([360, 270, 180, 90, 0], [0, 1, 2, 3]),
        ([0, 120, 240, 360, 480], [0, 1, 2]),
        ([180, 270, 0, 90, 180.0001], [2, 3, 0, 1]),
    ],
)
def test_a_meridian_stands_once(lon: list[float], kept: list[int], tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "simvp.coords"):
        ds = open_source(on_degrees(tmp_path / "a.nc", lon=(("lon",), np.array(lon, "f8"), EAST)))
    np.testing.assert_array_equal(ds["t"], field(0, ROWS, 5)[..., kept])
    assert "lon: left out, the meridians of" in caplog.text


def test_longitudes_to_360_and_to_180_are_the_same_columns(tmp_path: Path) -> None:
    one = on_degrees(tmp_path / "a.nc", lon=(("lon",), np.array([0.0, 90, 180, 270]), EAST))
    two = on_degrees(tmp_path / "b.nc", lon=(("lon",), np.array([-180.0, -90, 0, 90]), EAST), file=1)
    ds = open_source([one, two])
    np.testing.assert_array_equal(ds["longitude"], [0, 90, 180, 270])
    np.testing.assert_array_equal(ds["t"], np.concatenate([field(0), field(1)[..., [2, 3, 0, 1]]]))


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("radians", [False, True])
def test_places_that_wrf_writes_with_every_frame_are_one_grid(files: int, radians: bool, tmp_path: Path) -> None:
    units = ("radians", "radians") if radians else ("degree_north", "degree_east")
    paths = [wrf(tmp_path / f"{file}.nc", file, units=units) for file in range(files)]
    if radians:
        for path in paths:
            with netCDF4.Dataset(path, "a") as nc:
                for name in ("XLAT", "XLONG"):
                    nc[name][...] = np.deg2rad(nc[name][...])
    ds = open_source(paths)
    assert_field(ds, files, "T2")
    for name, expected in (("latitude", XLAT), ("longitude", XLONG)):
        assert ds[name].dims == ("y", "x")
        np.testing.assert_allclose(ds[name], expected, rtol=1e-6)
    xr.testing.assert_identical(ds.load(), one_by_one(paths).load())


def test_files_of_wrf_are_not_opened_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    plain = source._open
    monkeypatch.setattr(source, "_open", lambda file, *rest: opened.append(file.name) or plain(file, *rest))
    open_source([wrf(tmp_path / f"{file}.nc", file) for file in range(4)])
    assert len(opened) == 2


@pytest.mark.parametrize("moved", [[0.0, 1.0, 2.0], [0.0, 0.0, 0.5]])
def test_a_nest_that_moves_is_refused(moved: list[float], tmp_path: Path) -> None:
    text = "XLAT: latitude of the points moves along Time, by up to "
    assert text in refused(wrf(tmp_path / "a.nc", moved=moved))
    told = refused(wrf(tmp_path / "b.nc"), wrf(tmp_path / "c.nc", 1, moved=moved), wrf(tmp_path / "d.nc", 2))
    assert f"c.nc: {text}" in told
    told = refused(wrf(tmp_path / "e.nc"), wrf(tmp_path / "f.nc", 1, moved=1.0))
    assert "grid: latitude of the points differs by up to 1 degrees" in told


def test_points_are_believed_before_rows_and_columns_that_contradict_them(tmp_path: Path) -> None:
    more = {"latitude": (("lat", "lon"), XLAT, NORTH), "longitude": (("lat", "lon"), XLONG, EAST)}
    for name in ("named", "unnamed"):
        lines = {"lat": (("lat",), np.arange(3.0)[::-1], NORTH), "lon": (("lon",), np.arange(4.0), EAST)}
        path = on_degrees(tmp_path / f"{name}.nc", **lines, **more)  # type: ignore[arg-type]
        if name == "named":
            with netCDF4.Dataset(path, "a") as nc:
                nc["t"].coordinates = "latitude longitude"
            ds = open_source(path)
            assert_field(ds)
            assert ds["t"].dims == ("time", "y", "x")
            np.testing.assert_array_equal(ds["latitude"], XLAT)
            np.testing.assert_array_equal(ds["y"], [0, 1, 2])
            assert ds["y"].attrs["long_name"] == "row"
        else:
            assert "lat(lat) and latitude(lat, lon) are both latitude and differ by up to 42.3 degrees" in refused(path)


def test_points_that_repeat_rows_and_columns_are_left_out(tmp_path: Path) -> None:
    lat, lon = np.meshgrid(50.0 - np.arange(ROWS), 5.0 + np.arange(COLUMNS), indexing="ij")
    more = {"latitude": (("lat", "lon"), lat, NORTH), "longitude": (("lat", "lon"), lon + 360, EAST)}
    ds = open_source(on_degrees(tmp_path / "a.nc", **more))  # type: ignore[arg-type]
    assert ds["t"].dims == ("time", "latitude", "longitude")
    assert_field(ds)


GRIDLESS: dict[str, tuple[dict[str, Variable], str]] = {
    "mesh": (
        {
            "clat": (("ncells",), np.deg2rad(np.arange(5.0)), {"standard_name": "latitude", "units": "radian"}),
            "clon": (("ncells",), np.deg2rad(np.arange(5.0)), {"standard_name": "longitude", "units": "radian"}),
            "t": (("time", "ncells"), np.zeros((FRAMES, 5)), {"units": "K", "coordinates": "clat clon"}),
        },
        "clat and clon both lie along ncells: an unstructured mesh or a list of points",
    ),
    "mesh without places": (
        {"t": (("time", "nCells"), np.zeros((FRAMES, 5)), {"units": "K"})},
        "t lies along nCells alone: an unstructured mesh or a list of points",
    ),
    "reduced Gaussian grid": (
        {
            "latitude": (("values",), np.arange(5.0), NORTH),
            "longitude": (("values",), np.arange(5.0), EAST),
            "t": (("time", "values"), np.zeros((FRAMES, 5)), {"units": "K", "GRIB_gridType": "reduced_gg"}),
        },
        "both lie along values: a reduced Gaussian grid (GRIB_gridType reduced_gg)",
    ),
    "swath": (
        {
            "lat": (("time", "pixel"), np.zeros((FRAMES, 5)), NORTH),
            "lon": (("time", "pixel"), np.zeros((FRAMES, 5)), EAST),
            "t": (("time", "pixel"), np.zeros((FRAMES, 5)), {"units": "K", "coordinates": "lat lon"}),
        },
        "lat has dims (time, pixel), it changes with time: a swath; interpolate it to rows and columns first",
    ),
}


def test_a_swath_whose_points_have_times_of_their_own_is_named(tmp_path: Path) -> None:
    zeros = np.zeros((FRAMES, 5))
    variables: dict[str, Variable] = {
        "time": (("scan", "pixel"), zeros, {"standard_name": "time", "units": "hours since 2020-01-01"}),
        "lat": (("scan", "pixel"), zeros, NORTH),
        "lon": (("scan", "pixel"), zeros, EAST),
        "t": (("scan", "pixel"), zeros, {"units": "K", "coordinates": "time lat lon"}),
    }
    told = refused(write(tmp_path / "a.nc", variables))
    assert "no single time axis: time has dims ('scan', 'pixel'), as latitude has: a swath" in told


@pytest.mark.parametrize("case", GRIDLESS)
def test_what_has_no_rows_and_columns_is_named(case: str, tmp_path: Path) -> None:
    variables, text = GRIDLESS[case]
    told = refused(write(tmp_path / "a.nc", variables))
    assert "no horizontal axes: expected latitude and longitude, or y and x" in told
    assert text in told


def test_staggered_grids_are_named_until_one_is_chosen(tmp_path: Path) -> None:
    path = wrf(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as nc:
        nc.createDimension("west_east_stag", COLUMNS + 1)
        for name, values in (("XLAT_U", 40.0), ("XLONG_U", 7.0), ("U10", 3.0)):
            var = nc.createVariable(name, "f4", ("Time", "south_north", "west_east_stag"))
            var.units = {"XLAT_U": "degree_north", "XLONG_U": "degree_east"}.get(name, "m s-1")
            var[...] = values + np.arange(COLUMNS + 1) / 8 + np.arange(ROWS)[:, None]
        nc["U10"].coordinates = "XLONG_U XLAT_U XTIME"
    told = refused(path)
    assert "more than one horizontal grid: (south_north, west_east): T2" in told
    assert "(south_north, west_east_stag): U10; staggered; choose variables of one" in told
    ds = open_source(path, variables=["U10"])
    np.testing.assert_array_equal(ds["longitude"][0], 7.0 + np.arange(COLUMNS + 1) / 8)
