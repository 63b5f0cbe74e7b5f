"""What one commit changes in a store: arrays made, grown and rewritten, seen by nobody before it is done."""

import json
import pickle
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from datasets.store import disk
from datasets.store.encoding import encode, fit, fixed_width_texts, is_fill, loose_coordinates, same, write_arrays
from datasets.store.repository import Conflict, refuse_unseen
from datasets.workers import Workers
from simvp.errors import ArchiveError
from simvp.places import Place, in_words
from simvp.record import plain
from simvp.stores import ATTRIBUTE, Snapshot
from simvp.times import decode_times

PART = {"part": True}
"""Metadata of a commit that is there for workers to begin at, before the one that it is a part of."""


class Writer:
    """Changes of a store, on the way to a commit.

    Parameters
    ----------
    place
        The store, for messages.
    repository, branch
        Where the changes are made; nobody else writes on that branch.

    Attributes
    ----------
    base
        The commit that is changed; None: there is none yet.
    state
        Small, JSON. What is under "attrs" in it, plain xarray shows as attributes.
    message, metadata
        What the repository's history says of the commit.
    snapshot
        The repository's own name of it, once it is done.
    """

    def __init__(self, place: Path | str, repository: icechunk.Repository, branch: str) -> None:
        self.place, self.base = place, Snapshot.head(place, repository, branch)
        self.state: Mapping[str, Any] = {}
        self.message = "frames"
        self.metadata: Mapping[str, Any] = {}
        self.snapshot = ""
        self._repository, self._branch = repository, branch
        self._session = repository.writable_session(branch)
        self._group: zarr.Group | None = None
        if self.base is not None:
            self._axis, self._variables, self.length = self.base.axis, self.base.variables, self.base.length
            self._open()

    def _open(self) -> None:
        with in_words(self.place):
            self._group = zarr.open_group(self._session.store, mode="r+")
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
            self._group = zarr.create_group(self._session.store, attributes=attributes, overwrite=True)
            self._arrays = write_arrays(self._group, first, axis, chunks)

    def append(self, ds: xr.Dataset, later: Collection[str] = ()) -> None:
        """Add frames after the last; see `Store.append`.

        Parameters
        ----------
        later
            Variables that `ds` does not have, which are filled afterwards (`fill`), and missing until then.
        """
        arrays = self._encode(ds, complete=True, later=later)
        length = self.length + ds.sizes[self._axis]
        for name in later:
            self._resize(self._arrays[name], length)
        self._write(arrays, self.length, length)

    def rewrite(self, ds: xr.Dataset, start: int) -> None:
        """Replace frames from position `start`; see `Store.rewrite`."""
        self.group  # noqa: B018  refuses
        if start < 0 or start + ds.sizes.get(self._axis, 0) > self.length:
            raise ArchiveError(
                f"Store {self.place}", [f"expected frames within the {self.length} committed, got {start} and after"]
            )
        self._write(self._encode(ds, complete=False), start, self.length)

    def fill(
        self,
        workers: Workers,
        write: Callable[..., None],
        jobs: Iterable[tuple[Any, ...]],
        done: Callable[[int], None],
    ) -> None:
        """Let workers write values into the arrays as they are now.

        Parameters
        ----------
        write
            Called on a worker as ``write(group, *job)``. No two jobs write into one chunk.
        done
            Called with the number of each job that is done.
        """
        # A session with changes has no forks.
        self._commit("part", PART)
        self._session = self._repository.writable_session(self._branch)
        fork = pickle.dumps(self._session.fork())
        here = socket.gethostname()
        tasks = ((fork, self.place, self._branch, here, write, *job) for job in jobs)
        for number, filled in enumerate(workers.each(_filled, tasks)):
            with in_words(self.place):
                self._session.merge(pickle.loads(filled))
            done(number)
        self._open()

    def commit(self) -> None:
        """Make the commit, on the branch.

        Raises
        ------
        Conflict
            Its lease was over.
        """
        self.snapshot = self._commit(self.message, dict(self.metadata))

    def _commit(self, message: str, metadata: dict[str, Any]) -> str:
        try:
            with in_words(self.place):
                return self._session.commit(message, metadata=metadata)
        except ArchiveError as error:
            if isinstance(error.__cause__, icechunk.ConflictError):
                raise Conflict(self.place) from error
            raise

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
                self._resize(array, length)
                if start >= before and start % array.chunks[at] == 0 and is_fill(values, array):
                    continue
                array[(slice(None),) * at + (slice(start, start + values.shape[at]),)] = values
        self.length = length

    def _resize(self, array: zarr.Array, length: int) -> None:
        at = self._dims(array).index(self._axis)
        if array.shape[at] != length:
            array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))

    def _encode(self, ds: xr.Dataset, *, complete: bool, later: Collection[str] = ()) -> dict[str, np.ndarray]:
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
            reasons += [f"{name}: expected in every append, is missing" for name in sorted(along - given - {*later})]
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


def _filled(fork: bytes, place: Path | str, branch: str, host: str, write: Callable[..., None], *job: Any) -> bytes:
    """On a worker: the fork of a session after `write`."""
    refuse_unseen(place, branch)
    session = pickle.loads(fork)
    with in_words(place):
        group = zarr.open_group(session.store, mode="r+")
    write(group, *job)
    if isinstance(place, Path) and socket.gethostname() != host:
        disk.sync_all(place)  # what `host` does for all, it cannot do for this machine
    return pickle.dumps(session)


def refuse_without_frames(place: Place, first: xr.Dataset, axis: str) -> None:
    """Refuse to make a store without a first frame.

    Raises
    ------
    ArchiveError
        No frame along the axis.
    """
    if first.sizes.get(axis, 0) < 1:
        raise ArchiveError(f"Store {place}", [f"expected a first frame along {axis}, got none"])
