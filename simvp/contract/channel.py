"""The channels of a frame: a state is predicted, a forcing follows from the time, a known input is given for times to
come too, a static is one map.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from simvp.contract.bounds import bounds_of
from simvp.contract.climatology import Climatology, Period
from simvp.contract.plausible import intermittent, what_was_seen
from simvp.contract.statistics import Summary, logarithm
from simvp.coords import Step
from simvp.record import Record, plain


class Channel(Record):
    """One channel of a frame; its header names the role, and every field that a channel of any role has."""

    role: ClassVar[str]
    # Fingerprints cover the header, and saved models have all of these for forcings and statics too.
    absent: ClassVar[Mapping[str, Any]] = {
        "units": "",
        "attrs": {},
        "climatology": None,
        "scale": 1.0,
        "log_scale": None,
        "bounds": [None, None],
        "seen": {},
    }

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        return {**self.absent, "role": self.role, **super().to_header()}


@dataclass(frozen=True, kw_only=True, eq=False)
class State(Channel):
    """A variable that is predicted, given to the network as its departure from a climatology.

    Parameters
    ----------
    name, units
        As in the data.
    climatology
        After the logarithm, if there is one.
    valid
        (H, W) bool: False where training saw NaN only. There the network gets zero, the loss does not look, and the
        forecast is NaN again.
    seen
        Quantiles and spread of training, in physical units.
    attrs
        Attributes of the variable (standard_name, long_name, cell_methods ...), handed on to the forecast.
    scale
        Standard deviation of the departures from the climatology.
    log_scale
        s of log(1 + x / s); None where the values are taken as they are.
    bounds
        Lowest and highest physical value of a forecast, None where open.
    factors
        What the physical forecast of each lead is multiplied with: the exponential of a mean logarithm is no mean.
        Longer leads have that of the last. Empty: nothing is.
    """

    role: ClassVar[str] = "state"
    name: str
    units: str
    climatology: Climatology
    valid: np.ndarray
    seen: Mapping[str, Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    log_scale: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    factors: tuple[float, ...] = ()

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        header = super().to_header()
        if not self.factors:  # models that were saved before there were any have none
            del header["factors"]
        return header

    @classmethod
    def fit(
        cls, field: xr.DataArray, summary: Summary, bounds: tuple[float | None, float | None] | None = None
    ) -> "State":
        """State of a variable from what the training period says of it; without bounds, those of `bounds_of`."""
        points = summary.points
        if bounds is None:
            bounds = bounds_of(str(field.name), field.attrs, points)
        return cls(
            name=str(field.name),
            units=str(field.attrs["units"]),
            climatology=summary.climatology,
            valid=summary.valid,
            seen=what_was_seen(points),
            attrs=plain({k: v for k, v in field.attrs.items() if k not in ("units", "grid_mapping")}),
            scale=summary.deviation or 1.0,
            log_scale=summary.log_scale,
            bounds=bounds,
        )

    def transformed(self, values: np.ndarray) -> np.ndarray:
        """Physical values of any shape as the climatology has them: after the logarithm, if there is one; float32."""
        return logarithm(values, self.log_scale)

    @property
    def amount(self) -> bool:
        """Whether it is an amount, such as rain: by its logarithm, or, where none was taken, by floor and sample."""
        return self.log_scale is not None or (self.bounds[0] == 0 and intermittent(self.seen))

    def loss_weights(self) -> Climatology | None:
        """How much the squared error of a departure counts in a training, as maps by time of mean 1; None: alike.

        The same error of x is an error of its logarithm that is 1 + x / s times smaller: squared, busy hours hardly
        count. Times 1 + x / s of the climatology it has the working weight of a Poisson regression with a logarithmic
        link (McCullagh and Nelder, Generalized Linear Models, 1989, section 2.5), whose variance is proportional to
        the mean. Masked points have 0.
        """
        if self.log_scale is None:
            return None
        level = np.exp(np.where(self.valid, self.climatology.values, -np.inf))
        return replace(self.climatology, values=level / level[..., self.valid].mean())

    def normalise(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Physical (N, H, W) to departures (N, H, W) float32; masked points are 0, other NaN stays."""
        departure = self.transformed(values) - self.climatology.at(times)
        departure /= np.float32(self.scale)
        np.copyto(departure, 0.0, where=~self.valid)
        return departure

    def denormalise(self, departure: np.ndarray, times: np.ndarray, leads: np.ndarray | None = None) -> np.ndarray:
        """Inverse of `normalise`: physical, inside the bounds, NaN where masked.

        Parameters
        ----------
        departure, times
            (N, H, W) and (N,).
        leads
            (N,) from 1, where these are forecasts: their factors count.
        """
        values = departure * np.float32(self.scale)
        values += self.climatology.at(times)
        if self.log_scale is not None:
            np.expm1(values, out=values)
            values *= np.float32(self.log_scale)
        if leads is not None and self.factors:
            values *= np.array(self.factors, np.float32)[np.minimum(leads, len(self.factors)) - 1, None, None]
        if self.bounds != (None, None):
            np.clip(values, *self.bounds, out=values)
        np.copyto(values, np.nan, where=~self.valid)
        return values

    def moved(self, values: np.ndarray, departure: np.ndarray) -> np.ndarray:
        """Physical values (..., H, W) moved by departures (..., H, W): inside the bounds, NaN where masked."""
        moved = np.asarray(self.transformed(values) + departure * np.float32(self.scale), np.float32)
        if self.log_scale is not None:
            np.expm1(moved, out=moved)
            moved *= np.float32(self.log_scale)
        if self.bounds != (None, None):
            np.clip(moved, *self.bounds, out=moved)
        np.copyto(moved, np.nan, where=~self.valid)
        return moved

    def points(self, values: np.ndarray) -> np.ndarray:
        """Physical (N, H, W) at the points where training saw values, (N, P)."""
        return values.reshape(len(values), -1) if self.valid.all() else values[:, self.valid]


