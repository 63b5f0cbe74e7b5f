"""Where something is rain there is a sixth system, beside scores of models that were made before there was one."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from datasets.archive.archive import Archive
from datasets.store.store import Store
from flows.local.console import StageConsole
from pipelines import score_store
from pipelines.evaluation.evaluate import SYSTEMS, evaluate
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verify import VerifyReport, verify
from simvp.errors import ConfigError
from simvp.scoring import outcomes
from tests.support.registries import stand_in
from tests.support.wave_home import WaveForecaster, forecaster, wave_home, world

INTERVAL = ("2020-01-12T00", "2020-01-13T23")
SIX = (*SYSTEMS, "extrapolation")
PARTS = ("unmixed", "base")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())
    made = Home(tmp_path / "home")
    wave_home(made)
    return made


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put models into a registry that is only asked by fingerprint."""
    return partial(stand_in, monkeypatch, "simvp-waves")


def moving(error: float, version: str = "unregistered") -> WaveForecaster:
    """A model for which the temperature of the world is rain."""
    model = forecaster(error, version=version)
    return replace(model, baselines=replace(model.baselines, moving=("t2m",)))


def test_extrapolation_finds_its_frames_also_where_the_model_looks_at_fewer(home: Home) -> None:
    model = forecaster(0.5, frames_in=2)
    model = replace(model, baselines=replace(model.baselines, moving=("t2m",)))
    ds = Archive(home.archive("waves")).dataset()
    times = ds["time"].values[300:303]
    found = evaluate(model, ds, times)
    assert tuple(found["system"].values) == SIX
    wanted = model.baselines.predict(ds.load(), times)["extrapolation"]["t2m"].values
    truth = np.stack([ds["t2m"].values[i + 1 : i + 4] for i in (300, 301, 302)])
    weights = np.cos(np.deg2rad(ds["latitude"].values))[:, None] * np.ones(ds.sizes["longitude"])
    squares = (((wanted.astype("f8") - truth) ** 2) * weights).sum((2, 3)) / weights.sum()
    np.testing.assert_allclose(found["squared_error"].sel(system="extrapolation", variable="t2m"), squares, rtol=1e-5)


