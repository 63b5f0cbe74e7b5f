"""Years of a simulated world after the training of a model, as they are and with a change from a day on.

They are of the same seed: the weather of another one hangs together otherwise, which is a change of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import xarray as xr

from datasets.archive import Archive
from datasets.simulated import SimulatedTraffic, SimulatedWeather
from pipelines.drift import Finding, Tests
from pipelines.evaluation import chunks, score
from pipelines.home import Home
from pipelines.tracking import open_registry, resolve_version
from pipelines.train import train
from pipelines.training import TrainConfig
from simvp.inference import Forecaster, Replay
from simvp.times import calendar_of

DAYS, CHANGE = 365, 60
"""Days of a year, and the day of it with which a change begins."""

LONGEST = 150
"""Days after a sudden change, within which it is noticed or not."""

INIT_HOURS, BATCH = 6, 64
Change = Callable[[xr.Dataset, np.ndarray], xr.Dataset]
"""Of the year and the days since the change (time,), negative before it."""


@dataclass(frozen=True, kw_only=True)
class StormyWeather(SimulatedWeather):
    """Air masses that differ by half as much again."""

    AIR: ClassVar[float] = 1.5 * SimulatedWeather.AIR


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated world, the days that a model is trained on, and what may change.

    Parameters
    ----------
    simulation
        Of which days are taken.
    days
        Of the training.
    changes
        By name: how a year becomes one with the change.
    """

    simulation: SimulatedWeather | SimulatedTraffic
    days: int
    changes: dict[str, Change] = field(default_factory=dict)

    def frames(self, first: int, days: int) -> xr.Dataset:
        """Whole days, loaded."""
        start = self.simulation.first + np.timedelta64(first, "D")
        ds = self.simulation.dataset(start, days * self.simulation.frames_per_day).load(scheduler="synchronous")
        return ds.assign_coords(present=("time", np.ones(ds.sizes["time"], bool)))


def with_change(year: xr.Dataset, change: Change | None) -> xr.Dataset:
    """A year, changed from the day `CHANGE` on."""
    if change is None:
        return year
    since = (year["time"].values - year["time"].values[0]) / np.timedelta64(1, "D") - CHANGE
    return xr.where(xr.DataArray(since >= 0, dims="time"), change(year, since), year, keep_attrs=True).transpose(
        *year[next(iter(year.data_vars))].dims
    )


def trained(home: Home, name: str, world: World) -> Forecaster:
    """The base forecast without a network, with its bounds: a training of a minute."""
    archive = Archive(home.archive(name))
    archive.append(world.frames(0, world.days).drop_vars("present"), step=world.simulation.step)
    report = train(home, TrainConfig(dataset=name, size="none", threads=1))
    return open_registry(home).load(resolve_version(home, name, report.version))


def alarms(
    world: World,
    model: Forecaster,
    number: int,
    change: Change | None = None,
    days: int = DAYS,
    *,
    inputs: bool = False,
) -> Iterator[tuple[Finding, int]]:
    """What is found in the so-many-th year after the training, and how many days after the change, or its beginning.

    All tests begin with the year, as they do after a training that has changed nothing. With `inputs` nothing is
    forecast, and the days alone are tested.
    """
    first = world.days + DAYS * number
    year = with_change(world.frames(first, days), change)
    # Models look back a year.
    before = world.frames(max(0, first - DAYS - 1), min(first, DAYS + 1))
    both, seen = (
        xr.concat([part, year], "time", join="override", combine_attrs="override")
        for part in (before, world.frames(0, world.days))
    )
    times = year["time"].values
    clock = (times - times.astype("M8[D]")) / np.timedelta64(1, "h")
    leads = model.spec.frames_out
    usable = model.spec.missing(year).max(1) <= model.spec.missing_share
    rows = np.flatnonzero(clock % INIT_HOURS == 0)
    rows = rows[(rows >= model.spec.frames_in) & (rows < len(times) - leads)]
    inits = times[[row for row in rows if usable[row + 1 - model.spec.frames_in : row + 1].all()]]
    tests = Tests(calendar_of(times))
    if not inputs:
        tests.add_scores(_scores(model, both, inits), model.version, model.spec.step.horizon(leads))
    tests.add_inputs(seen, model, model.version)
    begin = times[0] + np.timedelta64(0 if change is None else CHANGE, "D")
    for finding in tests.alarms():
        yield finding, int((np.datetime64(finding.found) - begin.astype("M8[D]")) / np.timedelta64(1, "D")) + 1


def _scores(model: Forecaster, ds: xr.Dataset, inits: np.ndarray) -> xr.Dataset:
    """Of the forecasts as they would have been issued, with the weights that were known each time."""
    replay, parts = Replay(model, model.spec.frames_out), []
    for chosen in chunks(inits, model.spec.step, BATCH):
        forecast = replay.forecasts(ds, chosen)["model"]
        parts.append(score(forecast, ds, model.baselines, sure=model))
    return xr.concat(parts, "init_time", data_vars="minimal", coords="minimal", compat="override", join="exact")


# --- changes ----------------------------------------------------------------------------------------------------------


def offset(amount: float) -> Change:
    """A sensor that says so much more."""
    return lambda year, since: year + amount


def noisy(deviation: float) -> Change:
    """A sensor with white noise of its own in every cell."""

    def made(year: xr.Dataset, since: np.ndarray) -> xr.Dataset:
        random = np.random.default_rng(0)
        return year.map(lambda field: field + (deviation * random.standard_normal(field.shape)).astype("f4"))

    return made


def gain(factor: float) -> Change:
    """A sensor whose departures from the mean of the year are so many times too large."""
    return lambda year, since: year.mean("time") + factor * (year - year.mean("time"))


def scale(factor: float) -> Change:
    """So many times as much."""
    return lambda year, since: factor * year


def trend(amount: float) -> Change:
    """So much more each year, little by little."""
    return lambda year, since: year + xr.DataArray(amount * since / 365, dims="time").astype("f4")


def growth(share: float) -> Change:
    """So many times more each year, little by little."""
    return lambda year, since: year * xr.DataArray(1 + share * since / 365, dims="time").astype("f4")


def other(world: SimulatedWeather | SimulatedTraffic) -> Change:
    """Another world from then on."""

    def made(year: xr.Dataset, since: np.ndarray) -> xr.Dataset:
        start = year["time"].values[0]
        return world.dataset(start, year.sizes["time"]).load(scheduler="synchronous")

    return made


def without(share: float) -> Change:
    """So many of the cells give nothing any more, the same every time."""

    def made(year: xr.Dataset, since: np.ndarray) -> xr.Dataset:
        first = year[next(iter(year.data_vars))]
        gone = np.zeros(first[0].size, bool)
        gone[np.random.default_rng(0).permutation(gone.size)[: round(share * gone.size)]] = True
        return year.where(xr.DataArray(~gone.reshape(first[0].shape), dims=first.dims[1:]))

    return made


def without_frames(every: int) -> Change:
    """One of so many frames does not come."""
    return lambda year, since: year.where(xr.DataArray(np.arange(len(since)) % every > 0, dims="time"))
