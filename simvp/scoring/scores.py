"""Scores of labelled forecasts: one alignment, one set of area weights, a count beside every number.

Every point error is averaged over a map first, weighted by area, over the points where forecast and truth are both
known; maps are averaged afterwards, each counting alike. A constant error therefore scores the same on every grid.

Forecasts that are compared (`compare`) are scored on exactly the same points of every map: those where the truth and
all of them are known. One that knows less than half of the points that the first one does has no score for that map,
so that it does not decide where all others are judged.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from simvp.budget import fitting
from simvp.coords import Grid, area_weights, check, horizontal_dims, single_maps
from simvp.errors import Refusal
from simvp.times import encode_times
from simvp.values import same_units

_MOMENTS = ("anomaly_covariance", "anomaly_variance_forecast", "anomaly_variance_truth")
_MEANS = ("squared_error", "absolute_error", "error", *_MOMENTS)


class ClimatologyLike(Protocol):
    """Normal values by time; `simvp.contract.climatology.Climatology` is one."""

    def at(self, times: np.ndarray) -> np.ndarray:
        """Maps (N, H, W) for the times (N,)."""


def compare(
    forecasts: Mapping[str, xr.Dataset],
    truth: xr.Dataset,
    *,
    weights: np.ndarray | None = None,
    weighting: str | None = None,
    climatology: Mapping[str, ClimatologyLike] | None = None,
) -> xr.Dataset:
    """Area-weighted mean errors of every map of some forecasts, on the same points of every map.

    Parameters
    ----------
    forecasts
        By the name of the system, for the same init times and leads on one grid: labelled forecasts, variables with
        dims (init_time, lead_time, row, column) in any order. The first says which variables are scored; what another
        one does not forecast has no score. Members and bounds beside a variable are not looked at.
    truth
        Canonical Dataset with dims (time, row, column), which may be lazy. Its grid has to be the forecasts':
        the size first, then the coordinates to 1/1000 of their spacing; the order along an axis does not matter.
        Its frames are looked up at `valid_time`, exactly.
    weights, weighting
        (H, W) weight of every point and its name; by default `area_weights` of the forecasts' grid.
    climatology
        Normal values of each variable, for the anomaly moments; without it those are left out.

    Returns
    -------
    xr.Dataset
        Dims (system, variable, init_time, lead_time). `squared_error`, `absolute_error`, `error` (forecast - truth),
        and `anomaly_covariance`, `anomaly_variance_forecast`, `anomaly_variance_truth`: weighted means over the points
        known in all (for the moments: of the climatology too), NaN where there is none; `points`: how many.
        Coordinates `valid_time` and `units`; attribute `weighting`.

    Raises
    ------
    Refusal
        Not a labelled forecast, variables without truth, other units, another grid, another calendar, forecasts of
        other times than the first, or not one valid time for which there is truth. All reasons at once.
    """
    first = single_maps(next(iter(forecasts.values())))
    truth, positions = align(first, truth)
    systems = [first, *beside(first, list(forecasts.items())[1:])]
    rows, columns = horizontal_dims(first)
    if weights is None:
        weights, weighting = area_weights(Grid.of(first))
    flat = np.asarray(weights, np.float64).reshape(-1)
    shape = (first.sizes["init_time"], first.sizes["lead_time"])
    names = [str(name) for name in first.data_vars]
    kept = _MEANS if climatology is not None else tuple(n for n in _MEANS if n not in _MOMENTS)
    means = {key: np.full((len(systems), len(names), *shape), np.nan) for key in kept}
    points = np.zeros((len(systems), len(names), *shape), dtype=np.int64)
    size = fitting(4 * shape[1] * flat.size, share=64)
    for v, name in enumerate(names):
        having = [s for s, system in enumerate(systems) if name in system]
        fields = [systems[s][name].transpose("init_time", "lead_time", rows, columns) for s in having]
        for start in range(0, shape[0], size):
            part = slice(start, start + size)
            wanted, inverse = np.unique(positions[part], return_inverse=True)
            observed = frames_of(truth[name], wanted, np.float64).reshape(len(wanted), -1)
            normal = None
            if climatology is not None:  # where nothing was observed it is that of another time, and is not looked at
                normal = climatology[name].at(truth["time"].values[wanted]).reshape(observed.shape).astype("f8")
            predicted = [field.isel(init_time=part).values.reshape(-1, shape[1], flat.size) for field in fields]
            # One init time after the other: its maps fit into the processor's cache, which all of them do not.
            for i, row in enumerate(inverse.reshape(-1, shape[1]), start):
                normals = None if normal is None else normal[row]
                maps = [values[i - start] for values in predicted]
                known = _common(maps, np.isfinite(observed[row]))
                for s, values, where in zip(having, maps, known, strict=True):
                    found, points[s, v, i] = _map_means(values, observed[row], normals, flat, where)
                    for key, mean in found.items():
                        means[key][s, v, i] = mean
    dims = ("system", "variable", "init_time", "lead_time")
    units = [str(first[name].attrs.get("units", "")) for name in names]
    time_coords = {name: first[name].variable for name in ("init_time", "lead_time", "valid_time")}
    return xr.Dataset(
        {**{key: (dims, values) for key, values in means.items()}, "points": (dims, points)},
        coords={"system": list(forecasts), "variable": names, "units": ("variable", units), **time_coords},
        attrs={"weighting": weighting or "given"},
    )


def summarise(errors: xr.Dataset, dim: str | Sequence[str] = "init_time", *, paired: str | None = None) -> xr.Dataset:
    """Root mean square error, mean absolute error, bias and anomaly correlation, with the count behind each.

    Parameters
    ----------
    errors
        As `compare` gives it; further dims (a system, say) are kept.
    dim
        What to average over: "init_time" for scores by lead, ("init_time", "lead_time") for one number.
    paired
        A dim along which scores will be compared ("system"): a map counts only if all along this dim have it.

    Returns
    -------
    xr.Dataset
        `rmse` = sqrt(mean squared_error), `mae`, `bias` = mean(forecast - truth), in the variable's units;
        `acc`, if the moments are there: mean covariance over the root of the product of the mean variances of the
        departures from climatology, not centred; `n`: number of maps; `points`: of all these maps together. NaN
        where n is 0.
    """
    dims = [dim] if isinstance(dim, str) else list(dim)
    known = errors["squared_error"].notnull()
    if paired is not None:
        known = known & known.all(paired)
    n = known.sum(dims)

    def mean(name: str) -> xr.DataArray:
        return errors[name].where(known, 0.0).sum(dims) / n.where(n > 0)

    # The root last, over all maps, as in WeatherBench 2 (arXiv 2308.15560): a mean of roots weighs bad days less.
    made = {"rmse": mean("squared_error") ** 0.5, "mae": mean("absolute_error"), "bias": mean("error")}
    if "anomaly_covariance" in errors:
        # Of means: the ratio of a single map with hardly any anomaly is noise, and would count as much as any other.
        scale = (mean("anomaly_variance_forecast") * mean("anomaly_variance_truth")) ** 0.5
        made["acc"] = mean("anomaly_covariance") / scale.where(scale > 0)
    if "points" in errors:
        made["points"] = errors["points"].where(known, 0).sum(dims)
    return xr.Dataset({**made, "n": n}, attrs=errors.attrs)


def align(forecast: xr.Dataset, truth: xr.Dataset) -> tuple[xr.Dataset, np.ndarray]:
    """Truth on the forecast's grid, and the position (I, L) of each valid time in it, -1 for none."""
    check(forecast)
    reasons = []
    if "member" in forecast.dims:
        reasons.append("member: expected one forecast per init time, got an ensemble; take its mean or one member")
    for name, field in forecast.data_vars.items():
        if name not in truth.data_vars:
            listed = ", ".join(map(str, truth.data_vars)) or "none"
            reasons.append(f"variables: expected truth for {name}, got {listed}")
            continue
        ours, theirs = field.attrs.get("units"), truth[name].attrs.get("units")
        if ours is not None and theirs is not None and not same_units(str(ours), str(theirs)):
            reasons.append(f"{name}: the forecast is in {ours}, the truth in {theirs}")
    grid = Grid.of(forecast)
    reasons += grid.faults(truth)
    valid, calendar = encode_times(forecast["valid_time"].transpose("init_time", "lead_time").values)
    times, other = encode_times(truth["time"].values)
    positions = np.full(valid.shape, -1, dtype=np.int64)
    if calendar != other:
        reasons.append(f"time: the forecast counts in the {calendar} calendar, the truth in {other}")
    elif times.size:
        positions = positions_of(valid, times)
    if calendar == other and (positions < 0).all():
        reasons.append(f"time: {_no_truth(forecast, truth)}")
    if reasons:
        raise Refusal("Scores: forecast and truth do not belong together", reasons)
    names = list(forecast.data_vars)
    return grid.align(truth[names].transpose("time", *grid.dims)), positions


