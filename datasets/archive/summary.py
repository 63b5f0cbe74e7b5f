"""Lowest, highest, mean and missing share of frames, and where they jump."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ENOUGH = 24  # frames, of which the lowest and the highest value say what is usual: a day of hours
JUMP_IN_MISSING = 0.25  # share of a frame by which it has more missing values than half of the others


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the frames of one variable hold.

    Parameters
    ----------
    lowest, highest, mean
        (n,) of each frame, NaN where it has no value.
    counts
        (n,) values of each frame.
    size
        Values of a frame without a missing one.
    marks
        Numbers that no attribute declares, taken for missing since its quantity cannot have them, and how often.
    """

    lowest: np.ndarray
    highest: np.ndarray
    mean: np.ndarray
    counts: np.ndarray
    size: int
    marks: Mapping[float, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: np.ndarray, marks: Mapping[float, int] | None = None) -> "Summary":
        """Of values (n, H, W); infinite ones are as they are."""
        flat = values.reshape(len(values), -1)
        lowest, highest = flat.min(axis=1), flat.max(axis=1)
        counts = np.full(len(flat), flat.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            total = flat.sum(axis=1)  # in pairs: as exact as a mean need be
            for i in np.flatnonzero(np.isnan(lowest)):
                there = flat[i][~np.isnan(flat[i])]
                counts[i] = len(there)
                lowest[i], highest[i], total[i] = (
                    (there.min(), there.max(), there.sum()) if len(there) else [np.nan] * 3
                )
            mean = total / np.maximum(counts, 1)
        return cls(lowest=lowest, highest=highest, mean=mean, counts=counts, size=flat.shape[1], marks=marks or {})

    @classmethod
    def joined(cls, parts: Sequence["Summary"]) -> "Summary":
        """Of all frames of all parts, in their order."""
        arrays = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in ("lowest", "highest", "mean", "counts")
        }
        marks: dict[float, int] = {}
        for number, count in (item for part in parts for item in part.marks.items()):
            marks[number] = marks.get(number, 0) + count
        return cls(**arrays, size=parts[0].size, marks=marks)

    def at(self, rows: np.ndarray) -> "Summary":
        """Of some of the frames; whose marks they were is not known."""
        return Summary(
            lowest=self.lowest[rows],
            highest=self.highest[rows],
            mean=self.mean[rows],
            counts=self.counts[rows],
            size=self.size,
        )

    def record(self) -> dict[str, Any]:
        """In numbers, for a log: lowest, highest and mean, where there is a value, and the share that is missing."""
        there = self.counts > 0
        missing = 1.0 - float(self.counts.sum()) / max(self.size * len(self.counts), 1)
        record: dict[str, Any] = {"missing": round(missing, 9)}
        if there.any():
            mean = np.average(self.mean[there].astype("f8"), weights=self.counts[there])
            ends = {"lowest": self.lowest[there].min(), "highest": self.highest[there].max(), "mean": mean}
            record |= {name: float(f"{value:.7g}") for name, value in ends.items()}
        return record | ({"marks": {f"{n:g}": count for n, count in self.marks.items()}} if self.marks else {})

    def jumps(self, before: Mapping[str, Any]) -> list[tuple[int, str]]:
        """Frames that are unlike the others, in words: other units, another scale, or values that are gone.

        The mean of a frame lies far outside the usual range, from the median of the lowest values to that of the
        highest: further than this range is wide, and ten times the middle half of all means. A quarter of the frames
        may be odd without moving these, and seasons and storms lie within.

        Parameters
        ----------
        before
            What was usual before (`usual`), or empty: then the frames are compared among themselves.
        """
        varied = self.highest > self.lowest
        if "lowest" in before:
            low, high, usual = before["lowest"], before["highest"], before["missing"]
            reach = high - low
        elif varied.sum() > 3:
            low, high = float(np.median(self.lowest[varied])), float(np.median(self.highest[varied]))
            usual = float(np.median(1 - self.counts / self.size))
            middle = np.quantile(self.mean[varied], (0.25, 0.75))
            reach = high - low + 10 * float(middle[1] - middle[0])
        else:
            return []
        away = (self.counts > 0) & ((self.mean < low - reach) | (self.mean > high + reach)) & (reach > 0)
        gone = (self.counts > 0) & (1 - self.counts / self.size > usual + JUMP_IN_MISSING)
        texts = {
            int(i): f"mean {self.mean[i]:.6g}, where others lie from {low:.6g} to {high:.6g}"
            for i in np.flatnonzero(away)
        }
        texts |= {
            int(i): f"{1 - self.counts[i] / self.size:.0%} missing, where others miss {usual:.0%}"
            for i in np.flatnonzero(gone & ~away)
        }
        return sorted(texts.items())


def usual(records: Sequence[tuple[int, Mapping[str, Mapping[str, Any]]]]) -> dict[str, dict[str, float]]:
    """Lowest and highest value and the largest missing share of recorded frames; empty where these are too few.

    Parameters
    ----------
    records
        Number of frames, and by variable what `Summary.record` says of them.
    """
    if sum(frames for frames, _ in records) < ENOUGH:
        return {}
    known: dict[str, dict[str, float]] = {}
    for name, record in (item for _, values in records for item in values.items()):
        if "lowest" in record:
            ends = known.setdefault(name, {key: record[key] for key in ("lowest", "highest", "missing")})
            ends["lowest"] = min(ends["lowest"], record["lowest"])
            ends["highest"] = max(ends["highest"], record["highest"])
            ends["missing"] = max(ends["missing"], record["missing"])
    return known
