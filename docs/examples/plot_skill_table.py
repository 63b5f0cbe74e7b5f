"""
A skill table
=============

What ``make demo`` and the flow ``verify`` print, made from the scores that they keep: one line for each lead,
every system on the same maps.
"""

import pandas as pd

from datasets.store import Store
from pipelines.evaluation import skill_table
from pipelines.home import Home
from pipelines.pictures import skill_curve

home = Home.default()
scores = Store(home.scores("simulated-weather", "hindcasts-12h")).dataset().load()
table = skill_table(scores)

rmse = table.rmse.sel(variable="t2m").transpose("lead_time", "system").to_pandas()
rmse.insert(0, "n", table.n.sel(variable="t2m").isel(system=0).values)
rmse.index = pd.Index([f"{hours:g} h" for hours in table.lead_hours.values], name="lead")
rmse.round(3)

# %%
# The ratio to the best baseline at each lead: below 1 the model is better than everything that costs nothing.

own = ("model", "unmixed", "base")
best = rmse[[name for name in rmse.columns if name not in (*own, "n")]].min(axis=1)
(rmse["model"] / best).round(3)

# %%
# The picture that lies beside the table in ``pictures/`` of the home:

figure = skill_curve(table, title="hindcasts")
