"""Grouped convolution with a large kernel, as a product of Fourier transforms.

A k x k convolution multiplies k * k times per point, channel and channel; as a product of spectra that is twice per
frequency, and the price is in the transforms, those of the kernels above all, which do not grow with the batch. So it
pays for large kernels and batches: an 11 x 11 kernel on maps of 16 x 16 takes less than half the time at batch 16.

A map (h, w) is padded with zeros to (h + p, w + p), p = k // 2: what a cyclic convolution wraps around then meets
zeros, or lies outside of the map. Transforms of maps so small are products with matrices, which multiply as fast as a
processor can. Every matrix is real: `spectrum` lists real and imaginary parts one after the other.

Letters: B batch, g groups, i and o input and output channels of a group, N = h + p frequencies along columns, F = (w +
p) // 2 + 1 along rows (the others are their mirror image, since the map is real).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["convolved", "pays"]

# What a product of spectra costs, in multiplications of an ordinary convolution, as fitted to times of both on one CPU
# (two cores with avx512_bf16): to transform one value of a kernel's spectrum, one of a map's, and to make the calls for
# one group of channels.
KERNEL_VALUE, MAP_VALUE, CALLS = 130, 300, 7e7
MARGIN = 1.3  # many short calls wait longer for a second thread, where other processes want its core


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv` of x (B, C, h, w) by the faster way; an odd kernel at stride 1 that keeps h and w."""
    if not pays(conv, x):
        return conv(x)
    y: Tensor = _FourierConvolution.apply(x, conv.weight, conv.groups)
    return y if conv.bias is None else y + conv.bias.to(y.dtype)[:, None, None]


def pays(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether `conv` of x (B, C, h, w) and its gradient are made faster by way of spectra.

    Only in training: the last digits of a forecast must not depend on how many are made at once. Only on a CPU: it was
    not measured elsewhere.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return False
    B, _, h, w = x.shape
    k, i, o = conv.kernel_size[0], conv.in_channels // conv.groups, conv.out_channels // conv.groups
    values = (h + k // 2) * (w + k // 2)
    return B * h * w * k**2 > MARGIN * (values * (KERNEL_VALUE + B * MAP_VALUE / i) + CALLS / (i * o))


class Pair(NamedTuple):
    """Matrices of one transform: `rows` (2F, w) for each row of a map, `columns` for the columns of what that gives."""

    rows: Tensor
    columns: Tensor


class Transforms(NamedTuple):
    """Of input, kernel and output.

    The product of a complex number of the kernel and one of the input is the four products of their parts. In each of
    N frequencies the input's spectrum has four rows for them, (kernel's part, its own part), and the output's transform
    reads these four; the kernel's spectrum has its two parts.
    """

    x: Pair  # (2F, w), (4N, 2h)
    kernel: Pair  # (2F, k), (2N, 2k)
    y: Pair  # (w, 2F), (2h, 4N)


@lru_cache(maxsize=64)
def transforms(h: int, w: int, k: int, dtype: torch.dtype) -> Transforms:
    """The matrices for maps (h, w) and kernels (k, k)."""
    N, width = h + k // 2, w + k // 2
    F = width // 2 + 1
    taps = k // 2 - np.arange(k)  # a convolution of networks is a correlation
    mirrored = np.where((np.arange(F) == 0) | (2 * np.arange(F) == width), 1, 2)

    def rows(places: np.ndarray) -> np.ndarray:
        wave = np.exp(-2j * np.pi * np.outer(np.arange(F), places) / width)
        return np.stack([wave.real, wave.imag], axis=1).reshape(2 * F, -1)

    def columns(places: np.ndarray) -> np.ndarray:
        """(N, part of the result, part of what is transformed, places)."""
        wave = np.exp(-2j * np.pi * np.outer(np.arange(N), places) / N)
        return np.stack([np.stack([wave.real, -wave.imag], 1), np.stack([wave.imag, wave.real], 1)], 1)

    # From (kernel's part, input's part) to the parts of their product.
    product = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]]])
    from_columns = np.einsum("nrsh,rab->shnab", columns(np.arange(h)), product) / N  # the inverse is the conjugate
    from_rows = (np.repeat(mirrored, 2)[:, None] * rows(np.arange(w))).T / width
    pairs = [
        (rows(np.arange(w)), np.repeat(columns(np.arange(h))[:, None], 2, axis=1).reshape(4 * N, 2 * h)),
        (rows(taps), columns(taps).reshape(2 * N, 2 * k)),
        (from_rows, from_columns.reshape(2 * h, 4 * N)),
    ]
    return Transforms(*(Pair(*(torch.from_numpy(one).to(dtype) for one in pair)) for pair in pairs))


