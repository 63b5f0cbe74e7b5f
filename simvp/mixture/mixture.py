"""What a model issues: a weighted mean of the base, the corrected base and the baselines, per variable and lead.

Letters: I init times, L leads, S variables, E experts, H rows, W columns.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simvp.mixture.aggregation import (
    Aggregation,
    State,
    advanced,
    columns,
    falling,
    mean,
    replay,
    restricted,
    squared_errors,
)
from simvp.mixture.prior import BlockErrors, choose, prior_from
from simvp.record import Record

# Before a validation block is looked at these experts share most of the weights: they were made to be better than the
# baselines, by folds that were left out. All others share what is left.
TRUST, TRUSTED = ("base", "corrected"), 0.95

MEMORY = 20
"""Init times without common targets after which errors of late count a third (1 / e)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture(Record):
    """The experts of a model, and what is known of them before any forecast of it has been verified.

    Parameters
    ----------
    experts
        Names, in the order of all weights.
    aggregation
        How weights follow verified errors.
    prior
        (S, L, E) float64 weights that the validation blocks give.
    scale
        (S, L) float64 squared error that counts as usual.
    """

    experts: tuple[str, ...]
    aggregation: Aggregation
    prior: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, experts: Sequence[str], grams: np.ndarray, inits: np.ndarray, blocks: np.ndarray) -> "Mixture":
        """From the errors on validation blocks, which nothing of the experts was fitted on.

        Parameters
        ----------
        grams
            (S, L, N, E, E) Gram matrices of the errors, rows and columns of absent experts NaN.
        inits
            (N,) rising init times in steps.
        blocks
            (N,) number of the block of each.
        """
        states, leads = grams.shape[:2]
        series = [
            [
                BlockErrors(inits=inits[blocks == b], lead=lead + 1, grams=grams[state, lead, blocks == b])
                for b in np.unique(blocks)
            ]
            for state in range(states)
            for lead in range(leads)
        ]
        start = trust(experts)
        aggregation = choose(series, start=start)
        found = [prior_from(aggregation, own, start) for own in series]
        return cls(
            experts=tuple(experts),
            aggregation=aggregation,
            prior=np.array([prior for prior, _ in found]).reshape(states, leads, len(experts)),
            scale=np.array([scale for _, scale in found]).reshape(states, leads),
        )

    @property
    def leads(self) -> int:
        """L that the validation has spoken of."""
        return self.prior.shape[1]

    def weights(self, inits: int, leads: int) -> np.ndarray:
        """(I, L, S, E) weights while nothing is verified; leads beyond those of the validation have its last one's."""
        lead = np.minimum(np.arange(leads), self.leads - 1)
        weights = self.prior[:, lead].transpose(1, 0, 2)
        return np.broadcast_to(weights, (inits, *weights.shape))


def trust(experts: Sequence[str]) -> np.ndarray:
    """Weights (E,) before anything is known but what the experts are."""
    given = np.array([float(name in TRUST) for name in experts])
    others = 1 - given
    return TRUSTED * given / given.sum() + (1 - TRUSTED) * others / others.sum()


