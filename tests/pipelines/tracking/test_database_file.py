"""Databases made beside their place: whole after a kill at every step, once where two start, nothing of value lost."""

import multiprocessing
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.tracking.database_file import DatabaseFile
from simvp.errors import ConfigError
from tests.support.killing import kill_everywhere

HERE = "tests.pipelines.tracking.test_database_file"
STEPS = 4


def file_in(folder: Path) -> DatabaseFile:
    return DatabaseFile(path=folder / "some.db", package="mlflow", by_itself={"one": "name = 'first'"})


def migrate(path: Path, steps: int = STEPS) -> None:
    """As MLflow does: every statement on its own, the number of the migration last."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        done = [int(number) for (number,) in database.execute("SELECT version_num FROM alembic_version")]
        for step in range(max(done, default=0) + 1, steps + 1):
            database.execute(f"CREATE TABLE {('one', 'two', 'three', 'four', 'five')[step - 1]} (name TEXT)")
            if step == 1:
                database.execute("INSERT INTO one VALUES ('first')")
            _step(path.parent)
            database.execute("DELETE FROM alembic_version")
            database.execute("INSERT INTO alembic_version VALUES (?)", [str(step)])


def _step(folder: Path) -> None:
    """A call that the driver counts, and kills at."""
    (folder / "step").touch()
    os.rename(folder / "step", folder / "stepped")
    (folder / "stepped").unlink()


def work(folder: Path) -> None:
    with file_in(folder).unfinished() as part:
        if part:
            migrate(part)


def in_place(folder: Path) -> None:
    """What an earlier version did, and at the next start this one."""
    if (folder / "some.db").exists():
        work(folder)
    else:
        migrate(folder / "some.db")


def work_on(folder: Path) -> None:
    """Bring up to date a database that holds something."""
    if not (folder / "some.db").exists():
        migrate(folder / "some.db", 2)
        rows(folder / "some.db", "INSERT INTO two VALUES ('of value')")
    with file_in(folder).unfinished() as part:
        if part:
            migrate(part, 5)


WORKERS = {"work": work, "in_place": in_place, "work_on": work_on}


def work_all(folder: Path) -> None:
    for name, worker in WORKERS.items():
        (folder / name).mkdir(exist_ok=True)
        worker(folder / name)


def look(folder: Path) -> None:
    """Another program that opens what is there between the two starts."""
    for name in WORKERS:
        if (folder / name / "some.db").exists() and "two" in tables(folder / name / "some.db"):
            assert rows(folder / name / "some.db", "SELECT * FROM two") in ([], [("of value",)])


def tables(path: Path) -> set[str]:
    return {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def rows(path: Path, question: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(question).fetchall()


def test_a_kill_at_any_step_leaves_no_half_made_database_and_loses_nothing_of_value(tmp_path: Path) -> None:
    folders = kill_everywhere(f"{HERE}:work_all", f"{HERE}:look", tmp_path)
    assert len(folders) > 3 * STEPS
    halves = 0
    for folder in folders:
        for name in WORKERS:
            assert list((folder / name).glob("*.part-*")) == []
            own = tables(folder / name / "some.db")
            if name == "in_place" and not file_in(folder / name).is_whole:  # an earlier version, not killed
                assert own == {"alembic_version", "one", "two", "three", "four"}
                halves += 1
            elif name != "work_on":
                assert file_in(folder / name).is_whole
                assert own == {"alembic_version", "one", "two", "three", "four"}
            else:
                _refuse_lost(folder / name)
    assert halves < len(folders)


def _refuse_lost(folder: Path) -> None:
    assert file_in(folder).is_whole
    assert "five" in tables(folder / "some.db")
    if rows(folder / "some.db", "SELECT * FROM two"):
        assert rows(folder / "some.db.before-5", "SELECT * FROM two") == [("of value",)]
        assert "five" not in tables(folder / "some.db.before-5")
    else:  # killed before anything of value was there
        assert not (folder / "some.db.before-5").exists()


def test_what_a_killed_start_has_left_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = file_in(tmp_path)
    migrate(file.path, 2)
    (tmp_path / "some.db.part-old").mkdir()  # of a start that was killed
    work(tmp_path)
    (aside,) = tmp_path.glob("some.db.unfinished-*")
    assert (len(tables(aside)), len(tables(file.path))) == (3, 5)
    assert f"Database of mlflow {file.path} was half made, by a start that was killed: set aside as" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"some.db", "some.db.lock", aside.name}


def test_what_holds_something_is_brought_up_to_date_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, kept = file_in(tmp_path), tmp_path / "some.db.before-4"
    migrate(file.path, 2)
    rows(file.path, "INSERT INTO two VALUES ('of value')")
    work(tmp_path)
    assert f"Database of mlflow {file.path} was brought up to date; as it was before it is {kept}" in caplog.text
    assert file.is_whole
    assert [rows(path, "SELECT * FROM two") for path in (file.path, kept)] == [[("of value",)]] * 2
    assert tables(file.path) - tables(kept) == {"three", "four"}


def test_a_journal_is_never_played_back_into_the_new_file(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    (tmp_path / "some.db-journal").write_bytes(b"left over")
    (tmp_path / "some.db-wal").write_bytes(b"left over")
    work(tmp_path)
    assert file.is_whole
    assert not list(tmp_path.glob("some.db-*"))


def test_a_whole_database_of_an_earlier_version_is_marked_and_nothing_else(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    migrate(file.path)
    rows(file.path, "INSERT INTO four VALUES ('of value')")
    work(tmp_path)
    assert file.is_whole
    assert {path.name for path in tmp_path.iterdir()} == {"some.db", "some.db.lock"}
    assert rows(file.path, "SELECT * FROM four") == [("of value",)]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    for held in (False, True):
        if held:
            migrate(file.path, 2)
            rows(file.path, "INSERT INTO two VALUES ('of value')")
        before = file.path.read_bytes() if held else None
        with pytest.raises(RuntimeError), file.unfinished() as part:  # noqa: PT012
            assert part is not None
            migrate(part)
            raise RuntimeError
        assert (file.path.read_bytes() if file.path.exists() else None) == before
        assert not list(tmp_path.glob("*.part-*"))


def test_what_somebody_writes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    migrate(file.path, 2)
    rows(file.path, "INSERT INTO two VALUES ('of value')")
    with pytest.raises(ConfigError, match="somebody wrote into it while"), file.unfinished() as part:  # noqa: PT012
        assert part is not None
        migrate(part)
        rows(file.path, "INSERT INTO two VALUES ('meanwhile')")
    assert rows(file.path, "SELECT * FROM two") == [("of value",), ("meanwhile",)]
    for left in tmp_path.glob("some.db*"):
        left.unlink()
    with pytest.raises(ConfigError, match="somebody wrote into it while"), file.unfinished() as part:  # noqa: PT012
        assert part is not None
        migrate(part)
        migrate(file.path, 2)
        rows(file.path, "INSERT INTO two VALUES ('meanwhile')")
    assert rows(file.path, "SELECT * FROM two") == [("meanwhile",)]


def test_what_is_no_database_is_refused_and_stays(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    file.path.write_bytes(b"of no use to SQLite" * 100)
    with pytest.raises(ConfigError) as refused, file.unfinished():
        pass
    assert str(refused.value) == (
        f"Database of mlflow {file.path}: expected an SQLite database, got a file that cannot be read as one: file is "
        f"not a database\nTo mend it: put back a copy of it, or move it away to begin anew: mv {file.path} "
        f"{file.path}.damaged"
    )
    assert file.path.read_bytes() == b"of no use to SQLite" * 100


def test_what_somebody_holds_is_refused_with_what_to_look_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tracking.database_file.BUSY_SECONDS", 0.1)
    file = file_in(tmp_path)
    migrate(file.path)
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError) as refused, file.unfinished():
            pass
    assert str(refused.value) == (
        f"Database of mlflow {file.path}: cannot be read: database is locked\n"
        "To mend it: see which other program holds it, who may read and write it, and whether the disk is full"
    )


def _slowly(folder: Path) -> None:
    with file_in(folder).unfinished() as part:
        if part:
            migrate(part, 2)
            time.sleep(0.3)
            migrate(part)
            (folder / f"made-{os.getpid()}").touch()


def test_of_several_first_starts_at_once_one_makes_it(tmp_path: Path) -> None:
    starts = [multiprocessing.get_context("spawn").Process(target=_slowly, args=[tmp_path]) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert [start.exitcode for start in starts] == [0] * 4
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert file_in(tmp_path).is_whole
