"""Hits, misses and fractions by hand, thresholds in the units of rain, and the sharp forecast meant for them."""

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.motion import extrapolate, probability_matched
from simvp.scoring.events import SUMS, contingency, event_sums, fractions_skill, outcomes, rain_thresholds
from simvp.scoring.sharp import SAYS, chosen_say, sharpened
from tests.support.radar import radar_world

TEN = Step(seconds=600)
LIMITS = {"rain": (0.1, 1.0)}


def truth_of(maps: np.ndarray) -> xr.Dataset:
    """Frames (N, H, W) at ten minutes from midnight on."""
    time = np.datetime64("2020-01-01", "ns") + np.arange(len(maps)) * np.timedelta64(10, "m")
    coords = {"time": time, "y": np.arange(float(maps.shape[1])), "x": np.arange(float(maps.shape[2]))}
    return xr.Dataset({"rain": (("time", "y", "x"), maps, {"units": "mm h-1"})}, coords=coords)


def forecast_of(truth: xr.Dataset, maps: np.ndarray) -> xr.Dataset:
    """A forecast (I, L, H, W) from the first times of the truth."""
    grid = Grid.of(truth)
    coords = coordinates(truth["time"].values[: len(maps)], maps.shape[1], step=TEN, grid=grid)
    return label({"rain": maps}, coords, grid=grid, variable_attrs={"rain": {"units": "mm h-1"}})


def tally(sums: xr.DataArray) -> xr.DataArray:
    """Hits, misses and false alarms."""
    hits, _, said, seen, _ = outcomes(sums)
    return xr.concat([hits, seen - hits, said - hits], "outcome").transpose(..., "outcome")


def test_counts_by_hand():
    rained = np.array([[0.0, 0.1, 2.0], [0.5, 0.0, np.nan]])
    said = np.array([[0.1, 0.1, 0.9], [0.0, 0.0, 3.0]])
    truth = truth_of(np.stack([np.zeros((2, 3)), rained]))
    sums = event_sums({"model": forecast_of(truth, said[None, None])}, truth, LIMITS)
    counts = tally(sums).sel(contender="model", thresholded="rain")
    # At 0.1: hits at (0, 1) and (0, 2), a miss at (1, 0), a false alarm at (0, 0); the last point is not known.
    assert counts.isel(rank_of_threshold=0).values.ravel().tolist() == [2, 1, 1]
    # At 1: what was 2 was said to be 0.9.
    assert counts.isel(rank_of_threshold=1).values.ravel().tolist() == [0, 1, 0]
    index = contingency(sums)["csi"].sel(contender="model", thresholded="rain").values.ravel()
    assert index.tolist() == [0.5, 0.0]
    assert sums["threshold"].values.tolist() == [[0.1, 1.0]]
    assert (sums.sel(sum="points") == 5).all()


def test_counts_are_summed_before_the_ratio():
    truth = truth_of(np.array([np.zeros((1, 4)), [[1.0, 1, 1, 1]], [[1.0, 0, 0, 0]]]))
    said = np.array([[[[1.0, 1, 1, 1]]], [[[0.0, 0, 0, 1]]]])
    sums = event_sums({"model": forecast_of(truth, said)}, truth, LIMITS)
    # Four hits on one map; a miss and a false alarm on the other: 4 / 6, where the mean of the ratios is 1 / 2.
    index = contingency(sums.sum("init_time"))["csi"]
    assert index.isel(rank_of_threshold=0).item() == pytest.approx(4 / 6)


