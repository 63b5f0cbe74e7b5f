"""Draws the rooms of the code and the arrows between them, from the imports: `python -m docs.architecture`.

An arrow that follows from others is left out (if `training` leads to `windows` and that to `contract`, `training` may
import `contract` too). The layout is that of Sugiyama, Tagawa and Toda (1981): rows from top to bottom, a lane for
every arrow that passes a row, rows ordered by the mean place of their neighbours.
"""

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from html import escape
from itertools import combinations, pairwise
from pathlib import Path
from textwrap import wrap

import numpy as np
from scipy.optimize import isotonic_regression

from pipelines.tracking.provenance import CHECKOUT, imported

PACKAGES = {
    "flows": "#7c5cbf",
    "pipelines": "#2f6fb5",
    "datasets": "#1f8a70",
    "simvp": "#c2582b",
}  # may import downwards
LEFT_OUT = ("__init__.py", "__main__.py", "cli.py", "mlflow_model.py")  # doors: what lies behind them is the picture
PICTURE = CHECKOUT / "docs" / "architecture.svg"
WIDTH, MARGIN, LABELS = 920, 12, 168  # pixels: of the picture, around it, of the column of the packages' names
BOX, HIGH, GAP, LANE = 126, 42, 32, 16  # of a room: width, height, distance of rows, of an arrow that passes a row
SWEEPS, STARTS = 30, 60  # of ordering the rows up and down, from how many random orders; more changes nothing

Node = str | tuple[str, int]  # a room ("simvp/coords"), or the row that arrows to it pass


def rooms(root: Path = CHECKOUT) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Rooms with their modules, and by package the names of the modules on top that every room may use.

    Those are the ones that use no room themselves; the rest of what lies on top of a package is a room, under the
    package's own name.
    """
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    modules = {path: list(imported(path, root)) for path in paths if path.name not in LEFT_OUT}
    common: dict[str, list[str]] = defaultdict(list)
    names: set[str] = set()
    loose = [path for path in modules if path.parent.parent == root]
    while more := [path for path in loose if set(modules[path]) <= names and path.stem not in common[path.parent.name]]:
        for path in more:
            common[path.parent.name].append(path.stem)
            names.add(f"{path.parent.name}.{path.stem}")
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in modules:
        if path.stem not in common[path.parent.name] or path not in loose:
            folders[path.parent.relative_to(root).as_posix()].append(path)
    return folders, {package: sorted(common[package]) for package in PACKAGES}


def arrows(folders: dict[str, list[Path]], root: Path = CHECKOUT) -> dict[str, set[str]]:
    """Which rooms each room imports, without those that it reaches by way of another.

    Raises
    ------
    graphlib.CycleError
        Rooms import each other in a circle.
    """
    room = {".".join(path.relative_to(root).with_suffix("").parts): name for name in folders for path in folders[name]}
    direct = {
        name: {room[module] for path in folders[name] for module in imported(path, root) if module in room} - {name}
        for name in folders
    }
    behind: dict[str, set[str]] = {}
    for name in TopologicalSorter(direct).static_order():
        behind[name] = direct[name].union(*(behind[other] for other in direct[name]))
    return {name: {to for to in direct[name] if not any(to in behind[via] for via in direct[name])} for name in folders}


def rows(links: dict[str, set[str]]) -> list[list[Node]]:
    """Rooms row by row: packages one below the other, and in them every room below those that import it."""
    users = {name: {other for other in links if name in links[other]} for name in links}
    grid: list[list[Node]] = []
    for package in PACKAGES:
        depth: dict[str, int] = {}
        for name in TopologicalSorter(users).static_order():
            if name.split("/")[0] == package:
                depth[name] = 1 + max((depth[other] for other in users[name] if other in depth), default=-1)
        grid += [[name for name in links if depth.get(name) == row] for row in range(max(depth.values()) + 1)]
    return grid


def add_lanes(grid: list[list[Node]], links: dict[str, set[str]]) -> list[list[Node]]:
    """Put a lane into every row that an arrow passes; arrows to one room share theirs. Returns each arrow's nodes."""
    level = {node: number for number, row in enumerate(grid) for node in row}
    found = []
    for source in links:
        for target in sorted(links[source]):
            lanes: list[Node] = [(target, number) for number in range(level[source] + 1, level[target])]
            for number, lane in enumerate(lanes, level[source] + 1):
                grid[number] += [lane] if lane not in grid[number] else []
            found.append([source, *lanes, target])
    return found


def places(grid: list[list[Node]], routes: list[list[Node]]) -> dict[Node, float]:
    """Middle of every node, in the order that crosses least and then runs straightest."""
    level = {node: number for number, row in enumerate(grid) for node in row}
    steps = list(dict.fromkeys(step for route in routes for step in pairwise(route)))
    above = {node: [a for a, b in steps if b == node] for node in level}
    below = {node: [b for a, b in steps if a == node] for node in level}
    around = {node: above[node] + below[node] for node in level}
    left, right = MARGIN + LABELS, WIDTH - MARGIN - GAP / 4
    random = np.random.default_rng(0)
    best: tuple[float, float] = (np.inf, np.inf)
    chosen: dict[Node, float] = {}
    for _ in range(STARTS):
        x: dict[Node, float] = {node: random.uniform(left, right) for node in level}
        for sweep in range(SWEEPS):
            near = around if sweep > SWEEPS // 3 else (above, below)[sweep % 2]
            for row in grid[::-1] if near is below else grid:
                wanted = {node: float(np.mean([x[other] for other in near[node]] or x[node])) for node in row}
                row.sort(key=wanted.__getitem__)
                widths = np.array([BOX + GAP / 2 if isinstance(node, str) else LANE for node in row])
                offsets = np.cumsum(widths) - widths / 2
                # An arrow that passes should run straight; a room may give way.
                stiff = np.array([1.0 if isinstance(node, str) else 9.0 for node in row])
                # Neighbours keep the distance of their widths: what is free beside it must not decrease.
                free = isotonic_regression(np.array([wanted[node] for node in row]) - offsets, weights=stiff).x
                x |= dict(zip(row, (np.clip(free, left, right - widths.sum()) + offsets).tolist(), strict=True))
        crossed = sum(
            level[a] == level[c] and (x[a] - x[c]) * (x[b] - x[d]) < 0 for (a, b), (c, d) in combinations(steps, 2)
        )
        score = (crossed, sum(abs(x[a] - x[b]) for a, b in steps))
        if score < best:
            best, chosen = score, x
    return chosen


