"""The blend of last frame and last cycle: what its least squares take from the windows, and what shifts add to that.

With z the terms of the blend, y the target and m the weights, the mean of (y - m z)^2 over windows is known for every m
from the means of z z, z y and y y. Those of windows that shift follow in closed form: an offset and planes of
independent sizes add the mean of their squares to every product, and a random multiple of the climatology's cycle adds
the products of the cycle itself. So one pass over the windows gives the best blend under any shifts, and what it costs.

Shape letters: T' frames out, K terms of the blend, S states.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np


class Shifts(NamedTuple):
    """Standard deviations of what shifts a training window, as in :class:`simvp.networks.gridded.GriddedConfig`."""

    drift: float
    tilt: float
    swing: float


@dataclass(frozen=True)
class Moments:
    """Means of products over windows; in float64, since normal equations square the condition number.

    Parameters
    ----------
    products
        (T', S, K, K) of two terms.
    with_target
        (T', S, K) of a term and the target.
    squares
        (T', S) of the target with itself.
    """

    products: np.ndarray
    with_target: np.ndarray
    squares: np.ndarray

    def plus(self, other: "Moments", weight: float) -> "Moments":
        """These and `weight` times others."""
        return Moments(*(getattr(self, f.name) + weight * getattr(other, f.name) for f in fields(self)))

    def blend(self) -> np.ndarray:
        """Weights (T', S, K) of the least squares."""
        # A state that never departs from its climatology has no unique weights; the smallest are zero.
        weights: np.ndarray = (np.linalg.pinv(self.products, hermitian=True) @ self.with_target[..., None])[..., 0]
        return weights

    def error(self, blend: np.ndarray) -> np.ndarray:
        """Mean squared error (T', S) of a blend with the weights (T', S, K)."""
        square = np.einsum("lsk,lskj,lsj->ls", blend, self.products, blend)
        error: np.ndarray = self.squares - 2 * (blend * self.with_target).sum(-1) + square
        return error.clip(0.0)  # rounding may make it negative


@dataclass(frozen=True)
class BlendMoments:
    """What the least squares take from the windows.

    Parameters
    ----------
    windows
        Of the windows as they are.
    cycle
        Of the climatology's cycle at the times of these windows, as windows of their own; zeros where it has none.
    slopes
        (S,) mean square over the map of the planes along rows and columns.
    """

    windows: Moments
    cycle: Moments
    slopes: np.ndarray

    def shifted(self, shifts: Shifts) -> Moments:
        """Of the windows under shifts: the weights sum to nearly one where drift is large, and are free without."""
        moments = self.windows.plus(self.cycle, shifts.swing**2)
        offset = shifts.drift**2 + shifts.tilt**2 * self.slopes  # (S,), mean square
        return Moments(
            products=moments.products + offset[:, None, None],
            with_target=moments.with_target + offset[:, None],
            squares=moments.squares + offset,
        )