def test_all_contenders_are_counted_on_the_points_that_all_know():
    draws = np.random.default_rng(0)
    truth = truth_of(draws.gamma(0.5, size=(6, 4, 5)))
    made = {name: draws.gamma(0.5, size=(3, 2, 4, 5)) for name in ("model", "other")}
    made["model"][0, 0, 0, 0] = np.nan
    made["other"][1, 1, 2] = np.nan
    truth["rain"][4, 3, 3] = np.nan
    counts = tally(event_sums({name: forecast_of(truth, maps) for name, maps in made.items()}, truth, LIMITS))
    for i, lead, (number, name) in ((i, k, one) for i, k in np.ndindex(3, 2) for one in enumerate(made)):
        maps = [maps[i, lead] for maps in made.values()]
        seen = truth["rain"].values[i + lead + 1]
        known = np.isfinite(seen) & np.isfinite(maps[0]) & np.isfinite(maps[1])
        for r, edge in enumerate(LIMITS["rain"]):
            said, rained = maps[number][known] >= edge, seen[known] >= edge
            expected = [(said & rained).sum(), (~said & rained).sum(), (said & ~rained).sum()]
            found = counts.sel(contender=name, thresholded="rain").isel(
                init_time=i, lead_time=lead, rank_of_threshold=r
            )
            assert found.values.tolist() == expected


def test_a_forecast_that_lacks_a_variable_has_no_points_in_it_and_takes_none_from_others():
    draws = np.random.default_rng(0)
    truth = truth_of(draws.gamma(0.5, size=(4, 4, 5)))
    truth["wind"] = truth["rain"] * 3
    whole = forecast_of(truth, draws.gamma(0.5, size=(2, 1, 4, 5)))
    whole["wind"] = whole["rain"] * 3
    sums = event_sums({"model": whole, "other": whole[["wind"]]}, truth, {"rain": (1.0,), "wind": (3.0, 6.0)})
    assert (sums.sel(contender="other", thresholded="rain") == 0).all()
    assert (sums.sel(contender="model", thresholded="rain", sum="points").isel(rank_of_threshold=0) == 20).all()
    assert (sums.sel(contender="other", thresholded="wind", sum="points") == 20).all()
    # Of the variable with fewer thresholds there is nothing at the second.
    assert np.isnan(sums["threshold"].sel(thresholded="rain").values).tolist() == [False, True]
    assert (sums.sel(thresholded="rain").isel(rank_of_threshold=1) == 0).all()
    first = sums.isel(rank_of_threshold=0, contender=0)
    np.testing.assert_array_equal(first.sel(thresholded="wind"), first.sel(thresholded="rain"))


def pair(seen: np.ndarray, said: np.ndarray) -> tuple[xr.Dataset, xr.Dataset]:
    """Truth of two times, of which the second is `seen`, and a forecast of it, `said`, from the first."""
    truth = truth_of(np.stack([np.zeros(seen.shape), seen]).astype("f4"))
    return truth, forecast_of(truth, said[None, None].astype("f4"))


def test_rain_beside_its_place_is_nothing_at_one_point_and_something_in_a_square():
    seen, said = np.zeros((5, 7)), np.zeros((5, 7))
    seen[2, 2], said[2, 3] = 1, 1
    truth, forecast = pair(seen, said)
    skill = fractions_skill(event_sums({"forecast": forecast}, truth, {"rain": (0.5,)}, (1, 3))).squeeze()
    # Squares of 3: a ninth at 9 points each, 6 of them common. Differences at 3 + 3 points, squares at 9 + 9.
    assert skill.sel(scale=1).item() == 0
    assert skill.sel(scale=3).item() == pytest.approx(1 - 6 / 18)


def test_squares_at_the_edge_and_around_holes_have_the_points_that_they_have():
    seen, said = np.zeros((3, 3)), np.zeros((3, 3))
    seen[0, 0], said[0, 0], seen[2, 2] = 1, 1, np.nan
    truth, forecast = pair(seen, said)
    sums = event_sums({"forecast": forecast}, truth, {"rain": (0.5,)}, (3,)).sel(scale=3).squeeze()
    # At the corner 1 of 4, at two edges 1 of 6, in the middle 1 of 8 known ones.
    assert sums.sel(sum="observed").item() == pytest.approx(1 / 16 + 2 / 36 + 1 / 64)
    assert sums.sel(sum="difference").item() == pytest.approx(0, abs=1e-12)
    assert sums.sel(sum="points").item() == 8


