"""Prefect flows and deployments: thin wrappers around the stages."""

import os

from flows.versions import too_old

if reasons := too_old():
    # With this name `python -m` says it in one line, without a traceback.
    raise ImportError(
        "\n  - ".join(["what is installed is too old for simvp:", *reasons])
        + "\nTo mend it: make, which keeps .venv as requirements.lock says, or install that",
        name="flows",
    )

BUSY = 0.5  # cores' worth of work in the last minute, by whoever


def waits_asleep() -> bool:
    """Whether PyTorch's threads are to wait for each other asleep: where something else wants the cores.

    By default they spin for milliseconds, which is fastest as long as they have the cores to themselves. As soon as
    another process wants one (a server, a second flow, a second file of tests), each of thousands of waits lasts a time
    slice: beside other work on two cores the middle of a training step's times was 0.41 to 2.15 s with the default and
    0.36 to 0.42 s asleep, the longest 8.8 s and 0.97 s. On a quiet machine sleep has cost up to half of the speed.
    """
    try:
        return os.getloadavg()[0] >= BUSY
    except (AttributeError, OSError):  # Windows has no such figure
        return False


# Read when torch is loaded, which is later. 1,000 turns, some microseconds, are what GNU's OpenMP itself takes where it
# knows of too many threads, and as long as most waits are. What the environment says is left as it is.
if waits_asleep():
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
