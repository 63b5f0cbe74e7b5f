"""A world with a planted effect of a known input, in closed form: what the best forecast can reach is known.

Values are 280 + 3 sin(2 pi hour / 24) + e + effect * f: e is an AR(1) with coefficient `RHO` and unit variance, alike
in law and independent at each point, and f a known input. Whoever knows f at the valid time can have an RMSE of
sqrt(1 - RHO^(2 lead)); who does not, cannot, where f jumps from day to day.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from simvp.base_forecast.base_forecast import BaseForecast
from simvp.contract.frame_spec import FrameSpec
from simvp.contract.known import attach
from simvp.contract.statistics import Statistics
from simvp.inference.forecaster import Forecaster
from simvp.scoring.baselines import Baselines

RHO, EFFECT, T, LEADS = 0.9, 3.0, 8, 6
START, HOUR = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "h")
SHAPE = (5, 4)


def hours(count: int) -> np.ndarray:
    """Times from the start on."""
    return START + np.arange(count) * HOUR


@dataclass(frozen=True)
class KnownWorld:
    """Days of hours; the last `spare` of them are not among the frames that are fitted on."""

    days: int = 70
    spare: int = 10
    maps: bool = False
    seed: int = 0

    @cached_property
    def times(self) -> np.ndarray:
        return hours(24 * self.days)

    @cached_property
    def flags(self) -> np.ndarray:
        """(days,) 0 or 1, at random."""
        return np.random.default_rng(self.seed).integers(0, 2, self.days).astype("f4")

    @cached_property
    def known(self) -> xr.DataArray:
        """A series of days, or maps of hours, which differ from point to point."""
        if not self.maps:
            return xr.DataArray(
                self.flags, dims="time", coords={"time": self.times[::24]}, name="holiday", attrs={"units": "1"}
            )
        values = np.random.default_rng(self.seed + 1).standard_normal((len(self.times), *SHAPE)).astype("f4")
        for hour in range(1, len(values)):
            values[hour] = 0.8 * values[hour - 1] + 0.6 * values[hour]
        return xr.DataArray(
            values, dims=("time", "latitude", "longitude"), coords=self.coords, name="wind", attrs={"units": "m s-1"}
        )

    @property
    def coords(self) -> dict[str, np.ndarray]:
        axes = {"latitude": 50.0 + np.arange(SHAPE[0]), "longitude": 1.0 * np.arange(SHAPE[1])}
        return {"time": self.times, **axes}

    @cached_property
    def ds(self) -> xr.Dataset:
        """Frames alone."""
        noise = np.random.default_rng(self.seed + 2).standard_normal((len(self.times), *SHAPE))
        e = np.empty_like(noise)
        e[0] = noise[0]
        for hour in range(1, len(e)):
            e[hour] = RHO * e[hour - 1] + np.sqrt(1 - RHO**2) * noise[hour]
        f = self.known.values if self.maps else np.repeat(self.flags, 24)[:, None, None]
        course = 3 * np.sin(2 * np.pi * np.arange(len(e)) / 24)[:, None, None]
        values = (280 + course + e + EFFECT * f).astype("f4")
        return xr.Dataset({"x": (("time", "latitude", "longitude"), values, {"units": "K"})}, self.coords)

    @cached_property
    def carrying(self) -> xr.Dataset:
        """Frames that carry the known input."""
        return attach(self.ds, {str(self.known.name): self.known})

    @property
    def fitted(self) -> int:
        """Frames that are fitted on."""
        return 24 * (self.days - self.spare)

    def forecaster(self, known: bool = True) -> Forecaster:
        """Contract and base forecast of the frames that are fitted on; without a network."""
        ds = self.carrying if known else self.ds
        names = [str(self.known.name)] if known else []
        train = [(self.times[0], self.times[self.fitted - 1])]
        spec = FrameSpec.fit(ds, frames_in=T, frames_out=LEADS, train=train, known=names, log1p=())
        statistics = Statistics(ds, spec.step, train=train, reference=train)
        baselines = Baselines.fit(
            ds,
            variables=["x"],
            step=spec.step,
            cycle=spec.cycle,
            leads=LEADS,
            period=train,
            weights=spec.weights,
            statistics=statistics,
        )
        base = BaseForecast.fit(
            ds,
            baselines=baselines,
            statistics=statistics,
            init_times=self.times[T - 1 : self.fitted - LEADS],
            frames_in=T,
            weights=spec.weights,
            known=spec.known_channels,
        )
        return Forecaster(spec=spec, network=None, baselines=baselines, base=base)

    def rmse(self, forecaster: Forecaster, known: xr.Dataset | None) -> np.ndarray:
        """By lead, of init times that were not fitted on."""
        inits = self.times[self.fitted + 24 : -LEADS]
        made = forecaster.predict(self.ds, init_time=inits, known=known)["x"].values
        rows = np.searchsorted(self.times, inits)[:, None] + np.arange(1, LEADS + 1)
        return np.sqrt(((made - self.ds["x"].values[rows]) ** 2).mean((0, 2, 3)))
