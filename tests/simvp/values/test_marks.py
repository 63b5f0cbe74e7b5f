"""The rule itself, where no file is needed to see it."""

import netCDF4
import numpy as np
import pytest

from simvp.values import in_single, looks_like_mark, stored_as
from simvp.values.marks import UNWRITTEN


def test_the_defaults_are_those_of_the_format() -> None:
    assert {kind: netCDF4.default_fillvals[kind] for kind in UNWRITTEN} == UNWRITTEN
    assert set(UNWRITTEN) == set(netCDF4.default_fillvals) - {"S1", "i1", "u1", "c8", "c16"}


@pytest.mark.parametrize(
    "number",
    [-9999, -999.9, 99.99, -32768, 32767, 65535, 1e20, 9.96921e36, float("nan"), -8888, 7777.7, -999.25, -99900],
)
def test_numbers_that_stand_for_missing(number: float) -> None:
    assert looks_like_mark(number)


@pytest.mark.parametrize("number", [0, 1, -1, 9, 100, 273.15, 101325, 990, -40, 88.5, 255, 1e5])
def test_numbers_that_may_be_values(number: float) -> None:
    assert not looks_like_mark(number)


@pytest.mark.parametrize(("number", "kind"), [(255, "u1"), (127, "i1"), (-128, "i1"), (-1, "i2"), (2**32 - 1, "u4")])
def test_ends_of_the_type_stand_for_missing(number: int, kind: str) -> None:
    assert looks_like_mark(number, np.dtype(kind))


@pytest.mark.parametrize("mark", [9.96921e36, 1e36, -1e30, 3.4028235e38])
def test_infinity_is_no_large_mark(mark: float) -> None:
    for kind in ("f4", "f8"):
        how = stored_as("t", np.dtype(kind), {"missing_value": mark})
        assert how.marked(np.array([mark, np.inf, -np.inf, 1e20], kind)).tolist() == [True, False, False, False]
    unwritten = stored_as("t", np.dtype("f4"), {}, form="netcdf")
    assert unwritten.marked(np.array([9.969209968386869e36, np.inf], "f4")).tolist() == [True, False]


def test_marks_of_large_integers_are_exact() -> None:
    how = stored_as("n", np.dtype("i8"), {"missing_value": 2**60 + 1})
    assert how.marked(np.array([2**60, 2**60 + 1, 2**60 + 2])).tolist() == [False, True, False]


def test_a_range_is_not_widened_among_whole_numbers() -> None:
    how = stored_as("n", np.dtype("i4"), {"valid_range": np.array([-100_000_000, 100_000_000])})
    numbers = np.array([-100_000_001, -100_000_000, 100_000_000, 100_000_001], "i4")
    assert how.marked(numbers).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("packing", "expected"),
    [
        ({"scale_factor": np.float32(0.1), "add_offset": np.float32(273.15)}, "f4"),
        ({"scale_factor": 0.1, "add_offset": 273.15}, "f8"),
    ],
)
def test_values_are_computed_in_the_type_of_the_packing(packing: dict[str, float], expected: str) -> None:
    stored = np.arange(-300, 300, dtype="i2")
    computed = stored.astype(expected) * packing["scale_factor"] + packing["add_offset"]
    values = stored_as("t", stored.dtype, packing).values(stored)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, computed.astype("f4"))


def test_what_float32_cannot_hold_is_double() -> None:
    assert in_single(np.dtype("i2"), {"scale_factor": 0.01, "add_offset": 300.0})
    assert not in_single(np.dtype("i2"), {"scale_factor": 1e-6, "add_offset": 300.0})
    assert not in_single(np.dtype("i4"), {"scale_factor": 0.01})
    fine = stored_as("t", np.dtype("i2"), {"scale_factor": 1e-6, "add_offset": 300.0})
    assert fine.values(np.array([1], "i2"))[0] == 1e-6 + 300.0
