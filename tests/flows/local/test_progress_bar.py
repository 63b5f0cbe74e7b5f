"""One bar of progress: what a terminal, a pipe and a notebook get of it."""

import io

import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

from flows.local.progress_bar import ProgressBar
from tests.conftest import CHECKOUT


def shown(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    with ProgressBar(console) as bar:
        bar("reading", 3, 4)
        console.print("beside it")
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_sees_the_bar_which_then_vanishes() -> None:
    text = shown(terminal=True)
    assert "━" * 18 in text
    assert "reading" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # up a line, which is erased


def test_a_pipe_gets_the_lines_alone() -> None:
    assert shown(terminal=False).split() == ["beside", "it"]


def test_a_bar_begins_anew_with_every_thing_that_is_done() -> None:
    bar = ProgressBar(Console(file=io.StringIO()))
    seen = []
    for done, total in ((4, 4), (0, 0), (1, 3)):
        bar("verify", done, total)
        (task,) = bar._progress.tasks
        seen.append((task.completed, task.total, task.finished_time))
    assert seen == [(4, 4, None), (0, None, None), (1, 3, None)]


def test_a_stage_takes_its_bar_away_even_when_it_fails() -> None:
    bar = ProgressBar(Console(file=io.StringIO()))

    def fail() -> None:
        bar("training", 1, 2)
        (task,) = bar._progress.tasks
        assert (task.fields["stage"], task.description) == ("     train", "training")
        raise RuntimeError

    with pytest.raises(RuntimeError), bar.stage("train"):
        fail()
    assert bar._progress.tasks == []


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
    assert "━" * 24 in at_work[0]
    assert "saving" in at_work[0]
    assert "━" not in ended[0]
