"""What a model issues of its experts: weights, maps, Gram matrices and the recursion, by hand and by brute force."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from simvp.mixture.aggregation import Aggregation
from simvp.mixture.mixture import Mixture, Recursion, digest, gram_matrices, left_out_errors, mix, trust
from simvp.mixture.prior import BlockErrors, prior_from
from tests.simvp.mixture.series import random_grams

EXPERTS = ("base", "corrected", "persistence", "climatology")
STATES, LEADS, ROWS, COLUMNS = 2, 3, 3, 4
VALID = np.ones((STATES, ROWS, COLUMNS), bool)


def mixture(*, leads: int = LEADS, experts: tuple[str, ...] = EXPERTS, **settings: float) -> Mixture:
    prior = np.random.default_rng(1).dirichlet(np.ones(len(experts)), (STATES, leads))
    return Mixture(
        experts=experts,
        aggregation=Aggregation(**{"rate": 1.0, **settings}),
        prior=prior,
        scale=np.array([[0.5 + state + lead for lead in range(leads)] for state in range(STATES)]),
    )


def maps(inits: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(280, 3, (inits, LEADS, STATES, ROWS, COLUMNS)).astype("f4") for name in EXPERTS}


def some_weights(inits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(len(EXPERTS)), (inits, LEADS, STATES))


class TestTrust:
    def test_by_hand(self) -> None:
        # 95 % on base and corrected base, the rest on the two others alike.
        np.testing.assert_allclose(trust(EXPERTS), [0.475, 0.475, 0.025, 0.025])
        np.testing.assert_allclose(trust(("base", "persistence")), [0.95, 0.05])
        np.testing.assert_allclose(trust(("climatology", "base", "network")), [0.025, 0.95, 0.025])


class TestMix:
    def test_all_weight_on_one_expert_is_that_expert(self) -> None:
        fields = maps(2)
        for number, name in enumerate(EXPERTS):
            weights = np.zeros((2, LEADS, STATES, len(EXPERTS)))
            weights[..., number] = 1
            mixed, used = mix(fields, weights, VALID)
            np.testing.assert_array_equal(mixed, fields[name])
            np.testing.assert_array_equal(used, weights)

    def test_a_mean_against_loops(self) -> None:
        fields, weights = maps(2), some_weights(2)
        mixed, used = mix(fields, weights, VALID)
        np.testing.assert_allclose(used, weights, atol=1e-15)
        for i, lead, s in product(range(2), range(LEADS), range(STATES)):
            wanted = sum(
                weights[i, lead, s, e] * fields[name][i, lead, s].astype("f8") for e, name in enumerate(EXPERTS)
            )
            np.testing.assert_allclose(mixed[i, lead, s], wanted, rtol=1e-6)
        assert mixed.dtype == np.float32

    def test_an_absent_expert_leaves_its_weight_to_the_others(self) -> None:
        fields, weights = maps(2), some_weights(2)
        fields["base"][1, 0, 1, 2, 3] = np.nan  # one point of one map
        mixed, used = mix(fields, weights, VALID)
        kept = weights[1, 0, 1] * [0, 1, 1, 1]
        np.testing.assert_allclose(used[1, 0, 1], kept / kept.sum(), atol=1e-15)
        np.testing.assert_allclose(np.delete(used.reshape(-1, 4), 7, 0), np.delete(weights.reshape(-1, 4), 7, 0))
        assert np.isfinite(mixed).all()

    def test_where_all_weight_is_on_the_absent_the_others_share_alike(self) -> None:
        fields, weights = maps(1), np.zeros((1, LEADS, STATES, 4))
        weights[..., 2] = 1
        fields["persistence"][:] = np.nan
        mixed, used = mix(fields, weights, VALID)
        np.testing.assert_allclose(used, np.broadcast_to([1 / 3, 1 / 3, 0, 1 / 3], used.shape))
        wanted = (fields["base"] + fields["corrected"] + fields["climatology"]) / 3
        np.testing.assert_allclose(mixed, wanted, rtol=1e-6)

    def test_without_any_expert_there_is_no_forecast(self) -> None:
        fields, weights = maps(2), some_weights(2)
        for field in fields.values():
            field[1, 0, 1, 0, 0] = np.nan
        mixed, used = mix(fields, weights, VALID)
        assert np.isnan(mixed[1, 0, 1]).all()
        assert np.isfinite(mixed).sum() == mixed.size - ROWS * COLUMNS
        assert (used[1, 0, 1] == 0).all()

    def test_masked_points_make_nobody_absent(self) -> None:
        fields, weights, valid = maps(1), some_weights(1), VALID.copy()
        valid[0, 1, 1] = False
        fields["base"][:, :, 0, 1, 1] = np.nan
        _, used = mix(fields, weights, valid)
        np.testing.assert_allclose(used, weights, atol=1e-15)

    def test_what_was_used_gives_the_same_maps_and_digest_again(self) -> None:
        fields, weights = maps(3), some_weights(3)
        fields["base"][1, :, :, 0, 0] = np.nan
        mixed, used = mix(fields, weights, VALID)
        again, twice = mix(fields, used, VALID)
        np.testing.assert_array_equal(mixed, again)
        assert digest(twice) == digest(used)


class TestGramMatrices:
    @pytest.mark.parametrize("seed", range(3))
    def test_against_loops_with_area_masks_and_unknown_points(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        fields, truth = maps(2, seed), rng.normal(280, 3, (2, LEADS, STATES, ROWS, COLUMNS)).astype("f4")
        area, valid = rng.uniform(0.2, 1, (ROWS, COLUMNS)), rng.random((STATES, ROWS, COLUMNS)) > 0.2
        truth[rng.random(truth.shape) > 0.8] = np.nan
        for field in fields.values():
            field[..., ~valid] = np.nan
        found = gram_matrices(fields, truth, area, valid)
        for i, lead, s, e, f in product(range(2), range(LEADS), range(STATES), range(4), range(4)):
            one, other = (fields[EXPERTS[n]][i, lead, s] for n in (e, f))
            product_, total = 0.0, 0.0
            for row, column in product(range(ROWS), range(COLUMNS)):
                y = truth[i, lead, s, row, column]
                if valid[s, row, column] and np.isfinite(y):
                    product_ += area[row, column] * float(one[row, column] - y) * float(other[row, column] - y)
                    total += area[row, column]
            np.testing.assert_allclose(found[i, lead, s, e, f], product_ / total, rtol=1e-4, atol=1e-4)

    def test_it_gives_the_squared_error_of_any_mixture(self) -> None:
        fields, weights = maps(2), some_weights(2)
        truth = maps(2, seed=9)["base"]
        mixed, _ = mix(fields, weights, VALID)
        wanted = ((mixed.astype("f8") - truth) ** 2).mean((-2, -1))
        grams = gram_matrices(fields, truth, np.ones((ROWS, COLUMNS)), VALID)
        np.testing.assert_allclose(np.einsum("...e,...ef,...f", weights, grams, weights), wanted, rtol=1e-4)

    def test_absent_experts_and_maps_without_truth_are_nan_in_rows_and_columns(self) -> None:
        fields, truth = maps(2), maps(2, seed=9)["base"]
        fields["persistence"][0, 1, 0, 0, 0] = np.nan
        truth[1, 2] = np.nan
        grams = gram_matrices(fields, truth, np.ones((ROWS, COLUMNS)), VALID)
        known = np.isfinite(grams)
        assert not known[1, 2].any()
        there = np.array([True, True, False, True])
        np.testing.assert_array_equal(known[0, 1, 0], there[:, None] & there)
        assert known[0, 1, 1].all()
        # Where the truth is not known, a lacking value does not count.
        truth[0, 1, 0, 0, 0] = np.nan
        assert np.isfinite(gram_matrices(fields, truth, np.ones((ROWS, COLUMNS)), VALID)[0, 1, 0]).all()


def random_maps_of_grams(inits: int, seed: int = 0) -> np.ndarray:
    """(I, L, S, E, E)."""
    grams = random_grams(np.random.default_rng(seed), inits * LEADS * STATES, len(EXPERTS))
    return grams.reshape(inits, LEADS, STATES, len(EXPERTS), len(EXPERTS))


class TestRecursion:
    def test_before_anything_is_verified_it_is_the_prior(self) -> None:
        own = mixture()
        recursion = Recursion(own)
        recursion.learn(0, random_maps_of_grams(1)[0])
        weights = recursion.weights(0, LEADS)
        np.testing.assert_allclose(weights, own.prior.transpose(1, 0, 2))
        np.testing.assert_allclose(own.weights(2, LEADS), np.stack([weights, weights]))

    @pytest.mark.parametrize("seed", range(3))
    def test_each_series_is_that_of_the_aggregation_with_its_own_delay(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        own, inits = mixture(), np.sort(rng.choice(40, 14, replace=False))
        grams = random_maps_of_grams(len(inits), seed)
        grams[3, :, :, 1] = grams[3, :, :, :, 1] = np.nan  # an expert is absent
        grams[5, 2, 0] = np.nan  # no truth for one map
        recursion = Recursion(own)
        for init, gram in zip(inits, grams, strict=True):
            recursion.learn(int(init), gram)
        asked = np.arange(0, 45, 3)
        found = np.stack([recursion.weights(int(init), LEADS) for init in asked])
        for lead, state in product(range(LEADS), range(STATES)):
            known = np.isfinite(np.einsum("nee->ne", grams[:, lead, state])).any(-1)
            wanted = own.aggregation.weights(
                own.prior[state, lead],
                own.scale[state, lead],
                grams[known, lead, state],
                inits[known] + lead + 1,
                asked,
                issued_at=inits[known],
            )
            np.testing.assert_allclose(found[:, lead, state], wanted, atol=1e-12)

    def test_the_order_of_learning_and_what_is_later_do_not_matter(self) -> None:
        own, grams = mixture(), random_maps_of_grams(12)
        forward, backward, short = Recursion(own), Recursion(own), Recursion(own)
        for init in range(12):
            forward.learn(init, grams[init])
            backward.learn(11 - init, grams[11 - init])
        for init in range(6):
            short.learn(init, grams[init])
        for init in range(7):
            first = forward.weights(init, LEADS)
            np.testing.assert_array_equal(first, backward.weights(init, LEADS))
            # Of init time 6 and later nothing is verified by 6.
            np.testing.assert_array_equal(first, short.weights(init, LEADS))

    def test_leads_beyond_the_validation_have_the_weights_of_its_last(self) -> None:
        own = mixture()
        recursion = Recursion(own)
        grams = np.concatenate([random_maps_of_grams(1)[0]] * 2)  # six leads
        recursion.learn(0, grams)
        weights = recursion.weights(10, 6)
        assert weights.shape == (6, STATES, 4)
        for lead in (3, 4, 5):
            np.testing.assert_array_equal(weights[lead], weights[2])
        np.testing.assert_allclose(own.weights(1, 6)[0, 5], own.prior[:, 2])
        assert not np.allclose(weights[0], weights[2])

    def test_errors_of_late_by_hand(self) -> None:
        # One expert with squared errors 4, then 9; one step between them, leads 1 and 2.
        own = replace(mixture(), experts=("a",), prior=np.ones((STATES, LEADS, 1)))
        recursion = Recursion(own)
        for init, error in ((0, 4.0), (1, 9.0)):
            recursion.learn(init, np.full((LEADS, STATES, 1, 1), error))
        recursion.weights(0, LEADS)
        np.testing.assert_array_equal(recursion.of_late(LEADS), 0.0)
        recursion.weights(2, LEADS)
        sums, worth = recursion.of_late(LEADS)
        # Lead 1: both are verified, neither while the other was pending; the first has lost a 20th. Lead 2: one is.
        np.testing.assert_allclose(sums[0], 4 * 0.95 + 9)
        np.testing.assert_allclose(worth[0], 0.95 + 1)
        np.testing.assert_allclose((sums[1], worth[1]), [[4.0] * STATES, [1.0] * STATES])
        recursion.weights(3, LEADS)
        # The second was issued while the first was pending at lead 2: it is worth a half, and takes a 40th.
        np.testing.assert_allclose(recursion.of_late(LEADS)[0][1], 4 * (1 - 1 / 40) + 9 / 2)
        np.testing.assert_allclose(recursion.of_late(LEADS)[1][1], 1 - 1 / 40 + 1 / 2)

    def test_fewer_leads_than_the_validation_has(self) -> None:
        recursion = Recursion(mixture())
        recursion.learn(0, random_maps_of_grams(1)[0, :1])
        assert recursion.weights(5, 1).shape == (1, STATES, 4)

    def test_an_expert_that_lies_is_left_within_the_time_that_its_weight_allows(self) -> None:
        # The liar is perfect at first, then its error is beyond the span: with rate 1 its odds fall by exp(-1) with
        # each verified init time, or by the root of so many as are pending, until what the share gives back holds.
        own = mixture(share=1e-3)
        recursion = Recursion(own)
        good = np.diag([1.0, 1.0, 0.0, 1.0])
        bad = np.diag([1.0, 1.0, 1e4, 1.0])
        for init in range(80):
            recursion.learn(init, np.broadcast_to(good if init < 50 else bad, (LEADS, STATES, 4, 4)))
        before = recursion.weights(50, LEADS)[..., 2]
        assert (before > 0.5).all()
        # Lead l: the first lie is verified at 50 + l; odds of at most (1 - share)/share halve in ln 2 / rate.
        for lead in range(LEADS):
            steps = int(np.ceil((np.log(1 / 1e-3) + np.log(100)) * np.sqrt(1 + lead)))
            at = Recursion(own)
            for init in range(80):
                at.learn(init, np.broadcast_to(good if init < 50 else bad, (LEADS, STATES, 4, 4)))
            assert (at.weights(50 + lead, LEADS)[lead, :, 2] > 0.5).all()
            after = at.weights(50 + lead + 1 + steps, LEADS)[lead, :, 2]
            assert (after < 0.02).all()


class TestFit:
    def grams(self, blocks: np.ndarray, seed: int = 0) -> np.ndarray:
        grams = random_grams(np.random.default_rng(seed), STATES * LEADS * len(blocks), 4)
        return grams.reshape(STATES, LEADS, len(blocks), 4, 4)

    def test_prior_and_scale_of_every_series(self) -> None:
        blocks = np.repeat([0, 1, 2], 12)
        inits = np.concatenate([np.arange(12) + 100 * b for b in range(3)])
        grams = self.grams(blocks)
        made = Mixture.fit(EXPERTS, grams, inits, blocks)
        assert made.leads == LEADS
        for state, lead in product(range(STATES), range(LEADS)):
            own = [
                BlockErrors(inits=inits[blocks == b], lead=lead + 1, grams=grams[state, lead, blocks == b])
                for b in range(3)
            ]
            prior, scale = prior_from(made.aggregation, own, trust(EXPERTS))
            np.testing.assert_array_equal(made.prior[state, lead], prior)
            assert made.scale[state, lead] == scale
        np.testing.assert_allclose(made.prior.sum(-1), 1)

    def test_left_out_errors_do_not_know_the_other_prior(self) -> None:
        blocks = np.repeat([0, 1, 2], 12)
        inits = np.concatenate([np.arange(12) + 100 * b for b in range(3)])
        grams = self.grams(blocks)
        made = Mixture.fit(EXPERTS, grams, inits, blocks)
        errors = left_out_errors(made, grams, inits, blocks)
        assert errors.shape == (STATES, LEADS, 36)
        # The first init time of a block has nothing but the prior of the other two.
        state, lead = 1, 2
        others = [
            BlockErrors(inits=inits[blocks == b], lead=lead + 1, grams=grams[state, lead, blocks == b]) for b in (0, 2)
        ]
        prior, _ = prior_from(made.aggregation, others, trust(EXPERTS))
        assert errors[state, lead, 12] == pytest.approx(prior @ grams[state, lead, 12] @ prior, rel=1e-12)
        # What a block holds has no part in the errors at its first init time, at none of the leads.
        changed = grams.copy()
        changed[:, :, 13:24] *= 7
        again = left_out_errors(made, changed, inits, blocks)
        np.testing.assert_array_equal(again[:, :, 12], errors[:, :, 12])
        assert (again[:, :, 0] != errors[:, :, 0]).any()

    def test_with_one_block_it_begins_at_trust(self) -> None:
        blocks, inits = np.zeros(12, int), np.arange(12)
        grams = self.grams(blocks)
        made = Mixture.fit(EXPERTS, grams, inits, blocks)
        errors = left_out_errors(made, grams, inits, blocks)
        start = trust(EXPERTS)
        assert errors[0, 0, 0] == pytest.approx(start @ grams[0, 0, 0] @ start, rel=1e-12)
        assert np.isfinite(errors).all()

    def test_an_expert_that_is_good_on_validation_gets_more_than_trust_gave_it(self) -> None:
        blocks = np.repeat([0, 1, 2, 3], 24)
        inits = np.arange(96) + 50 * blocks
        grams = np.broadcast_to(np.diag([4.0, 4.0, 1.0, 9.0]), (STATES, LEADS, 96, 4, 4)).copy()
        made = Mixture.fit(EXPERTS, grams, inits, blocks)
        assert (made.prior[..., 2] > 10 * trust(EXPERTS)[2]).all()
        assert (made.scale == 1.0).all()


def test_header_and_arrays_there_and_back() -> None:
    own = mixture()
    back = Mixture.from_header(own.to_header(), own.arrays())
    assert (back.experts, back.aggregation) == (own.experts, own.aggregation)
    np.testing.assert_array_equal(back.prior, own.prior)
    np.testing.assert_array_equal(back.scale, own.scale)


def test_digest_changes_with_what_is_beyond_rounding_and_with_nothing_else() -> None:
    weights = some_weights(2)
    first, second = digest(weights)
    assert first != second
    assert len(first) == 16
    assert digest(np.round(weights, 12) + 1e-14) == [first, second]
    moved = weights.copy()
    moved[1, 0, 0, 0] += 1e-9
    assert digest(moved)[0] == first
    assert digest(moved)[1] != second
    # Zero has no sign.
    assert digest(np.array([[[[0.0, 1.0]]]])) == digest(np.array([[[[-0.0, 1.0]]]]))
