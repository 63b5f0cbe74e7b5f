"""Ingest: bring what a source has into the archive of a data set."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.archive import Archive, shown
from datasets.catalog import FileSource, Source, find_source
from datasets.readers import checksums
from pipelines.home import Home
from pipelines.reading import Reading
from simvp.coords import Step, parse_times
from simvp.errors import ConfigError

Location = str | Path


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
    length, absent
        Slots of the archive, and how many of them hold no frame.
    first, last, step
        Time span and step of the archive.
    variables
        Names of the variables.
    """

    dataset: str
    path: Path
    files_read: int
    files_known: int
    commit: str
    sequence: int
    offered: int
    appended: int
    filled: int
    replaced: int
    unchanged: int
    length: int
    absent: int
    first: str
    last: str
    step: str
    variables: tuple[str, ...]

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
            "commit": f"{self.commit} (number {self.sequence})",
        }
        return [{"what": what, "value": value} for what, value in rows.items()]

    def __str__(self) -> str:
        width = max(len(row["what"]) for row in self.table)
        return "\n".join(f"{row['what']:<{width}}  {row['value']}" for row in self.table)


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
    progress: Callable[[str, int, int], None] | None = None,
) -> IngestReport:
    """Append what is new in the source to the archive of `dataset`, and make the archive if there is none.

    Parameters
    ----------
    dataset
        A name of the catalogue, or any name together with a source of files.
    source
        Files, folder, glob or URL. None: as at the first ingest, or the catalogue's source of that name. Another source
        than at the first ingest is read this once.
    variables, units, select
        Of the files: variables to keep, units that the files do not state, one value of every further axis.
    step
        Words such as "1h" or "1 month"; needed for a source with a single frame.
    replace
        Take frames that differ from the archived ones; then all files are read, also those that were read before and
        have neither another size nor another time of change.
    progress
        Called as ``progress("ingest", frames done, frames)``.

    Raises
    ------
    Refusal
        SourceError, ArchiveError or ConfigError with every reason; nothing is written.
    """
    archive = Archive(home.archive(dataset))
    chosen, recipe = _choose(archive, dataset, source, variables, units, select)
    stated = None if step is None else Step.parse(step)
    # While a source that grows is asked for what follows the last frame, nobody else may append.
    with archive.lock() if archive.exists else nullcontext():
        whole = replace or not archive.exists or (stated is not None and str(stated) != str(archive.step))
        reading = Reading.of(chosen, archive, whole=whole)
        ds = reading.open()
        if ds is None:
            commit = archive.unchanged
        else:
            commit = archive.append(
                ds,
                replace=replace,
                sources=checksums(reading.files),
                step=stated,
                recipe={**recipe, "until": shown(ds["time"].values[-1])},
                progress=None if progress is None else lambda done, total: progress("ingest", done, total),
            )
        with archive.lock():
            reading.note(commit)
        shelf, absent = archive.shelf, int((~archive.present).sum())
    return IngestReport(
        dataset=dataset,
        path=archive.path,
        files_read=len(reading.files),
        files_known=reading.skipped,
        commit=commit.id,
        sequence=commit.sequence,
        offered=0 if ds is None else ds.sizes["time"],
        appended=commit.appended,
        filled=commit.filled,
        replaced=commit.replaced,
        unchanged=commit.unchanged,
        length=shelf.length,
        absent=absent,
        first=shown(shelf.origin),
        last=shown(shelf.times(shelf.length - 1, shelf.length)[0]),
        step=str(shelf.step),
        variables=tuple(shelf.variables),
    )


def complete(home: Home, dataset: str) -> bool:
    """Whether there is an archive and its first ingest came to its end (it was not killed between two blocks)."""
    archive = Archive(home.archive(dataset))
    until = archive.recipe.get("until") if archive.exists else None
    if until is None:
        return archive.exists
    last = archive.last
    return bool(last >= parse_times(until, getattr(last, "calendar", "proleptic_gregorian"))[0])


def _choose(
    archive: Archive,
    dataset: str,
    source: Location | Sequence[Location] | None,
    variables: Sequence[str] | None,
    units: Mapping[str, str] | None,
    select: Mapping[str, Any] | None,
) -> tuple[Source, dict[str, Any]]:
    """The source to open, and the recipe by which it is found again."""
    known = archive.recipe if archive.exists else {}
    if source is None and "source" not in known:
        if variables or units or select:
            raise ConfigError(
                f"Ingest of {dataset}",
                ["variables, units and select are for files, and no source of files is given"],
                "give the source, or leave them out",
            )
        name = known.get("catalog", dataset)
        return find_source(name), {"catalog": name}
    recipe: dict[str, Any] = {
        "source": known["source"] if source is None else _absolute(source),
        "variables": known.get("variables") if variables is None else list(variables),
        "units": known.get("units", {}) if units is None else dict(units),
        "select": known.get("select", {}) if select is None else dict(select),
    }
    files = FileSource(
        source=recipe["source"], variables=recipe["variables"], units=recipe["units"], select=recipe["select"]
    )
    return files, recipe


def _absolute(source: Location | Sequence[Location]) -> str | list[str]:
    """Places that mean the same from another working directory."""
    if not isinstance(source, str | Path):
        return [str(_absolute(one)) for one in source]
    return str(source) if "://" in str(source) else os.path.abspath(source)
