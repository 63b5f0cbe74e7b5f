"""Scores against integrals worked out by hand and against plain loops."""

from typing import Any

import cftime
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid, area_weights
from simvp.coords.steps import Step
from simvp.errors import Refusal
from simvp.scoring.scores import compare, summarise
from tests.support.scored import errors
from tests.support.worlds import address_world, formula_world

HOUR = Step(seconds=3600)


def latlon(latitude: np.ndarray, width: int = 4) -> Grid:
    longitude = np.arange(width) * 0.5
    return Grid(kind="latlon", dims=("latitude", "longitude"), rows=np.asarray(latitude, "f8"), columns=longitude)


def forecast_of(truth: xr.Dataset, first: int, inits: int, leads: int, offset: float = 0.0) -> xr.Dataset:
    """Forecast that is `offset` above what will be observed; first init time at frame `first`."""
    rows = first + np.arange(inits)[:, None] + 1 + np.arange(leads)
    return label(
        {str(name): truth[name].values[rows] + offset for name in truth.data_vars},
        coordinates(truth["time"].values[first : first + inits], leads, step=HOUR, grid=Grid.of(truth)),
        grid=Grid.of(truth),
        variable_attrs={str(name): truth[name].attrs for name in truth.data_vars},
    )


class TestAreaWeights:
    def test_regional_grid_is_weighted_by_the_cosine(self) -> None:
        weights, name = area_weights(latlon(np.array([60.0, 30.0, 0.0])))
        # cos 60, 30, 0 = 1/2, sqrt(3)/2, 1
        expected = np.array([0.5, np.sqrt(3) / 2, 1.0])
        np.testing.assert_allclose(weights, np.repeat(expected[:, None] / expected.mean(), 4, axis=1))
        assert name == "cos_latitude"

    @pytest.mark.parametrize("turn", [1, -1])
    def test_rows_on_the_poles_get_their_cap(self, turn: int) -> None:
        weights, name = area_weights(latlon(np.array([-90.0, 0.0, 90.0])[::turn]))
        # Edges at -90, -45, 45, 90: integral of cos: 1 - sqrt(1/2), sqrt(2), 1 - sqrt(1/2).
        cap, belt = 1 - np.sqrt(0.5), np.sqrt(2)
        np.testing.assert_allclose(weights[:, 0], np.array([cap, belt, cap]) * 3 / 2)
        assert name == "cell_area"

    def test_one_pole_is_enough(self) -> None:
        weights, name = area_weights(latlon(np.array([30.0, 50.0, 70.0, 90.0])))
        # Edges at 20 (half a spacing beyond the last row), 40, 60, 80, 90.
        expected = np.diff(np.sin(np.deg2rad([20.0, 40.0, 60.0, 80.0, 90.0])))
        np.testing.assert_allclose(weights[:, 1], expected / expected.mean())
        assert name == "cell_area"

    def test_half_spacing_grid_is_global_and_one_row_short_is_not(self) -> None:
        assert area_weights(latlon(np.arange(-89.5, 90)))[1] == "cell_area"
        assert area_weights(latlon(np.arange(-89.0, 90)))[1] == "cos_latitude"
        assert area_weights(latlon(np.array([87.86, 85.1, 82.3])))[1] == "cell_area"  # Gaussian grid, 64 rows

    def test_mean_is_one_and_mean_of_a_harmonic_is_the_integral(self) -> None:
        latitude = np.linspace(90, -90, 181)
        weights, _ = area_weights(latlon(latitude))
        assert weights.mean() == pytest.approx(1.0, abs=1e-14)
        # Mean over the sphere of sin^2(latitude) = integral of s^2 ds from -1 to 1, halved = 1/3.
        square = np.sin(np.deg2rad(latitude))[:, None] ** 2 * np.ones(4)
        assert (weights * square).mean() == pytest.approx(1 / 3, abs=1e-4)

    def test_southern_row_of_a_regional_grid_is_no_cap(self) -> None:
        # A rule that runs every grid to the poles gives this row 88 % of the weight.
        weights, _ = area_weights(latlon(np.arange(61.0, 48.9, -0.25)))
        assert weights[-1].sum() / weights.sum() < 0.03

    @pytest.mark.parametrize("kind", ["projected", "curvilinear", "index"])
    def test_other_grids_count_every_point_alike(self, kind: str) -> None:
        weights, name = area_weights(Grid.of(address_world(frames=2, grid=kind)))  # type: ignore[arg-type]
        assert name == "uniform"
        np.testing.assert_array_equal(weights, np.ones((6, 8)))


