"""Stores that are not whole any more: said in words wherever they are read, never taken for empty ones."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import simvp
from datasets.archive import Archive
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.verify import verify
from simvp.errors import ArchiveError
from tests.datasets.store.test_store import forecasts, make
from tests.support.wave_home import forecaster, wave_home, world

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def largest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def every(folder: Path, do: Callable[[Path], object]) -> None:
    for path in folder.iterdir():
        do(path)


def ref(store: Path) -> Path:
    return store / "refs" / "branch.main" / "ref.json"


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "chunk gone": (lambda store: largest(store / "chunks").unlink(), "t2m: .*not found"),
    "chunk with another bit": (lambda store: flip(largest(store / "chunks")), "t2m: .*checksum do not match"),
    "chunk cut off": (lambda store: cut(largest(store / "chunks")), "t2m: "),
    "all chunks gone": (lambda store: shutil.rmtree(store / "chunks"), "(init_time|valid_time|created): .*not found"),
    "manifests cut off": (lambda store: every(store / "manifests", cut), ""),
    "manifests gone": (lambda store: every(store / "manifests", os.remove), "not found"),
    "manifests with another bit": (lambda store: every(store / "manifests", flip), ""),
    "metadata cut off": (lambda store: every(store / "snapshots", cut), ""),
    "metadata gone": (lambda store: every(store / "snapshots", os.remove), "not found"),
    "ref cut off": (lambda store: cut(ref(store)), "ref json"),
    "ref empty": (lambda store: ref(store).write_text(""), "ref json"),
    "ref to nowhere": (lambda store: ref(store).write_text('{"snapshot":"F5R5Y1GYMR2C5FS82A1G"}'), ""),
    "ref gone": (lambda store: ref(store).unlink(), "the branch main is not there"),
    "refs gone": (lambda store: shutil.rmtree(store / "refs"), "the branch main is not there, only chunks, manifests"),
    "folder emptied": (lambda store: every(store, shutil.rmtree), "its folder is empty"),
}


def refused(use: Callable[[], object], text: str) -> None:
    with pytest.raises(ArchiveError, match=rf"(?s)is damaged: .*{text}.*To mend it: ") as error:
        use()
    assert "context:" not in str(error.value)
    assert str(error.value).count("\n") == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_said_where_it_is_read_and_nothing_is_written_over_it(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path / "a.zarr")
    large = forecasts(0, 200)  # chunks of which only those of the fields are files of their own
    store.create(large, axis="init_time", chunks={"init_time": 100}, state={"kind": "forecasts"})
    do, text = DAMAGE[damage]
    do(store.path)
    for chunks in (None, {}):
        refused(lambda chunks=chunks: simvp.open_forecasts(store.path, chunks=chunks).load(), text)
    if not damage.startswith(("chunk", "all chunks", "manifest")):
        for use in (
            lambda: store.exists,
            lambda: store.append(forecasts(200, 201), {}),
            lambda: store.create(large, axis="init_time", chunks={"init_time": 100}, state={}),
        ):
            refused(use, text)


def test_a_flipped_bit_in_texts_and_times_is_found_too(tmp_path: Path) -> None:
    """Small chunks lie in the manifests, which are compressed; one that is long enough is a file."""
    store = make(tmp_path / "a.zarr", 600, 600)
    for chunk in sorted((store.path / "chunks").iterdir()):
        whole = chunk.read_bytes()
        flip(chunk)
        refused(lambda: Store(store.path).dataset().load(), "checksum do not match")
        chunk.write_bytes(whole)
    assert Store(store.path).dataset().load().equals(forecasts(0, 600))


def test_an_earlier_format_is_refused_and_says_how_to_ingest_again(tmp_path: Path) -> None:
    """As stores were made before: one root with consolidated metadata, a log beside it."""
    old = tmp_path / "archive.zarr"
    old.mkdir()
    (old / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {"simvp_store": "{}"}}')
    for use in (
        lambda: Archive(old).exists,
        lambda: Archive(old).append(world(1)),
        lambda: simvp.open_archive(old),
    ):
        with pytest.raises(ArchiveError, match="got a Zarr store, such as earlier versions kept theirs in") as error:
            use()
        assert "move it away and ingest the source again; archive.zarr.log/recipe.json" in str(error.value)


@pytest.mark.parametrize("damage", [name for name in DAMAGE if "bit" not in name])
def test_a_damaged_store_of_forecasts_issues_nothing_again(tmp_path: Path, damage: str) -> None:
    home, model = Home(tmp_path / "home"), forecaster(0.25)
    wave_home(home)
    forecast(home, "waves", model=model)
    path = home.forecasts("waves", "3h")
    before = Store(path).dataset().load()
    DAMAGE[damage][0](Path(path))
    Archive(home.archive("waves")).append(world(1, first=14 * 24))
    said = []
    try:
        issued = forecast(home, "waves", model=model).issued
    except ArchiveError as error:
        said.append(str(error))
    else:  # what was damaged was not needed: it goes on where it ended
        assert issued[0] == "2020-01-15T00:00:00" > str(before["init_time"].values[-1])
    try:
        verify(home, "waves", model=model)
    except ArchiveError as error:
        said.append(str(error))
    assert said
    assert all("is damaged" in text for text in said)
