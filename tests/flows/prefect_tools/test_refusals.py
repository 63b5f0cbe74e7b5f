"""How flows fail: refusals in their own words, faults of the code with their traceback, and what is tried again."""

import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from flows.prefect_tools import flow, listen, stage_task
from pipelines.home import Home
from pipelines.progress import Progress
from simvp.errors import ConfigError, Refusal, Unavailable
from tests.conftest import CHECKOUT


def last_run(name: str) -> Any:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        chosen = FlowFilter(name=FlowFilterName(any_=[name]))
        return client.read_flow_runs(flow_filter=chosen, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def refuse(home: Home, *, progress: Progress) -> None:
    raise ConfigError("Data set x", ["expected a", "got b"], "give one")


@pytest.mark.parametrize("by", ["task", "flow"])
def test_a_refusal_is_the_message_of_the_failed_state(by: str, server: None, caplog: pytest.LogCaptureFixture) -> None:
    task = stage_task("refuse", refuse)

    @flow(f"refusing-{by}")
    def refusing(dataset: str = "x") -> None:
        """Refuse.

        Args:
            dataset: Name.
        """
        task() if by == "task" else refuse(Home.default(), progress=lambda *_: None)

    caplog.set_level(logging.INFO)
    with pytest.raises(ConfigError) as refused:  # who calls it from Python gets it as it is
        refusing()
    run = last_run(f"refusing-{by}")
    assert run.state.is_failed()
    assert run.state.message == str(refused.value) == "Data set x:\n  - expected a\n  - got b\nTo mend it: give one"
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    words = [record.getMessage() for record in said]
    assert [one for one in words if not one.startswith("Finished in state Failed(")] == [str(refused.value)]
    assert not any(record.exc_info for record in caplog.records)
    assert refusing.parameters.properties["dataset"]["description"] == "Name."


def test_a_flow_without_a_server_is_refused_and_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

    @flow("alone")
    def alone() -> None:
        raise AssertionError("it began")

    monkeypatch.setattr(SubprocessASGIServer, "start", lambda *_: pytest.fail("a server without doors was started"))
    allowed = {PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}  # as Prefect's own first profile
    with temporary_settings(allowed), pytest.raises(ConfigError) as refused:
        alone()
    assert str(refused.value) == (
        "Flow alone: PREFECT_API_URL names no Prefect server, and none is started for a single flow: it would answer "
        "every page that is open on this machine\nTo mend it: run `make up` and set "
        "PREFECT_API_URL=http://127.0.0.1:4200/api, or call the stage, which needs no server: its function in "
        "`pipelines`"
    )


def test_prefect_starts_no_server_by_itself_in_this_folder(tmp_path: Path) -> None:
    command = "from prefect.settings import PREFECT_SERVER_ALLOW_EPHEMERAL_MODE as one; print(one.value())"
    words, none = [sys.executable, "-c", command], str(tmp_path / "none.toml")
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_PROFILES_PATH": none}
    for folder, allowed in ((CHECKOUT, "False\n"), (tmp_path, "True\n")):  # elsewhere as Prefect's first profile says
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == allowed


def test_a_fault_of_the_code_keeps_its_traceback(server: None, caplog: pytest.LogCaptureFixture) -> None:
    def broken(home: Home, *, progress: Progress) -> None:
        raise KeyError("a bug")

    task = stage_task("broken", broken)

    @flow("breaking")
    def breaking() -> None:
        task()

    with pytest.raises(KeyError):
        breaking()
    assert last_run("breaking").state.message == "Flow run encountered an exception: KeyError: 'a bug'"
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


def tries(raised: list[Refusal], monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[str]]:
    """How often a stage that raises these, one each time, is called, and what its listener hears."""
    module = importlib.import_module("flows.prefect_tools.stage_task")
    monkeypatch.setattr(module, "RETRY_SECONDS", (0, 0))
    calls: list[int] = []

    def unsteady(home: Home, *, progress: Progress) -> str:
        calls.append(len(calls))
        if raised:
            raise raised.pop(0)
        return "done"

    task = stage_task("unsteady", unsteady)

    @flow("trying")
    def trying() -> str:
        return task()

    heard: list[str] = []
    with listen(lambda what, done, total: heard.append(what)):
        try:
            assert trying() == "done"
        except Refusal as refusal:
            heard.append(str(refusal))
    return calls, heard


def test_only_what_is_unavailable_is_tried_again(
    server: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls, heard = tries([Unavailable("source a", ["the server answers 503"])] * 2, monkeypatch)
    assert len(calls) == 3
    assert heard == ["unsteady: not now, source a; it is tried again"] * 2
    assert caplog.text.count("source a: the server answers 503\nTo mend it: try again later") == 2

    calls, heard = tries([Unavailable("source a", ["the server answers 503"])] * 9, monkeypatch)
    assert len(calls) == 3
    assert heard[-1] == "source a: the server answers 503\nTo mend it: try again later"
    assert last_run("trying").state.message == heard[-1]
    assert "Traceback" not in caplog.text

    calls, heard = tries([ConfigError("a", ["b"])], monkeypatch)
    assert (len(calls), heard) == (1, ["a: b"])
