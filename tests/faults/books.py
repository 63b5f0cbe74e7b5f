"""The books of a year of operations: what has to be true of a home at every moment, read by who has written nothing."""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import simvp
from datasets.store import Store
from pipelines.home import Home
from pipelines.tracking import open_registry
from pipelines.verify import verify
from simvp.coords import Step

STAGES = ("ingest", "forecast", "verify", "train", "promote")


@dataclass(frozen=True)
class Books:
    """The books of one home.

    Parameters
    ----------
    home, dataset
        Whose.
    world
        The truth of every frame, in memory.
    per_day, frames_in, frames_out
        Frames of a day, T and T'.
    late
        Day that came late, and the day on which it came.
    """

    home: Home
    dataset: str
    world: xr.Dataset
    per_day: int
    frames_in: int
    frames_out: int
    late: Mapping[int, int]

    @property
    def horizon(self) -> str:
        """As the stores are called."""
        return Step.parse(f"{24 // self.per_day}h").horizon(self.frames_out)

    def check(self, stages: Collection[str] = STAGES) -> None:
        """What these stages write: nothing is lost, issued twice or half written, and there is one champion.

        Raises
        ------
        AssertionError
            What is not as it should be.
        """
        if "ingest" in stages:
            self._archive()
        if "forecast" in stages:
            self._forecasts()
        if "verify" in stages:
            self._scores()
        self._alias()
        if {"train", "promote"} & {*stages}:
            self._champion()

    def close(self) -> None:
        """At the end, when everything has come and every stage has run: no gap, and a score for all that is over."""
        self.check()
        ds, issued = self._archive(), self._forecasts()
        assert len(issued), "nothing was issued"
        assert ds["present"].values.all(), "a frame is missing"
        times = ds["time"].values
        missing = np.setdiff1d(times[times >= issued[0]], issued)
        near = {self.per_day * day + n for day in self.late for n in range(self.per_day + self.frames_in)}
        slots = np.searchsorted(times, missing)
        assert set(slots.tolist()) <= near, "an init time was not issued, whose frames had come in time"
        over = issued[issued <= times[-1 - self.frames_out]]
        assert (self._scores() == over).all(), "a forecast that is over was not scored"
        report = verify(self.home, self.dataset)
        assert (report.scored, report.rescored, report.n) == (0, 0, len(over)), "a score does not hold"

    def _archive(self) -> xr.Dataset:
        """The archive: every frame that came, as it came, and no other."""
        ds = simvp.open_archive(self.home.archive(self.dataset)).load()
        here = ds["present"].values.astype(bool)
        truth = self.world.sel(time=ds["time"])
        np.testing.assert_array_equal(ds["t2m"].values[here], truth["t2m"].values[here])
        assert np.isnan(ds["t2m"].values[~here]).all(), "a frame that has not come has values"
        absent = {int(slot) // self.per_day for slot in np.flatnonzero(~here)}
        assert absent <= set(self.late), "a day is missing that came in time"
        return ds

    def _forecasts(self) -> np.ndarray:
        """Init times of the forecasts, of which none is issued twice, out of order or half written."""
        place = self.home.forecasts(self.dataset, self.horizon)
        if not Path(place).exists():
            return np.empty(0, "M8[ns]")
        ds = simvp.open_forecasts(place)
        issued: np.ndarray = ds["init_time"].values
        assert (np.diff(issued) > np.timedelta64(0)).all(), "an init time was issued twice, or out of order"
        last = ds.isel(init_time=slice(-2 * self.per_day, None)).load()  # the older ones have been looked at
        assert np.isfinite(last["t2m"].values).all(), "a forecast is half written"
        assert all(str(version).startswith("simvp-") for version in last["model_version"].values)
        return issued

    def _scores(self) -> np.ndarray:
        """Init times that are scored; each was issued, and is scored once."""
        place = self.home.scores(self.dataset, f"forecasts-{self.horizon}")
        if not Path(place).exists():
            return np.empty(0, "M8[ns]")
        scored: np.ndarray = Store(place).dataset()["init_time"].values
        assert (np.diff(scored) > np.timedelta64(0)).all(), "a forecast was scored twice, or out of order"
        assert np.isin(scored, self._forecasts()).all(), "something was scored that was not issued"
        return scored

    def _alias(self) -> None:
        """One version has the alias: by the database itself."""
        with closing(sqlite3.connect(self.home.mlflow / "mlflow.db", timeout=60)) as database:
            found = database.execute("SELECT version FROM registered_model_aliases WHERE alias = 'champion'").fetchall()
        assert len(found) == 1, f"{len(found)} champions"

    def _champion(self) -> None:
        """The champion's file can be loaded."""
        registry = open_registry(self.home)
        champions = registry.champions()
        assert len(champions) == 1, f"{len(champions)} champions"
        assert registry.load(champions[0]).spec.frames_in == self.frames_in


def by_part(home: Home, dataset: str) -> dict[str, int]:
    """Bytes of the files of a home, by what they are for."""
    own = home.dataset(dataset)
    parts = {f"{part.name}": part for part in sorted(own.iterdir()) if part.is_dir()}
    parts |= {"MLflow's database": home.mlflow / "mlflow.db", "models and artifacts": home.artifacts}
    return {name: _size(part) for name, part in parts.items()} | {"all": _size(home.path)}


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in (place, *place.rglob("*")) if path.is_file())
