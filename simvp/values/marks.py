"""What a missing value is: the one rule for all readers, for parts of files, and for data that xarray has opened.

A header tells it in many ways (CF 2.5.1 and 8.1, NetCDF User's Guide, "Attribute Conventions"). xarray knows two of
them, in the type of the data alone: github.com/pydata/xarray issues 8359 (valid ranges), 2742 (what was never written),
9381 (a double beside float32), 5475 (Zarr's fill value is no _FillValue).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import ceil, floor, inf, isfinite, isnan
from typing import Any, Literal

import numpy as np

from simvp.errors import Refusal
from simvp.values.packing import ALL, Span, Stored

Form = Literal["netcdf", "zarr2", "zarr3", "none"]

MARKS = re.compile(r"_?fill_?value|missing_?values?|code_?missing_?value|_?no_?data(_?value|vals)?", re.IGNORECASE)
UNDETECT = re.compile(r"_?undetect(_?value)?", re.IGNORECASE)
LIMITS = ("valid_range", "valid_min", "valid_max")
PACKING = ("scale_factor", "add_offset")
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?nan|[+-]?inf(?:inity)?)[fdslbu]{0,3}", re.IGNORECASE)
SILENT = ("", "none", "null", "n/a", "na", "unknown", "undefined", "missing")  # texts with nothing to say
AMOUNT = re.compile(r"(mm|cm|in|inch(es)?|kg ?(m-2|m\^-2|m\*\*-2|/ ?m\^?2)|l ?(m-2|/ ?m\^?2))\b.*", re.IGNORECASE)
ON_TIME = re.compile(r".+\ssince\s.+|day as %.*", re.IGNORECASE)

# What NetCDF leaves where nothing was written (NC_FILL_* of netcdf.h). Bytes have none: all their values are in use.
UNWRITTEN: dict[str, float | int] = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295, "i8": -9223372036854775806,
    "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip
LARGEST = 9e29  # no quantity is larger; a limit beyond is none
# -9999, -999.9, 888; -99900 of radar mosaics, -999.25 of well logs.
REPEATED = re.compile(r"-?(9{2,}|8{3,}|7{3,}|9{3}00)(\.([0789]+|25))?")
ENDS = {-32768, -32767, 32767, 65535, -(2**31), 1 - 2**31, 2**31 - 1}


def stored_as(
    name: str,
    dtype: np.dtype,
    attrs: Mapping[str, Any],
    *,
    form: Form = "none",
    fill: Any = None,
    coordinate: bool = False,
) -> Stored:
    """What the header of a variable says of its stored numbers.

    Parameters
    ----------
    dtype, attrs
        As stored: nothing is decoded.
    form
        Format of the file, which decides what positions hold that were never written.
    fill
        Of a Zarr array: its fill value.
    coordinate
        Axes are never outside a valid range (which is often that of other longitudes), and a fill value that may be a
        value is one: CF 2.5.1 allows no missing coordinates.

    Raises
    ------
    Refusal
        An attribute that is no number, a range that is none, a mark that may be a value.
    """
    dtype = dtype.newbyteorder("=")
    scale, offset = (_factor(name, key, attrs) for key in PACKING)
    packed = scale is not None or offset is not None
    limits = ALL if coordinate else _limits(name, attrs)
    kept = np.dtype("f4" if dtype.itemsize <= (4 if dtype.kind == "f" else 2) else "f8")
    doubles = any(np.asarray(attrs[key]).dtype != np.float32 for key in PACKING if key in attrs)
    work = np.dtype("f8") if packed and doubles else kept
    single = packed and not coordinate and in_single(dtype, attrs)
    known = Stored(
        stored=dtype, seen=_seen(dtype, attrs, limits), scale=scale, offset=offset, work=work,
        dtype=np.dtype("f4") if single else work,
    )  # fmt: skip
    if coordinate and not packed and dtype.kind in "iu" and ON_TIME.fullmatch(str(attrs.get("units", "")).strip()):
        known = replace(known, work=np.dtype("i8"), dtype=np.dtype("i8"))
    known = _limited(known, name, limits, attrs)
    marks = {key: numbers(name, key, value) for key, value in attrs.items() if MARKS.fullmatch(key)}
    spans = [span for found in marks.values() for number in found for span in _spans(number, known)]
    if not any(found for key, found in marks.items() if key.lower().replace("_", "") == "fillvalue"):
        spans += _unwritten(name, known, form, fill, coordinate)
    return replace(known, missing=tuple(dict.fromkeys(spans)), undetected=_undetected(name, known, attrs, coordinate))


def in_single(dtype: np.dtype, packing: Mapping[str, Any]) -> bool:
    """Whether float32 holds values packed in `dtype` with this ``scale_factor`` and ``add_offset``.

    It has 24 bits for 16, unless the offset is so large that a step of the scale is lost beside it.
    """
    scale, offset = (_factor("", key, packing) for key in PACKING)
    finer = abs(offset or 0.0) * np.finfo("f4").eps < abs(1.0 if scale is None else scale)
    return dtype.kind in "iu" and dtype.itemsize <= 2 and bool(finer)


def numbers(name: str, key: str, value: Any) -> list[Any]:
    """Numbers of an attribute: one, several, or as text ("-999.f", "-99, -88").

    Raises
    ------
    Refusal
        A text that holds something else.
    """
    array = np.ravel(np.asarray(value))
    if array.dtype.kind not in "SUO":
        return list(array)
    found: list[Any] = []
    for one in array.tolist():
        text = one.decode("latin-1") if isinstance(one, bytes) else str(one)
        plain = text.strip(" \0\n\t[](){}")
        words = [NUMBER.fullmatch(word) for word in re.split(r"[,;\s]+", plain) if plain.lower() not in SILENT]
        if not all(words):
            raise Refusal(name, [f"{name}: {key} is the text {text!r}; expected a number"])
        digits = [match[1] for match in words if match]
        found += [int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word) for word in digits]
    return found


def looks_like_mark(number: float, dtype: np.dtype | None = None) -> bool:
    """Whether a number is one of those that stand for missing: NaN, -9999, 99.9, 1e20, the ends of integer types."""
    if not isfinite(number) or abs(number) >= 1e10 or number in ENDS:
        return True
    if dtype is not None and dtype.kind in "iu":
        ends = np.iinfo(dtype)
        if number == ends.max or (number < 0 and number in (ends.min, ends.min + 1, -1)):
            return True
    return bool(REPEATED.fullmatch(str(np.float32(number)).removesuffix(".0")))


def _factor(name: str, key: str, attrs: Mapping[str, Any]) -> float | None:
    if key not in attrs:
        return None
    found = numbers(name, key, attrs[key])
    if len(found) != 1 or not isfinite(found[0]) or (key == "scale_factor" and found[0] == 0):
        zero = ", not 0" if key == "scale_factor" else ""
        raise Refusal(name, [f"{name}: {key} is {_said(attrs[key])}; expected one number{zero}"])
    return float(found[0])


def _said(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def _seen(dtype: np.dtype, attrs: Mapping[str, Any], limits: Span) -> np.dtype:
    """The type as which integers are meant; bytes also by a valid range up to 255, as NetCDF did before _Unsigned."""
    stated = attrs.get("_Unsigned", "")
    stated = (stated.decode() if isinstance(stated, bytes) else str(stated)).strip().lower()
    byte = not stated and dtype == np.int8 and limits.low >= 0 and 127 < limits.high <= 255
    if dtype.kind == "i" and (stated in ("true", "1") or byte):
        return np.dtype(f"u{dtype.itemsize}")
    return np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" and stated in ("false", "0") else dtype


def _limits(name: str, attrs: Mapping[str, Any]) -> Span:
    """Lowest and highest valid number, whether of what is stored or of values."""
    lows, highs = [-inf], [inf]
    for key in (key for key in LIMITS if key in attrs):
        found = numbers(name, key, attrs[key])
        count, said = (2, "two numbers") if key == "valid_range" else (1, "one number")
        if len(found) not in (0, count):
            raise Refusal(name, [f"{name}: {key} is {_said(attrs[key])}; expected {said}"])
        stated = [float(one) for one in found if not isnan(one) and abs(one) < LARGEST]
        lows += stated[:1] if key != "valid_max" and found and float(found[0]) in stated else []
        highs += stated[-1:] if key != "valid_min" and found and float(found[-1]) in stated else []
    return Span(max(lows), min(highs))


def _limited(known: Stored, name: str, limits: Span, attrs: Mapping[str, Any]) -> Stored:
    """With the limits where they belong: of packed data they are stored numbers, unless of the type of the values.

    NetCDF User's Guide, valid_range: of the type of scale_factor, and wider than the data, they are values.
    """
    if limits == ALL:
        return known
    found = [np.asarray(one).dtype for key in LIMITS if key in attrs for one in numbers(name, key, attrs[key])]
    wider = known.seen.kind in "iu" or any(of.itemsize > known.seen.itemsize for of in found)
    as_values = known.packed and wider and any(of.kind == "f" for of in found)
    if known.seen.kind == "u" and not as_values:  # the bits of a negative limit are those of a large number
        turn = 2.0 ** (8 * known.seen.itemsize)
        limits = Span(*(end + turn if -turn / 2 <= end < 0 else end for end in limits))
    if limits.low > limits.high:
        said = ", ".join(f"{key} {_said(attrs[key])}" for key in LIMITS if key in attrs)
        raise Refusal(name, [f"{name}: {said}: the lowest valid number is above the highest"])
    if known.seen.kind in "iu" and not as_values:
        ends = np.iinfo(known.seen)
        low = ceil(limits.low) if limits.low > ends.min else -inf
        return replace(known, valid=Span(low, floor(limits.high) if limits.high < ends.max else inf))
    # 350.1 as float32 is more than 350.1; and a packed value is rounded.
    low, high = (
        end if not isfinite(end) else end + sign * (1e-6 * abs(end) + 1e-3 * abs(known.scale or 0.0) * as_values)
        for sign, end in zip((-1, 1), limits, strict=True)
    )
    return replace(known, allowed=Span(low, high)) if as_values else replace(known, valid=Span(low, high))


def _spans(number: Any, known: Stored) -> list[Span]:
    """Stored numbers that a mark of any type means; none where the type of the data cannot hold it."""
    value = float(number)
    if isnan(value):
        return []  # NaN is missing anyway
    if known.seen.kind == "f":
        if abs(value) >= 1e15:  # often with fewer digits than the data has: 9.999e20, 9.96921e36
            least, most = min(abs(value) * (1 - 1e-5), LARGEST), float(np.finfo(known.seen).max)
            most = most if isfinite(value) else inf  # an infinite number is none that was left unwritten
            return [Span(least, most)] if value > 0 else [Span(-most, -least)]
        # A float32 beside doubles may have been made of them, or they of it.
        alike = {float(known.seen.type(value)), float(known.seen.type(float(str(number))))}
        return [Span(one, one) for one in sorted(alike)]
    if not isfinite(value) or (value != int(value) and not known.packed):
        return []
    # No stored number is a fraction: one that is given is a value.
    unpacked = round((value - (known.offset or 0.0)) / (known.scale or 1.0))
    whole = int(number) if value == int(value) else unpacked
    ends = np.iinfo(known.seen)
    if known.seen.kind == "u" and -(2 ** (ends.bits - 1)) <= whole < 0:
        whole += 2**ends.bits  # -1 of data seen as unsigned has the bits of the largest number
    elif known.seen.kind == "i" and known.stored.kind == "u" and ends.max < whole < 2**ends.bits:
        whole -= 2**ends.bits
    return [Span(whole, whole)] if ends.min <= whole <= ends.max else []


def _unwritten(name: str, known: Stored, form: Form, fill: Any, coordinate: bool) -> list[Span]:
    """What positions hold that were never written, where the file declares no ``_FillValue``.

    NetCDF: the default of the type, which is missing, unless a valid range says that it is a value. Zarr: the array's
    fill value, by itself no mark (0 by default), but in format 2 xarray keeps its ``_FillValue`` nowhere else. So what
    looks like a mark is one, and 0 is a value; of what is left nobody can tell.
    """
    if form == "netcdf":
        number = UNWRITTEN.get(known.stored.str[1:])
        spans = [] if number is None else _spans(number, known)
        stated = known.valid.low if spans and spans[0].low <= 0 else known.valid.high
        inside = (
            known.seen.kind in "iu" and isfinite(stated) and all(not known.marked(np.array([s.low])) for s in spans)
        )
        return [] if inside else spans
    if form == "none" or not isinstance(fill, int | float | np.number) or isinstance(fill, bool | np.bool):
        return []
    if looks_like_mark(float(fill), known.seen):
        return _spans(fill, known)
    outside = not known.valid.low <= fill <= known.valid.high
    if coordinate or outside or form == "zarr3" or (fill == 0 and not known.packed):
        return []
    reason = (
        f"{name}: the fill_value {fill} of its array in Zarr format 2 may be a value, or stand for what is missing; "
        f"give the array an attribute _FillValue, {fill} if it stands for missing, NaN if it is a value"
    )
    raise Refusal(name, [reason])


def _undetected(name: str, known: Stored, attrs: Mapping[str, Any], coordinate: bool) -> tuple[Span, ...]:
    """Marks of radars for "looked at, nothing seen" (ODIM_H5): 0 for rain, and no missing value."""
    found = [number for key in attrs if UNDETECT.fullmatch(key) for number in numbers(name, key, attrs[key])]
    units, quantity = (str(attrs.get(key, "")).strip() for key in ("units", "quantity"))
    if coordinate or not found:
        return ()
    if AMOUNT.fullmatch(units) or quantity in ("RATE", "ACRR"):
        return tuple(span for number in found for span in _spans(number, known))
    if known.packed and known.seen.kind == "u" and all(number == 0 for number in found):
        return ()  # the lowest step of the scale, below which the radar sees nothing: its value stands
    reason = (
        f"{name}: undetect {found[0]:g} marks where the radar saw nothing, for which {units or 'an unknown unit'} has "
        "no number; give rain (mm, mm h-1), where it is 0, or write a value in its place"
    )
    raise Refusal(name, [reason])
