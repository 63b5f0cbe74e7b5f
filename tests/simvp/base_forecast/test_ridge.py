"""Ridge towards the best baseline: both ends of its strength, and what left-out folds choose for known rules."""

import numpy as np
import pytest

from simvp.base_forecast.normal_equations import NormalEquations
from simvp.base_forecast.predictors import Design
from simvp.base_forecast.ridge import SHRINKAGES, STRENGTHS, Choices, Ridge

DESIGN = Design(frames_in=2, cycles=(2, 5))
NAMES = DESIGN.names
K, FOLDS, LEADS = len(NAMES), 5, 3


def ridge(
    beta: np.ndarray, noise: float, *, points: int = 6, inits: int = 60, seed: int = 0, keep: np.ndarray | None = None
) -> Ridge:
    """Of targets that follow a rule, (K,) or (P, K), and white noise."""
    rng = np.random.default_rng(seed)
    area = np.full(points, 1 / points)
    sums = NormalEquations.empty(FOLDS, LEADS, np.arange(points), K, area)
    for fold in range(FOLDS):
        for lead in range(1, LEADS + 1):
            z = rng.normal(size=(points, K, inits)).astype("f4")
            y = np.einsum("pkn,pk->pn", z, np.broadcast_to(beta, (points, K)))
            sums.add(fold, lead, z, (y + noise * rng.normal(size=y.shape)).astype("f4"))
    return Ridge(sums, DESIGN, 5, np.ones(K, bool) if keep is None else keep)


def rule(**coefficients: float) -> np.ndarray:
    return np.array([coefficients.get(name, 0.0) for name in NAMES])


RULE = rule(last=0.5, trend=-0.3, neighbours=0.4, cycle_2=0.2, window=-0.6)
ALL = list(range(FOLDS))


def test_without_strength_it_is_least_squares() -> None:
    found = ridge(RULE, 0.0).pooled(ALL, 0, 1e-9, rule(last=1.0))
    np.testing.assert_allclose(found, RULE, atol=1e-4)


def test_with_all_strength_it_is_the_baseline() -> None:
    towards = rule(last=1.0, initial_normal=1.0)
    np.testing.assert_allclose(ridge(RULE, 1.0).pooled(ALL, 0, 1e12, towards), towards, atol=1e-9)


def test_the_formula() -> None:
    made, towards = ridge(RULE, 1.0, seed=4), rule(last=0.7)
    products = made.sums.products[[1, 3], 2].sum((0, 1), dtype="f8")
    targets = made.sums.targets[[1, 3], 2].sum((0, 1), dtype="f8")
    left = products + 0.3 * np.diag(np.diag(products))
    expected = towards + np.linalg.solve(left, targets - products @ towards)
    np.testing.assert_allclose(made.pooled([1, 3], 2, 0.3, towards), expected, rtol=1e-9)


def test_groups_shrink_towards_the_pooled_one() -> None:
    rng = np.random.default_rng(1)
    each = RULE + 0.3 * rng.normal(size=(6, K))
    made = ridge(each, 0.0)
    np.testing.assert_allclose(made.by_group(ALL, 1, 1e-9, RULE), each, atol=1e-3)
    np.testing.assert_allclose(made.by_group(ALL, 1, 1e12, RULE), np.tile(RULE, (6, 1)), atol=1e-9)
    products, targets = made.sums.products[:, 1].sum(0).astype("f8"), made.sums.targets[:, 1].sum(0).astype("f8")
    mean = np.diag(np.diagonal(products, axis1=1, axis2=2).mean(0))
    for g in range(6):
        expected = RULE + np.linalg.solve(products[g] + 0.3 * mean, targets[g] - products[g] @ RULE)
        np.testing.assert_allclose(made.by_group(ALL, 1, 0.3, RULE)[g], expected, rtol=1e-5, atol=1e-6)


def test_errors_are_sums_of_squares() -> None:
    rng = np.random.default_rng(3)
    z, y = rng.normal(size=(6, K, 9)).astype("f4"), rng.normal(size=(6, 9)).astype("f4")
    area = np.arange(1.0, 7.0) / 21
    sums = NormalEquations.empty(FOLDS, LEADS, np.arange(6), K, area)
    sums.add(2, 2, z, y)
    made, each = Ridge(sums, DESIGN, 5, np.ones(K, bool)), rng.normal(size=(6, K))
    expected = area @ ((y - np.einsum("pkn,k->pn", z, RULE)) ** 2).sum(1)
    assert made.error([2], 1, RULE) == pytest.approx(expected, rel=1e-5)
    expected = area @ ((y - np.einsum("pkn,pk->pn", z, each)) ** 2).sum(1)
    assert made.error([2], 1, each) == pytest.approx(expected, rel=1e-5)


