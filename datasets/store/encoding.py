"""How labelled variables lie in Zarr arrays, so that plain `xarray.open_zarr` gives the same variables back."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.errors import UnstableSpecificationWarning

from simvp.coords import EPOCH, encode_times
from simvp.record import plain

# The axis is read whole when a store is opened, so it lies in few objects. Other coordinates along it have the chunks
# of the fields: `xr.open_zarr(...)` makes dask arrays of them too, and `Dataset.chunks` refuses what does not agree.
AXIS_CHUNK = 2**14
# Characters that texts along the axis get at least, or twice as many as the first: later ones may be longer.
TEXT_WIDTH = 64
# Bytes of like weight side by side: written four times as fast as with Zarr's own choice (zstd), and a fifth smaller.
# The checksum comes last: what a flipped bit has changed is an error, and never a value.
NUMBERS = (BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec())
TEXTS = (ZstdCodec(), Crc32cCodec())


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
    group: zarr.Group,
    name: str,
    variable: xr.Variable,
    chunks: tuple[int, ...],
    attrs: Mapping[str, Any],
    *,
    grows: bool,
) -> zarr.Array:
    """Make the array `name` in `group` with the contents of `variable`."""
    values, own = encode(variable)
    text = values.dtype.kind == "U"
    if text and grows:
        longest = values.dtype.itemsize // np.dtype("U1").itemsize
        values = values.astype(f"U{max(TEXT_WIDTH, 2 * longest)}")
    with fixed_width_texts():
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(max(1, size) for size in chunks),
            compressors=TEXTS if text else NUMBERS,
            # A chunk full of it is not kept: missing numbers, and True, since hardly ever a frame is absent.
            fill_value=np.nan if values.dtype.kind == "f" else "" if text else int(own.get("dtype") == "bool"),
            dimension_names=tuple(str(dim) for dim in variable.dims),
            attributes={**own, **attrs},
        )
        if not is_fill(values, array):
            array[...] = values
    return array


def is_fill(values: np.ndarray, array: zarr.Array) -> bool:
    """Whether whole numbers are what the array reads as without chunks: to write them takes long, and keeps nothing."""
    return values.dtype.kind == "i" and bool((values == array.fill_value).all())


def write_arrays(group: zarr.Group, ds: xr.Dataset, axis: str, chunks: Mapping[str, int]) -> dict[str, zarr.Array]:
    """Make every array of `ds` in `group`; returns them by name.

    Variables along `axis` get the chunk sizes given, whole along the dims not named; the axis itself few large chunks;
    everything else is one chunk.
    """
    made = {}
    for name, variable in ds.variables.items():
        sizes = tuple(variable.sizes.values())
        if name == axis:
            sizes = (AXIS_CHUNK,)
        elif axis in variable.dims:
            sizes = tuple(chunks.get(str(dim), size) for dim, size in variable.sizes.items())
        beside = _attached(ds, name) if name in ds.data_vars else []
        attrs = {"coordinates": " ".join(beside)} if beside else {}
        made[str(name)] = write_array(group, str(name), variable, sizes, attrs, grows=axis in variable.dims)
    return made


def loose_coordinates(ds: xr.Dataset) -> str:
    """Coordinates that no data variable names, for the attribute by which xarray finds them again."""
    named = {found for name in ds.data_vars for found in _attached(ds, name)}
    return " ".join(sorted(str(name) for name in ds.coords if name not in ds.dims and name not in named))


def fit(array: zarr.Array, values: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """`values` in the type of the stored `array`.

    Raises
    ------
    ValueError
        Another unit, calendar or kind of value.
    """
    for key in ("units", "calendar"):
        stored = array.attrs.get(key)
        if attrs.get(key, stored) != stored:
            raise ValueError(f"expected {key} {stored}, got {attrs[key]}")
    if "calendar" in array.attrs and "calendar" not in attrs:
        raise ValueError(f"expected times, got {values.dtype}")
    kind = array.dtype
    texts = kind.kind == "U"
    if texts != (values.dtype.kind == "U"):
        raise ValueError(f"expected {'texts' if texts else kind}, got {values.dtype if texts else 'texts'}")
    if texts:
        width = kind.itemsize // np.dtype("U1").itemsize
        longest = max(values.reshape(-1).tolist(), key=len, default="")
        if len(longest) > width:
            raise ValueError(f"expected texts of {width} characters at most, got {len(longest)}: {longest!r}")
        return values.astype(kind)
    if not np.can_cast(values.dtype, kind, "same_kind"):
        raise ValueError(f"expected {kind}, got {values.dtype}")
    return values.astype(kind, copy=False)


def same(stored: xr.Variable, given: xr.Variable) -> bool:
    """Whether `given` is the `stored` variable, in the stored type."""
    if stored.dims != given.dims or stored.shape != given.shape:
        return False
    values = given.values.astype(stored.dtype) if stored.dtype.kind in "fiu" else given.values
    return bool(np.array_equal(stored.values, values, equal_nan=stored.dtype.kind == "f"))


def _attached(ds: xr.Dataset, name: Any) -> list[str]:
    mapping = ds[name].attrs.get("grid_mapping")
    dims = set(ds[name].dims)
    return sorted(str(c) for c in ds.coords if c not in ds.dims and c != mapping and set(ds[c].dims) <= dims)
