"""Checkpoints of a training that is not finished: one file, whole or not there, and no pickle that can run code."""

import io
import logging
from pathlib import Path
from typing import Any

import torch

from datasets.store import disk
from simvp.networks import refuse_packed

FORMAT = 2
NAME = "checkpoint.pt"

_log = logging.getLogger(__name__)


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder` by `state` (tensors and plain types), atomically and down to the disk."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    disk.write(folder / NAME, buffer.getvalue())


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The checkpoint in `folder`; None where there is none, or one of another format, which is of no use."""
    path = folder / NAME
    if not path.is_file():
        return None
    refuse_packed(path)
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    if state.pop("format", None) != FORMAT:
        _log.warning("checkpoint %s has another format; the training begins anew", path)
        return None
    return state
