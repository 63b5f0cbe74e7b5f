"""Hits, misses and false alarms by hand, thresholds in the units of rain, and the sharp forecast meant for them."""

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.motion import extrapolate, probability_matched
from simvp.scoring.events import OUTCOMES, events, success, thresholds
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


def test_counts_by_hand():
    rained = np.array([[0.0, 0.1, 2.0], [0.5, 0.0, np.nan]])
    said = np.array([[0.1, 0.1, 0.9], [0.0, 0.0, 3.0]])
    truth = truth_of(np.stack([np.zeros((2, 3)), rained]))
    counts = events({"model": forecast_of(truth, said[None, None])}, truth, LIMITS)
    # At 0.1: hits at (0, 1) and (0, 2), a miss at (1, 0), a false alarm at (0, 0); the last point is not known.
    assert counts.sel(contender="model", wet_variable="rain", rate=0.1).values.ravel().tolist() == [2, 1, 1]
    # At 1: what was 2 was said to be 0.9.
    assert counts.sel(contender="model", wet_variable="rain", rate=1.0).values.ravel().tolist() == [0, 1, 0]
    index = success(counts).sel(contender="model", wet_variable="rain").values.ravel()
    assert index.tolist() == [0.5, 0.0]
    assert counts["threshold"].values.tolist() == [[0.1, 1.0]]


def test_counts_are_summed_before_the_ratio():
    truth = truth_of(np.array([np.zeros((1, 4)), [[1.0, 1, 1, 1]], [[1.0, 0, 0, 0]]]))
    said = np.array([[[[1.0, 1, 1, 1]]], [[[0.0, 0, 0, 1]]]])
    counts = events({"model": forecast_of(truth, said)}, truth, LIMITS)
    # Four hits on one map; a miss and a false alarm on the other: 4 / 6, where the mean of the ratios is 1 / 2.
    assert success(counts.sum("init_time")).sel(rate=0.1).item() == pytest.approx(4 / 6)
    dry = events(
        {"model": forecast_of(truth_of(np.zeros((2, 1, 4))), np.zeros((1, 1, 1, 4)))},
        truth_of(np.zeros((2, 1, 4))),
        LIMITS,
    )
    assert np.isnan(success(dry)).all()


def test_all_contenders_are_counted_on_the_points_that_all_know():
    draws = np.random.default_rng(0)
    truth = truth_of(draws.gamma(0.5, size=(6, 4, 5)))
    made = {name: draws.gamma(0.5, size=(3, 2, 4, 5)) for name in ("model", "other")}
    made["model"][0, 0, 0, 0] = np.nan
    made["other"][1, 1, 2] = np.nan
    truth["rain"][4, 3, 3] = np.nan
    counts = events({name: forecast_of(truth, maps) for name, maps in made.items()}, truth, LIMITS)
    for i, lead, name in np.ndindex(3, 2, 2):
        maps = [maps[i, lead] for maps in made.values()]
        seen = truth["rain"].values[i + lead + 1]
        known = np.isfinite(seen) & np.isfinite(maps[0]) & np.isfinite(maps[1])
        for r, edge in enumerate(LIMITS["rain"]):
            said, rained = maps[name][known] >= edge, seen[known] >= edge
            expected = [(said & rained).sum(), (~said & rained).sum(), (said & ~rained).sum()]
            assert counts.values[i, lead, name, 0, r].tolist() == expected


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
    found = thresholds(units, step)
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
    """Of (block, contender, rate) hits out of 100 points with rain, without false alarms: CSI is hits / 100."""
    counts = np.stack([hits, 100 - hits, np.zeros_like(hits)], -1)
    return xr.DataArray(counts, dims=("block", "contender", "rate", "outcome"), coords={"outcome": list(OUTCOMES)})


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
    index = success(events(made, truth, {"rain": (0.1 / 6, 1 / 6)}).sum(["init_time", "lead_time"])).sel(
        wet_variable="rain"
    )
    scores = {name: index.sel(contender=name).values for name in made}
    assert (scores["extrapolation"] > scores["persistence"] + 0.1).all()
    assert (scores["sharp"] > scores["smooth"] + 0.03).all()
