"""Killing a writer with SIGKILL at every one of its calls that write, and starting it again.

Run as ``python -m tests.support.killing module:work module:look folder stride``. For n = 1, 1 + stride, ... a forked
process runs ``work(folder/n)`` and is killed at its n-th call: a file renamed, an object of a repository written, a
commit made, a branch made, moved or dropped. Then a second process runs
``look(folder/n)``, as a reader between the two runs would, and ``work(folder/n)`` again, to its end.
``folder/start``, where it exists, is what each of them finds. The first n that is never reached ends the run, and its
folder holds what an unkilled run makes. Forks keep this fast: imports are paid for once, and this process itself starts
no threads.
"""

import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import xarray as xr

from datasets.store import disk
from pipelines.tracking.provenance import CHECKOUT

CALLS: tuple[tuple[Any, str], ...] = (
    (os, "replace"),
    (os, "rename"),
    (icechunk.IcechunkStore, "set"),
    (icechunk.Session, "commit"),
    *((icechunk.Repository, name) for name in ("create_branch", "reset_branch", "delete_branch")),
)


def kill_everywhere(work: str, look: str, folder: Path, *, stride: int = 1) -> list[Path]:
    """Folders after a kill and a second run; the last is of the run that was not killed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.killing", work, look, str(folder), str(stride)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [folder / name for name in done.stdout.split()]


def kill_at_random(work: str, look: str, folder: Path, *, kills: int, seed: int = 0) -> None:
    """Kill ``work(folder)`` that often, each time after a random part of the time that it takes; look after each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killing", work, look, str(folder), str(-kills), str(seed)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _function(name: str) -> Callable[[Path], object]:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _die_at(call: int) -> None:
    """Count calls that change files; the `call`-th is the last thing this process does."""
    count = 0

    def counted(original: Callable) -> Callable:
        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return wrapper

    for owner, name in CALLS:
        setattr(owner, name, counted(getattr(owner, name)))


def _forked(function: Callable[[Path], object], folder: Path, die_at: int = 0) -> int:
    child = os.fork()
    if child == 0:
        # A kill empties no page cache: the order counts.
        setattr(os, "fsync", lambda handle: None)  # noqa: B010
        disk.sync_all = lambda folder: None
        if die_at:
            _die_at(die_at)
        os._exit(_run(function, folder))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _main(work: str, look: str, folder: Path, stride: int) -> None:
    xr.backends.list_engines()  # imports every reader; once for all forks
    worker, reader = _function(work), _function(look)
    call = 1
    while True:
        here = folder / str(call)
        if (folder / "start").exists():
            shutil.copytree(folder / "start", here)
        else:
            here.mkdir()
        code = _forked(worker, here, call)
        assert code in (0, -signal.SIGKILL), f"call {call}: the run ended with {code}"
        assert _forked(lambda here: (reader(here), worker(here)), here) == 0, f"call {call}: second run"
        if code == 0:
            print(call)
            return
        print(call)
        call += stride


def _at_random(work: str, look: str, folder: Path, kills: int, seed: int) -> None:
    xr.backends.list_engines()
    worker, reader, chance = _function(work), _function(look), random.Random(seed)
    start = time.monotonic()
    assert _run_in_fork(worker, folder) == 0
    seconds, killed = time.monotonic() - start, 0
    while killed < kills:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            os._exit(_run(worker, folder))
        until = start + chance.uniform(0, 1.1) * seconds
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.001)
        if ended[0] == 0:
            os.kill(child, signal.SIGKILL)
            killed += 1
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
        else:
            assert os.waitstatus_to_exitcode(ended[1]) == 0, f"the run after {killed} kills"
            seconds = time.monotonic() - start
        assert _run_in_fork(reader, folder) == 0, f"kill {killed}"
    assert _run_in_fork(worker, folder) == 0
    assert _run_in_fork(reader, folder) == 0


def _run_in_fork(function: Callable[[Path], object], folder: Path) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_run(function, folder))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(function: Callable[[Path], object], folder: Path) -> int:
    try:
        function(folder)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    if int(sys.argv[4]) < 0:
        _at_random(sys.argv[1], sys.argv[2], Path(sys.argv[3]), -int(sys.argv[4]), int(sys.argv[5]))
    else:
        _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
