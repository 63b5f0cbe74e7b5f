"""The whole demo with its stores and models in a bucket (moto's server): killed and gone on with, and two at once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simvp
from pipelines.home import Home
from tests.conftest import CHECKOUT, SECRET
from tests.support.small_home import write_source

pytestmark = pytest.mark.slow

KILLS = 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_source(tmp_path_factory.mktemp("source")))


def demo(source: str, home: Path, store: str | None = None) -> subprocess.Popen[str]:
    """The demo of some files, begun."""
    command = [sys.executable, "-m", "simvp", "demo", "--source", source, "--name", "mine"]
    environment = {**os.environ, "SIMVP_HOME": str(home), **({"SIMVP_STORE": store} if store else {})}
    return subprocess.Popen(
        [*command, "--frames-in", "6", "--frames-out", "3", "--epochs", "1"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def table(running: subprocess.Popen[str]) -> pd.DataFrame:
    """The skill table of a demo that ends well."""
    out, error = running.communicate(timeout=600)
    assert running.returncode == 0, error
    return pd.read_csv(out.splitlines()[-1])


def test_killed_at_random_and_gone_on_with_it_ends_as_in_a_folder(source: str, bucket: str, tmp_path: Path) -> None:
    start = time.monotonic()
    expected = table(demo(source, tmp_path / "folder"))
    seconds, chance, store = time.monotonic() - start, random.Random(16), bucket
    home = Home(tmp_path / "home", store)
    for number in range(KILLS):
        running = demo(source, home.path, store)
        time.sleep(seconds * chance.uniform(number, number + 1) / KILLS)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    pd.testing.assert_frame_equal(table(demo(source, home.path, store)), expected)

    archive, folder = simvp.open_archive(home.archive("mine")), Home(tmp_path / "folder")
    assert archive.attrs["archive_commit"] == simvp.open_archive(folder.archive("mine")).attrs["archive_commit"]
    for kind in ("forecasts", "hindcasts"):
        ours, theirs = (simvp.open_forecasts(getattr(at, kind)("mine", "3h")).load() for at in (home, folder))
        same = [name for name in ours.data_vars if ours[name].dtype.kind == "f"]
        assert same, kind
        for name in same:
            np.testing.assert_array_equal(ours[name].values, theirs[name].values, err_msg=f"{kind} {name}")
        assert ours.indexes["init_time"].equals(theirs.indexes["init_time"])
    # Nothing of ours but databases, unfinished trainings and pictures lies in the home; models went to the bucket.
    import boto3

    listed = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket.split("/")[2])
    keys = [one["Key"] for page in listed for one in page["Contents"]]
    assert any(key.startswith("simvp/mlflow/") and key.endswith(".safetensors") for key in keys)
    kept = [path for path in home.path.rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept if path.suffix == ".safetensors"} <= {"champion"}  # for when all is away
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


def test_two_demos_at_once_write_each_frame_and_each_forecast_once(source: str, bucket: str, tmp_path: Path) -> None:
    """Each with a home and a registry of its own, and one bucket for both: the same model is trained in either."""
    both = [demo(source, tmp_path / name, bucket) for name in ("one", "other")]
    first, second = (table(running) for running in both)
    pd.testing.assert_frame_equal(first, second)
    home = Home(tmp_path / "one", bucket)
    assert simvp.open_archive(home.archive("mine")).sizes["time"] == 16 * 24
    for at in (home.forecasts("mine", "3h"), home.hindcasts("mine", "3h")):
        assert simvp.open_forecasts(at).indexes["init_time"].is_unique
