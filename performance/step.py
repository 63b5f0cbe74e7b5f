"""The training step of the published network: time, memory, and whether it learns as float32 does."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from datasets.benchmarks import find_benchmark
from performance.plain import PlainSimVP
from performance.report import Goal, Section, Table
from performance.timing import Process, Timing, in_process, ratios, said
from pipelines.benchmark import ClipBatches, costs_of
from pipelines.training import LoopConfig, TrainingLoop, choose_precision
from simvp.networks import SimVP, SimVPConfig

PUBLISHED: dict[str, Any] = {"hid_S": 64, "hid_T": 512, "N_S": 4, "N_T": 8}
REDUCED: dict[str, Any] = {"hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 1}
# Emulated, bfloat16 is far slower than float32: nobody would choose it.
PRECISION = choose_precision("auto", torch.device("cpu"))
LOW = PRECISION == "bfloat16"
PLAIN, TUNED, OURS = "plain float32", "autocast + channels_last" if LOW else "channels_last", "simvp"
EMULATED = ", without autocast, for this processor has no instructions for bfloat16"
RATE = 1e-3
CLIPS = 5  # of an update that is compared with the plain one: enough for ours to take spectra
BLOCK = 20  # steps whose mean loss is one number of a curve
WARM_UP = 5  # by then a process no longer asks for memory
SPECTRA = ("_FourierConvolution", "_FourierConvolutionBackward")  # in a profile
# As each is run: a flow says how the threads of ours wait on a busy machine, the others have the default.
AS_RUN: dict[str, str | None] = dict.fromkeys(("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))


def measure(folder: Path, *, short: bool = False) -> Section:
    """Time and memory of a step at two batch sizes, and the losses of 60 steps."""
    sizes = REDUCED if short else PUBLISHED
    _check(sizes)
    rounds = {1: 1} if short else {4: 4, 16: 3}
    tables, goals = [], []
    for batch, count in rounds.items():
        timings = _timed(sizes, batch, count, steps=1 if short else 3)
        tables.append(_step_table(timings, batch))
        goals += _step_goals(timings, batch)
    memory = {name: _memory(sizes, name) for name in (PLAIN, TUNED, OURS)}
    share = memory[OURS] / memory[PLAIN]
    goals.append(
        Goal(
            wanted="activations kept for the backward pass at most half of the plain network's, per sample",
            found=f"{memory[OURS] / 1e6:.1f} MB of {memory[PLAIN] / 1e6:.1f} MB, {share:.2f}",
            met=share <= 0.5,
        )
    )
    curve, same = _curves(sizes, steps=2 * BLOCK if short else 3 * BLOCK)
    parts = {way: _apart(breakdown, way, sizes, 1 if short else 16).value for way in (PLAIN, TUNED, OURS)}
    return Section(
        title="Training step",
        text=(
            f"One update of the published network, {_words(sizes)}, on Moving MNIST clips (B, 10, 1, 64, 64): forward, "
            f"loss, backward, AdamW. *{PLAIN}*: the same layers and weights, nothing else done "
            f"([performance/plain.py](performance/plain.py)), PyTorch's default AdamW. *{TUNED}*: the same with "
            f"{'bfloat16 autocast and ' if LOW else ''}channels_last weights{'' if LOW else EMULATED}. *{OURS}*: "
            f"`pipelines.training.loop.TrainingLoop` as every training runs it, precision {PRECISION}, with gradient "
            "clipping and the running average of the weights on top, and threads that wait as in a flow that starts "
            f"now ({os.environ.get('OMP_WAIT_POLICY', 'by default')}). Each way in processes of its own, in turn, "
            f"{WARM_UP} updates before those that count; "
            "the clips are made beforehand. Before the timing: outputs and gradients of plain network and ours agree "
            "to 1e-9 in float64."
        ),
        tables=(*tables, _parts_table(parts, batch=1 if short else 16), curve),
        goals=(*goals, same),
        notes=(
            f"Kept for the backward pass per sample: {', '.join(f'{n} {b / 1e6:.1f} MB' for n, b in memory.items())}.",
            _limit(parts),
            "Tried and left out, since they are no faster or not worth their code: `torch.compile` on a CPU (with "
            "avx512_bf16, 155 s to compile and 8 % faster), spectra of rows alone, other memory formats, frames in "
            "parts as in forecasts.",
        ),
    )


def _words(sizes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _network(sizes: dict[str, Any], seed: int = 0) -> SimVP:
    torch.manual_seed(seed)
    return SimVP(SimVPConfig(**sizes))


def _clips() -> ClipBatches:
    return ClipBatches(find_benchmark("moving-mnist").open("train"))


def _apart(call: Callable[..., Any], way: str, *arguments: Any) -> Process:
    return in_process(call, way, *arguments, environment=None if way == OURS else AS_RUN)


def _check(sizes: dict[str, Any]) -> None:
    """The plain network is ours: same parameters, same output, same gradients, in float64 to its rounding.

    At a batch at which the published network already takes spectra.
    """
    ours = _network(sizes).double()
    plain = PlainSimVP(ours)
    x, y, _ = _clips().batch(np.arange(CLIPS))
    results = []
    for network in (ours, plain):
        output = network(x.double())
        ((output - y) ** 2).mean().backward()
        results.append([output.detach(), *(p.grad for p in network.parameters())])
    assert len(results[0]) == len(results[1])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9 * float(other.abs().max()) + 1e-12), "networks differ"


class Fixed(ClipBatches):
    """The first batch, again and again, so that no way waits for data."""

    def __init__(self, size: int) -> None:
        super().__init__(find_benchmark("moving-mnist").open("train"))
        self._made = super().batch(np.arange(size))

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """The batch that was made at the start."""
        return self._made


def _update(
    way: str, sizes: dict[str, Any], seed: int, batches: ClipBatches, *, alike: bool = False
) -> Callable[[np.ndarray], float]:
    """One update of a new network in the given way, as a function of the clips of its batch.

    Parameters
    ----------
    alike
        Let the other ways clip and average gradients as ours does, so that their losses can be compared with ours.
    """
    network: nn.Module = _network(sizes, seed)
    config = LoopConfig(learning_rate=RATE, weight_decay=0.0, device="cpu", warm_up=0.0)
    if way == OURS:
        loop = TrainingLoop(network, config, batches, np.ones((64, 64)), precision=PRECISION)
        loop._rate = lambda: RATE  # type: ignore[method-assign]
        return lambda indices: float(loop._update(batches.batch(indices)))
    network = PlainSimVP(network)  # type: ignore[arg-type]
    if way == TUNED:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    betas = (0.9, 0.99) if alike else (0.9, 0.999)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0, betas=betas)

    def update(indices: np.ndarray) -> float:
        x, y, _ = batches.batch(indices)
        with torch.autocast("cpu", torch.bfloat16, enabled=LOW and way == TUNED):
            predicted = network(x)
        loss = ((predicted.float() - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        if alike:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        return float(loss.detach())

    return update


def step_seconds(way: str, sizes: dict[str, Any], batch: int, steps: int) -> list[float]:
    """Seconds of each of `steps` updates after those that do not count."""
    update = _update(way, sizes, 0, Fixed(batch))
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        update(np.arange(batch))
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def breakdown(way: str, sizes: dict[str, Any], batch: int) -> dict[str, float]:
    """Of an update: its seconds, those in convolutions, multiply-adds a second of these, and of a large product.

    Multiply-adds are those of ordinary convolutions, in whatever way they are made.
    """
    update = _update(way, sizes, 0, Fixed(batch))
    numbers = np.arange(batch)
    for _ in range(WARM_UP):
        update(numbers)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        update(numbers)
        step = time.perf_counter() - start
    events = profiler.key_averages()
    spent = sum(e.self_cpu_time_total for e in events if "convolution" in e.key) / 1e6
    spent += sum(e.cpu_time_total for e in events if e.key in SPECTRA) / 1e6
    forward = costs_of(_network(sizes), _clips().batch(np.arange(1))[0], torch.mean).multiply_adds
    return {
        "step": step,
        "convolutions": spent,
        "speed": 3 * forward * batch / spent,  # the two gradients of a convolution take as many each
        "product": _product_speed(torch.bfloat16 if LOW and way != PLAIN else torch.float32),
    }


def _product_speed(dtype: torch.dtype, side: int = 2048) -> float:
    """Multiply-adds a second of a product of square matrices, the best of ten."""
    one, other = (torch.randn(side, side).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - start)
    return side**3 / best


def losses(way: str, sizes: dict[str, Any], seed: int, steps: int) -> list[float]:
    """Loss of every update on clips that follow each other, the same for all."""
    update = _update(way, sizes, seed, _clips(), alike=True)
    return [update(np.arange(CLIPS * number, CLIPS * (number + 1))) for number in range(steps)]


def _timed(sizes: dict[str, Any], batch: int, rounds: int, steps: int) -> dict[str, tuple[Timing, list[Process]]]:
    processes: dict[str, list[Process]] = {PLAIN: [], TUNED: [], OURS: []}
    for number in range(rounds):
        for way in list(processes) if number % 2 == 0 else reversed(processes):
            processes[way].append(_apart(step_seconds, way, sizes, batch, steps))
    return {way: (Timing(tuple(statistics.median(one.value) for one in done)), done) for way, done in processes.items()}


def _step_table(timings: dict[str, tuple[Timing, list[Process]]], batch: int) -> Table:
    rows = []
    for way, (timing, done) in timings.items():
        faster = ratios(timings[PLAIN][0], timing)
        peak = max(one.peak for one in done) / 2**30
        rows.append((way, str(timing), f"{batch / timing.median:.2f}", str(faster), f"{peak:.2f}"))
    return Table(
        title=f"B = {batch}",
        columns=("way", "seconds a step", "sequences a second", "times plain", "peak memory of the process, GiB"),
        rows=tuple(rows),
    )


def _limit(parts: dict[str, dict[str, float]]) -> str:
    """What limits ours, in words."""
    plain, ours = parts[PLAIN], parts[OURS]
    at_best = ours["convolutions"] * ours["speed"] / ours["product"]
    return (
        f"What limits it: convolutions take {ours['convolutions'] / ours['step']:.0%} of the update. As written down, "
        f"at the speed at which this processor multiplies large matrices in {PRECISION}, they would take "
        f"{said(at_best)} s, and the update could be at most {plain['step'] / at_best:.1f} times as fast as plain "
        "float32 if there were nothing else. Large kernels in large batches are made by way of their spectra, with "
        "fewer multiplications ([simvp/networks/fourier.py](simvp/networks/fourier.py)); their speed in the table "
        "counts those of ordinary convolutions."
    )


def _parts_table(parts: dict[str, dict[str, float]], batch: int) -> Table:
    """Where the time goes, and how fast the arithmetic is beside the fastest that the processor does."""
    rows = []
    for way, figures in parts.items():
        speeds = (f"{figures[name] / 1e9:.0f}" for name in ("speed", "product"))
        rows.append((way, said(figures["step"]), said(figures["convolutions"]), *speeds))
    return Table(
        title=f"Where the time of one update goes, B = {batch}, under a profiler, which delays many short calls most",
        columns=(
            "way",
            "seconds",
            "of these in convolutions",
            "their multiply-adds, 10^9/s",
            "of a product of 2,048 x 2,048 matrices, 10^9/s",
        ),
        rows=tuple(rows),
    )


def _step_goals(timings: dict[str, tuple[Timing, list[Process]]], batch: int) -> list[Goal]:
    plain, tuned = (ratios(timings[way][0], timings[OURS][0]) for way in (PLAIN, TUNED))
    wanted = f"B = {batch}: at least {{}} times {{}}"
    return [
        Goal(wanted=wanted.format(3, PLAIN), found=f"{plain} times", met=plain.median >= 3),
        Goal(
            wanted=wanted.format(1.3, "bfloat16 autocast + channels_last"),
            found=f"{tuned} times {'it' if LOW else TUNED + EMULATED}",
            met=tuned.median >= 1.3 if LOW else None,
        ),
    ]


def _memory(sizes: dict[str, Any], way: str) -> int:
    """Bytes that autograd keeps for one more sample."""
    network: nn.Module = _network(sizes)
    network = network if way == OURS else PlainSimVP(network)  # type: ignore[arg-type]
    x, y, _ = _clips().batch(np.arange(1))

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: Tensor) -> Any:
            with torch.autocast("cpu", torch.bfloat16, enabled=LOW and way != PLAIN):
                return self.inner(x)

    return costs_of(Wrapped(), x, lambda predicted: ((predicted.float() - y) ** 2).mean()).memory


def _curves(sizes: dict[str, Any], steps: int) -> tuple[Table, Goal]:
    """Losses of ours, of plain float32, and of plain float32 from another start: what noise is."""
    ours = _blocks(_apart(losses, OURS, sizes, 0, steps).value)
    plain = _blocks(_apart(losses, PLAIN, sizes, 0, steps).value)
    other = _blocks(_apart(losses, PLAIN, sizes, 1, steps).value)
    rows = [
        (f"{i * BLOCK + 1} .. {(i + 1) * BLOCK}", *(f"{curve[i]:.5f}" for curve in (plain, other, ours)))
        for i in range(len(ours))
    ]
    columns = ("updates", f"{PLAIN}, seed 0", f"{PLAIN}, seed 1", f"{OURS}, seed 0")
    table = Table(
        title=f"Mean training loss, B = {CLIPS}, the same clips, gradients clipped and averaged alike",
        columns=columns,
        rows=tuple(rows),
    )
    away, noise = (_distance(plain, curve) for curve in (ours, other))
    return table, Goal(
        wanted=f"over {steps} updates the loss stays as near to float32's as float32 from another start does",
        found=f"mean distance {said(away)} against {said(noise)}",
        met=away <= noise,
    )


def _blocks(curve: Sequence[float]) -> list[float]:
    return [statistics.fmean(curve[i : i + BLOCK]) for i in range(0, len(curve), BLOCK)]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return statistics.fmean(abs(a - b) for a, b in zip(one, other, strict=True))
