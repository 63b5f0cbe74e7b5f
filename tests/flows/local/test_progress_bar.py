"""One bar of progress: what a terminal, a pipe and a notebook get of it."""

import io

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

from flows.local.progress_bar import ProgressBar, duration
from tests.conftest import CHECKOUT

TRAINING = "training: epoch 12/400, loss 0.1234, validation t2m RMSE 1.234, 125 s left"


def shown(*, terminal: bool, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    with ProgressBar(console) as bar:
        bar("reading", 3, 4)
        bar._live.refresh()  # which a thread does eight times a second
        console.print("beside it")
    return console.file.getvalue()  # type: ignore[attr-defined]


def lines(width: int, *told: tuple[str, int, int], stage: str = "train", seconds: float = 10.0) -> list[str]:
    """What stands on a screen after a stage has told some things, one every `seconds`."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bar = ProgressBar(console)
    now = iter(1000.0 + seconds * number for number in range(len(told)))
    with pytest.MonkeyPatch.context() as patch:
        clock = [1000.0]
        patch.setattr("flows.local.progress_bar.time.monotonic", lambda: clock[0])
        with bar.stage(stage):
            for what, done, total in told:
                clock[0] = next(now)
                bar(what, done, total)
            console.print(bar._lines, end="")
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_terminal_sees_the_bar_which_then_vanishes() -> None:
    text = shown(terminal=True)
    assert "━" * 18 in text
    assert "reading" in text
    assert "3 of 4" in text
    left = text.rpartition("\x1b[1A\x1b[2K")[2]  # up a line, which is erased
    assert "reading" not in left
    assert "━" not in left


def test_a_pipe_gets_the_lines_alone() -> None:
    assert shown(terminal=False).split() == ["beside", "it"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_line_has_the_stage_and_nothing_is_cut(width: int) -> None:
    found = lines(width, (TRAINING, 100, 4000), (TRAINING, 200, 4000))
    assert all(line.startswith("     train  ") and len(line) <= width for line in found)
    words = " ".join(line.removeprefix("     train  ") for line in found)
    for clause in ("200 of 4,000", "10/s", "10 s", *TRAINING.split(", ")):
        assert clause in words
    assert "…" not in words
    assert any("125 s left, training: epoch 12/400" in line for line in found) or width < 60
    assert ("━" in words or "╸" in words) == (width >= 60)


def test_the_bar_says_the_time_left_where_the_stage_does_not() -> None:
    first, second = lines(80, ("verify", 10, 100), ("verify", 20, 100))
    assert "20 of 100  1/s" in first
    assert second == "     train  80 s left, verify"
    assert lines(80, ("verify", 10, 100))[1] == "     train  verify"  # one look tells no rate
    assert lines(80, ("fitting", 0, 0), ("fitting", 0, 0))[1] == "     train  fitting"


def test_the_rate_is_that_of_the_last_half_minute_and_of_one_thing() -> None:
    told = [("copy", done, 1000) for done in (0, 1, 2, 3, 53, 103, 153)]
    assert "5/s" in lines(80, *told)[0]
    assert "2,400/s" in lines(80, ("copy", 0, 90_000), ("copy", 24_000, 90_000))[0]  # no 2.4e+03
    assert "/s" not in lines(80, ("copy", 0, 9), ("copy", 9, 9), ("verify", 0, 50))[0]


def test_a_stage_takes_its_bar_away_even_when_it_fails() -> None:
    bar = ProgressBar(Console(file=io.StringIO()))

    def fail() -> None:
        bar("training", 1, 2)
        assert bar._lines.at_work
        raise RuntimeError

    with pytest.raises(RuntimeError), bar.stage("train"):
        fail()
    assert not bar._lines.at_work


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (0.4, 99, 100, 3600, 9000)] == ["0 s", "99 s", "2 min", "60 min", "2.5 h"]


def test_a_notebook_shows_the_bar_in_the_cell_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    notebook = nbformat.v4.new_notebook()
    work = "from flows.local import ProgressBar\nbar = ProgressBar().__enter__()\n"
    # Words that change, as those of a training do: most of the calls come too soon to be shown.
    work += (
        "for update in range(1, 500):\n    bar(f'training: loss {1 / update}', update, 500)\nbar('saving', 500, 500)"
    )
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in (work, work + "\nbar.__exit__()")]
    NotebookClient(notebook, timeout=120).execute()
    at_work, ended = (["".join(output["data"]["text/html"]) for output in cell.outputs] for cell in notebook.cells)
    assert len(at_work) == len(ended) == 1
    assert "━" * 20 in at_work[0]
    assert "saving" in at_work[0]
    assert "━" not in ended[0]
