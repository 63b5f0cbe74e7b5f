"""Bounds follow from unit and name: a sample that happens to end at zero forbids nothing that the unit allows."""

import numpy as np
import pytest
import xarray as xr

from simvp.contract.bounds import below_zero, bounds_of
from simvp.contract.frame_spec import FrameSpec
from tests.support.worlds import formula_world

DRAWS = np.random.default_rng(0)
MILD = DRAWS.normal(5.0, 1.0, 2000)
MILD -= MILD.min()  # ends at exactly zero, once
OFTEN_ZERO = np.where(DRAWS.random(2000) < 0.6, 0.0, DRAWS.exponential(size=2000))

GO_BELOW = [
    ("t", {"units": "degC"}),
    ("t", {"units": "C"}),
    ("t", {"units": "Celsius"}),
    ("t", {"units": "°C"}),
    ("t", {"units": "degF"}),
    ("t", {"units": "deg_F"}),
    ("t", {"units": "degrees Fahrenheit"}),
    ("t", {"units": "K"}),
    ("sst", {"units": "K", "long_name": "departure from the mean of 1991 to 2020"}),
    ("z", {"units": "dBZ"}),
    ("z", {"units": "dB"}),
    ("z", {"units": "dBZ", "standard_name": "equivalent_reflectivity_factor"}),
    ("z", {"units": "lg(re 1 mm6 m-3)"}),
    ("chl", {"units": "log10(mg m-3)"}),
    ("u10", {"units": "m s-1"}),
    ("uwnd", {"units": "m/s"}),
    ("wind", {"units": "m s-1", "standard_name": "northward_wind"}),
    ("wind", {"units": "m s-1", "long_name": "U-component of wind"}),
    ("w", {"units": "Pa s-1", "standard_name": "lagrangian_tendency_of_air_pressure"}),
    ("rain", {"units": "mm", "long_name": "precipitation anomaly"}),
    ("precip_anom", {"units": "mm"}),
    ("ssh", {"units": "m", "standard_name": "sea_surface_height_above_geoid"}),
    ("flux", {"units": "W m-2", "standard_name": "surface_net_downward_shortwave_flux"}),
    ("rv", {"units": "s-1", "standard_name": "atmosphere_relative_vorticity"}),
    ("t", {"units": "℃"}),
    ("10u", {"units": "m s-1"}),
    ("uas", {"units": "m s-1"}),
    ("UGRD_10m", {"units": "m/s"}),
    ("wap", {"units": "Pa s**-1"}),
    ("omega", {"units": "Pa/s"}),
    ("vo", {"units": "s**-1"}),
    ("pv", {"units": "K m**2 kg**-1 s**-1"}),
    ("zos", {"units": "m"}),
    ("sla", {"units": "m"}),
    ("water_level", {"units": "m"}),
    ("hfls", {"units": "W m-2"}),
    ("x", {"units": "J m**-2", "long_name": "Surface sensible heat flux"}),
    ("e", {"units": "m", "long_name": "Evaporation"}),
    ("ndvi", {"units": "1"}),
    ("dst", {"units": "nT"}),
]
AMOUNTS = [
    ("tp", {"units": "mm", "standard_name": "precipitation_amount"}),
    ("rr", {"units": "mm h-1", "long_name": "rainfall rate"}),
    ("rain", {"units": "kg m-2"}),
    ("ws", {"units": "m s-1", "standard_name": "wind_speed"}),
    ("hurs", {"units": "%", "standard_name": "relative_humidity"}),
    ("tcc", {"units": "1", "standard_name": "cloud_area_fraction"}),
    ("q", {"units": "kg kg-1", "standard_name": "specific_humidity"}),
    ("p", {"units": "dbar", "standard_name": "sea_water_pressure"}),
    ("swh", {"units": "m", "standard_name": "sea_surface_wave_significant_height", "long_name": "wave height"}),
    ("inflow", {"units": "1", "long_name": "vehicles entering the cell in one step"}),
    ("n", {"units": "counts"}),
]
UNKNOWN = [("x", {"units": units}) for units in ("mm", "1", "%", "m s-1", "W m-2", "kg m-2", "J m-2", "dbar")]


@pytest.mark.parametrize(("name", "attrs"), GO_BELOW, ids=str)
@pytest.mark.parametrize("points", [MILD, OFTEN_ZERO], ids=["mild", "often zero"])
def test_what_goes_below_zero_by_unit_or_name_has_no_floor(
    name: str, attrs: dict[str, str], points: np.ndarray
) -> None:
    assert below_zero(name, attrs)
    assert bounds_of(name, attrs, points) == (None, None)


@pytest.mark.parametrize(("name", "attrs"), AMOUNTS, ids=str)
def test_amounts_by_name_have_a_floor_whatever_the_sample_reached(name: str, attrs: dict[str, str]) -> None:
    for points in (MILD, MILD + 1.0, OFTEN_ZERO, np.append(OFTEN_ZERO, -1e-9), np.append(OFTEN_ZERO, np.nan)):
        assert bounds_of(name, attrs, points) == (0.0, None)
    # Here the name is not what it seems to be.
    assert bounds_of(name, attrs, MILD - 5.0) == (None, None)


@pytest.mark.parametrize(("name", "attrs"), UNKNOWN, ids=str)
def test_where_nothing_is_known_only_a_sample_that_stays_at_zero_counts(name: str, attrs: dict[str, str]) -> None:
    assert bounds_of(name, attrs, MILD) == (None, None)
    assert bounds_of(name, attrs, OFTEN_ZERO) == (0.0, None)
    assert bounds_of(name, attrs, np.append(OFTEN_ZERO, -1e-9)) == (None, None)


@pytest.mark.parametrize("units", ["degC", "dBZ"])
def test_frost_can_be_forecast_after_a_mild_skewed_spell(units: str) -> None:
    """Neither a floor nor a logarithm, which would read every frost as zero."""
    ds = formula_world(("t",), frames=14 * 24, shape=(6, 8))
    spell = np.where(DRAWS.random(ds["t"].shape) < 0.9, 0.0, DRAWS.exponential(size=ds["t"].shape)).astype("f4")
    ds = ds.assign(t=(ds["t"].dims, spell, {"units": units}))
    times = ds["time"].values
    spec = FrameSpec.fit(ds, frames_in=4, frames_out=2, train=[(times[0], times[-1])])
    (channel,) = spec.state_channels
    assert (channel.bounds, channel.log_scale) == ((None, None), None)
    cold = xr.full_like(ds.isel(time=slice(0, 4)), -3.0)
    made = spec.to_dataset(spec.to_frames(cold)[None, :, :1], spec.coordinates(times[[3]], 4))
    back = channel.denormalise(spec.to_frames(cold)[:, 0], times[:4])
    np.testing.assert_allclose(back, -3.0, atol=1e-5)
    assert float(made["t"].max()) < -2.0
