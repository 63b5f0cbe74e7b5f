"""Whether a threshold was reached where it was said to be: sums over maps of hits, misses, and of neighbourhoods.

Of a point the field says whether it reaches the threshold (rain at all, a road that is full); of a square of n x n
points around it, what fraction of its points does: f forecast and o observed. Both kinds of score are of sums over
points and maps, for the ratio of a single map with hardly any rain is noise.

* Fractions skill score (Roberts and Lean 2008, Monthly Weather Review 136, 78-97):
  FSS = 1 - sum (f - o)^2 / (sum f^2 + sum o^2), 1 where all is right, 0 where nothing meets at this scale. Skilful from
  1/2 + half the observed frequency on. Points that are not known, and those beyond the edge, are in no square; a square
  has the fraction of those that it has.
* Of squares of one point the same sums count hits h, misses m and false alarms f: critical success index
  (threat score: Schaefer 1990, Weather and Forecasting 5, 570-575), equitable threat score and frequency bias.

They reward the right strength at the right place, so that the forecast that is meant for them is sharp, not the smooth
mean that the squared error asks for (`simvp.scoring.sharp`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.coords import Step, horizontal_dims, single_maps
from simvp.scoring.scores import align, beside, frames_of
from simvp.values import converted

RATES = (0.1, 1.0)
"""mm/h: rain at all, and more than drizzle."""

SCALES = (1, 3, 5, 9, 17, 33)
"""Sides of squares, in points; those that are no longer than the shorter side of a map count."""

SUMS = ("difference", "forecast", "observed", "points")
"""Of (f - o)^2, f^2, o^2, and of the points themselves."""

_LONGEST = 24 * 3600  # seconds: sums of longer steps say little of rates


def rain_thresholds(units: str, step: Step) -> tuple[float, ...] | None:
    """What `RATES` are in some units; None where these are not of rain, or the step is longer than a day.

    Parameters
    ----------
    units
        Of a rate ("mm h-1", "kg m-2 s-1", "m s-1") or of an amount that falls in one step ("mm", "kg m-2", "m").
    step
        Of the series.
    """
    if not 0 < step.seconds <= _LONGEST:
        return None
    hours = step.seconds / 3600
    # 1 kg of water on a square metre is 1 mm.
    for per_hour, other in ((1.0, "mm h-1"), (1.0, "kg m-2 h-1"), (hours, "mm"), (hours, "kg m-2")):
        found = [converted(rate * per_hour, other, units) for rate in RATES]
        if None not in found:
            # Of 2.4000000000000004 mm, 2.4 mm would not be enough.
            return tuple(float(f"{value:.10g}") for value in found if value is not None)
    return None


def rain_limits(forecast: xr.Dataset, names: Sequence[str], step: Step) -> dict[str, tuple[float, ...]]:
    """Thresholds in their units of those of some variables that are rain."""
    limits = {name: rain_thresholds(str(forecast[name].attrs.get("units", "")), step) for name in names}
    return {name: edges for name, edges in limits.items() if edges is not None}


def event_sums(
    forecasts: Mapping[str, xr.Dataset],
    truth: xr.Dataset,
    limits: Mapping[str, Sequence[float]],
    scales: Sequence[int] = SCALES,
) -> xr.DataArray:
    """Sums over every map that the scores of thresholds are made of.

    Parameters
    ----------
    forecasts
        By name, as for `simvp.scoring.compare`. One that lacks a variable has no points in it, and takes none from the
        others.
    truth
        Canonical Dataset.
    limits
        Thresholds of each variable, in its units.
    scales
        Odd sides of squares, in points; that of one point is always among them.

    Returns
    -------
    xr.DataArray
        `SUMS` (init_time, lead_time, contender, thresholded, rank_of_threshold, scale, sum) over the points that the
        truth and all forecasts know. The coordinate `threshold` (thresholded, rank_of_threshold) has the limits; where
        a variable has fewer than another it is NaN, and there are no points.

    Raises
    ------
    Refusal
        As `simvp.scoring.compare`.
    """
    forecasts = {name: _of(single_maps(forecast), limits) for name, forecast in forecasts.items()}
    first = next(iter(forecasts.values()))
    truth, positions = align(first, truth)
    systems = [first, *beside(first, list(forecasts.items())[1:])]
    dims = ("init_time", "lead_time", *horizontal_dims(first))
    sides = [side for side in sorted({1, *scales}) if side == 1 or side <= min(first.sizes[dim] for dim in dims[2:])]
    most = max(map(len, limits.values()))
    inits, leads = first.sizes["init_time"], first.sizes["lead_time"]
    sums = np.zeros((inits, leads, len(systems), len(limits), most, len(sides), len(SUMS)))
    for v, (name, edges) in enumerate(limits.items()):
        having = [s for s, system in enumerate(systems) if name in system]
        fields = [systems[s][name].transpose(*dims) for s in having]
        # Beside the maps themselves, tables and fractions of each.
        at_once = fitting(16 * (len(having) + 2) * fields[0][0, 0].size, share=16)
        for i, start in np.ndindex(inits, -(-leads // at_once)):
            part = slice(start * at_once, (start + 1) * at_once)
            maps = np.stack([field[i, part].values for field in fields])
            seen = frames_of(truth[name], positions[i, part], maps.dtype)
            known = np.isfinite(maps).all(0) & np.isfinite(seen)
            for t, edge in enumerate(edges):
                sums[i, part, having, v, t] = _squares((maps >= edge) & known, (seen >= edge) & known, known, sides)
    limit = np.array([[*edges, *[np.nan] * (most - len(edges))] for edges in limits.values()])
    return xr.DataArray(
        sums,
        dims=("init_time", "lead_time", "contender", "thresholded", "rank_of_threshold", "scale", "sum"),
        coords={
            "contender": list(forecasts),
            "thresholded": list(limits),
            "threshold": (("thresholded", "rank_of_threshold"), limit),
            "scale": sides,
            "sum": list(SUMS),
            "init_time": first["init_time"].variable,
            "lead_time": first["lead_time"].variable,
        },
    )


def contingency(sums: xr.DataArray) -> xr.Dataset:
    """What points that reach a threshold say one by one.

    Returns
    -------
    xr.Dataset
        With hits h, misses m, false alarms f of n points, and h_r = (h + m) (h + f) / n hits by chance: `csi`,
        h / (h + m + f); `ets`, the equitable threat score (h - h_r) / (h + m + f - h_r); `frequency_bias`,
        (h + f) / (h + m). NaN where nothing was there to be hit, or by chance all is.
    """
    hits, every, said, seen, points = outcomes(sums)
    chance = said * seen / points.where(points > 0)
    beyond = every - chance
    return xr.Dataset(
        {
            "csi": hits / every.where(every > 0),
            "ets": (hits - chance) / beyond.where(beyond > 0),
            "frequency_bias": said / seen.where(seen > 0),
        }
    )


def outcomes(sums: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Points: hits; hits, misses and false alarms together; where it was forecast; where it came true; all of them."""
    one = sums.sel(scale=1, drop=True)
    difference, said, seen, points = (one.sel(sum=name, drop=True) for name in SUMS)
    hits = (said + seen - difference) / 2
    return hits, said + seen - hits, said, seen, points


