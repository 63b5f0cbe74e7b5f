"""NetCDF and Zarr opened as they are stored, and decoded by `simvp.values` instead of by xarray."""

import base64
import binascii
import logging
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from datasets.readers.files import is_address
from datasets.sizes import Shape, refuse_arrays
from simvp.errors import Refusal, SourceError, fault_around
from simvp.settings import shown_address
from simvp.values import Form, decode_all, looks_like_mark

if TYPE_CHECKING:
    import zarr

logger = logging.getLogger(__name__)

LISTABLE = 10_000  # chunks of a remote array whose objects are counted; to list a million takes minutes


class AsStored(BackendEntrypoint):
    """Engine of `xarray.open_dataset` for files that another engine opens and our rule decodes."""

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        decode_times: Any = True,
        by: str = "netcdf4",
        consolidated: bool | None = None,
        group: str | None = None,
    ) -> xr.Dataset:
        """Open by the engine `by`, netcdf4 or zarr; dates are xarray's, all else is decoded by `simvp.values`.

        Raises
        ------
        SourceError
            A coordinate whose header cannot be read, or an axis that takes too much memory.
        """
        form: Form = "netcdf"
        fills: dict[str, Any] = {}
        options: dict[str, Any] = {"mask_and_scale": False, "decode_times": False, "decode_timedelta": False}
        options |= {"drop_variables": drop_variables, "cache": False}
        if by == "zarr":
            from datasets.readers.zarr_store import guarded, refuse_codecs

            # Its fill value as _FillValue: else format 3 decodes this attribute, and fails where it is a plain number.
            store = xr.backends.ZarrStore.open_group(
                guarded(str(filename_or_obj)),
                mode="r",
                group=group,
                consolidated=consolidated,
                use_zarr_fill_value_as_mask=True,
            )
            arrays = {name: node for name, node in store.members.items() if hasattr(node, "chunks")}
            refuse_codecs(str(filename_or_obj), arrays)
            refuse_arrays(str(filename_or_obj), *_promised(arrays))
            raw = xr.open_dataset(store, engine="store", **options)
            form, fills = _described(raw, filename_or_obj, store.zarr_group)
        else:
            netcdf = xr.backends.NetCDF4DataStore.open(filename_or_obj, group=group)
            refuse_arrays(str(filename_or_obj), shapes_of(netcdf.ds))
            options["drop_variables"] = [*(drop_variables or []), *_ragged(filename_or_obj, netcdf.ds)]
            raw = xr.open_dataset(netcdf, engine="store", **options)
        raw = raw if is_address(str(filename_or_obj)) else in_words(raw, str(filename_or_obj))
        try:
            ds = decode_all(raw, form, fills)
        except Refusal as refusal:
            raw.close()
            raise SourceError(str(filename_or_obj), refusal.reasons) from None
        return xr.decode_cf(ds, mask_and_scale=False, decode_times=decode_times, decode_timedelta=False)


class _Values(BackendArray):
    """Values of a variable that say in words, where they are read, that they cannot be."""

    def __init__(self, stored: Any, path: str, name: str) -> None:
        self.shape, self.dtype = stored.shape, stored.dtype
        self._stored, self._path, self._name = stored, path, name

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        with read_from(self._path, self._name):
            return self._stored[key].get_duck_array()


def in_words(ds: xr.Dataset, path: str) -> xr.Dataset:
    """A local file or store whose damage is a refusal, also where it is found when values are read."""
    lazy = {name: var for name, var in ds.variables.items() if not var._in_memory}
    said = {
        name: xr.Variable(
            var.dims, indexing.LazilyIndexedArray(_Values(var._data, path, str(name))), var.attrs, var.encoding
        )
        for name, var in lazy.items()
    }
    whole = ds.assign({name: said[name] for name in ds.data_vars if name in said})
    whole = whole.assign_coords({name: said[name] for name in ds.coords if name in said})
    whole.set_close(ds._close)
    whole.encoding = ds.encoding
    return whole


@contextmanager
def read_from(path: str, name: str) -> Iterator[None]:
    """What a library makes of damaged values, as a refusal."""
    try:
        yield
    except (Refusal, MemoryError, IndexError):
        raise
    except Exception as error:  # a filter, a codec, HDF5 and NetCDF have kinds of their own
        if fault := fault_around(error, path):  # of the machine or the network, not of the file
            raise fault from error
        reason = f"{name}: its values cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise SourceError(path, [reason], "the file is damaged: fetch it again, or take it away") from error


def shapes_of(file: netCDF4.Dataset) -> list[Shape]:
    """What the variables of a group say that they hold."""
    return [(name, var.shape, getattr(var.dtype, "itemsize", 16)) for name, var in file.variables.items()]


def _promised(arrays: Mapping[str, Any]) -> tuple[list[Shape], list[Shape]]:
    """What the arrays of a Zarr group say that they hold, and their chunks."""
    whole = [(name, array.shape, array.dtype.itemsize) for name, array in arrays.items()]
    return whole, [(name, array.chunks, array.dtype.itemsize) for name, array in arrays.items()]


def _ragged(path: str, file: netCDF4.Dataset) -> list[str]:
    """Variables with a list of numbers in each place, which xarray takes for those numbers and cannot read."""
    lists = {name: var for name, var in file.variables.items() if isinstance(var.datatype, netCDF4.VLType)}
    ragged = [str(name) for name, var in lists.items() if var.dtype is not str]  # texts are lists of characters
    if ragged:
        logger.warning("%s: left out, with a list in each place (vlen): %s", path, ", ".join(ragged))
    return ragged


def _described(raw: xr.Dataset, path: str, group: "zarr.Group") -> tuple[Form, dict[str, Any]]:
    """Format and fill values of a Zarr store; attributes become those that its arrays have of their own."""
    fills: dict[str, Any] = {}
    for name, variable in raw.variables.items():
        array: zarr.Array[Any] = group[str(name)]  # type: ignore[assignment]
        fills[str(name)] = array.fill_value
        own = array.attrs.asdict()
        variable.attrs.pop("_FillValue", None)
        if "_FillValue" in own:
            variable.attrs["_FillValue"] = _plain(own["_FillValue"])
        _tell_absent(f"{shown_address(path)}: {name}", array, remote=is_address(path))
    return ("zarr2" if group.metadata.zarr_format == 2 else "zarr3"), fills


def _plain(value: Any) -> Any:
    """A ``_FillValue`` of format 3, which xarray writes as the bytes of a double, in base 64."""
    try:
        return struct.unpack("<d", base64.standard_b64decode(value))[0] if isinstance(value, str) else value
    except (struct.error, binascii.Error):
        return value


def _tell_absent(name: str, array: "zarr.Array[Any]", *, remote: bool) -> None:
    """Warn of chunks that are not there, where they read as a value.

    They are left out where they hold nothing but the fill value, and a lost one looks the same:
    github.com/zarr-developers/zarr-python/issues/486, github.com/pydata/xarray/issues/9701.
    """
    fill = 0 if array.fill_value is None else array.fill_value
    number = array.ndim > 0 and isinstance(fill, int | float | np.number)
    if not number or (remote and array.nchunks > LISTABLE) or looks_like_mark(float(fill), array.dtype):
        return
    absent = array.nchunks - array.nchunks_initialized
    if absent > 0:
        logger.warning(
            "%s: %d of %d chunks are not there and read as the fill value %s: left out where they hold nothing else, "
            "or lost",
            name, absent, array.nchunks, fill,
        )  # fmt: skip
