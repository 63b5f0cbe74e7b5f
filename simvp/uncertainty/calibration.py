"""What a model keeps of the errors of its forecasts: their spread, their quantiles, and whole maps of some of them.

Letters: N situations (init times), L leads, S states, H rows, W columns, Q levels.
"""

from dataclasses import dataclass

import numpy as np

from simvp.contract import FrameSpec
from simvp.record import Record
from simvp.times import encode_times
from simvp.uncertainty.conformal import LEVELS, at_levels, known_levels, quantiles
from simvp.uncertainty.spread import Errors, Spread

SIZE = 32 << 20
"""Bytes of the error maps in a model file, at most."""

MOST, LEAST = 256, 20
"""Situations that are kept, at most; of fewer there are no members, only bounds."""

PRIOR = 5.0
"""Init times without common targets that the errors of the validation count for, beside those of late."""

_RANGE = (0.05, 0.95)  # between which members are as wide as the bounds


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration(Record):
    """Errors of forecasts that had no part in any choice, as a model keeps them.

    Parameters
    ----------
    spread
        Root mean square of the errors by lead, place, time of day and situation.
    quantiles
        (S, L, Q) float32 of errors in units of the spread, at `simvp.uncertainty.conformal.LEVELS`; NaN where there
        were too few errors for a level.
    widening
        (S, L) float32 factor by which error maps are spread, so that members are as wide as the bounds.
    errors
        (N, L, S, H, W) float16 error maps in units of the spread, 0 where masked; N = 0 where the maps are so large
        that fewer than `LEAST` situations fit into `SIZE`.
    seconds
        (N,) int64 init times of the maps, as `simvp.times.encode_times` counts them.
    situations
        Init times that spread and quantiles are of.
    usual
        (S, L) float64 mean squared error of the forecasts on validation, by area, in squared units of the variable.
    worth
        Of each state how many independent errors they are worth (`simvp.uncertainty.conformal`).
    """

    spread: Spread
    quantiles: np.ndarray
    widening: np.ndarray
    errors: np.ndarray
    seconds: np.ndarray
    usual: np.ndarray
    situations: int
    worth: tuple[float, ...]

    @classmethod
    def fit(cls, errors: Errors, spec: FrameSpec, usual: np.ndarray) -> "Calibration":
        """From errors of forecasts in departures of the contract, and their mean square (S, L) in physical units.

        The errors of each block are put in units of a spread that was made of the other blocks, so that the quantiles
        know of the errors that a spread has itself.
        """
        spread, kinds = Spread.choose(errors)
        names = np.unique(errors.blocks)
        relative = np.empty_like(errors.values)
        for name in names:
            own = errors.blocks == name
            other = Spread.fit(errors.part(~own), kinds) if len(names) > 1 else spread
            relative[own] = errors.values[own] / other.at(errors.slots[own], errors.activities[own])
        count, leads, states = errors.values.shape[:3]
        flat = relative.reshape(count, leads, states, -1)
        found = [
            quantiles(flat[:, :, s][..., spec.mask[s].reshape(-1)], errors.groups, errors.blocks) for s in range(states)
        ]
        known = np.stack([levels for levels, _ in found])
        kept = np.linspace(0, count - 1, min(count, situations_held(spec, leads))).round().astype(int)
        kept = np.unique(kept) if len(kept) >= LEAST else kept[:0]
        maps = errors.values[kept] / spread.at(errors.slots[kept], errors.activities[kept])
        widening = np.ones((states, leads))
        if len(kept):
            low, high = np.moveaxis(at_levels(known, np.array(_RANGE)), -1, 0)
            narrow = np.nanquantile(maps.transpose(2, 1, 0, 3, 4).reshape(states, leads, -1), _RANGE, axis=-1)
            wide = np.divide(high - low, narrow[1] - narrow[0], out=np.ones_like(low), where=narrow[1] > narrow[0])
            widening = np.where(np.isfinite(wide), wide, 1.0)
        return cls(
            spread=spread,
            quantiles=known.astype(np.float32),
            widening=widening.astype(np.float32),
            errors=filled(maps, spec.mask).astype(np.float16),
            seconds=encode_times(errors.init_times)[0][kept],
            usual=np.asarray(usual, np.float64),
            situations=count,
            worth=tuple(round(worth, 1) for _, worth in found),
        )

    @property
    def leads(self) -> int:
        """L."""
        return self.quantiles.shape[1]

    @property
    def levels(self) -> tuple[float, float]:
        """Lowest and highest level of which there are bounds."""
        return known_levels(self.quantiles)

    def ratios(self, sums: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """How much larger errors are than on validation, (..., L, S), by what has been verified of late.

        The root of the ratio of mean squares, in which the validation counts as `PRIOR` init times.

        Parameters
        ----------
        sums, worth
            (..., L, S) from `simvp.mixture.Recursion.of_late`.
        """
        lead = np.minimum(np.arange(sums.shape[-2]), self.leads - 1)
        usual = np.maximum(self.usual[:, lead].T, np.finfo(np.float64).tiny)
        found = np.sqrt((PRIOR + sums / usual) / (PRIOR + worth))
        return np.where(np.isfinite(found), found, 1.0)

    def faults(self, spec: FrameSpec) -> list[str]:
        """What of it does not belong to a contract."""
        states, shape = spec.n_states, spec.shape
        expected = {
            "quantiles": (states, spec.frames_out, len(LEVELS)),
            "widening": (states, spec.frames_out),
            "usual": (states, spec.frames_out),
            "errors": (len(self.seconds), spec.frames_out, states, *shape),
            "spread.leads": (states, spec.frames_out),
            "spread.places": (states, *shape),
            "spread.exponents": (states,),
            "spread.activities": (states, 3),
        }
        got = {name: getattr(self.spread if "." in name else self, name.rpartition(".")[2]).shape for name in expected}
        return [
            f"calibration: expected {name} {expected[name]}, got {got[name]}"
            for name in got
            if got[name] != expected[name]
        ]


def situations_held(spec: FrameSpec, leads: int) -> int:
    """How many situations fit into a model file, whole: 0 where these are fewer than `LEAST`."""
    fitting = SIZE // (2 * leads * spec.n_states * spec.shape[0] * spec.shape[1])
    return min(MOST, fitting) if fitting >= LEAST else 0


def filled(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Error maps (N, L, S, H, W) without holes: 0 where masked, else what another situation had there and then.

    Where frames lack some of their points, the error is not known; a map without it is no map.
    """
    maps = np.where(mask, maps, 0.0)
    holes = ~np.isfinite(maps)
    if not holes.any():
        return maps
    rows = np.where(holes, -1, np.arange(len(maps))[:, None, None, None, None])
    before = np.maximum.accumulate(rows, axis=0)
    after = np.where(holes, len(maps), rows)
    after = np.minimum.accumulate(after[::-1], axis=0)[::-1]
    source = np.where(before >= 0, before, after)
    found = np.take_along_axis(maps, np.minimum(source, len(maps) - 1), axis=0)
    return np.where(np.isfinite(found), found, 0.0)
