"""The aggregation beside others, on the stories of `series`: `python -m tests.simvp.mixture.comparison`.

Mean squared error over that of the best expert in hindsight. Every rule has the parameters of its grid that are best on
the geometric mean of all stories, so that rivals are shown at their best. All begin with the same prior, and know of an
init time after the lead.
"""

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from simvp.mixture.aggregation import Aggregation, replay, squared_errors
from simvp.mixture.prior import GRID
from tests.simvp.mixture.series import STORIES, Series, present_in, series

SEEDS = 2
Rule = Callable[[Series, np.ndarray, float], np.ndarray]  # series, prior, scale to weights (N, E)


def issued(data: Series, prior: np.ndarray, after: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Weights (N, E), where `after` makes the next ones of a Gram matrix and the weights it was issued with."""
    weights = np.empty((len(data.inits), len(prior)))
    current, known = prior, 0
    for t, init in enumerate(data.inits):
        while data.inits[known] + data.lead <= init:
            current = after(data.grams[known], weights[known])
            known += 1
        weights[t] = current
    return weights


def built(aggregation: Aggregation) -> Rule:
    """What is built."""
    return lambda data, prior, scale: replay(
        aggregation, prior, scale, data.inits, data.lead, data.grams, present_in(data.grams)
    )


def exponential(rate: float, share: float, gradient: bool) -> Rule:
    """Fixed share on squared errors, or on the gradient at the weights that were issued."""

    def rule(data: Series, prior: np.ndarray, scale: float) -> np.ndarray:
        state = [prior]

        def after(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
            loss = 2 * gram @ weights if gradient else np.diag(gram)
            loss = loss - loss.min()
            v = state[0] * np.exp(-rate * loss / max(4 * scale, loss.max()))
            state[0] = (1 - share) * v / v.sum() + share * prior
            return state[0]

        return issued(data, prior, after)

    return rule


def bernstein(forget: float) -> Rule:
    """Bernstein online aggregation (Wintenberger 2017, Machine Learning 106, 119-141), rates that adapt, discounted."""

    def rule(data: Series, prior: np.ndarray, scale: float) -> np.ndarray:
        largest, square, regret = np.full(len(prior), 1e-12), np.full(len(prior), 1e-12), np.zeros(len(prior))

        def after(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
            nonlocal largest, square, regret
            loss = 2 * gram @ weights / scale
            gain = weights @ loss - loss
            largest, square = np.maximum(largest, abs(gain)), forget * square + gain**2
            rate = np.minimum(1 / (2 * largest), np.sqrt(np.log(1 / prior) / square))
            regret = forget * regret + gain - rate * gain**2
            log = np.log(rate * prior) + rate * regret
            new = np.exp(log - log.max())
            return new / new.sum()

        return issued(data, prior, after)

    return rule


def polynomial(forget: float) -> Rule:
    """ML-Poly (Gaillard, Stoltz and van Erven 2014), the default of the R package opera, on gradients, discounted."""

    def rule(data: Series, prior: np.ndarray, scale: float) -> np.ndarray:
        largest, square, regret = 0.0, np.zeros(len(prior)), np.zeros(len(prior))

        def after(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
            nonlocal largest, square, regret
            loss = 2 * gram @ weights
            gain = weights @ loss - loss
            largest, square = max(largest, float((gain**2).max())), forget * square + gain**2
            regret = forget * regret + gain
            new = np.maximum(regret, 0) / (largest + square)
            return new / new.sum() if new.any() else prior

        return issued(data, prior, after)

    return rule


def mean_losses(half_life: float, sharpness: float) -> Rule:
    """exp(-sharpness (mean loss / least mean loss - 1)), means that forget by a half-life in steps."""

    def rule(data: Series, prior: np.ndarray, scale: float) -> np.ndarray:
        spacing = data.inits[1] - data.inits[0]
        total, count = np.zeros(len(prior)), 0.0

        def after(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
            nonlocal total, count
            kept = 0.5 ** (spacing / half_life)
            total, count = kept * total + np.diag(gram), kept * count + 1
            mean = total / count
            new = np.exp(-sharpness * (mean / mean.min() - 1))
            return new / new.sum()

        return issued(data, prior, after)

    return rule


def rules() -> Iterator[tuple[str, str, Rule]]:
    """Name, parameters and rule."""
    yield "prior alone", "", lambda data, prior, scale: np.tile(prior, (len(data.inits), 1))
    yield "built, default", "", built(Aggregation())
    for aggregation in GRID:
        yield "built", f"rate {aggregation.rate}, share {aggregation.share}", built(aggregation)
    for rate, share in product((0.03, 0.1, 0.3, 1.0, 3.0), (0.001, 0.01, 0.03, 0.1)):
        words = f"rate {rate}, share {share}"
        yield "gradient at the issued weights", words, exponential(rate, share, True)
        yield "squared errors", words, exponential(rate, share, False)
    for forget in (1.0, 0.998, 0.99, 0.97):
        yield "BOA", f"forgetting {forget}", bernstein(forget)
        yield "ML-Poly", f"forgetting {forget}", polynomial(forget)
    for half_life, sharpness in product((6, 12, 48, 192), (3, 10, 100)):
        yield "mean losses", f"half-life {half_life}, sharpness {sharpness}", mean_losses(half_life, sharpness)


def table() -> str:
    """Rows of stories and columns of rules, as Markdown, with the parameters below."""
    stories = [story for story in STORIES if "absent" not in story]
    data = {story: [series(story, seed) for seed in range(SEEDS)] for story in stories}
    best: dict[str, tuple[float, str, list[float]]] = {}
    for name, words, rule in rules():
        ratios = []
        for story in stories:
            runs = [(one, *one.prior(Aggregation())) for one in data[story]]
            mixed = [squared_errors(rule(*run), run[0].grams).mean() for run in runs]
            alone = [np.einsum("nee->ne", one.grams).mean(0).min() for one, _, _ in runs]
            ratios.append(float(np.mean(mixed) / np.mean(alone)))
        score = float(np.exp(np.mean(np.log(ratios))))
        if name not in best or score < best[name][0]:
            best[name] = (score, words, ratios)
    lines = [f"| | {' | '.join(best)} |", f"| --- |{' --- |' * len(best)}"]
    lines += [
        f"| {story} | {' | '.join(f'{ratios[number]:.3f}' for _, _, ratios in best.values())} |"
        for number, story in enumerate(stories)
    ]
    lines.append(f"| all | {' | '.join(f'{score:.3f}' for score, _, _ in best.values())} |")
    return "\n".join([*lines, "", *(f"{name}: {words}" for name, (_, words, _) in best.items() if words)])


if __name__ == "__main__":
    print(table())
