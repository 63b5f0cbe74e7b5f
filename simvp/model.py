"""The SimVP network: convolutions only, from T frames to T' frames.

Gao, Tan, Wu, Li: "SimVP: Simpler yet Better Video Prediction", CVPR 2022 (arXiv 2206.05099). An encoder sees
each frame on its own, a translator sees all frames at once with time folded into channels, a decoder writes
each frame on its own. Where the paper and its public code differ (LayerNorm against GroupNorm), this follows
the code, so that its parameter counts and its checkpoints hold.

Shape letters: B batch, T frames in, T' frames out, L = min(T, T') frames of one block, C channels, H rows,
W columns, D = hid_S, h and w the rows and columns after downsampling.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simvp.errors import ConfigError, ContractError

ENCODER_NORM_GROUPS = 2  # of the public code; the paper does not say
LEAK = 0.2


@dataclass(frozen=True, kw_only=True)
class SimVPConfig:
    """Sizes and switches of :class:`SimVP`. The defaults are those of the public code on Moving MNIST.

    Parameters
    ----------
    frames_in, frames_out
        T and T'. T' below T is cut, T' above T is rolled out in blocks of T.
    channels_in, channels_out
        Channels of an input and of an output frame. They may differ unless the forecast is rolled out.
    hid_S, hid_T
        Width of encoder and decoder, and of the translator.
    N_S, N_T
        Blocks of the encoder (and of the decoder), and translator blocks down (and up). N_S blocks downsample
        by ``2 ** (N_S // 2)``.
    groups
        Groups of the translator's convolutions and of their normalisation; a block whose squeezed width
        ``hid_T // 2`` is not divisible by it uses one group, as the public code does.
    kernels
        Kernel sizes of the parallel branches of a translator block, odd.
    spatial_shortcut
        Ablation 1 of the paper: the encoder's first block reaches the decoder's last one.
    temporal_shortcuts
        Ablation 1: the U-Net shortcuts inside the translator.
    group_norm, group_conv
        Ablation 2: normalisation after every convolution block; grouped instead of full convolutions.

    Raises
    ------
    ConfigError
        With every value that is out of range.
    """

    frames_in: int = 10
    frames_out: int = 10
    channels_in: int = 1
    channels_out: int = 1
    hid_S: int = 64  # noqa: N815  the paper's name
    hid_T: int = 256  # noqa: N815
    N_S: int = 4
    N_T: int = 8
    groups: int = 8
    kernels: tuple[int, ...] = (3, 5, 7, 11)
    spatial_shortcut: bool = True
    temporal_shortcuts: bool = True
    group_norm: bool = True
    group_conv: bool = True

    def __post_init__(self) -> None:
        reasons = _wrong_types(self)
        if not reasons:
            reasons = self._out_of_range()
        if reasons:
            raise ConfigError("SimVP sizes", reasons, "change the named sizes")

    def _out_of_range(self) -> list[str]:
        counts = ("frames_in", "frames_out", "channels_in", "channels_out", "N_S", "N_T", "groups")
        reasons = [f"{n}: expected 1 or more, got {getattr(self, n)}" for n in counts if getattr(self, n) < 1]
        if self.hid_S < 1 or (self.group_norm and self.hid_S % ENCODER_NORM_GROUPS):
            reasons.append(f"hid_S: expected a multiple of {ENCODER_NORM_GROUPS}, got {self.hid_S}")
        if self.hid_T < 2 or self.hid_T % 2:
            reasons.append(f"hid_T: expected an even number of 2 or more, got {self.hid_T}")
        if not self.kernels or any(k < 1 or k % 2 == 0 for k in self.kernels):
            reasons.append(f"kernels: expected one or more odd sizes, got {self.kernels}")
        if self.frames_out > self.frames_in and self.channels_in != self.channels_out:
            reasons.append(
                f"frames_out {self.frames_out} is more than frames_in {self.frames_in}, so that the output "
                f"becomes input: expected channels_out equal to channels_in {self.channels_in}, "
                f"got {self.channels_out}"
            )
        width = self.frames_in * self.hid_S
        if not reasons and (self.group_conv or self.group_norm) and width % self.block_groups:
            reasons.append(
                f"groups: expected a divisor of frames_in * hid_S = {self.frames_in} * {self.hid_S} = "
                f"{width}, got {self.groups}"
            )
        return reasons

    @property
    def block_groups(self) -> int:
        """Groups of the translator's blocks: `groups`, or 1 where their squeezed width is not divisible."""
        return self.groups if (self.hid_T // 2) % self.groups == 0 else 1

    @property
    def downsampling(self) -> int:
        """Rows and columns of the input per row and column inside the translator."""
        return 2 ** (self.N_S // 2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` gives the equal config back."""
        return asdict(self) | {"kernels": list(self.kernels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SimVPConfig":
        """Config of plain values; a key left out takes its default, an unknown one raises ConfigError."""
        refuse_unknown_keys("SimVP sizes", cls, values)
        kernels = values.get("kernels", cls.kernels)
        return cls(**{**values, "kernels": tuple(kernels) if isinstance(kernels, list) else kernels})


def refuse_unknown_keys(subject: str, record: type, values: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming every key of `values` that is no field of the dataclass `record`."""
    known = [field.name for field in fields(record)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        reasons = [f"unknown key {key!r}" for key in unknown]
        raise ConfigError(subject, reasons, f"use {', '.join(known)}")


def _wrong_types(config: SimVPConfig) -> list[str]:
    """Fields that are not of their declared type: a width of 8.0 or "8" is a slip, and True is no count."""
    reasons = []
    for field in fields(config):
        value, default = getattr(config, field.name), field.default
        if type(value) is not type(default):
            expected = type(default).__name__
            reasons.append(f"{field.name}: expected {expected}, got {value!r} ({type(value).__name__})")
        elif isinstance(value, tuple) and any(type(item) is not int for item in value):
            reasons.append(f"{field.name}: expected whole numbers, got {value!r}")
    return reasons


class ConvBlock(nn.Module):
    """3x3 convolution, normalisation, LeakyReLU; downsamples by `stride`, or upsamples by it when `up`."""

    def __init__(self, c_in: int, c_out: int, stride: int, *, up: bool, norm: bool) -> None:
        super().__init__()
        self.conv: nn.Module
        if up and stride > 1:
            self.conv = nn.ConvTranspose2d(c_in, c_out, 3, stride, padding=1, output_padding=stride // 2)
        else:
            self.conv = nn.Conv2d(c_in, c_out, 3, stride, padding=1)
        self.norm = nn.GroupNorm(ENCODER_NORM_GROUPS, c_out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), LEAK, inplace=True)


class Branch(nn.Module):
    """Grouped k x k convolution, normalisation, LeakyReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, config: SimVPConfig) -> None:
        super().__init__()
        groups = config.block_groups if config.group_conv else 1
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups)
        self.norm = nn.GroupNorm(config.block_groups, c_out) if config.group_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), LEAK, inplace=True)


class Inception(nn.Module):
    """1x1 convolution to half the translator's width, then one branch per kernel size, summed."""

    def __init__(self, c_in: int, c_out: int, config: SimVPConfig) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, config.hid_T // 2, 1)
        self.branches = nn.ModuleList(Branch(config.hid_T // 2, c_out, k, config) for k in config.kernels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        y = self.branches[0](x)
        for branch in self.branches[1:]:
            y = y + branch(x)
        return y


def strides(count: int) -> list[int]:
    """Strides of the encoder's blocks, 1, 2, 1, 2, ...; the decoder takes them backwards."""
    return [1 + i % 2 for i in range(count)]


class Encoder(nn.Module):
    """N_S convolution blocks on every frame; returns the last block's output and the first one's."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        widths = [config.channels_in] + [config.hid_S] * config.N_S
        self.blocks = nn.ModuleList(
            ConvBlock(widths[i], widths[i + 1], stride, up=False, norm=config.group_norm)
            for i, stride in enumerate(strides(config.N_S))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = x = self.blocks[0](x)
        for block in self.blocks[1:]:
            x = block(x)
        return x, first


class Translator(nn.Module):
    """N_T Inception blocks down and N_T up; each one up, but the first, also takes its mirror image."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        width, hid, count = config.frames_in * config.hid_S, config.hid_T, config.N_T
        joined = 2 * hid if config.temporal_shortcuts else hid
        self.shortcuts = config.temporal_shortcuts
        self.down = nn.ModuleList(Inception(width if i == 0 else hid, hid, config) for i in range(count))
        self.up = nn.ModuleList(
            Inception(hid if i == 0 else joined, width if i == count - 1 else hid, config) for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
        x = self.up[0](kept.pop())
        for block in self.up[1:]:
            x = block(torch.cat([x, kept.pop()], dim=1) if self.shortcuts else x)
        return x


class Decoder(nn.Module):
    """N_S blocks back to full size, the last with the spatial shortcut beside it, then 1x1 to channels."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        hid = config.hid_S
        joined = 2 * hid if config.spatial_shortcut else hid
        self.shortcut = config.spatial_shortcut
        self.blocks = nn.ModuleList(
            ConvBlock(joined if i == config.N_S - 1 else hid, hid, stride, up=True, norm=config.group_norm)
            for i, stride in enumerate(reversed(strides(config.N_S)))
        )
        self.readout = nn.Conv2d(hid, config.channels_out, 1)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        for block in self.blocks[:-1]:
            x = block(x)
        return self.readout(self.blocks[-1](torch.cat([x, shortcut], dim=1) if self.shortcut else x))


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
        self.translator = Translator(config)
        self.decoder = Decoder(config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # four times as fast on CPUs

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
        B, T, C, H, W = x.shape
        L = min(T, self.config.frames_out)
        multiple = self.config.downsampling
        x = x.reshape(B * T, C, H, W)  # (B*T, C, H, W)
        if H % multiple or W % multiple:
            x = functional.pad(x, (0, -W % multiple, 0, -H % multiple), mode="replicate")

        x, shortcut = self.encoder(x)  # (B*T, D, h, w), (B*T, D, H, W)
        D, h, w = x.shape[1:]
        x = self.translator(x.reshape(B, T * D, h, w))  # (B, T*D, h, w)
        x = x[:, : L * D].reshape(B * L, D, h, w)  # (B*L, D, h, w)
        shortcut = shortcut.unflatten(0, (B, T))[:, :L].flatten(0, 1)  # (B*L, D, H, W)
        y = self.decoder(x, shortcut)[..., :H, :W]  # (B*L, C, H, W)
        return y.unflatten(0, (B, L))  # (B, L, C, H, W)
