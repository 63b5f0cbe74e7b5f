"""Networks as a forecaster handles them: made from saved sizes, evaluated, and watched for new weights."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from simvp.model import SimVP, SimVPConfig
from simvp.residual import GriddedConfig, GriddedSimVP

__all__ = ["build", "evaluated", "written"]


def build(sizes: Mapping[str, Any]) -> GriddedSimVP | SimVP:
    """A new network of these sizes; those of a bare SimVP name no states."""
    if "states" in sizes:
        return GriddedSimVP(GriddedConfig.from_dict(sizes))
    return SimVP(SimVPConfig.from_dict(sizes))


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """The network in eval mode; afterwards every part of it is as it was."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def written(network: nn.Module) -> Hashable:
    """What changes when a weight is replaced or written to; None where PyTorch does not count that."""
    # One walk over the modules, and not through `parameters()`, which takes longer than all else here.
    own = [(*module._parameters.values(), *module._buffers.values()) for module in network.modules()]
    weights = [value for values in own for value in values if value is not None]
    if any(value.is_inference() for value in weights):
        return None
    return tuple((value.data_ptr(), value._version) for value in weights)
