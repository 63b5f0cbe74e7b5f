"""GRIB messages, made of the samples that come with ecCodes; values are put down by their place on the map."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import xarray as xr

NORTH, WEST = 50.0, 5.0
"""Latitude of the first row and longitude of the first column; one degree apart."""


def maps(count: int, rows: int = 3, columns: int = 4, base: float = 200.0) -> np.ndarray:
    """Fields (count, rows from north to south, columns from west to east) that tell their number and their place."""
    place = np.arange(rows)[:, None] / 8 + np.arange(columns) / 64
    return base + np.arange(count)[:, None, None] + place


def message(
    values: np.ndarray,
    *,
    hour: int = 0,
    mode: int = 0,
    edition: int = 2,
    grid: Mapping[str, Any] | None = None,
    **keys: Any,
) -> bytes:
    """One message, without loss.

    Parameters
    ----------
    values
        (rows from north to south, columns from west to east), whatever the scanning mode `mode` makes of their order.
    hour
        Of the reference time, on 2020-01-01.
    grid
        Keys of the grid. Default: latitude and longitude, one degree apart.
    """
    rows, columns = values.shape
    sample = (grid or {}).get("sample", f"regular_ll_sfc_grib{edition}")
    handle = eccodes.codes_grib_new_from_samples(sample)
    scan = {
        "iScansNegatively": mode >> 7 & 1,
        "jScansPositively": mode >> 6 & 1,
        "jPointsAreConsecutive": mode >> 5 & 1,
        **({"alternativeRowScanning": mode >> 4 & 1} if edition == 2 else {}),
    }
    name = (
        {} if {"shortName", "paramId", "parameterNumber", "indicatorOfParameter"} & set(keys) else {"shortName": "2t"}
    )
    when = {"dataDate": 20200101 + hour // 24, "dataTime": 100 * (hour % 24)}
    where = {key: value for key, value in (grid or corners(rows, columns, mode)).items() if key != "sample"}
    for key, value in {**where, **scan, **when, **name, **keys}.items():
        eccodes.codes_set(handle, key, value)
    if keys.get("packingType") is None and not keys.get("bitmapPresent"):
        eccodes.codes_set(handle, "packingType", "grid_ieee" if edition == 2 else "grid_simple")
    if edition == 1 or keys.get("bitmapPresent"):
        eccodes.codes_set(handle, "bitsPerValue", 24)
    eccodes.codes_set_values(handle, scanned(values, mode))
    made: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return made


def corners(rows: int, columns: int, mode: int, north: float = NORTH, west: float = WEST) -> dict[str, Any]:
    """Keys of a grid of latitude and longitude; the first point is the one that is listed first."""
    south, east = north - (rows - 1), west + columns - 1
    first, last = (south, north) if mode & 0x40 else (north, south)
    start, end = (east, west) if mode & 0x80 else (west, east)
    return {
        "Ni": columns,
        "Nj": rows,
        "iDirectionIncrementInDegrees": 1.0,
        "jDirectionIncrementInDegrees": 1.0,
        "latitudeOfFirstGridPointInDegrees": first,
        "latitudeOfLastGridPointInDegrees": last,
        "longitudeOfFirstGridPointInDegrees": start,
        "longitudeOfLastGridPointInDegrees": end,
    }


def scanned(values: np.ndarray, mode: int) -> np.ndarray:
    """Values in the order of a scanning mode (code table 3.4, bits 1 to 4)."""
    turned = values[:, ::-1] if mode & 0x80 else values
    turned = turned[::-1] if mode & 0x40 else turned
    lines = (turned.T if mode & 0x20 else turned).copy()
    if mode & 0x10:
        lines[1::2] = lines[1::2, ::-1]
    return lines.astype("f8").ravel()


def keep(path: Path, messages: Iterable[bytes]) -> Path:
    """A file of messages."""
    path.write_bytes(b"".join(messages))
    return path


def times(*hours: float) -> np.ndarray:
    """So many hours after 2020-01-01, whatever the number of the hour."""
    return np.array([np.datetime64("2020-01-01", "ns") + np.timedelta64(round(3600 * hour), "s") for hour in hours])


def assert_at_places(field: xr.DataArray, values: np.ndarray) -> None:
    """Values (time, rows from north to south, columns from west to east) stand at their latitude and longitude."""
    rows, columns = values.shape[1:]
    there = field.sel(latitude=NORTH - np.arange(rows), longitude=WEST + np.arange(columns))
    np.testing.assert_array_equal(there.transpose("time", "latitude", "longitude"), values.astype("f4"))


def sections(one: bytes) -> list[tuple[int, bytes]]:
    """Number and bytes of the sections 1 to 7 of a message of edition 2."""
    found, at = [], 16
    while one[at : at + 4] != b"7777":
        length = struct.unpack(">I", one[at : at + 4])[0]
        found.append((one[at + 4], one[at : at + length]))
        at += length
    return found


def of_sections(parts: Sequence[bytes], discipline: int = 0) -> bytes:
    """A message of edition 2 of its sections 1 to 7."""
    body = b"".join(parts)
    return b"GRIB\xff\xff" + bytes([discipline, 2]) + struct.pack(">Q", 16 + len(body) + 4) + body + b"7777"
