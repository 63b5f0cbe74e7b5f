"""Features that training need not keep, since they are recomputed from what it keeps anyway.

A convolution keeps its input for the backward pass. Where that input is the activation of a normalised map, or two
maps side by side, autograd keeps those maps too; so here the convolution keeps how its input was made instead, and
recomputes it for the moment in which its gradient is taken. The gradients are the same to the bit.
"""

from collections.abc import Callable, Sequence
from weakref import ref

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

Make = Callable[[], Tensor]
_NAME = "_recompute"  # of the attribute of a tensor


def remember(x: Tensor, make: Make) -> Tensor:
    """Note on x that `make` recomputes it; it is called without a gradient. Writing to x voids the note."""
    setattr(x, _NAME, (make, x._version))  # the version counts what is written to x in place
    return x


def applied(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer` of x, of which autograd keeps how to recompute x, where that is noted."""
    make = _noted(x)
    if make is None:
        return layer(x)
    input_ = ref(x)  # weak, since autograd keeps the hooks, and with them all that they hold
    with saved_tensors_hooks(lambda one: make if one is input_() else one, lambda it: it() if callable(it) else it):
        return layer(x)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts (B, C1, H, W), (B, C2, H, W), ... side by side, (B, C1 + C2 + ..., H, W)."""
    x = torch.cat(list(parts), dim=1)
    if not x.requires_grad:
        return x
    makes = [_maker(part) for part in parts]
    return remember(x, lambda: torch.cat([make() for make in makes], dim=1))


def first(x: Tensor, count: int) -> Tensor:
    """The first `count` of x (B, ...); x itself where that is all."""
    if count == len(x):
        return x
    if not x.requires_grad:
        return x[:count]
    make = _maker(x)
    return remember(x[:count], lambda: make()[:count])


def _noted(x: Tensor) -> Make | None:
    make, version = getattr(x, _NAME, (None, 0))
    return make if make is not None and version == x._version else None


def _maker(x: Tensor) -> Make:
    """As noted, else by keeping x."""
    kept = x.detach()
    return _noted(x) or (lambda: kept)
