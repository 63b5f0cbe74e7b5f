"""
Errors on a map
===============

Where is a model good? Hindcasts are forecasts that are computed afterwards, for init times whose truth is
known. Their root mean square error at each point is a map.
"""

import matplotlib.pyplot as plt
import numpy as np

import simvp
from pipelines.home import Home

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).load()
hindcasts = simvp.open_forecasts(home.hindcasts("simulated-weather", "12h")).load()

truth = ds.t2m.sel(time=hindcasts.valid_time)
error = hindcasts.t2m - truth
rmse = np.sqrt((error**2).mean("init_time"))
bias = error.mean("init_time")
rmse.sizes

# %%
# Errors grow with the lead. The bias says how much of that is a shift: it is below zero nearly everywhere at the last
# lead, where a model that was trained until June is too cold in July.

limit = float(abs(bias).max())
figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), layout="constrained", sharex=True, sharey=True)
for column, lead in enumerate((0, -1)):
    hours = rmse.lead_time.values[lead] / np.timedelta64(1, "h")
    rmse.isel(lead_time=lead).plot(
        ax=axes[0, column], vmin=0, vmax=float(rmse.max()), cbar_kwargs={"label": "RMSE [K]"}
    )
    bias.isel(lead_time=lead).plot(
        ax=axes[1, column], cmap="RdBu_r", vmin=-limit, vmax=limit, cbar_kwargs={"label": "bias [K]"}
    )
    axes[0, column].set(title=f"lead {hours:g} h", xlabel="")
    axes[1, column].set(title="")
