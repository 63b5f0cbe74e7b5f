"""A public checkpoint on a benchmark: the scores are those of its network, and the row says whose it is."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from datasets.video.moving_mnist import MOVING_MNIST
from pipelines.benchmark.checkpoint import score_checkpoint
from pipelines.benchmark.clip_batches import ClipBatches
from pipelines.home import Home
from simvp.errors import ConfigError, SourceError
from simvp.networks.pretrained import from_pretrained
from simvp.scoring import metrics


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    home = Home(tmp_path / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copy(empty_database, home.mlflow / "mlflow.db")
    return home


def test_its_network_is_scored_on_the_test_clips(shared: Path, home: Home) -> None:
    path = shared / "golden" / "openstl-gsta-t10c1h32w32.pth"
    report = score_checkpoint(home, "moving-mnist", path, test_clips=6, device="cpu")
    scored, still = report.rows
    assert scored.method == "SimVP gSTA, checkpoint openstl-gsta-t10c1h32w32.pth"
    assert (scored.selected_on, scored.epochs, scored.parameters) == ("unknown", None, 233_281)
    assert scored.train == "whatever its authors trained it on"
    assert scored.test.startswith("6 clips, evenly spread, of 10,000: generated with seed 0")
    assert not scored.comparable
    x, y, _ = ClipBatches(MOVING_MNIST.open("test"), 6).batch(np.arange(6))
    with torch.no_grad():
        expected = metrics.mse_per_frame(from_pretrained(path)(x), y)
    assert scored.scores["mse_per_frame"] == pytest.approx(expected, rel=1e-6)
    assert still.method == "persistence"
    assert " % more, on 6 clips, " in report.summary  # random weights
    assert "But worse than persistence by MAE per frame " in report.summary
    assert still.protocol == scored.protocol
    assert scored.source in report.path.read_text()
    assert {file.name for file in report.pictures} == {"strip_0.png", "strip_1.png", "animation.gif"}
    run = mlflow.MlflowClient(tracking_uri=home.tracking_uri).get_run(report.run_id)
    assert run.data.params["network.variant"] == "gsta"
    assert run.data.metrics["final_model_10_mse_per_frame"] == pytest.approx(expected, rel=1e-6)


def test_a_network_for_other_frames_is_refused(shared: Path, home: Home) -> None:
    path = shared / "golden" / "openstl-tau-t4c2h32w32.pth"
    with pytest.raises(ConfigError, match="expected T = 10 frames of 1 channels, got T = 4 and 2 channels"):
        score_checkpoint(home, "moving-mnist", path)
    assert not home.benchmarks.exists()


def test_a_file_that_changes_while_it_is_read_is_refused(
    shared: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    shutil.copy(shared / "golden" / "openstl-gsta-t10c1h32w32.pth", path)

    def read(place: Path, **given: object) -> object:
        network = from_pretrained(place)
        place.write_bytes(b"another one")
        return network

    monkeypatch.setattr("pipelines.benchmark.checkpoint.from_pretrained", read)
    with pytest.raises(ConfigError, match=r"Checkpoint .*/a.pth: it changed while it was read\nTo mend it: try again"):
        score_checkpoint(home, "moving-mnist", path)
    assert not home.benchmarks.exists()


def test_a_file_that_is_no_checkpoint_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        score_checkpoint(home, "moving-mnist", tmp_path / "none.pth")
    assert not home.benchmarks.exists()
