"""How far a stage is: to the listener of this process (the demo's bar), else to the flow run's log."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect import get_run_logger

from pipelines.progress import Progress

__all__ = ["listen", "reporter"]

_listener: ContextVar[Progress | None] = ContextVar("listener", default=None)

LOG_SECONDS = 15.0  # every line goes to Prefect's database, and a training tells of every update


@contextmanager
def listen(listener: Progress) -> Iterator[None]:
    """Send the progress of every flow that this thread calls to one listener.

    A callback cannot be a parameter of a flow: those travel as JSON and make up the form in the UI.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def reporter() -> Progress:
    """What a stage is given as `progress`: the listener, else a line in the run's log now and then.

    There is one line at the beginning, one when something is done, and one every `LOG_SECONDS` between them.
    """
    listener = _listener.get()
    if listener is not None:
        return listener
    logger = get_run_logger()
    last = -math.inf

    def log(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if 0 < done == total or now - last >= LOG_SECONDS:
            last = now
            logger.info("%s%s%s", what, f": {done}" if total or done else "", f" of {total}" if total else "")

    return log
