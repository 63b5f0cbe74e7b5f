"""What is learned from past frames: climatologies, and a sample to choose by."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract.bounds import below_zero, never_below_zero
from simvp.contract.climatology import CYCLES_NEEDED, Climatology, Period, Sums, choose, size_of, supported
from simvp.coords import Step
from simvp.times import DAY, calendar_of, encode_times, parse_times

SAMPLE_POINTS = 2048

Intervals = Sequence[tuple[Any, Any]]
Log1p = Sequence[str] | Literal["auto"]


class Summary:
    """What the frames of some intervals say of one variable.

    Parameters
    ----------
    rows
        (M,) bool: which of the frames that are read are frames of the intervals.
    times
        (M,) of all frames that are read.
    step
        Of the series.

    Attributes
    ----------
    sample : np.ndarray
        (M, P) values of all frames that were read, at the flat positions `places` (P,), spread evenly over the grid.
    valid : np.ndarray
        (H, W) bool: False where every frame is NaN. Where all are, nothing else is there.
    log_scale : float or None
        s of log(1 + x / s), which comes before the climatology; None where there is none.
    climatology : Climatology
        That whose period predicts best what it was not fitted on.
    deviation : float
        Standard deviation of the departures from it.
    mean : Climatology
        That without a period and without the logarithm.
    """

    sums: Sums
    sample: np.ndarray
    places: np.ndarray
    valid: np.ndarray
    climatology: Climatology
    mean: Climatology
    deviation: float
    period: Period

    def __init__(self, rows: np.ndarray, times: np.ndarray, step: Step) -> None:
        self.rows, self.times, self.step = rows, times[rows], step
        self.periods: list[Period] = supported(step, cycles_in(self.times)) if rows.any() else ["none"]
        self.log_scale: float | None = None

    @property
    def points(self) -> np.ndarray:
        """(N, P) values at `places` of the frames of the intervals."""
        return self.sample if self.rows.all() else self.sample[self.rows]

    def choose(self, field: xr.DataArray, log1p: Log1p) -> bool:
        """Choose logarithm and period by the sample; whether frames are to be read again for their climatology."""
        self.valid = self.sums.valid
        if not self.valid.any():
            return False
        self.mean, _ = self.sums.climatology("none")
        points = self.points
        if log1p == "auto":
            self.log_scale = log_scale(points)
            if self.log_scale is not None and below_zero(str(field.name), field.attrs):
                self.log_scale = None  # what lies below zero would be cut off
        elif field.name in log1p:
            self.log_scale = mean_above_zero(points)
        self.period = choose(self.times, logarithm(points, self.log_scale), self.step, self.periods)
        return self._again()

    def like(self, other: "Summary") -> bool:
        """Whether another summary has made the same choices."""
        chosen = [(s.log_scale, s.period) for s in (self, other) if s.valid.any()]
        return len(chosen) == 2 and chosen[0] == chosen[1]

    def follow(self, other: "Summary") -> bool:
        """Take logarithm and period of another summary instead; whether frames are to be read again."""
        self.valid = self.sums.valid
        if not self.valid.any():
            return False
        self.log_scale, self.period = other.log_scale, other.period
        return self._again()

    def _again(self) -> bool:
        if self.log_scale is None and self.sums.covers(self.period):
            return False
        self.sums = Sums(self.step, [self.period], self.valid.shape)
        return True

    def finish(self) -> None:
        """Make the climatology out of the sums, which are not needed any more."""
        if self.valid.any():
            self.climatology, self.deviation = self.sums.climatology(self.period)
        del self.sums


class _Summaries(NamedTuple):
    """Those of one variable: of the contract on the training period, and of the baselines on the reference and on the
    training period; and what the contract has chosen, made of all frames.
    """

    contract: Summary
    reference: Summary
    training: Summary
    final: Summary


class Statistics:
    """Summaries of variables over a training period and a reference, whose frames are read together.

    Each frame is read once. It is read again where that is not enough: for the climatology of logarithms, whose scale
    depends on all values; where the sums for all periods together take too much memory; and where so few points have
    values that an even sample misses them.

    While a model is trained and chosen, contract and baselines know the training period only, so that their errors
    on validation are those of forecasts: `training` says what the baselines are fitted on then. What is used
    afterwards has learned from all frames: the baselines from the reference, the contract by `final`.

    Parameters
    ----------
    ds
        Canonical; lazy or not.
    step
        Of the series.
    train, reference
        Closed intervals (first time, last time) that the contract and the baselines are fitted on.
    log1p
        Variables of which the contract takes the logarithm; "auto": those that look like amounts.

    Attributes
    ----------
    train, reference : np.ndarray
        Positions of their frames along time.
    """

    def __init__(
        self, ds: xr.Dataset, step: Step, *, train: Intervals = (), reference: Intervals = (), log1p: Log1p = ()
    ) -> None:
        self._ds, self._step, self._log1p = ds, step, log1p
        self.train, self.reference = positions_in(ds, train), positions_in(ds, reference)
        self._summaries: dict[str, _Summaries] = {}
        self._judged = False

    def __getitem__(self, name: str) -> tuple[Summary, Summary]:
        """Summaries of a variable over the training period and over the reference."""
        summaries = self._all(name)
        return summaries.contract, summaries.training if self._judged else summaries.reference

    @property
    def training(self) -> "Statistics":
        """The same readings for baselines that are fitted on the training period: it stands for the reference."""
        judged = copy(self)
        judged.reference, judged._judged = self.train, True
        return judged

    def final(self, name: str) -> Climatology:
        """The climatology of the contract, by the period and after the logarithm of training, made of all frames."""
        return self._all(name).final.climatology

    def sample(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times (M,) of all frames, values (M, P) at an even sample of the points, and their flat positions (P,)."""
        summary = self._all(name).contract
        return self._ds["time"].values[np.union1d(self.train, self.reference)], summary.sample, summary.places

    @property
    def frames(self) -> int:
        """Number of all frames."""
        return len(np.union1d(self.train, self.reference))

    def _all(self, name: str) -> _Summaries:
        if name not in self._summaries:
            self._summaries[name] = self._summarise(name)
        return self._summaries[name]

    def _summarise(self, name: str) -> _Summaries:
        field, every = self._ds[name], np.union1d(self.train, self.reference)
        times, shape, size = self._ds["time"].values[every], field.shape[1:], field[0].size
        train, reference = both = [
            Summary(np.isin(every, own), times, self._step) for own in (self.train, self.reference)
        ]
        final = Summary(np.ones(len(every), bool), times, self._step)
        # The sums of all frames are mostly those of one of the two.
        same = next((s for s in both if s.rows.all()), None)
        summed = both if same else [*both, final]
        # Grids of up to 150 x 150 with years of hours stay below this share, those of days up to 750 x 750.
        whole = sum(size_of(self._step, summary.periods, size) for summary in summed) <= fitting(1, 4)
        for summary in summed:
            summary.sums = Sums(self._step, summary.periods if whole else ["none"], shape)
        number = min(SAMPLE_POINTS, fitting(field.dtype.itemsize * len(every), 16), size)
        places = _evenly(np.arange(size), number)
        sample = self._read(name, every, summed, places)
        finite = np.flatnonzero((train if train.rows.any() else reference).sums.valid)
        # A quarter is enough to choose by: oceans and countries pass, a few stations on a wide grid do not.
        if np.isin(places, finite).sum() < min(number // 4, len(finite)):
            places = _evenly(finite, number)
            sample = self._read(name, every, (), places)
        if same is not None:
            final.sums = same.sums
        for summary in (*both, final):
            summary.sample, summary.places = sample, places
        training = copy(train)
        unfinished = [s for s, log1p in ((train, self._log1p), (reference, ())) if s.choose(field, log1p)]
        if train.log_scale is None:
            training = train
        elif training.choose(field, ()):
            unfinished.append(training)
        leader = train if train.valid.any() else reference
        if same is not None and same.like(leader):
            final = same
        elif final.follow(leader):
            unfinished.append(final)
        if unfinished:
            self._read(name, every, unfinished, places[:0])
        summaries = _Summaries(train, reference, training, final)
        for summary in {id(summary): summary for summary in summaries}.values():
            summary.finish()
        return summaries

    def _read(self, name: str, every: np.ndarray, summaries: Sequence[Summary], places: np.ndarray) -> np.ndarray:
        """Add the frames at `every` to the sums of those summaries whose they are; values (M, P) at `places`."""
        field, times, sample = self._ds[name], self._ds["time"].values[every], []
        size = fitting(field[0].nbytes, 16)
        for start in range(0, len(every), size):
            part = slice(start, start + size)
            first, last = int(every[part][0]), int(every[part][-1])
            # One slice per block: a zarr array reads it chunk by chunk, once, where a list of positions is slow.
            frames = field.isel(time=slice(first, last + 1)).values[every[part] - first]
            sample.append(frames.reshape(len(frames), -1)[:, places])
            for summary in summaries:
                rows = summary.rows[part]
                own = frames if rows.all() else frames[rows]
                own = own if summary.log_scale is None else logarithm(own, summary.log_scale)
                summary.sums.add(times[part][rows], own)
        return np.concatenate(sample)


def positions_in(ds: xr.Dataset, intervals: Intervals) -> np.ndarray:
    """Positions along time of the frames in closed intervals, without slots that are marked as absent."""
    times = ds["time"].values
    inside = np.zeros(len(times), bool)
    for first, last in intervals if len(times) else ():
        start, end = parse_times([first, last], calendar_of(times))
        inside |= (times >= start) & (times <= end)
    if "present" in ds.coords:
        inside &= ds["present"].values
    return np.flatnonzero(inside)


def _evenly(places: np.ndarray, number: int) -> np.ndarray:
    """At most `number` of some places, evenly spread."""
    return places[np.linspace(0, len(places) - 1, min(number, len(places))).astype(int)]


def cycles_in(times: np.ndarray) -> Mapping[Period, float]:
    """Days, weeks and years that the times span."""
    seconds, _ = encode_times(times[[0, -1]])
    days = float(seconds[1] - seconds[0]) / DAY
    return {"none": 0.0, "day": days, "week": days / 7, "year": days / 365.2425}


def cycle_lengths(step: Step, calendar: str) -> dict[Period, int | None]:
    """Steps of the day, the week and the year; None where the step does not resolve them."""
    return {
        "day": step.per_day if (step.per_day or 0) > 1 else None,
        "week": 7 * step.per_day if step.per_day else None,
        "year": step.per_year(calendar),
    }


def seasonal_cycle(times: np.ndarray, samples: Sequence[np.ndarray], step: Step, calendar: str) -> int | None:
    """Steps of the cycle (a day, a week or a year) after which the fields come back closest to themselves.

    Parameters
    ----------
    times
        (N,), rising.
    samples
        One (N, P) array a state.

    Returns
    -------
    int or None
        The lag, among those that the span repeats often enough, with the smallest mean squared difference in
        units of each state's variance; None where the step resolves no cycle.
    """
    spans = cycles_in(times)
    lengths = cycle_lengths(step, calendar)
    index = step.index(times, times[0])
    best, smallest = None, np.inf
    for period, lag in lengths.items():
        if lag is None or spans[period] < CYCLES_NEEDED[period]:
            continue
        earlier, rows = pairs(index, lag)
        error = sum(float(np.nanmean((s[rows] - s[earlier]) ** 2) / max(np.nanvar(s), 1e-30)) for s in samples)
        if len(rows) and error < smallest * (1 - 1e-6):
            best, smallest = lag, error
    return best


def pairs(index: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the rising `index` (N,) that are `lag` apart: the earlier and the later ones."""
    earlier = np.searchsorted(index, index - lag)
    later = np.flatnonzero(index[earlier] == index - lag)
    return earlier[later], later


def log_scale(points: np.ndarray) -> float | None:
    """Scale s of log(1 + x / s) for amounts such as rain and counts; None where the values are no amounts.

    Amounts are never negative, up to rounding, and lean far to one side: their skewness is above 2, that of the
    exponential distribution. s is the mean of what is above zero, so that the transform does not depend on the unit.
    """
    values = points[np.isfinite(points)].astype("f8")
    deviation = values.std()
    if values.size == 0 or deviation == 0 or not never_below_zero(values.min(), values.max()):
        return None
    standard = (values - values.mean()) / deviation
    skewness = float((standard * standard * standard).mean())  # `** 3` is several times slower
    return mean_above_zero(values) if skewness > 2 else None


def mean_above_zero(points: np.ndarray) -> float:
    """Mean of the values that are above zero: the scale of amounts."""
    return float(points[points > 0].mean())


def logarithm(values: np.ndarray, scale: float | None) -> np.ndarray:
    """log(1 + x / s) as float32; the values themselves where there is no scale."""
    values = np.asarray(values, np.float32)
    return values if scale is None else np.log1p(values.clip(0) / np.float32(scale))
