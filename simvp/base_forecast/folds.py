"""What one pass over the frames leaves of a variable: sums by fold, for one transform or for several at once.

Folds are equal stretches of the init times. Each fold's departures are from a climatology that is made without it: from
one that has seen them they would be too small, and what was there a cycle before would get the wrong sign.

Frames are read three times, however many transforms there are: for the climatology of all, for what each fold takes
away from it, and for the sums; there once more for each cycle that reaches beyond the T input frames, and T + L more
for each block of init times.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import xarray as xr

from simvp.base_forecast.normal_equations import NormalEquations, group_points, most_groups
from simvp.base_forecast.places import fitted, stride, with_neighbours
from simvp.base_forecast.predictors import Block, Design
from simvp.base_forecast.ridge import Ridge
from simvp.base_forecast.sample import Sample
from simvp.base_forecast.series import Series, near_each_other
from simvp.base_forecast.transform import Transform
from simvp.budget import fitting
from simvp.contract import Climatology, Period, Sums
from simvp.coords import Step


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """The past of a variable, as far as it is fitted on, and the folds in it.

    Parameters
    ----------
    series
        The frames as they are.
    rows
        Positions of those that count.
    area
        (P,) weights of the points, of sum one.
    period, periods
        Of the climatology, and of the further ones.
    design, cycle
        Which predictors; cycle of seasonal persistence.
    bounded
        Whether it never goes below zero, as amounts and what has that bound.
    cuts
        (F + 1,) slots of init times at which the folds begin and end.
    inits
        (N,) rising slots.
    """

    series: Series
    rows: np.ndarray
    area: np.ndarray
    period: Period
    periods: Sequence[Period]
    design: Design
    cycle: int | None
    bounded: bool
    cuts: np.ndarray
    inits: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """What a pass leaves under one transform: sums to solve, climatologies by period of all frames, and a sample.

    `group` (P,) is of all points, those of the sums are of the points that were fitted on.
    """

    transform: Transform
    ridge: Ridge
    group: np.ndarray
    climatologies: Mapping[str, Climatology]
    sample: Sample


def pass_over(
    past: Past, transforms: Sequence[Transform], leads: Sequence[int], *, reach: int, sampled: bool
) -> list[Passage]:
    """One pass for some transforms and leads; leads of what it leaves are counted among these.

    Parameters
    ----------
    reach
        L, the longest of all leads: frames up to it are targets of a fold.
    sampled
        Whether a sample is taken.
    """
    design, series, valid = past.design, past.series, past.series.valid
    places = fitted(valid)
    near = with_neighbours(places, valid)
    on, area = places[near], _shares(past.area, near[valid])
    reads: dict[Hashable, np.ndarray] | None = {} if len(transforms) > 1 else None
    kept = [replace(series, transform=transform, kept=reads, valid=near) for transform in transforms]
    folds, size = len(past.cuts) - 1, len(design.names)
    whole_group, groups = group_points(valid, most_groups(folds, len(leads) * len(transforms), size), stride(valid))
    group, area_on = whole_group[places[valid]], _shares(past.area, places[valid])
    sums = [NormalEquations.empty(folds, len(leads), group, size, area_on, groups) for _ in transforms]
    samples = [Sample.empty(transform, group, area_on, len(leads) * size) for transform in transforms]
    spread = samples[0].spread(past.inits) if sampled else past.inits[:0]
    periods = list(dict.fromkeys([past.period, *past.periods]))
    totals = [Sums(series.step, periods, series.valid.shape) for _ in transforms]
    add(totals, transforms, series.field, past.rows)
    rests = without_folds(totals, transforms, series.field, past.rows, series.step, past.cuts, reach)
    for fold, fold_sums in enumerate(rests):
        climatologies = [{period: rest.climatology(period)[0] for period in periods} for rest in fold_sums]
        chosen = past.inits[(past.inits >= past.cuts[fold]) & (past.inits < past.cuts[fold + 1])]
        for part in near_each_other(chosen, len(area), 2 * design.held(reach), design.frames_in + reach):
            for own, normal, total, sample in zip(kept, climatologies, sums, samples, strict=True):
                block = Block(
                    series=own,
                    design=design,
                    climatology=normal[past.period],
                    others={period: normal[period] for period in past.periods},
                    area=area,
                    inits=part,
                    leads=reach,
                    ahead=True,
                    whole=series,
                )
                for number, lead in enumerate(leads):
                    made = block.predictors(lead), block.targets(lead), block.reference(lead)
                    z, y, reference = made if on.all() else (maps[on] for maps in made)
                    here = np.isfinite(z[0]).all(0)  # frames that are not there lack at all points
                    total.add(fold, number + 1, *((z, y) if here.all() else (z[..., here], y[:, here])))
                    if (taken := here & np.isin(part, spread)).any():
                        sample.add(fold, number, z, reference, y, taken)
            if reads:
                reads.clear()
    return [
        Passage(
            transform=transform,
            ridge=Ridge(own, design, past.cycle, np.ones(size, bool)),
            group=whole_group,
            climatologies={period: total.climatology(period)[0] for period in periods},
            sample=sample,
        )
        for transform, own, total, sample in zip(transforms, sums, totals, samples, strict=True)
    ]


def _shares(area: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Area weights of some points, of sum one again."""
    return area if points.all() else area[points] / area[points].sum()


def without_folds(
    totals: Sequence[Sums],
    transforms: Sequence[Transform],
    field: xr.DataArray,
    rows: np.ndarray,
    step: Step,
    cuts: np.ndarray,
    leads: int,
) -> Iterator[list[Sums]]:
    """Of each fold, the sums of those frames at `rows`, all of them in `totals`, that are no target of the fold."""
    times = field["time"].values
    slots = step.index(times, times[0])[rows]
    for start, stop in pairwise(cuts):
        parts = [total.empty() for total in totals]
        add(parts, transforms, field, rows[(slots > start) & (slots < stop + leads)])
        yield [total.without(part) for total, part in zip(totals, parts, strict=True)]


def add(sums: Sequence[Sums], transforms: Sequence[Transform], field: xr.DataArray, rows: np.ndarray) -> None:
    """Add frames at some positions, each to the sums of every transform, read in bounded blocks."""
    times, size = field["time"].values, fitting(4 * field[0].size, 16)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        frames = field.isel(time=slice(int(part[0]), int(part[-1]) + 1)).values[part - part[0]]
        frames = np.asarray(frames, np.float32)
        for own, transform in zip(sums, transforms, strict=True):
            own.add(times[part], transform.forward(frames))
