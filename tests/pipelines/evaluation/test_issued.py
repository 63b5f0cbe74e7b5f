"""The unmixed model and its base among the scores of what was issued: made again, on the same points, by version."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines import score_store
from pipelines.evaluation.evaluate import SYSTEMS
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verify import VerifyReport, verify
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from simvp.inference.replay import Replay
from tests.support.mixed import DAYS, FRAMES_OUT, mixed_forecaster, noisy_world
from tests.support.registries import stand_in

HOUR = Step.parse("1h")
DATASET = "noisy"
STATES = ["t2m", "d2m"]
PARTS = ("unmixed", "base")
Register = Callable[..., None]


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return mixed_forecaster(version="simvp-noisy/1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())
    made = Home(tmp_path / "home")
    Archive(made.archive(DATASET)).append(noisy_world(), step=HOUR)
    return made


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Put models into a registry that is only asked by fingerprint; those before are deleted."""
    return partial(stand_in, monkeypatch, "simvp-noisy")


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[np.datetime64]:
    """Init times that were made again."""
    times: list[np.datetime64] = []
    own = Replay.forecasts
    monkeypatch.setattr(Replay, "forecasts", lambda replay, ds, t: times.extend(t) or own(replay, ds, t))
    return times


def add_day(home: Home, day: int) -> None:
    Archive(home.archive(DATASET)).append(noisy_world(1, first=24 * day))


def warmer(home: Home, frame: int, **kelvin: float) -> None:
    """Replace a frame of the archive."""
    ds = noisy_world(1 / 24, first=frame)
    Archive(home.archive(DATASET)).append(
        ds.assign({n: ds[n] + np.float32(more) for n, more in kelvin.items()}), replace=True
    )


def scores(report: VerifyReport) -> xr.Dataset:
    return Store(report.path).dataset().load()


def by_hand(home: Home, model: Forecaster, inits: np.ndarray) -> np.ndarray:
    """Squared errors (I, S, L) of what a model forecasts, one init time after the other."""
    ds = Archive(home.archive(DATASET)).dataset().load()
    area = model.spec.weights / model.spec.weights.sum()
    rows = []
    for init in inits:
        made = model.predict(ds.sel(time=slice(None, init)), init_time=init)
        truth = ds[STATES].sel(time=made["valid_time"].values.reshape(-1))
        maps = [made[n].values.reshape(FRAMES_OUT, 3, 4).astype("f8") - truth[n].values for n in STATES]
        rows.append([((error**2) * area).sum((1, 2)) for error in maps])
    return np.array(rows)


def squares(found: xr.Dataset, system: str) -> np.ndarray:
    return found["squared_error"].sel(system=system).transpose("init_time", "variable", "lead_time").values


def bare(model: Forecaster) -> Forecaster:
    """Its base alone."""
    return replace(model, network=None, correction=None, mixture=None)


def test_a_replay_is_the_forecast_of_the_model_without_its_mixture(model: Forecaster) -> None:
    ds = noisy_world()
    inits = ds["time"].values[[250, 251, 258, 300]]
    made = Replay(replace(model, mixture=None), FRAMES_OUT).forecasts(ds, inits)
    for part, alone in {"unmixed": replace(model, mixture=None), "base": bare(model)}.items():
        wanted = alone.predict(ds, init_time=inits)
        for name in STATES:
            np.testing.assert_array_equal(made[part][name].transpose(*wanted[name].dims), wanted[name], err_msg=part)


