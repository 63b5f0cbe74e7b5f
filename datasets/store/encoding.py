"""How labelled variables lie in Zarr arrays, so that plain `xarray.open_zarr` gives the same variables back."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from simvp.coords import EPOCH, encode_times, plain

# Coordinates along the appended axis are read whole when a store is opened, so they lie in few and small objects.
COORDINATE_CHUNK = 2**14
# Bytes of like weight side by side: written four times as fast as with Zarr's own choice (zstd), and a fifth smaller.
CODEC = BloscCodec(cname="lz4", shuffle="shuffle")


def encode(variable: xr.Variable) -> tuple[np.ndarray, dict[str, Any]]:
    """Values and attributes as they are stored.

    Times become int64 seconds since 1970-01-01 in their own calendar (an axis counted in whole hours or days since its
    first frame cannot hold what is appended later); truth values int8, marked as xarray marks them; texts the
    variable-length string type, the only one with a Zarr v3 specification.

    Raises
    ------
    ValueError
        A missing time, or a kind of value that has no encoding.
    """
    values, attrs = np.asarray(variable.values), plain(variable.attrs)
    kind = values.dtype.kind
    if kind == "M" and np.isnat(values).any():
        raise ValueError("expected times, got NaT")
    if kind == "M" or (kind == "O" and values.size and hasattr(values.reshape(-1)[0], "calendar")):
        seconds, calendar = encode_times(values)
        return seconds, {**attrs, "units": EPOCH, "calendar": calendar}
    if kind == "m":
        coded = xr.conventions.encode_cf_variable(xr.Variable(variable.dims, values, attrs))
        return np.asarray(coded.values), plain(coded.attrs)
    if kind == "b":
        return values.astype(np.int8), {**attrs, "dtype": "bool"}
    if kind in "UT" or (kind == "O" and all(isinstance(value, str) for value in values.reshape(-1))):
        return values.astype(object), attrs
    if kind in "fiu":
        return values, attrs
    raise ValueError(f"expected numbers, times, texts or truth values, got {values.dtype}")


def write_array(
    root: Path, name: str, variable: xr.Variable, chunks: tuple[int, ...], attrs: Mapping[str, Any]
) -> dict:
    """Make the array `name` below `root` with the contents of `variable`; returns its metadata document."""
    values, own = encode(variable)
    text = values.dtype == object
    array = zarr.create_array(
        root / name,
        shape=values.shape,
        dtype=str if text else values.dtype,
        chunks=tuple(max(1, size) for size in chunks),
        compressors="auto" if text else CODEC,
        fill_value=np.nan if values.dtype.kind == "f" else "" if text else 0,
        dimension_names=tuple(str(dim) for dim in variable.dims),
        attributes={**own, **attrs},
        # Chunks lie side by side in one folder: fewer folders to make durable, and no folder per frame.
        chunk_key_encoding={"name": "default", "separator": "."},
        zarr_format=3,
    )
    array[...] = values
    return json.loads((root / name / "zarr.json").read_text())


def write_arrays(root: Path, ds: xr.Dataset, axis: str, chunks: Mapping[str, int]) -> dict[str, dict]:
    """Make every array of `ds` below `root`; returns the metadata documents by name.

    Variables along `axis` get the chunk sizes given, whole along the dims not named; coordinates along `axis` few
    large chunks; everything else is one chunk.
    """
    documents = {}
    for name, variable in ds.variables.items():
        sizes = tuple(variable.sizes.values())
        if axis in variable.dims:
            at = variable.dims.index(axis)
            other = int(np.prod(sizes[:at] + sizes[at + 1 :]))
            if name in ds.coords:
                sizes = (*sizes[:at], max(1, COORDINATE_CHUNK // other), *sizes[at + 1 :])
            else:
                sizes = tuple(
                    chunks.get(str(dim), 0 if dim == axis else size) or size for dim, size in variable.sizes.items()
                )
        beside = _attached(ds, name) if name in ds.data_vars else []
        attrs = {"coordinates": " ".join(beside)} if beside else {}
        documents[str(name)] = write_array(root, str(name), variable, sizes, attrs)
    return documents


def loose_coordinates(ds: xr.Dataset) -> str:
    """Coordinates that no data variable names, for the attribute by which xarray finds them again."""
    named = {found for name in ds.data_vars for found in _attached(ds, name)}
    return " ".join(sorted(str(name) for name in ds.coords if name not in ds.dims and name not in named))


def fit(document: Mapping[str, Any], values: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """`values` in the type of the array that `document` describes.

    Raises
    ------
    ValueError
        Another unit, calendar or kind of value.
    """
    for key in ("units", "calendar"):
        stored = document["attributes"].get(key)
        if attrs.get(key, stored) != stored:
            raise ValueError(f"expected {key} {stored}, got {attrs[key]}")
    if "calendar" in document["attributes"] and "calendar" not in attrs:
        raise ValueError(f"expected times, got {values.dtype}")
    if (document["data_type"] == "string") != (values.dtype == object):
        raise ValueError(f"expected {document['data_type']}, got {values.dtype}")
    if values.dtype == object:
        return values
    if not np.can_cast(values.dtype, document["data_type"], "same_kind"):
        raise ValueError(f"expected {document['data_type']}, got {values.dtype}")
    return values.astype(document["data_type"])


def same(stored: xr.Variable, given: xr.Variable) -> bool:
    """Whether `given` is the `stored` variable, in the stored type."""
    if stored.dims != given.dims or stored.shape != given.shape:
        return False
    values = given.values.astype(stored.dtype) if stored.dtype.kind in "fiu" else given.values
    return bool(np.array_equal(stored.values, values, equal_nan=stored.dtype.kind == "f"))


def pack(arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> bytes:
    """Stored values by array, and a note, as one file without pickle."""
    packed = io.BytesIO()
    plainly = {f"array {n}": v.astype(str) if v.dtype == object else v for n, v in arrays.items()}
    np.savez(packed, allow_pickle=False, note=np.array(json.dumps(note)), **plainly)
    return packed.getvalue()


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Inverse of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as packed:
        arrays = {name.removeprefix("array "): packed[name] for name in packed.files if name != "note"}
        note = json.loads(str(packed["note"]))
    return {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in arrays.items()}, note


def _attached(ds: xr.Dataset, name: Any) -> list[str]:
    mapping = ds[name].attrs.get("grid_mapping")
    dims = set(ds[name].dims)
    return sorted(str(c) for c in ds.coords if c not in ds.dims and c != mapping and set(ds[c].dims) <= dims)
