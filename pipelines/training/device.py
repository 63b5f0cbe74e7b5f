"""Where the arithmetic of a training runs, and in which precision."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from simvp.errors import ConfigError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of <malloc.h>


def choose_device(wanted: str) -> torch.device:
    """The device to train on."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ConfigError("device", ["expected a CUDA device, found none"], "leave device at auto, or say cpu")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def choose_precision(wanted: str, device: torch.device) -> str:
    """The arithmetic: bfloat16 where the hardware has instructions for it, else it is slower than float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.is_file() else ""
    return "bfloat16" if "amx_bf16" in flags or "avx512_bf16" in flags else "float32"


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use `count` CPU threads for a while; None leaves PyTorch's choice."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let the process keep what a training step frees, for the next one; where the C library is glibc.

    By default large arrays go back to the system and come again as fresh pages, each of which costs a fault: 30,000 to
    360,000 faults, and a tenth to a third of the time, in a step of the published network at batch 4.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, -1)
