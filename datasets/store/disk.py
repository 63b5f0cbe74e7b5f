"""What a store asks of the place it lies in: durable atomic writes, a rename, one writer at a time.

Everything that is particular to a local file system is here. On an object store the same four are a PUT (atomic by
itself), nothing (a PUT is durable), a copy below the final name with the root object last, and a conditional PUT.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from simvp.errors import ArchiveError

_log = logging.getLogger(__name__)


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`: every reader sees the old bytes or the new ones, and after a power cut as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    with open(beside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    _sync(path.parent)


def append(path: Path, data: bytes) -> None:
    """Put `data` at the end of the file at `path`; after a power cut, some of it may be there."""
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(files: Iterable[Path]) -> None:
    """Bring `files`, those that exist (a chunk of fill values does not), and their folders to the disk."""
    listed = list(files)
    # Each fsync waits for the disk, not for the processor.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_sync, listed))
        list(pool.map(_sync, sorted({file.parent for file in listed})))


def publish(made: Path, path: Path) -> None:
    """Give the whole folder `made`, which nobody has seen, its name; atomic."""
    sync(found for found in made.rglob("*"))
    os.rename(made, path)
    _sync(path.parent)


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
    ArchiveError
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
            raise ArchiveError(
                f"Lock {lock.lock_file}",
                [f"expected to get it within {timeout:g} s, but another writer still holds it"],
                "wait until the other ingest or forecast has ended, or end it; a killed one leaves no lock behind",
            ) from None
    try:
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
