"""Labelled variables that grow along one axis while others read them: an Icechunk repository, Zarr inside.

A reader opens one commit and keeps it, whatever is appended or replaced later. A writer

1. holds the lock, where the store lies in a folder: Icechunk says itself that writers race there,
2. makes a branch of its own, ``incoming-<uuid>``, and writes and commits there,
3. brings all of that to the disk,
4. moves ``main`` to it, if main is still where it was. On an object store, where nothing is locked, a second writer is
   refused here (`Conflict`) and has to look again.

Once a day a writer clears away: commits that are older than a week, what only they hold, and what a killed writer
left. What is tagged (`Store.keep`) stays, and so does everything younger, since a writer that has not committed yet,
and a reader, may still need it.

A writer that is killed leaves a branch that nobody reads. In a folder the next one drops it; elsewhere it is dropped
when its lease is over: a time-based UUID says when it was made.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
from filelock import FileLock

from datasets.store import disk
from datasets.store.repository import (
    LEASE,
    Conflict,
    drop_left_over,
    expire,
    first_of_a_day,
    is_there,
    make,
    move,
    new_branch,
)
from datasets.store.writer import PART, Writer, refuse_without_frames
from simvp.errors import ArchiveError
from simvp.places import MAIN, in_short, in_words, is_address, open_repository
from simvp.stores import Snapshot

_log = logging.getLogger(__name__)

BUILDING = "building"


class Store:
    """A store at `path`, appended along one axis; see the module for what makes a commit.

    Parameters
    ----------
    path
        Folder, beside which the lock ``<path>.lock`` lies, or an address; see `simvp.stores.open_archive`.
    lock_timeout
        Seconds to wait for another writer.
    branch
        "main" is what readers see.
    """

    def __init__(self, path: str | Path, *, lock_timeout: float = 600.0, branch: str = MAIN) -> None:
        self.path: str | Path = str(path).rstrip("/") if is_address(path) else Path(path)
        self.lock_timeout = lock_timeout
        self._branch = branch
        self._lock = None if is_address(path) else FileLock(f"{self.path}.lock")

    @property
    def exists(self) -> bool:
        """Whether there is a commit to read.

        Raises
        ------
        ArchiveError
            There is something that cannot be read: a damaged store must not look like one that is not there yet.
        """
        return self.find() is not None

    def find(self) -> Snapshot | None:
        """The last commit; None where there is none yet.

        Raises
        ------
        ArchiveError
            As `exists`.
        """
        if not is_there(self.path):
            return None
        repository = open_repository(self.path)
        if self._branch != MAIN:
            with in_words(self.path):
                if self._branch not in repository.list_branches():
                    return None
        return Snapshot.head(self.path, repository, self._branch)

    @property
    def head(self) -> Snapshot:
        """The last commit.

        Raises
        ------
        ArchiveError
            There is no store, or it is damaged.
        """
        if (head := self.find()) is None:
            raise ArchiveError(f"Store {self.path}", ["there is none"], "check the path, or ingest first")
        return head

    @property
    def state(self) -> dict[str, Any]:
        """What the last commit recorded of itself; small."""
        return self.head.state

    @property
    def length(self) -> int:
        """Committed frames."""
        return self.head.length

    def history(self) -> Iterator[icechunk.SnapshotInfo]:
        """Every commit that is kept, the last one first: its id, message, metadata and time."""
        with in_words(self.path):
            for commit in open_repository(self.path).ancestry(branch=self._branch):
                # Every repository begins with an empty one; a part is nothing by itself.
                if commit.parent_id is not None and commit.metadata != PART:
                    yield commit

    def lock(self) -> AbstractContextManager[None]:
        """Be the one writer where the store lies in a folder; may be nested.

        Raises
        ------
        ArchiveError
            Another writer held the lock for `lock_timeout` seconds.
        """
        return nullcontext() if self._lock is None else disk.exclusive(self._lock, self.lock_timeout)

    def snapshot(self, chunks: Any = None, *, dated: bool = True) -> tuple[xr.Dataset, dict[str, Any]]:
        """Dataset and state of one and the same commit; see `simvp.stores.Snapshot.dataset`."""
        head = self.head
        return head.dataset(chunks, dated=dated), head.state

    def ends(self) -> np.ndarray:
        """(2,) first and last value of the axis, as in `dataset`."""
        return self.head.ends()

    def dataset(self, chunks: Any = None) -> xr.Dataset:
        """The last commit, lazily.

        Parameters
        ----------
        chunks
            None: without dask, best for reading windows. "auto", {} or sizes: dask arrays.

        Raises
        ------
        ArchiveError
            There is no store.
        """
        return self.head.dataset(chunks)

    def create(self, first: xr.Dataset, *, axis: str, chunks: Mapping[str, int], state: Mapping[str, Any]) -> None:
        """Describe the store once and for all and fill it with its first frames; it appears whole or not at all.

        Parameters
        ----------
        first
            Template and first frames at once: every variable, coordinate and attribute that the store will have, with
            one frame or more along `axis`. What does not lie along `axis` is written now and never again.
        axis
            Dim along which later frames are appended. Its coordinate rises.
        chunks
            Frames per chunk along `axis`, and sizes along other dims (whole where none is given), of data variables.
        state
            Small, JSON. What is under "attrs" in it, here and in later commits, plain xarray shows as attributes.
        """
        refuse_without_frames(self.path, first, axis)
        with self.lock():
            if self._branch == MAIN and self.exists:
                raise ArchiveError(f"Store {self.path}", ["expected nothing there yet, got a store"])
            with self.write(state) as writer:
                writer.create(first, axis, chunks)

    def append(self, ds: xr.Dataset, state: Mapping[str, Any]) -> None:
        """Add frames after the last, and commit.

        Parameters
        ----------
        ds
            Every variable that lies along the axis, with n frames. Other coordinates may be given; they have to equal
            those stored.
        state
            Replaces the state.

        Raises
        ------
        ArchiveError
            Anything in `ds` that does not fit; nothing is written.
        """
        self.head  # noqa: B018  refuses where there is none
        with self.write(state) as writer:
            writer.append(ds)

    def rewrite(self, ds: xr.Dataset, start: int, state: Mapping[str, Any]) -> None:
        """Replace the committed frames from position `start`, and commit.

        Parameters
        ----------
        ds
            The variables to replace (any of those along the axis), with n frames.

        Raises
        ------
        ArchiveError
            Anything in `ds` that does not fit, or frames beyond the committed length; nothing is written.
        """
        self.head  # noqa: B018
        with self.write(state) as writer:
            writer.rewrite(ds, start)

    @contextmanager
    def write(self, state: Mapping[str, Any] | None = None, *, base: str | None = None) -> Iterator[Writer]:
        """Changes that become one commit when the block ends, and nothing if it is left by an error.

        Parameters
        ----------
        state
            Of the commit; may be given in the block instead.
        base
            Commit on which the changes rest.

        Raises
        ------
        Conflict
            Main is no longer at `base`, or moved while the changes were made.
        """
        with self.lock():
            repository = self._made()
            head = repository.lookup_branch(self._branch if self._branch in repository.list_branches() else MAIN)
            if base is not None and base != head:
                raise Conflict(self.path)
            drop_left_over(repository, alone=self._lock is not None)
            incoming = new_branch(repository, head)
            try:
                writer = Writer(self.path, repository, incoming)
                writer.state = dict(state or {})
                yield writer
                writer.finish()
                writer.commit()
                move(repository, self.path, self._branch, writer.snapshot, head)
            finally:
                with suppress(icechunk.IcechunkError):
                    repository.delete_branch(incoming)
            if first_of_a_day(repository, head):
                expire(repository, self.path)

    def keep(self, name: str, snapshot: str) -> None:
        """Let a commit never expire, since something else names it; `name` may have been given to it before.

        Where this process may only read, a warning says that it can expire.
        """
        try:
            repository = open_repository(self.path)
            if name not in repository.list_tags():
                repository.create_tag(name, snapshot)
        except (ArchiveError, icechunk.IcechunkError) as error:
            _log.warning("%s: commit %s cannot be kept from expiring: %s", self.path, snapshot, in_short(error))

    def expire(self, kept: timedelta = LEASE) -> int:
        """Clear away what is older and named by no tag; returns the bytes given back.

        Parameters
        ----------
        kept
            Less than the longest run, and a writer that is at work loses what it has written.
        """
        with self.lock():
            return expire(self._made(), self.path, kept)

    def building(self) -> "Store":
        """The same store on a branch that nobody reads: for what takes the place of all that is there, once whole."""
        store = Store(self.path, lock_timeout=self.lock_timeout, branch=BUILDING)
        store._lock = self._lock
        return store

    def publish(self) -> None:
        """Let what was built take the place of what readers see, at once."""
        with self.lock():
            repository = self._made()
            move(repository, self.path, MAIN, repository.lookup_branch(self._branch), repository.lookup_branch(MAIN))
            repository.delete_branch(self._branch)

    def discard(self) -> None:
        """Forget what was built."""
        with self.lock():
            repository = self._made()
            if self._branch in repository.list_branches():
                repository.delete_branch(self._branch)

    def _made(self) -> icechunk.Repository:
        make(self.path)
        return open_repository(self.path)
