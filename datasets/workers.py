"""Where the work of a stage is done: in this process, or by the workers of a scheduler of `dask.distributed`.

A worker does one piece of work at a time: each piece stays within the budget of memory that a process has
(`simvp.budget`), and a second one beside it would not. What a worker that is killed was at is done again by another.
"""

import asyncio
import hashlib
import logging
import os
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simvp.budget import BUDGET
from simvp.errors import ConfigError, Refusal
from simvp.settings import shown_address

if TYPE_CHECKING:
    from distributed import Client, Future

_log = logging.getLogger(__name__)

VARIABLE = "SIMVP_DASK"
# Seconds until a scheduler has to answer, and then until it has to have a worker.
ANSWER, ARRIVAL = 5, 3
# Seconds without any worker after which nobody is waited for any more; a nanny takes a few to start one again.
ABANDONED = 120
# What values, files and messages between processes depend on.
RELEVANT = (
    "simvp",
    "dask",
    "distributed",
    "numpy",
    "xarray",
    "zarr",
    "icechunk",
    "netCDF4",
    "h5py",
    "eccodes",
    "torch",
)
PACKAGES = ("simvp", "datasets", "pipelines")
# Not `dask worker`: that one does not look for modules in the folder where it is started.
_START = "python -m dask worker {} --nworkers 2 --nthreads 1"

S = TypeVar("S")
T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def workers(scheduler: str | None = None) -> "Iterator[Workers | None]":
    """The workers of a scheduler, for a while; None: this process does the work.

    Parameters
    ----------
    scheduler
        Its address, as "tcp://10.0.0.5:8786". None: that of the variable `SIMVP_DASK`; where that is not set, the
        scheduler of this process's own `distributed.Client`, where it has one.

    Raises
    ------
    ConfigError
        No scheduler answers there, it has no worker, or a worker has other versions of what the work depends on.
    """
    address = scheduler or os.environ.get(VARIABLE)
    if not address:
        client = _own_client()
        if client is not None:
            _check(client)
        yield None if client is None else Workers(client)
        return
    client = _connected(address)
    try:
        _check(client)
        yield Workers(client)
    finally:
        client.close(timeout=2)


class Workers:
    """The workers of a scheduler.

    Parameters
    ----------
    client
        Connected to it.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    @property
    def count(self) -> int:
        """How many there are now; none also where the scheduler does not answer."""
        try:
            return len(self._client.nthreads())
        except OSError:
            return 0

    def everywhere(self, function: Callable[..., object], *given: Any) -> None:
        """Let every worker do this now; raises what one of them refused."""
        self._client.run(function, *given)

    def start(self, function: Callable[..., T], *given: Any) -> "Future[T]":
        """Let a worker do this; what it gives stays there until `result` asks for it.

        Parameters
        ----------
        given
            Arguments, among them what `start` and `share` returned.
        """
        key = f"{function.__name__.strip('_')}-{uuid.uuid4().hex}"  # what the scheduler's pages call it
        return self._client.submit(_alone, function, *given, key=key, pure=False)

    def share(self, value: T) -> "Future[T]":
        """A value that many pieces of work need, sent once to each worker, and again where a worker was killed."""
        from dask import config

        with config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
            return self._client.submit(_same, value, pure=False)

    def look(self, function: Callable[..., T], future: "Future[Any]") -> "Future[T]":
        """A small part of what `start` returned, before any other work."""
        return self._client.submit(function, future, pure=False, priority=1)

    def each(self, function: Callable[..., T], jobs: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """What `function` gives for each of the arguments, in their order.

        For each worker one piece of work is under way, and one more waits or is done.
        """
        yield from self.in_order(self.start(function, *job) for job in jobs)

    def in_order(self, futures: "Iterable[Future[T]]") -> Iterator[T]:
        """Results of what is started one after the other, no more of it at once than `each` has."""
        under_way: deque[Future[T]] = deque()
        try:
            for future in futures:
                under_way.append(future)
                if len(under_way) >= 2 * max(1, self.count):
                    yield self.result(under_way.popleft())
            while under_way:
                yield self.result(under_way.popleft())
        finally:
            if under_way:
                self._client.cancel(list(under_way))

    def result(self, future: "Future[T]") -> T:
        """What a worker made.

        Raises
        ------
        Refusal
            What a worker refused, or there is no worker any more, or no scheduler.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        alone = 0
        while True:
            try:
                return future.result(timeout=5)
            except TimeoutError:
                if future.done():  # it is the error of the work itself
                    raise
                alone = 0 if self.count else alone + 5
                if alone >= ABANDONED:
                    raise self._gone(f"it has had no worker for {ABANDONED} s") from None
            except KilledWorker as error:
                raise self._gone(f"{error.allowed_failures + 1} workers have died at one piece of work") from error
            except FutureCancelledError as error:
                raise self._gone("the connection to it is lost") from error

    def _gone(self, what: str) -> Refusal:
        return ConfigError(
            f"Scheduler {_address(self._client)}",
            [what],
            "look into the logs of scheduler and workers (a worker that is out of memory is killed); then run it again",
        )


