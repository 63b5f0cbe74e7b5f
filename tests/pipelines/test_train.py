"""Training as a stage: from an archive to a version, killed and gone on with, asked twice, and refused in words."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import xarray as xr

from datasets.archive.archive import Archive
from pipelines.home import Home
from pipelines.progress import silent
from pipelines.tracking.provenance import CHECKOUT
from pipelines.tracking.versions import list_versions
from pipelines.train import TrainConfig, TrainReport, _key, _plan, _selected, train
from pipelines.training.device import choose_device, choose_precision
from pipelines.training.gridded import GriddedTask
from pipelines.training.loop import DivergedError
from simvp.errors import ConfigError
from simvp.inference.forecaster import Forecaster
from tests.support.files.repositories import repository
from tests.support.worlds import formula_world

SETTINGS = {
    "dataset": "world", "frames_in": 4, "frames_out": 2, "size": "tiny", "epochs": 2, "epoch_updates": 8,
    "checkpoint_every": 3, "patience": 9, "threads": 1, "precision": "float32", "device": "cpu",
}  # fmt: skip
UPDATES = 16
CHILD = """
import os, signal, sys
from pipelines.home import Home
from pipelines.train import TrainConfig, train

def kill(what, done, total):
    if what.startswith(sys.argv[3]) and done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

train(Home(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2]), progress=kill)
"""


class Recording(TrainConfig):
    """Settings that know which of them were read."""

    def __getattribute__(self, name: str):
        if name in TrainConfig.model_fields:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()
DATABASE: list[Path] = []


def world(frames: int = 240) -> xr.Dataset:
    ds = formula_world(frames=frames, shape=(8, 8))
    noise = np.random.default_rng(0).normal(0, 1, (2, frames, 8, 8)).astype("f4")
    return ds.assign({name: ds[name] + noise[n] for n, name in enumerate(ds.data_vars)}).map(
        lambda v: v.assign_attrs(ds[v.name].attrs)
    )


def new_home(path: Path, ds: xr.Dataset | None = None) -> Home:
    home = Home(path)
    if DATABASE:
        home.mlflow.mkdir(parents=True)
        shutil.copy(DATABASE[0], home.mlflow / "mlflow.db")
    Archive(home.archive("world")).append(world() if ds is None else ds)
    return home


def curves(home: Home) -> dict[str, list[tuple[int, float]]]:
    """Every loss and score of the one run of this home, in the order in which they were logged."""
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("simvp-world").experiment_id])
    assert run.info.status == "FINISHED"
    names = [n for n in run.data.metrics if n.startswith(("training", "validation", "learning", "baseline"))]
    return {n: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, n)] for n in names}


@pytest.fixture(scope="module", autouse=True)
def own_mlflow(empty_database: Path):
    """Homes of this module begin with a copy of the empty database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        DATABASE.append(empty_database)
        yield
    DATABASE.clear()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Home, TrainReport, list[tuple[str, int, int]]]:
    """A training that nothing happened to."""
    home = new_home(tmp_path_factory.mktemp("whole"))
    seen: list[tuple[str, int, int]] = []
    before = torch.get_rng_state()
    report = train(home, Recording(**SETTINGS), progress=lambda *event: seen.append(event))
    assert torch.equal(torch.get_rng_state(), before)
    return home, report, seen


def test_report_says_what_was_made(whole):
    home, report, _ = whole
    assert (report.version, report.existing) == ("1", False)
    assert report.archive_commit == Archive(home.archive("world")).head.id
    assert repository(home.archive("world")).list_tags() == {f"commit-{report.archive_commit}"}
    assert [row["part"] for row in report.audit] == ["train", "validation", "held_out"]
    for row in report.audit:
        assert row["offered"] == row["used"] + sum(row[n] for n in ("series_edge", "split_edge", "gap", "nan"))
        assert row["used"] == report.plan.counts[row["part"]]
    assert [entry["epoch"] for entry in report.history] == [0, 1, 2]
    for state, row in report.validation.items():
        # What is issued stands first, the network alone beside it, on the same maps.
        assert 0 < row["rmse"] <= row["unmixed_rmse"] * 1.05
        assert row["network_rmse"] == pytest.approx(
            report.history[report.best_epoch][f"validation_rmse_{state}"], rel=1e-4
        )
        assert row["units"] == "K"
        assert row["baseline_rmse"] > 0


