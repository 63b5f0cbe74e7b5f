"""The fit of the base forecast of one variable: folds, their climatologies, one pass of sums, choices, coefficients.

Folds are equal stretches of the init times. Each fold's departures are from a climatology that is made without it: from
one that has seen them they would be too small, and what was there a cycle before would get the wrong sign.

Frames are read three times: for the climatology of all, for what each fold takes away from it, and for the sums;
there once more for each cycle that reaches beyond the T input frames, and T + L more for each block of init times.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import xarray as xr

from simvp.base_forecast.linear_forecast import LinearForecast
from simvp.base_forecast.normal_equations import NormalEquations, group_points, most_groups
from simvp.base_forecast.predictors import Block, Design
from simvp.base_forecast.ridge import Choices, Ridge
from simvp.base_forecast.series import Series, near_each_other
from simvp.budget import fitting
from simvp.contract import (
    Climatology,
    Period,
    Statistics,
    Summary,
    Sums,
    below_zero,
    cycle_lengths,
    cycles_in,
    never_below_zero,
    size_of,
    supported,
)
from simvp.coords import Step
from simvp.scoring import Baselines
from simvp.times import calendar_of

FEWEST_FOLDS, MOST_FOLDS = 4, 8
WORK = 1 << 22  # init times times points that are added up for a lead: more change no coefficient that matters
FEWEST_INITS = 64  # of however many points: those of one map are much alike
NEAR_ZERO = 0.1  # share of the mean below which the smallest amount has to be


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
) -> tuple[LinearForecast, dict[str, list[float]]]:
    """As `BaseForecast.fit`, for one variable; and the RMSE by lead in left-out folds, as `cross_validated` has it."""
    _, summary = statistics[name]
    climatology, leads = baselines.climatology[name], baselines.damping.shape[1]
    series = Series(field=field, step=baselines.step, valid=summary.valid)
    area = np.asarray(weights, np.float64)[summary.valid]
    area = (area / area.sum()).astype(np.float32)
    periods = _further(summary, climatology.period, summary.valid.size)
    design = _design(field, summary, baselines, frames_in, periods)
    inits = _thinned(series.slots(init_times), len(area))
    cuts = np.linspace(inits[0], inits[-1] + 1, _folds(climatology.period, summary.times) + 1).astype(int)
    most = most_groups(len(cuts) - 1, leads, len(design.names))
    group, _ = group_points(summary.valid, most)
    sums = NormalEquations.empty(len(cuts) - 1, leads, group, len(design.names), area)
    total = Sums(baselines.step, [climatology.period, *periods], summary.valid.shape)
    _add(total, field, statistics.reference)
    for fold, rest in enumerate(without_folds(total, field, statistics.reference, baselines.step, cuts, leads)):
        own = {period: rest.climatology(period)[0] for period in (climatology.period, *periods)}
        chosen = inits[(inits >= cuts[fold]) & (inits < cuts[fold + 1])]
        for part in near_each_other(chosen, len(area), 2 * design.held(leads), frames_in + leads):
            block = Block(
                series=series,
                design=design,
                climatology=own[climatology.period],
                others={period: own[period] for period in periods},
                area=area,
                inits=part,
                leads=leads,
                ahead=True,
            )
            for lead in range(1, leads + 1):
                z, y = block.predictors(lead), block.targets(lead)
                here = np.isfinite(z[0]).all(0)  # frames that are not there lack at all points
                sums.add(fold, lead, *((z, y) if here.all() else (z[..., here], y[:, here])))
    whole: dict[str, Climatology] = {period: total.climatology(period)[0] for period in periods}
    ridge = Ridge(sums, design, baselines.cycle, np.ones(len(design.names), bool))
    choices = choices or ridge.choose()
    coefficients, within = _coefficients(ridge, choices)
    uniform = coefficients.shape[1] == within.shape[1] == 1
    forecast = LinearForecast(
        name=name,
        design=design,
        choices=choices,
        climatology=climatology,
        others=whole,
        valid=summary.valid,
        area=area,
        group=np.zeros_like(group) if uniform else group,
        coefficients=coefficients,
        within=within,
    )
    squares = dict(zip(("rmse", "best_baseline"), ridge.left_out(choices), strict=True))
    return forecast, {kind: np.sqrt(np.maximum(values, 0)).tolist() for kind, values in squares.items()}


def without_folds(
    total: Sums, field: xr.DataArray, rows: np.ndarray, step: Step, cuts: np.ndarray, leads: int
) -> Iterator[Sums]:
    """Of each fold, the sums of those frames at `rows`, all of which are in `total`, that are no target of the fold."""
    times = field["time"].values
    slots = step.index(times, times[0])[rows]
    for start, stop in pairwise(cuts):
        part = total.empty()
        _add(part, field, rows[(slots > start) & (slots < stop + leads)])
        yield total.without(part)


def _add(sums: Sums, field: xr.DataArray, rows: np.ndarray) -> None:
    """Add frames at some positions, read in bounded blocks."""
    times, size = field["time"].values, fitting(4 * field[0].size, 16)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        frames = field.isel(time=slice(int(part[0]), int(part[-1]) + 1)).values[part - part[0]]
        sums.add(times[part], np.asarray(frames, np.float32))


def _further(summary: Summary, chosen: Period, points: int) -> list[Period]:
    """Periods of further climatologies, where there is memory for their sums."""
    periods = [period for period in supported(summary.step, cycles_in(summary.times)) if period != chosen]
    fits = 3 * size_of(summary.step, [*periods, chosen], points) <= fitting(1, 4)
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


def _thinned(inits: np.ndarray, points: int) -> np.ndarray:
    """Init slots, evenly spread where all would be more work than they are worth."""
    most = max(FEWEST_INITS, WORK // points)
    return inits if len(inits) <= most else inits[np.linspace(0, len(inits) - 1, most).round().astype(int)]


def _coefficients(ridge: Ridge, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients with all predictors, and with those of the T input frames alone, as `LinearForecast` has them."""
    leads = range(ridge.leads)
    coefficients = _stacked([ridge.solve(ridge.folds, lead, choices) for lead in leads])
    if not ridge.design.far:
        return coefficients, coefficients
    # Without the far cycles another baseline may be the best one; strength and shrinkage are those of all.
    short = Ridge(ridge.sums, ridge.design, ridge.cycle, ridge.design.within)
    names, improved = short.compare(choices.strength)
    own = replace(choices, baseline=names, improved=improved)
    return coefficients, _stacked([short.solve(short.folds, lead, own) for lead in leads])


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """(L, G, K) float32 of (G, K) or (1, K) each; (L, 1, K) where no lead differs by group."""
    groups = max(len(part) for part in parts)
    return np.stack([np.broadcast_to(part, (groups, part.shape[1])) for part in parts]).astype(np.float32)
