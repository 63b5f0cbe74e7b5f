"""Members and bounds are scored with the forecasts of a model that has them; of one that has none scores are NaN."""

import csv
from pathlib import Path

import numpy as np
import pytest

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.evaluation.evaluate import LEVELS, MEMBERS, evaluate
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verify import verify
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from tests.support.mixed import calibrated, mixed_forecaster, noisy_world

DATASET = "noisy"
INTERVAL = ("2020-01-12T00", "2020-01-12T12")


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return mixed_forecaster(version="simvp-noisy/1")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    Archive(made.archive(DATASET)).append(noisy_world(), step=Step.parse("1h"))
    return made


def test_scores_of_hindcasts_are_those_of_evaluation_and_stay(home: Home, model: Forecaster) -> None:
    sure = calibrated(model)
    forecast(home, DATASET, model=sure, hindcast=INTERVAL)
    report = verify(home, DATASET, kind="hindcasts", model=sure, batch=4)
    stored = Store(report.path).dataset().load()
    inits = stored["init_time"].values
    # From the same first init time on, so that weights and error ratios are the same.
    wanted = evaluate(sure, Archive(home.archive(DATASET)).dataset(), inits)
    for name in ("crps", "variance", "below", "ranks", "single_error"):
        assert np.isfinite(stored[name]).all()
        np.testing.assert_allclose(
            stored[name].transpose(*wanted[name].dims), wanted[name], rtol=2e-3, atol=2e-3, err_msg=name
        )
    assert (stored.sizes["rank"], stored["quantile"].values.tolist()) == (MEMBERS + 1, list(LEVELS))
    assert report.skill is not None
    crps = float(stored["crps"].sel(variable="t2m").mean())
    assert float(report.skill["crps_all"].sel(variable="t2m")) == pytest.approx(crps)
    assert f"t2m: fair CRPS of 20 members {crps:.4g} K" in report.summary
    assert "by a block bootstrap" not in report.summary  # thirteen init times are too few for one
    assert report.csv is not None
    lines = list(csv.DictReader(report.csv.open()))
    assert list(lines[0])[-3:] == ["crps", "coverage_90", "width_90"]
    inside = stored["below"].sel(quantile=0.95) - stored["below"].sel(quantile=0.05)
    by_lead = inside.sel(variable="t2m").mean("init_time").values
    np.testing.assert_allclose([float(line["coverage_90"]) for line in lines[:3]], by_lead, rtol=1e-4)
    names = [picture.name for picture in report.pictures]
    assert names == [f"hindcasts-3h-{name}.png" for name in (
        "skill", "sure", "t2m", "d2m", "spectra", "width_t2m", "width_d2m"
    )]  # fmt: skip
    again = verify(home, DATASET, kind="hindcasts", model=sure)
    assert (again.scored, again.rescored) == (0, 0)


def test_scores_of_before_are_made_again_once_a_model_has_members(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model)
    assert "crps" not in Store(verify(home, DATASET, model=model).path).dataset()
    Archive(home.archive(DATASET)).append(noisy_world(1, first=24 * 14))
    sure = calibrated(model)
    forecast(home, DATASET, model=sure)
    report = verify(home, DATASET, model=sure)
    assert report.scored == 8
    stored = Store(report.path).dataset().load()
    known = np.isfinite(stored["crps"].sel(variable="t2m")).all("lead_time").values
    assert known.tolist() == [False] * 4 + [True] * 4
