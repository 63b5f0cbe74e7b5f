"""Trainings for processes that train together, which count what each reads, or of which one kills itself."""

import copy
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.home import Home
from pipelines.progress import Progress
from pipelines.ranks import Ranks, joined
from pipelines.train import TrainReport, train
from pipelines.training.config import TrainConfig
from pipelines.training.loop import Score, TrainingLoop
from pipelines.training.network import build_network, fit_start
from pipelines.windows import Frames, Sequences
from simvp.contract import FrameSpec
from simvp.networks import Shifts
from tests.support.worlds import formula_world


def counted(home: Home, config: TrainConfig, *, progress: Progress, folder: Path) -> TrainReport:
    """A training that writes down which frames were read for windows, and which windows were made, by rank."""
    frames: list[int] = []
    windows: list[np.ndarray] = []
    read, batch = Frames._read, Sequences.batch

    def reading(self: Frames, start: int, stop: int) -> np.ndarray:
        frames.extend(range(start, stop))
        return read(self, start, stop)

    def making(self: Sequences, indices: np.ndarray) -> Any:
        windows.append(self.inits[indices])
        return batch(self, indices)

    Frames._read, Sequences.batch = reading, making
    report = train(home, config, progress=progress)
    sizes = [len(part) for part in windows]
    np.savez(folder / f"{os.environ['RANK']}.npz", frames=frames, windows=np.concatenate(windows), sizes=sizes)
    return report


def killed(home: Home, config: TrainConfig, *, progress: Progress, at: int) -> TrainReport:
    """A training whose second process kills itself when it has made `at` batches."""
    batch, made = Sequences.batch, 0

    def dying(self: Sequences, indices: np.ndarray) -> Any:
        nonlocal made
        made += 1
        if os.environ["RANK"] == "1" and made > at:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch(self, indices)

    Sequences.batch = dying
    return train(home, config, progress=progress)


def looped(home: Home, config: TrainConfig, *, progress: Progress, states: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Short loops on a world with holes, one for each state to go on from; what they end with, alike in all ranks."""
    ds = formula_world(frames=96, shape=(8, 8))
    ds["t2m"].values[5::9, 2, 3] = np.nan
    train = [(ds["time"].values[0], ds["time"].values[-1])]
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=3, train=train, log1p=(), missing_share=0.5)
    with joined(torch.device("cpu")) as ranks:
        windows = Sequences(Frames(ds, spec, ranks=ranks), np.arange(3, 92), spec)
        return [_loop(config, spec, windows, ranks, state) for state in states or [None]]


def _loop(config: TrainConfig, spec: FrameSpec, windows: Sequences, ranks: Ranks, state: Any) -> dict[str, Any]:
    network = build_network(spec, config, Shifts(drift=0.5, tilt=0.3, swing=0.5))
    if ranks.first:
        fit_start(network, windows, spec, 32)
    loop = TrainingLoop(network, config, windows, spec.weights, precision="float32", ranks=ranks)
    if state is not None:
        loop.restore(state)
    losses: list[float] = []
    saved: list[dict[str, Any]] = []
    loop.run(
        lambda network: _score(network, windows),
        on_batch=lambda loop: losses.append(loop.read_loss()),
        save=lambda loop: saved.append(copy.deepcopy(loop.state())),
    )
    weights = [value.clone() for value in loop.average.parameters()]
    for own, first in zip(weights, ranks.once(lambda: weights), strict=True):
        assert torch.equal(own, first), "the ranks have grown apart"
    return {"losses": losses, "history": loop.history, "weights": weights, "saved": saved}


def _score(network: nn.Module, windows: Sequences) -> Score:
    x, y, mask = (torch.from_numpy(part) for part in windows.batch(np.arange(0, 80, 5)))
    with torch.inference_mode():
        return Score(loss=float((((network(x) - y) ** 2) * mask).mean()))
