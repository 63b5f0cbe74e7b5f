"""Trainings without a network and without a mixture, and what the registry says of the parts of a model."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.promote import promote
from pipelines.tracking.versions import resolve_version
from pipelines.train import TrainConfig, TrainReport, train
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from simvp.inference.model_file import read_header
from simvp.inference.registry import Registry
from simvp.inference.replay import Replay
from tests.support.mixed import noisy_world

SETTINGS = {
    "dataset": "noisy", "frames_in": 4, "frames_out": 2, "epochs": 1, "epoch_updates": 4, "threads": 1,
    "precision": "float32", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> tuple[Home, dict[str, TrainReport], dict[str, Forecaster]]:
    """One archive, and a model of each kind: whole, without network, without mixture."""
    home = Home(tmp_path_factory.mktemp("parts") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home.mlflow.mkdir(parents=True)
        shutil.copy(empty_database, home.mlflow / "mlflow.db")
        Archive(home.archive("noisy")).append(noisy_world(), step=Step.parse("1h"))
        kinds = {
            "whole": {"size": "tiny"},
            "no mixture": {"size": "tiny", "mixture": False},
            "no network": {"size": "none"},
        }
        reports = {name: train(home, TrainConfig(**SETTINGS, **more)) for name, more in kinds.items()}
        models = {
            name: Registry.find(home.path).load(resolve_version(home, "noisy", report.version))
            for name, report in reports.items()
        }
    return home, reports, models


def version(home: Home, report: TrainReport) -> mlflow.entities.model_registry.ModelVersion:
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)
    return client.get_model_version("simvp-noisy", report.version)


def file_of(home: Home, report: TrainReport) -> Path:
    (found,) = (
        path for path in home.path.rglob("*.safetensors") if read_header(path)["fingerprint"] == report.fingerprint
    )
    return found


class TestWithoutNetwork:
    def test_it_is_registered_and_its_file_has_no_network(self, trained) -> None:
        home, reports, models = trained
        header = read_header(file_of(home, reports["no network"]))
        assert (header["format"], header["network"]) == (3, None)
        model = models["no network"]
        assert model.network is None
        assert model.correction is None
        assert model.fingerprint == reports["no network"].fingerprint
        assert model.mixture.experts[0] == "base"
        assert not {"corrected", "network"} & set(model.mixture.experts)
        small, large = (file_of(home, reports[name]).stat().st_size for name in ("no network", "whole"))
        assert small < large

    def test_nothing_was_trained(self, trained) -> None:
        _, reports, _ = trained
        assert [entry["epoch"] for entry in reports["no network"].history] == [0]
        assert [entry["epoch"] for entry in reports["whole"].history] == [0, 1]
        row = reports["no network"].validation["t2m"]
        assert "network_rmse" not in row
        assert row["unmixed_rmse"] == row["base_rmse"]

    def test_it_predicts_from_the_file(self, trained) -> None:
        _, _, models = trained
        model, ds = models["no network"], noisy_world(2, first=24 * 14)
        forecast = model.predict(ds, horizon=5, adapt=True)
        assert forecast.sizes["lead_time"] == 5
        assert np.isfinite(forecast["t2m"]).all()

    def test_it_forecasts_in_operation_and_is_judged(self, trained, monkeypatch: pytest.MonkeyPatch) -> None:
        home, reports, _ = trained
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        report = forecast(home, "noisy", model=reports["no network"].version, horizon="3h")
        assert len(report.issued) == 4
        done = promote(home, "noisy", reports["no network"].version)
        assert done.outcome in ("promote", "refuse", "insufficient")
        assert "beside it: t2m, the base forecast alone: RMSE " in done.summary
        rmse = json.loads(done.candidate.tags["gate_rmse"])["t2m"]
        assert rmse["unmixed"] == rmse["base"]
        head = done.table().splitlines()
        assert any(line.startswith("| variable | lead h | n | model | unmixed | base | persistence |") for line in head)


class TestWithoutMixture:
    def test_one_switch(self, trained) -> None:
        _, reports, models = trained
        model, whole = models["no mixture"], models["whole"]
        assert model.mixture is None
        assert model.fingerprint != whole.fingerprint
        np.testing.assert_array_equal(model.correction, whole.correction)  # nothing else differs
        row = reports["no mixture"].validation["d2m"]
        assert row["rmse"] == row["unmixed_rmse"]

    def test_the_forecast_is_the_corrected_base(self, trained) -> None:
        _, _, models = trained
        model, ds = models["no mixture"], noisy_world(2, first=24 * 14)
        times = ds["time"].values[-3:]
        forecast = model.predict(ds, init_time=times)
        _, maps = model.experts(ds, times, 2)
        np.testing.assert_array_equal(forecast["t2m"], maps["corrected"][:, :, 0])
        whole = models["whole"].predict(ds, init_time=times)
        assert np.abs(whole["t2m"] - forecast["t2m"]).max() > 1e-3


def test_what_is_saved_is_fitted_on_the_whole_reference_with_the_choices_kept(trained) -> None:
    _, reports, models = trained
    model = models["whole"]
    provenance = model.provenance
    assert provenance["combination"]["experts"] == list(model.mixture.experts)
    np.testing.assert_allclose(provenance["combination"]["correction"], model.correction, atol=1e-4)
    ends = [piece[-1] for piece in provenance["periods"]["reference"]]
    assert all(end in model.baselines.period for end in ends)
    shown = {state: dict(row) for state, row in reports["whole"].validation.items()}
    for row in shown.values():
        assert row["baseline_rmse"] == row.pop("baselines")[row["best_baseline"]]
    assert shown == provenance["validation"]


def test_the_version_says_whose_the_skill_is(trained) -> None:
    home, reports, _ = trained
    for name in ("whole", "no network", "no mixture"):
        made = version(home, reports[name])
        card = made.description.replace("&emsp;", "").replace("&nbsp;", " ")
        base, baseline = (reports[name].validation["t2m"][key] for key in ("base_rmse", "baseline_rmse"))
        (row,) = (line for line in card.splitlines() if line.startswith(f"| t2m (K) | {baseline:.4g} ("))
        assert f"| {base:.4g} (" in row
        assert ("no network" in row, "switched off" in row) == (name == "no network", name == "no mixture")
        assert made.tags["skill_t2m"].startswith(f"base {base:.4g}, correction ")


def test_the_page_of_a_new_version(trained) -> None:
    home, reports, models = trained
    made, model = version(home, reports["whole"]), models["whole"]
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    run = client.get_run(made.run_id)
    assert re.fullmatch(r"noisy, simvp tiny 4-16-2-1, \d{4}-\d\d-\d\d \d\d:\d\d", run.info.run_name)
    name = client.get_run(version(home, reports["no network"]).run_id).info.run_name
    assert name.startswith("noisy, base forecast only, ")
    assert run.data.tags["mlflow.note.content"] == made.description
    card = made.description.replace("&emsp;", "").replace("&nbsp;", " ")
    assert f"](get-artifact?path=validation_skill.png&run_uuid={made.run_id})" in card
    assert "validation_skill.png" in {file.path for file in client.list_artifacts(made.run_id)}
    assert "### Skill on the validation blocks, left out of every fit" in card
    # Over all leads it is what the training reports.
    rmse = reports["whole"].validation["t2m"]["rmse"]
    (line,) = (line for line in card.splitlines() if line.startswith("| t2m (K) | all |"))
    assert f"{rmse:.4g}" in line.replace("*", "").split(" | ")
    assert [param.name for param in mlflow.models.Model.load(made.source.removeprefix("file://")).signature.params] == [
        "horizon", "init_time", "adapt", "members", "levels",
    ]  # fmt: skip
    assert model.fingerprint in card


def test_the_error_of_what_is_issued_on_validation_is_near_that_on_held_out_days(trained) -> None:
    # The world is stationary: an in-sample figure would be well below what is found later.
    _, reports, models = trained
    ds: xr.Dataset = noisy_world()
    for name in ("whole", "no network"):
        model, periods = models[name], models[name].provenance["periods"]
        first, last = (np.datetime64(text) for text in periods["held_out"])
        times = ds["time"].values
        inits = times[(times >= first) & (times <= last - np.timedelta64(2, "h"))]
        made = Replay(model, 2).forecasts(ds, inits)["model"]
        truth = ds["t2m"].sel(time=made["valid_time"])
        rmse = float(np.sqrt(((made["t2m"] - truth) ** 2).mean()))
        assert rmse == pytest.approx(reports[name].validation["t2m"]["rmse"], rel=0.12)
