"""Scores of members and bounds: one value a map, weighted by area, over the points that truth and forecast know.

With members x_1 .. x_M and the truth y, of one point:

* CRPS, fair (Ferro 2014, Quarterly Journal of the Royal Meteorological Society 140, 1917-1923): mean |x_i - y| less
  sum |x_i - x_j| over all pairs / (2 M (M - 1)). Its mean does not depend on M if members are drawn alike.
* spread: the variance of the members, sum (x_i - mean)^2 / (M - 1). The squared error of their mean is, for members
  that the truth could be one of, (M + 1) / M times that in the mean.
* rank: how many members lie below the truth, 0 to M; where some are equal to it (where it is dry) every rank that it
  could have counts alike. All ranks are as frequent if the truth could be one of the members.

And of bounds: how often the truth lies at or below each, and how far two at q and 1 - q lie apart.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from simvp.coords import BOUNDS_OF, MEMBERS_OF, Grid, area_weights, horizontal_dims, single_maps
from simvp.scoring.scores import align, frames_of


def ensemble_errors(
    forecast: xr.Dataset, truth: xr.Dataset, *, weights: np.ndarray | None = None, weighting: str | None = None
) -> xr.Dataset:
    """Scores of every map of a forecast with members, bounds or both.

    Parameters
    ----------
    forecast
        Labelled, with ``<variable>_member`` or ``<variable>_quantile`` beside every variable.
    truth, weights, weighting
        As for `simvp.scoring.compare`.

    Returns
    -------
    xr.Dataset
        Dims (variable, init_time, lead_time). `absolute_error` of the single forecast, on the same points; with
        members `crps`, `variance`, `mean_squared_error` (of the mean of the members) and `ranks` (..., rank), the
        share of the map that has a rank; with bounds `below` (..., quantile), the share at or below a bound, and
        `width` (..., quantile), the distance of the bound at 1 - q from that at q, NaN where there is none. `points`:
        how many. NaN where there is none.

    Raises
    ------
    Refusal
        As `simvp.scoring.compare`.
    """
    single = single_maps(forecast)
    truth, positions = align(single, truth)
    rows, columns = horizontal_dims(single)
    if weights is None:
        weights, weighting = area_weights(Grid.of(single))
    area = np.asarray(weights, np.float64).reshape(-1)
    shape = single.sizes["init_time"], single.sizes["lead_time"]
    levels = forecast["quantile"].values if "quantile" in forecast.coords else np.empty(0)
    found: dict[str, list[np.ndarray]] = {}
    for name in map(str, single.data_vars):
        own = {
            key: forecast[name + suffix].transpose("init_time", "lead_time", dim, rows, columns)
            for key, suffix, dim in (("members", MEMBERS_OF, "member"), ("bounds", BOUNDS_OF, "quantile"))
            if name + suffix in forecast
        }
        field = single[name].transpose("init_time", "lead_time", rows, columns)
        parts = []
        for i in range(shape[0]):  # one after the other: members are many
            observed = frames_of(truth[name], positions[i], np.float64).reshape(shape[1], -1)
            one = {key: array[i].values.reshape(*array.shape[1:3], -1).astype("f8") for key, array in own.items()}
            parts.append(_map_scores(field[i].values.reshape(shape[1], -1), one, observed, area, levels))
        for key in parts[0]:
            found.setdefault(key, []).append(np.stack([part[key] for part in parts]))
    dims = ("variable", "init_time", "lead_time")
    more = {"ranks": ("rank",), "below": ("quantile",), "width": ("quantile",)}
    coords = {name: single[name].variable for name in ("init_time", "lead_time", "valid_time")}
    coords["units"] = xr.Variable("variable", [str(single[name].attrs.get("units", "")) for name in single.data_vars])
    if len(levels):
        coords["quantile"] = xr.Variable("quantile", levels)
    return xr.Dataset(
        {key: ((*dims, *more.get(key, ())), np.stack(values)) for key, values in found.items()},
        coords={"variable": list(map(str, single.data_vars)), **coords},
        attrs={"weighting": weighting or "given"},
    )


def _map_scores(
    field: np.ndarray, own: Mapping[str, np.ndarray], observed: np.ndarray, area: np.ndarray, levels: np.ndarray
) -> dict[str, np.ndarray]:
    """By name, (L,) or (L, ranks or levels), of maps (L, P) and of members and bounds (L, M or R, P)."""
    known = np.isfinite(observed) & np.isfinite(field)
    for maps in own.values():
        known &= np.isfinite(maps).all(1)
    weight = known * area
    total = weight.sum(-1, keepdims=True)
    weight = np.divide(weight, total, out=np.full_like(weight, np.nan), where=total > 0)
    observed = np.where(known, observed, 0.0)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray((np.where(known, values, 0.0) * weight).sum(-1))

    found = {"absolute_error": mean(np.abs(field - observed)), "points": known.sum(-1)}
    if "members" in own:
        members = np.where(known[:, None], own["members"], 0.0)
        average = members.mean(1)
        found |= {
            "crps": mean(fair_crps(members, observed)),
            "variance": mean(members.var(1, ddof=1) if members.shape[1] > 1 else np.full_like(observed, np.nan)),
            "mean_squared_error": mean((average - observed) ** 2),
            "ranks": rank_shares(members, observed, weight),
        }
    if "bounds" in own:
        bounds = np.where(known[:, None], own["bounds"], 0.0)
        found["below"] = np.stack([mean(observed <= bounds[:, r]) for r in range(len(levels))], axis=-1)
        found["width"] = np.full(found["below"].shape, np.nan)
        for r, level in enumerate(levels):
            if (other := np.flatnonzero(np.isclose(levels, 1 - level))).size and level < 0.5:
                found["width"][:, r] = mean(bounds[:, other[0]] - bounds[:, r])
    return found


def fair_crps(members: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(L, P) of members (L, M, P); NaN of a single member."""
    count = members.shape[1]
    if count < 2:
        return np.full(observed.shape, np.nan)
    ordered = np.sort(members, axis=1)
    # sum over pairs i < j of x_(j) - x_(i): the k-th of M is the larger one k - 1 times, the smaller one M - k times.
    factor = 2 * np.arange(1, count + 1) - count - 1
    pairs = np.einsum("m,lmp->lp", factor.astype("f8"), ordered)
    return np.asarray(np.abs(members - observed[:, None]).mean(1) - pairs / (count * (count - 1)))


def rank_shares(members: np.ndarray, observed: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(L, M + 1) share of the weights (L, P), of sum 1, at which the truth has each rank among members (L, M, P)."""
    leads, count = members.shape[:2]
    lower = (members < observed[:, None]).sum(1)
    equal = (members == observed[:, None]).sum(1)
    part = weight / (equal + 1)
    steps = np.zeros((leads, count + 2))
    every = np.arange(leads)[:, None]
    np.add.at(steps, (every, lower), part)
    np.add.at(steps, (every, lower + equal + 1), -part)
    return np.asarray(steps.cumsum(1)[:, :-1])
