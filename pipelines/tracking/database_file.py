"""SQLite databases whose tables another program makes: in their place whole, or not at all.

MLflow and Prefect make a new database by some seventy and some hundred migrations, one after the other, and not each of
them in one transaction: one that is cut off is begun again at the next start, and fails at what is there already. Here
the migrations run on a file beside the database, under a lock. When all are done it takes the place.
"""

import logging
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from datasets.store import disk
from simvp.errors import ConfigError

__all__ = ["DatabaseFile"]

_log = logging.getLogger(__name__)

LOCK_SECONDS = 300.0  # another start makes the same database: 10 s, minutes on a busy machine
BUSY_SECONDS = 20.0
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, kw_only=True)
class DatabaseFile:
    """A database file and whose it is.

    Parameters
    ----------
    path
        Where it lies.
    package
        Python package whose migrations make it; a database that they made whole bears a mark of its version.
    by_itself
        Tables with rows that come with a new database, as conditions on these rows. Any other row is of value.
    """

    path: Path
    package: str
    by_itself: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How errors name it."""
        return f"Database of {self.package} {self.path}"

    @property
    def is_whole(self) -> bool:
        """Whether the installed version of the package made it, or brought it up to date, to the end.

        False also where there is none, and where that cannot be told yet: of one that is older than this mark.

        Raises
        ------
        ConfigError
            What is there is no database.
        """
        return self.path.is_file() and self._ask(self.path, "PRAGMA user_version") == [(self._mark,)]

    @contextmanager
    def unfinished(self) -> Iterator[Path | None]:
        """A file beside the database to be brought up to date in the block; it takes its place when the block ends.

        None where the database is whole. The file is not there yet where there is no database, or one without anything
        of value, which a start that was killed has left: that one is set aside. Otherwise it is a copy, and the
        database itself changes in one transaction; what it was before is kept beside it. A block that raises changes
        nothing, and neither does a kill.

        Raises
        ------
        ConfigError
            What is there is no database, or somebody wrote into it meanwhile.
        ArchiveError
            Another start has held the lock for minutes.
        """
        if self.is_whole:
            yield None
            return
        with disk.exclusive(FileLock(f"{self.path}.lock"), LOCK_SECONDS):
            if self.is_whole:  # another start has made it while this one waited
                yield None
                return
            for left in self.path.parent.glob(f"{self.path.name}.part-*"):
                shutil.rmtree(left, ignore_errors=True)
            # A folder of its own: what a start that was killed has begun may still be written to, by name.
            with TemporaryDirectory(prefix=f"{self.path.name}.part-", dir=self.path.parent) as folder:
                part = Path(folder, self.path.name)
                if self._holds_something():
                    yield from self._copied(part)
                    return
                yield part
                self._seal(part)
                self._set_aside()
                os.replace(part, self.path)
                disk.sync(self.path.parent)

    def _copied(self, part: Path) -> Iterator[Path]:
        """The file beside the database as its copy; afterwards the database is as the copy is then."""
        with closing(self._open(self.path)) as database:
            seen = database.execute("PRAGMA data_version").fetchone()
            before = _schema(database)
            _copy(database, part)
            yield part
            self._seal(part)
            with closing(self._open(part)) as copy:
                after = _schema(copy)
                if before == after:
                    self._put_mark(database)
                    return
                kept = self.path.with_name(f"{self.path.name}.before-{after}")
                _copy(database, part.with_name(kept.name))
                disk.sync(part.with_name(kept.name))
                os.replace(part.with_name(kept.name), kept)
                if database.execute("PRAGMA data_version").fetchone() != seen:
                    raise self._changed
                copy.backup(database)  # one transaction, also for those who have it open
            _log.warning("%s was brought up to date; as it was before it is %s", self.subject, kept)

    def _seal(self, part: Path) -> None:
        """Mark a finished file, and bring it to the disk without anything beside it that belongs to it."""
        with closing(self._open(part)) as made:
            made.execute("PRAGMA journal_mode = DELETE")
            self._put_mark(made)
        disk.sync(part)

    def _put_mark(self, database: sqlite3.Connection) -> None:
        database.execute(f"PRAGMA user_version = {self._mark}")

    def _set_aside(self) -> None:
        """Take away what a start that was killed has left."""
        if self._holds_something():
            raise self._changed
        if self.path.exists():
            aside = self.path.with_name(f"{self.path.name}.unfinished-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            with closing(self._open(self.path)) as left:  # what its journals hold goes into it
                left.execute("PRAGMA journal_mode = DELETE")
            os.replace(self.path, aside)
            _log.warning(
                "%s was half made, by a start that was killed: set aside as %s, made anew", self.subject, aside
            )
        # SQLite would play a journal back into whichever file bears the name.
        for beside in _BESIDE:
            self.path.with_name(f"{self.path.name}{beside}").unlink(missing_ok=True)

    def _holds_something(self) -> bool:
        """Whether any row is there that does not come with a new database."""
        if not self.path.is_file():
            return False
        tables = [str(name) for (name,) in self._ask(self.path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        own = {"alembic_version": "1", **self.by_itself}
        for name in tables:
            # A migration that was cut off may have left a table under another name.
            condition = own.get(name.removeprefix("_alembic_tmp_"))
            rows = f'"{name}"' + (f" WHERE NOT ({condition})" if condition else "")
            if not name.startswith("sqlite_") and self._ask(self.path, f"SELECT 1 FROM {rows} LIMIT 1"):
                return True
        return False

    def _ask(self, path: Path, question: str) -> list[tuple[object, ...]]:
        try:
            with closing(self._open(path)) as database:
                return database.execute(question).fetchall()
        except sqlite3.Error as error:
            reason = f"expected an SQLite database, got a file that cannot be read as one: {error}"
            remedy = f"put back a copy of it, or move it away to begin anew: mv {path} {path}.damaged"
            if getattr(error, "sqlite_errorname", "") not in _DAMAGED:
                reason = f"cannot be read: {error}"
                remedy = "see which other program holds it, who may read and write it, and whether the disk is full"
            raise ConfigError(self.subject, [reason], remedy) from error

    def _open(self, path: Path) -> sqlite3.Connection:
        # Not read-only: after a kill the journal has to be played back first. In autocommit: each statement is whole.
        return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)

    @property
    def _changed(self) -> ConfigError:
        reason = "somebody wrote into it while it was brought up to date beside its place"
        return ConfigError(self.subject, [reason], "stop what uses it, and start again")

    @property
    def _mark(self) -> int:
        return zlib.crc32(f"{self.package} {version(self.package)}".encode()) & 0x7FFFFFFF


def _schema(database: sqlite3.Connection) -> str:
    """At which migration a database stands."""
    with suppress(sqlite3.OperationalError):  # no such table
        if found := database.execute("SELECT version_num FROM alembic_version").fetchone():
            return str(found[0])
    return "none"


def _copy(database: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path)) as copy:
        database.backup(copy)
