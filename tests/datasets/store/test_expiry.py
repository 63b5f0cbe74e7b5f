"""Old commits: which expire, which never do, and that nobody who still works loses anything."""

import logging
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import icechunk
import numpy as np
import pytest

import simvp
from datasets.archive import Archive
from datasets.store import repository as repository_module
from datasets.store.store import Store
from simvp.errors import ArchiveError
from simvp.places import open_repository
from tests.datasets.store.test_store import assert_holds, forecasts, make
from tests.support.wave_home import world

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
AT_ONCE = timedelta(0)


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class InEightDays(datetime):
    """The clock of a writer eight days from now."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=8)


def replaced(path: Path, times: int) -> Archive:
    """An archive whose frames were replaced so often, each time by values a thousand higher."""
    archive = Archive(path)
    for number in range(times + 1):
        archive.append(world(4) + 1000.0 * number, replace=True)
    return archive


def test_a_week_has_to_pass(tmp_path: Path) -> None:
    archive = replaced(tmp_path / "a.zarr", 3)
    assert Store(archive.path).expire() == 0
    assert len(archive.log()) == 4


def test_what_is_old_and_named_by_nothing_expires_and_its_space_is_given_back(tmp_path: Path) -> None:
    archive = replaced(tmp_path / "a.zarr", 1)
    named = archive.dataset()
    archive.keep(named)  # as a model or a forecast does
    archive.append(world(4) + 2000.0, replace=True)
    reader, expiring = archive.dataset(), archive.head
    archive.append(world(4) + 3000.0, replace=True)
    before = size(archive.path)
    freed = Store(archive.path).expire(AT_ONCE)
    assert size(archive.path) == pytest.approx(before - freed, abs=20)  # the last commit forgets those before it
    assert freed > 3000
    # Main, and what is named, hold what they held; by the name that a forecast knows, and lazily.
    np.testing.assert_array_equal(archive.dataset()["t2m"], world(4)["t2m"] + 3000.0)
    for ds in (named, *(simvp.open_archive(archive.path, commit=named.attrs[n]) for n in ("archive_commit",))):
        np.testing.assert_array_equal(ds["t2m"], world(4)["t2m"] + 1000.0)
    # A reader who comes back later is told what happened.
    with pytest.raises(ArchiveError, match=f"the commit that was opened, {expiring.snapshot}, has expired"):
        reader["t2m"].load()
    with pytest.raises(ArchiveError, match=f"there is no commit {expiring.id}, or it has expired"):
        simvp.open_archive(archive.path, commit=expiring.id)
    assert [commit.sequence for commit in archive.log()] == [4]
    assert archive.append(world(1, first=4 * 24) + 3000.0).sequence == 5


def test_commits_are_opened_by_either_name(tmp_path: Path) -> None:
    archive = replaced(tmp_path / "a.zarr", 2)
    for number, commit in enumerate(archive.log()):
        for name in (commit.id, commit.snapshot):
            ds = simvp.open_archive(archive.path, commit=name, chunks="auto")
            np.testing.assert_array_equal(ds["t2m"], world(4)["t2m"] + 1000.0 * number)
            assert (ds.attrs["archive_commit"], ds.attrs["archive_snapshot"]) == (commit.id, commit.snapshot)


def test_a_writer_that_has_not_committed_loses_nothing(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr", 300, 300)
    other = Store(store.path)
    other._lock = None  # as on an object store: with a lock, nobody clears away while somebody writes
    with other.write({"n": 2}) as writer:
        writer.append(forecasts(300, 900))
        assert repository_module.expire(open_repository(store.path), store.path) == 0
    assert_holds(store.path, forecasts(0, 900))


def test_the_first_commit_of_a_day_clears_away_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive = replaced(tmp_path / "a.zarr", 2)
    monkeypatch.setattr(repository_module, "datetime", InEightDays)
    with caplog.at_level(logging.INFO, "datasets.store.repository"):
        archive.append(world(1, first=4 * 24) + 2000.0)
    assert "old commits cleared away" in caplog.text
    assert "MiB given back" in caplog.text
    assert [commit.sequence for commit in archive.log()] == [4]
    assert archive.dataset().sizes["time"] == 5 * 24


def test_who_may_only_read_is_warned_that_a_commit_can_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive = replaced(tmp_path / "a.zarr", 0)

    def denied(*arguments: object) -> None:
        raise icechunk.IcechunkError("x object store error Permission denied")

    monkeypatch.setattr(icechunk.Repository, "create_tag", denied)
    archive.keep(archive.dataset())
    assert f"commit {archive.head.snapshot} cannot be kept from expiring: object store error Permission" in caplog.text