def description(folders: dict[str, list[Path]], links: dict[str, set[str]]) -> str:
    """The picture in words, a line a room; it stands in the picture for those who cannot see it."""
    return "\n".join(
        f"{name}, {len(paths)} modules, imports {', '.join(sorted(links[name])) or 'no room'}"
        for name, paths in folders.items()
    )


def drawing(root: Path = CHECKOUT) -> str:
    """The picture, as SVG."""
    folders, common = rooms(root)
    links = arrows(folders, root)
    grid = rows(links)
    routes = add_lanes(grid, links)
    x, y = places(grid, routes), dict[Node, float]()
    bands, front, bottom = [], [], MARGIN - GAP / 3
    for package, colour in PACKAGES.items():
        top = bottom + GAP / 3
        bottom = top + GAP / 2
        for row in [row for row in grid if any(str(node).split("/")[0] == package for node in row)]:
            y |= dict.fromkeys(row, bottom)
            bottom += HIGH + GAP
        bottom -= GAP / 2
        bands.append(
            f'<rect x="{MARGIN}" y="{top:.1f}" width="{WIDTH - 2 * MARGIN}" height="{bottom - top:.1f}" rx="10" '
            f'fill="{colour}" fill-opacity="0.1"/>'
        )
        about = ast.get_docstring(ast.parse((root / package / "__init__.py").read_text())) or ""
        notes = wrap(re.split("[.:]", about)[0], 23)
        notes += ["", *wrap(f"Used all over: {', '.join(common[package])}", 23)] if common[package] else []
        front.append(_text(MARGIN + 14, top + 30, package, 19, colour, "start", "bold"))
        front += [_text(MARGIN + 14, top + 50 + 15 * i, note, 12, "#555555", "start") for i, note in enumerate(notes)]
    lines = [_arrow(route, routes, x, y) for route in routes]
    for name, paths in folders.items():
        package, _, short = name.partition("/")
        count = f"{len(paths)} module{'s' if len(paths) > 1 else ''}"
        front.append(
            f'<rect x="{x[name] - BOX / 2:.1f}" y="{y[name]:.1f}" width="{BOX}" height="{HIGH}" rx="6" '
            f'fill="white" stroke="{PACKAGES[package]}" stroke-width="1.5"/>'
        )
        front.append(_text(x[name], y[name] + 18, short or f"{package}/*.py", 14, "#222222", "middle", "bold"))
        front.append(_text(x[name], y[name] + 34, count, 11, "#555555", "middle"))
    size = f'width="{WIDTH}" height="{bottom + MARGIN:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + MARGIN:.0f}" {size} '
            'font-family="Helvetica, Arial, sans-serif">',
            "<title>The rooms of the code, and which imports which</title>",
            f"<desc>{description(folders, links)}</desc>",
            f'<rect {size} rx="10" fill="white"/>',
            *bands,
            *lines,
            *front,
            "</svg>\n",
        ]
    )


def _arrow(route: list[Node], routes: list[list[Node]], x: dict[Node, float], y: dict[Node, float]) -> str:
    """A line from the lower edge of a room through its lanes to the upper edge of another, with a head."""
    source, target = route[0], route[-1]
    leaving = sorted({other[1] for other in routes if other[0] == source}, key=x.__getitem__)
    coming = sorted({other[-2] for other in routes if other[-1] == target}, key=x.__getitem__)
    at = x[source] + _port(leaving.index(route[1]), len(leaving))
    line = f"M{at:.1f} {y[source] + HIGH:.1f}"
    for node in route[1:]:
        end = x[node] + (_port(coming.index(route[-2]), len(coming)) if node == target else 0)
        tip = y[node] - (5 if node == target else 0)
        half = (tip - (tip - GAP)) / 2
        line += f"C{at:.1f} {tip - half:.1f} {end:.1f} {tip - half:.1f} {end:.1f} {tip:.1f}"
        line += "" if node == target else f"V{y[node] + HIGH:.1f}"
        at = end
    colour = PACKAGES[str(source).split("/")[0]]
    return (
        f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-opacity="0.75"/>'
        f'<path d="M{at - 4:.1f} {y[target] - 7:.1f}h8l-4 7z" fill="{colour}"/>'
    )


def _port(number: int, count: int) -> float:
    """Where on a room's edge an arrow begins or ends, from its middle."""
    return (number - (count - 1) / 2) * min(20, (BOX - 20) / count)


def _text(x: float, y: float, words: str, size: int, colour: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(drawing())
