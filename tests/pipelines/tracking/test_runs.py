"""Tracking: nothing is told twice, MLflow's global state comes back, and a run that was killed is found again."""

import os

import mlflow
import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines.home import Home
from pipelines.tracking.runs import Run, close_run, open_run

KEY = "0123abcd" * 8


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Home(tmp_path_factory.mktemp("home"))


def client(home: Home) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=home.tracking_uri)


def test_run_is_gone_on_with_and_no_point_is_told_twice(home):
    def cut_off() -> None:
        with open_run(home, "a", KEY) as run:
            runs.append(run)
            settings = {"epochs": 3, "periods": {"mode": "study", "held_out": ["x", "y"]}}
            run.log_settings(settings, {"archive_commit": "c1"})
            run.log_metrics({"loss": 3.0, "score": 9.0}, 0)
            run.log_metrics({"loss": 2.0}, 1)
            raise KeyError

    runs: list[Run] = []
    with pytest.raises(KeyError):
        cut_off()
    (run,) = runs
    assert client(home).get_run(run.run_id).info.status == "FAILED"
    with open_run(home, "a", KEY) as again:  # no checkpoint: found by its key
        assert again.run_id == run.run_id
        again.log_settings({"epochs": 4, "threads": 2}, {})
        again.log_metrics({"loss": 2.5, "score": 8.0}, 1)
        again.log_metrics({"loss": 1.0}, 2)
    with open_run(home, "a", KEY, run_id=run.run_id) as third:
        assert third.run_id == run.run_id
    found = client(home).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {
        "epochs": "3", "threads": "2", "periods.mode": "study", "periods.held_out": '["x", "y"]',
    }  # fmt: skip
    assert found.data.tags["archive_commit"] == "c1"
    points = {n: [(p.step, p.value) for p in client(home).get_metric_history(run.run_id, n)] for n in ("loss", "score")}
    assert points == {"loss": [(0, 3.0), (1, 2.0), (2, 1.0)], "score": [(0, 9.0), (1, 8.0)]}


def test_another_key_or_a_lost_run_is_a_new_run(home):
    with open_run(home, "b", KEY) as first:
        pass
    with open_run(home, "b", "f" * 64) as other:
        assert other.run_id != first.run_id
    with open_run(home, "b", "e" * 64, run_id="0" * 32) as third:
        assert third.run_id not in (first.run_id, other.run_id, "0" * 32)


def test_address_of_the_process_comes_back(home):
    def cut_off() -> None:
        with open_run(home, "c", KEY):
            assert mlflow.get_tracking_uri() == home.tracking_uri
            raise KeyError

    before = mlflow.get_tracking_uri()
    with pytest.raises(KeyError):
        cut_off()
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert mlflow.active_run() is None


def test_a_later_change_of_the_environment_is_heard(home, monkeypatch):
    with open_run(home, "c", KEY):
        pass
    assert not mlflow.is_tracking_uri_set()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"


def test_an_address_that_the_process_has_set_stays(home, tmp_path):
    own = f"sqlite:///{tmp_path}/own.db"
    mlflow.set_tracking_uri(own)
    try:
        with open_run(home, "c", KEY, run_id=None):
            pass
        assert mlflow.get_tracking_uri() == own
    finally:
        mlflow.set_tracking_uri(None)


def test_artifacts_lie_in_the_home_and_the_archive_is_named_by_its_commit(home, tmp_path):
    figure = Figure()
    figure.subplots().plot(np.arange(3))
    with open_run(home, "d", KEY) as run:
        run.log_text("| a |", "windows.md")
        run.log_json({"a": 1}, "windows.json")
        run.log_figure(figure, "curve.png")
        for _ in range(2):
            run.log_data("d", tmp_path, "deadbeef")
    (folder,) = home.artifacts.glob(run.run_id)
    assert {file.name for file in folder.rglob("*.*")} == {"windows.md", "windows.json", "curve.png"}
    (used,) = client(home).get_run(run.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("d", "deadbeef")
    assert str(tmp_path) in used.dataset.source


def test_run_killed_after_its_version_is_closed(home):
    made = client(home).create_run(client(home).create_experiment("e"))
    assert close_run(home, made.info.run_id) == made.info.experiment_id
    assert client(home).get_run(made.info.run_id).info.status == "FINISHED"
    assert close_run(home, "0" * 32) == ""
