"""Damaged stores made whole again, as far as that is honest.

An archive is what its sources are: frames are read again, and count where they have the digest that was recorded.
Scores follow from forecasts and archive, so they are set aside and made again. What was issued is issued: in a store of
forecasts nothing is ever made again, and only a lost branch is put back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from datasets.archive import Archive, files_noted, regain, regain_digests
from datasets.catalog import FileSource, Source, find_source
from datasets.readers import checksums
from datasets.store import Kept, Store, put_back
from pipelines.home import Home
from pipelines.ingest import ingest, recorded
from pipelines.integrity import Reading, StoreReport, read_store
from pipelines.progress import Progress
from simvp.errors import ArchiveError, Refusal
from simvp.places import is_address
from simvp.times import name_time

COPY = "put the folder back from a copy"
AGAIN = "or set it aside and ingest the sources that are there"


@dataclass
class Healing:
    """One store on its way.

    Attributes
    ----------
    first, reading
        As it was found, and as it is.
    done, lost
        In words.
    """

    first: Reading
    reading: Reading
    progress: Progress
    done: list[str]
    lost: list[str]

    @classmethod
    def of(cls, reading: Reading, progress: Progress) -> "Healing":
        """Nothing done yet."""
        return cls(reading, reading, progress, [], [])

    def look_again(self) -> None:
        """Read it again."""
        self.reading = read_store(self.first.name, self.first.path, self.progress)

    def put_back(self, kept: Kept) -> None:
        """Let readers see a commit, and look again."""
        put_back(Store(self.first.path), kept.snapshot)
        when = kept.written.isoformat(timespec="seconds") if kept.written else "an unknown time"
        self.done.append(f"the branch main names commit {kept.snapshot} of {when}")
        self.look_again()

    @property
    def report(self) -> StoreReport:
        """What was found, and how it ended."""
        after, before = self.reading.report, self.first.report
        healed = not self.reading.faults and not self.lost
        return replace(after, faults=before.faults, done=tuple(self.done), lost=tuple(self.lost), healed=healed)


def heal_archive(home: Home, dataset: str, reading: Reading, progress: Progress) -> StoreReport:
    """Read what is lost again from its sources.

    1. A lost branch is put back to the newest commit, if every commit that is there is whole.
    2. Lost digests are made again of the frames, where all digests together are those that were committed.
    3. Chunks are written anew of which a source has every frame with the recorded digest.
    4. Where the last commit itself cannot be read, the archive goes back to the newest one that can, and what came
       after is ingested again; where there is none, it is set aside and ingested from the beginning. The content has to
       have the id that was recorded; otherwise the archive is left as it was found.
    """
    healing = Healing.of(reading, progress)
    _restore_branch(healing)
    if not healing.reading.faults:
        return healing.report
    known = recorded(home, dataset)
    head = healing.reading.head
    if head is not None:
        _make_digests(home, dataset, healing)
        if not healing.reading.faults:
            return healing.report
        state = head.state
        known |= {
            "settings": state["source_settings"],
            "length": head.length,
            "commit": state["attrs"]["archive_commit"],
        }
    try:
        source = _source(known.get("settings"), dataset)
        if _frames_alone(healing.reading):
            _regain(home, dataset, healing, source)
        elif not _go_back(home, dataset, healing, source, known):
            _from_the_beginning(home, dataset, healing, known)
    except Refusal as refusal:
        healing.lost += [f"the sources cannot be read again: {refusal.subject}", *refusal.reasons]
    for fault in healing.reading.faults:
        what = f"{fault.variable} of {fault.frames}" if fault.frames else fault.where
        healing.lost.append(f"{what}: no source has it as it was; {COPY}, {AGAIN}")
    return healing.report


def heal_forecasts(reading: Reading, progress: Progress) -> StoreReport:
    """Put a lost branch back; otherwise say which init times are lost."""
    healing = Healing.of(reading, progress)
    _restore_branch(healing)
    healing.lost += losses(healing.reading)
    return healing.report


def heal_derived(reading: Reading, progress: Progress, again: Callable[[], object] | None, how: str) -> StoreReport:
    """Set aside what follows from something else, and make it again.

    Parameters
    ----------
    again
        Makes it; None: something else will.
    how
        In words, what that is.
    """
    healing = Healing.of(reading, progress)
    if is_address(reading.path):
        healing.lost.append(f"on an object store nothing is set aside: remove {reading.path}; then {how}")
        return replace(reading.report, lost=tuple(healing.lost))
    aside = _set_aside(Path(reading.path))
    healing.done.append(f"set aside as {aside.name}")
    if again is None:
        healing.done.append(how)
        return replace(reading.report, done=tuple(healing.done), healed=True)
    try:
        again()
    except Refusal as refusal:
        healing.lost.append(f"it cannot be made again: {refusal}")
        return replace(reading.report, done=tuple(healing.done), lost=tuple(healing.lost))
    healing.done.append(how)
    healing.look_again()
    return healing.report


def losses(reading: Reading) -> list[str]:
    """What is lost of a damaged store of forecasts, in words."""
    if not reading.faults:
        return []
    times = [fault for fault in reading.faults if fault.rows != (0, 0)]
    lines = [f"{fault.variable} of the init times {fault.frames}" for fault in times]
    if reading.head is None:
        whole = [kept for kept in reading.remains.commits if not kept.fault]
        last = (
            f"commit {whole[0].snapshot} of {whole[0].written:%Y-%m-%d %H:%M} is whole"
            if whole
            else "no commit is whole"
        )
        lines.append(f"which init times it held last is not known ({last})")
    elif not times:
        lines.append("nothing of the last commit; what names an older one cannot be read")
    remedy = f"nothing is issued into it: {COPY}, or set it aside, and its scores with it, and begin a new one"
    return [*lines, remedy]


def _restore_branch(healing: Healing) -> None:
    """Where the branch is lost and every commit is whole, nothing can have come after the newest one."""
    remains = healing.reading.remains
    if remains.fault and remains.commits and not any(kept.fault for kept in remains.commits):
        healing.put_back(remains.commits[0])


def _frames_alone(reading: Reading) -> bool:
    """Whether only frames are damaged, or whether there is one: neither what names them nor a commit."""
    if reading.head is None:
        return False
    own = {*reading.head.variables, "present"}
    return all(fault.variable in own or (fault.where == "digest" and fault.rows != (0, 0)) for fault in reading.faults)


def _make_digests(home: Home, dataset: str, healing: Healing) -> None:
    """Make the digests of whole frames again, if nothing but digests is damaged."""
    if all(fault.variable == "digest" for fault in healing.reading.faults):
        made = regain_digests(Archive(home.archive(dataset)))
        if made:
            healing.done.append(f"the digests of {made} frames made again: the content is what was committed")
            healing.look_again()


def _regain(home: Home, dataset: str, healing: Healing, source: Source) -> None:
    archive = Archive(home.archive(dataset))
    damaged = healing.reading.rows
    with _opened(source, archive, damaged) as ds:
        healed = regain(archive, ds, damaged)
    if healed.any():
        times = archive.times[healed]
        span = f"{name_time(times[0])} .. {name_time(times[-1])}"
        healing.done.append(f"{int(healed.sum())} frames written anew from the source, {span}")
        healing.look_again()


def _opened(source: Source, archive: Archive, damaged: np.ndarray) -> xr.Dataset:
    """All that a source has of the damaged frames; one that grows gives a little at a time."""
    ds = source.open(None)
    times, last = archive.times, int(np.flatnonzero(damaged)[-1])
    if isinstance(source, FileSource):
        return ds
    chunk = archive.schema.chunk
    first = int(np.flatnonzero(damaged)[0]) // chunk * chunk
    parts, after = [ds], max(ds["time"].values[-1], times[max(first - 1, 0)])
    end = times[min((last // chunk + 1) * chunk, len(times)) - 1]
    while after < end:
        part = source.open(after)
        if not part.sizes["time"] or part["time"].values[-1] <= after:
            break
        parts, after = [*parts, part], part["time"].values[-1]
    return xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override", join="override")


def _go_back(home: Home, dataset: str, healing: Healing, source: Source, known: Mapping[str, Any]) -> bool:
    """Go back to the newest commit of which only frames are damaged, and ingest again what came after.

    Where that does not give what was there, the commit that was found is the last one again: most of it may be whole.
    """
    main = healing.reading.remains.main
    files = _files_of(home, dataset)
    for kept in [kept for kept in healing.reading.remains.commits if not kept.fault]:
        if kept.snapshot == main:
            continue
        healing.put_back(kept)
        if healing.reading.head is not None and _frames_alone(healing.reading):
            try:
                if healing.reading.faults:
                    _regain(home, dataset, healing, source)
                _ingest_again(home, dataset, healing, known, files)
            except Refusal:
                if main:
                    put_back(Store(healing.first.path), main)
                    healing.done = []
                    healing.look_again()
                raise
            return True
    return False


def _files_of(home: Home, dataset: str) -> list[str]:
    """Files that an archive was read from and that are as they were then.

    By its history or, where that cannot be read, by what this home has noted of them.
    """
    try:
        commits = Archive(home.archive(dataset)).log()
    except Refusal:
        return files_noted(home.manifests(dataset))
    known = {name: checksum for commit in commits for name, checksum in commit.sources.items()}
    there = [name for name in known if not is_address(name) and Path(name).exists()]
    return [name for name, checksum in checksums(there).items() if checksum == known[name]]


def _from_the_beginning(home: Home, dataset: str, healing: Healing, known: Mapping[str, Any]) -> None:
    if is_address(home.archive(dataset)):
        raise ArchiveError(f"Archive {home.archive(dataset)}", ["on an object store nothing is set aside"], "remove it")
    path, files = Path(home.archive(dataset)), _files_of(home, dataset)
    aside = _set_aside(path)
    try:
        _ingest_again(home, dataset, healing, known, files)
        healing.done.append(f"what was there is {aside.name} now")
    except Refusal:
        _set_aside(path)
        aside.rename(path)
        healing.look_again()
        raise


def _ingest_again(home: Home, dataset: str, healing: Healing, known: Mapping[str, Any], files: Sequence[str]) -> None:
    """Ingest the sources until the content is what it was, at last `files`, some of which came from elsewhere.

    Raises
    ------
    Refusal
        They cannot be read, or give other frames.
    """
    settings = dict(known.get("settings") or {})
    options: dict[str, Any] = {name: settings.get(name) for name in ("source", "variables", "units", "select")}
    fresh = not Archive(home.archive(dataset)).exists
    report = ingest(home, dataset, **(options if fresh and "source" in settings else {}), replace=not fresh)
    while report.commit != known.get("commit", report.commit) and report.length < known["length"]:
        report = ingest(home, dataset)
        if not report.appended + report.filled:
            break
    if report.commit != known.get("commit", report.commit) and files:
        report = ingest(home, dataset, source=files)
    if report.commit != known.get("commit", report.commit):
        reason = f"expected {known['length']} slots with the content {known['commit']}, got {report.length} with "
        raise ArchiveError(f"Archive of {dataset}: its sources give other frames now", [reason + report.commit])
    healing.done.append(f"ingested again from its sources: {report.length - report.absent} frames, {report.commit}")
    healing.look_again()


def _source(settings: Mapping[str, Any] | None, dataset: str) -> Source:
    if settings and "source" in settings:
        return FileSource(**settings)
    return find_source((settings or {}).get("catalog", dataset))


def _set_aside(path: Path) -> Path:
    """Give what is at a path another name beside it; returns that."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    if path.exists():
        with Store(path).lock():
            path.rename(aside)
    return aside
