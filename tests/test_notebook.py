"""The notebook runs from top to bottom, and shows what it says."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import CHECKOUT
from tests.support.small_home import DATASET, FRAMES_OUT, small_home

NOTEBOOK = CHECKOUT / "notebooks" / "forecast.ipynb"


def test_notebook_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home, _folder = small_home()
    monkeypatch.setenv("SIMVP_HOME", str(home.path))
    monkeypatch.setenv("SIMVP_DATASET", DATASET)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))  # where simvp is not installed
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # What the reader would look at, asked of the kernel.
    asked = nbformat.v4.new_code_cell(
        "print(predicted.shape, scores.sizes['lead_time'], float(scores.forecast.mean()) < 20)\n"
        "print((forecast.valid_time == truth.valid_time).all().item())"
    )
    notebook.cells.append(asked)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    shape = (FRAMES_OUT, 8, 8)
    assert asked.outputs[0]["text"] == f"{shape} {FRAMES_OUT} True\nTrue\n"
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2


def test_notebook_is_committed_without_output() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
