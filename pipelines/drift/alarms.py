"""The tests of a data set, which have a threshold only together, and what their alarms say."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pipelines.drift.days import STATISTICS, Days, daily
from pipelines.drift.detector import Course, follow, threshold
from pipelines.drift.inputs import LEAST_DAYS, input_factors
from pipelines.drift.report import Finding, Test
from pipelines.drift.skill import LEAST_SKILL, Blocks, blocks, coverage_factors, skill_factors
from simvp.contract import percent
from simvp.errors import RegistryError
from simvp.times import DAY, calendar_of, decode_times, encode_times, parse_times, show_time

if TYPE_CHECKING:
    from simvp.inference import Forecaster


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one test looks at.

    Parameters
    ----------
    test, variable, horizon, version
        As in a finding.
    start, days
        (T,) seconds since 1970-01-01 at which each block begins, and the days of a block.
    factors
        (T, J) of its bets.
    own
        The scores; or the days that the model was fitted on, and the later ones.
    """

    test: Test
    variable: str
    horizon: str = ""
    version: str
    start: np.ndarray
    days: float
    factors: np.ndarray
    own: Blocks | tuple[np.ndarray, np.ndarray]

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.variable, self.horizon, self.test)))


@dataclass
class Tests:
    """Tests of one data set.

    Parameters
    ----------
    calendar
        Of its times.

    Attributes
    ----------
    made
        In the order in which they were added.
    courses
        Start of the blocks, and how the evidence went, by name; after `alarms`.
    """

    calendar: str
    made: list[Series] = field(default_factory=list)
    courses: dict[str, tuple[np.ndarray, Course]] = field(default_factory=dict)

    @property
    def days(self) -> int:
        """Of the longest test."""
        return max((round(len(one.start) * one.days) for one in self.made), default=0)

    def add_scores(self, scores: xr.Dataset, version: str, horizon: str) -> None:
        """Tests of skill and coverage, by variable.

        Parameters
        ----------
        scores
            Loaded, of the forecasts of one model.
        """
        for name in scores["variable"].values.tolist():
            own = blocks(scores, name)
            bets = {"skill": skill_factors(own)} if own.baselines else {}
            bets |= {"coverage": coverage_factors(own)} if np.isfinite(own.inside).any() else {}
            for test, made in bets.items():
                self.made.append(
                    Series(
                        test=test,  # type: ignore[arg-type]
                        variable=name,
                        horizon=horizon,
                        version=version,
                        start=own.start,
                        days=own.days,
                        factors=made,
                        own=own,
                    )
                )

    def add_inputs(self, ds: xr.Dataset, model: "Forecaster", version: str) -> None:
        """Tests of level, spread, pattern and missing share of each state, on the days that a model was not fitted on.

        Parameters
        ----------
        ds
            Of the archive, lazy.

        Raises
        ------
        RegistryError
            A model that was fitted on too few days.
        """
        days = daily(ds, model.spec)
        known, new = _apart(days, _last_fitted(model, ds))
        if len(known.seconds) < LEAST_DAYS:
            reason = f"expected {LEAST_DAYS} days and more that it was fitted on, got {len(known.seconds)}"
            raise RegistryError(f"Model {version}", [reason])
        if not len(new.seconds):
            return
        for s, name in enumerate(model.spec.states):
            for k, statistic in enumerate(STATISTICS):
                own = known.values[:, s, k], new.values[:, s, k]
                if np.isfinite(own[0]).any():
                    self.made.append(
                        Series(
                            test=statistic,
                            variable=name,
                            version=version,
                            start=new.seconds,
                            days=new.length,
                            factors=input_factors(*own, rising_only=statistic == "missing"),
                            own=own,
                        )
                    )

    def alarms(self) -> Iterator[Finding]:
        """Those whose evidence is enough, in words."""
        for one in self.made:
            course = follow(one.factors, threshold(len(self.made), one.days))
            self.courses[one.name] = one.start, course
            if course.alarm is None or course.begin is None:
                continue
            begin, found = (self._date(one.start[block]) for block in (course.begin, course.alarm))
            words = _words(one, slice(course.begin, course.alarm + 1))
            yield Finding(
                test=one.test,
                variable=one.variable,
                horizon=one.horizon,
                version=one.version,
                begin=begin,
                found=found,
                words=f"{one.name}: {words} (about since {begin}, seen with {found})",
            )

    def _date(self, seconds: float) -> str:
        return show_time(decode_times(np.array([int(seconds)]), self.calendar)[0])[:10]


def _last_fitted(model: "Forecaster", ds: xr.Dataset) -> int:
    """Seconds of the last time that the model was fitted on: before its held-out period, or of its training."""
    periods, calendar = model.provenance.get("periods", {}), calendar_of(ds["time"].values)
    if periods.get("held_out"):
        return int(encode_times(parse_times(periods["held_out"][:1], calendar))[0][0]) - 1
    return int(encode_times(parse_times([end for _, end in model.spec.fitted_on["train"]], calendar))[0].max())


def _apart(days: Days, last_known: int) -> tuple[Days, Days]:
    """Days that the model was fitted on, and those after them; a day that is partly known is a later one."""
    known = days.seconds + (DAY if days.length == 1 else 1) <= last_known + 1
    return days.at(known), days.at(~known)


def _words(one: Series, part: slice) -> str:
    """What an alarm says of the blocks in which its evidence grew."""
    if isinstance(one.own, Blocks):
        return _of_skill(one.own, one.version, part) if one.test == "skill" else _of_coverage(one.own, part)
    known, new = one.own
    known, now = known[np.isfinite(known)], float(np.nanmean(new[part]))
    if one.test == "missing":
        before = percent(round(float(known.mean()), 4))
        return f"{percent(round(now, 4))} of the points are missing, in training {before}"
    low, high = np.quantile(known, (0.05, 0.95))
    if one.test == "level":
        return (
            f"days lie {now:+.2f} standard deviations from the climatology, 90 of 100 days that {one.version} was "
            f"fitted on from {low:+.2f} to {high:+.2f}"
        )
    of = "points differ within a day" if one.test == "spread" else "means of a day differ from point to point"
    return (
        f"{of} by {np.exp(now):.3g} standard deviations from the climatology, in 90 of 100 days of training by "
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