class TestErrors:
    @pytest.mark.parametrize("shape", [(6, 8), (3, 17)])
    @pytest.mark.parametrize("kind", ["latlon", "projected", "curvilinear", "index"])
    def test_constant_error_scores_the_same_on_every_grid(self, shape: tuple[int, int], kind: str) -> None:
        truth = formula_world(frames=30, shape=shape, grid=kind)  # type: ignore[arg-type]
        truth = truth.astype("f8")
        found = summarise(errors(forecast_of(truth, 3, 4, 5, offset=-1.5), truth))
        np.testing.assert_allclose(found["rmse"], 1.5, rtol=1e-12)
        np.testing.assert_allclose(found["mae"], 1.5, rtol=1e-12)
        np.testing.assert_allclose(found["bias"], -1.5, rtol=1e-12)
        assert (found["n"] == 4).all()

    def test_every_number_equals_a_plain_loop(self) -> None:
        truth = formula_world(frames=30, shape=(4, 5)).astype("f8")
        forecast = forecast_of(truth, 2, 3, 4)
        rng = np.random.default_rng(0)
        for name in forecast.data_vars:
            forecast[name] = forecast[name] + rng.normal(size=forecast[name].shape)
        forecast["t2m"][1, 2, 3, 4] = np.nan
        truth["t2m"][5, 0, 1] = np.nan
        normal = {name: Constant(truth[name].mean("time").values) for name in ("t2m", "d2m")}
        weights, _ = area_weights(Grid.of(truth))
        found = errors(forecast, truth, climatology=normal)
        assert found.attrs["weighting"] == "cos_latitude"
        for name in ("t2m", "d2m"):
            for i in range(3):
                for j in range(4):
                    sums = dict.fromkeys(set(found.data_vars) - {"points"}, 0.0)
                    total = 0.0
                    for y in range(4):
                        for x in range(5):
                            f = float(forecast[name][i, j, y, x])
                            o = float(truth[name][2 + i + 1 + j, y, x])
                            c = float(normal[name].map[y, x])
                            if np.isnan(f) or np.isnan(o):
                                continue
                            w = weights[y, x]
                            total += w
                            sums["squared_error"] += w * (f - o) ** 2
                            sums["absolute_error"] += w * abs(f - o)
                            sums["error"] += w * (f - o)
                            sums["anomaly_covariance"] += w * (f - c) * (o - c)
                            sums["anomaly_variance_forecast"] += w * (f - c) ** 2
                            sums["anomaly_variance_truth"] += w * (o - c) ** 2
                    got = found.sel(variable=name).isel(init_time=i, lead_time=j)
                    for key, value in sums.items():
                        assert float(got[key]) == pytest.approx(value / total, rel=1e-10, abs=1e-12)
        # Truth frame 5 is seen by lead j of init i where 2 + i + 1 + j = 5; one more point is lost at (1, 2).
        lost = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]])
        np.testing.assert_array_equal(found["points"].sel(variable="t2m"), 20 - lost)

    def test_masked_points_leave_the_weights_of_the_others_in_proportion(self) -> None:
        truth = formula_world(["t2m"], frames=10, shape=(2, 2)).astype("f8")
        truth = truth.assign_coords(latitude=[60.0, 0.0])
        forecast = forecast_of(truth, 0, 1, 1)
        forecast["t2m"][0, 0] += np.array([[2.0, np.nan], [1.0, 1.0]])
        # Weights 1/2, -, 1, 1: (0.5 x 4 + 1 + 1) / 2.5
        assert errors(forecast, truth)["squared_error"].item() == pytest.approx(4.0 / 2.5)

    def test_truth_is_found_by_valid_time_in_any_order_and_dims(self) -> None:
        truth = address_world(frames=30)
        forecast = forecast_of(truth, 5, 6, 3)
        order = np.random.default_rng(1).permutation(30)
        shuffled = truth.isel(time=order).transpose("longitude", "time", "latitude")
        flipped = shuffled.isel(latitude=slice(None, None, -1))
        turned = forecast.transpose("longitude", "lead_time", "latitude", "init_time")
        assert (errors(turned, flipped)["squared_error"] == 0).all()
        assert (errors(forecast.isel(lead_time=[2]), flipped)["squared_error"] == 0).all()

    def test_lazy_truth_is_read_like_any_other(self) -> None:
        truth = formula_world(frames=30)
        forecast = forecast_of(truth, 5, 6, 3, offset=0.5)
        lazy = truth.chunk(time=7)
        assert isinstance(lazy["t2m"].data, da.Array)
        xr.testing.assert_identical(errors(forecast, lazy), errors(forecast, truth))

    def test_blocks_of_init_times_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        truth = formula_world(frames=40).astype("f8")
        forecast = forecast_of(truth, 5, 12, 3, offset=0.5)
        whole = errors(forecast, truth)
        monkeypatch.setattr("simvp.budget.BUDGET", 64 * 4 * 5 * 3 * 48)
        xr.testing.assert_allclose(errors(forecast, truth), whole, rtol=1e-12)

    def test_absent_truth_is_nan_and_not_counted(self) -> None:
        truth = formula_world(frames=30).astype("f8")
        forecast = forecast_of(truth, 5, 4, 3, offset=2.0)
        gappy = truth.drop_isel(time=[7, 8])
        gappy["t2m"][20:] = np.nan
        found = errors(forecast, gappy)
        # Lead j of init i needs frame 5 + i + 1 + j.
        needed = 6 + np.arange(4)[:, None] + np.arange(3)
        absent = np.isin(needed, [7, 8])
        np.testing.assert_array_equal(found["squared_error"].sel(variable="d2m").isnull(), absent)
        np.testing.assert_array_equal(found["points"].sel(variable="d2m"), np.where(absent, 0, 48))
        scores = summarise(found)
        np.testing.assert_array_equal(scores["n"].sel(variable="d2m"), (~absent).sum(0))
        np.testing.assert_allclose(scores["rmse"], 2.0)

    def test_coordinates_after_a_float32_trip_are_healed(self) -> None:
        truth = formula_world(frames=12).astype("f8")
        truth = truth.assign_coords(longitude=truth["longitude"] + 0.1)
        forecast = forecast_of(truth, 0, 3, 2)
        trip = forecast.assign_coords({n: forecast[n].astype("f4") for n in ("latitude", "longitude")})
        assert not np.array_equal(trip["longitude"], truth["longitude"])
        found = errors(trip, truth)
        assert (found["points"] == 48).all()
        assert (found["squared_error"] == 0).all()

    def test_climatology_of_the_valid_time_is_taken(self) -> None:
        truth = formula_world(["t2m"], frames=20).astype("f8")
        forecast = forecast_of(truth, 3, 2, 4)
        lookup = {"t2m": Lookup(truth)}
        found = errors(forecast, truth, climatology=lookup)
        assert (found["anomaly_variance_truth"] == 0).all()  # truth minus itself, at every valid time


