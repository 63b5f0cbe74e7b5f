"""
Compare with baselines
======================

A forecast is worth what it is better than. The five baselines cost nothing: they are made from the last frame,
from the same hour before, and from the climatology. All systems are scored on exactly the same points of every
map.
"""

import matplotlib.pyplot as plt
import numpy as np

import simvp
from pipelines.home import Home
from simvp.scoring import compare, summarise

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).load()
model = simvp.load("simvp-simulated-weather@challenger")

# %%
# Every third init time of the last week; the model has not been trained on it.

positions = np.arange(ds.sizes["time"] - 60, ds.sizes["time"] - 5, 3)
inits = ds.time.values[positions]
forecast = simvp.predict(ds, model, init_time=inits)
baselines = model.baselines.predict(ds, inits, leads=model.spec.frames_out)

errors = compare({"model": forecast, **baselines}, ds, climatology=model.baselines.climatology)
scores = summarise(errors).sel(variable="t2m")
scores.rmse.to_pandas().round(3)

# %%
# ``summarise`` also has the mean absolute error, the bias, the anomaly correlation and ``n``, the number of
# maps.

hours = scores.lead_time.values / np.timedelta64(1, "h")
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name in scores.system.values:
    style = {"color": "black", "linewidth": 2} if name == "model" else {"linestyle": "--"}
    axes.plot(hours, scores.rmse.sel(system=name), marker="o", label=str(name).replace("_", " "), **style)
axes.set(xlabel="lead [h]", ylabel="RMSE [K]", ylim=(0, None), xticks=hours)
axes.legend()
