"""Files in real formats to one canonical series, and every wrong one refused by name."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr
from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

from datasets.readers.concat import Joined
from datasets.readers.files import checksums, source_files
from datasets.readers.source import open_source
from simvp.errors import SourceError

LAT = np.array([52.0, 51.0, 50.0])
LON = np.array([-2.0, -1.0, 0.0, 1.0])
START = np.datetime64("2020-01-01", "ns")


def world(hours: Sequence[int] = range(6), *, lat: np.ndarray = LAT, name: str = "t2m", add: float = 0.0) -> xr.Dataset:
    """Values that say where they belong: 100 x hour + latitude + longitude / 100, exact in float32."""
    hour = np.asarray(hours)
    values = 100 * hour[:, None, None] + lat[:, None] + LON / 64 + add
    return xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype("f4"), {"units": "K", "long_name": "2 m temperature"})},
        coords={
            "time": ("time", START + hour * np.timedelta64(1, "h"), {"standard_name": "time"}),
            "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", LON, {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )


def assert_world(ds: xr.Dataset, hours: Sequence[int] = range(6), name: str = "t2m", add: float = 0.0) -> None:
    assert ds[name].dims == ("time", "latitude", "longitude")
    assert ds[name].chunks is not None
    assert ds[name].dtype == np.float32
    expected = world(hours, name=name, add=add)
    np.testing.assert_array_equal(ds["time"], expected["time"])
    np.testing.assert_array_equal(ds["latitude"], LAT)
    np.testing.assert_array_equal(ds["longitude"], LON)
    np.testing.assert_array_equal(ds[name], expected[name])


def write_grib(ds: xr.Dataset, path: Path, **keys: Any) -> None:
    """GRIB messages of every time of a world, without loss (ccsds would round)."""
    import eccodes

    with path.open("ab") as file:
        for time in range(ds.sizes["time"]):
            message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
            when = ds["time"].values[time].astype("datetime64[m]").item()
            settings = {
                "Ni": 4,
                "Nj": 3,
                "latitudeOfFirstGridPointInDegrees": float(ds["lat"][0]),
                "latitudeOfLastGridPointInDegrees": float(ds["lat"][-1]),
                "longitudeOfFirstGridPointInDegrees": float(ds["lon"][0]) % 360,
                "longitudeOfLastGridPointInDegrees": float(ds["lon"][-1]),
                "iDirectionIncrementInDegrees": 1.0,
                "jDirectionIncrementInDegrees": 1.0,
                "dataDate": int(when.strftime("%Y%m%d")),
                "dataTime": int(when.strftime("%H%M")),
                "shortName": "2t",
                **keys,
            }
            for key, value in settings.items():
                eccodes.codes_set(message, key, value)
            eccodes.codes_set(message, "packingType", "grid_ieee")
            eccodes.codes_set_values(message, ds["t2m"].values[time].astype("f8").ravel())
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)


def write(ds: xr.Dataset, path: Path, form: str, unlimited: bool = False) -> None:
    if form.startswith("zarr"):
        ds.to_zarr(path, zarr_format=2 if "2" in form else 3, consolidated="consolidated" in form)
    elif form == "grib":
        write_grib(ds, path)
    elif form == "NETCDF3_64BIT_DATA":
        write_cdf5(ds, path, unlimited)
    else:
        ds.to_netcdf(path, format=form, engine="netcdf4", unlimited_dims=["time"] if unlimited else [])


def write_cdf5(ds: xr.Dataset, path: Path, unlimited: bool) -> None:
    """The 64-bit data format of classic NetCDF, which xarray does not write."""
    plain = xr.conventions.cf_encoder(ds.variables, {})[0]
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as file:
        for dim, size in ds.sizes.items():
            file.createDimension(dim, None if unlimited and dim == "time" else size)
        for name, var in plain.items():
            stored = file.createVariable(name, var.dtype, var.dims)
            stored.setncatts({key: value for key, value in var.attrs.items() if key != "_FillValue"})
            stored[:] = var.values


FORMS = [
    "NETCDF3_CLASSIC",
    "NETCDF3_64BIT_OFFSET",
    "NETCDF3_64BIT_DATA",
    "NETCDF4",
    "NETCDF4_CLASSIC",
    "zarr2 consolidated",
    "zarr2",
    "zarr3",
    "grib",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_format_reads_the_same_whatever_it_is_called(form: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.dat"
    write(world(), path, form)
    ds = open_source(path)
    assert_world(ds)
    assert ds["t2m"].attrs["units"] == "K"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive.dat"]  # nothing written beside the data


@pytest.mark.parametrize("how", ["dim", "coordinate", "variable"])
def test_files_of_one_time_each_in_any_order(how: str, tmp_path: Path) -> None:
    for hour in range(6):
        one = world([hour])
        if how != "dim":
            one = one.squeeze("time")
        if how == "variable":
            one = one.reset_coords("time").rename(time="when")
        one.to_netcdf(tmp_path / f"{(hour * 5) % 7}.nc")
    assert_world(open_source(tmp_path))
    assert_world(open_source(str(tmp_path / "?.nc")))
    assert_world(open_source(sorted(tmp_path.iterdir(), reverse=True)))


def test_grib_files_of_one_time_each(tmp_path: Path) -> None:
    for hour in (2, 0, 1):
        write_grib(world([hour]), tmp_path / f"{hour}.grib2")
    assert_world(open_source(tmp_path), range(3))


def test_opening_reads_no_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(6):
        world([hour]).to_netcdf(tmp_path / f"{hour}.nc")
    read: list[str] = []
    plain = NetCDF4ArrayWrapper._getitem

    def recorded(self: NetCDF4ArrayWrapper, key: Any) -> Any:
        read.append(self.variable_name)
        return plain(self, key)

    monkeypatch.setattr(NetCDF4ArrayWrapper, "_getitem", recorded)
    monkeypatch.setattr(Joined, "_read", lambda self, key: read.append("values") or np.zeros((1, 3, 4), "f4"))
    for source in (tmp_path, tmp_path / "0.nc"):
        ds = open_source(source)
        assert set(read) == {"time", "lat", "lon"}
        ds["t2m"][:1].compute()
        assert read.pop() in ("values", "t2m")


def test_files_whose_times_interleave_are_sorted(tmp_path: Path) -> None:
    world([0, 2, 4]).to_netcdf(tmp_path / "even.nc")
    world([5, 3, 1]).to_netcdf(tmp_path / "odd.nc")
    assert_world(open_source(tmp_path))


def test_variables_in_files_of_their_own_become_channels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for hour in range(6):
        world([hour]).to_netcdf(tmp_path / f"t{hour}.nc")
        if hour != 3:
            world([hour], name="d2m", add=7).to_netcdf(tmp_path / f"d{hour}.nc")
    with caplog.at_level(logging.WARNING):
        ds = open_source(tmp_path)
    assert "d2m: 1 of 6 times have no frame" in caplog.text
    assert_world(ds)
    assert np.isnan(ds["d2m"][3]).all()
    rest = [0, 1, 2, 4, 5]
    assert_world(ds[["d2m"]].isel(time=rest), rest, name="d2m", add=7)
    assert list(open_source(tmp_path, variables=["d2m"]).data_vars) == ["d2m"]


def test_level_chosen_where_there_is_one_and_surface_fields_beside_it(tmp_path: Path) -> None:
    upper = xr.concat([world(name="t", add=level) for level in (850, 500)], "plev").assign_coords(plev=[850.0, 500.0])
    upper.to_netcdf(tmp_path / "upper.nc")
    world().to_netcdf(tmp_path / "surface.nc")
    ds = open_source(tmp_path, select={"level": "500"})
    assert_world(ds, name="t", add=500)
    assert_world(ds)
    with pytest.raises(
        SourceError, match=r"upper\.nc: t: plev has 2 values; choose one with select=\{'plev': \.\.\.\}"
    ):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="select colour=1: there is no such axis; got"):
        open_source(tmp_path, select={"colour": 1})


def test_packed_values_are_decoded_to_float32(tmp_path: Path) -> None:
    ds = world()
    ds["t2m"] = ds["t2m"] / 8 + 270
    ds["t2m"].attrs = {"units": "K"}
    ds["t2m"][1, 2, 3] = np.nan
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 290.0, "_FillValue": -32768}
    ds.to_netcdf(tmp_path / "packed.nc", encoding={"t2m": packing})
    assert xr.open_dataset(tmp_path / "packed.nc")["t2m"].dtype == np.float64  # what there is to mend
    out = open_source(tmp_path / "packed.nc")["t2m"]
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, ds["t2m"], atol=0.0051)
    assert np.argwhere(np.isnan(out.values)).tolist() == [[1, 2, 3]]
    assert set(out.attrs) == {"units"}


def test_odd_names_as_of_an_old_archive(tmp_path: Path) -> None:
    ds = xr.Dataset(
        {
            "UWND": (("TIME", "FNOCY", "FNOCX"), world()["t2m"].values, {"units": "M/S", "missing_value": -9.99e33}),
            "VWND": (("TIME", "FNOCY", "FNOCX"), -world()["t2m"].values, {"units": "M/S"}),
        },
        coords={
            "TIME": ("TIME", 744.0 * np.arange(6) + 20, {"units": "hour since 1982-01-01 00:00:00"}),
            "FNOCY": ("FNOCY", LAT, {"units": "degrees_north", "point_spacing": "even"}),
            "FNOCX": ("FNOCX", LON, {"units": "degrees_east", "modulo": " "}),
        },
    )
    ds.to_netcdf(tmp_path / "monthly_navy_winds.cdf", format="NETCDF3_CLASSIC")
    out = open_source(tmp_path / "monthly_navy_winds.cdf", units={"UWND": "m s-1"})
    assert set(out.dims) == {"time", "latitude", "longitude"}
    np.testing.assert_array_equal(out["VWND"], -world()["t2m"])
    assert str(out["time"].values[1]) == "1982-02-01T20:00:00.000000000"


@pytest.mark.parametrize(
    ("units", "calendar", "values", "expected"),
    [
        ("months since 1999-11-01", "standard", [0, 1, 2], ["1999-11-01", "1999-12-01", "2000-01-01"]),
        ("months since 1999-11-01", "360", [0.5, 1.5, 2.5], ["1999-11-01", "1999-12-01", "2000-01-01"]),
        ("years since 1999-07-01", "noleap", [0, 1, 2], ["1999-07-01", "2000-07-01", "2001-07-01"]),
        ("day as %Y%m%d.%f", "standard", [20000228.75, 20000229.75, 20000301.75], ["2000-02-28T18", "2000-02-29T18"]),
        ("days since 1999-02-27", "360_day", [0, 1, 4], ["1999-02-27", "1999-02-28", "1999-03-01"]),
    ],
)
def test_calendars_and_units_of_time(
    units: str, calendar: str, values: list[float], expected: list[str], tmp_path: Path
) -> None:
    ds = world(range(3))
    ds = ds.assign_coords(time=("time", np.array(values), {"units": units, "calendar": calendar}))
    ds.to_netcdf(tmp_path / "a.nc")
    times = open_source(tmp_path / "a.nc")["time"].values
    if calendar == "standard":
        assert times.dtype == "datetime64[ns]"
        texts = [str(t) for t in times]
    else:
        assert {t.calendar for t in times} == {"360_day" if calendar.startswith("360") else calendar}
        texts = [t.isoformat() for t in times]
    assert all(text.startswith(start) for text, start in zip(texts, expected, strict=False))


@pytest.mark.parametrize("west", [358.0, 0.0, 178.0, 359.0])
@pytest.mark.parametrize("westward", [False, True])
@pytest.mark.parametrize("northward", [False, True])
def test_grib_regions_and_scanning_directions(west: float, westward: bool, northward: bool, tmp_path: Path) -> None:
    """Each value says its longitude east of `west`; ecCodes lists the longitudes in rising order whatever the scan."""
    ds = world(range(2)).assign_coords(lon=west + np.arange(4.0))
    ds = ds.isel(lon=slice(None, None, -1 if westward else 1), lat=slice(None, None, -1 if northward else 1))
    path = tmp_path / "region.grib2"
    last = float(ds["lon"][-1]) % 360
    write_grib(
        ds,
        path,
        iScansNegatively=int(westward),
        jScansPositively=int(northward),
        longitudeOfLastGridPointInDegrees=last,
    )
    out = open_source(path)
    east = (out["longitude"].values - west) % 360
    steps = np.diff(out["longitude"].values)
    assert (steps > 0).all() or (steps < 0).all()
    assert np.abs(steps).max() == 1.0
    assert -180 <= out["longitude"].min() <= out["longitude"].max() <= 360
    hours = (out["time"].values - START) / np.timedelta64(1, "h")
    expected = 100 * hours[:, None, None] + out["latitude"].values[:, None] + (east - 2) / 64
    np.testing.assert_array_equal(out["t2m"], expected)


def test_several_kinds_of_level_in_one_grib_file(tmp_path: Path) -> None:
    path = tmp_path / "mixed.grib2"
    write_grib(world(range(2)), path)
    write_grib(world(range(2), add=5), path, shortName="10u")
    ds = open_source(path)
    assert_world(ds, range(2))
    assert_world(ds, range(2), name="u10", add=5)
    assert_world(open_source(path, variables=["u10"]), range(2), name="u10", add=5)
    with pytest.raises(SourceError, match=r"'msl' is not there; got t2m .*, u10 "):
        open_source(path, variables=["msl"])


def test_one_variable_on_two_kinds_of_level_in_grib(tmp_path: Path) -> None:
    path = tmp_path / "levels.grib2"
    write_grib(world(range(2), add=1), path, shortName="t", typeOfLevel="isobaricInhPa", level=850)
    write_grib(world(range(2), add=2), path, shortName="t", typeOfLevel="heightAboveGround", level=100)
    with pytest.raises(SourceError, match="typeOfLevel"):
        open_source(path)
    assert_world(open_source(path, select={"typeOfLevel": "isobaricInhPa"}), range(2), name="t", add=1)
    assert_world(open_source(path, select={"typeOfLevel": "heightAboveGround"}), range(2), name="t", add=2)
    with pytest.raises(SourceError, match=r"no GRIB message with \{'typeOfLevel': 'surface'\}"):
        open_source(path, select={"typeOfLevel": "surface"})


# ---- refused


def put(folder: Path, **files: xr.Dataset) -> Path:
    for name, ds in files.items():
        ds.to_netcdf(folder / f"{name}.nc")
    return folder


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source, **options)
    return str(caught.value)


def test_a_shifted_grid_is_refused_with_its_file_and_float32_noise_is_not(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]), b=world([1], lat=LAT + 0.01), c=world([2]))
    text = refused(tmp_path)
    assert f"{tmp_path}/b.nc: not on the grid of {tmp_path}/a.nc: grid: latitude differs by up to 0.01" in text
    assert "c.nc" not in text
    noisy = world([1])
    put(tmp_path, b=noisy.assign_coords(lat=noisy["lat"] + 1e-5))
    assert_world(open_source(tmp_path), range(3))


def test_a_file_in_another_order_is_reordered_by_label(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]), b=world([1]).isel(lat=[2, 1, 0], lon=[3, 2, 1, 0]))
    assert_world(open_source(tmp_path), range(2))


def test_a_time_in_two_files_is_refused_with_both(tmp_path: Path) -> None:
    put(tmp_path, a=world([0, 1]), b=world([1, 2]))
    assert f"time 2020-01-01T01:00:00.000000000 is both in {tmp_path}/a.nc and in {tmp_path}/b.nc" in refused(tmp_path)


def test_units_and_calendars_must_agree_between_files(tmp_path: Path) -> None:
    celsius = world([1])
    celsius["t2m"].attrs["units"] = "degC"
    nothing = world([2])
    del nothing["t2m"].attrs["units"]
    noleap = world([3]).assign_coords(time=[cftime.DatetimeNoLeap(2020, 1, 1, 3)])
    kelvin = world([4])
    kelvin["t2m"].attrs["units"] = "kelvin"
    put(tmp_path, a=world([0]), b=celsius, c=nothing, d=noleap, e=kelvin)
    text = refused(tmp_path)
    assert f"{tmp_path}/b.nc: t2m has units 'degC', but 'K' in {tmp_path}/a.nc" in text
    assert f"{tmp_path}/c.nc: t2m has units None, but 'K' in {tmp_path}/a.nc" in text
    assert f"{tmp_path}/d.nc: calendar noleap, but standard in {tmp_path}/a.nc" in text
    assert "e.nc" not in text


def test_units_stated_for_files_that_have_none(tmp_path: Path) -> None:
    for hour in range(2):
        ds = world([hour])
        del ds["t2m"].attrs["units"]
        put(tmp_path, **{f"f{hour}": ds})
    assert "units" not in open_source(tmp_path)["t2m"].attrs
    out = open_source(tmp_path, units={"t2m": "K"})
    assert (out["t2m"].attrs["units"], out["t2m"].attrs["units_source"]) == ("K", "stated")
    assert "units stated for 'rain', which is not among the variables ['t2m']" in refused(
        tmp_path, units={"rain": "mm"}
    )


def test_a_file_that_lacks_a_variable_of_its_series(tmp_path: Path) -> None:
    both = world([0]).assign(d2m=world([0])["t2m"] + 1)
    put(tmp_path, a=both, b=world([1]))
    assert f"{tmp_path}/b.nc: has no d2m, which {tmp_path}/a.nc has" in refused(tmp_path)
    assert_world(open_source(tmp_path, variables=["t2m"]), range(2))


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "NETCDF4", "grib"])
@pytest.mark.parametrize("unlimited", [False, True])
def test_a_file_that_is_cut_off_is_named(form: str, unlimited: bool, tmp_path: Path) -> None:
    path = tmp_path / "b.nc"
    ds = world()
    write(ds, path, form, unlimited)
    whole = path.read_bytes()
    write(ds.assign_coords(time=ds["time"] + np.timedelta64(1, "D")), tmp_path / "a.nc", form)
    assert open_source(tmp_path).sizes["time"] == 12
    for share in (0.99, 0.6):
        path.write_bytes(whole[: int(len(whole) * share)])
        text = refused(tmp_path)
        assert f"{path}: the file is cut off" in text
        assert "a.nc" not in text


def test_every_file_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]))
    (tmp_path / "b.nc").write_bytes(b"")
    (tmp_path / "c.nc").write_bytes(b"\x1f\x8b\x08 packed")
    (tmp_path / "d.nc").write_bytes(b"<html>404</html>")
    (tmp_path / "notes.txt").write_text("not data, passed over")
    text = refused(tmp_path)
    assert "b.nc: expected NetCDF, GRIB or Zarr by content; the file is empty" in text
    assert (
        "c.nc: expected NetCDF, GRIB or Zarr by content; got first bytes b'\\x1f\\x8b\\x08 pack' (gzip; unpack" in text
    )
    assert "d.nc: expected NetCDF, GRIB or Zarr by content; got first bytes b'<html>40' (HTML" in text
    assert "notes" not in text


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert "there is no file or folder" in refused(tmp_path / "nowhere" / "x.nc")
    assert f"{tmp_path} is there" in refused(tmp_path / "nowhere" / "x.nc")
    assert "holds no NetCDF, GRIB or Zarr data" in refused(tmp_path / "empty")
    assert "no file matches" in refused(str(tmp_path / "*.nc"))
    assert "the list of files is empty" in refused([])
    assert "got first bytes b'hello'" in refused(tmp_path / "notes.txt")


def test_mixed_formats(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]))
    write_grib(world([1]), tmp_path / "b.grib")
    text = refused(tmp_path)
    assert "formats are mixed: grib" in text
    assert "b.grib" in text


def test_files_that_are_no_series_of_maps(tmp_path: Path) -> None:
    put(tmp_path, a=world().drop_vars("time"), b=world().mean("lon"))
    text = refused(tmp_path)
    assert f"{tmp_path}/a.nc: no time axis" in text
    assert f"{tmp_path}/b.nc: no horizontal axes" in text
    year_0 = world().assign_coords(time=("time", np.arange(6.0), {"units": "hours since 0000-01-01"}))
    year_0.to_netcdf(tmp_path / "a.nc")
    assert "times cannot be decoded: got hours since 0000-01-01; months of a climatology" in refused(tmp_path / "a.nc")


def test_a_variable_that_is_in_no_file(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]), b=world([1]))
    text = refused(tmp_path, variables=["T2M", "t2m"])
    assert "variable 'T2M' is not there (did you mean 't2m'?); got t2m ('time', 'lat', 'lon')" in text


# ---- where the files are


def test_folders_in_folders_and_stores_among_them(tmp_path: Path) -> None:
    (tmp_path / "2020" / "01").mkdir(parents=True)
    put(tmp_path / "2020" / "01", a=world([0]))
    put(tmp_path / "2020", b=world([1]))
    put(tmp_path, c=world([2]))
    (tmp_path / ".hidden.nc").write_bytes(b"x")
    assert [p.name for p in map(Path, source_files(tmp_path))] == ["a.nc", "b.nc", "c.nc"]
    assert_world(open_source(tmp_path), range(3))


def test_files_known_to_be_data_are_not_looked_into(tmp_path: Path) -> None:
    put(tmp_path, a=world([0]))
    (tmp_path / "a.nc").rename(tmp_path / "wrfout_d01_2020-01-01_00:00:00")
    (tmp_path / "wrfout_d01_2020-01-01_01:00:00").write_bytes(b"nothing")
    first, second = (str(path) for path in sorted(tmp_path.iterdir()))
    assert source_files(tmp_path) == [first]
    assert source_files(tmp_path, {second: ""}) == [first, second]
    assert source_files(f"{tmp_path}/../{tmp_path.name}//wrf*0") == [
        str(tmp_path / ".." / tmp_path.name / Path(path).name) for path in (first, second)
    ]


def test_zarr_stores_of_a_folder(tmp_path: Path) -> None:
    for hour in range(2):
        world([hour]).to_zarr(tmp_path / f"{hour}.zarr", zarr_format=2)
    assert source_files(tmp_path) == [str(tmp_path / "0.zarr"), str(tmp_path / "1.zarr")]
    assert_world(open_source(tmp_path), range(2))


def test_checksums_depend_on_content_alone(tmp_path: Path) -> None:
    import hashlib

    put(tmp_path, a=world([0]))
    file = tmp_path / "a.nc"
    assert checksums([file]) == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
    stores = [tmp_path / "a.zarr", tmp_path / "b.zarr", tmp_path / "c.zarr"]
    for store, hour in zip(stores, (0, 0, 1), strict=True):
        world([hour]).to_zarr(store, zarr_format=2)
    first, second, other = checksums(stores).values()
    assert first == second != other


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield lambda name: f"http://127.0.0.1:{http.server_port}/{name}"
    http.shutdown()
    http.server_close()
    thread.join()


def test_urls(server: Callable[[str], str], tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    put(tmp_path, a=world())
    world().to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    assert_world(open_source(server("a.nc")))
    assert_world(open_source(server("a.zarr")))
    assert checksums([server("a.nc")])[server("a.nc")] == checksums([tmp_path / "a.nc"])[str(tmp_path / "a.nc")]
    text = refused(server("b.nc"))
    assert server("b.nc") in text


def test_the_checksum_is_of_the_copy_that_is_read(tmp_path: Path) -> None:
    import fsspec

    name = "memory://changing/a.nc"
    put(tmp_path, a=world([0]))
    memory = fsspec.filesystem("memory")
    memory.put_file(str(tmp_path / "a.nc"), "/changing/a.nc")
    try:
        read = open_source(name)
        memory.pipe_file("/changing/a.nc", b"another one")
        assert checksums([name])[name] == checksums([tmp_path / "a.nc"])[str(tmp_path / "a.nc")]
        assert_world(read, [0])
    finally:
        memory.rm("/changing", recursive=True)


def test_other_file_systems(tmp_path: Path) -> None:
    import fsspec

    put(tmp_path, a=world([0]), b=world([1]))
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/bucket/days", recursive=True)
    try:
        assert_world(open_source("memory://bucket/days/a.nc"), [0])
        assert_world(open_source("memory://bucket/days"), range(2))
        assert_world(open_source("memory://bucket/days/*.nc"), range(2))
        assert "nothing is there" in refused("memory://bucket/nights")
    finally:
        memory.rm("/bucket", recursive=True)


# ---- real files


def iris(name: str) -> Path:
    return Path(pytest.importorskip("iris_sample_data").path) / name


def test_real_360_day_calendar() -> None:
    ds = open_source(iris("E1_north_america.nc"))
    assert ds["air_temperature"].shape == (240, 37, 49)
    assert ds["time"].values[0] == cftime.Datetime360Day(1860, 6, 1)
    assert ds["air_temperature"].attrs["units"] == "K"
    assert 250 < float(ds["air_temperature"].mean()) < 300


def test_real_curvilinear_files_of_one_month_each() -> None:
    ds = open_source(iris("NEMO"))
    assert ds["tos"].shape == (3, 330, 360)
    assert [(t.month, t.day) for t in ds["time"].values] == [(1, 16), (2, 16), (3, 16)]
    assert ds["latitude"].dims == ("y", "x")
    assert "height" not in ds.coords


def test_real_rotated_pole_with_a_scalar_time() -> None:
    ds = open_source(iris("rotated_pole.nc"))
    assert ds["air_pressure_at_sea_level"].dims == ("time", "y", "x")
    assert ds["rotated_latitude_longitude"].attrs["grid_mapping_name"] == "rotated_latitude_longitude"


def test_real_monthly_and_satellite_and_polar_grib() -> None:
    assert open_source(iris("ostia_monthly.nc"))["surface_temperature"].shape == (54, 18, 432)
    satellite = open_source(iris("toa_brightness_stereographic.nc"))
    assert satellite["data"].attrs["grid_mapping"] == "stereographic"
    assert (np.diff(satellite["y"]) < 0).all()
    polar = open_source(iris("polar_stereo.grib2"))
    assert polar["t"].dims == ("time", "y", "x")
    assert str(polar["time"].values[0]) == "2013-05-20T06:00:00.000000000"
    assert "no horizontal axes" in refused(iris("SOI_Darwin.nc"))


def test_real_depth_must_be_chosen() -> None:
    path = iris("atlantic_profiles.nc")
    assert "theta: depth has 40 values; choose one with select={'depth': ...} out of 5.0, 15.0" in refused(path)
    ds = open_source(path, variables=["theta"], select={"level": 5})
    assert (ds["theta"].shape, ds["theta"].attrs["units"]) == ((1, 6, 8), "K")


def test_real_era5(shared: Path) -> None:
    path = shared / "data" / "era5-2mt-2019-03-uk.grib"
    ds = open_source(path)
    assert ds["t2m"].shape == (744, 33, 49)
    assert ds["t2m"].attrs == {"units": "K", "long_name": "2 metre temperature", "fixed_at": '{"number": "0"}'}
    assert set(ds.coords) == {"time", "latitude", "longitude"}
    assert (float(ds["latitude"][0]), float(ds["latitude"][-1])) == (58.0, 50.0)
    assert str(ds["time"].values[-1]) == "2019-03-31T23:00:00.000000000"
    raw = xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""})
    np.testing.assert_array_equal(ds["t2m"][100:102], raw["t2m"][100:102])
