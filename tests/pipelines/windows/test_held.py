"""Frames held in memory: windows are bit by bit the normalised frames, made once and ahead of the training."""

import threading
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from pipelines.training.config import TrainConfig
from pipelines.training.loop import Score, TrainingLoop
from pipelines.windows.frames import Frames
from pipelines.windows.held import Held
from pipelines.windows.sequences import Sequences
from simvp.contract.frame_spec import FrameSpec
from tests.support.worlds import address_world

T, LEADS, FRAMES = 4, 2, 60
REACH = T + LEADS
KINDS = {"rows of forcings": (3, 4), "one row": (1, 5), "one column": (4, 1), "one point": (1, 1)}


@cache
def world(shape: tuple[int, int], *, degrees: bool, statics: bool) -> tuple[xr.Dataset, FrameSpec]:
    ds = address_world(frames=FRAMES, shape=shape)
    if not degrees:  # forcings are then the same on the whole map
        ds = ds.rename(latitude="y", longitude="x")
        ds["y"].attrs, ds["x"].attrs = {"units": "km"}, {"units": "km"}
    if statics:
        heights = np.arange(float(np.prod(shape))).reshape(shape)
        ds["height"] = (ds["t2m"].dims[1:], heights, {"units": "m"})
    times = ds["time"].values
    spec = FrameSpec.fit(
        ds, frames_in=T, frames_out=LEADS, train=[(times[0], times[-1])], log1p=(), states=["t2m", "d2m"],
        statics=["height"] if statics else [], cycle=24,
    )  # fmt: skip
    return ds, spec


@settings(deadline=None, max_examples=25)
@given(
    shape=st.sampled_from(list(KINDS.values())),
    degrees=st.booleans(),
    statics=st.booleans(),
    runs=st.sampled_from([None, 1, 3]),
    inits=st.lists(st.integers(T - 1, FRAMES - LEADS - 1), min_size=1, max_size=6),
)
def test_a_window_is_bit_by_bit_its_normalised_frames(
    shape: tuple[int, int], degrees: bool, statics: bool, runs: int | None, inits: list[int]
) -> None:
    ds, spec = world(shape, degrees=degrees, statics=statics)
    assert spec.n_channels == 4 + statics
    whole = spec.to_frames(ds)
    memory = 1 << 30 if runs is None else runs * 15 * whole[0].nbytes
    frames = Frames(ds, spec, memory=memory)
    assert (frames.run is None) == (runs is None)
    for alone in (False, True):
        x, y = frames.windows(np.array(inits), alone=alone)
        for row, init in enumerate(inits):
            window = whole[init - T + 1 : init + LEADS + 1]
            assert np.array_equal(x[row], window[:T])
            assert np.array_equal(y[row], window[T:, :2])


@pytest.mark.parametrize(
    ("degrees", "maps"), [(True, [(3, 4), (3, 4), (1, 4), (1, 4)]), (False, [(3, 4), (3, 4), (1, 1), (1, 1)])]
)
def test_a_channel_takes_the_memory_of_what_changes(degrees: bool, maps: list[tuple[int, int]]) -> None:
    ds, spec = world((3, 4), degrees=degrees, statics=False)
    assert spec.extents() == maps
    assert Held(FRAMES, spec).nbytes == 4 * FRAMES * sum(rows * columns for rows, columns in maps)
    assert (
        Held(FRAMES, world((3, 4), degrees=degrees, statics=True)[1]).nbytes == Held(FRAMES, spec).nbytes + 48 * FRAMES
    )
    assert np.array_equal(spec.to_frames(ds)[:, 2:], np.broadcast_to(spec.to_frames(ds)[:, 2:, :1], (FRAMES, 2, 3, 4)))


class Counts:
    """Batches made and taken in an epoch, and how many were ahead at each one that was taken."""

    def __init__(self, total: int) -> None:
        self.total, self.made, self.taken, self.changed = total, 0, 0, threading.Condition()
        self.ahead: list[int] = []

    def __deepcopy__(self, memo: object) -> "Counts":  # the average of the weights is a copy of the network
        return self

    def make(self) -> None:
        with self.changed:
            self.made += 1
            self.changed.notify_all()

    def take(self) -> None:
        self.taken += 1
        wanted = min(self.taken + 2, self.total)
        with self.changed:
            there = self.changed.wait_for(lambda: self.made >= wanted, timeout=60)
        assert there, f"batch {wanted} is not made while the network works on batch {self.taken}"
        self.ahead.append(self.made - self.taken)

    def next_epoch(self, average: nn.Module) -> Score:
        self.made = self.taken = 0
        return Score(loss=0.0)


class Slow(nn.Module):
    """A network that is done with its batch only when the two after it are made."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.weight, self.counts = nn.Parameter(torch.ones(())), counts

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        self.counts.take()
        return self.weight * x[:, :LEADS, :2]


def test_training_never_waits_for_what_could_be_made_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are normalised once for all epochs, and while the network has a batch the two after it are made.

    So a network that takes 2,000 windows a second waits only if copying a batch takes longer than its update.
    """
    ds, spec = world((3, 4), degrees=True, statics=False)
    read: list[int] = []
    plain = Frames._read

    def recorded(self: Frames, start: int, stop: int) -> np.ndarray:
        read.extend(range(start, stop))
        return plain(self, start, stop)

    monkeypatch.setattr(Frames, "_read", recorded)
    windows = Sequences(Frames(ds, spec), np.arange(T - 1, FRAMES - LEADS), spec)
    config = TrainConfig(dataset="x", epochs=2, epoch_updates=6, batch_size=8)
    counts, batch = Counts(config.epoch_updates), windows.batch

    def counted(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = batch(indices)
        counts.make()
        return parts

    monkeypatch.setattr(windows, "batch", counted)
    TrainingLoop(Slow(counts), config, windows, np.ones((3, 4)), precision="float32").run(counts.next_epoch)
    assert counts.ahead == 2 * [2, 2, 2, 2, 1, 0]
    assert read == list(range(FRAMES))
