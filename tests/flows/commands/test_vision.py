"""`make benchmark` from the shell: what was typed arrives, and what is refused is said in one breath."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands.vision import main, parse
from simvp.errors import ConfigError
from tests.conftest import CHECKOUT

TINY = "hid_S=4; hid_T=16; N_S=2; N_T=2; groups=4; kernels=[3]; batch_size=2; epoch_updates=2; "
TINY += "validation_clips=2; test_clips=2"


def test_what_was_typed_arrives() -> None:
    settings = parse([])
    assert (settings.data, settings.variant, settings.preset, settings.changes, settings.ablation) == (
        *("moving-mnist", "simvp", None, {}, False),
    )
    settings = parse(["--data", "kth", "--variant", "gsta", "--preset", "full", "--epochs", "7", "--seed", "2",
                   "--set", "kernels=[3, 5];spatial_shortcut=false; device=cpu;learning_rate=1e-3"])  # fmt: skip
    assert (settings.data, settings.variant, settings.preset) == ("kth", "gsta", "full")
    assert settings.changes == {
        "kernels": [3, 5], "spatial_shortcut": False, "device": "cpu", "learning_rate": 1e-3, "epochs": 7, "seed": 2,
    }  # fmt: skip


def test_a_setting_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"SET: expected pairs like batch_size=8;kernels=\[3, 5\], got 'batch_size'"):
        parse(["--set", "batch_size"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data", "moving-mist"], "benchmark 'moving-mist': expected one of moving-mnist"),
        (["--data", "kth"], "benchmark kth: expected"),
        (["--variant", "convlstm"], "variant: expected one of simvp, incepu, gsta, tau, got 'convlstm'"),
        (["--epochs", "many"], "epochs: expected a valid integer"),
        (["--preset", "huge"], "preset: expected one of quick, full, got 'huge'"),
        (["--set", "hidS=4"], "hidS: no setting of that name"),
        (["--ablation", "--set", "hid_T=7"], "hid_T: expected an even number"),
        (["--checkpoint", "none.pth"], "checkpoint none.pth: no such file"),
        (["--checkpoint", "none.pth", "--epochs", "3"], "CHECKPOINT: epochs: a checkpoint is scored as it is"),
    ],
)
def test_what_cannot_be_done_is_one_text_and_exit_2(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert text in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "home").exists()


def test_the_command_trains_scores_and_says_where_everything_is(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("SIMVP_DATA", "MLFLOW_TRACKING_URI")}
    words = [sys.executable, "-m", "flows.commands.vision", "--epochs", "1", "--set", TINY]
    outside = {**environment, "SIMVP_HOME": str(tmp_path), "COLUMNS": "100"}
    first, second = (
        subprocess.run(words, cwd=CHECKOUT, env=outside, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert "moving-mnist, simvp, preset quick" in first or "preset full" in first
    assert "persistence" in first
    assert "chosen on validation" in first
    assert "compare with none of them" in first
    assert "simvp-benchmark-moving-mnist/1, challenger" in first
    report = tmp_path / "benchmarks" / "report.md"
    assert str(report) in first
    assert report.is_file()
    assert "this run exists: nothing was trained again" in second
