"""Training step, inference and memory of the published network on a device, beside the plain network."""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from performance.plain import PlainSimVP
from performance.report import Section, Table
from performance.timing import said
from pipelines.training import LoopConfig, TrainingLoop, choose_precision
from pipelines.windows import Array, Batches
from simvp.networks import SimVP, SimVPConfig

PUBLISHED: dict[str, Any] = {"hid_S": 64, "hid_T": 512, "N_S": 4, "N_T": 8}
REDUCED: dict[str, Any] = {"hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 1}
PLAIN, TUNED, OURS = "plain float32", "bfloat16 autocast + channels_last", "simvp"
WARM_UP, COUNTED = 5, 10  # updates
FRAME = (10, 1, 64, 64)


class Still(Batches):
    """One batch on the device, again and again, so that nothing waits for data."""

    endless = True

    def __init__(self, size: int, device: torch.device) -> None:
        frames = torch.rand(2, size, *FRAME, generator=torch.Generator().manual_seed(0)).to(device)
        self.parts = frames[0], frames[1], torch.ones(FRAME[1:], device=device)

    def __len__(self) -> int:
        return len(self.parts[0])

    def batch(self, indices: np.ndarray) -> tuple[Array, Array, Array]:
        """The batch."""
        return self.parts


def measure(device: torch.device, left: Callable[[], float], *, short: bool = False) -> Section:
    """Seconds and memory of an update and of a forecast at three batch sizes, as long as there is time."""
    sizes = REDUCED if short else PUBLISHED
    peak = _product_speed(device, 128 if short else 8192)
    rows: dict[str, list[tuple[str, ...]]] = {"Training step": [], "Inference": []}
    for batch in (1,) if short else (4, 16, 64):
        for title, made in (("Training step", _update), ("Inference", _forecast)):
            first = math.nan
            for way in (PLAIN, TUNED, OURS):
                if left() <= 0:
                    return _section(device, rows, peak, f"Time was up before {title.lower()} of {way} at B = {batch}.")
                seconds, memory, work = _timed(made, way, sizes, batch, device, 1 if short else COUNTED)
                first = seconds if way == PLAIN else first
                share = f"{work / seconds / peak:.0%}"
                rows[title].append(
                    (
                        way,
                        str(batch),
                        said(1e3 * seconds),
                        f"{batch / seconds:,.0f}",
                        said(first / seconds),
                        share,
                        memory,
                    )
                )
    return _section(device, rows, peak, "")


def _section(device: torch.device, rows: dict[str, list[tuple[str, ...]]], peak: float, note: str) -> Section:
    columns = (
        "way", "B", "ms", "sequences a second", "times plain float32", "share of peak", "peak memory, GiB",
    )  # fmt: skip
    return Section(
        title=f"Training step and inference on {_name(device)}",
        text=(
            "The published network on clips (B, 10, 1, 64, 64) that lie on the device. *plain float32*: "
            "[performance/plain.py](performance/plain.py), eager; *bfloat16 autocast + channels_last*: the same, tuned "
            "by one line; *simvp*: `TrainingLoop` as every training runs it, and the network in inference mode, in the "
            "precision that it chooses. The middle of ten after five that do not count, the device waited for. Peak: "
            f"{said(peak / 1e12)} 10^12 multiply-adds a second of a product of large bfloat16 matrices. Peak memory: "
            "what PyTorch held at most, weights and optimizer included."
        ),
        tables=tuple(Table(title=title, columns=columns, rows=tuple(found)) for title, found in rows.items() if found),
        notes=(note,) if note else (),
    )


def _timed(
    made: Callable[..., tuple[Callable[[], Any], float]],
    way: str,
    sizes: dict[str, Any],
    batch: int,
    device: torch.device,
    count: int,
) -> tuple[float, str, float]:
    """Middle of the seconds, peak memory in words, and multiply-adds of the work."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(0)
    call, work = made(way, SimVP(SimVPConfig(**sizes)).to(device), Still(batch, device))
    seconds = []
    for number in range(WARM_UP + count):
        start = time.perf_counter()
        call()
        wait(device)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    held = f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f}" if device.type == "cuda" else ""
    return statistics.median(seconds), held, work


def _update(way: str, network: SimVP, batches: Still) -> tuple[Callable[[], Any], float]:
    x, y, _ = batches.parts
    device, work = x.device, 3 * _multiply_adds(network, x)  # the two gradients of a convolution take as many each
    if way == OURS:
        config = LoopConfig(batch_size=len(x), weight_decay=0.0)
        loop = TrainingLoop(network, config, batches, np.ones(FRAME[2:]), precision=choose_precision("auto", device))
        return lambda: loop._update(batches.parts), work
    plain, precision = _plain(way, network)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.0)

    def update() -> None:
        with precision():
            predicted = plain(x)
        loss = ((predicted.float() - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return update, work


def _forecast(way: str, network: SimVP, batches: Still) -> tuple[Callable[[], Any], float]:
    x = batches.parts[0]
    work = _multiply_adds(network, x)
    low = choose_precision("auto", x.device) == "bfloat16"
    plain, precision = (
        (network, lambda: _low(x.device) if low else nullcontext()) if way == OURS else _plain(way, network)
    )
    plain.eval()

    def forecast() -> Tensor:
        with torch.inference_mode(), precision():
            made: Tensor = plain(x)
            return made

    return forecast, work


def _plain(way: str, network: SimVP) -> tuple[nn.Module, Callable[[], Any]]:
    """The plain network, tuned or not, and the precision in which it is called."""
    plain: nn.Module = PlainSimVP(network)
    device = next(network.parameters()).device
    if way == PLAIN:
        return plain, nullcontext
    return plain.to(memory_format=torch.channels_last), lambda: _low(device)  # type: ignore[call-overload]


def _low(device: torch.device) -> Any:
    return torch.autocast(device.type, torch.bfloat16)


def _multiply_adds(network: SimVP, x: Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x[:1])
    return counter.get_total_flops() / 2 * len(x)


def _product_speed(device: torch.device, side: int) -> float:
    """Multiply-adds a second of a product of square bfloat16 matrices, the best of ten."""
    one, other = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        one @ other
        wait(device)
        best = min(best, time.perf_counter() - start)
    return side**3 / best


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
