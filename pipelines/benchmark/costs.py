"""What a network costs: parameters, arithmetic, and the memory that training a sample takes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs of one network on one shape of input.

    Parameters
    ----------
    parameters
        Number of trained values.
    multiply_adds
        Of the forward pass of one sample (convolutions and matrix products), as published tables count "FLOPs".
    memory
        Bytes of the results that the backward pass of one more sample needs kept: what training memory grows by with
        the batch. Parameters, gradients and the optimizer's state, which do not grow with it, are not in it.
    """

    parameters: int
    multiply_adds: int
    memory: int


def costs_of(network: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Costs:
    """Costs of `network` for inputs like `x` (1, T, C, H, W), on its device; its weights stay as they are.

    Parameters
    ----------
    loss
        Of the network's output, as in training.
    """
    training = network.training
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    network.train()
    # The difference of two batch sizes leaves out what is kept once, whatever the batch.
    kept = [_kept(network, x.expand(size, *x.shape[1:]).clone(), loss) for size in (2, 3)]
    network.train(training)
    return Costs(
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        # The counter takes a multiplication and the addition after it for two operations; published tables, for one.
        multiply_adds=counter.get_total_flops() // 2,
        memory=kept[1] - kept[0],
    )


def _kept(network: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> int:
    """Bytes that autograd keeps between the passes, each storage once, without the parameters."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    buffers = [b.clone() for b in network.buffers()]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(network(x))
    del value
    for buffer, before in zip(network.buffers(), buffers, strict=True):
        buffer.copy_(before)
    return sum(sizes.values())
