"""Passwords and signatures of sources."""

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.credentials import refuse_secrets, secret_reasons, with_secrets
from datasets.readers import open_source, source_files
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.support.small_home import write_source

SECRET = "hunter2-of-a-source"
LOGIN = f"user:{SECRET}"


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{SECRET}@files/a.nc",
        f"https://{SECRET}@files/a.nc",
        f"https://files/a.nc?X-Amz-Signature={SECRET}",
        f"https://files/a.nc?{SECRET}",
        f"https://files/a.nc#{SECRET}",
        f"HTTPS://user:{SECRET}@files/a.nc",
        f"simplecache::https://user:{SECRET}@files/a.nc",
        f"s3://key:{SECRET}@bucket/a.nc",
        f"ftp://user:{SECRET}@files/*.nc",
        f"https://user:'{SECRET}@files/a.nc",
        f"https://user:two words {SECRET}@files/a.nc",
        f"https://user:{{SIMVP_SOURCE_LOGIN}}{SECRET}@files/a.nc",
        f"https://{{SIMVP_SOURCE_LOGIN}}@user:{SECRET}@files/a.nc",
        f"https://files/a.nc?{{SIMVP_SOURCE_QUERY}}&sig={SECRET}",
        f"https://files/a.nc?sig={{SIMVP_SOURCE_QUERY}}{SECRET}",
        f"  https://user:{SECRET}@files/a.nc",
    ],
)
def test_an_address_with_a_secret_is_refused_with_where_it_belongs(address: str) -> None:
    with pytest.raises(SourceError) as refused:
        refuse_secrets(["plain.nc", address])
    assert "expected no user, password or query in the address" in str(refused.value)
    assert "https://{SIMVP_SOURCE_LOGIN}@host/file.nc with SIMVP_SOURCE_LOGIN=user:password" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert secret_reasons({"a": [1, None, {"b": (address,)}], address: 0})


@pytest.mark.parametrize(
    "place",
    [
        "/data/a?b@c.nc",
        "data/2020-0?.nc",
        "https://files/rain@2x.nc",
        "s3://bucket/a/*.nc",
        "wasbs://container@account.blob.core.windows.net/a.nc",
        "https://{SIMVP_SOURCE_LOGIN}@files/a.nc",
        "https://files/a.nc?{SIMVP_SOURCE_QUERY}",
        "https://{SIMVP_SOURCE_LOGIN}@files/a.nc?{SIMVP_SOURCE_QUERY}",
        "simplecache::https://{SIMVP_SOURCE_LOGIN}@files/a.nc",
        Path("/data/a.nc"),
        None,
        [],
    ],
)
def test_an_address_that_may_be_written_down_is_taken(place: Any) -> None:
    refuse_secrets(place)


def test_only_variables_meant_for_sources_are_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_SOURCE_LOGIN", LOGIN)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    assert with_secrets("https://{SIMVP_SOURCE_LOGIN}@f/{AWS_SECRET_ACCESS_KEY}") == (
        f"https://{LOGIN}@f/{{AWS_SECRET_ACCESS_KEY}}"
    )
    monkeypatch.delenv("SIMVP_SOURCE_LOGIN")
    with pytest.raises(SourceError, match="SIMVP_SOURCE_LOGIN is not set in the environment of this process"):
        source_files("https://{SIMVP_SOURCE_LOGIN}@files/a.nc")


@pytest.fixture
def closed_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server that asks for a login and a signature; its address, and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    wanted = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"

    class Closed(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, directory=str(folder), **options)

        def send_head(self) -> Any:
            if self.headers["Authorization"] != wanted or not self.path.endswith(f"?sig={SECRET}"):
                return self.send_error(403)
            return super().send_head()

        def log_message(self, *_: Any) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{web.server_port}", folder
    web.shutdown()
    web.server_close()


def test_a_closed_source_is_read_and_its_secrets_are_nowhere(
    closed_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host, folder = closed_server
    (file,) = source_files(write_source(folder, days=1))
    source = f"http://{{SIMVP_SOURCE_LOGIN}}@{host}/{Path(file).name}?{{SIMVP_SOURCE_QUERY}}"
    home = Home(tmp_path / "home")
    monkeypatch.setenv("SIMVP_SOURCE_LOGIN", LOGIN)
    monkeypatch.setenv("SIMVP_SOURCE_QUERY", "sig=wrong-one-here")
    with pytest.raises(SourceError) as refused:
        ingest(home, "closed", source=source)
    assert "wrong-one-here" not in str(refused.value)
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("SIMVP_SOURCE_QUERY", f"sig={SECRET}")
    with caplog.at_level("DEBUG", "datasets"), caplog.at_level("DEBUG", "pipelines"):
        assert ingest(home, "closed", source=source).length == 24
        report = ingest(home, "closed")  # the source of the first time
    assert report.length == 24
    assert SECRET not in caplog.text
    assert SECRET not in str(report)
    written = [path for path in home.path.rglob("*") if path.is_file()]
    assert any(b"SIMVP_SOURCE_LOGIN" in path.read_bytes() for path in written)
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


def test_a_notebook_may_still_give_the_address_as_it_is(closed_server: tuple[str, Path]) -> None:
    host, folder = closed_server
    (file,) = source_files(write_source(folder, days=1))
    ds = open_source(f"http://{LOGIN}@{host}/{Path(file).name}?sig={SECRET}")
    assert ds.sizes["time"] == 24
    with pytest.raises(SourceError) as refused:
        open_source(f"http://{LOGIN}@{host}/absent.nc?sig={SECRET}")
    assert SECRET not in str(refused.value)
