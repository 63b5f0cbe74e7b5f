"""`make up` with its processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.local.addresses import Addresses, free_port, running
from flows.local.password import home_password, password_file
from flows.local.services import Services
from pipelines.home import Home
from simvp.errors import ConfigError
from tests.conftest import CHECKOUT
from tests.support.files.repositories import plain
from tests.support.small_home import DATASET as SMALL, small_home, write_source

DATASET = "walk"


@pytest.mark.slow
def test_up_serves_a_second_terminal_and_leaves_no_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    environment = {**os.environ, **ports, "SIMVP_HOME": str(home.path)}
    source = str(write_source(tmp_path / "source", days=2))
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "simvp", "up"], cwd=CHECKOUT, env=environment, stdout=log, stderr=log
        )
    family: list[psutil.Process] = []
    try:
        end = time.monotonic() + 240
        while "Worker 'local' started" not in (tmp_path / "up.log").read_text():
            assert up.poll() is None, (tmp_path / "up.log").read_text()
            assert time.monotonic() < end
            time.sleep(1)
        addresses = running(home)
        assert addresses == Addresses.from_environment(ports)
        said = (tmp_path / "up.log").read_text()
        exported = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ +export (.+)$", said, re.MULTILINE))))
        assert exported == {
            "PREFECT_API_URL": addresses.prefect_api,
            "SIMVP_HOME": str(home.path),
            "PREFECT_HOME": str(home.prefect),
            "PREFECT_PROFILES_PATH": str(home.prefect / "profiles.toml"),
        }
        assert f"cat {password_file(home)}" in said
        assert home_password(home) not in said
        second = {**os.environ, **exported}
        run = [sys.executable, "-m", "prefect", "deployment", "run", "ingest/daily", "--watch"]
        run += ["--param", f"dataset={DATASET}", "--param", f"source={source}"]
        done = subprocess.run(run, cwd=CHECKOUT, env=second, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Completed" in done.stdout
        assert plain(home.archive(DATASET)).sizes["time"] == 48
        secret = [*run[:-1], "source=https://user:hunter2@files.example/a.nc"]
        told = subprocess.run(secret, cwd=CHECKOUT, env=second, capture_output=True, text=True, timeout=60)
        assert told.returncode == 1
        printed = told.stdout + told.stderr
        assert "expectednouser,passwordorqueryintheaddress" in "".join(printed.split())
        assert "Traceback" not in printed
        assert "hunter2" not in printed
        # Who does not know the password.
        stranger = {**second, "PREFECT_PROFILES_PATH": str(tmp_path / "none.toml")}
        asked = [sys.executable, "-m", "prefect", "flow-run", "ls"]
        closed = subprocess.run(asked, cwd=CHECKOUT, env=stranger, capture_output=True, text=True, timeout=60)
        assert closed.returncode != 0
        assert "401" in closed.stdout + closed.stderr
        # A refusal: the run has failed, the second terminal says why, and neither of them shows a traceback.
        refused = [*run[:-1], f"source={tmp_path / 'absent.nc'}"]
        done = subprocess.run(refused, cwd=CHECKOUT, env=second, capture_output=True, text=True, timeout=240)
        assert done.returncode == 1
        words = f"there is no file or folder '{tmp_path / 'absent.nc'}'".replace(" ", "")
        for said in (done.stdout + done.stderr, (tmp_path / "up.log").read_text()):
            assert words in "".join(said.split())
            assert "Traceback" not in said
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 3
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    assert up.returncode == 0
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert running(home) is None
    assert {path.name for path in tmp_path.iterdir()} == {"home", "up.log", "source"}


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["all", "prefect", "worker", "make up"])
def test_what_was_running_when_it_was_killed_has_crashed_after_the_next_start(tmp_path: Path, killed: str) -> None:
    home, _ = small_home()
    own = Home(tmp_path / "home")
    shutil.copytree(home.dataset(SMALL), own.dataset(SMALL))
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    environment = {**os.environ, **ports, "SIMVP_HOME": str(own.path)}
    second = {
        **os.environ,
        "PREFECT_API_URL": f"http://127.0.0.1:{ports['PREFECT_PORT']}/api",
        "PREFECT_HOME": str(own.prefect),
        "PREFECT_PROFILES_PATH": str(own.prefect / "profiles.toml"),  # `make up` writes the login there
    }
    up = started(tmp_path / "first.log", environment)
    try:
        settings = '{"epochs": 10000, "size": "tiny", "frames_in": 6, "frames_out": 3, "threads": 1}'
        run = [sys.executable, "-m", "prefect", "deployment", "run", "train/weekly"]
        run += ["--param", f"dataset={SMALL}", "--param", f"settings={settings}"]
        done = subprocess.run(run, cwd=CHECKOUT, env=second, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: flow_runs(second) == {"RUNNING"}, 120)
        family = [psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)]
        marks = {"all": "", "prefect": "prefect server", "worker": "worker start", "make up": "simvp up"}
        for member in family:
            if marks[killed] in " ".join(member.cmdline()):
                member.kill()
        psutil.wait_procs(family, timeout=60)
        assert not [member.cmdline() for member in family if member.is_running()]
    finally:
        up.kill()
        up.wait()
    again = started(tmp_path / "second.log", environment)
    try:
        assert flow_runs(second) == {"CRASHED"}
    finally:
        again.terminate()
        again.wait(60)


def started(log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("w") as out:
        up = subprocess.Popen(
            [sys.executable, "-m", "simvp", "up"], cwd=CHECKOUT, env=environment, stdout=out, stderr=out
        )
    until(lambda: up.poll() is not None or "Worker 'local' started" in log.read_text(), 240)
    assert up.poll() is None, log.read_text()
    return up


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.5)


def flow_runs(environment: dict[str, str]) -> set[str]:
    """States of all flow runs."""
    code = (
        "from prefect import get_client\n"
        "with get_client(sync_client=True) as client:\n"
        "    print(*{run.state_type.value for run in client.read_flow_runs()})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_home_has_one_make_up(tmp_path: Path) -> None:
    first, second = (Services(home=Home(tmp_path), addresses=Addresses()) for _ in range(2))
    with first.alone():
        with pytest.raises(ConfigError) as refused, second.alone():
            pass
        assert str(refused.value) == (
            f"Home {tmp_path}: another `make up` serves it already\nTo mend it: use that one, stop it first, or set "
            "SIMVP_HOME to another folder"
        )
    with second.alone():
        pass
