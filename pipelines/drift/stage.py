"""Drift of a data set: its newest forecasts, their bounds, and the days that its model is given."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.store import Store
from pipelines.drift.arrivals import late
from pipelines.drift.days import STATISTICS, Days, daily
from pipelines.drift.detector import Course, follow, threshold
from pipelines.drift.inputs import LEAST_DAYS, factors
from pipelines.drift.report import Drift, Finding, Test, keep
from pipelines.drift.skill import LEAST_SKILL, Blocks, blocks, coverage_factors, skill_factors
from pipelines.evaluation import by_model
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.tracking import Makers
from simvp.contract import percent
from simvp.errors import Refusal, RegistryError
from simvp.times import DAY, calendar_of, decode_times, encode_times, parse_times, show_time

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
    progress
        Called as progress("drift", tests done, tests).

    Raises
    ------
    ArchiveError
        No archive. What cannot be compared otherwise, as where a registry is away, is a note of what is found.
    """
    archive = Archive(home.archive(dataset))
    tests, notes = _Tests(calendar_of(archive.times[:1])), list[str]()
    for horizon in horizons(home, dataset):
        with _noted(notes, f"of the forecasts of {horizon}"):
            _add_scores(tests, Store(home.scores(dataset, f"forecasts-{horizon}")), horizon)
    with _noted(notes, "of the input"):
        if maker := _newest_maker(home, dataset):
            _add_inputs(tests, archive.dataset(), Makers(home, dataset, model).find(*maker), maker[0])
    found = Drift(
        dataset=dataset,
        findings=(*tests.alarms(progress), *late(archive, now)),
        tests=len(tests.made),
        days=tests.days,
        notes=tuple(notes),
        courses=tests.courses,
    )
    for words in found.warnings:
        _log.warning("%s: %s", dataset, words)
    keep(home, found)
    return found


@contextmanager
def _noted(notes: list[str], what: str) -> Iterator[None]:
    """What is refused inside is a note: an ingest is done, whatever cannot be said of it."""
    try:
        yield
    except Refusal as refusal:
        notes.append(f"Drift {what} is not known: {' '.join(str(refusal).split())}")


@dataclass(frozen=True)
class _Test:
    """One series, and the words for an alarm, which are made of its begin and end."""

    test: Test
    variable: str
    horizon: str
    version: str
    start: np.ndarray  # (T,) seconds of each block
    days: float
    factors: np.ndarray
    own: Blocks | tuple[np.ndarray, np.ndarray]  # scores; or days of the reference, and the new ones


@dataclass
class _Tests:
    """All tests of a data set: only together they have a threshold."""

    calendar: str
    made: list[_Test] = field(default_factory=list)
    courses: dict[str, tuple[np.ndarray, Course]] = field(default_factory=dict)

    @property
    def days(self) -> int:
        return max((round(len(one.start) * one.days) for one in self.made), default=0)

    def alarms(self, progress: Progress) -> Iterator[Finding]:
        for number, one in enumerate(self.made):
            course = follow(one.factors, threshold(len(self.made), one.days))
            name = " ".join(filter(None, (one.variable, one.horizon, one.test)))
            self.courses[name] = one.start, course
            if course.alarm is not None and course.begin is not None:
                dates = [self._date(one.start[block]) for block in (course.begin, course.alarm)]
                yield Finding(
                    test=one.test,
                    variable=one.variable,
                    horizon=one.horizon,
                    version=one.version,
                    begin=dates[0],
                    found=dates[1],
                    words=f"{name}: {_words(one, slice(course.begin, course.alarm + 1))} (about since {dates[0]}, seen "
                    f"with {dates[1]})",
                )
            progress("drift", number + 1, len(self.made))

    def _date(self, seconds: float) -> str:
        return show_time(decode_times(np.array([int(seconds)]), self.calendar)[0])[:10]


def _newest_maker(home: Home, dataset: str) -> tuple[str, str] | None:
    """Version and fingerprint of the model that made the newest forecast."""
    found = []
    for horizon in horizons(home, dataset):
        last = Store(home.forecasts(dataset, horizon)).dataset().isel(init_time=[-1])
        seconds = int(encode_times(last["init_time"].values)[0][0])
        found.append((seconds, str(last["model_version"].values[0]), str(last["model_fingerprint"].values[0])))
    return max(found)[1:] if found else None


