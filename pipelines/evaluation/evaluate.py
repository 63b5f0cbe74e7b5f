"""Errors of a model and of the baselines on the same init times, against the same truth.

Forecasts are made and scored a few init times at a time, so memory does not grow with the period.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pipelines.evaluation.thresholds import Thresholds, limits_of, reached
from pipelines.progress import Progress, silent
from pipelines.windows import Audit, Frames, find_windows
from simvp.budget import fitting
from simvp.contract import carry, filled_frames
from simvp.coords import Step, single_maps
from simvp.errors import ConfigError
from simvp.scoring import (
    EVEN,
    NAMES,
    Baselines,
    compare,
    ensemble_errors,
)
from simvp.times import calendar_of, encode_times, parse_times
from simvp.uncertainty import Calibration, request_faults, with_bounds

if TYPE_CHECKING:
    from simvp.contract import FrameSpec
    from simvp.inference import Forecaster

SYSTEMS = ("model", *NAMES)
"""Those that every data set has; where there is rain, extrapolation comes after them."""

MOVING = "moving"
"""Attribute: variables of which there is an extrapolation."""

MODEL = ("model_version", "model_fingerprint")
"""Coordinates that say which model made the forecast of an init time."""

WEIGHT = "_weight"
"""After the name of a variable: the coordinate with the weights of the experts that its forecast is mixed of."""

MEMBERS, LEVELS = 20, (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the ensembles and bounds that are scored."""

ENSEMBLE = ("crps", "variance", "mean_squared_error", "single_error")
"""Scores of members and of the forecast on the same points; `ranks`, `below` and `width` are there with them."""

# Steps per init time of the piece of the series that is read for a batch: what lies far apart is not read as one.
_LONGEST_PIECE = 8


