"""Real damage in the files of an Icechunk repository, and a look at what a tree of files is."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np


def chunk_of(store: Path, values: np.ndarray) -> Path:
    """The file of the chunk that begins with these values, of an array of numbers.

    Icechunk names chunks at random, so they are told by what is in them: Blosc, then four bytes of checksum.
    """
    wanted = np.ascontiguousarray(values).tobytes()
    for path in sorted((store / "chunks").iterdir()):
        try:
            data = numcodecs.Blosc().decode(path.read_bytes()[:-4])
        except RuntimeError:  # texts are packed otherwise
            continue
        if bytes(data)[: len(wanted)] == wanted:
            return path
    raise AssertionError(f"no chunk of {store} holds these values")


def delete(path: Path) -> None:
    """A file, or a folder with all that is in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def flip(path: Path) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """To half of its length; all files of a folder."""
    for file in path.iterdir() if path.is_dir() else [path]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(path: Path) -> None:
    """A folder."""
    for part in path.iterdir():
        delete(part)


def head_snapshot(store: Path) -> Path:
    """The file of the last commit."""
    ref = json.loads((store / "refs" / "branch.main" / "ref.json").read_text())
    return store / "snapshots" / ref["snapshot"]


# What can befall a repository as a whole, by name.
OF_THE_REPOSITORY: dict[str, Callable[[Path], None]] = {
    "lists of chunks cut in half": lambda store: truncate(store / "manifests"),
    "lists of chunks deleted": lambda store: delete(store / "manifests"),
    "last commit cut in half": lambda store: truncate(head_snapshot(store)),
    "last commit deleted": lambda store: delete(head_snapshot(store)),
    "branch deleted": lambda store: delete(store / "refs" / "branch.main" / "ref.json"),
    "branch cut in half": lambda store: truncate(store / "refs" / "branch.main" / "ref.json"),
    "all branches deleted": lambda store: delete(store / "refs"),
    "folder emptied": empty,
}


def tree(folder: Path) -> dict[str, str]:
    """Digest and time of change of every file, but for locks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in files
    }
