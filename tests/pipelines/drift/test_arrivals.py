"""A source that is late, by the arrivals before."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipelines.drift.arrivals import late, usual_age

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def archive(arrivals: list[float], lengths: list[int]) -> Any:
    """Hourly frames from `BEGIN` on; the hours at which commits came, and how many frames there were then."""
    times = np.datetime64("2024-03-01", "ns") + np.arange(lengths[-1]) * np.timedelta64(1, "h")
    commits = [
        SimpleNamespace(appended=1, length=length, created=(BEGIN + timedelta(hours=hours)).isoformat())
        for hours, length in zip(arrivals, lengths, strict=True)
    ]
    filled = SimpleNamespace(appended=0, length=lengths[-1], created=(BEGIN + timedelta(hours=999)).isoformat())
    return SimpleNamespace(times=times, log=lambda: [*commits, filled])


def test_the_age_before_an_arrival_and_the_time_between_two() -> None:
    assert usual_age(np.array([10.0, 22.0, 30.0]), np.array([5.0, 15.0, 29.0])) == (17.0, 10.0)


def test_late_is_a_whole_arrival_that_is_missing() -> None:
    # A day of frames at five each morning, once at eleven: the newest frame was 36 hours old then.
    days = archive([29, 53, 83, 101, 125], [24, 48, 72, 96, 120])
    newest = BEGIN + timedelta(hours=119)
    assert not list(late(days, newest + timedelta(hours=36 + 24)))
    (found,) = late(days, newest + timedelta(hours=36 + 24.1))
    assert found.key == "late////2024-03-05 23:00"
    assert found.words == (
        "source: the newest frame, of 2024-03-05 23:00, is 2.5 days old, and none was older than 36.0 h before the "
        "next came (5 arrivals, 24.0 h apart): it is late, or nobody has ingested"
    )


def test_few_arrivals_tell_nothing() -> None:
    assert not list(late(archive([29, 53, 83], [24, 48, 72]), BEGIN + timedelta(days=900)))
