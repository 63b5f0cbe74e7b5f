"""The two servers and the worker that `make up` runs: where they listen, with which settings, in which order.

Everything that Prefect and MLflow write lies in the home folder. Prefect reads its settings when it is imported,
so the environment comes first, and nothing here imports it at the top.
"""

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipelines.home import Home
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal

__all__ = ["Addresses", "Services", "free_port", "offline_environment", "running"]

HOST = "127.0.0.1"
PREFECT, MLFLOW = "prefect server", "mlflow server"
START_SECONDS = 120  # for a new database on a busy machine; otherwise it takes 5 to 12 s
STOP_SECONDS = 15

# What a server for one process that calls flows does without: its pages, schedules, and what looks after workers.
NOT_FOR_ONE_PROCESS = (
    "PREFECT_SERVER_UI_ENABLED",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED",
)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers of one home listen."""

    prefect_port: int = 4200
    mlflow_port: int = 5000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Addresses":
        """Ports from `PREFECT_PORT` and `MLFLOW_PORT`, where they are set.

        Raises
        ------
        ConfigError
            If one is no port, or both are the same.
        """
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
        return cls(prefect_port=ports["PREFECT_PORT"], mlflow_port=ports["MLFLOW_PORT"])

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
        return f"http://{HOST}:{self.mlflow_port}"

    def check_free(self) -> None:
        """Refuse ports on which somebody listens already.

        Raises
        ------
        ConfigError
            With every port that is taken.
        """
        reasons = []
        for name, port in (("PREFECT_PORT", self.prefect_port), ("MLFLOW_PORT", self.mlflow_port)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    reasons.append(f"{name} {port}: something listens there already")
        if reasons:
            remedy = "stop it (another `make up`?), or choose other ports: make up PREFECT_PORT=4300 MLFLOW_PORT=5100"
            raise ConfigError("local servers cannot start", reasons, remedy)


def offline_environment(home: Home) -> dict[str, str]:
    """Settings under which Prefect and MLflow stay in the home folder and look nothing up outside.

    Folders that must exist before the first import of prefect are made.
    """
    home.prefect.mkdir(parents=True, exist_ok=True)
    home.artifacts.mkdir(parents=True, exist_ok=True)
    return {
        "SIMVP_HOME": str(home.path),
        "PREFECT_HOME": str(home.prefect),
        # The first for the server, the second for clients; with both nothing is looked up outside.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A flow without a server starts one of its own, for which Prefect waits 20 s; with a new database it takes 11 s
        # even where nothing else runs.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(START_SECONDS),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent goes, so that even a kill leaves no server behind (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def _address_file(home: Home) -> Path:
    return home.prefect / "running.json"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def running(home: Home) -> Addresses | None:
    """Addresses of the servers that a live `make up` runs for this home, None where there is none."""
    try:
        addresses = Addresses(**json.loads(_address_file(home).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return addresses if _answers(f"{addresses.prefect_api}/health") else None


@dataclass(kw_only=True)
class Services:
    """The processes of one home; `stop` leaves none behind.

    Parameters
    ----------
    home, addresses
        What they keep, and where they listen.
    temporary
        A Prefect server for one process that calls flows: without pages, schedules and what looks after workers.
    """

    home: Home
    addresses: Addresses
    temporary: bool = False
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What servers, worker and flow runs see."""
        # Leases on disk outlive a server that was killed; in its memory they would keep a writer's place for ever.
        leases = "prefect.server.concurrency.lease_storage.filesystem"
        return {
            **os.environ,
            **offline_environment(self.home),
            "PREFECT_API_URL": self.addresses.prefect_api,
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases,
            "MLFLOW_TRACKING_URI": self.addresses.mlflow,
            # With MLflow's runner of jobs, which nothing here needs, its server is 15 processes and 3.2 GB instead of
            # 2 and 0.5 GB.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **(dict.fromkeys(NOT_FOR_ONE_PROCESS, "false") if self.temporary else {}),
        }

    def _spawn(self, name: str, module: str, *arguments: str) -> None:
        """Start a process in a session of its own: Ctrl-C reaches us alone, and we stop the others in order."""
        environment = self.environment  # makes the folders in which the logs lie
        log = self.logs.get(name)
        with log.open("ab") if log else contextlib.nullcontext() as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def logs(self) -> dict[str, Path]:
        """Where each server writes its log."""
        return {PREFECT: self.home.prefect / "server.log", MLFLOW: self.home.mlflow / "server.log"}

    def start_prefect(self) -> None:
        """Start the Prefect server, without waiting for it."""
        port = str(self.addresses.prefect_port)
        self._spawn(PREFECT, "prefect", "server", "start", "--host", HOST, "--port", port)

    def start_mlflow(self) -> None:
        """Start the MLflow server, without waiting for it."""
        self._spawn(
            MLFLOW,
            "mlflow",
            *("server", "--host", HOST, "--port", str(self.addresses.mlflow_port), "--workers", "1"),
            *("--backend-store-uri", self.home.database_uri),
            *("--default-artifact-root", self.home.artifacts.as_uri()),
        )

    def wait(self) -> None:
        """Wait until every server that was started answers.

        Raises
        ------
        Refusal
            If one ends or does not answer in time; names its log.
        """
        urls = {PREFECT: f"{self.addresses.prefect_api}/health", MLFLOW: f"{self.addresses.mlflow}/health"}
        for name, process in self.processes.items():
            end = time.monotonic() + START_SECONDS
            while (code := process.poll()) is None and not _answers(urls[name]):
                if time.monotonic() >= end:
                    raise Refusal(f"{name} did not answer within {START_SECONDS} s", [], f"see {self.logs[name]}")
                time.sleep(0.2)
            if code is not None:
                raise Refusal(f"{name} ended while starting, exit code {code}", [], f"see {self.logs[name]}")

    def announce(self) -> None:
        """Tell `make demo` that servers of this home are there."""
        _address_file(self.home).write_text(json.dumps(asdict(self.addresses)))

    def deploy(self, pool: str) -> None:
        """Make the process pool and every deployment of prefect.yaml.

        Raises
        ------
        Refusal
            If Prefect refuses one; with its own words.
        """
        template = self.home.prefect / "pool.json"
        template.write_text(json.dumps(self._job_template()))
        for arguments in (
            ("work-pool", "create", pool, "--type", "process", "--base-job-template", str(template), "--overwrite"),
            ("--no-prompt", "deploy", "--all"),
        ):
            command = [sys.executable, "-m", "prefect", *arguments]
            done = subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True)
            if done.returncode:
                raise Refusal(f"prefect {' '.join(arguments)}", [done.stdout + done.stderr])

    def _job_template(self) -> dict[str, Any]:
        """How the worker starts a run: in the checkout, with the command that executes it.

        Without a command Prefect first starts a process that looks for the code and then the one that executes the
        run, and importing Prefect takes each about two seconds.
        """
        fields: dict[str, dict[str, Any]] = {
            "command": {"type": "string", "default": f"{shlex.quote(sys.executable)} -m prefect.engine"},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "name": {"type": "string"},
            "stream_output": {"type": "boolean", "default": True},
            "working_dir": {"type": "string", "default": str(CHECKOUT)},
        }
        return {
            "job_configuration": {name: f"{{{{ {name} }}}}" for name in fields},
            "variables": {"type": "object", "properties": fields},
        }

    def start_worker(self, pool: str) -> None:
        """Start the process worker; its log, with the log of every flow run, goes to this terminal."""
        self._spawn("worker", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", "local")

    def ended(self) -> list[str]:
        """Names of the processes that are no longer there."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """End worker and servers, the last started first, with everything that they started."""
        if MLFLOW in self.processes:
            _address_file(self.home).unlink(missing_ok=True)
        for process in reversed(self.processes.values()):
            # Flow runs have sessions of their own, and nobody's children once the worker has gone: look first.
            family = _family(process.pid)
            if process.poll() is None:
                process.terminate()
            _gone, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
            for member in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(alive, timeout=STOP_SECONDS)
            process.wait()
        self.processes.clear()


def _family(pid: int) -> Sequence[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
