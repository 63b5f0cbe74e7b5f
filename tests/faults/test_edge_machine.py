"""Faults of the machine under the stages: each is a refusal with its own text, and none loses what was there."""

import contextlib
import errno
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import simvp.inference.registry_address as registry_address
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.machine import refuse_unusable, stage
from pipelines.train import train
from pipelines.training.config import TrainConfig
from simvp.errors import ConfigError, Refusal, RegistryError, Unavailable, fault_around
from simvp.places import open_repository
from tests.conftest import CHECKOUT
from tests.faults.edge_support import disk, fill, read_only
from tests.support.small_home import DATASET, small_home, write_source

SETTINGS: dict[str, Any] = {"frames_in": 6, "frames_out": 3, "size": "none", "threads": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_source(tmp_path_factory.mktemp("source"), 4))


# --- what the system and libraries say, as refusals -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OSError(errno.ENOSPC, "", "/h/a"), Refusal, "left on the disk: /h/a\nTo mend it: make space"),
        (OSError(errno.EDQUOT, "", "/h/a"), Refusal, "no space left"),
        (sqlite3.OperationalError("database or disk is full"), Refusal, "no space left"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), Refusal, "no space left"),
        (OSError(errno.EROFS, "", "/h/a"), Refusal, "it may only be read: /h/a\nTo mend it: make it writable"),
        (sqlite3.OperationalError("attempt to write a readonly database"), Refusal, "it may only be read"),
        (PermissionError(errno.EACCES, "", "/h/a"), Refusal, "no permission: /h/a\nTo mend it: give this user"),
        (OSError(errno.EMFILE, ""), Refusal, "too many files are open\nTo mend it: raise the limit: ulimit -n"),
        (OSError(errno.EIO, ""), Refusal, "the disk fails to read or write\nTo mend it: check the disk"),
        (OSError(errno.EADDRINUSE, ""), Refusal, "listens on its port already\nTo mend it: stop that, or choose other"),
        (sqlite3.OperationalError("database is locked"), Unavailable, "the database\nTo mend it: try again later"),
        (sqlite3.DatabaseError("file is not a database"), Refusal, "the database is damaged\nTo mend it: put it back"),
        (sqlite3.DatabaseError("database disk image is malformed"), Refusal, "the database is damaged"),
        (sqlite3.OperationalError("unable to open database file"), Refusal, "the database cannot be opened"),
        (ConnectionRefusedError(), Unavailable, "nobody listens there\nTo mend it: try again later"),
        (TimeoutError(), Unavailable, "there was no answer in time"),
        (ConnectionResetError(), Unavailable, "the connection broke off"),
        (RuntimeError("API request to x failed with error code 503 != 200"), Unavailable, "the server answers 503"),
        (RuntimeError('connection to server at "db" failed: Connection refused'), Unavailable, "cannot be reached"),
    ],
)  # fmt: skip
def test_what_a_fault_is_called(error: Exception, kind: type[Refusal], text: str) -> None:
    refusal = fault_around(error, "X")
    assert type(refusal) is kind
    assert str(refusal).startswith("X: ")
    assert text in str(refusal)
    wrapped = KeyError("wrapped")  # by a library
    wrapped.__context__ = error
    assert str(fault_around(wrapped, "X")) == str(refusal)


def test_a_server_that_lets_nobody_in_is_no_fault_of_the_machine() -> None:
    denied = ClientError({"ResponseMetadata": {"HTTPStatusCode": 403}, "Error": {"Code": "AccessDenied"}}, "GetObject")
    error = PermissionError(errno.EACCES, "Access Denied")
    error.__cause__ = denied
    assert fault_around(error, "X") is None
    busy = ClientError({"ResponseMetadata": {"HTTPStatusCode": 503}, "Error": {"Code": "SlowDown"}}, "GetObject")
    error = OSError(errno.EBUSY, "Slow Down")
    error.__cause__ = busy
    assert str(fault_around(error, "X")) == "X: the server answers 503\nTo mend it: try again later"


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(2, "no", "/h/a"), ValueError("404"), OSError("x")])
def test_what_is_no_fault_of_the_machine_keeps_its_traceback(error: Exception, tmp_path: Path) -> None:
    @stage
    def work(home: Home) -> None:
        raise error

    assert fault_around(error, "X") is None
    with pytest.raises(type(error)) as raised:
        work(Home(tmp_path))
    assert raised.value is error


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 2) as small:
        with pytest.raises(
            ConfigError, match=rf"SIMVP_HOME {small}/home: expected 16 MiB and more of space.*got 2 MiB"
        ):
            refuse_unusable(Home(small / "home"))
        assert list(small.iterdir()) == []


