"""Faults of a machine, made for real: small and read-only disks, users without rights, servers that are away."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.home import Home
from tests.support.small_home import small_home


@contextmanager
def disk(place: Path, mib: int) -> Iterator[Path]:
    """A disk of that size at a new folder; skips where this user may not mount."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def read_only(place: Path) -> None:
    """Let the disk at a place be read only."""
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)


def fill(place: Path, left_kib: int) -> None:
    """Leave that much space on the disk at a place."""
    free = shutil.disk_usage(place).free - left_kib * 1024
    (place / "filled").write_bytes(bytes(max(0, free)))


def copy_of_small_home(folder: Path) -> Home:
    """A trained home of one's own; its registry names the files of the one that it is a copy of."""
    home = Home(folder / "home")
    shutil.copytree(small_home()[0].path, home.path)
    return home


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def failing_server(status: int = 500) -> Iterator[str]:
    """A server that answers every request with one status."""

    class Failing(BaseHTTPRequestHandler):
        def _fail(self) -> None:
            self.send_error(status)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Failing, f"do_{method}", Failing._fail)
    with serving(Failing) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def refused_port() -> str:
    """Address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def is_root() -> bool:
    """Whether rights do not count for this user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
