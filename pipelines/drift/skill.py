"""Whether forecasts are still better than the best baseline, and their bounds still hold what they promise.

Blocks are so long that a forecast, from its init time to its last valid time, lies within one; those that reach into
the next are left out. All its forecasts then know what is known when a block begins, and nothing of a block is known
before: no two blocks share a target. That is all that the tests need, however alike the weather of two blocks is.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from pipelines.drift.detector import on_every_second, on_mean
from pipelines.evaluation import PARTS
from simvp.times import DAY, encode_times

LEAST_SKILL = 0.01
"""Share by which the RMSE has to be below that of the best baseline: with less a model earns nothing."""

BAND, TOLERANCE = (0.05, 0.95), 0.05
"""Levels of the 90 % band, and how far its coverage may be off: from 85 to 95 %."""

_LEADER_DAYS = 30  # of which the baseline with the smallest error is the best


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Scores of one variable by block.

    Parameters
    ----------
    start
        (T,) seconds since 1970-01-01.
    days
        Of a block.
    errors
        (T, 1 + B) mean square error of the model and of every baseline, on the same maps; NaN without one.
    inside
        (T,) share of the truth inside of the band; NaN where there is none.
    baselines
        Names of the B baselines.
    """

    start: np.ndarray
    days: float
    errors: np.ndarray
    inside: np.ndarray
    baselines: tuple[str, ...]

    @property
    def best(self) -> np.ndarray:
        """(T,) number of the best baseline of the days before each block; -1 while there are none."""
        rivals, back = self.errors[:, 1:], max(1, round(_LEADER_DAYS / self.days))
        best = np.full(len(rivals), -1)
        for number in range(1, len(rivals)):
            before = rivals[max(0, number - back) : number]
            before = before[np.isfinite(before).all(1)]
            if len(before):
                best[number] = int(before.mean(0).argmin())
        return best

    @property
    def bad(self) -> np.ndarray:
        """(T,) 1 where the forecasts were no better than the baseline that was best till then, 0 where they were."""
        best = self.best
        rival = self.errors[np.arange(len(best)), 1 + best]
        bad = self.errors[:, 0] > (1 - LEAST_SKILL) ** 2 * rival
        return np.where((best >= 0) & np.isfinite(rival), bad.astype("f8"), np.nan)


def blocks(scores: xr.Dataset, variable: str) -> Blocks:
    """Scores of one variable of the forecasts of one model.

    Parameters
    ----------
    scores
        Loaded, of a store of scores; init times rise.
    """
    own = scores.sel(variable=variable).transpose("init_time", "lead_time", ...)
    inits = encode_times(own["init_time"].values)[0]
    valid = own["valid_time"].transpose("init_time", "lead_time").values
    reach = encode_times(valid.reshape(-1))[0].reshape(valid.shape)[:, -1] - inits
    length = int(-(-reach.max() // DAY)) * DAY
    number, into = np.divmod(inits - inits[0], length)
    number = np.where(into + reach <= length, number, -1)
    systems = [name for name in own["system"].values.tolist() if name not in PARTS and name != "model"]
    systems = [name for name in systems if own["squared_error"].sel(system=name).notnull().any()]
    errors = own["squared_error"].sel(system=["model", *systems]).transpose("init_time", "lead_time", "system").values
    errors = np.where(np.isfinite(errors).all(-1, keepdims=True), errors, np.nan)
    return Blocks(
        start=inits[0] + length * np.arange(number.max() + 1),
        days=length / DAY,
        errors=_by_block(errors, number),
        inside=_by_block(_inside(own)[..., None], number)[:, 0],
        baselines=tuple(systems),
    )


def _inside(own: xr.Dataset) -> np.ndarray:
    """(I, L) share of the truth between the two bounds."""
    if "below" not in own:
        return np.full((own.sizes["init_time"], own.sizes["lead_time"]), np.nan)
    low, high = (own["below"].sel(quantile=level).transpose("init_time", "lead_time").values for level in BAND)
    return np.asarray(high - low)


def _by_block(values: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Means (T, K) over the maps (I, L, K) of each block that are known."""
    known = np.isfinite(values)
    count = int(number.max()) + 1
    total, counts = np.zeros((count, values.shape[-1])), np.zeros((count, values.shape[-1]))
    rows = number >= 0
    np.add.at(total, number[rows], np.where(known, values, 0.0)[rows].sum(1))
    np.add.at(counts, number[rows], known[rows].sum(1))
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, total / counts, np.nan)


def skill_factors(own: Blocks) -> np.ndarray:
    """Factors of bets against: on every second block at least the forecasts are better than the best baseline."""
    return on_every_second(own.bad)


def coverage_factors(own: Blocks) -> np.ndarray:
    """Factors of bets against: the band covers what it promises, give or take the tolerance."""
    low, high = BAND[1] - BAND[0] - TOLERANCE, BAND[1] - BAND[0] + TOLERANCE
    return np.concatenate([on_mean(low - own.inside, low - 1), on_mean(own.inside - high, -high)], axis=1)
