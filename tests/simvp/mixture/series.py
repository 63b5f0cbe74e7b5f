"""Series of Gram matrices with a known story: what the experts' errors do, from maps of correlated noise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simvp.mixture.aggregation import Aggregation
from simvp.mixture.prior import BlockErrors, prior_from

AMPLITUDE = np.array([1.0, 1.0, 2.0, 1.4, 1.5, 1.3, 1.1])  # of the errors of seven experts, usually
POINTS = 40
FRAMES = 720


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Gram matrices (N, E, E) of init times (N,), a lead, and the blocks that come before."""

    grams: np.ndarray
    inits: np.ndarray
    lead: int
    blocks: list[BlockErrors]

    def prior(self, aggregation: Aggregation) -> tuple[np.ndarray, float]:
        return prior_from(aggregation, self.blocks)


def gram_matrices(errors: np.ndarray) -> np.ndarray:
    """(N, E, E) from maps of errors (N, E, P)."""
    return np.einsum("nep,nfp->nef", errors, errors) / errors.shape[-1]


def present_in(grams: np.ndarray) -> np.ndarray:
    """Which experts (N, E) have errors."""
    return np.isfinite(np.einsum("nee->ne", grams))


def random_grams(rng: np.random.Generator, frames: int, experts: int, points: int = 4) -> np.ndarray:
    """Of errors that differ in size from expert to expert and from frame to frame."""
    return gram_matrices(rng.normal(size=(frames, experts, points)) * np.exp(rng.normal(size=(frames, experts, 1))))


def renormalised(weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Weights (..., E) of those present, of sum 1."""
    kept = weights * present
    return kept / kept.sum(-1, keepdims=True)


def noise(amplitude: np.ndarray, seed: int, common: float = 0.5, memory: float = 0.9) -> np.ndarray:
    """Maps of errors (N, E, P): first-order autoregressions, of which experts share a part of the variance."""
    rng = np.random.default_rng(seed)
    frames, experts = amplitude.shape
    state = rng.normal(size=(experts + 1, POINTS))
    errors = np.empty((frames, experts, POINTS))
    for t in range(frames):
        state = memory * state + np.sqrt(1 - memory**2) * rng.normal(size=state.shape)
        errors[t] = amplitude[t, :, None] * (np.sqrt(common) * state[0] + np.sqrt(1 - common) * state[1:])
    return errors


def steady(amplitude: np.ndarray) -> None:
    """Nothing happens."""


def sensor_changes(amplitude: np.ndarray) -> None:
    """From a day on, the two best experts are worse than most."""
    amplitude[240:, :2] *= 1.7


def storm_ends(amplitude: np.ndarray) -> None:
    """The best on every day of validation have six times the error from some time on."""
    amplitude[180:, :2] *= 6


def expert_lies(amplitude: np.ndarray) -> None:
    """One of the best is off by thirty times for a while, and good again afterwards."""
    amplitude[180:360, 0] *= 30


def all_equal(amplitude: np.ndarray) -> None:
    """No expert is better than another."""
    amplitude[:] = 1.0


def take_turns(amplitude: np.ndarray) -> None:
    """Another expert is ahead every 120 steps."""
    for part in range(6):
        amplitude[120 * part : 120 * (part + 1), part] *= 0.6


def another_is_better(amplitude: np.ndarray) -> None:
    """An expert that validation thought little of is far ahead."""
    amplitude[:, 3] *= 0.5


STORIES: dict[str, tuple[Callable[[np.ndarray], None], int, int]] = {  # what happens, lead, steps between init times
    "steady": (steady, 12, 1),
    "steady, lead 1": (steady, 1, 1),
    "steady, lead 48": (steady, 48, 1),
    "steady, one init a day": (steady, 12, 24),
    "a sensor changes": (sensor_changes, 12, 1),
    "a storm ends": (storm_ends, 12, 1),
    "a storm ends, lead 48": (storm_ends, 48, 1),
    "a storm ends, one init a day": (storm_ends, 12, 24),
    "an expert lies": (expert_lies, 12, 1),
    "all equal": (all_equal, 12, 1),
    "experts take turns": (take_turns, 12, 1),
    "another is better": (another_is_better, 12, 1),
    "nothing in common": (steady, 12, 1),
    "one is absent": (steady, 12, 1),
    "one is absent while it is best": (another_is_better, 12, 1),
}


def series(story: str, seed: int = 0) -> Series:
    """Seven experts, four blocks of validation of 60 steps, then 720 steps of the story (or days, 60 of them)."""
    happens, lead, spacing = STORIES[story]
    amplitude = np.tile(AMPLITUDE, (FRAMES, 1))
    happens(amplitude)
    before = np.tile(np.ones_like(AMPLITUDE) if happens is all_equal else AMPLITUDE, (240, 1))
    if spacing > 1:
        amplitude = amplitude[::12]
    common = 0.0 if story == "nothing in common" else 0.5
    validation = gram_matrices(noise(before, 1000 + seed, common))
    grams = gram_matrices(noise(amplitude, seed, common, memory=0.9 if spacing == 1 else 0.3))
    if story.startswith("one is absent"):
        absent = {"one is absent": 0, "one is absent while it is best": 3}[story]
        grams[200:400, absent] = grams[200:400, :, absent] = np.nan
    blocks = [
        BlockErrors(inits=300 * n + np.arange(60), lead=lead, grams=validation[60 * n : 60 * (n + 1)]) for n in range(4)
    ]
    return Series(grams=grams, inits=2000 + spacing * np.arange(len(grams)), lead=lead, blocks=blocks)
