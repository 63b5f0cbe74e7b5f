"""A benchmark as a stage: from files to rows, killed and gone on with, asked twice, and refused in words.

The clips are Moving MNIST of scikit-learn's digits, which need no file, and small KTH footage for the longer horizons.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import simvp
from datasets.benchmarks import BENCHMARKS
from datasets.video.clips import PARTS
from datasets.video.moving_mnist import MOVING_MNIST
from pipelines.benchmark.clip_batches import ClipBatches
from pipelines.benchmark.config import BenchmarkConfig, plan_benchmark
from pipelines.benchmark.run import BenchmarkReport, run_benchmark
from pipelines.benchmark.scores import persistence, score, squared_error
from pipelines.home import Home
from pipelines.tracking.provenance import CHECKOUT
from simvp.errors import SourceError
from simvp.scoring import metrics

SMALL = {
    "hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 2, "groups": 4, "kernels": [3], "batch_size": 4, "epochs": 2,
    "epoch_updates": 5, "validation_clips": 6, "test_clips": 5, "checkpoint_every": 2, "threads": 1,
    "precision": "float32", "device": "cpu",
}  # fmt: skip
UPDATES = 10
CHILD = """
import os, signal, sys
from pipelines.benchmark.run import run_benchmark
from pipelines.benchmark.config import BenchmarkConfig
from pipelines.home import Home

def kill(what, done, total):
    if what.startswith(sys.argv[3]) and done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

run_benchmark(Home(sys.argv[1]), BenchmarkConfig.model_validate_json(sys.argv[2]), progress=kill)
"""
DATABASE: list[Path] = []


def config(**changes: object) -> BenchmarkConfig:
    return plan_benchmark("moving-mnist", preset="quick", changes={**SMALL, **changes})


def new_home(path: Path) -> Home:
    home = Home(path)
    home.mlflow.mkdir(parents=True)
    shutil.copy(DATABASE[0], home.mlflow / "mlflow.db")
    return home


def curves(home: Home) -> dict[str, list[tuple[int, float]]]:
    """Every point of the one run of this home that does not depend on the clock."""
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("simvp-benchmark-moving-mnist").experiment_id])
    assert run.info.status == "FINISHED"
    names = [n for n in run.data.metrics if n.startswith(("training", "validation", "test", "final"))]
    return {n: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, n)] for n in names}


def same(row: dict[str, object]) -> dict[str, object]:
    """A row without clock and run."""
    return {k: v for k, v in row.items() if k not in ("when", "source", "seconds_per_epoch", "commit")}


@pytest.fixture(scope="module", autouse=True)
def own_mlflow(empty_database: Path):
    """Homes of this module begin with a copy of the empty database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("SIMVP_DATA", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        DATABASE.append(empty_database)
        yield
    DATABASE.clear()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Home, BenchmarkReport, list[tuple[str, int, int]]]:
    """A run that nothing happened to."""
    home = new_home(tmp_path_factory.mktemp("whole"))
    seen: list[tuple[str, int, int]] = []
    before = torch.get_rng_state()
    report = run_benchmark(home, config(), progress=lambda *event: seen.append(event))
    assert torch.equal(torch.get_rng_state(), before)
    return home, report, seen


def test_rows_say_what_they_stand_for(whole) -> None:
    _, report, _ = whole
    chosen, on_test, persistence = report.rows
    assert [row.selected_on for row in report.rows] == ["validation", "test", "nothing"]
    assert persistence.method == "persistence"
    assert chosen.method.startswith("SimVP, hid_S 4, hid_T 16")
    assert (chosen.epochs, chosen.updates_per_epoch, chosen.seed, chosen.horizon) == (2, 5, 0, 10)
    assert chosen.parameters == sum(p.numel() for p in simvp.SimVP(config().sizes).parameters())
    assert "handwritten digits of scikit-learn" in chosen.train
    assert chosen.test.startswith("5 clips, evenly spread, of 10,000: generated with seed 0 from ")
    assert not chosen.comparable
    assert chosen.seconds_per_epoch > 0
    assert on_test.scores["mse_per_frame"] <= chosen.scores["mse_per_frame"]


def test_the_epoch_is_chosen_on_validation_and_the_other_row_on_test(whole) -> None:
    home, report, _ = whole
    points = curves(home)
    by_validation = dict(points["validation_mse_per_frame"])
    by_test = dict(points["test_mse_per_frame"])
    chosen, on_test, _ = report.rows
    assert chosen.chosen_epoch == min(by_validation, key=lambda epoch: by_validation[epoch])
    assert on_test.chosen_epoch == min(by_test, key=lambda epoch: by_test[epoch])
    assert chosen.scores["mse_per_frame"] == pytest.approx(by_test[chosen.chosen_epoch])
    assert on_test.scores["mse_per_frame"] == pytest.approx(min(by_test.values()))


