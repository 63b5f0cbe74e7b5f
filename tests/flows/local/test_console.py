"""What a command says: stage by stage on a terminal and in a pipe, and the leads of the skill table."""

import io
import re

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from flows.local.console import StageConsole, chosen_leads, skill_tables
from simvp.scoring import NAMES


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
        *("            rows", "            of the archive", "    ingest  0.0 s", "", "Gate: it is better", "", ""),
    ]


def test_a_terminal_gets_the_bar_of_the_stage_at_work_below_its_lines() -> None:
    text = run(terminal=True)
    assert re.search(r"of the archive\n    ingest  ━+ +3 of 4  0 s *\n    ingest  ingest", text)
    assert "━" not in text[text.index("Gate:") :]


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
        (row,) = [line for line in lines if line.split("  ")[0].strip() == name.replace("_", " ")]
        assert row.split()[-1] == "1235"
    (head,) = [line for line in lines if line.strip().startswith("lead")]
    assert head.split()[1:3] == ["1", "h"]
    assert head.split()[-3:] == ["48", "h", "all"]


def test_table_shows_first_and_last_lead() -> None:
    assert chosen_leads(3) == [0, 1, 2]
    assert chosen_leads(12) == list(range(12))
    assert (chosen_leads(48)[0], chosen_leads(48)[-1], len(chosen_leads(48))) == (0, 47, 12)
