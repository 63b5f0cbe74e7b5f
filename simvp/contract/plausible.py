"""Whether values can be in the units of training: compared with what training saw, in words that say what was compared.

Wide on purpose: a model trained in March still runs in July. Fields that are dry at times, such as rain, have a rule of
their own. How much of a map is wet says nothing of its units, so that neither its quantiles nor its spread do; how
hard it rains where it rains does. Intensity is the mean of an amount weighted by itself, sum x^2 / sum x: in which
intensity most of it falls, however much of the map is dry or covered by traces.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simvp.contract.bounds import never_below_zero

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_REACH = 5  # ranges of training (5 to 95 %) that the middle quantiles may lie away
_SPREAD, _SPREAD_OF_AMOUNTS = 30, 200
_HIGHEST, _HEAVIER, _LIGHTER = 30, 100, 300  # m for mm is 1000, mm in ten minutes for kg m-2 s-1 is 600
_WET = 1 / 3  # of training's share: with less, it is dry, and what falls may be any trace
_NOISE = 1e-4  # of the highest value: a few steps of numbers packed into 16 bits


def what_was_seen(points: np.ndarray) -> dict[str, Any]:
    """Quantiles and spread of a sample in physical units, for `implausible`; of fields that are dry at times the mean.

    Models saved before the mean was kept do not have it.
    """
    values = points[np.isfinite(points)]
    quantiles = np.quantile(values, LEVELS).tolist()
    seen = {"quantiles": quantiles, "spread": float(values.std(dtype="f8"))}
    if _dry_at_times(quantiles):
        seen["mean"] = float(values.clip(0).mean(dtype="f8"))
    return seen


def intermittent(seen: Mapping[str, Any]) -> bool:
    """Whether training saw an amount that is often absent: never below zero, dry for a twentieth, heavy at the most.

    The quantiles alone cannot tell rain from a skewed field of temperatures that ends at zero; bounds can.
    """
    lowest, low, *_, highest = seen["quantiles"]
    far = highest - seen["quantiles"][3] > 5 * seen["spread"] > 0
    return far and never_below_zero(lowest, highest) and never_below_zero(-low, highest)


def implausible(values: np.ndarray, seen: Mapping[str, Any], units: str, amount: bool) -> str | None:
    """Why `values` cannot be in the same units as what training saw; None where they can.

    Two marks: the middle quantiles lie more than five times the training range (5 to 95 %) away; or the spread is off
    by a factor of 30 (of 200 for amounts). A field without any spread, inside the range of training, passes.

    Of amounts that training saw at zero, dry is plausible, however long. They are off where the highest value is above
    30 times the highest that training saw; where the intensity is above 100 times that of training, or below a 300th
    although a third of training's share of the map is wet; or where the middle quantiles lie too far on the lower side.

    Parameters
    ----------
    values
        Any shape, in `units`; NaN does not count.
    seen
        Of `what_was_seen`, of this version or of an earlier one.
    amount
        Whether the variable is an amount: rain, counts.
    """
    finite = np.isfinite(values)
    values = values if finite.all() else values[finite]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    expected = seen["quantiles"]
    dry = amount and _dry_at_times(expected) and seen["spread"] > 0
    why = _quantile_off(values, low, -np.inf if dry else high, seen)
    why = why or (_amount_off(values, low, high, seen) if dry else _spread_off(values, low, seen, amount))
    if why is None:
        return None
    return (
        f"values of {low:.6g} .. {high:.6g} (median {np.median(values):.6g}) where training saw "
        f"{expected[0]:.6g} .. {expected[-1]:.6g} (median {expected[3]:.6g}) {units}: {why}; are the units right?"
    )


def _quantile_off(values: np.ndarray, low: float, high: float, seen: Mapping[str, Any]) -> str | None:
    """Which middle quantile lies too far away; with `high` = -inf only below."""
    expected = np.asarray(seen["quantiles"])
    middle, width = expected[2:5], max(expected[5] - expected[1], seen["spread"], 1e-30)
    reach = _REACH * width
    # No quantile lies outside the range, which is known sooner: most data needs no sorting.
    if low >= middle.max() - reach and high <= middle.min() + reach:
        return None
    away = np.quantile(values, LEVELS[2:5]) - middle
    distance = np.abs(away) if high > -np.inf else -away
    worst = int(np.argmax(distance))
    if distance[worst] <= reach:
        return None
    return (
        f"the {LEVELS[2 + worst]:.0%} quantile, {middle[worst] + away[worst]:.6g}, is {distance[worst]:.6g} away from "
        f"training's {middle[worst]:.6g}, more than {_REACH} times its range from 5 to 95 % ({width:.6g})"
    )


def _spread_off(values: np.ndarray, low: float, seen: Mapping[str, Any], amount: bool) -> str | None:
    spread, expected, quantiles = _deviation(values), seen["spread"], seen["quantiles"]
    constant = spread == 0 and quantiles[0] <= low <= quantiles[-1]
    factor = _SPREAD_OF_AMOUNTS if amount else _SPREAD
    if expected <= 0 or constant or 1 / factor < spread / expected < factor:
        return None
    return (
        f"their standard deviation, {spread:.6g}, is {spread / expected:.3g} times training's {expected:.6g}, "
        f"expected 1/{factor} to {factor} times"
    )


def _amount_off(values: np.ndarray, low: float, high: float, seen: Mapping[str, Any]) -> str | None:
    """What is too heavy or too light, of an amount that training saw at zero."""
    quantiles = seen["quantiles"]
    if high > _HIGHEST * quantiles[-1]:
        return (
            f"the highest value, {high:.6g}, is {high / quantiles[-1]:.3g} times the highest that training saw, "
            f"{quantiles[-1]:.6g}, expected {_HIGHEST} times at most"
        )
    # What much of training lay under, and is a few steps of packing at the most, is zero.
    if high <= max(q for q in (0.0, *quantiles[:4]) if q <= _NOISE * quantiles[-1]):
        return None
    amounts = values if low >= 0 else values.clip(0)
    intensity, share = _intensity(float(amounts.mean(dtype="f8")), _deviation(amounts))
    expected, usual = _intensity(seen["mean"] if "mean" in seen else _mean_between(quantiles), seen["spread"])
    light = intensity < expected / _LIGHTER and share > _WET * usual
    if not light and intensity <= _HEAVIER * expected:
        return None
    wet = f" although {share:.1%} of the points are wet ({usual:.1%} in training)" if light else ""
    return (
        f"their intensity (the mean weighted by the amount itself), {intensity:.6g}, is {intensity / expected:.3g} "
        f"times training's {expected:.6g}{wet}, expected 1/{_LIGHTER} to {_HEAVIER} times"
    )


def _intensity(mean: float, spread: float) -> tuple[float, float]:
    """Sum x^2 / sum x, and the share of points that would make the same mean if all of them had this intensity."""
    square = spread * spread + mean * mean
    return square / mean, mean * mean / square


def _mean_between(quantiles: list[float]) -> float:
    """About the mean of an amount of which only quantiles were kept."""
    # Most of the rare amounts lie near the lower end: a quarter of the way up is right to a third on radar rain.
    ends = np.asarray(quantiles).clip(0)
    return float(np.diff(LEVELS) @ (0.75 * ends[:-1] + 0.25 * ends[1:]))


def _dry_at_times(quantiles: list[float]) -> bool:
    """Whether an amount has been seen at zero, up to rounding."""
    lowest, highest = quantiles[0], quantiles[-1]
    return never_below_zero(lowest, highest) and never_below_zero(-lowest, highest)


def _deviation(values: np.ndarray) -> float:
    """Standard deviation in float64, which is not made of all values at once."""
    mean = values.mean(dtype="f8")
    return float(np.sqrt(sum(np.square(part - mean).sum() for part in np.atleast_2d(values)) / values.size))
