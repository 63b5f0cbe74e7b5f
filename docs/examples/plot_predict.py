"""
A forecast from a Dataset
=========================

``simvp.predict`` takes labelled data and gives a labelled forecast. The axes may be called anything and be in
any order; the forecast comes back on the caller's own names.
"""

import matplotlib.pyplot as plt

import simvp
from pipelines.home import Home

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).load()
mine = ds[["t2m"]].rename(latitude="lat", longitude="lon").transpose("lon", "lat", "time")

model = simvp.load("simvp-simulated-weather@challenger")
forecast = simvp.predict(mine, model, init_time=mine.time.values[-1 - model.spec.frames_out])
forecast

# %%
# Where the gate has promoted a version, ``simvp.predict(ds)`` finds it by itself: the champion whose contract
# accepts the data.
#
# ``valid_time`` says for which time a field holds. Selecting by it gives the truth with the same labels.

predicted = forecast.t2m.isel(init_time=0)
truth = mine.t2m.sel(time=forecast.valid_time.isel(init_time=0))
low, high = float(truth.min()), float(truth.max())

figure, axes = plt.subplots(2, 4, figsize=(11, 4.2), layout="constrained", sharex=True, sharey=True)
for lead in range(4):
    for row, (label, field) in enumerate({"forecast": predicted, "truth": truth}.items()):
        one = field.isel(lead_time=lead)
        picture = one.plot(x="lon", y="lat", ax=axes[row, lead], vmin=low, vmax=high, add_colorbar=False)
        axes[row, lead].set(title=f"{label}, {str(one.valid_time.values)[5:16]}", xlabel="", ylabel="")
figure.colorbar(picture, ax=axes, label="2 m temperature [K]")
