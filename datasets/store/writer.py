"""What one commit changes in a store: arrays made, grown and rewritten, seen by nobody before it is done."""

import json
from collections.abc import Mapping
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from datasets.store.encoding import encode, fit, fixed_width_texts, is_fill, loose_coordinates, same, write_arrays
from simvp.coords import decode_times
from simvp.errors import ArchiveError
from simvp.places import Place, in_words
from simvp.record import plain
from simvp.stores import ATTRIBUTE, Snapshot


class Writer:
    """Changes of a store, on the way to a commit.

    Parameters
    ----------
    place
        The store, for messages.
    session
        Of Icechunk, writable.
    base
        The commit that is changed; None: there is none yet.

    Attributes
    ----------
    state
        Small, JSON. What is under "attrs" in it, plain xarray shows as attributes.
    message, metadata
        What the repository's history says of the commit.
    snapshot
        The repository's own name of it, once it is done.
    """

    def __init__(self, place: Place, session: icechunk.Session, base: Snapshot | None) -> None:
        self.place, self.base = place, base
        self.state: Mapping[str, Any] = {}
        self.message = "frames"
        self.metadata: Mapping[str, Any] = {}
        self.snapshot = ""
        self._store = session.store
        self._group: zarr.Group | None = None
        if base is not None:
            self._axis, self._variables, self.length = base.axis, base.variables, base.length
            with in_words(place):
                self._group = zarr.open_group(self._store, mode="r+")
                self._arrays = dict(self._group.arrays())

    @property
    def exists(self) -> bool:
        """Whether there is something to append to."""
        return self._group is not None

    @property
    def group(self) -> zarr.Group:
        """The root, as it will be."""
        if self._group is None:
            raise ArchiveError(f"Store {self.place}", ["there is none"], "check the path, or ingest first")
        return self._group

    def create(self, first: xr.Dataset, axis: str, chunks: Mapping[str, int]) -> None:
        """Describe the store once and for all and fill it with its first frames; see `Store.create`."""
        refuse_without_frames(self.place, first, axis)
        self._axis, self.length = axis, first.sizes[axis]
        self._variables = [str(name) for name in first.data_vars]
        first = first.assign({name: first[name].load() for name in first.variables})
        attributes = plain(first.attrs)
        if loose := loose_coordinates(first):
            attributes["coordinates"] = loose
        with in_words(self.place):
            self._group = zarr.create_group(self._store, attributes=attributes, overwrite=True)
            self._arrays = write_arrays(self._group, first, axis, chunks)

    def append(self, ds: xr.Dataset) -> None:
        """Add frames after the last; see `Store.append`."""
        arrays = self._encode(ds, complete=True)
        self._write(arrays, self.length, self.length + ds.sizes[self._axis])

    def rewrite(self, ds: xr.Dataset, start: int) -> None:
        """Replace frames from position `start`; see `Store.rewrite`."""
        self.group  # noqa: B018  refuses
        if start < 0 or start + ds.sizes.get(self._axis, 0) > self.length:
            raise ArchiveError(
                f"Store {self.place}", [f"expected frames within the {self.length} committed, got {start} and after"]
            )
        self._write(self._encode(ds, complete=False), start, self.length)

    def finish(self) -> None:
        """Put down the state: nothing else is to come."""
        note = {"axis": self._axis, "variables": self._variables, "state": dict(self.state)}
        self.group.update_attributes({**self.state.get("attrs", {}), ATTRIBUTE: json.dumps(note)})

    def _write(self, arrays: Mapping[str, np.ndarray], start: int, length: int) -> None:
        """Write `arrays` at `start` into arrays `length` frames long."""
        for name, values in arrays.items():
            with in_words(self.place, name), fixed_width_texts():
                array = self._arrays[name]
                at = self._dims(array).index(self._axis)
                before = array.shape[at]
                if array.shape[at] != length:
                    array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))
                if start >= before and start % array.chunks[at] == 0 and is_fill(values, array):
                    continue
                array[(slice(None),) * at + (slice(start, start + values.shape[at]),)] = values
        self.length = length

    def _encode(self, ds: xr.Dataset, *, complete: bool) -> dict[str, np.ndarray]:
        """Values to write, by array.

        Raises
        ------
        ArchiveError
            Every reason why `ds` does not fit the store.
        """
        self.group  # noqa: B018  refuses
        stored = self._arrays
        along = {name for name, array in stored.items() if self._axis in self._dims(array)}
        given = {str(name) for name, variable in ds.variables.items() if self._axis in variable.dims}
        reasons = [f"{name}: not in the store, which has {', '.join(sorted(along))}" for name in sorted(given - along)]
        if complete:
            reasons += [f"{name}: expected in every append, is missing" for name in sorted(along - given)]
        if not ds.sizes.get(self._axis):
            reasons.append(f"expected frames along {self._axis}, got none")
        reasons += self._static_faults(ds, set(stored) - along)
        arrays = {}
        for name in sorted(given & along):
            array, variable = stored[name], ds[name].variable
            dims, shape = self._dims(array), list(array.shape)
            shape[dims.index(self._axis)] = ds.sizes[self._axis]
            if variable.dims != dims or list(variable.shape) != shape:
                got = ", ".join(f"{dim}: {size}" for dim, size in variable.sizes.items())
                wanted = ", ".join(f"{dim}: {size}" for dim, size in zip(dims, shape, strict=True))
                reasons.append(f"{name}: expected ({wanted}), got ({got})")
                continue
            try:
                arrays[name] = fit(array, *encode(variable))
            except ValueError as error:
                reasons.append(f"{name}: {error}")
        if complete and self._axis in arrays and not reasons:
            reasons += self._order_faults(stored[self._axis], arrays[self._axis])
        if reasons:
            raise ArchiveError(f"Store {self.place}: these frames do not fit", reasons)
        return arrays

    def _static_faults(self, ds: xr.Dataset, static: set[str]) -> list[str]:
        given = [str(name) for name in ds.variables if name in static]
        if not given or self.base is None:
            return []
        stored = self.base.dataset(dated=False)
        decoded = xr.decode_cf(stored[given])
        return [
            f"{name}: differs from the stored one, which never changes"
            for name in given
            if not same(decoded[name].variable, ds[name].variable)
        ]

    def _order_faults(self, axis: zarr.Array, values: np.ndarray) -> list[str]:
        with in_words(self.place, self._axis):
            both = np.concatenate([np.asarray(axis[self.length - 1 : self.length]), values])
        if both.dtype == object or (both[1:] > both[:-1]).all():
            return []
        at = int(np.argmin(both[1:] > both[:-1]))
        calendar = axis.attrs.get("calendar")
        shown = decode_times(both, str(calendar)) if calendar else both
        return [f"{self._axis}: expected rising values after {shown[at]}, got {shown[at + 1]}"]

    @staticmethod
    def _dims(array: zarr.Array) -> tuple[str, ...]:
        return tuple(str(name) for name in array.metadata.dimension_names or ())  # type: ignore[union-attr]


def refuse_without_frames(place: Place, first: xr.Dataset, axis: str) -> None:
    """Refuse to make a store without a first frame.

    Raises
    ------
    ArchiveError
        No frame along the axis.
    """
    if first.sizes.get(axis, 0) < 1:
        raise ArchiveError(f"Store {place}", [f"expected a first frame along {axis}, got none"])
