"""The stages, init, status and score as commands, from files to a forecast; every exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flows.commands.init import SCHEMA, schema_text
from flows.local import free_port
from pipelines.home import Home
from simvp.cli import Exit, main
from tests.conftest import CHECKOUT
from tests.support.small_home import DATASET, small_home, write_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of a person's own."""
    monkeypatch.delenv("SIMVP_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = Exit.DONE) -> tuple[str, str]:
    """What a command prints, on its two outputs."""
    capsys.readouterr()
    assert main(words) == code, capsys.readouterr()
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return out, error


def test_files_become_an_archive_by_their_description(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(write_source(folder / "data", days=2))
    out, _ = said(capsys, "init", source, "walk")
    assert "Next: simvp ingest walk" in out
    out, error = said(capsys, "ingest", "walk")
    assert "48 of 48 (0 absent)" in out
    assert error == ""
    assert "every 1 h" in said(capsys, "status", "walk")[0]
    write_source(folder / "data", days=1, first=2)
    (shown,) = json.loads(said(capsys, "status", "--json")[0])["datasets"]
    assert shown["dataset"] == "walk"
    assert (shown["frames"], shown["last"][-8:]) == (48, "23:00:00")
    assert shown["due"] == {"ingest": "1 files are new or have changed", "train": "no model yet"}
    assert said(capsys, "ingest", "walk", "--quiet") == ("", "")
    # A deployment knows the settings by the archive, wherever it runs.
    (folder / "walk.toml").unlink()
    assert "72 of 72" in said(capsys, "ingest", "walk")[0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("ingest", "wlak"), "data set wlak: there is no wlak.toml in this folder, no archive of it in"),
        (("ingest", "era5uk"), "(did you mean 'era5-uk'?)"),
        (("ingest", "none.toml"), "none.toml: there is no such file"),
        (("train", "walk"), "data set walk: there is no archive of it in"),
        (("status", "wlak"), "data set wlak: there is no wlak.toml in this folder"),
        (("train", "walk", "--set", "epoch=3"), "epoch: no setting of that name (did you mean 'epochs'?)"),
        (("forecast", "walk"), "To mend it: simvp ingest walk; or see what there is: simvp status"),
        (("promote", "walk", "--rollback", "--version", "3"), "a rollback judges nothing"),
        (("verify", "walk"), "data set walk: there is no archive of it in"),
        (("init", "none.nc", "walk"), "there is no file or folder"),
        (("init", "none.nc", "../walk"), "data set name '../walk'"),
        (("status",), "no data set has an archive in"),
        (("status", "../up"), "data set name"),
    ],
)
def test_a_refusal_is_its_message_on_the_error_output_and_exit_1(
    words: tuple[str, ...], text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, error = said(capsys, *words, code=Exit.REFUSED)
    assert text in error
    assert out == ""
    assert len(error.splitlines()) <= 4
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("ingst", "walk"), ("ingest",), ("ingest", "walk", "--sources", "x"), ("verify", "x", "--kind", "y")]
)
def test_a_word_that_is_none_is_exit_2(
    words: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, error = said(capsys, *words, code=Exit.USAGE)
    assert out == ""
    assert "Usage: simvp" in error


def test_init_writes_over_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "walk.toml").write_text("mine")
    source = str(write_source(folder / "data", days=1))
    assert "it is there already" in said(capsys, "init", source, "walk", code=Exit.REFUSED)[1]
    assert (folder / "walk.toml").read_text() == "mine"


def test_the_schema_in_docs_is_the_one_that_init_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "init", "--schema")[0] == schema_text() == SCHEMA.read_text()
    properties = json.loads(schema_text())["properties"]
    assert list(properties) == ["ingest", "train", "promote", "scores", "forecast", "schedule"]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """A copy of the home with a champion."""
    import shutil

    trained, _ = small_home()
    own = tmp_path / "home"
    shutil.copytree(trained.path, own)
    monkeypatch.setenv("SIMVP_HOME", str(own))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained.database_uri)
    monkeypatch.chdir(tmp_path)
    return Home(own)


