"""The published SimVP as one writes it down: float32, eager, every layer after the other.

It has the weights of a `simvp.SimVP` and gives its output; what `simvp` does for speed and memory is left out.
Operation by operation it is the published code (github.com/A4Bio/SimVP, model.py and modules.py): with the same weights
the outputs of both are equal to the bit, in float64, at (1, 10, 1, 64, 64) with hid_T 512.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simvp.networks import LEAK, SimVP


class PlainSimVP(nn.Module):
    """The paper's variant of `network`, with copies of its weights: (B, T, C, H, W) -> (B, T, C, H, W), T' = T."""

    def __init__(self, network: SimVP) -> None:
        super().__init__()
        copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.encoder, self.translator, self.decoder = copied.encoder, copied.translator, copied.decoder

    def forward(self, x: Tensor) -> Tensor:
        B, T = x.shape[:2]
        x = x.flatten(0, 1)  # (B*T, C, H, W)
        x = first = _block(self.encoder.blocks[0], x)
        for block in self.encoder.blocks[1:]:
            x = _block(block, x)  # (B*T, D, h, w)
        x = self._translated(x.unflatten(0, (B, T)).flatten(1, 2)).reshape(x.shape)
        for block in self.decoder.blocks[:-1]:
            x = _block(block, x)
        x = _block(self.decoder.blocks[-1], torch.cat([x, first], dim=1))
        return self.decoder.readout(x).unflatten(0, (B, T))

    def _translated(self, x: Tensor) -> Tensor:
        kept = []
        for inception in self.translator.down:
            x = _inception(inception, x)
            kept.append(x)
        x = _inception(self.translator.up[0], kept.pop())
        for inception in self.translator.up[1:]:
            x = _inception(inception, torch.cat([x, kept.pop()], dim=1))
        return x  # (B, T*D, h, w)


def _block(block: Any, x: Tensor) -> Tensor:
    return functional.leaky_relu(block.norm(block.conv(x)), LEAK, inplace=True)


def _inception(inception: Any, x: Tensor) -> Tensor:
    x = inception.squeeze(x)
    y: Any = 0
    for branch in inception.branches:
        y += _block(branch, x)  # in place but for the first, as in the published code
    return y
