"""Drift of a data set: what is found in its stores, what the state says, and what begins anew with another model."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from pipelines import score_store
from pipelines.drift import drift, last_drift
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.status import status
from pipelines.verify import verify
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from tests.support.wave_home import WaveForecaster, forecaster, world

TRAIN = ("2020-01-01T00:00:00", "2020-01-30T23:00:00")
HELD_OUT = ("2020-01-31T00:00:00", "2020-01-31T23:00:00")
KNOWN, DAYS = 31, 62
CHANGED = 49  # the first day with another sensor, or with points that are missing
NOW = datetime(2020, 3, 1, tzinfo=UTC)


def noisy(days: float) -> xr.Dataset:
    """The formula world with a level that differs from day to day."""
    ds = world(days)
    level = np.repeat(np.random.default_rng(3).standard_normal(100), 24)[: ds.sizes["time"]]
    return ds.assign(t2m=ds["t2m"] + xr.DataArray(level.astype("f4"), dims="time"))


def model_of(error: float, version: str) -> WaveForecaster:
    return forecaster(error, version=version, train=[TRAIN], held_out=HELD_OUT, ds=noisy(KNOWN))


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Forecaster]]:
    """A month of forecasts that are five kelvin too warm; in the end the sensor is moved, and a point is missing."""
    home = Home(tmp_path_factory.mktemp("drift") / "home")
    ds, archive = noisy(DAYS), Archive(home.archive("waves"))
    moved = np.arange(ds.sizes["time"]) >= 24 * CHANGED
    ds = ds.assign(t2m=ds["t2m"] + xr.DataArray(12.0 * moved.astype("f4"), dims="time"))
    ds["t2m"][24 * CHANGED :, 0, 0] = np.nan
    model = model_of(5.0, "simvp-waves/1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_store.ScoringRun, "draw", lambda *arguments: ())
        archive.append(ds.isel(time=slice(24 * KNOWN)), step=Step.parse("1h"))
        forecast(home, "waves", model=model)
        archive.append(ds.isel(time=slice(24 * KNOWN, None)))
        forecast(home, "waves", model=model, max_catch_up=500)
        verify(home, "waves", model=model)
        yield home, model


def test_what_is_gone_has_moved_and_is_missing_is_found(gone: tuple[Home, Forecaster]) -> None:
    home, model = gone
    found = drift(home, "waves", model=model, now=NOW)
    assert found.tests == 5  # skill, level, spread, pattern and missing share: the model has no bounds
    alarms = {finding.test: finding for finding in found.findings}
    assert set(alarms) == {"skill", "level", "missing"}
    # From the second day on: the first has no baseline that was best before. In a row, for five tests.
    assert (alarms["skill"].begin, alarms["skill"].found) == ("2020-02-01", "2020-02-16")
    assert alarms["skill"].words.startswith(
        "t2m 3h skill: the skill of simvp-waves/1 is gone: on 16 of 16 days its RMSE was not 1 % below that of the "
    )
    assert alarms["level"].begin == "2020-02-19"
    assert alarms["missing"].begin == "2020-02-19"
    assert "8.3 % of the points are missing, in training 0 %" in alarms["missing"].words
    assert found.summary.startswith("Drift: t2m 3h skill: the skill of simvp-waves/1 is gone")
    assert found.notes == ()


def test_the_same_is_found_again_and_lies_beside_the_skill_table(gone: tuple[Home, Forecaster]) -> None:
    home, model = gone
    first = drift(home, "waves", model=model, now=NOW, draw=True)
    assert first.picture == home.pictures("waves") / "drift.png"
    assert first.picture.read_bytes().startswith(b"\x89PNG")
    assert drift(home, "waves", model=model, now=NOW) == first
    kept = last_drift(home, "waves")
    assert kept == first
    shown = status(home, "waves")
    assert shown.drift == first.findings
    assert set(first.warnings) <= set(shown.warnings)
    assert shown.to_json()["drift"][0]["version"] == "simvp-waves/1"
    (home.dataset("waves") / "drift.json").write_text('{"findings": [{"test": "of another version"}]}')
    assert last_drift(home, "waves") is None


def test_an_ingest_makes_the_tests_once_a_day(gone: tuple[Home, Forecaster], monkeypatch: pytest.MonkeyPatch) -> None:
    home, model = gone
    first = drift(home, "waves", model=model, now=NOW, once_a_day=True)
    assert len(first.findings) == 3
    monkeypatch.setattr("pipelines.drift.stage.Tests", None)  # nothing is tested again
    monkeypatch.setattr(
        "pipelines.drift.stage.late", lambda archive, now: iter([replace(first.findings[0], test="late")])
    )
    again = drift(home, "waves", now=NOW, once_a_day=True)
    assert [finding.test for finding in again.findings] == ["skill", "level", "missing", "late"]
    assert again.tests == first.tests


def test_a_model_that_is_gone_is_a_note(gone: tuple[Home, Forecaster]) -> None:
    home, _ = gone
    found = drift(home, "waves", now=NOW)
    assert [finding.test for finding in found.findings] == ["skill"]
    assert found.tests == 1
    assert len(found.notes) == 1
    assert "Drift of the input is not known: Model simvp-waves/1" in found.notes[0]


def test_a_model_that_knows_few_days_compares_none(gone: tuple[Home, Forecaster]) -> None:
    home, model = gone
    short = replace(model, provenance={"periods": {"held_out": ["2020-01-15T00:00:00", "2020-01-16T00:00:00"]}})
    found = drift(home, "waves", model=short, now=NOW)
    assert "expected 20 days and more that it was fitted on, got 14" in found.notes[0]


def test_another_model_begins_anew(gone: tuple[Home, Forecaster], tmp_path: Path) -> None:
    home, _ = gone
    good = model_of(0.0, "simvp-waves/2")
    archive = Archive(home.archive("waves"))
    more = noisy(DAYS + 3).isel(time=slice(24 * DAYS, None))
    archive.append(more.assign(t2m=more["t2m"] + 12))
    forecast(home, "waves", model=good, max_catch_up=500)
    verify(home, "waves", model=good)
    found = drift(home, "waves", model=good, now=NOW)
    assert "skill" not in {finding.test for finding in found.findings}
    assert {finding.version for finding in found.findings} == {"simvp-waves/2"}


def test_an_archive_without_forecasts_is_compared_with_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    Archive(home.archive("waves")).append(world(2), step=Step.parse("1h"))
    found = drift(home, "waves", now=NOW)
    assert (found.tests, found.findings, found.summary) == (0, (), "")
