"""Weights that follow what is verified, init time after init time, and never what comes after."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from simvp.inference.forecaster import Forecaster
from simvp.inference.replay import Replay
from simvp.mixture.aggregation import squared_errors
from tests.support.mixed import FRAMES_IN, FRAMES_OUT, mixed_forecaster, noisy_world


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return noisy_world()


@pytest.fixture(scope="module")
def model(world: xr.Dataset) -> Forecaster:
    return mixed_forecaster(world)


def in_batches(times: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(times), size):
        yield times[start : start + size]


def weights_of(forecast: xr.Dataset, model: Forecaster) -> np.ndarray:
    own = list(model.mixture.experts)
    return np.stack([forecast[f"{name}_weight"].sel(expert=own).values for name in ("t2m", "d2m")], axis=2)


def test_weights_are_those_of_the_formula_on_the_errors_of_the_maps(world: xr.Dataset, model: Forecaster) -> None:
    times = world["time"].values[250:290]
    found = weights_of(Replay(model, FRAMES_OUT).forecasts(world, times)["model"], model)
    _, maps = model.experts(world, times, FRAMES_OUT)
    area = model.spec.weights / model.spec.weights.sum()
    mixture, steps = model.mixture, np.arange(40)
    for state, name in enumerate(("t2m", "d2m")):
        for lead in range(FRAMES_OUT):
            truth = world[name].values[251 + lead : 291 + lead]
            errors = np.stack([maps[expert][:, lead, state] - truth for expert in mixture.experts], axis=1)
            grams = np.einsum("nehw,nfhw,hw->nef", errors, errors, area, dtype="f8")
            wanted = mixture.aggregation.weights(
                mixture.prior[state, lead], mixture.scale[state, lead], grams, steps + lead + 1, steps, issued_at=steps
            )
            np.testing.assert_allclose(found[:, lead, state], wanted, atol=1e-5)


def test_the_mean_error_of_the_mixture_is_that_of_the_maps_it_issues(world: xr.Dataset, model: Forecaster) -> None:
    times = world["time"].values[250:270]
    replay = Replay(model, FRAMES_OUT)
    made = replay.forecasts(world, times)["model"]
    squares = squared_errors(weights_of(made, model), replay.grams(world, times))
    truth = world["t2m"].values[251:271]
    area = model.spec.weights / model.spec.weights.sum()
    wanted = ((made["t2m"].values[:, 0].astype("f8") - truth) ** 2 * area).sum((-2, -1))
    np.testing.assert_allclose(squares[:, 0, 0], wanted, rtol=1e-3)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_batches_do_not_change_the_weights(world: xr.Dataset, model: Forecaster, size: int) -> None:
    times = world["time"].values[250:290]
    whole = Replay(model, FRAMES_OUT).forecasts(world, times)["model"]
    replay = Replay(model, FRAMES_OUT)
    parts = [replay.forecasts(world, part)["model"] for part in in_batches(times, size)]
    split = xr.concat(parts, "init_time", data_vars="minimal", coords="minimal", compat="override")
    np.testing.assert_allclose(weights_of(split, model), weights_of(whole, model), atol=1e-6)
    np.testing.assert_allclose(split["t2m"], whole["t2m"], rtol=1e-6)


def test_weights_at_an_init_time_know_nothing_of_later_frames(world: xr.Dataset, model: Forecaster) -> None:
    times = world["time"].values[250:290]
    changed = world.copy(deep=True)
    for name in changed.data_vars:
        changed[name][271:] += np.linspace(-5, 5, 12).reshape(3, 4)
    first, second = (Replay(model, FRAMES_OUT).forecasts(ds, times) for ds in (world, changed))
    for system in ("model", "unmixed", "base"):
        np.testing.assert_array_equal(
            first[system]["t2m"].values[:21], second[system]["t2m"].values[:21], err_msg=system
        )
    ours, theirs = (weights_of(made["model"], model) for made in (first, second))
    np.testing.assert_array_equal(ours[:21], theirs[:21])  # frame 270 is the init time number 20
    assert (ours[22:, 0] != theirs[22:, 0]).any()


def test_only_what_is_verified_at_the_init_time_counts(world: xr.Dataset, model: Forecaster) -> None:
    # One verified init time of lead 1 at the second init time, none of lead 2.
    times = world["time"].values[250:252]
    weights = weights_of(Replay(model, FRAMES_OUT).forecasts(world, times)["model"], model)
    prior = model.mixture.prior.transpose(1, 0, 2)
    np.testing.assert_allclose(weights[0], prior, atol=1e-12)
    assert (np.abs(weights[1, 0] - prior[0]) > 1e-4).any()
    np.testing.assert_allclose(weights[1, 1:], prior[1:], atol=1e-12)


def test_systems_are_the_model_and_its_parts(world: xr.Dataset, model: Forecaster) -> None:
    times = world["time"].values[250:255]
    made = Replay(model, FRAMES_OUT).forecasts(world, times)
    _, maps = model.experts(world, times, FRAMES_OUT)
    np.testing.assert_array_equal(made["unmixed"]["t2m"], maps["corrected"][:, :, 0])
    np.testing.assert_array_equal(made["base"]["d2m"], maps["base"][:, :, 1])
    bare = mixed_forecaster(world, network=False, mixed=False)
    plain = Replay(bare, FRAMES_OUT).forecasts(world, times)
    for system in ("model", "unmixed"):
        np.testing.assert_array_equal(plain[system]["t2m"], plain["base"]["t2m"])


def test_without_the_truth_nothing_is_learned(world: xr.Dataset, model: Forecaster) -> None:
    short = world.isel(time=slice(0, 280))
    replay = Replay(model, FRAMES_OUT)
    times = world["time"].values[260:280]
    grams = replay.grams(short, times)
    known = np.isfinite(np.einsum("...ee->...e", grams)).any(-1).all(-1)  # (I, L)
    np.testing.assert_array_equal(known.sum(0), [19, 18, 17])
    full = Replay(model, FRAMES_OUT).grams(world, times)
    np.testing.assert_allclose(grams[known], full[known], rtol=1e-5)


class TestAdapt:
    def test_it_is_the_replay_over_the_history_that_was_given(self, world: xr.Dataset, model: Forecaster) -> None:
        given = world.isel(time=slice(220, 290))
        last = given["time"].values[[-9, -1]]
        forecast = model.predict(given, init_time=last[::-1], adapt=True)
        # By hand: every init time with T frames in what was given, and no target that was fitted on.
        times = given["time"].values[FRAMES_IN - 1 :]
        times = times[times >= np.datetime64(model.provenance["periods"]["reference"][-1][1])]
        assert 20 < len(times) < 70 - FRAMES_IN + 1
        whole = Replay(model, FRAMES_OUT).forecasts(given, times)["model"]
        wanted = weights_of(whole, model)[[-1, -9]]
        np.testing.assert_allclose(weights_of(forecast, model), wanted, atol=1e-6)
        plain = model.predict(given, init_time=last)
        assert (np.abs(weights_of(plain, model)[::-1] - wanted) > 1e-3).any()

    def test_what_was_fitted_on_teaches_nothing(self, world: xr.Dataset, model: Forecaster) -> None:
        fitted = world.sel(time=slice(None, model.provenance["periods"]["reference"][-1][1]))
        first, second = (model.predict(fitted, adapt=adapt) for adapt in (True, False))
        np.testing.assert_array_equal(first["t2m_weight"], second["t2m_weight"])
        unknown = replace(model, provenance={})
        first, second = (unknown.predict(world, adapt=adapt) for adapt in (True, False))
        np.testing.assert_array_equal(first["t2m_weight"], second["t2m_weight"])

    def test_a_gap_and_frames_without_values_are_left_out(self, world: xr.Dataset, model: Forecaster) -> None:
        given = world.isel(time=slice(220, 290)).copy(deep=True)
        given["t2m"][20] = np.nan
        holed = given.drop_isel(time=[40])
        forecast = model.predict(holed, adapt=True)
        weights = weights_of(forecast, model)
        assert np.isfinite(forecast["t2m"]).all()
        np.testing.assert_allclose(weights.sum(-1), 1)
        assert (np.abs(weights - model.predict(holed)["t2m_weight"].values[:, :, None, :8]) > 1e-3).any()

    def test_a_history_of_one_window_gives_the_weights_of_the_validation(
        self, world: xr.Dataset, model: Forecaster
    ) -> None:
        given = world.isel(time=slice(300 - FRAMES_IN, 300))
        first, second = (model.predict(given, adapt=adapt) for adapt in (True, False))
        np.testing.assert_array_equal(first["t2m_weight"], second["t2m_weight"])

    def test_a_model_without_a_mixture_has_nothing_to_adapt(self, world: xr.Dataset) -> None:
        model = mixed_forecaster(world, network=False, mixed=False)
        first, second = (model.predict(world, adapt=adapt) for adapt in (True, False))
        np.testing.assert_array_equal(first["t2m"], second["t2m"])

    def test_what_lies_after_training_is_left_soon(self, world: xr.Dataset) -> None:
        # A sensor that jumps by 6 K: the climatology, and what goes back to it, are wrong from then on.
        jumped = world.copy(deep=True)
        jumped["t2m"][250:] += 6
        model = mixed_forecaster(world, network=False)
        times = world["time"].values[256:300]
        prior = np.where(np.array(model.mixture.experts) == "climatology", 1 - 7e-3, 1e-3)
        convinced = replace(model, mixture=replace(model.mixture, prior=np.broadcast_to(prior, (2, 3, 6)).copy()))
        made = Replay(convinced, FRAMES_OUT).forecasts(jumped, times)["model"]
        weight = made["t2m_weight"].sel(expert="climatology").values
        assert (weight[0] > 0.9).all()
        assert (weight[-1] < 0.3).all()
        untouched = made["d2m_weight"].sel(expert="climatology").values
        assert (untouched[-1] != weight[-1]).all()
