"""The experts of a model: base forecast, corrected base and baselines as physical maps of the same times and points.

Letters: I init times, L leads, S states, H rows, W columns.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract import filled_frames
from simvp.mixture import Mixture, digest, mix
from simvp.scoring import NAMES
from simvp.times import encode_times

if TYPE_CHECKING:
    from simvp.inference.forecaster import Forecaster

BASE, CORRECTED, NETWORK = "base", "corrected", "network"
EXPERTS = (BASE, CORRECTED, NETWORK, *NAMES, "extrapolation")
"""All that a forecast can be mixed of, in the order of the dimension `expert`: that of every model, so that the weights
of several can lie in one store."""


def expert_maps(
    forecaster: "Forecaster", ds: xr.Dataset, init_times: np.ndarray, leads: int, network: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Forecasts by expert, (I, L, S, H, W) float32 within the bounds; NaN where an expert lacks what it needs.

    Parameters
    ----------
    forecaster
        With a base forecast.
    ds
        Canonical Dataset with the T frames up to each init time and as many before as there are; lazy or not.
    init_times
        (I,).
    leads
        L.
    network
        (I, L, S, H, W) what the network forecasts, physical; None without one.
    """
    assert forecaster.base is not None
    spec = forecaster.spec
    maps = {BASE: forecaster.base.predict(ds, init_times, leads, spec.known_channels)}
    for number, channel in enumerate(spec.state_channels):
        if channel.bounds != (None, None):
            np.clip(maps[BASE][:, :, number], *channel.bounds, out=maps[BASE][:, :, number])
    if network is not None:
        maps[NETWORK] = network
    if network is not None and forecaster.correction is not None:
        factor = forecaster.correction[:, np.minimum(np.arange(leads), forecaster.correction.shape[1] - 1)]
        factor = factor.T[:, :, None, None].astype(np.float32)  # (L, S, 1, 1)
        maps[CORRECTED] = maps[BASE] + factor * (network - maps[BASE])
    made = forecaster.baselines.predict(past_frames(forecaster, ds, init_times, leads), init_times, leads)
    for name, forecast in made.items():
        maps[name] = np.stack([forecast[state].values for state in spec.states], axis=2)
    return maps


def past_frames(forecaster: "Forecaster", ds: xr.Dataset, init_times: np.ndarray, leads: int) -> xr.Dataset:
    """What the baselines look back at, loaded; filled as the inputs of the network are where some points lack."""
    spec = forecaster.spec
    wanted = forecaster.baselines.frame_times(init_times, leads)
    here = np.flatnonzero(np.isin(encode_times(ds["time"].values)[0], encode_times(wanted)[0]))
    frames = ds[list(spec.states)].isel(time=here).load()
    shares = spec.missing(frames)
    if not ((shares > 0) & (shares < 1)).any():
        return frames
    return filled_frames(ds, spec, wanted)


