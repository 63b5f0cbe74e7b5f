"""Writing of compared blocks into an archive's store, as one commit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from datasets.archive.candidate import Comparison
from datasets.archive.commits import ABSENT, Commit, archive_digest, content_id
from datasets.archive.schema import Schema, shown
from datasets.archive.summary import Summary
from datasets.store import Writer
from simvp.times import encode_times

FORMAT = 2
NO_ROWS = np.empty(0, np.int64)


class Rows(NamedTuple):
    """Frames of a block that belong into the slots start .. stop - 1, some of which may be others'.

    Parameters
    ----------
    rows
        Positions in the block, rising.
    """

    rows: np.ndarray
    start: int
    stop: int


def fill(group: zarr.Group, block: Comparison, parts: Sequence[Rows]) -> None:
    """Write frames of a block into arrays that are as long as they will be."""
    for rows, start, stop in parts:
        for name, frames in block.frames.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            if len(rows) == stop - start:
                values = frames[rows[0] : rows[-1] + 1]
            else:
                values = np.asarray(array[start:stop])
                values[block.slots[rows] - start] = frames[rows]
            array[start:stop] = values


class BlockWriter:
    """Writes compared blocks in the order of their slots.

    Parameters
    ----------
    writer
        Of the archive's store.
    schema, template
        What the archive is: see `datasets.archive.schema`.
    last
        Slot with which the archive ends, if it does not end later; what follows it gets no slots.
    later
        Only times and digests are written, and the frames afterwards by others (`fill`).
    """

    def __init__(self, writer: Writer, schema: Schema, template: xr.Dataset, last: int, *, later: bool = False) -> None:
        self._writer, self._last, self._later = writer, last, later
        self._parts: list[Rows] = []
        self._schema, self._template = schema, template
        self._length = schema.length
        self._counts = {"appended": 0, "absent": 0, "filled": 0, "replaced": 0}
        self._touched: list[int] = []
        self._changed: list[np.ndarray] = []
        self._summaries: dict[str, list[Summary]] = {}
        self._state: dict[str, Any] = {}
        if writer.base is not None:
            self._state = dict(writer.base.state)
        else:
            types = {n: (str(of[0]), str(of[1].get("units", ""))) for n, of in schema.variables.items()}
            origin, _ = encode_times(np.array([schema.origin]))
            self._state = {
                "format": FORMAT,
                "kind": "archive",
                "sequence": 0,
                "archive": archive_digest(schema.grid, types, schema.step, schema.calendar, int(origin[0])),
                "digests": 0,
                "frames": 0,
                "step": schema.step.to_header(),
                "block": schema.block,
            }

    def write(self, block: Comparison) -> list[Rows]:
        """Write the late and replaced frames of a block, then its new ones; returns where they belong."""
        self._parts = []
        late = np.flatnonzero(np.isin(block.kinds, ("fill", "replace")))
        if len(late):
            self._amend(block, late)
        new = np.flatnonzero(block.kinds == "append")
        if len(new):
            while self._end() <= block.slots[new[0]]:
                self._extend(self._end())
            self._extend(self._end(), block, new)
        return self._parts

    def extend_to_last(self) -> None:
        """Append the slots after the last new frame, absent."""
        while self._length <= self._last:
            self._extend(self._end())

    def finish(self, sources: Mapping[str, str], source_settings: Mapping[str, Any]) -> Commit:
        """Give the store what makes all of it a commit; returns that.

        Parameters
        ----------
        sources
            SHA-256 of the source files by name.
        source_settings
            How the source is read; kept with the first commit.
        """
        self._state["sequence"] += 1
        self._state.setdefault("source_settings", json.loads(json.dumps(dict(source_settings))))
        content = content_id(self._state["archive"], self._state["digests"])
        self._state["attrs"] = {"archive_commit": content}  # any reader has it too, and a forecast from that
        first, last = (self._shown(slot) for slot in (min(self._touched), max(self._touched)))
        runs = _runs(np.concatenate(self._changed)) if self._changed else []
        commit = Commit(
            id=content,
            sequence=self._state["sequence"],
            length=self._length,
            first=first,
            last=last,
            changed=tuple((self._shown(start), self._shown(stop)) for start, stop in runs),
            sources=dict(sources),
            values={name: Summary.joined(parts).record() for name, parts in self._summaries.items()},
            **self._counts,  # type: ignore[arg-type]
        )
        self._writer.state, self._writer.message = self._state, commit.message
        self._writer.metadata = commit.metadata
        return commit

    def _end(self) -> int:
        """Where the block of the next slot ends."""
        return min((self._length // self._schema.block + 1) * self._schema.block, self._last + 1)

    def _extend(self, stop: int, block: Comparison | None = None, rows: np.ndarray = NO_ROWS) -> None:
        """Append the slots up to `stop`; those without a row are absent."""
        start = self._length
        at = rows if block is None else block.slots[rows] - start
        digests = np.full(stop - start, ABSENT)
        times = self._schema.times(start, stop)
        if block is not None:
            digests[at] = block.digests[rows]
            times[at] = block.times[rows]
        present = digests != ABSENT
        if block is not None:
            self._parts.append(Rows(rows, start, stop))
        ds = self._label(times, self._frames(block, rows, start, stop), digests)
        if self._writer.exists:
            self._writer.append(ds, later=self._schema.variables if self._later else ())
        else:
            self._writer.create(ds.assign_coords(self._static()), "time", {"time": self._schema.chunk})
        self._length = stop
        frames = int(present.sum())
        before = np.zeros_like(digests)
        self._note(block, rows, (start, stop - 1), digests, before, appended=frames, absent=stop - start - frames)

    def _frames(self, block: Comparison | None, rows: np.ndarray, start: int, stop: int) -> dict[str, np.ndarray]:
        """Frames of the slots start .. stop - 1 by variable, as far as they are written now; NaN without a row."""
        shape, types = (stop - start, *self._schema.grid.shape), self._schema.variables
        if self._later:  # what describes the variables is needed once
            return (
                {}
                if self._writer.exists
                else {n: np.broadcast_to(of[0].type(np.nan), shape) for n, of in types.items()}
            )
        if block is not None and len(rows) == stop - start:  # as almost always: no copy
            return {name: block.frames[name][rows[0] : rows[-1] + 1] for name in types}
        fields = {name: np.full(shape, np.nan, of[0]) for name, of in types.items()}
        if block is not None:
            for name, values in fields.items():
                values[block.slots[rows] - start] = block.frames[name][rows]
        return fields

    def _amend(self, block: Comparison, rows: np.ndarray) -> None:
        """Rewrite the range of slots that holds the frames at `rows`."""
        assert self._writer.base is not None
        slots = block.slots[rows]
        start, stop = int(slots[0]), int(slots[-1]) + 1
        stored = self._writer.base.dataset(dated=False).isel(time=slice(start, stop))
        stored = stored.drop_vars(list(self._schema.variables) if self._later else []).load()
        fields = {str(name): values.values for name, values in stored.data_vars.items()}
        for name, values in fields.items():
            values[slots - start] = block.frames[name][rows]
        self._parts.append(Rows(rows, start, stop))
        digests = stored["digest"].values.copy()
        before = digests[slots - start]
        digests[slots - start] = block.digests[rows]
        self._writer.rewrite(self._label(stored["time"].values, fields, digests).drop_vars("time"), start)
        self._changed.append(slots)
        filled = int((block.kinds[rows] == "fill").sum())
        self._note(block, rows, slots, block.digests[rows], before, filled=filled, replaced=len(rows) - filled)

    def _note(
        self,
        block: Comparison | None,
        rows: np.ndarray,
        touched: Sequence[int] | np.ndarray,
        digests: np.ndarray,
        before: np.ndarray,
        **counts: int,
    ) -> None:
        self._touched += [int(touched[0]), int(touched[-1])]
        self._state["digests"] = (self._state["digests"] + int((digests - before).sum(dtype="u8"))) % 2**64
        self._state["frames"] += int((digests != ABSENT).sum()) - int((before != ABSENT).sum())
        for name, count in counts.items():
            self._counts[name] += count
        if block is not None:
            for name, summary in block.summaries.items():
                self._summaries.setdefault(name, []).append(summary.at(rows))

    def _shown(self, slot: int) -> str:
        return shown(self._schema.times(slot, slot + 1)[0])

    def _label(self, times: np.ndarray, fields: Mapping[str, np.ndarray], digests: np.ndarray) -> xr.Dataset:
        ds = xr.Dataset(
            {
                name: (self._schema.dims, values, dict(self._schema.variables[name][1]))
                for name, values in fields.items()
            },
            coords={"time": ("time", times, dict(self._template["time"].attrs))},
            attrs=self._template.attrs,
        )
        return ds.assign_coords(
            present=("time", digests != ABSENT, {"long_name": "whether the slot holds a frame"}),
            digest=("time", digests, {"long_name": "digest of the frame's values"}),
        )

    def _static(self) -> dict[str, xr.Variable]:
        return {
            str(name): coord.variable.load()
            for name, coord in self._template.coords.items()
            if "time" not in coord.dims
        }


def _runs(slots: np.ndarray) -> list[tuple[int, int]]:
    """First and last of each run of rising slots."""
    parts = np.split(slots, np.flatnonzero(np.diff(slots) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]
