"""The loader against a network that never waits: how many windows a second reach the device."""

import time
from contextlib import closing
from functools import partial

import numpy as np
import torch

from performance.gpu.speed import wait
from performance.loader import BATCH, FAST, LEADS, SIDE, T, _spec, _world
from performance.report import Goal, Section, Table
from performance.timing import said
from pipelines.training import keep_freed_memory
from pipelines.windows import Frames, Sequences, prefetched


def measure(device: torch.device, *, short: bool = False) -> Section:
    """Windows a second made, and made and moved to the device, with nothing else to do."""
    frames, count = (80, 4) if short else (8000, 500)
    ds = _world(frames)
    spec = _spec(ds)
    windows = Sequences(Frames(ds, spec), np.arange(T - 1, frames - LEADS), spec)
    keep_freed_memory()
    made, moved = _rate(windows, count, None), _rate(windows, count, device)
    return Section(
        title="Windows to the device",
        text=(
            f"Windows of ({T + LEADS}, 1, {SIDE}, {SIDE}), {BATCH} at a time, normalised and with two channels of the "
            "time of day, from frames in memory, prefetched as in every training by a thread; what takes them does "
            "nothing."
        ),
        tables=(
            Table(columns=("way", "windows a second"), rows=(("made", said(made)), ("made and moved", said(moved)))),
        ),
        goals=(Goal(wanted=f"at least {FAST:,} windows a second on the device", found=said(moved), met=moved >= FAST),),
    )


def _rate(windows: Sequences, count: int, device: torch.device | None) -> float:
    order = windows.shuffled(BATCH, seed=1, first=0, count=count)
    with closing(prefetched(partial(windows.batch, indices) for indices in order)) as ready:
        next(ready)
        start = time.perf_counter()
        for parts in ready:
            if device is not None:
                for part in parts:
                    torch.as_tensor(part).to(device, non_blocking=True)
        if device is not None:
            wait(device)
        return BATCH * (count - 1) / (time.perf_counter() - start)
