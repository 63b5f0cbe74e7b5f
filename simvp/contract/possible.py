"""Values that a quantity cannot have: marks of missing values that no attribute declares, and fields of other units."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from simvp.values import LARGEST, looks_like_mark, same_units

DIFFERENCE = (
    "anomal|differ|depart|deviat|tendenc|change|trend|error|bias|increment|spread|variance|gradient|residual|delta|"
    "perturb|fluctuat|divergence|convergence|balance|exchange"
)
# Amounts and counts in whatever unit, of which none is below zero.
AMOUNTS = (
    r"precip|prcp|rain|snow ?(fall|depth|cover)|\b(wind|gust|current) ?speed\b|\b(ws|wspd|sfcwind|si10)\b|humidity|"
    r"mixing ratio|concentration|chlorophyll|\bchl\b|\bpm ?\d+|\b(no2|so2|co2?|o3|ozone|ch4|nh3)\b|discharge|"
    r"river ?flow|stream ?flow|\b(dis|snd|snwd|swe)\b|visibility|optical (depth|thickness)|\baod\b|wave height|"
    r"\b(swh|hs)\b|albedo|sunshine|irradiance|lightning|\b(cdd|cwd)\b|"
    r"\b(vehicles?|veh|cars?|people|persons?|passengers?|pax|inhabitants|bikes?|trips?|taxis?|users?|flashes|strokes|"
    r"counts?|number|cases|deaths|events)\b"
)

SPELLINGS = {
    **dict.fromkeys(("kelvin", "kelvins", "deg k", "degk", "degrees kelvin", "degree kelvin"), "K"),
    **dict.fromkeys(("celsius", "degree celsius", "degrees celsius", "deg c", "degree c", "c", "°c"), "degC"),
    **dict.fromkeys(("mb", "mbar", "millibar", "millibars", "hpa", "hectopascal"), "hPa"),
    **dict.fromkeys(("percent", "pct"), "%"),
    **dict.fromkeys(("mm hr-1", "mm h-1", "mm hour-1"), "mm h-1"),
    **dict.fromkeys(("mm d-1", "mm day-1"), "mm day-1"),
    **dict.fromkeys(("meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("degrees", "deg", "degree true", "degrees true"), "degree"),
}
RATIOS = {"kg kg-1": r"g.*g", "m3 m-3": r"m.*3.*m.*3", "psu": r"(?i)psu|salinity|pss"}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What values in some unit can be.

    Parameters
    ----------
    units
        Units that the limits hold for.
    named, unless
        What the names of a variable must, and must not, contain: standard and long name where it is strict, else also
        its own.
    low, high
        No value lies outside.
    marks
        Numbers outside that are marks too, though they do not look like any: 0 K.
    strict
        Whether other numbers outside are refused, or left for noise of packing and of differences.
    """

    units: tuple[str, ...] = ()
    named: str = ""
    unless: str = "^$"
    low: float = -LARGEST
    high: float = LARGEST
    marks: tuple[float, ...] = ()
    strict: bool = False

    def fits(self, name: str, text: str) -> bool:
        """Whether a variable of that name, with `text` as standard and long name, is such a quantity in such a unit."""
        text = text if self.strict else f"{name} {text}"
        return not self.named or bool(re.search(self.named, text) and not re.search(self.unless, text))


