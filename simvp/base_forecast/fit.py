"""The fit of the base forecast of one variable: choices by folds that are left out, and coefficients by them.

Of what never goes below zero the transform is chosen first (`best_transform`), at a few leads and in one pass for all
of them; what follows is fitted under it alone, in a pass of its own (`simvp.base_forecast.folds`).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from simvp.base_forecast.folds import Passage, Past, pass_over
from simvp.base_forecast.linear_forecast import LinearForecast
from simvp.base_forecast.places import fitted
from simvp.base_forecast.predictors import Design
from simvp.base_forecast.ridge import Choices, Ridge
from simvp.base_forecast.sample import factors, squares
from simvp.base_forecast.series import Series
from simvp.base_forecast.transform import IDENTITY, KINDS, Kind, Transform
from simvp.budget import fitting
from simvp.contract import (
    KnownInputs,
    Period,
    Statistics,
    Summary,
    below_zero,
    bounds_of,
    cycle_lengths,
    cycles_in,
    never_below_zero,
    size_of,
    supported,
)
from simvp.scoring import Baselines
from simvp.times import calendar_of

FEWEST_FOLDS, MOST_FOLDS = 4, 8
WORK = 1 << 22  # init times times points that are added up for a lead: more change no coefficient that matters
FEWEST_INITS = 64  # of however many points: those of one map are much alike
NEAR_ZERO = 0.1  # share of the mean below which the smallest amount has to be
TRIED_LEADS = 3  # at which transforms are compared


def fit_variable(
    field: xr.DataArray,
    *,
    name: str,
    baselines: Baselines,
    statistics: Statistics,
    init_times: np.ndarray,
    frames_in: int,
    weights: np.ndarray,
    choices: Choices | None,
    known: KnownInputs,
) -> tuple[LinearForecast, dict[str, list[float]]]:
    """As `BaseForecast.fit`, for one variable; and the RMSE by lead in left-out folds, as `cross_validated` has it."""
    _, summary = statistics[name]
    leads = baselines.damping.shape[1]
    past = past_of(field, summary, baselines, statistics.reference, init_times, frames_in, weights, known)
    if not past.bounded:
        kind: Kind = "identity"
    elif choices is None:
        kind = _chosen_transform(past, summary, leads)
    else:
        kind = choices.transform
    made = pass_over(
        past, [Transform.of(kind, summary.points)], range(1, leads + 1), reach=leads, sampled=kind != "identity"
    )[0]
    ridge = made.ridge
    frozen = choices is not None
    choices = replace(choices or ridge.choose(), transform=kind)
    moments = None if kind == "identity" or len(ridge.folds) < 2 else made.sample.moments(ridge, choices)
    if moments is not None and not frozen:
        choices = replace(choices, corrected=_corrected(moments, made.transform))
    # Without the far cycles another baseline may be the best one; strength and shrinkage are those of all.
    short = Ridge(ridge.sums, ridge.design, ridge.cycle, ridge.design.within)
    if ridge.design.far and choices.within is None:
        names, improved = short.compare(choices.strength)
        choices = replace(choices, within_baseline=names, within_improved=improved)
    coefficients = _coefficients(ridge, choices)
    within = coefficients
    if ridge.design.far and choices.within is not None:
        within = _coefficients(short, choices.within)
    uniform = coefficients.shape[1] == within.shape[1] == 1
    correction, scores = _judged(made, short, choices, moments)
    forecast = LinearForecast(
        name=name,
        design=past.design,
        choices=choices,
        climatology=baselines.climatology[name] if kind == "identity" else made.climatologies[past.period],
        others={period: made.climatologies[period] for period in past.periods},
        valid=summary.valid,
        area=past.area,
        group=np.zeros_like(made.group) if uniform else made.group,
        coefficients=coefficients,
        within=within,
        transform=made.transform,
        factors=correction,
    )
    return forecast, scores


def passes_tried(past: Past, summary: Summary, leads: int) -> list[Passage]:
    """A pass for all transforms at a few leads; together about as much work as the fit that follows."""
    some = np.unique(np.linspace(1, leads, min(leads, TRIED_LEADS)).round().astype(int)).tolist()
    most = max(FEWEST_INITS, len(past.inits) * leads // (len(KINDS) * len(some)))
    further = _further(summary, past.period, summary.valid.size, 2 * len(KINDS) + 1)
    less = replace(
        past, inits=_at_most(past.inits, most), periods=further, design=replace(past.design, others=tuple(further))
    )
    transforms = [Transform.of(kind, summary.points) for kind in KINDS]
    return pass_over(less, transforms, some, reach=leads, sampled=True)


def gain(plain: np.ndarray, other: np.ndarray) -> float:
    """Share of the squared error that is gained, 0 where it is within the standard error of its mean over the folds.

    Parameters
    ----------
    plain, other
        (F, L) sums of squares in physical units, on folds that were left out.
    """
    # By lead in units of its own error, so that long leads do not outweigh short ones.
    gains = ((plain - other) / np.maximum(plain.sum(0), 1e-30)).mean(1)
    chance = np.sqrt(len(gains)) * gains.std(ddof=1) if len(gains) > 1 else np.inf
    return float(gains.sum()) if gains.sum() > chance else 0.0


def best_transform(errors: Mapping[Kind, np.ndarray]) -> Kind:
    """The kind that gains most over the identity, of errors as in `gain`."""
    return max(KINDS, key=lambda kind: gain(errors["identity"], errors[kind]))


def _chosen_transform(past: Past, summary: Summary, leads: int) -> Kind:
    """By the folds that are left out of the passes that are tried."""
    errors: dict[Kind, np.ndarray] = {}
    for made in passes_tried(past, summary, leads):
        moments = made.sample.moments(made.ridge, made.ridge.choose())
        errors[made.transform.kind] = squares(moments, corrected=_corrected(moments, made.transform))
    return best_transform(errors)


def _corrected(moments: np.ndarray, transform: Transform) -> bool:
    """Whether the inverse has its factor: unless it is better without."""
    factored = squares(moments, corrected=True)
    return transform != IDENTITY and not gain(factored, squares(moments, corrected=False))


def _judged(
    made: Passage, short: Ridge, choices: Choices, moments: np.ndarray | None
) -> tuple[np.ndarray | None, dict[str, list[float]]]:
    """Factors of a transform's inverse, and the RMSE by lead that are kept in `cross_validated`."""
    ridge, correction = made.ridge, None
    if moments is None:
        found = ridge.left_out(choices)
    else:
        plain = made.sample.moments(ridge, replace(choices, improved=(False,) * ridge.leads))
        errors = [squares(own, corrected=choices.corrected).sum(0) for own in (moments, plain)]
        found = errors[0] / moments[..., 3].sum(0), errors[1] / plain[..., 3].sum(0)
    if moments is not None and choices.corrected:
        near = made.sample.moments(short, choices.within) if choices.within and ridge.design.far else moments
        correction = np.stack([factors(moments), factors(near)]).astype(np.float32)
    means = dict(zip(("rmse", "best_baseline"), found, strict=True))
    return correction, {kind: np.sqrt(np.maximum(values, 0)).tolist() for kind, values in means.items()}


