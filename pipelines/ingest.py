"""Ingest: bring what a source has into the archive of a data set."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from datasets.archive import Archive, Commit, shown, stamps_of
from datasets.catalog import FileSource, Source, find_source
from datasets.credentials import refuse_secrets
from datasets.readers import checksums, file_of
from datasets.store import disk
from datasets.workers import workers
from pipelines.home import Home
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from simvp.contract import percent
from simvp.coords import Step
from simvp.errors import ConfigError, SourceError, shortened
from simvp.times import duration_words

logger = logging.getLogger(__name__)

Location = str | Path
LISTED = 5  # frames that jump; the rest is counted


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What one ingest found and changed.

    Parameters
    ----------
    dataset, path
        Name of the data set, and its archive.
    files_read, files_known
        Files of the source that were read, and those that were not, for they are as they were when they were read.
    commit, sequence
        Head of the archive afterwards; the same as before where nothing changed.
    offered
        Frames that the source gave.
    appended, filled, replaced, unchanged
        Of these: new at the end, late ones put into their slots, replaced on request, there already and equal.
        The rest had no values.
    snapped
        Of these: those whose times jitter around the step, and are labelled with the time of their slot.
    length, absent
        Slots of the archive, and how many of them hold no frame.
    first, last, step
        Time span and step of the archive.
    variables
        Names of the variables.
    values
        By variable, lowest, highest, mean and missing share of the frames that the source gave, and marks of missing
        values that no attribute declares; see `datasets.archive.summary.Summary.record`.
    jumps
        Frames that are unlike the others, in words, with their files.
    """

    dataset: str
    path: str | Path
    files_read: int
    files_known: int
    commit: str
    sequence: int
    offered: int
    appended: int
    filled: int
    replaced: int
    unchanged: int
    snapped: int
    length: int
    absent: int
    first: str
    last: str
    step: str
    variables: tuple[str, ...]
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    jumps: tuple[str, ...] = ()

    @property
    def table(self) -> list[dict[str, str]]:
        """Rows to show: what, value."""
        files = self.files_read + self.files_known
        rows = {
            "archive": str(self.path),
            "variables": ", ".join(self.variables),
            "time span": f"{self.first} .. {self.last}, every {self.step}",
            "frames": f"{self.length - self.absent} of {self.length} ({self.absent} absent)",
            **({"files read": f"{self.files_read} of {files}"} if files else {}),
            "offered": str(self.offered),
            "appended": str(self.appended),
            "filled late": str(self.filled),
            "replaced": str(self.replaced),
            "unchanged": str(self.unchanged),
            **({"moved in time": f"{self.snapped} onto whole steps of {self.step}"} if self.snapped else {}),
            **{f"values of {name}": _shown(record) for name, record in self.values.items()},
            **({"frames that jump": "; ".join(self.jumps)} if self.jumps else {}),
            "commit": f"{self.commit} (number {self.sequence})",
        }
        return [{"what": what, "value": value} for what, value in rows.items()]

    def __str__(self) -> str:
        width = max(len(row["what"]) for row in self.table)
        return "\n".join(f"{row['what']:<{width}}  {row['value']}" for row in self.table)


