"""Day after day of ingest, forecast and verification, killed at random: nothing lost, nothing twice, nothing by halves.

Longer: ``pytest -m slow tests/datasets/store/test_kills.py``, 200 kills in a folder and 50 against moto's S3.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datasets.archive import Archive
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verify import verify
from tests.conftest import CHECKOUT
from tests.support.killing import kill_at_random
from tests.support.wave_home import forecaster, truth, wave_home, world

ERROR, START = 0.25, 14  # of the model; days that are there at the beginning


def _home(folder: Path) -> Home:
    return Home(folder / "home", os.environ.get("SIMVP_STORE"))


def _done(folder: Path, what: str) -> None:
    """What a stage has returned is promised."""
    with open(folder / "promised.txt", "a") as file:
        file.write(f"{what}\n")


def work(folder: Path) -> None:
    """One day more."""
    home, model = _home(folder), forecaster(ERROR)
    archive = Archive(home.archive("waves"))
    day = archive.schema.length // 24
    archive.append(world(1, first=24 * day))
    _done(folder, f"day {day}")
    for time in forecast(home, "waves", model=model, batch=2).issued:
        _done(folder, f"issued {time}")
    verify(home, "waves", model=model)
    forecast(home, "waves", model=model, hindcast=("2020-01-12", "2020-01-13"), batch=16)


def look(folder: Path) -> None:
    """A reader: all that was promised is there, once, and every value is that of the formula."""
    home = _home(folder)
    promised = (folder / "promised.txt").read_text().splitlines() if (folder / "promised.txt").exists() else []
    ds = Archive(home.archive("waves")).dataset().load()
    days = ds.sizes["time"] // 24
    assert days * 24 == ds.sizes["time"] > 24 * max([START - 1, *(int(p[4:]) for p in promised if p[:3] == "day")])
    np.testing.assert_array_equal(ds["t2m"], world(days)["t2m"])
    for path in (home.forecasts("waves", "3h"), home.hindcasts("waves", "3h")):
        if not Store(path).exists:
            continue
        made = Store(path).dataset().load()
        times = made["init_time"].values
        assert (np.diff(times) > np.timedelta64(0)).all()
        for row, valid in enumerate(made["valid_time"].values):
            np.testing.assert_allclose(made["t2m"].values[row], truth(valid) + ERROR, atol=2e-3)
        if path == home.forecasts("waves", "3h"):
            issued = {str(time)[:19] for time in times}
            assert {p.removeprefix("issued ") for p in promised if p.startswith("issued")} <= issued
            scores = Store(home.scores("waves", "forecasts-3h"))
            if scores.exists:
                scored = scores.dataset().load()["init_time"].values
                np.testing.assert_array_equal(scored, times[: len(scored)])


@pytest.mark.parametrize("kills", [2, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_in_a_folder(tmp_path: Path, kills: int) -> None:
    wave_home(Home(tmp_path / "home"))
    kill_at_random(
        "tests.datasets.store.test_kills:work", "tests.datasets.store.test_kills:look", tmp_path, kills=kills
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of its own: what is killed shares nothing with it."""
    code = (
        "import logging; logging.getLogger('werkzeug').setLevel(logging.ERROR); from moto.server import *\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start()\n"
        "print(server.get_host_and_port()[1], flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "SIMVP_STORE": "s3://weather/simvp"}
    settings |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_on_an_object_store(tmp_path: Path, server: None) -> None:
    import boto3

    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="weather")
    # This process must not open a store before it is forked from.
    here = "tests.datasets.store.test_kills"
    code = f"from {here} import _home; from tests.support.wave_home import wave_home; from pathlib import Path\n"
    subprocess.run([sys.executable, "-c", f"{code}wave_home(_home(Path({str(tmp_path)!r})))"], cwd=CHECKOUT, check=True)
    kill_at_random(f"{here}:work", f"{here}:look", tmp_path, kills=50)
