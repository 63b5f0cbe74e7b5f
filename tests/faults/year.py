"""A year of operations in fast motion, with faults: ingest, forecast, verify each day, train and promote each week.

``python -m tests.faults.year [days] [seed]`` runs it and prints what happened. Every day has its chance of a fault:

========  ==============================================================================================
late      the day's file comes one to four days later
torn      the file is half written when ingest looks, and whole an hour later
killed    a stage gets SIGKILL at a random moment
full      no file of a stage may grow beyond a few kilobytes, as on a full disk
locked    somebody holds MLflow's database for a while
========  ==============================================================================================

Whoever runs a schedule does nothing about them: the next run has to. The stage that a fault strikes is a process of its
own, after which the books of what it writes are checked (`Books`). The other stages of a day follow each other in one
process, without the pictures of `verify`. At the end of every day the books of all its stages are checked, in a process
that has written nothing. Nothing may be lost, issued twice or half written, and there is always one champion, which
loads. What old commits hold is cleared away once a day and after a week, as always, with days that last as long as they
do here.

All of these processes are forks of one that has imported everything, and has opened no store and no thread of dask:
a fork of one that had would wait for locks that nobody gives back.
"""

import contextlib
import faulthandler
import functools
import importlib
import os
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import importlib_metadata
import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from datasets.simulated import SimulatedWeather
from datasets.store import disk, repository, store as store_module
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.promote import promote
from pipelines.score_store import ScoringRun
from pipelines.train import train
from pipelines.training import TrainConfig, training_key
from pipelines.verify import verify
from simvp.errors import Refusal
from tests.faults.books import STAGES, Books, by_part
from tests.support.small_home import crown

