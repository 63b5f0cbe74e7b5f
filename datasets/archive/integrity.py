"""Whether an archive's frames are what their digests say, and frames read again in the place of those that are not."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace as changed

import numpy as np
import xarray as xr

from datasets.archive.archive import Archive
from datasets.archive.candidate import Candidates, candidates_of, compare
from datasets.archive.commits import ABSENT, Commit, content_id, frame_digest
from datasets.archive.schema import Schema, shown
from datasets.store import Store, Writer
from simvp.errors import ArchiveError
from simvp.stores import Snapshot

_log = logging.getLogger(__name__)


def unlike_digest(frames: Mapping[str, np.ndarray], digests: np.ndarray, start: int) -> np.ndarray:
    """(n,) bool: which frames are not what their digests say; a slot without a frame has to be missing throughout.

    Parameters
    ----------
    frames
        (n, H, W) by variable, as they are stored.
    digests
        (n,) uint64.
    start
        Slot of the first.
    """
    found = np.zeros(len(digests), bool)
    for row, digest in enumerate(digests):
        frame = {name: values[row] for name, values in frames.items()}
        if digest == ABSENT:
            found[row] = not all(np.isnan(values).all() for values in frame.values())
        else:
            found[row] = frame_digest(start + row, frame) != digest
    return found


def sum_fault(head: Snapshot, digests: np.ndarray) -> str:
    """In words, that the digests (N,) of all slots are not those that were committed; empty where they are."""
    committed, total = head.state["digests"], int(digests.sum(dtype="u8"))
    frames = int((digests != ABSENT).sum())
    if (total, frames) == (committed, head.state["frames"]):
        return ""
    return f"expected {head.state['frames']} frames with the sum of digests {committed}, got {frames} with {total}"


def regain_digests(archive: Archive) -> int:
    """Make digests that cannot be read again from the frames, which have to be those that were committed.

    That they are follows from the sum over all digests, which a commit keeps.

    Returns
    -------
    int
        How many frames have their digests again; 0, and nothing is written, where a frame or `present` cannot be read
        or the sum is another one.
    """
    store = Store(archive.path)
    with store.lock():
        head, schema = store.head, archive.schema
        digests, made = np.empty(schema.length, "u8"), {}
        for start in range(0, schema.length, schema.chunk):
            rows = slice(start, min(start + schema.chunk, schema.length))
            try:
                digests[rows] = head.read("digest", rows)
            except ArchiveError:
                try:
                    made[start] = _with_digests(head, schema, rows)
                except ArchiveError:
                    return 0
                digests[rows] = made[start]["digest"].values
        if not made or sum_fault(head, digests):
            return 0
        count = sum(part.sizes["time"] for part in made.values())
        with store.write(head.state, base=head.id) as writer:
            for start, part in made.items():
                writer.rewrite(part, start)
            last = max(made) + made[max(made)].sizes["time"]
            span = schema.times(min(made), last)[[0, -1]]
            _say(writer, head, f"digests of {count} frames made again", *map(shown, span))
    return count


def _with_digests(head: Snapshot, schema: Schema, rows: slice) -> xr.Dataset:
    """All slots of a chunk as they are, with the digests that follow from them."""
    fields = {name: head.read(name, rows) for name in schema.variables}
    present = head.read("present", rows).astype(bool)
    digests = np.full(len(present), ABSENT, "u8")
    for row in np.flatnonzero(present):
        digests[row] = frame_digest(rows.start + int(row), {name: values[row] for name, values in fields.items()})
    ds = xr.Dataset({name: (schema.dims, values) for name, values in fields.items()})
    return ds.assign_coords(present=("time", present), digest=("time", digests))


def regain(archive: Archive, ds: xr.Dataset, damaged: np.ndarray) -> np.ndarray:
    """Write the chunks anew of whose damaged frames a source has every one, equal by digest to what was archived.

    The content of the archive stays what it was, and so do its id and the number of its last commit.

    Parameters
    ----------
    ds
        Canonical Dataset, lazily, of what the source has.
    damaged
        (N,) bool by slot.

    Returns
    -------
    np.ndarray
        (N,) bool: slots that are whole again.

    Raises
    ------
    ArchiveError
        The source is of another series, or the digests themselves cannot be read.
    """
    store, healed = Store(archive.path), np.zeros(len(damaged), bool)
    with store.lock(), ExitStack() as stack:
        head, schema, writer = store.head, archive.schema, None
        candidates, reasons = candidates_of(ds, schema, None)
        if candidates is None:
            raise ArchiveError(f"Archive {archive.path}: the source has other frames", reasons)
        digests = head.read("digest")
        for chunk in np.unique(np.flatnonzero(damaged) // schema.chunk):
            rows = slice(int(chunk) * schema.chunk, min((int(chunk) + 1) * schema.chunk, schema.length))
            part = _regained(head, schema, candidates, digests[rows], rows)
            if part is None:
                continue
            writer = writer or stack.enter_context(store.write(head.state, base=head.id))
            writer.rewrite(part, rows.start)
            healed[rows] = True
        if writer is not None:
            touched = np.flatnonzero(healed)
            first, last = (shown(schema.times(int(at), int(at) + 1)[0]) for at in (touched[0], touched[-1]))
            _say(writer, head, f"{len(touched)} written anew", first, last)
            _log.info("%s: %s", archive.path, writer.message)
    return healed


def _say(writer: Writer, head: Snapshot, what: str, first: str, last: str) -> None:
    """What the history says of a commit after which the content is what it was."""
    commit = Commit(
        id=content_id(head.state["archive"], head.state["digests"]),
        sequence=head.state["sequence"],
        length=head.length,
        first=first,
        last=last,
    )
    writer.message, writer.metadata = f"{what}: {first} .. {last}", commit.metadata


def _regained(
    head: Snapshot, schema: Schema, candidates: Candidates, digests: np.ndarray, rows: slice
) -> xr.Dataset | None:
    """All slots of a chunk as they were archived; None where one of them is lost."""
    fields, unread = {}, set()
    for name, (dtype, _) in schema.variables.items():
        try:
            fields[name] = head.read(name, rows)
        except ArchiveError:
            fields[name] = np.full((len(digests), *schema.grid.shape), np.nan, dtype)
            unread.add(name)
    wrong = unlike_digest(fields, digests, rows.start)
    if (absent := wrong & (digests == ABSENT)).any():
        for values in fields.values():
            values[absent] = np.nan
        wrong &= ~absent
    first, stop = np.searchsorted(candidates.slots, (rows.start, rows.stop))
    if wrong.any() and first < stop:
        given = compare(candidates, slice(int(first), int(stop)), changed(schema, length=0), None, replace=True)
        for row, slot in enumerate(given.slots - rows.start if given.frames else ()):
            # What can be read of the slot counts first: of the other variables the source may have less by now.
            for names in (unread, set(fields)) if wrong[slot] else ():
                frame = {name: (given.frames[name][row] if name in names else fields[name][slot]) for name in fields}
                if frame_digest(rows.start + int(slot), frame) == digests[slot]:
                    for name, values in frame.items():
                        fields[name][slot] = values
                    wrong[slot] = False
                    break
    if wrong.any():
        return None
    ds = xr.Dataset({name: (schema.dims, values) for name, values in fields.items()})
    return ds.assign_coords(present=("time", digests != ABSENT), digest=("time", digests))
