"""`simvp.score`: that it is what its parts say, by lead, month and hour, in a region, with limits."""

import numpy as np
import pytest
import xarray as xr

import simvp
from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.errors import Refusal
from simvp.scoring.verification import score
from tests.support.worlds import formula_world

HOUR = Step(seconds=3600)
FIRST, INITS, LEADS = 5, 40, 3


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return formula_world(("t2m",), frames=60, shape=(6, 8))


def forecast_of(truth: xr.Dataset, error: np.ndarray | float) -> xr.Dataset:
    rows = FIRST + np.arange(INITS)[:, None] + 1 + np.arange(LEADS)
    return label(
        {"t2m": truth["t2m"].values[rows] + np.asarray(error, "f4")},
        coordinates(truth["time"].values[FIRST : FIRST + INITS], LEADS, step=HOUR, grid=Grid.of(truth)),
        grid=Grid.of(truth),
        variable_attrs={"t2m": truth["t2m"].attrs},
    )


def test_scores_of_a_known_error_by_lead(truth: xr.Dataset) -> None:
    # Errors of 1 and -3 in turns of init times: RMSE sqrt(5), MAE 2, bias -1.
    error = np.where(np.arange(INITS) % 2 == 0, 1.0, -3.0)[:, None, None, None]
    table = simvp.score(forecast_of(truth, error), truth).sel(variable="t2m")
    np.testing.assert_allclose(table["rmse"], np.full(LEADS, 5**0.5), rtol=1e-4)
    np.testing.assert_allclose(table["mae"], np.full(LEADS, 2.0), rtol=1e-4)
    np.testing.assert_allclose(table["bias"], np.full(LEADS, -1.0), rtol=1e-3)
    assert table["n"].values.tolist() == [INITS] * LEADS
    np.testing.assert_allclose(table["energy_ratio"], 1.0, rtol=1e-4)  # a constant has no waves
    assert str(table["units"].values) == truth["t2m"].attrs["units"]


def test_under_the_names_of_the_caller(truth: xr.Dataset) -> None:
    names = {"latitude": "lat", "longitude": "lon"}
    own, theirs = (
        score(forecast_of(truth, 1.0), truth),
        score(forecast_of(truth, 1.0).rename(names), truth.rename(names)),
    )
    np.testing.assert_allclose(own["rmse"], theirs["rmse"])


def test_by_hour_and_in_a_region(truth: xr.Dataset) -> None:
    error = np.zeros((1, 1, 6, 8))
    error[..., 0] = 2.0
    forecast = forecast_of(truth, error)
    column = float(truth["longitude"][0])
    inside = score(forecast, truth, region={"longitude": (column, column)})
    np.testing.assert_allclose(inside["mae"], 2.0, rtol=1e-4)
    mask = xr.DataArray(np.arange(8) > 0, dims="longitude").expand_dims(latitude=6)
    np.testing.assert_allclose(score(forecast, truth, region=mask)["mae"], 0.0, atol=1e-4)
    by_hour = score(forecast, truth, by="hour")
    assert by_hour["hour"].values.tolist() == list(range(24))
    assert int(by_hour["n"].sum()) == INITS * LEADS
    np.testing.assert_allclose(by_hour["mae"], 2.0 / 8, rtol=1e-4)
    assert score(forecast, truth, by="month")["month"].values.tolist() == [1]


def test_members_bounds_and_thresholds(truth: xr.Dataset) -> None:
    forecast = forecast_of(truth, 0.0)
    offsets = {"_member": ("member", [-1.0, 0.0, 1.0]), "_quantile": ("quantile", [-2.0, 2.0])}
    for suffix, (dim, by) in offsets.items():
        beside = forecast["t2m"] + xr.DataArray(np.array(by, "f4"), dims=dim)
        forecast["t2m" + suffix] = beside.transpose("init_time", "lead_time", dim, ...)
    forecast = forecast.assign_coords(member=range(3), quantile=[0.1, 0.9])
    edge = float(truth["t2m"].median())
    table = score(forecast, truth, thresholds={"t2m": (edge,)}).sel(variable="t2m")
    # Distances 1, 0, 1; pairs 1 + 1 + 2 over 6. Variance 1, times 4 / 3.
    np.testing.assert_allclose(table["crps"], 2 / 3 - 4 / 6, atol=1e-4)
    np.testing.assert_allclose(table["spread"], (4 / 3) ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(table["coverage"].values.ravel(), 1.0)
    np.testing.assert_allclose(table["width"].values.ravel(), 4.0, rtol=1e-4)
    assert table["coverage"]["lower"].values.tolist() == [0.1]
    for name in ("csi", "ets", "frequency_bias", "fss"):
        np.testing.assert_allclose(table[name], 1.0)


def test_limits_hold_the_score_and_narrow_with_alike_init_times(truth: xr.Dataset) -> None:
    random = np.random.default_rng(0)
    noisy = score(forecast_of(truth, random.normal(0, 1, (INITS, 1, 1, 1))), truth, interval=0.9)
    assert ((noisy["rmse_low"] < noisy["rmse"]) & (noisy["rmse"] < noisy["rmse_high"])).all()
    alike = score(forecast_of(truth, 1.0), truth, interval=0.9)
    np.testing.assert_allclose(alike["rmse_low"], alike["rmse_high"], rtol=1e-4)
    longer = score(forecast_of(truth, np.repeat(random.normal(0, 1, (5, 1, 1, 1)), 8, 0)), truth, interval=0.9, block=8)
    shorter = score(
        forecast_of(truth, np.repeat(random.normal(0, 1, (5, 1, 1, 1)), 8, 0)), truth, interval=0.9, block=1
    )
    assert (longer["rmse_high"] - longer["rmse_low"] > shorter["rmse_high"] - shorter["rmse_low"]).all()


def test_refusals(truth: xr.Dataset) -> None:
    forecast = forecast_of(truth, 0.0)
    with pytest.raises(Refusal, match="thresholds: expected some of t2m, got rain") as caught:
        score(forecast, truth, thresholds={"rain": (1.0,)}, interval=2.0)
    assert "interval: expected a number between 0 and 1, got 2.0" in str(caught.value)
    with pytest.raises(Refusal, match="region: expected a point of the grid in it, got none"):
        score(forecast, truth, region={"latitude": (1000.0, 1001.0)})
    with pytest.raises(Refusal, match="dims: expected lead_time"):
        score(forecast.isel(lead_time=0), truth)
    with pytest.raises(Refusal, match="region: expected a mask of"):
        score(forecast, truth, region=xr.DataArray(np.ones((2, 2), bool)))
