"""What format a file is in, by its content, and whether it is whole."""

import math
import os
import stat
import struct
from pathlib import Path
from typing import IO, Literal

from datasets.readers.hdf5 import refuse_foreign
from simvp.errors import SourceError

Format = Literal["netcdf", "grib", "zarr"]

# In a folder, other files (notes, lists, indices) are passed over; one of these that cannot be recognised is a fault.
DATA_SUFFIXES = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".grib", ".grib1", ".grib2", ".grb", ".grb2")
FOREIGN = {
    b"\x1f\x8b": "gzip; unpack it first",
    b"PK\x03\x04": "zip; unpack it first",
    b"BZh": "bzip2; unpack it first",
    b"\xfd7zXZ": "xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it first",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"\x93NUMPY": "NumPy",
    b"\x0e\x03\x13\x01": "HDF4",
    b"<": "HTML or XML, as a server sends instead of a file that it refuses",
}
# Bytes that tell the format: a signature of HDF5 up to 2048, and who wrote the file, behind its other attributes.
HEAD = 32 * 1024
# What must not be opened: a pipe without a writer never answers, and a device has no end.
SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def format_of(path: str) -> Format:
    """Format of a local file, by its content.

    Raises
    ------
    SourceError
        No regular file, no known format, cut off, or HDF5 that is no NetCDF.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = SPECIAL.get(stat.S_IFMT(mode), "something else")
            raise SourceError("", [f"no regular file ({what}); copy its content into a file first"])
        head = head_of(path)
    except OSError as error:
        raise SourceError("", [f"cannot be opened: {error.strerror}"]) from error
    form = told_by(head)
    if form is None:
        what = next((text for magic, text in FOREIGN.items() if head.startswith(magic)), "")
        got = "the file is empty" if not head else f"got first bytes {head[:8]!r}" + (f" ({what})" if what else "")
        raise SourceError("", [f"expected NetCDF, GRIB or Zarr by content; {got}"])
    if cut := _cut_off(path, head):
        raise SourceError("", [cut])
    if form == "netcdf" and not head.startswith(b"CDF"):
        refuse_foreign(path)
    return form


def head_of(path: str) -> bytes:
    """The first bytes of a file: enough to tell its format, and who wrote it."""
    with open(path, "rb") as file:
        return file.read(HEAD)


def told_by(head: bytes) -> Format | None:
    """The format that the first bytes of a file tell; None for no known one."""
    if head[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05"):
        return "netcdf"
    if any(head[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (0, 512, 1024, 2048)):  # a user block may go before
        return "netcdf"
    return "grib" if b"GRIB" in head[:256] else None


def _cut_off(path: str, head: bytes) -> str:
    """What is wrong with the length of a NetCDF file, in words: the libraries read zeros past the end.

    That of a GRIB file is found out message by message (`grib_messages`).
    """
    size, expected = Path(path).stat().st_size, 0
    with open(path, "rb") as file:
        if head.startswith(b"CDF"):
            try:
                expected = _classic_size(file)
            except (struct.error, IndexError):
                return f"the file is cut off inside its header ({size} bytes)"
            except ValueError as error:
                return f"its header is damaged: {error}"
        elif head.startswith(b"\x89HDF"):
            expected = _hdf5_size(head)
    missing = expected - size
    if missing > (3 if head.startswith(b"CDF") else 0):  # its last value need not be padded to four bytes
        return f"the file is cut off: its header promises {expected} bytes, got {size}"
    return ""


def _hdf5_size(head: bytes) -> int:
    """End-of-file address in an HDF5 superblock with addresses of eight bytes (HDF5 file format, II.A)."""
    version = head[8] if len(head) > 48 else 255
    if version in (0, 1) and head[13] == 8:
        return int.from_bytes(head[40 + 4 * version : 48 + 4 * version], "little")
    if version in (2, 3) and head[9] == 8:
        return int.from_bytes(head[28:36], "little")
    return 0


def _classic_size(file: IO[bytes]) -> int:
    """Length in bytes that the header of a classic NetCDF file promises (NetCDF User's Guide, file format).

    Raises
    ------
    ValueError
        A number or a type that cannot be: negative, or a list longer than the file.
    """
    size = os.fstat(file.fileno()).st_size
    version = file.read(4)[3]
    count, offset = (">q", ">q") if version == 5 else (">i", ">i" if version == 1 else ">q")

    def read(form: str) -> int:
        number = int(struct.unpack(form, file.read(struct.calcsize(form)))[0])
        if number < 0:
            raise ValueError(f"a count of {number}")
        return number

    def listed() -> range:
        """Of a list, whose every entry takes at least four bytes of the file."""
        number = read(count)
        if number > size // 4:
            raise ValueError(f"a list of {number} entries in a file of {size} bytes")
        return range(number)

    def skip(length: int) -> None:
        if length > size:
            raise ValueError(f"a text or a list of {length} bytes in a file of {size}")
        file.seek(-(-length // 4) * 4, 1)

    def width() -> int:
        if (kind := read(">i")) not in WIDTHS:
            raise ValueError(f"numbers of type {kind}")
        return WIDTHS[kind]

    def skip_attributes() -> None:
        read(">i")
        for _ in listed():
            skip(read(count))
            each = width()
            skip(read(count) * each)

    records = max(int(struct.unpack(count, file.read(struct.calcsize(count)))[0]), 0)  # -1: a stream, not counted
    read(">i")
    lengths = []
    for _ in listed():
        skip(read(count))
        lengths.append(read(count))
    skip_attributes()
    read(">i")
    fixed, recorded = 0, []
    for _ in listed():
        skip(read(count))
        dims = [lengths[read(count)] for _ in listed()]
        skip_attributes()
        each = width()
        file.read(struct.calcsize(count))  # bytes of the variable, which is not kept where it does not fit in four
        begin = read(offset)
        if dims[:1] == [0]:  # unlimited
            recorded.append((begin, each * math.prod(dims[1:])))
        else:
            fixed = max(fixed, begin + each * math.prod(dims))
    padded = [each if len(recorded) == 1 else -(-each // 4) * 4 for _, each in recorded]
    ends = [begin + (records - 1) * sum(padded) + each for begin, each in recorded if records > 0]
    return max([fixed, *ends])


WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes of each external type
