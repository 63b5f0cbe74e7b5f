"""Sizes and switches of the SimVP family, and which of them a variant reads."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from simvp.errors import ConfigError
from simvp.settings import Settings

Variant = Literal["simvp", "incepu", "gsta", "tau"]

ENCODER_NORM_GROUPS = 2  # of the public code; the paper does not say
INCEPTION = ("simvp", "incepu")  # the variants of an Inception U-Net; the others stack attention blocks
FURTHEST = 10_000  # T and T': 14 months of hours; longer forecasts are rolled out
# Sizes beyond which no machine has the memory, or no network was ever built; larger ones are slips, or bombs.
MOST = {
    **dict.fromkeys(("frames_in", "frames_out"), FURTHEST),
    **dict.fromkeys(("channels_in", "channels_out", "hid_S", "hid_T", "groups"), 1 << 16),
    **{"N_S": 32, "N_T": 256, "kernel_enc": 1023, "kernel_dec": 1023},
}
BRANCHES = 16  # kernels of a translator's block
UNREAD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(INCEPTION, ("mlp_ratio", "drop_path")),
    **dict.fromkeys(("gsta", "tau"), ("groups", "kernels", "temporal_shortcuts", "group_conv")),
}


class Sizes(Settings):
    """Base of the sizes of a network: of the stated types, since a width of 8.0 or "8" is a slip, and True no count."""

    model_config = ConfigDict(strict=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` gives the equal config back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Config of plain values; a key left out takes its default, an unknown one raises ConfigError."""
        return cls(**values)


