"""What the log of a flow run gets of the progress, and who hears it instead."""

import logging

import pytest

from flows.prefect_tools import progress
from flows.prefect_tools.progress import LOG_SECONDS, listen, reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the log is told, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "get_run_logger", lambda: logging.getLogger("run"))
    return now


def test_the_log_gets_a_line_now_and_then_whatever_the_words(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "run")
    log = reporter()
    log("reading the archive", 0, 0)
    for update in range(1, 61):
        clock[0] += LOG_SECONDS / 20
        log(f"training: loss {1 / update:.2f}", update, 60)
    log("saving the model", 60, 60)
    assert caplog.messages == [
        "reading the archive",
        "training: loss 0.05: 20 of 60",
        "training: loss 0.03: 40 of 60",
        "training: loss 0.02: 60 of 60",
        "saving the model: 60 of 60",
    ]


def test_the_log_counts_what_has_no_known_end(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "run")
    reporter()("reading", 7, 0)
    assert caplog.messages == ["reading: 7"]


def test_a_listener_hears_instead_of_the_log_while_its_block_runs(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "run")
    heard = []
    with listen(lambda *event: heard.append(event)):
        reporter()("verify", 1, 2)
    assert heard == [("verify", 1, 2)]
    assert caplog.messages == []
    reporter()("verify", 2, 2)
    assert len(heard) == 1
    assert caplog.messages == ["verify: 2 of 2"]
