"""The base forecast of one variable: what is kept of it, and how it forecasts.

Letters: L leads, G groups of points, K predictors, P points, n init times, H rows, W columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simvp.base_forecast.predictors import Block, Design
from simvp.base_forecast.ridge import Choices
from simvp.base_forecast.series import Series, near_each_other
from simvp.base_forecast.transform import IDENTITY, Transform
from simvp.contract import Climatology
from simvp.record import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearForecast(Record):
    """The base forecast of one variable.

    Parameters
    ----------
    name
        Of the variable.
    design
        Which predictors there are.
    choices
        How the coefficients came about.
    climatology, others
        m, and the further ones by period.
    valid
        (H, W) bool, the points with a forecast.
    area
        (P,) weights of these points, of sum one.
    group
        (P,) group of each point.
    coefficients, within
        (L, G, K) float32, or (L, 1, K): with all predictors, and with those of the T input frames alone.
    transform
        Of the values, before everything else.
    factors
        (2, L) float32: what the inverse is multiplied with, for either coefficients; None: with nothing.
    """

    name: str
    design: Design
    choices: Choices
    climatology: Climatology
    others: Mapping[str, Climatology]
    valid: np.ndarray
    area: np.ndarray
    group: np.ndarray
    coefficients: np.ndarray
    within: np.ndarray
    transform: Transform = IDENTITY
    factors: np.ndarray | None = None

    @property
    def leads(self) -> int:
        """L."""
        return len(self.coefficients)

    def predict(self, series: Series, inits: np.ndarray) -> np.ndarray:
        """Physical maps (n, L, H, W) for rising init slots; NaN at points without values."""
        series = replace(series, transform=self.transform)
        maps = np.full((len(inits), self.leads, *self.valid.shape), np.nan, np.float32)
        frames = self.design.frames_in + self.leads
        done = 0
        for chosen in near_each_other(inits, len(self.area), self.design.held(self.leads), frames):
            block = Block(
                series=series,
                design=self.design,
                climatology=self.climatology,
                others=self.others,
                area=self.area,
                inits=chosen,
                leads=self.leads,
            )
            for lead in range(1, self.leads + 1):
                maps[done : done + len(chosen), lead - 1][:, self.valid] = self.at(block, lead).T
            done += len(chosen)
        return maps

    def at(self, block: Block, lead: int) -> np.ndarray:
        """Physical forecast at the points (P, n) of a block, for one lead."""
        normal, z = block.reference(lead), block.predictors(lead)
        made = normal + applied(self.coefficients[lead - 1], z, self.group)
        lacking = ~np.isfinite(made[0])  # frames that are not there lack at all points
        factor = None if self.factors is None else np.where(lacking, *self.factors[::-1, lead - 1])
        if lacking.any():
            short = np.where(self.design.within[:, None], z[..., lacking], np.float32(0))
            made[:, lacking] = normal[:, lacking] + applied(self.within[lead - 1], short, self.group)
        made = self.transform.inverse(made)
        return made if factor is None else made * factor

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        header = super().to_header()
        if self.transform == IDENTITY:  # as in models that were saved before there were others
            del header["transform"]
        return header

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> "LinearForecast":
        """Inverse of `to_header` and `arrays`."""
        return super().from_header({"transform": IDENTITY.to_header(), **header}, arrays)


def applied(coefficients: np.ndarray, z: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum over the predictors (P, K, n) with coefficients (G, K) or (1, K), (P, n)."""
    by_point = coefficients if len(coefficients) == 1 else coefficients[group][:, None]
    return (by_point @ z)[:, 0]
