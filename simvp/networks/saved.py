"""Networks as a forecaster handles them: made from saved sizes, evaluated, and watched for new weights."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from simvp.networks.config import SimVPConfig
from simvp.networks.gridded import GriddedConfig, GriddedSimVP
from simvp.networks.simvp import SimVP


def build(sizes: Mapping[str, Any]) -> GriddedSimVP | SimVP:
    """A new network of these sizes; those of a bare SimVP name no states."""
    if "states" in sizes:
        return GriddedSimVP(GriddedConfig.from_dict(sizes))
    return SimVP(SimVPConfig.from_dict(sizes))


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """The network in eval mode; afterwards every part of it is as it was."""
    training = [module for module in _parts(network) if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def written(network: nn.Module) -> Hashable:
    """What changes when a weight is replaced or written to; None where PyTorch does not count that."""
    own = [(*part._parameters.values(), *part._buffers.values()) for part in _parts(network)]
    weights = [value for values in own for value in values if value is not None]
    try:
        # The place alone would not tell a write in place, the count alone not another tensor.
        return tuple((value.data_ptr(), value._version) for value in weights)
    except RuntimeError:  # made in inference mode
        return None


def _parts(network: nn.Module) -> list[nn.Module]:
    """The network and all modules in it; `modules()` also makes their names, which takes several times as long."""
    modules = [network]
    for module in modules:  # grows while it is walked
        modules += [part for part in module._modules.values() if part is not None]
    return modules
