"""The status of a data set: read from its stores and from the registry; nothing is written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.archive import Archive, shown
from datasets.location import join
from datasets.store import Store
from pipelines.description import Description
from pipelines.drift import Finding, last_drift, late
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.ingest import files_waiting
from pipelines.issuing import due
from pipelines.machine import stage
from pipelines.status.recent import Recent, recent
from pipelines.tracking import CHALLENGER, list_versions
from simvp.errors import Refusal
from simvp.inference import CHAMPION
from simvp.places import is_address
from simvp.times import name_time

KINDS = ("archive.zarr", "forecasts", "hindcasts", "scores", "verified")
LEAST_FREE = 2**30  # bytes of a disk, below which it is said
RECENT_FRAMES = 100  # of which the absent ones are counted


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a data set stands.

    Parameters
    ----------
    dataset
        Its name.
    frames, absent, first, last, step
        Of the archive: slots, how many of them hold no frame, its span and step; none without an archive.
    forecasts
        By horizon: init times issued, the last of them, and which model made it.
    due
        By stage, what would be done if it ran now, in words; a stage with nothing to do is not there.
    champion, challenger
        Versions ("simvp-rain/3"); empty where there is none, None where the registry cannot be asked.
    skill
        Of the last 30 days.
    drift
        Alarms of the last ingest or verification, and a source that is late now.
    disk
        Bytes by kind of store; empty for those on an object store.
    warnings
        What a person should look at, in words.
    """

    dataset: str
    frames: int = 0
    absent: int = 0
    first: str = ""
    last: str = ""
    step: str = ""
    forecasts: dict[str, dict[str, Any]] = field(default_factory=dict)
    due: dict[str, str] = field(default_factory=dict)
    champion: str | None = None
    challenger: str | None = None
    skill: tuple[Recent, ...] = ()
    drift: tuple[Finding, ...] = ()
    disk: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What, in words, as a terminal and Prefect's page show it."""
        issued = [
            f"{horizon}: {one['length']} issued, the last of {one['last']} by {one['model']}"
            for horizon, one in self.forecasts.items()
        ]
        disk = ", ".join(f"{name.removesuffix('.zarr')} {_size(size)}" for name, size in self.disk.items())
        frames = f"{self.frames - self.absent} of {self.frames}, every {self.step}, the last of {self.last}"
        rows = [
            ("frames", frames if self.frames else "no archive yet"),
            *(("forecasts", words) for words in issued or ["none issued yet"]),
            *(("due", words) for words in [f"{name}: {words}" for name, words in self.due.items()] or ["nothing"]),
            ("champion", "not known" if self.champion is None else self.champion or "none yet"),
            *([("challenger", self.challenger)] if self.challenger and self.challenger != self.champion else []),
            *(("skill, 30 days", one.words) for one in self.skill),
            ("disk", disk or "not known"),
            *(("warning", words) for words in self.warnings),
        ]
        return rows

    def markdown(self) -> str:
        """As a table."""
        lines = [f"**{self.dataset}**", "", "| | |", "| --- | --- |"]
        return "\n".join([*lines, *(f"| {what} | {words} |" for what, words in self.rows)])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@stage
def status(home: Home, dataset: str, description: Description | None = None) -> Status:
    """The status of a data set.

    Parameters
    ----------
    description
        Which hours are due, where a file says so.

    Raises
    ------
    ConfigError
        A name that is none. What cannot be read otherwise is a warning of the status.
    """
    home.dataset(dataset)
    wanted = (description or Description()).forecast
    warnings: list[str] = []
    alarms: list[Finding] = []
    found: dict[str, Any] = {"forecasts": {}, "due": {}, "disk": _disk(home, dataset)}
    archive = Archive(home.archive(dataset))
    times = np.empty(0)
    with _noted(warnings):
        if archive.exists:
            times, step = archive.times, archive.step
            present = archive.present
            found |= {"frames": len(times), "absent": int((~present).sum()), "step": str(step)}
            found |= {"first": shown(times[0]), "last": shown(times[-1])}
            if lost := int((~present[-RECENT_FRAMES:]).sum()):
                warnings.append(f"{lost} of the last {min(len(times), RECENT_FRAMES)} frames are absent")
            alarms += late(archive)
        if waiting := files_waiting(home, dataset):
            found["due"]["ingest"] = f"{waiting} files are new or have changed"
    with _noted(warnings):
        versions = list_versions(home, dataset)
        holders = {alias: next((v for v in versions if alias in v.aliases), None) for alias in (CHAMPION, CHALLENGER)}
        found |= {alias: version.label if version else "" for alias, version in holders.items()}
        challenger = holders[CHALLENGER]
        if len(times) and not versions:
            found["due"]["train"] = "no model yet"
        elif challenger is not None and "gate" not in challenger.tags and challenger != holders[CHAMPION]:
            found["due"]["promote"] = f"{challenger.label} has not been judged"
    if seen := last_drift(home, dataset):
        alarms += [finding for finding in seen.findings if finding.test != "late"]
    skill: list[Recent] = []
    stored = horizons(home, dataset)
    for horizon in stored:
        with _noted(warnings):
            issued = Store(home.forecasts(dataset, horizon))
            ds = issued.dataset()
            inits = ds["init_time"].values
            model = str(ds["model_version"].values[-1])
            found["forecasts"][horizon] = {"length": len(inits), "last": name_time(inits[-1]), "model": model}
            scored = Store(home.scores(dataset, f"forecasts-{horizon}"))
            over = _over(ds, times) if len(times) else 0
            if (left := over - (scored.length if scored.exists else 0)) > 0:
                found["due"]["verify"] = f"{left} init times of {horizon} can be scored"
            if len(times) and found.get(CHAMPION):
                later = due(times, step, last=inits[-1], init_hours=wanted.init_hours, most=wanted.max_catch_up)
                if len(later.times):
                    found["due"]["forecast"] = f"{len(later.times)} init times of {horizon}"
            skill += recent(home, dataset, horizon)
    if found.get(CHAMPION) and not stored:
        found["due"]["forecast"] = "the first one"
    warnings += [finding.words for finding in alarms]
    warnings += [
        f"{one.variable} {one.horizon}: worse than {one.best.replace('_', ' ')} over the last 30 days"
        for one in skill
        if one.rmse["model"] > one.rmse[one.best]
    ]
    free = shutil.disk_usage(next(place for place in (home.path, *home.path.parents) if place.exists())).free
    if free < LEAST_FREE:
        warnings.append(f"{_size(free)} of space are left on the disk of {home.path}")
    return Status(dataset=dataset, skill=tuple(skill), drift=tuple(alarms), warnings=tuple(warnings), **found)


@contextmanager
def _noted(warnings: list[str]) -> Iterator[None]:
    """What is refused inside is a warning: one store that cannot be read hides no other."""
    try:
        yield
    except Refusal as refusal:
        # A cell of a table has no lines.
        warnings.append(" ".join(str(refusal).replace("\nTo mend it:", ". To mend it:").split()))


def _over(forecasts: Any, times: np.ndarray) -> int:
    """How many forecasts have all their valid times within the archive."""
    valid = forecasts["valid_time"].isel(lead_time=-1).values
    return int((valid <= times[-1]).sum())


def _disk(home: Home, dataset: str) -> dict[str, int]:
    """Bytes of each kind of store, and of what else the home holds of it."""
    if is_address(home.store):
        return {}
    sizes = {kind: _bytes(Path(join(home.store, dataset, kind))) for kind in KINDS}
    return {kind: size for kind, size in sizes.items() if size}


def _bytes(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # expired meanwhile
                continue
    return total


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