class SimVPConfig(Sizes):
    """Sizes and switches of :class:`simvp.SimVP`. The defaults are those of the public code on Moving MNIST.

    Parameters
    ----------
    frames_in, frames_out
        T and T'. T' below T is cut, T' above T is rolled out in blocks of T.
    channels_in, channels_out
        Channels of an input and of an output frame. They may differ unless the forecast is rolled out.
    hid_S, hid_T
        Width of encoder and decoder, and of the translator.
    N_S, N_T
        Blocks of the encoder (and of the decoder), which downsample by ``2 ** (N_S // 2)``; blocks of the
        translator: down (and up) in the U-Net, in all (2 or more) for ``gsta`` and ``tau``.
    groups
        Groups of the translator's convolutions and of their normalisation; a block whose squeezed width
        ``hid_T // 2`` is not divisible by it uses one group, as the public code does. Not for ``gsta``, ``tau``.
    kernels
        Kernel sizes of the parallel branches of a translator block, odd. Not for ``gsta``, ``tau``.
    spatial_shortcut
        Ablation 1 of the paper: the encoder's first block reaches the decoder's last one.
    temporal_shortcuts
        Ablation 1: the U-Net shortcuts inside the translator. Not for ``gsta``, ``tau``.
    group_norm
        Ablation 2: normalisation after every convolution block. ``gsta`` and ``tau`` normalise their translator's
        blocks by batches, always.
    group_conv
        Ablation 2: grouped instead of full convolutions in the translator. Not for ``gsta``, ``tau``.
    variant
        ``simvp``: the network of the paper's public code. ``incepu``, ``gsta``, ``tau``: those of OpenSTL, with the
        same Inception U-Net, gated attention (SimVPv2) or the temporal attention unit between encoder and decoder.
    kernel_enc, kernel_dec
        Kernel sizes of encoder and decoder, odd.
    mlp_ratio
        Width inside a translator block's MLP over the block's width. For ``gsta``, ``tau``.
    drop_path
        Chance, 0 or more and below 1, that the last translator block is left out for a sample in training; it
        rises linearly over the blocks from 0.01 as in the public code, and 0 leaves out none. For ``gsta``, ``tau``.

    Raises
    ------
    ConfigError
        With every value that is out of range, and every one that the variant does not read and that is not left at
        its default.
    """

    subject: ClassVar[str] = "SimVP sizes"

    frames_in: int = 10
    frames_out: int = 10
    channels_in: int = 1
    channels_out: int = 1
    hid_S: int = 64  # noqa: N815  the paper's name
    hid_T: int = 256  # noqa: N815
    N_S: int = 4
    N_T: int = 8
    groups: int = 8  # of the public code's model; its main.py declares 4 and never passes it on
    kernels: tuple[int, ...] = Field(default=(3, 5, 7, 11), strict=False)  # a list in JSON
    spatial_shortcut: bool = True
    temporal_shortcuts: bool = True
    group_norm: bool = True
    group_conv: bool = True
    variant: Variant = "simvp"
    kernel_enc: int = 3
    kernel_dec: int = 3
    mlp_ratio: float | int = 8.0  # a whole number stays one, in saved models too
    drop_path: float = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        defaults = {name: type(self).model_fields[name].default for name in UNREAD[self.variant]}
        unread = [
            f"{name}: variant {self.variant} does not read it: expected {default}, got {getattr(self, name)}"
            for name, default in defaults.items()
            if getattr(self, name) != default
        ]
        if reasons := unread + self._out_of_range():
            raise ConfigError(self.subject, reasons)
        return self

    def _out_of_range(self) -> list[str]:
        inception = self.variant in INCEPTION
        least = dict.fromkeys(("frames_in", "frames_out", "channels_in", "channels_out", "N_S", "N_T", "groups"), 1)
        if not inception:
            least |= {"N_T": 2, "hid_T": 1}
        values = {name: getattr(self, name) for name in least}
        reasons = [f"{n}: expected {least[n]} or more, got {value}" for n, value in values.items() if value < least[n]]
        reasons += [
            f"{n}: expected {m} or less, got {getattr(self, n)}" for n, m in MOST.items() if getattr(self, n) > m
        ]
        if len(self.kernels) > BRANCHES or max(self.kernels, default=1) > MOST["kernel_enc"]:
            wanted = f"{BRANCHES} kernels or fewer, of {MOST['kernel_enc']} or less"
            reasons.append(f"kernels: expected {wanted}, got {len(self.kernels)} of up to {max(self.kernels)}")
        if self.hid_S < 1 or (self.group_norm and self.hid_S % ENCODER_NORM_GROUPS):
            reasons.append(f"hid_S: expected a multiple of {ENCODER_NORM_GROUPS}, got {self.hid_S}")
        if inception and (self.hid_T < 2 or self.hid_T % 2):
            reasons.append(f"hid_T: expected an even number of 2 or more, got {self.hid_T}")
        if not self.kernels or any(k < 1 or k % 2 == 0 for k in self.kernels):
            reasons.append(f"kernels: expected one or more odd sizes, got {self.kernels}")
        kernels = {"kernel_enc": self.kernel_enc, "kernel_dec": self.kernel_dec}
        reasons += [f"{n}: expected an odd size, got {k}" for n, k in kernels.items() if k < 1 or k % 2 == 0]
        if not 0 <= self.drop_path < 1:
            reasons.append(f"drop_path: expected 0 or more and below 1, got {self.drop_path}")
        if self.frames_out > self.frames_in and self.channels_in != self.channels_out:
            reasons.append(
                f"frames_out {self.frames_out} is more than frames_in {self.frames_in}, so that the output becomes "
                f"input: expected channels_out equal to channels_in {self.channels_in}, got {self.channels_out}"
            )
        width = self.frames_in * self.hid_S  # of the translator's ends, time folded into channels
        if not isfinite(self.mlp_ratio) or int(max(min(width, self.hid_T), 1) * self.mlp_ratio) < 1:
            reasons.append(f"mlp_ratio: expected 1 or more channels inside the MLP, got a ratio of {self.mlp_ratio}")
        # The U-Net's last block returns to T * hid_S channels, in as many groups.
        if not reasons and inception and (self.group_conv or self.group_norm) and width % self.block_groups:
            product = f"{self.frames_in} * {self.hid_S} = {width}"
            reasons.append(f"groups: expected a divisor of frames_in * hid_S = {product}, got {self.groups}")
        return reasons

    @property
    def block_groups(self) -> int:
        """Groups of the U-Net's blocks: `groups`, or 1 where their squeezed width is not divisible."""
        return self.groups if (self.hid_T // 2) % self.groups == 0 else 1

    @property
    def downsampling(self) -> int:
        """Rows and columns of the input per row and column inside the translator."""
        return 2 ** (self.N_S // 2)
