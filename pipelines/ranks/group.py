"""The group of processes that train together: which of them this one is, and what they hand each other.

They are PyTorch's own (`torch.distributed`), over gloo on CPUs and NCCL between GPUs. Whoever starts them says in the
environment, as `torchrun` does, how many there are.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from simvp.errors import ConfigError

STORE = "SIMVP_RANKS_STORE"  # where the processes find each other; torchrun's own variables where it is not set
# The others wait while the first fits, scores or registers. One that died is noticed by whoever started it.
PATIENCE = timedelta(days=30)

T = TypeVar("T")


class Shared(Protocol):
    """Settings of a training that several processes may share."""

    @property
    def processes(self) -> int:
        """That are to be started."""

    @property
    def batch_size(self) -> int:
        """Windows of an update, of all processes together."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this one is.

    Parameters
    ----------
    rank
        Number of this one. The first, 0, is also the one that fits, scores, tracks and writes.
    size
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` things in a row are for this one; the shares differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def once(self, make: Callable[[], T]) -> T:
        """What the first makes, in all of them; the others wait for it."""
        if self.size == 1:
            return make()
        made = [make() if self.first else None]
        dist.broadcast_object_list(made, src=0)
        return cast(T, made[0])

    def add_up(self, *values: "np.ndarray | Tensor") -> None:
        """Put into each array the sum of those of all processes."""
        if self.size > 1:
            for value in values:
                dist.all_reduce(torch.as_tensor(value))

    def replicated(self, network: nn.Module) -> nn.Module:
        """The network, beginning at the first one's weights; its gradients are the mean of those of all processes.

        Raises
        ------
        ConfigError
            Batch normalisation on CPUs, where PyTorch normalises by a process's own part of a batch alone.
        """
        if self.size == 1:
            return network
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
            if next(network.parameters()).device.type == "cpu":
                reason = "expected a network without batch normalisation on CPUs (gsta and tau have it)"
                raise ConfigError("processes", [reason], "leave processes at 1, or train the variant simvp or incepu")
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # in place
        return nn.parallel.DistributedDataParallel(network)


ALONE = Ranks()


def launches(config: Shared) -> bool:
    """Whether processes are to be started, of which this is none.

    Raises
    ------
    ConfigError
        More processes than windows in a batch or than GPUs, or another number than torchrun has started.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    size, reasons = max(started, config.processes), []
    if started > 1 and config.processes not in (1, started):
        reasons.append(f"expected 1 or the {started} that torchrun has started, got {config.processes}")
    if size > config.batch_size:
        reasons.append(f"expected at most a window of the batch for each (batch_size {config.batch_size}), got {size}")
    if reasons:
        raise ConfigError("processes", reasons, "take fewer processes, or a larger batch_size")
    return started == 1 and size > 1


def backend(device: torch.device) -> str:
    """What carries tensors between the processes: NCCL those on GPUs, gloo everything else."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that were started together, for a while; alone where there are none.

    Parameters
    ----------
    device
        Where the training runs. On GPUs each process of a machine takes one of its own.

    Raises
    ------
    ConfigError
        More processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    rank = int(os.environ["RANK"])
    if device.type == "cuda":
        place, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= there:
            reasons = [f"expected at most the {there} GPUs of this machine, got {place + 1} or more"]
            raise ConfigError("processes", reasons, "take fewer processes, or device cpu")
        torch.cuda.set_device(place)
    dist.init_process_group(
        backend(device), init_method=os.environ.get(STORE, "env://"), rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()
