"""Verification: what can be scored, by hand, beside the baselines of the model that made it, and what is written."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store import store as store_module
from datasets.store.store import Store
from pipelines import score_store
from pipelines.evaluation.evaluate import SYSTEMS, evaluate
from pipelines.evaluation.skill import by_model, lead_hours, markdown, skill_csv, skill_table, unpredictable
from pipelines.forecast import forecast
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.tracking import makers
from pipelines.verify import VerifyReport, verify
from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.errors import ArchiveError, ConfigError, RegistryError
from simvp.inference.registry import Registry, Version
from tests.support.counting import counted
from tests.support.files.repositories import repository
from tests.support.scored import errors
from tests.support.wave_home import forecaster, wave_home, world

INTERVAL = ("2020-01-12T00", "2020-01-13T23")


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, so they are drawn in one test only."""
    if "pictures" not in request.node.name:
        monkeypatch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    wave_home(made)
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_hindcasts_are_scored_as_evaluation_scores_them(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model, hindcast=INTERVAL)
    report = verify(home, "waves", kind="hindcasts", model=model, batch=20)
    assert (report.scored, report.pending, report.n, report.skill.attrs["weighting"]) == (46, 0, 46, "cos_latitude")
    ds = Archive(home.archive("waves")).dataset()
    wanted = evaluate(model, ds, Store(home.hindcasts("waves", "3h")).dataset()["init_time"].values)
    got = Store(report.path).dataset().load()
    assert got["system"].values.tolist() == [*SYSTEMS, "unmixed", "base"]
    assert (got["points"].sel(system=["unmixed", "base"]) == 0).all()  # there is no base forecast
    got = got.sel(system=list(SYSTEMS))
    for name in wanted.data_vars:
        np.testing.assert_allclose(got[name].transpose(*wanted[name].dims), wanted[name], rtol=1e-5, atol=1e-6)
    # The model is half a kelvin too warm everywhere.
    table = report.skill.sel(variable="t2m", system="model")
    np.testing.assert_allclose(table["rmse"], 0.5, atol=1e-3)
    np.testing.assert_allclose(table["bias"], 0.5, atol=1e-3)
    np.testing.assert_allclose(table["mae"], 0.5, atol=1e-3)
    assert (table["acc"] > 0.95).all()
    assert table["n"].values.tolist() == [46, 46, 46]
    assert int(table["n_all"]) == 138
    assert float(table["rmse_all"]) == pytest.approx(0.5, abs=1e-3)
    assert set(got["model_fingerprint"].values) == {model.fingerprint}
    # Stores of scores have had all of these from the first, and have to go on.
    assert {"model_version", "archive_commit", "created"} <= set(got.coords)


def test_the_skill_table_and_the_pictures_that_were_promised(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model, hindcast=INTERVAL)
    report = verify(home, "waves", kind="hindcasts", model=model)
    assert report.csv == home.skill_csv("waves")
    lines = rows(report.csv)
    assert tuple(lines[0]) == (
        "variable", "lead_hours", "n", "weighting", "model",
        "persistence", "seasonal_persistence", "climatology", "anomaly_persistence", "damped_anomaly", "version",
        "mae", "bias", "acc",
    )  # fmt: skip
    assert [(r["variable"], r["lead_hours"], r["n"], r["weighting"]) for r in lines] == [
        ("t2m", str(lead), "46", "cos_latitude") for lead in (1, 2, 3)
    ]
    for lead, line in enumerate(lines):
        for system in SYSTEMS:
            score = report.skill["rmse"].sel(variable="t2m", system=system).isel(lead_time=lead)
            assert float(line[system]) == pytest.approx(float(score), rel=1e-5)
    assert "below the best baseline's" in report.summary
    assert "138 maps, weighted by cos_latitude" in report.summary
    assert report.table().splitlines()[2].startswith("| t2m (K) | 1 | 46 | **0.5** |")
    assert report.table().splitlines()[5].startswith("| t2m (K) | all | 138 | **0.5** |")
    assert [p.name for p in report.pictures] == [f"hindcasts-3h-{name}.png" for name in ("skill", "t2m", "spectra")]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in report.pictures)


