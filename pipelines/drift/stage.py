"""Drift of a data set: its newest forecasts, their bounds, and the days that its model is given."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from datasets.archive import Archive
from datasets.store import Store, disk
from pipelines.drift.alarms import Tests
from pipelines.drift.arrivals import late
from pipelines.drift.report import Drift, keep, last_drift
from pipelines.evaluation import by_model
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.tracking import Makers
from simvp.errors import Refusal, RegistryError
from simvp.times import calendar_of, encode_times, show_time

if TYPE_CHECKING:
    from pathlib import Path

    from simvp.inference import Forecaster

_log = logging.getLogger(__name__)


@stage
def drift(
    home: Home,
    dataset: str,
    *,
    model: "Forecaster | Path | str | None" = None,
    now: datetime | None = None,
    once_a_day: bool = False,
    draw: bool = False,
    progress: Progress = silent,
) -> Drift:
    """Compare what came of late with what the model of the newest forecasts was fitted on, and with its promises.

    All tests begin with the days that this model has not seen, so that a new one begins them anew. What is found lies
    beside the skill table (`last_drift`).

    Parameters
    ----------
    model
        The model or its file, where it is not in the registry.
    now
        By which a source is late; by default the clock's time.
    once_a_day
        Whether to make no test again before there are frames of another day, and only see whether the source is late:
        for an ingest every few minutes.
    draw
        Whether to draw the evidence of every test, beside the other pictures.
    progress
        Called as progress("drift", parts done, parts).

    Raises
    ------
    ArchiveError
        No archive. What cannot be compared otherwise, as where a registry is away, is a note of what is found.
    """
    archive = Archive(home.archive(dataset))
    day = show_time(archive.last)[:10]
    before = last_drift(home, dataset)
    if once_a_day and before is not None and before.day == day:
        alarms = [finding for finding in before.findings if finding.test != "late"]
        return _kept(home, replace(before, findings=(*alarms, *late(archive, now))))
    tests, notes, stored = Tests(calendar_of(archive.times[:1])), list[str](), horizons(home, dataset)
    for number, horizon in enumerate(stored):
        progress("drift", number, len(stored) + 1)
        scores = Store(home.scores(dataset, f"forecasts-{horizon}"))
        with _noted(notes, f"of the forecasts of {horizon}"):
            if scores.exists:
                version, newest = list(by_model(scores.dataset().load()).items())[-1]
                tests.add_scores(newest, version, horizon)
    with _noted(notes, "of the input"):
        if stored:
            version, fingerprint = _newest_maker(home, dataset, stored)
            made_by = Makers(home, dataset, model).find(version, fingerprint)
            if made_by is None:
                raise RegistryError(f"Model {version}", ["it made the newest forecast, and is not there any more"])
            tests.add_inputs(archive.dataset(), made_by, version)
    found = Drift(
        dataset=dataset,
        day=day,
        findings=(*tests.alarms(), *late(archive, now)),
        tests=len(tests.made),
        days=tests.days,
        notes=tuple(notes),
        courses=tests.courses,
    )
    progress("drift", len(stored) + 1, len(stored) + 1)
    _kept(home, found)
    if not draw or not found.courses:
        return found
    from pipelines.drift.picture import evidence_chart
    from pipelines.pictures import png

    picture = home.pictures(dataset) / "drift.png"
    disk.write(picture, png(evidence_chart(found.courses, title=f"{dataset}, drift")))
    return replace(found, picture=picture)


def _kept(home: Home, found: Drift) -> Drift:
    """What was found, said and written."""
    for words in found.warnings:
        _log.warning("%s: %s", found.dataset, words)
    keep(home, found)
    return found


@contextmanager
def _noted(notes: list[str], what: str) -> Iterator[None]:
    """What is refused inside is a note: an ingest is done, whatever cannot be said of it."""
    try:
        yield
    except Refusal as refusal:
        notes.append(f"Drift {what} is not known: {' '.join(str(refusal).split())}")


def _newest_maker(home: Home, dataset: str, stored: Sequence[str]) -> tuple[str, str]:
    """Version and fingerprint of the model that made the newest forecast."""
    found = []
    for horizon in stored:
        last = Store(home.forecasts(dataset, horizon)).dataset().isel(init_time=[-1])
        seconds = int(encode_times(last["init_time"].values)[0][0])
        found.append((seconds, str(last["model_version"].values[0]), str(last["model_fingerprint"].values[0])))
    return max(found)[1:]
