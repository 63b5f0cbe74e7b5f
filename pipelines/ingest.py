"""Ingest: bring what a source has into the archive of a data set."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from datasets.archive import Archive, Commit, shown
from datasets.catalog import Source
from datasets.readers import checksums, file_of
from datasets.store import disk
from datasets.workers import workers
from pipelines.home import Home
from pipelines.intake import Intake, Location, source_and_settings
from pipelines.known import take_in
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from simvp.contract import percent
from simvp.coords import Step

logger = logging.getLogger(__name__)

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
    known
        By source of known inputs, in words: variables, times, and what is new.
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
    known: Mapping[str, str] = field(default_factory=dict)

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
            **{f"known input {name}": words for name, words in self.known.items()},
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
    known: Mapping[str, Mapping[str, Any]] | None = None,
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
    known
        Settings of each source of known future inputs by its name (`pipelines.training.SourceSettings`); by default
        those that were read before. What differs from what is kept takes its place.
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
    chosen, settings = source_and_settings(archive, dataset, source, variables=variables, units=units, select=select)
    stated = None if step is None else Step.parse(step)
    # While a source that grows is asked for what follows the last frame, nobody else may append.
    with archive.lock() if archive.exists else nullcontext():
        reading = _intake(home, dataset, archive, chosen, stated, replace=replace)
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
    inputs = take_in(home, dataset, known)
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
        known={name: _known_words(home, dataset, name, taken) for name, taken in inputs.items()},
    )


def _known_words(home: Home, dataset: str, name: str, commit: Commit) -> str:
    """What there is of a source of known inputs, and what is new."""
    archive = Archive(home.known(dataset, name))
    schema, times = archive.schema, archive.times[[0, -1]]
    new = f"{commit.appended} new, {commit.filled} filled, {commit.replaced} replaced"
    return f"{', '.join(schema.variables)}: {shown(times[0])} .. {shown(times[1])}, every {schema.step}; {new}"


def refuse_unreadable(
    home: Home,
    dataset: str,
    *,
    source: Location | Sequence[Location] | None = None,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    select: Mapping[str, Any] | None = None,
    step: str | None = None,
    known: Mapping[str, Mapping[str, Any]] | None = None,
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
    chosen, _ = source_and_settings(archive, dataset, source, variables=variables, units=units, select=select)
    stated = None if step is None else Step.parse(step)
    ds = _intake(home, dataset, archive, chosen, stated).open()
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
    source, _ = source_and_settings(archive, dataset, None, variables=None, units=None, select=None)
    return len(_intake(home, dataset, archive, source, None).files)


def _intake(
    home: Home, dataset: str, archive: Archive, source: Source, step: Step | None, *, replace: bool = False
) -> Intake:
    whole = replace or not archive.exists or (step is not None and str(step) != str(archive.step))
    return Intake(source, archive, home.manifests(dataset), whole=whole)


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