def _add_scores(tests: _Tests, store: Store, horizon: str) -> None:
    """Tests of skill and coverage, by variable, of the newest model that has scores."""
    if not store.exists:
        return
    version, scores = list(by_model(store.dataset().load()).items())[-1]
    for name in scores["variable"].values.tolist():
        own = blocks(scores, name)
        common = {"variable": name, "horizon": horizon, "version": version, "start": own.start, "days": own.days}
        if own.baselines:
            tests.made.append(_Test("skill", factors=skill_factors(own), own=own, **common))
        if np.isfinite(own.inside).any():
            tests.made.append(_Test("coverage", factors=coverage_factors(own), own=own, **common))


def _add_inputs(tests: _Tests, ds: xr.Dataset, model: "Forecaster | None", version: str) -> None:
    """Tests of level, spread and missing share of each state.

    Raises
    ------
    RegistryError
        The model is gone, or knows too few days.
    """
    if model is None:
        raise RegistryError(f"Model {version}", ["it made the newest forecast, and is not there any more"])
    last_known = _last_fitted(model, ds)
    days = daily(ds, model.spec)
    known, new = _apart(days, last_known)
    if len(known.number) < LEAST_DAYS:
        reason = f"expected {LEAST_DAYS} days and more that it was fitted on, got {len(known.number)}"
        raise RegistryError(f"Model {version}", [reason])
    if not len(new.number):
        return
    start = (new.number * DAY).astype("f8") if new.length == 1 else encode_times(ds["time"].values)[0][new.number]
    for s, name in enumerate(model.spec.states):
        for k, statistic in enumerate(STATISTICS):
            series = known.values[:, s, k], new.values[:, s, k]
            if not np.isfinite(series[0]).any():
                continue
            bets = factors(*series, rising_only=statistic == "missing")
            tests.made.append(_Test(statistic, name, "", version, start, new.length, bets, series))  # type: ignore[arg-type]


def _last_fitted(model: "Forecaster", ds: xr.Dataset) -> float:
    """Seconds of the last time that the model was fitted on: before its held-out period, or of its training."""
    periods, calendar = model.provenance.get("periods", {}), calendar_of(ds["time"].values)
    if periods.get("held_out"):
        return float(encode_times(parse_times(periods["held_out"][:1], calendar))[0][0]) - 1
    return float(encode_times(parse_times([end for _, end in model.spec.fitted_on["train"]], calendar))[0].max())


def _apart(days: Days, last_known: float) -> tuple[Days, Days]:
    """Days that the model was fitted on, and those after them."""
    first, last = int(days.number[0]) if len(days.number) else 0, int(days.number[-1]) if len(days.number) else -1
    edge = int((last_known + 1) // DAY)  # a day that is partly known is none of the known ones
    return days.among(first, edge - 1), days.among(edge, last)


def _words(one: _Test, part: slice) -> str:
    """What an alarm says of the blocks in which its evidence grew."""
    if isinstance(one.own, Blocks):
        return _of_skill(one.own, one.version, part) if one.test == "skill" else _of_coverage(one.own, part)
    known, new = one.own
    known, now = known[np.isfinite(known)], float(np.nanmean(new[part]))
    if one.test == "missing":
        return (
            f"{percent(round(now, 4))} of the points are missing, in training {percent(round(float(known.mean()), 4))}"
        )
    low, high = np.quantile(known, (0.05, 0.95))
    if one.test == "level":
        return (
            f"days lie {now:+.2f} standard deviations from the climatology, 90 of 100 days that {one.version} was "
            f"fitted on from {low:+.2f} to {high:+.2f}"
        )
    return (
        f"the spread within a day is {np.exp(now):.3g} of what it was over all training, in 90 of 100 of its days "
        f"{np.exp(low):.3g} to {np.exp(high):.3g}"
    )


def _of_skill(own: Blocks, version: str, part: slice) -> str:
    bad = own.bad[part]
    known = np.isfinite(bad)
    number = int(own.best[part][known][-1])
    model, rival = np.sqrt(np.nanmean(own.errors[part][known], axis=0)[[0, 1 + number]])
    of = "days" if own.days == 1 else f"blocks of {own.days:g} days"
    best = own.baselines[number].replace("_", " ")
    return (
        f"the skill of {version} is gone: on {int(np.nansum(bad))} of {int(known.sum())} {of} its RMSE was not "
        f"{percent(LEAST_SKILL)} below that of the best baseline; {model:.4g}, {best} {rival:.4g}"
    )


def _of_coverage(own: Blocks, part: slice) -> str:
    return f"the 90 % band holds {np.nanmean(own.inside[part]):.1%} of what came true"
