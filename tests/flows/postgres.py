"""A PostgreSQL server of Debian (or any that is on the path), in a temporary folder and on a port of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.local.addresses import free_port

USER, PASSWORD = "simvp", "s3cr3t/p@ss:word?"
ESCAPED = "s3cr3t%2Fp%40ss%3Aword%3F"
SECONDS = 60


@dataclass(frozen=True)
class Postgres:
    """A server that runs; `address` gives that of a database, which is made."""

    port: int
    programs: Path

    def address(self, database: str, *, driver: str = "", password: str = ESCAPED) -> str:
        """Of a database on this server, as SQLAlchemy takes it."""
        return f"postgresql{driver}://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> None:
        """An empty database."""
        self._client("createdb", database)

    def dump(self, database: str) -> str:
        """Everything that a database holds, as SQL."""
        return self._client("pg_dump", database)

    def tables(self, database: str) -> set[str]:
        """Names of its tables."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return set(self._client("psql", database, "--tuples-only", "--no-align", "--command", query).split())

    def _client(self, program: str, *words: str) -> str:
        command = [
            str(self.programs / program),
            f"--port={self.port}",
            "--host=127.0.0.1",
            f"--username={USER}",
            *words,
        ]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def _programs() -> Path:
    """Folder of initdb and its kin; skips where no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or not (folders[-1] / "postgres").exists():
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    return folders[-1]


def _other_user(folder: Path) -> list[str]:
    """Words that run a command as somebody else where we are root, as whom the server refuses to run."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv to become another user")
    try:
        shutil.chown(folder, "postgres", "postgres")
    except LookupError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server whose user has a password that has to be escaped; skips, with the reason, where there can be none."""
    if find_spec("psycopg2") is None:
        pytest.skip("psycopg2 is not installed (extra postgres)")
    programs, port = _programs(), free_port()
    with tempfile.TemporaryDirectory(prefix="simvp-postgres-") as name:
        folder = Path(name)
        become = _other_user(folder)
        data, secret, log = folder / "data", folder / "password", folder / "log"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        initdb = [str(programs / "initdb"), f"--pgdata={data}", f"--username={USER}", "--auth=scram-sha-256"]
        initdb += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*become, *initdb], check=True, capture_output=True, cwd="/")
        server = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        with log.open("wb") as out:
            process = subprocess.Popen([*become, *server, "-c", "fsync=off"], stdout=out, stderr=out, cwd="/")
        try:
            _wait(process, [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)], log)
            yield Postgres(port, programs)
        finally:
            process.send_signal(signal.SIGINT)  # at SIGTERM it would wait for its clients to go
            process.wait(SECONDS)


def _wait(process: "subprocess.Popen[bytes]", ready: list[str], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while subprocess.run(ready, capture_output=True).returncode:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
