"""What was found of drift, in words, and as it lies beside the skill table."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasets.store import disk
from pipelines.drift.detector import YEARS, Course
from pipelines.home import Home

Test = Literal["skill", "coverage", "level", "spread", "pattern", "missing", "late"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One alarm.

    Parameters
    ----------
    test, variable, horizon
        What is not as it was; no horizon where it is of the input, and no variable of a source that is late.
    version
        Model that made the forecasts, or that the days are compared with.
    begin, found
        Day from which on it looks like that, and the day with which the evidence was enough; of a source the time
        of its newest frame.
    words
        A sentence.
    """

    test: Test
    variable: str
    horizon: str
    version: str
    begin: str
    found: str
    words: str

    @property
    def key(self) -> str:
        """The same of the same alarm, each time it is computed."""
        parts = (self.test, self.variable, self.horizon, self.version)
        return "/".join((*parts, self.begin) if self.test == "late" else parts)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What all tests of a data set say.

    Parameters
    ----------
    dataset
        Its name.
    findings
        Alarms, and a source that is late.
    day
        Of the newest frame.
    tests
        How many were made; `YEARS` of all of them together hold one false alarm.
    days
        Of the longest of them.
    notes
        What could not be compared, and why.
    courses
        By test the start of its blocks, and how its evidence went: what the picture shows.
    picture
        File of it, where one was drawn.
    """

    dataset: str
    findings: tuple[Finding, ...] = ()
    day: str = ""
    tests: int = 0
    days: int = 0
    notes: tuple[str, ...] = ()
    courses: dict[str, tuple[np.ndarray, Course]] = field(default_factory=dict, compare=False, repr=False)
    picture: Path | None = field(default=None, compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence each."""
        return tuple(finding.words for finding in self.findings)

    @property
    def summary(self) -> str:
        """Every warning, or that there is none; and what could not be compared."""
        rate = f"{self.tests} tests for a change, one false alarm in {YEARS:g} years at most"
        found = [f"Drift: {words}" for words in self.warnings]
        if self.tests and not {finding.test for finding in self.findings} - {"late"}:
            found = [f"Drift: none is seen in {self.days} days ({rate}).", *found]
        return "\n".join([*found, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: value for name, value in asdict(self).items() if name not in ("courses", "picture")}


def keep(home: Home, drift: Drift) -> None:
    """Let `last_drift` find it."""
    disk.write(home.drift(drift.dataset), (json.dumps(drift.to_json(), indent=1) + "\n").encode())


def last_drift(home: Home, dataset: str) -> Drift | None:
    """What the last ingest or verification found, whose place it lies in; None where there was none."""
    return next(_read(home.drift(dataset)), None)


def _read(path: Path) -> Iterator[Drift]:
    try:
        record = json.loads(path.read_bytes())
        findings = tuple(Finding(**one) for one in record.pop("findings"))
        yield Drift(**{**record, "findings": findings, "notes": tuple(record["notes"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or of another version: the next run says
        return
