"""Ridge regression towards the best baseline, pooled over the grid, and by group of points towards the pooled one.

Pooled, with A = sum z z', b = sum z y over all points and init times, q the coefficients of the lead's best baseline
and D = diag A:

    beta = q + (A + strength D)^-1 (b - A q)

and for a group of points with sums A_g, b_g, where D_g is the mean of the diagonals of all groups:

    beta_g = beta + (A_g + shrinkage D_g)^-1 (b_g - A_g beta)

Strength, shrinkage, and at which leads the best baseline is not improved upon at all, are chosen by leaving out one
fold after the other (`choose`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simvp.base_forecast.normal_equations import NormalEquations
from simvp.base_forecast.predictors import Design, baseline_coefficients
from simvp.record import Record

STRENGTHS = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
SHRINKAGES = (3.0, 1.0, 0.3, 0.1)


@dataclass(frozen=True, kw_only=True)
class Choices(Record):
    """What left-out folds decide, by which the fit to all of them is then made.

    Parameters
    ----------
    strength
        Of the ridge towards the best baseline.
    shrinkage
        Of the groups' coefficients towards the pooled ones; None: they are those.
    baseline
        (L,) name of the best baseline of each lead.
    improved
        (L,) whether the fit is better than that.
    """

    strength: float
    shrinkage: float | None
    baseline: tuple[str, ...]
    improved: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Ridge:
    """Solutions of some sums for a set of predictors.

    Parameters
    ----------
    sums
        By fold, lead and group.
    design, cycle
        What the predictors are; cycle of seasonal persistence.
    keep
        (K,) bool: predictors that are used; the others have the coefficient 0.
    """

    sums: NormalEquations
    design: Design
    cycle: int | None
    keep: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pooled", self.sums.pooled())

    @property
    def folds(self) -> list[int]:
        """Folds that have init times at every lead."""
        return np.flatnonzero((self.sums.counts > 0).all(1)).tolist()

    @property
    def leads(self) -> int:
        return self.sums.counts.shape[1]

    def baselines(self, folds: Sequence[int], lead: int) -> dict[str, np.ndarray]:
        """Coefficients (K,) of the baselines that can be made of the predictors in use, damped as these folds say."""
        products, targets, _ = self._total(folds, lead)
        damping = float(targets[0] / max(products[0, 0], 1e-30))
        made = baseline_coefficients(self.design, self.cycle, damping)
        return {name: q for name, q in made.items() if not q[~self.keep].any()}

    def error(self, folds: Sequence[int], lead: int, beta: np.ndarray) -> float:
        """Sum of squares that coefficients (K,), or (G, K), leave in some folds."""
        if beta.ndim == 1:
            products, targets, square = self._total(folds, lead)
            return float(square - 2 * beta @ targets + beta @ products @ beta)
        rows = list(folds)
        products = self.sums.products[rows, lead].sum(0)
        targets, square = (part[rows, lead].sum(0, dtype="f8") for part in (self.sums.targets, self.sums.squares))
        fitted = np.einsum("gk,gkj,gj->g", beta, products, beta, optimize=True)
        return float((square - 2 * (beta * targets).sum(-1) + fitted).sum())

    def pooled(self, folds: Sequence[int], lead: int, strength: float, towards: np.ndarray) -> np.ndarray:
        """Coefficients (K,)."""
        products, targets, _ = self._total(folds, lead)
        keep = self.keep
        kept = products[np.ix_(keep, keep)]
        right = (targets - products @ towards)[keep]
        beta = towards.copy()
        beta[keep] += np.linalg.solve(kept + np.diag(strength * _diagonal(kept)), right)
        return beta

    def by_group(self, folds: Sequence[int], lead: int, shrinkage: float, pooled: np.ndarray) -> np.ndarray:
        """Coefficients (G, K)."""
        rows, keep = list(folds), self.keep
        products = self.sums.products[rows, lead].sum(0)[:, keep][:, :, keep].astype("f8")
        targets = self.sums.targets[rows, lead].sum(0, dtype="f8")[:, keep]
        mean = _diagonal(products.mean(0))
        right = targets - products @ pooled[keep]
        beta = np.broadcast_to(pooled, (len(products), len(pooled))).copy()
        beta[:, keep] += np.linalg.solve(products + np.diag(shrinkage * mean), right[..., None])[..., 0]
        return beta

    def solve(self, folds: Sequence[int], lead: int, choices: Choices) -> np.ndarray:
        """Coefficients (G, K), or (1, K) where groups do not differ, as chosen."""
        towards = self.baselines(folds, lead)[choices.baseline[lead]]
        if not choices.improved[lead]:
            return towards[None]
        pooled = self.pooled(folds, lead, choices.strength, towards)
        if choices.shrinkage is None:
            return pooled[None]
        return self.by_group(folds, lead, choices.shrinkage, pooled)

    def choose(self) -> tuple[Choices, np.ndarray, np.ndarray]:
        """Choices by the folds left out; and the mean squares (L,) there, of the choice and of the best baseline.

        With fewer than two folds nothing can be chosen: it is damped anomaly persistence then.
        """
        folds, leads = self.folds, range(self.leads)
        if len(folds) < 2:
            none = np.full(self.leads, np.nan)
            names = ("damped_anomaly",) * self.leads
            return Choices(strength=1.0, shrinkage=None, baseline=names, improved=(False,) * self.leads), none, none
        others = {fold: [other for other in folds if other != fold] for fold in folds}
        names, rivals = self._best_baselines(others)

        def left_out(solve: "object") -> np.ndarray:
            return np.array([sum(self.error([f], l, solve(o, l)) for f, o in others.items()) for l in leads])  # type: ignore[operator]

        def pooled(strength: float) -> "object":
            return lambda o, l: self.pooled(o, l, strength, self.baselines(o, l)[names[l]])

        floor = np.maximum(rivals, 1e-30)
        errors = {strength: left_out(pooled(strength)) for strength in STRENGTHS}
        strength = min(errors, key=lambda s: float((errors[s] / floor).sum()))
        error, shrinkage = errors[strength], None
        if self.sums.products.shape[2] > 1:
            base = pooled(strength)
            for candidate in SHRINKAGES:
                found = left_out(lambda o, l, c=candidate: self.by_group(o, l, c, base(o, l)))  # type: ignore[operator]
                # From strong to weak: where weaker shrinkage no longer pays, still weaker does not either.
                if (found / floor).sum() >= (error / floor).sum():
                    break
                error, shrinkage = found, candidate
        choices = Choices(
            strength=strength,
            shrinkage=shrinkage,
            baseline=tuple(names),
            improved=tuple((error < rivals).tolist()),
        )
        counts = self.sums.counts[folds].sum(0)
        return choices, np.minimum(error, rivals) / counts, rivals / counts

    def _best_baselines(self, others: dict[int, list[int]]) -> tuple[list[str], np.ndarray]:
        """Of each lead the baseline with the smallest error in the folds left out, and that error (L,)."""
        names, rivals = [], []
        for lead in range(self.leads):
            totals: dict[str, float] = {}
            for fold, rest in others.items():
                for name, q in self.baselines(rest, lead).items():
                    totals[name] = totals.get(name, 0.0) + self.error([fold], lead, q)
            names.append(min(totals, key=lambda name: totals[name]))
            rivals.append(totals[names[-1]])
        return names, np.array(rivals)

    def _total(self, folds: Sequence[int], lead: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = list(folds)
        products, targets, squares = self._pooled  # type: ignore[attr-defined]
        return products[rows, lead].sum(0), targets[rows, lead].sum(0), squares[rows, lead].sum()


def _diagonal(products: np.ndarray) -> np.ndarray:
    """Diagonal, not quite zero: a predictor that never moves gets the coefficient 0."""
    return np.maximum(np.diagonal(products), 1e-9 * np.trace(products) / len(products) + 1e-30)
