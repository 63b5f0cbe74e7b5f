"""What stands between encoder and decoder: all frames at once, time folded into channels.

Every translator is (B, T*D, h, w) -> (B, T*D, h, w). `InceptionUNet` is that of SimVP (arXiv 2206.05099) and of
OpenSTL's "IncepU"; `AttentionStack` is that of OpenSTL's "gSTA" (SimVPv2, arXiv 2211.12509) and "TAU" (arXiv
2206.12126), which differ in the attention alone.

Shape letters: B batch, T frames in, D = hid_S, h and w rows and columns after downsampling, E width of a block
(T*D or hid_T), M width inside an MLP.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from simvp.draws import drawn
from simvp.networks.config import SimVPConfig
from simvp.networks.fourier import convolved
from simvp.networks.normalisation import leaky_group_norm
from simvp.networks.recompute import applied, joined

# Of a new block's two residuals, as in the public code: it is nearly the identity (Touvron et al., arXiv 2103.17239).
LAYER_SCALE = 1e-2
FIRST_DROP = 1e-2  # chance of the first block, where there is any, as in the public code


class InceptionUNet(nn.Module):
    """N_T Inception blocks down and N_T up; each one up, but the first, also takes its mirror image."""

    def __init__(self, config: SimVPConfig) -> None:
        super().__init__()
        width, hid, others = config.frames_in * config.hid_S, config.hid_T, config.N_T - 1
        self.shortcuts = config.temporal_shortcuts
        # The innermost block down leads straight into the first one up: only the others have a mirror image to take.
        widths_in, widths_out = [hid, *[2 * hid if self.shortcuts else hid] * others], [*[hid] * others, width]
        self.down = nn.ModuleList(Inception(c_in, hid, config) for c_in in [width, *[hid] * others])
        self.up = nn.ModuleList(Inception(*ends, config) for ends in zip(widths_in, widths_out, strict=True))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)  # (B, hid_T, h, w)
            kept.append(x)
        x = self.up[0](kept.pop())
        for block in self.up[1:]:
            x = block(joined([x, kept.pop()]) if self.shortcuts else x)
        return x  # (B, T*D, h, w)


class Inception(nn.Module):
    """1x1 convolution to half the translator's width, then one branch per kernel size, summed."""

    def __init__(self, c_in: int, c_out: int, config: SimVPConfig) -> None:
        super().__init__()
        # As in Inception (Szegedy et al., arXiv 1409.4842): what large kernels cost goes with the width that they read.
        self.squeeze = nn.Conv2d(c_in, config.hid_T // 2, 1)
        self.branches = nn.ModuleList(Branch(config.hid_T // 2, c_out, k, config) for k in config.kernels)

    def forward(self, x: Tensor) -> Tensor:
        x = applied(self.squeeze, x)  # (B, hid_T / 2, h, w)
        y = self.branches[0](x)
        for branch in self.branches[1:]:
            y += branch(x)  # in place: no second sum is held
        return y


class Branch(nn.Module):
    """Grouped k x k convolution, normalisation, LeakyReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, config: SimVPConfig) -> None:
        super().__init__()
        groups = config.block_groups if config.group_conv else 1
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups)
        self.norm = nn.GroupNorm(config.block_groups, c_out) if config.group_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return leaky_group_norm(convolved(self.conv, x), self.norm)


class AttentionStack(nn.Module):
    """N_T attention blocks; the first works at the width T*D and leaves at hid_T, the last returns to T*D.

    Not in channels_last, which makes depthwise convolutions slower on CPUs by a fifth.
    """

    def __init__(self, config: SimVPConfig, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        width, steps = config.frames_in * config.hid_S, config.N_T - 1
        widths = [width, *[config.hid_T] * steps, width]
        first = min(FIRST_DROP, config.drop_path)
        drops = [first + (config.drop_path - first) * i / steps for i in range(config.N_T)]
        self.blocks = nn.ModuleList(
            AttentionBlock(widths[i], widths[i + 1], attention(widths[i]), config.mlp_ratio, drop)
            for i, drop in enumerate(drops)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x  # (B, T*D, h, w)


class AttentionBlock(nn.Module):
    """Attention, then an MLP, each after BatchNorm and added to its input by a learned share; 1x1 to the next width.

    In training each of the two is left out for a sample with the chance `drop`, and what is kept is scaled up to
    the same mean (stochastic depth).
    """

    def __init__(self, c_in: int, c_out: int, attention: nn.Module, mlp_ratio: float, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.norm1 = nn.BatchNorm2d(c_in)
        self.attention = attention
        self.scale1 = nn.Parameter(torch.full((c_in,), LAYER_SCALE))
        self.norm2 = nn.BatchNorm2d(c_in)
        self.mlp = ConvMLP(c_in, int(c_in * mlp_ratio))
        self.scale2 = nn.Parameter(torch.full((c_in,), LAYER_SCALE))
        self.reduction = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._kept(self.scale1[:, None, None] * self.attention(self.norm1(x)))  # (B, E, h, w)
        x = x + self._kept(self.scale2[:, None, None] * self.mlp(self.norm2(x)))  # (B, E, h, w)
        return self.reduction(x)

    def _kept(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return x
        # One draw for a whole sample (Huang et al., arXiv 1603.09382): the residual goes, not points of it.
        kept = drawn(len(x), lambda count: x.new_empty(count, 1, 1, 1).bernoulli_(1 - self.drop))
        return x * kept / (1 - self.drop)


class LargeKernelAttention(nn.Module, ABC):
    """The papers' kernel of 21 x 21 as two thin ones (which see 23 x 23), between two 1x1; added to the input.

    Subclasses say how what was seen around a point weighs what is there.
    """

    def __init__(self, width: int, mixed: int) -> None:
        super().__init__()
        self.proj_in = nn.Conv2d(width, width, 1)
        # K x K in two (Guo et al., arXiv 2202.09741): side 2d - 1, then K / d at every d-th point. Of K = 21 and d = 3
        # come 5 x 5 and 7 x 7: 2 + 9 points to each side, with 74 weights a channel instead of 441.
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, groups=width, dilation=3)
        self.mix = nn.Conv2d(width, mixed, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.gelu(self.proj_in(x))  # (B, E, h, w)
        seen = self.mix(self.far(self.near(y)))  # (B, mixed, h, w)
        return x + self.proj_out(self.weigh(y, seen))

    @abstractmethod
    def weigh(self, y: Tensor, seen: Tensor) -> Tensor:
        """What is made of the input y (B, E, h, w) and of what was seen (B, mixed, h, w): (B, E, h, w)."""


class GatedAttention(LargeKernelAttention):
    """gSTA: one half of what was seen, through a sigmoid, gates the other."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 2 * width)
        self.apply(init_by_fan_out)

    def weigh(self, y: Tensor, seen: Tensor) -> Tensor:
        value, gate = seen.chunk(2, dim=1)  # (B, E, h, w) each
        return torch.sigmoid(gate) * value


class TemporalAttention(LargeKernelAttention):
    """TAU: what was seen, times the input, times one share per channel that the whole map decides.

    A channel is a feature of one frame, hence the name. New weights are torch's defaults, as in the public code,
    which replaces the attention after it has initialised the block.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        squeezed = max(width // max(width // 16, 4), 1)  # as in the public code: 16 where the width allows
        self.squeeze = nn.Linear(width, squeezed, bias=False)
        self.excite = nn.Linear(squeezed, width, bias=False)

    def weigh(self, y: Tensor, seen: Tensor) -> Tensor:
        # Squeeze and excitation (Hu et al., arXiv 1709.01507) of the input, as in the public code.
        share = torch.sigmoid(self.excite(functional.relu(self.squeeze(y.mean(dim=(-2, -1))))))  # (B, E)
        return share[:, :, None, None] * seen * y


class ConvMLP(nn.Module):
    """1x1 to the width M, depthwise 3x3, GELU, 1x1 back."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(width, inner, 1)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.narrow = nn.Conv2d(inner, width, 1)
        self.apply(init_by_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(functional.gelu(self.depthwise(self.widen(x))))  # (B, M, h, w) inside


def init_by_fan_out(module: nn.Module) -> None:
    """Weights of a convolution N(0, 2 / fan_out), fan_out = k * k * out / groups; zero bias: as in the public code."""
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, sqrt(2.0 / fan_out))
        nn.init.zeros_(module.bias)