def evaluate(
    forecaster: "Forecaster",
    ds: xr.Dataset,
    init_times: Sequence[Any] | np.ndarray,
    *,
    batch: int = 32,
    horizon: int | None = None,
    rivals: "Mapping[str, Forecaster] | None" = None,
    thresholds: Thresholds | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Errors of every forecast map of a model and of the baselines that were fitted with it, on the same points.

    Parameters
    ----------
    forecaster
        The saved model: network, contract and baselines.
    ds
        Canonical Dataset that holds the history of every init time and the truth as far as it is known; lazy.
    init_times
        (I,) rising times of the last observed frames, each with its complete history.
    batch
        Init times forecast and scored at a time; fewer where their maps are large.
    horizon
        Leads; by default as many as the model was trained for.
    rivals
        Further models, by the name of their system: the champion beside a challenger. They forecast the same leads.
    thresholds
        As in `score`.
    device
        Where the network runs; by default where it lies.
    progress
        Called as progress("evaluate", init times done, I).

    Returns
    -------
    xr.Dataset
        As `simvp.scoring.compare`: the systems are "model", the baselines, of a model with a base forecast
        "unmixed" and "base" too, and the rivals ("champion", with "champion_unmixed" and "champion_base"). The weights
        of each mixture follow from those of the init times that are verified by then, beginning at what the validation
        says. NaN where there is no truth, and for a baseline where a frame that it needs is absent. Coordinates
        `model_version` and `model_fingerprint` (init_time), attribute `weighting`; of a model with a base
        forecast `<variable>_weight` (init_time, lead_time, expert), the weights of the mixture.

    Raises
    ------
    ConfigError
        No init time.
    ContractError
        Data that the model does not accept.
    """
    from simvp.inference import Replay

    times = np.asarray(init_times)
    if not len(times):
        raise ConfigError("Evaluation", ["no init time"])
    spec, models = forecaster.spec, {"model": forecaster, **(rivals or {})}
    leads = horizon or spec.frames_out
    history = max(model.spec.frames_in for model in models.values())
    states = list(dict.fromkeys(name for model in models.values() for name in model.spec.states))
    replays = {name: Replay(model, leads, device) for name, model in models.items() if model.base is not None}
    parts, done = [], 0
    for chosen in chunks(times, spec.step, batch_size(spec, leads, batch)):
        near = stretch(chosen, spec.step, before=history - 1, after=leads)
        # A cycle of a year lies far before the history: those frames are read, what is between them is not.
        before = [model.frame_times(chosen) for model in models.values()]
        before += [model.baselines.frame_times(chosen, leads) for model in models.values()]
        known = [model.known_times(chosen, leads) for model in models.values()]
        truth = select_frames(ds, states, near, *before, known=known).load()
        inputs = select_frames(truth, states, near, known=known)
        made: dict[str, xr.Dataset] = {}
        for name, model in models.items():
            if name in replays:
                own = carry(truth, truth[list(model.spec.states)])
                forecasts = replays[name].forecasts(model.spec.grid.align(own), chosen)
                prefix = "" if name == "model" else f"{name}_"
                made |= {name if part == "model" else prefix + part: one for part, one in forecasts.items()}
            else:
                made[name] = model.predict(inputs, init_time=chosen, horizon=leads, device=device)
        forecast = made.pop("model")
        past = past_frames(ds, truth, forecaster, chosen, leads)
        scores = score(
            forecast,
            truth,
            forecaster.baselines,
            made,
            past=past,
            says={name: says_of(one) for name, one in models.items()},
            thresholds=thresholds,
            sure=forecaster if forecaster.calibration is not None else None,
        )
        for name, model in (rivals or {}).items():
            if model.calibration is not None:
                scores[f"{name}_crps"] = score_ensembles(made[name], truth, model)["crps"]
        weights = {name: c.variable for name, c in forecast.coords.items() if str(name).endswith(WEIGHT)}
        experts = {"expert": forecast["expert"].variable} if weights else {}
        parts.append(scores.assign_coords(weights | experts))
        done += len(chosen)
        progress("evaluate", done, len(times))
    return xr.concat(parts, "init_time", data_vars="minimal", coords="minimal", compat="override", join="exact")


def past_frames(
    ds: xr.Dataset, truth: xr.Dataset, forecaster: "Forecaster", init_times: np.ndarray, leads: int
) -> xr.Dataset:
    """What the baselines look back at: frames of `truth`, filled as the model's inputs are where some lack points.

    Parameters
    ----------
    ds
        Canonical Dataset with the history of those frames, lazy; read only where something is to be filled.
    truth
        Loaded frames of it, with those of `init_times` and one cycle before.
    """
    shares = forecaster.spec.missing(truth)
    if not ((shares > 0) & (shares < 1)).any():
        return truth
    return filled_frames(ds, forecaster.spec, forecaster.baselines.frame_times(init_times, leads))


def score(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    baselines: Baselines,
    rivals: Mapping[str, xr.Dataset] | None = None,
    *,
    past: xr.Dataset | None = None,
    says: Mapping[str, Mapping[str, float]] | None = None,
    thresholds: Thresholds | None = None,
    sure: "Forecaster | None" = None,
) -> xr.Dataset:
    """Errors of forecasts that have been made, beside those of the baselines for the same init and valid times.

    All on the same points of every map (`simvp.scoring.compare`). Where variables have thresholds there are sums of
    where these are reached too, `events` (`simvp.scoring.event_sums`): of the forecast as it is and sharpened, of the
    baselines, and of whole models among the rivals, sharpened.

    Parameters
    ----------
    forecast
        Labelled forecast in the canonical layout.
    truth
        Canonical Dataset with the frames that the baselines look back at, and the truth.
    baselines
        As fitted with the model that made the forecast.
    rivals
        Forecasts of other models for the same times.
    past
        Frames that the baselines look back at, where they are not those of the truth (`past_frames`).
    says
        By system, how much say a model has in the order of its sharp forecast, by variable; of "model", and of those
        rivals that are whole models. None by default.
    thresholds
        By variable, in its units; of rain those of `simvp.scoring.events.RATES` where nothing is given.
    sure
        Model whose members and bounds of the forecast are scored too (`score_ensembles`); none by default.
    """
    past = truth if past is None else past
    made = baselines.predict(past, forecast["init_time"].values, leads=forecast.sizes["lead_time"])
    systems = {"model": forecast[list(baselines.variables)], **made, **(rivals or {})}
    scores = compare(systems, truth, climatology=baselines.climatology)
    if sure is not None:
        scores = scores.assign(score_ensembles(systems["model"], truth, sure).data_vars)
    if baselines.moving:
        scores.attrs[MOVING] = list(baselines.moving)
    if limits := limits_of(systems["model"], baselines.moving, baselines.step, thresholds):
        says = {"model": {}, **(says or {})}
        whole = {name: rival for name, rival in (rivals or {}).items() if name in says}
        scores["events"] = reached(systems["model"], made, whole, truth, limits, says)
    return scores.assign_coords({name: forecast[name].variable for name in MODEL if name in forecast.coords})


def score_ensembles(forecast: xr.Dataset, truth: xr.Dataset, model: "Forecaster") -> xr.Dataset:
    """Scores of `MEMBERS` members and of bounds at `LEVELS` around a forecast, by its model; NaN of one that has none.

    They follow from the forecast, its init time and the model's file, so that none has to be kept to be scored.

    Returns
    -------
    xr.Dataset
        As `simvp.scoring.ensemble_errors`; `single_error` is the absolute error of the forecast on the same points.
    """
    count, known = forecast.sizes["init_time"], model.calibration
    values = forecast[model.spec.states[0]].size // count
    if known is None or request_faults(known, MEMBERS, LEVELS, values):
        parts = [no_ensemble(forecast.isel(init_time=[number])) for number in range(count)]
    else:
        # Members are many: as many init times at a time as fit into memory, in single and in double precision.
        at_once = fitting(12 * values * (MEMBERS + len(LEVELS)), share=4)
        some = (forecast.isel(init_time=slice(start, start + at_once)) for start in range(0, count, at_once))
        parts = [_of_members(one, truth, model, known) for one in some]
    made = xr.concat(parts, "init_time", data_vars="all", coords="minimal", compat="override")
    return made.drop_vars([name for name in made.coords if name not in ("quantile", "variable", *forecast.dims)])


def _of_members(forecast: xr.Dataset, truth: xr.Dataset, model: "Forecaster", known: Calibration) -> xr.Dataset:
    own = with_bounds(forecast, model.spec, known, members=MEMBERS, levels=LEVELS, fingerprint=model.fingerprint)
    found = ensemble_errors(own, truth, weights=model.spec.weights, weighting=model.spec.weighting)
    return found.rename(absolute_error="single_error").drop_vars("points")


def no_ensemble(forecast: xr.Dataset) -> xr.Dataset:
    """Scores that are not known, of a forecast from one init time."""
    names = [str(name) for name in single_maps(forecast).data_vars]
    shape = (len(names), 1, forecast.sizes["lead_time"])
    dims = ("variable", "init_time", "lead_time")
    nothing = {name: (dims, np.full(shape, np.nan)) for name in ENSEMBLE}
    many = {"ranks": ("rank", MEMBERS + 1), "below": ("quantile", len(LEVELS)), "width": ("quantile", len(LEVELS))}
    nothing |= {name: ((*dims, dim), np.full((*shape, size), np.nan)) for name, (dim, size) in many.items()}  # type: ignore[misc]
    coords = {name: forecast[name].variable for name in ("init_time", "lead_time")}
    return xr.Dataset(nothing, {"variable": names, "quantile": np.array(LEVELS), **coords})


def says_of(model: "Forecaster") -> Mapping[str, float]:
    """How much say the model has in the order of its sharp forecast, by variable, as its training chose."""
    says = model.provenance.get("combination", {}).get("sharp")
    return dict.fromkeys(model.baselines.moving, EVEN) if says is None else says


def scorable(
    ds: xr.Dataset, specs: "Sequence[FrameSpec]", interval: tuple[Any, Any], *, leads: int, part: str = "held_out"
) -> tuple[np.ndarray, Audit]:
    """Init times whose targets all lie in an interval, with complete histories for every one of some models.

    Parameters
    ----------
    ds
        Canonical Dataset with the coordinate `present` (time), lazy; only what the interval needs is read.
    specs
        Contracts of the models; the longest T counts.
    interval
        First and last time of the targets, both included; text or times.
    leads
        Number of targets.
    part
        Name of the interval for the audit.

    Returns
    -------
    tuple
        Init times (I,), rising, and the audit of what was dropped.

    Raises
    ------
    ContractError
        The data does not fit one of the contracts.
    """
    frames_in, step = max(spec.frames_in for spec in specs), specs[0].step
    first, last = bounds = parse_times(interval, calendar_of(ds["time"].values))
    near = ds.sel(time=slice(step.shift(bounds[:1], -frames_in)[0], last))
    whole = np.ones(near.sizes["time"], bool)  # where no model lacks more of its variables than it takes
    for spec in specs:
        if len(whole):
            whole &= Frames(spec.check(near), spec, memory=0).usable
    times, here = near["time"].values, np.asarray(near["present"].values, bool)
    inits, audit = find_windows(times, here, step, frames_in, leads, [(first, last)], part, complete=whole)
    return times[inits], audit


def batch_size(spec: "FrameSpec", leads: int, most: int) -> int:
    """Init times to take at a time, so that memory does not grow with the grid either."""
    # Histories and forecasts; the baselines and errors made of them are a few times as many.
    values = spec.n_states * spec.shape[0] * spec.shape[1] * (spec.frames_in + leads)
    return min(most, fitting(4 * values, share=4))


def chunks(times: np.ndarray, step: Step, batch: int) -> Iterator[np.ndarray]:
    """Runs of at most `batch` init times that do not span a piece of the series much longer than that."""
    index = step.index(times, times[0]) if len(times) else times
    start = 0
    for stop in range(1, len(times) + 1):
        if stop == len(times) or stop - start == batch or index[stop] - index[start] > _LONGEST_PIECE * batch:
            yield times[start:stop]
            start = stop


def stretch(times: np.ndarray, step: Step, *, before: int, after: int) -> np.ndarray:
    """Every time from `before` steps before the first of `times` to `after` steps after the last."""
    return step.shift(times[0], np.arange(-before, int(step.index(times[-1:], times[0])[0]) + after + 1))


def select_frames(
    ds: xr.Dataset, names: Sequence[str], *times: np.ndarray, known: Sequence[np.ndarray | None] = ()
) -> xr.Dataset:
    """The frames of some variables at these times, of any shape; not loaded. Those that are not there are left out.

    `known`: times at which the known inputs that `ds` carries are needed too, by model; None for one that needs none.
    """
    wanted = np.concatenate([encode_times(part.reshape(-1))[0] for part in times])
    positions = np.flatnonzero(np.isin(encode_times(ds["time"].values)[0], wanted))
    run = len(positions) and positions[-1] - positions[0] + 1 == len(positions)
    frames = ds[[name for name in names if name in ds]].isel(
        time=slice(int(positions[0]), int(positions[-1]) + 1) if run else positions
    )
    needed = [part for part in known if part is not None]
    return carry(ds, frames, np.concatenate(needed)) if needed else frames


def lies_in(spans: Sequence[tuple[Any, Any]], calendar: str, *times: np.ndarray) -> np.ndarray:
    """(N,) bool: whether any of the times of a forecast lies in one of some spans.

    Parameters
    ----------
    spans
        First and last time, both included; texts or times.
    calendar
        Of the times.
    times
        Arrays (N, ...) of times.
    """
    seconds = np.concatenate([encode_times(part.reshape(len(part), -1))[0] for part in times], axis=1)
    found = np.zeros(len(seconds), bool)
    for span in spans:
        first, last = encode_times(parse_times(span, calendar))[0]
        found |= ((seconds >= first) & (seconds <= last)).any(1)
    return found
