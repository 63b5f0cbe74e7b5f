"""Rain as a radar sees it: cells that move with the wind, grow and decay, and a dry evening after them."""

import numpy as np
import xarray as xr

SHAPE = (32, 40)
WIND = (0.8, 1.6)
"""Cells a frame along rows and columns."""


def radar_world(frames: int = 72, *, dry: int = 24, seed: int = 0, packing: float = 0.0) -> xr.Dataset:
    """Precipitation of ten minutes, mm, canonical, beside a temperature that knows nothing of it.

    Parameters
    ----------
    frames
        Of the whole series.
    dry
        How many of them, the last ones, are an evening after the storm: no rain but a few traces.
    packing
        Added to one dry value: what packing leaves below zero.
    """
    draws = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    rain = np.zeros((frames, *SHAPE))
    for _ in range(frames * 2):
        born, life = draws.uniform(-20, frames - dry), draws.uniform(12, 30)
        start, radius, peak = draws.uniform(-20, 50, 2), draws.uniform(1.5, 4), draws.gamma(1.5, 1.5)
        for t in range(max(0, int(np.ceil(born))), min(frames - dry, int(born + life))):
            row, column = start + np.multiply(WIND, t - born)
            grown = peak * np.sin(np.pi * (t - born) / life)
            rain[t] += grown * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    rain[rain < 0.05] = 0
    rain[frames - dry :, 3:5, 7] = 0.02 if dry else 0.0
    rain[-1, -1, -1] += packing
    time = np.datetime64("2020-10-31", "ns") + np.arange(frames) * np.timedelta64(10, "m")
    coords = {"time": time, "y": np.arange(float(SHAPE[0])), "x": np.arange(float(SHAPE[1]))}
    dims = ("time", "y", "x")
    air = 280 + draws.normal(size=rain.shape)
    return xr.Dataset(
        {
            "rain": (dims, rain.astype("f4"), {"units": "mm", "standard_name": "precipitation_amount"}),
            "t2m": (dims, air.astype("f4"), {"units": "K", "standard_name": "air_temperature"}),
        },
        coords=coords,
    )