def test_a_disk_that_fills_up_under_an_ingest_loses_nothing(tmp_path: Path, source: str) -> None:
    with disk(tmp_path / "disk", 8) as small:
        home = Home(small / "home")
        first = ingest(home, "x", source=source.replace("day*", "day000"))
        fill(small, 40)
        with pytest.raises(Refusal, match="there is no space left on the disk") as refused:
            ingest(home, "x", source=source)
        assert str(small) in str(refused.value)
        assert "make verify-archive" not in str(refused.value)  # it is not damaged
        (small / "filled").unlink()
        assert first.length == 24
        assert ingest(home, "x", source=source).length == 96


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_training(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 24) as small:
        home = Home(small / "home")
        shutil.copytree(small_home()[0].path, home.path, ignore=shutil.ignore_patterns("mlflow"))
        fill(small, 300)
        with pytest.raises(Refusal, match="there is no space left on the disk") as refused:
            train(home, TrainConfig(dataset=DATASET, **SETTINGS))
        assert f"SIMVP_HOME {home.path}" in str(refused.value)


def test_a_disk_that_may_only_be_read(tmp_path: Path, source: str) -> None:
    with disk(tmp_path / "disk", 24) as small:
        home = Home(small / "home")
        ingest(home, "x", source=source.replace("day*", "day000"))
        read_only(small)
        with pytest.raises(
            ConfigError, match=rf"expected to write to {home.path}, but its file system may only be read"
        ):
            refuse_unusable(home)
        with pytest.raises(Refusal, match="it may only be read") as refused:
            ingest(home, "x", source=source)
        assert str(small) in str(refused.value)


def test_folders_without_permission_or_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=f"expected a folder, and {tmp_path}/file is a file\nTo mend it: .*SIMVP_HOME"
    ):
        refuse_unusable(Home(tmp_path / "file" / "home"))
    # pytest's own folders are for their owner alone.
    with tempfile.TemporaryDirectory() as open_to_all:
        locked = Path(open_to_all, "locked")
        locked.mkdir()
        locked.chmod(0o555)
        Path(open_to_all).chmod(0o755)
        code = (
            "import os, sys; from pipelines.home import Home; from pipelines.machine import refuse_unusable; "
            "os.geteuid() or os.setuid(65534); refuse_unusable(Home(sys.argv[1]))"
        )
        words = [sys.executable, "-c", code, str(locked / "home")]
        done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert f"SIMVP_HOME {locked}/home: expected to write to {locked}, but this user (uid " in done.stderr
    assert "has no permission\nTo mend it: mend that, or set SIMVP_HOME to a folder of your own" in done.stderr


