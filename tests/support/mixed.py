"""Small models with a base forecast, a correction and a mixture, and the noisy world that they forecast."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from simvp.base_forecast.base_forecast import BaseForecast
from simvp.contract.statistics import Statistics
from simvp.inference.forecaster import Forecaster
from simvp.mixture.aggregation import Aggregation
from simvp.mixture.mixture import Mixture, trust
from simvp.scoring.baselines import NAMES, Baselines
from simvp.uncertainty.calibration import Calibration
from simvp.uncertainty.spread import Errors
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world

SHAPE = (3, 4)
FRAMES_IN, FRAMES_OUT = 6, 3
DAYS, FITTED = 14, 10  # days of the world, and those that models are fitted on
EXPERTS = ("base", "corrected", "network", *NAMES)


def noisy_world(days: float = DAYS, *, first: int = 0, seed: int = 0) -> xr.Dataset:
    """The formula world with noise of 1 K in every value, which depends on its frame alone."""
    ds = formula_world(("t2m", "d2m"), frames=round(24 * days), first=first, shape=SHAPE)
    every = np.random.default_rng(seed).normal(0, 1, (100 * 24, 2, *SHAPE)).astype("f4")
    part = every[first : first + ds.sizes["time"]]
    return ds.assign({name: ds[name].copy(data=ds[name].values + part[:, n]) for n, name in enumerate(ds.data_vars)})


def mixed_forecaster(
    ds: xr.Dataset | None = None, *, network: bool = True, mixed: bool = True, correction: float = 0.5, **more: Any
) -> Forecaster:
    """Everything fitted on the first days, the network with random weights, the prior of the mixture that of trust."""
    ds = noisy_world() if ds is None else ds
    past = ds.isel(time=slice(0, 24 * FITTED))
    times = past["time"].values
    period = [(times[0], times[-1])]
    model = small_forecaster(past, frames_in=FRAMES_IN, frames_out=FRAMES_OUT)
    spec = model.spec
    statistics = Statistics(past, spec.step, train=period, reference=period)
    baselines = Baselines.fit(
        past,
        variables=spec.states,
        step=spec.step,
        cycle=spec.cycle,
        leads=FRAMES_OUT,
        period=period,
        weights=spec.weights,
        statistics=statistics,
    )
    base = BaseForecast.fit(
        past,
        baselines=baselines,
        statistics=statistics,
        init_times=times[FRAMES_IN - 1 : -FRAMES_OUT],
        frames_in=FRAMES_IN,
        weights=spec.weights,
    )
    experts = EXPERTS if network else tuple(name for name in EXPERTS if name not in ("corrected", "network"))
    shape = (spec.n_states, FRAMES_OUT)
    mixture = Mixture(
        experts=experts,
        aggregation=Aggregation(rate=1.0),
        prior=np.broadcast_to(trust(experts), (*shape, len(experts))).copy(),
        scale=np.full(shape, 1.5),
    )
    ends = [str(time)[:19] for time in times[[0, -1]]]
    return replace(
        model,
        network=model.network if network else None,
        baselines=baselines,
        base=base,
        correction=np.full(shape, correction) if network else None,
        mixture=mixture if mixed else None,
        provenance={"periods": {"train": [ends], "validation": [], "reference": [ends]}},
        **more,
    )


def calibrated(forecaster: Forecaster, count: int = 60, std: float = 0.5) -> Forecaster:
    """With white errors of a known standard deviation, in departures, every four hours of four blocks."""
    spec = forecaster.spec
    hours = np.arange(count) * 4
    values = np.random.default_rng(0).normal(0, std, (count, FRAMES_OUT, spec.n_states, *spec.shape)).astype("f4")
    errors = Errors(
        values=np.where(spec.mask, values, np.nan),
        init_times=np.datetime64("2020-01-01", "ns") + hours * np.timedelta64(1, "h"),
        blocks=np.arange(count) * 4 // count,
        activities=np.ones((count, spec.n_states)),
        step=spec.step,
    )
    return replace(forecaster, calibration=Calibration.fit(errors, spec, np.full((spec.n_states, FRAMES_OUT), 2.0)))