DATASET = "year"
PER_DAY, T, AHEAD = 4, 4, 4  # frames of a day, input and output frames
HISTORY = 60  # days before the year begins
MONTH = 28  # days
FAULTS = ("late", "torn", "killed", "full", "locked")
CHANCE = 0.25  # of a fault on a day
IMPORTED = (
    *("torch._dynamo", "scipy.ndimage", "safetensors.numpy", "cf_xarray.units", "simvp.inference.forecaster"),
    *("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
    *("alembic.command", "sqlalchemy.dialects.sqlite", "opentelemetry.sdk.trace", "git", "IPython.display"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_agg", "pyarrow.pandas_compat"),
)
SETTINGS: dict[str, Any] = {"dataset": DATASET, "frames_in": T, "frames_out": AHEAD, "size": "none"}
LONGEST = 900  # seconds of a process, on a machine with other work
REFUSED = 3
"""Exit code of a process whose stage refused; anything else but 0 is a bug."""

Stages = Mapping[str, Callable[[], object]]


@dataclass
class Year:
    """One run of it.

    Parameters
    ----------
    root
        An empty folder.
    days
        How many.
    seed
        Of the faults.
    """

    root: Path
    days: int
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 1.0))
    disk: list[dict[str, int]] = field(default_factory=list)
    """Bytes by part of the home, after each month."""
    began: list[datetime] = field(default_factory=list)
    """When each day did."""
    late: dict[int, int] = field(default_factory=dict)
    """Day that came late, and the day on which it came."""

    def __post_init__(self) -> None:
        self.home, self.chance = Home(self.root / "home"), random.Random(self.seed)
        self.source = self.root / "source"
        self.source.mkdir(parents=True)
        frames = PER_DAY * (HISTORY + self.days)
        world = SimulatedWeather(shape=(8, 8), noise_std=0.2).dataset(frames=6 * frames)
        self.world = world.isel(time=slice(0, None, 6)).load(scheduler="synchronous")

    def run(self) -> None:
        """The history, the first champion, and then day after day."""
        for day in range(HISTORY):
            self._write(day)
        first: Stages = {
            "ingest": lambda: ingest(self.home, DATASET, source=self.source / "day*.nc"),
            "train": lambda: train(self.home, TrainConfig(**SETTINGS)),
            "crown": lambda: crown(self.home, DATASET, "1"),
        }
        assert forked(lambda: [stage() for stage in first.values()]) == 0, "the first start ended badly"
        for day in range(HISTORY, HISTORY + self.days):
            self._day(day)
        for day in [day for day, comes in self.late.items() if comes >= HISTORY + self.days]:
            self._write(day)  # what is late at the end comes now
        assert self._together(self._daily()) == dict.fromkeys(self._daily(), "done")
        self._check(lambda books: books.close())

    def _day(self, day: int) -> None:
        self.began.append(datetime.now(UTC))
        # Read by the processes that are forked today.
        store_module.expire = functools.partial(_expire, before=self.began[max(0, len(self.began) - 8)])
        store_module.first_of_a_day = functools.partial(_first_since, begin=self.began[-1])
        fault = self.chance.choice(FAULTS) if self.chance.random() < CHANCE else ""
        if fault:
            self.done[f"fault {fault}"] += 1
        for late, comes in self.late.items():
            if comes == day:
                self._write(late)
        if fault == "late":
            self.late[day] = day + self.chance.randint(1, 4)
        else:
            self._write(day, torn=fault == "torn")
        stages = self._daily() | (self._weekly() if day % 7 == 6 else {})
        names = list(stages)
        struck = self.chance.choice(names) if fault in ("killed", "full", "locked") else ""
        struck = "ingest" if fault == "torn" else struck
        at = names.index(struck) if struck else len(names)
        self._undisturbed({name: stages[name] for name in names[:at]})
        if struck:
            self._struck(struck, stages[struck], fault)
            self._undisturbed({name: stages[name] for name in names[at + 1 :]})
        if fault == "torn":
            self._write(day)
        self._check(lambda books: books.check([*stages]))
        if (day - HISTORY) % MONTH == MONTH - 1:
            self.disk.append(by_part(self.home, DATASET))
            print(f"{len(self.began)} days: {processor_seconds():.0f} s of processor time", flush=True)

    def _daily(self) -> dict[str, Callable[[], object]]:
        return {
            "ingest": lambda: ingest(self.home, DATASET),
            "forecast": lambda: forecast(self.home, DATASET),
            "verify": lambda: verify(self.home, DATASET),
        }

    def _weekly(self) -> dict[str, Callable[[], object]]:
        return {
            "train": lambda: train(self.home, TrainConfig(**SETTINGS)),
            "promote": lambda: promote(self.home, DATASET),
        }

    def _undisturbed(self, stages: Stages) -> None:
        """Stages without a fault, which are not refused but for reasons of their own: too little new data to judge."""
        for name, end in self._together(stages).items():
            self.done[f"{name} {end}"] += 1
            assert end == "done" or name not in ("forecast", "verify"), f"{name} was refused, without a fault"

    def _together(self, stages: Stages) -> dict[str, str]:
        """How stages end that follow each other in one process; they draw nothing, which takes longer than the rest."""
        if not stages:
            return {}
        heard, said = os.pipe()

        def each() -> None:
            ScoringRun.draw = lambda *_: ()  # type: ignore[method-assign]
            for name, stage in stages.items():
                start, end = time.monotonic(), "done"
                try:
                    stage()
                except Refusal as refusal:
                    end = "refused"
                    print(f"   {name} refused: {refusal}", flush=True)
                os.write(said, f"{name} {end} {time.monotonic() - start}\n".encode())

        code = forked(each)
        os.close(said)
        with open(heard) as lines:
            ends = [line.split() for line in lines]
        assert code == 0, f"{', '.join(stages)} ended with {code}"
        self.seconds |= {name: float(seconds) for name, _, seconds in ends}
        return {name: end for name, end, _ in ends}

    def _struck(self, name: str, stage: Callable[[], object], fault: str) -> None:
        """A stage in a process of its own, with what happens to it; and the books of what it writes."""
        with self._locked() if fault == "locked" else contextlib.nullcontext():
            code = forked(full(stage) if fault == "full" else stage, self._moment(name) if fault == "killed" else None)
        self.done[f"{name} {ENDS.get(code, 'ended')}"] += 1
        allowed = {0, REFUSED} | ({-signal.SIGKILL} if fault == "killed" else set())
        assert code in allowed, f"{name} ended with {code}, fault: {fault}"
        self._check(lambda books: books.check([name]))

    def _moment(self, name: str) -> float:
        return self.chance.uniform(0, 1.1) * self.seconds[name]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Somebody writes into MLflow's database, for a second."""
        holder = os.fork()
        if holder == 0:
            with contextlib.closing(sqlite3.connect(self.home.mlflow / "mlflow.db", isolation_level=None)) as database:
                database.execute("BEGIN EXCLUSIVE")
                time.sleep(1)
                os._exit(0)
        yield
        os.waitpid(holder, 0)

    def _write(self, day: int, *, torn: bool = False) -> None:
        """The file of a day, or the first half of it."""
        path = self.source / f"day{day:04}.nc"
        part = path.with_suffix(".part")
        frames = self.world.isel(time=slice(PER_DAY * day, PER_DAY * (day + 1)))
        frames.to_netcdf(part, engine="scipy")  # classic: what reads HDF5 is a process more each day
        if torn:
            part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
        part.rename(path)

    def _check(self, look: Callable[[Books], None]) -> None:
        books = Books(self.home, DATASET, self.world, PER_DAY, T, AHEAD, self.late)
        assert forked(lambda: look(books)) == 0, "the books do not add up"


