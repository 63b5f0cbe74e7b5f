"""How the newest model has done of late, beside the best of the baselines."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from datasets.store import Store
from pipelines.evaluation import by_model, skill_table
from pipelines.home import Home
from simvp.scoring import NAMES
from simvp.times import DAY, encode_times

DAYS = 30
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 20  # bars of a sparkline, at most


@dataclass(frozen=True, kw_only=True)
class Recent:
    """Skill of the last `DAYS` days of one variable and horizon.

    Parameters
    ----------
    horizon, variable, units, version
        Of which forecasts, and which model made them.
    n
        Maps scored: init times by leads.
    rmse
        Over all leads, of the model and of every baseline, in the variable's units.
    best
        The best of the baselines.
    ratio
        RMSE of the model over that of the best baseline, oldest first, in `WIDTH` pieces at most; below 1 is better.
    """

    horizon: str
    variable: str
    units: str
    version: str
    n: int
    rmse: dict[str, float]
    best: str
    ratio: tuple[float, ...]

    @property
    def words(self) -> str:
        """In words, with the sparkline."""
        own, other = self.rmse["model"], self.rmse[self.best]
        change = 100 * (own / other - 1)
        beside = f"{abs(change):.0f} % {'below' if change < 0 else 'above'} {self.best.replace('_', ' ')}'s {other:.4g}"
        return f"{self.variable} {self.horizon}: RMSE {own:.4g} {self.units}, {beside}, n {self.n} {self.sparkline}"

    @property
    def sparkline(self) -> str:
        """The ratio as bars: half of the best baseline's error is the lowest, one and a half times it the highest."""
        places = np.clip((np.array(self.ratio) - 0.5) * len(BARS), 0, len(BARS) - 1).astype(int)
        return "".join(BARS[place] for place in places)


def recent(home: Home, dataset: str, horizon: str) -> list[Recent]:
    """Skill of late of the newest model of a horizon, by variable; none while nothing is scored."""
    store = Store(home.scores(dataset, f"forecasts-{horizon}"))
    if not store.exists:
        return []
    errors = store.dataset()
    seconds, _ = encode_times(errors["init_time"].values)
    errors = errors.isel(init_time=seconds > seconds[-1] - DAYS * DAY).load()
    version, newest = list(by_model(errors).items())[-1]
    table = skill_table(newest)
    made = [_of_variable(horizon, version, str(name), table, newest) for name in table["variable"].values]
    return [one for one in made if one is not None]


def _of_variable(horizon: str, version: str, name: str, table: xr.Dataset, errors: xr.Dataset) -> Recent | None:
    own = table.sel(variable=name)
    baselines = [system for system in own["system"].values.tolist() if system in NAMES]
    rmse = {system: float(own["rmse_all"].sel(system=system)) for system in ["model", *baselines]}
    finite = {system: value for system, value in rmse.items() if system != "model" and np.isfinite(value)}
    if not finite or not np.isfinite(rmse["model"]):
        return None
    best = min(finite, key=lambda system: finite[system])
    squared = errors["squared_error"].sel(variable=name).mean("lead_time")
    pieces = np.array_split(np.arange(squared.sizes["init_time"]), min(WIDTH, squared.sizes["init_time"]))
    means = {
        s: [float(squared.sel(system=s).isel(init_time=piece).mean()) for piece in pieces] for s in ("model", best)
    }
    ratio = tuple(
        float(np.sqrt(a / b)) for a, b in zip(means["model"], means[best], strict=True) if np.isfinite(a) and b > 0
    )
    return Recent(
        horizon=horizon,
        variable=name,
        units=str(own["units"].item()),
        version=version,
        n=int(own["n_all"].sel(system="model")),
        rmse=rmse,
        best=best,
        ratio=ratio,
    )
