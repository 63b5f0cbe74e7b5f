"""Whether a text is a unit of measurement, and whether two texts name the same one.

A unit is what the parser of units reads (pint with the UDUNITS spellings of cf_xarray, and those of `SPELLINGS`).
Archives also hold texts that it does not read: counts of things ("veh/h"), codes ("code table 4.2"), phrases ("degrees
clockwise from north"). These are units where the parser or one of the lists below knows every word of them, and are
equal to themselves alone. Any other text ("banana") is none.
"""

import logging
import re
from functools import cache, lru_cache
from math import inf
from typing import Any

# Units of most archives: the parser, which takes half a second to import, need not be asked for them.
COMMON = {
    *("1", "%", "K", "degC", "m", "mm", "m s-1", "m s**-1", "m/s", "Pa", "hPa", "Pa s-1", "Pa s**-1", "s-1", "s**-1"),
    *("kg m-2", "kg m**-2", "kg m-2 s-1", "kg m**-2 s**-1", "mm h-1", "mm/h", "mm day-1", "mm/day", "mm/hr"),
    *("kg kg-1", "kg kg**-1", "g kg-1", "W m-2", "W m**-2", "J m-2", "J m**-2", "m2 s-2", "m**2 s**-2"),
}
DEGREES = ("deg", "degree", "degrees")
# Spellings that the parser does not read, or misreads: "M/S" as molar per siemens, "mb" as millibarn. In lower case.
SPELLINGS = (
    {"mb": "hPa", "hectopascals": "hPa", "microns": "um", "/s": "s-1", "kmh": "km/h", "%vol": "%", "vol%": "%"}
    | {"gm/kg": "g/kg", "gm/m^3": "g/m3", "wm-2": "W m-2", "jm-2": "J m-2", "kgm-2": "kg m-2", "℉": "degF"}
    | {d + s: "degC" for d in DEGREES for s in (" c", "c", "_c", " celsius", "_celsius", " celcius")}
    | {d + s: "degF" for d in DEGREES for s in (" f", "_f", " fahrenheit")}
    | {d + s: "K" for d in DEGREES for s in (" k", "k", "_k", " kelvin", "_kelvin")}
    | {d + s: "degree" for d in (*DEGREES, "deg.") for s in ("", " true", "_true")}
    | dict.fromkeys(("c", "celcius", "centigrade", "°c", "ºc", "° c", "℃"), "degC")
    | dict.fromkeys(("f", "fahrenheit"), "degF")
    | dict.fromkeys(("kelvin", "kelvins"), "K")
    | dict.fromkeys(("percentage", "per cent"), "%")
    | dict.fromkeys(("permil", "per mil", "per mille", "‰", "o/oo"), "1e-3")
    | dict.fromkeys(("ppmv", "parts per million"), "1e-6")
    | dict.fromkeys(("ppb", "ppbv", "parts per billion"), "1e-9")
    | dict.fromkeys(("pss", "pss-78", "pss78", "practical salinity unit", "practical salinity units"), "psu")
    | dict.fromkeys(("pvu", "potential vorticity units"), "1e-6 K m2 kg-1 s-1")
    | dict.fromkeys(("dbz", "dbze"), "dBZ")
    | dict.fromkeys(("du", "dobson", "dobsons", "dobson unit", "dobson units"), "DU")
    | dict.fromkeys(
        ("dimensionless", "unitless", "non-dimensional", "no unit", "no units", "numeric", "none", "-", "(-)"), "1"
    )
    | dict.fromkeys(("fraction", "proportion", "(0 - 1)", "(0-1)", "0 - 1", "0-1", "0to1", "[0-1]", "(-1 to 1)"), "1")
)
CAPITALS = {"PA": "Pa", "HPA": "hPa", "MB": "hPa", "K": "K", "W": "W", "J": "J", "C": "degC", "N": "N"}
WORD = re.compile(r"[A-Za-z]+")
TITLE = re.compile(r"\b[A-Z][a-z]{2,}\b")
# "0.1 mm", "1e6 m3 s-1", "10^-5 s-1", "10**5 s**-1": the parser refuses a factor before a unit.
FACTOR = re.compile(r"(?:10 ?(?:\*\*|\^)([+-]?\d+)|10([+-]\d+)|(\d*\.?\d+(?:[eE][+-]?\d+)?))[ *]*(?=[^\W\d_]|[%°])")
WATER = re.compile(r"\s*\(?\b(?:of (?:liquid )?water equivalent|water equivalent|w\.? ?e\b\.?|swe\b)\)?", re.IGNORECASE)

