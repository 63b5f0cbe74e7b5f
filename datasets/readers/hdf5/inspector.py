"""Asks a process of its own what is wrong with an HDF5 file: a file that kills the library there does no harm here.

HDF5 and NetCDF-C trust what stands in a file: an attribute of a wrong type, `NAME` as numbers or a `_Netcdf4Dimid` of
two milliards, ends the interpreter. The process is started at the first HDF5 file (0.25 s) and is asked about every one
(about 1 ms) until this process ends; many files are asked about on several threads, each with a process. The price is
paid for HDF5 alone: classic NetCDF and GRIB are checked here (`formats`, `grib`), Zarr is read by Python.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

from simvp.budget import BUDGET
from simvp.errors import SourceError

SHOWN = 6
SCRIPT = Path(__file__).with_name("faults.py")
# What the process may take for all of its work: its libraries' 0.5 GiB, and a few copies of the largest chunk.
MEMORY = 4 * BUDGET
SECONDS = 60  # for the structure of one file, or for one of its chunks

_Process = subprocess.Popen[bytes]
_free: LifoQueue[tuple[int, _Process]] = LifoQueue()
"""Processes that nobody asks at the moment, with the id of the one that started them: a fork has none of its own."""


def refuse_foreign(path: str) -> None:
    """Refuse an HDF5 file that cannot be read as NetCDF-4, would be read wrong, or reaches beyond itself.

    Raises
    ------
    SourceError
        Links into other files, virtual datasets and external storage, which read whatever file they name. Numbers of a
        type that NetCDF has none for: netCDF-C kills the interpreter when it reads float16 or float128
        (github.com/Unidata/netcdf-c/issues/3439), and passes over attributes of such types, packing among them. Links
        that lead nowhere, or back to a group around them, which it follows for ever. Chunks that are larger than they
        say. Whatever else the library does not survive. Or ODIM, whose values only its own attributes explain.
    """
    answer = _ask(path, netcdf=True)
    faults, odd = list(answer.get("faults", [])), list(answer.get("odd", []))
    if answer.get("odim"):
        reason = "ODIM HDF5 of weather radar is not read: its values are scaled bytes in groups (dataset1/data1) whose"
        remedy = "meaning, place and time stand in attributes of what and where; convert it to CF NetCDF first"
        raise SourceError("", [f"{reason} {remedy}"])
    if faults:
        raise SourceError("", faults[:SHOWN])
    if odd:
        listed = ", ".join(odd[:SHOWN]) + (f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else "")
        raise SourceError("", [f"{listed}: NetCDF has no such type; store float32 instead"])
    if (ended := answer.get("ended")) is not None:
        raise SourceError("", [_ending(ended)])


def refuse_pointers(path: str | Path) -> None:
    """Refuse an HDF5 file that leads out of itself, or whose chunks are larger than they say; others pass.

    For files that are read with h5py, in which NetCDF's types and dims are nothing.

    Raises
    ------
    SourceError
        With reasons alone.
    """
    answer = _ask(str(path), netcdf=False)
    if faults := answer.get("faults"):
        raise SourceError("", faults[:SHOWN])
    if (ended := answer.get("ended")) is not None:
        raise SourceError("", [_ending(ended)])


def _ask(path: str, *, netcdf: bool) -> dict[str, Any]:
    """What the process says; "ended": how it ended instead."""
    process = _taken()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps([os.path.abspath(path), netcdf]).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = b""
    if not line.endswith(b"\n"):
        return {"ended": process.wait()}
    _free.put((os.getpid(), process))
    answer: dict[str, Any] = json.loads(line)
    return answer


def _taken() -> _Process:
    """A process that is asked by nobody else."""
    while True:
        try:
            parent, process = _free.get_nowait()
        except Empty:
            return _started()
        if parent == os.getpid() and process.poll() is None:
            return process


@atexit.register
def _end() -> None:
    """End the processes that nobody asks, so that none outlives this one."""
    while True:
        try:
            parent, process = _free.get_nowait()
        except Empty:
            return
        if parent == os.getpid():
            process.stdin.close()  # type: ignore[union-attr]  # a pipe
            process.wait()


def _started() -> _Process:
    command = [sys.executable, "-P", str(SCRIPT), str(BUDGET), str(MEMORY), str(SECONDS)]
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # stacks of threads would count as memory
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **quiet},
        start_new_session=True,  # Ctrl-C is for the one who asks; without it this one ends by itself
    )


def _ending(code: int) -> str:
    if code == -signal.SIGALRM:
        return (
            f"the HDF5 library does not come to an end with this file ({SECONDS} s): it is damaged, or made to do harm"
        )
    how = f"was killed by it ({signal.Signals(-code).name})" if code < 0 else f"ended with it (exit code {code})"
    remedy = "it is damaged, or made to do harm; fetch it again, or write it anew (nccopy, h5repack)"
    return f"a process that opened it as NetCDF-4 to see whether that is safe {how}: {remedy}"