# The first that fits. Wide: no natural value may lie outside, of whatever planet, model or season.
QUANTITIES = (
    Quantity(
        units=("K",), named=r"(air|surface|sea|water|soil|ground|skin|dew.?point|2 ?m(et[re]+s?)?)\b.*temperature",
        unless=f"{DIFFERENCE}|brightness|squared|product|flux", low=20.0, high=5000.0, marks=(0.0,), strict=True,
    ),
    Quantity(units=("K",), low=-500.0, high=5000.0),
    Quantity(units=("degC",), named=r"sea|water|soil|surface|2 ?m|sst|tas", unless=DIFFERENCE, low=-95.0, high=900.0),
    Quantity(units=("degC", "degF"), named=r"\bair\b|\b(t|ta)\b", unless=DIFFERENCE, low=-460.0, high=900.0),
    Quantity(units=("degC", "degF"), low=-460.0, high=9000.0),
    Quantity(
        units=("mm", "mm h-1", "mm day-1", "mm s-1", "m", "kg m-2", "kg m-2 s-1", "kg m-2 h-1", "kg m-2 day-1"),
        named=r"precip|prcp|prec\b|pcp|\bppt\b|rain|snowfall|shower|hail|\b(tp|pr|rr\d*|rfe|lsp|cp|sf)\b",
        unless=f"{DIFFERENCE}|minus|evap", low=-0.9, high=30000.0, marks=tuple(range(-9, 0)),
    ),
    Quantity(
        units=("mm", "mm h-1", "mm day-1"), named=r"^(p|r|rf|pre)\b", unless=f"{DIFFERENCE}|minus|evap|runoff",
        low=-0.9, high=30000.0,
    ),
    Quantity(units=("mm h-1", "mm day-1", "mm s-1"), low=-990.0, high=1e6),
    Quantity(units=("kg m-2 s-1", "s-1"), low=-900.0, high=900.0),
    Quantity(units=("cm",), named="snow|wave|rain|precip", unless=DIFFERENCE, low=-90.0, high=30000.0),
    Quantity(units=("mm", "cm", "kg m-2"), low=-5000.0, high=1e9),
    Quantity(units=("m s-1",), named="wind|current|velocity|speed", unless="seismic|solar", low=-500.0, high=900.0),
    Quantity(units=("m s-1",), low=-990.0, high=1e8),
    Quantity(units=("km h-1", "knot", "mi h-1"), low=-900.0, high=5000.0),
    Quantity(
        units=("Pa", "hPa"), named=r"pressure|\b(mslp?|slp|psl?|sp|prmsl|p|pres|press|psfc)\b",
        unless=f"{DIFFERENCE}|head|potential|turgor|stress|osmotic", low=-0.9, high=1e9,
    ),
    Quantity(units=("hPa",), low=-5000.0, high=1e10),
    Quantity(units=("Pa",), low=-1e6, high=1e12),
    Quantity(
        units=("%",), named=r"humidity|cloud|cover|fraction|concentration|area|ice|saturation|\b(rh|hurs?|tcc|clt)\b",
        unless=DIFFERENCE, low=-50.0, high=900.0,
    ),
    Quantity(units=("%",), low=-900.0, high=1e15),
    Quantity(units=("kg kg-1", "m3 m-3"), low=-0.9, high=90.0),
    Quantity(
        units=("1", "g kg-1"), named="humidity|mixing ratio|fraction|cover|albedo|emissivity|vegetation|ndvi|moisture",
        unless=DIFFERENCE, low=-1.5, high=1e3,
    ),
    Quantity(
        units=("1", "g kg-1", "0.001", "psu"), named=r"salinity|\b(so|sos|salt)\b", unless=DIFFERENCE,
        low=-0.9, high=900.0,
    ),
    Quantity(units=("g kg-1", "psu", "1e-6", "1e-9", "degree", "day"), low=-900.0, high=1e15),
    Quantity(units=("mg m-3", "ug m-3", "kg m-3"), unless=DIFFERENCE, named="concentration|mass", low=-50.0, high=1e9),
    Quantity(units=("mg m-3", "ug m-3", "ng m-3", "kg m-3"), low=-900.0, high=1e15),
    Quantity(
        units=("m",), unless="length|of pressure", low=-90.0, high=990.0,
        named=r"sea surface height|sea level|water level|surge|tide|wave|swell|snow|"
        r"\b(swh|hs|ssha?|zos|sla|adt|snd|sde?)\b",
    ),
    Quantity(
        units=("m", "gpm"), named=r"geopotential height|\b((zg|gh|hgt)\d*|z\d+)\b", unless=DIFFERENCE, low=-990.0,
        high=1e6,
    ),
    Quantity(units=("gpm",), low=-5000.0, high=1e6),
    Quantity(units=("W m-2",), named="radiati|irradiance|wave|solar|thermal", low=-900.0, high=1e8),
    Quantity(units=("W m-2",), low=-5000.0, high=1e8),
    Quantity(units=("dBZ",), low=-200.0, high=200.0),
    Quantity(units=("m", "m2 s-2", "J m-2", "J kg-1", "1"), low=-1e15, high=1e15),
)  # fmt: skip
AMOUNT = Quantity(named=AMOUNTS, unless=f"{DIFFERENCE}|minus|evap|log|flux|net|index", low=-0.9)
ANYTHING = Quantity()


