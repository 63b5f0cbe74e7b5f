"""Flow runs of processes that are gone do not run for ever, with a real Prefect server and real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pipelines.home import Home
from tests.conftest import CHECKOUT

POOL = "dead-runs"
WORK = """
import sys, time
from prefect import flow, task
from flows.prefect_tools import of_this_process
from pipelines.home import Home

@task
def stage():
    print(runtime.flow_run.id, flush=True)
    time.sleep(600)

@flow
def at_work():
    stage()

from prefect import runtime
with of_this_process(Home(sys.argv[1])):
    at_work()
"""


def test_a_command_that_was_killed_has_crashed_and_one_at_work_has_not(server: None, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    home = Home(tmp_path)
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    words = [sys.executable, "-c", WORK, str(tmp_path)]
    commands = [
        subprocess.Popen(words, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        killed, left = (UUID(command.stdout.readline().strip()) for command in commands if command.stdout)
        commands[0].kill()
        commands[0].wait()
        assert states(killed, left) == ["RUNNING", "RUNNING"]
        ended = end(home)
        assert states(killed, left) == ["CRASHED", "RUNNING"]
        assert len(ended) == 1
        assert [path.name.startswith("process-") for path in (home.prefect / "at-work").iterdir()] == [True]
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            run = client.read_flow_run(killed)
            assert run.state is not None
            assert run.state.message.startswith("Its process is gone: it was killed, or the machine went down")
            tasks = [task.state_type for task in client.read_task_runs() if task.flow_run_id == killed]
            assert [str(state.value) for state in tasks if state] == ["CRASHED"]
        assert end(home) == []
    finally:
        for command in commands:
            command.kill()
            command.wait()


def end(home: Home, pool: str = "") -> list[str]:
    from flows.prefect_tools.dead_runs import end_dead_runs

    return end_dead_runs(home, pool)


def states(*runs: UUID) -> list[str]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [str(client.read_flow_run(run).state_type.value) for run in runs]  # type: ignore[union-attr]


@pytest.fixture
def deployment(server: None) -> Iterator[Any]:
    """Id of a deployment on a pool of its own, and what makes a run of it in a state."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    @flow(name="of-a-pool")
    def of_a_pool() -> None:
        pass

    with get_client(sync_client=True) as client:
        for name in (POOL, "elsewhere"):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"), overwrite=True)

        def run_in(state: Any, pool: str) -> UUID:
            made = client.create_deployment(client.create_flow(of_a_pool), name=pool, work_pool_name=pool)
            run = client.create_flow_run_from_deployment(made)
            client.set_flow_run_state(run.id, state, force=True)
            return run.id

        yield run_in


def test_runs_of_the_own_pool_without_a_process_have_crashed(deployment: Any, tmp_path: Path) -> None:
    from prefect.states import Cancelling, Completed, Pending, Running, Scheduled

    states_before = (Running(), Pending(), Cancelling(), Scheduled(), Completed())
    runs = [deployment(state, POOL) for state in states_before]
    elsewhere, live = deployment(Running(), "elsewhere"), deployment(Running(), POOL)
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, "PREFECT__FLOW_RUN_ID": str(live)}
    )
    try:
        end(Home(tmp_path), POOL)
        assert states(*runs) == ["CRASHED", "CRASHED", "CANCELLED", "SCHEDULED", "COMPLETED"]
        assert states(elsewhere, live) == ["RUNNING", "RUNNING"]
    finally:
        process.communicate(b"\n")
    end(Home(tmp_path), POOL)
    assert states(elsewhere, live) == ["RUNNING", "CRASHED"]


def test_of_a_database_on_a_server_nothing_is_said(
    deployment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Running

    run = deployment(Running(), POOL)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://db/prefect")
    assert end(Home(tmp_path), POOL) == []
    assert states(run) == ["RUNNING"]
