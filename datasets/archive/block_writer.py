"""Writing of compared blocks into an archive's store: one commit or two each, chained and logged."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from datasets.archive.candidate import Comparison
from datasets.archive.commits import Commit, CommitLog, Kind, chain_start, commit_id, fold
from datasets.archive.schema import Schema, shown
from datasets.store import Store
from simvp.times import encode_times

_log = logging.getLogger(__name__)

FORMAT = 1
NO_ROWS = np.empty(0, np.int64)


class BlockWriter:
    """Writes compared blocks in the order of their slots.

    Parameters
    ----------
    store, log
        The archive's; the writer's lock is held. The store may not exist yet.
    schema, template
        What the archive is: see `datasets.archive.schema`.
    sources
        SHA-256 of the source files by name, for the log.
    last
        Slot with which the archive ends, if it does not end later; what follows it gets no slots.
    """

    def __init__(
        self,
        store: Store,
        log: CommitLog,
        schema: Schema,
        template: xr.Dataset,
        sources: Mapping[str, str],
        last: int,
    ) -> None:
        self._store, self._entries, self._last = store, log, last
        self._schema, self._template, self._sources = schema, template, sources
        self._length = schema.length
        self._sources_digest: str | None = None
        self.counts: dict[str, Any] = {"appended": 0, "absent": 0, "filled": 0, "replaced": 0}
        if schema.length:
            state = store.state
            self._chain, self._sequence = state["chain"], state["sequence"]
        else:
            types = {n: (str(of[0]), str(of[1].get("units", ""))) for n, of in schema.variables.items()}
            origin, _ = encode_times(np.array([schema.origin]))
            self._chain = chain_start(schema.grid, types, schema.step, schema.calendar, int(origin[0]))
            self._sequence = 0

    def write(self, block: Comparison) -> None:
        """Commit the late and replaced frames of a block, then its new ones."""
        late = np.isin(block.kinds, ("fill", "replace"))
        if late.any():
            self._amend(block, np.flatnonzero(late))
        new = np.flatnonzero(block.kinds == "append")
        if len(new):
            while self._end() <= block.slots[new[0]]:
                self._extend(self._end())
            self._extend(self._end(), block, new)

    def extend_to_last(self) -> None:
        """Append the slots after the last new frame, absent."""
        while self._length <= self._last:
            self._extend(self._end())

    def _end(self) -> int:
        """Where the block of the next slot ends."""
        return min((self._length // self._schema.block + 1) * self._schema.block, self._last + 1)

    def _extend(self, stop: int, block: Comparison | None = None, rows: np.ndarray = NO_ROWS) -> None:
        """Append the slots up to `stop`; those without a row are absent."""
        start = self._length
        at = rows if block is None else block.slots[rows] - start
        present = np.zeros(stop - start, bool)
        present[at] = True
        fields = {}
        for name, (dtype, _) in self._schema.variables.items():
            if block is not None and present.all():  # as almost always: no copy
                fields[name] = block.frames[name][rows[0] : rows[-1] + 1]
                continue
            fields[name] = np.full((stop - start, *self._schema.grid.shape), np.nan, dtype)
            if block is not None:
                fields[name][at] = block.frames[name][rows]
        for i in range(stop - start):
            kind: Kind = "append" if present[i] else "absent"
            self._fold(kind, start + i, {n: v[i] for n, v in fields.items()} if present[i] else {})
        times = self._schema.times(start, stop)
        if block is not None:
            times[at] = block.times[rows]
        ds = self._label(times, fields, present)
        held = {} if block is None else {name: of.at(rows).record() for name, of in block.summaries.items()}
        state = self._record(stop, start, stop, held, appended=int(present.sum()), absent=int((~present).sum()))
        if self._store.exists:
            self._store.append(ds, state)
        else:
            chunks = {"time": self._schema.chunk}
            self._store.create(ds.assign_coords(self._static()), axis="time", chunks=chunks, state=state)
        self._length = stop

    def _amend(self, block: Comparison, rows: np.ndarray) -> None:
        """Rewrite the range of slots that holds the frames at `rows`."""
        slots = block.slots[rows]
        start, stop = int(slots[0]), int(slots[-1]) + 1
        stored = self._store.snapshot(dated=False)[0].isel(time=slice(start, stop)).load()
        present = stored["present"].values.copy()
        fields = {name: stored[name].values for name in self._schema.variables}
        present[slots - start] = True
        for name, values in fields.items():
            values[slots - start] = block.frames[name][rows]
        for row, slot in zip(rows, slots, strict=True):
            frame = {name: values[slot - start] for name, values in fields.items()}
            self._fold(block.kinds[row], int(slot), frame)
        filled = int((block.kinds[rows] == "fill").sum())
        held = {name: summary.at(rows).record() for name, summary in block.summaries.items()}
        state = self._record(self._length, start, stop, held, filled=filled, replaced=len(rows) - filled)
        amended = self._label(stored["time"].values, fields, present).drop_vars("time")
        self._store.rewrite(amended, start, state)

    def _fold(self, kind: Kind, slot: int, frame: Mapping[str, np.ndarray]) -> None:
        self._chain = fold(self._chain, kind, slot, frame)

    def _record(self, length: int, start: int, stop: int, values: Mapping[str, Any], **counts: int) -> dict[str, Any]:
        """Log the commit to come, and give the state that makes it one."""
        self._sequence += 1
        brought: dict[str, Any] = dict(counts)
        first, last = (shown(self._schema.times(slot, slot + 1)[0]) for slot in (start, stop - 1))
        commit = Commit(
            id=commit_id(self._chain),
            sequence=self._sequence,
            length=length,
            first=first,
            last=last,
            sources=self._sources,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            values=values,
            **brought,
        )
        if self._sources_digest is None:  # once, however many blocks there are
            self._sources_digest = self._entries.keep(self._sources)
        self._entries.write(commit, self._sources_digest)
        for name, count in counts.items():
            self.counts[name] += count
        _log.info("commit %s: %s .. %s, %s", commit.id, first, last, counts)
        return {
            "format": FORMAT,
            "sequence": self._sequence,
            "chain": self._chain,
            "step": self._schema.step.to_header(),
            "block": self._schema.block,
            "attrs": {"archive_commit": commit.id},  # `xr.open_zarr(archive)` has it too, and a forecast from that
        }

    def _label(self, times: np.ndarray, fields: Mapping[str, np.ndarray], present: np.ndarray) -> xr.Dataset:
        ds = xr.Dataset(
            {
                name: (self._schema.dims, values, dict(self._schema.variables[name][1]))
                for name, values in fields.items()
            },
            coords={"time": ("time", times, dict(self._template["time"].attrs))},
            attrs=self._template.attrs,
        )
        return ds.assign_coords(present=("time", present, {"long_name": "whether the slot holds a frame"}))

    def _static(self) -> dict[str, xr.Variable]:
        return {
            str(name): coord.variable.load()
            for name, coord in self._template.coords.items()
            if "time" not in coord.dims
        }
