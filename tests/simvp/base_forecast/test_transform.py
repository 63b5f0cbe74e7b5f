"""Transforms: chosen by folds that are left out, the way back without bias, nothing from nothing, kept in the file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from simvp.base_forecast import fit
from simvp.base_forecast.base_forecast import BaseForecast
from simvp.base_forecast.fit import best_transform, past_of
from simvp.base_forecast.folds import Passage, Past, pass_over
from simvp.base_forecast.ridge import Choices
from simvp.base_forecast.sample import factors, squares
from simvp.base_forecast.transform import IDENTITY, KINDS, Transform
from tests.simvp.base_forecast.worlds import World, world

ALL = [IDENTITY, Transform(kind="sqrt"), Transform(kind="log1p", scale=2.0)]


def changed(made: World, values: np.ndarray, **attrs: str) -> World:
    field = (made.ds["x"].dims, values.astype("f4"), {"units": "1", **attrs})
    return World(made.ds.assign(x=field), made.kind)


def multiplied(name: str = "day", seed: int = 0) -> World:
    """What changes by factors: the exponential of a rhythm and of noise that remembers."""
    made = world(name, seed)
    rng, frames = np.random.default_rng(seed), made.kind.frames
    noise = rng.normal(size=(frames, 3, 4))
    for now in range(1, frames):
        noise[now] = 0.9 * noise[now - 1] + np.sqrt(1 - 0.9**2) * noise[now]
    rhythm = np.resize([-1.0, 0.0, 2.0, 1.0], frames)[:, None, None]
    return changed(made, np.exp(1 + rhythm + 0.8 * noise))


def added(seed: int = 0) -> World:
    """Normal noise on a constant, which now and then comes near zero."""
    made = world("day", seed)
    values = 5 + 1.6 * np.random.default_rng(seed).normal(size=made.ds["x"].shape)
    return changed(made, values.clip(0.1))


def past(made: World) -> Past:
    rows, summary = made.statistics.reference, made.statistics["x"][1]
    return past_of(made.ds["x"], summary, made.baselines, rows, made.windows(), made.kind.frames_in, made.weights)


def later(made: World) -> np.ndarray:
    times = made.init_times(made.kind.leads)
    return times[times > made.period[0][1]]


def truth(made: World, times: np.ndarray) -> np.ndarray:
    rows = made.series.slots(times)[:, None] + np.arange(1, made.kind.leads + 1)
    return made.ds["x"].values[rows]


@pytest.mark.parametrize("transform", ALL)
def test_the_way_back_ends_where_it_began(transform: Transform) -> None:
    values = np.array([0.0, 1e-3, 0.5, 7.0, 3e4], "f4")
    there = transform.forward(values)
    assert there.dtype == np.float32
    np.testing.assert_allclose(transform.inverse(there), values, rtol=1e-5)
    assert transform.inverse(there)[0] == 0
    if transform != IDENTITY:
        assert transform.forward(np.array([-0.01], "f4"))[0] == 0
        assert transform.inverse(np.array([-0.3], "f4"))[0] == 0


def test_the_transforms_are_what_they_are_called() -> None:
    values = np.array([0.0, 4.0, 16.0, np.nan], "f4")
    np.testing.assert_array_equal(Transform.of("sqrt", values).forward(values), [0, 2, 4, np.nan])
    made = Transform.of("log1p", values)
    assert made.scale == 10  # the mean of what is above zero
    np.testing.assert_allclose(made.forward(values), np.log([1, 1.4, 2.6, np.nan]), rtol=1e-6)
    assert Transform.of("identity", values) == IDENTITY


def test_what_changes_by_factors_is_fitted_in_logarithms_and_gains_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = multiplied()
    base = made.fit()
    assert base.choices["x"].transform == "log1p"
    times = later(made)
    error = (base.predict(made.ds, times)[:, :, 0] - truth(made, times)) ** 2
    monkeypatch.setattr(fit, "best_transform", lambda errors: "identity")
    plain = made.fit()
    assert plain.choices["x"].transform == "identity"
    rival = (plain.predict(made.ds, times)[:, :, 0] - truth(made, times)) ** 2
    assert error.mean() < 0.97 * rival.mean()
    ours, theirs = (np.mean(np.square(one.cross_validated["x"]["rmse"])) for one in (base, plain))
    assert ours < 0.97 * theirs


@pytest.mark.parametrize("seed", range(3))
def test_what_changes_by_sums_is_fitted_as_it_is(seed: int) -> None:
    made = added(seed)
    base = made.fit()
    assert base.parts[0].design.amount  # the transforms were tried
    assert base.choices["x"].transform == "identity"
    assert base.parts[0].factors is None


def test_only_of_amounts_are_transforms_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    def counted(*args: object, **how: object) -> list[Passage]:
        passes.append(len(args[1]))  # type: ignore[arg-type]
        return pass_over(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(fit, "pass_over", counted)
    world("day").fit()
    assert passes == [1]
    passes.clear()
    made = multiplied()
    base = made.fit()
    assert passes == [3, 1]
    passes.clear()
    assert made.fit(base.choices).choices == base.choices
    assert passes == [1]


def test_counts_that_never_come_near_zero_are_tried_by_their_name() -> None:
    noise = np.abs(np.random.default_rng(0).normal(size=(160, 3, 4)))
    named = [changed(world("day"), 50 + noise, long_name=name) for name in ("number of vehicles", "something")]
    assert [past(made).bounded for made in named] == [True, False]
    assert not past(changed(world("day"), 0 * noise, long_name="number of vehicles")).bounded


def test_a_gain_within_chance_changes_nothing() -> None:
    plain = np.full((4, 2), 1.0)
    gain = np.array([0.1, 0.1, 0.1, 0.02])[:, None]  # its standard error over the folds is 0.02, in the sum 0.08
    errors = {"identity": plain, "sqrt": plain - gain, "log1p": plain - 2 * gain}
    assert best_transform(errors) == "log1p"
    assert best_transform({**errors, "log1p": plain + 1}) == "sqrt"
    chance = np.array([0.4, -0.1, -0.1, -0.1])[:, None]  # 0.1 together, 0.5 the standard error of that
    assert best_transform({"identity": plain, "sqrt": plain - chance, "log1p": plain}) == "identity"
    assert best_transform({name: values[:1] for name, values in errors.items()}) == "identity"
    # By lead in units of its own error: a gain at a lead of small errors counts as much.
    scale = np.array([1.0, 1e4])
    mixed = {n: plain * scale + (0 if n == "identity" else np.array([-0.2, 1.0])) for n in KINDS}
    assert best_transform(mixed) == "sqrt"


def test_factor_and_errors_by_hand() -> None:
    f, y = np.array([[1.0, 2.0], [2.0, 2.0]]), np.array([[2.0, 3.0], [3.0, 5.0]])  # by fold
    moments = np.stack([(f * f).sum(1), (f * y).sum(1), (y * y).sum(1), [2, 2]], axis=-1)[:, None]
    np.testing.assert_allclose(factors(moments), [(8 + 16) / (5 + 8)])
    np.testing.assert_allclose(squares(moments, corrected=False)[:, 0], ((y - f) ** 2).sum(1))
    other = np.array([16 / 8, 8 / 5])  # of the other fold
    np.testing.assert_allclose(squares(moments, corrected=True)[:, 0], ((y - other[:, None] * f) ** 2).sum(1))
    np.testing.assert_array_equal(factors(np.zeros((2, 3, 4))), np.ones(3))


def test_the_sample_tells_of_what_is_not_transformed_what_the_sums_tell() -> None:
    made = world("week", 5, masked=True, holes=True)
    leads = range(1, made.kind.leads + 1)
    passage = pass_over(past(made), [IDENTITY], leads, reach=made.kind.leads, sampled=True)[0]
    choices = passage.ridge.choose()
    moments = passage.sample.moments(passage.ridge, choices)
    found = squares(moments, corrected=False).sum(0) / moments[..., 3].sum(0)
    np.testing.assert_allclose(found, passage.ridge.left_out(choices)[0], rtol=1e-4)


@pytest.mark.parametrize("holes", [False, True])
def test_several_transforms_in_one_pass_are_as_each_alone(holes: bool) -> None:
    made = multiplied("week")
    if holes:
        made.ds["x"].values[np.random.default_rng(0).random(made.ds["x"].shape) < 0.1] = np.nan
    moving = replace(past(made), design=replace(past(made).design, moving=True, amount=True))
    for own in (past(made), moving):
        together = pass_over(own, ALL, [1, 4], reach=4, sampled=True)
        for transform, one in zip(ALL, together, strict=True):
            alone = pass_over(own, [transform], [1, 4], reach=4, sampled=True)[0]
            for kind in ("products", "targets", "squares", "counts"):
                ours, theirs = getattr(one.ridge.sums, kind), getattr(alone.ridge.sums, kind)
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
            assert one.sample.parts.keys() == alone.sample.parts.keys()
            shown = transform.forward(made.ds["x"].values[made.statistics.reference])
            expected = np.nanmean(shown, axis=0, dtype="f8")
            np.testing.assert_allclose(one.climatologies["none"].values[0, 0], expected, rtol=1e-5)


def test_the_mean_of_what_is_forecast_is_that_of_what_comes() -> None:
    made = multiplied()
    base = made.fit()
    assert base.choices["x"].corrected
    mean = truth(made, made.windows()).mean()
    assert base.predict(made.ds, made.windows()).mean() == pytest.approx(mean, rel=0.03)
    biased = replace(base, parts=(replace(base.parts[0], factors=None),))
    assert biased.predict(made.ds, made.windows()).mean() < 0.93 * mean


@pytest.mark.parametrize("kind", KINDS)
def test_dry_stays_dry(kind: str) -> None:
    made = world("none", 3)
    noise = np.random.default_rng(3).normal(size=made.ds["x"].shape)
    for now in range(1, len(noise)):
        noise[now] = 0.8 * noise[now - 1] + 0.6 * noise[now]
    rain = np.exp(2 * noise) * (noise > 0.7)
    wet = changed(made, rain, units="mm h-1", standard_name="rainfall_rate")
    leads = wet.kind.leads
    choices = Choices(
        strength=0.1,
        shrinkage=None,
        baseline=("persistence",) * leads,
        improved=(True,) * leads,
        transform=kind,
        corrected=kind != "identity",
    )
    base = wet.fit({"x": choices})
    assert base.parts[0].design.moving
    assert base.parts[0].transform.kind == kind
    times = later(wet)
    assert base.predict(wet.ds, times).max() > 0.1
    dry = wet.ds.assign(x=wet.ds["x"] * 0)
    assert np.abs(base.predict(dry, times)).max() < 1e-3


@pytest.mark.parametrize("name", ["day", "week"])
def test_it_is_kept_in_the_file(name: str) -> None:
    made = multiplied(name)
    base = made.fit({"x": replace(made.fit().choices["x"], transform="log1p", corrected=True)})
    header, arrays = json.loads(json.dumps(base.to_header(), allow_nan=False)), base.arrays()
    again = BaseForecast.from_header(header, arrays)
    assert again.parts[0].transform == base.parts[0].transform != IDENTITY
    assert again.choices == base.choices
    assert json.loads(json.dumps(again.to_header())) == header
    times = made.init_times()
    np.testing.assert_array_equal(again.predict(made.ds, times), base.predict(made.ds, times))
    np.testing.assert_array_equal(again.parts[0].factors, base.parts[0].factors)


def test_what_is_not_transformed_is_kept_as_before_there_was_a_choice() -> None:
    header = world("month").fit().to_header()["parts"][0]
    assert set(header) == {"name", "design", "choices", "climatology", "others"}
    assert set(header["choices"]) == {"strength", "shrinkage", "baseline", "improved"}
    far = world("week").fit()
    assert not any("factors" in name for name in far.arrays())
    older = json.loads(json.dumps(far.to_header()))
    for name in ("within_baseline", "within_improved"):
        del older["parts"][0]["choices"][name]
    read = BaseForecast.from_header(older, far.arrays())
    assert json.loads(json.dumps(read.to_header())) == older
    made = world("week")
    np.testing.assert_array_equal(read.predict(made.ds, made.init_times()), far.predict(made.ds, made.init_times()))


def test_what_does_without_far_cycles_has_a_bias_of_its_own() -> None:
    made = multiplied("week")
    base = made.fit({"x": replace(made.fit().choices["x"], transform="log1p", corrected=True)})
    part, first = base.parts[0], made.init_times()[:1]
    assert part.design.far
    assert part.factors is not None
    assert not np.allclose(part.factors[0], part.factors[1])
    doubled = replace(base, parts=(replace(part, factors=part.factors * np.float32([[1], [2]])),))
    whole, lacking = (one.predict(made.ds, first) for one in (base, doubled))
    n = part.design.far[-1]
    short = np.array([made.kind.frames_in - 1 + lead < n * -(-lead // n) for lead in range(1, base.leads + 1)])
    np.testing.assert_allclose(lacking[:, short], 2 * whole[:, short], rtol=1e-5)
    np.testing.assert_array_equal(lacking[:, ~short], whole[:, ~short])


def test_beyond_its_leads_it_goes_on_in_physical_units() -> None:
    made = multiplied()
    base, leads = made.fit(), made.kind.leads
    assert base.parts[0].transform != IDENTITY
    time = later(made)[:1]
    rolled = base.predict(made.ds, time, leads + 2)[0]
    known = made.ds.sel(time=slice(None, time[0]))
    ahead = made.kind.step.shift(time[0], np.arange(1, leads + 1))
    coords = {"time": ahead, **{n: c for n, c in known.coords.items() if n != "time"}}
    own = xr.Dataset({"x": (known["x"].dims, rolled[:leads, 0])}, coords)
    expected = base.predict(xr.concat([known, own], "time"), ahead[-1:])[0]
    np.testing.assert_allclose(rolled[leads:], expected[:2], rtol=1e-4)


def test_the_refit_keeps_what_the_short_coefficients_rest_on() -> None:
    made = world("week", 11)
    base = made.fit()
    choices = base.choices["x"]
    assert len(choices.within_baseline) == len(choices.within_improved) == base.leads
    held = replace(choices, within_baseline=("persistence",) * base.leads, within_improved=(False,) * base.leads)
    again = made.fit({"x": held})
    assert again.choices["x"] == held
    names = again.parts[0].design.names
    persistence = np.array([name in ("last", "initial_normal") for name in names])
    np.testing.assert_array_equal(again.parts[0].within[:, 0], np.tile(persistence, (base.leads, 1)))
    np.testing.assert_array_equal(again.parts[0].coefficients, base.parts[0].coefficients)
