"""Bounds and members of forecasts whose errors are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simvp.errors import ContractError
from simvp.files.export import export
from simvp.inference.forecaster import Forecaster
from simvp.uncertainty.calibration import LEAST, filled
from simvp.uncertainty.ensemble import request_faults
from tests.support.mixed import FITTED, FRAMES_OUT, calibrated, mixed_forecaster, noisy_world

LEVELS = (0.1, 0.5, 0.9)
PAST = slice(0, 24 * (FITTED + 1))


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return calibrated(mixed_forecaster())


@pytest.fixture(scope="module")
def past() -> xr.Dataset:
    return noisy_world().isel(time=PAST)


def test_layout(model: Forecaster, past: xr.Dataset) -> None:
    found = model.predict(past, members=5, levels=LEVELS)
    assert found["t2m_member"].dims == ("init_time", "lead_time", "member", "latitude", "longitude")
    assert found["t2m_quantile"].dims == ("init_time", "lead_time", "quantile", "latitude", "longitude")
    assert found["member"].attrs["standard_name"] == "realization"
    assert found["quantile"].values.tolist() == list(LEVELS)
    assert found["d2m_member"].attrs["units"] == past["d2m"].attrs["units"]
    xr.testing.assert_identical(
        found[["t2m", "d2m"]].drop_vars("created"), model.predict(past)[["t2m", "d2m"]].drop_vars("created")
    )


def test_bounds_lie_as_far_out_as_the_errors(model: Forecaster, past: xr.Dataset) -> None:
    found = model.predict(past, levels=LEVELS)
    scale = model.spec.state_channels[0].scale
    away = (found["t2m_quantile"] - found["t2m"]).mean(["latitude", "longitude"]).values / scale
    # Of a normal distribution of standard deviation 0.5 the quantiles at 0.1 and 0.9 are 0.641 from the mean.
    np.testing.assert_allclose(away, np.broadcast_to([-0.641, 0.0, 0.641], away.shape), atol=0.1)


def test_members_are_the_error_maps_of_situations(model: Forecaster, past: xr.Dataset) -> None:
    assert model.calibration is not None
    found = model.predict(past, members=4)
    state = model.spec.state_channels[0]
    maps = (found["t2m_member"] - found["t2m"]).values[0] / state.scale  # (L, M, H, W)
    kept = model.calibration.errors[:, :, 0].astype("f4") * 0.5 * model.calibration.widening[0][:, None, None]
    for member in range(4):
        # One situation has all leads of a member.
        distance = np.abs(kept - maps[:, member]).max((1, 2, 3))
        assert distance.min() < 0.08 < np.sort(distance)[1]


def test_the_same_members_whenever_they_are_asked_for(model: Forecaster, past: xr.Dataset) -> None:
    times = past["time"].values[[-3, -1]]
    both = model.predict(past, members=6, init_time=times)["t2m_member"]
    one = model.predict(past, members=6)["t2m_member"]
    np.testing.assert_allclose(both.values[1:], one.values, rtol=1e-6)
    fewer = model.predict(past, members=3)["t2m_member"]
    np.testing.assert_array_equal(one.values[:, :, :3], fewer.values)
    shorter = model.predict(past, members=6, horizon=1)["t2m_member"]
    np.testing.assert_allclose(one.values[:, :1], shorter.values, rtol=1e-6)
    assert np.abs(both.values[0] - both.values[1]).max() > 0.1
    other = calibrated(mixed_forecaster(correction=0.6)).predict(past, members=6)
    assert np.abs((other["t2m_member"] - other["t2m"]) - (one - model.predict(past)["t2m"])).max() > 0.1


def test_no_situation_twice_as_long_as_there_are_others_and_any_number_of_members(
    model: Forecaster, past: xr.Dataset
) -> None:
    found = model.predict(past, members=130)["t2m_member"].values[0, 0].reshape(130, -1)
    assert len(np.unique(found[:60].round(4), axis=0)) == 60
    assert len(np.unique(found.round(4), axis=0)) == 60


def test_bounds_of_the_contract_and_mask_hold(past: xr.Dataset) -> None:
    model = calibrated(mixed_forecaster(), std=3.0)
    state = replace(model.spec.state_channels[0], bounds=(270.0, 290.0))
    state.valid[0, 0] = False
    spec = replace(model.spec, state_channels=(state, *model.spec.state_channels[1:]))
    found = replace(model, spec=spec).predict(past, members=20, levels=LEVELS)
    for name in ("t2m_member", "t2m_quantile"):
        assert float(found[name].min()) >= 270.0
        assert float(found[name].max()) <= 290.0
        assert np.isnan(found[name].values[..., 0, 0]).all()
        assert np.isfinite(found[name].values[..., 1, 1]).all()


def test_leads_that_nobody_has_errors_of_are_wider(model: Forecaster, past: xr.Dataset) -> None:
    found = model.predict(past, members=20, levels=LEVELS, horizon=12 * FRAMES_OUT)
    wide = (found["t2m_quantile"].sel(quantile=0.9) - found["t2m_quantile"].sel(quantile=0.1)).values.mean((0, 2, 3))
    # As a random walk: the root of 2 at twice T'; at most the root of twice the variance of departures, 2 / 0.5^2 = 8.
    np.testing.assert_allclose(wide[[2 * FRAMES_OUT - 1, -1]] / wide[FRAMES_OUT - 1], [2**0.5, 8**0.5], rtol=0.02)
    assert "beyond" in found.attrs["uncertainty"]
    spread = found["t2m_member"].std("member").values.mean((0, 2, 3))
    assert spread[-1] > 2 * spread[0]


def test_errors_of_late_make_it_wider(model: Forecaster, past: xr.Dataset) -> None:
    assert model.calibration is not None
    # 15 init times' worth of errors that are 4 times as large as on validation, beside 5 of these: (5 + 60) / 20.
    sums, worth = np.full((FRAMES_OUT, 2), 15 * 4 * 2.0), np.full((FRAMES_OUT, 2), 15.0)
    ratios = model.calibration.ratios(sums, worth)
    np.testing.assert_allclose(ratios, (65 / 20) ** 0.5)
    plain, wider = (model.predict(past, levels=LEVELS, error_ratios=one) for one in (None, ratios[None]))
    away = [(one["t2m_quantile"] - one["t2m"]).sel(quantile=0.9).values for one in (plain, wider)]
    np.testing.assert_allclose(away[1], away[0] * (65 / 20) ** 0.5, rtol=1e-2)
    assert wider["t2m_error_ratio"].dims == ("init_time", "lead_time")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"members": -1}, "members: expected a whole number from 0, got -1"),
        ({"members": 2.5}, "members: expected a whole number from 0, got 2.5"),
        ({"levels": (0.9, 0.1)}, "levels: expected rising numbers between 0 and 1"),
        ({"levels": (0.0, 0.5)}, "levels: expected rising numbers between 0 and 1"),
        ({"levels": ("a",)}, "levels: expected rising numbers between 0 and 1"),
        ({"levels": (0.001,)}, "of which the errors of the validation say something"),
        ({"members": 10**9}, "forecast fewer init times at a time"),
        ({"error_ratios": np.ones((1, 1, 1))}, "error_ratios: expected (1, 3, 2)"),
        ({"error_ratios": np.zeros((1, 3, 2))}, "error_ratios: expected numbers above 0"),
        ({"error_ratios": np.ones((1, 3, 2)), "adapt": True}, "error_ratios: expected none beside adapt=True"),
    ],
)
def test_refusals(model: Forecaster, past: xr.Dataset, given: dict[str, Any], text: str) -> None:
    with pytest.raises(ContractError) as caught:
        model.predict(past, **given)
    assert text in str(caught.value)


def test_a_model_that_was_trained_before_says_so_and_predicts_as_before(past: xr.Dataset, tmp_path: Path) -> None:
    mixed_forecaster().save(tmp_path / "old.safetensors")
    old = Forecaster.load(tmp_path / "old.safetensors")
    with pytest.raises(ContractError, match="one that was trained before there were any, or for a benchmark"):
        old.predict(past, members=2)
    assert set(old.predict(past).data_vars) == {"t2m", "d2m"}


def test_saved_and_loaded(model: Forecaster, past: xr.Dataset, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    again = Forecaster.load(tmp_path / "model.safetensors")
    assert again.fingerprint == model.fingerprint != mixed_forecaster().fingerprint
    both = [one.predict(past, members=3, levels=LEVELS).drop_vars("created") for one in (model, again)]
    xr.testing.assert_equal(*both)


def test_export(model: Forecaster, past: xr.Dataset, tmp_path: Path) -> None:
    forecast = model.predict(past, members=3, levels=LEVELS)
    (file,) = export(forecast, tmp_path / "tomorrow.nc")
    with xr.open_dataset(file) as written:
        assert written["t2m_member"].dims == ("time", "member", "latitude", "longitude")
        assert written["member"].attrs["standard_name"] == "realization"
        np.testing.assert_allclose(written["t2m_quantile"].values, forecast["t2m_quantile"].values[0], rtol=1e-6)


def test_a_map_of_which_so_few_fit_that_there_are_no_members() -> None:
    model = mixed_forecaster()
    few = calibrated(model, count=LEAST - 1)
    assert few.calibration is not None
    assert len(few.calibration.errors) == 0
    assert "so large a grid that fewer than 20 fit" in request_faults(few.calibration, 3, (), 1)[0]
    assert request_faults(few.calibration, 0, (0.2, 0.8), 1) == []


def test_holes_in_an_error_map_have_what_another_situation_had_there() -> None:
    maps = np.arange(3.0)[:, None, None, None, None] * np.ones((3, 1, 1, 1, 3))
    maps[1, ..., 0], maps[0, ..., 1], maps[:, ..., 2] = np.nan, np.nan, np.nan
    mask = np.ones((1, 1, 3), bool)
    assert filled(maps, mask)[:, 0, 0, 0].tolist() == [[0, 1, 0], [0, 1, 0], [2, 2, 0]]
