"""Which texts name the same unit."""

import pytest

from simvp.values.units import converted, is_unit, known_units, same_units


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("K", "kelvin"),
        ("K", "Kelvin"),
        ("m s-1", "m/s"),
        ("m s**-1", "m s-1"),
        ("M/S", "m s-1"),
        ("METERS", "m"),
        ("MM/DAY", "mm day-1"),
        ("degC", "celsius"),
        ("degree_C", "degC"),
        ("DEG C", "degC"),
        ("°C", "Celsius"),
        ("hPa", "millibar"),
        ("mb", "hPa"),
        ("kg m**-2 s**-1", "kg m-2 s-1"),
        ("W m-2", "W/m2"),
        ("degrees_north", "degree_N"),
        ("1e-3", "0.001"),
        ("1", "kg kg-1"),
        ("cars", " cars "),
        ("C", "degC"),
        ("Celcius", "degC"),
        ("degrees K", "K"),
        ("Deg. true", "degrees"),
        ("(0 - 1)", "1"),
        ("Proportion", "1"),
        ("dimensionless", "-"),
        ("m of water equivalent", "m"),
        ("mm w.e.", "mm"),
        ("Watts/m2", "W m-2"),
        ("hectopascals", "hPa"),
        ("10^-5 s-1", "1e-5 s-1"),
        ("10**-5 s**-1", "1e-5 s-1"),
        ("PVU", "1e-6 K m2 kg-1 s-1"),
        ("PSS-78", "psu"),
        ("ppbv", "1e-9"),
        ("DBZ", "dBz"),
        ("Dobson units", "DU"),
        ("W m^-2", "W m-2"),
        ("K*s-1", "K/s"),
    ],
)
def test_two_spellings_of_one_unit(a: str, b: str) -> None:
    assert same_units(a, b)
    assert same_units(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("K", "degC"),
        ("K", "K s-1"),
        ("m", "mm"),
        ("Pa", "hPa"),
        ("%", "1"),
        ("m/s", "km/h"),
        ("degC", "degF"),
        ("kg m-2", "mm"),
        ("cars", "vehicles"),
        ("cars", "1"),
        ("1", "1e-3"),
        ("", "1"),
        ("s", "S"),
        ("mm", "mm/h"),
        ("mm h-1", "mm day-1"),
        ("m", "kg m-2"),
        ("kg m-2", "kg m-2 s-1"),
        ("0.1 mm", "mm"),
        ("0.01 degC", "degC"),
        ("dBZ", "mm6 m-3"),
        ("veh/h", "veh/5min"),
        ("K", "degF"),
    ],
)
def test_different_units(a: str, b: str) -> None:
    assert not same_units(a, b)
    assert not same_units(b, a)


def test_what_can_be_read_as_a_unit() -> None:
    assert all(known_units(text) for text in ("K", "M/S", "1", "1e-3", "%", "degrees_east", "(0 - 1)"))
    assert not any(known_units(text) for text in ("", "cars", "~", "code table 4.2"))


def test_values_in_other_units() -> None:
    assert converted(850.0, "hPa", "Pa") == pytest.approx(85000.0)
    assert converted(20.0, "degC", "K") == pytest.approx(293.15)
    assert converted(1.0, "m of water equivalent", "mm") == pytest.approx(1000.0)
    assert converted(1.0, "veh/h", "veh/h") == 1.0
    assert converted(1.0, "m", "K") is None
    assert converted(1.0, "banana", "m") is None


