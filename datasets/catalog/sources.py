"""What a source is: something that opens to one canonical Dataset. Simulated worlds, and a user's own files."""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from datasets.readers import open_source, open_years, source_files, year_files
from datasets.simulated import Simulation
from datasets.video import NPZ, TAXIBJ

Interval = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Periods that stay what they are, so that results on a data set can be compared; first and last time included.

    Parameters
    ----------
    frames_in, frames_out
        T and T'.
    held_out
        Period of the targets that no choice is made on.
    reference
        Period on which the baselines' climatology and damping are fitted.
    """

    frames_in: int
    frames_out: int
    held_out: Interval
    reference: tuple[Interval, ...]


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Where frames come from."""

    @abstractmethod
    def open(self, after: Any = None) -> xr.Dataset:
        """Canonical Dataset, lazy, of what the source has for an archive whose last frame is at `after` (None: empty).

        A source that does not grow ignores `after` and gives every frame, for some may have come late.
        """

    def files(self) -> Sequence[str | Path]:
        """Files that `open` reads, for their checksums; none where nothing is read."""
        return []


@dataclass(frozen=True, kw_only=True)
class NamedSource(Source):
    """A source of the catalogue.

    Parameters
    ----------
    title, licence
        For people; the licence with the attribution it asks for.
    references
        Address that the data come from; empty where they come from nowhere.
    states
        Variables that are predicted.
    shape
        (C, H, W).
    span
        In words, how long the series is, and its step.
    folder
        Where its files belong below the directory that SIMVP_DATA names, with "/" at the end ("./": that directory
        itself); empty where none belong there.
    study
        Fixed periods, where the source is one data set for good.
    """

    title: str = ""
    licence: str = ""
    references: str = ""
    states: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    span: str = ""
    folder: str = ""
    study: Study | None = None

    @property
    def wanted(self) -> str:
        """In words, which files `open` looks for, and where; empty where it reads none."""
        return ""

    def present(self) -> bool:
        """Whether `open` finds all it needs on this machine, as where it reads no file."""
        return True

    def _described(self, ds: xr.Dataset) -> xr.Dataset:
        return ds.assign_attrs(title=self.title, license=self.licence, references=self.references)


@dataclass(frozen=True, kw_only=True)
class SimulatedSource(NamedSource):
    """A simulated world, day after day."""

    simulation: Simulation

    def open(self, after: Any = None) -> xr.Dataset:
        """Frames of the initial span; after it, those up to the end of the day that the next frame is in.

        Thus an ingest that was interrupted goes on to the same end, however far it had come.
        """
        if after is None:
            return self.simulation.dataset()
        simulation, step = self.simulation, np.timedelta64(self.simulation.step.seconds, "s")
        start, end = np.datetime64(after, "ns") + step, simulation.first + simulation.initial_frames * step
        if start >= end:
            end = start.astype("datetime64[D]").astype("datetime64[ns]") + np.timedelta64(1, "D")
        return simulation.dataset(start, int((end - start) // step))


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A user's own files; `source`, `variables`, `units` and `select` as in `datasets.readers.source.open_source`."""

    source: str | Path | Sequence[str | Path]
    variables: Sequence[str] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    select: Mapping[str, Any] = field(default_factory=dict)

    def open(self, after: Any = None) -> xr.Dataset:
        """Every frame there is: also before `after` some may have come late."""
        return open_source(self.source, variables=self.variables, units=self.units, select=self.select)

    def open_files(self, files: Sequence[str], beside: Sequence[str]) -> xr.Dataset:
        """Frames of some of the files, of one series with those `beside` them, which were read before."""
        return open_source(files, variables=self.variables, units=self.units, select=self.select, beside=beside)

    def files(self, noted: Container[str] = ()) -> list[str]:
        """The files, as they are now; `noted` as in `datasets.readers.source_files`."""
        return source_files(self.source, noted)

    @property
    def settings(self) -> dict[str, Any]:
        """How the files are read, as JSON; other settings make another series of them."""
        variables = None if self.variables is None else list(self.variables)
        return {"variables": variables, "units": dict(self.units), "select": dict(self.select)}


@dataclass(frozen=True, kw_only=True)
class TaxiSource(NamedSource):
    """The HDF5 files of TaxiBJ as one series, as many of the four years as are there."""

    wanted: ClassVar[str] = "the HDF5 files, of as many years as there are"

    def open(self, after: Any = None) -> xr.Dataset:
        """Every slot that has data, of every file."""
        return self._described(open_years(self.files()))

    def files(self) -> list[Path]:
        """The HDF5 files.

        Raises
        ------
        SourceError
            None of them is there.
        """
        files = year_files(TAXIBJ.path())
        if not files:
            raise TAXIBJ.missing(reasons=[f"a series is read from the HDF5 files alone: {NPZ} has no times"])
        return files

    def present(self) -> bool:
        """Whether any of them is there."""
        return bool(year_files(TAXIBJ.path()))
