"""Issued forecasts have their weights with them, and can be made again from the archive as it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verified import due_adaptation
from simvp.coords.forecast_layout import faults
from simvp.coords.steps import Step
from simvp.errors import ConfigError
from simvp.inference.experts import EXPERTS
from simvp.inference.forecaster import Forecaster
from simvp.inference.replay import Replay
from simvp.mixture.mixture import digest
from tests.support.mixed import DAYS, FITTED, FRAMES_OUT, calibrated, mixed_forecaster, noisy_world

HOUR = Step.parse("1h")
DATASET = "noisy"


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return mixed_forecaster(version="simvp-noisy/1")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    Archive(made.archive(DATASET)).append(noisy_world(), step=HOUR)
    return made


def stored(home: Home, kind: str = "forecasts") -> xr.Dataset:
    where = home.forecasts if kind == "forecasts" else home.hindcasts
    return Store(where(DATASET, "3h")).dataset().load()


def weights_in(ds: xr.Dataset) -> np.ndarray:
    """(I, L, S, E) of all experts."""
    return np.stack([ds[f"{name}_weight"].values for name in ("t2m", "d2m")], axis=2)


def add_day(home: Home, day: int) -> None:
    Archive(home.archive(DATASET)).append(noisy_world(1, first=24 * day))


def test_weights_of_every_issued_init_time_are_in_the_store(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model)
    ds = stored(home)
    assert faults(ds) == []
    assert tuple(ds["expert"].values) == EXPERTS
    every = weights_in(ds)
    np.testing.assert_allclose(every.sum(-1), 1)
    assert ds["weights_digest"].values.tolist() == digest(every)
    assert len(set(ds["weights_digest"].values)) == 4
    prior = model.mixture.weights(1, FRAMES_OUT)[0]
    assert (np.abs(every[0][..., :8] - prior) > 1e-3).any()


def test_an_issued_init_time_is_made_again_from_the_archive_as_it_was(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model)
    for day in (DAYS, DAYS + 1):
        add_day(home, day)
        forecast(home, DATASET, model=model)
    ds = stored(home)
    assert ds.sizes["init_time"] == 12
    for number in range(12):
        time = ds["init_time"].values[[number]]
        # The archive as it was: nothing after the init time.
        frames = int((time[0] - np.datetime64("2020-01-01")) / np.timedelta64(1, "h")) + 1
        past = noisy_world(frames / 24).assign_attrs(archive_commit="")
        past = past.assign_coords(present=("time", np.ones(frames, bool)))
        every = past["time"].values
        adapted = due_adaptation(model, past, time, every[every.astype("M8[h]").astype(int) % 6 == 0], FRAMES_OUT)
        assert adapted is not None
        np.testing.assert_allclose(weights_in(ds)[number][..., :8], adapted.weights[0], atol=1e-6)
        # And with the weights that the store names, the forecast itself.
        own = weights_in(ds)[[number]][..., :8]
        again = model.predict(past, init_time=time, weights=own)
        assert again["weights_digest"].values.tolist() == ds["weights_digest"].values[[number]].tolist()
        np.testing.assert_allclose(again["t2m"].values[0], ds["t2m"].values[number], rtol=1e-6)


def test_nothing_is_computed_twice(home: Home, model: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[np.datetime64] = []
    own = Replay.grams
    monkeypatch.setattr(Replay, "grams", lambda replay, ds, times: computed.extend(times) or own(replay, ds, times))
    forecast(home, DATASET, model=model)
    honest = np.datetime64("2020-01-01", "ns") + np.arange(24 * FITTED, 24 * DAYS, 6) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(computed, honest[:-1])  # the last is issued now, and knows nothing of itself
    kept = Store(home.verified(DATASET, "3h", model.fingerprint)).dataset()
    np.testing.assert_array_equal(kept["init_time"], honest[:-1])
    computed.clear()
    forecast(home, DATASET, model=model)
    assert computed == []
    add_day(home, DAYS)
    forecast(home, DATASET, model=model)
    times = np.datetime64("2020-01-15", "ns") + np.arange(-6, 18, 6) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(computed, times)


def test_a_frame_that_is_replaced_changes_the_next_weights_and_nothing_that_was_issued(
    home: Home, model: Forecaster
) -> None:
    forecast(home, DATASET, model=model)
    issued, path = stored(home), home.verified(DATASET, "3h", model.fingerprint)
    kept = Store(path).dataset()["gram"].load()
    frame = noisy_world(1 / 24, first=24 * 12 + 7)  # the first target of 06:00 two days ago
    other = frame.assign({n: frame[n] + np.linspace(-6, 6, 12, dtype="f4").reshape(3, 4) for n in frame})
    Archive(home.archive(DATASET)).append(other, replace=True)
    add_day(home, DAYS)
    forecast(home, DATASET, model=model)
    now = stored(home)
    xr.testing.assert_identical(now.isel(init_time=slice(4)), issued)
    grams = Store(path).dataset()["gram"].load()
    changed = (grams[: len(kept)] != kept).any(["lead_time", "variable", "expert", "other_expert"])
    times = kept["init_time"].values
    # Of 06:00; of noon, whose six inputs begin with it; and of 06:00 a day later, which looks back by a day.
    noon = np.datetime64("2020-01-13T12", "ns")
    np.testing.assert_array_equal(times[changed], [noon + np.timedelta64(h, "h") for h in (-6, 0, 18)])
    ds = Archive(home.archive(DATASET)).dataset()
    every = ds["time"].values
    due = every[every.astype("M8[h]").astype(int) % 6 == 0]
    wanted = due_adaptation(model, ds, now["init_time"].values[4:], due, FRAMES_OUT)
    assert wanted is not None
    np.testing.assert_allclose(weights_in(now)[4:][..., :8], wanted.weights, atol=1e-6)


def test_another_model_has_errors_of_its_own(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model)
    add_day(home, DAYS)
    other = replace(model, correction=model.correction + 0.1, version="simvp-noisy/2")
    report = forecast(home, DATASET, model=other)
    assert report.fingerprint != model.fingerprint
    paths = [home.verified(DATASET, "3h", one.fingerprint) for one in (model, other)]
    assert paths[0] != paths[1]
    assert [Store(path).state["fingerprint"] for path in paths] == [model.fingerprint, other.fingerprint]
    ds = stored(home)
    assert ds["model_version"].values.tolist() == ["simvp-noisy/1"] * 4 + ["simvp-noisy/2"] * 4


@pytest.mark.parametrize("first", ["whole", "unmixed", "base alone", "no base"])
def test_models_of_every_kind_append_to_one_store(home: Home, model: Forecaster, first: str) -> None:
    bare = mixed_forecaster(network=False, mixed=False)
    kinds = {
        "whole": model,
        "unmixed": replace(model, mixture=None),
        "base alone": bare,
        "no base": replace(model, base=None, correction=None, mixture=None),
    }
    order = [first, *(name for name in kinds if name != first)]
    for day, name in enumerate(order, DAYS):
        forecast(home, DATASET, model=kinds[name])
        add_day(home, day)
    ds = stored(home)
    assert faults(ds) == []
    every = weights_in(ds)
    np.testing.assert_allclose(every.sum(-1), 1)
    single = {"unmixed": "corrected", "base alone": "base", "no base": "network"}
    for number, name in enumerate(order):
        part = every[4 * number : 4 * number + 4]
        if name in single:
            assert (part[..., EXPERTS.index(single[name])] == 1).all()
        else:
            assert (part[..., :2].sum(-1) < 1).all()
    assert ds["weights_digest"].values.tolist() == digest(every)


def test_a_store_made_before_there_were_weights_goes_on_without_them(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model)
    path = home.forecasts(DATASET, "3h")
    held = Store(path).dataset().load()
    older = held.drop_vars(["t2m_weight", "d2m_weight", "expert", "weights_digest"])
    shutil.rmtree(path)
    Store(path).create(older, axis="init_time", chunks={"init_time": 1}, state={})
    add_day(home, DAYS)
    assert len(forecast(home, DATASET, model=model).issued) == 4
    ds = stored(home)
    assert ds.sizes["init_time"] == 8
    assert not {"weights_digest", "expert", "t2m_weight"} & set(ds.coords)
    np.testing.assert_array_equal(ds["t2m"].values[:4], held["t2m"])


def test_hindcasts_begin_at_the_validation_and_learn_as_they_go(home: Home, model: Forecaster) -> None:
    start, end = "2020-01-11T00", "2020-01-12T23"
    report = forecast(home, DATASET, model=model, hindcast=(start, end))
    ds = stored(home, "hindcasts")
    assert len(report.issued) == 48 - FRAMES_OUT + 1
    prior = model.mixture.weights(1, FRAMES_OUT)[0]
    every = weights_in(ds)[..., :8]
    np.testing.assert_allclose(every[0], prior, atol=1e-12)
    assert (np.abs(every[-1] - prior) > 1e-3).any()
    # As the gate replays it.
    replayed = Replay(model, FRAMES_OUT).forecasts(noisy_world(), ds["init_time"].values)["model"]
    np.testing.assert_allclose(every, weights_in(replayed)[..., :8], atol=1e-6)
    np.testing.assert_allclose(ds["t2m"], replayed["t2m"], rtol=1e-5)
    # Hindcasts keep nothing beside them.
    assert not home.verified(DATASET, "3h", model.fingerprint).exists()


def test_a_hindcast_of_the_period_of_the_fit_has_the_weights_of_the_validation(home: Home, model: Forecaster) -> None:
    forecast(home, DATASET, model=model, hindcast=("2020-01-05T00", "2020-01-06T23"))
    every = weights_in(stored(home, "hindcasts"))[..., :8]
    np.testing.assert_allclose(every, model.mixture.weights(len(every), FRAMES_OUT), atol=1e-12)


def test_members_and_bounds_are_issued_beside_forecasts_and_stay_what_they_were(home: Home, model: Forecaster) -> None:
    sure = calibrated(model)
    forecast(home, DATASET, model=sure, members=3, levels=(0.1, 0.9))
    ds = stored(home)
    assert faults(ds) == []
    assert ds["t2m_member"].dims == ("init_time", "lead_time", "member", "latitude", "longitude")
    # Spread by the errors that were verified before each, and the same as from the model and the forecast.
    assert (ds["t2m_error_ratio"][1:] != 1).all()
    ratios = np.stack([ds[f"{name}_error_ratio"].values for name in ("t2m", "d2m")], axis=2)
    every = weights_in(ds)[..., [EXPERTS.index(name) for name in sure.mixture.experts]]
    again = sure.predict(
        noisy_world(),
        init_time=ds["init_time"].values,
        weights=every / every.sum(-1, keepdims=True),
        error_ratios=ratios,
        members=3,
        levels=(0.1, 0.9),
    )
    for name in ("t2m_member", "d2m_quantile"):
        np.testing.assert_allclose(ds[name], again[name], rtol=1e-5)
    add_day(home, DAYS)
    with pytest.raises(ConfigError) as caught:
        forecast(home, DATASET, model=sure)
    assert "members: the store holds 3 beside each forecast, got 0" in str(caught.value)
    assert "levels: the store holds [0.1, 0.9] beside each forecast, got []" in str(caught.value)
    with pytest.raises(ConfigError, match="trained before there were any"):
        forecast(home, DATASET, model=model, members=3)
    assert forecast(home, DATASET, model=sure, members=3, levels=(0.1, 0.9)).issued
