"""What an ingest reads of a source: all of it, or those of its files that are new or have changed since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import xarray as xr

from datasets.archive import Archive, Commit, Ledger, stamps_of
from datasets.catalog import FileSource, Source


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The files to read, and what is known of the others.

    Parameters
    ----------
    source, archive
        From where, and into what.
    files, skipped
        Those to be read, and how many are not, for they are as they were when they were read.
    ledger
        Where the files are noted afterwards; None for a source that is read whole each time.
    known, stamps
        Stamp by name: of files that the archive has taken in, as they were then, and of those of the source, now.
    """

    source: Source
    archive: Archive
    files: Sequence[str | Path]
    skipped: int = 0
    ledger: Ledger | None = None
    known: dict[str, str] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, archive: Archive, *, whole: bool) -> "Reading":
        """What of `source` the `archive` has not taken in; `whole`: all there is."""
        if not isinstance(source, FileSource):
            return cls(source=source, archive=archive, files=source.files())
        ledger = archive.ledger(source.way)
        known = {} if whole else ledger.known()
        names = source.files(known)
        stamps = stamps_of(names)
        files = [name for name in names if name not in stamps or known.get(name) != stamps[name]]
        skipped = len(names) - len(files)
        return cls(
            source=source, archive=archive, files=files, skipped=skipped, ledger=ledger, known=known, stamps=stamps
        )

    def open(self) -> xr.Dataset | None:
        """Frames of the files, lazily; None where there is nothing to read.

        They are opened beside one that was read before, so that a file of another series is refused by its name, and
        beside as many as it takes to find every variable of the archive: some lie in files of their own.

        Raises
        ------
        SourceError
            As `datasets.readers.source.open_source`.
        """
        if not isinstance(self.source, FileSource) or not self.skipped:
            return self.source.open(self.archive.last if self.archive.exists else None)
        if not self.files:
            return None
        wanted, count = set(self.archive.shelf.variables), 1
        while True:
            beside = list(islice(self._held(), count))
            ds = self.source.open_files([str(file) for file in self.files], beside)
            if wanted <= set(ds.data_vars) or len(beside) < count:
                return ds if ds.sizes["time"] else None
            count *= 8

    def note(self, head: Commit) -> None:
        """Note the files as taken in, the archive's last commit being `head` then."""
        new = {str(name): self.stamps[str(name)] for name in self.files if str(name) in self.stamps}
        if self.ledger is not None and new:
            self.ledger.add(new, self.known, head)

    def _held(self) -> Iterator[str]:
        """Files of the source that are as they were when they were read, the last one first."""
        return (name for name in reversed(self.known) if self.stamps.get(name) == self.known[name])
