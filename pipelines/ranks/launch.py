"""Starting the processes that train together, telling of their progress, and ending them all when one dies.

They are PyTorch's own (`torch.multiprocessing`), each a fresh interpreter that is called the stage with the same
settings; the system ends them with this process. They find each other by a file and speak over this machine's loopback,
so that no port is open to others.
"""

import os
import pickle
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.multiprocessing import ProcessContext, start_processes

from pipelines.home import Home
from pipelines.progress import Progress, silent
from pipelines.ranks.group import STORE, Shared
from simvp.errors import Refusal

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

C = TypeVar("C", bound=Shared)
R = TypeVar("R")


class RankError(Refusal):
    """A process that died while others trained with it."""


def launched(stage: Callable[..., R], home: Home, config: C, *, progress: Progress, **options: Any) -> R:
    """Run a stage in `config.processes` processes of this machine, which train together; returns its report.

    Parameters
    ----------
    stage
        Called in each as ``stage(home, config, progress=..., **options)``; a function of a module.
    progress
        Told what the first process tells.

    Raises
    ------
    Refusal
        What the stage refused.
    RankError
        A process died; the others were ended.
    """
    folder = Path(tempfile.mkdtemp(prefix="simvp-ranks-"))
    pipes = [torch.multiprocessing.get_context("spawn").Pipe(duplex=False) for _ in range(config.processes)]
    receivers, senders = zip(*pipes, strict=True)
    context = start_processes(
        _work,
        # Tensors in it would else be the same memory in all of them.
        args=(pickle.dumps((stage, home, config, options)), senders, folder),
        nprocs=config.processes,
        join=False,
        start_method="spawn",
    )
    for sender in senders:
        sender.close()  # so that a pipe ends with its process
    told: list[Any] = []
    death: RankError | None = None
    try:
        while _heard(receivers, told, progress, [one.sentinel for one in context.processes if one.exitcode is None]):
            codes = [process.exitcode for process in context.processes]
            if any(codes):
                death = _death(context, codes, folder)
                break
    finally:
        for process in context.processes:
            process.kill()  # nothing, where it has ended
            process.join()
        while _heard(receivers, told, silent, []):  # what they had said before they ended
            pass
        if death is None or any(isinstance(one, Refusal) for one in told):
            shutil.rmtree(folder, ignore_errors=True)
    for refusal in (one for one in told if isinstance(one, Refusal)):
        raise refusal
    if death is not None:
        raise death
    (report,) = told
    return report


def _heard(receivers: tuple[Connection, ...], told: list[Any], progress: Progress, sentinels: Sequence[int]) -> bool:
    """Wait for the processes to tell something or to end; whether there may be more.

    What is told of progress is handed on, reports and refusals are kept.
    """
    open_ = [receiver for receiver in receivers if not receiver.closed]
    if not open_ and not sentinels:
        return False
    ready = wait([*open_, *sentinels])
    for receiver in (receiver for receiver in open_ if receiver in ready):
        try:
            message = pickle.loads(receiver.recv_bytes())
        except EOFError:
            receiver.close()
            continue
        if isinstance(message, tuple):
            progress(*message)
        else:
            told.append(message)
    return True


def _work(rank: int, work: bytes, senders: tuple[Connection, ...], folder: Path) -> None:
    """What one of the processes does. All that is printed goes into its log."""
    log = os.open(_log_of(folder, rank), os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    for number, sender in enumerate(senders):
        if number != rank:
            sender.close()
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, LOOPBACK)
    count = len(senders)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), STORE: _store_of(folder)}
    # Else each would take all cores, and they would wait for each other in every step.
    torch.set_num_threads(max(1, torch.get_num_threads() // count))

    def say(message: Any) -> None:
        # Whole: PyTorch's own way leaves tensors in memory that goes with the process.
        senders[rank].send_bytes(pickle.dumps(message))

    def tell(what: str, done: int, total: int) -> None:
        say((what, done, total))

    try:
        stage, home, config, options = pickle.loads(work)
        report = stage(home, config, progress=tell if rank == 0 else silent, **options)
    except Refusal as refusal:
        say(refusal)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        raise
    if rank == 0:
        say(report)


def _log_of(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.log"


def _store_of(folder: Path) -> str:
    return (folder / "store").as_uri()


def _death(context: ProcessContext, codes: Sequence[int | None], folder: Path) -> RankError:
    """Which process died, of what, and where its log is."""
    # One that fails since another was killed may be noticed at the same time.
    rank = min((rank for rank, code in enumerate(codes) if code), key=lambda rank: codes[rank] or 0)
    code, error = codes[rank] or 0, Path(context.error_files[rank])
    if code < 0:
        name = signal.Signals(-code).name
        cause = f"was ended by {name}" + (", as a system does that is out of memory" if name == "SIGKILL" else "")
    elif error.is_file():
        cause = f"failed: {pickle.loads(error.read_bytes()).strip().splitlines()[-1]}"
        error.unlink()
    else:
        cause = f"ended with exit code {code}"
    return RankError(
        f"Training in {len(codes)} processes",
        [
            f"rank {rank} (process {context.processes[rank].pid}) {cause}; the training was ended, what it printed is "
            f"in {_log_of(folder, rank)}"
        ],
        "start the same training again: it goes on from its last checkpoint, with any number of processes",
    )
