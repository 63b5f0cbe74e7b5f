"""Public SimVP checkpoints: sizes read off the tensors, names translated to ours.

The files are bare state dicts, and the sizes live elsewhere. The names of the paper's published code
(github.com/A4Bio/SimVP) are the only ones known so far.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simvp.errors import ConfigError, SourceError
from simvp.model import SimVP, SimVPConfig

MANY = 6  # names in a message
REMEDY = "give a state dict that github.com/A4Bio/SimVP wrote; models trained here are opened with simvp.load"
PREFIXES = ("model.", "module.")  # of Lightning modules and of DistributedDataParallel

# Names in the published code (its modules enc, hid, dec) and ours, as patterns with groups.
A4BIO_NAMES = (
    (r"enc\.enc\.(\d+)\.conv\.(conv|norm)\.(weight|bias)", r"encoder.blocks.\1.\2.\3"),
    (r"hid\.enc\.(\d+)\.conv1\.(weight|bias)", r"translator.down.\1.squeeze.\2"),
    (r"hid\.enc\.(\d+)\.layers\.(\d+)\.(conv|norm)\.(weight|bias)", r"translator.down.\1.branches.\2.\3.\4"),
    (r"hid\.dec\.(\d+)\.conv1\.(weight|bias)", r"translator.up.\1.squeeze.\2"),
    (r"hid\.dec\.(\d+)\.layers\.(\d+)\.(conv|norm)\.(weight|bias)", r"translator.up.\1.branches.\2.\3.\4"),
    (r"dec\.dec\.(\d+)\.conv\.(conv|norm)\.(weight|bias)", r"decoder.blocks.\1.\2.\3"),
    (r"dec\.readout\.(weight|bias)", r"decoder.readout.\1"),
)


def from_pretrained(path: str | Path) -> SimVP:
    """Network of a public SimVP checkpoint, in eval mode.

    Only tensors and plain values are read; nothing in the file is executed.

    Parameters
    ----------
    path
        A state dict of the paper's public code, as `torch.save` wrote it, or a Lightning checkpoint that holds one
        under ``state_dict``.

    Returns
    -------
    SimVP
        float32, on the CPU, (B, T, C, H, W) -> (B, T, C, H, W) with the file's T and C (`.config` has them).

    Raises
    ------
    SourceError
        If the file cannot be read, or if its tensors make up no network known here; says what they are.
    """
    state = _state_dict(Path(path))
    translated = {name: _our_name(name) for name in sorted(state)}
    foreign = [name for name, ours in translated.items() if ours is None]
    if foreign:
        raise _no_fit(path, [f"{len(foreign)} of {len(state)} tensors are not its own: {_some(foreign)}"])
    tensors = {ours: state[name] for name, ours in translated.items() if ours is not None}
    try:
        network = SimVP(_sizes(tensors))
    except KeyError as missing:
        reason = f"{missing.args[0]}: expected among the tensors, which are {_some(sorted(tensors))}"
        raise _no_fit(path, [reason]) from None
    except (IndexError, ZeroDivisionError):
        raise _no_fit(path, ["the convolutions' weights do not have four dims of one or more"]) from None
    except ConfigError as error:
        raise _no_fit(path, error.reasons) from None

    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    reasons = [
        f"{name}: expected {expected.get(name, 'nothing')}, got {found.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if reasons:
        raise _no_fit(path, [*reasons[:MANY], *([f"and {len(reasons) - MANY} more"] if reasons[MANY:] else [])])
    network.load_state_dict(tensors)
    return network.eval()


def _state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of the file by name, without the prefixes of what they were wrapped in."""
    if not path.is_file():
        raise SourceError(f"checkpoint {path}", ["no such file"], "give the path of a file that torch.save wrote")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its reader ran into, and advises to trust the file
        reason = f"it is damaged, or holds more than tensors and plain values ({type(error).__name__})"
        raise SourceError(f"checkpoint {path} cannot be read", [reason], REMEDY) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise _no_fit(path, [f"expected named tensors, got {type(content).__name__} {str(content)[:60]}"])
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise _no_fit(path, [f"{len(others)} of {len(content)} entries are no tensors: {_some(others)}"])
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return dict(content)


def _our_name(name: str) -> str | None:
    for theirs, ours in A4BIO_NAMES:
        if match := re.fullmatch(theirs, name):
            return match.expand(ours)
    return None


def _sizes(state: Mapping[str, Tensor]) -> SimVPConfig:
    """Config that the shapes imply; KeyError names the first tensor that is needed and missing."""
    first, readout = state["encoder.blocks.0.conv.weight"].shape, state["decoder.readout.weight"].shape
    squeeze = state["translator.down.0.squeeze.weight"].shape  # (hid_T // 2, T * hid_S, 1, 1)
    branch = state["translator.down.0.branches.0.conv.weight"].shape  # (hid_T, hid_T // 2 / groups, k, k)
    branches = _count(state, r"translator\.down\.0\.branches\.(\d+)\..*")
    frames = squeeze[1] // first[0]
    return SimVPConfig(
        frames_in=frames,
        frames_out=frames,
        channels_in=first[1],
        channels_out=readout[0],
        hid_S=first[0],
        hid_T=branch[0],
        N_S=_count(state, r"encoder\.blocks\.(\d+)\..*"),
        N_T=_count(state, r"translator\.down\.(\d+)\..*"),
        groups=squeeze[0] // branch[1],
        kernels=tuple(state[f"translator.down.0.branches.{i}.conv.weight"].shape[-1] for i in range(branches)),
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    matches = [re.fullmatch(pattern, name) for name in state]
    return 1 + max(int(match.group(1)) for match in matches if match)


def _no_fit(path: str | Path, reasons: Sequence[str]) -> SourceError:
    return SourceError(f"checkpoint {path} holds no SimVP of the published code", reasons, REMEDY)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")
