"""Headers as they are found in files, the numbers below them, and the values that these mean."""

from collections.abc import Mapping
from typing import Any

import netCDF4
import numpy as np

HOLE, OTHER = (1, 2, 3), (3, 0, 0)
FLOATS = (200 + np.arange(48) / 16).reshape(4, 3, 4).astype("f4")  # exact in float32
COUNTS = np.arange(48).reshape(4, 3, 4)
NAN = float("nan")


def put(values: np.ndarray, hole: Any, other: Any = None) -> np.ndarray:
    """The values with another one in one place, and in a second one."""
    values = values.copy()
    values[HOLE] = hole
    if other is not None:
        values[OTHER] = other
    return values


def packed(numbers: np.ndarray, scale: float, offset: float = 0.0) -> np.ndarray:
    return numbers.astype("f8") * scale + offset


FLOAT_HOLED = put(FLOATS, NAN)
CASES: dict[str, tuple[np.ndarray, Mapping[str, Any], np.ndarray]] = {
    "double beside float32": (put(FLOATS, -999.9), {"missing_value": -999.9}, FLOAT_HOLED),
    "large double": (put(FLOATS, 1e20), {"missing_value": 1e20}, FLOAT_HOLED),
    "fewer digits": (put(FLOATS, 9.96921e36), {"missing_value": 9.96920996838687e36}, FLOAT_HOLED),
    "float32 beside double": (
        put(FLOATS.astype("f8"), -999.9), {"missing_value": np.float32(-999.9)}, FLOAT_HOLED,
    ),
    "integer beside float32": (put(FLOATS, -9999), {"missing_value": np.int16(-9999)}, FLOAT_HOLED),
    "several": (
        put(FLOATS, -999.9, -888.8), {"missing_value": np.array([-999.9, -888.8])}, put(FLOATS, NAN, NAN),
    ),
    "both attributes": (
        put(FLOATS, -1.0, -2.0), {"_FillValue": np.float32(-1), "missing_value": -2.0}, put(FLOATS, NAN, NAN),
    ),
    "text": (put(FLOATS, -999), {"missing_value": "-999"}, FLOAT_HOLED),
    "text as ncdump prints it": (put(FLOATS, -999), {"missing_value": "-999.f"}, FLOAT_HOLED),
    "several as text": (put(FLOATS, -99.5, -88.5), {"missing_value": "-99.5, -88.5"}, put(FLOATS, NAN, NAN)),
    "text that says nothing": (put(FLOATS, -3), {"missing_value": "none"}, put(FLOATS, -3)),
    "NaN as text": (put(FLOATS, NAN), {"missing_value": "NaN"}, FLOAT_HOLED),
    "other names": (put(FLOATS, -5.5, -6.5), {"CodeMissingValue": "-5.5", "nodata": -6.5}, put(FLOATS, NAN, NAN)),
    "default of the format": (put(FLOATS, netCDF4.default_fillvals["f4"]), {}, FLOAT_HOLED),
    "default beside missing_value": (
        put(FLOATS, netCDF4.default_fillvals["f4"], -9.0), {"missing_value": np.float32(-9)}, put(FLOATS, NAN, NAN),
    ),
    "default of doubles": (put(FLOATS.astype("f8"), netCDF4.default_fillvals["f8"]), {}, FLOAT_HOLED),
    "default of short integers": (put(COUNTS.astype("i2"), -32767), {}, put(COUNTS * 1.0, NAN)),
    "default of integers": (put(COUNTS.astype("i4"), -2147483647), {}, put(COUNTS * 1.0, NAN)),
    "default of unsigned integers": (put(COUNTS.astype("u2"), 65535), {}, put(COUNTS * 1.0, NAN)),
    "a declared fill leaves the default a value": (
        put(COUNTS.astype("i2"), -32767, -1), {"_FillValue": np.int16(-1)}, put(COUNTS * 1.0, -32767, NAN),
    ),
    "default within a valid range": (
        put(COUNTS.astype("i2"), -32767), {"valid_range": np.array([-32767, 32767], "i2")}, put(COUNTS * 1.0, -32767),
    ),
    "no default of bytes": (put(COUNTS.astype("i1"), -127), {}, put(COUNTS * 1.0, -127)),
    "default of packed integers": (
        put(COUNTS.astype("i2"), -32767), {"scale_factor": 0.5, "add_offset": 10.0}, put(packed(COUNTS, 0.5, 10), NAN),
    ),
    "beyond the type": (put(COUNTS.astype("i1"), 127), {"missing_value": np.int32(-9999)}, put(COUNTS * 1.0, 127)),
    "valid range": (put(FLOATS, -500), {"valid_range": np.array([150, 350], "f4")}, FLOAT_HOLED),
    "valid range as doubles": (put(FLOATS, 500), {"valid_range": np.array([150.0, 350.0])}, FLOAT_HOLED),
    "valid range as integers": (put(FLOATS, 500), {"valid_range": np.array([150, 350], "i8")}, FLOAT_HOLED),
    "valid range as text": (put(FLOATS, 500), {"valid_range": "150, 350"}, FLOAT_HOLED),
    "valid_min": (put(FLOATS, -1), {"valid_min": np.float32(0)}, FLOAT_HOLED),
    "valid_max": (put(FLOATS, 401), {"valid_max": 400}, FLOAT_HOLED),
    "ends of a range belong to it": (
        put(FLOATS, 350.1, 199.9), {"valid_min": 199.9, "valid_max": 350.1}, put(FLOATS, 350.1, 199.9),
    ),
    "whole range of float32": (
        put(FLOATS, -7), {"valid_range": np.array([-3.402823e38, 3.402823e38], "f4")}, put(FLOATS, -7),
    ),
    "valid range of packed numbers": (
        put(COUNTS.astype("i2"), 2000),
        {"scale_factor": 0.5, "add_offset": 10.0, "valid_range": np.array([0, 1000], "i2")},
        put(packed(COUNTS, 0.5, 10), NAN),
    ),
    "valid range of unpacked values": (
        put(COUNTS.astype("i2"), 2000, 66),
        {"scale_factor": 0.5, "add_offset": 10.0, "valid_range": np.array([10.0, 43.0])},
        put(packed(COUNTS, 0.5, 10), NAN, 43.0),
    ),
    "unsigned": (
        put(COUNTS.astype("i2"), -1, -2),
        {"_Unsigned": "true", "_FillValue": np.int16(-1), "scale_factor": 0.5},
        put(packed(COUNTS, 0.5), NAN, 32767.0),
    ),
    "unsigned with a range": (
        put(COUNTS.astype("i2"), 20000, -1),
        {"_Unsigned": "true", "_FillValue": np.int16(-1), "valid_min": np.int16(0), "valid_max": np.int16(10000)},
        put(COUNTS * 1.0, NAN, NAN),
    ),
    "unsigned bytes with a range": (
        put(COUNTS.astype("i1"), -1, -6), {"_Unsigned": "true", "valid_range": np.array([0, -6], "i1")},
        put(COUNTS * 1.0, NAN, 250),
    ),
    "unsigned bytes by their range": (
        put(COUNTS.astype("i1"), -1, -6), {"valid_range": np.array([0, 250], "i2")}, put(COUNTS * 1.0, NAN, 250),
    ),
    "signed": (
        put(COUNTS.astype("u1"), 255, 250), {"_Unsigned": "false", "missing_value": np.int8(-1), "scale_factor": 0.5},
        put(packed(COUNTS, 0.5), NAN, -3),
    ),
    "packing as text": (
        put(COUNTS.astype("i2"), -32767),
        {"scale_factor": "0.25", "add_offset": " 3.5 ", "missing_value": "-32767s"},
        put(packed(COUNTS, 0.25, 3.5), NAN),
    ),
    "mark of packed data as a value": (
        put(COUNTS.astype("i2"), -399), {"scale_factor": 0.25, "missing_value": -99.75}, put(packed(COUNTS, 0.25), NAN),
    ),
    "undetect of rain": (
        put(FLOATS, -9, -8), {"_FillValue": np.float32(-9), "_Undetect": np.float32(-8), "units": "mm h-1"},
        put(FLOATS, NAN, 0),
    ),
    "undetect of packed rain": (
        put(COUNTS.astype("u1"), 255, 250),
        {"nodata": 255.0, "undetect": 250.0, "scale_factor": 0.5, "add_offset": -3.0, "units": "kg m-2"},
        put(packed(COUNTS, 0.5, -3), NAN, 0),
    ),
    "undetect outside the valid range": (
        put(FLOATS, -9, -8), {"valid_min": 0.0, "undetect": -8, "units": "mm"}, put(FLOATS, NAN, 0),
    ),
    "lowest step of reflectivity": (
        put(COUNTS.astype("u1"), 255, 0),
        {"nodata": 255, "undetect": 0, "scale_factor": 0.5, "add_offset": -32.0, "units": "dBZ"},
        put(packed(COUNTS, 0.5, -32), NAN, -32),
    ),
}  # fmt: skip
