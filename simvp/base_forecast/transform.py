"""In what a base forecast is fitted: values as they are, their square roots or their logarithms; and the way back.

An amount that changes by factors (traffic from hour to hour, rain) is closer to linear in its logarithm, a count, whose
noise grows with its root, in that. Both take zero to zero and are for what has no values below.

The inverse of a mean is no mean: it lacks what the concave transform takes off the large values. A forecast is
therefore multiplied with a factor, by lead the regression of what was observed on what was forecast, both in physical
units, unless folds that it was not fitted on say that it is better left out. A factor and nothing that is added (as is
Duan's smearing estimate), so that nothing stays nothing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from simvp.contract import logarithm, mean_above_zero
from simvp.record import Record

Kind = Literal["identity", "sqrt", "log1p"]
KINDS: tuple[Kind, ...] = ("identity", "sqrt", "log1p")


@dataclass(frozen=True, kw_only=True)
class Transform(Record):
    """A transform and its inverse.

    Parameters
    ----------
    kind
        Values x as they are, the square root of x, or log(1 + x / s).
    scale
        s.
    """

    kind: Kind = "identity"
    scale: float = 1.0

    @classmethod
    def of(cls, kind: Kind, points: np.ndarray) -> "Transform":
        """With the scale that a sample of the values says, as the contract has it."""
        return cls(kind=kind, scale=mean_above_zero(points)) if kind == "log1p" else cls(kind=kind)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Physical values (...) as they are fitted, float32; what lies below zero, by rounding, is zero."""
        if self.kind == "log1p":
            return logarithm(values, self.scale)
        return np.sqrt(values.clip(0)) if self.kind == "sqrt" else values

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Inverse of `forward`, never below zero; the values themselves for the identity."""
        if self.kind == "identity":
            return values
        values = values.clip(0)
        return np.square(values) if self.kind == "sqrt" else np.expm1(values) * np.float32(self.scale)


IDENTITY = Transform()
