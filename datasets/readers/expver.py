"""ERA5 with its preliminary months (ERA5T): one value at a time, the final one where there is one.

ECMWF tells final from preliminary values by `expver`, 1 and 5. Files with both have it as an axis, on which each value
is there once (as the Climate Data Store wrote them until 2024), or as a coordinate along time (as it does since).
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import EXPVER
from simvp.errors import SourceError

logger = logging.getLogger(__name__)

FINAL, PRELIMINARY = 1, 5


def settle_versions(ds: xr.Dataset, select: Mapping[str, Any]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The dataset with final values, else preliminary ones, and what is left of the selection; lazily.

    Left as it is where the numbers are others than 1 and 5 (another experiment). Where one is chosen, the times at
    which it has no value are left out; on an axis that takes a look at the values.

    Raises
    ------
    SourceError
        A version is chosen that no time has.
    """
    name = next((str(n) for n in (*ds.dims, *ds.coords) if EXPVER.fullmatch(str(n)) and n in ds.variables), None)
    numbers = None if name is None else _numbers(ds[name].values)
    rest = {key: value for key, value in select.items() if key != name}
    if name is None or numbers is None or ds[name].ndim != 1:
        return ds, dict(select)
    dim = ds[name].dims[0]
    if name in select and name in ds.dims:
        return _on_axis(ds, name, numbers, select[name]), dict(select)
    if name in select:
        return _of_version(ds, name, numbers, select[name]), rest
    final, early = (ds.isel({dim: numbers == version}).drop_vars(name) for version in (FINAL, PRELIMINARY))
    if name in ds.dims:
        if final.sizes[dim] != 1 or early.sizes[dim] != 1:
            return ds, rest
        final, early = final.squeeze(dim), early.squeeze(dim)
    elif ds.indexes[dim].is_unique:
        return ds.drop_vars(name), rest
    # The final values first: xarray fills what they lack, also times that they lack altogether.
    return final.combine_first(early), rest


def _of_version(ds: xr.Dataset, name: str, numbers: np.ndarray, version: Any) -> xr.Dataset:
    dim, asked = str(ds[name].dims[0]), _numbers(np.array([version]))
    kept = np.isin(numbers, [] if asked is None else asked)
    if not kept.any():
        there = ", ".join(map(str, np.unique(numbers)))
        raise SourceError("source", [f"select {name}={version!r}: not among the values of {name}: {there}"])
    return _with_values(ds, name, version, dim, kept).drop_vars(name)


def _on_axis(ds: xr.Dataset, name: str, numbers: np.ndarray, version: Any) -> xr.Dataset:
    asked = _numbers(np.array([version]))
    time = next((str(dim) for dim in ds.dims if dim in ds.variables and ds[dim].dtype.kind == "M"), None)
    if asked is None or time is None or not (numbers == asked).any():
        return ds
    chosen = ds.isel({name: int(np.argmax(numbers == asked))})
    fields = [var for key, var in chosen.data_vars.items() if name in ds[key].dims and time in var.dims]
    seen = [var.notnull().any([dim for dim in var.dims if dim != time]).values for var in fields]
    return _with_values(ds, name, version, time, np.logical_or.reduce(seen)) if seen else ds


def _with_values(ds: xr.Dataset, name: str, version: Any, dim: str, kept: np.ndarray) -> xr.Dataset:
    if kept.all():
        return ds
    left = f"{int((~kept).sum())} of {len(kept)} times have another {name}, and no value"
    logger.warning("select %s=%r: %s; without it, preliminary values follow the final ones", name, version, left)
    return ds.isel({dim: kept})


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """Numbers of final and preliminary values ("0001" is 1); None where there are others."""
    try:
        numbers = np.array([int(v.decode() if isinstance(v, bytes) else v) for v in np.ravel(values)])
    except (TypeError, ValueError):
        return None
    return numbers if np.isin(numbers, (FINAL, PRELIMINARY)).all() and len(numbers) else None
