"""`python -m performance.gate [--rows 3000]`: size and power of the gate and of other tests, as Markdown."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from performance.gate.bounds import TESTS
from performance.gate.series import World
from performance.report import Table

LEVEL = 0.1
BLOCKS = (5, 10, 20)  # of T + T' + 1 steps, that the data are long
MEMORY = (0.0, 0.8, 0.9, 0.95)
SHARED = {0.0: "errors independent", 0.9: "errors correlated at 0.9"}
HARD = {"0.98": World(memory=0.98), "0.9, reference alike": World(memory=0.9, alike=True)}
GAINS = (0.05, 0.1)

Values = dict[tuple[str, int, World], np.ndarray]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of docs/gate.md."""
    parser = argparse.ArgumentParser(prog="python -m performance.gate", description=__doc__)
    parser.add_argument("--rows", type=int, default=3000, help="simulated series a cell")
    rows = parser.parse_args(arguments).rows
    nulls = [World(memory=memory, shared=shared) for shared in SHARED for memory in MEMORY]
    better = [replace(null, better=gain) for gain in GAINS for null in nulls]
    made = simulate([*nulls, *HARD.values(), *better], rows)
    print("\n\n".join(table.markdown() for table in tables(made)))


def simulate(worlds: Sequence[World], rows: int) -> Values:
    """P-values of every test, by its name, the blocks that the data are long, and the world."""
    made = {}
    for blocks in BLOCKS:
        for number, world in enumerate(worlds):
            gains = world.gains(rows, blocks, seed=number)
            made.update({(name, blocks, world): test(gains) for name, test in TESTS.items()})
    return made


def tables(made: Values) -> list[Table]:
    """Size, what the gate finds, and what every test finds once it errs exactly as often as it may."""
    nulls = {f"{memory:g}": World(memory=memory) for memory in MEMORY}
    size = {**nulls, **{f"{m:g}, shared": World(memory=m, shared=0.9) for m in MEMORY}, **HARD}
    found = [_table(made, size, "Size: how often equal skill is called better, in percent (nominal: 10)", equal=False)]
    found.append(_gate(made))
    for shared, words in SHARED.items():
        cases = {
            f"{100 * gain:g} %, {memory:g}": World(memory=memory, shared=shared, better=gain)
            for gain in GAINS
            for memory in MEMORY
        }
        title = f"Power at equal size, {words}: how often a lower RMSE is found, in percent"
        found.append(_table(made, cases, title, equal=True))
    return found


def _table(made: Values, worlds: Mapping[str, World], title: str, *, equal: bool) -> Table:
    rows = [
        (name, str(blocks), *(f"{_share(made, name, blocks, world, equal=equal):.1f}" for world in worlds.values()))
        for name in TESTS
        for blocks in BLOCKS
    ]
    return Table(columns=("test", "blocks", *worlds), rows=tuple(rows), title=title)


def _gate(made: Values) -> Table:
    columns = [(gain, memory) for gain in GAINS for memory in MEMORY]
    rows = [
        (
            words,
            str(blocks),
            *(
                f"{_share(made, next(iter(TESTS)), blocks, World(memory=memory, shared=shared, better=gain)):.1f}"
                for gain, memory in columns
            ),
        )
        for shared, words in SHARED.items()
        for blocks in BLOCKS
    ]
    names = (f"{100 * gain:g} %, {memory:g}" for gain, memory in columns)
    title = "Power of the gate as it is: how often one lower RMSE is found, in percent"
    return Table(columns=("two forecasters", "blocks", *names), rows=tuple(rows), title=title)


def _share(made: Values, name: str, blocks: int, world: World, *, equal: bool = False) -> float:
    """Percent of p-values below the level; `equal`: below what one in ten is below where skill is equal."""
    null = made[name, blocks, replace(world, better=0.0)]
    level = float(np.quantile(null, LEVEL)) if equal else LEVEL
    return 100 * float((made[name, blocks, world] < level).mean())


if __name__ == "__main__":
    main()
