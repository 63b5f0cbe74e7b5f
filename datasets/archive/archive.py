"""The archive: frames of one data set on a regular time axis, committed, and equal however they arrived.

An ordinary Zarr store (see `datasets.store.store`) with a slot for every step from the first frame to the last. The
coordinate ``present(time)`` tells which slots hold a frame; an absent one reads as NaN until a late frame fills it. A
frame that is there already and equal changes nothing; one that differs is refused, or replaced on request. Missing
values inside a frame are data.

A chunk holds whole maps of up to 64 frames and 2 MiB: about one window of hourly frames, so a window costs one or two
reads (a frame per chunk costs four times as much), and the last chunk, which every append writes anew, stays small.

Long sources are read, checked and committed in blocks of at most 32 MiB that start at fixed slots, so memory is
bounded, and a run that is killed and started again makes the commits of a run that was not. All values are checked
before the first block is written.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from datasets.archive.block_writer import FORMAT, BlockWriter
from datasets.archive.candidate import Candidates, Comparison, candidates_of, compare
from datasets.archive.commits import Commit, CommitLog, commit_id
from datasets.archive.manifest import Manifest
from datasets.archive.schema import LISTED, Schema, new_schema, schema_of, shown
from datasets.archive.summary import Summary, usual
from datasets.store import Store, disk
from simvp.budget import fitting
from simvp.coords import Step
from simvp.errors import ArchiveError, Refusal, shortened

AHEAD = 48  # frames without a value at the end of a source that are taken for late, however few hold values
Progress = Callable[[int, int], None]  # frames done, and frames in all


class Archive:
    """The archive at `path`; its lock and its log lie beside it.

    Parameters
    ----------
    path
        Folder of the store, usually ``archive.zarr``.
    lock_timeout
        Seconds to wait for another writer.
    """

    def __init__(self, path: str | Path, *, lock_timeout: float = 600.0) -> None:
        self._store = Store(path, lock_timeout=lock_timeout)
        self.path = self._store.path
        self._entries = CommitLog(self.path.with_name(f"{self.path.name}.log"))
        # Archives that are out there have it under this name.
        self._settings_file = self._entries.folder / "recipe.json"

    @property
    def exists(self) -> bool:
        """Whether a first frame has been committed."""
        return self._store.exists

    def dataset(self, chunks: Any = None) -> xr.Dataset:
        """The last commit, lazily, with the coordinate ``present(time)`` and the attribute ``archive_commit``.

        Parameters
        ----------
        chunks
            None: without dask, best for reading windows. "auto", {} or sizes: dask arrays.
        """
        ds, state = self._store.snapshot(chunks)
        return ds.assign_attrs(archive_commit=commit_id(state["chain"]))

    @property
    def times(self) -> np.ndarray:
        """(N,) time of every slot."""
        return self.dataset()["time"].values

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: whether the slot holds a frame."""
        return self._store.read("present").astype(bool)

    @property
    def last(self) -> Any:
        """Time of the last slot; `times` decodes them all."""
        return self._store.ends()[1]

    @property
    def schema(self) -> Schema:
        """What the archive is."""
        return self._read_schema()[0]

    @property
    def step(self) -> Step:
        """Time from slot to slot."""
        return Step.from_header(self._store.state["step"])

    @property
    def source_settings(self) -> dict[str, Any]:
        """How the archive was first ingested; empty where nobody said."""
        try:
            return json.loads(self._settings_file.read_bytes())
        except FileNotFoundError:
            return {}

    @property
    def head(self) -> Commit:
        """The last commit."""
        committed = self.unchanged
        entry = self._entries.read(committed.sequence)
        return entry if entry is not None and entry.id == committed.id else committed

    @property
    def unchanged(self) -> Commit:
        """What an append that changes nothing returns."""
        state = self._store.state
        return Commit(id=commit_id(state["chain"]), sequence=state["sequence"], length=self._store.length)

    def log(self) -> list[Commit]:
        """Every commit, first to last."""
        entries = (self._entries.read(number) for number in range(1, self._store.state["sequence"] + 1))
        return [entry for entry in entries if entry is not None]

    def changed_since(self, commit: str) -> list[tuple[str, str]] | None:
        """First and last time of every commit after that one that filled or replaced slots; appended ones do not count.

        None where the log does not tell: another archive lay here then, or the log has been lost.
        """
        spans: list[tuple[str, str]] = []
        for number in range(self._store.state["sequence"], 0, -1):
            entry = self._entries.read(number)
            if entry is None or entry.id == commit:
                return None if entry is None else spans[::-1]
            if entry.filled or entry.replaced:
                spans.append((entry.first, entry.last))
        return None

    def manifest(self, settings: Mapping[str, Any]) -> Manifest:
        """Files that were taken in under these source settings; see `datasets.archive.manifest`."""
        return Manifest(self._entries, settings, self.unchanged.sequence if self.exists else 0)

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
        source_settings: Mapping[str, Any] | None = None,
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
        step
            Needed to make an archive from one frame; otherwise seen from the times.
        source_settings
            How to open the source again; kept when the archive is made.
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
        examined = None if self.exists else self._examine(ds, replace, step, progress)
        with self.lock():
            if examined is None or self.exists:
                examined = self._examine(ds, replace, step, progress)
            return self._write(examined, replace, sources or {}, source_settings or {}, progress)

    def _examine(self, ds: xr.Dataset, replace: bool, step: Step | None, progress: Progress | None) -> "_Examined":
        """Read all candidate frames and compare them.

        Raises
        ------
        ArchiveError
            With every reason.
        """
        try:
            schema, template = self._read_schema() if self.exists else new_schema(ds, step)
        except Refusal as refusal:
            raise self._refused(list(refusal.reasons)) from None
        candidates, reasons = candidates_of(ds, schema, step)
        if candidates is None:
            raise self._refused(reasons)
        archived, count = template if schema.length else None, len(candidates.slots)
        # All is checked before any is written: what does not fit into memory until then is read a second time.
        keep = count <= fitting(sum(field.nbytes for field in candidates.ds.values()) // count, 4)
        blocks = []
        for rows in candidates.blocks(schema.block):
            block = compare(candidates, rows, schema, archived, replace=replace)
            reasons += block.faults
            blocks.append((rows, block if keep else changed(block, frames={})))
            if progress:
                progress(rows.stop // 2, count)
        absent = all((block.kinds == "absent").all() for _, block in blocks)
        if not reasons and archived is None and absent:
            reasons.append("expected frames with values, got missing values only")
        if reasons:
            raise self._refused(shortened(reasons, LISTED, "and {} more like these"))
        whole = {name: Summary.joined([block.summaries[name] for _, block in blocks]) for name in schema.variables}
        before = {} if archived is None else usual(self._entries.values(self._store.state["sequence"]))
        labels = candidates.ds["time"].values
        jumps = [
            (name, labels[i], text)
            for name, summary in whole.items()
            for i, text in summary.jumps(before.get(name, {}))
        ]
        return _Examined(schema, template, candidates, archived, keep, blocks, whole, tuple(jumps))

    def _write(
        self,
        examined: "_Examined",
        replace: bool,
        sources: Mapping[str, str],
        source_settings: Mapping[str, Any],
        progress: Progress | None,
    ) -> Commit:
        last = _last(examined.candidates.slots, np.concatenate([block.kinds for _, block in examined.blocks]))
        writer = BlockWriter(self._store, self._entries, examined.schema, examined.template, sources, last)
        if examined.archived is None:
            disk.discard(self._entries.folder)
            disk.write(self._settings_file, json.dumps(dict(source_settings), indent=1).encode())
        count, same = len(examined.candidates.slots), 0
        for rows, block in examined.blocks:
            same += int((block.kinds == "same").sum())
            if not np.isin(block.kinds, ("same", "absent")).all():
                if not examined.keep:
                    block = compare(examined.candidates, rows, examined.schema, examined.archived, replace=replace)
                    if block.faults:  # the files have changed since they were examined
                        raise self._refused(list(block.faults))
                writer.write(block)
            if progress:
                progress((count + rows.stop) // 2, count)
        writer.extend_to_last()
        times = examined.candidates.ds["time"].values
        return changed(
            self.head,
            **writer.counts,
            unchanged=same,
            snapped=examined.candidates.snapped,
            first=shown(times[0]),
            last=shown(times[-1]),
            sources=dict(sources),
            values={name: summary.record() for name, summary in examined.summaries.items()},
            jumps=examined.jumps,
        )

    def _refused(self, reasons: list[str]) -> ArchiveError:
        differ = any("differ from the archived" in reason for reason in reasons)
        return ArchiveError(
            f"Archive {self.path.name}: these frames cannot be taken, and nothing was written",
            reasons,
            "correct the source" + (", or give replace=True to take the new values" if differ else ""),
        )

    def _read_schema(self) -> tuple[Schema, xr.Dataset]:
        ds, state = self._store.snapshot(dated=False)
        if state.get("format") != FORMAT:
            reason = f"expected an archive of format {FORMAT}, got {state.get('format', 'another store')}"
            raise ArchiveError(f"Archive {self.path}", [reason])
        step, origin = Step.from_header(state["step"]), self._store.ends()[0]
        return schema_of(ds, step, origin, ds.sizes["time"], state["block"]), ds


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

    schema: Schema
    template: xr.Dataset
    candidates: Candidates
    archived: xr.Dataset | None
    keep: bool
    blocks: list[tuple[slice, Comparison]]
    summaries: Mapping[str, Summary]
    jumps: tuple[tuple[str, Any, str], ...]
