"""The archive: frames of one data set on a regular time axis, committed, and equal however they arrived.

A store (see `datasets.store.store`) with a slot for every step from the first frame to the last. The coordinate
``present(time)`` tells which slots hold a frame; an absent one reads as NaN until a late frame fills it.
``digest(time)`` says what the frames are: one that is there already and equal changes nothing; one that differs is
refused, or replaced on request. Missing values inside a frame are data.

A chunk holds whole maps of up to 64 frames and 2 MiB: about one window of hourly frames, so a window costs one or two
reads (a frame per chunk costs four times as much), and the last chunk, which every append writes anew, stays small.

Long sources are read, checked and written in blocks of at most 32 MiB that start at fixed slots, so memory is bounded.
All values are checked before the first block is written, and all blocks become one commit.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace as changed
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from datasets.archive.block_writer import FORMAT, BlockWriter
from datasets.archive.blocks import BlocksHere, BlocksOnWorkers, FramesChanged, Given, in_memory
from datasets.archive.candidate import Candidates, Comparison, candidates_of
from datasets.archive.commits import Commit, content_id
from datasets.archive.manifest import Manifest
from datasets.archive.schema import LISTED, Schema, new_schema, schema_of, shown
from datasets.archive.summary import Summary, usual
from datasets.store import Conflict, Store
from datasets.workers import Workers
from simvp.coords import Step
from simvp.errors import ArchiveError, Refusal, shortened
from simvp.stores import TAG, Snapshot

_log = logging.getLogger(__name__)

AHEAD = 48  # frames without a value at the end of a source that are taken for late, however few hold values
RECENT = 48  # commits that say what values are usual: two days of hourly ones
ATTEMPTS = 10  # to commit before other writers do, where there is no lock
Progress = Callable[[int, int], None]  # frames done, and frames in all


class Archive:
    """The archive at `path`.

    Parameters
    ----------
    path
        Folder, usually ``archive.zarr``, or address of the store.
    lock_timeout
        Seconds to wait for another writer.
    """

    def __init__(self, path: str | Path, *, lock_timeout: float = 600.0) -> None:
        self._store = Store(path, lock_timeout=lock_timeout)
        self.path = self._store.path

    @property
    def exists(self) -> bool:
        """Whether a first frame has been committed.

        Raises
        ------
        ArchiveError
            It is damaged, or of an earlier format.
        """
        return self._store.exists

    def dataset(self, chunks: Any = None) -> xr.Dataset:
        """The last commit, lazily; see `simvp.stores.open_archive`."""
        return self._head.dataset(chunks)

    @property
    def _head(self) -> Snapshot:
        return self._ours(self._store.head)

    def _ours(self, head: Snapshot) -> Snapshot:
        if head.state.get("format") != FORMAT:
            reason = f"expected an archive of format {FORMAT}, got {head.state.get('format', 'another store')}"
            raise ArchiveError(f"Archive {self.path}", [reason], "move it away and ingest its sources again")
        return head

    @property
    def times(self) -> np.ndarray:
        """(N,) time of every slot."""
        return self.dataset()["time"].values

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: whether the slot holds a frame."""
        return self._head.read("present").astype(bool)

    @property
    def absent(self) -> int:
        """Slots that hold no frame."""
        head = self._head
        return head.length - head.state["frames"]

    @property
    def last(self) -> Any:
        """Time of the last slot; `times` decodes them all."""
        return self._store.ends()[1]

    @property
    def schema(self) -> Schema:
        """What the archive is."""
        return _schema_and_template(self._head)[0]

    @property
    def step(self) -> Step:
        """Time from slot to slot."""
        return Step.from_header(self._head.state["step"])

    @property
    def source_settings(self) -> dict[str, Any]:
        """How the archive was first ingested; empty where nobody said."""
        return self._head.state["source_settings"]

    @property
    def head(self) -> Commit:
        """The last commit."""
        return Commit.of(next(self._store.history()))

    @property
    def unchanged(self) -> Commit:
        """What an append that changes nothing returns."""
        return _unchanged(self._head)

    def log(self) -> list[Commit]:
        """Every commit that is kept, first to last."""
        return [Commit.of(info) for info in self._store.history()][::-1]

    def changed_since(self, commit: str) -> list[tuple[str, str]] | None:
        """First and last time of every run of slots filled or replaced after that commit; appended ones do not count.

        None where the history does not tell: another archive lay here then, or the commit has expired.
        """
        spans: list[tuple[str, str]] = []
        for entry in map(Commit.of, self._store.history()):
            if entry.id == commit:
                return spans[::-1]
            spans += entry.changed[::-1]
        return None

    def keep(self, ds: xr.Dataset) -> None:
        """Let the commit that `ds` was read from never expire: a model or a forecast names it."""
        self._store.keep(f"{TAG}{ds.attrs['archive_commit']}", ds.attrs["archive_snapshot"])

    def manifest(self, folder: Path, settings: Mapping[str, Any]) -> Manifest:
        """Files that were taken in under these source settings; see `datasets.archive.manifest`."""
        return Manifest(folder, settings, self._committed)

    def _committed(self, sequence: int) -> str:
        if self.exists:
            for entry in map(Commit.of, self._store.history()):
                if entry.sequence <= sequence:
                    return entry.id if entry.sequence == sequence else ""
        return ""

    def lock(self) -> AbstractContextManager[None]:
        """Be the one writer while several things are done; may be nested."""
        return self._store.lock()

    def append(
        self,
        ds: xr.Dataset,
        *,
        replace: bool = False,
        sources: Mapping[str, str] | None = None,
        step: Step | None = None,
        unchanged: Callable[[], None] | None = None,
        source_settings: Mapping[str, Any] | None = None,
        workers: Workers | None = None,
        progress: Progress | None = None,
    ) -> Commit:
        """Take in frames: new ones after the last, late ones into their slots; make the archive if there is none.

        Parameters
        ----------
        ds
            Canonical Dataset, (time, latitude, longitude) or (time, y, x) per variable; may be lazy and long.
        replace
            Take frames that differ from the archived ones instead of refusing them.
        sources
            SHA-256 of the source files by name, for the log.
        unchanged
            Called when the last value has been read, before the commit: raises where `sources` are of other bytes.
        step
            Needed to make an archive from one frame; otherwise seen from the times.
        source_settings
            How to open the source again; kept when the archive is made.
        workers
            Who reads, checks and writes the frames; None: this process. Frames that are in memory already stay here.
        progress
            Called with frames done and frames in all.

        Returns
        -------
        Commit
            Id, sequence and length of the head, the counts of everything this call changed, and what the frames hold.

        Raises
        ------
        ArchiveError
            With every reason why the frames cannot be taken; nothing is written.
        """
        # A refusal must not even leave the lock's file, where there is no archive yet.
        examined = self._examine(None, ds, replace, step, workers, progress) if self._is_new() else None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.lock():
                    if examined is None or not self._is_new():
                        base = self._store.find()
                        base = base and self._ours(base)
                        examined = self._examine(base, ds, replace, step, workers, progress)
                    return self._write(examined, sources or {}, unchanged, source_settings or {}, progress)
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
                _log.warning("%s: another writer has committed meanwhile; the frames are compared anew", self.path)
                examined = None
        raise AssertionError("unreachable")

    def _is_new(self) -> bool:
        return isinstance(self.path, Path) and not self.path.exists()

    def _examine(
        self,
        base: Snapshot | None,
        ds: xr.Dataset,
        replace: bool,
        step: Step | None,
        workers: Workers | None,
        progress: Progress | None,
    ) -> "_Examined":
        """Read all candidate frames and compare them with the commit `base`.

        Raises
        ------
        ArchiveError
            With every reason.
        """
        try:
            schema, template = new_schema(ds, step) if base is None else _schema_and_template(base)
        except Refusal as refusal:
            raise self._refused(list(refusal.reasons)) from None
        candidates, reasons = candidates_of(ds, schema, step)
        if candidates is None:
            raise self._refused(reasons)
        archived, count = template if schema.length else None, len(candidates.slots)
        given = Given(candidates, schema, archived, replace)
        source: BlocksHere | BlocksOnWorkers
        source = BlocksHere(given) if workers is None or in_memory(ds) else BlocksOnWorkers(given, workers)
        blocks, done = [], 0
        for block in source.compared():
            reasons += block.faults
            blocks.append(block)
            done += len(block.slots)
            if progress:
                progress(done // 2, count)
        absent = all((block.kinds == "absent").all() for block in blocks)
        if not reasons and archived is None and absent:
            reasons.append("expected frames with values, got missing values only")
        if reasons:
            raise self._refused(shortened(reasons, LISTED, "and {} more like these"))
        whole = {name: Summary.joined([block.summaries[name] for block in blocks]) for name in schema.variables}
        before = {} if archived is None else usual(self._recent_values())
        labels = candidates.ds["time"].values
        jumps = [
            (name, labels[i], text)
            for name, summary in whole.items()
            for i, text in summary.jumps(before.get(name, {}))
        ]
        return _Examined(base, schema, template, candidates, source, blocks, whole, tuple(jumps))

    def _write(
        self,
        examined: "_Examined",
        sources: Mapping[str, str],
        unchanged: Callable[[], None] | None,
        source_settings: Mapping[str, Any],
        progress: Progress | None,
    ) -> Commit:
        kinds = np.concatenate([block.kinds for block in examined.blocks])
        last, base = _last(examined.candidates.slots, kinds), examined.base
        if np.isin(kinds, ("same", "absent")).all() and last < examined.schema.length:
            assert base is not None
            commit = _unchanged(base)
        else:
            with self._store.write(base=None if base is None else base.id) as into:
                if base is None and into.base is not None:
                    raise Conflict(self.path)
                later = examined.source.later
                writer = BlockWriter(into, examined.schema, examined.template, last, later=later)
                try:
                    examined.source.write(examined.blocks, into, writer, partial(_second_half, progress, len(kinds)))
                except FramesChanged as changes:  # the files have, since they were examined
                    raise self._refused(list(changes.faults), "none was committed") from None
                if unchanged:
                    unchanged()
                commit = writer.finish(sources, source_settings)
            commit = changed(commit, snapshot=into.snapshot)
            _log.info("%s: commit %s, %s", self.path, commit.id, commit.message)
        times = examined.candidates.ds["time"].values
        return changed(
            commit,
            unchanged=int((kinds == "same").sum()),
            snapped=examined.candidates.snapped,
            first=shown(times[0]),
            last=shown(times[-1]),
            sources=dict(sources),
            values={name: summary.record() for name, summary in examined.summaries.items()},
            jumps=examined.jumps,
        )

    def _recent_values(self) -> list[tuple[int, Mapping[str, Mapping[str, Any]]]]:
        """Of the last commits, how many frames each brought, and what these held."""
        recent = map(Commit.of, islice(self._store.history(), RECENT))
        return [(entry.appended + entry.filled + entry.replaced, entry.values) for entry in recent]

    def _refused(self, reasons: list[str], outcome: str = "nothing was written") -> ArchiveError:
        differ = any("differ from the archived" in reason for reason in reasons)
        return ArchiveError(
            f"Archive {str(self.path).rpartition('/')[2]}: these frames cannot be taken, and {outcome}",
            reasons,
            "correct the source" + (", or give replace=True to take the new values" if differ else ""),
        )


def _second_half(progress: Progress | None, count: int, done: int) -> None:
    if progress:
        progress((count + done) // 2, count)


def _unchanged(head: Snapshot) -> Commit:
    state = head.state
    content = content_id(state["archive"], state["digests"])
    return Commit(id=content, snapshot=head.id, sequence=state["sequence"], length=head.length)


def _schema_and_template(head: Snapshot) -> tuple[Schema, xr.Dataset]:
    ds = head.dataset(dated=False)
    step, origin = Step.from_header(head.state["step"]), head.ends()[0]
    return schema_of(ds, step, origin, ds.sizes["time"], head.state["block"]), ds


def _last(slots: np.ndarray, kinds: np.ndarray) -> int:
    """Slot with which the archive shall end, if it does not end later.

    Frames without a value that follow are absent, as they are anywhere else, and may come late. But of a file that is
    laid out in advance, for a year, most are: there the archive ends with the last value.
    """
    there = np.flatnonzero(kinds != "absent")
    if not len(there):
        return -1
    ahead = len(slots) - 1 - there[-1]
    return int(slots[-1] if ahead <= max(AHEAD, len(there)) else slots[there[-1]])


class _Examined(NamedTuple):
    """Frames that will be taken: what the archive is, and the blocks in order."""

    base: Snapshot | None
    schema: Schema
    template: xr.Dataset
    candidates: Candidates
    source: BlocksHere | BlocksOnWorkers
    blocks: list[Comparison]
    summaries: Mapping[str, Summary]
    jumps: tuple[tuple[str, Any, str], ...]
