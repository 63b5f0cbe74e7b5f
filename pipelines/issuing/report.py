"""What a run of the forecast stage issued, in words and as a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.windows import MEANING

Kind = Literal["forecasts", "hindcasts"]
"""Issued in their time, or computed afterwards."""
_MOST_FILLED = 3


@dataclass(frozen=True, kw_only=True)
class ForecastReport:
    """What a run of `forecast` issued.

    Parameters
    ----------
    dataset, kind, horizon, path
        Which store: "forecasts" or "hindcasts", "12h", and where it lies.
    model_version, fingerprint, archive_commit
        What the forecasts were made with and from.
    issued
        Init times, oldest first.
    skipped
        Init times that could not be issued, each with the reason.
    beyond_cap
        Older init times that the cap left out for good.
    dropped
        For hindcasts, windows of the interval that were left out, by reason.
    length
        Init times in the store now.
    filled
        What of the inputs was missing and filled: first and last init time of a batch, and how much of what.
    model_source
        Where the model was read: "registry", "file", or "copy of ..." where the registry was away.
    exported
        NetCDF files that were written beside the store.
    """

    dataset: str
    kind: Kind
    horizon: str
    path: str | Path
    model_version: str
    fingerprint: str
    archive_commit: str
    issued: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    beyond_cap: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    length: int
    filled: tuple[tuple[str, str], ...] = ()
    model_source: str = "registry"
    exported: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        """In words."""
        lines = [f"{self.dataset}: no new {self.kind}; the store of {self.horizon} holds {self.length} init times."]
        if self.issued:
            span = self.issued[0] if len(self.issued) == 1 else f"{self.issued[0]} .. {self.issued[-1]}"
            lines = [
                f"{self.dataset}: {len(self.issued)} {self.kind} of {self.horizon} issued ({span}) "
                f"by {self.model_version}; the store holds {self.length} init times."
            ]
        if self.model_source.startswith("copy"):
            lines.append(f"The registry is away: this is the last champion that this home knows ({self.model_source}).")
        if self.beyond_cap:
            lines.append(f"{self.beyond_cap} older init times were missed and are more than the catch-up takes.")
        lines += [f"Left out {time}: {reason}." for time, reason in self.skipped]
        # Windows that reach beyond the interval are none of it: only what is missing inside is worth saying.
        lines += [
            f"Left out {self.dropped[reason]} init times: {MEANING[reason]}."
            for reason in ("gap", "nan")
            if self.dropped.get(reason)
        ]
        lines += [f"Filled in the input of {times}: {what}." for times, what in self.filled[:_MOST_FILLED]]
        if len(self.filled) > _MOST_FILLED:
            lines.append(f"Filled in the input of {len(self.filled) - _MOST_FILLED} further batches, as the log says.")
        if self.exported:
            lines.append(f"{len(self.exported)} NetCDF files written into {self.exported[0].parent}.")
        return "\n".join([*lines, f"Store: {self.path}"])

    def table(self) -> str:
        """Init times issued and left out, as Markdown."""
        lines = ["| init time | |", "| --- | --- |"]
        lines += [f"| {time} | issued |" for time in self.issued]
        lines += [f"| {time} | left out: {reason} |" for time, reason in self.skipped]
        return "\n".join(lines)
