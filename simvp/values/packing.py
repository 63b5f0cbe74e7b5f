"""Stored numbers as values: which of them mean missing, and what scale and offset make of the rest."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

NO_TIME = np.iinfo("i8").min  # as a count, what xarray decodes to NaT


class Span(NamedTuple):
    """Numbers from the lowest to the highest, both included."""

    low: float = -inf
    high: float = inf

    def within(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the numbers lie inside."""
        if self.low == self.high:
            return numbers == self.low
        if self.high == inf:
            return numbers >= self.low
        return numbers <= self.high if self.low == -inf else (numbers >= self.low) & (numbers <= self.high)

    def without(self, numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Which of the numbers lie outside, or are known already."""
        known = known if self.low == -inf else known | (numbers < self.low)
        return known if self.high == inf else known | (numbers > self.high)


ALL = Span()


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How the stored numbers of one variable become values.

    Parameters
    ----------
    stored, seen
        Type in the file, and the one as which its bits are seen: unsigned numbers may be stored as signed ones.
    missing, undetected
        Numbers that mean missing, and those that mean that nothing was seen, of which the value is 0.
    valid, allowed
        Numbers that are valid; values that are.
    scale, offset
        Value = number x scale + offset; None: not packed.
    work, dtype
        Type in which that is computed, and of the values.
    """

    stored: np.dtype
    seen: np.dtype
    missing: tuple[Span, ...] = ()
    undetected: tuple[Span, ...] = ()
    valid: Span = ALL
    allowed: Span = ALL
    scale: float | None = None
    offset: float | None = None
    work: np.dtype
    dtype: np.dtype

    @property
    def packed(self) -> bool:
        """Whether a scale or an offset is to be applied."""
        return self.scale is not None or self.offset is not None

    def numbers(self, stored: np.ndarray) -> np.ndarray:
        """The stored numbers in the type as which they are seen."""
        native = np.asarray(stored).astype(self.stored, copy=False)
        return native if self.stored == self.seen else native.view(self.seen)

    def marked(self, numbers: np.ndarray) -> np.ndarray:
        """Which of the numbers mean missing."""
        missing = self.valid.without(numbers, np.zeros(numbers.shape, bool))
        for span in self.missing:
            missing |= span.within(numbers)
        return missing

    def values(self, stored: np.ndarray) -> np.ndarray:
        """Values of stored numbers of any shape, in an array of their own."""
        numbers = self.numbers(stored)
        missing = self.marked(numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            values = numbers.astype(self.work)
            if self.scale is not None:
                values *= self.work.type(self.scale)
            if self.offset is not None:
                values += self.work.type(self.offset)
            missing = self.allowed.without(values, missing)
            values = values.astype(self.dtype, copy=False)
        for span in self.undetected:
            nothing = span.within(numbers)
            values[nothing] = 0
            missing &= ~nothing
        if missing.any():
            values[missing] = NO_TIME if self.dtype.kind == "i" else np.nan
        return values
