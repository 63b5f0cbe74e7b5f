"""The bar of the stage at work, the same on a terminal and in a notebook; a pipe or a file gets none."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich import get_console
from rich.console import Console, ConsoleOptions, RenderResult
from rich.jupyter import JupyterMixin
from rich.live import Live
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

__all__ = ["ProgressBar", "duration"]

NOTEBOOK_SECONDS = 0.25  # between two pictures of the bar, each of which is a message to the browser
RATE_SECONDS = 30.0  # over which the rate is taken: a stage does not keep one speed
LEAST, WIDEST = 6, 40  # columns of the bar; with less room there is none
NAME = 10  # columns of the name of a stage


class ProgressBar:
    """What any stage takes as `progress` where a person looks on; it vanishes when the block ends.

    ::

        with ProgressBar() as bar:
            train(home, config, progress=bar)

    Two lines: stage, bar, done of total, rate; and stage, time left, what is being done. Each begins with the stage,
    and what does not fit goes on in the next line.

    Parameters
    ----------
    console
        By default rich's own, which is the notebook's output inside a notebook.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or get_console()
        self._lines = _Lines()
        self._live = Live(self._lines, console=self._console, transient=True, refresh_per_second=8)
        self._notebook: DisplayHandle | None = None
        self._shown = -math.inf

    def __enter__(self) -> Self:
        if self._console.is_jupyter:
            # rich's own live display needs ipywidgets there; a display that is updated needs the notebook alone.
            from IPython.display import display

            self._notebook = display(self._lines, display_id=True)
        else:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.end()
        self._live.stop()
        if self._notebook is not None:
            self._notebook.update(self._lines)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar: what, done, of how many; one that runs to and fro where that is not known."""
        other = self._lines.tell(what, done, total)
        if self._notebook is not None and (other or time.monotonic() - self._shown >= NOTEBOOK_SECONDS):
            self._shown = time.monotonic()
            self._notebook.update(self._lines)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say whose bar it is while the block runs."""
        self._lines.begin(name)
        try:
            yield
        finally:
            self._lines.end()
            if self._notebook is not None:
                self._notebook.update(self._lines)


class _Lines(JupyterMixin):
    """What is known of the work, and how it is shown in any width; nothing before it begins and after it has ended."""

    def __init__(self) -> None:
        self.stage, self.what, self.done, self.total = "", "", 0, 0
        self.at_work = False
        self.began = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque()  # seconds and how much was done then

    def begin(self, stage: str) -> None:
        self.stage, self.what, self.done, self.total, self.at_work = stage, "", 0, 0, True
        self.began = time.monotonic()
        self._seen.clear()

    def end(self) -> None:
        self.at_work = False

    def tell(self, what: str, done: int, total: int) -> bool:
        """Take what a stage says; whether one thing has ended or another one has begun."""
        if not self.at_work:
            self.begin(self.stage)
        now, other = time.monotonic(), total != self.total or done < self.done
        if other:
            self._seen.clear()
        if not self._seen or done != self.done:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        self.what, self.done, self.total = what, done, total
        return other or done == total

    @property
    def rate(self) -> float:
        """How much is done in a second; 0 while that is not known."""
        if len(self._seen) < 2:
            return 0.0
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.at_work:
            return
        name = Text(f"{self.stage:>{NAME}}  ", style="bold")
        counts = f"{self.done:,} of {self.total:,}" if self.total else f"{self.done:,}" if self.done else ""
        rate = f"{self.rate:,.0f}/s" if self.rate >= 100 else f"{self.rate:.3g}/s" if self.rate else ""
        words = [word for word in (counts, rate, duration(time.monotonic() - self.began)) if word]
        beside = "".join(f"  {word}" for word in words)
        width = min(WIDEST, options.max_width - len(name) - len(beside))
        if width < LEAST:
            yield from _wrapped(name, words, options.max_width)
        else:
            bar = Bar(total=self.total or None, completed=self.done, width=width, animation_time=time.monotonic())
            line = Table.grid(padding=0)
            line.add_row(name, bar, Text(beside, no_wrap=True))
            yield line
        left = f"{duration((self.total - self.done) / self.rate)} left" if self.rate and self.total else ""
        said = [self.what] if not left or " left" in self.what else [left, self.what]
        # The time left comes first: it is what a person looks for, and stays in its place when the words get longer.
        clauses = sorted((part for one in said for part in one.split(", ") if part), key=lambda one: " left" not in one)
        yield from _wrapped(name, clauses, options.max_width)


def _wrapped(name: Text, clauses: list[str], width: int) -> Iterator[Text]:
    """Clauses behind the name of the stage, in as many lines as it takes, each with the name."""
    room, line = width - len(name), ""
    for clause in clauses:
        longer = f"{line}, {clause}" if line else clause
        if line and len(longer) > room:
            yield Text.assemble(name, line)
            longer = clause
        line = longer
    while line:
        yield Text.assemble(name, line[:room])
        line = line[room:]


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