def test_a_mistyped_name_and_a_registry_that_is_away_are_told_from_what_is_not_there_yet(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("train", "forecast", "verify", "status"):
        assert f"(did you mean {DATASET!r}?)" in said(capsys, command, f"{DATASET}s", code=Exit.REFUSED)[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    (shown,) = json.loads(said(capsys, "status", "--json")[0])["datasets"]
    assert shown["champion"] is None
    assert len(shown["warnings"]) == 1
    monkeypatch.setenv("COLUMNS", "200")
    words = " ".join(said(capsys, "status")[0].split())
    assert "champion not known" in words
    assert "Connection refused. To mend it: try again later" in words


def test_forecast_verify_and_status_say_what_is_there_and_what_is_due(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(said(capsys, "status", "--json")[0])["datasets"][0]["due"]["forecast"] == "the first one"
    report = json.loads(said(capsys, "forecast", DATASET, "--json")[0])
    assert (report["horizon"], len(report["issued"])) == ("3h", 4)
    out, _ = said(capsys, "forecast", DATASET, code=Exit.NOTHING)
    assert "no new forecasts" in out
    table = json.loads(said(capsys, "verify", DATASET, "--json")[0])["reports"][0]
    (rows,) = table["skills"].values()
    overall = next(row for row in rows if row["lead_hours"] is None)
    assert {"model", "persistence", "climatology", "damped_anomaly"} <= set(overall["rmse"])
    out, _ = said(capsys, "verify", DATASET, code=Exit.NOTHING)
    assert "RMSE of t2m (K)" in out
    (shown,) = json.loads(said(capsys, "status", DATASET, "--json")[0])["datasets"]
    assert shown["champion"] == f"simvp-{DATASET}/1"
    assert shown["forecasts"]["3h"]["length"] == 4
    (skill,) = shown["skill"]
    assert skill["n"] == overall["n"]
    assert skill["rmse"]["model"] == pytest.approx(overall["rmse"]["model"])
    out, _ = said(capsys, "status", DATASET)
    assert "champion" in out
    assert any(bar in out for bar in "▁▂▃▄▅▆▇█")
    assert "already" in said(capsys, "promote", DATASET)[0]


def test_promote_that_lets_nothing_pass_is_exit_3(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    from unittest.mock import Mock

    result = Mock(outcome="insufficient", summary="too few blocks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.promote.promote", lambda *_, **__: result)
        assert "too few blocks" in said(capsys, "promote", DATASET, code=Exit.NOTHING)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_one_line_that_says_what_is_kept_and_exit_130(number: int, tmp_path: Path) -> None:
    source = str(write_source(tmp_path / "data", days=1))
    code = "import sys, time; from simvp.cli import main; import pipelines.ingest as module\n"
    code += "module.ingest = lambda *a, **k: (print('at work', flush=True), time.sleep(60))\n"
    code += "sys.exit(main(['ingest', 'walk']))"
    (tmp_path / "walk.toml").write_text(f'[ingest]\nsource = "{source}"\n')
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "SIMVP_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "at work\n"
    time.sleep(0.2)
    running.send_signal(number)
    _, error = running.communicate(timeout=60)
    assert running.returncode == Exit.STOPPED
    (line,) = error.splitlines()
    assert line.startswith("Stopped. What the archive held before is there")


def test_a_forecast_in_a_file_is_scored_against_what_was_observed(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import xarray as xr

    from tests.support.files.repositories import plain

    archive = str(home.archive(DATASET))
    truth = plain(home.archive(DATASET)).load()
    early = truth.isel(time=slice(0, -3)).drop_vars(["present", "digest"], errors="ignore")
    early.to_netcdf(tmp_path / "early.nc")
    model = next(home.artifacts.rglob("*.safetensors"))
    out, _ = said(capsys, "predict", str(tmp_path / "early.nc"), "-m", str(model), "-o", str(tmp_path / "made.nc"))
    assert out == f"{tmp_path / 'made.nc'}\n"
    rows = json.loads(said(capsys, "score", str(tmp_path / "made.nc"), archive, "--json")[0])["scores"]
    with xr.open_dataset(tmp_path / "made.nc") as made:
        error = made["t2m"].values - truth["t2m"].isel(time=slice(-3, None)).values
    weights = np.cos(np.deg2rad(truth["latitude"].values))[:, None] * np.ones(error.shape[2])
    by_lead = np.sqrt((error**2 * weights).sum((1, 2)) / weights.sum())
    assert [row["rmse"]["model"] for row in rows[:3]] == pytest.approx(by_lead.tolist(), rel=1e-4)
    assert rows[3]["lead_hours"] is None
    assert rows[3]["bias"] == pytest.approx((error * weights).sum() / weights.sum() / 3, rel=1e-3)
    edge = f"t2m={float(truth['t2m'].median())}"
    out, _ = said(capsys, "score", str(tmp_path / "made.nc"), archive, "--threshold", edge)
    assert all(f"\n  {name} " in out for name in ("RMSE", "MAE", "bias", "csi at", "fss at", "maps"))
    _, refused = said(capsys, "score", str(tmp_path / "made.nc"), archive, "--threshold", "t2m", code=Exit.REFUSED)
    assert "--threshold: expected NAME=VALUE as rain=0.1, got t2m" in refused
    rows = json.loads(said(capsys, "score", str(tmp_path / "made.nc"), archive, "-m", str(model), "--json")[0])[
        "scores"
    ]
    assert {"persistence", "climatology", "damped_anomaly"} <= set(rows[0]["rmse"])
    found = json.loads(said(capsys, "inspect", str(tmp_path / "made.nc"), "--json")[0])
    assert (found["variables"], found["step"], found["frames"]) == ({"t2m": "K"}, "1 h", 3)
    assert json.loads(said(capsys, "inspect", str(model), "--json")[0])["frames in"] == 6
    _, error_text = said(capsys, "score", str(tmp_path / "made.nc"), str(tmp_path / "early.nc"), code=Exit.REFUSED)
    assert "none of its valid times has been observed" in error_text
