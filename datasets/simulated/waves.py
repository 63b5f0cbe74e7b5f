"""Waves carried by a steering flow: the moving part of the simulated weather, as a formula of time."""

from typing import ClassVar

import numpy as np


class Waves:
    """Waves whose sum, carried by a steering flow and bent by it, is the weather; K waves, positions in cells.

    The steering flow is uniform, turns and changes its speed within days (three slow oscillations on top of the
    mean), and meanders: rows are displaced along x, columns along y, by waves that travel themselves. All of it is
    a displacement that can be written down for any time, which is what makes every frame available at once.
    """

    COUNT: ClassVar[int] = 16
    MEAN_FLOW: ClassVar[tuple[float, float]] = (0.8, 0.0)  # cells per hour along x and y
    FLOW_STD: ClassVar[float] = 0.18
    GROWTH: ClassVar[float] = 0.5
    MEANDER: ClassVar[float] = 2.0  # cells
    MEANDER_WAVE: ClassVar[tuple[tuple[float, float], ...]] = ((40.0, 72.0), (36.0, 54.0))  # cells, hours

    def __init__(self, random: np.random.Generator) -> None:
        """Draw waves 16 to 48 cells long, in any direction, the longer the stronger."""
        size, circle = self.COUNT, 2 * np.pi
        length = np.exp(random.uniform(np.log(16.0), np.log(48.0), size))
        angle = random.uniform(0.0, circle, size)
        self.kx, self.ky = circle / length * np.cos(angle), circle / length * np.sin(angle)  # radians per cell
        amplitude = length**0.7
        self.amplitude = amplitude / np.sqrt((amplitude**2).sum() / 2 * (1 + self.GROWTH**2 / 2))  # variance 1 in all
        self.phase = random.uniform(0.0, circle, size)
        # In radians per hour, as the next two. Waves of unlike size move unlike fast, so systems form and dissolve.
        self.drift = circle / random.uniform(140.0, 400.0, size) * random.choice([-1.0, 1.0], size)
        self.growth = circle / random.uniform(40.0, 120.0, size)  # each wave waxes and wanes
        self.growth_phase = random.uniform(0.0, circle, size)
        self.turn = circle / random.uniform(50.0, 180.0, (2, 3))  # oscillations of the flow along x and along y
        self.turn_phase = random.uniform(0.0, circle, (2, 3))
        self.meander_phase = random.uniform(0.0, circle, 2)

    def at(self, hours: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Sum of the waves, (N, H, W), mean 0 and variance near 1, at `hours` (N,)."""
        t = hours[:, None, None]
        row, column = np.arange(shape[0])[:, None], np.arange(shape[1])[:, None]
        swing = self.FLOW_STD * np.sqrt(2 / 3) / self.turn * np.sin(self.turn * t + self.turn_phase)
        moved = np.array(self.MEAN_FLOW) * hours[:, None] + swing.sum(-1)  # (N, 2)
        along_x, along_y = (
            self.MEANDER * np.sin(2 * np.pi * (place / length - t / period) + phase)
            for place, (length, period), phase in zip((row, column), self.MEANDER_WAVE, self.meander_phase, strict=True)
        )
        # cos(a + b) with a of rows alone and b of columns alone: a product of two thin matrices per frame
        a = self.ky * row - self.kx * (moved[:, 0, None, None] + along_x) + self.drift * t + self.phase  # N, H, K
        b = self.kx * column - self.ky * (moved[:, 1, None, None] + along_y)  # N, W, K
        strength = self.amplitude * (1 + self.GROWTH * np.sin(self.growth * t + self.growth_phase))
        left = np.concatenate([strength * np.cos(a), -strength * np.sin(a)], axis=-1)
        right = np.concatenate([np.cos(b), np.sin(b)], axis=-1)
        return left @ right.transpose(0, 2, 1)
