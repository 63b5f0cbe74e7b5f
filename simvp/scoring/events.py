"""Whether it rained where it was said to: counts of hits, misses and false alarms, and the critical success index.

The index (CSI, threat score: Schaefer 1990, Weather and Forecasting 5, 570-575) is
hits / (hits + misses + false alarms), of counts that are summed over maps first: the ratio of a single map with hardly
any rain is noise. It rewards rain of the right strength at the right place, so that the forecast that is meant for it
is sharp, not the smooth mean that the squared error asks for (`simvp.scoring.sharp`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from simvp.budget import fitting
from simvp.coords import Step, horizontal_dims
from simvp.scoring.scores import align, beside, frames_of
from simvp.values import converted

RATES = (0.1, 1.0)
"""mm/h: rain at all, and more than drizzle."""

OUTCOMES = ("hits", "misses", "false_alarms")

_LONGEST = 24 * 3600  # seconds: sums of longer steps say little of rates


def thresholds(units: str, step: Step) -> tuple[float, ...] | None:
    """What `RATES` are in some units; None where these are not of rain, or the step is longer than a day.

    Parameters
    ----------
    units
        Of a rate ("mm h-1", "kg m-2 s-1", "m s-1") or of an amount that falls in one step ("mm", "kg m-2", "m").
    step
        Of the series.
    """
    if not 0 < step.seconds <= _LONGEST:
        return None
    hours = step.seconds / 3600
    # 1 kg of water on a square metre is 1 mm.
    for per_hour, other in ((1.0, "mm h-1"), (1.0, "kg m-2 h-1"), (hours, "mm"), (hours, "kg m-2")):
        found = [converted(rate * per_hour, other, units) for rate in RATES]
        if None not in found:
            # Of 2.4000000000000004 mm, 2.4 mm would not be enough.
            return tuple(float(f"{value:.10g}") for value in found if value is not None)
    return None


def rain_limits(forecast: xr.Dataset, names: Sequence[str], step: Step) -> dict[str, tuple[float, ...]]:
    """Thresholds in their units of those of some variables that are rain."""
    limits = {name: thresholds(str(forecast[name].attrs.get("units", "")), step) for name in names}
    return {name: edges for name, edges in limits.items() if edges is not None}


def events(
    forecasts: Mapping[str, xr.Dataset], truth: xr.Dataset, limits: Mapping[str, tuple[float, ...]]
) -> xr.DataArray:
    """Points with rain at or above a threshold that was forecast, missed, or forecast in vain.

    Parameters
    ----------
    forecasts
        By name, as for `simvp.scoring.compare`; all of them have all variables of `limits`.
    truth
        Canonical Dataset.
    limits
        Thresholds of each variable, in its units; the same number for all.

    Returns
    -------
    xr.DataArray
        Counts (init_time, lead_time, contender, wet_variable, rate, outcome), int64, of the points that the truth and
        all forecasts know. The coordinate `threshold` (wet_variable, rate) has the limits, `rate` those in mm/h.

    Raises
    ------
    Refusal
        As `simvp.scoring.compare`.
    """
    forecasts = {name: forecast[list(limits)] for name, forecast in forecasts.items()}
    first = next(iter(forecasts.values()))
    truth, positions = align(first, truth)
    systems = [first, *beside(first, list(forecasts.items())[1:])]
    dims = ("init_time", "lead_time", *horizontal_dims(first))
    shape = first.sizes["init_time"], first.sizes["lead_time"]
    counts = np.zeros((*shape, len(systems), len(limits), len(RATES), len(OUTCOMES)), np.int64)
    size = fitting(4 * len(systems) * first[next(iter(limits))][0].size, share=64)
    for v, (name, edges) in enumerate(limits.items()):
        fields = [system[name].transpose(*dims) for system in systems]
        for start in range(0, shape[0], size):
            part = slice(start, start + size)
            maps = [field.isel(init_time=part).values for field in fields]
            seen = frames_of(truth[name], positions[part], maps[0].dtype)
            known = np.logical_and.reduce([np.isfinite(values) for values in (seen, *maps)])
            for r, edge in enumerate(edges):
                rained = known & (seen >= edge)
                for s, values in enumerate(maps):
                    said = known & (values >= edge)
                    pairs = (said & rained, rained & ~said, said & ~rained)
                    counts[part, :, s, v, r] = np.stack([pair.sum((2, 3)) for pair in pairs], axis=-1)
    return xr.DataArray(
        counts,
        dims=("init_time", "lead_time", "contender", "wet_variable", "rate", "outcome"),
        coords={
            "contender": list(forecasts),
            "wet_variable": list(limits),
            "rate": list(RATES),
            "outcome": list(OUTCOMES),
            "threshold": (("wet_variable", "rate"), np.array(list(limits.values()))),
            "init_time": first["init_time"].variable,
            "lead_time": first["lead_time"].variable,
        },
    )


def success(counts: xr.DataArray) -> xr.DataArray:
    """CSI of counts with the dim `outcome`; NaN where it neither rained nor was said to."""
    total = counts.sum("outcome")
    return counts.sel(outcome="hits") / total.where(total > 0)
