"""Checkpoints of a training that is not finished: one file, whole or not there, and no pickle that can run code."""

import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from datasets.store import disk
from simvp.errors import fault_around
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
    """The checkpoint in `folder`; None where there is none, or one of another format, which is of no use.

    One that is damaged is set aside, beside it, and said.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        refuse_packed(path)
        with zipfile.ZipFile(path) as archive:  # torch reads past a wrong checksum
            if record := archive.testzip():
                raise zipfile.BadZipFile(f"{record} has another content than was written")
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of torch, zipfile or pickle, by where the damage is
        if fault_around(error, str(path)):
            raise
        aside = path.with_name(f"{NAME}.damaged")
        os.replace(path, aside)
        why = str(error).partition("\n")[0] or type(error).__name__
        _log.warning("checkpoint %s is damaged (%s): set aside as %s; the training begins anew", path, why, aside.name)
        return None
    if state.pop("format", None) != FORMAT:
        _log.warning("checkpoint %s has another format; the training begins anew", path)
        return None
    return state
