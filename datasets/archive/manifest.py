"""Which source files an archive has taken in, and what they looked like then, so that they are not opened again.

A file whose path, size and time of change are as they were is taken to be what it was, as make, rsync and git do. The
manifest is a text file that grows at its end: noting one more day costs the same after ten years. What it does not
vouch for is read and compared, and found to be there already; so it may be lost, or end in the middle of a line.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from datasets.archive.commits import Commit
from datasets.store import disk

# A file that changed a moment before it was looked at may change again without a later time of change: some file
# systems count in steps of two seconds.
YOUNG = 2 * 10**9  # ns


class Manifest:
    """Files that were taken in under one set of source settings.

    Each line holds the name of a file and its stamp. The last line of a batch has no name: it tells the commit at the
    head of the archive after it. Where the archive has no such commit (an older one was put back, or it has expired),
    nothing counts.

    Parameters
    ----------
    folder
        In which the manifests of the archive lie, on this machine.
    settings
        How the files are read, JSON; what is read under others has a manifest of its own.
    committed
        Id of the archive's commit of a number; empty where there is none any more.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], committed: Callable[[int], str]) -> None:
        digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True, default=str).encode()).hexdigest()
        self._committed, self._path = committed, folder / f"{digest[:16]}.txt"

    def stamps(self) -> dict[str, str]:
        """Stamp by name, in the order of reading."""
        try:
            lines = self._path.read_bytes().decode(errors="surrogateescape").split("\n")
        except FileNotFoundError:
            return {}
        stamps = {name: stamp for name, _, stamp in (line.rpartition("\t") for line in lines)}
        sequence, _, commit = stamps.pop("", "").partition(" ")
        return stamps if sequence.isdecimal() and self._committed(int(sequence)) == commit else {}

    def add(self, stamps: Mapping[str, str], noted: Mapping[str, str], head: Commit) -> None:
        """Note files that have been taken in by now, durably, after those `noted` before."""
        batch = sorted(stamps.items(), key=lambda item: int(item[1].split()[1]))
        lines = [f"{name}\t{stamp}" for name, stamp in batch if "\n" not in name]
        # A line begins with its line break: after one that was cut off, the next is whole.
        data = "".join(f"\n{line}" for line in [*lines, f"\t{head.sequence} {head.id}"])
        (disk.append if noted else disk.write)(self._path, data.encode(errors="surrogateescape"))


def files_noted(folder: Path) -> list[str]:
    """Files of all manifests of an archive that are as they were when they were read, in the order of reading.

    For an archive that cannot say any more what it was read from: whether they make it again is seen by its content.
    """
    noted: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt"), key=lambda path: path.stat().st_mtime_ns):
        lines = path.read_bytes().decode(errors="surrogateescape").split("\n")
        noted |= {name: stamp for name, _, stamp in (line.rpartition("\t") for line in lines) if name}
    now = stamps_of(noted)
    return [name for name, stamp in noted.items() if now.get(name) == stamp]


def stamps_of(names: Iterable[str]) -> dict[str, str]:
    """Size and time of change of each local file that did not change just now."""
    now, stamps = time.time_ns(), {}
    for name in names:
        try:
            status = os.stat(name)
        except OSError:  # an address, or gone: reading it will say so
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime_ns < now - YOUNG:
            stamps[name] = f"{status.st_size} {status.st_mtime_ns}"
    return stamps
