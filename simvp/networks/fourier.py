"""Grouped convolution with a large kernel, as a product of Fourier transforms.

A k x k convolution multiplies k * k times per point, channel and channel; as a product of spectra that is twice per
frequency, and the price is in the transforms, those of the kernels above all, which do not grow with the batch. So it
pays for large kernels and batches: on maps of 16 x 16 an 11 x 11 kernel takes less than half the time at batch 16.

A map (h, w) is padded with zeros to (h + p, w + p), p = k // 2: what a cyclic convolution wraps around then meets
zeros, or lies outside of the map. Transforms of maps so small are products with matrices, which multiply as fast as a
processor can. Every matrix is real: `spectrum` lists real and imaginary parts one after the other.

Letters: B batch, g groups, i and o input and output channels of a group, N = h + p frequencies along columns, F = (w +
p) // 2 + 1 along rows (the others are their mirror image, since the map is real).
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# What a product of spectra costs, in multiplications of an ordinary convolution: to transform one value of a kernel's
# spectrum, and one of a map's, which takes the longer the larger the map. Fitted to times of both ways in 400 cases on
# one CPU (two cores with avx512_bf16), in both precisions: where the rule errs, it costs at most a quarter more time.
KERNEL_VALUE, MAP_VALUE, LENGTH = 120, 480, 2
AT_ONCE = 1 << 10  # samples times channels whose spectra are made at a time


def convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv` of x (B, C, h, w) by whichever is faster; an odd kernel at stride 1 that keeps h and w."""
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
    each = KERNEL_VALUE + B * (1 / i + 1 / o) * (MAP_VALUE + LENGTH * (h + w))
    return B * h * w * k**2 > (h + k // 2) * (w + k // 2) * each


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


def spectrum(x: Tensor, pair: Pair, groups: int) -> Tensor:
    """Maps (B, g * c, h, w) to (g, F, R, B, c), R rows of each frequency of the columns."""
    B, h = len(x), x.shape[2]
    z = (pair.rows @ x.permute(0, 2, 3, 1)).unflatten(3, (groups, -1)).unflatten(2, (-1, 2))  # (B, h, F, 2, g, c)
    z = z.permute(4, 2, 3, 1, 0, 5).reshape(groups, z.shape[2], 2 * h, -1)
    return (pair.columns @ z).unflatten(3, (B, -1))


def maps(z: Tensor, pair: Pair) -> Tensor:
    """Spectra (g, F, R, B, c) to maps (B, g * c, h, w) in channels_last."""
    B, F = z.shape[3], z.shape[1]
    z = (pair.columns @ z.flatten(3)).unflatten(3, (B, -1)).unflatten(2, (2, -1))  # (g, F, 2, h, B, c)
    z = z.permute(4, 3, 1, 2, 0, 5).reshape(B, z.shape[3], 2 * F, -1)
    return (pair.rows @ z).permute(0, 3, 1, 2)


def kernel_spectrum(kernel: Tensor, pair: Pair) -> Tensor:
    """Kernels (k, k, o, i), columns first, to (F * N * 2, o, i)."""
    k, _, o, i = kernel.shape
    z = (pair.rows @ kernel.view(k, -1)).view(-1, 2 * k, o * i)  # (F, 2k, o * i)
    return (pair.columns @ z).view(-1, o, i)


def kernels(z: Tensor, pair: Pair, into: Tensor) -> None:
    """Transposed `kernel_spectrum`: write (F * N * 2, o, i) as kernels (o, i, k, k)."""
    F, (_, o, i) = len(pair.rows) // 2, z.shape
    z = (pair.columns.mT @ z.view(F, -1, o * i)).view(2 * F, -1)  # (2F, k * o * i)
    into.copy_((pair.rows.mT @ z).unflatten(1, (-1, o, i)).permute(2, 3, 1, 0))


class _FourierConvolution(torch.autograd.Function):
    """Of x (B, g * i, h, w) with kernels (g * o, i, k, k), in the type of x, as many groups at a time as fit a cache.

    What is kept for the gradient of the kernels is a copy in that type, as autocast keeps one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        matrices = transforms(x.shape[2], x.shape[3], weight.shape[2], x.dtype)
        laid = weight.unflatten(0, (groups, -1)).permute(0, 4, 3, 1, 2)  # (g, k, k, o, i)
        laid = torch.empty(laid.shape, dtype=x.dtype).copy_(laid)
        ctx.save_for_backward(x, laid)
        ctx.dtype = weight.dtype
        parts = []
        with torch.autocast(x.device.type, enabled=False):
            for some, their in _together(x, laid):
                seen = _products(spectrum(some, matrices.x, len(their)))  # (g, F * N * 2, 2B, i)
                product = seen.new_empty(*seen.shape[:3], their.shape[3])
                for one, kernel, into in zip(seen, their, product, strict=True):
                    torch.bmm(one, kernel_spectrum(kernel, matrices.kernel).mT, out=into)
                parts.append(maps(_frequencies(product, matrices, len(x)), matrices.y))
        return torch.cat(parts, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, laid = ctx.saved_tensors
        groups, k, _, o, i = laid.shape
        matrices = transforms(x.shape[2], x.shape[3], k, x.dtype)
        of_input, of_output = (Pair(pair.rows.mT, pair.columns.mT) for pair in (matrices.x, matrices.y))
        of_x, of_weight = [], torch.empty(groups * o, k, k, i, dtype=ctx.dtype).permute(0, 3, 1, 2)  # channels_last
        of_groups = iter(of_weight.chunk(groups))
        for (some, their), (back, _) in zip(_together(x, laid), _together(gradient, laid), strict=True):
            wanted = _products(spectrum(back, of_output, len(their)))  # (g, F * N * 2, 2B, o)
            seen = _products(spectrum(some, matrices.x, len(their)))  # (g, F * N * 2, 2B, i)
            for one, other, kernel in zip(seen, wanted, their, strict=True):
                kernels(other.mT @ one, matrices.kernel, next(of_groups))
                torch.bmm(other, kernel_spectrum(kernel, matrices.kernel), out=one)
            of_x.append(maps(_frequencies(seen, matrices, len(x)), of_input))
        return torch.cat(of_x, dim=1), of_weight, None


def _together(x: Tensor, laid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Maps (B, g * c, h, w) and kernels (g, k, k, o, i), some groups at a time."""
    groups, most = len(laid), max(1, AT_ONCE // (len(x) * max(laid.shape[3:])))
    # A divisor of the groups, so that maps and kernels are cut between the same ones.
    count = next(n for n in range(1, groups + 1) if groups % n == 0 and groups // n <= most)
    return zip(x.chunk(count, 1), laid.chunk(count), strict=True)


def _products(z: Tensor) -> Tensor:
    """Spectra (g, F, 4N, B, c) as matrices (g, F * N * 2, 2B, c): one for each frequency and part of the kernel."""
    return z.view(len(z), -1, 2 * z.shape[3], z.shape[4])


def _frequencies(z: Tensor, matrices: Transforms, batch: int) -> Tensor:
    """What `_products` does, undone."""
    return z.view(len(z), len(matrices.x.rows) // 2, -1, batch, z.shape[3])
