"""
A forecast as NetCDF
====================

A forecast is a Dataset with CF attributes: what writes a Dataset writes it. Times and units come back as they
were, here and in any other tool that reads CF.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr

import simvp
from pipelines.home import Home

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).load()
forecast = simvp.predict(ds, "simvp-simulated-weather@challenger")

path = Path(tempfile.mkdtemp(), "tomorrow.nc")
forecast.to_netcdf(path)
print(path.stat().st_size // 1024, "KiB")
again = xr.open_dataset(path)
again.valid_time

# %%
# Many tools want one axis of valid times. One init time has one:

flat = again.isel(init_time=0).swap_dims(lead_time="valid_time").rename(valid_time="time")
figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
flat.t2m.mean(["latitude", "longitude"]).plot(ax=axis, marker="o")
axis.set(title="mean over the domain", xlabel="valid time", ylabel="K")
