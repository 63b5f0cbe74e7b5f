"""How a training is scored while it runs: the validation windows, and the baselines on the same ones.

Where a state is learned as a logarithm, the forecast is the exponential of a mean logarithm, which lies below the mean
(Duan 1983, Journal of the American Statistical Association 78, 605-610). What it misses is fitted on the validation
windows when the training is over, `Validation.factors`: for each lead the factor a = sum f y / sum f^2 of forecasts f
and truth y, so that zero stays zero. Kept where it pays on blocks that it was not fitted on, by more than the standard
error over the blocks.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from pipelines.training.loop import Score, predictions
from pipelines.training.loss import masked_loss
from pipelines.training.network import batch_size
from pipelines.windows import Sequences
from simvp.budget import fitting
from simvp.contract import FrameSpec, filled_frames
from simvp.scoring import Baselines, compare

BATCH = 64  # windows at most that are scored at a time


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Factors of the leads of one state, and what they do on blocks that they were not fitted on.

    Parameters
    ----------
    factors
        By lead; empty where they do not pay.
    gain, error
        Share of the mean squared error that goes, on blocks left out of the fit, and its standard error over these.
    """

    factors: tuple[float, ...]
    gain: float
    error: float

    @classmethod
    def fit(cls, fy: np.ndarray, ff: np.ndarray, yy: np.ndarray) -> "Correction":
        """By the sums (blocks, leads) of the products of forecasts f and truth y over maps and their points."""
        blocks = len(fy)
        if not (ff.sum(0) > ff.max(0)).all():  # without one of the blocks, a lead has nothing to fit to
            return cls(factors=(), gain=0.0, error=0.0)
        left_out = (fy.sum(0) - fy) / (ff.sum(0) - ff)
        before = (yy - 2 * fy + ff).sum(1)
        after = (yy - 2 * left_out * fy + left_out**2 * ff).sum(1)
        gains = (before - after) / max(float(before.mean()), 1e-30)
        gain, error = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(blocks))
        factors = tuple((fy.sum(0) / ff.sum(0)).tolist()) if gain > error else ()
        return cls(factors=factors, gain=gain, error=error)


