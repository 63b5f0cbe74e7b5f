"""What an ingest takes in: of which source, by which settings, and which of its files."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from datasets.archive import Archive, Commit, stamps_of
from datasets.catalog import FileSource, Source, find_source
from datasets.credentials import refuse_secrets
from simvp.errors import ConfigError, SourceError, shortened
from simvp.times import duration_words

Location = str | Path
_LISTED = 5  # files that have changed; the rest is counted


def source_and_settings(
    archive: Archive, dataset: str, source: Location | Sequence[Location] | None, **options: Any
) -> tuple[Source, dict[str, Any]]:
    """The source to open, and the settings by which a later ingest opens it again; `options` is of files."""
    refuse_secrets(source)
    if options["select"] is not None:
        options["select"] = {key: _plain(value) for key, value in options["select"].items()}
    kept = archive.source_settings if archive.exists else {}
    if source is None and "source" not in kept:
        if any(options.values()):
            raise ConfigError(
                f"Ingest of {dataset}",
                ["variables, units and select are for files, and no source of files is given"],
                "give the source, or leave them out",
            )
        name = kept.get("catalog", dataset)
        return find_source(name), {"catalog": name}
    stated = {name: value for name, value in options.items() if value is not None}
    inherited = {name: kept[name] for name in options if name in kept}
    files = FileSource(source=kept["source"] if source is None else _absolute(source), **{**inherited, **stated})
    return files, {"source": files.source, **files.settings}


def _plain(value: Any) -> Any:
    """A chosen value as the settings of an archive keep it: numbers of Python, durations and dates in words."""
    if isinstance(value, timedelta | np.timedelta64):
        return duration_words(pd.Timedelta(value).to_timedelta64())
    if isinstance(value, datetime | np.datetime64) or hasattr(value, "calendar"):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def _absolute(source: Location | Sequence[Location]) -> str | list[str]:
    """Places that mean the same from another working directory."""
    if not isinstance(source, str | Path):
        return [str(_absolute(one)) for one in source]
    return str(source) if "://" in str(source) else os.path.abspath(source)


class Intake:
    """What an ingest reads of a source: all of it, or those of its files that are new or have changed since.

    Parameters
    ----------
    source, archive
        From where, and into what.
    manifests
        Folder of what is known of source files.
    whole
        Whether all is read, also what the archive has taken in.

    Attributes
    ----------
    files, unchanged
        Those to be read, and those that are not, for they are as they were when they were read, the last one first.
    """

    def __init__(self, source: Source, archive: Archive, manifests: Path, *, whole: bool) -> None:
        self._source, self._archive, self._manifests = source, archive, manifests
        # Stamp by name, of files that the archive has taken in, as they were then, and of those of the source, now;
        # none of sources that are read whole each time.
        self._noted: dict[str, str] = {}
        self._stamps: dict[str, str] = {}
        names: Sequence[str | Path]
        if isinstance(source, FileSource):
            self._noted = {} if whole else archive.manifest(manifests, source.settings).stamps()
            names = source.files(self._noted)
            self._stamps = stamps_of(names)
        else:
            names = source.files()
        self.unchanged = {n: stamp for n, stamp in reversed(self._noted.items()) if self._stamps.get(n) == stamp}
        self.files = [name for name in names if name not in self.unchanged]
        self._looks = {str(name): _look(str(name)) for name in self.files}

    def open(self) -> xr.Dataset | None:
        """Frames of the files, lazily; None where there is nothing to read.

        They are opened beside one that was read before, so that a file of another series is refused by its name, and
        beside as many as it takes to find every variable of the archive: some lie in files of their own.

        Raises
        ------
        SourceError
            As `datasets.readers.source.open_source`.
        """
        if not isinstance(self._source, FileSource) or not self.unchanged:
            return self._source.open(self._archive.last if self._archive.exists else None)
        if not self.files:
            return None
        wanted, count = set(self._archive.schema.variables), 1
        while True:
            beside = list(self.unchanged)[:count]
            ds = self._source.open_files([str(file) for file in self.files], beside)
            if wanted <= set(ds.data_vars) or len(beside) < count:
                return ds if ds.sizes["time"] else None
            count *= 8  # so that a thousand files without the variable cost few attempts

    def refuse_changed(self) -> None:
        """Refuse files that are not what they were when they were opened: their checksums may be of other values.

        Raises
        ------
        SourceError
            With every file.
        """
        changed = [name for name, look in self._looks.items() if _look(name) != look]
        if changed:
            raise SourceError(
                "source changed while it was read, and no frame was committed",
                shortened([f"{name}: expected it as it was when it was opened" for name in changed], _LISTED),
                "wait until nobody writes it any more, then ingest again",
            )

    def note(self, head: Commit) -> None:
        """Note the files as taken in, the archive's last commit being `head` then."""
        new = {name: stamp for name, stamp in self._stamps.items() if name not in self.unchanged}
        if new and isinstance(self._source, FileSource):
            self._archive.manifest(self._manifests, self._source.settings).add(new, self._noted, head)


def _look(name: str) -> list[tuple[int, ...]]:
    """Which file lies at a path, and when it changed; of a Zarr store, of all its files. An address has none."""
    files = [Path(name), *sorted(Path(name).rglob("*"))] if os.path.isdir(name) else [Path(name)]
    found: list[tuple[int, ...]] = []
    for file in files:
        with suppress(OSError):  # an address, or gone
            state = file.stat()
            found.append((state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return found
