"""
Open an archive
===============

An archive is an Icechunk repository with Zarr inside. ``simvp.open_archive`` gives an ``xr.Dataset`` that reads
nothing until it is asked to, and never sees what is appended later.
"""

import matplotlib.pyplot as plt

import simvp
from pipelines.home import Home

home = Home.default()
ds = simvp.open_archive(home.archive("simulated-weather"))
ds

# %%
# ``present`` says which slots of the regular time axis hold a frame, and ``archive_commit`` names the content:
# the same frames have the same id, whenever and by whomever they were written. Models and forecasts name it
# too.

print(int(ds.present.sum()), "frames of", ds.sizes["time"])
print("commit", ds.attrs["archive_commit"])

# %%
# A frame, and the series of one point:

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(1, 1.6))
ds.t2m.isel(time=-1).plot(ax=left)
ds.t2m.isel(latitude=5, longitude=12).plot(ax=right, linewidth=0.8)
left.set(title=str(ds.time.values[-1])[:16])
right.set(title="one point", xlabel="")
