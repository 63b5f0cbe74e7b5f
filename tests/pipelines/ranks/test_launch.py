"""Processes that are started, told of, killed, and never left behind; and a training that they share."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest

from datasets.archive.archive import Archive
from pipelines.home import Home
from pipelines.progress import silent
from pipelines.ranks.launch import RankError, launched
from pipelines.tracking.provenance import CHECKOUT
from pipelines.tracking.versions import list_versions
from pipelines.train import TrainConfig, main, train
from simvp.errors import ConfigError
from tests.pipelines.ranks.dying import Pair, dying
from tests.pipelines.ranks.tasks import counted, killed
from tests.support.worlds import formula_world

SETTINGS = {
    "dataset": "world", "frames_in": 4, "frames_out": 2, "size": "tiny", "epochs": 2, "epoch_updates": 8,
    "checkpoint_every": 3, "patience": 9, "threads": 1, "precision": "float32", "device": "cpu",
}  # fmt: skip
NOISE = 1e-4


def new_home(path: Path, database: Path) -> Home:
    home = Home(path)
    home.mlflow.mkdir(parents=True)
    shutil.copy(database, home.mlflow / "mlflow.db")
    ds = formula_world(frames=240, shape=(8, 8))
    noise = np.random.default_rng(0).normal(0, 1, (2, 240, 8, 8)).astype("f4")
    noisy = ds.assign({name: ds[name] + noise[n] for n, name in enumerate(ds.data_vars)})
    Archive(home.archive("world")).append(noisy.map(lambda v: v.assign_attrs(ds[v.name].attrs)))
    return home


@pytest.fixture(autouse=True)
def own_mlflow(monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def logs(tmp_path, monkeypatch) -> Path:
    """Where the processes' files go."""
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


EARLIER: set[int] = set()