def spectrum(x: Tensor, pair: Pair) -> Tensor:
    """Maps (B, c, h, w) to (F, R, B, c), R rows of each frequency of the columns."""
    B, c, h, _ = x.shape
    z = (pair.rows @ x.permute(0, 2, 3, 1)).unflatten(2, (-1, 2))  # (B, h, F, 2, c)
    z = z.permute(2, 3, 1, 0, 4).reshape(z.shape[2], 2 * h, B * c)
    return (pair.columns @ z).unflatten(2, (B, c))


def maps(z: Tensor, pair: Pair) -> Tensor:
    """Spectra (F, R, B, c) to maps (B, c, h, w) in channels_last."""
    F, _, B, c = z.shape
    z = (pair.columns @ z.flatten(2)).view(F, 2, -1, B, c)  # (F, 2, h, B, c)
    z = z.permute(3, 2, 0, 1, 4).reshape(B, -1, 2 * F, c)
    return (pair.rows @ z).permute(0, 3, 1, 2)


def kernel_spectrum(weight: Tensor, pair: Pair) -> Tensor:
    """Kernels (o, i, k, k) to (F * N * 2, o, i)."""
    o, i, k, _ = weight.shape
    z = torch.empty(k, k, o, i, dtype=pair.rows.dtype).copy_(weight.permute(3, 2, 0, 1))
    z = (pair.rows @ z.view(k, -1)).view(-1, 2 * k, o * i)  # (F, 2k, o * i)
    return (pair.columns @ z).view(-1, o, i)


def kernels(z: Tensor, pair: Pair, into: Tensor) -> None:
    """Transposed `kernel_spectrum`: write (F * N * 2, o, i) as kernels (o, i, k, k)."""
    o, i, k, _ = into.shape
    F = len(pair.rows) // 2
    z = (pair.columns.mT @ z.view(F, -1, o * i)).view(2 * F, -1)  # (2F, k * o * i)
    into.copy_((pair.rows.mT @ z).view(k, k, o, i).permute(2, 3, 1, 0))


class _FourierConvolution(torch.autograd.Function):
    """Of x (B, g * i, h, w) with kernels (g * o, i, k, k), in the type of x; group by group, which fits a cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        known = transforms(x.shape[2], x.shape[3], weight.shape[2], x.dtype)
        made = []
        with torch.autocast(x.device.type, enabled=False):
            for one, kernel in zip(x.chunk(groups, 1), weight.chunk(groups), strict=True):
                seen = _products(spectrum(one, known.x))  # (F * N * 2, 2B, i)
                product = seen @ kernel_spectrum(kernel, known.kernel).mT  # (F * N * 2, 2B, o)
                made.append(maps(_frequencies(product, known, len(x)), known.y))
        return torch.cat(made, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        known = transforms(x.shape[2], x.shape[3], weight.shape[2], x.dtype)
        transposed = [Pair(pair.rows.mT, pair.columns.mT) for pair in (known.x, known.y)]
        of_x, of_weight = [], torch.empty_like(weight)
        parts = (x.chunk(ctx.groups, 1), weight.chunk(ctx.groups), gradient.chunk(ctx.groups, 1))
        for one, kernel, back, into in zip(*parts, of_weight.chunk(ctx.groups), strict=True):
            wanted = _products(spectrum(back, transposed[1]))  # (F * N * 2, 2B, o)
            kernels(wanted.mT @ _products(spectrum(one, known.x)), known.kernel, into)
            wanted = wanted @ kernel_spectrum(kernel, known.kernel)  # (F * N * 2, 2B, i)
            of_x.append(maps(_frequencies(wanted, known, len(x)), transposed[0]))
        return torch.cat(of_x, dim=1), of_weight, None


def _products(z: Tensor) -> Tensor:
    """Spectra (F, 4N, B, c) as matrices (F * N * 2, 2B, c): one for each frequency and part of the kernel."""
    return z.view(-1, 2 * z.shape[2], z.shape[3])


def _frequencies(z: Tensor, known: Transforms, batch: int) -> Tensor:
    """What `_products` does, undone."""
    return z.view(len(known.x.rows) // 2, -1, batch, z.shape[2])
