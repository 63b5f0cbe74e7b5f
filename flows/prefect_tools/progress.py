"""How far a stage is: to the listener of this process (the demo's bars), else to the flow run's log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect import get_run_logger

__all__ = ["Progress", "listen", "reporter"]

# What is done, how many of it, of how many; 0 where that is not known.
Progress = Callable[[str, int, int], None]

_listener: ContextVar[Progress | None] = ContextVar("listener", default=None)

LOG_SECONDS = 15.0


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
    """What a stage is given as `progress`: the listener, else a line in the run's log now and then."""
    listener = _listener.get()
    if listener is not None:
        return listener
    logger = get_run_logger()
    said: dict[str, float] = {}

    def log(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - said.get(what, float("-inf")) >= LOG_SECONDS:
            said[what] = now
            logger.info("%s: %d%s", what, done, f" of {total}" if total else "")

    return log
