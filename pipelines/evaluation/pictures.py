"""Pictures of a judgement, and the maps of where on the grid a challenger errs beside what it has to beat."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pipelines.evaluation.evaluate import batch_size, past_frames, select_frames
from pipelines.evaluation.judgement import Judgement
from simvp.coords import BOUNDS_OF, single_maps
from simvp.scoring import NAMES, energy
from simvp.times import show_time
from simvp.uncertainty import request_faults, with_bounds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simvp.inference import Forecaster

MOST = 24  # init times: a map of so many is smooth, and takes a fraction of what the judgement took

BAND = (0.05, 0.95)

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
    figures |= {f"gate/{name}.png": figure for name, figure in score_pictures(judgement.skill, title).items()}
    models = {"challenger": challenger} | ({"champion": champion} if champion else {})
    baseline = "" if champion else min(NAMES, key=lambda name: _mean(judgement.skill, name))
    inits = judgement.errors["init_time"].values
    few = _some(inits, batch_size(challenger.spec, challenger.spec.frames_out, MOST))
    forecast = challenger.predict(ds, init_time=few, device=device)
    figures |= {f"gate/{name}.png": figure for name, figure in shape_pictures(forecast, ds, challenger, title).items()}
    maps = error_maps(models, ds, inits, baseline=baseline, device=device)
    for name, field in maps.data_vars.items():
        if np.isfinite(field.values).any((1, 2)).all():
            figures[f"gate/error_map_{name}.png"] = error_map(
                field, title=f"{name}, {title}, {maps.attrs['n']} init times"
            )
    return figures


def score_pictures(table: xr.Dataset, title: str) -> "dict[str, Figure]":
    """What a skill table says of members and bounds, "sure", and of thresholds, "scales", where it has them."""
    from pipelines.pictures import ensemble_panels, scale_panels

    figures = {}
    if "crps_all" in table and bool(table["crps_all"].notnull().all()):
        figures["sure"] = ensemble_panels(table, title=title)
    if "fss_all" in table:
        figures["scales"] = scale_panels(table, title=title)
    return figures


def shape_pictures(forecast: xr.Dataset, ds: xr.Dataset, model: "Forecaster | None", title: str) -> "dict[str, Figure]":
    """How blurred some forecasts are, "spectra", and how wide their 90 % band is, "width_<variable>".

    Parameters
    ----------
    forecast
        Canonical, loaded; of few init times.
    ds
        The archive, lazy.
    model
        That made them; without one that has bounds there is no width.
    """
    from pipelines.pictures import spectra_panels, width_map

    names = [str(name) for name in single_maps(forecast).data_vars]
    truth = select_frames(ds, names, forecast["valid_time"].values).load()
    found = energy({"forecast": forecast}, truth)
    units = [str(forecast[name].attrs.get("units", "")) for name in names]
    known = found.sel(variable=found["n"].min("lead_time").values > 0)
    inits = f"{title}, {forecast.sizes['init_time']} init times"
    figures = {}
    if known.sizes["variable"]:
        known = known.assign_coords(units=("variable", [units[names.index(n)] for n in known["variable"].values]))
        figures["spectra"] = spectra_panels(known, title=inits)
    calibration = None if model is None else model.calibration
    if model is None or calibration is None or request_faults(calibration, 0, BAND, forecast[names[0]].size):
        return figures
    own = with_bounds(
        single_maps(forecast), model.spec, calibration, members=0, levels=BAND, fingerprint=model.fingerprint
    )
    for name in names:
        low, high = (own[name + BOUNDS_OF].sel(quantile=level, drop=True) for level in BAND)
        width = (high - low).mean("init_time").assign_attrs(units=forecast[name].attrs.get("units", ""))
        figures[f"width_{name}"] = width_map(width, title=f"Width of the 90 % band of {name}, {inits}")
    return figures


def _some(init_times: np.ndarray, most: int) -> np.ndarray:
    """At most so many of them, evenly spread."""
    return init_times[np.unique(np.linspace(0, len(init_times) - 1, min(most, len(init_times))).round().astype(int))]


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
    chosen = _some(init_times, MOST)
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
