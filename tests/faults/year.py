"""A year of operations in fast motion, with faults: ingest, forecast, verify each day, train and promote each week.

``python -m tests.faults.year [days] [seed]`` runs it and prints what happened. Each stage is a process of its own, as a
worker starts it. Every day has its chance of a fault:

========  ==============================================================================================
late      the day's file comes one to four days later
torn      the file is half written when ingest looks, and whole an hour later
killed    a stage gets SIGKILL at a random moment
full      no file of a stage may grow beyond a few kilobytes, as on a full disk
locked    somebody holds MLflow's database for a while
========  ==============================================================================================

Whoever runs a schedule does nothing about them: the next run has to. After every stage the books are checked
(`Books.check`): nothing may be lost, issued twice or half written, and there is always one champion, which
loads. What old commits hold is cleared away after a week; a week is a few seconds here.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

import simvp
from datasets.simulated import SimulatedWeather
from datasets.store import repository, store as store_module
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.promote import promote
from pipelines.tracking import open_registry
from pipelines.train import train
from pipelines.training import TrainConfig
from pipelines.verify import verify
from simvp.errors import Refusal
from tests.support.small_home import crown

DATASET = "year"
PER_DAY, T, AHEAD = 4, 4, 4  # frames of a day, input and output frames
HISTORY = 60  # days before the year begins
FAULTS = ("late", "torn", "killed", "full", "locked")
CHANCE = 0.25  # of a fault on a day
WEEK = timedelta(seconds=30)  # after which commits expire; longer than any stage takes
IMPORTED = (
    "torch",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "matplotlib.pyplot",
    "icechunk",
    "simvp.inference.forecaster",
)
SETTINGS: dict[str, Any] = {"dataset": DATASET, "frames_in": T, "frames_out": AHEAD, "size": "none"}
STAGES = ("ingest", "forecast", "verify", "train", "promote")
LONGEST = 120  # seconds of a stage
REFUSED = 3
"""Exit code of a process whose stage refused; anything else but 0 is a bug."""


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
    disk: list[int] = field(default_factory=list)
    late: dict[int, int] = field(default_factory=dict)
    """Day that came late, and the day on which it came."""

    def __post_init__(self) -> None:
        self.home, self.chance = Home(self.root / "home"), random.Random(self.seed)
        self.source = self.root / "source"
        self.source.mkdir(parents=True)
        frames = PER_DAY * (HISTORY + self.days)
        self.world = (
            SimulatedWeather(shape=(8, 8), noise_std=0.2).dataset(frames=6 * frames).isel(time=slice(0, None, 6))
        )

    def run(self) -> None:
        """The history, the first champion, and then day after day."""
        for day in range(HISTORY):
            self._write(day)
        self._must("ingest", lambda: ingest(self.home, DATASET, source=self.source / "day*.nc"))
        self._must("train", lambda: train(self.home, TrainConfig(**SETTINGS)))
        self._must("crown", lambda: crown(self.home, DATASET, "1"))
        for day in range(HISTORY, HISTORY + self.days):
            self._day(day)
        for day in sorted(set(self.late)):  # what is late at the end comes now
            if self.late[day] >= HISTORY + self.days:
                self._write(day)
        for name, stage in self._daily().items():
            self._must(name, stage)
        self._books(whole=True)

    def _day(self, day: int) -> None:
        fault = self.chance.choice(FAULTS) if self.chance.random() < CHANCE else ""
        self.done[f"fault {fault}"] += bool(fault)
        for late, comes in self.late.items():
            if comes == day:
                self._write(late)
        if fault == "late":
            self.late[day] = day + self.chance.randint(1, 4)
        else:
            self._write(day, torn=fault == "torn")
        stages = self._daily() | (self._weekly() if day % 7 == 6 else {})
        struck = self.chance.choice(list(stages)) if fault in ("killed", "full", "locked") else ""
        for name, stage in stages.items():
            self._stage(name, stage, fault if name == struck or (fault == "torn" and name == "ingest") else "")
        if fault == "torn":
            self._write(day)
        if (day - HISTORY) % 28 == 27:
            self.disk.append(sum(path.stat().st_size for path in self.home.path.rglob("*") if path.is_file()))

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

    def _stage(self, name: str, stage: Callable[[], object], fault: str) -> None:
        """A stage, with what happens to it; it may be refused where something does."""
        start = time.monotonic()
        with self._locked() if fault == "locked" else contextlib.nullcontext():
            code = forked(full(stage) if fault == "full" else stage, self._moment(name) if fault == "killed" else None)
        self.done[f"{name} {ENDS.get(code, 'ended')}"] += 1
        if not fault and code == 0:
            self.seconds[name] = time.monotonic() - start
        # A champion that waits for enough data, and days that have not come, are reasons of their own.
        allowed = {0, REFUSED} | ({-signal.SIGKILL} if fault == "killed" else set())
        assert code in allowed, f"{name} ended with {code}, fault: {fault or 'none'}"
        if not fault and name in ("forecast", "verify"):
            assert code == 0, f"{name} was refused, without a fault"
        self._books()

    def _must(self, name: str, stage: Callable[[], object]) -> None:
        assert forked(stage) == 0, f"{name} ended badly"

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
        with dask.config.set(scheduler="synchronous"):
            self.world.isel(time=slice(PER_DAY * day, PER_DAY * (day + 1))).to_netcdf(part)
        if torn:
            part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
        part.rename(path)

    def _books(self, *, whole: bool = False) -> None:
        assert forked(lambda: Books(self.home, self.world, self.late).check(whole=whole)) == 0, (
            "the books do not add up"
        )


@dataclass
class Books:
    """What has to be true at every moment, in a process that has written nothing."""

    home: Home
    world: xr.Dataset
    late: dict[int, int]

    def check(self, *, whole: bool) -> None:
        """`whole`: at the end, when everything has come and every stage has run.

        Raises
        ------
        AssertionError
            What is not as it should be.
        """
        ds = simvp.open_archive(self.home.archive(DATASET)).load()
        here = ds["present"].values.astype(bool)
        truth = self.world.sel(time=ds["time"])
        np.testing.assert_array_equal(ds["t2m"].values[here], truth["t2m"].values[here])
        assert np.isnan(ds["t2m"].values[~here]).all()
        absent = {int(slot) // PER_DAY for slot in np.flatnonzero(~here)}
        assert absent <= set(self.late), "a day is missing that came in time"
        self._champion()
        forecasts = self.home.forecasts(DATASET, "1d")
        if not Path(forecasts).exists():
            return
        issued = simvp.open_forecasts(forecasts)["init_time"].values
        assert (np.diff(issued) > np.timedelta64(0)).all(), "an init time was issued twice, or out of order"
        if whole:
            assert here.all()
            self._no_gap(issued, ds)
            self._verified(issued, ds)

    def _champion(self) -> None:
        """One version has the alias, and its file can be loaded."""
        registry = open_registry(self.home)
        champions = registry.champions()
        assert len(champions) == 1, f"{len(champions)} champions"
        assert registry.load(champions[0]).spec.frames_in == T

    def _no_gap(self, issued: np.ndarray, ds: xr.Dataset) -> None:
        """Every frame since the first forecast started one, but those whose history was late on that day."""
        times = ds["time"].values
        expected = times[times >= issued[0]]
        missing = np.setdiff1d(expected, issued)
        near = {PER_DAY * day + n for day in self.late for n in range(PER_DAY + T)}
        slots = np.searchsorted(times, missing)
        assert set(slots.tolist()) <= near, "an init time was not issued, whose frames had come in time"

    def _verified(self, issued: np.ndarray, ds: xr.Dataset) -> None:
        """Every forecast that is over has a score."""
        over = issued[issued <= ds["time"].values[-1 - AHEAD]]
        report = verify(self.home, DATASET)
        assert (report.scored, report.n) == (0, len(over)), "a forecast that is over was not scored"


def full(stage: Callable[[], object]) -> Callable[[], object]:
    """The stage where no file may grow beyond 4 kB."""

    def limited() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        return stage()

    return limited


ENDS = {0: "done", REFUSED: "refused", -signal.SIGKILL: "killed"}


def forked(stage: Callable[[], object], killed_after: float | None = None) -> int:
    """Exit code of a process that does it; negative, the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 0
        faulthandler.dump_traceback_later(LONGEST, exit=True)  # a stage that hangs ends with 1, and says where
        try:
            stage()
        except Refusal as refusal:
            print(f"   refused: {refusal}", flush=True)
            code = REFUSED
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
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


def prepare() -> None:
    """Import once for all processes what each would import, and let commits expire after `WEEK`, with every commit."""
    xr.backends.list_engines()
    for name in IMPORTED:
        importlib.import_module(name)
    store_module.expire = functools.partial(repository.expire, kept=WEEK)
    store_module.first_of_a_day = lambda *_: True


def main(days: int = 365, seed: int = 0) -> Year:
    """Run it in a folder that is thrown away, and print what happened."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    prepare()
    with tempfile.TemporaryDirectory(prefix="simvp-year-") as root:
        year, start = Year(Path(root), days, seed), time.monotonic()
        year.run()
        print(f"{days} days in {time.monotonic() - start:.0f} s")
        for what, count in sorted(year.done.items()):
            print(f"{count:5} {what}")
        print("disk after each 28 days, MB:", " ".join(f"{size / 1e6:.1f}" for size in year.disk))
        for part in sorted(year.home.path.iterdir()):
            for inner in [part, *sorted(part.iterdir())] if part.is_dir() else [part]:
                size = sum(path.stat().st_size for path in [inner, *inner.rglob("*")] if path.is_file())
                print(f"{size / 1e6:8.2f} MB {inner.relative_to(year.home.path)}")
    return year


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
