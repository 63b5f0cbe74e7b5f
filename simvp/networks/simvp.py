"""The SimVP family: convolutions only, from T frames to T' frames.

Gao, Tan, Wu, Li: "SimVP: Simpler yet Better Video Prediction", CVPR 2022 (arXiv 2206.05099). An encoder sees
each frame on its own, a translator sees all frames at once with time folded into channels, a decoder writes
each frame on its own. Where the papers and their public code differ (LayerNorm against GroupNorm), this follows
the code, so that its parameter counts and its checkpoints hold.

Shape letters: B batch, T frames in, T' frames out, L = min(T, T') frames of one block, C channels, H rows,
W columns, D = hid_S, h and w the rows and columns after downsampling.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from simvp.budget import fitting
from simvp.errors import ContractError
from simvp.networks.config import ENCODER_NORM_GROUPS, SimVPConfig
from simvp.networks.normalisation import leaky_group_norm
from simvp.networks.recompute import applied, first, joined
from simvp.networks.translators import AttentionStack, GatedAttention, InceptionUNet, TemporalAttention

# Where no gradient is wanted: float32 values of full-size features that encoder and decoder make at a time (what fits a
# cache takes down to half the time, and a large domain fits the memory), and of the spatial shortcut kept meanwhile.
AT_ONCE = {"cpu": fitting(4, 256), "cuda": fitting(4)}
SHORTCUTS = fitting(4, 4)
# Width from which encoder and decoder keep channels last: it saves CPUs a fifth or more, but PyTorch 2.13 normalises
# narrower maps of bfloat16 up to twenty times slower so, which made a training step of "small" 1.6 times as long.
CHANNELS_LAST = 32


class ConvBlock(nn.Module):
    """k x k convolution, normalisation, LeakyReLU; downsamples by `stride`, or upsamples by it when `up`.

    Of the paper's public code.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, *, up: bool, norm: bool) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv: nn.Module
        if up and stride > 1:
            # The output padding makes h rows 2h; a transposed convolution of stride 2 alone makes 2h - 1.
            self.conv = nn.ConvTranspose2d(c_in, c_out, kernel, stride, padding, output_padding=stride // 2)
        else:
            self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding)
        # The paper writes LayerNorm for the encoder: over whole maps its weights would be bound to one H and W.
        self.norm = nn.GroupNorm(ENCODER_NORM_GROUPS, c_out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return leaky_group_norm(applied(self.conv, x), self.norm, inplace=True)


class PixelShuffleBlock(nn.Module):
    """k x k convolution, normalisation, SiLU; upsamples by writing `stride` ** 2 channels as one of finer grid.

    Of OpenSTL, with its initial weights: normal of std 0.02 cut at 2, zero bias.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, *, up: bool, norm: bool) -> None:
        super().__init__()
        # Sub-pixel convolution (Shi et al., arXiv 1609.05158): the kernel runs over the coarse grid, a quarter of the
        # points, and no point of the fine one gets more of it than its neighbours, as after a transposed one.
        self.finer = stride if up else 1
        self.conv = nn.Conv2d(c_in, c_out * self.finer**2, kernel, 1 if up else stride, kernel // 2)
        self.norm = nn.GroupNorm(ENCODER_NORM_GROUPS, c_out) if norm else nn.Identity()
        nn.init.trunc_normal_(self.conv.weight, std=0.02)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.norm(functional.pixel_shuffle(self.conv(x), self.finer)))


class Design(NamedTuple):
    """What a variant is made of.

    Attributes
    ----------
    block
        Of encoder and decoder.
    joins
        Whether the spatial shortcut stands beside the decoder's channels; else it is added to them.
    translator
        (B, T*D, h, w) -> (B, T*D, h, w).
    """

    block: type[ConvBlock] | type[PixelShuffleBlock]
    joins: bool
    translator: Callable[[SimVPConfig], nn.Module]


DESIGNS = {
    "simvp": Design(ConvBlock, True, InceptionUNet),
    "incepu": Design(PixelShuffleBlock, False, InceptionUNet),
    "gsta": Design(PixelShuffleBlock, False, partial(AttentionStack, attention=GatedAttention)),
    "tau": Design(PixelShuffleBlock, False, partial(AttentionStack, attention=TemporalAttention)),
}


def strides(count: int) -> list[int]:
    """Strides of the encoder's blocks, 1, 2, 1, 2, ...; the decoder takes them backwards."""
    return [1 + i % 2 for i in range(count)]


class Encoder(nn.Module):
    """N_S convolution blocks on every frame; returns the last block's output and the first one's."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        block, widths = DESIGNS[config.variant].block, [config.channels_in] + [config.hid_S] * config.N_S
        self.blocks = nn.ModuleList(
            block(widths[i], widths[i + 1], config.kernel_enc, stride, up=False, norm=config.group_norm)
            for i, stride in enumerate(strides(config.N_S))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        full = x = self.blocks[0](x)  # (N, D, H, W): the first stride is 1
        for block in self.blocks[1:]:
            x = block(x)
        return x, full  # (N, D, h, w), (N, D, H, W)


class Decoder(nn.Module):
    """N_S blocks back to full size, the last with the spatial shortcut, then 1x1 to channels."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        block, joins, _ = DESIGNS[config.variant]
        hid, last = config.hid_S, config.N_S - 1
        self.shortcut, self.joins = config.spatial_shortcut, joins
        widths = [hid] * last + [2 * hid if self.shortcut and joins else hid]
        self.blocks = nn.ModuleList(
            block(widths[i], hid, config.kernel_dec, stride, up=True, norm=config.group_norm)
            for i, stride in enumerate(reversed(strides(config.N_S)))
        )
        self.readout = nn.Conv2d(hid, config.channels_out, 1)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        for block in self.blocks[:-1]:
            x = block(x)
        # The last block alone reads maps of full size, as the encoder's first one has made them.
        if self.shortcut:
            x = joined([x, shortcut]) if self.joins else x + shortcut  # (N, 2D, H, W) or (N, D, H, W)
        return applied(self.readout, self.blocks[-1](x))


class SimVP(nn.Module):
    """SimVP of `config`: (B, T, channels_in, H, W) -> (B, T', channels_out, H, W), any H and W.

    A grid that the strides do not divide is padded inside at its lower and right edges and cropped again. The
    padding repeats the edge: it fits a grid of one row (reflection does not), and shows the network no false
    front at the edge as zeros would, and no far coast as wrapping around would.

    T' below T: the translator's first T' frames are decoded, and they equal the first T' of the uncut output.
    T' above T: each block of T predictions is the input of the next, and the last block is cut.

    Raises
    ------
    ContractError
        From `forward`, for an input that is not (B, frames_in, channels_in, H, W).
    """

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.translator = DESIGNS[config.variant].translator(config)
        self.decoder = Decoder(config)
        if config.hid_S >= CHANNELS_LAST:
            for part in (self.encoder, self.decoder):
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        config = self.config
        if x.ndim != 5 or tuple(x.shape[1:3]) != (config.frames_in, config.channels_in):
            expected = f"(B, {config.frames_in}, {config.channels_in}, H, W)"
            raise ContractError("SimVP input", [f"shape: expected {expected}, got {tuple(x.shape)}"])
        blocks = [self._block(x)]
        for _ in range(config.frames_in, config.frames_out, config.frames_in):
            blocks.append(self._block(blocks[-1]))
        return torch.cat(blocks, dim=1)[:, : config.frames_out]  # (B, T', C, H, W)

    def _block(self, x: Tensor) -> Tensor:
        B, T, _, H, W = x.shape
        L = min(T, self.config.frames_out)
        multiple = self.config.downsampling
        x = x.transpose(0, 1).flatten(0, 1)  # (T*B, C, H, W), so that the frames which nobody decodes come last
        if H % multiple or W % multiple:
            x = functional.pad(x, (0, -W % multiple, 0, -H % multiple), mode="replicate")

        parts = self._parts(x)
        x, shortcuts = self._encode(parts, L * B)  # (T*B, D, h, w)
        D, h, w = x.shape[1:]
        x = x.unflatten(0, (T, B)).transpose(0, 1).reshape(B, T * D, h, w)
        x = self.translator(x)  # (B, T*D, h, w)
        x = x.unflatten(1, (T, D))[:, :L].transpose(0, 1).reshape(L * B, D, h, w)
        y = self._decode(x, parts, shortcuts)[..., :H, :W]  # (L*B, C, H, W)
        return y.unflatten(0, (L, B)).transpose(0, 1)  # (B, L, C, H, W)

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        """The frames (N, C, H, W) in parts of equal size that encoder and decoder take one by one."""
        most = AT_ONCE.get(x.device.type, AT_ONCE["cuda"])
        return x.chunk(1 if torch.is_grad_enabled() else ceil(self.config.hid_S * x[:, 0].numel() / most))

    def _encode(self, parts: Sequence[Tensor], decoded: int) -> tuple[Tensor, list[Tensor]]:
        """What the translator reads, (N, D, h, w), and the shortcuts of the first `decoded` frames, part by part.

        No shortcuts where they would fill the memory.
        """
        values = decoded * self.config.hid_S * parts[0][0, 0].numel()
        if not torch.is_grad_enabled() and values > SHORTCUTS:
            return torch.cat([self.encoder(part)[0] for part in parts]), []
        latent, shortcuts = zip(*(self.encoder(part) for part in parts), strict=True)
        return torch.cat(latent), list(shortcuts)

    def _decode(self, x: Tensor, parts: Sequence[Tensor], shortcuts: list[Tensor]) -> Tensor:
        """Frames (M, C, H, W) of the first M = len(x) encoded ones, whose shortcuts are recomputed if not kept."""
        frames = []
        for number, part in enumerate(x.split(len(parts[0]))):
            shortcut = shortcuts[number] if shortcuts else self.encoder.blocks[0](parts[number])
            frames.append(self.decoder(part, first(shortcut, len(part))))
        return torch.cat(frames)