def blended(
    forecaster: "Forecaster", maps: Mapping[str, np.ndarray], weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Maps (I, L, S, H, W) that are issued, NaN where masked: the mixture, or the corrected base without one.

    And the weights (I, L, S, E) that were used, those handed over as far as the experts are there.
    """
    spec, mixture, used = forecaster.spec, forecaster.mixture, None
    if mixture is None or weights is None:
        mixed = maps.get(CORRECTED, maps[BASE])
    else:
        mixed, used = mix({name: maps[name] for name in mixture.experts}, weights, spec.mask)
    return np.where(spec.mask, mixed, np.float32(np.nan)), used


def issued(
    forecaster: "Forecaster", ds: xr.Dataset, forecast: xr.Dataset, weights: np.ndarray | None = None
) -> xr.Dataset:
    """What is issued, in place of what the network alone forecasts: the mixture, or the corrected base without one.

    Parameters
    ----------
    ds
        As in `expert_maps`.
    forecast
        Labelled forecast of the network (of nothing where there is none); its values are replaced.
    weights
        (I, L, S, E); by default those of the validation.
    """
    spec, mixture = forecaster.spec, forecaster.mixture
    init_times, leads = forecast["init_time"].values, forecast.sizes["lead_time"]
    if weights is None and mixture is not None:
        weights = mixture.weights(len(init_times), leads)
    used = None if weights is None else np.empty(weights.shape)
    fields = [forecast[state].values for state in spec.states]
    size = fitting(4 * leads * spec.n_states * spec.shape[0] * spec.shape[1], 16)
    for start in range(0, len(init_times), size):
        part = slice(start, start + size)
        network = None if forecaster.network is None else np.stack([field[part] for field in fields], axis=2)
        maps = expert_maps(forecaster, ds, init_times[part], leads, network)
        mixed, now = blended(forecaster, maps, None if weights is None else weights[part])
        if used is not None and now is not None:
            used[part] = now
        for number, field in enumerate(fields):
            field[part] = mixed[:, :, number]
    for state, field in zip(spec.states, fields, strict=True):
        forecast[state] = forecast[state].copy(data=field)
    return weighted(forecast, forecaster, used)


def weight_faults(mixture: Mixture | None, weights: np.ndarray, shape: tuple[int, int, int], adapt: bool) -> list[str]:
    """What is wrong with weights that were handed over for a forecast of `shape` (I, L, S)."""
    if mixture is None:
        return ["weights: expected none, as the model has no mixture"]
    if adapt:
        return ["weights: expected none beside adapt=True, which finds them"]
    wanted = (*shape, len(mixture.experts))
    if weights.shape != wanted:
        names = ", ".join(mixture.experts)
        return [f"weights: expected {wanted} (init time, lead, variable, expert: {names}), got {weights.shape}"]
    if not (weights >= 0).all() or not np.allclose(weights.sum(-1), 1, rtol=0, atol=1e-6):
        return ["weights: expected none negative, of sum 1 over the experts"]
    return []


def ratio_faults(ratios: np.ndarray, shape: tuple[int, int, int], adapt: bool) -> list[str]:
    """What is wrong with error ratios that were handed over for a forecast of `shape` (I, L, S)."""
    if adapt:
        return ["error_ratios: expected none beside adapt=True, which finds them"]
    if ratios.shape != shape:
        return [f"error_ratios: expected {shape} (init time, lead, variable), got {ratios.shape}"]
    return [] if (np.isfinite(ratios) & (ratios > 0)).all() else ["error_ratios: expected numbers above 0"]


def weighted(forecast: xr.Dataset, forecaster: "Forecaster", weights: np.ndarray | None) -> xr.Dataset:
    """The forecast with the weights that it was made with, and their digest, as coordinates.

    Parameters
    ----------
    weights
        (I, L, S, E) in the order of the mixture's experts; None: all weight is on what the model forecasts unmixed.
    """
    dims = ("init_time", "lead_time", "expert")
    states, shape = forecaster.spec.states, (forecast.sizes["init_time"], forecast.sizes["lead_time"])
    every = np.zeros((*shape, len(states), len(EXPERTS)))
    if weights is None or forecaster.mixture is None:
        single = NETWORK if forecaster.base is None else BASE if forecaster.correction is None else CORRECTED
        every[..., EXPERTS.index(single)] = 1.0
    else:
        every[..., [EXPERTS.index(name) for name in forecaster.mixture.experts]] = weights
    coords = {
        f"{state}_weight": xr.Variable(dims, every[:, :, number], {"long_name": f"weight of each expert in {state}"})
        for number, state in enumerate(states)
    }
    coords["expert"] = xr.Variable("expert", np.array(EXPERTS), {"long_name": "what the forecast is mixed of"})
    text = {"long_name": "digest of the weights of the experts"}
    coords["weights_digest"] = xr.Variable("init_time", np.array(digest(every)), text)
    return forecast.assign_coords(coords)
