"""How labelled variables lie in Zarr arrays, so that plain `xarray.open_zarr` gives the same variables back."""

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec
from zarr.errors import UnstableSpecificationWarning

from simvp.record import plain
from simvp.times import EPOCH, encode_times

# The axis is read whole when a store is opened, so it lies in few objects. Other coordinates along it have the chunks
# of the fields: `xr.open_zarr(...)` makes dask arrays of them too, and `Dataset.chunks` refuses what does not agree.
AXIS_CHUNK = 2**14
# Characters that texts along the axis get at least, or twice as many as the first: later ones may be longer.
TEXT_WIDTH = 64
# Bytes of like weight side by side: written four times as fast as with Zarr's own choice (zstd), and a fifth smaller.
CODEC = BloscCodec(cname="lz4", shuffle="shuffle")


def encode(variable: xr.Variable) -> tuple[np.ndarray, dict[str, Any]]:
    """Values and attributes as they are stored.

    Times become int64 seconds since 1970-01-01 in their own calendar (an axis counted in whole hours or days since its
    first frame cannot hold what is appended later); truth values int8, marked as xarray marks them; texts unicode of
    fixed width. The variable-length string type comes back as NumPy's StringDType, with which `combine_first`,
    `reindex`, `concat`, `align`, `merge` (no missing value to fill in) and `chunk("auto")` (no size) fail.

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
        return values.astype(object).astype(str), attrs
    if kind in "fiu":
        return values, attrs
    raise ValueError(f"expected numbers, times, texts or truth values, got {values.dtype}")


@contextmanager
def fixed_width_texts() -> Iterator[None]:
    """Without zarr's warning that fixed-width texts have no specification yet.

    They are what xarray itself writes for texts (pydata/xarray#11466).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        yield


def write_array(
    root: Path, name: str, variable: xr.Variable, chunks: tuple[int, ...], attrs: Mapping[str, Any], *, grows: bool
) -> dict:
    """Make the array `name` below `root` with the contents of `variable`; returns its metadata document."""
    values, own = encode(variable)
    text = values.dtype.kind == "U"
    if text and grows:
        longest = values.dtype.itemsize // np.dtype("U1").itemsize
        values = values.astype(f"U{max(TEXT_WIDTH, 2 * longest)}")
    with fixed_width_texts():
        array = zarr.create_array(
            root / name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(max(1, size) for size in chunks),
            compressors="auto" if text else CODEC,
            # A chunk full of it takes no file: missing numbers, and True, since hardly ever a frame is absent.
            fill_value=np.nan if values.dtype.kind == "f" else "" if text else int(own.get("dtype") == "bool"),
            dimension_names=tuple(str(dim) for dim in variable.dims),
            attributes={**own, **attrs},
            # Chunks lie side by side in one folder: fewer folders to make durable, and no folder per frame.
            chunk_key_encoding={"name": "default", "separator": "."},
            zarr_format=3,
        )
    if not is_fill(values, array):
        array[...] = values
    return json.loads((root / name / "zarr.json").read_text())


def is_fill(values: np.ndarray, array: zarr.Array) -> bool:
    """Whether whole numbers are what the array reads as without chunks, and need no writing."""
    return values.dtype.kind == "i" and bool((values == array.fill_value).all())


def write_arrays(root: Path, ds: xr.Dataset, axis: str, chunks: Mapping[str, int]) -> dict[str, dict]:
    """Make every array of `ds` below `root`; returns the metadata documents by name.

    Variables along `axis` get the chunk sizes given, whole along the dims not named; the axis itself few large chunks;
    everything else is one chunk.
    """
    documents = {}
    for name, variable in ds.variables.items():
        sizes = tuple(variable.sizes.values())
        if name == axis:
            sizes = (AXIS_CHUNK,)
        elif axis in variable.dims:
            sizes = tuple(chunks.get(str(dim), size) for dim, size in variable.sizes.items())
        beside = _attached(ds, name) if name in ds.data_vars else []
        attrs = {"coordinates": " ".join(beside)} if beside else {}
        documents[str(name)] = write_array(root, str(name), variable, sizes, attrs, grows=axis in variable.dims)
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
    kind = document["data_type"]
    texts = kind == "string" or isinstance(kind, dict)  # {"name": "fixed_length_utf32", ...}
    if texts != (values.dtype.kind == "U"):
        raise ValueError(f"expected {'texts' if texts else kind}, got {values.dtype if texts else 'texts'}")
    if kind == "string":  # of any length: a store that was made before texts had a width
        return values
    if texts:
        width = kind["configuration"]["length_bytes"] // np.dtype("U1").itemsize
        longest = max(values.reshape(-1).tolist(), key=len, default="")
        if len(longest) > width:
            raise ValueError(f"expected texts of {width} characters at most, got {len(longest)}: {longest!r}")
        return values.astype(f"U{width}")
    if not np.can_cast(values.dtype, kind, "same_kind"):
        raise ValueError(f"expected {kind}, got {values.dtype}")
    return values.astype(kind)


def same(stored: xr.Variable, given: xr.Variable) -> bool:
    """Whether `given` is the `stored` variable, in the stored type."""
    if stored.dims != given.dims or stored.shape != given.shape:
        return False
    values = given.values.astype(stored.dtype) if stored.dtype.kind in "fiu" else given.values
    return bool(np.array_equal(stored.values, values, equal_nan=stored.dtype.kind == "f"))


def pack(arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> bytes:
    """Stored values by array, and a note, as one file without pickle."""
    packed = io.BytesIO()
    named: dict[str, Any] = {f"array {name}": values for name, values in arrays.items()}
    np.savez(packed, allow_pickle=False, note=np.array(json.dumps(note)), **named)
    return packed.getvalue()


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Inverse of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as packed:
        arrays = {name.removeprefix("array "): packed[name] for name in packed.files if name != "note"}
        note = json.loads(str(packed["note"]))
    return arrays, note


def _attached(ds: xr.Dataset, name: Any) -> list[str]:
    mapping = ds[name].attrs.get("grid_mapping")
    dims = set(ds[name].dims)
    return sorted(str(c) for c in ds.coords if c not in ds.dims and c != mapping and set(ds[c].dims) <= dims)
