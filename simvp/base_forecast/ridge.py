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
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from simvp.base_forecast.normal_equations import NormalEquations
from simvp.base_forecast.predictors import Design, baseline_coefficients
from simvp.base_forecast.transform import IDENTITY, Kind
from simvp.record import Record

STRENGTHS = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
SHRINKAGES = (3.0, 1.0, 0.3, 0.1)
JUDGED_LEADS = 6
# Of rain: how much more firmly a coefficient of what is there in dry weather too stays at the baseline's, and how much
# less squared error a baseline that always rains has to have. No fold of a wet day tells what that costs.
STIFF, DRIZZLE = 1e6, 0.9


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
    within_baseline, within_improved
        The same of the coefficients that do without far cycles; empty where there are none.
    transform, corrected
        In which it is fitted, and whether its inverse has a factor.
    """

    strength: float
    shrinkage: float | None
    baseline: tuple[str, ...]
    improved: tuple[bool, ...]
    within_baseline: tuple[str, ...] = ()
    within_improved: tuple[bool, ...] = ()
    transform: Kind = "identity"
    corrected: bool = False

    def to_header(self) -> dict[str, Any]:
        """Everything as JSON; what is as in models that were saved before there was a choice is left out."""
        defaults: dict[str, Any] = {
            "within_baseline": [],
            "within_improved": [],
            "transform": IDENTITY.kind,
            "corrected": False,
        }
        header = super().to_header()
        return {name: value for name, value in header.items() if name not in defaults or value != defaults[name]}

    @property
    def within(self) -> "Choices | None":
        """Those of the coefficients that do without far cycles, of the same strength and shrinkage; if there are."""
        if not self.within_baseline:
            return None
        return replace(self, baseline=self.within_baseline, improved=self.within_improved)


@dataclass(eq=False)
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

    @cached_property
    def _pooled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.sums.pooled()

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
        products, targets, square = self._by_group(folds, lead)
        fitted = ((products @ beta[..., None].astype(products.dtype))[..., 0] * beta).sum(-1)
        return float((square - 2 * (beta * targets).sum(-1) + fitted).sum(dtype="f8"))

    def pooled(self, folds: Sequence[int], lead: int, strength: float, towards: np.ndarray) -> np.ndarray:
        """Coefficients (K,)."""
        products, targets, _ = self._total(folds, lead)
        keep = self.keep
        kept = products[np.ix_(keep, keep)]
        right = (targets - products @ towards)[keep]
        beta = towards.copy()
        held = np.where(self.design.wet_when_dry[keep], STIFF, 1.0)
        beta[keep] += np.linalg.solve(kept + np.diag(strength * held * _diagonal(kept)), right)
        return beta

    def by_group(self, folds: Sequence[int], lead: int, shrinkage: float, pooled: np.ndarray) -> np.ndarray:
        """Coefficients (G, K)."""
        keep = self.keep
        products, targets, _ = self._by_group(folds, lead)
        products, targets = products[:, keep][:, :, keep].astype("f8"), targets[:, keep].astype("f8")
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

    def choose(self) -> Choices:
        """Choices by the folds left out.

        With fewer than two folds nothing can be chosen: it is damped anomaly persistence then.
        """
        names, rivals = self._best_baselines()
        if len(self.folds) < 2:
            return Choices(strength=1.0, shrinkage=None, baseline=names, improved=(False,) * self.leads)
        leads, floor = range(self.leads), np.maximum(rivals, 1e-30)
        errors = {strength: self._left_out(leads, names, strength, None) for strength in STRENGTHS}
        strength = min(errors, key=lambda s: float((errors[s] / floor).sum()))
        shrinkage = self._shrinkage(names, strength, floor) if self.sums.products.shape[2] > 1 else None
        error = errors[strength] if shrinkage is None else self._left_out(leads, names, strength, shrinkage)
        improved = tuple((error < rivals).tolist())
        return Choices(strength=strength, shrinkage=shrinkage, baseline=names, improved=improved)

    def left_out(self, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
        """Mean squares (L,) in the folds left out, of what is chosen and of its baselines; empty without two folds."""
        if len(self.folds) < 2:
            return np.empty(0), np.empty(0)
        names, counts = choices.baseline, self.sums.counts[self.folds].sum(0)
        rivals = np.array([self._baseline_errors(lead)[name] for lead, name in enumerate(names)])
        error = self._left_out(range(self.leads), names, choices.strength, choices.shrinkage)
        return np.where(choices.improved, error, rivals) / counts, rivals / counts

    def compare(self, strength: float) -> tuple[tuple[str, ...], tuple[bool, ...]]:
        """The best baseline of each lead in the folds left out, and whether the pooled fit is better there."""
        names, rivals = self._best_baselines()
        if len(self.folds) < 2:
            return names, (False,) * self.leads
        error = self._left_out(range(self.leads), names, strength, None)
        return names, tuple((error < rivals).tolist())

    def _shrinkage(self, names: Sequence[str], strength: float, floor: np.ndarray) -> float | None:
        """The best of some, judged at a few leads; None where groups had better not differ."""
        leads = np.unique(np.linspace(0, self.leads - 1, min(self.leads, JUDGED_LEADS)).round().astype(int)).tolist()
        best, least = None, float((self._left_out(leads, names, strength, None) / floor[leads]).sum())
        for candidate in SHRINKAGES:
            error = float((self._left_out(leads, names, strength, candidate) / floor[leads]).sum())
            # From strong to weak: where weaker shrinkage no longer pays, still weaker does not either.
            if error >= least:
                break
            best, least = candidate, error
        return best

    def _left_out(
        self, leads: Sequence[int], names: Sequence[str], strength: float, shrinkage: float | None
    ) -> np.ndarray:
        """Sums of squares at some leads that fits to the other folds leave in each fold."""
        errors = np.zeros(len(leads))
        for fold, others in self.others():
            for number, lead in enumerate(leads):
                beta = self.pooled(others, lead, strength, self.baselines(others, lead)[names[lead]])
                if shrinkage is not None:
                    beta = self.by_group(others, lead, shrinkage, beta)
                errors[number] += self.error([fold], lead, beta)
        return errors

    def others(self) -> list[tuple[int, list[int]]]:
        """Each fold, and those that are not it."""
        return [(fold, [other for other in self.folds if other != fold]) for fold in self.folds]

    def _best_baselines(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Of each lead the baseline with the smallest error in the folds left out, and that error (L,)."""
        if len(self.folds) < 2:
            return ("damped_anomaly",) * self.leads, np.full(self.leads, np.nan)
        totals = [self._baseline_errors(lead) for lead in range(self.leads)]
        wet = [name for name, q in self.baselines(self.folds, 0).items() if q[self.design.wet_when_dry].any()]
        counted = [{n: error / (DRIZZLE if n in wet else 1) for n, error in errors.items()} for errors in totals]
        names = tuple(min(errors.items(), key=lambda item: item[1])[0] for errors in counted)
        return names, np.array([errors[name] for errors, name in zip(totals, names, strict=True)])

    def _baseline_errors(self, lead: int) -> dict[str, float]:
        """Sums of squares that each baseline leaves in the folds left out."""
        totals: dict[str, float] = {}
        for fold, rest in self.others():
            for name, q in self.baselines(rest, lead).items():
                totals[name] = totals.get(name, 0.0) + self.error([fold], lead, q)
        return totals

    def _total(self, folds: Sequence[int], lead: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums over all groups and some folds."""
        rows = list(folds)
        products, targets, squares = self._pooled
        return products[rows, lead].sum(0), targets[rows, lead].sum(0), squares[rows, lead].sum()

    def _by_group(self, folds: Sequence[int], lead: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums (G, K, K), (G, K), (G,) over some folds."""
        parts = (self.sums.products, self.sums.targets, self.sums.squares)
        if len(folds) == 1:
            return tuple(part[folds[0], lead] for part in parts)
        return tuple(part[list(folds), lead].sum(0) for part in parts)


def _diagonal(products: np.ndarray) -> np.ndarray:
    """Diagonal, not quite zero: a predictor that never moves gets the coefficient 0."""
    return np.maximum(np.diagonal(products), 1e-9 * np.trace(products) / len(products) + 1e-30)
