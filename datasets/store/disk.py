"""What files and repositories on a local file system need: durable atomic writes, and one writer at a time."""

import ctypes
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from simvp.errors import ArchiveError, Unavailable

_log = logging.getLogger(__name__)


class Held(ArchiveError, Unavailable):
    """A lock that another writer holds."""


def write(path: Path, data: bytes, *, private: bool = False) -> None:
    """Put `data` at `path`: every reader sees the old bytes or the new ones, and after a power cut as well.

    Parameters
    ----------
    private
        Nobody but the owner may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    try:
        with open(beside, "wb") as file:
            if private:
                beside.chmod(0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk is not filled further
        beside.unlink(missing_ok=True)
        raise
    os.replace(beside, path)
    sync(path.parent)


def append(path: Path, data: bytes) -> None:
    """Put `data` at the end of the file at `path`; after a power cut, some of it may be there."""
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Bring all that was written to the file system of `folder` to the disk.

    Icechunk does not tell the names of the files of a commit, and to look for them takes the longer the more there are.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if (syncfs := getattr(ctypes.CDLL(None), "syncfs", None)) is None:  # not Linux
            os.sync()
        elif syncfs(handle):
            raise OSError(f"{folder} cannot be brought to the disk")
    finally:
        os.close(handle)


def discard(path: Path) -> None:
    """Remove a file or a folder that may not be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def exclusive(lock: FileLock, timeout: float) -> Iterator[None]:
    """Hold `lock`; the kernel drops it if the holder is killed.

    Raises
    ------
    Held
        Somebody else held it for `timeout` seconds.
    """
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _log.warning("waiting for another writer, which holds %s (for at most %g s)", lock.lock_file, timeout)
        try:
            lock.acquire(timeout=timeout, poll_interval=min(0.2, timeout))
        except Timeout:
            raise Held(
                f"Lock {lock.lock_file}",
                [f"expected to get it within {timeout:g} s, but another writer still holds it"],
                "wait until the other ingest or forecast has ended, or end it; a killed one leaves no lock behind",
            ) from None
    try:
        yield
    finally:
        lock.release()
