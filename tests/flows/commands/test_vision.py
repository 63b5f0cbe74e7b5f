"""`simvp benchmark` from the shell: what was typed arrives, and what is refused is said in one breath."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands.options import pairs
from simvp.cli import Exit, main
from simvp.errors import ConfigError
from tests.conftest import CHECKOUT

TINY = "hid_S=4; hid_T=16; N_S=2; N_T=2; groups=4; kernels=[3]; batch_size=2; epoch_updates=2; "
TINY += "validation_clips=2; test_clips=2"


def test_what_was_typed_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Planned(Exception):
        pass

    def plan(data: str, **settings: object) -> None:
        raise Planned(data, settings)

    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("pipelines.benchmark.plan_benchmark", plan, raising=False)
    for words, data, settings in (
        ([], "moving-mnist", {"variant": "simvp", "preset": None, "changes": {}}),
        (
            ["kth", "--variant", "gsta", "--preset", "full", "--epochs", "7", "--seed", "2", "--set",
             "kernels=[3, 5];spatial_shortcut=false; device=cpu;learning_rate=1e-3"],
            "kth",
            {"variant": "gsta", "preset": "full", "changes": {
                "kernels": [3, 5], "spatial_shortcut": False, "device": "cpu", "learning_rate": 1e-3, "epochs": 7,
                "seed": 2}},
        ),
    ):  # fmt: skip
        with pytest.raises(Planned) as planned:
            main(["benchmark", *words])
        assert planned.value.args == (data, settings)


def test_a_setting_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"SET: expected pairs as batch_size=8 or kernels=\[3, 5\], got 'batch_size'"):
        pairs(["batch_size"], "SET")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["benchmark", "moving-mist"], "benchmark 'moving-mist': expected one of moving-mnist"),
        (["benchmark", "kth"], "benchmark kth: expected"),
        (["benchmark", "--epochs", "many"], "epochs: expected a valid integer"),
        (["benchmark", "--set", "hidS=4"], "hidS: no setting of that name"),
        (["ablation", "--set", "hid_T=7"], "hid_T: expected an even number"),
        (["benchmark", "--checkpoint", "none.pth"], "checkpoint none.pth: no such file"),
        (
            ["benchmark", "--checkpoint", "none.pth", "--epochs", "3"],
            "CHECKPOINT: epochs: a checkpoint is scored as it is",
        ),
    ],
)
def test_what_cannot_be_done_is_one_text_and_exit_1(
    words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert main(words) == Exit.REFUSED
    shown = capsys.readouterr()
    assert text in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("option", "word"), [("--variant", "convlstm"), ("--preset", "huge")])
def test_a_choice_that_is_none_is_usage(option: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", option, word]) == Exit.USAGE
    assert word in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_trains_scores_and_says_where_everything_is(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("SIMVP_DATA", "MLFLOW_TRACKING_URI")}
    words = [sys.executable, "-m", "simvp", "benchmark", "--epochs", "1", "--set", TINY]
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


def test_the_module_itself_still_takes_the_data_set_as_an_option(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.vision", "--data", "nope"],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.REFUSED
    assert "nope" in done.stderr
    assert "moving-mnist" in done.stderr