@pytest.fixture(autouse=True)
def _earlier() -> None:
    """Servers that tests of other files have started live as long as this process."""
    EARLIER.clear()
    EARLIER.update(child.pid for child in psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    """Processes that the test started and that are not over; Python's own helper of spawned ones is none."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in EARLIER
        and child.status() != psutil.STATUS_ZOMBIE
        and "resource_tracker" not in " ".join(child.cmdline())
    ]


@pytest.mark.slow
def test_two_processes_make_the_training_of_one(tmp_path, empty_database, logs) -> None:
    alone, shared = (new_home(tmp_path / name, empty_database) for name in ("alone", "shared"))
    config = TrainConfig(**SETTINGS)
    one = train(alone, config)

    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith("training") and done >= 5:
            raise Killed

    with pytest.raises(Killed):
        train(shared, config, progress=kill)
    assert list_versions(shared, "world") == ()
    told: list[tuple[str, int, int]] = []
    two = launched(
        counted, shared, config.replace(processes=2), progress=lambda *event: told.append(event), folder=tmp_path
    )
    # The same training, by key: gone on with after the third update, with the curve of one process.
    assert two.training_key == one.training_key
    assert [done for what, done, _ in told if what.startswith("training")] == list(range(4, 17))
    assert len(two.history) == len(one.history) == 3
    for entry, expected in zip(two.history, one.history, strict=True):
        assert entry == pytest.approx(expected, rel=NOISE)
    assert two.validation["t2m"]["rmse"] == pytest.approx(one.validation["t2m"]["rmse"], rel=1e-3)
    # One run in MLflow, one version, and nothing left of the training.
    client = mlflow.MlflowClient(tracking_uri=shared.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("simvp-world").experiment_id])
    assert [(run.info.run_id, run.info.status) for run in runs] == [(two.run_id, "FINISHED")]
    points = client.get_metric_history(two.run_id, "validation_loss")
    assert [point.step for point in points] == [0, 1, 2]
    assert [version.version for version in list_versions(shared, "world")] == ["1"]
    assert list(shared.training("world").iterdir()) == list(logs.glob("simvp-*")) == children() == []
    # Each read half of the frames for its windows, and made half of the windows of each update.
    counts = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    known = np.sort(np.concatenate([count["frames"] for count in counts]))
    assert known.tolist() == list(range(len(known)))  # each frame once
    assert {len(count["frames"]) for count in counts} == {len(known) // 2}
    assert counts[1]["sizes"].tolist() == 13 * [4]  # the second makes nothing else
    assert counts[0]["sizes"][:5].tolist() == 5 * [4]  # of the first epoch; then the first scores
    both = np.stack([count["windows"][: 5 * 4].reshape(5, 4) for count in counts], axis=1)
    assert all(len(np.unique(update)) == 8 for update in both)  # no window of an update twice
    # Asked again, by another number of processes, it is known.
    again = train(shared, config)
    assert (again.existing, again.version, again.fingerprint) == (True, two.version, two.fingerprint)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_a_training_and_one_process_goes_on(tmp_path, empty_database, logs) -> None:
    home = new_home(tmp_path / "home", empty_database)
    config = TrainConfig(**SETTINGS)
    with pytest.raises(RankError) as caught:
        launched(killed, home, config.replace(processes=2), progress=silent, at=9)
    assert children() == []
    (folder,) = logs.glob("simvp-*")
    log = folder / "rank-1.log"
    assert log.is_file()
    assert re.fullmatch(
        r"Training in 2 processes: rank 1 \(process \d+\) was ended by SIGKILL, as a system does that is out of "
        rf"memory; the training was ended, what it printed is in {re.escape(str(log))}\n"
        r"To mend it: start the same training again: it goes on from its last checkpoint, with any number of processes",
        str(caught.value),
    )
    assert list_versions(home, "world") == ()
    seen: list[int] = []
    report = train(home, config, progress=lambda what, done, total: seen.append(done) if total == 16 else None)
    assert min(done for done in seen if done) in (7, 9)  # after the sixth update or the eighth, an epoch's last
    assert not report.existing
    whole = train(new_home(tmp_path / "whole", empty_database), config)
    for entry, expected in zip(report.history, whole.history, strict=True):
        assert entry == pytest.approx(expected, rel=NOISE)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", r"rank 1 \(process \d+\) was ended by SIGKILL, as a system does that is out of memory; the "),
        pytest.param("refuses", r"the second: expected more\nTo mend it: give more", marks=pytest.mark.slow),
        pytest.param(
            "fails", r"rank 1 \(process \d+\) failed: ZeroDivisionError: by nothing; ", marks=pytest.mark.slow
        ),
        pytest.param("exits", r"rank 1 \(process \d+\) ended with exit code 7; the ", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_ends_all_with_one_message(tmp_path, logs, capfd, how: str, message: str) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError if how == "refuses" else RankError, match=message) as caught:
        launched(dying, Home(tmp_path), Pair(), progress=lambda what, done, total: told.append(what), how=how)
    assert told == ["met"]
    assert children() == []  # the first, which would have waited, is gone too
    assert "".join(capfd.readouterr()) == ""
    if how == "refuses":
        assert list(logs.glob("simvp-*")) == []
    else:
        (log,) = logs.rglob("rank-1.log")
        assert str(log) in str(caught.value)
        words = "about to fail", "ZeroDivisionError: by nothing"
        assert [word in log.read_text() for word in words] == 2 * [how == "fails"]


@pytest.mark.slow
def test_a_listener_that_fails_and_a_parent_that_is_killed_leave_no_process(tmp_path, logs) -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launched(dying, Home(tmp_path), Pair(), progress=stop, how="waits")
    assert children() == list(logs.glob("simvp-*")) == []
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "met\n"
    processes = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    assert len(processes) >= 2
    _, left = psutil.wait_procs(processes, timeout=60)
    assert left == []


PARENT = """
from pipelines.home import Home
from pipelines.ranks import launched
from tests.pipelines.ranks.dying import Pair, dying

if __name__ == "__main__":
    launched(dying, Home("/"), Pair(), progress=lambda what, done, total: print(what, flush=True), how="waits")
"""


def test_no_archive_is_refused_and_nothing_is_written(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path))
    assert main(['{"dataset": "world"}']) == 2
    assert "Training on world: no archive at" in capsys.readouterr().err
    for words in (["world"], [], ["[1]"]):
        assert main(words) == 2
        assert "expected the settings as one JSON object, got" in capsys.readouterr().err
    assert main(['{"dataset": "world", "processs": 2}']) == 2
    assert "processs: no setting of that name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
