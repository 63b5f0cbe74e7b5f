"""Whether two texts name the same unit of measurement."""

import re
from functools import lru_cache
from typing import Any

# Spellings found in public archives that the parser misreads: "M/S" as molar per siemens, "mb" as millibarn.
SPELLINGS = (
    {"mb": "hPa"}
    | {degrees + scale: "degC" for degrees in ("deg", "degree", "degrees") for scale in (" c", "_c", " celsius")}
    | dict.fromkeys(("deg k", "degk", "deg_k", "degree_k", "degrees_k", "degrees kelvin", "kelvin", "kelvins"), "K")
)
CAPITALS = {"PA": "Pa", "HPA": "hPa", "MB": "hPa", "K": "K", "W": "W", "J": "J", "C": "degC", "N": "N"}
WORD = re.compile(r"[A-Za-z]+")
NUMBER = re.compile(r"([\d.]+(?:[eE][+-]?\d+)?)?\s*(.*)", re.DOTALL)


def same_units(a: str, b: str) -> bool:
    """Whether `a` and `b` are one unit: "m/s" and "m s-1" are, "K" and "degC" are not, nor "m" and "mm".

    A text that no unit is known for equals only itself.
    """
    a, b = a.strip(), b.strip()
    if a == b:
        return True
    first, second = _scale(a), _scale(b)
    if first is None or second is None or first[0] != second[0]:
        return False
    span = max(abs(first[2] - first[1]), abs(second[2] - second[1]))
    return all(abs(x - y) <= 1e-9 * span for x, y in zip(first[1:], second[1:], strict=True))


def converted(value: float, units: str, wanted: str) -> float | None:
    """`value` in the units `wanted`; None where these are not units of one dimension."""
    units, wanted = units.strip(), wanted.strip()
    if units == wanted:
        return value
    first, second = _scale(units), _scale(wanted)
    if first is None or second is None or first[0] != second[0]:
        return None
    return (first[1] + value * (first[2] - first[1]) - second[1]) / (second[2] - second[1])


def known_units(text: str) -> bool:
    """Whether `text` can be read as a unit."""
    return _scale(text.strip()) is not None


@lru_cache(maxsize=512)
def _scale(text: str) -> tuple[Any, float, float] | None:
    """Dimensionality, and where 0 and 1 of the unit lie in base units; None when it cannot be read."""
    from cf_xarray.units import units  # half a second: only where units are compared

    try:
        return "[]", 0.0, float(text)  # CF allows a bare scale, "1" or "1e-3"
    except ValueError:
        pass
    for spelling in _spellings(text):
        try:
            ends = [units.Quantity(value, spelling).to_base_units() for value in (0.0, 1.0)]
        except Exception:  # the parser raises whatever the text leads it to: Undefined..., Assertion, Type, Value
            continue
        dimensions = "[]" if ends[0].dimensionless else str(ends[0].dimensionality)
        return dimensions, float(ends[0].magnitude), float(ends[1].magnitude)
    return None


def _spellings(text: str) -> list[str]:
    plain = " ".join(text.split())
    if plain.lower() in SPELLINGS:
        return [SPELLINGS[plain.lower()]]
    if plain.isupper() and len(plain) > 1:  # a file in capitals: M/S, METERS, MM/DAY
        return [WORD.sub(lambda word: CAPITALS.get(word[0], word[0].lower()), plain), plain]
    return [plain] if plain else []


def conversion(text: str, wanted: str) -> float | None:
    """How many of `wanted` one of a unit is: 1000 for "km" in "m", and for "1000 m".

    None where it is no multiple of it, or is not known; a bare number is no unit.
    """
    count, unit = NUMBER.fullmatch(text.strip()).groups()  # type: ignore[union-attr]  # it matches every text
    one, other = _scale(unit) or _scale(unit.lower()), _scale(wanted)
    if not unit or one is None or other is None or one[0] != other[0] or one[1] or other[1]:
        return None
    return float(count or 1.0) * one[2] / other[2]
