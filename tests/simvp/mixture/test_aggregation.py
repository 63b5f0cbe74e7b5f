"""Weights from verified errors: the recursion by hand and by brute force, its bound, delay, absence, invariances."""

from itertools import product

import numpy as np
import pytest

from simvp.errors import ConfigError
from simvp.mixture.aggregation import Aggregation, State, advanced, columns, paths, replay, squared_errors
from tests.simvp.mixture.series import STORIES, gram_matrices, present_in, random_grams, renormalised, series

EVEN = np.full(3, 1 / 3)


def state_after(
    aggregation: Aggregation, prior: np.ndarray, scale: float, grams: np.ndarray, late: np.ndarray | None = None
) -> State:
    """(N + 1,) states of the three recursions."""
    path = paths(columns([aggregation]), prior[None], scale, grams, late)
    return State(path.weights[:, 0], path.trust[:, 0])


def test_one_verified_init_time_by_hand() -> None:
    # x = (1/2, 1/2), g = 2 G x = (1 + 0, 0 + 3) = (1, 3); the scale falls from 2 to 0.7 * 2 + 0.3 * 1 = 1.7
    # b = max(2 * 1.7, 3 - 1) = 3.4; eager v ~ (1, exp(-2 / 3.4)) = (1, 0.555306), normalised (0.642960, 0.357040)
    # calm, one pending: v ~ (1, exp(-0.7 * 2 / 3.4 / sqrt(2))) = (1, 0.747396), normalised (0.572280, 0.427720)
    # u = 0.8 v + 0.2 (1/2, 1/2); both were at the same x, so that the trust in them stays (0.1, 0.9)
    weights = Aggregation(rate=1.0, share=0.2, span=2.0).weights(
        np.array([0.5, 0.5]),
        2.0,
        np.array([[[np.nan] * 2] * 2, [[1.0, 0.0], [0.0, 3.0]]]),
        np.array([7, 7]),
        7,
        issued_at=np.array([5, 6]),
    )
    eager, calm = 0.8 * 0.642960 + 0.1, 0.8 * 0.572280 + 0.1
    np.testing.assert_allclose(weights[0], 0.1 * eager + 0.9 * calm, atol=1e-6)
    assert weights.sum() == pytest.approx(1)


def test_trust_goes_to_the_recursion_that_does_better() -> None:
    # Weights (0.9, 0.1) and (0.5, 0.5), G = diag(1, 3): M = [[0.84, 0.6], [0.6, 1.0]], trust (0.1, 0.9),
    # h = 2 M p = (1.248, 1.92), b = max(4 * 1, 0.672) = 4 with the scale as it is; ratio of trust exp(-0.5 * 0.672 / 4)
    state = State(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.1, 0.9]))
    settings = tuple(np.array([value]) for value in (0.5, 1e-12, 4.0))
    gram = np.diag([1.0, 3.0])
    after = advanced(settings, state, np.array([0.5, 0.5]), np.array(1.0), gram, 0)  # type: ignore[arg-type]
    assert after.trust[0] / after.trust[1] == pytest.approx(0.1 / 0.9 * np.exp(0.5 * 0.672 / 4))


def test_experts_far_apart_change_weights_by_the_rate_and_no_more() -> None:
    # g = (1, 3e6): 2999999 is beyond the span, so that the ratio of the two changes by exp(1), calmly by exp(0.7).
    gram = np.array([[[1.0, 0.0], [0.0, 3e6]]])
    eager, calm = state_after(Aggregation(rate=1.0, share=1e-12), np.array([0.5, 0.5]), 1.0, gram).weights[1]
    assert np.log(eager[0] / eager[1]) == pytest.approx(1.0)
    assert np.log(calm[0] / calm[1]) == pytest.approx(0.7)


