"""Where the local servers listen."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.local.addresses import Addresses, free_port, running
from flows.local.services import Services, offline_environment
from pipelines.home import Home
from simvp.errors import ConfigError, Refusal
from tests.conftest import CHECKOUT


def test_ports_come_from_the_environment() -> None:
    assert Addresses.from_environment({}) == Addresses(prefect_port=4200, mlflow_port=5000)
    stated = Addresses.from_environment({"PREFECT_PORT": "4300", "MLFLOW_PORT": "5100"})
    assert stated.prefect_api == "http://127.0.0.1:4300/api"
    assert stated.mlflow == "http://127.0.0.1:5100"
    with pytest.raises(ConfigError) as refused:
        Addresses.from_environment({"PREFECT_PORT": "many", "MLFLOW_PORT": "80"})
    assert "PREFECT_PORT: expected a number from 1024 to 65535, got 'many'" in str(refused.value)
    assert "MLFLOW_PORT: expected a number from 1024 to 65535, got '80'" in str(refused.value)
    with pytest.raises(ConfigError, match="both 4300"):
        Addresses.from_environment({"PREFECT_PORT": "4300", "MLFLOW_PORT": "4300"})


def test_an_mlflow_server_elsewhere_is_taken_as_it_is() -> None:
    elsewhere = Addresses.from_environment({"MLFLOW_TRACKING_URI": "https://tracking.example/"})
    assert elsewhere.mlflow == "https://tracking.example"
    with socket.socket() as taken:  # nothing of ours is to listen on its port
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(taken.getsockname()[1])}
        Addresses.from_environment({"MLFLOW_TRACKING_URI": "http://tracking:5000", **ports}).check_free()
    # Somebody who has exported the address of our own server, and a database: both are for a server of our own.
    for stated in ("http://127.0.0.1:5000", "postgresql://db/mlflow", ""):
        assert Addresses.from_environment({"MLFLOW_TRACKING_URI": stated}) == Addresses()


@pytest.mark.parametrize(
    ("stated", "database"),
    [
        ("postgresql://simvp:secret@db/mlflow", "postgresql://simvp:secret@db/mlflow"),
        ("", "sqlite:///{home}/mlflow/mlflow.db"),
        ("http://127.0.0.1:5000", "sqlite:///{home}/mlflow/mlflow.db"),
        ("http://tracking:5000", None),
    ],
    ids=["database", "none", "own", "elsewhere"],
)
def test_the_mlflow_server_serves_the_stated_database_and_nobody_reads_its_password(
    stated: str, database: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stated)
    monkeypatch.setenv("SIMVP_STORE", "s3://fields")
    services = Services(home=Home(tmp_path), addresses=Addresses.from_environment())
    started: list[tuple[list[str], dict[str, str]]] = []

    def note(command: list[str], **options: Any) -> None:
        started.append((command, options["env"]))

    monkeypatch.setattr(subprocess, "Popen", note)
    services.start_mlflow()
    services.start_worker("local")
    (command, environment) = started[-1]
    assert environment["MLFLOW_TRACKING_URI"] == services.addresses.mlflow
    assert "MLFLOW_BACKEND_STORE_URI" not in environment
    assert not any("secret" in value for value in environment.values())
    if database is None:
        assert len(started) == 1
        return
    (command, environment), _ = started
    assert environment["MLFLOW_BACKEND_STORE_URI"] == database.format(home=tmp_path)
    assert environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == "s3://fields/mlflow"
    assert "secret" not in " ".join(command)


def test_what_make_up_announces_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    offline_environment(home)
    addresses = Addresses.from_environment({"MLFLOW_TRACKING_URI": "http://me:secret@tracking:5000"})
    services = Services(home=home, addresses=addresses)
    services.announce()
    assert "secret" not in (home.prefect / "running.json").read_text()
    monkeypatch.setattr("flows.local.addresses.answers", lambda url: True)
    announced = running(home)
    assert announced is not None
    assert announced.mlflow == "http://tracking:5000"
    services.stop()
    assert running(home) is None


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"MLFLOW_PORT {port}: something listens there already"):
            Addresses(prefect_port=free_port(), mlflow_port=port).check_free()
    Addresses(prefect_port=free_port(), mlflow_port=free_port()).check_free()


def test_a_home_whose_servers_are_gone_is_not_served(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert running(home) is None
    offline_environment(home)
    (home.prefect / "running.json").write_text(json.dumps({"prefect_port": free_port(), "mlflow_port": 5000}))
    assert running(home) is None


def test_prefect_toml_names_the_default_addresses() -> None:
    settings = (CHECKOUT / "prefect.toml").read_text()
    assert f'url = "{Addresses().prefect_api}"' in settings
    assert 'home = ".simvp/prefect"' in settings


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("ERROR: [Errno 98] error while attempting to bind on address: address already in use", "listens on its port"),
        ("sqlite3.OperationalError: database or disk is full", "there is no space left on the disk"),
        ("sqlite3.DatabaseError: file is not a database", "the database is damaged"),
        ("sqlite3.OperationalError: database is locked", "another process holds the database"),
        ("KeyError: 'a bug'", "exit code 3\nTo mend it: see "),
    ],
)
def test_a_server_that_ends_while_it_starts_is_quoted_where_the_machine_is_at_fault(
    last: str, said: str, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    services = Services(home=home, addresses=Addresses(prefect_port=free_port()))
    log = services.logs["prefect server"]
    log.parent.mkdir(parents=True)
    log.write_text(f"Traceback (most recent call last):\n  ...\n{last}\n")
    services.processes["prefect server"] = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    services.processes["prefect server"].wait()
    with pytest.raises(Refusal) as refused:
        services.wait()
    text = str(refused.value)
    assert text.startswith("prefect server ended while starting, exit code 3")
    assert said in text
    assert f"see {log}" in text
    assert "Traceback" not in text
