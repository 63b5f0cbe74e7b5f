"""
A forecast for other tools
==========================

:func:`simvp.export` writes NetCDF for tools that do not know `simvp`: one file for each init time, with the valid time
as its time axis, as CDO, GDAL, QGIS and Panoply read it.
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

folder = Path(tempfile.mkdtemp())
(path,) = simvp.export(forecast, folder / "tomorrow.nc")
print(path.name, path.stat().st_size // 1024, "KiB")

# %%
# The lead stands beside the valid time, and the init time is `forecast_reference_time`:

tomorrow = xr.open_dataset(path, decode_timedelta=True)
tomorrow

# %%

figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
tomorrow.t2m.mean(["latitude", "longitude"]).plot(ax=axis, marker="o")
axis.set(title="mean over the domain", xlabel="valid time", ylabel="K")

# %%
# Every init time of a store gets a file of its own in a folder; `simvp export STORE FOLDER` does the same.

store = home.forecasts("simulated-weather", "12h")
for path in simvp.export(store, folder / "issued"):
    print(path.relative_to(folder))

# %%
# Plain Zarr keeps the forecast as it is, by init time and lead:

(path,) = simvp.export(forecast, folder / "tomorrow.zarr", format="zarr2")
xr.open_zarr(path, decode_timedelta=True).sizes
