"""Moving MNIST: error against minutes of training, a curve that later runs go on with.

What is kept is small, so that it can travel: seed, updates and points, and the averaged weights in bfloat16, in parts.
The network is that of the public code's defaults (hid_T 256, 15.8 million weights, 32 MB so). A clip depends on its
number alone, so that a run that goes on never sees one twice; Adam's moments begin again, with a short warm-up.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.benchmarks import find_benchmark
from datasets.store import disk
from datasets.video import Clips
from performance.gpu.speed import REDUCED, wait
from performance.report import Section, Table
from pipelines.benchmark import ClipBatches
from pipelines.training import LoopConfig, TrainingLoop, choose_precision, predictions
from simvp.networks import SimVP, SimVPConfig

DEFAULTS: dict[str, Any] = {"hid_S": 64, "hid_T": 256, "N_S": 4, "N_T": 8}
PART = 15 << 20  # bytes of a file of weights
MOST = 60 << 20  # bytes of weights that are kept; of larger networks seed and updates are
RATE, WARM_UP, BATCH, TESTED = 1e-3, 200, 16, 1000
BETWEEN = 30.0  # seconds of training between two scores
SEED = 0
TITLE = "Moving MNIST against minutes"


@dataclass
class Kept:
    """What an earlier run left.

    Parameters
    ----------
    clips
        In words, what was trained on; a curve on other clips begins anew.
    sizes, seed
        Of the network, and of its first weights and the clips.
    updates, minutes
        So far, scoring not counted.
    points
        (minutes, updates, MSE per frame on the test clips).
    devices
        What trained, in order.
    """

    clips: str
    sizes: dict[str, Any]
    seed: int = SEED
    updates: int = 0
    minutes: float = 0.0
    points: list[tuple[float, int, float]] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


def measure(folder: Path, device: torch.device, left: Callable[[], float], *, short: bool = False) -> Section:
    """Train for as long as is left, from where `folder` stands, and keep it there."""
    sizes = REDUCED if short else DEFAULTS
    benchmark = find_benchmark("moving-mnist")
    if not (short or benchmark.present()):
        reason = "Left out: no MNIST digits are here (`make catalog NAME=moving-mnist` says which files, and where)."
        return Section(title=TITLE, text=reason)
    train, test = (benchmark.open(part, seed=SEED, device=str(device)) for part in ("train", "test"))
    kept, weights = _found(folder, Kept(train.origin, sizes))
    loop = _loop(kept, weights, train, device, 2 if short else BATCH)
    tested = ClipBatches(test, 4 if short else TESTED)
    began = kept.updates
    if not kept.points:
        _score(kept, loop, tested)
    while left() > 0 and (not short or kept.updates < began + 4):
        _train(kept, loop, device, began, min(BETWEEN, left()), 2 if short else math.inf)
        _score(kept, loop, tested)
        _keep(folder, kept, loop)
    _keep(folder, kept, loop)
    return _section(kept, test, began)


def _loop(kept: Kept, weights: dict[str, torch.Tensor], train: Clips, device: torch.device, batch: int) -> TrainingLoop:
    torch.manual_seed(kept.seed)
    network = SimVP(SimVPConfig(**kept.sizes))
    if weights:
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    config = LoopConfig(batch_size=batch, learning_rate=RATE, weight_decay=0.0, averaging=0.999, seed=kept.seed)
    precision = choose_precision("auto", device)
    area = np.ones(train.benchmark.size)
    return TrainingLoop(network.to(device).train(), config, ClipBatches(train), area, precision=precision)


def _train(kept: Kept, loop: TrainingLoop, device: torch.device, began: int, seconds: float, most: float) -> None:
    """Update for so many seconds; the rate rises at the start of a run and stays: nobody knows the last update."""
    start, first, batches = time.perf_counter(), kept.updates, loop.windows
    loop.network.train()
    while time.perf_counter() - start < seconds and kept.updates - first < most:
        run = kept.updates - began
        loop._rate = lambda run=run: RATE * min(1.0, (run + 1) / WARM_UP)  # type: ignore[method-assign,misc]
        (numbers,) = batches.shuffled(loop.config.batch_size, seed=kept.seed, first=kept.updates, count=1)
        loop._unread.append(loop._update(batches.batch(numbers)))
        loop.batch = run + 1
        kept.updates += 1
        if kept.updates % 100 == 0:
            loop.read_loss()  # waits for the device, which may be far behind
    loop.read_loss()
    wait(device)
    kept.minutes += (time.perf_counter() - start) / 60


def _score(kept: Kept, loop: TrainingLoop, tested: ClipBatches) -> None:
    total = 0.0
    for _, predicted, y, _ in predictions(loop.average, tested, 50, loop.autocast):
        total += float(((predicted - y).double() ** 2).mean()) * len(y)
    points = math.prod(tested.clips.benchmark.shape)
    kept.points.append((kept.minutes, kept.updates, total / len(tested) * points))


def _found(folder: Path, new: Kept) -> tuple[Kept, dict[str, torch.Tensor]]:
    """What an earlier run left of the same training, and its weights; else a new one."""
    state, parts = folder / "curve.json", sorted(folder.glob("weights-*.part"))
    if not state.is_file() or not parts:
        return new, {}
    kept = Kept(**json.loads(state.read_text()))
    if (kept.clips, kept.sizes) != (new.clips, new.sizes):
        return new, {}
    names = SimVP(SimVPConfig(**kept.sizes)).state_dict()
    content = torch.frombuffer(bytearray(b"".join(part.read_bytes() for part in parts)), dtype=torch.bfloat16)
    if len(content) != sum(value.numel() for value in names.values()):
        return new, {}
    values = content.split([value.numel() for value in names.values()])
    kept.points = [tuple(point) for point in kept.points]  # type: ignore[misc]
    return kept, {n: v.reshape(like.shape) for (n, like), v in zip(names.items(), values, strict=True)}


def _keep(folder: Path, kept: Kept, loop: TrainingLoop) -> None:
    """Weights, and then the state that speaks of them; each file whole or not there."""
    name = torch.cuda.get_device_name(loop.device) if loop.device.type == "cuda" else "CPU"
    if name not in kept.devices:
        kept.devices.append(name)
    flat = torch.cat([value.detach().cpu().bfloat16().flatten() for value in loop.average.state_dict().values()])
    content = flat.view(torch.uint8).numpy().tobytes()
    if len(content) <= MOST:
        for number, start in enumerate(range(0, len(content), PART)):
            disk.write(folder / f"weights-{number}.part", content[start : start + PART])
    disk.write(folder / "curve.json", json.dumps(asdict(kept)).encode())


def _section(kept: Kept, test: Clips, began: int) -> Section:
    words = ", ".join(f"{name} {value}" for name, value in kept.sizes.items())
    step = max(1, len(kept.points) // 20)  # of a long curve every n-th point, and the last
    shown = [*kept.points[:-1:step], kept.points[-1]]
    rows = tuple((f"{minutes:.1f}", f"{updates:,}", f"{mse:.1f}") for minutes, updates, mse in shown)
    return Section(
        title=TITLE,
        text=(
            f"The network of the public code's defaults ({words}), batch {BATCH}, AdamW at {RATE:g} after a warm-up, "
            f"seed {kept.seed}; error of the averaged weights on {TESTED:,} test clips, {test.origin}. Trained on "
            f"clips {kept.clips}; on {', '.join(kept.devices)}. "
            f"This run went from update {began:,} to {kept.updates:,}; the next goes on from there."
        ),
        tables=(Table(columns=("minutes of training", "updates", "MSE per frame"), rows=rows),),
    )
