"""Validation while training: the model is scored on the very maps that the baselines are scored on."""

import contextlib

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from pipelines.training.validation import Correction, Validation
from pipelines.windows import Frames, Sequences
from simvp.contract.frame_spec import FrameSpec
from simvp.scoring.baselines import NAMES, Baselines
from tests.support.worlds import formula_world

FRAMES, INITS = 72, np.arange(3, 70)


class Zero(nn.Module):
    """Forecasts no departure: the climatology of the contract."""

    def __init__(self, frames_out: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.frames_out = frames_out

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), self.frames_out, 1, *x.shape[3:])


def made(cycle: int) -> tuple[Validation, FrameSpec, Baselines, xr.Dataset]:
    ds = formula_world(("t2m",), frames=FRAMES, shape=(4, 5))
    ds["t2m"] += np.linspace(0, 40, FRAMES, dtype="f4")[:, None, None]  # early windows are not like late ones
    whole = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=whole, cycle=cycle)
    baselines = Baselines.fit(
        ds, variables=["t2m"], step=spec.step, cycle=cycle, leads=2, period=whole, weights=spec.weights
    )
    return Validation(Sequences(Frames(ds, spec), INITS, spec), spec, baselines, ds), spec, baselines, ds


@pytest.mark.parametrize(
    ("cycle", "first", "left_out"),
    [
        (1, 3, None),  # the last frame, which all windows have
        (24, 23, None),  # not there for the windows that begin in the first day
        (60, 3, "seasonal_persistence"),  # there for few: it is left out, and all windows count
    ],
)
def test_model_and_baselines_are_scored_on_the_same_maps(cycle: int, first: int, left_out: str | None) -> None:
    validation, spec, baselines, ds = made(cycle)
    inits = INITS[:, None] * np.ones(2, int)
    leads = np.array([1, 2])
    judged = inits + leads >= first + 1
    assert validation.counts == {"t2m": int(judged.sum())}
    assert set(validation.reference["t2m"]) == set(NAMES) - {left_out}
    truth = ds["t2m"].values[inits + leads].astype("f8")
    valid = ds["time"].values[inits + leads]
    forecasts = {
        "model": spec.state_channels[0].climatology.at(valid.reshape(-1)).reshape(truth.shape),
        "climatology": baselines.climatology["t2m"].at(valid.reshape(-1)).reshape(truth.shape),
        "persistence": ds["t2m"].values[inits],
    }
    squares = {name: ((f - truth) ** 2 * spec.weights).mean((2, 3))[judged].mean() for name, f in forecasts.items()}
    score = validation.score(Zero(2), contextlib.nullcontext)
    assert score.rmse["t2m"] == pytest.approx(np.sqrt(squares["model"]), rel=1e-5)
    for name in ("climatology", "persistence"):
        assert validation.reference["t2m"][name] == pytest.approx(np.sqrt(squares[name]), rel=1e-5)
    row = validation.summary({"validation_rmse_t2m": score.rmse["t2m"]})["t2m"]
    assert row["n"] == int(judged.sum())


def test_factors_by_hand_are_kept_where_they_pay_on_blocks_that_they_were_not_fitted_on() -> None:
    # One lead, two blocks with one point each: forecasts 1 and 2, truth 2 and 4. Either block alone says 2, which is
    # exact for the other: all of the error goes.
    fy, ff, yy = (np.array([[a], [b]], float) for a, b in ((2, 8), (1, 4), (4, 16)))
    found = Correction.fit(fy, ff, yy)
    assert found.factors == (2.0,)
    # Errors 1 and 4, whose mean is 2.5: gains 0.4 and 1.6, whose standard deviation is 0.6 * sqrt(2).
    assert (found.gain, found.error) == pytest.approx((1.0, 0.6))
    # Truth 2 and 1: the factors 0.5 and 2 of the other block. Errors 1 and 1 become 2.25 and 9.
    fy, ff, yy = (np.array([[a], [b]], float) for a, b in ((2, 2), (1, 4), (4, 1)))
    found = Correction.fit(fy, ff, yy)
    assert found.factors == ()
    assert found.gain == pytest.approx((1 - 2.25 + 1 - 9) / 2)
    assert Correction.fit(fy, np.array([[0.0], [4.0]]), yy).factors == ()  # dry but for one block


class Told(nn.Module):
    """Forecasts what it was told in advance."""

    def __init__(self, batches: list[Tensor]) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.batches = batches

    def forward(self, x: Tensor) -> Tensor:
        return self.batches.pop(0)


@pytest.mark.parametrize("log1p", [["rain"], []])
def test_factors_of_a_logarithm_are_those_of_the_physical_values(log1p: list[str]) -> None:
    ds = formula_world(("t2m",), frames=96, shape=(4, 5)).rename(t2m="rain")
    values = np.random.default_rng(0).gamma(2.0, 3.0, ds["rain"].shape).astype("f4")
    ds = ds.assign(rain=(ds["rain"].dims, values, {"units": "mm"}))
    whole = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=whole, cycle=None, log1p=log1p)
    baselines = Baselines.fit(
        ds, variables=["rain"], step=spec.step, cycle=None, leads=2, period=whole, weights=spec.weights
    )
    inits = np.r_[10:20, 40:55, 80:90]
    validation = Validation(Sequences(Frames(ds, spec), inits, spec), spec, baselines, ds)
    channel, leads = spec.state_channels[0], np.array([1, 2])
    truth = ds["rain"].values[inits[:, None] + leads]
    valid = ds["time"].values[inits[:, None] + leads]
    told = truth / np.array([2.0, 4.0], "f4")[:, None, None]
    told[..., 0, 0] *= 0.9  # so that it matters how much a point counts: as much as any other, unlike in the loss
    forecast = channel.normalise(told.reshape(-1, 4, 5), valid.ravel())
    batches = [torch.from_numpy(forecast.reshape(-1, 2, 1, 4, 5))]
    found = validation.factors(Told(batches), contextlib.nullcontext)
    if not log1p:
        assert found == {}
        return
    expected = (told * truth).sum((0, 2, 3), "f8") / (told.astype("f8") ** 2).sum((0, 2, 3))
    assert found["rain"].factors == pytest.approx(tuple(expected.tolist()), rel=1e-4)
    assert found["rain"].gain == pytest.approx(1.0, abs=5e-3)


def test_the_loss_without_a_block_is_that_of_the_other_windows() -> None:
    _, spec, baselines, ds = made(24)
    windows = Sequences(Frames(ds, spec), INITS, spec)
    blocks = np.arange(len(INITS)) // 30
    network = Zero(2)
    found = Validation(windows, spec, baselines, ds, blocks).score(network, contextlib.nullcontext)
    assert set(found.without) == {0, 1, 2}
    for block, loss in found.without.items():
        rest = Sequences(Frames(ds, spec), INITS[blocks != block], spec)
        wanted = Validation(rest, spec, baselines, ds, blocks[blocks != block]).score(network, contextlib.nullcontext)
        assert loss == pytest.approx(wanted.loss, rel=1e-5)
