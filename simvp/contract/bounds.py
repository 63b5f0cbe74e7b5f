"""Which values a variable can have: by its unit and its name first, and by a sample only where these leave it open.

A sample alone proves nothing: a mild month in degC ends at exactly 0, and frost comes all the same.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from simvp.values import same_units

Bounds = tuple[float | None, float | None]

_STUCK = 0.1  # share of exact zeros that a quantity which merely passes zero does not have
_ROUNDING = 1e-2  # of the largest value: packed rain and humidity lie that far below zero in public archives

_BELOW = ("K", "degC", "degF", "delta_degC", "delta_degF", "Pa s-1", "K m2 kg-1 s-1", "nT")
# One letter means coulomb and farad to the parser, and degrees to those who write it.
_DEGREES = re.compile(r"([°º]|deg(ree)?s?)?[ _]*(c|f|k|celsius|centigrade|fahrenheit|kelvins?)", re.IGNORECASE)
# Decibels of every kind, and the logarithms of UDUNITS, "lg(re 1 mm6 m-3)"; the parser knows few of them. Not decibars.
_LOGARITHMS = re.compile(
    r"(db(?!ar)[a-z]{0,3}|decibels?|np|nepers?|ph)(?![a-z])|.*\b(log\d*|lg|ln|lb) *\(", re.IGNORECASE
)

# Words of CF standard names, long names and short names, whole ones. What goes below zero comes first: a "tendency of
# precipitation" does.
_SIGNED = re.compile(
    r"anom(aly|alies)?|departures?|differences?|diff|changes?|tendency|trend|bias|residuals?|increments?|correction|"
    r"deviation from|minus|(east|west|north|south|up|down)ward|component|velocity|vorticity|divergence|convergence|"
    r"gradient|derivative|temperature|dew ?point|geopotential|altitude|elevation|height above|topography|"
    r"log|log10|logarithm|ln|index|oscillation|correlation|covariance|skewness|stress|torque|net|charge|"
    r"direction|angle|phase|[xy] wind|latitude|longitude|standardi[sz]ed|normali[sz]ed|"
    r"sea surface height|sea level|water level|surge|tides?|sensible|latent|evaporation|evapotranspiration|balance|"
    r"exchange|uptake|anom|inhibition"
)
# Components of wind and current, vorticity, heights of the sea, heat fluxes, indices: names of ECMWF, NCEP and CMIP.
_SHORT = re.compile(
    r"\d*[uvw]\d*m?|[uvw](wnd|grd|wind|comp)( .*)?|(wind|wnd) [uvw]|(anom|diff|delta|d) .*|[uvw](as|a|o|ap|bar)|"
    r"omega|vo|pv|ssha?|sla|adt|mdt|zos|hf[ls]s|s[sl]hf|[lhe]flx|nee|nbp|ndvi|evi|spei|spi|cin|smb|dst|pme|fgco2|e|evap"
)
_AMOUNTS = re.compile(
    r"precipitation|precip|rain|rainfall|rain(fall)? rate|drizzle|snow|snowfall|hail|graupel|"
    r"speed|gusts?|humidity|mixing ratio|(mass|mole|volume|area) fraction|cloud cover|cloudiness|"
    r"concentration|(mass|moisture|water) content|thickness|snow depth|density|"
    r"pressure|visibility|wave height|optical (depth|thickness)|downwelling|sunshine duration|"
    r"counts?|number|vehicles|passengers|people|population|lightning|flashes"
)
_PRECIPITATION = re.compile(
    r"precipitation|precip|prcp|pcp|prec|rain\d*h?|rainfall|rainrate|drizzle|snowfall|hail|graupel|showers?|"
    r"tp\d*h?|pr|rr\d*h?|rfe"
)
_RAIN_RATES = ("mm h-1", "mm s-1")


def below_zero(name: str, attrs: Mapping[str, Any]) -> bool:
    """Whether the unit or the name says that zero is no floor: degrees of temperature, decibels, anomalies, components.

    A variable in K counts too: no field on earth is near zero kelvin, so one whose values are is a difference.
    """
    units = str(attrs.get("units", "")).strip()
    short = _words(name)
    return (
        bool(_LOGARITHMS.match(units) or _DEGREES.fullmatch(units) or _SHORT.fullmatch(short))
        or any(_holds(_SIGNED, text) for text in _texts(name, attrs))
        or any(same_units(units, signed) for signed in _BELOW)
    )


def bounds_of(name: str, attrs: Mapping[str, Any], points: np.ndarray) -> Bounds:
    """Lowest and highest value that a forecast of the variable may have, None where open.

    * Unit or name say that it goes below zero (`below_zero`): open, whatever the sample.
    * Its name says that it is an amount (CF's precipitation, speed, humidity, fraction, ...): 0, unless the sample
      goes below by more than rounding.
    * Neither says anything: 0 where the sample never goes below and lies at exactly zero for a tenth or more of it.

    Parameters
    ----------
    attrs
        With `units`, and `standard_name` and `long_name` where they are known.
    points
        Values of the training period, any shape; NaN does not count.
    """
    lowest, highest = np.nanmin(points), np.nanmax(points)
    amount = any(_holds(_AMOUNTS, text) for text in [*_texts(name, attrs), _words(str(attrs.get("units", "")))])
    if not never_below_zero(lowest, highest) or (lowest < 0 and not amount):
        return None, None
    stuck = (points == 0).sum() >= _STUCK * np.isfinite(points).sum()
    # The unit last: it takes half a second to load what reads units.
    return (0.0, None) if (amount or stuck) and not below_zero(name, attrs) else (None, None)


def is_precipitation(name: str, attrs: Mapping[str, Any]) -> bool:
    """Whether the name, or a unit that hardly anything else has, says that it is rain, snow or hail, and no anomaly."""
    named = any(_holds(_PRECIPITATION, text) for text in _texts(name, attrs))
    units = str(attrs.get("units", "")).strip()
    return (named or any(same_units(units, rate) for rate in _RAIN_RATES)) and not below_zero(name, attrs)


def never_below_zero(lowest: float, highest: float) -> bool:
    """Whether values that range from `lowest` to `highest` go below zero by no more than rounding."""
    return bool(lowest >= -_ROUNDING * max(highest, 0.0))


def _texts(name: str, attrs: Mapping[str, Any]) -> list[str]:
    return [_words(str(text)) for text in (name, attrs.get("standard_name", ""), attrs.get("long_name", ""))]


def _words(text: str) -> str:
    """In small letters, with blanks between the words; of "airTemperature" too."""
    return " ".join(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))


def _holds(words: re.Pattern[str], text: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(?:{words.pattern})(?![a-z0-9])", text) is not None