@dataclass(frozen=True, kw_only=True)
class Impossible:
    """What a variable holds that its quantity cannot have.

    Parameters
    ----------
    where
        Places of the marks.
    marks
        How often each of them stands there.
    fault
        Reason to refuse the values, or empty.
    """

    where: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    marks: Mapping[float, int] = field(default_factory=dict)
    fault: str = ""


def impossible(
    values: np.ndarray, name: str, attrs: Mapping[str, Any], lowest: float, highest: float
) -> Impossible | None:
    """What is among the values that cannot be; None where nothing is, as almost always.

    Parameters
    ----------
    attrs
        Of which units, standard_name and long_name tell what the values are.
    lowest, highest
        Of all values, so that these are looked at only where it is needed.
    """
    text = " ".join(str(attrs.get(key, "")) for key in ("standard_name", "long_name")).lower().replace("_", " ")
    short = name.lower().replace("_", " ")
    units = str(attrs.get("units", "")).strip()
    of = _quantity(short, text, units, common=True)
    if of is None and (looks_like_mark(lowest) or looks_like_mark(highest)):
        # The parser of units takes half a second to import: it is asked only where there is something to find.
        of = _quantity(short, text, units, common=False)
    of = of or ANYTHING
    if not of.named and AMOUNT.fits(short, f"{text} {units.lower()}"):
        of = replace(of, low=max(of.low, AMOUNT.low))
    if not (lowest < of.low or highest > of.high):
        return None
    with np.errstate(invalid="ignore"):
        outside = (values < of.low) | (values > of.high)
    numbers, counts = np.unique(values[outside & np.isfinite(values)], return_counts=True)
    marked = [looks_like_mark(float(number)) or float(number) in of.marks for number in numbers]
    marks = {
        float(str(number)): int(count)
        for number, count, is_mark in zip(numbers, counts, marked, strict=True)
        if is_mark
    }
    where = np.isin(values, numbers[marked])
    fault = ""
    if of.strict and not all(marked):
        left = numbers[~np.array(marked)]
        span = f"{left[0]:.6g}" if len(left) == 1 else f"{left[0]:.6g} .. {left[-1]:.6g}"
        what = attrs.get("standard_name") or attrs.get("long_name") or name
        count = int(outside.sum() - where.sum())
        fault = (
            f"{name}: {count} values of {span} {units}, where {what} lies between {of.low:g} and {of.high:g} {units}; "
            "correct the units, or declare what marks missing values (missing_value)"
        )
    return Impossible(where=where, marks=marks, fault=fault) if marks or fault else None


@lru_cache(maxsize=512)
def _quantity(name: str, text: str, units: str, *, common: bool) -> Quantity | None:
    """The first that fits; with a unit in a common spelling, or in whatever the parser reads."""
    plain = units.replace("**", "").replace("^", "")
    if ratio := re.fullmatch(r"(\w+)/(\w+?)(\d?)", plain):
        plain = f"{ratio[1]} {ratio[2]}-{ratio[3] or 1}"
    plain = SPELLINGS.get(plain.lower().replace("_", " "), plain)
    for one in QUANTITIES:
        fits = plain in one.units if common else any(_same(units, other) for other in one.units)
        if units and fits and one.fits(name, text):
            return one
    return None


def _same(units: str, other: str) -> bool:
    """Whether two units are one; to the parser "counts" is "kg kg-1", since both are numbers."""
    ratio = RATIOS.get(other)
    return (ratio is None or bool(re.search(ratio, units))) and same_units(units, other)