LONGEST = 256  # characters of a unit; a longer text is none
POWER_OF_POWER = re.compile(r"(\*\*|\^)[\s(+-]*[\w.]+[\s)]*(\*\*|\^)|\)\s*(\*\*|\^).*\)\s*(\*\*|\^)")

# Words of units beside those that the parser reads, in lower case and the singular. First, things that are counted.
COUNTED = """
    vehicle veh car truck lorry bus bike bicycle scooter motorcycle taxi cab train tram ship vessel boat aircraft
    flight passenger pax pedestrian cyclist pcu teu trip ride journey pickup dropoff parcel order request call message
    sms tweet user visitor visit device connection packet item piece person people pop population inhabitant inhab inh
    capita household dwelling building house resident case death infection patient admission incident accident crash
    crime complaint event occurrence detection fire hotspot hit strike stroke flash fl lightning storm cyclone tornado
    earthquake animal bird fish whale insect mosquito bite tree stem plant leaf seed cow cattle head sheep goat pig
    livestock individual ind organism specimen species cell colony cfu larva photon electron el ion neutron molecule
    molec atom particle droplet drop pixel point gridpoint gridcell sample observation obs measurement retrieval
    profile sounding scan station gauge member count cnt number num nb no night job dollar usd eur euro gdp
"""
# Shares, classes, indices, and units of one field that the parser does not know.
PLAIN = """
    dimensionless unitless nondimensional nondim fraction frac proportion ratio index indices numeric integer int
    float boolean bool logical binary flag mask bitmask category categorical class code enum enumeration type ordinal
    rank percentile quantile probability prob percentage score rating grade level layer sigma eta anomaly normalized
    normalised standardized standardised zscore std stdev deviation reflectance albedo emissivity transmittance
    backscatter arbitrary arb ndvi evi lai fapar spi spei aqi uvi kp okta octa tenth eighth beaufort bft true false
    yes land dn adu vmr mmr permil mille dbz dbze dbuv ppmv ppbv pptv ppb ppv ppmm ppmw pss pvu dobson tecu sverdrup
    cumec cms cfs einstein eotvos ntu fnu ftu jy mag rayleigh cpm gpdm gpkm geopotential hft various reserved
    experimental celcius dhw log ln lg fahrenheit meq
"""
# Words that are none by themselves.
BESIDE = """
    of per the in on from to at a and or by coming clockwise true north south east west n s e w above below over mean
    sea surface ground geoid ellipsoid msl amsl asl agl relative navd mhw depth water wet dry liquid snow swe
    equivalent we h mercury saturation rh humidity vol volume volumetric mass mixing see table wmo jma value unit non
    raw digital grid box hybrid pressure square sq cubic time step sunshine growing heating cooling chill burned burnt
    area ensemble practical salinity part million billion trillion standard potential vorticity air uv product re
    natural model beam z arc
"""
SPOKEN = frozenset((COUNTED + PLAIN).split())
WORDS = frozenset((COUNTED + PLAIN + BESIDE).split())
# "kgC m-2", "umol CO2 m-2 s-1": of which substance.
SUBSTANCE = "C|N|P|S|Si|Fe|Hg|[Cc]hl|CO2|CO2eq?|CH4|N2O|NH3|NO2|SO2|O2|O3|H2O"
OF_SUBSTANCE = re.compile(rf"(?:[munkpMGTP]?(?:g|mol|t))?(?:{SUBSTANCE})")


def same_units(a: str, b: str) -> bool:
    """Whether `a` and `b` are one unit: "m/s" and "m s-1" are, "K" and "degC" are not, nor "m" and "mm".

    A text that no unit is known for equals only itself.
    """
    a, b = _spelled(a), _spelled(b)
    if a == b:
        return True
    if (scales := _comparable(a, b)) is None:
        return False
    span = max(abs(one - zero) for zero, one in scales)
    return all(abs(x - y) <= 1e-9 * span for x, y in zip(*scales, strict=True))


def converted(value: float, units: str, wanted: str) -> float | None:
    """`value` in the units `wanted`; None where these are not units of one dimension."""
    units, wanted = _spelled(units), _spelled(wanted)
    if units == wanted:
        return value
    if (scales := _comparable(units, wanted)) is None:
        return None
    (zero, one), (wanted_zero, wanted_one) = scales
    return (zero + value * (one - zero) - wanted_zero) / (wanted_one - wanted_zero)


