"""Errors of a validation block know nothing of its truth but what they are compared with."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pipelines.training.calibration import choice, left_out_errors
from pipelines.training.combination import validation_grams
from simvp.inference.forecaster import Forecaster
from simvp.uncertainty.spread import Errors
from tests.support.mixed import FRAMES_OUT, mixed_forecaster, noisy_world

PER_BLOCK = 6
STARTS = 24 * np.array([10, 11, 12])  # of blocks that lie after everything that the model was fitted on


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return noisy_world()


@pytest.fixture(scope="module")
def own(ds: xr.Dataset) -> Forecaster:
    return replace(mixed_forecaster(ds), mixture=None, correction=None)


def made(own: Forecaster, ds: xr.Dataset) -> Errors:
    inits = (STARTS[:, None] + np.arange(PER_BLOCK)).ravel()
    blocks = np.repeat(np.arange(len(STARTS)), PER_BLOCK)
    errors = left_out_errors(lambda block: own, dict.fromkeys(range(3), 4), ds, ds["time"].values[inits], blocks)
    assert errors is not None
    return errors


def test_another_truth_of_a_block_changes_its_errors_by_just_that_and_those_of_others(
    own: Forecaster, ds: xr.Dataset
) -> None:
    # The last targets of the last init time are inputs of none.
    frames = slice(STARTS[2] + PER_BLOCK, STARTS[2] + PER_BLOCK + FRAMES_OUT)
    other = ds.copy(deep=True)
    other["t2m"][frames] += 25.0
    first, second = made(own, ds).values, made(own, other).values
    change = (second - first)[12:, :, 0]
    away = np.zeros((PER_BLOCK, FRAMES_OUT))
    for init in range(PER_BLOCK):
        for lead in range(FRAMES_OUT):
            away[init, lead] = 25.0 * (init + lead + 1 >= PER_BLOCK)
    # The weights within the block follow what is verified by each init time, as in operation: nothing of this is.
    np.testing.assert_allclose(
        change, np.broadcast_to((away / own.spec.state_channels[0].scale)[..., None, None], change.shape), atol=1e-4
    )
    assert np.abs(second[:12] - first[:12]).max() > 1e-4


def test_what_is_known_is_not_made_again(own: Forecaster, ds: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    inits = ds["time"].values[(STARTS[:, None] + np.arange(2)).ravel()]
    blocks = np.repeat(np.arange(3), 2)
    grams = validation_grams(own, ds, inits)
    monkeypatch.setattr("pipelines.training.calibration.validation_grams", None)
    known = {choice(own.spec, 4): grams}
    errors = left_out_errors(lambda block: own, dict.fromkeys(range(3), 4), ds, inits, blocks, known=known)
    assert errors is not None
    assert errors.values.shape == (6, FRAMES_OUT, 2, *own.spec.shape)
    assert errors.activities.shape == (6, 2)
    assert np.isfinite(errors.values).all()


def test_one_block_has_no_others(own: Forecaster, ds: xr.Dataset) -> None:
    inits = ds["time"].values[STARTS[:2]]
    assert left_out_errors(lambda block: own, {0: 1}, ds, inits, np.zeros(2, int)) is None
