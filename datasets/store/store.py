"""An ordinary Zarr v3 store that grows along one axis while others read it.

Plain ``xarray.open_zarr(path)`` reads the last commit, whole, at any moment. That rests on one object: the root
``zarr.json``, which carries a copy of the metadata of every array (consolidated metadata), and which readers use
instead of the arrays' own. A writer

1. holds the lock,
2. opens the arrays one by one and resizes them to the committed length, which undoes an append that was killed,
3. resizes them to the new length and writes their chunks; readers keep the old length, and a chunk that is half
   committed still holds the old frames unchanged,
4. brings all of that to the disk,
5. replaces the root, atomically, with the new lengths and the new state.

Frames inside the committed length are rewritten in place, chunk by chunk, so readers may see such a change before its
commit. It is first noted, whole, in a journal beside the store (``<store>.redo``); after a kill, the next writer
completes what the journal says before anything else.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from filelock import FileLock

from datasets.store import disk
from datasets.store.encoding import (
    encode,
    fit,
    fixed_width_texts,
    is_fill,
    loose_coordinates,
    pack,
    same,
    unpack,
    write_arrays,
)
from datasets.store.root import ATTRIBUTE, Root, as_bytes, commit_attributes
from simvp.coords import unfilled
from simvp.errors import ArchiveError
from simvp.record import plain
from simvp.times import decode_times


class Store:
    """A Zarr store at `path`, appended along one axis; see the module for the protocol.

    Parameters
    ----------
    path
        Folder of the store. The lock, ``<path>.lock``, and for a moment the journal, ``<path>.redo``, lie beside it.
    lock_timeout
        Seconds to wait for another writer.
    """

    def __init__(self, path: str | Path, *, lock_timeout: float = 600.0) -> None:
        if "://" in str(path):
            raise ArchiveError(f"Store {path}", ["expected a local path; addresses are not supported yet"])
        self.path = Path(path)
        self.lock_timeout = lock_timeout
        self._lock = FileLock(self._beside("lock"))

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    @property
    def exists(self) -> bool:
        """Whether there is a commit to read."""
        return (self.path / "zarr.json").is_file()

    @property
    def state(self) -> dict[str, Any]:
        """What the last commit recorded of itself; small, in the root."""
        return Root.read(self.path).state

    @property
    def length(self) -> int:
        """Committed frames."""
        return Root.read(self.path).length

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one writer, with no change of another writer left half done; may be nested.

        Raises
        ------
        ArchiveError
            Another writer held the lock for `lock_timeout` seconds.
        """
        outermost = not self._lock.is_locked
        with disk.exclusive(self._lock, self.lock_timeout):
            if outermost:
                self._recover()
            yield

    def snapshot(self, chunks: Any = None, *, dated: bool = True) -> tuple[xr.Dataset, dict[str, Any]]:
        """Dataset and state of one and the same commit; see `dataset`.

        Parameters
        ----------
        dated
            Whether the axis is decoded, which costs time by its length where dates are cftime.
        """
        ds = xr.open_zarr(
            self.path, chunks=chunks, consolidated=True, decode_times=Root.read(self.path).coder if dated else False
        )
        state = json.loads(ds.attrs.pop(ATTRIBUTE))["state"]
        # A store that was made before texts had a width; with StringDType not even `reindex` works.
        texts = {
            str(name): (variable.dims, variable.values.astype(object).astype(str), variable.attrs)
            for name, variable in ds.coords.items()
            if variable.dtype.kind == "T"
        }
        return unfilled(ds.assign_coords(texts).drop_encoding()), state

    def ends(self) -> np.ndarray:
        """(2,) first and last value of the axis, as in `dataset`."""
        root = Root.read(self.path)
        stored = zarr.open_array(self.path / root.axis, mode="r").oindex[np.array([0, root.length - 1])]
        axis = xr.Variable(root.axis, np.asarray(stored), root.arrays[root.axis]["attributes"])
        return xr.conventions.decode_cf_variable(root.axis, axis, decode_times=root.coder).values

    def read(self, name: str) -> np.ndarray:
        """Stored values of one array along the axis."""
        root = Root.read(self.path)
        return np.asarray(zarr.open_array(self.path / name, mode="r")[: root.length])

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
        return self.snapshot(chunks)[0]

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
        with self.lock():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise ArchiveError(f"Store {self.path}", ["expected nothing there yet, got a file or a folder"])
            if first.sizes.get(axis, 0) < 1:
                raise ArchiveError(f"Store {self.path}", [f"expected a first frame along {axis}, got none"])
            made = self._beside("new")
            disk.discard(made)
            made.mkdir(parents=True)
            first = first.assign({name: first[name].load() for name in first.variables})
            documents = write_arrays(made, first, axis, chunks)
            attributes = plain(first.attrs) | commit_attributes(axis, state)
            loose = loose_coordinates(first)
            if loose:
                attributes["coordinates"] = loose
            root = {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": attributes,
                "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": documents},
            }
            (made / "zarr.json").write_bytes(as_bytes(root))
            disk.publish(made, self.path)

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
        with self.lock():
            root = Root.read(self.path)
            arrays = self._encode(root, ds, complete=True)
            files = self._write(root, arrays, root.length, root.length + ds.sizes[root.axis])
            self._commit(root, files, state)

    def rewrite(self, ds: xr.Dataset, start: int, state: Mapping[str, Any]) -> None:
        """Replace the committed frames from position `start` in place, and commit.

        Parameters
        ----------
        ds
            The variables to replace (any of those along the axis), with n frames.

        Raises
        ------
        ArchiveError
            Anything in `ds` that does not fit, or frames beyond the committed length; nothing is written.
        """
        with self.lock():
            root = Root.read(self.path)
            if start < 0 or start + ds.sizes.get(root.axis, 0) > root.length:
                raise ArchiveError(
                    f"Store {self.path}",
                    [f"expected frames within the {root.length} committed, got {start} and after"],
                )
            arrays = self._encode(root, ds, complete=False)
            note = {"start": start, "base": root.digest, "state": dict(state)}
            disk.write(self._beside("redo"), pack(arrays, note))
            self._redo(root, arrays, start, state)

    def _recover(self) -> None:
        """Complete a rewrite whose writer was killed."""
        journal = self._beside("redo")
        if not journal.is_file():
            return
        arrays, note = unpack(journal.read_bytes())
        root = Root.read(self.path) if self.exists else None
        if root is not None and root.digest == note["base"]:
            self._redo(root, arrays, note["start"], note["state"])
        else:  # it was committed, or is the journal of a store that is gone
            disk.discard(journal)

    def _redo(self, root: Root, arrays: Mapping[str, np.ndarray], start: int, state: Mapping[str, Any]) -> None:
        files = self._write(root, arrays, start, root.length)
        self._commit(root, files, state)
        disk.discard(self._beside("redo"))

    def _write(self, root: Root, arrays: Mapping[str, np.ndarray], start: int, length: int) -> list[Path]:
        """Write `arrays` at `start` into arrays `length` frames long; returns the files that were touched."""
        files = []
        for name, values in arrays.items():
            array = zarr.open_array(self.path / name, mode="r+")
            at = root.arrays[name]["dimension_names"].index(root.axis)
            with fixed_width_texts():
                for frames in (root.length, length):
                    if array.shape[at] != frames:
                        array.resize((*array.shape[:at], frames, *array.shape[at + 1 :]))
            stop = start + values.shape[at]
            root.arrays[name]["shape"][at] = length
            files.append(self.path / name / "zarr.json")
            if start == root.length and start % array.chunks[at] == 0 and is_fill(values, array):
                continue  # no chunk is there yet: resizing removed what a killed append may have left
            array[(slice(None),) * at + (slice(start, stop),)] = values.astype(array.dtype, copy=False)
            ranges = [range(-(-size // chunk)) for size, chunk in zip(array.shape, array.chunks, strict=True)]
            ranges[at] = range(start // array.chunks[at], -(-stop // array.chunks[at]))
            files += [self.path / name / f"c.{'.'.join(map(str, index))}" for index in product(*ranges)]
        return files

    def _commit(self, root: Root, files: list[Path], state: Mapping[str, Any]) -> None:
        disk.sync(files)
        disk.write(self.path / "zarr.json", root.committed(state))

    def _encode(self, root: Root, ds: xr.Dataset, *, complete: bool) -> dict[str, np.ndarray]:
        """Values to write, by array.

        Raises
        ------
        ArchiveError
            Every reason why `ds` does not fit the store.
        """
        along = {name for name, doc in root.arrays.items() if root.axis in doc.get("dimension_names", ())}
        given = {str(name) for name, variable in ds.variables.items() if root.axis in variable.dims}
        reasons = [f"{name}: not in the store, which has {', '.join(sorted(along))}" for name in sorted(given - along)]
        if complete:
            reasons += [f"{name}: expected in every append, is missing" for name in sorted(along - given)]
        if not ds.sizes.get(root.axis):
            reasons.append(f"expected frames along {root.axis}, got none")
        reasons += self._static_faults(root, ds)
        arrays = {}
        for name in sorted(given & along):
            document, variable = root.arrays[name], ds[name].variable
            dims, shape = tuple(document["dimension_names"]), list(document["shape"])
            shape[dims.index(root.axis)] = ds.sizes[root.axis]
            if variable.dims != dims or list(variable.shape) != shape:
                got = ", ".join(f"{dim}: {size}" for dim, size in variable.sizes.items())
                wanted = ", ".join(f"{dim}: {size}" for dim, size in zip(dims, shape, strict=True))
                reasons.append(f"{name}: expected ({wanted}), got ({got})")
                continue
            try:
                arrays[name] = fit(document, *encode(variable))
            except ValueError as error:
                reasons.append(f"{name}: {error}")
        if complete and root.axis in arrays and not reasons:
            reasons += self._order_faults(root, arrays[root.axis])
        if reasons:
            raise ArchiveError(f"Store {self.path}: these frames do not fit", reasons)
        return arrays

    def _static_faults(self, root: Root, ds: xr.Dataset) -> list[str]:
        stored = None
        reasons = []
        for name, variable in ds.variables.items():
            if root.axis in variable.dims or name not in root.arrays:
                continue
            stored = self.dataset() if stored is None else stored
            if not same(stored[name].variable, variable):
                reasons.append(f"{name}: differs from the stored one, which never changes")
        return reasons

    def _order_faults(self, root: Root, values: np.ndarray) -> list[str]:
        last = zarr.open_array(self.path / root.axis, mode="r")[root.length - 1 : root.length]
        both = np.concatenate([last, values])
        if both.dtype == object or (both[1:] > both[:-1]).all():
            return []
        at = int(np.argmin(both[1:] > both[:-1]))
        calendar = root.arrays[root.axis]["attributes"].get("calendar")
        shown = decode_times(both, calendar) if calendar else both
        return [f"{root.axis}: expected rising values after {shown[at]}, got {shown[at + 1]}"]
