"""Which files a source consists of, here or at an address, and of what format each is."""

import glob
import hashlib
import logging
import os
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.credentials import with_secrets, without_values
from datasets.readers.formats import DATA_SUFFIXES, Format, format_of, head_of, told_by
from datasets.readers.zarr_store import refuse_outside
from datasets.workers import Workers
from simvp.errors import SourceError, Unavailable, fault_around, shortened
from simvp.settings import shown_address, without_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

logger = logging.getLogger(__name__)

Location = str | Path

ZARR_ROOTS = ("zarr.json", ".zmetadata", ".zgroup")
_UNPACK = "unpack it into a folder first"
# File systems of fsspec that are not asked. References are those of kerchunk and of VirtualiZarr.
SYSTEMS = {
    "reference": "its references can name any file of this machine and any address; "
    "open it with xarray where you trust it, and write the values as Zarr or NetCDF",
    **dict.fromkeys(("zip", "tar", "libarchive"), _UNPACK),
}
TOGETHER = 8  # files of which a worker makes the checksums in one go
FEW, AT_ONCE = 32, 4  # files that are looked into one after the other; threads that look into more


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file, or one Zarr store, of a source.

    Parameters
    ----------
    name
        As the user knows it: a path or an address.
    path
        What to open: a local path, or the address of a Zarr store, with the secrets that its name only names.
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
    every = [str(name) for name in names]
    # To look into an HDF5 file takes another process a millisecond: many are looked into side by side.
    with ThreadPoolExecutor(min(AT_ONCE, 1 + len(every) // FEW)) as threads:
        # What lies at an address is fetched once for a thread, and this one reads it later.
        side_by_side = threads.map if not any(map(is_address, every)) else map
        found = list(side_by_side(_recognised_or_not, every))
    files = [one for one in found if isinstance(one, SourceFile)]
    refusals = [(name, one) for name, one in zip(every, found, strict=True) if isinstance(one, SourceError)]
    reasons = [f"{shown_address(name)}: {reason}" for name, refusal in refusals for reason in refusal.reasons]
    formats = sorted({file.format for file in files})
    if len(formats) > 1:
        examples = [f"{f} ({next(file.name for file in files if file.format == f)})" for f in formats]
        reasons.append("formats are mixed: " + ", ".join(examples) + "; read them one by one")
    if reasons:
        raise SourceError("source cannot be read", shortened(reasons, 20), "give files that are whole, of one format")
    return files


def checksums(files: Iterable[Location], workers: Workers | None = None) -> dict[str, str]:
    """sha256 (hex) of each file; of a local Zarr store over all its objects, of a remote one over its root metadata.

    Workers take a few files each, but for those at an address: this process reads a copy of these.
    """
    names = [str(file) for file in files]
    if workers is None or any(map(is_address, names)):
        return {name: _checksum(name) for name in names}
    parts = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    return {
        name: digest for part in workers.each(checksums, ((part,) for part in parts)) for name, digest in part.items()
    }


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
            raise SourceError("source", [f"no file matches {source!r}"], "check the pattern")
        return [file for match in matches for file in _inside(match, noted)]
    nearest = next((parent for parent in Path(path).absolute().parents if parent.exists()), Path("/"))
    raise SourceError("source", [f"there is no file or folder {source!r}; {nearest} is there"], "check the path")


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
        raise SourceError(
            "source", [f"folder {path!r} holds no NetCDF, GRIB or Zarr data"], "give a folder or files with some"
        )
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
    return os.path.isfile(entry.path) and told_by(head_of(entry.path)) is not None


def _is_store(folder: str) -> bool:
    return any(os.path.isfile(f"{folder}/{name}") for name in ZARR_ROOTS)


def _remote_root(fs: "AbstractFileSystem", path: str) -> str | None:
    """Metadata at the root of a Zarr store on a file system of fsspec; None where there is no store."""
    roots = [f"{path.rstrip('/')}/{name}" for name in ZARR_ROOTS]
    return next((root for root in roots if _is_there(fs, root)), None)


def _is_there(fs: "AbstractFileSystem", path: str) -> bool:
    """Whether a file system has something there; over HTTP fsspec takes a server that is away for one without it."""
    if not {"http", "https"} & {fs.protocol, *fs.protocol}:
        return bool(fs.exists(path))
    try:
        return bool(fs.exists(path, strict=True))
    except Exception as error:  # of aiohttp
        if isinstance(fault_around(error, path), Unavailable):
            raise
        return False  # not found, or not for us


def _refuse_system(url: str) -> None:
    """Refuse file systems of fsspec that unpack, or that read whatever a file of theirs names."""
    for part in url.split("::"):
        if (system := part.partition("://")[0].lower()) in SYSTEMS:
            raise SourceError("source", [f"{shown_address(url)}: {system} is not read: {SYSTEMS[system]}"])


def _remote(source: Location) -> list[str]:
    import fsspec

    url = str(source)
    _refuse_system(url)
    address = with_secrets(url)
    try:
        fs, path = fsspec.core.url_to_fs(address)
        if _remote_root(fs, path):
            return [url]
        if any(mark in path for mark in "*["):
            objects = sorted(fs.glob(path))
        elif _is_there(fs, path) and fs.isfile(path):
            return [url]
        else:
            objects = sorted(fs.find(path)) if fs.exists(path) else []
    except Exception as error:  # each file system raises its own
        reason = f"{address} cannot be reached: {type(error).__name__}: {error}"
        raise fault_around(error, f"source {shown_address(url)}") or SourceError(
            "source", [without_secrets(reason, address)]
        ) from error
    if not objects:
        raise SourceError("source", [f"nothing is there at {shown_address(url)}"], "check the address")
    stores = {one.rsplit("/", 1)[0] for one in objects if one.rsplit("/", 1)[-1] in ZARR_ROOTS}
    roots = {one for one in stores if not any(one.startswith(f"{other}/") for other in stores)}
    loose = [one for one in objects if not any(one.startswith(f"{root}/") for root in roots)]
    return [without_values(str(fs.unstrip_protocol(one)), url) for one in sorted([*roots, *loose])]


def _recognised_or_not(name: str) -> SourceFile | SourceError:
    try:
        return _recognised(name)
    except SourceError as error:
        return error


def _recognised(name: str) -> SourceFile:
    path = name
    if is_address(name):
        import fsspec

        address = with_secrets(name)
        try:
            fs, inner = fsspec.core.url_to_fs(address)
            if _remote_root(fs, inner):
                return SourceFile(name=name, path=address, format="zarr")
            path = _copy_of(address)
        except Exception as error:
            reason = f"cannot be fetched: {type(error).__name__}: {error}"
            raise fault_around(error, f"source {shown_address(name)}") or SourceError(
                "", [without_secrets(reason, address)]
            ) from error
    if Path(path).is_dir():
        refuse_outside(path)
        return SourceFile(name=name, path=path, format="zarr")
    return SourceFile(name=name, path=path, format=format_of(path))


def _copy_of(address: str) -> str:
    """Path of a copy on this machine, fetched once in this process.

    fsspec would take the beginning of a file, left by a connection that broke off, for the whole of it the next time.
    """
    import fsspec

    address = address if "::" in address else f"simplecache::{address}"
    try:
        (copy,) = fsspec.open_local([address])  # of one address with a "?" it would make a list too
        return str(copy)
    except Exception:
        cache, inner = fsspec.core.url_to_fs(address)
        if part := getattr(cache, "_check_file", lambda path: None)(inner):
            os.unlink(part if isinstance(part, str) else part[1])
        raise


def _checksum(name: str) -> str:
    if is_address(name):
        import fsspec

        address = with_secrets(name)
        fs, inner = fsspec.core.url_to_fs(address)
        root = _remote_root(fs, inner)
        # Of the copy that is read: what lies at the address may be another file by now.
        with fs.open(root, "rb") if root else open(_copy_of(address), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest, store = hashlib.sha256(), Path(name).is_dir()
    for path in sorted(path for path in Path(name).rglob("*") if path.is_file()) if store else [Path(name)]:
        if store:
            digest.update(str(path.relative_to(name)).encode() + b"\0")
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
