"""Whether a source is late, by when its frames arrived before.

The age of the newest frame grows until the next one arrives. How old it was each time, just before, the history of the
archive tells, as far back as its commits are kept. It is late when it is older than ever in that time by one usual time
between two arrivals: a whole arrival is missing. This is a rule, and no test: of frames that come whenever they like it
is wrong about once in as many arrivals as it has seen.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from datasets.archive import Archive
from pipelines.drift.report import Finding
from simvp.times import DAY, encode_times, show_time

LEAST_ARRIVALS = 4
"""Commits with new frames, of which fewer do not tell what is usual."""


def late(archive: Archive, now: datetime | None = None) -> Iterator[Finding]:
    """That a source is late; nothing where it is not, or where nobody can tell.

    Parameters
    ----------
    now
        By default the clock's, in UTC.
    """
    times = archive.times
    newest = encode_times(times)[0]
    arrived, ends = [], []
    for commit in archive.log():
        if commit.appended and commit.created:
            arrived.append(datetime.fromisoformat(commit.created).timestamp())
            ends.append(newest[commit.length - 1])
    if len(arrived) < LEAST_ARRIVALS:
        return
    longest, usual = usual_age(np.array(arrived), np.array(ends, "f8"))
    age = (now or datetime.now(UTC)).timestamp() - newest[-1]
    if age <= longest + usual:
        return
    last = show_time(times[-1])
    words = (
        f"source: the newest frame, of {last}, is {_words(age)} old, and none was older than "
        f"{_words(longest)} before the next came ({len(arrived)} arrivals, {_words(usual)} apart): it is late, or "
        "nobody has ingested"
    )
    yield Finding(test="late", variable="", horizon="", version="", begin=last, found=last, words=words)


def usual_age(arrived: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """The greatest age of a newest frame before the next arrived, and the median time between two arrivals, seconds.

    Parameters
    ----------
    arrived
        (N,) seconds since 1970 at which frames arrived.
    ends
        (N,) the time of the newest frame afterwards.
    """
    return float((arrived[1:] - ends[:-1]).max()), float(np.median(np.diff(arrived)))


def _words(seconds: float) -> str:
    """In hours or days, to the tenth."""
    return f"{seconds / 3600:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} days"
