"""The fit of a variable: folds and the climatologies made without them, which init times count, and in what parts."""

import numpy as np
import pytest

from simvp.base_forecast import fit
from simvp.base_forecast.folds import add, without_folds
from simvp.base_forecast.transform import IDENTITY
from simvp.contract.climatology import Sums
from tests.simvp.base_forecast.worlds import KINDS, World, world


@pytest.mark.parametrize("name", ["day", "week", "month"])
def test_a_fold_is_judged_by_a_climatology_that_has_not_seen_its_targets(name: str) -> None:
    made = world(name, 2, masked=True, gaps=True, holes=True)
    rows, step, leads = made.statistics.reference, made.kind.step, made.kind.leads
    times, values = made.ds["time"].values, made.ds["x"].values
    slots, period = made.series.slots(times), made.climatology.period
    cuts = np.array([5, 20, 41, 80])
    total = Sums(step, [period, "none"], made.valid.shape)
    total.add(times[rows], values[rows])
    folds = list(without_folds([total], [IDENTITY], made.ds["x"], rows, step, cuts, leads))
    assert len(folds) == 3
    for fold, (rest,) in enumerate(folds):
        targets = set(range(int(cuts[fold]) + 1, int(cuts[fold + 1]) + leads))
        own = np.array([row for row in rows if slots[row] not in targets])
        assert 0 < len(own) < len(rows)
        alone = Sums(step, [period, "none"], made.valid.shape)
        alone.add(times[own], values[own])
        for one in (period, "none"):
            expected = alone.climatology(one)[0].values
            np.testing.assert_allclose(rest.climatology(one)[0].values, expected, rtol=1e-5)


def test_frames_in_the_period_of_others_are_not_summed() -> None:
    made = world("day")
    rows = np.r_[0:30, 60:90]
    total = Sums(made.kind.step, ["none"], made.valid.shape)
    add([total], [IDENTITY], made.ds["x"], rows)
    expected = made.ds["x"].values[rows].mean(0)
    np.testing.assert_allclose(total.climatology("none")[0].values[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_fitted_on(name: str) -> None:
    made = world(name, 1, masked=True)
    part = made.fit().parts[0]
    assert part.design.frames_in == made.kind.frames_in
    weeks = (28,) if made.kind.step.per_day == 4 else ()
    assert part.design.cycles == (*made.kind.cycles, *weeks)
    assert set(part.design.others) | {part.climatology.period} >= {"none"}
    assert part.climatology.period not in part.design.others
    assert set(part.others) == set(part.design.others)
    assert part.climatology is made.climatology
    assert part.area.sum() == pytest.approx(1)
    assert part.coefficients.shape[::2] == (made.kind.leads, len(part.design.names))
    assert part.group.shape == (10,)


@pytest.mark.parametrize(
    ("values", "amount"),
    [
        (lambda noise: np.abs(noise), True),
        (lambda noise: 50 + np.abs(noise), False),  # never near zero
        (lambda noise: noise, False),
        (lambda noise: 0 * noise, False),
    ],
)
def test_amounts_begin_at_zero(values, amount: bool) -> None:
    made = world("day")
    noise = np.random.default_rng(0).normal(size=made.ds["x"].shape)
    other = World(made.ds.assign(x=(made.ds["x"].dims, values(noise).astype("f4"), {"units": "1"})), made.kind)
    assert other.fit().parts[0].design.amount is amount


def test_a_point_that_only_one_fold_has_seen_puts_nothing_out() -> None:
    made = world("day", 4)
    made.ds["x"].values[:, 1, 1] = np.nan
    made.ds["x"].values[3:9, 1, 1] = 10.0
    base = made.fit()
    assert len(base.cross_validated["x"]["rmse"]) == made.kind.leads
    forecast = base.predict(made.ds, made.init_times()[-3:])
    assert np.isfinite(forecast).all()
    others = world("day", 4).fit()
    ours, theirs = (one.cross_validated["x"]["rmse"] for one in (base, others))
    np.testing.assert_allclose(ours, theirs, rtol=0.15)


def test_gaps_cost_no_more_than_their_windows() -> None:
    whole, torn = world("week", 3), world("week", 3, gaps=True)
    for made in (whole, torn):
        rmse = np.array(made.fit().cross_validated["x"]["rmse"])
        assert np.isfinite(rmse).all()
        assert (rmse < 2.2).all()


def test_errors_of_the_folds_count_what_is_known() -> None:
    whole, holed = world("day", 6), world("day", 6)
    rng = np.random.default_rng(0)
    holed.ds["x"].values[rng.random(holed.ds["x"].shape) < 0.3] = np.nan
    ours, theirs = (np.array(one.fit().cross_validated["x"]["rmse"]) for one in (holed, whole))
    assert (ours > 0.97 * theirs).all()


def test_init_times_are_thinned_evenly() -> None:
    inits = np.arange(10, 1010)
    np.testing.assert_array_equal(fit._at_most(inits, 1000), inits)
    thinned = fit._at_most(inits, 104)
    assert len(thinned) == 104
    assert thinned[[0, -1]].tolist() == [10, 1009]
    assert np.ptp(np.diff(thinned)) <= 1
