"""Values that a quantity cannot have, and those that it can, however odd they look."""

import subprocess
import sys

import numpy as np
import pytest

from simvp.contract import impossible

AIR = {"units": "K", "standard_name": "air_temperature"}


def found(values: list[float], name: str = "v", **attrs: str) -> tuple[dict[float, int], str]:
    """Marks and fault of float32 values."""
    array = np.array(values, "f4")
    result = impossible(array, name, attrs, float(np.nanmin(array)), float(np.nanmax(array)))
    return ({}, "") if result is None else (dict(result.marks), result.fault)


@pytest.mark.parametrize(
    ("mark", "attrs"),
    [
        (-9999, AIR),
        (-999, AIR),
        (0, AIR),
        (-9999, {"units": "K"}),
        (-999.9, {"units": "K", "long_name": "anomaly of temperature"}),
        (-999, {"units": "degC"}),
        (-999, {"units": "celsius"}),
        (9999, {"units": "K"}),
        (1e20, {"units": "m s-1"}),
        (-999, {"units": "m/s", "standard_name": "eastward_wind"}),
        (9999, {"units": "m s**-1", "standard_name": "wind_speed"}),
        (-9999, {"units": "hPa"}),
        (-999, {"units": "Pa", "standard_name": "air_pressure"}),
        (-1, {"units": "mm h-1", "standard_name": "rainfall_rate"}),
        (-99, {"units": "mm", "long_name": "Precipitation"}),
        (-9999, {"units": "kg m**-2 s**-1", "standard_name": "precipitation_flux"}),
        (-9999, {"units": "W m-2"}),
        (-999, {"units": "W m-2", "standard_name": "surface_downwelling_shortwave_flux_in_air"}),
        (-99, {"units": "mm", "name": "precip"}),
        (-999, {"units": "hPa", "name": "msl"}),
        (-9999, {"units": "kg kg-1"}),
        (-999, {"units": "mm/hr", "long_name": "rain rate"}),
        (-9999, {"units": "kelvin"}),
        (-9999, {"units": "metre second-1"}),
        (-9999, {"units": "mbar", "name": "slp"}),
        (-99.9, {"units": "degC", "standard_name": "sea_surface_temperature"}),
        (-999, {"units": "m", "standard_name": "sea_surface_wave_significant_height"}),
        (-9999, {"units": "m", "standard_name": "geopotential_height"}),
        (-999, {"units": "1", "long_name": "NDVI"}),
        (-99, {"units": "%", "standard_name": "relative_humidity"}),
        (1e20, {"units": "m"}),
        (1e20, {"units": "1"}),
        (-32768, {"units": "dBZ"}),
        (9.96921e36, {"units": "molec/cm2"}),
        (9.96921e36, {}),
        (-3.4028235e38, {"units": "furlong"}),
        (1e36, {"units": "vehicles/h"}),
        (-1e30, {}),
        (999.9, {"units": "degC", "standard_name": "air_temperature"}),
        (-999.25, {"units": "degC"}),
        (-999.25, {"units": "m s-1"}),
        (-99900, {"units": "dBZ"}),
        (-999.9, {"units": "mbar", "name": "pres"}),
        (-999, {"units": "mm", "name": "r"}),
        (-999, {"units": "mm", "name": "pcp_total"}),
        (-9999, {"units": "g kg-1"}),
        (-999, {"units": "g/kg", "name": "q"}),
        (-9999, {"units": "%"}),
        (-9999, {"units": "km/h"}),
        (-999, {"units": "knots"}),
        (-9999, {"units": "vehicles/h", "name": "flow"}),
        (-999, {"units": "counts"}),
        (-9999, {"units": "m", "name": "swh"}),
        (-9999, {"units": "m", "name": "zos"}),
        (-9999, {"units": "gpm"}),
        (-9999, {"units": "cm", "name": "snow_depth"}),
        (-9999, {"units": "m3 s-1", "name": "discharge"}),
        (-999, {"units": "µg/m³", "name": "pm25"}),
        (-999, {"units": "ppb", "name": "o3"}),
        (-999, {"units": "degrees", "name": "wdir"}),
        (-999, {"units": "psu"}),
        (-999, {"units": "days", "name": "cdd"}),
    ],
)
def test_marks_that_no_attribute_declares(mark: float, attrs: dict[str, str]) -> None:
    marks, fault = found([280.0 if attrs.get("units") == "K" else 5.0, mark, mark, np.nan], **attrs)
    assert list(marks.values()) == [2]
    assert next(iter(marks)) == pytest.approx(mark, rel=1e-6)
    assert fault == ""