def path_by_enumeration(
    rates: np.ndarray, aggregation: Aggregation, prior: np.ndarray, scales: np.ndarray, grams: np.ndarray
) -> np.ndarray:
    """Weights as what they are in the theory: the posterior of a Markov chain over experts, sequence by sequence.

    The chain begins with the prior and is drawn from it anew with probability `share` at each step; the likelihood
    of an expert is exp(-rate loss), that of an absent one the mean over those present.
    """
    experts = len(prior)
    move = (1 - aggregation.share) * np.eye(experts) + aggregation.share * prior
    likelihood: list[np.ndarray] = []
    path = [prior]
    for rate, scale, gram in zip(rates, scales, grams, strict=True):
        there = np.isfinite(np.diag(gram))
        x = renormalised(path[-1], there)
        gradient = 2 * np.nan_to_num(gram) @ x
        distance = gradient - gradient[there].min()
        loss = distance / max(aggregation.span * scale, distance[there].max())
        likely = np.exp(-rate * loss)
        likelihood.append(np.where(there, likely, x @ likely))
        posterior = np.zeros(experts)
        for sequence in product(range(experts), repeat=len(likelihood) + 1):
            chance = prior[sequence[0]]
            for number, before in enumerate(likelihood):
                chance *= before[sequence[number]] * move[sequence[number], sequence[number + 1]]
            posterior[sequence[-1]] += chance
        path.append(posterior / posterior.sum())
    return np.array(path)


@pytest.mark.parametrize("seed", range(6))
def test_each_recursion_is_the_posterior_of_a_chain_over_its_experts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grams, late = random_grams(rng, 6, 3), rng.integers(0, 20, 6)
    if seed % 2:
        grams[[1, 4], 2] = grams[[1, 4], :, 2] = np.nan
        grams[2, :2] = grams[2, :, :2] = np.nan
    there = present_in(grams)
    prior = rng.dirichlet(np.ones(3))
    aggregation = Aggregation(rate=float(rng.uniform(0.2, 3)), share=float(rng.uniform(0.01, 0.4)), span=1.5)
    scales, now = [], 0.7
    for gram, known in zip(grams, there, strict=True):
        now = min(0.7, max(0.7e-6, 0.7 * now + 0.3 * np.diag(gram)[known].min()))
        scales.append(now)
    path = state_after(aggregation, prior, 0.7, grams, late)
    eager = path_by_enumeration(np.full(6, aggregation.rate), aggregation, prior, np.array(scales), grams)
    calm = path_by_enumeration(0.7 * aggregation.rate / np.sqrt(1 + late), aggregation, prior, np.array(scales), grams)
    np.testing.assert_allclose(path.weights, np.stack([eager, calm], 1), rtol=1e-12)
    own = np.stack([renormalised(eager[:-1], there), renormalised(calm[:-1], there)], 1)
    pairs = own @ np.nan_to_num(grams) @ own.swapaxes(-1, -2)
    first = np.array([0.1, 0.9])
    trust = path_by_enumeration(np.full(6, aggregation.rate), aggregation, first, np.array(scales), pairs)
    np.testing.assert_allclose(path.trust, trust, rtol=1e-12)


def test_what_is_not_verified_by_then_has_no_say() -> None:
    rng = np.random.default_rng(0)
    grams, inits = random_grams(rng, 80, 3), np.arange(80)
    other = grams.copy()
    other[50:] = random_grams(rng, 30, 3)
    one, two = (replay(Aggregation(), EVEN, 1.0, inits, 12, g, np.ones((80, 3), bool)) for g in (grams, other))
    np.testing.assert_array_equal(one[:62], two[:62])  # init time 50 is verified at 62
    assert np.abs(one[62] - two[62]).max() > 1e-3
    np.testing.assert_array_equal(one[:12], np.tile(EVEN, (12, 1)))