def test_fractions_are_those_of_plain_loops():
    random = np.random.default_rng(0)
    seen, said = random.random((6, 8)), random.random((6, 8))
    seen[random.random(seen.shape) < 0.2] = np.nan
    truth, forecast = pair(seen, said)
    sums = event_sums({"forecast": forecast}, truth, {"rain": (0.6,)}, (1, 5)).squeeze()
    known = np.isfinite(seen)
    for side in (1, 5):
        half, difference, total = side // 2, 0.0, 0.0
        for i, j in np.argwhere(known):
            square = (slice(max(0, i - half), i + half + 1), slice(max(0, j - half), j + half + 1))
            f, o = (((field >= np.float32(0.6)) & known)[square].sum() / known[square].sum() for field in (said, seen))
            difference, total = difference + (f - o) ** 2, total + f**2 + o**2
        own = sums.sel(scale=side)
        assert own.sel(sum="difference").item() == pytest.approx(difference)
        assert own.sel(sum=["forecast", "observed"]).sum().item() == pytest.approx(total)


def test_leads_that_do_not_fit_into_memory_together_give_the_same(monkeypatch: pytest.MonkeyPatch):
    draws = np.random.default_rng(0)
    truth = truth_of(draws.gamma(0.5, size=(9, 6, 5)))
    forecast = forecast_of(truth, draws.gamma(0.5, size=(3, 5, 6, 5)))
    whole = event_sums({"model": forecast}, truth, LIMITS)
    monkeypatch.setattr("simvp.scoring.events.fitting", lambda *_, **__: 2)
    xr.testing.assert_identical(event_sums({"model": forecast}, truth, LIMITS), whole)


def test_contingency_by_hand():
    # 12 points: 2 hits, 1 miss, 3 false alarms, 6 correct noes. By chance 3 * 5 / 12 hits.
    seen = np.array([[1, 1, 1, 0], [0] * 4, [0] * 4])
    said = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [0] * 4])
    truth, forecast = pair(seen, said)
    found = contingency(event_sums({"forecast": forecast}, truth, {"rain": (0.5,)})).squeeze()
    assert found["csi"].item() == pytest.approx(2 / 6)
    assert found["ets"].item() == pytest.approx((2 - 1.25) / (6 - 1.25))
    assert found["frequency_bias"].item() == pytest.approx(5 / 3)


def test_where_nothing_reaches_a_threshold_there_is_no_score():
    truth, forecast = pair(np.zeros((3, 3)), np.zeros((3, 3)))
    sums = event_sums({"forecast": forecast}, truth, {"rain": (0.5,)})
    assert np.isnan(fractions_skill(sums)).all()
    assert all(np.isnan(values).all() for values in contingency(sums).data_vars.values())


@pytest.mark.parametrize(
    ("units", "step", "expected"),
    [
        ("mm h-1", TEN, (0.1, 1.0)),
        ("mm/h", TEN, (0.1, 1.0)),
        ("kg m-2 s-1", TEN, (0.1 / 3600, 1 / 3600)),
        ("m s-1", TEN, (1e-4 / 3600, 1e-3 / 3600)),
        # What falls in ten minutes, in an hour and in a day.
        ("mm", TEN, (0.1 / 6, 1 / 6)),
        ("kg m-2", Step(seconds=3600), (0.1, 1.0)),
        ("m", Step(seconds=3600), (1e-4, 1e-3)),
        ("mm", Step(seconds=86400), (2.4, 24.0)),
        ("mm", Step(months=1, anchor="day", day=1), None),
        ("mm", Step(seconds=5 * 86400), None),
        ("dBZ", TEN, None),
        ("K", TEN, None),
    ],
)
def test_thresholds_are_those_of_rates_in_any_unit_of_rain(units: str, step: Step, expected: tuple[float, ...] | None):
    found = rain_thresholds(units, step)
    assert (found is None) == (expected is None)
    np.testing.assert_allclose(found or (), expected or (), rtol=1e-9)


