"""Stores as Icechunk and xarray alone read them, without this project."""

from pathlib import Path

import icechunk
import xarray as xr


def repository(path: str | Path) -> icechunk.Repository:
    """The repository in a folder."""
    return icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))


def plain(path: str | Path) -> xr.Dataset:
    """The last commit, in dask arrays."""
    return xr.open_zarr(repository(path).readonly_session("main").store, consolidated=False)


def branches(path: str | Path) -> set[str]:
    """What a writer leaves: main alone."""
    return repository(path).list_branches()