class Recursion:
    """The weights of a mixture as they follow the errors that come to be verified.

    Parameters
    ----------
    mixture
        Whose prior it begins at.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self._settings = columns([mixture.aggregation])
        self._states = [State.of(prior) for prior in mixture.prior.swapaxes(0, 1)]  # of each lead, (S,)
        self._scale = mixture.scale.copy()  # (S, L)
        self._waiting: list[tuple[int, int, np.ndarray]] = []  # verified at, lead, (S, E, E)
        self._verified: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(mixture.leads)]  # at, (S,) of which
        self._late = np.zeros((2, *mixture.scale.shape))  # sum of squared errors of late, and how many they are worth

    def learn(self, init: int, grams: np.ndarray) -> None:
        """Take the Gram matrices (L, S, E, E) of an init time, in steps; those of a lead count once it is over."""
        for lead, gram in enumerate(grams[: self.mixture.leads]):
            if np.isfinite(gram).any():
                self._waiting.append((init + lead + 1, lead, gram))

    def weights(self, init: int, leads: int) -> np.ndarray:
        """(L, S, E) weights for an init time no earlier than any asked for before, by what is verified by then."""
        self._waiting.sort(key=lambda event: event[:2])
        due = sum(1 for event in self._waiting if event[0] <= init)
        for at, lead, gram in self._waiting[:due]:
            here = np.isfinite(np.einsum("see->se", gram)).any(1)
            late = self._pending(at, lead, here)
            self._scale[:, lead] = scale = falling(self._scale[:, lead], gram, self.mixture.scale[:, lead])
            before = self._states[lead]
            self._remember(lead, mean(before), gram, here, late)
            after = advanced(self._settings, before, self.mixture.prior[:, lead], scale, gram, late)
            self._states[lead] = State(
                np.where(here[:, None, None], after.weights, before.weights),
                np.where(here[:, None], after.trust, before.trust),
            )
        del self._waiting[:due]
        weights = [mean(state) for state in self._states]
        return np.stack([weights[min(lead, self.mixture.leads - 1)] for lead in range(leads)])

    def of_late(self, leads: int) -> tuple[np.ndarray, np.ndarray]:
        """Sum (L, S) of the squared errors of the mixture that have been verified of late, and how many they are worth.

        As far as `weights` was asked for. An init time that was issued while n others were pending, whose targets it
        shares, is worth 1 / (1 + n); each takes the part 1 / `MEMORY` of that from what was before.
        """
        lead = np.minimum(np.arange(leads), self.mixture.leads - 1)
        sums, worth = self._late[:, :, lead].swapaxes(1, 2)
        return sums, worth

    def _remember(self, lead: int, weights: np.ndarray, gram: np.ndarray, here: np.ndarray, late: np.ndarray) -> None:
        """Count the squared errors (S,) of the mixture with weights (S, E), of the states that are `here` (S,)."""
        present = np.isfinite(np.einsum("see->se", gram))
        worth = np.where(here, 1 / (1 + late), 0.0)
        error = squared_errors(restricted(weights, present), gram)
        self._late[:, :, lead] *= 1 - worth / MEMORY
        self._late[:, :, lead] += np.stack([np.where(here, error, 0.0), np.ones(len(here))]) * worth

    def _pending(self, at: int, lead: int, here: np.ndarray) -> np.ndarray:
        """Init times (S,) that were pending when the one that is verified now, of the states `here` (S,), was issued.

        What was verified by then is forgotten: later ones were issued later.
        """
        issued = at - lead - 1
        before = [event for event in self._verified[lead] if event[0] > issued]
        self._verified[lead] = [*before, (at, here)]
        return sum((there.astype(int) for _, there in before), np.zeros(len(here), int))


def left_out_errors(mixture: Mixture, grams: np.ndarray, inits: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Squared errors (S, L, N) of the mixture on each block, its prior made of the other blocks.

    With one block, the prior is what the experts are trusted with, before anything is known of them.

    Parameters
    ----------
    grams, inits, blocks
        As in `Mixture.fit`.
    """
    errors, start = np.full(grams.shape[:3], np.nan), trust(mixture.experts)
    names = np.unique(blocks)
    for state, lead in np.ndindex(*grams.shape[:2]):
        every = {
            b: BlockErrors(inits=inits[blocks == b], lead=lead + 1, grams=grams[state, lead, blocks == b])
            for b in names
        }
        for block in names:
            own = blocks == block
            others = [errors_of for b, errors_of in every.items() if b != block]
            prior, scale = start, float(mixture.scale[state, lead])
            if others:
                prior, scale = prior_from(mixture.aggregation, others, start)
            part = grams[state, lead, own]
            present = np.isfinite(np.einsum("nee->ne", part))
            weights = replay(mixture.aggregation, prior, scale, inits[own], lead + 1, part, present)
            errors[state, lead, own] = squared_errors(weights, part)
    return errors


def mix(maps: Mapping[str, np.ndarray], weights: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of experts' maps, and the weights that it was made with.

    Parameters
    ----------
    maps
        By expert, (I, L, S, H, W); one that lacks a value at a valid point of a map is absent from that map.
    weights
        (I, L, S, E).
    valid
        (S, H, W) bool, the points with a forecast.

    Returns
    -------
    tuple
        (I, L, S, H, W) float32, NaN where no expert is present, and (I, L, S, E): those renormalised over the present.
    """
    fields = list(maps.values())
    outside = ~valid
    present = np.stack([(np.isfinite(field) | outside).all((-2, -1)) for field in fields], axis=-1)
    used = np.where(present, weights, 0.0)
    total = used.sum(-1, keepdims=True)
    total[np.abs(total - 1) < 1e-9] = 1.0  # so that weights that were used give the same maps again, to the last bit
    # Where all the weight is on experts that are absent, the others share alike.
    alike = np.maximum(present.sum(-1, keepdims=True), 1)
    used = np.where(total > 0, used, present) / np.where(total > 0, total, alike)
    mixed = np.zeros(fields[0].shape, np.float32)
    for number, field in enumerate(fields):
        weight = used[..., number, None, None].astype(np.float32)
        mixed += np.where(weight > 0, field, np.float32(0)) * weight
    mixed[~present.any(-1)] = np.nan
    return mixed, used


def gram_matrices(maps: Mapping[str, np.ndarray], truth: np.ndarray, area: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Gram matrices of the experts' errors, (I, L, S, E, E) float64; NaN for absent experts, and without truth.

    Parameters
    ----------
    maps
        By expert, (I, L, S, H, W).
    truth
        (I, L, S, H, W), NaN where unknown; such points do not count.
    area
        (H, W) weights.
    valid
        (S, H, W) bool.
    """
    known = np.isfinite(truth) & valid
    share = (known * area).astype(np.float32)
    total = share.sum((-2, -1))
    share = np.sqrt(share / np.where(total > 0, total, 1)[..., None, None])
    errors = np.stack([(field - truth) * share for field in maps.values()], axis=3)  # (I, L, S, E, H, W)
    errors[np.broadcast_to(~known[:, :, :, None], errors.shape)] = 0.0
    flat = errors.reshape(*errors.shape[:4], -1)
    grams = (flat @ flat.swapaxes(-1, -2)).astype(np.float64)
    absent = ~np.isfinite(np.einsum("...ee->...e", grams)) | (total == 0)[..., None]
    grams[absent[..., :, None] | absent[..., None, :]] = np.nan
    return grams


def digest(weights: np.ndarray) -> list[str]:
    """16 hex digits for the weights (I, L, S, E) of each init time, to twelve decimals."""
    rounded = np.round(weights, 12) + 0.0
    return [hashlib.sha256(np.ascontiguousarray(one).tobytes()).hexdigest()[:16] for one in rounded]
