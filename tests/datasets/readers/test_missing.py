"""What a missing value is, in files as they are found: read one by one, read as one, and read from Zarr."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from datasets.readers.source import open_source
from simvp.errors import SourceError
from tests.support.files.headers import CASES, COUNTS, FLOATS, HOLE, NAN, put
from tests.support.files.slowly import one_by_one
from tests.support.files.small_files import KELVIN, hourly, write, write_zarr

HOURS, EAST = {"units": "hours since 2020-01-01"}, {"units": "degrees_east"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error")
def test_values_are_missing_where_the_header_says_so(case: str, tmp_path: Path) -> None:
    stored, attrs, expected = CASES[case]
    whole = write(tmp_path / "whole.nc", hourly("t", stored, {**KELVIN, **attrs}))
    (tmp_path / "parts").mkdir()
    for frame in range(4):
        part = hourly("t", stored[frame : frame + 1], {**KELVIN, **attrs}, first=frame)
        write(tmp_path / "parts" / f"{frame}.nc", part)
    out = open_source(whole)["t"]
    assert out.chunks is not None
    assert out.dtype == (np.float64 if stored.dtype.itemsize > 4 or stored.dtype == "i4" else np.float32)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    assert set(out.attrs) <= {"units", "standard_name", "quantity"}
    joined = open_source(tmp_path / "parts")["t"]
    assert joined.dtype == out.dtype
    np.testing.assert_array_equal(joined, out)
    np.testing.assert_array_equal(one_by_one(tmp_path / "parts")["t"], out)
    np.testing.assert_array_equal(out.isel(time=[3, 1], latitude=-1, longitude=slice(None, None, 2)),
                                  out.values[[3, 1], -1, ::2])  # fmt: skip


def test_each_file_has_its_own_packing_and_limits(tmp_path: Path) -> None:
    for number, (scale, low) in enumerate([(0.5, 0), (0.25, 4), (2.0, -3)]):
        attrs = {**KELVIN, "scale_factor": scale, "add_offset": 1.0, "valid_min": np.int16(low)}
        write(tmp_path / f"{number}.nc", hourly("t", COUNTS[:1].astype("i2") - 1, attrs, first=number))
    out = open_source(tmp_path)["t"].values
    expected = np.stack([(COUNTS[0] - 1) * scale + 1.0 for scale in (0.5, 0.25, 2.0)])
    expected[0][COUNTS[0] - 1 < 0] = expected[1][COUNTS[0] - 1 < 4] = np.nan
    np.testing.assert_allclose(out, expected)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_frames_that_were_never_written_are_missing(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, {"units": "hPa"}), form=form, written=slice(0, 2))
    expected = FLOATS.copy()
    expected[2:] = np.nan
    np.testing.assert_array_equal(open_source(path)["t"], expected)


@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "i8"])
def test_times_that_were_never_written_are_named(kind: str, tmp_path: Path) -> None:
    times = np.arange(4).astype(kind)
    times[2:] = netCDF4.default_fillvals[kind]
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, time=(("time",), times, HOURS)))
    with pytest.raises(SourceError, match="time: 2 of 4 times are missing in time"):
        open_source(path)


def test_axes_are_not_judged_by_valid_ranges(tmp_path: Path) -> None:
    """Longitudes of 0 to 360 under a range of -180 to 180 are what they are."""
    east, limits = np.array([178.0, 179, 180, 181]), {"valid_min": -180.0, "valid_max": 180.0}
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, lon=(("lon",), east, {**EAST, **limits})))
    np.testing.assert_array_equal(open_source(path)["longitude"], east)


def test_packed_axes_and_whole_numbers_along_them_stay_what_they_are(tmp_path: Path) -> None:
    north = (("lat",), np.array([5000, 4900, 4800], "i2"), {"units": "degrees_north", "scale_factor": 0.01})
    east = (("lon",), np.arange(4, dtype="i2"), EAST)
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, lat=north, lon=east))
    ds = open_source(path)
    np.testing.assert_allclose(ds["latitude"], [50.0, 49.0, 48.0])
    np.testing.assert_array_equal(ds["longitude"], np.arange(4))


@pytest.mark.parametrize(
    ("stored", "attrs", "said"),
    [
        (FLOATS, {"missing_value": "see below"}, "t: missing_value is the text 'see below'; expected a number"),
        (COUNTS.astype("i2"), {"scale_factor": "tenth"}, "t: scale_factor is the text 'tenth'; expected a number"),
        (COUNTS.astype("i2"), {"scale_factor": 0.0}, "t: scale_factor is 0.0; expected one number, not 0"),
        (COUNTS.astype("i2"), {"add_offset": np.array([1.0, 2.0])}, "t: add_offset is array([1., 2.]); expected one"),
        (FLOATS, {"valid_range": np.float32(5)}, "t: valid_range is 5.0; expected two numbers"),
        (FLOATS, {"valid_min": 350, "valid_max": 150}, "the lowest valid number is above the highest"),
        (FLOATS, {"undetect": -8.0, "units": "dBZ"}, "t: undetect -8 marks where the radar saw nothing, for which dBZ"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(
    stored: np.ndarray, attrs: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.nc", hourly("t", stored[:2], {**KELVIN, **attrs}))
    write(tmp_path / "b.nc", hourly("t", stored[2:], {**KELVIN, **attrs}, first=2))
    for source in (tmp_path / "a.nc", tmp_path):
        with pytest.raises(SourceError) as refused:
            open_source(source)
        assert said in str(refused.value)
    assert f"{tmp_path}/b.nc: " in str(refused.value)


def test_a_variable_that_nobody_asks_for_is_no_reason_to_refuse(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", hourly("t", FLOATS, {**KELVIN, "missing_value": "see below"}))
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file.createVariable("u", "f4", ("time", "lat", "lon"))[:] = FLOATS
    np.testing.assert_array_equal(open_source(tmp_path / "a.nc", variables=["u"])["u"], FLOATS)


# ---- Zarr


@pytest.mark.parametrize("version", [2, 3])
def test_zero_is_a_value_though_it_is_the_fill_value(version: int, tmp_path: Path) -> None:
    dry = FLOATS - 200
    for kind in ("f4", "f8", "i4", "u1"):
        stored = hourly("t", dry.astype(kind), {"units": "mm"})
        path = write_zarr(tmp_path / f"{kind}.zarr", stored, version=version, fills={"t": 0})
        np.testing.assert_array_equal(open_source(path)["t"], dry.astype(kind))


@pytest.mark.parametrize("version", [2, 3])
def test_axes_that_pass_through_their_fill_value(version: int, tmp_path: Path) -> None:
    lat, lon = np.array([1.0, 0.0, -1.0]), np.arange(4.0)
    fills = {"time": 0, "lat": 0.0, "lon": 1.0, "t": NAN}
    stored = hourly("t", FLOATS, lat=(("lat",), lat, {"units": "degrees_north"}), lon=(("lon",), lon, EAST))
    ds = open_source(write_zarr(tmp_path / "a.zarr", stored, version=version, fills=fills))
    np.testing.assert_array_equal(ds["t"], FLOATS)
    np.testing.assert_array_equal(ds["latitude"], lat)
    np.testing.assert_array_equal(ds["longitude"], lon)
    assert str(ds["time"].values[0]) == "2020-01-01T00:00:00.000000000"


@pytest.mark.parametrize(
    ("kind", "fill"), [("f4", NAN), ("f4", -9999.0), ("f8", 1e20), ("i2", -32768), ("u1", 255), ("i4", -1)]
)
@pytest.mark.parametrize("version", [2, 3])
def test_fill_values_that_look_like_marks_are_missing(kind: str, fill: float, version: int, tmp_path: Path) -> None:
    stored = hourly("t", put(COUNTS.astype(kind), fill))
    out = open_source(write_zarr(tmp_path / "a.zarr", stored, version=version, fills={"t": fill}))["t"]
    np.testing.assert_array_equal(out, put(COUNTS * 1.0, NAN))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("kind", "fill"), [("f4", -5.0), ("i2", -32768), ("i2", 0), ("f8", NAN)])
def test_what_xarray_writes_is_read_back(kind: str, fill: float, version: int, tmp_path: Path) -> None:
    ds = open_source(write(tmp_path / "a.nc", hourly("t", FLOATS))).load()
    ds["t"] = ds["t"].where(ds["t"] != FLOATS[HOLE]) if fill else ds["t"]
    packing = {"scale_factor": 0.0625, "add_offset": 190.0} if kind == "i2" else {}
    ds.to_zarr(tmp_path / "a.zarr", zarr_format=version, encoding={"t": {"dtype": kind, "_FillValue": fill, **packing}})
    if fill == 0 and version == 2:
        with pytest.raises(SourceError, match="t: the fill_value 0 of its array in Zarr format 2 may be a value, or"):
            open_source(tmp_path / "a.zarr")
    elif fill == -5 and version == 2:
        with pytest.raises(SourceError, match=r"give the array an attribute _FillValue, -5.0 if it stands for missing"):
            open_source(tmp_path / "a.zarr")
    else:
        np.testing.assert_array_equal(open_source(tmp_path / "a.zarr")["t"], ds["t"])


@pytest.mark.parametrize(("stated", "expected"), [(-5.0, NAN), ("NaN", -5.0)])
def test_a_fill_value_that_may_be_either_is_told_by_an_attribute(stated: Any, expected: float, tmp_path: Path) -> None:
    stored = hourly("t", put(FLOATS, -5), {**KELVIN, "_FillValue": stated})
    path = write_zarr(tmp_path / "a.zarr", stored, version=2, fills={"t": -5.0})
    np.testing.assert_array_equal(open_source(path)["t"], put(FLOATS, expected))


def test_attributes_of_format_3_may_be_plain_numbers(tmp_path: Path) -> None:
    attrs = {**KELVIN, "_FillValue": -999.9, "missing_value": "-888.8"}
    path = write_zarr(tmp_path / "a.zarr", hourly("t", put(FLOATS, -999.9, -888.8), attrs), fills={"t": 0})
    np.testing.assert_array_equal(open_source(path)["t"], put(FLOATS, NAN, NAN))


@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_are_not_there_are_told(version: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_zarr(tmp_path / "a.zarr", hourly("t", FLOATS, {"units": "mm"}), version=version, fills={"t": 0})
    with caplog.at_level(logging.WARNING):
        open_source(path)
    assert caplog.text == ""
    (path / "t" / ("2.0.0" if version == 2 else "c/2/0/0")).unlink()
    with caplog.at_level(logging.WARNING):
        out = open_source(path)["t"]
    assert "a.zarr: t: 1 of 4 chunks are not there and read as the fill value 0.0" in caplog.text
    assert (out[2] == 0).all()


def test_whatever_is_asked_of_it_a_source_stays_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is read as a slice, though the values are decoded behind it."""
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, {**KELVIN, "missing_value": -999.9}))
    ds = open_source(path)
    asked: list[tuple[int, ...]] = []
    plain = xr.backends.netCDF4_.NetCDF4ArrayWrapper._getitem

    def recorded(self: Any, key: Any) -> Any:
        out = plain(self, key)
        asked.append(out.shape)
        return out

    monkeypatch.setattr(xr.backends.netCDF4_.NetCDF4ArrayWrapper, "_getitem", recorded)
    ds["t"].isel(time=slice(1, 3), latitude=0).load()
    assert asked == [(2, 4)]
