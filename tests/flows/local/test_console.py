"""What a command says: stage by stage on a terminal and in a pipe, and the leads of the skill table."""

import io
import os
import pty
import re
import sys

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from flows.local.console import StageConsole, chosen_leads, skill_tables
from simvp.scoring import NAMES
from tests.conftest import CHECKOUT


def run(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, highlight=False)
    with StageConsole(console) as shown:
        with shown.stage("ingest"):
            shown.progress("ingest", 3, 4)
            shown.progress._live.refresh()  # which a thread does eight times a second
            shown.lines("rows\nof the archive")
        shown.progress._live.refresh()
        shown.note("Gate", "it is better")
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_pipe_gets_a_line_for_every_stage_and_no_bar() -> None:
    text = re.sub(r"\d\.\d s", "0.0 s", run(terminal=False))
    assert text.split("\n") == [
        *("            rows", "            of the archive", "    ingest  0.0 s", "", "Gate: it is better", ""),
    ]


def test_a_terminal_gets_the_bar_of_the_stage_at_work_below_its_lines() -> None:
    text = run(terminal=True)
    assert re.search(r"of the archive\n    ingest  ━+ +3 of 4  0 s *\n    ingest  ingest", text)
    assert "━" not in text[text.index("Gate:") :]


def test_a_screen_breaks_lines_between_words_and_a_pipe_gets_them_whole() -> None:
    line = "train       derived, 16 windows: /a/path/that/is/long and words"
    for terminal, width, shown in (
        (False, 40, [f"            {line}"]),
        (
            True,
            50,
            [
                "            train       derived, 16 windows:",
                "                        /a/path/that/is/long and",
                "                        words",
            ],
        ),
        (
            True,
            40,
            [
                "            train       derived, 16",
                "                        windows:",
                "                        /a/path/that/is/long",  # whole, though it is too long
                "                        and words",
            ],
        ),
    ):
        console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
        StageConsole(console).lines(line)
        assert console.file.getvalue().splitlines() == shown  # type: ignore[attr-defined]


def test_a_stage_that_fails_says_no_time() -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(RuntimeError), StageConsole(console) as shown, shown.stage("train"):
        raise RuntimeError
    assert "train" not in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_skill_table_fits_any_screen_with_every_baseline(width: int) -> None:
    names = ["model", "unmixed", "base", *NAMES, "extrapolation"]
    shape = (len(names), 1, 48)
    values = np.full(shape, 1234.567)
    table = xr.Dataset(
        {
            **dict.fromkeys(("rmse", "n"), (("system", "variable", "lead_time"), values)),
            **{f"{name}_all": (("system", "variable"), values[..., 0]) for name in ("rmse", "n")},
        },
        coords={"system": names, "variable": ["rain"], "units": ("variable", ["mm"]),
                "lead_hours": ("lead_time", np.arange(1.0, 49))},
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=width, color_system=None)
    (shown,) = skill_tables(table, width)
    console.print(shown)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "…" not in text
    for name in names:
        (row,) = [line for line in lines if re.split(r"\s{2,}", line.strip())[0] == name.replace("_", " ")]
        assert row.split()[-1] == "1235"
    (head,) = [line for line in lines if line.strip().startswith("lead")]
    assert head.split()[1:3] == ["1", "h"]
    assert head.split()[-3:] == ["48", "h", "all"]


def test_table_shows_first_and_last_lead() -> None:
    assert chosen_leads(3) == [0, 1, 2]
    assert chosen_leads(12) == list(range(12))
    assert (chosen_leads(48)[0], chosen_leads(48)[-1], len(chosen_leads(48))) == (0, 47, 12)


def test_a_stage_that_has_ended_keeps_its_name_on_a_real_terminal() -> None:
    code = "from rich.console import Console; from flows.local.console import StageConsole\n"
    code += "with StageConsole(Console(highlight=False)) as console:\n"
    for name in ("ingest", "train"):
        code += (
            f"    with console.stage('{name}'): console.progress('at work', 1, 2); console.progress._live.refresh()\n"
        )
    text = in_terminal([sys.executable, "-c", code], columns=60)
    rows: list[str] = []
    for line in re.sub(r"\x1b\[\?25.", "", text).split("\n"):
        for part in re.split(r"(\x1b\[1A|\x1b\[2K|\r)", line):
            if part == "\x1b[1A":
                rows.pop()
            elif part == "\x1b[2K":
                rows[-1:] = [""]
            elif part and part != "\r":
                rows[-1:] = [rows[-1] + part if rows else part]
        rows.append("")
    shown = [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in rows]
    for name in ("ingest", "train"):
        assert [row for row in shown if re.fullmatch(rf" +{name}  \d+\.\d s", row.rstrip())], shown


def in_terminal(command: list[str], columns: int) -> str:
    """What a program writes to a terminal of that width."""
    pid, handle = pty.fork()
    if pid == 0:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "PYTHONPATH": str(CHECKOUT)}
        os.execve(command[0], command, environment)
    found = b""
    while True:
        try:
            piece = os.read(handle, 65536)
        except OSError:  # its end, on Linux
            break
        if not piece:
            break
        found += piece
    os.waitpid(pid, 0)
    return found.decode()
