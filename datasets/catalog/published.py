"""Data sets that somebody publishes: files by address and checksum, or out of a Python package.

A file is taken from the directory that SIMVP_DATA names where it lies there, else it is fetched once and kept in the
user's cache (pooch). Whichever way, its checksum decides whether it is the file.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from datasets.catalog.sources import NamedSource
from datasets.readers import checksums, open_source
from datasets.video import DATA_VARIABLE
from simvp.errors import SourceError, Unavailable, fault_around

GIT = "git"  # marks a checksum as the id of a git blob
MANY = 10  # files of which pooch speaks one by one


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file whose content is fixed.

    Parameters
    ----------
    url
        Where it is published, at a version that does not change; a name alone where it is published nowhere.
    checksum
        SHA-256 of the content, or "git:" and the id of the blob, by which git names it: the SHA-1 of "blob ", the size
        in bytes, a zero byte and the content (Chacon and Straub, Pro Git, chapter 10.2). A repository tells the id of a
        file without giving the file. Empty where nobody told it: then any content is taken.
    """

    url: str
    checksum: str = ""

    @property
    def name(self) -> str:
        """Its name, without folders."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def expected(self) -> str:
        """The checksum in words."""
        kind, colon, digest = self.checksum.rpartition(":")
        return f"git blob {digest}" if colon and kind == GIT else f"sha256 {digest}"

    def found(self, path: Path) -> str:
        """The checksum of what lies at `path`, in the words of `expected`."""
        if not self.checksum.startswith(GIT):
            return f"sha256 {checksums([path])[str(path)]}"
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
        return f"git blob {digest.hexdigest()}"


def _open_all(files: Sequence[Path]) -> xr.Dataset:
    return open_source(list(files))


@dataclass(frozen=True, kw_only=True)
class PublishedSource(NamedSource):
    """Published files, checked one by one.

    Parameters
    ----------
    published
        The files.
    read
        Makes the canonical Dataset of them.
    prepared
        One file with the same frames, of which `read` makes the same; taken instead where it lies in the directory
        itself that SIMVP_DATA names.
    """

    folder: str = "./"
    published: tuple[PublishedFile, ...]
    read: Callable[[Sequence[Path]], xr.Dataset] = field(default=_open_all, repr=False)
    prepared: PublishedFile | None = None

    @property
    def wanted(self) -> str:
        """The files; they are not asked for where there is a network."""
        instead = f", or {self.prepared.name} in the directory itself" if self.prepared else ""
        they = "they are" if len(self.published) > 1 else "it is"
        return f"{self._named}{instead}; where {they} not there, {they} fetched"

    def open(self, after: Any = None) -> xr.Dataset:
        """Every frame of the files."""
        return self._described(self.read(self.files()))

    def present(self) -> bool:
        """Whether each of the files is in either place."""
        if self.prepared is not None and _in_directory(self.prepared.name) is not None:
            return True
        places = [_in_directory(self._below(file)) or self._cache / file.name for file in self.published]
        return all(path.is_file() for path in places)

    def files(self) -> list[Path]:
        """The files on this machine, fetched if need be.

        Raises
        ------
        SourceError
            Another content than expected, or no network and no file.
        """
        if self.prepared is not None and (path := _in_directory(self.prepared.name)) is not None:
            _check(self.prepared, path, "replace or remove it")
            return [path]
        here = {file: _in_directory(self._below(file)) for file in self.published}
        for file, path in here.items():
            if path is not None:
                _check(file, path, f"replace it by {file.url}, or unset {DATA_VARIABLE} to have it fetched")
        absent = [file for file, path in here.items() if path is None and not (self._cache / file.name).is_file()]
        with _few_words(absent):
            return [path or self._fetched(file) for file, path in here.items()]

    def _fetched(self, file: PublishedFile) -> Path:
        """The file in the cache."""
        import pooch

        git = file.checksum.startswith(GIT)  # which pooch does not know
        known = f"sha256:{file.checksum}" if file.checksum and not git else None
        try:
            path = Path(pooch.retrieve(file.url, known, fname=file.name, path=self._cache))
        except ValueError as error:  # of pooch, which keeps nothing then
            reason = f"{file.url} gives another content than expected: {error}"
            raise SourceError(f"file {file.name}", [reason], "fetch it again, or report that it was changed") from error
        except Exception as error:  # of requests, urllib3 or pooch, by where the network fails
            directory = os.environ.get(DATA_VARIABLE)
            where = f"{Path(directory, self.folder)} has no such file" if directory else f"{DATA_VARIABLE} is not set"
            fault = fault_around(error, f"file {file.name}")
            if fault is not None and not isinstance(fault, Unavailable):  # of the disk, not of the network
                raise fault from error
            reason = f"cannot be fetched from {file.url} ({type(error).__name__}), and {where}"
            if fault is not None:
                raise Unavailable(f"file {file.name}", [reason], f"try again later, or {self._remedy}") from error
            raise SourceError(f"file {file.name}", [reason], self._remedy) from error
        if git:
            try:
                _check(file, path, f"fetch it again; if that gives the same, {file.url} gives another file now")
            except SourceError:
                path.unlink()
                raise
        return path

    @property
    def _remedy(self) -> str:
        into = "a directory" if self.folder == "./" else f"the folder {self.folder.rstrip('/')} of a directory"
        to = "it" if self.folder == "./" else "that directory"
        instead = f"; or put {self.prepared.name} into the directory itself" if self.prepared else ""
        return f"put {self._named} into {into} and set {DATA_VARIABLE} to {to}{instead}"

    @property
    def _named(self) -> str:
        """The files in words."""
        names = [file.name for file in self.published]
        return " and ".join(names) if len(names) < 3 else f"{names[0]} .. {names[-1]} ({len(names)} files)"

    def _below(self, file: PublishedFile) -> str:
        return f"{self.folder}{file.name}"

    @property
    def _cache(self) -> Path:
        import pooch

        return Path(pooch.os_cache("simvp")) / self.folder


@dataclass(frozen=True, kw_only=True)
class PackagedSource(NamedSource):
    """One file out of a Python package.

    Parameters
    ----------
    package, distribution
        Its name where it is imported, and where it is installed.
    path
        Of the file, in the package.
    sha256
        Of the file.
    """

    package: str
    distribution: str
    path: str
    sha256: str

    @property
    def wanted(self) -> str:
        """The file and its package."""
        return f"{Path(self.path).name} of the Python package {self.distribution}"

    def open(self, after: Any = None) -> xr.Dataset:
        """Every frame of the file."""
        return self._described(open_source(self.files()[0]))

    def present(self) -> bool:
        """Whether the package is installed, and has the file."""
        place = self._place()
        return place is not None and place.is_file()

    def files(self) -> list[Path]:
        """The file.

        Raises
        ------
        SourceError
            No such package, or one with another file.
        """
        place = self._place()
        if place is None or not place.is_file():
            reason = "it is not installed" if place is None else f"it has no file {self.path}"
            raise SourceError(
                f"Python package {self.distribution}", [reason], f"python -m pip install {self.distribution}"
            )
        file = PublishedFile(url=self.path, checksum=self.sha256)
        _check(file, place, f"install the version of {self.distribution} that requirements.lock names")
        return [place]

    def _place(self) -> Path | None:
        spec = find_spec(self.package)
        return Path(spec.origin).parent / self.path if spec is not None and spec.origin else None


def _in_directory(name: str) -> Path | None:
    directory = os.environ.get(DATA_VARIABLE)
    path = Path(directory or "", name)
    return path if directory and path.is_file() else None


def _check(file: PublishedFile, path: Path, remedy: str) -> None:
    """Refuse another content than the one that was published."""
    if file.checksum and (found := file.found(path)) != file.expected:
        raise SourceError(f"file {path}", [f"expected {file.expected}, got {found}"], remedy)


@contextmanager
def _few_words(files: Sequence[PublishedFile]) -> Iterator[None]:
    """Of many files, one line instead of pooch's own for each."""
    import pooch

    many, logger = len(files) > MANY, pooch.get_logger()

    def matters(record: logging.LogRecord) -> bool:
        return not many or record.levelno >= logging.WARNING

    if many:
        logger.info("Downloading %d files from '%s'.", len(files), files[0].url.rsplit("/", 1)[0])
    logger.addFilter(matters)
    try:
        yield
    finally:
        logger.removeFilter(matters)
