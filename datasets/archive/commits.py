"""Commits of an archive: an id that depends on content alone, and what the repository's history says of each.

Every slot keeps the digest of its frame. The id of an archive's content is made of what the archive is (variables,
units, grid, calendar, step, first time) and of the sum of these digests, so that it depends neither on the clock, nor
on paths, nor on the order in which frames came or how many wrote them; and an append costs the same however long the
archive is. The digests are no protection against somebody who looks for two archives with one id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from simvp.coords import Grid, Step
from simvp.version import __version__

if TYPE_CHECKING:
    import icechunk

ABSENT = np.uint64(0)  # digest of a slot without a frame
# What is said of one call of `Archive.append`, and not of its commit.
_OF_ONE_CALL = ("unchanged", "snapped", "jumps")
# Kept by the repository itself.
_OF_THE_REPOSITORY = ("snapshot", "created")


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit of an archive, or what one call of `Archive.append` changed.

    Parameters
    ----------
    id
        16 hexadecimal digits; of content alone.
    snapshot
        The repository's own name of the commit.
    sequence, length
        Number of the commit, from 1, and slots of the archive after it.
    appended, absent
        Frames added after the last, and absent slots that they left open.
    filled, replaced
        Frames put into absent slots, and frames whose values were replaced on request.
    unchanged
        Candidate frames that were there already; never part of the history, where nothing changed nothing is written.
    snapped
        Candidate frames whose times jitter around those of their slots; of one call, and not part of the history.
    first, last
        First and last time that the commit touches.
    changed
        First and last time of each run of slots that were filled or replaced.
    sources
        SHA-256 of every source file that was read for it, by name.
    created
        UTC time of writing; volatile.
    code_version
        Version of this project that wrote it.
    values
        By variable, lowest, highest, mean and missing share of the frames that it brought; see
        `datasets.archive.summary.Summary.record`.
    jumps
        Variable, time and in words what is odd about a frame; never part of the history.
    """

    id: str
    snapshot: str = ""
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
    changed: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    code_version: str = __version__
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    jumps: tuple[tuple[str, Any, str], ...] = ()

    @classmethod
    def of(cls, info: "icechunk.SnapshotInfo") -> "Commit":
        """As the repository's history tells it."""
        record = {item.name: info.metadata[item.name] for item in fields(cls) if item.name in info.metadata}
        changed = tuple((first, last) for first, last in record.pop("changed"))
        created = info.written_at.isoformat(timespec="seconds")
        return cls(**record, changed=changed, snapshot=info.id, created=created)

    @property
    def taken(self) -> int:
        """Candidate frames that have values: all of these are in the archive now."""
        return self.appended + self.filled + self.replaced + self.unchanged

    @property
    def message(self) -> str:
        """In words."""
        counts = {name: getattr(self, name) for name in ("appended", "absent", "filled", "replaced")}
        listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        return f"{listed}: {self.first} .. {self.last}"

    @property
    def metadata(self) -> dict[str, Any]:
        """What the repository's history keeps."""
        left_out = (*_OF_ONE_CALL, *_OF_THE_REPOSITORY)
        record = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in left_out}
        return json.loads(json.dumps(record))


def archive_digest(grid: Grid, variables: Mapping[str, tuple[str, str]], step: Step, calendar: str, origin: int) -> str:
    """Digest of what an archive is, without its frames.

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


def frame_digest(slot: int, frame: Mapping[str, np.ndarray]) -> np.uint64:
    """First 64 bits of the SHA-256 of a slot's number and of the (H, W) values of each variable, by name."""
    digest = hashlib.sha256(f"{slot}".encode())
    for name in sorted(frame):
        values = frame[name]
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        missing = np.isnan(little)
        if missing.any():  # NaN comes in many bit patterns, and readers differ in which they leave
            little = np.where(missing, little.dtype.type(np.nan), little)
        digest.update(little.data)
    return np.uint64(int.from_bytes(digest.digest()[:8], "little") or 1)


def content_id(archive: str, digests: int) -> str:
    """Id of an archive's content.

    Parameters
    ----------
    archive
        `archive_digest`.
    digests
        Sum of the digests of all slots, modulo 2**64.
    """
    return hashlib.sha256(f"{archive} {digests}".encode()).hexdigest()[:16]
