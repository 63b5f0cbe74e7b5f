"""Blocks of a source on their way into an archive: read and compared, then written, here or on workers.

All is compared before any is written. What does not fit into memory until then is read a second time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace as changed
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
import zarr

from datasets.archive.block_writer import BlockWriter, Rows, fill
from datasets.archive.candidate import Candidates, Comparison, compare
from datasets.archive.schema import Schema, shown
from datasets.store import Writer
from datasets.workers import Workers
from simvp.budget import fitting

if TYPE_CHECKING:
    from distributed import Future

NOTHING_NEW = ("same", "absent")
Done = Callable[[int], None]  # frames done


class FramesChanged(Exception):
    """What is read a second time is not what was compared.

    Parameters
    ----------
    faults
        Reasons to refuse it now.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)


@dataclass(frozen=True)
class Given:
    """All that it takes to compare a block; see `compare`."""

    candidates: Candidates
    schema: Schema
    archived: xr.Dataset | None
    replace: bool

    @property
    def rows(self) -> list[slice]:
        """Of each block, in order."""
        return list(self.candidates.blocks(self.schema.block))

    @property
    def room(self) -> int:
        """How many frames fit into what a process may keep until all is compared."""
        fields = self.candidates.ds.values()
        return fitting(sum(field.nbytes for field in fields) // len(self.candidates.slots), 4)


class BlocksHere:
    """Read and written by this process."""

    later = False
    """Whether frames are written after all times and digests."""

    def __init__(self, given: Given) -> None:
        self._given, self._rows = given, given.rows
        self._keep = len(given.candidates.slots) <= given.room

    def compared(self) -> Iterator[Comparison]:
        """Each block; without its frames where not all can be kept."""
        for rows in self._rows:
            block = _compared(self._given, rows)
            yield block if self._keep else _without_frames(block)

    def write(self, blocks: Sequence[Comparison], into: Writer, labels: BlockWriter, done: Done) -> None:
        """Write what is new of the blocks."""
        for rows, block in zip(self._rows, blocks, strict=True):
            if not np.isin(block.kinds, NOTHING_NEW).all():
                labels.write(block if self._keep else _read_again(self._given, rows))
            done(rows.stop)
        labels.extend_to_last()


class BlocksOnWorkers:
    """Read, compared and written by workers; frames never pass through this process.

    A block is whole chunks, so that no two workers write into one.
    """

    later = True

    def __init__(self, given: Given, workers: Workers) -> None:
        self._rows, self._workers = given.rows, workers
        self._keep = len(given.candidates.slots) <= given.room * max(1, workers.count)
        self._given = workers.share(given)
        self._kept: list[Future[Comparison] | None] = []

    def compared(self) -> Iterator[Comparison]:
        """Each block, without its frames; where all can be kept, they stay at the worker that read them."""
        yield from self._workers.in_order(self._started(rows) for rows in self._rows)

    def _started(self, rows: slice) -> "Future[Comparison]":
        if not self._keep:
            self._kept.append(None)
            return self._workers.start(_looked_at, self._given, rows)
        block = self._workers.start(_compared, self._given, rows)
        self._kept.append(block)
        return self._workers.look(_without_frames, block)

    def write(self, blocks: Sequence[Comparison], into: Writer, labels: BlockWriter, done: Done) -> None:
        """Write what is new of the blocks: times and digests here, then the frames there."""
        jobs, stops = [], []
        for rows, kept, block in zip(self._rows, self._kept, blocks, strict=True):
            if not np.isin(block.kinds, NOTHING_NEW).all():
                jobs.append((labels.write(block), block.digests, self._given, rows, kept))
                stops.append(rows.stop)
        labels.extend_to_last()
        into.fill(self._workers, _fill, jobs, lambda number: done(stops[number]))
        done(self._rows[-1].stop)


def in_memory(ds: xr.Dataset) -> bool:
    """Whether the frames have been read already."""
    return any(field.variable._in_memory for field in ds.data_vars.values())


def _compared(given: Given, rows: slice) -> Comparison:
    return compare(given.candidates, rows, given.schema, given.archived, replace=given.replace)


def _without_frames(block: Comparison) -> Comparison:
    return changed(block, frames={})


def _looked_at(given: Given, rows: slice) -> Comparison:
    return _without_frames(_compared(given, rows))


def _read_again(given: Given, rows: slice) -> Comparison:
    block = _compared(given, rows)
    if block.faults:
        raise FramesChanged(block.faults)
    return block


def _fill(
    group: zarr.Group,
    parts: Sequence[Rows],
    digests: np.ndarray,
    given: Given,
    rows: slice,
    kept: Comparison | None,
) -> None:
    block = _compared(given, rows) if kept is None else kept  # which was made again, where its worker was killed
    if not block.faults and not np.array_equal(block.digests, digests):
        first, last = (shown(block.times[n]) for n in (0, -1))
        raise FramesChanged([f"frames {first} .. {last} have changed in the source since they were examined"])
    if block.faults:
        raise FramesChanged(block.faults)
    fill(group, block, parts)