@pytest.mark.parametrize(
    ("value", "attrs"),
    [
        (-9999, {"units": "m", "standard_name": "sea_floor_depth_below_geoid"}),
        (9999, {"units": "gpm"}),
        (-99, {"units": "degC"}),
        (-9, {"units": "K", "long_name": "temperature anomaly"}),
        (0, {"units": "K"}),
        (-99, {"units": "K", "standard_name": "tendency_of_air_temperature"}),
        (99, {"units": "%", "standard_name": "cloud_area_fraction"}),
        (-99, {"units": "m s-1", "standard_name": "eastward_wind"}),
        (-1e-7, {"units": "mm", "standard_name": "precipitation_amount"}),
        (-999, {"units": "mm", "long_name": "evaporation"}),
        (-99, {"units": "mm day-1", "long_name": "precipitation minus evaporation"}),
        (9999, {"units": "m", "standard_name": "geopotential_height"}),
        (-99.9, {"units": "degC", "standard_name": "air_temperature"}),
        (-999, {"units": "W m-2", "long_name": "latent heat flux"}),
        (1e20, {"units": "molec/cm2"}),
        (-9999, {"units": "J m-2"}),
        (-9999, {"units": "1"}),
        (9999, {}),
        (1e20, {}),
        (99999, {"units": "Pa", "standard_name": "air_pressure"}),
        (-999, {"units": "hPa", "name": "soil_water_potential"}),
        (-9999, {"units": "m", "name": "z"}),
        (-99, {"units": "mm", "name": "r_anomaly"}),
        (999, {"units": "counts"}),
        (99, {"units": "dimensionless"}),
        (-99, {"units": "unitless", "long_name": "oscillation"}),
        (-99, {"units": "counts", "long_name": "change of the number of vehicles"}),
    ],
)
def test_values_that_are_possible_stay(value: float, attrs: dict[str, str]) -> None:
    assert found([250.0, value], **attrs) == ({}, "")


def test_a_field_in_other_units_is_refused() -> None:
    marks, fault = found([-3.5, 2.25, 19.0, 0.0], **AIR)
    assert "v: 3 values of -3.5 .. 19 K, where air_temperature lies between 20 and 5000 K" in fault
    assert "correct the units, or declare what marks missing values" in fault
    assert marks == {0.0: 1}
    assert "1 values of -500 K" in found([280, -500], **AIR)[1]


def test_places_of_the_marks() -> None:
    values = np.array([[280.0, -9999.0], [np.nan, 281.0]])
    result = impossible(values, "t", AIR, -9999.0, 281.0)
    assert result is not None
    assert result.where.tolist() == [[False, True], [False, False]]


def test_infinite_values_are_no_marks() -> None:
    assert found([280.0, float("inf")], **AIR) == ({}, "")


def test_common_units_need_no_parser() -> None:
    code = (
        "import sys, numpy as np; from simvp.contract import impossible\n"
        "for units in ('K', 'm/s', 'm s**-1', 'mm', 'Pa', 'W m**-2', '%', 'kg/m2'):\n"
        "    impossible(np.array([-3.0]), 'v', {'units': units}, -3.0, 80.0)\n"
        "impossible(np.array([3.0, 800.0]), 'v', {'units': 'vehicles'}, 3.0, 800.0)\n"
        "print('pint' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
