"""Data that plain xarray has opened: what it left undone is done, and what it did is not done twice."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr

from simvp.coords import canonicalise
from simvp.errors import Refusal
from simvp.values import decode, finish
from tests.support.files.headers import CASES, COUNTS, FLOATS, HOLE, NAN, put
from tests.support.files.small_files import KELVIN, hourly, write, write_zarr

UNREADABLE = ("packing as text",)  # by xarray: it fails
TWO_MARKS = ("several", "both attributes")


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("case", [case for case in CASES if case not in UNREADABLE])
@pytest.mark.filterwarnings("error")
def test_opened_by_xarray_it_has_the_same_values(case: str, chunks: Any, tmp_path: Path) -> None:
    stored, attrs, expected = CASES[case]
    path = write(tmp_path / "a.nc", hourly("t", stored, {**KELVIN, **attrs}))
    # Of two marks xarray warns whoever opens the file; what is done with the data afterwards says nothing more.
    with pytest.warns(xr.SerializationWarning) if case in TWO_MARKS else nullcontext():
        opened = xr.open_dataset(path, chunks=chunks)
    with opened as ds:
        canonical = canonicalise(ds)[0]["t"]
        assert (canonical.chunks is not None) == (chunks is not None)
        if "default" in case and "short" not in case and stored.dtype.kind == "f":
            return  # nothing is declared, nor is a header needed: see test_possible.py
        np.testing.assert_allclose(canonical, expected, rtol=1e-6)
        assert set(canonical.attrs) <= {"units", "standard_name", "quantity"}


def test_what_has_no_such_header_is_left_alone() -> None:
    for data in (FLOATS, dask.array.from_array(FLOATS)):
        variable = xr.Variable(
            ("time", "lat", "lon"), data, KELVIN, {"_FillValue": np.float32(-9), "dtype": FLOATS.dtype}
        )
        assert finish("t", variable) is variable


def test_data_in_memory_are_not_written_to() -> None:
    stored = put(FLOATS, -500)
    variable = xr.Variable(("time", "lat", "lon"), stored, {"valid_min": 0.0}, {"dtype": stored.dtype})
    np.testing.assert_array_equal(finish("t", variable), put(FLOATS, NAN))
    assert stored[HOLE] == -500


def test_limits_do_not_outlive_arithmetic() -> None:
    variable = xr.Variable(("time", "lat", "lon"), FLOATS - 273.15, {"units": "degC", "valid_range": [150.0, 350.0]})
    assert finish("t", variable) is variable


def test_packed_numbers_opened_without_decoding_are_unpacked(tmp_path: Path) -> None:
    attrs = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": np.int16(-1)}
    path = write(tmp_path / "a.nc", hourly("t", put(COUNTS.astype("i2"), -1), {**KELVIN, **attrs}))
    with xr.open_dataset(path, mask_and_scale=False) as ds:
        np.testing.assert_allclose(canonicalise(ds)[0]["t"], put(COUNTS * 0.5 + 10, NAN))


def test_a_header_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", hourly("t", FLOATS, {**KELVIN, "valid_range": "cold to warm"}))
    with xr.open_dataset(path) as ds, pytest.raises(Refusal, match="t: valid_range is the text 'cold to warm'"):
        canonicalise(ds)


def test_zarr_of_format_2_opened_by_xarray_keeps_its_marks(tmp_path: Path) -> None:
    stored = hourly("t", put(FLOATS, -9999), {**KELVIN, "valid_min": 0})
    path = write_zarr(tmp_path / "a.zarr", stored, version=2, fills={"t": -9999.0})
    with xr.open_dataset(path, engine="zarr", consolidated=False) as ds:
        np.testing.assert_array_equal(canonicalise(ds)[0]["t"], put(FLOATS, NAN))


@pytest.mark.parametrize("index", [np.s_[1], np.s_[1:3, ::-1], np.s_[[2, 0], :, [3, 1, 1]], np.s_[-1, 2, 3]])
def test_any_part_is_decoded_as_the_whole_is(index: Any) -> None:
    attrs = {"scale_factor": 0.5, "add_offset": 1.0, "missing_value": np.int16(14)}
    lazy = decode("t", xr.Variable(("time", "lat", "lon"), COUNTS.astype("i2"), attrs))
    assert not isinstance(lazy._data, np.ndarray)
    expected = xr.Variable(("time", "lat", "lon"), np.where(COUNTS == 14, NAN, COUNTS * 0.5 + 1))
    np.testing.assert_array_equal(lazy[index], expected[index])