def test_the_sharp_forecast_has_the_rain_of_the_extrapolated_one():
    draws = np.random.default_rng(0)
    truth = truth_of(draws.gamma(0.5, size=(4, 6, 7)))
    smooth, moved = draws.normal(1.0, 0.1, (1, 2, 6, 7)), draws.gamma(0.5, size=(1, 2, 6, 7))
    model = forecast_of(truth, smooth).assign(t2m=forecast_of(truth, smooth)["rain"])
    made = sharpened(model, forecast_of(truth, moved), {"rain": 0.5})
    np.testing.assert_array_equal(made["rain"].values, probability_matched((smooth + moved) / 2, moved))
    assert made["rain"].attrs == model["rain"].attrs
    xr.testing.assert_identical(made["t2m"], model["t2m"])


def test_a_model_without_a_say_gives_back_the_extrapolation():
    draws = np.random.default_rng(1)
    truth = truth_of(draws.gamma(0.5, size=(4, 6, 7)))
    smooth, moved = draws.normal(1.0, 0.1, (1, 2, 6, 7)), draws.gamma(0.5, size=(1, 2, 6, 7))
    made = sharpened(forecast_of(truth, smooth), forecast_of(truth, moved), {"rain": 0.0})
    np.testing.assert_array_equal(made["rain"].values, moved.astype(np.float32))


def counts_of(hits: np.ndarray) -> xr.DataArray:
    """Of (block, contender, threshold) hits out of 100 points with rain, without false alarms: CSI is hits / 100."""
    every = np.full_like(hits, 100)
    sums = np.stack([every - hits, hits, every, every], -1)[..., None, :]
    dims = ("block", "contender", "rank_of_threshold", "scale", "sum")
    return xr.DataArray(sums, dims=dims, coords={"scale": [1], "sum": list(SUMS)})


def test_the_say_is_the_one_with_the_highest_index_relative_to_none():
    hits = np.tile([[50, 20], [52, 20], [55, 22], [54, 21], [40, 30]], (4, 1, 1))
    assert chosen_say(counts_of(hits)) == SAYS[2]  # the last has the highest mean, and is below none at the first rate


def test_a_gain_within_its_error_over_the_blocks_is_none():
    hits = np.tile([[50, 20]] * 5, (4, 1, 1))
    hits[:, 3] += 2
    assert chosen_say(counts_of(hits)) == SAYS[3]
    hits[0, 3] += 20
    hits[1, 3] -= 24
    assert chosen_say(counts_of(hits)) == 0.0
    assert chosen_say(counts_of(hits[:1])) == 0.0  # one block says nothing of the error


def test_where_nothing_was_hit_there_is_nothing_to_choose_by():
    assert chosen_say(counts_of(np.zeros((3, 5, 2), int))) == 0.0


def test_in_moving_rain_extrapolation_hits_more_than_persistence_and_sharpening_gives_back_what_smoothing_lost():
    rain = radar_world()["rain"].isel(time=slice(0, 48)).values
    truth = truth_of(rain)
    inits = np.arange(2, 42, 2)
    frames = np.stack([rain[i - 2 : i + 1] for i in inits])
    moved = extrapolate(frames, 4)
    maps = {
        "persistence": frames[:, -1:].repeat(4, 1),
        "extrapolation": moved,
        "smooth": gaussian_filter(moved, (0, 0, 2.5, 2.5)),
    }
    grid = Grid.of(truth)
    coords = coordinates(truth["time"].values[inits], 4, step=TEN, grid=grid)
    attrs = {"rain": {"units": "mm h-1"}}
    made = {name: label({"rain": field}, coords, grid=grid, variable_attrs=attrs) for name, field in maps.items()}
    made["sharp"] = sharpened(made["smooth"], made["extrapolation"], {"rain": 0.5})
    sums = event_sums(made, truth, {"rain": (0.1 / 6, 1 / 6)}, (1,)).sum(["init_time", "lead_time"])
    index = contingency(sums)["csi"].sel(thresholded="rain")
    scores = {name: index.sel(contender=name).values for name in made}
    assert (scores["extrapolation"] > scores["persistence"] + 0.1).all()
    assert (scores["sharp"] > scores["smooth"] + 0.03).all()
