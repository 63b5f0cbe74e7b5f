"""What a training loop reads: numbered windows, a batch at a time, in an order that a seed decides."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# PyTorch takes as long to import as a small forecast to make, and who only lists windows does not need it.
Array: TypeAlias = "np.ndarray | Tensor"


class Batches(ABC):
    """Windows of T input and T' target frames by number.

    Attributes
    ----------
    endless : bool
        Whether any number of 0 or more is a window of its own; `len` is then what one epoch takes.
    """

    endless: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Windows there are."""

    @abstractmethod
    def batch(self, indices: np.ndarray) -> tuple[Array, Array, Array]:
        """Inputs x (B, T, C, H, W), targets y (B, T', S, H, W), mask m; float32, normalised.

        The mask is how much targets count in the loss, 0 where they do not, and 1 but for what is learned as a
        logarithm: (S, H, W) for all of them, or (B, T', S, H, W) where some lack values or count more than others.
        """

    def seasonal_cycle(self, indices: np.ndarray) -> "Array | None":
        """What the climatology departs from its mean by, (B, T + T', S, H, W) float32; None where it does not."""
        return None

    def shuffled(self, size: int, *, seed: int, first: int, count: int) -> Iterator[np.ndarray]:
        """Indices of the batches number `first` .. `first` + `count` - 1 of an endless series: the same for a seed.

        All windows come once, in an order of their own, before any comes again; where they are endless, none ever
        does. A batch depends on its number and the seed alone, so that a training that was cut off goes on in the
        middle.
        """
        order: dict[int, np.ndarray] = {}
        for number in range(first, first + count):
            places = np.arange(number * size, (number + 1) * size)
            if self.endless:
                yield places
                continue
            rounds, places = np.divmod(places, len(self))
            needed = dict.fromkeys(rounds.tolist())
            order = {r: order[r] if r in order else self.arranged(np.random.default_rng([seed, r])) for r in needed}
            yield np.array([order[r][place] for r, place in zip(rounds.tolist(), places, strict=True)])

    def arranged(self, random: np.random.Generator) -> np.ndarray:
        """All windows in a random order, (M,)."""
        return random.permutation(len(self))

    def ordered(self, size: int) -> Iterator[np.ndarray]:
        """Indices of all windows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))
