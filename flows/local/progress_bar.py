"""The bar of the stage at work, the same on a terminal and in a notebook; a pipe or a file gets none."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

__all__ = ["ProgressBar"]

NOTEBOOK_SECONDS = 0.25  # between two pictures of the bar, each of which is a message to the browser


class ProgressBar:
    """What any stage takes as `progress` where a person looks on; it vanishes when the block ends.

    ::

        with ProgressBar() as bar:
            train(home, config, progress=bar)

    Parameters
    ----------
    console
        By default rich's own, which is the notebook's output inside a notebook.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stage]}", style="bold"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console or get_console(),
            transient=True,
        )
        self._notebook: DisplayHandle | None = None
        self._shown = -math.inf

    def __enter__(self) -> Self:
        if self._progress.console.is_jupyter:
            # rich's own live display needs ipywidgets there; a display that is updated needs the notebook alone.
            from IPython.display import display

            self._notebook = display(self._progress, display_id=True)
        else:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._remove()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar: what, done, of how many; one that runs to and fro where that is not known."""
        if not self._progress.tasks:
            self._progress.add_task("", stage="", total=None)
        (task,) = self._progress.tasks
        other = done == total or task.total != (total or None)
        # Not by `Progress.update`: it takes None for a total that stays, and stops the clock for good as soon as one of
        # several things in a row is done.
        task.description, task.completed, task.total = what, done, total or None
        if self._notebook is not None and (other or time.monotonic() - self._shown >= NOTEBOOK_SECONDS):
            self._shown = time.monotonic()
            self._notebook.update(self._progress)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say whose bar it is while the block runs."""
        self._progress.add_task("", stage=f"{name:>10}", total=None)
        try:
            yield
        finally:
            self._remove()

    def _remove(self) -> None:
        for task in self._progress.tasks:
            self._progress.remove_task(task.id)
        if self._notebook is not None:
            self._notebook.update(self._progress)
