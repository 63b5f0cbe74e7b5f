"""The regret bound of the aggregation: on stories, on random and on hostile series, against experts and mixtures."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from simvp.mixture.aggregation import EAGER, Aggregation, columns, paths, pending, replay, squared_errors
from tests.simvp.mixture.series import STORIES, gram_matrices, present_in, random_grams, renormalised, series


def spread(gradients: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Largest less smallest gradient (N,) of the present experts, of whom there is one at least."""
    return np.where(present, gradients, -np.inf).max(1) - np.where(present, gradients, np.inf).min(1)


def sides(
    aggregation: Aggregation,
    prior: np.ndarray,
    scale: float,
    inits: np.ndarray,
    lead: int | np.ndarray,
    grams: np.ndarray,
    rivals: np.ndarray,
) -> list[tuple[float, float]]:
    """Both sides of each inequality of the theorem, for rivals (N, E) in the last.

    What is issued loses at most so much more than the eager and than the calm recursion, and the eager one than rivals.
    """
    there = present_in(grams)
    known_at = inits + lead
    issued = aggregation.weights(prior, scale, grams, known_at, inits, there, issued_at=inits)
    order = np.argsort(known_at, kind="stable")
    grams, there, rivals, issued = grams[order], there[order], rivals[order], issued[order]
    n, behind = len(order), pending(known_at[order], inits[order])
    path = paths(columns([aggregation]), prior[None], scale, grams, behind)
    weights, trust, grams = path.weights[:, 0], path.trust[:, 0], np.nan_to_num(grams)
    own = renormalised(weights[:-1], there[:, None])  # (N, 2, E)
    scales = scales_of(scale, grams, there)
    usual, rate, share = aggregation.span * scale, aggregation.rate, aggregation.share

    pairs = own @ grams @ own.swapaxes(-1, -2)
    both = np.ones((n, 2), bool)
    counts = usual / np.maximum(aggregation.span * scales, spread(2 * np.einsum("nkj,nj->nk", pairs, trust[:-1]), both))
    mass = np.array([(weights[t - d : t + 1] * there[t]).sum(-1).min() for t, d in enumerate(behind)])
    moved = np.minimum(1, behind * (2 * rate / 4 + share + share / mass))
    late = float((counts * spread(2 * np.einsum("nef,nf->ne", grams, issued), there) * moved).sum())
    found = []
    for number, first in enumerate((EAGER, 1 - EAGER)):
        excess = counts * (squared_errors(issued, grams) - squared_errors(own[:, number], grams))
        complexity = np.log(1 / first) + (n - 1) * np.log(1 / (1 - share))
        found.append((float(excess.sum()), usual * (complexity / rate + n * rate / 8) + late))

    eager = own[:, 0]
    counts = usual / np.maximum(aggregation.span * scales, spread(2 * np.einsum("nef,nf->ne", grams, eager), there))
    mass = (rivals * there).sum(1)
    rival = rivals * there / np.where(mass > 0, mass, 1)[:, None]
    excess = mass * counts * (squared_errors(eager, grams) - squared_errors(rival, grams))
    changes = np.flatnonzero(np.any(rivals[1:] != rivals[:-1], axis=1)) + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = sum(np.nansum(np.where(q > 0, q * np.log(q / prior), 0)) for q in rivals[[0, *changes]])
    complexity = divergence + len(changes) * np.log(1 / share) + (n - 1 - len(changes)) * np.log(1 / (1 - share))
    return [*found, (float(excess.sum()), usual * (complexity / rate + mass.sum() * rate / 8))]