@stage
def ingest(
    home: Home,
    dataset: str,
    *,
    source: Location | Sequence[Location] | None = None,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
    step: str | None = None,
    replace: bool = False,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Append what is new in the source to the archive of `dataset`, and make the archive if there is none.

    Parameters
    ----------
    dataset
        A name of the catalogue, or any name together with a source of files.
    source
        Files, folder, glob or URL, which names its secrets (`datasets.credentials`). None: as at the first
        ingest, or the catalogue's source of that name. Another source than at the first ingest is read this once.
    variables, units, select
        Of the files, as in `datasets.readers.open_source`: variables to keep, units that the files do not state, one
        value of every further axis.
    step
        Words such as "1h" or "1 month"; needed for a source with a single frame, or with times that jitter too much to
        tell.
    replace
        Take frames that differ from the archived ones; then all files are read, also those that were read before and
        have neither another size nor another time of change.
    scheduler
        Address of the dask scheduler whose workers read and write; see `datasets.workers.workers`.
    progress
        Of "ingest", in frames.

    Raises
    ------
    Refusal
        SourceError, ArchiveError or ConfigError with every reason, among them a scheduler that does not answer; nothing
        is written.
    """
    archive = Archive(home.archive(dataset))
    chosen, settings = _source(archive, dataset, source, variables=variables, units=units, select=select)
    stated = None if step is None else Step.parse(step)
    # While a source that grows is asked for what follows the last frame, nobody else may append.
    with archive.lock() if archive.exists else nullcontext():
        reading = _reading(home, dataset, archive, chosen, stated, replace=replace)
        ds = reading.open()
        if ds is None:
            commit = archive.unchanged
        else:
            with workers(scheduler) as team:
                commit = archive.append(
                    ds,
                    replace=replace,
                    sources=checksums(reading.files, team),
                    unchanged=reading.refuse_changed,
                    step=stated,
                    source_settings=settings,
                    workers=team,
                    progress=partial(progress, "ingest"),
                )
        with archive.lock():
            reading.note(commit)
        _record(home, dataset, {"settings": archive.source_settings, "commit": commit.id, "length": commit.length})
        schema, absent = archive.schema, archive.absent
    offered = 0 if ds is None else ds.sizes["time"]
    if empty := offered - commit.taken:
        where = [f"{key} is {value}" for key, value in settings.get("select", {}).items()]
        named = f" where {', '.join(where)}" if where else ""
        logger.warning("%s: %d of %d times of the source have no value%s", dataset, empty, offered, named)
    return IngestReport(
        dataset=dataset,
        path=archive.path,
        files_read=len(reading.files),
        files_known=len(reading.unchanged),
        commit=commit.id,
        sequence=commit.sequence,
        offered=offered,
        appended=commit.appended,
        filled=commit.filled,
        replaced=commit.replaced,
        unchanged=commit.unchanged,
        snapped=commit.snapped,
        length=schema.length,
        absent=absent,
        first=shown(schema.origin),
        last=shown(schema.times(schema.length - 1, schema.length)[0]),
        step=str(schema.step),
        variables=tuple(schema.variables),
        values={
            name: {**record, "units": str(schema.variables[name][1].get("units", ""))}
            for name, record in commit.values.items()
        },
        jumps=tuple(_jumps(ds, commit.jumps)),
    )


def refuse_unreadable(
    home: Home,
    dataset: str,
    *,
    source: Location | Sequence[Location] | None = None,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
    step: str | None = None,
) -> None:
    """Refuse what `ingest` with the same settings would refuse of the source, by its headers; nothing is written.

    Raises
    ------
    Unavailable
        A network that may be back when `ingest` is tried again.
    Refusal
        As `ingest`.
    """
    archive = Archive(home.archive(dataset))
    chosen, _ = _source(archive, dataset, source, variables=variables, units=units, select=select)
    stated = None if step is None else Step.parse(step)
    ds = _reading(home, dataset, archive, chosen, stated).open()
    if ds is not None:
        ds.close()


def files_waiting(home: Home, dataset: str) -> int:
    """How many files of the source an ingest would read now; 0 where its source is no files, or at an address.

    Raises
    ------
    SourceError
        There are none at the source any more.
    """
    archive = Archive(home.archive(dataset))
    if not archive.exists or "source" not in archive.source_settings:
        return 0
    places = archive.source_settings["source"]
    if any("://" in place for place in ([places] if isinstance(places, str) else places)):
        return 0
    source, _ = _source(archive, dataset, None, variables=None, units=None, select=None)
    return len(_reading(home, dataset, archive, source, None).files)


def _reading(
    home: Home, dataset: str, archive: Archive, source: Source, step: Step | None, *, replace: bool = False
) -> "_Reading":
    whole = replace or not archive.exists or (step is not None and str(step) != str(archive.step))
    return _Reading(source, archive, home.manifests(dataset), whole=whole)


class _Reading:
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
                shortened([f"{name}: expected it as it was when it was opened" for name in changed], LISTED),
                "wait until nobody writes it any more, then ingest again",
            )

    def note(self, head: Commit) -> None:
        """Note the files as taken in, the archive's last commit being `head` then."""
        new = {name: stamp for name, stamp in self._stamps.items() if name not in self.unchanged}
        if new and isinstance(self._source, FileSource):
            self._archive.manifest(self._manifests, self._source.settings).add(new, self._noted, head)


def recorded(home: Home, dataset: str) -> dict[str, Any]:
    """How the archive was first ingested ("settings"), and its "commit" and "length" after the last ingest.

    Kept beside it, for an archive that cannot say so itself any more; empty where it was ingested on another machine.
    """
    try:
        record = json.loads(_record_at(home, dataset).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _record(home: Home, dataset: str, what: Mapping[str, Any]) -> None:
    if recorded(home, dataset) != what:
        disk.write(
            _record_at(home, dataset), json.dumps(dict(what)).encode(), private=True
        )  # an address may hold a password


def _look(name: str) -> list[tuple[int, ...]]:
    """Which file lies at a path, and when it changed; of a Zarr store, of all its files. An address has none."""
    files = [Path(name), *sorted(Path(name).rglob("*"))] if os.path.isdir(name) else [Path(name)]
    found: list[tuple[int, ...]] = []
    for file in files:
        with suppress(OSError):  # an address, or gone
            state = file.stat()
            found.append((state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return found


def _record_at(home: Home, dataset: str) -> Path:
    return home.manifests(dataset) / "archive.json"


def _jumps(ds: xr.Dataset | None, jumps: Sequence[tuple[str, Any, str]]) -> list[str]:
    """Frames that jump, the first of them with their files."""
    lines = []
    for name, time, text in jumps[:LISTED]:
        file = file_of(ds, name, time) if ds is not None else ""
        lines.append(f"{name} at {shown(time)}{f' in {file}' if file else ''}: {text}")
    lines += [f"and {len(jumps) - LISTED} more like these"] if len(jumps) > LISTED else []
    for line in lines:
        logger.warning("%s", line)
    return lines


def _shown(record: Mapping[str, Any]) -> str:
    """Lowest, highest, mean and missing share in words."""
    units = f" {record['units']}" if record.get("units", "1") != "1" else ""
    share = record["missing"]
    missing = "none missing" if not share else f"{percent(share)} missing"
    marks = "".join(
        f", {number} taken for missing ({count} values)" for number, count in record.get("marks", {}).items()
    )
    if "lowest" not in record:
        return "all missing"
    return f"{record['lowest']:g} to {record['highest']:g}{units}, mean {record['mean']:g}, {missing}{marks}"


def _source(
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
