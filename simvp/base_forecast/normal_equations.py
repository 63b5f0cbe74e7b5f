"""Sums of products that least squares of any predictors, folds and ridge can be solved from: one pass, no frame kept.

Letters: F folds, L leads, G groups of neighbouring points, K predictors, n init times, P points.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simvp.budget import fitting

CHUNK = 128  # points whose products are made at once, in a processor's caches


def group_points(valid: np.ndarray, size: int, stride: int = 1) -> tuple[np.ndarray, int]:
    """Group of each point (P,), in at most `size` square tiles: of a single point where these are few enough.

    Sides are multiples of `stride`, so that each tile begins with one of the squares that are fitted on.
    """
    side = stride
    while True:
        columns = -(-valid.shape[1] // side)
        row, column = np.nonzero(valid)
        tile = row // side * columns + column // side
        names, group = np.unique(tile, return_inverse=True)
        if len(names) <= size or side > max(valid.shape):
            return group, len(names)
        larger = math.isqrt(side * side * len(names) // size)
        side = max(side // stride + 1, larger // stride) * stride


def most_groups(folds: int, leads: int, predictors: int) -> int:
    """Groups whose sums fit into a quarter of the budget."""
    return fitting(4 * folds * leads * predictors * (predictors + 2), 4)


@dataclass(eq=False)
class NormalEquations:
    """Sums of z z', z y and y^2 by fold, lead and group, weighted by area.

    Attributes
    ----------
    products, targets, squares
        (F, L, G, K, K), (F, L, G, K), (F, L, G) float32.
    counts
        (F, L) init times, each by the share of the area whose target is known.
    """

    products: np.ndarray
    targets: np.ndarray
    squares: np.ndarray
    counts: np.ndarray
    group: np.ndarray
    area: np.ndarray

    @classmethod
    def empty(
        cls, folds: int, leads: int, group: np.ndarray, predictors: int, area: np.ndarray, groups: int | None = None
    ) -> "NormalEquations":
        """Without any init time yet; `group` and `area` (P,). There are as many `groups` as it names, or more."""
        shape = folds, leads, int(group.max()) + 1 if groups is None else groups
        return cls(
            products=np.zeros((*shape, predictors, predictors), np.float32),
            targets=np.zeros((*shape, predictors), np.float32),
            squares=np.zeros(shape, np.float32),
            counts=np.zeros((folds, leads)),
            group=group,
            area=area.astype(np.float32),
        )

    def add(self, fold: int, lead: int, z: np.ndarray, y: np.ndarray) -> None:
        """Add predictors (P, K, n) and targets (P, n) of a lead; targets that are NaN do not count."""
        known = np.isfinite(y)
        if not known.all():
            y, z = np.where(known, y, np.float32(0)), np.where(known[:, None], z, np.float32(0))
        for points in self._chunks:
            at, truth, area, group = z[points], y[points], self.area[points], self.group[points]
            # One product for both, which is faster than one of `at` with itself, for all its symmetry.
            both = np.concatenate([at, truth[:, None]], axis=1) @ at.transpose(0, 2, 1) * area[:, None, None]
            products, targets, squares = both[:, :-1], both[:, -1], (truth**2).sum(1) * area
            groups, first = np.unique(group, return_index=True)
            where = fold, lead - 1, groups
            for total, part in ((self.products, products), (self.targets, targets), (self.squares, squares)):
                total[where] += part if len(groups) == len(group) else np.add.reduceat(part, first)
        self.counts[fold, lead - 1] += float(known.sum(1) @ self.area)

    @cached_property
    def _chunks(self) -> list[slice | np.ndarray]:
        """Points to work on at a time, those of a group beside each other."""
        count = len(self.group)
        if (np.diff(self.group) >= 0).all():
            return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
        order = np.argsort(self.group, kind="stable")
        return [order[start : start + CHUNK] for start in range(0, count, CHUNK)]

    def pooled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sums over all groups, (F, L, K, K), (F, L, K), (F, L) float64."""
        return tuple(part.sum(2, dtype="f8") for part in (self.products, self.targets, self.squares))
