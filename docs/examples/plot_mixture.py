"""
Weights of the mixture
======================

An issued forecast is a weighted mean of several forecasts, the experts. The weights follow from errors that are
verified by the init time, and lie in the forecast: ``<variable>_weight`` (init_time, lead_time, expert).
"""

import matplotlib.pyplot as plt
import numpy as np

import simvp
from pipelines.home import Home

home = Home.default()
hindcasts = simvp.open_forecasts(home.hindcasts("simulated-weather", "12h")).load()
weights = hindcasts.t2m_weight
print("experts:", ", ".join(map(str, weights.expert.values)))

# %%
# By init time, at the first and at the last lead. Here the base forecast carries
# most; what it lacks at longer leads comes from elsewhere, and not from the same expert every day.

used = weights.isel(expert=(weights.max(["init_time", "lead_time"]) > 0.01).values)
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
for axis, lead in zip(axes, (0, -1), strict=True):
    part = used.isel(lead_time=lead)
    axis.stackplot(part.init_time.values, part.transpose("expert", "init_time"), labels=part.expert.values)
    hours = part.lead_time.values / np.timedelta64(1, "h")
    axis.set(title=f"lead {hours:g} h", ylim=(0, 1), xlim=(part.init_time.values[0], part.init_time.values[-1]))
    axis.tick_params(axis="x", rotation=30)
axes[0].set(ylabel="weight")
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
