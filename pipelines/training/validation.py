"""How a training is scored while it runs: the validation windows, and the baselines on the same ones."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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

    Attributes
    ----------
    judged
        (S, N, T') bool, the maps that are scored.
    """

    def __init__(self, windows: Sequences, spec: FrameSpec, baselines: Baselines, ds: xr.Dataset) -> None:
        self.windows, self.spec = windows, spec
        self._inits = ds["time"].values[windows.inits]
        self.reference, self.judged = _reference(self._inits, spec, baselines, ds, specks=windows.specks)

    def score(self, network: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> Score:
        """Loss as in training, over all windows, and the RMSE of each state in its units, on the baselines' maps."""
        spec = self.spec
        device = next(network.parameters()).device
        weights = torch.as_tensor(spec.weights, dtype=torch.float32, device=device)
        loss, square = 0.0, np.zeros(spec.n_states)
        for indices, predicted, target, mask in predictions(network, self.windows, batch_size(spec, BATCH), autocast):
            loss += float(masked_loss(predicted, target, mask, weights)) * len(indices)
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
        return Score(loss=loss / len(self.windows), rmse=dict(zip(spec.states, rmse.tolist(), strict=True)))

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
