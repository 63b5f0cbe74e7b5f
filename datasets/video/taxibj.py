"""TaxiBJ: taxis that enter and leave each cell of a 32 x 32 grid over Beijing in half an hour, parts of four years.

Zhang, Zheng, Qi: "Deep Spatio-Temporal Residual Networks for Citywide Crowd Flows Prediction", AAAI 2017 (arXiv
1610.00081). Two forms of the same data: four HDF5 files, which are read as one gridded series and cut into clips, and
`dataset.npz`, which later work passes on: clips ready made, scaled to [-1, 1], without times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.lib.npyio import NpzFile

from datasets.readers import HALF_HOUR, SIZE, SLOTS, SOURCE, VARIABLES, YEARS, open_years, year_files
from datasets.sizes import refuse_unpacked
from datasets.video.clips import Benchmark, Clips, Part, windows
from simvp.errors import SourceError

if TYPE_CHECKING:
    from torch import Tensor

NPZ = "dataset.npz"
# Bytes that it unpacks to: of the four arrays, clips that begin in each half hour of four years, in double precision.
MOST = 4 * 366 * SLOTS * 8 * 2 * SIZE[0] * SIZE[1] * 8
TEST_DAYS = 28  # as Zhang et al. have it
VALIDATION_WEEKS = 4
LEAST_READY = 100  # training clips of the npz, so that a tenth and what is left out leave some


class HalfHours(Clips):
    """Clips of half hours that are all in memory: `_values` (N, 2, 32, 32) between 0 and 1, and where clips start."""

    step = HALF_HOUR
    _values: np.ndarray
    _starts: np.ndarray

    def __len__(self) -> int:
        return len(self._starts)

    def frames(self, indices: np.ndarray) -> "Tensor":
        """Clips at `indices`, (B, L, 2, 32, 32) float32."""
        from torch import from_numpy

        return from_numpy(self._values[self._places(indices)])

    def _places(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self._starts[indices][:, None] + np.arange(self.length))


class SeriesClips(HalfHours):
    """Clips cut out of the series wherever T + T' half hours follow each other.

    As in published work, days with missing slots are left out, the last 28 of the days that are left are the test, and
    the values are scaled by their range on the other days; those of the test may be somewhat larger than 1. Of the
    other days, four weeks that lie evenly apart are for validation. A clip belongs to the part in which all its targets
    lie; its inputs may reach back into another part.

    Parameters
    ----------
    ds
        As `open_years` makes it.
    years
        Files that it is made of; published results stand for all four.

    Raises
    ------
    SourceError
        Values that are missing, cannot be read or are all the same, or too few whole days.
    """

    def __init__(self, benchmark: Benchmark, part: Part, ds: xr.Dataset, *, years: int, frames_out: int) -> None:
        times = ds["time"].values.astype("M8[s]")
        days, number, counts = np.unique(times.astype("M8[D]"), return_inverse=True, return_counts=True)
        whole = counts[number] == SLOTS
        kept = days[counts == SLOTS]
        # As many for the test and for validation as for each other, and at least as many again to train on.
        if len(kept) < 3 * TEST_DAYS:
            reason = f"expected {3 * TEST_DAYS} or more days with all {SLOTS} slots, got {len(kept)} of {len(days)}"
            raise SourceError("TaxiBJ", [reason], f"fetch all four files from {SOURCE}")
        self._times = times[whole]
        values = _loaded(ds.isel(time=whole))  # (N, 2, 32, 32)
        parts = _parts(kept)
        where = parts[np.searchsorted(kept, self._times.astype("M8[D]"))]
        learned = values[where != "test"]
        self.offset = float(learned.min())
        self.scale = float(learned.max()) - self.offset
        if not self.scale:
            reason = f"expected numbers of vehicles, got {self.offset:g} in every cell before the test"
            raise SourceError("TaxiBJ", [reason], f"fetch the files once more from {SOURCE}")
        self._values = (values - np.float32(self.offset)) / np.float32(self.scale)
        length = benchmark.frames_in + frames_out
        slots = (self._times - self._times[0]) // np.timedelta64(HALF_HOUR.seconds, "s")
        begins = np.array(windows(slots, length, every=1), np.int64)
        inside = np.stack([where[begins + lead] == part for lead in range(benchmark.frames_in, length)])
        self._starts = begins[inside.all(axis=0)]
        chosen = int((parts == part).sum())
        origin = f"{chosen} of {len(kept)} whole days ({kept[0]} to {kept[-1]}) of {years} HDF5 files"
        super().__init__(benchmark, part, frames_out, origin)
        self.comparable = years == len(YEARS)

    def name(self, index: int) -> str:
        """Time of the first frame."""
        return f"from {self.times(index)[0].astype('M8[m]')}"

    def numbers(self, index: int) -> np.ndarray:
        """Slots of the day, 1 .. 48."""
        minutes = self.times(index).astype("M8[m]") - self.times(index).astype("M8[D]")
        return np.asarray(minutes // np.timedelta64(30, "m") + 1, np.int64)

    def times(self, index: int) -> np.ndarray:
        """Local times of the frames, (L,) datetime64."""
        return np.asarray(self._times[self._places(np.array([index]))[0]].astype("M8[ns]"))


def _loaded(ds: xr.Dataset) -> np.ndarray:
    """Values, (N, 2, 32, 32) float32."""
    remedy = f"fetch the files once more from {SOURCE}"
    try:
        values = np.stack([ds[name].values for name in VARIABLES], axis=1)
    except Exception as error:  # of h5py, where a file is damaged inside
        raise SourceError("TaxiBJ", [f"data cannot be read: {error}"], remedy) from error
    if not np.isfinite(values).all():
        number = np.unique(np.argwhere(~np.isfinite(values))[:, 0])
        first = ds["time"].values[number[0]].astype("M8[m]")
        raise SourceError("TaxiBJ", [f"{len(number)} slots have missing values, the first {first}"], remedy)
    return values


def _parts(days: np.ndarray) -> np.ndarray:
    """Part of each of the whole days, (D,) text."""
    parts = np.full(len(days), "train", dtype="U10")
    parts[-TEST_DAYS:] = "test"
    left = len(days) - TEST_DAYS
    for week in range(VALIDATION_WEEKS):
        middle = (2 * week + 1) * left // (2 * VALIDATION_WEEKS)
        parts[middle - 3 : middle + 4] = "validation"
    return parts


class ReadyClips(HalfHours):
    """Clips of `dataset.npz`: X and Y of a training and a test part, each (N, 4, 2, 32, 32), -1 to 1.

    They are taken to begin half an hour apart. The last tenth of the training clips is for validation, and as many
    before it are left out as would share frames with it. The file's -1 to 1 are 0 to 1 here; what 1 is in vehicles it
    does not say.

    Raises
    ------
    SourceError
        A file that is damaged or has other arrays, of other shapes or values than these.
    """

    def __init__(self, benchmark: Benchmark, part: Part, path: Path, frames_out: int) -> None:
        split = "test" if part == "test" else "train"
        expected = {f"X_{split}": benchmark.frames_in, f"Y_{split}": frames_out}
        try:
            refuse_unpacked(path, MOST)
            with path.open("rb") as raw, NpzFile(raw, allow_pickle=False) as file:
                lost = [name for name in expected if name not in file]
                arrays = [] if lost else [np.asarray(file[name], "f4") for name in expected]
        except SourceError as error:
            raise _bad_npz(path, error.reasons) from None
        except Exception as error:  # of zipfile, zlib or numpy, by where the damage is
            raise _bad_npz(path, [f"it cannot be read: {error}"]) from error
        if lost:
            raise _bad_npz(path, [f"expected {', '.join(lost)}, got {', '.join(file) or 'nothing'}"])
        reasons = [
            f"{name}: expected (N, {frames}, 2, {SIZE[0]}, {SIZE[1]}), got {array.shape}"
            for (name, frames), array in zip(expected.items(), arrays, strict=True)
            if array.shape[1:] != (frames, 2, *SIZE)
        ]
        if not reasons and len(arrays[0]) != len(arrays[1]):
            reasons.append(f"expected as many inputs as targets, got {len(arrays[0])} and {len(arrays[1])}")
        least = 1 if split == "test" else LEAST_READY
        if not reasons and len(arrays[0]) < least:
            reasons.append(f"expected {least} clips or more, got {len(arrays[0])}")
        if not reasons and not all((np.abs(array) <= 1).all() for array in arrays):
            reasons.append("expected values between -1 and 1, got larger or missing ones")
        if reasons:
            raise _bad_npz(path, reasons)
        values = (np.concatenate(arrays, axis=1) + 1) / 2
        count = len(values)
        last = count - count // 10
        length = benchmark.frames_in + frames_out
        bounds = {"train": (0, last - (length - 1)), "validation": (last, count), "test": (0, count)}
        first, stop = bounds[part]
        self._values = values[first:stop].reshape(-1, 2, *SIZE)
        self._starts = np.arange(stop - first) * length
        origin = f"clips {first} to {stop - 1} of the {count:,} in X_{split} of {path.name}, scaled, not vehicles"
        super().__init__(benchmark, part, frames_out, origin)


def _bad_npz(path: Path, reasons: Sequence[str]) -> SourceError:
    return SourceError(f"TaxiBJ clips {path}", reasons, "fetch the file once more, or use the four HDF5 files")


@dataclass(frozen=True, kw_only=True)
class TaxiBJBenchmark(Benchmark):
    """TaxiBJ from the HDF5 files, or from `dataset.npz` where those are not there."""

    def present(self, root: Path | None = None) -> bool:
        """Whether either form is here."""
        folder = self.path(root)
        return bool(year_files(folder)) or (folder is not None and (folder / NPZ).is_file())

    def _clips(self, part: Part, root: Path | None, frames_out: int, seed: int, device: str) -> Clips:
        folder = self.path(root)
        files = year_files(folder)
        if files:
            with open_years(files) as ds:
                return SeriesClips(self, part, ds, years=len(files), frames_out=frames_out)
        if folder is None or not (folder / NPZ).is_file():
            raise self.missing(root)
        return ReadyClips(self, part, folder / NPZ, frames_out)


TAXIBJ = TaxiBJBenchmark(
    name="taxibj",
    title="TaxiBJ: flow of taxis in and out of 32 x 32 cells of Beijing, every half hour",
    licence="for research; cite Zhang, Zheng, Qi, AAAI 2017",
    source=SOURCE,
    files=f"{YEARS[0]} to {YEARS[-1]}, or {NPZ}",
    variables=VARIABLES,
    size=SIZE,
    frames_in=4,
    frames_out=4,
    splits={
        "train": "all whole days but those of the other parts",
        "validation": "four weeks, evenly apart, of the days before the test",
        "test": "the last 28 whole days",
    },
    paper_counts={"train": "19k", "test": "1.3k"},
)
