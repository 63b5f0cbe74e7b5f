"""Bounds and members of a forecast.

A bound at level q is the forecast moved by the quantile q of the errors, in units of their spread, times the spread at
this lead, place and time of day, in this situation. A member is the forecast moved by one whole error map of another
situation, all leads together, put from the spread of then into that of now: so that members keep the structure of
errors in space and from lead to lead. Both are moved in the departures of the contract (after its logarithm, where it
has one), and stay inside the physical bounds and the mask.

Which situations: those in whose part of the day the init time lies (an eighth of a day before or after), where there
are as many as members and `POOL` or more of them; else all. Each at most once, as long as there are enough. The random
numbers follow from the init time and the model's fingerprint alone.

Leads beyond those of the model have errors that nobody has seen. Their variance grows from the last one's in proportion
to the lead, as that of a random walk, as far as two states that know nothing of each other differ: twice the variance
of departures. Their quantiles are those of the last lead; error maps are taken back and forth.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract import FrameSpec
from simvp.coords import BOUNDS_OF, MEMBERS_OF, RATIO_OF, Step
from simvp.times import DAY, encode_times
from simvp.uncertainty.calibration import LEAST, Calibration
from simvp.uncertainty.conformal import at_levels
from simvp.uncertainty.spread import activity, slot_count, slots_of

POOL = 40
PART = DAY // 8  # seconds

_MEMBER_ATTRS = {"standard_name": "realization", "long_name": "member of the ensemble", "units": "1"}
_QUANTILE_ATTRS = {"long_name": "quantile of the forecast", "units": "1"}


def request_faults(calibration: Calibration | None, members: Any, levels: Any, values: int) -> list[str]:
    """What is wrong with a request of members and levels.

    Parameters
    ----------
    calibration
        Of the model; None where it has none.
    members, levels
        As a caller gave them.
    values
        Of the forecast that they are for.
    """
    reasons = []
    if isinstance(members, bool) or not isinstance(members, int | np.integer) or members < 0:
        reasons.append(f"members: expected a whole number from 0, got {members!r}")
        members = 0
    try:
        wanted = np.asarray(tuple(levels), np.float64)
    except (TypeError, ValueError):
        wanted = np.array([np.nan])
    if not ((wanted > 0) & (wanted < 1)).all() or (np.diff(wanted) <= 0).any():
        reasons.append(f"levels: expected rising numbers between 0 and 1, as (0.05, 0.95), got {levels!r}")
        wanted = wanted[:0]
    if not (members or len(wanted)):
        return reasons
    if calibration is None:
        return [
            *reasons,
            "members and levels: expected a model that keeps the errors of its forecasts, got one that "
            "was trained before there were any, or for a benchmark: train it again",
        ]
    low, high = calibration.levels
    if len(wanted) and not (low <= wanted[0] and wanted[-1] <= high):
        reasons.append(
            f"levels: expected {low:g} to {high:g}, of which the errors of the validation say something, got {levels!r}"
        )
    if members and not len(calibration.errors):
        reasons.append(
            f"members: expected a model with error maps, got one of so large a grid that fewer than {LEAST} fit into "
            "its file: ask for levels"
        )
    if members + len(wanted) > (most := fitting(4 * values)):
        reasons.append(
            f"members and levels: expected {most} or fewer together for forecasts of this size, got "
            f"{members + len(wanted)}: forecast fewer init times at a time"
        )
    return reasons


def with_bounds(
    forecast: xr.Dataset,
    spec: FrameSpec,
    calibration: Calibration,
    *,
    members: int,
    levels: Sequence[float],
    fingerprint: str,
) -> xr.Dataset:
    """A labelled forecast with its members, ``<variable>_member``, and its bounds, ``<variable>_quantile``.

    Parameters
    ----------
    forecast
        Canonical, of all states of the contract.
    members
        Number of members; none where 0.
    levels
        Rising, between 0 and 1.
    fingerprint
        Of the model, in hexadecimal digits.

    Where the forecast says how errors of late were, beside those of the validation (``<variable>_error_ratio``), the
    spread is that many times as large.
    """
    init_times, leads = forecast["init_time"].values, forecast.sizes["lead_time"]
    scale = _spread(calibration, spec, forecast)
    chosen = [_situations(calibration, spec.step, time, members, fingerprint) for time in encode_times(init_times)[0]]
    made: dict[str, xr.Variable] = {}
    for s, state in enumerate(spec.state_channels):
        field = forecast[state.name]
        dims, values = field.dims, field.transpose("init_time", "lead_time", ...).values
        attrs = {key: text for key, text in field.attrs.items() if key != "cell_methods"}
        own = scale[:, :, s]  # (I, L, H, W)
        if members:
            maps = np.empty((*values.shape[:2], members, *values.shape[2:]), np.float32)
            for i, rows in enumerate(chosen):
                errors = _error_maps(calibration, rows, s, leads)  # (L, M, H, W)
                maps[i] = state.moved(values[i, :, None], errors * own[i][:, None])
            made[state.name + MEMBERS_OF] = xr.Variable((*dims[:2], "member", *dims[2:]), maps, attrs)
        if len(levels):
            shifts = at_levels(calibration.quantiles[s], np.asarray(levels, np.float64))  # (T', R)
            shifts = shifts[np.minimum(np.arange(leads), calibration.leads - 1)].astype(np.float32)
            moved = state.moved(values[:, :, None], shifts[:, :, None, None] * own[:, :, None])
            made[state.name + BOUNDS_OF] = xr.Variable((*dims[:2], "quantile", *dims[2:]), moved, attrs)
    coords = {}
    if members:
        coords["member"] = xr.Variable("member", np.arange(members), _MEMBER_ATTRS)
    if len(levels):
        coords["quantile"] = xr.Variable("quantile", np.asarray(levels, np.float64), _QUANTILE_ATTRS)
    forecast = forecast.assign(made).assign_coords(coords)
    if leads > calibration.leads:
        last = spec.step.horizon(calibration.leads)
        forecast.attrs["uncertainty"] = f"errors are known as far as {last}; beyond, their variance grows as the lead"
    return forecast


def _spread(calibration: Calibration, spec: FrameSpec, forecast: xr.Dataset) -> np.ndarray:
    """(I, L, S, H, W) in departures, of leads beyond those of the model too."""
    init_times, leads = forecast["init_time"].values, forecast.sizes["lead_time"]
    known = np.minimum(np.arange(leads), calibration.leads - 1)
    growth = np.maximum(np.arange(1, leads + 1) / calibration.leads, 1.0)
    variance = calibration.spread.leads[:, known] ** 2  # (S, L)
    variance = np.minimum(variance * growth, np.maximum(variance, 2.0))
    first = forecast.isel(lead_time=slice(calibration.leads))
    valid = first["valid_time"].transpose("init_time", "lead_time").values
    departures = [
        channel.normalise(
            first[channel.name].transpose("init_time", "lead_time", ...).values.reshape(-1, *spec.shape),
            valid.reshape(-1),
        ).reshape(*valid.shape, *spec.shape)
        for channel in spec.state_channels
    ]
    lively = activity(np.stack(departures, axis=2))
    scale = calibration.spread.over(np.sqrt(variance), slots_of(init_times, leads, spec.step), lively)
    for s, name in enumerate(spec.states):
        if (ratio := name + RATIO_OF) in forecast.coords:
            values = forecast[ratio].transpose("init_time", "lead_time").values
            scale[:, :, s] *= values.astype(np.float32)[:, :, None, None]
    return scale


def _situations(calibration: Calibration, step: Step, second: int, members: int, fingerprint: str) -> np.ndarray:
    """(M,) numbers of the situations whose errors the members of an init time have."""
    pool = np.arange(len(calibration.seconds))
    if slot_count(step) > 1:
        apart = np.abs((calibration.seconds - second + DAY // 2) % DAY - DAY // 2)
        near = pool[apart <= PART]
        if len(near) >= max(members, POOL):
            pool = near
    random = np.random.default_rng([int(second) % 2**63, int(fingerprint, 16)])
    rounds = [random.permutation(pool) for _ in range(-(-members // max(1, len(pool))))]
    return np.concatenate([*rounds, pool[:0]])[:members]


def _error_maps(calibration: Calibration, rows: np.ndarray, state: int, leads: int) -> np.ndarray:
    """(L, M, H, W) error maps of a state, in units of the spread; leads beyond those of the model go back and forth."""
    last = calibration.leads - 1
    turn = np.arange(leads) % max(1, 2 * last)
    order = np.where(turn > last, 2 * last - turn, turn) if last else np.zeros(leads, int)
    maps = calibration.errors[rows][:, order, state].astype(np.float32)  # (M, L, H, W)
    return np.asarray(
        maps.swapaxes(0, 1) * calibration.widening[state, np.minimum(np.arange(leads), last)][:, None, None, None]
    )
