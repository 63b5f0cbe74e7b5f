"""Which files a source consists of, what format each is in by its content, and whether it is whole."""

import glob
import hashlib
import logging
import math
import os
import stat
import struct
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from datasets.readers.hdf5 import refuse_foreign
from simvp.errors import SourceError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

logger = logging.getLogger(__name__)

Format = Literal["netcdf", "grib", "zarr"]
Location = str | Path

ZARR_ROOTS = ("zarr.json", ".zmetadata", ".zgroup")
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


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file, or one Zarr store, of a source.

    Parameters
    ----------
    name
        As the user knows it: a path or an address.
    path
        What to open: a local path, or the address of a Zarr store.
    format
        By content.
    group
        Of NetCDF-4, HDF5 or Zarr; the root by default.
    """

    name: str
    path: str
    format: Format
    group: str = ""

    @property
    def title(self) -> str:
        """Name and group, for messages."""
        return f"{self.name} (group {self.group})" if self.group else self.name


def source_files(source: Location | Sequence[Location], noted: Container[str] = ()) -> list[str]:
    """Names of the files and Zarr stores of a source, sorted, each once.

    Parameters
    ----------
    source
        A file, a folder (every data file inside), a glob, a URL, or a list of these.
    noted
        Files that were read before, and so are data, whatever they are called; not looked into again.

    Raises
    ------
    SourceError
        Nothing there, an empty folder, a glob without a match.
    """
    places = [source] if isinstance(source, str | Path) else list(source)
    if not places:
        raise SourceError("source", ["the list of files is empty"])
    return sorted({name for one in places for name in (_remote(one) if is_address(one) else _local(str(one), noted))})


def recognise(names: Iterable[Location]) -> list[SourceFile]:
    """Format of each file, by content.

    Raises
    ------
    SourceError
        Files that are of no known format or cut off, or formats that are mixed; every one is named.
    """
    files, reasons = [], []
    for name in names:
        try:
            files.append(_recognised(str(name)))
        except SourceError as error:
            reasons += [f"{name}: {reason}" for reason in error.reasons]
    formats = sorted({file.format for file in files})
    if len(formats) > 1:
        examples = [f"{f} ({next(file.name for file in files if file.format == f)})" for f in formats]
        reasons.append("formats are mixed: " + ", ".join(examples) + "; read them one by one")
    if reasons:
        raise SourceError("source cannot be read", shortened(reasons, 20))
    return files


def checksums(files: Iterable[Location]) -> dict[str, str]:
    """sha256 (hex) of each file; of a local Zarr store over all its objects, of a remote one over its root metadata."""
    return {str(file): _checksum(str(file)) for file in files}


def shortened(reasons: Sequence[str], count: int) -> list[str]:
    """The first reasons, and how many more there are."""
    return [*reasons[:count], *([f"... and {len(reasons) - count} more"] if len(reasons) > count else [])]


def is_address(source: Location) -> bool:
    """Whether a source is a URL."""
    return "://" in str(source) or "::" in str(source)


def _local(source: str, noted: Container[str]) -> list[str]:
    path = str(Path(source).expanduser())
    if os.path.exists(path):
        return _inside(path, noted)
    if glob.has_magic(source):
        matches = glob.glob(path, recursive=True)
        if not matches:
            raise SourceError("source", [f"no file matches {source!r}"])
        return [file for match in matches for file in _inside(match, noted)]
    nearest = next((parent for parent in Path(path).absolute().parents if parent.exists()), Path("/"))
    raise SourceError("source", [f"there is no file or folder {source!r}; {nearest} is there"])


def _inside(path: str, noted: Container[str]) -> list[str]:
    """Data files of a folder and of the folders in it; a file and a Zarr store are one."""
    if not os.path.isdir(path) or _is_store(path):
        return [path]
    files: list[str] = []
    waiting, known = [path], set()
    while waiting:
        folder = waiting.pop()
        if (place := os.path.realpath(folder)) in known:  # a link to a folder around it has no end
            continue
        known.add(place)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry) and _is_store(entry.path):
                    files.append(entry.path)
                elif _is_folder(entry):  # links last: a folder is known by its own name
                    waiting.insert(0 if entry.is_symlink() else len(waiting), entry.path)
                elif entry.path in noted or _is_data(entry):
                    files.append(entry.path)
                else:
                    logger.info("passed over, not NetCDF, GRIB or Zarr: %s", entry.path)
    if not files:
        raise SourceError("source", [f"folder {path!r} holds no NetCDF, GRIB or Zarr data"])
    return files


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_data(entry: "os.DirEntry[str]") -> bool:
    """Whether a file is data by its name or by its content; what is no regular file is never opened."""
    if entry.name.lower().endswith(DATA_SUFFIXES):
        return True
    return os.path.isfile(entry.path) and _format(_head(entry.path)) is not None


def _is_store(folder: str) -> bool:
    return any(os.path.isfile(f"{folder}/{name}") for name in ZARR_ROOTS)


def _remote_root(fs: "AbstractFileSystem", path: str) -> str | None:
    """Metadata at the root of a Zarr store on a file system of fsspec; None where there is no store."""
    roots = [f"{path.rstrip('/')}/{name}" for name in ZARR_ROOTS]
    return next((root for root in roots if fs.exists(root)), None)


def _remote(source: Location) -> list[str]:
    import fsspec

    url = str(source)
    try:
        fs, path = fsspec.core.url_to_fs(url)
        if _remote_root(fs, path):
            return [url]
        if any(mark in path for mark in "*["):
            objects = sorted(fs.glob(path))
        elif fs.isfile(path):
            return [url]
        else:
            objects = sorted(fs.find(path)) if fs.exists(path) else []
    except Exception as error:  # each file system raises its own
        raise SourceError("source", [f"{url} cannot be reached: {type(error).__name__}: {error}"]) from error
    if not objects:
        raise SourceError("source", [f"nothing is there at {url}"])
    stores = {one.rsplit("/", 1)[0] for one in objects if one.rsplit("/", 1)[-1] in ZARR_ROOTS}
    roots = {one for one in stores if not any(one.startswith(f"{other}/") for other in stores)}
    loose = [one for one in objects if not any(one.startswith(f"{root}/") for root in roots)]
    return [str(fs.unstrip_protocol(one)) for one in sorted([*roots, *loose])]


def _recognised(name: str) -> SourceFile:
    path = name
    if is_address(name):
        import fsspec

        try:
            fs, inner = fsspec.core.url_to_fs(name)
            if _remote_root(fs, inner):
                return SourceFile(name=name, path=name, format="zarr")
            path = fsspec.open_local(name if "::" in name else f"simplecache::{name}")
        except Exception as error:
            raise SourceError("", [f"cannot be fetched: {type(error).__name__}: {error}"]) from error
    if Path(path).is_dir():
        if inside := _special_inside(path):
            raise SourceError("", [f"{inside} is no regular file; copy its content into a file first"])
        return SourceFile(name=name, path=path, format="zarr")
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            what = SPECIAL.get(stat.S_IFMT(mode), "something else")
            raise SourceError("", [f"no regular file ({what}); copy its content into a file first"])
        head = _head(path)
    except OSError as error:
        raise SourceError("", [f"cannot be opened: {error.strerror}"]) from error
    form = _format(head)
    if form is None:
        what = next((text for magic, text in FOREIGN.items() if head.startswith(magic)), "")
        got = "the file is empty" if not head else f"got first bytes {head[:8]!r}" + (f" ({what})" if what else "")
        raise SourceError("", [f"expected NetCDF, GRIB or Zarr by content; {got}"])
    if cut := _cut_off(path, head):
        raise SourceError("", [cut])
    if form == "netcdf" and not head.startswith(b"CDF"):
        refuse_foreign(path, head)
    return SourceFile(name=name, path=path, format=form)


def _special_inside(folder: str) -> str:
    """The first pipe, socket or device in a Zarr store, which a reader of its chunks would wait for; empty if none."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if inside := _special_inside(entry.path):
                    return inside
            elif not entry.is_file() and os.path.exists(entry.path) and not os.path.isdir(entry.path):
                return entry.path
    return ""


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD)