def test_operational_forecasts_are_scored_when_the_truth_has_arrived(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    # The archive ends at 23:00: the forecast of 18:00 with its 3 leads is complete, nothing waits.
    assert (first.scored, first.pending, first.n) == (4, 0, 4)
    archive = Archive(home.archive("waves"))
    archive.append(world(19 / 24, first=14 * 24))
    forecast(home, "waves", model=model)
    second = verify(home, "waves", model=model)
    # Frames up to 18:00: the forecast of 18:00 has to wait.
    assert (second.scored, second.pending, second.n) == (3, 1, 7)
    assert "1 wait for the truth" in second.summary
    archive.append(world(5 / 24, first=14 * 24 + 19))
    third = verify(home, "waves", model=model)
    assert (third.scored, third.pending, third.n) == (1, 0, 8)
    assert third.csv == home.skill_csv("waves").with_name("skill-forecasts.csv")
    assert not home.skill_csv("waves").exists()


def test_verifying_twice_changes_nothing(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    files = {p: p.read_bytes() for p in home.dataset("waves").rglob("*") if p.is_file()}
    again = verify(home, "waves", model=model)
    assert (again.scored, again.n) == (0, first.n)
    assert {p: p.read_bytes() for p in home.dataset("waves").rglob("*") if p.is_file()} == files
    xr.testing.assert_identical(again.skill, first.skill)


@contextmanager
def cut_off_after(commits: int) -> Iterator[None]:
    """A run that is cut off when it has committed so many times to a store."""
    move, done = store_module.move, count()

    def cut_off(*arguments: Any) -> None:
        if next(done) == commits:
            raise KeyboardInterrupt
        move(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "move", cut_off)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_cut_off_and_started_again_it_leaves_the_same_scores(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model, hindcast=INTERVAL)
    path = verify(home, "waves", kind="hindcasts", model=model, batch=10).path
    whole = Store(path).dataset().load()
    shutil.rmtree(path)
    with cut_off_after(3):
        verify(home, "waves", kind="hindcasts", model=model, batch=10)
    assert Store(path).length == 30
    report = verify(home, "waves", kind="hindcasts", model=model, batch=10)
    assert (report.scored, report.n) == (16, 46)
    xr.testing.assert_identical(Store(path).dataset().load(), whole)


def test_nothing_to_score_yet_is_a_report_not_an_error(home: Home) -> None:
    forecast(home, "waves", model=forecaster(), init_hours=[22])
    report = verify(home, "waves", model=forecaster())
    assert (report.scored, report.pending, report.n, report.skill, report.csv) == (0, 1, 0, None, None)
    assert report.summary == "waves, forecasts of 3h: 0 init times scored, 0 in all, 1 wait for the truth."
    assert (report.table(), report.pictures) == ("", ())


def test_frames_that_arrive_late_are_scored_then(home: Home) -> None:
    model = forecaster(0.5)
    archive = Archive(home.archive("waves"))
    day = world(1, first=14 * 24)
    archive.append(day.isel(time=[h for h in range(24) if h != 14]))
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    assert (first.scored, first.pending) == (4, 0)
    counts = first.skill["n"].sel(system="model", variable="t2m")
    assert counts.values.tolist() == [4, 3, 4]  # 12:00 + 2 h is absent
    archive.append(day.isel(time=[14]))
    second = verify(home, "waves", model=model)
    assert (second.scored, second.rescored) == (0, 1)
    assert second.skill["n"].sel(system="model", variable="t2m").values.tolist() == [4, 4, 4]
    assert verify(home, "waves", model=model).rescored == 0


def test_another_hindcast_has_other_scores(home: Home) -> None:
    for error in (0.5, 0.1):
        model = forecaster(error)
        forecast(home, "waves", model=model, hindcast=INTERVAL)
        report = verify(home, "waves", kind="hindcasts", model=model)
        assert (report.scored, report.n) == (46, 46)
        assert report.skill["rmse_all"].sel(system="model").item() == pytest.approx(error, abs=1e-3)
    beside = sorted(p.name for p in report.path.parent.iterdir() if p.is_dir())
    assert beside == ["hindcasts-3h.zarr"]


def test_scores_of_an_older_layout_are_made_anew(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    store = Store(first.path)
    scores, state = store.dataset().load(), store.state
    older = scores.rename(system="method").isel(init_time=slice(3))
    for name in older.variables:
        older[name].encoding.clear()
    shutil.rmtree(first.path)
    store.create(older, axis="init_time", chunks={"init_time": 64}, state=state)
    report = verify(home, "waves", model=model)
    assert (report.scored, report.n) == (4, 4)
    assert "scores of another layout" in caplog.text
    assert [path.name for path in first.path.parent.iterdir() if path.is_dir()] == ["forecasts-3h.zarr"]
    xr.testing.assert_identical(Store(report.path).dataset().load(), scores)
    assert report.csv.read_text() == skill_csv(first.skill)
    assert verify(home, "waves", model=model).scored == 0


def test_only_the_frames_that_count_are_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cycle as long as a year, and of an archive with other variables: the same scores."""
    model = forecaster(0.5)
    model = replace(model, baselines=replace(model.baselines, cycle=200))
    forecast(home, "waves", model=model)
    whole = Store(verify(home, "waves", model=model).path).dataset().load()
    shutil.rmtree(home.scores("waves", "forecasts-3h"))
    ds = Archive(home.archive("waves")).dataset()
    lazy, arrays = counted(ds.assign(rain=ds["t2m"], wind=ds["t2m"]))
    monkeypatch.setattr(Archive, "dataset", lambda self: lazy)
    report = verify(home, "waves", model=model)
    xr.testing.assert_identical(Store(report.path).dataset().load(), whole)
    inits = {13 * 24 + hour for hour in (0, 6, 12, 18)}
    leads = {init + lead for init in inits for lead in (1, 2, 3)}
    assert sorted(arrays["t2m"].read) == sorted({*inits, *leads, *(lead - 200 for lead in leads)})
    assert (arrays["rain"].read, arrays["wind"].read) == ([], [])


def test_each_forecast_is_set_beside_the_baselines_of_its_own_model(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models, fitted on other periods, made the forecasts: each is looked up by its fingerprint."""
    early = forecaster(0.5, version="simvp-waves/1")
    late = forecaster(0.25, version="simvp-waves/2", train=[("2020-01-02", "2020-01-08T23")])
    forecast(home, "waves", model=early)
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    forecast(home, "waves", model=late)
    models = {model.version: model for model in (early, late)}
    versions = tuple(
        Version(name="simvp-waves", version=v[-1], tags={"fingerprint": m.fingerprint}) for v, m in models.items()
    )
    loaded: list[str] = []
    monkeypatch.setattr(makers, "list_versions", lambda home, dataset: versions)
    monkeypatch.setattr(makers, "open_registry", lambda home: Registry(uri="not asked"))
    load = lambda registry, version: loaded.append(version.label) or models[version.label]  # noqa: E731
    monkeypatch.setattr(Registry, "load", load)
    report = verify(home, "waves")
    assert (report.scored, report.models) == (8, ("simvp-waves/1", "simvp-waves/2"))
    assert sorted(loaded) == ["simvp-waves/1", "simvp-waves/2"]
    ds = Archive(home.archive("waves")).dataset()
    inits = Store(home.forecasts("waves", "3h")).dataset()["init_time"].values
    got = Store(report.path).dataset()["squared_error"].sel(system="climatology").load()
    for model, part in ((early, slice(0, 4)), (late, slice(4, 8))):
        wanted = evaluate(model, ds, inits[part])["squared_error"].sel(system="climatology")
        np.testing.assert_allclose(got[part].transpose(*wanted.dims), wanted, rtol=1e-6)
    # One is half a kelvin off, the other a quarter: no number is of both.
    assert list(report.skills) == ["simvp-waves/1", "simvp-waves/2"]
    for table, error in zip(report.skills.values(), (0.5, 0.25), strict=True):
        np.testing.assert_allclose(table["rmse"].sel(system="model"), error, atol=2e-3)
        assert (table["n"] == 4).all()
        assert (table["points"] == 4 * 12).all()
    assert report.skill is report.skills["simvp-waves/2"]
    assert [(line["version"], line["n"]) for line in rows(report.csv)] == [
        *[("simvp-waves/1", "4")] * 3, *[("simvp-waves/2", "4")] * 3
    ]  # fmt: skip
    assert report.summary.count("Forecasts by simvp-waves/") == report.table().count("Forecasts by simvp-waves/") == 2
    with pytest.raises(ConfigError, match="scores of one model, got those of simvp-waves/1, simvp-waves/2"):
        skill_table(Store(report.path).dataset())


def test_two_models_without_a_version_are_told_apart_by_their_content() -> None:
    found = made_errors(Step.parse("6h"), "2020-01-01", np.ones((6, 3, 2)))
    labels = {"model_version": ["unregistered"] * 3, "model_fingerprint": ["aa", "bb", "aa"]}
    parts = by_model(found.assign_coords({name: ("init_time", texts) for name, texts in labels.items()}))
    assert {label: part.sizes["init_time"] for label, part in parts.items()} == {
        "unregistered, content aa": 2,
        "unregistered, content bb": 1,
    }


def assert_as_by_hand(home: Home, report: VerifyReport) -> None:
    """The model's RMSE by lead is that against the archive as it is now."""
    ds = Archive(home.archive("waves")).dataset().load()
    made = Store(home.forecasts("waves", "3h")).dataset().load().isel(init_time=slice(report.n))
    weights = np.cos(np.deg2rad(ds["latitude"].values))[:, None] * np.ones(ds.sizes["longitude"])
    observed = np.stack([ds["t2m"].sel(time=times).values for times in made["valid_time"].values])
    squares = (made["t2m"].values.astype("f8") - observed) ** 2
    expected = np.sqrt(((squares * weights).sum((2, 3)) / weights.sum()).mean(0))
    np.testing.assert_allclose(report.skill["rmse"].sel(system="model", variable="t2m"), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("first", "frames", "rescored"),
    [
        (13 * 24 + 8, 1, 1),  # the second lead of 06:00
        (13 * 24, 24, 4),  # the whole day
        (13 * 24 + 22, 2, 0),  # nothing was forecast for these hours
        (13 * 24 + 12, 1, 1),  # an init time: persistence starts from it, the truth is as it was
        (0, 14 * 24, 4),
    ],
)
def test_truth_that_was_replaced_is_scored_again(home: Home, first: int, frames: int, rescored: int) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    verify(home, "waves", model=model)
    Archive(home.archive("waves")).append(_warmer(first, frames, 5.0), replace=True)
    report = verify(home, "waves", model=model)
    assert (report.scored, report.rescored, report.n) == (0, rescored, 4)
    assert_as_by_hand(home, report)
    scores = Store(report.path).dataset().load()
    ds = Archive(home.archive("waves")).dataset()
    wanted = evaluate(model, ds, scores["init_time"].values).sel(system="persistence")
    np.testing.assert_allclose(
        scores["squared_error"].sel(system="persistence").transpose(*wanted["squared_error"].dims),
        wanted["squared_error"],
        rtol=1e-6,
    )
    files = {p: p.read_bytes() for p in report.path.rglob("*") if p.is_file()}
    again = verify(home, "waves", model=model)
    assert (again.scored, again.rescored) == (0, 0)
    assert {p: p.read_bytes() for p in report.path.rglob("*") if p.is_file()} == files


def _warmer(first: int, frames: int, kelvin: float) -> xr.Dataset:
    ds = world(frames / 24, first=first)
    return ds.assign(t2m=ds["t2m"] + np.float32(kelvin))


def test_equal_frames_that_come_again_change_no_score(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    Archive(home.archive("waves")).append(world(), replace=True)
    again = verify(home, "waves", model=model)
    assert again.rescored == 0
    xr.testing.assert_identical(again.skill, first.skill)


def test_what_only_a_baseline_looks_back_at_counts_too(home: Home) -> None:
    model = forecaster(0.5)
    model = replace(model, baselines=replace(model.baselines, cycle=48))
    forecast(home, "waves", model=model)
    verify(home, "waves", model=model)
    Archive(home.archive("waves")).append(_warmer(11 * 24 + 7, 1, 5.0), replace=True)  # 06:00 + 1 h, two days before
    assert verify(home, "waves", model=model).rescored == 1


def test_without_the_history_of_the_archive_everything_is_scored_again(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    verify(home, "waves", model=model)
    Archive(home.archive("waves")).append(_warmer(13 * 24 + 8, 1, 5.0), replace=True)
    forgotten = repository(home.archive("waves"))
    forgotten.expire_snapshots(datetime.now(UTC))
    report = verify(home, "waves", model=model)
    assert report.rescored == 1
    assert_as_by_hand(home, report)


@pytest.mark.parametrize(("whole", "left"), [(0, 2), (1, 1)])
def test_cut_off_while_scoring_again_it_goes_on(home: Home, whole: int, left: int) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    verify(home, "waves", model=model)
    archive = Archive(home.archive("waves"))
    archive.append(_warmer(13 * 24 + 1, 1, 5.0), replace=True)
    archive.append(_warmer(13 * 24 + 13, 1, 5.0), replace=True)
    with cut_off_after(whole):
        verify(home, "waves", model=model)
    report = verify(home, "waves", model=model)
    assert report.rescored == left
    assert_as_by_hand(home, report)


def test_scores_of_unlike_points_are_made_anew(home: Home) -> None:
    """As they were once: each system on the points that it happened to know."""
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    store = Store(first.path)
    scores, state = store.dataset().load(), store.state
    older = scores.copy(deep=True)
    older["points"].loc[{"system": "persistence", "init_time": scores["init_time"][2]}] = 6
    older["squared_error"].loc[{"system": "persistence", "init_time": scores["init_time"][2]}] = 99.0
    shutil.rmtree(first.path)
    store.create(older, axis="init_time", chunks={"init_time": 64}, state=state)
    assert verify(home, "waves", model=model).rescored == 1
    xr.testing.assert_identical(Store(first.path).dataset().load(), scores)


def test_forecasts_of_a_model_that_is_gone_are_scored_alone(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    whole = verify(home, "waves", model=model)
    kept = Store(whole.path).dataset().load()
    shutil.rmtree(whole.path)
    report = verify(home, "waves", model=forecaster(0.4), batch=2)
    assert (report.scored, report.n) == (4, 4)
    said = f"unregistered, content {model.fingerprint}, is not there: its forecasts of waves are scored alone"
    assert caplog.text.count(said) == 1
    scores = Store(report.path).dataset().load()
    assert scores["system"].values.tolist() == kept["system"].values.tolist()
    own, others = scores.sel(system="model"), scores.drop_sel(system="model")
    np.testing.assert_array_equal(own["squared_error"], kept["squared_error"].sel(system="model"))
    assert own["anomaly_covariance"].isnull().all()  # the climatology is in the model's file
    assert (own["points"] == 12).all()
    assert others["squared_error"].isnull().all()
    assert (others["points"] == 0).all()
    assert report.skill["system"].values.tolist() == ["model"]
    assert report.skill["n_all"].item() == 12
    assert report.skill["rmse_all"].item() == pytest.approx(0.5, abs=1e-3)
    assert "t2m: RMSE over all leads 0.5 K; the model's file, with the baselines, is not there." in report.summary
    assert report.table().splitlines()[2].startswith("| t2m (K) | 1 | 4 | **0.5** |")
    # It is not said again while nothing is scored, and where the file is found the others are made.
    caplog.clear()
    assert verify(home, "waves", model=forecaster(0.4)).rescored == 0
    assert caplog.text == ""
    assert verify(home, "waves", model=model).rescored == 4
    xr.testing.assert_identical(Store(report.path).dataset().load(), kept)


def test_a_registry_that_does_not_answer_is_no_deleted_model(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(home, "waves", model=forecaster(0.5))

    def refused(home: Home, dataset: str) -> None:
        raise RegistryError("Model registry", ["no answer"])

    monkeypatch.setattr(makers, "list_versions", refused)
    with pytest.raises(RegistryError, match="no answer"):
        verify(home, "waves")
    assert not home.scores("waves", "forecasts-3h").exists()


def test_a_version_whose_file_is_gone_is_a_deleted_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    version = Version(name="simvp-waves", version="1", tags={"fingerprint": model.fingerprint})

    def gone(registry: Registry, version: Version) -> None:
        raise RegistryError(version.label, ["expected one .safetensors file, got none"])

    monkeypatch.setattr(makers, "list_versions", lambda home, dataset: (version,))
    monkeypatch.setattr(makers, "open_registry", lambda home: Registry(uri="not asked"))
    monkeypatch.setattr(Registry, "load", gone)
    assert verify(home, "waves").skill["system"].values.tolist() == ["model"]


def test_horizons_are_found_and_a_choice_is_asked_for(home: Home) -> None:
    with pytest.raises(ArchiveError, match=r"got none\n?.*issue some first: simvp forecast .*, or the flow forecast"):
        verify(home, "waves")
    forecast(home, "waves", model=forecaster())
    forecast(home, "waves", model=forecaster(), horizon=5)
    assert horizons(home, "waves") == ("3h", "5h")
    assert horizons(home, "waves", "hindcasts") == ()
    with pytest.raises(ConfigError, match="there are several: 3h, 5h"):
        verify(home, "waves", model=forecaster())
    assert verify(home, "waves", horizon="5h", model=forecaster()).n == 4
    with pytest.raises(ArchiveError, match="there is none"):
        verify(home, "waves", horizon="7h", model=forecaster())


def test_the_share_that_nobody_can_predict_is_stated(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ds = world()
    ds["t2m"].attrs["unpredictable_std"] = 0.2
    Archive(home.archive("waves")).append(ds)
    model = forecaster(0.5)
    forecast(home, "waves", model=model, hindcast=INTERVAL)
    report = verify(home, "waves", kind="hindcasts", model=model)
    # 0.2^2 of 0.5^2.
    assert report.unpredictable["t2m"] == pytest.approx(0.16, abs=1e-3)
    assert "t2m: 16% of the model's mean square error is noise that nobody can predict" in report.summary


def made_errors(step: Step, start: str, squares: np.ndarray) -> xr.Dataset:
    """Errors (system, 1, I, L) of a constant truth of zero and forecasts that are off by the root of `squares`."""
    times = step.shift(np.array([start], "M8[ns]"), np.arange(squares.shape[1]))
    grid = _grid()
    truth_times = step.shift(times[:1], np.arange(squares.shape[1] + squares.shape[2]))
    truth = xr.Dataset(
        {"rain": (("time", "y", "x"), np.zeros((len(truth_times), 2, 2)), {"units": "mm"})},
        coords={"time": truth_times, "y": [0.0, 1.0], "x": [0.0, 1.0]},
    )
    parts = []
    for square in squares:
        fields = {"rain": np.sqrt(square)[:, :, None, None] * np.ones((2, 2))}
        coords = coordinates(times, squares.shape[2], step=step, grid=grid)
        made = label(fields, coords, grid=grid, variable_attrs={"rain": {"units": "mm"}})
        parts.append(errors(made, truth))
    return xr.concat(parts, xr.Variable("system", list(SYSTEMS)), coords="minimal", compat="override")


def _grid() -> Grid:
    return Grid.of(xr.Dataset(coords={"y": [0.0, 1.0], "x": [0.0, 1.0]}).assign(v=(("y", "x"), np.zeros((2, 2)))))


def test_scores_by_hand() -> None:
    # Two init times, two leads; the model is off by 1 and 2 at lead 1, by 3 and 4 at lead 2; the baselines by 5.
    squares = np.full((6, 2, 2), 25.0)
    squares[0] = [[1.0, 9.0], [4.0, 16.0]]
    table = skill_table(made_errors(Step.parse("6h"), "2020-01-01", squares))
    model = table.sel(system="model", variable="rain")
    np.testing.assert_allclose(model["rmse"], np.sqrt([2.5, 12.5]))
    np.testing.assert_allclose(model["bias"], [1.5, 3.5])
    assert float(model["rmse_all"]) == pytest.approx(np.sqrt(7.5))
    assert table["lead_hours"].values.tolist() == [6.0, 12.0]
    assert table.attrs["weighting"] == "uniform"
    lines = skill_csv(table).splitlines()
    assert lines[1].startswith("rain,6,2,uniform,1.58114,5,5,5,5,5,,")
    assert lines[0].split(",")[11:] == ["mae", "bias", "acc"]
    assert float(lines[1].split(",")[12]) == 1.5
    assert "| rain (mm) | all | 4 | **2.739** | 5 |" in markdown(table)
    assert unpredictable(table, {"rain": 1.0})["rain"] == pytest.approx(1 / 7.5)


def test_a_map_counts_only_where_every_method_has_it() -> None:
    squares = np.full((6, 3, 1), 4.0)
    squares[0, :, 0] = [1.0, 1.0, 100.0]
    squares[2, 2, 0] = np.nan  # seasonal persistence has no frame to look back at
    table = skill_table(made_errors(Step.parse("6h"), "2020-01-01", squares))
    assert table["n"].values.ravel().tolist() == [2] * 6
    assert table["rmse"].sel(system="model").item() == pytest.approx(1.0)


def test_leads_of_calendar_months_are_given_in_mean_hours() -> None:
    found = made_errors(Step(months=1, anchor="day", day=1), "2019-01-01", np.ones((6, 2, 2)))
    # From 1 January and 1 February 2019: 31 and 28 days to the first valid time, 59 and 59 to the second.
    assert lead_hours(found).tolist() == [29.5 * 24, 59 * 24]
    assert skill_csv(skill_table(found)).splitlines()[1].startswith("rain,708,2,uniform,1,")
