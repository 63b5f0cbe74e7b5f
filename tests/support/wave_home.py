"""A home whose archive is the formula world, and toy models that know the formula up to a stated error.

The models are exact, so everything that is said of their errors can be derived by hand.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from datasets.archive.archive import Archive
from pipelines.home import Home
from simvp.contract.frame_spec import FrameSpec
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from simvp.scoring.baselines import Baselines
from tests.support.worlds import WAVE, formula_world

SHAPE = (3, 4)
FRAMES_IN, FRAMES_OUT = 4, 3
DAYS = 14
HELD_OUT = ("2020-01-12T00:00:00", "2020-01-14T23:00:00")
TRAIN = ("2020-01-01T00:00:00", "2020-01-07T23:00:00")  # 7 days: the mean of every hour is exact


class Wave(torch.nn.Module):
    """The formula world's next frames, d(t + 1) = 2 cos(2 pi / 7) d(t) - d(t - 1), and an error on all of them.

    A parameter keeps the error, so that `parameters()` and `to(device)` work as for any network.
    """

    def __init__(self, frames_out: int, error: float) -> None:
        super().__init__()
        self.error = torch.nn.Parameter(torch.tensor(error, dtype=torch.float64))
        self.frames_out = frames_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C, H, W) to (B, T', 1, H, W)."""
        frames = [x[:, -2, :1].double(), x[:, -1, :1].double()]
        for _ in range(self.frames_out):
            frames.append(2 * math.cos(2 * math.pi / WAVE) * frames[-1] - frames[-2])
        return (torch.stack(frames[2:], dim=1) + self.error).float()


@dataclass(frozen=True, kw_only=True, eq=False)
class WaveForecaster(Forecaster):
    """A forecaster whose network is a toy; it cannot be saved, and its fingerprint follows from its error."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits."""
        text = f"{self.network.error.item()} {self.spec.frames_in} {self.spec.frames_out}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def world(days: float = DAYS, *, first: int = 0) -> xr.Dataset:
    """`days` of hourly t2m from the frame number `first` on."""
    return formula_world(("t2m",), frames=round(24 * days), first=first, shape=SHAPE)


def wave_home(home: Home, dataset: str = "waves", *, days: float = DAYS) -> Archive:
    """The archive of a data set, filled."""
    archive = Archive(home.archive(dataset))
    archive.append(world(days), step=Step.parse("1h"))
    return archive


def forecaster(
    error: float = 0.0,
    *,
    version: str = "unregistered",
    frames_in: int = FRAMES_IN,
    frames_out: int = FRAMES_OUT,
    train: Sequence[tuple[str, str]] = (TRAIN,),
    held_out: tuple[str, str] | None = HELD_OUT,
    ds: xr.Dataset | None = None,
) -> WaveForecaster:
    """A model that forecasts every frame of the formula world `error` kelvin too warm.

    Climatology and baselines are fitted on the first days; the baselines have no cycle, so that persistence is the
    last frame and climatology the mean map.
    """
    ds = world() if ds is None else ds
    spec = FrameSpec.fit(ds, frames_in=frames_in, frames_out=frames_out, train=train, cycle=None)
    baselines = Baselines.fit(
        ds, variables=["t2m"], step=spec.step, cycle=None, leads=frames_out, period=train, weights=spec.weights
    )
    scale = spec.state_channels[0].scale
    periods: dict[str, Any] = {"train": [list(piece) for piece in train], "validation": []}
    if held_out is not None:
        periods["held_out"] = list(held_out)
    return WaveForecaster(
        spec=spec,
        network=Wave(frames_out, error / scale),  # type: ignore[arg-type]
        baselines=baselines,
        provenance={"periods": periods},
        version=version,
    )


def truth(times: np.ndarray) -> np.ndarray:
    """Frames (N, H, W) of the world at hourly times."""
    index = ((times - np.datetime64("2020-01-01")) / np.timedelta64(1, "h")).astype(np.int64)
    ds = world(days=(int(index.max()) + 1) / 24)
    return ds["t2m"].values[index]
