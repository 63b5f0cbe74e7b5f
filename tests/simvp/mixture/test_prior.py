"""Prior and choice of the aggregation from blocks of validation."""

import numpy as np
import pytest

from simvp.errors import ConfigError
from simvp.mixture.aggregation import Aggregation, replay, squared_errors
from simvp.mixture.prior import FLOOR, GRID, BlockErrors, choose, prior_from
from tests.simvp.mixture.series import STORIES, gram_matrices, noise, present_in, random_grams, series


def block(grams: np.ndarray, lead: int = 1, first: int = 0) -> BlockErrors:
    return BlockErrors(inits=first + np.arange(len(grams)), lead=lead, grams=grams)


@pytest.mark.parametrize(
    ("inits", "lead", "independent"),
    [(range(60), 1, 60), (range(60), 12, 5), (range(61), 12, 6), (range(5), 48, 1), ([0, 24, 48], 12, 3), ([], 12, 0)],
)
def test_init_times_a_lead_apart_are_independent(inits: list[int], lead: int, independent: int) -> None:
    times = np.array(inits, int)
    assert BlockErrors(inits=times, lead=lead, grams=np.ones((len(times), 1, 1))).independent == independent


def test_with_many_init_times_the_prior_is_the_best_mixture() -> None:
    # Errors without correlation: the least of w1^2 + 4 w2^2 + 4 w3^2 has w ~ (1, 1/4, 1/4).
    grams = np.broadcast_to(np.diag([1.0, 4.0, 4.0]), (400, 3, 3))
    prior, scale = prior_from(Aggregation(), [block(grams[:150]), block(grams[150:])])
    np.testing.assert_allclose(prior, (1 - FLOOR) * np.array([4, 1, 1]) / 6 + FLOOR / 3, atol=1e-4)
    assert scale == 1.0


def test_with_few_init_times_the_prior_stays_near_equal_weights() -> None:
    grams = np.broadcast_to(np.diag([1.0, 4.0, 4.0]), (48, 3, 3))
    first = {lead: prior_from(Aggregation(), [block(grams, lead)])[0][0] for lead in (48, 12, 4, 1)}
    assert 1 / 3 < first[48] < first[12] < first[4] < first[1] < 2 / 3
    # One independent init time changes a ratio by exp(-rate (2 / 3)(4 - 1) / span) at most: g = 2 G x, x = 1/3.
    assert first[48] < 1 / (1 + 2 * np.exp(-0.5))


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_prior_is_worse_than_the_best_mixture_by_little(rate: float, seed: int) -> None:
    grams = random_grams(np.random.default_rng(seed), 300, 5)
    prior, scale = prior_from(Aggregation(rate=rate), [block(grams)])
    assert prior.min() >= FLOOR / 5
    assert prior.sum() == pytest.approx(1)
    mean = grams.mean(0)
    assert scale == np.diag(mean).min()
    corners = squared_errors(np.eye(5), np.broadcast_to(mean, (5, 5, 5)))
    assert squared_errors(prior, mean) < 1.05 * corners.min()


def test_an_expert_that_was_seldom_there_has_the_floor() -> None:
    grams = random_grams(np.random.default_rng(0), 40, 3)
    grams[:25, 2] = grams[:25, :, 2] = np.nan
    prior, scale = prior_from(Aggregation(), [block(grams)])
    pair, same = prior_from(Aggregation(), [block(grams[:, :2, :2])])
    assert scale == same
    np.testing.assert_allclose(prior[:2] - FLOOR / 3, pair - FLOOR / 2)
    assert prior[2] == pytest.approx(FLOOR / 3)


def test_means_are_over_init_times_that_the_usual_experts_share() -> None:
    grams = np.stack([np.diag([1.0, 2.0])] * 6 + [np.diag([100.0, 2.0])] * 4)
    grams[6:, 1] = grams[6:, :, 1] = np.nan  # the hard ones, from which one is absent
    assert prior_from(Aggregation(), [block(grams)])[1] == 1.0