def test_models_with_and_without_the_sixth_share_a_store(
    home: Home, register: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forecasts of a champion from before, and of the one after it: nothing is lost, and no figure is of both."""
    old, new = forecaster(0.5, version="simvp-waves/1"), moving(0.25, "simvp-waves/2")
    register(old, new)
    forecast(home, "waves", model=old)
    first = verify(home, "waves")
    assert tuple(Store(first.path).dataset()["system"].values) == (*SYSTEMS, *PARTS)
    before = first.csv.read_text()
    archive = Archive(home.archive("waves"))
    archive.append(world(1, first=14 * 24))
    forecast(home, "waves", model=new)
    warned: list[str] = []
    monkeypatch.setattr("pipelines.verify._log.warning", lambda text, *more: warned.append(text))
    second = verify(home, "waves")
    assert warned == ["scores of another layout in %s: every forecast is scored again"]
    assert (second.scored, second.n) == (8, 8)
    scores = Store(second.path).dataset().load()
    assert tuple(scores["system"].values) == (*SIX, *PARTS)
    assert (scores["points"].sel(system=list(SIX)) == 12).all()
    # Motion is not fitted: the old model's table is what it was, with a column more.
    table = second.skills["simvp-waves/1"]
    xr.testing.assert_allclose(table.sel(system=list(SYSTEMS)), first.skills["simvp-waves/1"])
    assert np.isfinite(table["rmse"]).all()
    with open(second.csv, newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["variable", "lead_hours", "n", "weighting", *SIX, "version", "mae", "bias", "acc"]
    assert [line[:10] + line[11:] for line in lines[1:4]] == [line.split(",") for line in before.splitlines()[1:]]
    assert second.table().count("| damped anomaly | extrapolation |") == 2
    # Once made, they are kept, also when the archive changes below the old forecasts.
    assert verify(home, "waves").scored == 0
    archive.append(world(1, first=15 * 24))
    forecast(home, "waves", model=old)
    assert (verify(home, "waves").scored, verify(home, "waves").n) == (4, 12)


def test_hits_and_misses_are_kept_and_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temperature of the world is rain of 279 and 283 K."""
    monkeypatch.setattr(import_module("simvp.scoring.events"), "rain_thresholds", lambda units, step: (279.0, 283.0))
    model = moving(0.5)
    forecast(home, "waves", model=model)
    first = verify(home, "waves", model=model)
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    forecast(home, "waves", model=model)
    report = verify(home, "waves", model=model)
    scores = Store(report.path).dataset().load()
    assert scores["contender"].values.tolist() == ["model", "sharp", *SIX[1:]]
    counts = scores["events"].sum(["init_time", "lead_time"]).sel(thresholded="t2m")
    forecasts = Store(home.forecasts("waves", "3h")).dataset()["t2m"].values
    ds = Archive(home.archive("waves")).dataset()
    truth = np.stack([ds["t2m"].sel(time=t).values for t in scores["valid_time"].values])
    for rank, edge in enumerate((279.0, 283.0)):
        said, rained = forecasts >= edge, truth >= edge
        expected = [(said & rained).sum(), (~said & rained).sum(), (said & ~rained).sum()]
        hits, _, said, seen, _ = (
            int(one) for one in outcomes(counts.sel(contender="model").isel(rank_of_threshold=rank))
        )
        assert [hits, seen - hits, said - hits] == expected
        csi = report.skill["csi_all"].sel(contender="model", thresholded="t2m").isel(rank_of_threshold=rank).item()
        assert csi == pytest.approx(expected[0] / sum(expected))
    assert "| t2m | 283 K | all |" in report.table()
    assert "| model | sharp | persistence |" in report.table()
    assert "at least" in shown(report)
    assert (first.n, report.n) == (4, 8)


def test_thresholds_of_the_settings_are_scored_of_any_variable_and_again_where_they_change(home: Home) -> None:
    model = forecaster(0.5)
    forecast(home, "waves", model=model)
    assert "csi_all" not in verify(home, "waves", model=model).skill
    report = verify(home, "waves", model=model, thresholds={"t2m": [279.0, 283.0, 400.0]})
    assert report.scored == report.n == 4
    table = report.skill.sel(thresholded="t2m")
    assert table["contender"].values.tolist() == ["model", *SYSTEMS[1:]]  # nothing moves, nothing is sharpened
    forecasts = Store(home.forecasts("waves", "3h")).dataset()["t2m"].values
    scores = Store(report.path).dataset().load()
    ds = Archive(home.archive("waves")).dataset()
    truth = np.stack([ds["t2m"].sel(time=t).values for t in scores["valid_time"].values])
    for rank, edge in enumerate((279.0, 283.0)):
        said, seen = forecasts >= edge, truth >= edge
        own = table.isel(rank_of_threshold=rank).sel(contender="model")
        assert own["csi_all"].item() == pytest.approx((said & seen).sum() / (said | seen).sum())
        assert own["frequency_bias_all"].item() == pytest.approx(said.sum() / seen.sum())
        assert own["fss_all"].sel(scale=1).item() == pytest.approx(1 - (said ^ seen).sum() / (said.sum() + seen.sum()))
    assert np.isnan(table["csi_all"].isel(rank_of_threshold=2)).all()  # never reached, never said to be
    assert "| t2m | 279 K | frequency bias |" in report.table()
    assert "| t2m | 283 K | FSS 1 |" in report.table()
    assert verify(home, "waves", model=model, thresholds={"t2m": [279.0, 283.0, 400.0]}).scored == 0
    assert verify(home, "waves", model=model, thresholds={"t2m": [279.0]}).scored == 4
    assert "csi" not in verify(home, "waves", model=model).skill
    with pytest.raises(ConfigError, match="thresholds: expected some of t2m, got rain"):
        verify(home, "waves", model=model, thresholds={"rain": [1.0]})


def test_rain_of_a_model_that_is_gone_counts_no_hits(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside another one's, whose hits are counted; a store of scores has one set of systems."""
    monkeypatch.setattr(import_module("simvp.scoring.events"), "rain_thresholds", lambda units, step: (279.0, 283.0))
    forecast(home, "waves", model=moving(0.5, "simvp-waves/1"))
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    model = moving(0.25, "simvp-waves/2")
    forecast(home, "waves", model=model)
    report = verify(home, "waves", model=model)
    scores = Store(report.path).dataset().load()
    assert scores["contender"].values.tolist() == ["model", "sharp", *SIX[1:]]
    assert (scores["events"][:4] == 0).all()
    assert (scores["events"][4:].sel(sum="points") > 0).any()
    alone, whole = report.skills.values()
    assert "csi" not in alone
    assert "csi" in whole


def shown(report: VerifyReport) -> str:
    """What the demo prints."""
    text = io.StringIO()
    StageConsole(Console(file=text, width=100)).skill(report)
    return text.getvalue()


def test_a_replaced_frame_that_only_motion_looks_at_is_scored_again(home: Home) -> None:
    model = moving(0.5)
    forecast(home, "waves", model=model)
    assert verify(home, "waves", model=model).scored == 4
    archive = Archive(home.archive("waves"))
    # An hour before the init time of noon: no valid time, no init time.
    frame = archive.dataset().isel(time=[13 * 24 + 11]).load().drop_vars("present")
    archive.append(frame + np.arange(12.0).reshape(3, 4).astype("f4"), replace=True)
    assert verify(home, "waves", model=model).rescored == 1
