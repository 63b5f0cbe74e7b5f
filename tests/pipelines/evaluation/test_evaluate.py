"""Errors of a model beside those of the baselines: by hand, in any batches, with gaps."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pipelines.evaluation.evaluate import SYSTEMS, chunks, evaluate, scorable, score, select_frames, stretch
from simvp.contract.frame_spec import FrameSpec
from simvp.coords.steps import Step
from simvp.errors import ConfigError, ContractError
from tests.support.counting import counted
from tests.support.wave_home import FRAMES_IN, FRAMES_OUT, HELD_OUT, forecaster, truth, world
from tests.support.worlds import formula_world

HOUR = Step.parse("1h")


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    made = world()
    return made.assign_coords(present=("time", np.ones(made.sizes["time"], bool)))


def times(*hours: int) -> np.ndarray:
    return np.datetime64("2020-01-12", "ns") + np.array(hours) * np.timedelta64(1, "h")


def test_errors_of_model_and_baselines_are_those_derived_by_hand(ds: xr.Dataset) -> None:
    inits = times(0, 1, 2, 5)
    found = evaluate(forecaster(0.5), ds, inits)
    assert found["squared_error"].dims == ("system", "variable", "init_time", "lead_time")
    assert tuple(found["system"].values) == SYSTEMS
    assert found.attrs["weighting"] == "cos_latitude"
    model = found.sel(system="model", variable="t2m")
    np.testing.assert_allclose(model["squared_error"], 0.25, atol=1e-3)
    np.testing.assert_allclose(model["error"], 0.5, atol=1e-3)
    # Persistence, point by point: the last frame against the truth, weighted by the cosine of latitude.
    weights = np.cos(np.deg2rad(ds["latitude"].values))[:, None] * np.ones(4)
    weights /= weights.sum()
    for lead in range(1, FRAMES_OUT + 1):
        gap = truth(inits) - truth(inits + lead * np.timedelta64(1, "h"))
        expected = (gap.astype("f8") ** 2 * weights).sum((1, 2))
        got = found["squared_error"].sel(system="persistence", variable="t2m").isel(lead_time=lead - 1)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    # The mean map misses the cosine of amplitude 4: its square is 16 cos^2, between 0 and 16.
    climatology = found["squared_error"].sel(system="climatology")
    assert 0 < float(climatology.min()) <= float(climatology.max()) <= 16.001


def test_batches_do_not_change_a_digit_and_progress_is_told(ds: xr.Dataset) -> None:
    inits = times(*range(0, 24), 30, 40)
    told: list[tuple[str, int, int]] = []
    whole = evaluate(forecaster(0.1), ds, inits)
    split = evaluate(forecaster(0.1), ds, inits, batch=7, progress=lambda *row: told.append(row))
    xr.testing.assert_identical(whole, split)
    assert told[-1] == ("evaluate", 26, 26)
    assert [row[1] for row in told] == sorted(row[1] for row in told)


def test_only_the_frames_near_a_batch_are_in_memory(ds: xr.Dataset) -> None:
    inits = times(0, 1, 2)
    near = select_frames(ds, ["t2m"], stretch(inits, HOUR, before=FRAMES_IN - 1, after=FRAMES_OUT))
    assert near.sizes["time"] == FRAMES_IN - 1 + 3 + FRAMES_OUT
    assert near["time"].values[0] == times(0)[0] - np.timedelta64(3, "h")
    # Init times far apart are not read as one piece of the series.
    apart = list(chunks(times(0, 1, 100, 101, 102), HOUR, 4))
    assert [len(part) for part in apart] == [2, 3]
    assert [len(part) for part in chunks(times(*range(10)), HOUR, 4)] == [4, 4, 2]


@pytest.mark.parametrize("inits", [(0, 1, 2), (0, 24)])
def test_of_a_year_only_the_frames_that_count_are_read(ds: xr.Dataset, inits: tuple[int, ...]) -> None:
    year, model = 200, forecaster(0.5)
    model = replace(model, baselines=replace(model.baselines, cycle=year))
    others = ds.assign(rain=ds["t2m"], wind=ds["t2m"])
    lazy, arrays = counted(others)
    got = evaluate(model, lazy, times(*inits))
    # All frames at once, as a reader would who does not count them.
    forecast = model.predict(ds, init_time=times(*inits))
    xr.testing.assert_identical(got, score(forecast, others, model.baselines))
    assert np.isfinite(got["squared_error"].sel(system="seasonal_persistence")).all()
    first = 11 * 24 + inits[0]  # of the world's hours, which begin on 1 January
    near = range(first - FRAMES_IN + 1, first + inits[-1] + FRAMES_OUT + 1)
    before = {first + init + lead - year for init in inits for lead in range(1, FRAMES_OUT + 1)}
    assert sorted(arrays["t2m"].read) == sorted({*near, *before})
    assert (arrays["rain"].read, arrays["wind"].read) == ([], [])


def test_longer_horizons_roll_out(ds: xr.Dataset) -> None:
    found = evaluate(forecaster(0.0), ds, times(0, 1), horizon=7)
    assert found.sizes["lead_time"] == 7
    assert float(found["squared_error"].sel(system="model").max()) < 1e-4


def test_what_is_absent_has_no_score_and_what_was_not_observed_cannot_be_forecast(ds: xr.Dataset) -> None:
    gap = ds.copy(deep=True)
    gap["t2m"][np.flatnonzero(gap["time"].values == times(6)[0])] = np.nan
    found = evaluate(forecaster(), gap, times(4, 5))
    assert np.isnan(found["squared_error"].sel(init_time=times(4)[0]).isel(lead_time=1)).all()
    assert np.isnan(found["squared_error"].sel(init_time=times(5)[0]).isel(lead_time=0)).all()
    assert np.isfinite(found["squared_error"].sel(init_time=times(5)[0]).isel(lead_time=1)).all()
    with pytest.raises(ContractError, match="missing values"):
        evaluate(forecaster(), gap, times(7))
    with pytest.raises(ConfigError, match="no init time"):
        evaluate(forecaster(), ds, [])


def test_model_baselines_and_champion_are_scored_on_the_same_points(ds: xr.Dataset) -> None:
    """A frame half missing, which only seasonal persistence looks back at."""
    model, champion = forecaster(0.5), forecaster(1.0, frames_in=6, version="simvp-waves/1")
    model = replace(model, baselines=replace(model.baselines, cycle=24))
    spoilt = ds.copy(deep=True)
    spoilt["t2m"][np.flatnonzero(ds["time"].values == times(-23)[0])[0], 1:, 1:] = np.nan  # 6 of 12 points are left
    found = evaluate(model, spoilt, times(0, 1), rivals={"champion": champion}).sel(variable="t2m")
    assert tuple(found["system"].values) == (*SYSTEMS, "champion")
    assert found["points"].isel(init_time=0, lead_time=0).values.tolist() == [6] * 7
    assert (found["points"].values.reshape(7, -1)[:, 1:] == 12).all()
    np.testing.assert_allclose(found["squared_error"].sel(system="model"), 0.25, atol=1e-3)
    np.testing.assert_allclose(found["squared_error"].sel(system="champion"), 1.0, atol=1e-3)
    alone = evaluate(model, spoilt, times(0, 1))
    xr.testing.assert_identical(found.sel(system=list(SYSTEMS)), alone.sel(variable="t2m"))
    # Half is not there: it has no score, and all others are scored on the whole map.
    spoilt["t2m"][np.flatnonzero(ds["time"].values == times(-23)[0])[0], 0, 0] = np.nan
    found = evaluate(model, spoilt, times(0, 1)).sel(variable="t2m").isel(init_time=0, lead_time=0)
    assert found["points"].values.tolist() == [12 if name != "seasonal_persistence" else 0 for name in SYSTEMS]


def test_scores_say_which_model_they_are_of(ds: xr.Dataset) -> None:
    model = forecaster(0.5, version="simvp-waves/3")
    found = evaluate(model, ds, times(0, 1))
    assert found["model_version"].values.tolist() == ["simvp-waves/3"] * 2
    assert found["model_fingerprint"].values.tolist() == [model.fingerprint] * 2


def test_a_window_belongs_where_its_targets_lie_and_needs_all_its_frames(ds: xr.Dataset) -> None:
    spec = forecaster().spec
    inits, audit = scorable(ds, [spec], HELD_OUT, leads=FRAMES_OUT)
    # 72 hours of targets: the first init time is the hour before, the last one 3 hours before the end.
    assert inits[0] == np.datetime64("2020-01-11T23")
    assert inits[-1] == np.datetime64("2020-01-14T20")
    assert len(inits) == 72 - FRAMES_OUT + 1
    assert audit.used == len(inits)
    absent = ds.copy(deep=True)
    hole = np.flatnonzero(ds["time"].values == times(10)[0])
    absent["t2m"][hole] = np.nan
    absent["present"][hole] = False
    left, audit = scorable(absent, [spec], HELD_OUT, leads=FRAMES_OUT)
    # A window of 4 + 3 frames is lost for each of the 7 places the hole can have in it.
    assert len(left) == len(inits) - 7
    assert audit.dropped["gap"] == 7
    # The longest history of several models counts.
    longer, _ = scorable(absent, [spec, forecaster(frames_in=6).spec], HELD_OUT, leads=FRAMES_OUT)
    assert len(longer) == len(inits) - 9


def test_intervals_of_other_calendars_are_found() -> None:
    ds = formula_world(calendar="360_day", frames=14 * 24)
    ds = ds.assign_coords(present=("time", np.ones(14 * 24, bool)))
    steps = ds["time"].values
    spec = FrameSpec.fit(ds, frames_in=6, frames_out=3, train=[(steps[0], steps[239])])
    inits, audit = scorable(ds, [spec], ("2020-01-11 00:00:00", "2020-01-12 23:00:00"), leads=3)
    assert list(inits) == list(steps[239:285])  # the hour before the first target .. three before the last
    assert audit.used == 48 - 3 + 1
