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

# Before torch is loaded: its threads wait for each other awake for some microseconds, which is as long as most waits
# take, and then asleep. By default they spin for milliseconds, and as soon as another process wants one of the cores (a
# server, a second flow) each of thousands of waits lasts a time slice: a training step took 1.0 s instead of 0.25 s on
# two cores with one busy neighbour. 1,000 turns are what GNU's OpenMP itself takes where it knows of too many threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
