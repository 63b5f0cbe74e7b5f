"""The base forecast as a whole: fitted, saved, read back, rolled out, in parts, on lazy data."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from simvp import budget
from simvp.base_forecast import folds, series
from simvp.base_forecast.base_forecast import BaseForecast
from simvp.base_forecast.predictors import Block
from simvp.errors import ConfigError, Refusal
from tests.simvp.base_forecast.worlds import KINDS, MASKED, World, world


@pytest.fixture(scope="module")
def weekly() -> tuple[World, BaseForecast]:
    made = world("week", 11, masked=True)
    return made, made.fit()


def later(made: World) -> np.ndarray:
    """Init times after the period."""
    times = made.init_times()
    return times[times > made.period[0][1]]


@pytest.mark.parametrize("name", KINDS)
def test_it_beats_or_is_the_best_baseline_on_what_it_was_not_fitted_on(name: str) -> None:
    made = world(name, 12, masked=True)
    base = made.fit()
    times = later(made)[: -made.kind.leads]
    forecast = base.predict(made.ds, times)[:, :, 0]
    assert forecast.shape == (len(times), made.kind.leads, 3, 4)
    assert forecast.dtype == np.float32
    truth = made.series.read(0, made.kind.frames - 1)
    inits = made.series.slots(times)
    targets = truth[:, inits[:, None] + np.arange(1, made.kind.leads + 1)].transpose(1, 2, 0)

    def rmse(maps: np.ndarray) -> float:
        return float(np.sqrt(np.nanmean((maps[:, :, made.valid] - targets) ** 2)))

    rivals = {n: rmse(ds["x"].values) for n, ds in made.baselines.predict(made.ds, times).items()}
    assert rmse(forecast) < 1.05 * min(rivals.values())
    cross = base.cross_validated["x"]
    assert (np.array(cross["rmse"]) <= np.array(cross["best_baseline"])).all()
    assert rmse(forecast) == pytest.approx(np.mean(cross["rmse"]), rel=0.25)
    assert np.isnan(forecast[..., *MASKED[0]]).all()
    assert np.isfinite(forecast[:, :, made.valid]).all()


def test_forecasts_are_sums_of_predictors_and_coefficients(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    part, times = base.parts[0], later(made)[3:9]
    rng = np.random.default_rng(0)
    each = rng.normal(size=(made.kind.leads, 10, len(part.design.names))).astype("f4")
    for coefficients in (part.coefficients[:, :1], each):
        own = replace(base, parts=(replace(part, coefficients=coefficients, group=np.arange(10)),))
        forecast = own.predict(made.ds, times)[:, :, 0][..., made.valid]
        block = Block(
            series=made.series,
            design=part.design,
            climatology=part.climatology,
            others=part.others,
            area=part.area,
            inits=made.series.slots(times),
            leads=made.kind.leads,
        )
        for lead in range(1, made.kind.leads + 1):
            z = block.predictors(lead).astype("f8")
            beta = np.broadcast_to(coefficients[lead - 1], (10, z.shape[1]))
            expected = block.reference(lead) + np.einsum("pkn,pk->pn", z, beta)
            np.testing.assert_allclose(forecast[:, lead - 1].T, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["week", "far month", "one frame"])
def test_where_a_far_cycle_is_not_there_it_does_without(name: str) -> None:
    made = world(name, 13, masked=True)
    base = made.fit()
    part = base.parts[0]
    assert part.design.far
    first = made.init_times()[:1]  # nothing lies before its T frames
    forecast = base.predict(made.ds, first)[:, :, 0][..., made.valid]
    assert np.isfinite(forecast).all()
    short = replace(base, parts=(replace(part, coefficients=part.within),))
    # A series that begins later is forecast likewise, and by the short coefficients alone.
    begun = made.ds.isel(time=slice(100, None))
    times = begun["time"].values[[made.kind.frames_in - 1]]
    ours = base.predict(begun, times)
    design = replace(part.design, cycles=tuple(n for n in part.design.cycles if n not in part.design.far))
    kept = replace(part, design=design, coefficients=part.within[..., part.design.within])
    kept = replace(kept, within=kept.coefficients)
    n, T = part.design.far[-1], made.kind.frames_in
    lacking = np.array([T - 1 + lead < n * -(-lead // n) for lead in range(1, base.leads + 1)])
    assert lacking.any()
    theirs = replace(base, parts=(kept,)).predict(begun, times)
    np.testing.assert_allclose(ours[:, lacking], theirs[:, lacking], rtol=1e-5)
    # Where all frames are there, the two sets differ.
    assert not np.allclose(base.predict(made.ds, times), short.predict(made.ds, times), rtol=1e-4, equal_nan=True)


def test_one_frame_that_lacks_costs_the_far_cycle_at_its_lead_alone(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    times = later(made)[5:6]
    torn = made.ds.copy(deep=True)
    row = int(made.series.slots(times)[0]) + 3 - 14
    torn["x"].values[row] = np.nan
    whole, lacking = base.predict(made.ds, times), base.predict(torn, times)
    assert np.isfinite(lacking[:, :, 0][..., made.valid]).all()
    changed = ~np.isclose(whole, lacking, equal_nan=True).all((0, 2, 3, 4))
    # Leads 3 and 17 take the same frame: two weeks before the one, one before the other.
    assert np.flatnonzero(changed).tolist() == [2, 16]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_after_an_init_time_has_a_part(name: str) -> None:
    made = world(name, 14, masked=True, holes=True)
    base, times = made.fit(), later(made)[:12]
    changed = made.ds.copy(deep=True)
    changed["x"].values[made.ds["time"].values > times[5]] = -777.0
    one, two = base.predict(made.ds, times), base.predict(changed, times)
    np.testing.assert_array_equal(one[:6], two[:6])
    assert not np.array_equal(one[6:], two[6:])
    cut = made.ds.sel(time=slice(None, times[5]))
    np.testing.assert_array_equal(base.predict(cut, times[:6]), base.predict(made.ds, times[:6]))


def test_history_and_steps_back_are_all_that_is_looked_at(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    assert base.history == 14
    assert base.steps_back().tolist() == list(range(-13, -3))
    time = later(made)[[20]]
    init = int(made.series.slots(time)[0])
    near = made.ds.isel(time=slice(init - 13, init + 1))
    np.testing.assert_allclose(base.predict(near, time), base.predict(made.ds, time), rtol=1e-6)


def test_steps_back_without_far_cycles() -> None:
    made = world("month")
    base = made.fit()
    assert base.steps_back().tolist() == []
    assert base.history == made.kind.frames_in


@pytest.mark.parametrize("name", ["day", "week", "month", "far month", "none"])
def test_beyond_its_leads_it_goes_on_from_its_own_forecasts(name: str) -> None:
    made = world(name, 15, masked=True)
    base, leads = made.fit(), made.kind.leads
    times = later(made)[[2, 7]]
    rolled = base.predict(made.ds, times, 2 * leads + 2)
    assert rolled.shape == (2, 2 * leads + 2, 1, 3, 4)
    np.testing.assert_array_equal(rolled[:, :leads], base.predict(made.ds, times))
    np.testing.assert_array_equal(base.predict(made.ds, times, 2), rolled[:, :2])
    for number, time in enumerate(times):
        known = made.ds.sel(time=slice(None, time))
        for done in (leads, 2 * leads):
            ahead = made.kind.step.shift(time, np.arange(1, done + 1))
            own = xr.Dataset(
                {"x": (known["x"].dims, rolled[number, :done, 0])},
                {"time": ahead, **{n: c for n, c in known.coords.items() if n != "time"}},
            )
            expected = base.predict(xr.concat([known, own], "time"), ahead[-1:])[0]
            part = rolled[number, done : done + leads]
            np.testing.assert_allclose(part, expected[: len(part)], rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_saved_and_read_back_it_is_the_same(name: str) -> None:
    made = world(name, 16, masked=True)
    base = made.fit()
    header = json.loads(json.dumps(base.to_header(), allow_nan=False))
    again = BaseForecast.from_header(header, {key: values.copy() for key, values in base.arrays().items()})
    assert again.choices == base.choices
    assert again.cross_validated == base.cross_validated
    assert again.parts[0].design == base.parts[0].design
    assert json.loads(json.dumps(again.to_header())) == header
    times = made.init_times()
    np.testing.assert_array_equal(again.predict(made.ds, times), base.predict(made.ds, times))


def test_the_refit_keeps_what_was_chosen(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    part = base.parts[0]
    others = replace(
        part.choices,
        strength=0.5,
        shrinkage=2.0,
        baseline=("persistence",) * base.leads,
        improved=(False, *(True,) * (base.leads - 1)),
    )
    again = made.fit({"x": others})
    assert again.choices == {"x": others}
    found = again.parts[0]
    persistence = np.array([name in ("last", "initial_normal") for name in part.design.names])
    np.testing.assert_array_equal(found.coefficients[0], np.tile(persistence, (10, 1)))
    assert (np.ptp(found.coefficients[1], axis=0) > 0).any()
    cross = again.cross_validated["x"]
    assert cross["rmse"][0] == cross["best_baseline"][0]  # of what was chosen, not of what would have been
    same = made.fit(base.choices)
    np.testing.assert_array_equal(same.parts[0].coefficients, part.coefficients)
    assert same.cross_validated == base.cross_validated


def test_in_parts_it_is_the_same(weekly: tuple[World, BaseForecast], monkeypatch: pytest.MonkeyPatch) -> None:
    made, base = weekly
    times = made.init_times()
    whole = base.predict(made.ds, times)

    def small(item: int, share: int = 1) -> int:
        return 3 if share == 16 else budget.fitting(item, share)

    blocks: list[int] = []
    make = Block.__post_init__

    def counted(block: Block) -> None:
        blocks.append(len(block.inits))
        make(block)

    monkeypatch.setattr(Block, "__post_init__", counted)
    for module in (series, folds):
        monkeypatch.setattr(module, "fitting", small)
    again = made.fit()
    assert max(blocks) == 3
    assert sum(blocks) == len(made.windows())
    np.testing.assert_allclose(again.parts[0].coefficients, base.parts[0].coefficients, atol=2e-4)
    blocks.clear()
    np.testing.assert_allclose(base.predict(made.ds, times), whole, rtol=1e-5, atol=1e-6)
    assert max(blocks) == 3


def test_lazy_data_gives_the_same(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    lazy = World(made.ds.chunk(time=23), made.kind)
    again = lazy.fit()
    np.testing.assert_array_equal(again.parts[0].coefficients, base.parts[0].coefficients)
    times = later(made)[::5]
    np.testing.assert_array_equal(again.predict(lazy.ds, times), base.predict(made.ds, times))


def test_init_times_in_any_order(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    times = later(made)[:9]
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(base.predict(made.ds, times[order]), base.predict(made.ds, times)[order], rtol=1e-6)
    twice = base.predict(made.ds, times[[3, 3]])
    np.testing.assert_array_equal(twice[0], twice[1])
    assert base.predict(made.ds, times[:0]).shape == (0, base.leads, 1, 3, 4)


def test_two_variables_are_two_forecasts() -> None:
    one, two = world("day", 17), world("day", 18, masked=True)
    ds = one.ds.assign(y=two.ds["x"])
    kind, both = one.kind, World(ds, one.kind)
    arguments: dict[str, Any] = {
        "step": kind.step, "cycle": kind.cycle, "leads": kind.leads, "period": one.period, "weights": one.weights
    }  # fmt: skip
    base = BaseForecast.fit(
        ds,
        baselines=type(one.baselines).fit(ds, variables=["x", "y"], **arguments),
        statistics=both.statistics,
        init_times=one.windows(),
        frames_in=kind.frames_in,
        weights=one.weights,
    )
    assert set(base.choices) == {"x", "y"}
    times = later(one)[:5]
    forecast = base.predict(ds, times)
    assert forecast.shape == (5, kind.leads, 2, 3, 4)
    for number, alone in enumerate((one, two)):
        expected = alone.fit().predict(alone.ds, times)[:, :, 0]
        np.testing.assert_allclose(forecast[:, :, number], expected, rtol=1e-5)
    header = json.loads(json.dumps(base.to_header(), allow_nan=False))
    np.testing.assert_array_equal(BaseForecast.from_header(header, base.arrays()).predict(ds, times), forecast)


def test_few_windows_give_damped_anomaly_persistence() -> None:
    made = world("day", 19)
    base = made.fit(init_times=made.windows()[:1])
    assert base.choices["x"].baseline == ("damped_anomaly",) * base.leads
    assert base.cross_validated == {"x": {"rmse": [], "best_baseline": []}}
    json.dumps(base.to_header(), allow_nan=False)
    forecast = base.predict(made.ds, made.init_times())
    assert np.isfinite(forecast).all()


def test_without_windows_it_is_refused() -> None:
    made = world("day")
    with pytest.raises(ConfigError, match="Base forecast: expected windows to fit on, got none"):
        made.fit(init_times=made.windows()[:0])


def test_without_its_variable_it_is_refused(weekly: tuple[World, BaseForecast]) -> None:
    made, base = weekly
    with pytest.raises(Refusal, match="Base forecast: x: the variable is missing"):
        base.predict(made.ds.rename(x="z"), made.init_times()[:1])
