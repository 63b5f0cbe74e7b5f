"""How much memory a network takes, found before it runs by running it on shapes alone."""

import os
import re
import weakref
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simvp.errors import Refusal
from simvp.networks.saved import evaluated

# Convolutions make copies of their own, which the shapes of what goes in and out do not show: what was measured is 0.6
# to 0.97 of what this gives.
MARGIN = 1.6
LARGE = 1 << 26  # values of a window; with fewer, the largest networks need a few GiB


def refuse_beyond(network: nn.Module, window: Sequence[int], forecasts: Sequence[int], device: torch.device) -> None:
    """Refuse a forecast that the memory does not hold, before it is begun.

    Parameters
    ----------
    network
        Runs on `device`, a window at a time.
    window
        Shape of its input, (1, T, C, H, W).
    forecasts
        Shape of all forecasts, (I, L, S, H, W), which stay in the memory of the host.

    Raises
    ------
    Refusal
        With what is needed and what there is.
    """
    host = torch.device("cpu")
    where = host if device.type == "cpu" else device
    needed = {host: 2 * 4 * prod(forecasts)}  # bytes in float32: as departures, and in their own units
    if prod(window) >= LARGE:
        needed[where] = needed.get(where, 0) + peak(network, window, device)
    reasons = [
        f"memory: {size / 2**30:,.1f} GiB are needed on {place}, {free / 2**30:,.1f} are available"
        for place, size in needed.items()
        if size >= LARGE and (free := available(place)) is not None and size > free
    ]
    if reasons:
        inits, leads, _, rows, columns = forecasts
        raise Refusal(
            f"Forecast of {inits} init times and {leads} steps on {rows} x {columns} points",
            reasons,
            "cut the domain, take fewer init times at a time, train a smaller size, or use a larger machine",
        )


def peak(network: nn.Module, shape: Sequence[int], device: torch.device) -> int:
    """Bytes that a float32 input of `shape` and what the network makes of it take at the worst moment.

    Its weights are not counted. Nothing is computed.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with evaluated(network), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        x = torch.empty(tuple(shape), device=device)
        with _Storages() as storages:
            network(x)
    inside = storages.most if x.untyped_storage() in storages.seen else storages.most + x.nbytes
    return int(MARGIN * inside)


def available(device: torch.device) -> int | None:
    """Bytes that can be had on a device without putting others out; None where the system does not tell."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return min((size for size in (_of_system(), _of_control_group()) if size is not None), default=None)


def _of_system() -> int | None:
    """What Linux can give; all that is built in elsewhere."""
    try:
        if line := re.search(r"^MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE):
            return int(line[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None


def _of_control_group() -> int | None:
    """What the limit of a container leaves; its cached files give way."""
    try:
        own = Path("/proc/self/cgroup").read_text().partition("0::/")[2].partition("\n")[0]
        folder = Path("/sys/fs/cgroup") / own
        held = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int((folder / "memory.max").read_text()) - int(held["anon"])
    except (OSError, ValueError, KeyError):  # another system or version; no limit, which is called "max"
        return None


class _Storages(TorchDispatchMode):
    """Bytes of the storages that operations returned and that are still held, and the most there were at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self.seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            # A view shares the storage of what it looks at, and takes no memory.
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.seen:
                self.seen.add(storage)
                self.held += storage.nbytes()
                self.most = max(self.most, self.held)
                weakref.finalize(storage, self._freed, storage.nbytes())
        return results

    def _freed(self, size: int) -> None:
        self.held -= size
