"""Two simulated worlds without end: hourly weather over a coast, and half-hourly traffic in a city.

Both are functions of seed and time alone: any frame can be computed without the frames before it, so that a series
can be started anywhere, continued by a day, read in any chunks, and is the same to the last bit each time. Values
are computed in blocks of one day when dask asks for them, nothing before.

Each variable says in its attribute ``unpredictable_std`` (in its own units) which part of it is white noise, new
at every point and frame: no forecast can have an RMSE below it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import xarray as xr

from datasets.simulated.waves import Waves
from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.times import parse_times

CHUNK_DAYS = 5  # of a dask chunk; any would give the same values, see `Simulation._frames`
SOLSTICE = np.datetime64("2021-06-21")
LIMIT = 4.0  # standard deviations at which noise is cut off, so that counts stay positive
_NOISE, _FLOW, _CITY, _DEMAND, _EVENTS = range(5)  # random streams


@dataclass(frozen=True, kw_only=True)
class Simulation(ABC):
    """What the two worlds share: days of frames, computed on request, with labels.

    Parameters
    ----------
    seed
        Another seed, another world; 0 or more.
    shape
        (H, W), 8 x 8 or more.
    noise_std
        Standard deviation of the white noise, in the units of the variables; 0 gives the world without it.

    Raises
    ------
    ConfigError
        Naming every value that is out of range.
    """

    seed: int = 0
    shape: tuple[int, int] = (32, 32)
    noise_std: float = 0.0

    step: ClassVar[Step]
    first: ClassVar[np.datetime64]
    initial_days: ClassVar[int]
    title: ClassVar[str]
    most_noise: ClassVar[float]
    variables: ClassVar[Mapping[str, Mapping[str, str]]]

    def __post_init__(self) -> None:
        reasons = []
        if self.seed < 0:
            reasons.append(f"seed: expected 0 or more, got {self.seed}")
        if len(self.shape) != 2 or min(self.shape) < 8:
            reasons.append(f"shape: expected rows and columns, 8 or more each, got {self.shape}")
        if not 0 <= self.noise_std <= self.most_noise:
            reasons.append(f"noise_std: expected 0 to {self.most_noise:g}, got {self.noise_std:g}")
        if reasons:
            raise ConfigError(self.title, reasons, "change the named values")

    @property
    def frames_per_day(self) -> int:
        """Frames in a day."""
        return 86_400 // self.step.seconds

    @property
    def initial_frames(self) -> int:
        """Frames of the span with which a series begins, from `first` on."""
        return self.initial_days * self.frames_per_day

    def dataset(self, start: Any = None, frames: int | None = None) -> xr.Dataset:
        """`frames` frames from the time `start` on (default: the initial span), as a canonical Dataset.

        Parameters
        ----------
        start
            Any time on the step of the series, also before `first`.
        frames
            1 or more.

        Returns
        -------
        xr.Dataset
            float32 variables, dims (time, y, x), on dask; nothing is computed yet.

        Raises
        ------
        ConfigError
            A start between two steps, or no frames.
        """
        begin = self.first if start is None else parse_times(start)[0]
        frames = self.initial_frames if frames is None else frames
        number, rest = np.divmod(begin - self.first, np.timedelta64(self.step.seconds, "s"))
        reasons = []
        if rest:
            reasons.append(f"start: expected a multiple of {self.step} after {self.first}, got {begin}")
        if frames < 1:
            reasons.append(f"frames: expected 1 or more, got {frames}")
        if reasons:
            raise ConfigError(self.title, reasons)
        index = da.arange(number, number + frames, chunks=CHUNK_DAYS * self.frames_per_day, dtype=np.int64)
        chunks, meta = (index.chunks[0], len(self.variables), *self.shape), np.empty((0, 0, 0, 0), np.float32)
        values = da.map_blocks(self._frames, index, new_axis=(1, 2, 3), chunks=chunks, meta=meta)
        coords = self._coordinates()
        dims = ("time", *coords)
        times = self.step.shift(self.first, np.arange(number, number + frames))
        coords["time"] = xr.Variable("time", times, {"standard_name": "time", "axis": "T"})
        noise = {"unpredictable_std": float(self.noise_std)}
        fields = {
            name: xr.Variable(dims, values[:, channel], {**attrs, **noise})
            for channel, (name, attrs) in enumerate(self.variables.items())
        }
        attrs = {"Conventions": "CF-1.11", "title": self.title, "source": f"simulation, seed {self.seed}"}
        return xr.Dataset(fields, coords=coords, attrs=attrs)

    def _frames(self, index: np.ndarray) -> np.ndarray:
        """Frames (N, C, H, W), float32, of consecutive frame numbers (N,), frame 0 being at `first`.

        Whole days are computed and cut, whatever the request: with the same array shapes each time the same bits
        come out, for vector instructions and matrix products may round by where in an array a value stands.
        """
        days = range(index[0] // self.frames_per_day, index[-1] // self.frames_per_day + 1)
        frames = np.concatenate([self._noisy_day(day) for day in days])
        return frames[index - days.start * self.frames_per_day]

    def _noisy_day(self, day: int) -> np.ndarray:
        clean = self._day(day)
        if not self.noise_std:
            return clean.astype(np.float32)
        noise = self._random(_NOISE, day).standard_normal(clean.shape)
        return (clean + self.noise_std * noise.clip(-LIMIT, LIMIT)).astype(np.float32)

    def _random(self, stream: int, day: int = 0) -> np.random.Generator:
        # seeds are not negative, days before the first one are
        return np.random.default_rng((self.seed, stream, abs(day), int(day < 0)))

    @abstractmethod
    def _coordinates(self) -> dict[str, xr.Variable]:
        """Coordinates of the two grid dims, rows first."""

    @abstractmethod
    def _day(self, day: int) -> np.ndarray:
        """Frames (frames_per_day, C, H, W), float64, without noise, of day number `day` after `first`."""


@dataclass(frozen=True, kw_only=True)
class SimulatedWeather(Simulation):
    """Hourly 2 m temperature over a region with a coast, in K.

    Sum of four parts. The season and the latitude. Day and night by the height of the sun at local solar time: land
    warms and cools by about eight kelvin in summer, sea by one. Air masses: cold and warm air with fronts between,
    several cells wide, which a steering flow carries across the region in 30 to 60 hours and which grow, dissolve
    and bend on the way; in warm, cloudy air the day is less pronounced. White noise, `noise_std`.

    The flow differs from week to week and shows only in how the frames follow each other: neither the climatology
    nor what was there an hour or a day ago says where a front will be; a network that sees a day of frames can tell.
    What enters the region within the lead time was never seen by anybody: at a lead of 12 hours up to a
    third of the region. That share is beyond any forecast too, and is not part of ``unpredictable_std``.
    """

    noise_std: float = 0.3
    most_noise: ClassVar[float] = 5.0

    step: ClassVar[Step] = Step(seconds=3600)
    first: ClassVar[np.datetime64] = np.datetime64("2021-04-25", "ns")
    # About midsummer: the sun is as high at the end as at the start. Where it is not, a training spends itself on the
    # season instead of on the weather.
    initial_days: ClassVar[int] = 120
    title: ClassVar[str] = "Simulated weather"
    variables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "t2m": {
            "units": "K",
            "standard_name": "air_temperature",
            "long_name": "2 metre temperature",
            "cell_methods": "time: point",
        }
    }

    CENTRE: ClassVar[tuple[float, float]] = (54.0, -4.0)  # degrees north and east
    AIR: ClassVar[float] = 4.0  # K between the middle and the core of an air mass
    CLOUD: ClassVar[float] = 0.1  # share of the day's course that warm air takes away and cold air adds

    @cached_property
    def latitude(self) -> np.ndarray:
        """Degrees north, (H,), from north to south; half a degree apart, closer where H is more than 128."""
        return self.CENTRE[0] - min(0.5, 64 / self.shape[0]) * (np.arange(self.shape[0]) - (self.shape[0] - 1) / 2)

    @cached_property
    def longitude(self) -> np.ndarray:
        """Degrees east, (W,), rising; half a degree apart, closer where W is more than 360."""
        return self.CENTRE[1] + min(0.5, 180 / self.shape[1]) * (np.arange(self.shape[1]) - (self.shape[1] - 1) / 2)

    @cached_property
    def land(self) -> np.ndarray:
        """Share of land, (H, W), 0 to 1, the same for every seed; a coast is two or three cells wide."""
        latitude, longitude = np.deg2rad(self.latitude)[:, None], np.deg2rad(self.longitude)
        height = np.sin(22 * longitude + 1.3 + np.sin(19 * latitude)) + 0.7 * np.sin(
            27 * latitude + 2.2 + np.sin(13 * longitude)
        )
        return 1 / (1 + np.exp(-height / 0.15))

    @cached_property
    def _waves(self) -> Waves:
        return Waves(self._random(_FLOW))

    def _coordinates(self) -> dict[str, xr.Variable]:
        axes = (("latitude", self.latitude, "degrees_north", "Y"), ("longitude", self.longitude, "degrees_east", "X"))
        return {
            name: xr.Variable(name, values, {"units": units, "standard_name": name, "long_name": name, "axis": axis})
            for name, values, units, axis in axes
        }

    def _day(self, day: int) -> np.ndarray:
        hours = day * 24.0 + np.arange(24)
        year = 2 * np.pi / 8766 * (hours[:, None, None] - (SOLSTICE - self.first) / np.timedelta64(1, "h"))
        land, latitude = self.land, self.latitude[:, None]
        season = (1.5 + 1.5 * land) * np.cos(year - 2 * np.pi * 25 / 365.25)  # warmest in mid-July
        mean = 286 - 0.45 * (latitude - self.CENTRE[0]) + season
        air = np.tanh(0.9 * self._waves.at(hours, self.shape))
        sun = self._sun(year, hours)
        day_and_night = (1 + 10 * land) * sun * (1 - self.CLOUD * air)
        return (mean + day_and_night + self.AIR * air)[:, None]

    def _sun(self, year: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """What the sun has warmed in the last hours, less its mean over the day; (N, H, W), about -0.4 to 0.5."""
        latitude = np.deg2rad(self.latitude)[:, None]
        declination = 0.409 * np.cos(year)  # radians
        noon, swing = np.sin(latitude) * np.sin(declination), np.cos(latitude) * np.cos(declination)
        turned = 2 * np.pi / 24 * (hours[:, None, None] + self.longitude / 15)  # since midnight of solar time
        lags = 2 * np.pi / 24 * np.array([0.5, 1.5, 2.5, 3.5])
        warmed = np.mean([np.maximum(noon - swing * np.cos(turned - lag), 0.0) for lag in lags], axis=0)
        sunset = np.arccos(np.clip(-noon / swing, -1.0, 1.0))  # hour angle; the mean over a day in closed form
        return warmed - (sunset * noon + swing * np.sin(sunset)) / np.pi


@dataclass(frozen=True, kw_only=True)
class SimulatedTraffic(Simulation):
    """Vehicles that enter and that leave each cell of a city in half an hour, estimated, so not whole numbers.

    Sum of three parts. The climatology: roads, a ring road and centres, with a daily and a weekly cycle; in the
    morning vehicles leave the homes and enter the centres, in the evening they go back, and at weekends neither.
    How much is on the move differs from day to day by a tenth. Events, some a day: vehicles stream to a place on a
    road within an hour, the jam spreads over several cells, and two hours later they leave. White noise,
    `noise_std`, cut off at four standard deviations so that no count is negative.

    When and where an event begins is random and no forecast can know it; how it goes on and ends can be told.
    That share comes on top of ``unpredictable_std``.
    """

    noise_std: float = 5.0
    most_noise: ClassVar[float] = 6.0

    title: ClassVar[str] = "Simulated city traffic"
    step: ClassVar[Step] = Step(seconds=1800)
    first: ClassVar[np.datetime64] = np.datetime64("2021-03-01", "ns")  # a Monday
    initial_days: ClassVar[int] = 56
    variables: ClassVar[Mapping[str, Mapping[str, str]]] = {
        name: {"units": "1", "long_name": f"vehicles {verb} the cell in half an hour", "cell_methods": "time: sum"}
        for name, verb in (("inflow", "entering"), ("outflow", "leaving"))
    }

    QUIETEST: ClassVar[float] = LIMIT * most_noise  # vehicles, everywhere and always: no noise takes more
    EVENTS_A_DAY: ClassVar[float] = 5.0
    EVENT_SIZE: ClassVar[float] = 150.0  # vehicles at the height of a middling event on a road

    @cached_property
    def _city(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Maps (H, W) of roads (0 to 1), of all that is usually on the move (vehicles), of work (0 to 1)."""
        random, (height, width) = self._random(_CITY), self.shape
        row, column = np.mgrid[: self.shape[0], : self.shape[1]]
        scale = min(height, width)
        middle = np.array([height, width]) / 2 + random.uniform(-0.05, 0.05, 2) * scale
        far = np.hypot(row - middle[0], column - middle[1])
        away = [np.abs(far - 0.3 * scale)]  # distance from the ring road, then from straight roads
        for angle in np.pi * (np.arange(5) + random.uniform(-0.3, 0.3, 5)) / 5:
            offset = random.uniform(-0.15, 0.15) * scale
            away.append(np.abs((row - middle[0]) * np.cos(angle) - (column - middle[1]) * np.sin(angle) - offset))
        roads = np.exp(-((np.min(away, axis=0) / 0.9) ** 2))
        work = np.exp(-((far / (0.22 * scale)) ** 2))
        for _ in range(2):
            place = middle + random.uniform(-0.35, 0.35, 2) * scale
            work += 0.6 * np.exp(-((row - place[0]) ** 2 + (column - place[1]) ** 2) / (0.1 * scale) ** 2)
        town = np.exp(-((far / (0.45 * scale)) ** 2))
        return roads, 40 + 180 * town * (0.3 + roads), work.clip(0.0, 1.0)

    def _coordinates(self) -> dict[str, xr.Variable]:
        named = zip("yx", ("row", "column"), self.shape, strict=True)
        return {dim: xr.Variable(dim, np.arange(size), {"long_name": name}) for dim, name, size in named}

    def _day(self, day: int) -> np.ndarray:
        clock = np.arange(48) / 2
        roads, level, work = self._city
        base, to_work, home = (wave[:, None, None] for wave in _daily_cycle(clock, weekend=day % 7 >= 5))
        cycle = np.stack([base + to_work * work + home * (1 - work), base + to_work * (1 - work) + home * work], axis=1)
        flow = self.QUIETEST + cycle * level * self._demand(day, clock)[:, None, None, None]
        for born in (day - 1, day):
            flow += self._events(born, clock + 24 * (day - born), roads)
        return flow

    def _demand(self, day: int, clock: np.ndarray) -> np.ndarray:
        """How much is on the move, (N,), 0.8 to 1.2: a random number at noon of each day, smooth between."""
        noon = [1 + 0.2 * self._random(_DEMAND, d).uniform(-1, 1) for d in (day - 1, day, day + 1)]
        return np.interp(clock, [-12.0, 12.0, 36.0], noon)

    def _events(self, born: int, hours: np.ndarray, roads: np.ndarray) -> np.ndarray:
        """Vehicles (N, 2, H, W) that the events beginning on day `born` add, at `hours` (N,) after its midnight."""
        random = self._random(_EVENTS, born)
        row, column = np.mgrid[: self.shape[0], : self.shape[1]]
        area = self.shape[0] * self.shape[1] / 1024  # of the default city
        added = np.zeros((len(hours), 2, *self.shape))
        for _ in range(random.poisson(self.EVENTS_A_DAY * area)):
            begin = random.uniform(7.0, 20.0)
            size = self.EVENT_SIZE * random.uniform(0.6, 1.4)
            place = np.unravel_index(random.choice(roads.size, p=roads.ravel() / roads.sum()), self.shape)
            apart = (row - place[0]) ** 2 + (column - place[1]) ** 2
            for channel, delay in enumerate((0.0, 2.0)):  # hours: first they come, then they go
                since = np.maximum(hours - begin - delay, 0.0)[:, None, None]
                surge = since * np.exp(1 - since)  # at its height after an hour
                reach = 1.5 + 0.6 * np.minimum(since, 5.0)  # cells
                added[:, channel] += size * surge * (0.4 + 0.6 * roads) * np.exp(-apart / (2 * reach**2))
        return added


def _daily_cycle(clock: np.ndarray, *, weekend: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Course of a day, each (N,), at hours of the day (N,): what always moves, the way to work, the way home."""

    def wave(hour: float, width: float) -> np.ndarray:
        return np.exp(-((((clock - hour + 12) % 24) - 12) ** 2) / (2 * width**2))

    if weekend:
        return 0.1 + 0.45 * wave(14.5, 4.0), 0.1 * wave(11.0, 2.0), 0.15 * wave(20.0, 2.5)
    return 0.1 + 0.35 * wave(13.5, 4.5), 0.8 * wave(8.0, 1.0), 0.65 * wave(18.0, 1.5)
