"""Where the local servers listen."""

import json
import socket
from pathlib import Path

import pytest

from flows.local.services import Addresses, free_port, offline_environment, running
from pipelines.home import Home
from simvp.errors import ConfigError
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