# As they stand in archives: CF, GRIB tables, satellites, oceans, radar, air quality, ecology, traffic, and misspelt.
FOUND = """
    K|kelvin|Kelvin|deg K|degrees_kelvin|C|degC|deg C|Degrees C|degree_Celsius|Celcius|°C|degF|m/s|m s**-1|m.s-1|ms-1
    meters per second|M/S|knots|kts|km/h|Pa|hPa|mb|millibars|Pa s-1|mm|mm/hr|mm h-1|mm/3hr|mm (24 h)-1|inches|feet|hft
    gpm|gpdm|10 gpm|m**2 s**-2|m of water equivalent|m of water equivalent s**-1|mm w.e.|mm SWE|m a.s.l.
    m above ground|kg m-2|kg/m^2|kg m**-2 s**-1|kg/(m2 s)|g/kg|ug/m3|µg/m³|μg m⁻³|mg L-1|t/ha|W/m2|W m**-2|w m-2
    Ws m**-2|J m-2|W m^{-2}|MJ/m2/day|kWh|langley|N m**-2 s|W m-2 sr-1 um-1|mW m-2 sr-1 (cm-1)-1|1/sr|10^-5 s-1
    10**-6 W m**-2 sr**-1|s|1|1.|1e-3|10^-3|0.1 mm|0.01 degC|%|percent|percent RH|% of saturation|0-1|(0 - 1)|[0,1]
    0/1|0 or 1|(-1 to 1)|-|~|()|fraction|Proportion|Numeric|ratio|volume mixing ratio|Dimensionless|no units|index
    UV index|number|Integer|boolean|flag|bitmask|category|class|land=1, sea=0|code|Code table 4.201|(Code table 4.222)
    code table (4.2)|WMO code|count|counts/s|#|#/cm3|# km-2 yr-1|number m-3|Number m**-2|number of observations
    particles cm-3|molec/cm^2|cm-3|cells/ml|cfu/100ml|ind/m2|individuals m-2|DN|digital number|photons cm-2 s-1|pixels
    grid points|ensemble members|events|people/km2|inhabitants per km2|persons per square km|households|vehicles|veh/h
    vehicles / 5 min|cars|taxi trips|bikes|passengers/day|pedestrians/h|passenger car units|requests|flights|ships
    vessel hours|crimes|accidents|fires|lightning strikes|flashes km-2 yr-1|fl/km2/yr|strokes km-2 day-1|birds km-3
    trees ha-1|cattle/km2|2005 USD|Bites per day per person|dB|dBZ|dBm|mm6 m-3|deg km-1|log10(mg m-3)|ln(kPa)
    lg(re 1 mg m-3)|degrees_north|Degree true|degrees clockwise from north|degree coming from|radian|octas|okta (1/8)
    tenths|Beaufort|psu|PSS-78|permil|ppmv|ppb|mol mol-1|m3 m-3|vol.%|m**3 m**-3|m3 s-1|cumecs|cfs|1e6 m3 s-1|Sv
    mmol m-3|umol m-2 s-1|einstein m-2 day-1|gC/m2/day|kg C m-2 s-1|kgN ha-1|mgChl m-3|mg CH4 m-2 d-1|kg(CO2)/m2
    umolCO2 m-2 s-1|DU|Dobson|matm-cm|mGal|nT|TECU|PVU|K m2 kg-1 s-1|Bq m-3|uSv/h|mS/cm|pH|NTU|uatm|Mm-1 sr-1
    kg**2 m**-4|m**2/3 s**-1|standard deviations|z-score|AQI|NDVI|reflectance|model units|Reserved
    Experimental product|degree days|person days|TEU|days|day of year|AU|deg C per time step
    Millimetres*100 + number of stations|J kg-1 K-1|m s**-1 per day|mW.m-2.sr-1.(cm-1)-1|0to1|dBz ?
    DegC|degreesC|℃|℉|Wm-2|gm/kg|gm/m^3|none
"""
NONE = """
    banana|bananas|apples and oranges|foo|xyz|qwerty|lorem ipsum|kelvinn|degx|metersss|mm per banana|banana/h|K banana-1
    TBD|???|my unit|unitz|wibble|flurbs|zorkmids km-2|temperature in some unit|air_temperature|days since 2000-01-01
    days since|hours since 1900-01-01 00:00:00|see readme|per|of the|Paa|hello world|{}|?
    N/A?|K?|nan|NaN|-999|0|blah m|see docs
"""


@pytest.mark.parametrize("text", [text for line in FOUND.split("\n") for text in line.strip().split("|") if text])
def test_units_of_real_archives_are_units(text: str) -> None:
    assert is_unit(text)


@pytest.mark.parametrize("text", [text for line in NONE.split("\n") for text in line.strip().split("|") if text])
def test_what_is_no_unit(text: str) -> None:
    assert not is_unit(text)
