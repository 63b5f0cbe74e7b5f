"""Faults of the machine under a stage, as refusals: full disks, rights, locks, networks, a home that was taken away.

It is said in one place, around a whole stage or command; what is no fault of the machine passes with its traceback.
"""

import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pipelines.home import Home
from simvp.errors import Refusal, Unavailable, fault_around

P = ParamSpec("P")
R = TypeVar("R")


def stage(function: Callable[Concatenate[Home, P], R]) -> Callable[Concatenate[Home, P], R]:
    """A stage that refuses where the machine fails; whoever calls it, a flow, a command or a notebook."""

    @functools.wraps(function)
    def run(home: Home, *args: P.args, **kwargs: P.kwargs) -> R:
        with faults_in_words(home):
            return function(home, *args, **kwargs)

    return run


@contextmanager
def faults_in_words(home: Home) -> Iterator[None]:
    """Let errors of the machine and of networks come out as refusals that name the home.

    Raises
    ------
    Unavailable
        A network, a server or a lock that may be free later.
    Refusal
        Any other fault of the machine, or the home was removed meanwhile.
    """
    held = _held(home.path)
    try:
        yield
    except Exception as error:
        if gone := _gone(home, held, error):
            subject, remedy = f"SIMVP_HOME {home.path}", "put it back, or run again: a new home begins empty"
            raise Refusal(subject, [f"{gone} was removed while it was in use"], remedy) from error
        if isinstance(error, Refusal):
            raise
        # On a full disk libraries and servers fail in ways that do not tell.
        seen = OSError(errno.ENOSPC, "") if _full(home.path) else error
        fault = fault_around(seen, f"SIMVP_HOME {home.path}")
        if isinstance(fault, Unavailable):
            raise Unavailable(f"Not now (SIMVP_HOME {home.path})", fault.reasons, fault.remedy) from error
        if fault is None:
            raise
        raise fault from error
    finally:
        if held is not None:
            os.close(held)


def _held(folder: Path) -> int | None:
    """The folder, open: while it is, no other gets its number, also where one of its name takes its place."""
    try:
        return os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # not made yet, or not to be read
        return None


def _full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 2**18
    except OSError:
        return False


def _gone(home: Home, held: int | None, error: Exception) -> str:
    """What of the home was there and is no more; empty where that is not what is wrong."""
    if held is not None:
        try:
            if not os.path.samestat(os.fstat(held), os.stat(home.path)):
                return "it"
        except FileNotFoundError:
            return "it"
    named = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(named, str) or Path(named).parent.is_dir() or home.path not in Path(named).parents:
        return ""
    return next(str(folder) for folder in reversed(Path(named).parents) if not folder.exists())
