"""Flow runs whose process is gone, killed together with the server that should have heard of it.

Prefect calls them running for ever. A run of a worker is known by the variable that its process has, one of a command
by a lock that the command holds and that its runs name in a tag, so that no run is ended that is still at work. Of a
database on a server nothing is said: the process may be one of another machine.
"""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psutil
from filelock import FileLock, Timeout
from prefect import get_client, tags
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Crashed

from flows.local import prefect_file
from pipelines.home import Home

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

__all__ = ["end_dead_runs", "of_this_process"]

AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
MESSAGE = (
    "Its process is gone: it was killed, or the machine went down, before it could say how it ended. What it had "
    "finished is kept; run it again, and it goes on from there."
)
_TAG, _VARIABLE, _PAGE = "process-", "PREFECT__FLOW_RUN_ID", 200


@contextmanager
def of_this_process(home: Home) -> Iterator[None]:
    """Mark the flow runs of the block as this process's, so that another one can tell whether they are at work.

    Parameters
    ----------
    home
        In which they run.
    """
    name = f"{_TAG}{uuid.uuid4().hex[:12]}"
    _locks(home).mkdir(parents=True, exist_ok=True)
    lock = FileLock(_locks(home) / name)
    with lock, tags(name):
        yield
    Path(lock.lock_file).unlink(missing_ok=True)


def end_dead_runs(home: Home, pool: str = "") -> list[str]:
    """Give runs whose process is gone, and their tasks, the state Crashed, or Cancelled where that was asked for.

    Parameters
    ----------
    home
        Whose database the server at `PREFECT_API_URL` has.
    pool
        Work pool whose worker ran on this machine.

    Returns
    -------
    list of str
        Names of these runs.
    """
    if prefect_file(home) is None:
        return []
    here = _runs_here()
    with get_client(sync_client=True) as client:
        dead = [run for run in _runs(client) if _is_dead(home, run, pool, here)]
        for run in dead:
            asked = run.state_type == StateType.CANCELLING
            client.set_flow_run_state(run.id, (Cancelled if asked else Crashed)(message=MESSAGE), force=True)
            for task in _tasks(client, run):
                client.set_task_run_state(task, Crashed(message=MESSAGE), force=True)
    return [run.name for run in dead]


def _runs(client: "SyncPrefectClient") -> "list[FlowRun]":
    """All flow runs that are not said to have ended."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=AT_WORK)))
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(runs)):
        runs += page
    return runs


def _tasks(client: "SyncPrefectClient", run: "FlowRun") -> list[UUID]:
    found = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))),
        limit=_PAGE,
    )
    return [task.id for task in found]


def _is_dead(home: Home, run: "FlowRun", pool: str, here: set[str]) -> bool:
    """Whether a run was one of this home's worker or commands, and its process is gone."""
    own = [tag for tag in run.tags if tag.startswith(_TAG)]
    if own:
        return not any(_is_held(_locks(home) / tag) for tag in own)
    return bool(pool) and run.work_pool_name == pool and str(run.id) not in here


def _locks(home: Home) -> Path:
    return home.prefect / "at-work"


def _is_held(file: Path) -> bool:
    """Whether a process holds a lock; the file of one that is gone is removed."""
    if not file.is_file():
        return False
    try:
        with FileLock(file, timeout=0):
            file.unlink()
            return False
    except Timeout:
        return True


def _runs_here() -> set[str]:
    """Ids of the flow runs that processes of this machine run for a worker."""
    found = set()
    for process in psutil.process_iter():
        try:
            found.add(process.environ().get(_VARIABLE, ""))
        except psutil.Error:  # it is gone, or somebody else's, and then no run of ours
            continue
    return found


if __name__ == "__main__":
    for name in end_dead_runs(Home.default(), sys.argv[1]):
        print(name)
