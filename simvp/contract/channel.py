"""One channel of a frame: a state to predict, a forcing known in advance, or a static map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from simvp.contract.climatology import Climatology, choose
from simvp.contract.statistics import blocks, log_scale, what_was_seen
from simvp.coords import Step, plain

Role = Literal["state", "forcing", "static"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """One channel of a frame.

    Parameters
    ----------
    name, units
        As in the data; units "" for forcings.
    role
        "state": predicted. "forcing": known in advance, computed from the time and the place. "static": one map.
    attrs
        Attributes of the variable (standard_name, long_name, cell_methods ...), handed on to the forecast.
    climatology
        Of a state, after the logarithm if there is one.
    scale
        Standard deviation of the departures from the climatology.
    log_scale
        s of log(1 + x / s); None where the values are taken as they are.
    bounds
        Lowest and highest physical value of a forecast, None where open.
    valid
        (H, W) bool of a state: False where training saw NaN only. There the network gets zero, the loss does not
        look, and the forecast is NaN again.
    seen
        Quantiles and spread of training, in physical units.
    values
        (H, W) of a static channel, standardised.
    """

    name: str
    role: Role
    units: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    climatology: Climatology | None = None
    scale: float = 1.0
    log_scale: float | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    valid: np.ndarray | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)
    values: np.ndarray | None = None

    def normalise(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Physical (N, H, W) to departures (N, H, W) float32; masked points are 0, other NaN stays."""
        assert self.climatology is not None
        assert self.valid is not None
        departure = self.transform(values) - self.climatology.at(times)
        departure /= np.float32(self.scale)
        np.copyto(departure, 0.0, where=~self.valid)
        return departure

    def denormalise(self, departure: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Inverse of `normalise`: physical, inside the bounds, NaN where masked."""
        assert self.climatology is not None
        assert self.valid is not None
        values = departure * np.float32(self.scale)
        values += self.climatology.at(times)
        if self.log_scale is not None:
            np.expm1(values, out=values)
            values *= np.float32(self.log_scale)
        if self.bounds != (None, None):
            np.clip(values, *self.bounds, out=values)
        np.copyto(values, np.nan, where=~self.valid)
        return values

    def points(self, values: np.ndarray) -> np.ndarray:
        """Physical (N, H, W) at the points where training saw values, (N, P)."""
        assert self.valid is not None
        return values.reshape(len(values), -1) if self.valid.all() else values[:, self.valid]

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Values as float32, after the logarithm if there is one."""
        values = np.asarray(values, np.float32)
        return values if self.log_scale is None else np.log1p(values.clip(0) / np.float32(self.log_scale))

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        header = {n: getattr(self, n) for n in ("name", "role", "units", "scale", "log_scale")}
        climatology = None if self.climatology is None else self.climatology.to_header()
        return {
            **header,
            "bounds": list(self.bounds),
            "attrs": dict(self.attrs),
            "seen": dict(self.seen),
            "climatology": climatology,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays to save, by name."""
        found = {"valid": self.valid, "values": self.values}
        if self.climatology is not None:
            found["climatology"] = self.climatology.values
        return {name: values for name, values in found.items() if values is not None}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Channel":
        """Inverse of `to_header` and `arrays`."""
        maps = dict(arrays)
        usual = maps.pop("climatology", None)
        climatology = None if usual is None else Climatology.from_header(header["climatology"], usual)
        bounds = (header["bounds"][0], header["bounds"][1])
        return cls(**{**header, "climatology": climatology, "bounds": bounds, **maps})


def fit_state(
    ds: xr.Dataset,
    name: str,
    positions: np.ndarray,
    points: np.ndarray,
    valid: np.ndarray,
    step: Step,
    periods: Sequence[Any],
    log1p: Sequence[str] | Literal["auto"],
    bounds: tuple[float | None, float | None] | None,
) -> Channel:
    """Transform of one state: logarithm, climatology, scale, mask and what was seen."""
    amounts = points[np.isfinite(points) & (points > 0)]
    scale = log_scale(points) if log1p == "auto" else float(amounts.mean()) if name in log1p else None
    attrs = plain({k: v for k, v in ds[name].attrs.items() if k not in ("units", "grid_mapping")})
    draft = Channel(name=name, role="state", log_scale=scale)
    period = choose(ds["time"].values[positions], draft.transform(points), step, periods)
    frames = ((times, draft.transform(values)) for times, values in blocks(ds, name, positions))
    climatology, deviation = Climatology.fit(frames, step, period)
    if bounds is None:
        bounds = (0.0, None) if np.nanmin(points) == 0 else (None, None)
    return Channel(
        name=name,
        role="state",
        units=str(ds[name].attrs["units"]),
        attrs=attrs,
        climatology=climatology,
        scale=deviation or 1.0,
        log_scale=scale,
        bounds=bounds,
        valid=valid,
        seen=what_was_seen(points),
    )


def fit_static(ds: xr.Dataset, name: str) -> Channel:
    values = np.asarray(ds[name].values, np.float64)
    standard = (values - np.nanmean(values)) / (np.nanstd(values) or 1.0)
    filled = np.nan_to_num(standard).astype(np.float32)
    return Channel(name=name, role="static", units=str(ds[name].attrs.get("units", "")), values=filled)


def forcing_names(step: Step, cycle: int | None, years: float, rhythms: set[Any]) -> list[str]:
    """Names of the forcings: only rhythms that the step resolves and the training period has been through."""
    names = []
    if (step.per_day or 0) > 1:
        names.append("time_of_day")
    if step.per_day and ("week" in rhythms or cycle == 7 * step.per_day):
        names.append("time_of_week")
    if years >= 1 and step.per_year() is not None:
        names.append("time_of_year")
    return [f"{name}_{wave}" for name in names for wave in ("sin", "cos")]
