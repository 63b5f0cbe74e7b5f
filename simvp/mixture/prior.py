"""What blocks of validation say before anything is verified: the prior of the weights, and how fast they follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from simvp.errors import ConfigError
from simvp.mixture.aggregation import Aggregation, columns, mean, paths, pending, restricted, squared_errors, updated

FLOOR = 0.02  # of the prior, in equal parts to all experts, so that none is out of reach for long
STEPS, STEP = 200, 0.25  # of the prior's descent: their number, and the largest rate of one


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockErrors:
    """Errors of the experts, of a variable at a lead, on one block of validation.

    Parameters
    ----------
    inits
        (N,) init times in steps, ascending.
    lead
        Steps from an init time to its verification.
    grams
        (N, E, E) Gram matrices of the errors, as `Aggregation.weights` takes them.
    """

    inits: np.ndarray
    lead: int
    grams: np.ndarray

    @property
    def independent(self) -> int:
        """How many init times have targets that share no error: one a lead."""
        return min(len(self.inits), 1 + int(np.ptp(self.inits)) // self.lead) if len(self.inits) else 0


def prior_from(
    aggregation: Aggregation, blocks: Sequence[BlockErrors], start: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """What the validation says before anything is verified: weights (E,) and the scale of errors.

    The weights are those that a recursion with the full rate comes to from `start` (E,), by default equal ones, when
    the mean Gram matrix of the blocks is verified as often as the blocks have independent init times, without share:
    the fewer they are, the nearer to the start. They are mixed with a small part of equal weights. The scale is the
    least mean squared error of an expert.
    Experts that are absent from more than half of the init times have their part of the equal weights and no more.

    Raises
    ------
    ConfigError
        No init time in the blocks at which there is an expert.
    """
    gram, scale, seen = _summary(blocks)
    independent = sum(block.independent for block in blocks)
    return _priors([aggregation], gram, scale, seen, independent, start)[0], scale


# Larger shares and smaller rates hold the weights to the prior, which blocks of validation speak for as long as nothing
# changes in them; larger rates follow noise, for which a few blocks may speak by chance.
GRID = tuple(Aggregation(rate=r, share=s) for r, s in product((0.5, 1.0), (0.001, 0.003, 0.01)))


def choose(
    series: Sequence[Sequence[BlockErrors]],
    candidates: Sequence[Aggregation] = GRID,
    start: np.ndarray | None = None,
) -> Aggregation:
    """The aggregation whose mixture has the least squared error on blocks that its prior was made without.

    The default stays where the best candidate is not better by more than the standard error of the difference over the
    blocks, or where there are not two blocks with errors.

    Parameters
    ----------
    series
        Of each variable and lead the same blocks of validation. Each series counts alike, in units of its scale.
    candidates
        To choose from.
    start
        As in `prior_from`.

    Raises
    ------
    ConfigError
        Series with different numbers of blocks.
    """
    lengths = sorted({len(blocks) for blocks in series})
    if len(lengths) > 1:
        raise ConfigError(
            "Choice of the aggregation", [f"expected the same blocks in every series, got {lengths} of them"]
        )
    if not lengths:
        return Aggregation()
    losses = np.array([_left_out(blocks, [Aggregation(), *candidates], start) for blocks in series])
    counts = np.isfinite(losses[..., 0]).sum(0)
    if (counts > 0).sum() < 2:
        return Aggregation()
    gains = np.nansum(losses[..., :1] - losses[..., 1:], axis=0)[counts > 0] / counts[counts > 0, None]
    best = int(np.argmax(gains.mean(0)))
    clear = gains[:, best].mean() > gains[:, best].std(ddof=1) / np.sqrt(len(gains))
    return candidates[best] if clear else Aggregation()


def _left_out(blocks: Sequence[BlockErrors], candidates: Sequence[Aggregation], start: np.ndarray | None) -> np.ndarray:
    """Mean squared errors (B, R) of the candidates on the blocks, each replayed from the prior of the others.

    NaN for a block that has no errors, and where no other has any.
    """
    losses = np.full((len(blocks), len(candidates)), np.nan)
    usable = [number for number, block in enumerate(blocks) if np.isfinite(block.grams).any()]
    for number in usable if len(usable) > 1 else ():
        block, others = blocks[number], [blocks[other] for other in usable if other != number]
        gram, scale, seen = _summary(others)
        priors = _priors(candidates, gram, scale, seen, sum(other.independent for other in others), start)
        late = pending(block.inits + block.lead, block.inits)
        path = mean(paths(columns(candidates), priors, scale, block.grams, late))
        issued = path[np.searchsorted(block.inits + block.lead, block.inits, side="right")]
        present = np.isfinite(np.einsum("nee->ne", block.grams))[:, None]
        errors = squared_errors(restricted(issued, present), block.grams[:, None])
        losses[number] = np.nanmean(errors, axis=0) / scale
    return losses


def _summary(blocks: Sequence[BlockErrors]) -> tuple[np.ndarray, float, np.ndarray]:
    """Mean Gram matrix over the blocks, scale, and which experts (E,) have been seen: in half of the init times."""
    grams = np.concatenate([np.asarray(block.grams, np.float64) for block in blocks]) if blocks else np.empty((0, 0, 0))
    there = np.isfinite(np.einsum("nee->ne", grams))
    if not there.any():
        raise ConfigError("Prior of the mixture", ["expected validation blocks with errors of an expert, got none"])
    seen = there.mean(0) >= 0.5
    # Means over different init times would compare experts by how hard these were.
    whole = there[:, seen].all(1)
    if not seen.any() or not whole.any():
        raise ConfigError(
            "Prior of the mixture", ["no init time of the validation blocks has all of the usual experts"]
        )
    gram = grams[whole].mean(0)
    least = np.diagonal(gram)[seen].min()
    return gram, float(least) if least > 0 else 1.0, seen


def _priors(
    candidates: Sequence[Aggregation],
    gram: np.ndarray,
    scale: float,
    seen: np.ndarray,
    independent: int,
    start: np.ndarray | None,
) -> np.ndarray:
    """Priors (R, E) of the candidates from the mean Gram matrix (E, E) of so many independent init times."""
    rate, _, span = columns(candidates)
    first = seen if start is None or not (start * seen).any() else start * seen
    begin = np.broadcast_to(first / first.sum(), (len(candidates), len(seen)))
    # In small steps: one init time after the other, the mean would swing about its optimum where the rate is high.
    small = np.minimum(rate * independent / STEPS, STEP)
    weights = begin
    for _ in range(STEPS):
        weights = updated((small, 0.0, span), weights, begin, scale, gram)
    return (1 - FLOOR) * weights + FLOOR / len(seen)
