"""The sixth baseline: there where something is rain, carried on along its motion; everything else is as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from simvp.contract.bounds import is_precipitation
from simvp.coords.steps import Step
from simvp.motion.extrapolation import FRAMES, extrapolate
from simvp.scoring.baselines import EXTRAPOLATION, NAMES, Baselines
from simvp.scoring.scores import summarise
from tests.support.radar import radar_world
from tests.support.scored import errors
from tests.support.worlds import formula_world

LEADS = 6


def fit(ds: xr.Dataset, *names: str, until: int = -1) -> Baselines:
    times = ds["time"].values
    step = (times[1] - times[0]) / np.timedelta64(1, "s")

    return Baselines.fit(
        ds,
        variables=names or [str(name) for name in ds.data_vars],
        step=Step(seconds=int(step)),
        cycle=None,
        leads=LEADS,
        period=[(times[0], times[until])],
        weights=np.ones(ds[next(iter(ds.data_vars))].shape[1:]),
    )


@pytest.fixture(scope="module")
def radar() -> xr.Dataset:
    return radar_world()


def test_rain_moves_and_what_stands_beside_it_persists(radar: xr.Dataset) -> None:
    made = fit(radar)
    assert made.moving == ("rain",)
    assert made.names == (*NAMES, EXTRAPOLATION)
    inits = np.array([20, 21, 30])
    forecasts = made.predict(radar, radar["time"].values[inits])
    assert tuple(forecasts) == made.names
    frames = np.stack([radar["rain"].values[i + 1 - FRAMES : i + 1] for i in inits])
    np.testing.assert_array_equal(forecasts[EXTRAPOLATION]["rain"].values, extrapolate(frames, LEADS))
    xr.testing.assert_equal(forecasts[EXTRAPOLATION]["t2m"], forecasts["persistence"]["t2m"])
    # Nothing later than an init time is looked at.
    blind = made.predict(radar.isel(time=slice(0, 31)), radar["time"].values[inits])
    xr.testing.assert_identical(blind[EXTRAPOLATION], forecasts[EXTRAPOLATION])


def test_in_a_storm_it_is_far_better_than_persistence_and_on_the_dry_evening_no_worse(radar: xr.Dataset) -> None:
    made = fit(radar, "rain", until=40)

    def rmse(positions: np.ndarray) -> dict[str, float]:
        forecasts = made.predict(radar, radar["time"].values[positions])
        overall = ("init_time", "lead_time")
        return {name: summarise(errors(f, radar), overall)["rmse"].item() for name, f in forecasts.items()}

    storm, evening = rmse(np.arange(10, 40)), rmse(np.arange(50, 66))
    assert storm[EXTRAPOLATION] < 0.7 * storm["persistence"]
    assert storm[EXTRAPOLATION] < min(storm[name] for name in NAMES)
    assert evening[EXTRAPOLATION] == evening["persistence"] == pytest.approx(0.0, abs=1e-6)


def test_with_fewer_than_two_frames_it_is_persistence(radar: xr.Dataset) -> None:
    made = fit(radar, "rain")
    time = radar["time"].values
    alone = radar.isel(time=[10, 20])
    forecasts = made.predict(alone, time[[20]])
    assert np.array_equal(forecasts[EXTRAPOLATION]["rain"], forecasts["persistence"]["rain"])
    # Frames are missing at the init time too: so is the forecast.
    assert np.isnan(made.predict(alone, time[[21]])[EXTRAPOLATION]["rain"]).all()


def test_it_looks_at_the_last_frames(radar: xr.Dataset) -> None:
    made, time = fit(radar), radar["time"].values
    behind = made.times_behind(time[[20, 30]])
    for row, init in zip(behind, (20, 30), strict=True):
        # Without a cycle, seasonal persistence looks at the last frame alone.
        assert set(row) == set(time[init + 1 - FRAMES : init + 1])
    assert np.array_equal(made.frame_times(time[[20, 30]]), behind.reshape(-1))
    still = fit(radar, "t2m")
    assert set(still.frame_times(time[[20, 30]])) == set(time[[20, 30]])


def test_it_is_there_for_rain_that_is_often_absent_and_for_nothing_else(radar: xr.Dataset) -> None:
    rain = radar["rain"]
    counts = rain.assign_attrs(units="1", standard_name="", long_name="vehicles entering the cell")
    always = (rain + 3.0).assign_attrs(rain.attrs)
    anomaly = rain.assign_attrs(standard_name="", long_name="precipitation anomaly")
    packed = radar_world(packing=-0.003)["rain"]
    for field, moves in ((rain, True), (packed, True), (counts, False), (always, False), (anomaly, False)):
        made = fit(field.to_dataset(name="field"))
        assert made.moving == (("field",) if moves else ()), field.attrs
        assert made.names == ((*NAMES, EXTRAPOLATION) if moves else NAMES)


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [
        ("tp", {"units": "m"}, True),
        ("precipitation", {"units": "kg m-2", "standard_name": "precipitation_amount"}, True),
        ("pr", {"units": "kg m-2 s-1"}, True),
        ("RAINRATE", {"units": "mm s^-1"}, True),
        ("rr1h", {"units": "mm"}, True),
        ("image", {"units": "mm/h"}, True),
        ("x", {"units": "mm", "long_name": "5 min accumulated rain rate"}, True),
        ("x", {"units": "mm", "long_name": "precipitation departure from normal"}, False),
        ("trains", {"units": "1"}, False),
        ("terrain", {"units": "m"}, False),
        ("pickups", {"units": "1"}, False),
        ("sst", {"units": "degC"}, False),
        ("z", {"units": "dBZ", "long_name": "reflectivity of rain"}, False),
    ],
)
def test_precipitation_is_told_by_name_and_unit(name: str, attrs: dict[str, str], expected: bool) -> None:
    assert is_precipitation(name, attrs) is expected


def test_baselines_without_rain_are_saved_as_they_were(radar: xr.Dataset) -> None:
    dry = fit(formula_world(("t2m",), frames=96, shape=(6, 8)))
    assert "moving" not in dry.to_header()
    assert Baselines.from_header(json.loads(json.dumps(dry.to_header())), dry.arrays()).names == NAMES
    wet = fit(radar)
    header = json.loads(json.dumps(wet.to_header()))
    assert header["moving"] == ["rain"]
    back = Baselines.from_header(header, wet.arrays())
    assert back.moving == ("rain",)
    assert back.to_header() == wet.to_header()
    # A model of rain that was saved before has the five.
    del header["moving"]
    old = Baselines.from_header(header, wet.arrays())
    assert old.names == NAMES
    assert old.to_header() == replace(wet, moving=()).to_header() == header