@dataclass(frozen=True, kw_only=True, eq=False)
class Forcing(Channel):
    """Sine or cosine of the place in the day, the week or the year, known for any time.

    Parameters
    ----------
    name
        One of `forcing_names`.
    """

    role: ClassVar[str] = "forcing"
    name: str

    def at(self, calendar: Mapping[str, np.ndarray], longitude: np.ndarray) -> np.ndarray:
        """Maps (N, H, W), or what broadcasts to them.

        Time of day is local solar time (15 degrees an hour), so that it means the same everywhere on a wide grid;
        time of week and of year are those of the calendar.

        Parameters
        ----------
        calendar
            Fields of the N times (`simvp.coords.fields_of`).
        longitude
            Degrees east, broadcasting to (H, W); 0 where the grid has none.
        """
        day = calendar["second"] / 86400
        cycle, wave = self.name.rsplit("_", 1)
        if cycle == "time_of_day":
            turn = day[:, None, None] + longitude / 360
        elif cycle == "time_of_week":
            turn = ((calendar["weekday"] + day) / 7)[:, None, None]
        else:
            month = (calendar["day"] - 1 + day) / calendar["days"]
            turn = ((calendar["month"] - 1 + month) / 12)[:, None, None]
        return (np.sin if wave == "sin" else np.cos)(2 * np.pi * turn)


@dataclass(frozen=True, kw_only=True, eq=False)
class Known(Channel):
    """A known future input: given for the valid times too, as a numerical forecast or a calendar of holidays is.

    Parameters
    ----------
    name, units
        As in its source.
    climatology
        (H, W) maps of the training period; (1, 1) of a series, which is the same at every point.
    valid
        (H, W) or (1, 1) bool: False where training saw NaN only. There the network and the base forecast get zero.
    scale
        Standard deviation of the departures from the climatology.
    source
        Name of the source that it was trained on, for refusals; "" where none was named.
    """

    role: ClassVar[str] = "known"
    name: str
    units: str
    climatology: Climatology
    valid: np.ndarray
    scale: float = 1.0
    source: str = ""

    @classmethod
    def fit(cls, field: xr.DataArray, summary: Summary) -> "Known":
        """Known input of a variable from what the training period says of it."""
        return cls(
            name=str(field.name),
            units=str(field.attrs["units"]),
            climatology=summary.climatology,
            valid=summary.valid,
            scale=summary.deviation,
            source=str(field.attrs.get("known_source", "")),
        )

    def normalise(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Physical (N, H, W) to departures (N, H, W) float32; masked points are 0, other NaN stays."""
        departure = (values - self.climatology.at(times)) / np.float32(self.scale)
        np.copyto(departure, 0.0, where=~self.valid)
        return np.asarray(departure, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Static(Channel):
    """One map, given to the network with every frame.

    Parameters
    ----------
    name, units
        As in the data.
    values
        (H, W), standardised.
    """

    role: ClassVar[str] = "static"
    name: str
    units: str
    values: np.ndarray

    @classmethod
    def fit(cls, field: xr.DataArray) -> "Static":
        """Static channel of a physical map (H, W), in which missing values become the mean."""
        values = np.asarray(field.values, np.float64)
        standard = np.nan_to_num((values - np.nanmean(values)) / (np.nanstd(values) or 1.0)).astype(np.float32)
        return cls(name=str(field.name), units=str(field.attrs.get("units", "")), values=standard)


def forcing_names(step: Step, cycle: int | None, spans: Mapping[Period, float]) -> list[str]:
    """Names of the forcings: only cycles that the step resolves and the training period has been through.

    Through the week twice, so that a day that is unlike the others is seen once more: a climatology by the week needs
    more, but the network only has to know which days may be alike.

    Parameters
    ----------
    step, cycle
        Of the series, and of its seasonal cycle in steps, or None.
    spans
        Weeks and years that the training frames span.
    """
    per_day = step.per_day or 0
    passed = {
        "time_of_day": per_day > 1,
        "time_of_week": per_day > 0 and (spans["week"] >= 2 or cycle == 7 * per_day),
        "time_of_year": spans["year"] >= 1 and step.per_year() is not None,
    }
    return [f"{name}_{wave}" for name, whole in passed.items() if whole for wave in ("sin", "cos")]