def test_a_known_rule_is_found() -> None:
    made = ridge(RULE, 0.5)
    choices = made.choose()
    assert all(choices.improved)
    assert choices.shrinkage is None  # points do not differ
    assert choices.strength <= 0.03
    for lead in range(LEADS):
        found = made.solve(ALL, lead, choices)
        assert found.shape == (1, K)
        np.testing.assert_allclose(found[0], RULE, atol=0.06)
    error, rival = made.left_out(choices)
    np.testing.assert_allclose(np.sqrt(error), 0.5, rtol=0.05)
    assert (rival > 1.5 * error).all()


def test_the_less_noise_the_weaker_the_ridge() -> None:
    strengths = [ridge(RULE, noise, inits=30, points=2).choose().strength for noise in (0.01, 10.0)]
    assert strengths[0] == min(STRENGTHS)
    assert strengths[1] == max(STRENGTHS)


def test_coefficients_of_points_that_differ() -> None:
    each = RULE + 0.5 * np.random.default_rng(1).normal(size=(6, K))
    made = ridge(each, 0.3)
    choices = made.choose()
    assert choices.shrinkage == min(SHRINKAGES)
    found = made.solve(ALL, 2, choices)
    assert found.shape == (6, K)
    assert np.abs(found - each).mean() < 0.3 * np.abs(RULE - each).mean()
    pooled = made.left_out(Choices(strength=1e-3, shrinkage=None, baseline=choices.baseline, improved=(True,) * LEADS))
    assert (made.left_out(choices)[0] < 0.7 * pooled[0]).all()


@pytest.mark.parametrize(
    ("best", "truth"),
    [
        ("climatology", rule()),
        ("persistence", rule(last=1.0, initial_normal=1.0)),
        ("seasonal_persistence", rule(cycle_5=1.0, cycle_normal_5=1.0)),
        ("damped_anomaly", rule(last=0.6)),
    ],
)
def test_where_a_baseline_is_the_rule_it_stays(best: str, truth: np.ndarray) -> None:
    kept = [ridge(truth, 1.0, inits=25, points=2, seed=seed).choose() for seed in range(6)]
    # A baseline with a coefficient of its own may stand for one that it contains.
    names = {best, "damped_anomaly"} if best == "climatology" else {best}
    assert {name for choices in kept for name in choices.baseline} <= names
    improved = np.mean([choices.improved for choices in kept])
    assert improved < 0.5
    made = ridge(truth, 1.0, inits=25, points=2, seed=0)
    for lead, better in enumerate(kept[0].improved):
        if not better:
            solved = made.solve(ALL, lead, kept[0])
            np.testing.assert_array_equal(solved[0], made.baselines(ALL, lead)[kept[0].baseline[lead]])


def test_left_out_errors_are_those_of_fits_to_the_other_folds() -> None:
    made = ridge(RULE, 1.0, seed=9)
    choices = Choices(
        strength=0.1, shrinkage=0.3, baseline=("persistence",) * 2 + ("climatology",), improved=(True, True, False)
    )
    error, rival = made.left_out(choices)
    for lead in range(LEADS):
        sums = np.zeros(2)
        for fold in ALL:
            others = [other for other in ALL if other != fold]
            towards = made.baselines(others, lead)[choices.baseline[lead]]
            beta = made.by_group(others, lead, 0.3, made.pooled(others, lead, 0.1, towards))
            sums += made.error([fold], lead, beta), made.error([fold], lead, towards)
        sums /= made.sums.counts[:, lead].sum()
        assert error[lead] == pytest.approx(sums[0] if choices.improved[lead] else sums[1])
        assert rival[lead] == pytest.approx(sums[1])


def test_predictors_that_are_not_kept_have_no_part() -> None:
    made = ridge(RULE, 0.5, keep=DESIGN.within)
    names, _ = made.compare(0.01)
    assert "seasonal_persistence" not in made.baselines(ALL, 0)
    choices = Choices(strength=0.01, shrinkage=0.3, baseline=names, improved=(True,) * LEADS)
    for lead in range(LEADS):
        assert not made.solve(ALL, lead, choices)[:, ~DESIGN.within].any()
    assert DESIGN.within.sum() == K - 2


@pytest.mark.parametrize("filled", [0, 1])
def test_with_fewer_than_two_folds_it_is_damped_anomaly_persistence(filled: int) -> None:
    made = ridge(RULE, 0.5)
    made.sums.counts[filled:] = 0
    choices = made.choose()
    assert choices.baseline == ("damped_anomaly",) * LEADS
    assert not any(choices.improved)
    assert made.compare(choices.strength) == (choices.baseline, choices.improved)
    assert [part.shape for part in made.left_out(choices)] == [(0,), (0,)]
    for lead in range(LEADS):
        found = made.solve(made.folds, lead, choices)[0]
        damping = 0.0
        if filled:
            damping = made.sums.targets[0, lead, :, 0].sum() / made.sums.products[0, lead, :, 0, 0].sum()
        np.testing.assert_allclose(found, rule(last=damping), rtol=1e-5)