class Validation:
    """The validation windows, with the scores of the baselines on them.

    Parameters
    ----------
    windows
        That are scored.
    spec, baselines
        Both fitted on the training period, so that neither has seen what is scored.
    ds
        The archive as far as it may be looked at.
    blocks
        (N,) number of the block of each window, from 0; by default new where init times lie further apart than T'.

    Attributes
    ----------
    blocks
        As given, or found.
    judged
        (S, N, T') bool, the maps that are scored.
    """

    def __init__(
        self,
        windows: Sequences,
        spec: FrameSpec,
        baselines: Baselines,
        ds: xr.Dataset,
        blocks: np.ndarray | None = None,
    ) -> None:
        self.windows, self.spec = windows, spec
        self._inits = ds["time"].values[windows.inits]
        apart = np.diff(windows.inits, prepend=windows.inits[:1]) > spec.frames_out
        self.blocks = np.cumsum(apart) if blocks is None else blocks
        self.reference, self.judged = _reference(self._inits, spec, baselines, ds, specks=windows.specks)

    def score(self, network: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> Score:
        """Loss as in training, over all windows, and the RMSE of each state in its units, on the baselines' maps."""
        spec = self.spec
        device = next(network.parameters()).device
        weights = torch.as_tensor(spec.weights, dtype=torch.float32, device=device)
        loss, square = 0.0, np.zeros(spec.n_states)
        names, counts_of = np.unique(self.blocks, return_counts=True)
        losses = dict.fromkeys(names.tolist(), 0.0)
        for indices, predicted, target, mask in predictions(network, self.windows, batch_size(spec, BATCH), autocast):
            loss += float(masked_loss(predicted, target, mask, weights)) * len(indices)
            for block in np.unique(self.blocks[indices]).tolist():
                own = np.flatnonzero(self.blocks[indices] == block)
                part = (predicted[own], target[own], mask if mask.ndim == 3 else mask[own])
                losses[block] += float(masked_loss(*part, weights)) * len(own)
            leads = np.arange(1, spec.frames_out + 1)
            valid = spec.step.shift(self._inits[indices][:, None], leads).reshape(-1)
            pair = [part.cpu().numpy().reshape(len(valid), *part.shape[2:]) for part in (predicted, target)]
            known = mask.cpu().numpy().reshape(-1, *mask.shape[-3:])  # a map for each of the targets, or one for all
            for number, channel in enumerate(spec.state_channels):
                forecast, truth = (channel.denormalise(part[:, number], valid) for part in pair)
                counts = known[:, number] > 0
                area = spec.weights * counts
                difference = np.where(counts, forecast - truth, 0.0).astype("f8")
                with np.errstate(invalid="ignore"):  # of a target without a point, which is not judged
                    maps = (difference**2 * area).sum((1, 2)) / area.sum((1, 2))
                square[number] += maps[self.judged[number, indices].reshape(-1)].sum()
        rmse = np.sqrt(square / self.judged.sum((1, 2)))
        every = sum(losses.values())
        without = {
            block: (every - losses[block]) / (len(self.windows) - count)
            for block, count in zip(names.tolist(), counts_of.tolist(), strict=True)
            if count < len(self.windows)
        }
        rmses = dict(zip(spec.states, rmse.tolist(), strict=True))
        return Score(loss=loss / len(self.windows), rmse=rmses, without=without)

    def factors(
        self,
        network: nn.Module,
        autocast: Callable[[], AbstractContextManager[Any]],
        without: int | None = None,
    ) -> dict[str, Correction]:
        """By state, for those that are learned as a logarithm, the factors of the leads and what they gain.

        `without` is the number of a block that has no part in them.
        """
        spec, blocks = self.spec, int(self.blocks[-1]) + 1
        logarithms = [(n, channel) for n, channel in enumerate(spec.state_channels) if channel.log_scale is not None]
        if blocks < 2 or not logarithms:
            return {}
        sums = np.zeros((len(logarithms), 3, blocks, spec.frames_out))  # of f y, f f and y y, block by block
        leads = np.arange(1, spec.frames_out + 1)
        for indices, predicted, target, mask in predictions(network, self.windows, batch_size(spec, BATCH), autocast):
            valid = spec.step.shift(self._inits[indices][:, None], leads).reshape(-1)
            known = np.broadcast_to(mask.cpu().numpy() > 0, target.shape)
            for row, (number, channel) in enumerate(logarithms):
                f, y = (
                    channel.denormalise(part[:, :, number].cpu().numpy().reshape(-1, *spec.shape), valid).astype("f8")
                    for part in (predicted, target)
                )
                area = spec.weights * known[:, :, number].reshape(-1, *spec.shape)
                f, y = (np.where(area > 0, part, 0.0) for part in (f, y))
                maps = [
                    (one * other * area).sum((1, 2)).reshape(-1, len(leads)) for one, other in ((f, y), (f, f), (y, y))
                ]
                np.add.at(sums[row].swapaxes(0, 1), self.blocks[indices], np.stack(maps, axis=1))
        if without is not None:
            sums = np.delete(sums, without, axis=2)
        return {channel.name: Correction.fit(*sums[row]) for row, (_, channel) in enumerate(logarithms)}

    def summary(self, entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Model and best baseline side by side, by state, for one epoch of the history."""
        rows = {}
        for channel in self.spec.state_channels:
            name, value = min(self.reference[channel.name].items(), key=lambda item: item[1])
            rmse = entry[f"validation_rmse_{channel.name}"]
            rows[channel.name] = {"rmse": rmse, "best_baseline": name, "baseline_rmse": value, "units": channel.units}
            rows[channel.name]["n"] = self.counts[channel.name]
        return rows

    @property
    def counts(self) -> dict[str, int]:
        """Maps behind the scores of each state, those of the model and of the baselines alike."""
        return dict(zip(self.spec.states, self.judged.sum((1, 2)).tolist(), strict=True))

    def sample(self, network: nn.Module) -> dict[str, tuple[xr.DataArray, xr.DataArray]]:
        """Truth and forecast of the middle window, by state, each (lead_time, row, column)."""
        at = np.array([len(self.windows) // 2])
        x, y, mask = self.windows.batch(at)
        with torch.inference_mode():
            predicted = network(torch.from_numpy(x)).float().numpy()
        y = np.where(mask > 0, y, np.float32(np.nan))
        coords = self.spec.coordinates(self._inits[at], self.spec.frames_out)
        pair = [self.spec.to_dataset(values, coords).isel(init_time=0) for values in (y, predicted)]
        return {state: (pair[0][state], pair[1][state]) for state in self.spec.states}


def _reference(
    inits: np.ndarray, spec: FrameSpec, baselines: Baselines, ds: xr.Dataset, *, specks: bool
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """RMSE of the baselines by state, and the maps (S, N, L) that it is of, those of the model's too.

    A map counts where all the baselines have a score for it. One that has a score for less than half of the maps is
    left out: the frames that it looks back at are not there. `specks`: frames lack some of their points, which are
    filled for the baselines as they are for the network.
    """
    parts = []
    maps = spec.frames_out * spec.n_states * (len(baselines.names) + 1)  # of the baselines and the truth
    size = min(BATCH, fitting(4 * maps * math.prod(spec.shape), 4))
    for start in range(0, len(inits), size):
        chosen = inits[start : start + size]
        past = filled_frames(ds, spec, baselines.frame_times(chosen)) if specks else ds
        forecasts = baselines.predict(past, chosen)
        scores = compare(forecasts, ds, weights=spec.weights, weighting=spec.weighting)
        parts.append(scores["squared_error"].sel(variable=list(spec.states)).values)  # (B, S, I, L)
    squares = np.concatenate(parts, axis=2)
    known = np.isfinite(squares)
    useful = 2 * known.sum((2, 3)) >= known.sum((2, 3)).max(0)  # (B, S)
    judged = np.logical_and.reduce(known | ~useful[:, :, None, None])
    reference = {
        state: {
            name: float(np.sqrt(squares[b, s][judged[s]].mean())) for b, name in enumerate(forecasts) if useful[b, s]
        }
        for s, state in enumerate(spec.states)
    }
    return reference, judged