@pytest.mark.parametrize("kind", ["forecasts", "hindcasts"])
def test_parts_are_scored_as_the_model_forecasts_without_its_mixture(home: Home, model: Forecaster, kind: str) -> None:
    forecast(home, DATASET, model=model, hindcast=("2020-01-12T00", "2020-01-12T11") if kind == "hindcasts" else None)
    report = verify(home, DATASET, kind=kind, model=model)
    found = scores(report)
    assert found["system"].values.tolist() == [*SYSTEMS, *PARTS]
    assert (found["points"] == 12).all()
    inits = found["init_time"].values
    np.testing.assert_allclose(squares(found, "unmixed"), by_hand(home, replace(model, mixture=None), inits), rtol=1e-4)
    np.testing.assert_allclose(squares(found, "base"), by_hand(home, bare(model), inits), rtol=1e-4)
    assert np.abs(squares(found, "model") / squares(found, "unmixed") - 1).max() > 1e-3
    rmse = report.skill["rmse_all"].sel(variable="t2m", system="base").item()
    assert rmse == pytest.approx(np.sqrt(by_hand(home, bare(model), inits)[:, 0].mean()), rel=1e-4)
    with open(report.csv, newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == [
        "variable",
        "lead_hours",
        "n",
        "weighting",
        "model",
        *PARTS,
        *SYSTEMS[1:],
        "version",
        "mae",
        "bias",
        "acc",
    ]
    assert report.table().splitlines()[0].startswith("| variable | lead h | n | model | unmixed | base | persistence")


def test_a_day_more_is_a_replay_of_that_day(
    home: Home, model: Forecaster, register: Register, replayed: list[np.datetime64]
) -> None:
    register(model)
    forecast(home, DATASET, model=model)
    verify(home, DATASET)
    add_day(home, DAYS)
    forecast(home, DATASET, model=model)
    replayed.clear()
    assert verify(home, DATASET).scored == 4
    day = np.datetime64("2020-01-15", "ns") + np.arange(0, 24, 6) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(replayed, day)
    replayed.clear()
    assert verify(home, DATASET).scored == 0
    assert replayed == []


def test_scores_from_before_there_were_parts_are_made_once_more(
    home: Home, model: Forecaster, register: Register, replayed: list[np.datetime64]
) -> None:
    register(model)
    forecast(home, DATASET, model=model)
    first = verify(home, DATASET)
    whole = older(first)
    replayed.clear()
    assert verify(home, DATASET).scored == 4
    assert len(replayed) == 4
    xr.testing.assert_identical(scores(first), whole)
    assert verify(home, DATASET).scored == 0


def older(report: VerifyReport) -> xr.Dataset:
    """Takes the parts out of a store of scores, and returns what it was."""
    store, whole, state = Store(report.path), scores(report), Store(report.path).state
    shutil.rmtree(report.path)
    store.create(whole.drop_sel(system=list(PARTS)), axis="init_time", chunks={"init_time": 64}, state=state)
    return whole


def test_what_was_scored_of_a_deleted_version_stays(
    home: Home, model: Forecaster, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    register(model)
    forecast(home, DATASET, model=model)
    first = verify(home, DATASET)
    whole = older(first)
    new = replace(model, correction=model.correction * 0.5, version="simvp-noisy/2")
    register(new)  # and the first one is deleted
    add_day(home, DAYS)
    forecast(home, DATASET, model=new)
    second = verify(home, DATASET)
    assert (second.scored, second.n) == (8, 8)
    found = scores(second)
    before, after = found.isel(init_time=slice(4)), found.isel(init_time=slice(4, 8))
    # Its baselines, too, which nobody can make again; its parts are not there.
    xr.testing.assert_identical(
        before.sel(system=list(SYSTEMS)).drop_vars("created"), whole.sel(system=list(SYSTEMS)).drop_vars("created")
    )
    assert before["squared_error"].sel(system=list(PARTS)).isnull().all()
    assert (before["points"].sel(system=list(PARTS)) == 0).all()
    np.testing.assert_allclose(
        squares(after, "unmixed"), by_hand(home, replace(new, mixture=None), after["init_time"].values), rtol=1e-4
    )
    with open(second.csv, newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(line["version"], line["n"], line["unmixed"] == "nan") for line in lines} == {
        ("simvp-noisy/1", "4", True),
        ("simvp-noisy/2", "4", False),
    }
    assert caplog.text.count("simvp-noisy/1, content") == 1
    # Truth that is replaced takes from it what rests on what was there before.
    warmer(home, 24 * 13 + 8, t2m=3.0)  # the second lead of 06:00
    assert verify(home, DATASET).rescored == 4  # and the other's of 06:00, a day later
    found = scores(second)
    assert (found["points"].sel(system="climatology")[:4].max(["variable", "lead_time"]) > 0).values.tolist() == [
        True, False, False, False
    ]  # fmt: skip
    assert (found["points"].sel(system="model") == 12).all()


def test_a_model_without_a_base_has_no_parts_beside_one_that_has(
    home: Home, model: Forecaster, register: Register
) -> None:
    older_model = replace(model, base=None, correction=None, mixture=None)
    new = replace(model, version="simvp-noisy/2")
    register(older_model, new)
    forecast(home, DATASET, model=older_model)
    verify(home, DATASET)
    add_day(home, DAYS)
    forecast(home, DATASET, model=new)
    report = verify(home, DATASET)
    assert (report.scored, report.n) == (4, 8)
    points = scores(report)["points"].sel(system=list(PARTS))
    assert (points[:4] == 0).all()
    assert (points[4:] == 12).all()
    first, second = report.skills.values()
    assert first["system"].values.tolist() == list(SYSTEMS)
    assert set(second["system"].values) == {*SYSTEMS, *PARTS}


@pytest.mark.parametrize(
    ("frame", "rescored"),
    [
        (24 * 13 + 4, 1),  # an input of 06:00: only the parts look at it
        (24 * 13 + 8, 2),  # the second lead of 06:00, and an input of 12:00
        (24 * 12 + 7, 1),  # a day before the first lead of 06:00
        (24 * 11, 0),
    ],
)
def test_parts_follow_the_archive_as_it_is(home: Home, model: Forecaster, frame: int, rescored: int) -> None:
    forecast(home, DATASET, model=model)
    first = scores(verify(home, DATASET, model=model))
    warmer(home, frame, t2m=4.0, d2m=-4.0)
    report = verify(home, DATASET, model=model)
    assert report.rescored == rescored
    found = scores(report)
    inits = found["init_time"].values
    for part, alone in {"unmixed": replace(model, mixture=None), "base": bare(model)}.items():
        np.testing.assert_allclose(squares(found, part), by_hand(home, alone, inits), rtol=1e-4, err_msg=part)
    other = squares(found, "unmixed") != squares(first, "unmixed")
    assert other.any((1, 2)).sum() == rescored


def test_where_the_history_is_taken_away_the_issued_forecast_stands_without_parts(
    home: Home, model: Forecaster
) -> None:
    forecast(home, DATASET, model=model)
    first = scores(verify(home, DATASET, model=model))
    ds = noisy_world(1 / 24, first=24 * 13 + 4)  # an input of 06:00
    ds["t2m"][:, :2] = np.nan
    Archive(home.archive(DATASET)).append(ds, replace=True)
    assert verify(home, DATASET, model=model).rescored == 1
    found = scores(verify(home, DATASET, model=model))
    assert (found["points"].sel(system="unmixed").max(["variable", "lead_time"]) > 0).values.tolist() == [
        True, False, True, True
    ]  # fmt: skip
    np.testing.assert_array_equal(squares(found, "model"), squares(first, "model"))
    np.testing.assert_array_equal(squares(found, "persistence"), squares(first, "persistence"))


def test_where_nobody_knows_what_has_changed_nothing_differs(
    home: Home, model: Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is made again, in batches of another size: what a network rounds otherwise is no change."""
    forecast(home, DATASET, model=model, hindcast=("2020-01-12T00", "2020-01-12T23"))
    first = verify(home, DATASET, kind="hindcasts", model=model, batch=16)
    add_day(home, DAYS)
    monkeypatch.setattr(Archive, "changed_since", lambda archive, commit: None)
    assert verify(home, DATASET, kind="hindcasts", model=model, batch=5).rescored == 0
    assert scores(first).sizes["init_time"] == 22