def holed(forecast: xr.Dataset, *where: Any) -> xr.Dataset:
    """A copy without values at some places of (init_time, lead_time, row, column)."""
    made = forecast.copy(deep=True)
    for name in made.data_vars:
        made[name].values[where] = np.nan
    return made


class TestComparison:
    """A world of 6 x 8 points; systems that are off by 1, 2 and 3."""

    @pytest.fixture
    def truth(self) -> xr.Dataset:
        return formula_world(frames=30).astype("f8")

    def systems(self, truth: xr.Dataset) -> dict[str, xr.Dataset]:
        return {f"off by {n}": forecast_of(truth, 5, 4, 3, offset=n) for n in (1, 2, 3)}

    def test_of_whole_maps_it_is_what_each_has_alone(self, truth: xr.Dataset) -> None:
        systems, normal = self.systems(truth), {n: Constant(truth[n].values.mean(0)) for n in truth.data_vars}
        found = compare(systems, truth, climatology=normal)
        assert found["squared_error"].dims == ("system", "variable", "init_time", "lead_time")
        for name, forecast in systems.items():
            xr.testing.assert_identical(found.sel(system=name, drop=True), errors(forecast, truth, climatology=normal))

    def test_all_are_scored_on_the_points_that_all_have(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        for forecast in systems.values():  # errors grow from row to row: the choice of points shows in every score
            for name in forecast.data_vars:
                forecast[name].values += np.arange(6)[:, None] * np.ones(8)
        systems["off by 2"] = holed(systems["off by 2"], 1, 0, slice(0, 2))
        systems["off by 3"] = holed(systems["off by 3"], 1, 0, slice(None), slice(0, 2))
        gappy = truth.copy(deep=True)
        gappy["t2m"][7, 5, 7] = np.nan  # the truth of init 1, lead 0
        found = compare(systems, gappy)
        points = found["points"].sel(variable="t2m").values
        assert (points[:, 1, 0] == 4 * 6 - 1).all()
        # What was valid at that time is the truth of two other maps too; there all but that point counts.
        assert sorted(np.unique(points)) == [23, 47, 48]
        weights = area_weights(Grid.of(truth))[0] * np.ones((6, 8))
        common = np.ones((6, 8), bool)
        common[:2], common[:, :2], common[5, 7] = False, False, False
        for n, name in enumerate(systems):
            off = (systems[name]["t2m"].values[1, 0] - truth["t2m"].values[7])[common]
            expected = (off**2 * weights[common]).sum() / weights[common].sum()
            got = found["squared_error"].sel(variable="t2m").values[n, 1, 0]
            assert got == pytest.approx(expected, rel=1e-12)

    def test_one_that_knows_less_than_half_decides_nothing(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        systems["off by 2"] = holed(systems["off by 2"], 0, 0, slice(0, 4))  # a third is left
        systems["off by 3"] = holed(systems["off by 3"], 0, 0, slice(0, 3))  # half is left
        found = compare(systems, truth).sel(variable="t2m").isel(init_time=0, lead_time=0)
        assert found["points"].values.tolist() == [24, 0, 24]
        assert np.isnan(found["squared_error"].values).tolist() == [False, True, False]

    def test_where_the_first_is_masked_nobody_is_scored(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        systems["off by 1"] = holed(systems["off by 1"], slice(None), slice(None), 0)
        assert (compare(systems, truth)["points"] == 40).all()
        systems["off by 1"] = holed(systems["off by 1"], 2)
        found = compare(systems, truth).isel(init_time=2)
        assert (found["points"] == 0).all()
        assert found["squared_error"].isnull().all()

    def test_a_variable_that_one_does_not_forecast_has_no_score_there(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        systems["off by 3"] = systems["off by 3"].drop_vars("d2m")
        found = compare(systems, truth).sel(system="off by 3")
        assert (found["points"].sel(variable="d2m") == 0).all()
        np.testing.assert_allclose(found["squared_error"].sel(variable="t2m"), 9.0)

    def test_another_order_of_rows_is_the_same_place(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        turned = systems | {"off by 2": systems["off by 2"].isel(latitude=slice(None, None, -1))}
        xr.testing.assert_identical(compare(turned, truth), compare(systems, truth))

    def test_other_times_places_and_units_are_refused_by_name(self, truth: xr.Dataset) -> None:
        systems = self.systems(truth)
        other = systems["off by 2"].assign_coords(latitude=systems["off by 2"]["latitude"] + 1)
        other["t2m"].attrs["units"] = "degC"
        with pytest.raises(Refusal) as refused:
            compare(systems | {"off by 2": other, "off by 3": forecast_of(truth, 6, 4, 3)}, truth)
        assert "off by 2: t2m: expected units K, got degC" in str(refused.value)
        assert "off by 2: grid: latitude differs by up to 1" in str(refused.value)
        assert "off by 3: init_time: expected those of the first forecast, got others" in str(refused.value)


class Constant:
    """Climatology of one map."""

    def __init__(self, map_: np.ndarray) -> None:
        self.map = map_

    def at(self, times: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.map, (len(times), *self.map.shape))


class Lookup:
    """Climatology that is the truth itself."""

    def __init__(self, truth: xr.Dataset) -> None:
        self.truth = truth

    def at(self, times: np.ndarray) -> np.ndarray:
        return self.truth["t2m"].sel(time=times).values


class TestRefusals:
    def refused(self, forecast: xr.Dataset, truth: xr.Dataset) -> str:
        with pytest.raises(Refusal) as caught:
            errors(forecast, truth)
        return str(caught.value)

    def test_partial_overlap_of_the_grid(self) -> None:
        truth = formula_world(frames=12)
        text = self.refused(forecast_of(truth, 0, 2, 2), truth.isel(latitude=slice(1, None)))
        assert "expected 6 latitude x 8 longitude, got 5 latitude x 8 longitude" in text

    def test_shifted_grid(self) -> None:
        truth = formula_world(frames=12)
        text = self.refused(forecast_of(truth, 0, 2, 2), truth.assign_coords(latitude=truth["latitude"] + 0.1))
        assert "latitude differs by up to 0.1" in text

    def test_the_same_numbers_on_another_projection(self) -> None:
        truth = formula_world(frames=12, grid="projected")
        other = truth.assign_coords(crs=truth["crs"].assign_attrs(longitude_of_projection_origin=20.0))
        text = self.refused(forecast_of(truth, 0, 2, 2), other)
        assert "another projection (grid_mapping crs): longitude_of_projection_origin expected 10.0, got 20.0" in text

    def test_no_truth_at_all(self) -> None:
        truth = formula_world(frames=12)
        forecast = forecast_of(truth, 8, 2, 2)
        text = self.refused(forecast, truth.isel(time=slice(0, 8)))
        assert "expected truth for some of the valid times 2020-01-01T09" in text
        assert "to 2020-01-01T07" in text

    def test_times_off_by_a_little_are_not_truth(self) -> None:
        truth = formula_world(frames=12)
        text = self.refused(
            forecast_of(truth, 0, 2, 2), truth.assign_coords(time=truth["time"] + np.timedelta64(1, "m"))
        )
        assert "none of them at one of these times" in text

    def test_all_reasons_at_once(self) -> None:
        truth = formula_world(frames=12)
        forecast = forecast_of(truth, 0, 2, 2)
        other = truth.drop_vars("d2m").isel(longitude=slice(0, 4))
        other["t2m"].attrs["units"] = "degC"
        text = self.refused(forecast, other)
        assert "expected truth for d2m, got t2m" in text
        assert "t2m: the forecast is in K, the truth in degC" in text
        assert "got 6 latitude x 4 longitude" in text

    def test_another_calendar(self) -> None:
        truth = formula_world(frames=12)
        text = self.refused(forecast_of(truth, 0, 2, 2), formula_world(frames=12, calendar="360_day"))
        assert "the forecast counts in the proleptic_gregorian calendar, the truth in 360_day" in text

    def test_init_time_is_not_taken_for_valid_time(self) -> None:
        truth = formula_world(frames=12)
        wrong = forecast_of(truth, 0, 2, 2).rename(init_time="time").drop_vars("valid_time")
        assert "expected init_time" in self.refused(wrong, truth)


def test_other_calendars_are_scored() -> None:
    truth = formula_world(["t2m"], frames=12, calendar="360_day").astype("f8")
    assert isinstance(truth["time"].values[0], cftime.datetime)
    found = summarise(errors(forecast_of(truth, 0, 5, 3, offset=1.0), truth))
    np.testing.assert_allclose(found["rmse"], 1.0)
    assert (found["n"] == 5).all()


class TestSummary:
    def made(self) -> xr.Dataset:
        values = np.array([[[1.0, 4.0], [9.0, np.nan]]])  # (variable, init_time, lead_time)
        dims = ("variable", "init_time", "lead_time")
        return xr.Dataset(
            {
                "squared_error": (dims, values),
                "absolute_error": (dims, np.sqrt(values)),
                "error": (dims, -np.sqrt(values)),
                "anomaly_covariance": (dims, values),
                "anomaly_variance_forecast": (dims, 4 * values),
                "anomaly_variance_truth": (dims, values),
            },
            attrs={"weighting": "uniform"},
        )

    def test_by_lead(self) -> None:
        found = summarise(self.made()).isel(variable=0)
        np.testing.assert_allclose(found["rmse"], [np.sqrt(5.0), 2.0])  # sqrt of (1 + 9) / 2, and of 4
        np.testing.assert_allclose(found["mae"], [2.0, 2.0])
        np.testing.assert_allclose(found["bias"], [-2.0, -2.0])
        np.testing.assert_allclose(found["acc"], [0.5, 0.5])  # 5 / sqrt(20 x 5)
        np.testing.assert_array_equal(found["n"], [2, 1])
        assert found.attrs["weighting"] == "uniform"

    def test_over_all_is_the_root_of_the_mean_square_not_the_mean_of_roots(self) -> None:
        found = summarise(self.made(), ("init_time", "lead_time")).isel(variable=0)
        assert float(found["rmse"]) == pytest.approx(np.sqrt(14 / 3))
        assert int(found["n"]) == 3

    def test_pairs_count_only_what_all_have(self) -> None:
        other = self.made()
        other["squared_error"][0, 0, 0] = np.nan
        both = xr.concat([self.made(), other], "system")
        alone = summarise(both)
        paired = summarise(both, paired="system")
        np.testing.assert_array_equal(alone["n"].isel(variable=0), [[2, 1], [1, 1]])
        np.testing.assert_array_equal(paired["n"].isel(variable=0), [[1, 1], [1, 1]])
        np.testing.assert_allclose(paired["rmse"].isel(variable=0, lead_time=0), [3.0, 3.0])

    def test_nothing_known_is_nan_and_zero(self) -> None:
        empty = self.made() * np.nan
        found = summarise(empty)
        assert found["rmse"].isnull().all()
        assert (found["n"] == 0).all()

    def test_forecast_equal_to_climatology_has_no_correlation(self) -> None:
        flat = self.made()
        flat["anomaly_variance_forecast"] *= 0
        flat["anomaly_covariance"] *= 0
        assert summarise(flat)["acc"].isnull().all()
