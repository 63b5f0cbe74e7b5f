"""A stage of which one process ends while another would wait for a long time; quick to import, since it is spawned."""

import os
import signal
import time

from pipelines.home import Home
from pipelines.progress import Progress
from pipelines.ranks import joined
from simvp.errors import ConfigError
from simvp.settings import Settings

WAITS = 600


class Pair(Settings):
    """Settings of two processes."""

    processes: int = 2
    batch_size: int = 2


def dying(home: Home, config: Pair, *, progress: Progress, how: str) -> str:
    """The second process ends in its way once both have met; the first would wait for it."""
    import torch

    with joined(torch.device("cpu")) as ranks:
        progress("met", ranks.size, 2)
        if how == "nothing":
            return f"{ranks.once(lambda: os.getpid())} of {ranks.size}"
        if ranks.rank == 1 and how != "waits":
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "refuses":
                raise ConfigError("the second", ["expected more"], "give more")
            if how == "fails":
                print("about to fail", flush=True)
                raise ZeroDivisionError("by nothing")
            os._exit(7)
        if how in ("killed", "fails"):
            ranks.once(lambda: time.sleep(0.1))  # the group tells it, too, that the other has gone
        time.sleep(WAITS)
    return "never"
