"""Where the servers of a home listen: chosen, looked at before they start, and told to `make demo` when they run."""

import json
import os
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flows.local.doors import stated_origins
from pipelines.home import Home
from simvp.errors import ConfigError

__all__ = ["HOST", "Addresses", "address_file", "answers", "free_port", "running"]

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers of one home listen.

    Parameters
    ----------
    prefect_port, mlflow_port
        On this machine.
    mlflow_server
        An MLflow server that runs elsewhere; none is started here then.
    """

    prefect_port: int = 4200
    mlflow_port: int = 5000
    mlflow_server: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Addresses":
        """Ports from `PREFECT_PORT` and `MLFLOW_PORT`, where they are set, a server from `MLFLOW_TRACKING_URI`.

        Raises
        ------
        ConfigError
            If one is no port, both are the same, or `SIMVP_ORIGINS` has what is no origin.
        """
        stated_origins(environment)
        ports, reasons = {}, []
        for name, default in (("PREFECT_PORT", cls.prefect_port), ("MLFLOW_PORT", cls.mlflow_port)):
            text = environment.get(name) or str(default)
            if text.isdecimal() and 1024 <= int(text) < 65536:
                ports[name] = int(text)
            else:
                reasons.append(f"{name}: expected a number from 1024 to 65535, got {text!r}")
        if len(ports) == 2 and len(set(ports.values())) == 1:
            reasons.append(f"PREFECT_PORT and MLFLOW_PORT are both {ports['MLFLOW_PORT']}")
        if reasons:
            raise ConfigError("ports of the local servers", reasons, "set them to two free ports")
        own = cls(prefect_port=ports["PREFECT_PORT"], mlflow_port=ports["MLFLOW_PORT"])
        stated = environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        elsewhere = stated.startswith(("http://", "https://")) and stated != own.mlflow
        return replace(own, mlflow_server=stated) if elsewhere else own

    @property
    def prefect_ui(self) -> str:
        """Prefect's pages."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """What `PREFECT_API_URL` has to be."""
        return f"{self.prefect_ui}/api"

    @property
    def mlflow(self) -> str:
        """MLflow's pages, and what `MLFLOW_TRACKING_URI` has to be."""
        return self.mlflow_server or f"http://{HOST}:{self.mlflow_port}"

    def check_free(self) -> None:
        """Refuse ports on which somebody listens already.

        Raises
        ------
        ConfigError
            With every port that is taken.
        """
        reasons = []
        ports = {"PREFECT_PORT": self.prefect_port}
        if not self.mlflow_server:
            ports["MLFLOW_PORT"] = self.mlflow_port
        for name, port in ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    reasons.append(f"{name} {port}: something listens there already")
        if reasons:
            remedy = "stop it (another `make up`?), or choose other ports: make up PREFECT_PORT=4300 MLFLOW_PORT=5100"
            raise ConfigError("local servers cannot start", reasons, remedy)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def address_file(home: Home) -> Path:
    """Where `make up` says that its servers are there."""
    return home.prefect / "running.json"


def answers(url: str) -> bool:
    """Whether a server says at an address that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def running(home: Home) -> Addresses | None:
    """Addresses of the servers that a live `make up` runs for this home, None where there is none."""
    try:
        addresses = Addresses(**json.loads(address_file(home).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return addresses if answers(f"{addresses.prefect_api}/health") else None