def fractions_skill(sums: xr.DataArray) -> xr.DataArray:
    """FSS by scale; NaN where neither forecast nor truth reached the threshold anywhere."""
    difference, said, seen, _ = (sums.sel(sum=name, drop=True) for name in SUMS)
    return 1 - difference / (said + seen).where(said + seen > 0)


def _of(forecast: xr.Dataset, limits: Mapping[str, Sequence[float]]) -> xr.Dataset:
    return forecast[[name for name in limits if name in forecast]]


def _squares(said: np.ndarray, seen: np.ndarray, known: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """`SUMS` (S, L, side, sum) of fields that say where a threshold is reached, (S, L, H, W) and (L, H, W)."""
    fields = np.concatenate([said, seen[None], known[None]])
    table = np.zeros((*fields.shape[:2], fields.shape[2] + 1, fields.shape[3] + 1), np.int32)
    table[..., 1:, 1:] = fields.cumsum(2, dtype=np.int32).cumsum(3, dtype=np.int32)
    sums = np.empty((*said.shape[:2], len(sides), len(SUMS)))
    for k, side in enumerate(sides):
        reached = _within(table, side)
        # A point that is not known is no place to look from, whatever lies around it.
        share = np.where(known, 1 / np.maximum(reached[-1], 1), 0.0).astype(np.float32)
        fractions = reached[:-1] * share
        for column, values in enumerate((fractions[:-1] - fractions[-1], fractions[:-1], fractions[-1:], known[None])):
            sums[:, :, k, column] = np.square(values, dtype=np.float32).sum((2, 3), dtype=np.float64)
    return sums


def _within(table: np.ndarray, side: int) -> np.ndarray:
    """Sums over the square of `side` points around each point, from the sums over all that lies above and left of it.

    A summed area table (Crow 1984): whole numbers, so that no rounding is taken for a fraction.
    """
    for axis in (2, 3):
        count, half = table.shape[axis] - 1, side // 2
        place = np.arange(count)
        end, start = np.minimum(place + half + 1, count), np.maximum(place - half, 0)
        table = table.take(end, axis) - table.take(start, axis)
    return table