def test_progress_counts_updates_and_says_loss_score_and_time_left(whole):
    _, _, seen = whole
    told = [event for event in seen if event[0].startswith("training")]
    assert [event[1:] for event in told] == [(n, UPDATES) for n in range(1, UPDATES + 1)]
    assert "epoch 2/2, loss " in told[-1][0]
    assert "validation t2m " in told[-1][0]
    assert told[-1][0].endswith("s left")


def test_every_setting_is_read(whole):
    assert set(TrainConfig.model_fields) == READ


def test_version_holds_the_forecaster_and_is_the_challenger(whole):
    home, report, _ = whole
    (version,) = list_versions(home, "world")
    assert version.aliases == ("challenger",)
    assert version.training_key == report.training_key
    assert version.fingerprint == report.fingerprint
    assert "RMSE" in version.tags["validation_t2m"]
    files = list(home.artifacts.rglob("forecaster.safetensors"))
    assert len(files) == 1
    found = Forecaster.load(files[0])
    assert found.fingerprint == report.fingerprint
    assert found.provenance["periods"] == report.plan.periods.model_dump(mode="json")
    assert found.provenance["archive_commit"] == report.archive_commit
    assert found.spec.fitted_on["climatology_frames"] > found.spec.fitted_on["frames"]
    assert report.shifts.startswith("drift ")
    assert found.provenance["shifts"] == report.shifts
    ds = Archive(home.archive("world")).dataset()
    assert found.predict(ds).sizes["lead_time"] == 2
    sure = found.predict(ds, members=3, levels=(0.25, 0.75))
    assert sure["t2m_member"].sizes["member"] == 3
    assert (sure["t2m_quantile"][:, :, 0] <= sure["t2m_quantile"][:, :, 1]).all()


def test_held_out_values_do_not_reach_the_training(whole, tmp_path):
    _, report, _ = whole
    ds = world()
    start = np.datetime64(report.plan.periods.held_out[0])
    ds = ds.where(ds["time"] < start, 4000.0).map(lambda v: v.assign_attrs(world()[v.name].attrs))
    other = train(new_home(tmp_path, ds), TrainConfig(**SETTINGS))
    assert other.training_key != report.training_key  # another commit
    assert [entry["validation_loss"] for entry in other.history] == [
        entry["validation_loss"] for entry in report.history
    ]


def test_asked_again_returns_the_version_that_exists(whole):
    home, report, _ = whole
    again = train(home, TrainConfig(**{**SETTINGS, "checkpoint_every": 1, "memory_mib": 4096}))
    assert again.existing
    assert (again.version, again.fingerprint, again.run_id) == (report.version, report.fingerprint, report.run_id)
    assert again.experiment_id == report.experiment_id
    assert len(list_versions(home, "world")) == 1
    assert list(home.training("world").iterdir()) == []


def test_key_depends_on_what_decides_and_on_nothing_else(whole):
    _, report, _ = whole
    config = TrainConfig(**SETTINGS)

    def key_of(commit: str = "commit", frames_out: int | None = None, in_memory: bool = True, **changed: Any) -> str:
        plan = report.plan if frames_out is None else report.plan.model_copy(update={"frames_out": frames_out})
        return _key(config.model_copy(update=changed), commit, plan, in_memory=in_memory)

    key = key_of()
    assert key_of(threads=2, memory_mib=1) == key
    assert key_of(seed=1) != key
    assert key_of(commit="other") != key
    assert key_of(frames_out=1) != key
    # What counts is the arithmetic that is used, not the word for it.
    assert key_of(precision="bfloat16") != key
    used = choose_precision("auto", choose_device("cpu"))
    assert key_of(precision="auto") == key_of(precision=used)
    # Read in runs, the windows come in an order that the length of the runs decides.
    assert key_of(in_memory=False) != key
    assert key_of(in_memory=False, memory_mib=1) != key_of(in_memory=False, memory_mib=2)


