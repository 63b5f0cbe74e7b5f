"""`simvp.score`: all scores of a forecast against what was observed, by variable and lead."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from simvp.coords import canonicalise, find_axes, horizontal_dims, single_maps
from simvp.errors import Refusal
from simvp.scoring.ensembles import ensemble_errors
from simvp.scoring.events import contingency, event_sums, fractions_skill
from simvp.scoring.scores import compare
from simvp.scoring.spectra import energy
from simvp.times import fields_of

SUBJECT = "Score of a forecast"
DRAWS = 1000
_MEAN = ("crps", "variance", "mean_squared_error", "ranks", "below", "width")


def score(
    forecast: xr.Dataset | xr.DataArray,
    truth: xr.Dataset | xr.DataArray,
    *,
    thresholds: Mapping[str, Sequence[float]] | None = None,
    region: Mapping[str, tuple[float, float]] | xr.DataArray | None = None,
    by: Literal["lead", "all", "month", "hour"] = "lead",
    interval: float | None = None,
    block: int | None = None,
) -> xr.Dataset:
    """Scores of a forecast, and of its members and bounds where it has them.

    Parameters
    ----------
    forecast
        As `simvp.predict` gives it, on any names of axes.
    truth
        What was observed: labelled data on the grid of the forecast, on any names of axes. Valid times that it lacks
        have no score.
    thresholds
        By variable, in its units. Whether they were reached is scored too.
    region
        First and last value of an axis or of two, as {"latitude": (45, 60)}, both included; or a mask, True at the
        points that count.
    by
        "lead"; or all leads together: "all", or by the month, or the hour of the day, of the valid time.
    interval
        Part of the draws of a block bootstrap over the init times that lies between the limits of a score, as 0.9.
    block
        Init times of a block of it; by default as many as share a target with the first.

    Returns
    -------
    xr.Dataset
        By variable and lead (or month, or hour, or of all alike): `rmse`, `mae`, `bias` in the units of the
        variable; `n`, maps. With members `crps` (fair), `spread` (root of the mean variance of the members times
        (M + 1) / M), `member_rmse` (of their mean; the two are alike if the truth could be a member) and `ranks`. With
        bounds `below` (quantile), the share of what was observed at or below each, `coverage` and `width` of pairs q
        and 1 - q, at the lower of
        them. With thresholds `csi`, `ets`, `frequency_bias` and `fss` (scale). `energy_ratio` (band), of forecast and
        truth by wavelength, where whole maps are known. Limits as ``<score>_low`` and ``<score>_high``.
        What each is: `simvp.scoring.scores`, `ensembles`, `events` and `spectra`.

    Raises
    ------
    Refusal
        A forecast and a truth that do not belong together, thresholds of other variables, a region without a point.
    """
    forecast = canonical_forecast(forecast)
    names = [str(name) for name in single_maps(forecast).data_vars]
    observed, _ = canonicalise(truth.to_dataset() if isinstance(truth, xr.DataArray) else truth, names)
    _refuse(names, thresholds, interval)
    if region is not None:
        observed = observed.where(_inside(observed, region))
    parts = [compare({"forecast": forecast}, observed).sel(system="forecast", drop=True)]
    if len(forecast.data_vars) > len(names):
        beside = ensemble_errors(forecast, observed)
        parts.append(beside[[name for name in _MEAN if name in beside]])
    sums = None if not thresholds else event_sums({"forecast": forecast}, observed, thresholds)
    errors = xr.merge(parts, join="exact", compat="override", combine_attrs="override")
    every = xr.DataArray(np.ones((1, errors.sizes["init_time"])), dims=("draw", "init_time"))
    draws = None if interval is None else _draws(errors.sizes["init_time"], block or _shared(errors))
    tables = []
    for part in _groups(errors, by).values():
        own = errors.where(part), None if sums is None else sums.where(part, 0.0), by
        table = _table(*own, every).squeeze("draw", drop=True)
        if draws is not None and interval is not None:
            edges = _table(*own, draws).drop_vars(["n", "ranks"], errors="ignore")
            for side, level in (("low", (1 - interval) / 2), ("high", (1 + interval) / 2)):
                limit = edges.map(lambda one, level=level: one.reduce(np.nanquantile, "draw", q=level))
                table = table.assign({f"{name}_{side}": values for name, values in limit.data_vars.items()})
        tables.append(table)
    if by in ("lead", "all"):
        (table,) = tables
    else:
        table = xr.concat(tables, by).assign_coords({by: list(_groups(errors, by))})
    if by == "lead" and region is None:
        found = energy({"forecast": forecast}, observed)["energy"]
        table["energy_ratio"] = found.sel(system="forecast", drop=True) / found.sel(system="truth", drop=True)
    return table.assign_coords(units=errors["units"]).assign_attrs(weighting=errors.attrs["weighting"])


def _table(errors: xr.Dataset, sums: xr.DataArray | None, by: str, weights: xr.DataArray) -> xr.Dataset:
    """All scores, of the init times weighted (draw, init_time): by lead, or over all leads."""
    over = ["init_time"] if by == "lead" else ["init_time", "lead_time"]

    def mean(name: str) -> xr.DataArray:
        known = errors[name].notnull()
        count = xr.dot(known.astype(float), weights, dim=over)
        return xr.dot(errors[name].fillna(0.0), weights, dim=over) / count.where(count > 0)

    made = {"rmse": mean("squared_error") ** 0.5, "mae": mean("absolute_error"), "bias": mean("error")}
    made["n"] = errors["squared_error"].notnull().sum(over).expand_dims(draw=weights.sizes["draw"])
    if "crps" in errors:
        members = errors.sizes["rank"] - 1
        made["crps"] = mean("crps")
        made["spread"] = (mean("variance") * (members + 1) / members) ** 0.5
        made["member_rmse"] = mean("mean_squared_error") ** 0.5
        made["ranks"] = mean("ranks")
    if "below" in errors:
        made["below"] = mean("below")
        levels = errors["quantile"].values
        lower = [level for level in levels if level < 0.5 and np.isclose(levels, 1 - level).any()]
        if lower:
            upper = [levels[np.isclose(levels, 1 - level)][0] for level in lower]
            named = {"quantile": "lower"}
            high = made["below"].sel(quantile=upper).rename(named).assign_coords(lower=lower)
            made["coverage"] = high - made["below"].sel(quantile=lower).rename(named)
            made["width"] = mean("width").sel(quantile=lower).rename(named)
    if sums is not None:
        total = xr.dot(sums, weights, dim=over).isel(contender=0, drop=True)
        made |= {str(name): values for name, values in contingency(total).data_vars.items()}
        made["fss"] = fractions_skill(total)
    return xr.Dataset(made)


def canonical_forecast(forecast: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """A labelled forecast under the names latitude and longitude, or y and x."""
    if isinstance(forecast, xr.DataArray):
        if forecast.name is None:
            raise Refusal(SUBJECT, ["expected a DataArray with the name of a variable, got none"], "rename it")
        forecast = forecast.to_dataset()
    if absent := [name for name in ("init_time", "lead_time") if name not in forecast.dims]:
        got = ", ".join(map(str, forecast.dims)) or "none"
        raise Refusal(SUBJECT, [f"dims: expected {', '.join(absent)}, got {got}"], "give what simvp.predict returns")
    if set(horizontal_dims(forecast)) <= set(forecast.dims):
        return forecast
    single = single_maps(forecast).isel(init_time=0, drop=True)
    times = single["valid_time"].variable
    one = (
        single.drop_vars(["valid_time", "lead_time"])
        .rename(lead_time="time")
        .assign_coords(time=("time", times.values))
    )
    axes = find_axes(one, [str(name) for name in one.data_vars])
    new = ("latitude", "longitude") if axes.kind == "latlon" else ("y", "x")
    names = {axes.y: new[0], axes.x: new[1]}
    names |= {own: name for own, name in zip((axes.rows, axes.columns), new, strict=True) if own in forecast.coords}
    return forecast.rename(names)


def _refuse(names: Sequence[str], thresholds: Mapping[str, Sequence[float]] | None, interval: float | None) -> None:
    """Refuse thresholds of what is not forecast, and an interval that is no part of one."""
    limits = thresholds or {}
    reasons = [f"thresholds: expected some of {', '.join(names)}, got {name}" for name in limits if name not in names]
    reasons += [f"thresholds: expected one or more of {name}, got none" for name in limits if not len(limits[name])]
    if interval is not None and not 0 < interval < 1:
        reasons.append(f"interval: expected a number between 0 and 1, got {interval}")
    if reasons:
        raise Refusal(SUBJECT, reasons)


def _inside(truth: xr.Dataset, region: Mapping[str, tuple[float, float]] | xr.DataArray) -> xr.DataArray:
    """Which points (row, column) of the truth a region has."""
    rows, columns = horizontal_dims(truth)
    if isinstance(region, xr.DataArray):
        if region.shape != (truth.sizes[rows], truth.sizes[columns]):
            expected = (truth.sizes[rows], truth.sizes[columns])
            raise Refusal(SUBJECT, [f"region: expected a mask of {expected} points, got {region.shape}"])
        inside = xr.DataArray(np.asarray(region.values, bool), dims=(rows, columns))
    else:
        inside = xr.DataArray(np.ones((truth.sizes[rows], truth.sizes[columns]), bool), dims=(rows, columns))
        for name, (low, high) in region.items():
            if name not in truth.coords or not set(truth[name].dims) <= {rows, columns}:
                raise Refusal(
                    SUBJECT, [f"region: expected {rows} and {columns}, or coordinates along them, got {name}"]
                )
            place = truth[name].variable
            inside = inside & xr.DataArray((place >= min(low, high)) & (place <= max(low, high)), dims=place.dims)
    if not inside.any():
        raise Refusal(SUBJECT, ["region: expected a point of the grid in it, got none"], "look at the coordinates")
    return inside.transpose(rows, columns)


def _groups(errors: xr.Dataset, by: str) -> dict[int, xr.DataArray]:
    """Which init times and leads belong together: by month or hour of the valid time; else all of them."""
    valid = errors["valid_time"].transpose("init_time", "lead_time")
    dims = ("init_time", "lead_time")
    if by in ("lead", "all"):
        return {0: xr.DataArray(np.ones(valid.shape, bool), dims=dims)}
    fields = fields_of(valid.values.reshape(-1))
    name = (fields["month"] if by == "month" else fields["second"] // 3600).reshape(valid.shape)
    return {int(one): xr.DataArray(name == one, dims=dims) for one in np.unique(name)}


def _shared(errors: xr.Dataset) -> int:
    """How many init times, from the first on, share a target with it."""
    first = errors["valid_time"].transpose("init_time", "lead_time").values
    return max(1, int((first[:, 0] <= first[0, -1]).sum()))


def _draws(count: int, block: int) -> xr.DataArray:
    """(draw, init_time) how often each init time is in a draw of blocks of neighbours, which may begin anywhere."""
    random = np.random.default_rng(0)
    block = min(block, count)
    starts = random.integers(0, count, (DRAWS, -(-count // block)))
    picks = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :count] % count
    weights = np.zeros((DRAWS, count))
    np.add.at(weights, (np.arange(DRAWS)[:, None], picks), 1.0)
    return xr.DataArray(weights, dims=("draw", "init_time"))
