"""Errors from which a model knows how sure it is: of forecasts of each validation block, chosen by the other blocks.

A validation block has a part in the epoch that is kept, in the factors of logarithms, in how much the network corrects,
and in the weights that the mixture begins with and how fast they follow. Errors on it are therefore smaller than those
to come. Here each block is forecast by what all the other blocks alone would have chosen of all that; the base forecast
and the baselines were fitted on the training pieces. So nothing in a forecast has seen the truth that it is compared
with, nor been chosen by it. What is left out of that is the model that is saved: its choices are those of all blocks,
and its base has the blocks in its fit, so that it is rather a little better than these errors say.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import xarray as xr

from pipelines.progress import Progress, silent
from pipelines.training.combination import BATCH, choose_without, validation_grams
from simvp.budget import fitting
from simvp.contract import FrameSpec
from simvp.inference import Forecaster, Replay, truth_maps
from simvp.uncertainty import Errors, activity

Choice = tuple[int | tuple[float, ...], ...]
Grams = tuple[tuple[str, ...], np.ndarray]


def choice(spec: FrameSpec, epoch: int) -> Choice:
    """What a model was chosen to be: its epoch, and the factors of its logarithms."""
    return (epoch, *(channel.factors for channel in spec.state_channels))


def left_out_errors(
    chosen_without: Callable[[int], Forecaster],
    epochs: Mapping[int, int],
    ds: xr.Dataset,
    init_times: np.ndarray,
    blocks: np.ndarray,
    *,
    known: Mapping[Choice, Grams] = MappingProxyType({}),
    mixed: bool = True,
    progress: Progress = silent,
) -> Errors | None:
    """Errors of each block, forecast by what the other blocks would have chosen; None of fewer than two blocks.

    Parameters
    ----------
    chosen_without
        The model that all blocks but one, by its number, would have kept: fitted on the training pieces, without
        correction and mixture.
    epochs
        Of these, by number of the block; of blocks that have the same one the models differ at most in their factors.
    known
        What is known already of the errors of models on all blocks, by their choices.
    ds
        The archive as far as it may be looked at.
    init_times
        (N,) rising, on the step.
    blocks
        (N,) number of the block of each.
    mixed
        Whether there is a mixture.
    """
    names = np.unique(blocks).tolist()
    if len(names) < 2:
        return None
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    rows = _looked_at(chosen_without(names[0]).spec, len(init_times))
    grams = dict(known)
    for block in names:
        own = chosen_without(block)
        # The errors of all blocks by this model; another one that is the same in all has them already.
        key = choice(own.spec, epochs[block])
        if key not in grams:
            grams[key] = validation_grams(own, ds, init_times, progress)
        slots = own.spec.step.index(init_times, init_times[0])
        correction, mixture = choose_without(*grams[key], slots, blocks, block, mixed=mixed)
        model = replace(own, correction=correction, mixture=mixture)
        parts.append(_errors(model, ds, init_times[rows[blocks[rows] == block]], progress))
    values, activities = (np.concatenate(both) for both in zip(*parts, strict=True))
    return Errors(
        values=values, init_times=init_times[rows], blocks=blocks[rows], activities=activities, step=own.spec.step
    )


def _errors(
    model: Forecaster, ds: xr.Dataset, init_times: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Truth less what is issued, in departures (N, L, S, H, W), and activities (N, S), of init times of one block."""
    spec, parts, activities = model.spec, [], []
    replay, leads = Replay(model, spec.frames_out), np.arange(1, spec.frames_out + 1)
    for start in range(0, len(init_times), BATCH):
        chosen = init_times[start : start + BATCH]
        issued = replay.forecasts(ds, chosen)["model"]
        valid = spec.step.shift(chosen[:, None], leads).reshape(-1)
        truth = truth_maps(spec, ds, chosen, spec.frames_out)
        both = [
            [
                channel.normalise(maps.reshape(-1, *spec.shape), valid).reshape(*maps.shape)
                for maps in (truth[:, :, s], issued[channel.name].values)
            ]
            for s, channel in enumerate(spec.state_channels)
        ]
        observed, forecast = (np.where(spec.mask, np.stack(maps, axis=2), np.nan) for maps in zip(*both, strict=True))
        parts.append((observed - forecast).astype(np.float32))
        activities.append(activity(forecast))
        progress("calibrating", start + len(chosen), len(init_times))
    return np.concatenate(parts), np.concatenate(activities)


def _looked_at(spec: FrameSpec, count: int) -> np.ndarray:
    """Numbers of the init times whose error maps the memory holds, evenly spread."""
    most = fitting(4 * spec.frames_out * spec.n_states * spec.shape[0] * spec.shape[1], share=4)
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