def test_killed_twice_and_started_again_is_the_same_training(whole, tmp_path):
    unbroken, report, _ = whole
    home = new_home(tmp_path)
    settings = TrainConfig(**SETTINGS).model_dump_json()
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for phase, at in (("training", "11"), ("saving", "0")):
        words = [sys.executable, "-c", CHILD, str(home.path), settings, phase, at]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert list(home.training("world").glob("*/checkpoint.pt"))
        assert list_versions(home, "world") == ()
    seen: list[int] = []
    again = train(home, TrainConfig(**SETTINGS), progress=lambda what, done, total: seen.append(done))
    assert UPDATES not in seen[:1]
    assert again.fingerprint == report.fingerprint
    assert again.history == report.history
    assert again.training_key == report.training_key
    found = curves(home)
    assert found == curves(unbroken)
    assert [step for step, _ in found["validation_loss"]] == [0, 1, 2]
    assert list(home.training("world").iterdir()) == []


def test_frames_that_do_not_fit_into_memory_make_another_training_the_same_each_time(whole, tmp_path):
    _, report, _ = whole
    config = TrainConfig(**{**SETTINGS, "memory_mib": 0})
    one, other = (train(new_home(tmp_path / name), config) for name in ("one", "other"))
    assert one.fingerprint == other.fingerprint
    assert one.training_key == other.training_key != report.training_key
    assert one.history[0] == report.history[0]  # the start is the same, before any order


def test_a_training_of_some_variables_reads_only_these(tmp_path):
    home = new_home(tmp_path)
    ds = Archive(home.archive("world")).dataset()

    def fail(block: np.ndarray) -> np.ndarray:
        raise OSError("d2m is read")

    lazy = ds["d2m"].chunk()
    ds["d2m"] = lazy.copy(data=lazy.data.map_blocks(fail, meta=lazy.data._meta))
    config = TrainConfig(**SETTINGS, variables=("t2m",))
    tasks = []
    for chosen in (_selected(ds, config), ds):
        plan = _plan(chosen, Archive(home.archive("world")), config)
        tasks.append(GriddedTask(home, config, chosen, plan, "", silent))
    tasks[0].begin(fresh=True)
    assert tasks[0].spec.states == ("t2m",)
    with pytest.raises(OSError, match="d2m is read"):
        tasks[1].begin(fresh=True)


def test_what_is_chosen_by_validation_has_not_seen_it_and_what_is_saved_has(tmp_path):
    home = new_home(tmp_path)
    config, archive = TrainConfig(**SETTINGS), Archive(home.archive("world"))
    ds = archive.dataset().load()
    plan = _plan(ds, archive, config)
    spoilt = ds.copy(deep=True)
    for first, last in plan.intervals("validation"):
        spoilt["t2m"].loc[{"time": slice(first, last)}] += 5
    tasks = [GriddedTask(home, config, each, plan, "", silent) for each in (ds, spoilt)]
    for task in tasks:
        task.begin(fresh=True)
    for name, same in (("spec", True), ("rivals", True), ("final_spec", False), ("baselines", False)):
        one, other = (getattr(task, name).arrays() for task in tasks)
        assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one) is same, name
    assert tasks[0].rivals.period == ", ".join(f"{first} .. {last}" for first, last in plan.intervals("train"))
    assert tasks[0].baselines.period == ", ".join(f"{first} .. {last}" for first, last in plan.intervals("reference"))
    assert tasks[0].final_spec.fitted_on["climatology_frames"] > tasks[0].spec.fitted_on["frames"]


def test_no_archive_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(
        ConfigError, match=r"Training on world: no archive at .*archive.zarr\nTo mend it: simvp ingest world"
    ):
        train(Home(tmp_path), TrainConfig(dataset="world"))
    assert list(tmp_path.iterdir()) == []


def test_unknown_variables_and_too_few_windows_are_refused_before_writing(tmp_path):
    home = new_home(tmp_path, world(30))
    with pytest.raises(ConfigError, match=r"rain: expected one of t2m, d2m[\s\S]*wind: expected one of t2m, d2m"):
        train(home, TrainConfig(dataset="world", variables=("wind",), bounds={"rain": (0, None)}))
    with pytest.raises(ConfigError, match=r"train: expected 16 or more, got \d+[\s\S]*held_out: expected 4 or more"):
        train(home, TrainConfig(dataset="world", frames_in=12))
    assert mlflow.MlflowClient(tracking_uri=home.tracking_uri).get_experiment_by_name("simvp-world") is None
    assert not home.training("world").exists()


