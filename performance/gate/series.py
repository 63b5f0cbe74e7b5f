"""Simulated differences of squared errors, of two forecasters whose skill is known."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

LEADS, WINDOW = 12, 36  # T', and T + T': hourly forecasts of half a day from a day
BLOCK = WINDOW + 1  # steps


@dataclass(frozen=True, kw_only=True)
class World:
    """Two forecasters: errors are stationary Gaussian AR(1) series of variance one, one value a step.

    Parameters
    ----------
    memory
        Autocorrelation of the errors from one step to the next.
    shared
        Correlation of the errors of the two: both miss the same weather.
    better
        Share by which the RMSE of the challenger is lower.
    alike
        Whether the reference's squared error is the same at every step instead: the challenger's large errors are
        then rare, and its mean is easily underrated.
    """

    memory: float
    shared: float = 0.0
    better: float = 0.0
    alike: bool = False

    def gains(self, rows: int, blocks: int, seed: int) -> np.ndarray:
        """(rows, blocks * BLOCK): squared error of the reference less that of the challenger, mean of the leads.

        Neighbouring init times share all but one of their leads' valid times, as in a real evaluation.
        """
        rng, steps = np.random.default_rng(seed), blocks * BLOCK + LEADS - 1
        reference, own = (_autoregressive(rng, rows, steps, self.memory) for _ in range(2))
        challenger = self.shared * reference + (1 - self.shared**2) ** 0.5 * own
        squared = np.ones_like(reference) if self.alike else reference**2
        return _lead_mean(squared - ((1 - self.better) * challenger) ** 2)


def _autoregressive(rng: np.random.Generator, rows: int, steps: int, memory: float) -> np.ndarray:
    noise = rng.standard_normal((rows, steps))
    noise[:, 1:] *= (1 - memory**2) ** 0.5
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1))


def _lead_mean(values: np.ndarray) -> np.ndarray:
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return (sums[:, LEADS:] - sums[:, :-LEADS]) / LEADS
