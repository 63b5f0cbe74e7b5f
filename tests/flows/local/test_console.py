"""What a command says: stage by stage on a terminal and in a pipe, and the leads of the skill table."""

import io
import re

import pytest
from rich.console import Console

from flows.local.console import StageConsole, chosen_leads


def run(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, highlight=False)
    with StageConsole(console) as shown:
        with shown.stage("ingest"):
            shown.progress("ingest", 3, 4)
            shown.progress._progress.refresh()  # which a thread does ten times a second
            shown.lines("rows\nof the archive")
        shown.progress._progress.refresh()
        shown.note("Gate", "it is better")
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_pipe_gets_a_line_for_every_stage_and_no_bar() -> None:
    text = re.sub(r"\d\.\d s", "0.0 s", run(terminal=False))
    assert text.split("\n") == [
        *("            rows", "            of the archive", "    ingest  0.0 s", "", "Gate: it is better", "", ""),
    ]


def test_a_terminal_gets_the_bar_of_the_stage_at_work_below_its_lines() -> None:
    text = run(terminal=True)
    assert re.search(r"of the archive\n    ingest ━+ +ingest 0:00:00", text)
    assert "━" not in text[text.index("Gate:") :]


def test_a_stage_that_fails_says_no_time() -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(RuntimeError), StageConsole(console) as shown, shown.stage("train"):
        raise RuntimeError
    assert "train" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_table_shows_first_and_last_lead() -> None:
    assert chosen_leads(3) == [0, 1, 2]
    assert chosen_leads(12) == list(range(12))
    assert (chosen_leads(48)[0], chosen_leads(48)[-1], len(chosen_leads(48))) == (0, 47, 12)
