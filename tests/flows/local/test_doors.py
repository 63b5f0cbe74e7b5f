"""Nobody gets in: both servers as `make up` starts them, and what a page, another program or a rebound name can send.

A page sets no Host, Origin or Sec-Fetch-* header itself; the browser does, and these tests do it for the browser.
"""

import base64
import http.client
import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from flows.local.addresses import Addresses, free_port
from flows.local.doors import own_origins, stated_origins
from flows.local.guarded import main
from flows.local.password import home_password
from flows.local.services import POOLS, Services
from pipelines.home import Home
from pipelines.tracking import close_run, open_run
from simvp.errors import ConfigError

EVIL = "http://evil.example"
PREFECT = [Subprotocol("prefect")]
JSON = {"Content-Type": "application/json"}
SECRET = "hunter2-of-a-source"

# Of a request that would change something; {port} is the server's own.
FOREIGN: dict[str, dict[str, str]] = {
    "JSON of another page": {**JSON, "Origin": EVIL},
    "a page of this machine, another port": {**JSON, "Origin": "http://127.0.0.1:8888"},
    "a page of this machine by name": {**JSON, "Origin": "http://localhost:8888"},
    "the same host by TLS": {**JSON, "Origin": "https://127.0.0.1:{port}"},
    "an origin that only begins like ours": {**JSON, "Origin": "http://127.0.0.1:{port}.evil.example"},
    "text/plain, no preflight": {"Content-Type": "text/plain", "Origin": EVIL},
    "no content type, origin null": {"Origin": "null"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded", "Origin": EVIL},
    "a form without origin": {"Content-Type": "application/x-www-form-urlencoded"},
    "a form with a file, without origin": {"Content-Type": "multipart/form-data; boundary=x"},
    "text/plain without origin": {"Content-Type": "text/plain; charset=utf-8"},
    "no content type, no origin": {},
    "no-cors, said by the browser alone": {**JSON, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "a frame": {**JSON, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "a page of a neighbour": {**JSON, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    "a link that posts": {
        **JSON,
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    },
    "a rebound name": {**JSON, "Host": "evil.example", "Origin": EVIL},
    "a rebound name that is its own origin": {
        **JSON,
        "Host": "evil.example:{port}",
        "Origin": "http://evil.example:{port}",
    },
    "a rebound name without origin": {**JSON, "Host": "evil.example:{port}"},
    "no port": {**JSON, "Host": "127.0.0.1"},
    "another port": {**JSON, "Host": "127.0.0.1:1"},
    "an address that is not ours": {**JSON, "Host": "192.168.1.1:{port}"},
}
SENT_ANYWAY = [name for name, headers in FOREIGN.items() if "Origin" in headers or "Host" in headers]


class Running:
    """The servers of a home, and what it takes to ask them."""

    def __init__(self, services: Services) -> None:
        self.home, self.addresses = services.home, services.addresses
        self.login = home_password(services.home)
        self.target = ""
        self.client = httpx.Client(timeout=30)

    def port(self, server: str) -> int:
        return self.addresses.prefect_port if server == "prefect" else self.addresses.mlflow_port

    def ask(
        self, server: str, method: str, path: str, *, body: Any = None, login: bool = True, **headers: str
    ) -> httpx.Response:
        """An answer; `headers` are all that is sent beyond what HTTP asks for."""
        port = self.port(server)
        said = {name.replace("_", "-"): value.format(port=port) for name, value in headers.items()}
        request = self.client.build_request(
            method,
            f"http://127.0.0.1:{port}{path}",
            content=None if body is None else json.dumps(body).encode(),
            headers={**said, **({"Authorization": self.basic} if login and server == "prefect" else {})},
        )
        return self.client.send(request)

    @property
    def basic(self) -> str:
        return f"Basic {base64.b64encode(self.login.encode()).decode()}"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Running]:
    """Both servers, one start for all; with a deployment on the pool of processes, as `make up` makes it."""
    home = Home(tmp_path_factory.mktemp("doors"))
    home.mlflow.mkdir()
    copyfile(empty_database, home.mlflow / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "SIMVP_STORE", "SIMVP_ORIGINS", "PREFECT_API_DATABASE_CONNECTION_URL"):
            patch.delenv(name, raising=False)
        addresses = Addresses(prefect_port=free_port(), mlflow_port=free_port())
        services = Services(home=home, addresses=addresses)
        try:
            services.start_prefect()
            services.start_mlflow()
            services.wait()
            running = Running(services)
            template = json.loads((POOLS / "process.json").read_text())
            pool = {"name": "local", "type": "process", "base_job_template": template}
            assert running.ask("prefect", "POST", "/api/work_pools/", body=pool, **JSON).status_code == 201
            flow = running.ask("prefect", "POST", "/api/flows/", body={"name": "verify"}, **JSON).json()["id"]
            deployment = {
                "name": "daily",
                "flow_id": flow,
                "work_pool_name": "local",
                "entrypoint": "flows.verify.verify",
            }
            made = running.ask("prefect", "POST", "/api/deployments/", body=deployment, **JSON)
            assert made.status_code == 201, made.text
            running.target = made.json()["id"]
            yield running
        finally:
            services.stop()


def runs(up: Running) -> int:
    return int(up.ask("prefect", "POST", "/api/flow_runs/count", body={}, **JSON).json())


@pytest.mark.parametrize("what", FOREIGN)
def test_no_page_starts_a_run_even_with_the_password(up: Running, what: str) -> None:
    before = runs(up)
    body = {"state": {"type": "SCHEDULED"}, "parameters": {}, "job_variables": {"command": "touch proof"}}
    answer = up.ask("prefect", "POST", f"/api/deployments/{up.target}/create_flow_run", body=body, **FOREIGN[what])
    assert answer.status_code == 403, answer.text
    assert "access-control-allow-origin" not in answer.headers
    assert runs(up) == before


@pytest.mark.parametrize(
    "path", ["/api/2.0/mlflow/experiments/create", "/ajax-api/2.0/mlflow/experiments/create", "/graphql"]
)
@pytest.mark.parametrize("what", FOREIGN)
def test_no_page_changes_the_registry(up: Running, what: str, path: str) -> None:
    answer = up.ask("mlflow", "POST", path, body={"name": "evil"}, **FOREIGN[what])
    assert answer.status_code == 403, answer.text
    assert "access-control-allow-origin" not in answer.headers
    found = up.ask("mlflow", "GET", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=evil")
    assert found.status_code == 404


@pytest.mark.parametrize(
    ("server", "path"),
    [
        *(
            ("prefect", path)
            for path in ("/", "/api/health", "/api/admin/version", "/api/flow_runs/", "/ui-settings", "/docs")
        ),
        *(
            ("mlflow", path)
            for path in ("/", "/health", "/version", "/get-artifact?path=a", "/v1/traces", "/api/2.0/mlflow/runs/get")
        ),
    ],
)
def test_another_page_gets_nothing(up: Running, server: str, path: str) -> None:
    for what in SENT_ANYWAY:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            asked = {**FOREIGN[what], "Access-Control-Request-Method": "POST"}
            answer = up.ask(server, method, path, **asked)
            assert answer.status_code == 403, (what, method)
            assert "access-control-allow-origin" not in answer.headers


def test_a_second_host_or_origin_does_not_help(up: Running) -> None:
    for server, path in (("prefect", "/api/health"), ("mlflow", "/health")):
        port = up.port(server)
        for headers in (
            [("Host", f"127.0.0.1:{port}"), ("Origin", f"http://127.0.0.1:{port}"), ("Origin", EVIL)],
            [("Host", f"127.0.0.1:{port}"), ("Host", "evil.example")],
            [("Host", "evil.example"), ("Host", f"127.0.0.1:{port}")],
        ):
            link = http.client.HTTPConnection("127.0.0.1", port)
            link.putrequest("GET", path, skip_host=True)
            for name, value in headers:
                link.putheader(name, value)
            link.endheaders()
            assert link.getresponse().status in (400, 403), headers
            link.close()


@pytest.mark.parametrize(
    "path", ["/api/flow_runs/count", "/api/work_pools/filter", "/api/logs/", "/api/variables/filter"]
)
def test_prefect_asks_for_the_password_of_the_home(up: Running, path: str) -> None:
    assert up.ask("prefect", "POST", path, body={}, login=False, **JSON).status_code == 401
    for wrong in ("Basic c2ltdnA6", "Bearer x", "Basic"):
        assert up.ask("prefect", "POST", path, body={}, login=False, **JSON, Authorization=wrong).status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}"])
def test_our_own_pages_and_programs_get_through(up: Running, host: str) -> None:
    for server, path, change, body in (
        ("prefect", "/api/admin/version", "/api/flow_runs/count", {}),
        ("mlflow", "/version", "/ajax-api/2.0/mlflow/experiments/search", {"max_results": 1}),
    ):
        own = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert up.ask(server, "GET", path, Host=host).status_code == 200
        assert up.ask(server, "POST", change, body=body, Host=host, **JSON).status_code == 200
        answer = up.ask(server, "POST", change, body=body, Host=host, **JSON, **own)
        assert answer.status_code == 200, answer.text
        page = up.ask(server, "GET", "/", Host=host, Accept="text/html", Sec_Fetch_Site="none")
        assert page.status_code in (200, 307)
        assert page.headers["x-frame-options"] == "SAMEORIGIN"
    # A link from anywhere opens a page: it changes nothing, and nobody but the reader sees it.
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert up.ask("mlflow", "GET", "/", **link).status_code == 200


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
def test_a_websocket_of_another_page_is_refused(up: Running, path: str) -> None:
    port = up.port("prefect")
    uri, own = f"ws://127.0.0.1:{port}{path}", f"http://127.0.0.1:{port}"
    for origin in (EVIL, "null", "http://127.0.0.1:8888"):
        with pytest.raises(InvalidStatus, match="403"), connect(uri, origin=Origin(origin), subprotocols=PREFECT):
            pass
    rebound, name = socket.create_connection(("127.0.0.1", port)), f"ws://evil.example:{port}{path}"
    with pytest.raises(InvalidStatus, match="403"), connect(name, sock=rebound, subprotocols=PREFECT):
        pass
    for token in ("", "simvp:wrong"):
        with connect(uri, origin=Origin(own), subprotocols=PREFECT) as link:
            link.send(json.dumps({"type": "auth", "token": token}))
            with pytest.raises(ConnectionClosed, match="1008"):
                link.recv(timeout=10)
    with connect(uri, subprotocols=PREFECT) as link:
        link.send(json.dumps({"type": "auth", "token": up.login}))
        assert json.loads(link.recv(timeout=10))["type"] == "auth_success"


def test_a_run_of_ours_chooses_no_command(up: Running) -> None:
    for name in ("command", "env", "working_dir", "image"):
        body = {"state": {"type": "SCHEDULED"}, "job_variables": {name: "touch proof"}}
        answer = up.ask("prefect", "POST", f"/api/deployments/{up.target}/create_flow_run", body=body, **JSON)
        assert answer.status_code == 422, answer.text
        assert "Additional properties are not allowed" in answer.text


def test_the_assistant_of_mlflow_is_off(up: Running) -> None:
    """It would run programs of this machine for whoever asks."""
    for method, path in (("GET", "config"), ("PUT", "config"), ("POST", "message"), ("POST", "skills/install")):
        answer = up.ask("mlflow", method, f"/ajax-api/3.0/mlflow/assistant/{path}", body={}, **JSON)
        assert answer.status_code == 403
        assert "switched off" in answer.text


def test_a_password_among_parameters_is_refused_before_prefect_writes_it_down(up: Running) -> None:
    source = f"https://user:{SECRET}@files.example/rain.nc?sig={SECRET}"
    flow = up.ask("prefect", "GET", f"/api/deployments/{up.target}").json()["flow_id"]
    made = {"name": "evil", "flow_id": flow, "work_pool_name": "local"}
    timed = {"schedule": {"interval": 3600}, "active": False, "parameters": {"source": source}}
    before = runs(up)
    for method, path, body in (
        ("POST", f"/api/deployments/{up.target}/create_flow_run", {"parameters": {"source": source}}),
        ("POST", f"/api/deployments/{up.target}/create_flow_run", {"parameters": {"a": [{"b": f"see {source}"}]}}),
        ("POST", f"/api/deployments/{up.target}/create_flow_run", {"job_variables": {"name": source}}),
        ("POST", "/api/flow_runs/", {"flow_id": flow, "parameters": {"source": [source]}}),
        ("POST", "/api/deployments/", {**made, "parameters": {"source": source}}),
        ("POST", "/api/deployments/", {**made, "schedules": [timed]}),
        ("POST", f"/api/deployments/{up.target}/schedules", [timed]),
        ("PATCH", f"/api/deployments/{up.target}", {"parameters": {"source": source}}),
    ):
        answer = up.ask("prefect", method, path, body=body, **JSON)
        assert answer.status_code == 422, (path, answer.text)
        said = answer.json()["detail"]
        assert "https://files.example/rain.nc: expected no user, password or query in the address" in said
        assert "{SIMVP_SOURCE_LOGIN}@host" in said
        assert SECRET not in answer.text
    assert runs(up) == before
    named = {"parameters": {"source": "https://{SIMVP_SOURCE_LOGIN}@files.example/rain.nc?{SIMVP_SOURCE_QUERY}"}}
    taken = up.ask("prefect", "POST", f"/api/deployments/{up.target}/create_flow_run", body=named, **JSON)
    assert taken.status_code == 201, taken.text
    assert taken.json()["parameters"] == named["parameters"]


def test_a_training_tells_nobody_the_password_of_its_tracking_server(
    up: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:{up.port('mlflow')}")
    home = Home(tmp_path)
    with open_run(home, "closed", "key") as run:
        run.log_settings({"epochs": 1}, {})
        run.log_text("a plan", "plan.txt")
        assert close_run(home, run.run_id)  # as one that was killed is closed
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err
    for folder in (tmp_path, up.home.path):
        assert not [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_what_the_servers_keep_is_for_its_owner_alone(up: Running) -> None:
    folder = up.home.prefect
    assert folder.stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(folder / "prefect.db") as database:  # what is still in the journal too
        assert database.execute("SELECT count(*) FROM flow").fetchone() == (1,)
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
        if path.name.startswith(("prefect.db", "password", "profiles.toml", "running.json", "server.log")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_server_for_a_network_has_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, temporary_settings

    monkeypatch.setenv("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "")  # put back afterwards
    monkeypatch.setattr("os.umask", lambda mask: mask)
    with temporary_settings(restore_defaults={PREFECT_SERVER_API_AUTH_STRING}):
        assert main(["prefect", "server", "start", "--host", "0.0.0.0"]) == 2
    assert "Prefect server on 0.0.0.0: expected PREFECT_SERVER_API_AUTH_STRING, got none" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "file:///a")
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "")
    monkeypatch.setenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "")
    assert main(["mlflow", "server"]) == 2
    assert "MLflow server: MLFLOW_BACKEND_STORE_URI is not set" in capsys.readouterr().err


def test_origins_are_stated_in_one_setting() -> None:
    assert stated_origins({}) == ()
    stated = stated_origins({"SIMVP_ORIGINS": "https://Forecasts.example, http://server:4200"})
    assert stated == ("https://forecasts.example", "http://server:4200")
    assert own_origins(4200, stated) == ("http://127.0.0.1:4200", "http://localhost:4200", *stated)
    with pytest.raises(ConfigError) as refused:
        Addresses.from_environment({"SIMVP_ORIGINS": "server:4200,https://me:pw@b.example,https://a.example/x,*"})
    assert [reason.rpartition("got ")[2] for reason in refused.value.reasons] == [
        "'server:4200'",
        "'https://b.example'",
        "'https://a.example/x'",
        "'*'",
    ]
