"""The picture of the rooms: what it says is what the imports say, and nothing in it lies over anything else."""

from graphlib import CycleError
from itertools import combinations
from pathlib import Path

import pytest

from docs.architecture import BOX, PICTURE, add_lanes, arrows, description, places, rooms, rows


def write(root: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


SMALL = {
    "flows/day.py": "from pipelines.home import here\nfrom pipelines.train import train",
    "pipelines/home.py": "import os",
    "pipelines/train.py": "from pipelines.home import here\nimport pipelines.loops.loop, datasets.store.disk",
    "pipelines/loops/loop.py": "from datasets.store.disk import read",
    "datasets/store/disk.py": "def read():\n    from simvp.coords.axes import axis",
    "simvp/coords/axes.py": "from simvp.errors import Refusal",
    "simvp/errors.py": "",
}


def test_the_committed_picture_is_that_of_the_imports() -> None:
    folders, _ = rooms()
    assert description(folders, arrows(folders)) in PICTURE.read_text(), "run python -m docs.architecture"


def test_an_arrow_that_follows_from_others_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    folders, common = rooms(tmp_path)
    assert common == {"flows": [], "pipelines": ["home"], "datasets": [], "simvp": ["errors"]}
    assert arrows(folders, tmp_path) == {
        "flows": {"pipelines"},
        "pipelines": {"pipelines/loops"},  # and not to the store, which the loops lead to
        "pipelines/loops": {"datasets/store"},
        "datasets/store": {"simvp/coords"},
        "simvp/coords": set(),
    }


def test_rooms_that_import_each_other_cannot_be_drawn(tmp_path: Path) -> None:
    write(tmp_path, {**SMALL, "simvp/coords/axes.py": "import pipelines.loops.loop"})
    with pytest.raises(CycleError):
        arrows(rooms(tmp_path)[0], tmp_path)


def test_rooms_of_a_row_and_arrows_that_pass_keep_apart() -> None:
    links = arrows(rooms()[0])
    grid = rows(links)
    x = places(grid, add_lanes(grid, links))
    for row in grid:
        for one, other in combinations(row, 2):
            halves = sum(BOX / 2 if isinstance(node, str) else 1 for node in (one, other))
            assert abs(x[one] - x[other]) > halves