def _format(head: bytes) -> Format | None:
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
    """Length in bytes that the header of a classic NetCDF file promises (NetCDF User's Guide, file format)."""
    version = file.read(4)[3]
    count, offset = (">q", ">q") if version == 5 else (">i", ">i" if version == 1 else ">q")

    def read(form: str) -> int:
        return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])

    def skip_text() -> None:
        file.seek(-(-read(count) // 4) * 4, 1)

    def skip_attributes() -> None:
        read(">i")
        for _ in range(read(count)):
            skip_text()
            width = WIDTHS[read(">i")]
            file.seek(-(-read(count) * width // 4) * 4, 1)

    records = read(count)
    read(">i")
    lengths = []
    for _ in range(read(count)):
        skip_text()
        lengths.append(read(count))
    skip_attributes()
    read(">i")
    fixed, recorded = 0, []
    for _ in range(read(count)):
        skip_text()
        dims = [lengths[read(count)] for _ in range(read(count))]
        skip_attributes()
        size = WIDTHS[read(">i")]
        read(count)
        begin = read(offset)
        if dims[:1] == [0]:  # unlimited
            recorded.append((begin, size * math.prod(dims[1:])))
        else:
            fixed = max(fixed, begin + size * math.prod(dims))
    padded = [size if len(recorded) == 1 else -(-size // 4) * 4 for _, size in recorded]
    ends = [begin + (records - 1) * sum(padded) + size for begin, size in recorded if records > 0]
    return max([fixed, *ends])


WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes of each external type


def _checksum(name: str) -> str:
    if is_address(name):
        import fsspec

        fs, inner = fsspec.core.url_to_fs(name)
        with fs.open(_remote_root(fs, inner) or inner, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest, store = hashlib.sha256(), Path(name).is_dir()
    for path in sorted(path for path in Path(name).rglob("*") if path.is_file()) if store else [Path(name)]:
        if store:
            digest.update(str(path.relative_to(name)).encode() + b"\0")
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
