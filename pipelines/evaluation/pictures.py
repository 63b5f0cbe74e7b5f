"""Pictures of a judgement, and the maps of where on the grid a challenger errs beside what it has to beat."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pipelines.evaluation.evaluate import batch_size, past_frames, select_frames
from pipelines.evaluation.judgement import Judgement
from simvp.scoring import NAMES
from simvp.times import show_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simvp.inference import Forecaster

MOST = 24  # init times: a map of so many is smooth, and takes a fraction of what the judgement took

SKILL = "gate/skill.png"
"""Artifact with the skill by lead of a challenger, the baselines and the champion."""


def draw(
    judgement: Judgement,
    challenger: "Forecaster",
    champion: "Forecaster | None",
    ds: xr.Dataset,
    *,
    device: str | None = None,
) -> "dict[str, Figure]":
    """Pictures of a judgement by the names of their artifacts: skill by lead, what is gained on whom, and error maps.

    The maps show the champion beside the challenger; where there was none, the baseline that came next to it.
    """
    from pipelines.pictures import error_map, gains, skill_curve

    verdict = judgement.verdict
    first, last = map(show_time, judgement.held_out)
    title = f"{challenger.version}, {first} to {last}"
    table = judgement.with_champion()
    rows = [(c.variable, c.reference, c.improvement, c.bound, c.passed) for c in verdict.comparisons]
    figures = {
        SKILL: skill_curve(table, title=title),
        "gate/gains.png": gains(rows, confidence=verdict.confidence, title=f"{title}: {verdict.outcome}"),
    }
    models = {"challenger": challenger} | ({"champion": champion} if champion else {})
    baseline = "" if champion else min(NAMES, key=lambda name: _mean(judgement.skill, name))
    inits = judgement.errors["init_time"].values
    maps = error_maps(models, ds, inits, baseline=baseline, device=device)
    for name, field in maps.data_vars.items():
        if np.isfinite(field.values).any((1, 2)).all():
            figures[f"gate/error_map_{name}.png"] = error_map(
                field, title=f"{name}, {title}, {maps.attrs['n']} init times"
            )
    return figures


def _mean(table: xr.Dataset, system: str) -> float:
    """RMSE of a system over all variables, each in units of the model's; infinite where it is not known."""
    scores = table["rmse_all"].sel(system=system) / table["rmse_all"].sel(system="model")
    return float(scores.fillna(np.inf).mean())


def error_maps(
    models: "Mapping[str, Forecaster]",
    ds: xr.Dataset,
    init_times: np.ndarray,
    *,
    baseline: str = "",
    device: str | None = None,
) -> xr.Dataset:
    """RMSE at every point over all leads of some init times, at most `MOST`, evenly spread.

    Mixtures have the weights of the validation: those that follow the errors are for one init time after the other.

    Parameters
    ----------
    models
        By the name of their system; the first says which variables and leads.
    ds
        Canonical Dataset with history and truth of every init time; lazy.
    init_times
        (I,) rising.
    baseline
        That of the first model to be shown beside it; empty for none.
    device
        Where the networks run.

    Returns
    -------
    xr.Dataset
        Each variable (system, row, column) in its units, NaN where a model does not forecast it or there is no truth;
        attribute n, the init times.
    """
    from simvp.inference import truth_maps

    first = next(iter(models.values()))
    spec, leads = first.spec, first.spec.frames_out
    chosen = init_times[np.unique(np.linspace(0, len(init_times) - 1, min(MOST, len(init_times))).round().astype(int))]
    systems = [*models, *filter(None, [baseline])]
    squares = np.zeros((len(systems), spec.n_states, *spec.shape))
    counts = np.zeros_like(squares)
    size = batch_size(spec, leads, MOST)
    for start in range(0, len(chosen), size):
        inits = chosen[start : start + size]
        truth = truth_maps(spec, spec.check(ds), inits, leads)
        made = {
            name: model.predict(ds, init_time=inits, horizon=leads, device=device) for name, model in models.items()
        }
        if baseline:
            looked = select_frames(ds, spec.states, first.baselines.frame_times(inits, leads)).load()
            past = past_frames(ds, looked, first, inits, leads)
            made[baseline] = first.baselines.predict(past, inits, leads=leads)[baseline]
        for row, forecast in enumerate(made.values()):
            for column, state in enumerate(spec.states):
                if state in forecast:
                    error = (
                        forecast[state].transpose("init_time", "lead_time", *spec.grid.dims).values
                        - truth[:, :, column]
                    )
                    squares[row, column] += np.nansum(error.astype("f8") ** 2, axis=(0, 1))
                    counts[row, column] += np.isfinite(error).sum((0, 1))
    with np.errstate(invalid="ignore"):
        rmse = np.sqrt(squares / counts)
    axes = {dim: ds[dim].variable for dim in spec.grid.dims if dim in ds.coords}
    fields = {
        channel.name: (("system", *spec.grid.dims), rmse[:, number], {"units": channel.units})
        for number, channel in enumerate(spec.state_channels)
    }
    return xr.Dataset(fields, {"system": systems, **axes}, {"n": len(chosen)})