def known_units(text: str) -> bool:
    """Whether the parser reads `text` as a unit, so that it can be compared with others."""
    return _scale(_spelled(text)) is not None


def is_unit(text: str) -> bool:
    """Whether `text` is a unit by the rule above."""
    text = text.strip()
    if text in COMMON:
        return True
    if re.search(r"\w\?", text):  # "K?"
        return False
    if known_units(text) or _is_number(text):
        return known_units(text)
    parts = re.findall(r"[^\W_]+", text)
    words = [part.strip("0123456789") for part in parts if not OF_SUBSTANCE.fullmatch(part)]
    if not any(words):  # "(0, 1)", "10-3", "~"
        return bool(parts) or bool(re.fullmatch(r"[~#%°º$/()\[\]-]+", text))
    words = [word for word in words if word]
    alone = "%" in text or any(part.isdigit() for part in parts) or any(_is_word(word, SPOKEN) for word in words)
    return alone and all(_is_word(word, WORDS) for word in words)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_word(word: str, words: frozenset[str]) -> bool:
    return bool(_singular(word) & words) or known_units(word)


def _singular(word: str) -> set[str]:
    low = word.lower()
    return {low, low.removesuffix("s"), low.removesuffix("es"), f"{low.removesuffix('ies')}y"}


def _spelled(text: str) -> str:
    plain = " ".join(WATER.sub("", text).split())
    return SPELLINGS.get(plain.lower(), plain)


def _comparable(a: str, b: str) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Where 0 and 1 of two units lie in base units; None where they are not of one dimension, or not known."""
    first, second = _scale(a), _scale(b)
    if first is None or second is None or first[0] != second[0]:
        return None
    return first[1:], second[1:]


@lru_cache(maxsize=512)
def _scale(text: str) -> tuple[Any, float, float] | None:
    """Dimensionality, and where 0 and 1 of the unit lie in base units; None when it cannot be read."""
    if _endless(text):
        return None
    if _is_number(text):  # CF allows a bare scale, "1" or "1e-3"
        return ("[]", 0.0, float(text)) if 0 < float(text) < inf else None
    factor = 1.0
    if match := FACTOR.match(text):
        power = match[1] or match[2]
        factor, text = 10.0 ** int(power) if power else float(match[3]), text[match.end() :]
    for spelling in _spellings(text):
        try:
            ends = [_parser().Quantity(value, spelling).to_base_units() for value in (0.0, factor)]
        except Exception:  # the parser raises whatever the text leads it to: Undefined..., Assertion, Type, Value
            continue
        dimensions = "[]" if ends[0].dimensionless else str(ends[0].dimensionality)
        return dimensions, float(ends[0].magnitude), float(ends[1].magnitude)
    return None


def _endless(text: str) -> bool:
    """Whether the parser could take for ever: it works out powers of numbers, such as 9**9**9, whoever wrote them."""
    exponents = re.findall(r"(?:\*\*|\^)[\s(+-]*(\d+)", text)
    return len(text) > LONGEST or POWER_OF_POWER.search(text) is not None or any(len(n) > 2 for n in exponents)


@cache
def _parser() -> Any:
    log = logging.getLogger("pint.util")
    level = log.level
    log.setLevel(logging.ERROR)  # cf_xarray redefines units of pint, which warns of each
    try:
        from cf_xarray.units import units  # half a second: only where units are compared
    finally:
        log.setLevel(level)
    return units


def _spellings(text: str) -> list[str]:
    if text.isupper() and len(text) > 1:  # a file in capitals: M/S, METERS, MM/DAY
        return [WORD.sub(lambda word: CAPITALS.get(word[0], word[0].lower()), text), text]
    return list(dict.fromkeys((text, TITLE.sub(lambda word: word[0].lower(), text)))) if text else []


def conversion(text: str, wanted: str) -> float | None:
    """How many of `wanted` one of a unit is: 1000 for "km" in "m", and for "1000 m".

    None where it is no multiple of it, or is not known; a bare number is no unit.
    """
    for spelling in (text, text.lower()) if WORD.search(text) else ():
        zero, one = (converted(value, spelling, wanted) for value in (0.0, 1.0))
        if zero == 0.0 and one is not None:
            return one
    return None
