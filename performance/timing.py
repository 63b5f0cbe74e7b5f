"""Clocks: several ways of doing one thing in turn in one process, or one thing in a process of its own."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.tracking import CHECKOUT


@dataclass(frozen=True)
class Timing:
    """Seconds of every counted repetition, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{said(self.median)} ({said(min(self.seconds))} .. {said(max(self.seconds))})"


def ratios(slow: Timing, fast: Timing) -> Timing:
    """How many times faster `fast` was, round by round, so that a machine whose speed drifts does not matter."""
    return Timing(tuple(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)))


def alternate(ways: Mapping[str, Callable[[], Any]], *, repetitions: int = 5, warm_up: int = 1) -> dict[str, Timing]:
    """Seconds of each way, run in turn: after `warm_up` rounds that do not count, A B, B A, A B, ..."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm_up + repetitions):
        for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
            start = time.perf_counter()
            ways[name]()
            spent = time.perf_counter() - start
            if number >= warm_up:
                seconds[name].append(spent)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


@dataclass(frozen=True)
class Process:
    """What a call in a process of its own took.

    Parameters
    ----------
    seconds
        Of the call alone; imports made before it do not count.
    peak
        Largest resident memory of the process, bytes.
    before
        Resident memory when the call began, bytes: the interpreter and what it had imported.
    value
        What the call returned.
    """

    seconds: float
    peak: int
    before: int
    value: Any


def in_process(
    call: Callable[..., Any], *arguments: Any, environment: Mapping[str, str | None] | None = None
) -> Process:
    """Run a function of a module of this package in a fresh interpreter; arguments and result are plain JSON values.

    Parameters
    ----------
    environment
        What to add to the environment; None takes a name out of it.

    Raises
    ------
    RuntimeError
        With what the process said, when it fails.
    """
    task = json.dumps([call.__module__, call.__name__, arguments])
    done = subprocess.run(
        [sys.executable, "-m", "performance.timing", task],
        cwd=CHECKOUT,
        env={name: value for name, value in {**os.environ, **(environment or {})}.items() if value is not None},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{call.__name__}{arguments} failed:\n{done.stderr[-4000:]}")
    return Process(**json.loads(done.stdout.splitlines()[-1]))


def said(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _resident() -> int:
    """Resident memory now; where the system does not tell, its peak so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except OSError:
        return _peak()


def _peak() -> int:
    """Largest resident memory so far; what getrusage says begins with the peak of the process that started this one."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        # In KiB, on macOS in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _child(task: str) -> None:
    module, name, arguments = json.loads(task)
    call = getattr(import_module(module), name)
    before, start = _resident(), time.perf_counter()
    value = call(*arguments)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": _peak(), "before": before, "value": value}))


if __name__ == "__main__":
    _child(sys.argv[1])
