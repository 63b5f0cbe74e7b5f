"""Datasets that note which of their frames are read."""

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


class Counted(BackendArray):
    """A variable that notes which frames are read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read: list[int] = []

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._take)

    def _take(self, key: tuple[Any, ...]) -> np.ndarray:
        self.read += np.atleast_1d(np.arange(self.shape[0])[key[0]]).tolist()
        return self.values[key[0]][(..., *key[1:])]


def counted(ds: xr.Dataset) -> tuple[xr.Dataset, dict[str, Counted]]:
    """The Dataset, lazy, and what is read of each of its variables."""
    arrays = {str(name): Counted(field.values) for name, field in ds.data_vars.items()}
    lazy = {name: (ds[name].dims, indexing.LazilyIndexedArray(array), ds[name].attrs) for name, array in arrays.items()}
    return ds.assign(lazy), arrays
