"""The sources known by name, and those that are a user's own files: each opens to one canonical Dataset."""

import os
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from datasets.names import look_up
from datasets.readers import checksums, open_source, open_years, source_files, year_files
from datasets.simulated import SimulatedTraffic, SimulatedWeather, Simulation
from datasets.video import DATA_VARIABLE, NPZ, TAXIBJ
from simvp.errors import SourceError

DEFAULT = "simulated-weather"
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
    study
        Fixed periods, where the source is one data set for good.
    """

    title: str = ""
    licence: str = ""
    references: str = ""
    states: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
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
class PublishedSource(NamedSource):
    """One published file, checked by its sha256.

    It is taken from the directory that SIMVP_DATA names when it lies there, else fetched once, from `references`, and
    kept in the user's cache.
    """

    sha256: str

    @property
    def wanted(self) -> str:
        """The file; it is not asked for where there is a network."""
        return f"{self._name}; where it is not there, it is fetched"

    def open(self, after: Any = None) -> xr.Dataset:
        """Every frame of the file."""
        return self._described(open_source(self.files()[0]))

    def present(self) -> bool:
        """Whether the file is in either place."""
        import pooch

        return self._in_directory() is not None or (Path(pooch.os_cache("simvp")) / self._name).is_file()

    def files(self) -> list[Path]:
        """The file on this machine, fetched if need be.

        Raises
        ------
        SourceError
            Another content than expected, or no network and no file.
        """
        import pooch

        name, url = self._name, self.references
        path = self._in_directory()
        if path is not None:
            digest = checksums([path])[str(path)]
            if digest != self.sha256:
                raise SourceError(
                    f"file {path}",
                    [f"expected sha256 {self.sha256}, got {digest}"],
                    f"replace it by {url}, or unset {DATA_VARIABLE} to have it fetched",
                )
            return [path]
        try:
            return [Path(pooch.retrieve(url, f"sha256:{self.sha256}", fname=name, path=pooch.os_cache("simvp")))]
        except Exception as error:  # of requests, urllib3 or pooch, by where the network fails
            directory = os.environ.get(DATA_VARIABLE)
            where = f"{directory} has no such file" if directory else f"{DATA_VARIABLE} is not set"
            raise SourceError(
                f"file {name}",
                [f"cannot be fetched from {url} ({type(error).__name__}), and {where}"],
                f"put {name} into a directory and set {DATA_VARIABLE} to it",
            ) from error

    @property
    def _name(self) -> str:
        return self.references.rsplit("/", 1)[1]

    def _in_directory(self) -> Path | None:
        directory = os.environ.get(DATA_VARIABLE)
        path = Path(directory or "", self._name)
        return path if directory and path.is_file() else None


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


def _simulated(simulation: Simulation) -> SimulatedSource:
    return SimulatedSource(
        title=simulation.title,
        licence="none needed: simulated",
        states=tuple(simulation.variables),
        shape=(len(simulation.variables), *simulation.shape),
        simulation=simulation,
    )


SOURCES: Mapping[str, NamedSource] = {
    DEFAULT: _simulated(SimulatedWeather()),
    "simulated-traffic": _simulated(SimulatedTraffic()),
    "era5-uk": PublishedSource(
        title="ERA5 2 m temperature, hourly, March 2019, 58 N - 50 N, 10 W - 2 E",
        licence="Copernicus licence; contains modified Copernicus Climate Change Service information",
        references="https://github.com/pydata/xarray-data/raw/master/era5-2mt-2019-03-uk.grib",
        states=("t2m",),
        shape=(1, 33, 49),
        study=Study(
            frames_in=24,
            frames_out=12,
            held_out=("2019-03-25T00:00", "2019-03-31T23:00"),
            reference=(("2019-03-01T00:00", "2019-03-21T23:00"),),
        ),
        sha256="e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9",
    ),
    TAXIBJ.name: TaxiSource(
        title=TAXIBJ.title,
        licence=TAXIBJ.licence,
        references=TAXIBJ.source,
        states=tuple(TAXIBJ.variables),
        shape=TAXIBJ.shape,
    ),
}


def find_source(name: str) -> NamedSource:
    """Source of that name, or a `SourceError` that lists those there are."""
    return look_up("data set", name, SOURCES, "name one of these, or give the files to ingest as its source")
