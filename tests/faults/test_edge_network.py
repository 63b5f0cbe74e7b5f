"""Networks and servers that are away for a while: who reads from them is told "not now", and goes on later."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import xarray as xr

from datasets.readers import open_source
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError, Unavailable
from tests.faults.edge_support import refused_port, serving
from tests.support.small_home import write_source


class Files(BaseHTTPRequestHandler):
    """Serves the files of a folder, as soon as no fault is left; each fault is one answer to a path that it is for."""

    folder: Path
    faults: list[str]
    only: str
    lock = threading.Lock()

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.folder / self.path.lstrip("/")
        with self.lock:
            fault = self.faults.pop(0) if self.faults and self.only in self.path else ""
        if fault.isdigit():
            return self.send_error(int(fault))
        if fault == "reset":
            return self.connection.close()
        if not path.is_file():
            return self.send_error(404)
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault == "cut":
            self.connection.close()
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_source(folder, 1)
    (folder / "day000.nc").rename(folder / "a.nc")
    with xr.open_dataset(folder / "a.nc") as ds:
        ds.to_zarr(folder / "a.zarr", consolidated=True)
    return folder


Serve = Callable[..., str]


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    handler = type("Handler", (Files,), {"folder": folder, "faults": [], "only": ""})
    with serving(handler) as address:

        def told(*faults: str, only: str = "") -> str:
            handler.faults, handler.only = list(faults), only  # type: ignore[attr-defined]
            return address

        yield told


@pytest.mark.parametrize(
    ("faults", "only", "name", "text"),
    [
        (["503"] * 9, "", "a.nc", "the server answers 503"),
        (["503"], "/a.nc/zarr.json", "a.nc", "the server answers 503"),
        (["429"] * 9, "a.nc", "a.nc", "the server answers 429"),
        (["reset"] * 9, "", "a.nc", "the connection broke off"),
        (["503"] * 9, "", "a.zarr", "the server answers 503"),
        (["503"] * 9, "/t2m/c", "a.zarr", "the server answers 503"),
    ],
)
def test_a_server_that_is_away_for_a_while(
    faults: list[str], only: str, name: str, text: str, serve: Serve, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    source = f"{serve(*faults, only=only)}/{name}"
    with pytest.raises(Unavailable, match=f"{text}\nTo mend it: try again later"):
        ingest(home, "web", source=source)
    assert home.datasets == ()
    serve()
    assert ingest(home, "web", source=source).length == 24


def test_a_file_that_breaks_off_is_fetched_again(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the connection broke off"):
        open_source(f"{serve(*['cut'] * 9)}/a.nc")
    assert open_source(f"{serve()}/a.nc").sizes["time"] == 24


def test_nobody_listens_and_no_such_host() -> None:
    with pytest.raises(Unavailable, match=r"source http://127.0.0.1:\d+/a.nc: nobody listens there"):
        open_source(f"{refused_port()}/a.nc")
    with pytest.raises(
        Unavailable, match=r"source http://nowhere.invalid/a.nc: the name of the host is not known here"
    ):
        open_source("http://nowhere.invalid/a.nc")


@pytest.mark.parametrize("status", ["404", "403", "410"])
def test_what_is_not_there_is_final(status: str, serve: Serve) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"nothing is there at http.*\nTo mend it: check the address"):
        open_source(f"{serve(*[status] * 20)}/absent.nc")
    assert time.monotonic() - began < 10
