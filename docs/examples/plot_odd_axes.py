"""
NetCDF with odd names of axes
=============================

Axes are known by their attributes, and by their names where these are silent. Here is a file as models write
them: other names, other order, packed numbers, south on top.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from datasets.readers import open_source

# %%
# The file:

lat, lon = np.arange(50.0, 58.0), np.arange(350.0, 362.0)
time = np.datetime64("2026-01-01", "ns") + np.arange(48) * np.timedelta64(1, "h")
wave = np.cos(2 * np.pi * np.arange(48) / 24)[:, None, None]
values = 280 + 4 * wave + lat[:, None] - 54 + 0.2 * (lon - 356) + 0 * wave
ds = xr.Dataset(
    {"TMP": (("FNOCY", "T1", "XAX"), values.transpose(1, 0, 2).astype("f4"), {"units": "deg K"})},
    coords={
        "FNOCY": ("FNOCY", lat, {"units": "degrees_north"}),
        "XAX": ("XAX", lon, {"units": "degrees_east"}),
        "T1": ("T1", time, {"standard_name": "time"}),
    },
)
ds.TMP[2, 5:7, 3] = np.nan
folder = Path(tempfile.mkdtemp())
ds.to_netcdf(
    folder / "odd.nc",
    encoding={"TMP": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}},
)
xr.open_dataset(folder / "odd.nc", decode_times=False, mask_and_scale=False)

# %%
# What is read: dims (time, latitude, longitude), numbers unpacked, missing values as NaN, the unit as the field
# spells it.

read = open_source(folder / "odd.nc")
read

# %%
# ``make demo SOURCE=odd.nc`` would take it from here.

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
read.TMP.isel(time=6).plot(ax=axis)
