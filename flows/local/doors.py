"""Whom the servers of a home answer: pages of their own, and programs that are no browser.

Both servers listen where every page that somebody opens can send requests. Prefect's allows every origin and any Host;
MLflow's lets in every origin of this machine, and looks at the origin under /api and /ajax-api alone.
"""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datasets.credentials import refusal, secret_reasons
from simvp.errors import ConfigError
from simvp.settings import shown_address

__all__ = ["OwnOrigins", "PlainParameters", "own_origins", "stated_origins"]

ORIGINS = "SIMVP_ORIGINS"
SAFE = ("GET", "HEAD", "OPTIONS")
# What a page may send anywhere without being asked first; no content type at all is one of them.
SIMPLE_TYPES = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")


def stated_origins(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Addresses under which people reach the servers beyond this machine, from `SIMVP_ORIGINS`.

    Raises
    ------
    ConfigError
        With every one that is no origin.
    """
    origins = tuple(part.strip() for part in environment.get(ORIGINS, "").split(",") if part.strip())
    reasons = []
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
            reasons.append(
                f"expected scheme, host and port as https://forecasts.example:8443, got {shown_address(origin)!r}"
            )
    if reasons:
        raise ConfigError(ORIGINS, reasons, "separate several by commas; no path, and no / at the end")
    return tuple(origin.lower() for origin in origins)


def own_origins(port: int, stated: Collection[str] = ()) -> tuple[str, ...]:
    """Origins of the pages that a server on a port of this machine has, and those that are stated."""
    return (f"http://127.0.0.1:{port}", f"http://localhost:{port}", *stated)


class OwnOrigins:
    """Refuse what another page may have sent (403), by Host, Origin and what browsers say of a request.

    A page cannot set any of these headers. Programs that are no browser send no Origin, and are asked for a password
    where the server has one.

    Parameters
    ----------
    app
        The server.
    origins
        Its own; the host and port of each is a Host that it answers.
    closed
        Beginnings of paths that are not served to anybody.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str], closed: tuple[str, ...] = ()) -> None:
        self.app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in origins)
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on; answers are not to be shown inside a page of somebody else."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if fault := self._fault(scope, Headers(scope=scope)):
            await JSONResponse({"detail": fault}, status_code=403)(scope, receive, send)
            return

        async def unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
            await send(message)

        await self.app(scope, receive, unframed)

    def _fault(self, scope: Scope, headers: Headers) -> str:
        """Why a request is refused; empty if it is not."""
        remedy = f"If it is an address of this server, name it in {ORIGINS}."
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return f"Host {' and '.join(hosts) or '(none)'} is none of {', '.join(sorted(self._hosts))}. {remedy}"
        if scope["path"].startswith(self._closed):
            return "This part of the server is switched off."
        if origins := headers.getlist("origin"):
            foreign = [origin for origin in origins if origin.lower() not in self._origins]
            return f"Requests of other pages ({', '.join(foreign)}) are refused. {remedy}" if foreign else ""
        method = scope.get("method", "GET")
        site = headers.get("sec-fetch-site", "none")
        # A link may lead here from anywhere: it changes nothing, and the page that has it does not see the answer.
        link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
        if site not in ("same-origin", "none") and not (method in SAFE and link):
            return f"Requests of other pages are refused. {remedy}"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if method not in SAFE and body and kind in SIMPLE_TYPES:
            return f"A request that changes something says what it holds: expected application/json, got {kind!r}."
        return ""


class PlainParameters:
    """Refuse (422) runs and deployments whose parameters hold a password, before Prefect writes them down.

    Parameters
    ----------
    app
        Prefect's server.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the parameters of a request, and hand it on."""
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        body = b"".join(message.get("body", b"") for message in messages)
        if reasons := secret_reasons(_parameters(body)):
            await JSONResponse({"detail": str(refusal(reasons))}, status_code=422)(scope, receive, send)
            return
        waiting = iter(messages)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        await self.app(scope, again, send)


def _parameters(body: bytes) -> list[Any]:
    """Parameters and job variables, wherever they are in a request."""
    if b'"parameters"' not in body and b'"job_variables"' not in body:
        return []
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):  # the server will say so
        return []
    found = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            found += [value[name] for name in ("parameters", "job_variables") if name in value]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
