"""A forecast of rain meant for hits and misses: the rain of extrapolation, in an order that the model has a say in.

How much say is a choice of a training, made on validation blocks by the critical success index at every one of
`simvp.scoring.events.RATES` (`chosen_say`). None is among the candidates: then the sharp forecast is the extrapolation.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from simvp.motion import probability_matched
from simvp.scoring.events import contingency

SAYS = (0.0, 0.15, 0.3, 0.5, 0.7)
"""Candidates; beyond 0.7 the order is that of a smooth field, which on radar is better at no rate."""

EVEN = 0.5
"""Of models that were trained before there was a choice."""


def sharpened(forecast: xr.Dataset, extrapolation: xr.Dataset, says: Mapping[str, float]) -> xr.Dataset:
    """A forecast whose rain has the distribution of the extrapolated one, in the order of a weighted mean of the two.

    Parameters
    ----------
    forecast, extrapolation
        Labelled forecasts of the same times and grid.
    says
        For each variable that is rain the weight of `forecast` in that mean, 0 to 1; the other variables stay as they
        are.
    """
    made = {}
    for name, say in says.items():
        values, moved = forecast[name].values, extrapolation[name].transpose(*forecast[name].dims).values
        made[name] = forecast[name].copy(data=probability_matched(moved + np.float32(say) * (values - moved), moved))
    return forecast.assign(made)


def chosen_say(counts: xr.DataArray) -> float:
    """The candidate with the highest CSI on blocks, relative to the CSI of no say, in the mean over the rates.

    Not below that of no say at any rate; and none at all unless the gain exceeds its standard error over the blocks
    (jackknife), for with few blocks the highest of several candidates is high by luck.

    Parameters
    ----------
    counts
        Of one variable, of `simvp.scoring.event_sums`: (block, contender, rank_of_threshold, scale, sum), where the
        contenders are `SAYS` as texts, the first of them no say.
    """
    counts = counts.transpose("block", "contender", "rank_of_threshold", ...)

    def gains(part: xr.DataArray) -> np.ndarray:
        """(contender, threshold) CSI over that of no say, less 1; 0 at a threshold where neither hit anything."""
        index = contingency(part.sum("block"))["csi"].values
        gain = index / np.where(index[:1] > 0, index[:1], np.nan) - 1
        return np.where(np.isfinite(gain), gain, 0.0)

    every = gains(counts)
    mean = np.where((every >= 0).all(1), every.mean(1), -np.inf)
    best, blocks = int(mean.argmax()), counts.sizes["block"]
    if blocks < 2:
        return SAYS[0]
    without = [gains(counts.isel(block=np.arange(blocks) != b))[best].mean() for b in range(blocks)]
    error = np.sqrt((blocks - 1) * np.var(without))
    return SAYS[best if mean[best] > error else 0]
