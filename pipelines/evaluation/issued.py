"""Scores of forecasts that were issued, beside what their model makes of the same init times now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pipelines.evaluation.evaluate import MOVING, no_ensemble, past_frames, says_of, score, select_frames, stretch
from pipelines.evaluation.skill import OWN
from pipelines.evaluation.thresholds import Thresholds, limits_of
from simvp.coords import Step, single_maps
from simvp.scoring import EXTRAPOLATION, NAMES, compare, event_sums

if TYPE_CHECKING:
    from simvp.inference import Forecaster


def score_issued(
    forecast: xr.Dataset,
    ds: xr.Dataset,
    model: "Forecaster",
    *,
    moving: tuple[str, ...],
    whole: np.ndarray,
    thresholds: Thresholds | None = None,
    sure: bool = False,
) -> xr.Dataset:
    """Errors of issued forecasts of one model, of its baselines, and of its parts, which the archive does not have.

    Parameters
    ----------
    forecast
        As issued, loaded.
    ds
        The archive, lazy.
    model
        That made the forecasts. Baselines and parts are made again, from the archive as it is.
    moving
        Variables that extrapolation carries on, those of other models of the data set too.
    whole
        (I,) bool: of which init times the history is there. The others have no parts.
    thresholds
        As in `pipelines.evaluation.score`.
    sure
        Whether there are scores of members and bounds; NaN of a model that has none.

    Returns
    -------
    xr.Dataset
        As of `evaluate`, with all of the systems of a store of scores: "model", baselines, "unmixed" and "base". NaN,
        and no points, of one that there is not: the parts of a model without a base forecast.
    """
    inits, leads = forecast["init_time"].values, forecast.sizes["lead_time"]
    history = []
    if model.base is not None:
        own = model.baselines.frame_times(inits, leads)
        inputs = stretch(inits, model.spec.step, before=model.spec.frames_in - 1, after=0)
        history = [inputs, model.frame_times(inits), own]
    # The motion is not fitted, so that forecasts of an older model can be set beside it too.
    baselines = replace(model.baselines, moving=moving)
    looked_at = (forecast["valid_time"].values, baselines.frame_times(inits, leads), *history)
    known = [model.known_times(inits, leads)]
    truth = select_frames(ds, baselines.variables, *looked_at, known=known).load()
    made: Mapping[str, xr.Dataset] = {}
    if history and whole.any():
        # No frame after the init times, as when they were issued.
        made = _parts(model, select_frames(truth, model.spec.states, *history, known=known), forecast, whole)
    past = past_frames(ds, truth, replace(model, baselines=baselines), inits, leads)
    scores = score(
        forecast,
        truth,
        baselines,
        made,
        past=past,
        says={"model": says_of(model)},
        thresholds=thresholds,
        sure=model if sure else None,
    )
    return _every_system(scores, moving)


def score_alone(
    forecast: xr.Dataset,
    ds: xr.Dataset,
    *,
    moving: tuple[str, ...],
    step: Step,
    thresholds: Thresholds | None = None,
    sure: bool = False,
) -> xr.Dataset:
    """The same of forecasts whose model cannot be loaded any more: their own errors are all there is.

    Where there are thresholds, nothing is counted of hits and misses, so that no two contenders are of different maps.
    """
    forecast = single_maps(forecast)
    names = [str(name) for name in forecast.data_vars]
    truth = select_frames(ds, names, forecast["valid_time"].values).load()
    unknown = _Unknown(tuple(truth[names[0]].shape[1:]))
    scores = compare({"model": forecast}, truth, climatology=dict.fromkeys(names, unknown))
    if sure:
        nothing = [no_ensemble(forecast.isel(init_time=[i])) for i in range(forecast.sizes["init_time"])]
        scores = scores.assign(xr.concat(nothing, "init_time", data_vars="all").data_vars)
    if moving:
        scores.attrs[MOVING] = list(moving)
    if limits := limits_of(forecast, moving, step, thresholds):
        sums = event_sums({"model": forecast}, truth, limits)
        contenders = ["model", *(["sharp"] if moving else []), *_baselines(moving)]
        scores["events"] = xr.zeros_like(sums.reindex(contender=contenders, fill_value=0.0))
    return _every_system(scores, moving)


def taken_over(scores: xr.Dataset, held: xr.Dataset) -> xr.Dataset:
    """Scores with those of `held` in their place, of the init times that it has, whatever systems it has."""
    rows = held.indexes["init_time"].get_indexer(scores.indexes["init_time"])
    if not (rows >= 0).any():
        return scores
    there, held = xr.DataArray(rows >= 0, dims="init_time"), held.isel(init_time=np.maximum(rows, 0))
    held = held.assign_coords(init_time=scores["init_time"])
    made = {}
    for name in set(scores.data_vars) & set(held.data_vars):
        dim = "contender" if name == "events" else "system"
        fill = np.nan if held[name].dtype.kind == "f" and name != "events" else 0
        own = held[name]
        kept = own.reindex({dim: scores[dim].values}, fill_value=fill) if dim in own.dims else own
        made[name] = scores[name].copy(data=xr.where(there, kept, scores[name]).transpose(*scores[name].dims).values)
    return scores.assign(made)


def _parts(model: "Forecaster", near: xr.Dataset, forecast: xr.Dataset, whole: np.ndarray) -> Mapping[str, xr.Dataset]:
    """What the model forecasts without its mixture, and its base alone; NaN where the history is not there."""
    from simvp.inference import Replay

    inits = forecast["init_time"].values
    replay = Replay(replace(model, mixture=None), forecast.sizes["lead_time"])
    made = replay.forecasts(model.spec.grid.align(near), inits[whole])
    if whole.all():
        return {name: made[name] for name in OWN}
    known = xr.DataArray(whole, dims="init_time")
    rows = np.maximum(np.cumsum(whole) - 1, 0)
    times = {name: forecast[name].variable for name in ("init_time", "valid_time")}
    return {name: made[name].isel(init_time=rows).assign_coords(times).where(known) for name in OWN}


def _every_system(scores: xr.Dataset, moving: tuple[str, ...]) -> xr.Dataset:
    return scores.reindex(system=["model", *_baselines(moving), *OWN], fill_value={"points": 0})


def _baselines(moving: tuple[str, ...]) -> tuple[str, ...]:
    return (*NAMES, *((EXTRAPOLATION,) if moving else ()))


class _Unknown:
    """The climatology of a model that is not there."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def at(self, times: np.ndarray) -> np.ndarray:
        """(N, H, W)."""
        return np.full((len(times), *self.shape), np.nan)
