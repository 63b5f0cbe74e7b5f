"""Networks as a forecaster handles them: made from saved sizes, evaluated, and watched for new weights."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, overload

import torch
from torch import Tensor, nn

from simvp.errors import ConfigError, shortened
from simvp.networks.config import INCEPTION, SimVPConfig
from simvp.networks.gridded import GriddedConfig, GriddedSimVP
from simvp.networks.simvp import SimVP

MANY = 6  # reasons in a message


@overload
def loaded(config: SimVPConfig, weights: Mapping[str, Tensor]) -> SimVP: ...
@overload
def loaded(config: GriddedConfig | SimVPConfig, weights: Mapping[str, Tensor]) -> GriddedSimVP | SimVP: ...
def loaded(config: GriddedConfig | SimVPConfig, weights: Mapping[str, Tensor]) -> GriddedSimVP | SimVP:
    """A network of these sizes with weights from a file, on the CPU, in eval mode.

    Memory is taken when every weight is known to be there in full, whatever the sizes say.

    Raises
    ------
    ConfigError
        Weights that are absent, of other shapes, or not of these sizes; a size that no file of these weights can have.
    """
    inner = config.network if isinstance(config, GriddedConfig) else config
    # Of what is seen in several places, or several times in one, there is one copy in the file.
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in weights.values()}
    values, taken = (sum(n(value) for value in weights.values()) for n in (Tensor.numel, lambda value: value.nbytes))
    held = sum(stored.values())
    reasons = [] if taken <= held else [f"weights: {taken} bytes, of which the file has {held}"]
    # Each block has weights of its own, and each channel at least one value of one of them.
    blocks = {"N_S": inner.N_S, "N_T": inner.N_T, "kernels": len(inner.kernels) if inner.variant in INCEPTION else 0}
    widths = {name: getattr(inner, name) for name in ("hid_S", "hid_T", "channels_in", "channels_out")}
    widths |= {"frames_in": inner.frames_in, "kernel_enc": inner.kernel_enc, "kernel_dec": inner.kernel_dec}
    reasons += [f"{n}: {size} blocks, but {len(weights)} weights" for n, size in blocks.items() if size > len(weights)]
    reasons += [f"{n}: {size}, but {values} values of weights" for n, size in widths.items() if size > values]
    if not reasons:
        try:
            with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
                network = GriddedSimVP(config) if isinstance(config, GriddedConfig) else SimVP(config)
        except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # sizes that PyTorch does not count to
            raise ConfigError(type(config).subject, [str(error).partition("\n")[0]]) from error
        expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        reasons = [
            f"{name}: expected {expected.get(name, 'nothing')}, got {shapes.get(name, 'nothing')}"
            for name in sorted(expected.keys() | shapes.keys())
            if expected.get(name) != shapes.get(name)
        ]
    if reasons:
        raise ConfigError(type(config).subject, shortened(reasons, MANY, "and {} more"))
    # Not by `to_empty`: on meta tensors it has PyTorch import its symbolic shapes, and with them SymPy, which took a
    # fifth of a first forecast.
    made = {n: torch.empty_strided(v.shape, v.stride(), dtype=v.dtype) for n, v in network.state_dict().items()}
    for name, value in made.items():
        value.copy_(weights[name])
    network.load_state_dict(made, assign=True)
    return network.eval()


def sizes_of(sizes: Mapping[str, Any]) -> GriddedConfig | SimVPConfig:
    """Config of plain values; those of a bare SimVP name no states."""
    return GriddedConfig.from_dict(sizes) if "states" in sizes else SimVPConfig.from_dict(sizes)


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
