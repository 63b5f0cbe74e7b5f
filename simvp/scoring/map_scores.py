"""Scores of single maps (N, H, W) in float64, of which the metrics of video prediction are made."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from simvp.budget import fitting
from simvp.errors import ConfigError, ContractError

Range = float | tuple[float, float]
"""R for values in [0, R], or (low, high)."""

# The scaled one, on [0, 1], is what psnr is made of, once it is averaged over the channels; the wrapped, psnr_paper.
KINDS = ("mse", "mae", "scaled_mse", "wrapped_mse", "ssim", "ssim_paper")
GAUSSIAN, UNIFORM = 11, 7
"""Sides of the windows of `ssim` and of `ssim_paper`."""

_SIGMA = 1.5  # with a window of 11, as in Wang et al. (2004), IEEE Transactions on Image Processing 13, 600-612
_PAPER_RANGE = 2.0  # scikit-image takes a frame of floats to lie in [-1, 1], if nothing else is said


def by_map(score: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, truth: Tensor) -> Tensor:
    """(..., B, T', C) float64: `score` (..., N) of the pairs of maps (N, H, W), in blocks."""
    reasons = shape_faults(predicted, truth)
    if reasons:
        raise ContractError("Video scores", reasons)
    height, width = truth.shape[3:]
    size = fitting(8 * height * width, 1024)
    maps = (x.detach().reshape(-1, height, width).split(size) for x in (predicted, truth))
    with torch.inference_mode():
        scores = torch.cat([score(p.double(), t.double()) for p, t in zip(*maps, strict=True)], -1)
    return scores.reshape(*scores.shape[:-1], *truth.shape[:3])


def all_kinds(predicted: Tensor, truth: Tensor, low: float, width: float) -> Tensor:
    """(kinds, N) scores of maps (N, H, W), in the order of `KINDS`."""
    pair = scaled(predicted, truth, low, width)
    errors = (squared(predicted, truth), absolute(predicted, truth), squared(*pair), wrapped(*pair))
    return torch.stack([*errors, similarity(*pair), paper_similarity(*pair)])


def scaled(predicted: Tensor, truth: Tensor, low: float, width: float) -> tuple[Tensor, Tensor]:
    """Both on [0, 1] for the data range; the prediction clipped."""
    return ((predicted - low) / width).clamp(0.0, 1.0), (truth - low) / width


def squared(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).square().mean((-2, -1))


def absolute(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted - truth).abs().mean((-2, -1))


def wrapped(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) mean squares of maps (N, H, W) on [0, 1] as SimVP's code takes them, in units of 255 squared.

    Both in 256 levels, cut down to whole ones in float32; the difference and its square in 8 bits, where they wrap
    around: 20 levels count as 144, and 16 as none.
    """
    levels = [(255 * maps.float()).nan_to_num().long() for maps in (predicted, truth)]
    squares = ((levels[0] - levels[1]) ** 2 % 256).double().mean((-2, -1)) / 255**2
    return torch.where(predicted.isnan().any(-1).any(-1), torch.nan, squares)


def decibels(square: Tensor) -> Tensor:
    """Ratio to a peak of one, dB."""
    return -10.0 * torch.log10(square)


def similarity(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) of maps (N, H, W) on [0, 1]."""
    if min(truth.shape[1:]) < GAUSSIAN:
        return truth.new_full((len(truth),), torch.nan)
    from pytorch_msssim import ssim as gaussian_ssim

    # The package's own window is float32; its sum misses 1 by so much that bright flat parts lose 1e-5.
    offset = torch.arange(GAUSSIAN, dtype=truth.dtype, device=truth.device) - GAUSSIAN // 2
    window = torch.softmax(-(offset**2) / (2 * _SIGMA**2), 0).view(1, 1, 1, -1)
    scores: Tensor = gaussian_ssim(predicted[:, None], truth[:, None], data_range=1.0, size_average=False, win=window)
    return scores


def paper_similarity(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) of maps (N, H, W) on [0, 1]; the variances need float64."""
    if min(truth.shape[1:]) < UNIFORM:
        return truth.new_full((len(truth),), torch.nan)
    c1, c2 = (0.01 * _PAPER_RANGE) ** 2, (0.03 * _PAPER_RANGE) ** 2
    x, y = predicted, truth
    mean_x, mean_y, xx, yy, xy = _window_means(torch.stack([x, y, x * x, y * y, x * y]))
    sample = UNIFORM**2 / (UNIFORM**2 - 1)  # N / (N - 1), scikit-image's `use_sample_covariance`
    variances = sample * (xx - mean_x.square() + yy - mean_y.square())
    covariance = sample * (xy - mean_x * mean_y)
    # Equation 13 of Wang et al. (2004), with the sum of the two variances in one.
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x.square() + mean_y.square() + c1) * (variances + c2)
    return (above / below).mean((-2, -1))


def _window_means(maps: Tensor) -> Tensor:
    """Means over all windows of 7 x 7 inside maps (..., H, W): (..., H - 6, W - 6)."""
    # Along rows, then along columns: 12 additions a window, not 48. Running sums would take fewer and lose the digits
    # in which a small variance lies.
    for dim in (-1, -2):
        kept = maps.shape[dim] - UNIFORM + 1
        maps = sum((maps.narrow(dim, k, kept) for k in range(1, UNIFORM)), maps.narrow(dim, 0, kept))
    return maps / UNIFORM**2


def shape_faults(predicted: Tensor, truth: Tensor) -> list[str]:
    shapes = tuple(predicted.shape), tuple(truth.shape)
    if len(shapes[1]) != 5 or shapes[0] != shapes[1]:
        return [f"expected prediction and truth of one shape (B, T', C, H, W), got {shapes[0]} and {shapes[1]}"]
    return [] if truth.numel() else [f"expected one or more samples, got {shapes[1]}"]


def limits(data_range: Range) -> tuple[float, float]:
    """Low end and width of a data range."""
    low, high = (0.0, data_range) if not isinstance(data_range, tuple | list) else data_range
    low, width = float(low), float(high) - float(low)
    if not (np.isfinite(low) and np.isfinite(width) and width > 0):
        raise ConfigError(
            "Data range", [f"expected R > 0 for values in [0, R], or (low, high) with low < high, got {data_range}"]
        )
    return low, width


def far_outside(name: str, truth: Tensor, low: float, width: float) -> list[str]:
    """A reason to refuse, if values lie outside the data range by more than half of its width; NaN does not count."""
    off = (truth < low - width / 2) | (truth > low + 1.5 * width)
    if not bool(off.any()):
        return []
    values = truth[off]
    return [
        f"{name}: expected values in the data range {low:g} .. {low + width:g}, got {int(off.sum())} of "
        f"{truth.numel()} far outside, from {float(values.min()):g} to {float(values.max()):g}"
    ]
