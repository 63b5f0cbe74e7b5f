"""Commits of an archive: an id that depends on content alone, and the log that grows beside the store.

The id is the head of a chain: it starts from what the archive is (variables, units, grid, calendar, step, first time)
and folds in frame after frame. So it does not depend on the clock, on paths, or on how the frames were grouped into
appends, and an append costs the same however long the archive is.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasets.store import disk
from simvp.coords import Grid, Step

Kind = Literal["append", "absent", "fill", "replace"]

_PER_FOLDER = 1000
_RECENT = 48  # commits: two days of hourly ones


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One change of an archive, or what one call of `Archive.append` changed in all.

    Parameters
    ----------
    id
        First 16 hexadecimal digits of the chain; of content alone.
    sequence, length
        Number of the commit, from 1, and slots of the archive after it.
    appended, absent
        Frames added after the last, and absent slots that they left open.
    filled, replaced
        Frames put into absent slots, and frames whose values were replaced on request.
    unchanged
        Candidate frames that were there already; never part of the log, where nothing changed nothing is written.
    snapped
        Candidate frames whose times jitter around those of their slots; of one call in all, and not part of the log.
    first, last
        First and last time that the change touches.
    sources
        SHA-256 of every source file that was read for it, by name.
    created
        UTC time of writing; volatile.
    values
        By variable, lowest, highest, mean and missing share of the frames that it brought; see
        `datasets.archive.summary.Summary.record`.
    jumps
        Variable, time and in words what is odd about a frame; never part of the log.
    """

    id: str
    sequence: int
    length: int
    appended: int = 0
    absent: int = 0
    filled: int = 0
    replaced: int = 0
    unchanged: int = 0
    snapped: int = 0
    first: str = ""
    last: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    jumps: tuple[tuple[str, Any, str], ...] = ()

    @property
    def taken(self) -> int:
        """Candidate frames that have values: all of these are in the archive now."""
        return self.appended + self.filled + self.replaced + self.unchanged


def chain_start(grid: Grid, variables: Mapping[str, tuple[str, str]], step: Step, calendar: str, origin: int) -> str:
    """Head of the chain of an archive without frames.

    Parameters
    ----------
    variables
        Type and units by name.
    origin
        First time, seconds since 1970-01-01.
    """
    arrays = {
        name: hashlib.sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()
        for name, values in grid.arrays().items()
    }
    record = {
        "variables": {name: list(of) for name, of in variables.items()},
        "grid": [grid.kind, list(grid.dims), arrays],
        "step": step.to_header(),
        "calendar": calendar,
        "origin": origin,
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def fold(chain: str, kind: Kind, slot: int, frame: Mapping[str, np.ndarray]) -> str:
    """Head of the chain after one frame; `frame` holds (H, W) by variable, and is empty for an absent slot."""
    digest = hashlib.sha256(f"{chain} {kind} {slot}".encode())
    for name in sorted(frame):
        values = frame[name]
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        missing = np.isnan(little)
        if missing.any():  # NaN comes in many bit patterns, and readers differ in which they leave
            little = np.where(missing, little.dtype.type(np.nan), little)
        digest.update(little.data)
    return digest.hexdigest()


def commit_id(chain: str) -> str:
    """Short id of the commit at the head of `chain`."""
    return chain[:16]


class CommitLog:
    """One small file per commit, and one per set of sources, however many commits came from it.

    An entry is written before its commit, so the log may be one entry ahead of a killed writer's archive; reading stops
    at the head, and the next commit overwrites it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, sources: Mapping[str, str]) -> str:
        """Record the sources of the commits to come, durably; returns what `write` names them by."""
        if not sources:
            return ""
        data = json.dumps(dict(sorted(sources.items())), indent=1).encode()
        digest = hashlib.sha256(data).hexdigest()
        if not self._sources(digest).is_file():
            disk.write(self._sources(digest), data)
        return digest

    def write(self, commit: Commit, sources: str) -> None:
        """Record `commit`, durably; `sources` is what `keep` returned."""
        record = {name: of for name, of in vars(commit).items() if name != "jumps"} | {"sources": sources}
        disk.write(self._entry(commit.sequence), json.dumps(record, indent=1).encode())

    def read(self, sequence: int) -> Commit | None:
        """The commit of that number, or None where the log has been lost."""
        try:
            record: dict[str, Any] = json.loads(self._entry(sequence).read_bytes())
        except FileNotFoundError:
            return None
        sources = self._sources(record["sources"])
        kept = bool(record["sources"]) and sources.is_file()
        return Commit(**{**record, "sources": json.loads(sources.read_bytes()) if kept else {}})

    def values(self, sequence: int) -> list[tuple[int, Mapping[str, Mapping[str, Any]]]]:
        """Of the last commits up to that number, how many frames each brought, and what these held."""
        found = []
        for number in range(max(1, sequence - _RECENT + 1), sequence + 1):
            with suppress(FileNotFoundError):
                record = json.loads(self._entry(number).read_bytes())
                frames = sum(record[kind] for kind in ("appended", "filled", "replaced"))
                found.append((frames, record.get("values", {})))
        return found

    def id(self, sequence: int) -> str:
        """Id of the commit of that number; empty where there is none."""
        try:
            return str(json.loads(self._entry(sequence).read_bytes())["id"])
        except FileNotFoundError:
            return ""

    def _entry(self, sequence: int) -> Path:
        return self.folder / f"{sequence // _PER_FOLDER:05d}" / f"{sequence:08d}.json"

    def _sources(self, digest: str) -> Path:
        return self.folder / "sources" / f"{digest}.json"
