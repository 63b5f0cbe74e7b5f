"""A tracking server with a password in its address."""

import base64
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from simvp.errors import Refusal
from simvp.inference import registry_exists

SECRET = "hunter2-of-a-server"


@pytest.fixture
def closed() -> Iterator[str]:
    """A server of which everything but its health asks for a login, as behind a proxy; its address with the login."""
    wanted = f"Basic {base64.b64encode(f'user:{SECRET}'.encode()).decode()}"

    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" or self.headers["Authorization"] == wanted else 401)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://user:{SECRET}@127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


def test_it_is_asked_and_found_there(closed: str) -> None:
    assert registry_exists(closed)
    assert registry_exists(f"{closed}/")


def test_one_that_is_away_is_refused_without_its_password() -> None:
    with pytest.raises(Refusal, match=r"Model registry http://127\.0\.0\.1:1 ") as refused:
        registry_exists(f"http://user:{SECRET}@127.0.0.1:1")
    assert SECRET not in str(refused.value)