def positions_of(wanted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Position among `times` (N,), in any order, of each of the times that are wanted; -1 where it is not there."""
    order = np.argsort(times, kind="stable")
    # What comes after the last time is set beside the last, and differs.
    place = order[np.searchsorted(times, wanted, sorter=order).clip(max=times.size - 1)]
    return np.where(times[place] == wanted, place, -1)


def frames_of(field: xr.DataArray, positions: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Frames (..., H, W) of (time, row, column) at any positions (...), each read once; NaN where one is negative."""
    distinct, inverse = np.unique(positions, return_inverse=True)
    frames = np.full((len(distinct), *field.shape[1:]), np.nan, dtype)
    frames[distinct >= 0] = field.isel(time=distinct[distinct >= 0]).values
    return frames[inverse.reshape(positions.shape)]


def beside(first: xr.Dataset, others: Sequence[tuple[str, xr.Dataset]]) -> list[xr.Dataset]:
    """Other forecasts in the order of the grid of the first."""
    grid, aligned, reasons = Grid.of(first), [], []
    for name, forecast in others:
        forecast = single_maps(forecast)
        check(forecast)
        faults = [
            f"{dim}: expected those of the first forecast, got others"
            for dim in ("init_time", "lead_time", "valid_time")
            if not np.array_equal(forecast[dim].values, first[dim].transpose(*forecast[dim].dims).values)
        ]
        for variable in set(first.data_vars) & set(forecast.data_vars):
            ours, theirs = (str(ds[variable].attrs.get("units", "")) for ds in (first, forecast))
            if ours and theirs and not same_units(ours, theirs):
                faults.append(f"{variable}: expected units {ours}, got {theirs}")
        faults += grid.faults(forecast)
        reasons += [f"{name}: {fault}" for fault in faults]
        aligned.append(forecast if faults else grid.align(forecast))
    if reasons:
        raise Refusal("Scores: forecasts of different times or places cannot be compared", reasons)
    return aligned


def _common(maps: Sequence[np.ndarray], seen: np.ndarray) -> list[np.ndarray]:
    """Of each of some forecasts (L, P) where it is scored (L, P), given where the truth is known; see the module."""
    own = [np.isfinite(values) & seen for values in maps]
    if len(own) == 1 or all(known.all() for known in own):
        return own
    counts = [(known & own[0]).sum(-1) for known in own]
    scored = [2 * count >= counts[0] for count in counts]
    everywhere = np.logical_and.reduce([known | ~counted[:, None] for known, counted in zip(own, scored, strict=True)])
    return [everywhere & counted[:, None] for counted in scored]


def _no_truth(forecast: xr.Dataset, truth: xr.Dataset) -> str:
    valid = forecast["valid_time"].values
    if not truth.sizes["time"] or not valid.size:
        return f"expected truth for some valid time, got {truth.sizes['time']} frames for {valid.size} forecasts"
    times = truth["time"].values
    return (
        f"expected truth for some of the valid times {valid.min()} .. {valid.max()}, got frames from "
        f"{times.min()} to {times.max()}, none of them at one of these times"
    )


def _map_means(
    predicted: np.ndarray, observed: np.ndarray, normal: np.ndarray | None, weights: np.ndarray, known: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weighted means over the last axis of (L, H * W), where it is known, by name, and the number of points behind."""
    error = predicted - observed
    points = known.sum(-1)
    error, weight, total = _weigh(error, known, weights)
    weighted = error * weight
    sums = {
        "squared_error": (weighted * error).sum(-1),
        "absolute_error": np.abs(weighted).sum(-1),
        "error": weighted.sum(-1),
    }
    found = {key: _divide(values, total) for key, values in sums.items()}
    if normal is not None:
        theirs = observed - normal
        theirs, weight, total = _weigh(theirs, known & np.isfinite(theirs), weights)
        ours = error + theirs  # forecast - normal, and 0 where either is not known
        moments = (theirs * weight * ours, ours * weight * ours, theirs * weight * theirs)
        found |= {key: _divide(m.sum(-1), total) for key, m in zip(_MOMENTS, moments, strict=True)}
    return found, points


def _weigh(values: np.ndarray, known: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with zeros where nothing is known, the weight of each, and the sum of the weights (L,)."""
    if known.all():
        return values, weights, np.full(len(values), weights.sum())
    return np.where(known, values, 0.0), known * weights, known @ weights


def _divide(sums: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