# --- homes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["what?now", "a#b", "50%", "line\nbreak", "\udcff"])
def test_a_home_with_a_name_that_addresses_read_otherwise(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a path without") as refused:
        Home(tmp_path / name)
    assert repr(str(tmp_path / name)) in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone", ["home", "home/x"])
def test_a_home_that_is_deleted_while_it_is_used(gone: str, tmp_path: Path, source: str) -> None:
    home = Home(tmp_path / "home")
    ingest(home, "x", source=source.replace("day*", "day000"))

    def delete(what: str, done: int, total: int) -> None:
        shutil.rmtree(tmp_path / gone, ignore_errors=True)

    with pytest.raises(Refusal) as refused:
        ingest(home, "x", source=source, progress=delete)
    assert "SIMVP_HOME" in str(refused.value) or "Store" in str(refused.value)
    if gone == "home":
        assert "it was removed while it was in use\nTo mend it: put it back, or run again" in str(refused.value)
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert ingest(home, "x", source=source).length == 96


# --- databases --------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, source: str) -> Home:
    """With an archive of a day, and no registry yet."""
    home = Home(tmp_path / "home")
    ingest(home, "x", source=source.replace("day*", "day000"))
    home.mlflow.mkdir()
    return home


def test_a_database_that_somebody_else_holds(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_address, "_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(home.mlflow / "mlflow.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE registered_models (name)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match=r"database is locked(.*\n)+To mend it: try again later"):
            forecast(home, "x")


@pytest.mark.parametrize("content", [b"no database at all\n" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_database_that_is_damaged(content: bytes, home: Home) -> None:
    (home.mlflow / "mlflow.db").write_bytes(content)
    with pytest.raises(Refusal, match=r"mlflow\.db.*expected an MLflow database"):
        forecast(home, "x")
    assert (home.mlflow / "mlflow.db").read_bytes() == content


def test_a_database_that_cannot_be_migrated_stays_as_it_is(home: Home, empty_database: Path) -> None:
    file = home.mlflow / "mlflow.db"
    shutil.copy(empty_database, file)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("INSERT INTO experiments (name, lifecycle_stage) VALUES ('of value', 'active')")
        database.execute("UPDATE alembic_version SET version_num = 'of a later version'")
        database.execute("PRAGMA user_version = 0")  # not made by this version of MLflow
    before = file.read_bytes()
    with pytest.raises(RegistryError) as refused:
        forecast(home, "x")
    assert str(refused.value) == (
        f"Database of MLflow {file}: cannot be brought to the tables of this version of MLflow: Can't locate revision "
        f"identified by 'of a later version'\nTo mend it: it is as it was: put back a copy of it, or move it away to "
        f"begin anew: mv {file} {file}.damaged"
    )
    assert file.read_bytes() == before
    assert {path.name for path in home.mlflow.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


# --- processes, clocks, versions --------------------------------------------------------------------------------------


def in_a_child(home: Home, queue: Any) -> None:
    try:
        queue.put(ingest(home, "x").length)
    except Refusal as refusal:
        queue.put(refusal)


@pytest.mark.parametrize("way", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_stage_in_a_process_of_its_own(way: str, home: Home) -> None:
    open_repository(home.archive("x"))  # starts Icechunk's threads here
    context = multiprocessing.get_context(way)
    queue = context.Queue()
    process = context.Process(target=in_a_child, args=(home, queue))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    if way == "spawn":
        assert found == 24
    else:  # it would wait for ever
        assert "this process was forked from one that had opened stores" in str(found)
        assert "To mend it: start processes by spawn or forkserver" in str(found)


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *) = 0;
    if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec -= 86400;
    return code;
}
"""


def test_a_clock_that_jumps_back_by_a_day(tmp_path: Path, source: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock is set back by a library that is made with a C compiler")
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True)
    home = Home(tmp_path / "home")
    ingest(home, "x", source=source.replace("day*", "day000"))
    code = (
        "import sys; from pipelines.home import Home; from pipelines.ingest import ingest\n"
        "from simvp.errors import Refusal\n"
        "try: print(ingest(Home(sys.argv[1]), 'x', source=sys.argv[2]).length)\n"
        "except Refusal as refusal: print(refusal)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.path), source],
        cwd=CHECKOUT, env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "the clock of this machine stands before the time at which the last commit was made" in done.stdout
    assert "To mend it: set the clock" in done.stdout
    assert ingest(home, "x", source=source).length == 96


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("sys.version_info = (3, 10, 1)", "Python 3.11 or newer, got 3.10"),
        ("sys.path.insert(0, '{folder}')", "zarr<4,>=3.1, got 2.0.0"),
    ],
)
def test_what_is_installed_is_too_old(before: str, text: str, tmp_path: Path) -> None:
    old = tmp_path / "zarr-2.0.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 2.0.0\n")
    code = f"import runpy, sys; {before.format(folder=tmp_path)}; sys.argv = ['simvp', 'demo']; "
    code += "runpy._run_module_as_main('simvp')"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert text in done.stderr
    assert "To mend it: make" in done.stderr
    assert "Traceback" not in done.stderr
