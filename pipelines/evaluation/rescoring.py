"""Which scores do not hold any more: the archive has changed below them, or they were made by an older rule."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from simvp.coords import encode_times, parse_times


def lies_in(spans: Sequence[tuple[Any, Any]], calendar: str, *times: np.ndarray) -> np.ndarray:
    """(N,) bool: whether any of the times of a forecast lies in one of some spans.

    Parameters
    ----------
    spans
        First and last time, both included; texts or times.
    calendar
        Of the times.
    times
        Arrays (N, ...) of times.
    """
    seconds = np.concatenate([encode_times(part.reshape(len(part), -1))[0] for part in times], axis=1)
    found = np.zeros(len(seconds), bool)
    for span in spans:
        first, last = encode_times(parse_times(span, calendar))[0]
        found |= ((seconds >= first) & (seconds <= last)).any(1)
    return found


def unlike_points(scores: xr.Dataset) -> np.ndarray:
    """(I,) bool: whether the systems were scored on different points of a map, as they were once."""
    points = scores["points"]
    return ((points > 0) & (points != points.sel(system="model"))).any(["system", "variable", "lead_time"]).values


def differing(new: xr.Dataset, old: xr.Dataset) -> np.ndarray:
    """(I,) bool: for which init times the scores of the same forecasts differ."""
    found = np.zeros(new.sizes["init_time"], bool)
    for name, values in new.data_vars.items():
        before = old[name].transpose(*values.dims).values
        other = (values.values != before) & ~(np.isnan(values.values) & np.isnan(before))
        found |= other.any(tuple(at for at, dim in enumerate(values.dims) if dim != "init_time"))
    return found
