"""The two servers and the worker that `make up` runs: with which settings, and in which order.

Everything that Prefect and MLflow write lies in the home folder. Prefect reads its settings when it is imported,
so the environment comes first, and nothing here imports it at the top.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from datasets.store import disk
from flows.local.addresses import HOST, Addresses, address_file, answers, running
from flows.local.databases import PREFECT_DATABASES, check_prefect_database, make_databases
from flows.local.password import prefect_login
from flows.local.schedules import write_deployments
from flows.local.signals import end_with_parent
from pipelines.home import Home
from pipelines.machine import refuse_unusable
from pipelines.tracking import CHECKOUT, artifact_root
from simvp.errors import ConfigError, Refusal, fault_around
from simvp.settings import shown_address

__all__ = ["Services", "offline_environment"]

PREFECT, MLFLOW = "prefect server", "mlflow server"
GUARDED = "flows.local.guarded"  # runs either with its doors closed
START_SECONDS = 120  # for a new database on a busy machine; otherwise it takes 5 to 12 s
STOP_SECONDS = 15
LAST_WORDS = 4096  # bytes at the end of a log
POOLS = CHECKOUT / "flows" / "pools"  # base job templates, by type

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


def offline_environment(home: Home) -> dict[str, str]:
    """Settings under which Prefect and MLflow stay in the home folder and look nothing up outside.

    Folders that must exist before the first import of prefect are made, and the password of the home.
    """
    home.prefect.mkdir(parents=True, exist_ok=True)
    home.artifacts.mkdir(parents=True, exist_ok=True)
    return {
        "SIMVP_HOME": str(home.path),
        "PREFECT_HOME": str(home.prefect),
        **prefect_login(home),
        # The first for the server, the second for clients; with both nothing is looked up outside.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
    _seen: set[psutil.Process] = field(default_factory=set)  # that the processes have started, as `ended` saw them

    @property
    def environment(self) -> dict[str, str]:
        """What servers, worker and flow runs see."""
        # Leases on disk outlive a server that was killed; in its memory they would keep a writer's place for ever.
        leases = "prefect.server.concurrency.lease_storage.filesystem"
        # A worker hands Prefect's settings on to what it starts, and its database is the server's business alone.
        inherited = {name: value for name, value in os.environ.items() if name not in PREFECT_DATABASES}
        return {
            **inherited,
            # The pool's template says `python`: the one that runs this.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            **offline_environment(self.home),
            "PREFECT_API_URL": self.addresses.prefect_api,
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases,
            "MLFLOW_TRACKING_URI": self.addresses.mlflow,
            # With MLflow's runner of jobs, which nothing here needs, its server is 15 processes and 3.2 GB instead of
            # 2 and 0.5 GB.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **(dict.fromkeys(NOT_FOR_ONE_PROCESS, "false") if self.temporary else {}),
        }

    def _spawn(self, name: str, module: str, *arguments: str, **secrets: str) -> None:
        """Start a process in a session of its own: Ctrl-C reaches us alone, and we stop the others in order.

        `secrets` are variables of its own: a command line with a password could be read by everybody on the machine.
        """
        environment = {**self.environment, **secrets}  # makes the folders in which the logs lie
        log = self.logs.get(name)
        with open(log, "ab", opener=_private) if log else contextlib.nullcontext() as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def logs(self) -> dict[str, Path]:
        """Where each server writes its log."""
        return {PREFECT: self.home.prefect / "server.log", MLFLOW: self.home.mlflow / "server.log"}

    @property
    def mlflow_database(self) -> str:
        """Address of the database that our MLflow server is for; empty where none is started here."""
        if self.temporary or self.addresses.mlflow_server:
            return ""
        stated = self.home.tracking_uri
        return self.home.database_uri if stated.startswith("http") else stated

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only `make up` of this home; the kernel drops the lock where it is killed.

        Raises
        ------
        ConfigError
            Another one serves this home.
        """
        lock = FileLock(self.home.prefect / "up.lock")
        self.home.prefect.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            other = running(self.home)
            where = f", Prefect at {other.prefect_ui}" if other else ""
            raise ConfigError(
                f"Home {self.home.path}",
                [f"another `make up` serves it already{where}"],
                "use that one, stop it first, or set SIMVP_HOME to another folder",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def make_databases(self) -> None:
        """Have the databases of the servers whole, before these are started.

        Raises
        ------
        Refusal
            One cannot be reached, made, or is something else.
        """
        check_prefect_database()
        make_databases(self.home, self.environment, mlflow=self.mlflow_database)

    def start_prefect(self) -> None:
        """Start the Prefect server, without waiting for it.

        Raises
        ------
        ConfigError
            If there is no such database as `PREFECT_API_DATABASE_CONNECTION_URL` names.
        """
        check_prefect_database()
        port = str(self.addresses.prefect_port)
        database = {name: os.environ[name] for name in PREFECT_DATABASES if name in os.environ}
        self._spawn(PREFECT, GUARDED, "prefect", "server", "start", "--host", HOST, "--port", port, **database)

    def start_mlflow(self) -> None:
        """Start the MLflow server, without waiting for it, unless `MLFLOW_TRACKING_URI` names one that runs elsewhere.

        It keeps its runs in the database that `MLFLOW_TRACKING_URI` names, else in the home.
        """
        if self.addresses.mlflow_server:
            return
        self._spawn(
            MLFLOW,
            GUARDED,
            *("mlflow", "server", "--host", HOST, "--port", str(self.addresses.mlflow_port)),
            MLFLOW_BACKEND_STORE_URI=self.mlflow_database,
            MLFLOW_DEFAULT_ARTIFACT_ROOT=artifact_root(self.home),
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
            while (code := process.poll()) is None and not answers(urls[name]):
                if time.monotonic() >= end:
                    raise Refusal(f"{name} did not answer within {START_SECONDS} s", [], f"see {self.logs[name]}")
                time.sleep(0.2)
            if code is not None:
                raise self._why(f"{name} ended while starting, exit code {code}", self.logs[name])

    def _why(self, subject: str, log: Path) -> Refusal:
        """Why a server ended, by what its log says last: faults of the machine are known there too."""
        refuse_unusable(self.home)
        said = log.read_bytes()[-LAST_WORDS:].decode(errors="replace")
        fault = fault_around(RuntimeError(said), subject) or Refusal(subject)
        return Refusal(subject, fault.reasons, "; ".join(filter(None, (fault.remedy, f"see {log}"))))

    def announce(self) -> None:
        """Tell `make demo` that servers of this home are there."""
        # MLflow's own way to tell a server's password is MLFLOW_TRACKING_PASSWORD.
        shown = replace(self.addresses, mlflow_server=shown_address(self.addresses.mlflow_server))
        disk.write(address_file(self.home), json.dumps(asdict(shown)).encode(), private=True)

    def deploy(self, pool: str, own: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make the process pool and every deployment of prefect.yaml.

        Parameters
        ----------
        own
            Further deployments, as `flows.local.schedules.scheduled` makes them.

        Raises
        ------
        Refusal
            If Prefect refuses one; with its own words.
        """
        template = str(POOLS / "process.json")
        commands = [
            ("work-pool", "create", pool, "--type", "process", "--base-job-template", template, "--overwrite"),
            ("--no-prompt", "deploy", "--all"),
        ]
        if own:
            file = self.home.prefect / "described.yaml"
            write_deployments(own, file)
            commands.append(("--no-prompt", "deploy", "--all", "--prefect-file", str(file)))
        for arguments in commands:
            command = [sys.executable, "-m", "prefect", *arguments]
            environment = {**self.environment, "PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": pool}
            done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise Refusal(f"prefect {' '.join(arguments)}", [done.stdout + done.stderr])

    def end_dead_runs(self, pool: str) -> None:
        """Call crashed what an earlier `make up` was running when it was killed; before a worker is there.

        Raises
        ------
        Refusal
            If Prefect refuses it; with its own words.
        """
        command = [sys.executable, "-m", "flows.prefect_tools.dead_runs", pool]
        done = subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise Refusal("flow runs of processes that are gone", [done.stdout + done.stderr])

    def start_worker(self, pool: str) -> None:
        """Start the process worker; its log, with the log of every flow run, goes to this terminal."""
        self._spawn("worker", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", "local")

    def ended(self) -> list[str]:
        """Names of the processes that are no longer there; what the others have started is noted for `stop`."""
        alive = {process for process in self._seen if process.is_running()}
        self._seen = alive.union(*(_family(process.pid) for process in self.processes.values()))
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def stop(self) -> None:
        """End worker and servers, the last started first, with everything that they started."""
        if not self.temporary:
            address_file(self.home).unlink(missing_ok=True)
        for process in reversed(self.processes.values()):
            # Flow runs have sessions of their own, and nobody's children once the worker has gone: look first.
            family = _family(process.pid)
            if process.poll() is None:
                process.terminate()
            _end(family)
            process.wait()
        # What a worker that was killed itself has left.
        _end([process for process in self._seen if process.is_running()], seconds=0)
        self.processes.clear()


def _end(family: Sequence[psutil.Process], seconds: float = STOP_SECONDS) -> None:
    """Wait for processes to end, and kill those that do not within so many seconds."""
    _gone, alive = psutil.wait_procs(family, timeout=seconds)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _family(pid: int) -> Sequence[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
