"""The vision benchmarks: what each one is, and its clips of T + T' frames, labelled, in three parts.

A clip is a run of frames that follow each other. Published codes have two parts and choose their best epoch on the
test part; here a validation part is taken out of the training part, by whole recordings where there are any, so
that the test part chooses nothing.

Video has frame numbers, not a clock. So that a clip is a Dataset like any other, its frames are labelled one second
apart from 2000-01-01; the coordinate `frame` holds the numbers that the files give.

Letters: B clips, L = T + T' frames, C channels, H rows, W columns.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import xarray as xr

from simvp.coords import Step
from simvp.errors import SourceError

if TYPE_CHECKING:
    from torch import Tensor

DATA_VARIABLE = "SIMVP_DATA"
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
# The labels of video, which has no clock: any would do, and every clip has the same.
FRAME_STEP = Step(seconds=1)
FIRST = np.datetime64("2000-01-01", "ns")


class Clips(ABC):
    """The clips of one part of a benchmark.

    Attributes
    ----------
    benchmark : Benchmark
    part : Part
    frames_in, frames_out, length : int
        T, T' and L.
    origin : str
        In words, what the clips are made of, as a report states it: which files, digits, recordings, seed.
    scale, offset : float
        Physical value = offset + scale * what `frames` gives; the units are the benchmark's.
    step : Step
        From one frame to the next.
    comparable : bool
        Whether these are the files that published results stand for; False for substitutes.
    endless : bool
        Whether any index is a clip of its own, so that no training clip ever has to come twice.
    """

    comparable: bool = True
    endless: bool = False
    scale: float = 1.0
    offset: float = 0.0
    step: Step = FRAME_STEP

    def __init__(self, benchmark: "Benchmark", part: Part, frames_out: int, origin: str) -> None:
        self.benchmark, self.part, self.origin = benchmark, part, origin
        self.frames_in, self.frames_out = benchmark.frames_in, frames_out
        self.length = self.frames_in + frames_out

    @abstractmethod
    def __len__(self) -> int:
        """Clips of the part; of an endless one, those of an epoch."""

    @abstractmethod
    def frames(self, indices: np.ndarray) -> "Tensor":
        """Clips at `indices`, (B, L, C, H, W) float32 between 0 and 1."""

    def name(self, index: int) -> str:
        """Name of one clip: recording and first frame, or number."""
        return f"clip {index}"

    def numbers(self, index: int) -> np.ndarray:
        """Numbers of the frames of a clip in its recording, (L,)."""
        return np.arange(self.length)

    def times(self, index: int) -> np.ndarray:
        """Labels of the frames of a clip, (L,) datetime64."""
        return FIRST + np.arange(self.length) * np.timedelta64(self.step.seconds, "s")

    def labelled(self, index: int) -> xr.Dataset:
        """One clip as a canonical Dataset: a variable (time, y, x) for each channel, in physical units.

        Returns
        -------
        xr.Dataset
            Coordinates `time`, `y`, `x`, `frame` (time) and the scalar `clip`; attributes title, source, license and
            origin.
        """
        values = self.frames(np.array([index]))[0].cpu().numpy() * np.float32(self.scale) + np.float32(self.offset)
        H, W = values.shape[-2:]
        about = self.benchmark
        fields = {
            name: xr.Variable(("time", "y", "x"), values[:, number], {"units": about.units, "long_name": long_name})
            for number, (name, long_name) in enumerate(about.variables.items())
        }
        attrs = {"title": about.title, "source": about.source, "license": about.licence, "origin": self.origin}
        return xr.Dataset(
            fields,
            coords={
                "time": ("time", self.times(index), {"standard_name": "time", "axis": "T"}),
                "y": ("y", np.arange(H), {"long_name": "row", "axis": "Y"}),
                "x": ("x", np.arange(W), {"long_name": "column", "axis": "X"}),
                "frame": ("time", self.numbers(index), {"long_name": "number of the frame in its recording"}),
                "clip": self.name(index),
            },
            attrs=attrs,
        )


@dataclass(frozen=True, kw_only=True)
class Benchmark(ABC):
    """A benchmark: its description, and the reader of its original files.

    Parameters
    ----------
    name
        As the command line takes it.
    title, licence, source
        For people; `source` is the address where the files come from.
    folder
        Under the directory that SIMVP_DATA names; `name` where none is stated.
    files
        In words, which files belong into that folder.
    variables
        Long name of each channel by name, in the order of C.
    units
        Of all channels.
    size
        (H, W).
    frames_in, frames_out
        T and T' of the paper.
    horizons
        Further T' of published results, by rollout.
    splits
        In words, what makes up each part.
    paper_counts
        Clips by part, as the paper's table rounds them.
    """

    name: str
    title: str
    licence: str
    source: str
    folder: str = ""
    files: str
    variables: Mapping[str, str]
    units: str = "1"
    size: tuple[int, int]
    frames_in: int
    frames_out: int
    horizons: tuple[int, ...] = ()
    splits: Mapping[Part, str]
    paper_counts: Mapping[Part, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.folder or self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (len(self.variables), *self.size)

    def path(self, root: Path | None = None) -> Path | None:
        """Folder of the files, under `root` or else SIMVP_DATA; None where neither is given."""
        base = root or os.environ.get(DATA_VARIABLE)
        return Path(base, self.folder) if base else None

    @abstractmethod
    def present(self, root: Path | None = None) -> bool:
        """Whether the files are here."""

    def open(
        self, part: Part, *, root: Path | None = None, frames_out: int | None = None, seed: int = 0, device: str = "cpu"
    ) -> Clips:
        """Clips of one part.

        Parameters
        ----------
        root
            Directory that holds `folder`; by default the one that SIMVP_DATA names.
        frames_out
            T', where it is not the paper's.
        seed
            Of clips that are generated; those that are read from files have none.
        device
            Where clips are generated.

        Raises
        ------
        SourceError
            Files that are missing (and where to fetch them from), damaged, or of another form.
        """
        return self._clips(part, root, frames_out or self.frames_out, seed, device)

    @abstractmethod
    def _clips(self, part: Part, root: Path | None, frames_out: int, seed: int, device: str) -> Clips:
        """As `open`, with every parameter stated."""

    def missing(self, root: Path | None = None, reasons: Sequence[str] = ()) -> SourceError:
        """The refusal of a benchmark whose files are not here."""
        path = self.path(root)
        where = f"{DATA_VARIABLE} is not set" if path is None else f"{path} does not hold them"
        into = "a directory" if self.folder == "." else f"the folder {self.folder} of a directory"
        return SourceError(
            f"benchmark {self.name}",
            [f"expected {self.files}; {where}", *reasons],
            f"fetch them from {self.source} into {into}, and set {DATA_VARIABLE} to that directory",
        )


def windows(numbers: np.ndarray, length: int, every: int, step: int = 1) -> list[int]:
    """Positions of the first frames of windows whose frame numbers follow each other.

    The last window of a run ends where the run ends, and the others start `every` frames before the next one: the
    published codes walk backwards from the last frame.

    Parameters
    ----------
    numbers
        Of the frames of a recording, (N,), ascending.
    length
        L.
    every
        Frames from one start to the next, at most L.
    step
        From one frame number to the next.
    """
    starts: list[int] = []
    for first, stop in consecutive_runs(numbers, step):
        starts += reversed(range(stop - length, first - 1, -every))
    return starts


def consecutive_runs(numbers: np.ndarray, step: int = 1) -> Iterator[tuple[int, int]]:
    """Runs of positions start .. stop - 1 in which each number is `step` more than the one before."""
    if not len(numbers):
        return
    cuts = np.flatnonzero(np.diff(numbers) != step) + 1
    yield from zip([0, *cuts.tolist()], [*cuts.tolist(), len(numbers)], strict=True)