def scales_of(scale: float, grams: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The scale (N,) at each init time, in the order of verification."""
    scales, now = [], scale
    for error in np.where(there, np.einsum("nee->ne", grams), np.inf).min(1):
        now = min(scale, max(1e-6 * scale, 0.7 * now + 0.3 * error))
        scales.append(now)
    return np.array(scales)


def best_rivals(grams: np.ndarray, parts: int) -> list[np.ndarray]:
    """In hindsight: of each of so many parts the best expert, and the best mixture, (N, E) each."""
    n, experts = grams.shape[:2]
    alone, mixed = np.empty((n, experts)), np.empty((n, experts))
    for part in np.array_split(np.arange(n), parts):
        known = np.isfinite(grams[part])
        # Pairs that never meet in a part, and experts that are never there, are as bad as can be.
        mean = np.where(known.any(0), np.nansum(grams[part], axis=0) / np.maximum(known.sum(0), 1), 1e9)
        losses = np.where(np.diagonal(known.any(0)), np.diagonal(mean), np.inf)
        alone[part] = np.eye(experts)[np.argmin(losses)]
        q = np.full(experts, 1 / experts)
        for _ in range(300):
            gradient = 2 * mean @ q
            q = q * np.exp(-0.3 * (gradient - gradient.min()) / losses[np.isfinite(losses)].min())
            q /= q.sum()
        mixed[part] = q
    return [alone, mixed]


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(
    "aggregation", [Aggregation(), pytest.param(Aggregation(rate=0.1, share=0.0003), marks=pytest.mark.slow)]
)
def test_the_bound_holds(story: str, aggregation: Aggregation) -> None:
    data = series(story)
    prior, scale = data.prior(aggregation)
    for parts in (1, 2, 4):
        for rivals in best_rivals(data.grams, parts):
            for excess, bound in sides(aggregation, prior, scale, data.inits, data.lead, data.grams, rivals):
                assert excess <= bound


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_bound_holds_on_what_an_adversary_may_send(seed: int) -> None:
    """Maps of one point, errors of any size and sign that come in bursts, leads that vary, experts that come and go."""
    rng = np.random.default_rng(seed)
    n, experts = int(rng.integers(1, 60)), int(rng.integers(1, 5))
    errors = rng.choice([-3.0, -1.0, 0.0, 1.0, 30.0], size=(n, experts, 1), p=[0.1, 0.3, 0.25, 0.3, 0.05])
    errors = np.repeat(errors, rng.integers(1, 8), axis=0)[:n] if rng.random() < 0.5 else errors
    grams = gram_matrices(errors)
    for t, e in zip(*np.nonzero(rng.random((n, experts)) < rng.choice([0, 0.3])), strict=True):
        if np.isfinite(np.delete(np.diag(grams[t]), e)).any():
            grams[t, e] = grams[t, :, e] = np.nan
    inits = np.cumsum(rng.integers(0, 4, size=n))
    leads = rng.integers(1, 49, size=n) if rng.random() < 0.5 else int(rng.integers(1, 49))
    aggregation = Aggregation(
        rate=10 ** rng.uniform(-2, 1), share=10 ** rng.uniform(-4, -0.3), span=10 ** rng.uniform(-1, 1)
    )
    prior = rng.dirichlet(np.ones(experts))
    rivals = np.eye(experts)[rng.integers(0, experts, size=n // 10 + 1)].repeat(10, axis=0)[:n]
    for rival in (rivals, *(np.tile(q, (n, 1)) for q in (*np.eye(experts), rng.dirichlet(np.ones(experts))))):
        for excess, bound in sides(aggregation, prior, 1.0, inits, leads, grams, rival):
            assert excess <= bound + 1e-9


@pytest.mark.parametrize("lead", [2, 12, 48])
def test_the_bound_holds_against_whoever_makes_the_issued_weights_look_worst(lead: int) -> None:
    """Each init time has the expert with the larger weight wrong and the other right, so that nothing can be learnt.

    Errors of the two are alike (1.1 and 0.9 everywhere), so that mixing them gains next to nothing.
    """
    aggregation, n = Aggregation(rate=0.5, share=0.01, span=1.0), 120
    prior, inits = np.array([0.5, 0.5]), np.arange(n)
    grams = np.zeros((n, 2, 2))
    for t in range(n):
        issued = aggregation.weights(prior, 1.0, grams[:t], inits[:t] + lead, t, issued_at=inits[:t])
        errors = np.array([0.9, 1.1]) if issued[1] > issued[0] else np.array([1.1, 0.9])
        grams[t] = np.outer(errors, errors)
    issued = replay(aggregation, prior, 1.0, inits, lead, grams, present_in(grams))
    assert squared_errors(issued, grams).sum() > squared_errors(prior, grams).sum()  # it does harm
    for rival in np.eye(2):
        for excess, bound in sides(aggregation, prior, 1.0, inits, lead, grams, np.tile(rival, (n, 1))):
            assert excess <= bound


def test_what_was_worse_for_long_is_found_in_time_when_it_is_better() -> None:
    """Without a share, weights would need as long to come back as they took to go."""
    aggregation, n, turn = Aggregation(rate=0.2, share=0.003), 1200, 1000
    grams = np.array([np.outer(errors, errors) for errors in ((1.0, 3.0), (3.0, 1.0))])[(np.arange(n) >= turn) * 1]
    rival = np.eye(2)[(np.arange(n) >= turn) * 1]
    found = sides(aggregation, np.array([0.5, 0.5]), 1.0, np.arange(n), 1, grams, rival)
    assert all(excess <= bound for excess, bound in found)
    never = 8.0 * (n - turn)
    assert found[0][1] + found[2][1] < never / 2


@pytest.mark.parametrize("delay", [1, 5, 11, 47])
def test_late_weights_differ_by_what_the_theorem_says(delay: int) -> None:
    rng = np.random.default_rng(delay)
    aggregation = Aggregation(rate=0.02, share=0.001, span=0.1)
    grams = random_grams(rng, 300, 4)
    path = aggregation.weights(np.full(4, 0.25), 1.0, grams, np.arange(300), np.arange(-1, 300))
    moved = np.abs(path[delay:] - path[:-delay]).sum(1) / 2
    assert 0 < moved.max() <= 2 * delay * (aggregation.rate / 4 + aggregation.share)
