"""The contract: statistics of training alone, conversion there and back, and every reason to refuse."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from simvp.contract.channel import forcing_names
from simvp.contract.frame_spec import FrameSpec
from simvp.contract.statistics import log_scale, seasonal_cycle
from simvp.coords import canonicalise
from simvp.coords.steps import Step
from simvp.errors import ConfigError, ContractError
from tests.support.worlds import address_world, formula_world

WEEK = ("2020-01-01T00", "2020-01-07T23")
KINDS = ["latlon", "projected", "curvilinear", "index"]


def fit(ds: xr.Dataset, **given) -> FrameSpec:
    return FrameSpec.fit(ds, **{"frames_in": 24, "frames_out": 12, "train": [WEEK], **given})


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(frames=14 * 24)


@pytest.fixture(scope="module")
def spec(world) -> FrameSpec:
    return fit(world)


def rain(seed: int = 0, frames: int = 14 * 24) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    ds = formula_world(("t2m",), frames=frames).rename(t2m="rain")
    wet = rng.gamma(0.5, 2.0, ds.rain.shape) * (rng.random(ds.rain.shape) < 0.3)
    return ds.assign(rain=(ds.rain.dims, wet.astype("f4"), {"units": "mm", "long_name": "precipitation"}))


@pytest.mark.parametrize("cycle", [0.0, 6.0])
def test_states_become_the_departure_from_the_climatology_over_one_deviation(world, cycle):
    # 7 whole days: the mean (by hour, where there is a daily cycle) is the map without the wave, whose amplitude
    # is 4 (t2m) and 5 (d2m) K; the variance of a cosine over whole periods is half the square of its amplitude.
    day = xr.DataArray(cycle * np.sin(2 * np.pi * np.arange(336) / 24), dims="time").astype("f4")
    world = (world + day).map(lambda v: v.assign_attrs(world[v.name].attrs))
    spec = fit(world)
    t2m, d2m = spec.channels[:2]
    assert t2m.climatology.period == d2m.climatology.period == ("day" if cycle else "none")
    assert t2m.scale == pytest.approx(4 / np.sqrt(2), rel=1e-5)
    assert d2m.scale == pytest.approx(5 / np.sqrt(2), rel=1e-5)
    frames = spec.to_frames(world)
    wave = np.cos(2 * np.pi / 7 * ((np.arange(336)[:, None, None] + np.arange(6)[:, None] + 2 * np.arange(8)) % 7))
    np.testing.assert_allclose(frames[:, 0], wave * np.sqrt(2), atol=1e-4)
    np.testing.assert_allclose(frames[:, 1], wave * np.sqrt(2), atol=1e-4)


def test_no_frame_outside_training_is_looked_at(world, spec):
    spoilt = world.copy(deep=True)
    spoilt["t2m"][7 * 24 :] = -1e9
    again = fit(spoilt)
    assert again.to_header() == spec.to_header()
    for name, values in spec.arrays().items():
        assert np.array_equal(values, again.arrays()[name]), name


@pytest.mark.parametrize("grid", KINDS)
@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_there_and_back_is_exact_for_moves(grid, calendar):
    ds = address_world(frames=9 * 24, grid=grid, calendar=calendar)
    spec = fit(ds)
    frames = spec.to_frames(ds)
    init = np.array([30, 60])
    leads = init[:, None] + 1 + np.arange(12)
    made = spec.to_dataset(frames[leads][:, :, : spec.n_states], spec.coordinates(ds.time.values[init], 12))
    for name in spec.states:
        expected = ds[name].values[leads]
        # About 2 ulp of (|mean| + 5 std): the way there and back goes through float32 twice.
        tolerance = 2 * np.finfo("f4").eps * (np.abs(expected).max() + 5 * expected.std())
        np.testing.assert_allclose(made[name].values, expected, rtol=0, atol=tolerance)
    assert np.array_equal(made.valid_time.values, ds.time.values[leads])
    assert made[spec.states[0]].dims == ("init_time", "lead_time", *spec.grid.dims)


def test_scaled_exactly_once(world, spec):
    frames = spec.to_frames(world)[:, 0]
    raw = world.t2m.values
    once = (raw - spec.channels[0].climatology.at(world.time.values)) / spec.channels[0].scale
    np.testing.assert_allclose(frames, once, atol=1e-5)
    assert not np.allclose(frames, raw, atol=1)
    assert not np.allclose(frames, once / spec.channels[0].scale, atol=0.1)


def test_rain_goes_through_the_logarithm_and_never_comes_back_negative():
    ds = rain()
    spec = fit(ds)
    channel = spec.channels[0]
    assert channel.log_scale == pytest.approx(float(ds.rain.values[:168][ds.rain.values[:168] > 0].mean()), rel=0.05)
    assert channel.bounds == (0.0, None)
    made = spec.to_dataset(np.full((1, 2, 1, 6, 8), -9.0, np.float32), spec.coordinates(ds.time.values[[40]], 2))
    assert float(made.rain.min()) == 0.0
    metres = fit(ds.assign(rain=(ds.rain / 1000).assign_attrs(ds.rain.attrs)))
    np.testing.assert_allclose(metres.to_frames(ds / 1000), spec.to_frames(ds), atol=2e-4)


def test_temperature_is_no_amount():
    assert log_scale(np.random.default_rng(0).normal(5, 1, 10_000)) is None
    assert log_scale(np.zeros(10)) is None


def test_masked_points_are_zero_for_the_network_and_missing_in_the_forecast(world):
    holed = world.copy(deep=True)
    holed["t2m"][:, 2, 3] = np.nan
    spec = fit(holed)
    assert not spec.mask[0, 2, 3]
    assert spec.mask.sum() == 2 * 48 - 1
    frames = spec.to_frames(holed)
    assert (frames[:, 0, 2, 3] == 0).all()
    made = spec.to_dataset(frames[None, 24:36, :2], spec.coordinates(holed.time.values[[23]], 12))
    assert np.isnan(made.t2m.values[..., 2, 3]).all()
    assert np.isfinite(made.d2m.values).all()
    assert spec.value_faults(holed.isel(time=slice(0, 24))) == []


def test_missing_values_outside_the_mask_stay_missing_and_too_many_are_a_fault(world, spec):
    holed = world.isel(time=slice(0, 24)).copy(deep=True)
    holed["t2m"][5, 2, 3] = np.nan
    assert np.isnan(spec.to_frames(holed)[5, 0, 2, 3])
    assert spec.value_faults(holed) == []
    holed["t2m"][5, 2] = np.nan
    (fault,) = spec.value_faults(holed)
    assert fault.startswith("t2m: missing values: 1 of 24 frames lack more than 10 % of the points where training had")
    assert "the worst 16.7 % at 2020-01-01T05:00:00" in fault


def test_a_mark_that_no_attribute_declares_is_a_fault(world, spec):
    marked = world.isel(time=slice(0, 24)).copy(deep=True)
    marked["t2m"][5, 2, 3] = -9999.0
    said = "t2m: -9999 (1 values) stands for missing values undeclared; put NaN in its place"
    assert said in spec.value_faults(marked)


def test_local_noon_is_where_the_sun_is(spec):
    # Longitude -10: local noon is 40 minutes after noon UTC; sine of the day turns from + to - there.
    names = [c.name for c in spec.channels[2:]]
    assert names == ["time_of_day_sin", "time_of_day_cos"]
    times = np.array(["2020-03-01T12:40", "2020-03-01T00:40"], "M8[ns]")
    maps = spec.forcings(times)
    np.testing.assert_allclose(maps[0, :, 0, 0], [0, -1], atol=1e-6)
    np.testing.assert_allclose(maps[1, :, 0, 0], [0, 1], atol=1e-6)


def test_a_static_map_rides_along_with_every_frame(world):
    height = xr.DataArray(np.arange(48.0).reshape(6, 8), dims=("latitude", "longitude"), attrs={"units": "m"})
    spec = fit(world.assign(height=height), states=["t2m"], statics=["height"])
    frames = spec.to_frames(world)
    expected = (height.values - 23.5) / np.arange(48.0).std()
    np.testing.assert_allclose(frames[7, -1], expected, atol=1e-6)
    assert np.array_equal(frames[0, -1], frames[-1, -1])


def test_the_contract_survives_its_file(world, spec):
    header = json.loads(json.dumps(spec.to_header()))
    again = FrameSpec.from_header(header, spec.arrays())
    assert np.array_equal(again.to_frames(world), spec.to_frames(world))
    assert again.to_header() == spec.to_header()
    xr.testing.assert_identical(
        again.to_dataset(np.zeros((1, 2, 2, 6, 8), np.float32), again.coordinates(world.time.values[[30]], 2)),
        spec.to_dataset(np.zeros((1, 2, 2, 6, 8), np.float32), spec.coordinates(world.time.values[[30]], 2)),
    )


def test_the_file_names_what_models_that_are_saved_name(world):
    # Fingerprints cover all of it; models that are out there have these names for channels of every role.
    height = xr.DataArray(np.arange(48.0).reshape(6, 8), dims=("latitude", "longitude"), attrs={"units": "m"})
    spec = fit(world.assign(height=height), states=["t2m"], statics=["height"])
    header = spec.to_header()
    assert set(header) == {
        "channels", "grid", "step", "calendar", "frames_in", "frames_out", "cycle", "lag", "fitted_on"
    }  # fmt: skip
    state, forcing, _, static = header["channels"]
    nothing = {"attrs": {}, "bounds": [None, None], "climatology": None, "log_scale": None, "scale": 1.0, "seen": {}}
    assert forcing == {"name": "time_of_day_sin", "role": "forcing", "units": "", **nothing}
    assert static == {"name": "height", "role": "static", "units": "m", **nothing}
    assert set(state) == set(static)
    assert state["role"] == "state"
    assert state["climatology"] == {"period": "none", "step": {"seconds": 3600}}
    assert set(header["grid"]) == {"kind", "dims", "attrs", "mapping"}
    assert sorted(spec.arrays()) == [
        "channel.0.climatology", "channel.0.valid", "channel.3.values", "grid.columns", "grid.rows"
    ]  # fmt: skip


def test_the_cycle_is_the_one_after_which_fields_come_back():
    times = np.datetime64("2021-01-04", "ns") + np.arange(48 * 35) * np.timedelta64(30, "m")
    index = np.arange(len(times))
    weekly = np.sin(2 * np.pi * index / 336) + np.sin(2 * np.pi * index / 48)
    daily = np.sin(2 * np.pi * index / 48) + 1e-3 * index
    half_hour = Step(seconds=1800)
    assert seasonal_cycle(times, [weekly[:, None]], half_hour, "standard") == 336
    assert seasonal_cycle(times, [daily[:, None]], half_hour, "standard") == 48
    assert seasonal_cycle(times[:100], [daily[:100, None]], half_hour, "standard") is None


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_any_order_of_dims_and_either_direction_of_latitude_is_accepted(world, spec):
    other = world.isel(latitude=slice(None, None, -1)).transpose("longitude", "time", "latitude")
    other = other.rename(latitude="lat", longitude="lon").assign(junk=("time", np.zeros(336)))
    xr.testing.assert_equal(spec.check(other).compute(), world)


def test_all_reasons_come_at_once(world, spec):
    wrong = world.drop_vars("d2m").assign_coords(latitude=world.latitude + 0.1).isel(time=slice(0, 48, 2))
    wrong["t2m"].attrs["units"] = "degC"
    with pytest.raises(ContractError) as refusal:
        spec.check(wrong)
    words = "\n".join(refusal.value.reasons)
    assert len(refusal.value.reasons) == 4
    assert "d2m: the variable is missing; the data has t2m" in words
    assert "t2m: expected units 'K', got 'degC'" in words
    assert "grid: latitude differs by up to 0.1" in words
    assert "time: expected a step of 1 h, got 2 h" in words


def test_the_same_numbers_at_other_places_are_refused():
    ds = address_world(frames=9 * 24, grid="projected")
    spec = fit(ds)
    mapping = ds.crs.attrs | {"grid_mapping_name": "azimuthal_equidistant"}
    elsewhere = {
        "expected lambert_azimuthal_equal_area, got azimuthal_equidistant": ds.assign_coords(crs=((), 0, mapping)),
        "got -50000 .. -43000 (spacing 1000) km": ds.assign_coords(x=ds.x.assign_attrs(units="km")),
    }
    for text, data in elsewhere.items():
        with pytest.raises(ContractError, match=re.escape(text)):
            spec.check(data)
    in_km = ds.assign_coords(x=(ds.x / 1000).assign_attrs(ds.x.attrs | {"units": "km"}))
    xr.testing.assert_identical(spec.check(in_km), spec.check(ds))


def test_missing_units_are_refused_unless_stated(world, spec):
    bare = world.copy()
    bare["t2m"] = bare.t2m.assign_attrs(units="").drop_attrs()
    with pytest.raises(ContractError, match=r"t2m: units are missing, expected 'K'; state them: units=\{'t2m': 'K'\}"):
        spec.check(bare)
    assert spec.check(bare, units={"t2m": "K"}).t2m.attrs["units"] == "K"


def test_units_are_compared_as_units(world, spec):
    spelt = world.copy()
    spelt["t2m"] = spelt.t2m.assign_attrs(units="kelvin")
    assert spec.faults(spelt)[1] == []


def test_another_calendar_is_refused(spec):
    other = formula_world(frames=48, calendar="360_day")
    assert "time: expected the proleptic_gregorian calendar, got 360_day" in spec.faults(other)[1]


def test_another_level_member_or_meaning_is_refused(world):
    level = {"standard_name": "air_pressure", "units": "hPa"}
    upper = world.assign_coords(plev=((), 850.0, level), number=((), 1))
    upper["t2m"].attrs["standard_name"] = "air_temperature"
    spec = fit(canonicalise(upper)[0])
    assert spec.faults(upper)[1] == []
    assert FrameSpec.from_header(spec.to_header(), spec.arrays()).faults(upper)[1] == []
    assert spec.faults(upper.assign_coords(plev=((), 85000.0, {**level, "units": "Pa"})))[1] == []
    assert spec.faults(world)[1] == []  # it does not say
    other = upper.assign_coords(plev=((), 500.0, level), number=((), 2)).copy()
    other["t2m"].attrs["standard_name"] = "dew_point_temperature"
    assert spec.faults(other)[1] == [
        "t2m: expected standard_name air_temperature, got dew_point_temperature",
        "t2m: expected number 1, got 2",
        "t2m: expected plev 850 hPa, got 500 hPa",
        "d2m: expected number 1, got 2",
        "d2m: expected plev 850 hPa, got 500 hPa",
    ]
    forecast = spec.to_dataset(np.zeros((1, 2, 2, *spec.shape), "f4"), spec.coordinates(world.time.values[-1:], 2))
    assert json.loads(forecast["d2m"].attrs["fixed_at"]) == {"number": "1", "plev": "850 hPa"}


def test_celsius_for_kelvin_is_seen_and_july_is_not_refused(world, spec):
    frames = world.isel(time=slice(0, 24))
    (first, second) = spec.value_faults(frames - 273.15)
    assert "are the units right?" in first
    assert first.startswith("t2m: values of ")
    assert second.startswith("d2m: ")
    assert spec.value_faults(frames + 12) == []


def test_metres_for_millimetres_is_seen_though_the_median_is_zero_in_both():
    ds = rain()
    spec = fit(ds)
    (fault,) = spec.value_faults(rain(seed=5).isel(time=slice(0, 24)) / 1000)
    assert fault.startswith("rain: values of 0 ..")
    assert spec.value_faults(rain(seed=5).isel(time=slice(0, 24)) / 20) == []  # drizzle
    assert spec.value_faults(ds.isel(time=slice(0, 24)) * 0) == []  # a dry day


def test_one_value_below_zero_from_packing_leaves_rain_an_amount_and_a_dry_evening_forecastable():
    ds = rain()
    ds["rain"][2, 3, 4] = -0.003
    (channel,) = fit(ds).state_channels
    assert channel.amount
    assert (channel.bounds, channel.log_scale is not None) == ((0.0, None), True)
    evening = ds.isel(time=slice(0, 24)) * 0
    evening["rain"][:, 0, :2] = 0.02
    assert fit(ds).value_faults(evening) == []
    # Models saved before that have no logarithm.
    assert fit(ds, log1p=()).value_faults(evening) == []


def test_a_share_for_a_percentage_is_seen():
    rng = np.random.default_rng(0)
    ds = formula_world(("t2m",)).rename(t2m="cloud")
    percent = ds.assign(cloud=(ds.cloud.dims, rng.uniform(1, 100, ds.cloud.shape).astype("f4"), {"units": "%"}))
    spec = fit(percent)
    assert len(spec.value_faults(percent.isel(time=slice(0, 24)) / 100)) == 1
    assert spec.value_faults(percent.isel(time=slice(0, 24)) / 4) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"states": ["t2m", "wind"]}, "wind: expected one of t2m, d2m"),
        ({"train": [("2031-01-01", "2031-02-01")]}, "no frame in the training period, 336 frames 2020-01-01"),
    ],
)
def test_fit_refuses(world, change, words):
    with pytest.raises(ConfigError, match=words):
        fit(world, **change)


def test_fit_refuses_what_it_cannot_name_or_see(world):
    bare = world.copy()
    bare["t2m"] = bare.t2m.drop_attrs()
    with pytest.raises(ConfigError, match="t2m: units are missing; state them at ingest"):
        fit(bare)
    empty = world.copy(deep=True)
    empty["d2m"][:] = np.nan
    with pytest.raises(ConfigError, match="d2m: only NaN in the training period"):
        fit(empty)


def test_absent_slots_do_not_enter_the_statistics(world, spec):
    holed = world.copy(deep=True)
    holed["t2m"][30] = 1e6
    holed = holed.assign_coords(present=("time", np.arange(336) != 30))
    assert fit(holed).channels[0].scale == pytest.approx(spec.channels[0].scale, rel=1e-2)


def test_factors_are_those_of_the_lead_and_stay_inside_the_bounds():
    ds = rain()
    spec = fit(ds, frames_out=2, bounds={"rain": (0.0, 9.0)})
    before, after = spec.to_header(), spec.corrected({"rain": (1.5, 2.0)})
    assert spec.corrected({}).to_header() == before
    assert "factors" not in before["channels"][0]  # models that have none keep their fingerprint
    assert spec.corrected({"rain": ()}).to_header() == before
    again = FrameSpec.from_header(json.loads(json.dumps(after.to_header())), after.arrays())
    departures = np.random.default_rng(3).normal(size=(2, 3, 1, *spec.shape)).astype("f4")
    coords = spec.coordinates(ds.time.values[[30, 60]], 3)
    plain, corrected = (s.to_dataset(departures, coords)["rain"].values for s in (spec, again))
    # Of the three leads, the last has the factor of the second; the values that are cut off were cut off before too.
    expected = np.array([1.5, 2.0, 2.0])[:, None, None] * plain
    np.testing.assert_allclose(corrected, np.where(plain < 9.0, expected.clip(0, 9.0), 9.0), rtol=1e-6)
    assert (corrected[plain == 0] == 0).all()
    assert (plain == 0).any()
    np.testing.assert_array_equal(again.to_frames(ds), spec.to_frames(ds))


@pytest.mark.parametrize(
    ("step", "cycle", "days", "expected"),
    [
        (Step(seconds=3600), 24, 13.9, ["day"]),
        (Step(seconds=3600), 24, 14, ["day", "week"]),
        (Step(seconds=3600), 168, 7, ["day", "week"]),  # who asks for the week gets it
        (Step(seconds=86400), None, 400, ["week", "year"]),
        (Step(seconds=2 * 86400), None, 400, ["year"]),  # every other day: no weekdays
        (Step(months=1), 12, 400, ["year"]),
        (Step(months=12), None, 4000, []),
    ],
)
def test_forcings_are_of_cycles_that_training_has_been_through(step, cycle, days, expected):
    names = forcing_names(step, cycle, {"none": 0.0, "day": days, "week": days / 7, "year": days / 365.2425})
    assert names == [f"time_of_{period}_{wave}" for period in expected for wave in ("sin", "cos")]
