"""The five baselines: by their definitions, frame by frame, and to the printed digits on the ERA5 file."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from simvp.contract import statistics
from simvp.coords.forecast_layout import faults
from simvp.coords.grid import Grid, area_weights
from simvp.coords.steps import Step
from simvp.errors import ConfigError, Refusal
from simvp.scoring.baselines import NAMES, Baselines, extended, frames_at
from simvp.scoring.scores import summarise
from tests.support.scored import errors
from tests.support.worlds import address_world, formula_world

HOUR = Step(seconds=3600)
DAY = 24


def fit(ds: xr.Dataset, *, cycle: int | None = DAY, leads: int = 6, until: int | None = None) -> Baselines:
    times = ds["time"].values
    return Baselines.fit(
        ds,
        variables=[str(name) for name in ds.data_vars],
        step=HOUR,
        cycle=cycle,
        leads=leads,
        period=[(times[0], times[-1 if until is None else until - 1])],
        weights=area_weights(Grid.of(ds))[0],
    )


@pytest.fixture(scope="module")
def noisy() -> xr.Dataset:
    """Eight days with a daily cycle and red noise of its own at every point."""
    ds = formula_world(["t2m"], frames=8 * DAY, shape=(3, 4)).astype("f8")
    rng = np.random.default_rng(0)
    red = np.zeros(ds["t2m"].shape)
    for t in range(1, len(red)):
        red[t] = 0.8 * red[t - 1] + rng.normal(size=red.shape[1:])
    hour = 6.0 * np.sin(2 * np.pi * np.arange(len(red)) / DAY)[:, None, None]
    return ds.assign(t2m=(ds["t2m"].dims, 280 + hour + red, ds["t2m"].attrs))


def test_era5_figures_are_those_of_the_reference(shared: Path) -> None:
    xr_file = shared / "data" / "era5-2mt-2019-03-uk.grib"
    options = {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}}
    ds = xr.open_dataset(xr_file, **options)[["t2m"]].load()  # type: ignore[arg-type]
    weights, name = area_weights(Grid.of(ds))
    made = Baselines.fit(
        ds,
        variables=["t2m"],
        step=HOUR,
        cycle=DAY,
        leads=12,
        period=[("2019-03-01T00", "2019-03-21T23")],
        weights=weights,
    )
    # Targets of the last 7 days: the first init time is the hour before them, the last leaves 12 leads.
    inits = ds["time"].values[744 - 168 - 1 : 744 - 12]
    assert len(inits) == 157
    expected = {
        "persistence": (2.768, None),
        "seasonal_persistence": (1.490, (1.46, 1.49, 1.51)),
        "climatology": (1.874, None),
        "anomaly_persistence": (1.882, None),
        "damped_anomaly": (1.639, (0.43, 1.67, 2.07)),
    }
    forecasts = made.predict(ds, inits)
    assert tuple(forecasts) == NAMES == tuple(expected)
    assert name == "cos_latitude"
    for baseline, (overall, by_lead) in expected.items():
        found = errors(forecasts[baseline], ds)
        assert round(summarise(found, ("init_time", "lead_time"))["rmse"].item(), 3) == overall
        assert int(summarise(found, ("init_time", "lead_time"))["n"].item()) == 157 * 12
        if by_lead is not None:
            leads = summarise(found)["rmse"].values[0, [0, 5, 11]]
            assert tuple(leads.round(2)) == by_lead


class TestDefinitions:
    def test_each_is_what_it_says(self, noisy: xr.Dataset) -> None:
        made = fit(noisy, leads=30, until=6 * DAY)
        x, clim = noisy["t2m"].values, made.climatology["t2m"]
        assert clim.period == "day"
        inits = np.array([150, 160])
        forecasts = made.predict(noisy, noisy["time"].values[inits], leads=30)
        normal = clim.at(noisy["time"].values)
        for n, i in enumerate(inits):
            for lead in range(1, 31):
                v = i + lead
                anomaly = x[i] - normal[i]
                cycles = 1 if lead <= DAY else 2
                expected = {
                    "persistence": x[i],
                    "seasonal_persistence": x[v - cycles * DAY],
                    "climatology": normal[v],
                    "anomaly_persistence": normal[v] + anomaly,
                    "damped_anomaly": normal[v] + made.damping[0, lead - 1] * anomaly,
                }
                for name, values in expected.items():
                    got = forecasts[name]["t2m"].values[n, lead - 1]
                    np.testing.assert_allclose(got, values, rtol=1e-6, err_msg=f"{name} {lead}")

    def test_climatology_is_the_mean_of_each_hour(self, noisy: xr.Dataset) -> None:
        made = fit(noisy, until=6 * DAY)
        x = noisy["t2m"].values[: 6 * DAY]
        for hour in range(DAY):
            np.testing.assert_allclose(made.climatology["t2m"].values[0, hour], x[hour::DAY].mean(0), rtol=1e-6)

    def test_nothing_after_the_init_time_is_looked_at(self) -> None:
        world = address_world(frames=6 * DAY)
        made = fit(world, until=4 * DAY)
        blind = world.copy(deep=True)
        for name in blind.data_vars:
            blind[name][5 * DAY + 1 :] = np.nan
        inits = world["time"].values[[5 * DAY]]
        for name in NAMES:
            xr.testing.assert_identical(made.predict(blind, inits, 30)[name], made.predict(world, inits, 30)[name])
            assert made.predict(world, inits, 30)[name].to_array().notnull().all()

    def test_forecasts_are_labelled(self, noisy: xr.Dataset) -> None:
        for name, forecast in fit(noisy).predict(noisy, noisy["time"].values[100:103]).items():
            assert faults(forecast) == []
            assert forecast.attrs["title"] == name
            assert forecast["t2m"].attrs["units"] == "K"
            assert forecast.sizes["lead_time"] == 6

    def test_without_a_cycle(self, noisy: xr.Dataset) -> None:
        made = fit(noisy, cycle=None)
        assert made.climatology["t2m"].period == "none"
        forecasts = made.predict(noisy, noisy["time"].values[[100]])
        np.testing.assert_array_equal(forecasts["seasonal_persistence"]["t2m"], forecasts["persistence"]["t2m"])
        mean = noisy["t2m"].mean("time").values
        np.testing.assert_allclose(forecasts["climatology"]["t2m"].values[0, 3], mean, rtol=1e-6)

    def test_missing_history_is_nan(self, noisy: xr.Dataset) -> None:
        made = fit(noisy, leads=3)
        gappy = noisy.drop_isel(time=[100, 80])
        # Init 100 is not there; lead 1 of init 103 needs frame 80 for seasonal persistence.
        forecasts = made.predict(gappy, noisy["time"].values[[100, 103]])
        lost = {name: forecasts[name]["t2m"].isnull().any(("latitude", "longitude")).values for name in NAMES}
        assert lost["persistence"].tolist() == [[True] * 3, [False] * 3]
        assert lost["seasonal_persistence"].tolist() == [[False] * 3, [True, False, False]]
        assert not lost["climatology"].any()
        assert lost["anomaly_persistence"].tolist() == [[True] * 3, [False] * 3]
        assert lost["damped_anomaly"].tolist() == [[True] * 3, [False] * 3]

    def test_months(self) -> None:
        ds = formula_world(["t2m"], frames=72, shape=(2, 3), start="2000-01-01", step="MS").astype("f8")
        ds["t2m"] += 8 * np.cos(2 * np.pi * (ds["time"].dt.month - 1) / 12)
        months = Step(months=1, anchor="day", day=1)
        made = Baselines.fit(
            ds,
            variables=["t2m"],
            step=months,
            cycle=12,
            leads=14,
            period=[("2000-01-01", "2004-12-01")],
            weights=np.ones((2, 3)),
        )
        assert made.climatology["t2m"].period == "year"
        forecasts = made.predict(ds, ds["time"].values[[65]])
        x = ds["t2m"].values
        np.testing.assert_array_equal(forecasts["seasonal_persistence"]["t2m"][0, 11], x[65])  # 12 months back
        np.testing.assert_array_equal(forecasts["seasonal_persistence"]["t2m"][0, 12], x[54])  # 24 months back
        np.testing.assert_allclose(
            forecasts["climatology"]["t2m"][0, 0], x[6:60:12].mean(0), rtol=1e-6
        )  # frame 66 is a July, as frames 6, 18, ... are
        assert forecasts["climatology"]["lead_time"].attrs["units"] == "month"


class TestDamping:
    def brute(self, ds: xr.Dataset, made: Baselines, lead: int, inside: np.ndarray) -> float:
        x = ds["t2m"].values - made.climatology["t2m"].at(ds["time"].values)
        weights, _ = area_weights(Grid.of(ds))
        above = below = 0.0
        hours = (ds["time"].values - ds["time"].values[0]) // np.timedelta64(1, "h")
        for a, first in enumerate(hours):
            for b, second in enumerate(hours):
                if second - first == lead and inside[a] and inside[b]:
                    known = np.isfinite(x[a]) & np.isfinite(x[b])
                    above += (weights * x[a] * x[b])[known].sum()
                    below += (weights * x[a] ** 2)[known].sum()
        return above / below

    @pytest.mark.parametrize("block", [1000, 5])
    def test_equals_the_double_loop_with_gaps_nan_and_two_intervals(
        self, noisy: xr.Dataset, block: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frame = noisy["t2m"][0].nbytes
        monkeypatch.setattr(statistics, "fitting", lambda item, share: block if item == frame else 10**9)
        ds = noisy.drop_isel(time=[20, 21, 50]).copy(deep=True)
        ds["t2m"][30, 1, 1] = np.nan
        ds["t2m"][77] = np.nan
        times = ds["time"].values
        period = [(times[0], times[90]), (times[100], times[150])]
        weights, _ = area_weights(Grid.of(ds))
        made = Baselines.fit(ds, variables=["t2m"], step=HOUR, cycle=DAY, leads=13, period=period, weights=weights)
        inside = np.zeros(len(times), bool)
        inside[:91] = inside[100:151] = True
        for lead in (1, 2, 5, 13):
            expected = self.brute(ds, made, lead, inside)
            assert made.damping[0, lead - 1] == pytest.approx(expected, rel=1e-6)

    def test_beyond_the_fitted_leads_it_goes_on_falling(self) -> None:
        # Mean rate of a fall to 1/4 in 2 leads is 1/2 a lead: 1/8 at 3, 1/16 at 4.
        np.testing.assert_allclose(extended(np.array([0.9, 0.25]), 4), [0.9, 0.25, 0.125, 0.0625])
        np.testing.assert_allclose(extended(np.array([0.9, -0.1]), 4), [0.9, -0.1, 0.0, 0.0])
        np.testing.assert_allclose(extended(np.array([0.9, 0.25]), 1), [0.9])

    def test_a_world_without_departures_has_no_damping_and_no_nan(self) -> None:
        ds = formula_world(["t2m"], frames=5 * DAY).astype("f8")
        still = ds.assign(t2m=ds["t2m"] * 0 + 280.0)
        still["t2m"].attrs["units"] = "K"
        made = fit(still)
        np.testing.assert_array_equal(made.damping, 0.0)
        assert (made.predict(still, still["time"].values[[50]])["damped_anomaly"]["t2m"] == 280.0).all()


def test_header_and_arrays_there_and_back(noisy: xr.Dataset) -> None:
    made = fit(noisy)
    back = Baselines.from_header(json.loads(json.dumps(made.to_header())), made.arrays())
    inits = noisy["time"].values[100:104]
    for name in NAMES:
        xr.testing.assert_identical(back.predict(noisy, inits, 9)[name], made.predict(noisy, inits, 9)[name])
    assert back.period == made.period


def test_lazy_data_gives_the_same(noisy: xr.Dataset) -> None:
    lazy = noisy.chunk(time=10)
    np.testing.assert_array_equal(fit(lazy).damping, fit(noisy).damping)
    inits = noisy["time"].values[100:104]
    xr.testing.assert_identical(
        fit(noisy).predict(lazy, inits)["damped_anomaly"], fit(noisy).predict(noisy, inits)["damped_anomaly"]
    )


def test_frames_are_found_by_time_for_any_shape_of_times() -> None:
    world = address_world(frames=10)
    times = world["time"].values
    wanted = np.array([[times[3], times[9]], [times[0] - np.timedelta64(1, "h"), times[3]]])
    found = frames_at(world, "t2m", wanted)
    np.testing.assert_array_equal(found[0, 1], world["t2m"].values[9])
    np.testing.assert_array_equal(found[1, 1], world["t2m"].values[3])
    assert np.isnan(found[1, 0]).all()


class TestRefusals:
    def test_all_that_is_wrong_with_a_fit(self, noisy: xr.Dataset) -> None:
        with pytest.raises(ConfigError) as caught:
            Baselines.fit(
                noisy,
                variables=["t2m", "tp"],
                step=HOUR,
                cycle=DAY,
                leads=0,
                period=[("1999-01-01", "1999-02-01")],
                weights=np.ones((3, 4)),
            )
        text = str(caught.value)
        assert "tp: expected one of t2m" in text
        assert "expected frames in 1999-01-01 .. 1999-02-01, got none of 192" in text
        assert "leads: expected one at least, got 0" in text

    def test_a_variable_without_a_value(self, noisy: xr.Dataset) -> None:
        empty = noisy.assign(t2m=noisy["t2m"] * np.nan)
        with pytest.raises(ConfigError, match="t2m: only NaN in"):
            fit(empty)

    def test_a_variable_that_is_not_there(self, noisy: xr.Dataset) -> None:
        made = fit(noisy)
        with pytest.raises(Refusal, match="t2m: the variable is missing; the data has d2m"):
            made.predict(noisy.rename(t2m="d2m"), noisy["time"].values[[50]])

    def test_times_of_another_calendar(self, noisy: xr.Dataset) -> None:
        made = fit(noisy)
        other = formula_world(["t2m"], frames=60, shape=(3, 4), calendar="360_day")
        with pytest.raises(Refusal, match="expected the 360_day calendar, got proleptic_gregorian"):
            made.predict(other, noisy["time"].values[[50]])
