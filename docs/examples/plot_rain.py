"""
Rain and the critical success index
===================================

The baseline to beat for rain is its extrapolation: the last frame, carried on along the motion of the last
ones. Whether it rains where it was said to is what the critical success index (CSI) counts: hits / (hits +
misses + false alarms).
"""

import matplotlib.pyplot as plt
import numpy as np

from simvp.motion import extrapolate

# %%
# Showers that move to the right and a little upwards, grow and decay; ten minutes between frames, 1 km between
# points, mm/h.

draws = np.random.default_rng(1)
rows, columns = np.indices((48, 64))
frames = np.zeros((24, 48, 64))
for _ in range(40):
    born, life = draws.uniform(-15, 24), draws.uniform(12, 30)
    start, radius, peak = draws.uniform((-5, -30), (50, 60)), draws.uniform(2, 4), draws.gamma(2, 2)
    for t in range(max(0, int(np.ceil(born))), min(24, int(born + life))):
        row, column = start + np.array([0.5, 1.8]) * (t - born)
        shape = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
        frames[t] += peak * np.sin(np.pi * (t - born) / life) * shape
frames[frames < 0.05] = 0

# %%
# A forecast of one hour from three frames, beside the truth and the last frame left where it is:

init, leads = 14, 6
forecast = extrapolate(frames[None, init - 2 : init + 1], leads)[0]
truth, last = frames[init + 1 : init + 1 + leads], frames[init]

figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained", sharey=True)
for axis, (title, field) in zip(
    axes, {"truth after 1 h": truth[-1], "extrapolation": forecast[-1], "persistence": last}.items(), strict=True
):
    picture = axis.pcolormesh(np.where(field > 0.1, field, np.nan), cmap="viridis", vmin=0, vmax=6)
    axis.set(title=title, xlabel="km", aspect="equal")
figure.colorbar(picture, ax=axes, label="mm/h")

# %%
# CSI at 0.1 and at 1 mm/h by lead, of counts that are summed over several init times:


def csi(predicted, observed, threshold):
    """CSI by lead of (init, lead, row, column)."""
    said, rained = predicted >= threshold, observed >= threshold
    hits, either = (said & rained).sum((0, 2, 3)), (said | rained).sum((0, 2, 3))
    return hits / either


inits = range(4, 18)
observed = np.stack([frames[i + 1 : i + 1 + leads] for i in inits])
systems = {
    "extrapolation": extrapolate(np.stack([frames[i - 2 : i + 1] for i in inits]), leads),
    "persistence": np.stack([np.repeat(frames[i][None], leads, 0) for i in inits]),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for axis, threshold in zip(axes, (0.1, 1.0), strict=True):
    for name, predicted in systems.items():
        axis.plot(10 * np.arange(1, leads + 1), csi(predicted, observed, threshold), marker="o", label=name)
    axis.set(title=f"at {threshold:g} mm/h", xlabel="lead [min]", ylim=(0, 1))
axes[0].set(ylabel="CSI")
axes[0].legend()

# %%
# In pipelines, ``simvp.scoring.events`` counts these on labelled forecasts, and the skill table of rain has
# them beside the RMSE.
