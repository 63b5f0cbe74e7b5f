"""Damage in real files of every kind of store: found, named, healed where that is honest, and otherwise said lost."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.integrity.faults import StoreReport
from pipelines.verify import verify
from pipelines.verify_archive.stage import verify_archive
from simvp.errors import ArchiveError, ConfigError
from simvp.inference.forecaster import Forecaster
from tests.support.damage import OF_THE_REPOSITORY, chunk_of, delete, empty, flip, tree
from tests.support.wave_home import forecaster
from tests.support.worlds import formula_world

DATASET = "waves"
SHAPE = (8, 12)  # large enough for a chunk of every kind to be a file of its own
GAP = slice(200, 203)
BRANCH = ("branch deleted", "branch cut in half", "all branches deleted")


@dataclass(frozen=True)
class Whole:
    """A home with everything in it, which nobody writes into, and what it was made from."""

    home: Home
    sources: Path
    model: Forecaster


def world(frames: int) -> xr.Dataset:
    """Two variables with noise, so that no two chunks are alike."""
    ds = formula_world(("t2m", "d2m"), frames=frames, shape=SHAPE)
    noise = np.random.default_rng(5).standard_normal((2, frames, *SHAPE)).astype("f4")
    return ds.assign({name: ds[name] + noise[n] for n, name in enumerate(ds.data_vars)}).map(
        lambda field: field.assign_attrs(ds[field.name].attrs)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    home, sources = Home(folder / "home"), folder / "sources"
    sources.mkdir()
    ds = world(14 * 24)
    keep = np.ones(ds.sizes["time"], bool)
    keep[GAP] = False
    for name, rows in (("a", slice(0, 300)), ("b", slice(300, None))):
        ds.isel(time=np.flatnonzero(keep[rows]) + (rows.start or 0)).to_netcdf(
            sources / f"{name}.nc", engine="h5netcdf"
        )
        ingest(home, DATASET, source=sources / "*.nc")
    model = forecaster(ds=ds[["t2m"]])
    forecast(home, DATASET, model=model, first_days=3)
    forecast(home, DATASET, model=model, hindcast=("2020-01-12T00", "2020-01-13T00"))
    for kind in ("forecasts", "hindcasts"):
        verify(home, DATASET, kind=kind, model=model)
    return Whole(home, sources, model)


@pytest.fixture
def copied(whole: Whole, tmp_path: Path) -> Home:
    shutil.copytree(whole.home.path, tmp_path / "home")
    return Home(tmp_path / "home")


def store_report(home: Home, name: str, *, heal: bool = False, model: Forecaster | None = None) -> StoreReport:
    """What is said of one store; of all the others, that they are whole."""
    report = verify_archive(home, DATASET, heal=heal, model=model)
    found = {store.name: store for store in report.stores}
    assert [other for other, store in found.items() if not store.whole and other != name] == []
    assert report.whole == found[name].whole
    return found[name]


def found_without_writing(home: Home, name: str) -> StoreReport:
    before = tree(home.path)
    report = store_report(home, name)
    assert tree(home.path) == before
    assert report.state == "damaged"
    assert report.faults
    return report


def same_archive(home: Home, other: Home) -> None:
    first, second = (Archive(one.archive(DATASET)) for one in (home, other))
    ours, theirs = (one.dataset().load() for one in (first, second))
    assert first.unchanged.id == second.unchanged.id
    for attrs in (ours.attrs, theirs.attrs):
        del attrs["archive_snapshot"]
    xr.testing.assert_identical(ours, theirs)


def test_what_is_whole_is_said_to_be_whole(whole: Whole) -> None:
    before = tree(whole.home.path)
    told: list[tuple[str, int, int]] = []
    report = verify_archive(whole.home, DATASET, progress=lambda *told_now: told.append(told_now))
    assert report.whole
    assert tree(whole.home.path) == before
    archive, *others = report.stores
    assert (archive.name, archive.frames, archive.commits) == ("archive", 336, 2)
    # Of t2m, d2m, present and digest 336 / 64, rounded up; of time, latitude and longitude one.
    assert archive.chunks == 4 * 6 + 3
    assert [store.name for store in others] == [
        *("forecasts of 3h", "hindcasts of 3h", "scores of forecasts of 3h", "scores of hindcasts of 3h"),
    ]
    assert ("read archive", 336, 336) in told
    assert str(report).startswith("waves: everything is whole\narchive: whole; 336 frames, 27 chunks, 2 commits")


def chunk_in(array: str, row: int, what: Callable[[Path], None]) -> Callable[[Path], None]:
    """Damage to the chunk of an array that begins with a row."""
    return lambda store: what(chunk_of(store, Store(store).head.read(array, slice(row, row + 1))))


@pytest.mark.parametrize("what", [delete, flip])
def test_a_chunk_of_the_archive_is_named_and_read_again_from_the_source(
    whole: Whole, copied: Home, what: Callable[[Path], None]
) -> None:
    path = copied.archive(DATASET)
    chunk_in("d2m", 192, what)(path)
    report = found_without_writing(copied, "archive")
    (fault,) = report.faults
    assert (fault.variable, fault.where, fault.what) == (
        "d2m",
        "d2m/c/3/0/0",
        {delete: "missing", flip: "damaged"}[what],
    )
    assert (fault.first, fault.last) == ("2020-01-09T00:00:00", "2020-01-11T15:00:00")
    healed = store_report(copied, "archive", heal=True)
    assert healed.state == "healed"
    assert healed.done == ("64 frames written anew from the source, 2020-01-09T00:00:00 .. 2020-01-11T15:00:00",)
    same_archive(copied, whole.home)
    assert store_report(copied, "archive").state == "whole"
    # The content is what it was: nothing was replaced, so nothing is scored again.
    assert Archive(path).changed_since(Archive(path).unchanged.id) == []


def test_reading_the_sources_again_does_not_pass_over_damage(whole: Whole, copied: Home) -> None:
    """Their digests are those of the archive, which says nothing of the frames that are stored."""
    path = copied.archive(DATASET)
    assert ingest(copied, DATASET, source=whole.sources / "*.nc", replace=True).replaced == 0
    chunk_in("d2m", 192, flip)(path)
    with pytest.raises(ArchiveError, match=r"is damaged: d2m: .*\nTo mend it: .*verify-archive"):
        ingest(copied, DATASET, source=whole.sources / "*.nc", replace=True)


@pytest.mark.parametrize("array", ["present", "digest"])
def test_what_says_which_frames_there_are_is_made_again(whole: Whole, copied: Home, array: str) -> None:
    path = copied.archive(DATASET)
    try:
        chunk_in(array, 192, delete)(path)
    except AssertionError:
        pytest.skip(f"a chunk of {array} is so small that it lies in the list of chunks")
    report = found_without_writing(copied, "archive")
    assert {fault.variable for fault in report.faults} == {array}
    assert store_report(copied, "archive", heal=True).state == "healed"
    same_archive(copied, whole.home)


def test_digests_are_made_again_of_the_frames_without_any_source(whole: Whole, copied: Home) -> None:
    path = copied.archive(DATASET)
    try:
        chunk_in("digest", 192, delete)(path)
    except AssertionError:
        pytest.skip("a chunk of digests is so small that it lies in the list of chunks")
    hidden = whole.sources.with_name("elsewhere")
    whole.sources.rename(hidden)
    try:
        healed = store_report(copied, "archive", heal=True)
    finally:
        hidden.rename(whole.sources)
    assert healed.done == ("the digests of 64 frames made again: the content is what was committed",)
    same_archive(copied, whole.home)


def more_from_elsewhere(copied: Home, tmp_path: Path) -> tuple[Path, xr.Dataset]:
    """Two days more, of a file that is not in the folder that the archive is fed from; and what is archived then."""
    world(16 * 24).isel(time=slice(14 * 24, None)).to_netcdf(tmp_path / "more.nc", engine="h5netcdf")
    before = time.time() - 10
    os.utime(tmp_path / "more.nc", (before, before))  # of one that has just changed nothing is noted
    ingest(copied, DATASET, source=tmp_path / "more.nc")
    return tmp_path / "more.nc", Archive(copied.archive(DATASET)).dataset().load()


def delete_newest_manifest(path: Path) -> None:
    delete(max((path / "manifests").iterdir(), key=lambda file: file.stat().st_mtime_ns))


def test_files_from_elsewhere_that_a_lost_commit_was_read_from_are_read_again(copied: Home, tmp_path: Path) -> None:
    _, before = more_from_elsewhere(copied, tmp_path)
    delete_newest_manifest(copied.archive(DATASET))
    healed = verify_archive(copied, DATASET, heal=True).stores[0]
    assert healed.state == "healed", healed.lines
    after = Archive(copied.archive(DATASET)).dataset().load()
    xr.testing.assert_equal(after, before)
    assert after.attrs["archive_commit"] == before.attrs["archive_commit"]


@pytest.mark.parametrize("name", ["folder emptied", "all commits deleted"])
def test_files_from_elsewhere_are_remembered_beside_an_archive_that_cannot_say_so(
    copied: Home, tmp_path: Path, name: str
) -> None:
    file, before = more_from_elsewhere(copied, tmp_path)
    path = copied.archive(DATASET)
    if name == "folder emptied":
        empty(Path(path))
    else:
        delete(Path(path) / "snapshots")
    healed = verify_archive(copied, DATASET, heal=True).stores[0]
    assert healed.state == "healed", healed.lines
    after = Archive(path).dataset().load()
    xr.testing.assert_equal(after, before)
    assert after.attrs["archive_commit"] == before.attrs["archive_commit"]
    assert file.is_file()


def test_an_archive_that_cannot_be_healed_is_left_as_it_was_found(copied: Home, tmp_path: Path) -> None:
    file, before = more_from_elsewhere(copied, tmp_path)
    path = copied.archive(DATASET)
    delete_newest_manifest(path)
    file.unlink()
    head = Store(path).head.id
    report = verify_archive(copied, DATASET, heal=True).stores[0]
    assert report.state == "damaged"
    assert report.done == ()
    assert any("its sources give other frames now" in line for line in report.lost)
    assert Store(path).head.id == head
    assert Store(path).head.length == before.sizes["time"]


@pytest.mark.parametrize("name", OF_THE_REPOSITORY)
def test_an_archive_whose_repository_is_damaged_is_made_again(whole: Whole, copied: Home, name: str) -> None:
    path = copied.archive(DATASET)
    OF_THE_REPOSITORY[name](path)
    with pytest.raises(ArchiveError, match="damaged") as refusal:
        Archive(path).dataset().load()
    assert "verify-archive" in str(refusal.value)
    found_without_writing(copied, "archive")
    healed = store_report(copied, "archive", heal=True)
    assert healed.state == "healed", healed.lines
    same_archive(copied, whole.home)


def test_frames_that_no_source_has_any_more_are_said_to_be_lost(
    whole: Whole, copied: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied.archive(DATASET)
    before = Archive(path).unchanged.id
    chunk_in("t2m", 64, delete)(path)
    hidden = whole.sources.with_name("elsewhere")
    whole.sources.rename(hidden)
    try:
        report = store_report(copied, "archive", heal=True)
    finally:
        hidden.rename(whole.sources)
    assert report.state == "damaged"
    assert any("t2m of 2020-01-03T16:00:00 .. 2020-01-06T07:00:00: no source has it" in line for line in report.lost)
    assert Archive(path).unchanged.id == before


def test_a_source_with_other_values_heals_nothing(whole: Whole, copied: Home, tmp_path: Path) -> None:
    path = copied.archive(DATASET)
    chunk_in("t2m", 64, delete)(path)
    file = whole.sources / "a.nc"
    shutil.copy(file, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as ds:
        changed = ds.load()
    changed["t2m"][70] += 1
    try:
        changed.to_netcdf(file, engine="h5netcdf")
        report = store_report(copied, "archive", heal=True)
    finally:
        shutil.copy(tmp_path / "a.nc", file)
    assert report.state == "damaged"
    assert report.lost


def test_a_frame_that_is_not_what_its_digest_says_is_found_and_put_right(whole: Whole, copied: Home) -> None:
    store = Store(copied.archive(DATASET))
    ds = store.dataset().isel(time=slice(100, 101)).load()
    ds["t2m"][...] += 1
    store.rewrite(ds[["t2m"]].reset_coords(drop=True).drop_vars("time"), 100, store.state)
    # Such a rewrite has no place in the history of an archive.
    report = verify_archive(copied, DATASET).stores[0]
    (fault,) = report.faults
    assert (fault.what, fault.variable, fault.frames) == ("differs", "t2m, d2m", "2020-01-05T04:00:00")
    assert verify_archive(copied, DATASET, heal=True).whole
    np.testing.assert_array_equal(
        store.dataset()["t2m"].values, Archive(whole.home.archive(DATASET)).dataset()["t2m"].values
    )


def refuses_to_issue(copied: Home, model: Forecaster) -> str:
    """The refusal of a forecast; nothing is written by it."""
    before = tree(copied.forecasts(DATASET, "3h"))
    with pytest.raises(ArchiveError, match="damaged") as refusal:
        forecast(copied, DATASET, model=model, init_hours=[0, 3, 6, 9, 12, 15, 18, 21, 23])
    assert tree(copied.forecasts(DATASET, "3h")) == before
    return str(refusal.value)


@pytest.mark.parametrize("what", [delete, flip])
def test_a_damaged_forecast_is_lost_and_nothing_is_issued_after_it(
    whole: Whole, copied: Home, what: Callable[[Path], None]
) -> None:
    path = copied.forecasts(DATASET, "3h")
    chunk_in("t2m", 2, what)(path)
    assert "t2m, 2020-01-12T12:00:00" in refuses_to_issue(copied, whole.model)
    report = found_without_writing(copied, "forecasts of 3h")
    assert [fault.variable for fault in report.faults] == ["t2m"]
    before = tree(path)
    healed = store_report(copied, "forecasts of 3h", heal=True)
    assert healed.state == "damaged"
    assert healed.lost[0] == "t2m of the init times 2020-01-12T12:00:00"
    assert tree(path) == before
    refuses_to_issue(copied, whole.model)


@pytest.mark.parametrize("name", OF_THE_REPOSITORY)
def test_a_damaged_store_of_forecasts_never_issues_an_init_time_again(whole: Whole, copied: Home, name: str) -> None:
    path = copied.forecasts(DATASET, "3h")
    issued = Store(path).dataset()["init_time"].values
    OF_THE_REPOSITORY[name](path)
    assert "verify-archive" in refuses_to_issue(copied, whole.model)
    with pytest.raises(ArchiveError, match="damaged"):
        verify(copied, DATASET, model=whole.model)
    found_without_writing(copied, "forecasts of 3h")
    report = store_report(copied, "forecasts of 3h", heal=True)
    if name in BRANCH:
        assert report.state == "healed", report.lines
        np.testing.assert_array_equal(Store(path).dataset().load()["init_time"].values, issued)
    else:
        assert report.state == "damaged"
        assert "nothing is issued into it" in report.lost[-1]
        refuses_to_issue(copied, whole.model)


def test_forecasts_that_are_gone_altogether_are_missed_by_their_scores(whole: Whole, copied: Home) -> None:
    shutil.rmtree(copied.forecasts(DATASET, "3h").parent)
    with pytest.raises(ArchiveError, match=r"damaged: it is not there, but .* has scores of 12 forecasts"):
        forecast(copied, DATASET, model=whole.model)
    assert not copied.forecasts(DATASET, "3h").exists()
    assert found_without_writing(copied, "forecasts of 3h").faults[0].what == "missing"


@pytest.mark.parametrize("name", ["lists of chunks cut in half", "branch deleted", "folder emptied"])
@pytest.mark.parametrize("kind", ["forecasts", "hindcasts"])
def test_damaged_scores_are_made_again(whole: Whole, copied: Home, kind: str, name: str) -> None:
    path = copied.scores(DATASET, f"{kind}-3h")
    OF_THE_REPOSITORY[name](path)
    with pytest.raises(ArchiveError, match="damaged"):
        verify(copied, DATASET, kind=kind, model=whole.model)
    found_without_writing(copied, f"scores of {kind} of 3h")
    report = store_report(copied, f"scores of {kind} of 3h", heal=True, model=whole.model)
    assert report.state == "healed", report.lines
    kept, again = (Store(home.scores(DATASET, f"{kind}-3h")).dataset().load() for home in (whole.home, copied))
    xr.testing.assert_equal(kept.drop_vars("created", errors="ignore"), again.drop_vars("created", errors="ignore"))


def test_scores_wait_until_the_forecasts_are_whole(whole: Whole, copied: Home) -> None:
    chunk_in("t2m", 2, delete)(copied.forecasts(DATASET, "3h"))
    OF_THE_REPOSITORY["folder emptied"](copied.scores(DATASET, "forecasts-3h"))
    report = verify_archive(copied, DATASET, heal=True, model=whole.model)
    scores = {store.name: store for store in report.stores}["scores of forecasts of 3h"]
    assert not scores.whole
    assert "damaged: forecasts of 3h" in scores.lost[0]


def test_damaged_hindcasts_are_set_aside_and_can_be_made_again(whole: Whole, copied: Home) -> None:
    path = copied.hindcasts(DATASET, "3h")
    OF_THE_REPOSITORY["last commit cut in half"](path)
    report = store_report(copied, "hindcasts of 3h", heal=True)
    assert report.done[0] == "set aside as 3h.zarr.damaged-1"
    forecast(copied, DATASET, model=whole.model, hindcast=("2020-01-12T00", "2020-01-13T00"))
    kept, again = (Store(home.hindcasts(DATASET, "3h")).dataset().load() for home in (whole.home, copied))
    np.testing.assert_array_equal(kept["t2m"].values, again["t2m"].values)


def test_a_data_set_of_which_there_is_nothing_is_refused(whole: Whole) -> None:
    with pytest.raises(ConfigError, match=r"there is nothing of it in .*; there are waves"):
        verify_archive(whole.home, "wave")
