"""Validation while training: the model is scored on the very maps that the baselines are scored on."""

import contextlib

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from pipelines.training.validation import Validation
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
