"""What is known ahead of the two simulated worlds: a calendar of holidays, and a numerical forecast with its errors."""

import numpy as np
import xarray as xr

from datasets.simulated.worlds import SimulatedTraffic

QUIETER = 0.4  # share of the traffic that stays at home on a holiday
HOLIDAYS = 0.15  # share of the days
ERROR, BIAS, KEEPS = 1.0, 0.5, 0.95  # K: standard deviation and mean of the numerical forecast's errors; an hour later
REACH = 3.0  # cells over which errors are alike


def with_holidays(ds: xr.Dataset, days_ahead: int = 7, seed: int = 0) -> tuple[xr.Dataset, xr.DataArray]:
    """Simulated traffic (loaded) with holidays that no cycle tells, and their calendar, a flag a day, some days longer.

    On a holiday `QUIETER` of all that moves stays at home, so that the effect has the course of the day.
    """
    first = ds["time"].values[0].astype("M8[D]")
    days = (ds["time"].values.astype("M8[D]") - first).astype(int)
    flags = (np.random.default_rng((seed, 5)).random(days[-1] + 1 + days_ahead) < HOLIDAYS).astype("f4")
    times = (first + np.arange(len(flags))).astype("M8[ns]")
    calendar = xr.DataArray(flags, {"time": times}, ("time",), "holiday", {"units": "1", "long_name": "holiday"})
    share = xr.DataArray(1 - QUIETER * flags[days], dims="time")
    lowest = np.float32(SimulatedTraffic.QUIETEST)
    made = {
        name: (lowest + (field - lowest) * share).astype("f4").assign_attrs(field.attrs) for name, field in ds.items()
    }
    return ds.assign(made), calendar


def numerical_forecast(ds: xr.Dataset, name: str = "t2m", seed: int = 0) -> xr.DataArray:
    """A numerical forecast of a variable of simulated weather for all times of `ds`, as if always of the same lead.

    The truth with errors that are smooth in space, keep from hour to hour, and have a mean: what a forecast was, not
    what an analysis says afterwards.
    """
    from scipy.ndimage import gaussian_filter

    random, (count, *shape) = np.random.default_rng((seed, 6)), ds[name].shape
    errors, now = np.empty((count, *shape), np.float32), np.zeros(shape)
    # Of white noise of variance 1 the filter leaves the variance 1 / (4 pi reach^2).
    scale = 2 * np.sqrt(np.pi) * REACH
    for hour in range(count):
        fresh = scale * gaussian_filter(random.standard_normal(shape), REACH, mode="wrap")
        now = fresh if hour == 0 else KEEPS * now + np.sqrt(1 - KEEPS**2) * fresh
        errors[hour] = BIAS + ERROR * now
    made = (ds[name] + errors).astype("f4").rename(f"{name}_nwp")
    return made.assign_attrs(units=ds[name].attrs["units"], long_name="numerical forecast of temperature")
