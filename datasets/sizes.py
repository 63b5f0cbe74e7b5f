"""How much a header may promise: refused before memory is taken for it.

A file of a few bytes can promise any size, for what was never written reads as a fill value, and a constant packs into
nothing. So what has to be in memory as a whole, a map or an axis, is compared with the budget of all stages, and beyond
a small part of it also with the bytes that are there.
"""

import os
import zipfile
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path

from simvp.budget import BUDGET
from simvp.errors import SourceError

# Bytes that one byte of a file becomes, at most: zlib packs 1,032 into one.
UNPACKED = 1000
SMALL = BUDGET // 8
"""Bytes that are never too much: a map of the largest grid that is known to be sent empty, MRMS (3500 x 7000 float32)
without rain, of which a few kilobytes of a file are left, and some more."""
SHOWN = 6

Shape = tuple[str, Sequence[int], int]
"""Name, lengths and bytes of a value."""


def refuse_arrays(path: str, arrays: Iterable[Shape], chunks: Iterable[Shape] = ()) -> None:
    """Refuse axes, plain maps and chunks that take too much.

    Parameters
    ----------
    arrays
        Of a file; those of three dims and more are read in parts, and left to `refuse_maps`.
    chunks
        What is unpacked at once of each.

    Raises
    ------
    SourceError
        With those that are too large.
    """
    large = [(name, lengths, width) for name, lengths, width in arrays if len(lengths) < 3]
    reasons = [*_reasons(path, large, "it"), *_reasons(path, chunks, "one chunk of it")]
    if reasons:
        raise SourceError(path, reasons[:SHOWN])


def refuse_maps(path: str, maps: Iterable[Shape]) -> None:
    """Refuse maps, each a frame of a variable, that take too much."""
    if reasons := _reasons(path, maps, "one map of it"):
        raise SourceError(path, reasons[:SHOWN])


def refuse_coordinates(path: str, planes: Iterable[Shape]) -> None:
    """Refuse coordinates of several dims, which are read as a whole, and are as long as their file is large."""
    if reasons := _reasons(path, planes, "it", most=None):
        raise SourceError(path, reasons[:SHOWN])


def _reasons(path: str, shapes: Iterable[Shape], what: str, most: int | None = BUDGET) -> list[str]:
    reasons, stored = [], None
    for name, lengths, width in shapes:
        size = prod(map(int, lengths)) * width
        if size <= SMALL:
            continue
        if most is not None and size > most:
            because = f"{in_words(most)} is the most that is read at once"
        else:
            stored = bytes_in(path) if stored is None else stored
            if size <= UNPACKED * stored:
                continue
            because = f"its file has {in_words(stored)}, from which at most {UNPACKED} times as much is unpacked"
        shape = " x ".join(map(str, lengths))
        reasons.append(
            f"{name}: {what} has {shape} values, {in_words(size)}, and {because}; "
            "cut a region out or thin it out first (cdo sellonlatbox, ncks -d)"
        )
    return reasons


def refuse_unpacked(path: str | Path, most: int) -> None:
    """Refuse a zip archive, such as .npz, whose members unpack to more than `most` bytes together.

    Raises
    ------
    SourceError
        With reasons alone; also for a file that is no such archive.
    """
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError("", [f"it cannot be read: {error}"]) from error
    if size > most:
        raise SourceError("", [f"it unpacks to {in_words(size)}, at most {in_words(most)} are expected"])


def bytes_in(path: str) -> int:
    """Bytes of a file or a folder; those of the budget behind an address, where they are not counted."""
    if "://" in path or "::" in path:
        return BUDGET
    if not os.path.isdir(path):
        return os.path.getsize(path)
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def in_words(size: int) -> str:
    """A number of bytes for people."""
    for unit, step in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= step:
            return f"{size / step:,.3g} {unit}" if size < 1000 * step else f"{size // step:,} {unit}"
    return f"{size} bytes"
