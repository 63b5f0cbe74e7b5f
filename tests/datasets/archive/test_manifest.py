"""The manifest of source files: it forgets rather than vouches for what it should not."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from datasets.archive.commits import Commit
from datasets.archive.manifest import Manifest, stamps_of

SETTINGS = {"variables": ["t2m"], "units": {}, "select": {}}


class Log:
    """Commits of an archive, and a folder for what is known of its files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ids = folder, {}

    def manifest(self, settings: Mapping[str, Any] = SETTINGS) -> Manifest:
        return Manifest(self.folder, settings, lambda sequence: self.ids.get(sequence, ""))


def head(log: Log, sequence: int, name: str = "a") -> Commit:
    """A commit of that number, in the log."""
    commit = Commit(id=f"{name}{sequence}", sequence=sequence, length=sequence)
    log.ids[sequence] = commit.id
    return commit


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def test_files_are_known_in_the_order_of_reading_and_by_their_last_stamp(log: Log) -> None:
    manifest = log.manifest()
    assert manifest.stamps() == {}
    first = {"/b with a\ttab.nc": "7 20", "/a.nc": "7 30", "/é\udcff.nc": "7 10"}
    manifest.add(first, {}, head(log, 1))
    assert list(manifest.stamps().items()) == [
        ("/é\udcff.nc", "7 10"),
        ("/b with a\ttab.nc", "7 20"),
        ("/a.nc", "7 30"),
    ]
    manifest.add({"/a.nc": "8 40", "/line\nbreak.nc": "1 1"}, manifest.stamps(), head(log, 2))
    assert manifest.stamps() == {**first, "/a.nc": "8 40"}
    assert log.manifest({**SETTINGS, "units": {"t2m": "K"}}).stamps() == {}  # other settings


def test_what_belongs_to_no_commit_of_the_archive_counts_for_nothing(log: Log) -> None:
    log.manifest().add({"/a.nc": "7 30"}, {}, head(log, 2))
    del log.ids[2]
    assert log.manifest().stamps() == {}  # an archive of before was put back, or the commit has expired
    head(log, 2, "other")  # and has grown otherwise since
    assert log.manifest().stamps() == {}
    log.manifest().add({"/b.nc": "7 30"}, {}, head(log, 2))
    assert log.manifest().stamps() == {"/b.nc": "7 30"}


def test_cut_off_anywhere_it_vouches_for_nothing_that_was_not_noted(log: Log) -> None:
    manifest = log.manifest()
    first, second = {"/a.nc": "7 30"}, {"/b.nc": "70 300", "/c.nc": "71 301"}
    manifest.add(first, {}, head(log, 1))
    path = next(log.folder.iterdir())
    before = path.stat().st_size
    manifest.add(second, first, head(log, 2))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        names = {name: stamp for name, stamp in manifest.stamps().items() if name in {**first, **second}}
        assert all({**first, **second}[name].startswith(stamp) for name, stamp in names.items())
        if size >= before:
            manifest.add({"/d.nc": "1 2"}, manifest.stamps(), head(log, 2))
            assert manifest.stamps()["/d.nc"] == "1 2"


def test_the_stamp_of_a_file_tells_size_and_time_but_not_of_one_that_changed_just_now(tmp_path: Path) -> None:
    now = time.time_ns()
    for name, age in (("old.nc", 3), ("young.nc", 1), ("of tomorrow.nc", -86400)):
        (tmp_path / name).write_bytes(b"1234")
        os.utime(tmp_path / name, ns=(now - age * 10**9, now - age * 10**9))
    (tmp_path / "store.zarr").mkdir()
    os.utime(tmp_path / "store.zarr", (0, 0))
    names = [str(path) for path in tmp_path.iterdir()]
    stamps = stamps_of([*names, str(tmp_path / "gone.nc"), "https://host/a.nc"])
    assert stamps == {str(tmp_path / "old.nc"): f"4 {now - 3 * 10**9}"}
