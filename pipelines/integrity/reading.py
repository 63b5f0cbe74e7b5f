"""Stores read whole: every commit that is kept, every chunk of the last one, every frame beside its digest."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.archive import sum_fault, unlike_digest
from datasets.store import Remains, Store
from pipelines.integrity.faults import Fault, StoreReport, What
from pipelines.progress import Progress, silent
from simvp.budget import BUDGET, fitting
from simvp.errors import ArchiveError
from simvp.places import in_short
from simvp.stores import Snapshot
from simvp.times import name_time

if TYPE_CHECKING:
    import zarr

# What is said of an object, a branch, a store that is not there.
_GONE = re.compile(r"not found|is not there|there is none|is empty")
SHARE = 16  # of the budget, for what is read at a time


@dataclass
class Reading:
    """A store as it was found.

    Attributes
    ----------
    remains
        Its commits.
    head
        The last one; None where it cannot be opened.
    faults, chunks
        What is wrong, and how many chunks were read.
    """

    name: str
    path: Path | str
    remains: Remains
    head: Snapshot | None = None
    faults: list[Fault] = field(default_factory=list)
    chunks: int = 0

    @property
    def rows(self) -> np.ndarray:
        """(N,) bool: frames or init times that some of the faults take away."""
        taken = np.zeros(0 if self.head is None else self.head.length, bool)
        for fault in self.faults:
            taken[slice(*fault.rows)] = True
        return taken

    @property
    def report(self) -> StoreReport:
        """What was found."""
        return StoreReport(
            name=self.name,
            path=str(self.path),
            commits=len(self.remains.commits),
            frames=0 if self.head is None else self.head.length,
            chunks=self.chunks,
            faults=tuple(self.faults),
        )


def read_store(name: str, path: Path | str, progress: Progress = silent) -> Reading:
    """Read everything of one store that is there; nothing is written, nothing is raised for damage.

    Parameters
    ----------
    name
        What it is called in the report.
    progress
        Of "read" and the name, in frames.
    """
    reading = Reading(name, path, Remains.of(path))
    if reading.remains.fault:
        reading.faults.append(_fault("refs/branch.main", reading.remains.fault))
    reading.faults += [
        _fault(f"snapshots/{kept.snapshot}", kept.fault) for kept in reading.remains.commits if kept.fault
    ]
    try:
        reading.head = Store(path).head
    except ArchiveError as error:
        if not reading.faults:
            reading.faults.append(_fault("main", "; ".join(error.reasons)))
        return reading
    _read_arrays(reading, progress)
    return reading


def refuse_damaged(store: Store) -> None:
    """Refuse a store of which something is damaged: all that names its init times, and the newest of its maps.

    As many maps as fit into the memory budget, which takes a second; `verify_archive` reads all of them.

    Raises
    ------
    ArchiveError
        What is damaged.
    """
    head = store.head
    reading = Reading("", store.path, Remains(main=head.id, fault="", commits=(), loose=False), head)
    size = max(1, sum(array.nbytes for array in head.arrays.values()) // max(1, head.length))
    _read_arrays(reading, silent, newest=max(1, BUDGET // size))
    if reading.faults:
        listed = [f"{fault}" for fault in reading.faults[:3]]
        raise ArchiveError(
            f"Store {store.path} is damaged, and nothing is issued into it",
            listed,
            "see what is lost: make verify-archive NAME=<data set>; then put the folder back from a copy, or set it "
            "aside, and its scores with it",
        )


def refuse_missing(store: Store, scores: Store) -> None:
    """Refuse a store of forecasts that is not there, where there are scores of what was in it.

    Raises
    ------
    ArchiveError
        What was issued into it would be issued again.
    """
    if not store.exists and scores.exists:
        raise ArchiveError(
            f"Store {store.path} is damaged",
            [f"it is not there, but {scores.path} has scores of {scores.length} forecasts that were in it"],
            "put it back from a copy, or set the scores aside too, and a new one begins",
        )


def _read_arrays(reading: Reading, progress: Progress, newest: int | None = None) -> None:
    head = reading.head
    assert head is not None
    along = {name: array for name, array in head.arrays.items() if head.axis in _dims(array)}
    labels = _labels(head)
    for name, array in head.arrays.items():
        if name == head.axis or name not in along:
            _read(reading, name, array, labels, 0, array.shape[0] if array.shape else 0)
    digests = []
    for start, stop in _blocks(head, along):
        if newest is not None and stop <= head.length - newest:
            continue
        before = len(reading.faults)
        values = {
            name: _read(reading, name, array, labels, start, stop) for name, array in along.items() if name != head.axis
        }
        if head.state.get("kind") == "archive":
            digests.append(values["digest"])
            if not any(fault.variable == "digest" for fault in reading.faults[before:]):
                bad = np.zeros(stop - start, bool)
                for fault in reading.faults[before:]:
                    bad[max(fault.rows[0] - start, 0) : max(fault.rows[1] - start, 0)] = True
                _compare(reading, labels, values, start, bad)
        progress(f"read {reading.name}", stop, head.length)
    readable = digests and not any(fault.variable == "digest" for fault in reading.faults)
    if readable and (text := sum_fault(head, np.concatenate(digests))):
        reading.faults.append(Fault(what="differs", where="digest", variable="digest", text=text))


def _compare(reading: Reading, labels: list[str], values: dict[str, np.ndarray], start: int, bad: np.ndarray) -> None:
    """Frames that can be read and are not what their digests say."""
    assert reading.head is not None
    frames, digests = {name: values[name] for name in reading.head.variables}, values["digest"]
    other = unlike_digest(frames, digests, start) | (values["present"].astype(bool) != (digests != 0))
    names = ", ".join(reading.head.variables)
    for first, stop in _runs(np.flatnonzero(other & ~bad)):
        reading.faults.append(_at("differs", "digest", names, labels, start + first, start + stop, ""))


def _read(reading: Reading, name: str, array: "zarr.Array", labels: list[str], start: int, stop: int) -> np.ndarray:
    """Values of some rows along the axis; what cannot be read is put down, chunk by chunk, and is zero."""
    assert reading.head is not None
    dims, axis = _dims(array), reading.head.axis
    at = dims.index(axis) if axis in dims else None
    spans = [
        [(a, min(a + size, whole)) for a in range(0, whole, size)]
        for whole, size in zip(array.shape, array.chunks, strict=True)
    ]
    if at is not None:
        spans[at] = [(max(a, start), min(b, stop)) for a, b in spans[at] if a < stop and b > start]
    reading.chunks += int(np.prod([len(part) for part in spans]))
    try:
        return _values(array, [(part[0][0], part[-1][1]) for part in spans])
    except Exception:  # Icechunk, Zarr and codecs have kinds of their own; which chunk it is, is found out one by one
        found = np.zeros([part[-1][1] - part[0][0] for part in spans], array.dtype)
    for corner in product(*spans):
        try:
            values = _values(array, corner)
        except Exception as error:
            index = "".join(f"/{a // size}" for (a, _), size in zip(corner, array.chunks, strict=True))
            rows = (0, reading.head.length) if at is None else corner[at]
            what: What = "missing" if _GONE.search(str(error)) else "damaged"
            reading.faults.append(_at(what, f"{name}/c{index}", name, labels, *rows, in_short(error)))
        else:
            inside = (slice(a - part[0][0], b - part[0][0]) for (a, b), part in zip(corner, spans, strict=True))
            found[tuple(inside)] = values
    return found


def _values(array: "zarr.Array", place: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.asarray(array[tuple(slice(a, b) for a, b in place)])


def _blocks(head: Snapshot, along: dict[str, "zarr.Array"]) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of what is read at a time: whole chunks, in order."""
    fields = [array for name, array in along.items() if name != head.axis]
    chunk = max((array.chunks[_dims(array).index(head.axis)] for array in fields), default=1)
    size = sum(array.nbytes // max(1, head.length) for array in fields)
    rows = max(chunk, fitting(size, SHARE) // chunk * chunk)
    for start in range(0, head.length, rows):
        yield start, min(start + rows, head.length)


def _labels(head: Snapshot) -> list[str]:
    """What each frame or init time is called; empty where the axis cannot be read."""
    try:
        return [name_time(value) for value in head.dataset()[head.axis].values]
    except ArchiveError:
        return []


def _at(what: What, where: str, name: str, labels: list[str], start: int, stop: int, text: str) -> Fault:
    first, last = (labels[start], labels[stop - 1]) if labels else (f"number {start + 1}", f"number {stop}")
    return Fault(what=what, where=where, variable=name, first=first, last=last, rows=(start, stop), text=text)


def _fault(where: str, text: str) -> Fault:
    what: What = "missing" if _GONE.search(text) else "damaged"
    return Fault(what=what, where=where, text=text)


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First row and the one after the last of each run."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _dims(array: "zarr.Array") -> tuple[str, ...]:
    return tuple(str(name) for name in array.metadata.dimension_names or ())  # type: ignore[union-attr]