class Shared(Generic[S]):
    """What many pieces of work need, and who does them.

    Parameters
    ----------
    what
        The first argument of all work.
    workers
        None: this process does it, one piece when the one before has been taken.
    """

    def __init__(self, what: S, workers: Workers | None) -> None:
        self._workers = workers
        self._what: S | Future[S] = self.also(what)

    def also(self, value: T) -> "T | Future[T]":
        """Something that some of the work needs too, as an argument of it."""
        return value if self._workers is None else self._workers.share(value)

    def each(self, function: Callable[..., T], jobs: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """What `function` gives for each of the further arguments, in their order."""
        tasks = ((self._what, *job) for job in jobs)
        yield from starmap(function, tasks) if self._workers is None else self._workers.each(function, tasks)


def code() -> str:
    """Digest of the sources of this project, as this process imports them."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        __import__(name)
        folder = Path(str(sys.modules[name].__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{name}/{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _alone(function: Callable[..., T], *given: Any) -> T:
    """Do one piece of work, no other beside it in this worker."""
    from dask import config

    # By default dask would send what a worker computes to the scheduler again.
    with _ONE_AT_A_TIME, config.set(scheduler="synchronous"):
        return function(*given)


def _same(value: T) -> T:
    return value


def _own_client() -> "Client | None":
    """The client that is active in this process; none inside a worker, or where it belongs to an event loop."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        client = distributed.Client.current()
    except ValueError:
        return None
    try:
        distributed.get_worker()
    except ValueError:
        return None if client.asynchronous else client
    return None


def _connected(address: str) -> "Client":
    from distributed import Client

    try:
        # `Client` itself waits for ever for something that takes the connection and says nothing. In a thread, for the
        # caller may have a loop of its own, as notebooks have.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _answers(address)).result()
        return Client(address, timeout=ANSWER, set_as_default=False)
    except Exception as error:  # what else may answer there makes errors of every kind
        raise ConfigError(
            f"Scheduler {shown_address(address)}",
            [f"expected a scheduler of dask to answer within {ANSWER} s, got {type(error).__name__} {error}".rstrip()],
            f'start one ("dask scheduler" says its address), or leave scheduler and {VARIABLE} out to work here',
        ) from None


def _address(client: "Client") -> str:
    assert client.scheduler is not None
    return shown_address(str(client.scheduler.address))


async def _answers(address: str) -> None:
    from distributed import Security
    from distributed.comm import connect

    how = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=ANSWER, **how), ANSWER)
    await comm.close()


def _check(client: "Client") -> None:
    """Refuse a scheduler without workers, and workers that are not like this process."""
    address = _address(client)
    try:
        client.wait_for_workers(1, timeout=ARRIVAL)
    except TimeoutError:
        raise ConfigError(
            f"Scheduler {address}",
            ["expected at least one worker, got none"],
            f'start some in the checkout, with the same environment: "{_START.format(address)}"',
        ) from None
    # `check=True` only warns, and also of what does not matter here.
    found: Any = client.get_versions(packages=RELEVANT)
    ours = found["client"]["packages"]
    reasons = [
        f"worker {worker}: expected {name} {ours[name]}, got {theirs['packages'].get(name) or 'none'}"
        for worker, theirs in found["workers"].items()
        for name in ("python", *RELEVANT)
        if theirs["packages"].get(name) != ours[name]
    ]
    here = code()
    for worker, theirs in client.run(code, on_error="return").items():
        if isinstance(theirs, Exception):
            reasons.append(f"worker {worker}: this project cannot be imported there ({theirs})")
        elif theirs != here:
            reasons.append(f"worker {worker}: expected this project's code as it is here ({here}), got {theirs}")
    if reasons:
        raise ConfigError(
            f"Workers of {address}",
            reasons,
            "start the workers anew, in a checkout of the same commit and with the environment (or image) used here: "
            f'"{_START.format(address)}"',
        )
    for worker, details in client.scheduler_info()["workers"].items():
        if 0 < (details.get("memory_limit") or 0) < BUDGET:
            text = "worker %s may use %d MiB, work on large grids takes up to %d MiB: see --memory-limit"
            _log.warning(text, worker, details["memory_limit"] >> 20, BUDGET >> 20)
    _log.info("%d workers of %s do the work", len(found["workers"]), address)
