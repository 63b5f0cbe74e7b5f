"""How many bytes a packed chunk becomes, told before it is unpacked.

Most formats say so at their beginning. zlib does not: there the chunk is unpacked up to the limit, and no further, if
it could go beyond at all.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from simvp.budget import BUDGET

DEFLATE = 1032  # most bytes that zlib makes of one
SMALL = BUDGET // 16  # that it may make without a look
ZSTD_MAGIC, ZSTD_BLOCK = 0xFD2FB528, 1 << 17  # RFC 8878: a block becomes 128 KiB at most


def longer(codec: str, packed: bytes, most: int) -> bool:
    """Whether a chunk becomes more than `most` bytes; False of a codec that is not known."""
    tell = TELL.get(codec.removeprefix("numcodecs."))
    return tell is not None and tell(packed, most)


def _blosc(packed: bytes, most: int) -> bool:
    return int.from_bytes(packed[4:8], "little") > most


def _lz4(packed: bytes, most: int) -> bool:
    return int.from_bytes(packed[:4], "little") > most


def _zstd(packed: bytes, most: int) -> bool:
    """By the content size of its frames, or where they have none by their number of blocks."""
    total, at = 0, 0
    while at + 6 <= len(packed) and int.from_bytes(packed[at : at + 4], "little") == ZSTD_MAGIC:
        flags = packed[at + 4]
        single, width = bool(flags & 0x20), (0, 2, 4, 8)[flags >> 6]
        width = 1 if single and not width else width
        at += 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
        size = int.from_bytes(packed[at : at + width], "little") + (256 if width == 2 else 0)
        at += width
        blocks, last = 0, False
        while not last and at + 3 <= len(packed):
            header = int.from_bytes(packed[at : at + 3], "little")
            last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
            at += 3 + (1 if kind == 1 else length)  # a run of one byte has its length, and one byte
            blocks += 1
        at += 4 if flags & 4 else 0
        total += size if width else max(0, blocks - 1) * ZSTD_BLOCK
        if total > most:
            return True
    return False


def _zlib(packed: bytes, most: int) -> bool:
    if len(packed) * DEFLATE <= SMALL:
        return False
    total = 0
    try:
        while packed:
            unpacking = zlib.decompressobj(wbits=47)  # zlib or gzip
            total += len(unpacking.decompress(packed, most + 1))
            if total > most:
                return True
            packed = unpacking.unused_data
    except zlib.error:  # said by the one that reads it
        pass
    return False


def _with(made: Callable[[], Any]) -> Callable[[bytes, int], bool]:
    def tell(packed: bytes, most: int) -> bool:
        try:
            return len(made().decompress(packed, max_length=most + 1)) > most
        except (OSError, EOFError, lzma.LZMAError, ValueError):
            return False

    return tell


TELL: dict[str, Callable[[bytes, int], bool]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "zstd": _zstd,
    "zlib": _zlib,
    "gzip": _zlib,
    "bz2": _with(bz2.BZ2Decompressor),
    "lzma": _with(lambda: lzma.LZMADecompressor(memlimit=BUDGET)),
}
