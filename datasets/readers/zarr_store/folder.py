"""What lies in a Zarr store on this machine."""

import os

from simvp.errors import SourceError


def refuse_outside(folder: str) -> None:
    """Refuse a store with a pipe, socket or device in it, for which a reader waits, or a link that leads out of it.

    What a link names would be read as a chunk, be it a file that the store's maker could not read himself. The store
    itself may be a link.

    Raises
    ------
    SourceError
        With reasons alone; names the first.
    """
    root = os.path.realpath(folder)
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _refuse_link(entry.path, root)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise SourceError("", [f"{entry.path} is no regular file; copy its content into a file first"])


def _refuse_link(path: str, root: str) -> None:
    target = os.path.realpath(path)
    if os.path.commonpath([target, root]) != root:
        reason = f"{path} is a link that leads out of the store, to {target}, which is not read"
        raise SourceError("", [f"{reason}; copy the store with what its links name (cp -rL)"])