@pytest.mark.parametrize("lead", [1, 12, 48])
def test_a_replay_is_one_call_for_each_init_time(lead: int) -> None:
    rng = np.random.default_rng(lead)
    grams, inits = random_grams(rng, 60, 3), np.cumsum(rng.integers(1, 30, size=60))
    grams[::3, 1] = grams[::3, :, 1] = np.nan
    there, shuffled = present_in(grams), rng.permutation(60)
    whole = replay(Aggregation(), EVEN, 1.0, inits[shuffled], lead, grams[shuffled], there[shuffled])
    for row, position in zip(whole, shuffled, strict=True):
        known = inits + lead <= inits[position]
        at, own = inits[position], inits[known]
        alone = Aggregation().weights(EVEN, 1.0, grams[known], own + lead, at, there[position], issued_at=own)
        np.testing.assert_array_equal(row, alone)


def test_of_equal_verification_the_given_order_counts() -> None:
    grams = random_grams(np.random.default_rng(1), 4, 3)
    at_once = Aggregation().weights(EVEN, 1.0, grams, np.zeros(4), 0)
    np.testing.assert_array_equal(at_once, Aggregation().weights(EVEN, 1.0, grams, np.arange(4), 3))
    assert np.abs(at_once - Aggregation().weights(EVEN, 1.0, grams[::-1], np.zeros(4), 0)).max() > 1e-6


@pytest.mark.parametrize("story", STORIES)
def test_weights_are_weights(story: str) -> None:
    data = series(story)
    there = present_in(data.grams)
    weights = replay(Aggregation(), *data.prior(Aggregation()), data.inits, data.lead, data.grams, there)
    assert weights.dtype == np.float64
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    assert (weights[~there] == 0).all()