def test_missing_values_that_eat_a_part_up_are_refused_with_counts_places_and_what_to_set(tmp_path):
    ds = world()
    ds["t2m"].values[10:170:3, 2, 2] = np.nan
    ds["d2m"].values[10:170:3, 2, :3] = np.nan
    home = new_home(tmp_path, ds)
    with pytest.raises(ConfigError) as caught:
        train(home, TrainConfig(**SETTINGS, missing_share=0.03))
    text = str(caught.value)
    assert "train: expected 16 or more, got 5; " in text
    assert " were dropped for missing values" in text
    assert "t2m: missing values in 53 of 168 frames, 1.56 % of their points in the mean; 0 of them lack more" in text
    assert "d2m: missing values in 53 of 168 frames, 4.69 % of their points in the mean; 53 of them lack more" in text
    assert "and are left out, the worst 2020-01-01T10:00:00 (4.69 %), 2020-01-01T13:00:00 (4.69 %), " in text
    assert "set missing_share to 0.05" in text
    assert not any(path.is_dir() for path in home.training("world").iterdir())  # no checkpoint
    report = train(home, TrainConfig(**SETTINGS, missing_share=0.05))
    assert [row["nan"] for row in report.audit] == [0, 0, 0]


def test_loss_that_is_no_number_stops_in_words_and_fails_its_run(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.training.loop.masked_loss", lambda predicted, *rest: predicted.mean() * float("nan"))
    home = new_home(tmp_path)
    with pytest.raises(DivergedError, match=r"the loss of batch 1 in epoch 1 is nan[\s\S]*lower learning_rate"):
        train(home, TrainConfig(**SETTINGS))
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("simvp-world").experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    "wrong",
    [{"epoch": 3}, {"epochs": 0}, {"learning_rate": -1}, {"size": "huge"}, {"periods": {"test": 1}}, {"cycle": 1}],
)
def test_settings_out_of_range_or_unknown_are_refused(wrong):
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))}[.:]"):  # the remedy names all settings, with commas
        TrainConfig(dataset="world", **wrong)


def test_faults_of_the_periods_are_named_in_their_place():
    with pytest.raises(ConfigError) as refused:
        TrainConfig(dataset="world", periods={"test": 1, "held_out_days": -1}, epochs=0)
    assert [reason.partition(":")[0] for reason in refused.value.reasons] == [
        "epochs",
        "periods.held_out_days",
        "periods.test",
    ]
    assert refused.value.subject == "settings of the training"


def test_every_setting_is_described():
    for name, field in TrainConfig.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_study_of_a_named_source_fixes_periods_unless_told_otherwise(tmp_path, monkeypatch):
    times = np.datetime64("2019-03-01", "ns") + np.arange(744) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).normal(280, 1, (744, 2, 2)).astype("f4")
    ds = formula_world(frames=744, shape=(2, 2), start="2019-03-01")[["t2m"]].copy(data={"t2m": values})
    assert (ds["time"].values == times).all()
    archive = Archive(tmp_path / "archive.zarr")
    archive.append(ds, source_settings={"catalog": "era5-uk"})
    read = archive.dataset()
    plan = _plan(read, archive, TrainConfig(dataset="era5-uk"))
    assert plan.periods.mode == "study"
    assert (plan.frames_in, plan.frames_out) == (24, 12)
    assert plan.periods.held_out == ("2019-03-25T00:00:00", "2019-03-31T23:00:00")
    assert plan.counts["held_out"] == 157
    assert plan.periods.reference == (("2019-03-01T00:00:00", "2019-03-21T23:00:00"),)
    assert "fixed by the study era5-uk" in plan.text
    own = _plan(read, archive, TrainConfig(dataset="era5-uk", mode="operations"))
    assert own.periods.mode == "operations"
    assert "fixed" not in own.text


def test_device_and_precision():
    assert choose_device("cpu").type == "cpu"
    assert choose_precision("bfloat16", torch.device("cpu")) == "bfloat16"
    assert choose_precision("auto", torch.device("cpu")) in ("float32", "bfloat16")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device: expected a CUDA device, found none"):
            choose_device("cuda")
