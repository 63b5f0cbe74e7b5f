"""`python -m performance.uncertainty DATA ... [--seeds 1]`: coverage, CRPS and ranks on held-out periods, as Markdown.

Each data set is ingested and trained with the default settings; archives and models lie in the home ($SIMVP_HOME); what
is there already is taken. Limits in brackets are those of a block bootstrap over the init times, 90 %.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import xarray as xr

from performance.report import Table
from performance.uncertainty.trial import CLIMATOLOGY, MEMBERS, PERSISTENCE, Trial, run
from pipelines.home import Home

DRAWS = 1000
BAND = 0.9


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of docs/explanation/uncertainty.md."""
    parser = argparse.ArgumentParser(prog="python -m performance.uncertainty", description=__doc__)
    parser.add_argument("data", nargs="+", help="names of data sets")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    parser.add_argument("--horizon", type=int, default=1, help="how many times as far as models are trained for")
    parser.add_argument("--every", type=int, default=1, help="one of how many init times to score")
    given = parser.parse_args(arguments)
    trials = [
        run(Home.default(), name, seed, horizon=given.horizon, every=given.every, progress=_said)
        for name in given.data
        for seed in range(given.seeds)
    ]
    print("\n\n".join(table.markdown() for table in tables(trials)))


def tables(trials: Sequence[Trial]) -> list[Table]:
    """What was found: all leads together, and ranks."""
    head = (
        "data, seed", "variable", "90 % band holds", "CRPS / MAE", "spread / error", "CRPS", CLIMATOLOGY, PERSISTENCE,
        "cost", "MB",
    )  # fmt: skip
    rows, ranks = [], []
    for trial in trials:
        for name in trial.errors["model"]["variable"].values.tolist():
            own = {system: errors.sel(variable=name) for system, errors in trial.errors.items()}
            label = (f"{trial.name}, {trial.seed}", name)
            rows.append((*label, *_row(trial, own)))
            mean, low, high = _limits(own["model"]["ranks"].mean("lead_time"), trial)
            off = int(((low > 1 / (MEMBERS + 1)) | (high < 1 / (MEMBERS + 1))).sum())
            shown = " ".join(f"{value * (MEMBERS + 1):.2f}" for value in mean)
            ranks.append((*label, shown, f"{off} of {MEMBERS + 1}"))
    return [
        Table(columns=head, rows=tuple(rows), title=f"Held-out period, all leads, {MEMBERS} members"),
        Table(
            columns=("data, seed", "variable", "how often each rank, in units of 1 / (M + 1)", "beyond limits"),
            rows=tuple(ranks),
            title="Rank histograms, and how many ranks have limits that leave out 1",
        ),
    ]


def _row(trial: Trial, own: dict[str, xr.Dataset]) -> tuple[str, ...]:
    model = own["model"].mean("lead_time")
    inside = model["below"].sel(quantile=0.95) - model["below"].sel(quantile=0.05)
    mean, low, high = _limits(inside, trial)
    both = xr.concat([model["crps"], model["absolute_error"]], "score")
    scores = _draws(both, trial)
    ratio = scores[:, 0] / scores[:, 1]
    spread = float(np.sqrt(model["variance"].mean() * (MEMBERS + 1) / MEMBERS / model["mean_squared_error"].mean()))
    crps = {system: float(errors["crps"].mean()) for system, errors in own.items()}
    edges = np.quantile(ratio, [(1 - BAND) / 2, (1 + BAND) / 2])
    return (
        f"{float(mean):.1%} [{float(low):.1%}, {float(high):.1%}]",
        f"{crps['model'] / float(model['absolute_error'].mean()):.3f} [{edges[0]:.3f}, {edges[1]:.3f}]",
        f"{spread:.3f}",
        *(f"{crps[system]:.4g}" for system in ("model", CLIMATOLOGY, PERSISTENCE)),
        f"{1 + trial.members / trial.plain:.2f}",
        f"{trial.megabytes:.1f}",
    )


def _limits(scores: xr.DataArray, trial: Trial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the init times, and the limits of its block bootstrap."""
    drawn = _draws(scores, trial)
    low, high = np.quantile(drawn, [(1 - BAND) / 2, (1 + BAND) / 2], axis=0)
    return scores.mean("init_time").values, low, high


def _draws(scores: xr.DataArray, trial: Trial) -> np.ndarray:
    """Means (D, ...) of draws of blocks of 4 T' init times, which may begin anywhere."""
    values = scores.transpose("init_time", ...).values
    count = len(values)
    block = min(count, 4 * trial.trained_leads)
    starts = np.random.default_rng(0).integers(0, count, (DRAWS, -(-count // block)))
    picks = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :count] % count
    return np.stack([values[pick].mean(0) for pick in picks])


def _said(what: str, done: int, total: int) -> None:
    print(f"\r{what[:60]:<60} {done}/{total}", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