def past_of(
    field: xr.DataArray,
    summary: Summary,
    baselines: Baselines,
    rows: np.ndarray,
    init_times: np.ndarray,
    frames_in: int,
    weights: np.ndarray,
    known: KnownInputs | None = None,
) -> Past:
    """What is fitted on, with folds of equal length."""
    period = baselines.climatology[str(field.name)].period
    series = Series(field=field, step=baselines.step, valid=summary.valid, known=known)
    area = np.asarray(weights, np.float64)[summary.valid]
    area = (area / area.sum()).astype(np.float32)
    periods = _further(summary, period, summary.valid.size, 3)
    design = _design(field, summary, baselines, frames_in, periods)
    design = replace(design, known=() if known is None else known.names)
    # Whatever it is that is fitted on, motion is estimated on whole maps.
    points = len(area) if design.moving else int(fitted(summary.valid).sum())
    inits = _at_most(series.slots(init_times), max(FEWEST_INITS, WORK // points))
    bounded = design.amount or bounds_of(str(field.name), field.attrs, summary.points)[0] == 0
    bounded &= bool((summary.points > 0).any())  # nothing but zeros has no scale
    return Past(
        series=series,
        rows=rows,
        area=area,
        period=period,
        periods=periods,
        design=design,
        bounded=bounded,
        cycle=baselines.cycle,
        cuts=np.linspace(inits[0], inits[-1] + 1, _folds(period, summary.times) + 1).astype(int),
        inits=inits,
    )


def _further(summary: Summary, chosen: Period, points: int, sums: int) -> list[Period]:
    """Periods of further climatologies, where there is memory for as many sums of them as are held at once."""
    periods = [period for period in supported(summary.step, cycles_in(summary.times)) if period != chosen]
    fits = sums * size_of(summary.step, [*periods, chosen], points) <= fitting(1, 4)
    return periods if fits else [period for period in periods if period == "none"]


def _design(
    field: xr.DataArray, summary: Summary, baselines: Baselines, frames_in: int, periods: list[Period]
) -> Design:
    lengths = cycle_lengths(baselines.step, calendar_of(field["time"].values))
    known = {baselines.climatology[str(field.name)].period, *periods}
    cycles = {n for period, n in lengths.items() if n and n > 1 and period in known}
    points = summary.points[np.isfinite(summary.points)]
    moving = str(field.name) in baselines.moving
    amount = moving or bool(
        points.size
        and never_below_zero(float(points.min()), float(points.max()))
        and points.min() < NEAR_ZERO * points.mean()
        and not below_zero(str(field.name), field.attrs)
    )
    climatology = baselines.climatology[str(field.name)]
    course = climatology.values if amount else climatology.values - climatology.values.mean((0, 1))
    return Design(
        frames_in=frames_in,
        cycles=tuple(sorted(cycles | ({baselines.cycle} if baselines.cycle else set()))),
        others=tuple(periods),
        amount=amount,
        active=bool(np.nanmax(np.abs(course)) > 0),
        moving=moving,
    )


def _folds(period: Period, times: np.ndarray) -> int:
    """As many as there are cycles of the climatology, from 4 to 8."""
    cycles = cycles_in(times)[period] if period != "none" else MOST_FOLDS
    return int(np.clip(np.floor(cycles), FEWEST_FOLDS, MOST_FOLDS))


def _at_most(inits: np.ndarray, most: int) -> np.ndarray:
    """Init slots, evenly spread where there are more."""
    return inits if len(inits) <= most else inits[np.linspace(0, len(inits) - 1, most).round().astype(int)]


def _coefficients(ridge: Ridge, choices: Choices) -> np.ndarray:
    """As `LinearForecast` has them."""
    return _stacked([ridge.solve(ridge.folds, lead, choices) for lead in range(ridge.leads)])


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """(L, G, K) float32 of (G, K) or (1, K) each; (L, 1, K) where no lead differs by group."""
    groups = max(len(part) for part in parts)
    return np.stack([np.broadcast_to(part, (groups, part.shape[1])) for part in parts]).astype(np.float32)
