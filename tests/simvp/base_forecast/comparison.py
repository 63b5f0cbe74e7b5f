"""Transforms and corrections of their inverse beside each other: `python -m tests.simvp.base_forecast.comparison`.

RMSE in physical units at the leads at which transforms are tried, on folds that were left out, of the first three
quarters of each series: the period that is held out is not looked at. `SIMVP_DATA` is the folder with the taxi data.
"""

import os
from pathlib import Path

import numpy as np
import xarray as xr

from datasets.simulated.worlds import SimulatedTraffic
from simvp.base_forecast.fit import best_transform, gain, passes_tried, past_of
from simvp.base_forecast.folds import Passage
from simvp.base_forecast.linear_forecast import applied
from simvp.base_forecast.sample import squares
from simvp.contract.statistics import Statistics
from simvp.coords.axes import canonicalise
from simvp.coords.grid import Grid, area_weights
from simvp.coords.steps import Step
from simvp.scoring.baselines import Baselines
from tests.simvp.base_forecast.worlds import Kind
from tests.support.worlds import coordinates

HALF_HOURS = Kind(Step(seconds=1800), 48, 12, 12, 0, (48, 336))
TEN_MINUTES = Kind(Step(seconds=600), None, 6, 6, 0)


def rain(frames: int = 1200, shape: tuple[int, int] = (24, 24), seed: int = 0) -> xr.Dataset:
    """Lognormal showers that drift by a cell a frame, form and go, and are nothing for three quarters of the time."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    state, maps = np.zeros((48, 48)), np.empty((frames, *shape), "f4")
    for number in range(frames):
        fresh = gaussian_filter(rng.normal(size=state.shape), 2.5, mode="wrap")
        state = 0.97 * np.roll(state, 1, axis=1) + np.sqrt(1 - 0.97**2) * fresh / fresh.std()
        maps[number] = np.where(state > 0.7, np.exp(1.5 * state) - np.exp(1.5 * 0.7), 0)[: shape[0], : shape[1]]
    (row, column), coords = coordinates(shape)
    coords["time"] = xr.Variable(
        "time", np.datetime64("2020-06-01", "ns") + np.arange(frames) * np.timedelta64(10, "m")
    )
    attrs = {"units": "mm h-1", "standard_name": "rainfall_rate"}
    return xr.Dataset({"rain": (("time", row, column), maps, attrs)}, coords=coords)


def corrected(made: Passage) -> dict[str, np.ndarray]:
    """Sums of squared errors (F, L) of what a pass forecasts of the folds left out, by correction of the inverse."""
    ridge, sample, choices = made.ridge, made.sample, made.ridge.choose()
    moments = sample.moments(ridge, choices)
    found = {"none": squares(moments, corrected=False), "factor": squares(moments, corrected=True)}
    cells: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
    for number, (fold, others) in enumerate(ridge.others()):
        for lead in range(ridge.leads):
            beta = ridge.solve(others, lead, choices).astype("f4")
            parts = [
                (reference + applied(beta, z, sample.group), truth) for z, reference, truth in sample.parts[fold, lead]
            ]
            made_of, truth = (np.concatenate(each, axis=1).astype("f8") for each in zip(*parts, strict=True))
            area = np.broadcast_to(sample.area[:, None], truth.shape)
            known = np.isfinite(truth)
            cells[number, lead] = made_of[known], truth[known], area[known]
    folds = range(len(moments))
    found |= {"ratio": np.zeros(moments.shape[:2]), "smearing": np.zeros(moments.shape[:2])}
    rng = np.random.default_rng(0)
    for fold in folds:
        for lead in range(ridge.leads):
            rest = [cells[other, lead] for other in folds if other != fold]
            inner, truth, area = (np.concatenate(each) for each in zip(*rest, strict=True))
            own, y, weight = cells[fold, lead]
            ratio = (area @ truth) / max(area @ made.transform.inverse(inner), 1e-30)
            found["ratio"][fold, lead] = weight @ (y - ratio * made.transform.inverse(own)) ** 2
            residuals = rng.choice(made.transform.forward(truth) - inner, 100)  # Duan 1983: a mean over residuals
            smeared = np.mean([made.transform.inverse(own + residual) for residual in residuals], axis=0)
            found["smearing"][fold, lead] = weight @ (y - smeared) ** 2
    return found


def factored(kind: str, errors: dict[str, np.ndarray]) -> bool:
    """Whether the factor is kept."""
    return kind != "identity" and not gain(errors["factor"], errors["none"])


def compare(name: str, ds: xr.Dataset, kind: Kind) -> None:
    """Print a line for each variable."""
    for variable in ds.data_vars:
        times, weights = ds["time"].values, area_weights(Grid.of(ds))[0]
        period = [(times[0], times[3 * len(times) // 4])]
        statistics = Statistics(ds, kind.step, train=period, reference=period)
        summary = statistics[str(variable)][1]
        baselines = Baselines.fit(
            ds,
            variables=[str(variable)],
            step=kind.step,
            cycle=kind.cycle,
            leads=kind.leads,
            period=period,
            weights=weights,
            statistics=statistics,
        )
        inits = times[kind.frames_in - 1 : 3 * len(times) // 4 - kind.leads]
        past = past_of(ds[variable], summary, baselines, statistics.reference, inits, kind.frames_in, weights)
        passes = passes_tried(past, summary, kind.leads)
        area = passes[0].sample.moments(passes[0].ridge, passes[0].ridge.choose())[..., 3].sum(0)
        every = {p.transform.kind: corrected(p) for p in passes}
        best = {kind: errors["factor" if factored(kind, errors) else "none"] for kind, errors in every.items()}
        chosen = best_transform(best)
        cells = [f"{np.sqrt(every['identity']['none'].sum(0) / area).mean():.4g}"]
        for transform in ("sqrt", "log1p"):
            cells += [
                f"{np.sqrt(every[transform][way].sum(0) / area).mean():.4g}"
                for way in ("none", "ratio", "smearing", "factor")
            ]
        print(f"| {name} {variable} | {' | '.join(cells)} | {chosen} |", flush=True)


def main() -> None:
    """Print the table."""
    ways = ("as it is", "ratio of means", "smearing", "factor")
    print("| | identity |", " | ".join(f"{t}, {way}" for t in ("sqrt", "log1p") for way in ways), "| chosen |")
    if "SIMVP_DATA" in os.environ:
        path = Path(os.environ["SIMVP_DATA"]) / "nyc-taxi-2015-01.nc"
        with xr.open_dataset(path) as taxi:
            compare("NYC taxis", canonicalise(taxi.load())[0], HALF_HOURS)
    traffic = canonicalise(SimulatedTraffic(seed=1, shape=(16, 16)).dataset())[0]
    compare("simulated traffic", traffic, HALF_HOURS)
    compare("drifting showers", canonicalise(rain())[0], TEN_MINUTES)


if __name__ == "__main__":
    main()
