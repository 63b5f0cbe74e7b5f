"""The network of a training: sizes by name, and the start that the training windows give it."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from pipelines.training.config import TrainConfig
from pipelines.windows import STILL, Sequences
from simvp.budget import fitting
from simvp.contract import FrameSpec
from simvp.networks import UNREAD, GriddedConfig, GriddedSimVP, Shifts, SimVPConfig

# hid_S, hid_T, N_S, N_T, kernels, groups; "paper" is what the public code takes for Moving MNIST.
SIZES: Mapping[str, tuple[int, int, int, int, tuple[int, ...], int]] = {
    "tiny": (4, 16, 2, 1, (3, 5), 4),
    "small": (8, 64, 4, 2, (3, 5, 7), 8),
    "base": (32, 128, 4, 4, (3, 5, 7, 11), 8),
    "paper": (64, 256, 4, 8, (3, 5, 7, 11), 8),
}
_DEFAULT = {"auto": "small", "none": "tiny"}  # of none only the linear start is looked at
MIX_WINDOWS = 2048  # more windows do not move two numbers a lead


def build_network(spec: FrameSpec, config: TrainConfig, shifts: Shifts = STILL) -> GriddedSimVP:
    """A new network, whose windows shift by this; its weights follow from the seed alone, whatever was drawn before."""
    widths = dict(
        zip(
            ("hid_S", "hid_T", "N_S", "N_T", "kernels", "groups"),
            SIZES[_DEFAULT.get(config.size, config.size)],
            strict=True,
        )
    )
    sizes = SimVPConfig(
        variant=config.variant,
        frames_in=spec.frames_in,
        frames_out=spec.frames_out,
        channels_in=spec.n_channels,
        channels_out=spec.n_states,
        **{name: value for name, value in widths.items() if name not in UNREAD[config.variant]},  # type: ignore[arg-type]
    )
    torch.manual_seed(config.seed)
    return GriddedSimVP(GriddedConfig(network=sizes, states=spec.n_states, lag=spec.lag, **shifts._asdict()))


def variant_words(config: TrainConfig) -> str:
    """Member of the family and hid_S, hid_T, N_S, N_T of the network: "simvp small 8-64-4-2"."""
    size = _DEFAULT.get(config.size, config.size)
    return f"{config.variant} {size} {'-'.join(map(str, SIZES[size][:4]))}"


def batch_size(spec: FrameSpec, most: int) -> int:
    """Windows to forecast at a time: `most`, or as many as fit with their forecasts."""
    maps = spec.frames_in * spec.n_channels + 2 * spec.frames_out * spec.n_states
    return min(most, fitting(4 * maps * math.prod(spec.shape), 4))


def fit_start(network: GriddedSimVP, windows: Sequences, spec: FrameSpec, size: int) -> None:
    """Begin at the best blend of the training windows (at most `MIX_WINDOWS`, evenly spread), `size` at a time."""
    size = batch_size(spec, size)
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MIX_WINDOWS)).round().astype(int))

    def batches() -> Iterator[tuple[Tensor, ...]]:
        for start in range(0, len(chosen), size):
            indices = chosen[start : start + size]
            x, y, mask = windows.batch(indices)
            # Two numbers a lead fit all points; how much an error counts is for the network.
            parts = [x, y, (mask > 0).astype(np.float32), windows.seasonal_cycle(indices)]
            yield tuple(torch.from_numpy(part) for part in parts if part is not None)

    network.fit_mix(batches(), torch.as_tensor(spec.weights))
