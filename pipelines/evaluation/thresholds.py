"""Thresholds that are scored beside the errors: of the data set's settings, else those of rain."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import xarray as xr
from pydantic import AfterValidator, Field

from simvp.coords import Step
from simvp.errors import ConfigError
from simvp.scoring import EXTRAPOLATION, event_sums, rain_limits, sharpened
from simvp.settings import Settings

Thresholds = Mapping[str, Sequence[float]]


def _rising(edges: list[float]) -> list[float]:
    if not edges or any(a >= b for a, b in pairwise(edges)):
        raise ValueError("expected one number or more, rising")
    return edges


class ScoreSettings(Settings):
    """What forecasts are scored by beside their errors; for the gate and for verify."""

    subject: ClassVar[str] = "scores"

    thresholds: dict[str, Annotated[list[float], AfterValidator(_rising)]] = Field(
        default={},
        description="By variable, in its units: values that are reached or not, as { rain = [0.1, 1.0, 5.0] }. Those "
        "of rain are 0.1 and 1 mm/h by default, other variables have none.",
    )


def limits_of(
    forecast: xr.Dataset, moving: Sequence[str], step: Step, thresholds: Thresholds | None
) -> dict[str, tuple[float, ...]]:
    """Thresholds of each variable of a forecast that has some: those that were given, before those of rain."""
    own = {name: tuple(edges) for name, edges in (thresholds or {}).items() if name in forecast}
    return {**rain_limits(forecast, [name for name in moving if name not in own], step), **own}


def refuse_others(thresholds: Thresholds | None, names: Sequence[str], subject: str) -> None:
    """Refuse thresholds of what is not forecast.

    Raises
    ------
    ConfigError
        With the names that there are.
    """
    if wrong := [name for name in thresholds or {} if name not in names]:
        reason = f"thresholds: expected some of {', '.join(names)}, got {', '.join(wrong)}"
        raise ConfigError(subject, [reason], "mend [scores] thresholds of the data set's settings")


def reached(
    forecast: xr.Dataset,
    baselines: Mapping[str, xr.Dataset],
    rivals: Mapping[str, xr.Dataset],
    truth: xr.Dataset,
    limits: Thresholds,
    says: Mapping[str, Mapping[str, float]],
) -> xr.DataArray:
    """`simvp.scoring.event_sums` of a forecast, of its sharp form, of baselines, and of rivals in their sharp form.

    Parameters
    ----------
    forecast, truth
        As for `simvp.scoring.compare`.
    baselines
        By name; where something moves, with the extrapolation that sharp forecasts get their rain from.
    rivals
        Forecasts of other models, by the name of their system.
    limits
        From `limits_of`.
    says
        By system ("model", and those of `rivals`) how much say it has in the order of its sharp forecast, by variable
        that moves (`simvp.scoring.sharp`).
    """
    contenders = {"model": forecast}
    moved = baselines.get(EXTRAPOLATION)
    if moved is not None:
        contenders["sharp"] = _sharp(forecast, moved, limits, says.get("model", {}))
    contenders |= baselines
    for name, rival in rivals.items():
        contenders[name] = rival if moved is None else _sharp(rival, moved, limits, says.get(name, {}))
    return event_sums(contenders, truth, limits)


def _sharp(forecast: xr.Dataset, moved: xr.Dataset, limits: Thresholds, says: Mapping[str, float]) -> xr.Dataset:
    return sharpened(forecast, moved, {name: say for name, say in says.items() if name in limits and name in forecast})