def full(stage: Callable[[], object]) -> Callable[[], object]:
    """The stage where no file may grow beyond 4 kB."""

    def limited() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            return stage()
        finally:  # what is printed may go into a file that is longer
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


ENDS = {0: "done", REFUSED: "refused", -signal.SIGKILL: "killed"}


def forked(stage: Callable[[], object], killed_after: float | None = None) -> int:
    """Exit code of a process that does it; negative, the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:  # whatever happens, a child never goes on with what its parent does
            faulthandler.dump_traceback_later(LONGEST, exit=True)  # a stage that hangs ends with 1, and says where
            code = _ended(stage)
        finally:
            os._exit(code)
    if killed_after is not None:
        until = time.monotonic() + killed_after
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _ended(stage: Callable[[], object]) -> int:
    try:
        stage()
        return 0
    except Refusal as refusal:
        print(f"   refused: {refusal}", flush=True)
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return 1


def _expire(repo: icechunk.Repository, path: Path | str, *, before: datetime) -> int:
    return repository.expire(repo, path, kept=datetime.now(UTC) - before)


def _first_since(repo: icechunk.Repository, before: str, *, begin: datetime) -> bool:
    return repo.lookup_snapshot(before).written_at < begin


def prepare() -> None:
    """Do once for all processes what each would do for itself: import, and look at what is installed.

    And let nobody wait for the disk: a kill loses nothing that was written, and nobody cuts the power here.
    """
    xr.backends.list_engines()
    for name in IMPORTED:
        importlib.import_module(name)
    training_key(TrainConfig(**SETTINGS), "pipelines.train")  # reads the code of the checkout
    # MLflow looks at every file of every package for every model that it logs.
    importlib_metadata.packages_distributions = functools.cache(importlib_metadata.packages_distributions)
    importlib_metadata.packages_distributions()
    torch.set_num_threads(1)  # of arrays this small threads are all cost
    threadpool_limits(1)
    os.fsync = lambda handle: None  # type: ignore[assignment]
    disk.sync_all = lambda folder: None


def main(days: int = 365, seed: int = 0) -> None:
    """Run it in a folder that is thrown away, and print what happened."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    prepare()
    with tempfile.TemporaryDirectory(prefix="simvp-year-") as root:
        year, start = Year(Path(root), days, seed), time.monotonic()
        year.run()
        print(f"{days} days in {time.monotonic() - start:.0f} s, {processor_seconds():.0f} s of processor time")
        for what, count in sorted(year.done.items()):
            print(f"{count:5} {what}")
        _print_disk([*year.disk, by_part(year.home, DATASET)])


def processor_seconds() -> float:
    """Of this process and all that it has forked."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _print_disk(months: Collection[Mapping[str, int]]) -> None:
    """Megabytes of each part after each month, and at the end."""
    print(f"MB after each {MONTH} days, and at the end:")
    for name in [*months][-1]:
        print(f"{name:>22} " + " ".join(f"{month.get(name, 0) / 1e6:6.2f}" for month in months))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
