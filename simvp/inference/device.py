"""Where a network computes."""

import torch

from simvp.errors import ContractError


def device_of(device: str | torch.device | None) -> torch.device:
    """A device that this machine has, or a refusal; by default CUDA if there is one, else the CPU."""
    present = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    try:
        target = torch.device(present[-1] if device is None else device)
        torch.empty(0, device=target)  # a name alone tells nothing of the machine
    except (RuntimeError, AssertionError) as error:
        raise ContractError("Device", [f"device: expected one of {', '.join(present)}, got {str(device)!r}"]) from error
    return target
