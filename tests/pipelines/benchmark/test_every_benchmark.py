"""Every benchmark from files in its original form to a saved model: trained, scored, registered, and loaded."""

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import simvp
from datasets.benchmarks import BENCHMARKS
from pipelines.benchmark.config import plan_benchmark
from pipelines.benchmark.run import BenchmarkReport, run_benchmark
from pipelines.home import Home
from simvp.scoring import metrics
from tests.datasets.video.test_caltech import make_original
from tests.datasets.video.test_human36m import PREFIXES, make as make_human36m
from tests.datasets.video.test_kth import make as make_kth
from tests.datasets.video.test_taxibj import ready, write_npz

SMALL = {
    "hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 2, "groups": 4, "kernels": [3], "batch_size": 2, "epochs": 1,
    "epoch_updates": 2, "validation_clips": 2, "test_clips": 3, "threads": 1, "precision": "float32", "device": "cpu",
}  # fmt: skip


def digits(root: Path, folder: str) -> None:
    (root / folder).mkdir()
    for name, count in (("train", 30), ("t10k", 9)):
        pictures = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = struct.pack(">iiii", 2051, count, 28, 28) + pictures.tobytes()
        (root / folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))


def human(root: Path) -> None:
    prefixes = PREFIXES
    training = [f"{prefix},{begin}" for prefix in prefixes for begin in (1, 6, 11)]
    make_human36m(root, training, [f"{prefixes[0]},36", f"{prefixes[1]},36"])


FILES: dict[str, Callable[[Path], object]] = {
    "moving-mnist": lambda root: digits(root, "mnist"),
    "moving-fashion-mnist": lambda root: digits(root, "moving_fmnist"),
    "taxibj": lambda root: write_npz(root, ready()),
    "human36m": human,
    "kitticaltech": make_original,
    "kth": make_kth,
}
HORIZONS = {"kitticaltech": [1], "kth": [20, 40], "taxibj": [4], "human36m": [4]}


def test_no_benchmark_is_left_out() -> None:
    assert set(FILES) == set(BENCHMARKS)


@pytest.fixture(scope="module", params=FILES)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> tuple[str, Path, Home, BenchmarkReport]:
    root = tmp_path_factory.mktemp("files")
    FILES[request.param](root)
    home = Home(tmp_path_factory.mktemp("home"))
    home.mlflow.mkdir()
    shutil.copy(empty_database, home.mlflow / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("SIMVP_DATA", str(root))
        report = run_benchmark(home, plan_benchmark(request.param, preset="quick", changes=SMALL))
    return request.param, root, home, report


def test_rows_of_every_horizon_beside_persistence(run: tuple[str, Path, Home, BenchmarkReport]) -> None:
    name, _, _, report = run
    horizons = HORIZONS.get(name, [10])
    chosen = [row for row in report.rows if row.selected_on == "validation"]
    assert [row.horizon for row in chosen] == horizons
    assert [row.horizon for row in report.rows if row.method == "persistence"] == horizons
    for row in report.rows:
        assert all(np.isfinite(value) for value in row.scores.values()), row
        elements = np.prod(BENCHMARKS[name].shape)
        assert row.scores["mse_per_frame"] == pytest.approx(row.scores["mse"] * elements)
    assert {path.suffix for path in report.pictures} == {".png", ".gif"}


def test_the_registered_model_forecasts_labelled_clips(
    run: tuple[str, Path, Home, BenchmarkReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root, home, _ = run
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SIMVP_HOME", str(home.path))
    benchmark = BENCHMARKS[name]
    clips = benchmark.open("train", root=root)
    model = simvp.load(f"simvp-benchmark-{name}@challenger")
    clip, random = clips.labelled(0), np.random.default_rng(0)
    for channel in model.spec.channels:  # any values that training saw, since clips that are made up are too alike
        low, *_, high = channel.seen["quantiles"]
        clip[channel.name] = clip[channel.name].copy(data=random.uniform(low, high, clip[channel.name].shape))
    forecast = simvp.predict(clip.isel(time=slice(0, benchmark.frames_in)), model)
    assert list(forecast.data_vars) == list(benchmark.variables)
    assert forecast.sizes["lead_time"] == benchmark.frames_out
    frames = np.stack([(clip[variable].values - clips.offset) / clips.scale for variable in benchmark.variables], 1)
    with torch.no_grad():
        predicted = model.network(torch.from_numpy(frames[None, : benchmark.frames_in].astype("f4")))
    for number, variable in enumerate(benchmark.variables):
        expected = clips.offset + clips.scale * predicted[0, :, number].numpy()
        np.testing.assert_allclose(forecast[variable][0], expected.clip(clips.offset), atol=1e-5 * clips.scale)
    scores = metrics.video_scores(forecast, clip, data_range=(clips.offset, clips.offset + clips.scale))
    assert scores["n"].values.tolist() == [[1] * benchmark.frames_out] * len(benchmark.variables)


def test_nothing_is_logged_that_mlflow_cannot_hold(run: tuple[str, Path, Home, BenchmarkReport]) -> None:
    _, _, home, report = run
    found = mlflow.MlflowClient(tracking_uri=home.tracking_uri).get_run(report.run_id)
    assert found.info.status == "FINISHED"
    assert all(np.isfinite(value) for value in found.data.metrics.values())
