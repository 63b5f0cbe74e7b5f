"""Signals: one that asks for the end becomes an exception, so that what was started is stopped on the way out."""

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNALS", "Stop", "end_with_parent", "stopped_by_signals"]

# Ctrl-C, `kill`, and a terminal that is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """A signal asked for the end."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # who asks twice is not kept waiting
    raise Stop


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While the block runs raise Stop at the first signal; a second one ends the process at once."""
    before = [signal.signal(number, _stop) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent goes, so that even a kill leaves no server behind (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG
