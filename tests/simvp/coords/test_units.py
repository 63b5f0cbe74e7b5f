"""Which texts name the same unit."""

import pytest

from simvp.coords.units import known_units, same_units


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
    ],
)
def test_different_units(a: str, b: str) -> None:
    assert not same_units(a, b)
    assert not same_units(b, a)


def test_what_can_be_read_as_a_unit() -> None:
    assert all(known_units(text) for text in ("K", "M/S", "1", "1e-3", "%", "degrees_east"))
    assert not any(known_units(text) for text in ("", "cars", "~", "(0 - 1)", "m of water equivalent"))
