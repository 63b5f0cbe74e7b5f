"""What a model with a base forecast issues, and the experts that it is mixed of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simvp.contract.channel import State
from simvp.coords.forecast_layout import faults
from simvp.errors import ContractError
from simvp.inference.experts import EXPERTS
from simvp.inference.forecaster import Forecaster
from simvp.inference.model_file import read_header
from simvp.mixture.mixture import digest, mix
from simvp.scoring.baselines import NAMES
from tests.support.mixed import FRAMES_IN, FRAMES_OUT, mixed_forecaster, noisy_world

INITS = slice(280, 300)


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return noisy_world()


@pytest.fixture(scope="module")
def model(world: xr.Dataset) -> Forecaster:
    return mixed_forecaster(world)


@pytest.fixture(scope="module")
def bare(world: xr.Dataset) -> Forecaster:
    return mixed_forecaster(world, network=False)


def inits(world: xr.Dataset) -> np.ndarray:
    return world["time"].values[INITS]


def one_hot(model: Forecaster, name: str, inits: int, leads: int = FRAMES_OUT) -> np.ndarray:
    assert model.mixture is not None
    weights = np.zeros((inits, leads, model.spec.n_states, len(model.mixture.experts)))
    weights[..., model.mixture.experts.index(name)] = 1
    return weights


def values(forecast: xr.Dataset) -> np.ndarray:
    """(I, L, S, H, W)."""
    return np.stack([forecast[name].values for name in ("t2m", "d2m")], axis=2)


class TestMaps:
    def test_each_expert_is_what_it_is_called(self, world: xr.Dataset, model: Forecaster) -> None:
        times = inits(world)
        _, maps = model.experts(world, times, FRAMES_OUT)
        assert set(maps) == {"base", "corrected", "network", *NAMES}
        np.testing.assert_array_equal(maps["base"], model.base.predict(world, times))
        alone = replace(model, base=None, correction=None, mixture=None)
        np.testing.assert_array_equal(maps["network"], values(alone.predict(world, init_time=times)))
        np.testing.assert_allclose(maps["corrected"], (maps["base"] + maps["network"]) / 2, rtol=1e-6)
        for name, forecast in model.baselines.predict(world, times, FRAMES_OUT).items():
            np.testing.assert_array_equal(maps[name], values(forecast))

    def test_the_correction_of_the_last_lead_goes_on_beyond_it(self, world: xr.Dataset, model: Forecaster) -> None:
        factors = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])
        _, maps = replace(model, correction=factors).experts(world, inits(world)[:3], 5)
        for lead, at in enumerate((0, 1, 2, 2, 2)):
            for state in range(2):
                base, network = (maps[name][:, lead, state] for name in ("base", "network"))
                wanted = base + factors[state, at] * (network - base)
                np.testing.assert_allclose(maps["corrected"][:, lead, state], wanted, rtol=1e-6)

    def test_the_base_keeps_within_the_bounds(self, world: xr.Dataset, model: Forecaster) -> None:
        first, second = model.spec.state_channels
        bounded = replace(
            model, spec=replace(model.spec, state_channels=(replace(first, bounds=(280.0, 281.0)), second))
        )
        assert isinstance(first, State)
        _, maps = bounded.experts(world, inits(world), FRAMES_OUT)
        assert maps["base"][:, :, 0].min() == 280
        assert maps["base"][:, :, 0].max() == 281
        np.testing.assert_array_equal(maps["base"][:, :, 1], model.base.predict(world, inits(world))[:, :, 1])


class TestIssued:
    @pytest.mark.parametrize("name", ["base", "corrected", "network", "persistence", "damped_anomaly"])
    def test_all_weight_on_one_expert_issues_it(self, world: xr.Dataset, model: Forecaster, name: str) -> None:
        times = inits(world)
        forecast = model.predict(world, init_time=times, weights=one_hot(model, name, len(times)))
        _, maps = model.experts(world, times, FRAMES_OUT)
        np.testing.assert_array_equal(values(forecast), maps[name])
        weights = forecast["t2m_weight"].sel(expert=name)
        assert (weights == 1).all()

    def test_by_default_the_weights_are_those_of_the_validation(self, world: xr.Dataset, model: Forecaster) -> None:
        times = inits(world)
        forecast = model.predict(world, init_time=times)
        _, maps = model.experts(world, times, FRAMES_OUT)
        own = {name: maps[name] for name in model.mixture.experts}
        wanted, used = mix(own, model.mixture.weights(len(times), FRAMES_OUT), model.spec.mask)
        np.testing.assert_array_equal(values(forecast), wanted)
        np.testing.assert_array_equal(
            forecast["d2m_weight"].sel(expert=list(model.mixture.experts)).values, used[:, :, 1]
        )

    def test_the_layout_has_the_weights_and_their_digest(self, world: xr.Dataset, model: Forecaster) -> None:
        forecast = model.predict(world, init_time=inits(world), horizon=5)
        assert faults(forecast) == []
        assert tuple(forecast["expert"].values) == EXPERTS
        every = np.stack([forecast[f"{name}_weight"].values for name in ("t2m", "d2m")], axis=2)
        assert forecast["t2m_weight"].dims == ("init_time", "lead_time", "expert")
        np.testing.assert_allclose(every.sum(-1), 1)
        np.testing.assert_array_equal(every[:, 3], every[:, 2])  # beyond T' as at its last lead
        assert forecast["weights_digest"].values.tolist() == digest(every)

    def test_an_issued_forecast_is_made_again_with_its_own_weights(self, world: xr.Dataset, model: Forecaster) -> None:
        times = inits(world)
        first = model.predict(world, init_time=times, adapt=True)
        own = list(model.mixture.experts)
        stored = np.stack([first[f"{n}_weight"].sel(expert=own).values for n in ("t2m", "d2m")], axis=2)
        assert len(set(first["weights_digest"].values)) == len(times)
        again = model.predict(world, init_time=times, weights=stored)
        xr.testing.assert_identical(again.drop_vars("created"), first.drop_vars("created").assign_attrs(again.attrs))

    def test_an_absent_baseline_leaves_its_weight_to_the_others(self, world: xr.Dataset, model: Forecaster) -> None:
        # Without the day before, seasonal persistence has nothing to repeat.
        short = world.isel(time=slice(290, 300))
        forecast = model.predict(short)
        weights = forecast["t2m_weight"].isel(init_time=0, lead_time=0)
        prior = model.mixture.prior[0, 0]
        kept = prior * (np.array(model.mixture.experts) != "seasonal_persistence")
        np.testing.assert_allclose(weights.sel(expert=list(model.mixture.experts)), kept / kept.sum(), atol=1e-12)
        assert np.isfinite(values(forecast)).all()

    def test_without_a_mixture_the_corrected_base_is_issued(self, world: xr.Dataset, model: Forecaster) -> None:
        times = inits(world)
        forecast = replace(model, mixture=None).predict(world, init_time=times)
        _, maps = model.experts(world, times, FRAMES_OUT)
        np.testing.assert_array_equal(values(forecast), maps["corrected"])
        assert (forecast["t2m_weight"].sel(expert="corrected") == 1).all()

    def test_without_a_network_the_base_is_issued(self, world: xr.Dataset, bare: Forecaster) -> None:
        times = inits(world)
        forecast = replace(bare, mixture=None).predict(world, init_time=times, horizon=7)
        np.testing.assert_array_equal(values(forecast), bare.base.predict(world, times, 7))
        assert (forecast["d2m_weight"].sel(expert="base") == 1).all()
        mixed = bare.predict(world, init_time=times)
        assert (mixed["t2m_weight"].sel(expert=["corrected", "network"]) == 0).all()
        assert bare.device.type == "cpu"
        assert bare.to("cpu") is bare

    def test_a_network_alone_says_nothing_of_weights(self, world: xr.Dataset, model: Forecaster) -> None:
        alone = replace(model, base=None, correction=None, mixture=None)
        assert not {"expert", "weights_digest"} & set(alone.predict(world).coords)

    @pytest.mark.parametrize("mixed", [True, False])
    def test_masked_points_stay_nan_and_missing_ones_are_filled(self, mixed: bool) -> None:
        ds = noisy_world()
        ds["t2m"][:, 1, 2] = np.nan
        model = mixed_forecaster(ds, mixed=mixed)
        specked = ds.isel(time=slice(200, 300)).copy(deep=True)
        specked["d2m"][-1, 0, 0] = np.nan
        specked["d2m"][-20, 2, 1] = np.nan
        forecast = model.predict(specked, adapt=mixed)
        assert np.isnan(forecast["t2m"].values[:, :, 1, 2]).all()
        assert np.isfinite(np.delete(forecast["t2m"].values.reshape(3, -1), 6, axis=1)).all()
        assert np.isfinite(forecast["d2m"].values).all()
        assert "d2m 1 missing values" in forecast.attrs["filled_input"]

    def test_nothing_after_the_init_time_has_a_part(self, world: xr.Dataset, model: Forecaster) -> None:
        times = world["time"].values[[250, 260]]
        later = world.copy(deep=True)
        for name in later.data_vars:
            later[name][261:] += 3
        for adapt in (False, True):
            first, second = (model.predict(ds, init_time=times, adapt=adapt) for ds in (world, later))
            np.testing.assert_array_equal(values(first), values(second))
            assert first["weights_digest"].values.tolist() == second["weights_digest"].values.tolist()

    def test_batches_do_not_show(self, world: xr.Dataset, model: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
        past = world.isel(time=slice(0, 60))
        whole = model.predict(past, init_time="all")
        monkeypatch.setattr("simvp.budget.BUDGET", 16 * 4 * FRAMES_OUT * 2 * 12 * 5)
        batched = model.predict(past.chunk(time=25), init_time="all")
        np.testing.assert_allclose(values(batched), values(whole), rtol=1e-6)
        np.testing.assert_allclose(batched["t2m_weight"], whole["t2m_weight"], atol=1e-12)


class TestRefusedWeights:
    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (
                lambda w: w[:1],
                r"weights: expected \(2, 3, 2, 8\) \(init time, lead, variable, expert: base, corrected, ",
            ),
            (lambda w: w[..., :-1], r"got \(2, 3, 2, 7\)"),
            (lambda w: w * 2, "weights: expected none negative, of sum 1 over the experts"),
            (lambda w: w * np.nan, "none negative, of sum 1"),
            (lambda w: w - np.eye(8)[1] + np.eye(8)[0], "none negative, of sum 1"),
        ],
    )
    def test_what_are_no_weights(self, world: xr.Dataset, model: Forecaster, change, text: str) -> None:  # type: ignore[no-untyped-def]
        weights = model.mixture.weights(2, FRAMES_OUT)
        with pytest.raises(ContractError, match=text):
            model.predict(world, init_time=inits(world)[:2], weights=change(weights))

    def test_a_model_without_a_mixture_takes_none(self, world: xr.Dataset, model: Forecaster) -> None:
        weights = model.mixture.weights(1, FRAMES_OUT)
        with pytest.raises(ContractError, match="weights: expected none, as the model has no mixture"):
            replace(model, mixture=None).predict(world, weights=weights)
        with pytest.raises(ContractError, match="weights: expected none beside adapt=True"):
            model.predict(world, weights=weights, adapt=True)

    def test_with_every_other_reason(self, world: xr.Dataset, model: Forecaster) -> None:
        celsius = world.copy()
        celsius["t2m"] = celsius["t2m"].assign_attrs(units="degC")
        with pytest.raises(ContractError, match="expected units 'K', got 'degC'"):
            model.predict(celsius, weights=np.ones(3))


class TestFile:
    @pytest.mark.parametrize("network", [True, False])
    @pytest.mark.parametrize("mixed", [True, False])
    def test_there_and_back(
        self, world: xr.Dataset, model: Forecaster, bare: Forecaster, tmp_path: Path, network: bool, mixed: bool
    ) -> None:
        saved = model if network else bare
        saved = saved if mixed else replace(saved, mixture=None)
        saved.save(tmp_path / "m.safetensors")
        header = read_header(tmp_path / "m.safetensors")
        assert header["format"] == 2
        assert (header["network"] is not None) == network
        assert ("mixture" in header) == mixed
        json.dumps(header, allow_nan=False)
        back = Forecaster.load(tmp_path / "m.safetensors")
        assert back.fingerprint == saved.fingerprint == header["fingerprint"]
        assert replace(back).fingerprint == saved.fingerprint  # hashed anew, from what was read
        times = inits(world)
        ours, theirs = (f.predict(world, init_time=times, horizon=5, adapt=mixed) for f in (saved, back))
        xr.testing.assert_identical(ours.drop_vars("created"), theirs.drop_vars("created").assign_attrs(ours.attrs))

    def test_everything_that_makes_the_forecast_is_in_the_fingerprint(
        self, model: Forecaster, bare: Forecaster
    ) -> None:
        mixture = model.mixture
        others = [
            bare,
            replace(model, base=None, correction=None, mixture=None),
            replace(model, mixture=None),
            replace(model, correction=model.correction + 0.01),
            replace(model, mixture=replace(mixture, prior=mixture.prior[..., ::-1].copy())),
            replace(model, mixture=replace(mixture, scale=mixture.scale * 2)),
            replace(model, mixture=replace(mixture, aggregation=replace(mixture.aggregation, rate=2.0))),
            replace(model, base=replace(model.base, parts=model.base.parts[::-1])),
        ]
        prints = [other.fingerprint for other in (model, *others)]
        assert len(set(prints)) == len(prints)
        assert replace(model, provenance={"run_id": "x"}).fingerprint == model.fingerprint


class TestHistory:
    def test_frames_that_are_looked_at(self, world: xr.Dataset, model: Forecaster, bare: Forecaster) -> None:
        for one in (model, bare):
            assert one.history >= FRAMES_IN
            times = one.frame_times(inits(world)[:2])
            assert times.shape[0] == 2
            steps = (times - inits(world)[:2, None]) / np.timedelta64(1, "h")
            assert {0.0, -1.0, 1.0 - FRAMES_IN} <= set(steps[0].tolist())
            assert steps.max() == 0
        # With these frames alone, the forecast is the same.
        near = world.isel(time=np.isin(world["time"].values, model.frame_times(inits(world)[:1])))
        np.testing.assert_array_equal(
            replace(model, mixture=None).predict(near, init_time=inits(world)[:1])["t2m"],
            replace(model, mixture=None).predict(world, init_time=inits(world)[:1])["t2m"],
        )
