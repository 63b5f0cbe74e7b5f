"""The forecasts that cost nothing, and that a model has to beat: five everywhere, and a sixth for rain.

With x the observed fields, i the init time, v = i + l the valid time of lead l, m the climatology and P the cycle:

* persistence: x(i)
* seasonal persistence: x(v - kP), with the smallest k for which that time has been observed
* climatology: m(v)
* anomaly persistence: m(v) + x(i) - m(i)
* damped anomaly persistence: m(v) + a_l (x(i) - m(i)), where a_l = sum w d(t) d(t + l) / sum w d(t)^2 is the
  regression of the departure d = x - m on the departure l steps before, over all t and t + l in the period fitted on

Without a cycle, seasonal persistence is persistence and the climatology is the mean map.

The sixth, extrapolation, is there for data sets with a variable that is rain and often dry: x(i) carried on along its
motion (`simvp.motion`). Of variables that are not, it is persistence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.contract import Climatology, Statistics, intermittent, is_precipitation, pairs, what_was_seen
from simvp.coords import Grid, Step, coordinates, label
from simvp.errors import ConfigError, Refusal
from simvp.motion import FRAMES, extrapolate
from simvp.record import Record, below
from simvp.scoring.scores import frames_of, positions_of
from simvp.times import encode_times

NAMES = ("persistence", "seasonal_persistence", "climatology", "anomaly_persistence", "damped_anomaly")
"""Of the five."""

EXTRAPOLATION = "extrapolation"
"""The sixth, see `Baselines.names`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Baselines(Record):
    """What the baselines need to know of the past.

    Parameters
    ----------
    variables
        Names, in order.
    step, cycle
        Time between frames, and steps of the seasonal cycle or None.
    climatology
        Of each variable, in its own units.
    damping
        (V, L) float64: a_l of the fitted leads 1 .. L.
    period
        The intervals that climatology and damping were fitted on, in words.
    moving
        Variables that are carried on along their motion; without any there is no sixth baseline.
    """

    variables: tuple[str, ...]
    step: Step
    cycle: int | None
    climatology: Mapping[str, Climatology]
    damping: np.ndarray
    period: str
    moving: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the baselines of this data set, in the order of tables."""
        return (*NAMES, EXTRAPOLATION) if self.moving else NAMES

    @classmethod
    def fit(
        cls,
        ds: xr.Dataset,
        *,
        variables: Sequence[str],
        step: Step,
        cycle: int | None,
        leads: int,
        period: Sequence[tuple[Any, Any]],
        weights: np.ndarray,
        statistics: Statistics | None = None,
    ) -> "Baselines":
        """Climatology and damping from the frames of a period, read once, in bounded blocks.

        The climatology goes by the day, the week or the year, whichever predicts best what it was not fitted
        on, among those that the step resolves and the period repeats often enough. The damping, one number a lead,
        is fitted on an even sample of the points.

        Parameters
        ----------
        ds
            Canonical Dataset (time, row, column); may be lazy, with absent frames (all NaN, or not there).
        variables
            Which to fit.
        step, cycle
            As in the record.
        leads
            Number of leads L to fit the damping for.
        period
            Closed intervals (first time, last time).
        weights
            (H, W) area weights.
        statistics
            Of the same `period` as its reference, where a contract is fitted on the same reading of the frames.

        Raises
        ------
        ConfigError
            No frame of the period in the data, variables that it does not have, or fewer than one lead.
        """
        reasons = [f"{n}: expected one of {', '.join(map(str, ds.data_vars))}" for n in variables if n not in ds]
        words = ", ".join(f"{first} .. {last}" for first, last in period)
        statistics = statistics or Statistics(ds, step, reference=period)
        times = ds["time"].values[statistics.reference]
        if not len(times):
            frames = ds.sizes["time"]
            reasons.append(f"period: expected frames in {words or 'some interval'}, got none of {frames}")
        if leads < 1:
            reasons.append(f"leads: expected one at least, got {leads}")
        if reasons:
            raise ConfigError("Baselines", reasons)
        climatology, damping, moving = {}, [], []
        for name in variables:
            _, summary = statistics[name]
            if not summary.valid.any():
                raise ConfigError("Baselines", [f"{name}: only NaN in {words}"])
            if is_precipitation(name, ds[name].attrs) and intermittent(what_was_seen(summary.points)):
                moving.append(name)
            climatology[name] = summary.mean if cycle is None else summary.climatology
            normal = climatology[name].at_points(times, summary.places)
            at_places = np.asarray(weights, np.float64).reshape(-1)[summary.places]
            damping.append(_damping(step.index(times, times[0]), summary.points - normal, leads, at_places))
        return cls(
            variables=tuple(variables),
            step=step,
            cycle=cycle,
            climatology=climatology,
            damping=np.array(damping),
            period=words,
            moving=tuple(moving),
        )

    def predict(self, ds: xr.Dataset, init_times: np.ndarray, leads: int | None = None) -> dict[str, xr.Dataset]:
        """The forecasts, by name, each labelled as in `simvp.coords.forecast_layout`.

        Nothing later than an init time is looked at. Where a frame that a baseline needs is not there, its
        forecast is NaN.

        Parameters
        ----------
        ds
            Canonical Dataset with the frames at `frame_times`, as far as there are any.
        init_times
            (I,) times of the last observed frames.
        leads
            Number of leads, the fitted ones by default. Beyond those the damping goes on falling at its mean
            rate, a_l = a_L^(l / L), and is 0 where a_L is not positive.

        Raises
        ------
        Refusal
            Variables that are not there, or frames off the step.
        """
        missing = [n for n in self.variables if n not in ds]
        if missing:
            here = ", ".join(map(str, ds.data_vars)) or "none"
            raise Refusal("Baselines", [f"{n}: the variable is missing; the data has {here}" for n in missing])
        leads = self.damping.shape[1] if leads is None else leads
        init_times = np.asarray(init_times)
        valid = self.step.shift(init_times[:, None], np.arange(1, leads + 1))
        earlier = self.seasonal_times(init_times, leads)
        fields: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.names}
        for v, name in enumerate(self.variables):
            climatology = self.climatology[name]
            now = frames_at(ds, name, init_times)[:, None]
            normal = climatology.at(valid.reshape(-1)).reshape(*valid.shape, *now.shape[2:])
            anomaly = now - climatology.at(init_times)[:, None]
            factor = extended(self.damping[v], leads).astype(normal.dtype)[:, None, None]
            fields["persistence"][name] = np.broadcast_to(now, normal.shape)
            fields["seasonal_persistence"][name] = frames_at(ds, name, earlier)
            fields["climatology"][name] = normal
            fields["anomaly_persistence"][name] = normal + anomaly
            fields["damped_anomaly"][name] = normal + factor * anomaly
            if name in self.moving:
                recent = frames_at(ds, name, self.recent_times(init_times))
                fields[EXTRAPOLATION][name] = extrapolate(recent, leads)
            elif self.moving:
                fields[EXTRAPOLATION][name] = fields["persistence"][name]
        grid, attrs = Grid.of(ds), {n: ds[n].attrs for n in self.variables}
        coords = coordinates(init_times, leads, step=self.step, grid=grid)
        return {
            baseline: label(field, coords, grid=grid, variable_attrs=attrs, attrs={"title": baseline})
            for baseline, field in fields.items()
        }

    def seasonal_times(self, init_times: np.ndarray, leads: int) -> np.ndarray:
        """Times (I, L) of the frames that seasonal persistence takes for the leads 1 .. L."""
        lead = np.arange(1, leads + 1)
        # Rounded up to whole cycles: one cycle before a valid time far ahead has not been observed either.
        back = lead if self.cycle is None else self.cycle * -(-lead // self.cycle)
        return self.step.shift(np.asarray(init_times)[:, None], lead - back)

    def recent_times(self, init_times: np.ndarray) -> np.ndarray:
        """Times (I, K) of the last frames, up to the init times, that motion is seen in: one where nothing moves."""
        return self.step.shift(np.asarray(init_times)[:, None], np.arange(1 - FRAMES if self.moving else 0, 1))

    def times_behind(self, init_times: np.ndarray, leads: int | None = None) -> np.ndarray:
        """Times (I, M) of all frames that the baselines look at, for each init time."""
        leads = self.damping.shape[1] if leads is None else leads
        return np.concatenate([self.recent_times(init_times), self.seasonal_times(init_times, leads)], axis=1)

    def frame_times(self, init_times: np.ndarray, leads: int | None = None) -> np.ndarray:
        """The same of all init times, (I * M,)."""
        return self.times_behind(init_times, leads).reshape(-1)

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        header = super().to_header()
        if not self.moving:  # baselines that were saved before there was a sixth have none
            del header["moving"]
        return header

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, to be saved beside the header."""
        arrays = super().arrays()
        for number, name in enumerate(self.variables):
            arrays |= self.climatology[name].arrays_under(f"climatology.{number}")
        return arrays

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> "Baselines":
        """Inverse of `to_header` and `arrays`."""
        arrays = arrays or {}
        climatology = {
            name: Climatology.from_header(header["climatology"][name], below(arrays, f"climatology.{number}"))
            for number, name in enumerate(header["variables"])
        }
        return super().from_header({**header, "climatology": climatology}, arrays)


