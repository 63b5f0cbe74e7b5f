"""Forecasts tried in physical units: on a sample of what was summed, by coefficients of the folds that it is not of.

The error of a transformed forecast in physical units is no quadratic form of its coefficients, so that sums of products
do not tell it. Of a sample the predictors themselves are kept. Whatever factor a forecast is multiplied with, its error
follows from three moments (f forecast, y observed): the sums of f f, f y and y y.

Letters: F folds, L leads, G groups of points, K predictors, P points of the sample, n init times.
"""

from dataclasses import dataclass, field

import numpy as np

from simvp.base_forecast.linear_forecast import applied
from simvp.base_forecast.ridge import Choices, Ridge
from simvp.base_forecast.transform import Transform
from simvp.budget import fitting

POINTS = 512


@dataclass(kw_only=True, eq=False)
class Sample:
    """Predictors, and what is known of their targets, at some points and init times.

    Attributes
    ----------
    places, area, group
        (P,) positions of its points among all, their area, their group.
    inits
        How many init times there is memory for.
    parts
        By fold and lead: predictors (P, K, n), what departures are from (P, n), and the physical truth (P, n).
    """

    transform: Transform
    places: np.ndarray
    area: np.ndarray
    group: np.ndarray
    inits: int
    parts: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = field(default_factory=dict)

    @classmethod
    def empty(cls, transform: Transform, group: np.ndarray, area: np.ndarray, values: int) -> "Sample":
        """At evenly spread points; `values` are kept for a point and an init time."""
        places = np.linspace(0, len(group) - 1, min(len(group), POINTS)).round().astype(int)
        return cls(
            transform=transform,
            places=places,
            area=area[places].astype("f8"),
            group=group[places],
            inits=fitting(4 * values * len(places), 16),
        )

    def spread(self, inits: np.ndarray) -> np.ndarray:
        """Those of some init times that there is memory for."""
        return inits[np.linspace(0, len(inits) - 1, min(len(inits), self.inits)).round().astype(int)]

    def add(self, fold: int, lead: int, z: np.ndarray, reference: np.ndarray, y: np.ndarray, taken: np.ndarray) -> None:
        """Add those columns of a block, (P, K, n) and (P, n) of all points, that are `taken` (n,)."""
        at = np.ix_(self.places, np.flatnonzero(taken))
        truth = self.transform.inverse(reference[at] + y[at])
        part = z[self.places][..., taken], reference[at], truth
        self.parts.setdefault((fold, lead), []).append(part)

    def moments(self, ridge: Ridge, choices: Choices) -> np.ndarray:
        """Sums of f f, f y, y y and of the area that is known, (F, L, 4), of forecasts by the other folds."""
        made = np.zeros((len(ridge.folds), ridge.leads, 4))
        for number, (fold, others) in enumerate(ridge.others()):
            for lead in range(ridge.leads):
                beta = ridge.solve(others, lead, choices).astype("f4")
                for z, reference, truth in self.parts.get((fold, lead), ()):
                    f = self.transform.inverse(reference + applied(beta, z, self.group))
                    known = np.isfinite(truth)
                    f, y = np.where(known, f, 0).astype("f8"), np.where(known, truth, 0).astype("f8")
                    sums = (f * f).sum(1), (f * y).sum(1), (y * y).sum(1), known.sum(1)
                    made[number, lead] += [self.area @ part for part in sums]
        return made


def factors(moments: np.ndarray) -> np.ndarray:
    """By lead what a forecast is multiplied with, (..., L): regression of y on f; 1 where nothing is forecast."""
    ff, fy = moments[..., 0].sum(-2), moments[..., 1].sum(-2)
    return np.divide(fy, ff, out=np.ones_like(ff), where=ff > 0)


def squares(moments: np.ndarray, *, corrected: bool) -> np.ndarray:
    """Sums of squared errors (F, L), with the factor of the other folds if they are corrected."""
    ff, fy, yy = np.moveaxis(moments[..., :3], -1, 0)
    c = np.ones_like(ff)
    if corrected and len(moments) > 1:
        c = np.stack([factors(np.delete(moments, fold, axis=0)) for fold in range(len(moments))])
    return yy - 2 * c * fy + c * c * ff
