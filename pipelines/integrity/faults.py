"""What is wrong with stores, and what has been done about it, in words."""

from dataclasses import dataclass
from typing import Literal

from simvp.errors import shortened

What = Literal["missing", "damaged", "differs"]
LISTED = 20  # faults of one store that are shown; the rest is counted


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is not what it was.

    Parameters
    ----------
    what
        "missing": it is not there. "damaged": it cannot be read. "differs": it can, and is not what its digest says.
    where
        Chunk ("t2m/c/3/0/0"), commit or branch of the repository.
    variable
        Whose; empty where the store as a whole is meant.
    first, last
        First and last frame or init time that cannot be had; empty where that is not known, or nothing is lost.
    rows
        Their positions, the last not included; (0, 0) where that is not known.
    text
        What reading said.
    """

    what: What
    where: str
    variable: str = ""
    first: str = ""
    last: str = ""
    rows: tuple[int, int] = (0, 0)
    text: str = ""

    @property
    def frames(self) -> str:
        """In words."""
        return self.first if self.first == self.last else f"{self.first} .. {self.last}"

    def __str__(self) -> str:
        parts = [self.variable, self.frames, self.where]
        return f"{', '.join(filter(None, parts))}: {self.what}" + (f" ({self.text})" if self.text else "")


@dataclass(frozen=True, kw_only=True)
class StoreReport:
    """One store.

    Parameters
    ----------
    name, path
        "archive", "forecasts of 12h", "scores of forecasts-12h", ...; where it lies.
    commits, frames, chunks
        Commits that are kept, frames or init times of the last one, and chunks of it that were read.
    faults
        What was found.
    done
        What has been healed, in words.
    lost
        What has not, and what to do, in words.
    healed
        Whether it was damaged, and is whole now.
    """

    name: str
    path: str
    commits: int = 0
    frames: int = 0
    chunks: int = 0
    faults: tuple[Fault, ...] = ()
    done: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    healed: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of it can be read, and is what it was."""
        return self.healed or not self.faults

    @property
    def state(self) -> str:
        """In a word."""
        return "healed" if self.healed else "damaged" if self.faults else "whole"

    @property
    def table(self) -> list[dict[str, str]]:
        """Rows to show: one of the store, and one for each fault."""
        counts = f"{self.frames} frames in {self.chunks} chunks, {self.commits} commits"
        rows = [{"store": self.name, "state": self.state, "variable": "", "frames": "", "where": counts}]
        for fault in self.faults[:LISTED]:
            place = {"variable": fault.variable, "frames": fault.frames, "where": fault.where}
            rows.append({"store": self.name, "state": fault.what, **place})
        return rows

    @property
    def lines(self) -> list[str]:
        """In words."""
        head = f"{self.name}: {self.state}; {self.frames} frames, {self.chunks} chunks, {self.commits} commits"
        lines = [*map(str, self.faults)]
        return [
            head,
            *(f"  {line}" for line in shortened(lines, LISTED)),
            *(f"  healed: {line}" for line in self.done),
            *(f"  lost: {line}" for line in self.lost),
        ]