def extended(damping: np.ndarray, leads: int) -> np.ndarray:
    """Damping of the leads 1 .. `leads`, (leads,), from that of the fitted ones (L,)."""
    fitted = len(damping)
    # As in a first-order autoregression, a_l = a_1 ** l, which forgets at one rate; of a_L < 0 there is no such root.
    beyond = np.arange(fitted + 1, leads + 1)
    return np.concatenate([damping[:leads], max(damping[-1], 0.0) ** (beyond / fitted)])


def frames_at(ds: xr.Dataset, name: str, times: np.ndarray) -> np.ndarray:
    """Frames of a variable at any times, (..., H, W); NaN where there is none."""
    present, calendar = encode_times(ds["time"].values)
    wanted, other = encode_times(times)
    if calendar != other:
        raise Refusal("Baselines", [f"time: expected the {calendar} calendar, got {other}"])
    return frames_of(ds[name], positions_of(wanted, present), ds[name].dtype)


def _damping(index: np.ndarray, departures: np.ndarray, leads: int, weights: np.ndarray) -> np.ndarray:
    """a_l, l = 1 .. `leads`, from departures (N, P) at the steps `index` (N,); 0 without pairs."""
    # The best linear mix of climatology and persistence, better than either (Murphy 1992, Weather and Forecasting 7,
    # 692-698), with one weight for all points instead of each point's own correlation.
    product, square = np.zeros(leads), np.zeros(leads)
    size = fitting(8 * len(index), 64)
    for start in range(0, len(weights), size):
        part = departures[:, start : start + size]
        finite = np.isfinite(part)
        # The root on both factors of a product makes the weight.
        scaled = np.where(finite, part, 0.0) * np.sqrt(weights[start : start + size])
        for lead in range(1, leads + 1):
            earlier, later = pairs(index, lead)
            product[lead - 1] += np.vdot(scaled[earlier], scaled[later])
            square[lead - 1] += np.vdot(scaled[earlier] ** 2, finite[later])  # over the pairs that the product has
    return np.divide(product, square, out=np.zeros(leads), where=square > 0)
