"""Small series of one variable, with what a base forecast is fitted on: each kind of cycle, masks, gaps, holes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from simvp.base_forecast.base_forecast import BaseForecast
from simvp.base_forecast.predictors import Block, Design
from simvp.base_forecast.ridge import Choices
from simvp.base_forecast.series import Series
from simvp.contract.climatology import Climatology
from simvp.contract.statistics import Statistics
from simvp.coords.grid import Grid, area_weights
from simvp.coords.steps import Step, history
from simvp.scoring.baselines import Baselines
from tests.support.worlds import coordinates


@dataclass(frozen=True)
class Kind:
    """Step, seasonal cycle in steps, T, L, frames, and the steps of the rhythm in the values."""

    step: Step
    cycle: int | None
    frames_in: int
    leads: int
    frames: int
    rhythm: tuple[int, ...] = ()

    @property
    def cycles(self) -> tuple[int, ...]:
        """Of the design."""
        return tuple(sorted({*self.rhythm, *((self.cycle,) if self.cycle else ())}))


KINDS = {
    # Leads reach beyond the cycle, which lies within T.
    "day": Kind(Step(seconds=6 * 3600), 4, 5, 6, 160, (4,)),
    # Of the far cycle, too, leads reach beyond it.
    "week": Kind(Step(seconds=12 * 3600), 14, 4, 17, 200, (2, 14)),
    "none": Kind(Step(seconds=7 * 3600), None, 3, 4, 120),
    "month": Kind(Step(months=1, anchor="day", day=1), 12, 12, 5, 120, (12,)),
    "far month": Kind(Step(months=1, anchor="day", day=1), 12, 3, 5, 120, (12,)),
    "one frame": Kind(Step(seconds=6 * 3600), 4, 1, 3, 160, (4,)),
}
MASKED = ((0, 1), (2, 3))


@dataclass(frozen=True)
class World:
    """A series, of which the first three quarters are the period that is fitted on."""

    ds: xr.Dataset
    kind: Kind

    @cached_property
    def weights(self) -> np.ndarray:
        return area_weights(Grid.of(self.ds))[0]

    @cached_property
    def period(self) -> list[tuple[np.datetime64, np.datetime64]]:
        times = self.ds["time"].values
        return [(times[0], times[3 * len(times) // 4])]

    @cached_property
    def statistics(self) -> Statistics:
        return Statistics(self.ds, self.kind.step, train=self.period, reference=self.period)

    @cached_property
    def baselines(self) -> Baselines:
        return Baselines.fit(
            self.ds,
            variables=["x"],
            step=self.kind.step,
            cycle=self.kind.cycle,
            leads=self.kind.leads,
            period=self.period,
            weights=self.weights,
            statistics=self.statistics,
        )

    @property
    def climatology(self) -> Climatology:
        return self.baselines.climatology["x"]

    @cached_property
    def valid(self) -> np.ndarray:
        return self.statistics["x"][1].valid

    @cached_property
    def area(self) -> np.ndarray:
        weights = self.weights[self.valid]
        return (weights / weights.sum()).astype("f4")

    @cached_property
    def series(self) -> Series:
        return Series(field=self.ds["x"], step=self.kind.step, valid=self.valid)

    def init_times(self, ahead: int = 0) -> np.ndarray:
        """Those with T frames up to them, and `ahead` after them, that are there."""
        here = self.ds["x"].notnull().any(("latitude", "longitude")).values
        times, frames = self.ds["time"].values[here], self.kind.frames_in
        return times[history(times, self.kind.step, frames + ahead)[:, frames - 1]]

    def windows(self) -> np.ndarray:
        """Init times of windows in the period."""
        times = self.init_times(self.kind.leads)
        return times[self.kind.step.shift(times, self.kind.leads) <= self.period[0][1]]

    def design(self, *, amount: bool = False, active: bool = False, others: tuple[str, ...] = ()) -> Design:
        kind = self.kind
        return Design(frames_in=kind.frames_in, cycles=kind.cycles, others=others, amount=amount, active=active)

    def block(self, inits: np.ndarray, design: Design, *, ahead: bool = False) -> Block:
        sums = dict.fromkeys(design.others, self.statistics["x"][1].mean)
        return Block(
            series=self.series,
            design=design,
            climatology=self.climatology,
            others=sums,
            area=self.area,
            inits=inits,
            leads=self.kind.leads,
            ahead=ahead,
        )

    def fit(self, choices: dict[str, Choices] | None = None, init_times: np.ndarray | None = None) -> BaseForecast:
        return BaseForecast.fit(
            self.ds,
            baselines=self.baselines,
            statistics=self.statistics,
            init_times=self.windows() if init_times is None else init_times,
            frames_in=self.kind.frames_in,
            weights=self.weights,
            choices=choices,
        )


def world(name: str, seed: int = 0, *, masked: bool = False, gaps: bool = False, holes: bool = False) -> World:
    """Noise that remembers a frame, the mean of all points and the longest cycle, on a rhythm, (frames, 3, 4).

    Parameters
    ----------
    masked
        Whether two points never have a value.
    gaps
        Whether some frames are absent: half of them all NaN, half not there.
    holes
        Whether single values are missing.
    """
    kind, rng, shape = KINDS[name], np.random.default_rng(seed), (3, 4)
    values, memory = rng.normal(size=(kind.frames, *shape)), max(kind.rhythm, default=1)
    for now in range(memory, kind.frames):
        values[now] += 0.3 * (values[now - 1] + values[now - 1].mean() + values[now - memory])
    for n in kind.rhythm:
        values += rng.normal(scale=3.0, size=(n, *shape))[np.arange(kind.frames) % n]
    values += 10.0
    if masked:
        for point in MASKED:
            values[:, *point] = np.nan
    if holes:
        values[rng.random(values.shape) < 0.15] = np.nan
    absent = np.sort(rng.choice(np.arange(8, kind.frames - 8), 6, replace=False)) if gaps else np.empty(0, int)
    values[absent[::2]] = np.nan
    (row, column), coords = coordinates(shape)
    start = np.datetime64("2001-01-01", "ns")
    coords["time"] = xr.Variable("time", kind.step.shift(start, np.arange(kind.frames)))
    field = xr.Variable(("time", row, column), values.astype("f4"), {"units": "1"})
    ds = xr.Dataset({"x": field}, coords=coords)
    return World(ds.isel(time=np.setdiff1d(np.arange(kind.frames), absent[1::2])), kind)
