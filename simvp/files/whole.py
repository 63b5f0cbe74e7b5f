"""Files and folders that are there whole or not at all: written beside their place, and moved there."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simvp.errors import Refusal, fault_around


@contextmanager
def written_whole(places: Sequence[Path], *, subject: str, overwrite: bool) -> Iterator[list[Path]]:
    """Paths to write to, each moved to its place once all are written; what was there before is replaced.

    Parameters
    ----------
    places
        Files or folders of one folder, which is made where it is not there.
    subject
        What is written, in refusals.
    overwrite
        Whether what is there may be replaced.

    Raises
    ------
    Refusal
        Something is there already, nothing is written then; or the disk is full, may not be written to, and the like.
    """
    folder = places[0].parent
    if not overwrite and (there := [str(place) for place in places if os.path.lexists(place)]):
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        reason = f"expected nothing there yet, got {there[0]}{more}"
        raise Refusal(subject, [reason], "choose another place, or say overwrite=True to replace it")
    if folder.exists() and not folder.is_dir():
        raise Refusal(subject, [f"expected a folder, got a file: {folder}"], "choose another place")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{places[0].name}.") as unfinished:
            parts = [Path(unfinished, place.name) for place in places]
            yield parts
            for part in parts:
                _flush(part)
            for part, place in zip(parts, places, strict=True):
                if place.is_dir():  # a folder takes no other's place: it is moved away, and goes with the unfinished
                    os.replace(place, Path(unfinished, f"{place.name}.before"))
                os.replace(part, place)
    except OSError as error:
        if (fault := fault_around(error, subject)) is not None:
            raise fault from error
        raise


def _flush(part: Path) -> None:
    """Onto the disk, so that a loss of power leaves nothing half written under its name."""
    for path in [path for path in part.rglob("*") if path.is_file()] if part.is_dir() else [part]:
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())