def test_scaling_all_errors_changes_nothing() -> None:
    grams = random_grams(np.random.default_rng(2), 50, 3)
    one, other = (
        Aggregation().weights(EVEN, scale, scale * grams, np.arange(50), np.arange(50)) for scale in (1.0, 1e-9)
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_permuting_experts_permutes_weights() -> None:
    rng = np.random.default_rng(3)
    grams, prior, order = random_grams(rng, 50, 5), rng.dirichlet(np.ones(5)), rng.permutation(5)
    weights = Aggregation().weights(prior, 1.0, grams, np.arange(50), 49)
    other = Aggregation().weights(prior[order], 1.0, grams[:, order][:, :, order], np.arange(50), 49)
    np.testing.assert_allclose(other, weights[order], rtol=1e-12)


def test_experts_that_are_the_same_keep_the_prior() -> None:
    grams = np.broadcast_to(np.random.default_rng(4).uniform(0, 9, size=(50, 1, 1)), (50, 3, 3))
    prior = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(Aggregation().weights(prior, 1.0, grams, np.arange(50), 49), prior, rtol=1e-12)


def test_an_absent_expert_keeps_its_weight_and_the_others_share_theirs() -> None:
    grams = random_grams(np.random.default_rng(5), 20, 3)
    grams[:, 0] = grams[:, :, 0] = np.nan
    prior = np.array([0.4, 0.3, 0.3])
    weights = Aggregation().weights(prior, 1.0, grams, np.arange(20), 19)
    assert weights[0] == pytest.approx(0.4)
    pair = Aggregation().weights(np.array([0.5, 0.5]), 1.0, grams[:, 1:, 1:], np.arange(20), 19)
    np.testing.assert_allclose(weights[1:], 0.6 * pair, rtol=1e-12)
    issued = Aggregation().weights(prior, 1.0, grams, np.arange(20), 19, np.array([False, True, True]))
    np.testing.assert_allclose(issued, [0, *pair], rtol=1e-12)


def test_who_alone_is_present_has_all_the_weight_and_without_anybody_there_is_none() -> None:
    prior = np.array([0.0, 1.0])
    present = np.array([[True, True], [True, False], [False, False]])
    weights = Aggregation().weights(prior, 1.0, np.empty((0, 2, 2)), np.empty(0), np.zeros(3), present)
    np.testing.assert_array_equal(weights, [[0, 1], [1, 0], [np.nan, np.nan]])
    absent = Aggregation().weights(prior, 1.0, np.full((1, 2, 2), np.nan), np.zeros(1), 0)
    np.testing.assert_array_equal(absent, prior)


def test_a_prior_of_nothing_stays_nothing() -> None:
    grams = np.array([np.diag([1.0, 0.0])] * 50)
    weights = Aggregation().weights(np.array([1.0, 0.0]), 1.0, grams, np.arange(50), 49)
    np.testing.assert_array_equal(weights, [1, 0])


def test_squared_errors_are_those_of_the_mixed_maps() -> None:
    rng = np.random.default_rng(6)
    errors, weights = rng.normal(size=(9, 3, 5)), rng.dirichlet(np.ones(3), size=9)
    wanted = np.mean(np.einsum("ne,nep->np", weights, errors) ** 2, axis=1)
    np.testing.assert_allclose(squared_errors(weights, gram_matrices(errors)), wanted)
    grams = gram_matrices(errors)
    grams[:, 1] = grams[:, :, 1] = np.nan
    pair = renormalised(weights, np.array([True, False, True]))
    np.testing.assert_allclose(squared_errors(pair, grams), np.mean(np.einsum("ne,nep->np", pair, errors) ** 2, axis=1))


AFTER = slice(-180, None)  # the last quarter of a series


@pytest.mark.parametrize(
    ("story", "most"),
    [("a storm ends", 1.0), ("a sensor changes", 1.0), ("an expert lies", 1.0), ("another is better", 1.0)],
)
def test_some_time_after_a_change_the_mixture_is_better_than_the_best_expert(story: str, most: float) -> None:
    data = series(story)
    weights = replay(
        Aggregation(), *data.prior(Aggregation()), data.inits, data.lead, data.grams, present_in(data.grams)
    )
    mixed = squared_errors(weights, data.grams)[AFTER].mean()
    alone = np.einsum("nee->ne", data.grams)[AFTER].mean(0).min()
    assert mixed < most * alone


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate": 0.0}, "Aggregation: rate: expected a number above 0, got 0.0"),
        ({"span": np.inf}, "Aggregation: span: expected a number above 0, got inf"),
        ({"share": 1.0}, "Aggregation: share: expected a number between 0 and 1, got 1.0"),
        ({"share": np.nan}, "Aggregation: share: expected a number between 0 and 1, got nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Aggregation(**settings)
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"prior": np.array([0.5, 0.4, 0.2])},
            "prior: expected weights (E,), none negative, of sum 1, got [0.5, 0.4, 0.2]",
        ),
        (
            {"prior": np.array([1.5, -0.5, 0.0])},
            "prior: expected weights (E,), none negative, of sum 1, got [1.5, -0.5, 0.0]",
        ),
        ({"scale": 0.0}, "scale: expected a number above 0, got 0.0"),
        ({"known_at": np.arange(3)}, "grams: expected (3, 3, 3) as known_at and prior have it, got (4, 3, 3)"),
        ({"grams": np.ones((4, 2, 2))}, "grams: expected (4, 3, 3) as known_at and prior have it, got (4, 2, 2)"),
    ],
)
def test_what_does_not_belong_together_is_refused(changed: dict[str, np.ndarray], text: str) -> None:
    given = {"prior": EVEN, "scale": 1.0, "grams": np.ones((4, 3, 3)), "known_at": np.arange(4), "at": 9}
    with pytest.raises(ConfigError) as refused:
        Aggregation().weights(**{**given, **changed})  # type: ignore[arg-type]
    assert str(refused.value) == f"Weights of the mixture: {text}"


def test_single_missing_numbers_are_refused() -> None:
    grams = np.ones((4, 3, 3))
    grams[2, 0, 1] = np.nan
    with pytest.raises(ConfigError, match=r"absent experts as NaN in whole rows and columns, got single NaN at \[2\]"):
        Aggregation().weights(EVEN, 1.0, grams, np.arange(4), 9)


def test_the_record_comes_back_from_its_header() -> None:
    aggregation = Aggregation(rate=2.0, share=0.01, span=3.0)
    assert Aggregation.from_header(aggregation.to_header()) == aggregation
