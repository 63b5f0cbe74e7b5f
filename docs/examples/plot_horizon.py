"""
A horizon beyond T'
===================

A model of T' frames forecasts further when it is asked to: predictions become inputs. Errors grow until they
are those of the climatology.
"""

import matplotlib.pyplot as plt
import numpy as np

import simvp
from pipelines.home import Home
from simvp.scoring import compare, summarise

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).load()
model = simvp.load("simvp-simulated-weather@challenger")
print("T' is", model.spec.frames_out, "steps of", model.spec.step)

inits = ds.time.values[np.arange(ds.sizes["time"] - 70, ds.sizes["time"] - 17, 4)]
forecast = simvp.predict(ds, model, init_time=inits, horizon="2D")
forecast.sizes

# %%
# The baselines go on as well; beyond the leads that it was fitted for, the damping falls on at its mean rate.

others = model.baselines.predict(ds, inits, leads=forecast.sizes["lead_time"])
chosen = {name: others[name] for name in ("persistence", "climatology", "damped_anomaly")}
scores = summarise(compare({"model": forecast, **chosen}, ds)).sel(variable="t2m")

hours = scores.lead_time.values / np.timedelta64(1, "h")
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name in scores.system.values:
    style = {"color": "black", "linewidth": 2} if name == "model" else {"linestyle": "--"}
    axes.plot(hours, scores.rmse.sel(system=name), marker="o", label=str(name).replace("_", " "), **style)
axes.axvline(12, color="0.7")
axes.text(12.5, 0.1, "T'", color="0.4")
axes.set(xlabel="lead [h]", ylabel="RMSE [K]", ylim=(0, None), xticks=np.arange(0, 49, 12))
axes.legend()