def test_perfect_experts_have_a_scale_too() -> None:
    prior, scale = prior_from(Aggregation(), [block(np.zeros((9, 2, 2)))])
    assert scale == 1.0
    np.testing.assert_allclose(prior, 0.5)


@pytest.mark.parametrize("blocks", [[], [block(np.full((4, 2, 2), np.nan))]])
def test_blocks_without_errors_are_refused(blocks: list[BlockErrors]) -> None:
    with pytest.raises(ConfigError, match="Prior of the mixture: expected validation blocks with errors of an expert"):
        prior_from(Aggregation(), blocks)


def test_blocks_in_which_the_usual_experts_never_meet_are_refused() -> None:
    grams = np.full((4, 2, 2), np.nan)
    grams[:2, 0, 0] = grams[2:, 1, 1] = 1.0
    with pytest.raises(ConfigError, match="no init time of the validation blocks has all of the usual experts"):
        prior_from(Aggregation(), [block(grams)])


def alternating(every: int, blocks: int = 4) -> list[BlockErrors]:
    """Blocks of 120 in which another of two experts is good every so often."""
    turns = np.arange(120) // every % 2
    amplitude = np.where(np.stack([turns, 1 - turns], 1) == 1, 1.0, 0.2)
    return [block(gram_matrices(noise(amplitude, n, memory=0.0)), 1, 200 * n) for n in range(blocks)]


def test_what_changes_often_is_followed_fast_and_what_does_not_slowly() -> None:
    fast, slow = Aggregation(rate=4.0, share=0.01), Aggregation(rate=0.1, share=0.001)
    steady = np.tile([1.0, 1.0], (120, 1))
    quiet = [block(gram_matrices(noise(steady, n, memory=0.0)), 1, 200 * n) for n in range(4)]
    assert choose([alternating(10)], [slow, fast]) == fast
    assert choose([quiet], [slow, fast]) == slow


def test_the_choice_is_that_of_a_replay_on_the_blocks_left_out() -> None:
    blocks = alternating(10)
    losses = []
    for candidate in GRID:
        loss = 0.0
        for held in blocks:
            prior, scale = prior_from(candidate, [other for other in blocks if other is not held])
            weights = replay(candidate, prior, scale, held.inits, held.lead, held.grams, present_in(held.grams))
            loss += squared_errors(weights, held.grams).mean() / scale
        losses.append(loss)
    assert choose([blocks]) == GRID[int(np.argmin(losses))]


def test_without_a_clear_gain_the_default_stays() -> None:
    blocks = series("steady").blocks
    worse = Aggregation(rate=0.001, share=0.001)
    assert choose([blocks], [worse]) == Aggregation()
    assert choose([], GRID) == Aggregation()
    assert choose([alternating(10, blocks=1)]) == Aggregation()


def test_a_block_without_errors_says_nothing() -> None:
    blocks = alternating(10)
    empty = BlockErrors(inits=np.empty(0, int), lead=1, grams=np.empty((0, 2, 2)))
    assert choose([[*blocks, empty]]) == choose([blocks]) != Aggregation()
    assert choose([[blocks[0], empty]]) == Aggregation()


def test_series_of_different_blocks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected the same blocks in every series, got \[3, 4\] of them"):
        choose([alternating(10), alternating(10, blocks=3)])


@pytest.mark.parametrize("story", ["steady", "all equal"])
def test_where_nothing_changes_the_mixture_is_not_worse_than_the_best_expert(story: str) -> None:
    assert story in STORIES
    data = series(story)
    weights = replay(
        Aggregation(), *data.prior(Aggregation()), data.inits, data.lead, data.grams, present_in(data.grams)
    )
    assert squared_errors(weights, data.grams).mean() < np.einsum("nee->ne", data.grams).mean(0).min()