def test_the_saved_model_gives_the_rows_again(whole, monkeypatch) -> None:
    home, report, _ = whole
    monkeypatch.setenv("SIMVP_HOME", str(home.path))
    assert report.version == "simvp-benchmark-moving-mnist/1"
    model = simvp.load("simvp-benchmark-moving-mnist@challenger")
    test = ClipBatches(MOVING_MNIST.open("test"), 5)
    x, y, _ = test.batch(np.arange(5))
    with torch.no_grad():
        predicted = model.network(x)
    assert metrics.mse_per_frame(predicted, y) == pytest.approx(report.rows[0].scores["mse_per_frame"], rel=1e-6)
    still = x[:, -1:].expand_as(y)
    assert metrics.ssim_paper(still, y, data_range=1.0) == pytest.approx(report.rows[2].scores["ssim_paper"])
    labelled = MOVING_MNIST.open("test").labelled(0).isel(time=slice(0, 10))
    forecast = simvp.predict(labelled, model)
    np.testing.assert_allclose(forecast["intensity"][0].values, predicted[0, :, 0].clamp(0), atol=1e-5)


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(whole, tmp_path) -> None:
    _, report, _ = whole
    home = new_home(tmp_path)
    shared = run_benchmark(home, config(processes=2))
    for row, expected in zip(shared.rows, report.rows, strict=True):
        assert row.scores == pytest.approx(expected.scores, rel=1e-3)
        assert row.chosen_epoch == expected.chosen_epoch
    assert [step for step, _ in curves(home)["validation_loss"]] == [0, 1, 2]
    again = run_benchmark(home, config())
    assert (again.existing, again.run_id) == (True, shared.run_id)


def test_the_summary_says_by_how_much_it_beats_persistence(whole) -> None:
    _, report, _ = whole
    ours, theirs = (report.rows[number].scores["mse_per_frame"] for number in (0, 2))
    words = f"{100 * abs(1 - ours / theirs):.1f} % {'less' if ours < theirs else 'more'}, on 5 clips, evenly spread, of"
    assert words in report.summary


def test_mlflow_has_settings_scores_and_pictures(whole) -> None:
    home, report, _ = whole
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    run = client.get_run(report.run_id)
    assert run.data.params["network.hid_T"] == "16"
    assert "scikit-learn" in run.data.params["train_clips"]
    assert float(run.data.params["multiply_adds"]) == report.rows[0].multiply_adds
    names = {file.path for file in client.list_artifacts(report.run_id)}
    assert {"strip_0.png", "strip_1.png", "animation.gif", "learning_curve.png", "rows.json", "history.json"} <= names
    table = pd.read_csv(mlflow.artifacts.download_artifacts(
        run_id=report.run_id, artifact_path="scores_model_10.csv", tracking_uri=home.tracking_uri
    ))  # fmt: skip
    assert list(table["lead"]) == list(range(1, 11))
    assert table["mse"].mean() * 64 * 64 == pytest.approx(report.rows[0].scores["mse_per_frame"])
    assert {path.name for path in report.pictures} >= {"strip_0.png", "animation.gif"}


def test_the_report_holds_the_run_beside_the_published_rows(whole) -> None:
    _, report, _ = whole
    text = report.path.read_text()
    assert "| SimVP gSTA | A | 2,000 | test | 15.05 |" in text
    assert f"run {report.run_id[:8]}" in text
    assert "**Published results stand for other data.**" in text
    table = pd.read_csv(report.path.with_suffix(".csv"))
    assert len(table[~table["published"]]) == 3


def test_progress_says_loss_score_and_time_left(whole) -> None:
    _, _, seen = whole
    told = [event for event in seen if event[0].startswith("training")]
    assert [event[1:] for event in told] == [(n, UPDATES) for n in range(1, UPDATES + 1)]
    assert "epoch 2/2, loss " in told[-1][0]
    assert "per frame" in told[-1][0]
    assert told[-1][0].endswith("s left")


