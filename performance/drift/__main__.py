"""`python -m performance.drift`: how soon planted changes are noticed, and false alarms, as Markdown.

A model without a network is trained on each simulated world. Then come the years that follow: ten as they are, and one
with each change. With `--noise` the tests of days are made on series of noise instead, which takes minutes.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from datasets.simulated import SimulatedTraffic, SimulatedWeather
from performance.drift.noise import table as table_of_noise
from performance.drift.years import (
    CHANGE,
    DAYS,
    LONGEST,
    StormyWeather,
    World,
    alarms,
    gain,
    growth,
    noisy,
    offset,
    other,
    scale,
    trained,
    trend,
    without,
    without_frames,
)
from performance.report import Table
from pipelines.home import Home

SHAPE = (8, 8)
CLEAN = range(10)
SLOW = "a year"

WORLDS = {
    "weather": World(
        simulation=SimulatedWeather(shape=SHAPE, noise_std=0.3),
        days=1250,
        changes={
            "sensor: 1 K too warm": offset(1.0),
            "sensor: 2 K too warm": offset(2.0),
            "sensor: broken, with noise of 10 K": noisy(10.0),
            "sensor: departures 1.3 times too large": gain(1.3),
            f"climate: 4 K warmer in {SLOW}": trend(4.0),
            "climate: air masses differ half as much again": other(StormyWeather(shape=SHAPE, noise_std=0.3)),
            "network: 5 % of the cells are gone": without(0.05),
            "network: 30 % of the cells are gone": without(0.3),
            "network: every fourth frame is gone": without_frames(4),
        },
    ),
    "traffic": World(
        simulation=SimulatedTraffic(shape=SHAPE),
        days=120,
        changes={
            "sensor: counts 1.2 times too large": scale(1.2),
            f"climate: 1.5 times the traffic after {SLOW}": growth(0.5),
            "network: other roads": other(SimulatedTraffic(seed=1, shape=SHAPE)),
            "network: 5 % of the cells are gone": without(0.05),
        },
    ),
    "weather, trained on 120 days": World(
        simulation=SimulatedWeather(shape=SHAPE, noise_std=0.3),
        days=120,
        changes={"sensor: 2 K too warm": offset(2.0), "network: 5 % of the cells are gone": without(0.05)},
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of docs/explanation/drift.md."""
    parser = argparse.ArgumentParser(prog="python -m performance.drift", description=__doc__)
    parser.add_argument("--worlds", default=";".join(WORLDS), help="names, with semicolons between them")
    parser.add_argument("--clean", type=int, default=len(CLEAN), help="years without a change")
    parser.add_argument("--inputs", action="store_true", help="the tests of days alone, without forecasts: seconds")
    parser.add_argument("--noise", action="store_true", help="series of noise instead of worlds")
    given = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    if given.noise:
        print(table_of_noise().markdown())
        return
    for name in given.worlds.split(";"):
        for table in tables(Home.default(), name, given.clean, inputs=given.inputs):
            print(table.markdown(), "\n", flush=True)


def tables(home: Home, name: str, clean: int, *, inputs: bool = False) -> list[Table]:
    """What is found in years without and with a change."""
    world = WORLDS[name]
    model = trained(home, "".join(c for c in name if c.isalnum()), world)
    quiet = []
    for number in CLEAN[:clean]:
        found = sorted(alarms(world, model, number, inputs=inputs), key=lambda one: one[1])
        quiet.append([f"{_named(finding.variable, finding.test, world)} after {day} days" for finding, day in found])
        print(f"{name}, year {number}: {quiet[-1]}", file=sys.stderr, flush=True)
    rows = []
    for change, made in world.changes.items():
        days = DAYS if SLOW in change else CHANGE + LONGEST
        found = sorted(alarms(world, model, 0, made, days, inputs=inputs), key=lambda one: one[1])
        print(f"{name}, {change}: {[finding.words for finding, _ in found]}", file=sys.stderr, flush=True)
        others = ", ".join(f"{_named(finding.variable, finding.test, world)} {day}" for finding, day in found)
        rows.append((change, str(found[0][1]) if found else "not", others))
    years = Table(
        columns=("years without a change", "with a false alarm", "which"),
        rows=(
            (
                str(len(quiet)),
                str(sum(map(bool, quiet))),
                "; ".join(words for year in quiet for words in year) or "none",
            ),
        ),
        title=f"{name}: false alarms",
    )
    columns = ("change", "days until it is noticed", "days of each test")
    return [years, Table(columns=columns, rows=tuple(rows), title=f"{name}: one change")]


def _named(variable: str, test: str, world: World) -> str:
    return test if len(world.simulation.variables) == 1 else f"{variable} {test}"


if __name__ == "__main__":
    main()
