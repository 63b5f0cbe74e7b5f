"""
A gap in the input
==================

Clouds, a sensor that fails, a corner that did not arrive: a frame with some missing pixels is not lost. They
are filled by one rule, and the forecast says how many there were.
"""

import logging

import matplotlib.pyplot as plt

import simvp
from pipelines.home import Home

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather")).isel(time=slice(-40, -4)).load()
model = simvp.load("simvp-simulated-weather@challenger")
logging.getLogger("simvp").setLevel(logging.ERROR)

holed = ds.copy(deep=True)
holed.t2m[-2:, 3:7, 4:10] = float("nan")  # 24 of 384 points, in the last two frames

whole, forecast = simvp.predict(ds, model), simvp.predict(holed, model)
print(forecast.attrs["filled_input"])

# %%
# Each missing pixel takes the last departure from the climatology that was seen there. What that costs is the
# difference between the two forecasts. It stays where the gap was; everything else is forecast as before.

difference = (forecast.t2m - whole.t2m).isel(init_time=0)
limit = float(abs(difference).max())
figure, axes = plt.subplots(1, 4, figsize=(12, 2.8), layout="constrained", sharey=True)
holed.t2m.isel(time=-1).plot(ax=axes[0], cbar_kwargs={"label": "K"})
axes[0].set(title="last input")
for axis, lead in zip(axes[1:], (0, 1, 3), strict=True):
    picture = difference.isel(lead_time=lead).plot(ax=axis, cmap="RdBu_r", vmin=-limit, vmax=limit, add_colorbar=False)
    axis.set(title=f"difference, lead {3 * (lead + 1)} h", ylabel="")
figure.colorbar(picture, ax=axes[1:], label="K")

# %%
# More than ``missing_share`` of a frame (a tenth, unless the training said otherwise) is refused:

holed.t2m[-2:, :8] = float("nan")
try:
    simvp.predict(holed, model)
except simvp.errors.ContractError as refusal:
    print(refusal)