@pytest.mark.parametrize(
    ("what", "done"),
    [
        pytest.param("training: epoch 1/2", 3, marks=pytest.mark.slow),
        pytest.param("scoring epoch 1", 5, marks=pytest.mark.slow),
        ("training: epoch 2/2", 9),
        pytest.param("scoring the test clips", 0, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_and_equals_an_unbroken_one(whole, tmp_path, what: str, done: int) -> None:
    unbroken, report, _ = whole
    home = new_home(tmp_path / "home")
    words = [sys.executable, "-c", CHILD, str(home.path), config().model_dump_json(), what, str(done)]
    environment = {k: v for k, v in os.environ.items() if k != "SIMVP_DATA"}
    killed = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list(home.benchmarks.glob("*/rows/*.json"))
    resumed = run_benchmark(home, config())
    assert not resumed.existing
    assert [same(row.model_dump()) for row in resumed.rows] == [same(row.model_dump()) for row in report.rows]
    assert curves(home) == curves(unbroken)
    assert list((home.benchmarks / "moving-mnist" / "training").iterdir()) == []


def test_asked_again_nothing_is_trained(whole) -> None:
    home, report, _ = whole
    again = run_benchmark(home, config(checkpoint_every=7), progress=lambda *event: pytest.fail(str(event)))
    assert again.existing
    assert (again.rows, again.run_id, again.version) == (report.rows, report.run_id, report.version)
    assert again.pictures == report.pictures


def test_persistence_stands_in_the_report_once(whole) -> None:
    home, report, _ = whole
    other = run_benchmark(home, config(learning_rate=1e-3))
    assert not other.existing
    assert other.version == "simvp-benchmark-moving-mnist/2"
    table = pd.read_csv(other.path.with_suffix(".csv"))
    ours = table[~table["published"]]
    assert len(ours) == 5
    assert (ours["method"] == "persistence").sum() == 1
    assert report.rows[2].scores == other.rows[2].scores


def test_a_run_that_is_not_to_be_registered_makes_no_version(tmp_path) -> None:
    home = new_home(tmp_path)
    report = run_benchmark(home, config(epochs=1, epoch_updates=1), register=False)
    assert report.version == ""
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    assert client.search_registered_models() == []


def test_missing_files_are_refused_before_anything_is_written(tmp_path) -> None:
    home = Home(tmp_path / "home")
    for name in BENCHMARKS:
        if name == "moving-mnist" or BENCHMARKS[name].present():
            continue
        with pytest.raises(
            SourceError, match=rf"benchmark {name}: expected [\s\S]*SIMVP_DATA is not set[\s\S]*fetch them"
        ):
            run_benchmark(home, plan_benchmark(name, preset="quick"))
    assert not home.path.exists()


def test_scores_do_not_depend_on_the_batch(whole, monkeypatch) -> None:
    from contextlib import nullcontext

    network = simvp.SimVP(config().sizes)
    batches = ClipBatches(MOVING_MNIST.open("validation"), 6)
    x, y, _ = batches.batch(np.arange(6))
    network.eval()
    with torch.no_grad():
        expected = metrics.overall(_scores(network(x), y))
    still = metrics.overall(_scores(x[:, -1:].expand_as(y), y))
    for size in (64, 4):
        monkeypatch.setattr("simvp.budget.BUDGET", 64 * size * 64 * 64 * 64)
        assert metrics.overall(score(network, batches, nullcontext)) == pytest.approx(expected, rel=1e-6)
        assert metrics.overall(persistence(batches, torch.device("cpu"))) == pytest.approx(still)
        assert squared_error(network, batches, nullcontext) == pytest.approx(expected["mse"], rel=1e-6)


def _scores(predicted: torch.Tensor, truth: torch.Tensor) -> xr.Dataset:
    scores = metrics.VideoScores(["intensity"], 10, 1.0)
    scores.update(predicted, truth)
    return scores.compute()


def test_the_parts_of_a_run_have_seeds_of_their_own() -> None:
    frames = {part: MOVING_MNIST.open(part).frames(np.arange(4)) for part in PARTS}
    assert not torch.equal(frames["train"], frames["test"])
    assert json.dumps(config(seed=5).model_dump(mode="json")) != json.dumps(config().model_dump(mode="json"))


@pytest.mark.slow
def test_a_short_run_of_the_quick_preset_beats_persistence_clearly(tmp_path) -> None:
    home = new_home(tmp_path)
    changes = {"epochs": 1, "test_clips": 100, "validation_clips": 50, "device": "cpu"}
    report = run_benchmark(home, plan_benchmark("moving-mnist", preset="quick", changes=changes))
    trained, _, still = report.rows
    assert trained.scores["mse_per_frame"] < 0.7 * still.scores["mse_per_frame"]


@pytest.mark.cuda
def test_a_gpu_trains_in_bfloat16_on_clips_that_it_draws_itself(tmp_path, monkeypatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    home = new_home(tmp_path)
    monkeypatch.setenv("SIMVP_HOME", str(home.path))
    report = run_benchmark(home, config(device="cuda", precision="bfloat16"))
    assert "bfloat16" in report.rows[0].device
    x, y, _ = ClipBatches(MOVING_MNIST.open("test"), 5).batch(np.arange(5))
    with torch.no_grad():
        predicted = simvp.load("simvp-benchmark-moving-mnist@challenger").network(x)
    assert metrics.mse_per_frame(predicted, y) == pytest.approx(report.rows[0].scores["mse_per_frame"], rel=0.05)
