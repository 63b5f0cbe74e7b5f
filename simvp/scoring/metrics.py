"""Metrics of video prediction, each under a name that says what it is.

Frames are (B, T', C, H, W). `mse` and `mae` are means over every element: a constant error scores the same on every
grid. `mse_per_frame` and `mae_per_frame` are what the papers print under the names MSE and MAE: sums over C, H and W,
averaged over samples and frames, so that they grow with the grid. `ssim` is the usual structural similarity; only
`ssim_paper` may stand beside published rows, and `psnr_paper` beside what SimVP's own code printed. Errors are taken as
they are; the similarities and the two ratios are of pictures, and see the prediction clipped to the data range, as in
the public codes (A4Bio/SimVP, chengtan9907/OpenSTL); the truth is never clipped. All arithmetic is float64, on the
tensors' device.

A data range is stated, never guessed: a number R for values in [0, R], or (low, high). NaN in a prediction makes every
score that it touches NaN. Frames smaller than the window of a similarity have none: NaN. No area weights are applied
here; `simvp.scoring.scores` does that.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from simvp.budget import fitting
from simvp.coords import horizontal_dims
from simvp.errors import ConfigError, ContractError
from simvp.scoring.map_scores import (
    GAUSSIAN,
    KINDS,
    UNIFORM,
    Range,
    absolute,
    all_kinds,
    by_map,
    decibels,
    far_outside,
    limits,
    paper_similarity,
    scaled,
    shape_faults,
    similarity,
    squared,
    wrapped,
)
from simvp.scoring.scores import align, frames_of

_RATIOS = {"psnr": ("scaled_mse", "identical"), "psnr_paper": ("wrapped_mse", "identical_paper")}
_WINDOWS = {"ssim": GAUSSIAN, "ssim_paper": UNIFORM}
_DEFINITIONS = {
    "mse": "mean squared error, over every element",
    "mae": "mean absolute error, over every element",
    "rmse": "root of the mean squared error, over every element",
    "mse_per_frame": "squared error, summed over C, H, W, averaged over samples and frames: the papers' MSE",
    "mae_per_frame": "absolute error, summed over C, H, W, averaged over samples and frames: the papers' MAE",
    "ssim": "structural similarity, Gaussian window 11 x 11, sigma 1.5, population covariance, K1 0.01, K2 0.03",
    "ssim_paper": "structural similarity as published: uniform window 7 x 7, sample covariance, K1 0.01, K2 0.03, "
    "constants for twice the data range",
    "psnr": "peak signal-to-noise ratio in dB, of each frame, averaged over the frames with an error",
    "psnr_paper": "peak signal-to-noise ratio as SimVP's code prints it: differences of 256 levels squared in 8 bits, "
    "where they wrap around, which flatters large errors; averaged over the frames that differ so",
    "identical": "frames without any error on the data range: their ratio is infinite, and they are left out of psnr",
    "identical_paper": "frames without any error that 8 bits show, which are left out of psnr_paper",
}


def mse(predicted: Tensor, truth: Tensor) -> float:
    """Mean squared error over every element of (B, T', C, H, W)."""
    return float(by_map(squared, predicted, truth).mean())


def mae(predicted: Tensor, truth: Tensor) -> float:
    """Mean absolute error over every element of (B, T', C, H, W)."""
    return float(by_map(absolute, predicted, truth).mean())


def mse_per_frame(predicted: Tensor, truth: Tensor) -> float:
    """The papers' "MSE": squared error summed over C, H and W, averaged over samples and frames."""
    return mse(predicted, truth) * math.prod(truth.shape[2:])


def mae_per_frame(predicted: Tensor, truth: Tensor) -> float:
    """The papers' "MAE": absolute error summed over C, H and W, averaged over samples and frames."""
    return mae(predicted, truth) * math.prod(truth.shape[2:])


def ssim(predicted: Tensor, truth: Tensor, *, data_range: Range) -> float:
    """Structural similarity (pytorch-msssim): Gaussian window of 11 x 11, sigma 1.5, constants for `data_range`.

    Of every channel of every frame of (B, T', C, H, W), averaged; the mean over the positions at which the window
    lies inside the frame (Wang et al. 2004). NaN for frames smaller than the window.
    """
    low, width = limits(data_range)
    return float(by_map(lambda p, t: similarity(*scaled(p, t, low, width)), predicted, truth).mean())


def ssim_paper(predicted: Tensor, truth: Tensor, *, data_range: Range) -> float:
    """Structural similarity as both public codes compute it, the only one to set beside published rows.

    scikit-image's `structural_similarity` with its defaults, on frames of floats in [0, 1]: uniform window of 7 x 7,
    sample covariance (N - 1), K1 = 0.01, K2 = 0.03, the mean over the frame without its outermost 3 points, of every
    channel of every frame of (B, T', C, H, W), averaged. The codes state no data range; scikit-image up to 0.19 (SimVP
    asks for 0.16.2) takes floats to span [-1, 1] and sets the constants for a range of 2; from 0.20 on it refuses to
    guess. Frames of another `data_range` are brought to [0, 1] first. NaN for frames smaller than the window.
    """
    low, width = limits(data_range)
    return float(by_map(lambda p, t: paper_similarity(*scaled(p, t, low, width)), predicted, truth).mean())


def psnr(predicted: Tensor, truth: Tensor, *, data_range: Range) -> float:
    """Peak signal-to-noise ratio, dB: of each frame (mean square over C, H, W), averaged over samples and frames.

    The ratio of a frame predicted without any error is infinite. One such frame would make the average infinite,
    whatever the others are, so it is left out (`VideoScores` counts them); if all are such, the answer is infinite.
    OpenSTL's definition, but for that; for what SimVP's code prints see `psnr_paper`.
    """
    return _psnr(squared, predicted, truth, data_range)


def psnr_paper(predicted: Tensor, truth: Tensor, *, data_range: Range) -> float:
    """Peak signal-to-noise ratio in dB as SimVP's code prints it, the only one to set beside its paper's.

    Differences of 256 levels, and their squares, are taken in 8 bits, where they wrap around: an error of 16 levels
    counts as none, one of 20 as 12, and a frame that is 25 levels (20.2 dB) off everywhere gets 27.6 dB. No number of
    it compares with `psnr`, nor with OpenSTL's. Frames are averaged as in `psnr`.
    """
    return _psnr(wrapped, predicted, truth, data_range)


def _psnr(square_of: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, truth: Tensor, data_range: Range) -> float:
    low, width = limits(data_range)
    square = by_map(lambda p, t: square_of(*scaled(p, t, low, width)), predicted, truth).mean(-1).reshape(-1)
    differs = square != 0
    return float(decibels(square[differs]).mean()) if bool(differs.any()) else float("inf")


class VideoScores:
    """Scores of a whole test set, batch by batch; memory does not grow with the number of batches.

    Neither the order of the samples nor the size of the batches matters, but for the last digits of float64.

    Parameters
    ----------
    names
        Of the C channels.
    frames_out
        T'.
    data_range
        Of all channels: R for values in [0, R], or (low, high).

    Raises
    ------
    ConfigError
        No or repeated names, no frames, or a data range that is none.
    """

    def __init__(self, names: Sequence[str], frames_out: int, data_range: Range) -> None:
        reasons = [] if names else ["names: expected one or more channels, got none"]
        if len(set(names)) < len(names):
            reasons.append(f"names: expected distinct ones, got {', '.join(names)}")
        if frames_out < 1:
            reasons.append(f"frames_out: expected 1 or more, got {frames_out}")
        if reasons:
            raise ConfigError("Video scores", reasons)
        self.names, self.frames_out = tuple(names), frames_out
        self._low, self._width = limits(data_range)
        self._frame: tuple[int, int] | None = None
        self._sums: dict[str, np.ndarray] = {}  # (T', C + 1): the last column is the frame with all its channels

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add B samples.

        Parameters
        ----------
        predicted, truth
            (B, T', C, H, W), in the units of the data range.

        Raises
        ------
        ContractError
            Other shapes, no samples, or a truth that lies far outside the data range.
        """
        reasons = shape_faults(predicted, truth)
        if not reasons:
            _, frames, channels, *frame = truth.shape
            expected, got = (self.frames_out, len(self.names)), (frames, channels)
            if got != expected:
                reasons.append(f"expected {expected[0]} frames of {expected[1]} channels, got {got[0]} of {got[1]}")
            elif self._frame not in (None, tuple(frame)):
                reasons.append(f"expected frames of {self._frame} as before, got {tuple(frame)}")
            reasons += far_outside("truth", truth, self._low, self._width)
        if reasons:
            raise ContractError("Video scores", reasons)
        self._frame = (truth.shape[3], truth.shape[4])
        maps = by_map(lambda p, t: all_kinds(p, t, self._low, self._width), predicted, truth)
        # Before any logarithm: the ratio of a frame is that of its mean square, not the mean of its channels' ratios.
        values = torch.cat([maps, maps.mean(-1, keepdim=True)], -1).cpu().numpy()
        self._sums = _added(self._sums, values, np.ones(values.shape[1:], dtype=bool))

    def compute(self) -> xr.Dataset:
        """Scores of all samples so far.

        Returns
        -------
        xr.Dataset
            By (variable, lead), a channel alone: `mse`, `mae`, `rmse`, `ssim`, `ssim_paper`, `psnr`, `psnr_paper`, and
            `identical`, `identical_paper`, the numbers of maps left out of the two ratios. Scalars, as the papers
            compute them, with all channels of a frame together: `mse_per_frame`, `mae_per_frame`, and each of the
            others with the ending `_overall`. `n`: number of samples. `lead` counts from 1. Every variable
            has its `definition`; the attribute `data_range` is (low, high).

        Raises
        ------
        ContractError
            No sample was added.
        """
        if self._frame is None:
            raise ContractError("Video scores", ["expected one or more samples, got none"], "add some with `update`")
        means, whole = _means(self._sums), _means({kind: total.sum(0) for kind, total in self._sums.items()})
        fields: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        del means["n"]
        for name, values in means.items():
            fields[name] = (("variable", "lead"), values[:, :-1].T)
            fields[f"{name}_overall"] = ((), whole[name][-1])
        elements = len(self.names) * self._frame[0] * self._frame[1]
        fields |= {f"{name}_per_frame": ((), whole[name][-1] * elements) for name in ("mse", "mae")}
        fields["n"] = ((), self._sums["n"][0, 0])
        coords = {"variable": list(self.names), "lead": np.arange(1, self.frames_out + 1)}
        ds = xr.Dataset(fields, coords, {"data_range": [self._low, self._low + self._width]})
        return _described(ds, self._frame)


def overall(scores: xr.Dataset) -> dict[str, float]:
    """The overall numbers of `VideoScores.compute` by the names of the functions of this module, for a log."""
    names = ("mse", "mae", "ssim", "ssim_paper", "psnr", "psnr_paper")
    scalars = {name: float(scores[f"{name}_overall"]) for name in names}
    return scalars | {name: float(scores[name]) for name in ("mse_per_frame", "mae_per_frame")}


def video_scores(forecast: xr.Dataset, truth: xr.Dataset, *, data_range: Range | Mapping[str, Range]) -> xr.Dataset:
    """The same scores of a labelled forecast, by variable and lead; every point of a map counts alike.

    Parameters
    ----------
    forecast
        Labelled forecast, dims (init_time, lead_time, row, column) in any order.
    truth
        Canonical Dataset (time, row, column), found by valid time on the forecast's grid as in `simvp.scoring.compare`.
    data_range
        Of all variables, or of each by name: R for values in [0, R], or (low, high), in the variable's units.

    Returns
    -------
    xr.Dataset
        Dims (variable, lead_time): `mse`, `mae`, `rmse`, `ssim`, `ssim_paper`, `psnr`, `psnr_paper`, `identical`,
        `identical_paper`, and `n`, the number of maps. A map whose truth is missing, be it at one point, is left out;
        NaN where n is 0. Coordinate `units` on the variables, of which `mae` and `rmse` are, and `data_low`,
        `data_high`.

    Raises
    ------
    Refusal
        As `simvp.scoring.scores.errors`; variables without a data range, or a truth far outside it.
    """
    names = [str(name) for name in forecast.data_vars]
    ranges = _ranges(names, data_range)
    truth, positions = align(forecast, truth)
    dims = horizontal_dims(forecast)
    frame = (forecast.sizes[dims[0]], forecast.sizes[dims[1]])
    inits, leads = positions.shape
    sums: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    size = fitting(4 * leads * frame[0] * frame[1], 64)
    for name in names:
        field = forecast[name].transpose("init_time", "lead_time", *dims)
        for start in range(0, inits, size):
            part = positions[start : start + size]
            observed = frames_of(truth[name], part, np.float64)
            used = np.isfinite(observed).all((-2, -1))
            reasons = far_outside(name, torch.from_numpy(observed), *ranges[name])
            if reasons:
                raise ContractError("Video scores", reasons)
            predicted = field.isel(init_time=slice(start, start + size)).values
            sums[name] = _added(sums[name], _scores_where(used, predicted, observed, *ranges[name]), used)
    means = [_means(sums[name]) for name in names]
    fields = {kind: (("variable", "lead_time"), np.stack([one[kind] for one in means])) for kind in means[0]}
    low, width = np.array([ranges[name] for name in names]).T
    coords = {
        "variable": names,
        "units": ("variable", [str(forecast[name].attrs.get("units", "")) for name in names]),
        "data_low": ("variable", low),
        "data_high": ("variable", low + width),
        "lead_time": forecast["lead_time"].variable,
    }
    return _described(xr.Dataset(fields, coords), frame)


def _added(sums: Mapping[str, np.ndarray], values: np.ndarray, used: np.ndarray) -> dict[str, np.ndarray]:
    """Sums of the scores of maps (float64), how many went into each, and how many of these are identical: S each.

    To `sums`, which may be empty, come the values (kinds, B, *S), in the order of `KINDS`, where `used` (B, *S).
    """
    scores = dict(zip(KINDS, values, strict=True))
    counts = {"n": used}
    for ratio, (kind, identical) in _RATIOS.items():
        square = scores.pop(kind)
        counts[identical] = same = used & (square == 0)
        scores[ratio] = decibels(torch.from_numpy(np.where(same, 1.0, square))).numpy()  # 1 has 0 dB: it adds nothing
    scores = {kind: np.where(used, score, 0.0) for kind, score in scores.items()}
    return {k: sums.get(k, 0) + v.sum(0) for k, v in {**scores, **counts}.items()}


def _means(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every score, of shape S, NaN where nothing was added; and the counts."""
    totals = dict(sums)
    n, counts = totals.pop("n"), {identical: totals.pop(identical) for _, identical in _RATIOS.values()}
    mean = {kind: np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0) for kind, total in totals.items()}
    for ratio, (_, identical) in _RATIOS.items():
        if_none = np.where(n > 0, np.inf, np.nan)
        mean[ratio] = np.divide(totals[ratio], n - counts[identical], out=if_none, where=n > counts[identical])
    return {**mean, "rmse": np.sqrt(mean["mse"]), **counts, "n": n}


def _scores_where(
    used: np.ndarray, predicted: np.ndarray, observed: np.ndarray, low: float, width: float
) -> np.ndarray:
    """(kinds, I, L): scores of the maps (I, L, H, W) where `used` (I, L), else 1."""
    scores = np.ones((len(KINDS), *used.shape))
    if used.any():
        pair = (torch.from_numpy(np.asarray(x[used], np.float64))[:, None, None] for x in (predicted, observed))
        scores[:, used] = by_map(lambda p, t: all_kinds(p, t, low, width), *pair)[..., 0, 0].numpy()
    return scores


def _ranges(names: Sequence[str], data_range: Range | Mapping[str, Range]) -> dict[str, tuple[float, float]]:
    """Low end and width by variable."""
    if not isinstance(data_range, Mapping):
        return dict.fromkeys(names, limits(data_range))
    listed = ", ".join(map(str, data_range)) or "none"
    reasons = [f"expected one for {name}, got {listed}" for name in names if name not in data_range]
    if reasons:
        raise ConfigError("Data range", reasons, "state the range of every variable, in its units")
    return {name: limits(data_range[name]) for name in names}


def _described(ds: xr.Dataset, frame: tuple[int, int]) -> xr.Dataset:
    """`ds` with the definition of every score, and why a similarity is NaN for frames as small as these."""
    for name, values in ds.data_vars.items():
        plain = str(name).removesuffix("_overall")
        if plain in _DEFINITIONS:
            values.attrs["definition"] = _DEFINITIONS[plain]
        window = _WINDOWS.get(plain, 0)
        if min(frame) < window:
            values.attrs["undefined"] = f"frames of {frame[0]} x {frame[1]} are smaller than its window of {window}"
    return ds
