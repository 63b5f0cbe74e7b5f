"""TaxiBJ: taxis that enter and leave each cell of a 32 x 32 grid over Beijing in half an hour, parts of four years.

Zhang, Zheng, Qi: "Deep Spatio-Temporal Residual Networks for Citywide Crowd Flows Prediction", AAAI 2017 (arXiv
1610.00081). Two forms of the same data:

* four HDF5 files, a year each: `data` (N, 2, 32, 32), inflow then outflow, and `date` (N), bytes YYYYMMDDSS with the
  slot SS = 01 .. 48 of the day. Slots are missing. These are read as one gridded series, and cut into clips.
* `dataset.npz`, which later work passes on: clips ready made, scaled to [-1, 1], without times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from torch import Tensor, from_numpy

from datasets.clips import Benchmark, Clips, Part, consecutive_runs
from datasets.formats import recognise
from simvp.errors import SourceError
from simvp.steps import Step

YEARS = tuple(f"BJ{year}_M32x32_T30_InOut.h5" for year in (13, 14, 15, 16))
NPZ = "dataset.npz"
SLOTS = 48
HALF_HOUR = Step(seconds=1800)
SIZE = (32, 32)
TEST_DAYS = 28
VALIDATION_WEEKS = 4
VARIABLES = {
    "inflow": "taxis entering the cell in half an hour",
    "outflow": "taxis leaving the cell in half an hour",
}
SOURCE = "https://github.com/lucktroy/DeepST/tree/master/data/TaxiBJ (or the links in arXiv 1610.00081)"


def year_files(folder: Path | None) -> list[Path]:
    """The HDF5 files of the folder, in the order of their years; those that are not there are left out."""
    return [] if folder is None else [folder / name for name in YEARS if (folder / name).is_file()]


def open_years(files: Sequence[Path]) -> xr.Dataset:
    """The HDF5 files as one gridded series, lazily.

    Returns
    -------
    xr.Dataset
        `inflow` and `outflow`, (time, y, x), in vehicles (units 1). `time` is Beijing's local time, at the beginning
        of the half hour; slots without data are not there.

    Raises
    ------
    SourceError
        Every file that is cut off or no HDF5, lacks `data` or `date`, has other shapes, dates that are no dates, or
        times that another file has too.
    """
    recognise(files)
    parts, reasons = [], []
    for file in files:
        try:
            parts.append(_open_year(file))
        except SourceError as error:
            reasons += [f"{file.name}: {reason}" for reason in error.reasons]
    if not reasons:
        ds = xr.concat(parts, "time", join="exact").sortby("time")
        times = ds["time"].values
        twice = times[1:][times[1:] == times[:-1]]
        reasons = [f"{len(twice)} times stand twice, first {twice[0]}"] if len(twice) else []
    if reasons:
        raise SourceError("TaxiBJ", reasons, f"fetch the files once more from {SOURCE}")
    return ds


def _open_year(file: Path) -> xr.Dataset:
    try:
        raw = xr.open_dataset(file, engine="h5netcdf", phony_dims="access", chunks={})
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # of h5py, where a file is damaged inside
        raise SourceError("", [f"cannot be opened as HDF5: {error}"]) from error
    lost = [name for name in ("data", "date") if name not in raw.variables]
    if lost:
        raise SourceError(
            "", [f"{name}: expected this dataset, got {', '.join(map(str, raw.variables))}" for name in lost]
        )
    data, date = raw["data"], raw["date"]
    if data.ndim != 4 or data.shape[1:] != (2, *SIZE) or date.shape != data.shape[:1]:
        expected = f"data (N, 2, {SIZE[0]}, {SIZE[1]}) and date (N)"
        raise SourceError("", [f"expected {expected}, got data {data.shape} and date {date.shape}"])
    dims = ("time", "y", "x")
    fields = {
        name: xr.Variable(
            dims,
            data.data[:, number].astype("f4"),
            {"units": "1", "long_name": long_name, "cell_methods": "time: sum"},
        )
        for number, (name, long_name) in enumerate(VARIABLES.items())
    }
    coords = {
        "time": ("time", _times(date.values), {"standard_name": "time", "comment": "local time of Beijing"}),
        "y": ("y", np.arange(SIZE[0]), {"long_name": "row"}),
        "x": ("x", np.arange(SIZE[1]), {"long_name": "column"}),
    }
    return xr.Dataset(fields, coords)


def _times(dates: np.ndarray) -> np.ndarray:
    """Beginnings of the half hours YYYYMMDDSS, (N,) datetime64."""
    texts = [date.decode("ascii", "replace") if isinstance(date, bytes) else str(date) for date in dates.tolist()]
    made, wrong = np.empty(len(texts), "M8[ns]"), []
    for place, text in enumerate(texts):
        slot = int(text[8:]) if text.isdecimal() and len(text) == 10 else 0
        try:
            day = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}", "ns")
        except ValueError:
            slot = 0
        if 1 <= slot <= SLOTS:
            made[place] = day + (slot - 1) * np.timedelta64(HALF_HOUR.seconds, "s")
        else:
            wrong.append(text)
    if wrong:
        expected = f"YYYYMMDDSS with SS from 01 to {SLOTS}"
        raise SourceError("", [f"date: expected {expected}, got {len(wrong)} others, first {wrong[0]!r}"])
    return made


class SeriesClips(Clips):
    """Clips cut out of the series wherever T + T' half hours follow each other.

    As in published work, days with missing slots are left out, the last 28 of the days that are left are the test, and
    the values are scaled by their range on the other days. Of those, four weeks that lie evenly apart are for
    validation. A clip belongs to the part in which all its targets lie; its inputs may reach back into another part.
    """

    step = HALF_HOUR

    def __init__(self, benchmark: Benchmark, part: Part, ds: xr.Dataset, frames_in: int, frames_out: int) -> None:
        times = ds["time"].values.astype("M8[s]")
        days, number, counts = np.unique(times.astype("M8[D]"), return_inverse=True, return_counts=True)
        whole = counts[number] == SLOTS
        kept = days[counts == SLOTS]
        if len(kept) < 3 * TEST_DAYS:
            reason = f"expected {3 * TEST_DAYS} or more days with all {SLOTS} slots, got {len(kept)} of {len(days)}"
            raise SourceError("TaxiBJ", [reason], f"fetch all four files from {SOURCE}")
        self._times = times[whole]
        values = np.stack([ds[name].values[whole] for name in VARIABLES], axis=1)  # (N, 2, 32, 32)
        parts = _parts(kept)
        where = parts[np.searchsorted(kept, self._times.astype("M8[D]"))]
        learned = values[where != "test"]
        self.offset = float(learned.min())
        self.scale = float(learned.max()) - self.offset
        self._values = ((values - self.offset) / self.scale).astype("f4")
        length = frames_in + frames_out
        slots = (self._times - self._times[0]) // np.timedelta64(HALF_HOUR.seconds, "s")
        starts = [
            np.arange(first, stop - length + 1) for first, stop in consecutive_runs(slots) if stop - first >= length
        ]
        begins = np.concatenate([np.empty(0, np.int64), *starts]).astype(np.int64)
        inside = np.stack([where[begins + lead] == part for lead in range(frames_in, length)])
        self._starts = begins[inside.all(axis=0)]
        origin = f"{int((parts == part).sum())} of {len(kept)} whole days ({kept[0]} to {kept[-1]}) of the HDF5 files"
        super().__init__(benchmark, part, frames_in, frames_out, origin)

    def __len__(self) -> int:
        return len(self._starts)

    def frames(self, indices: np.ndarray) -> Tensor:
        """Clips at `indices`, (B, L, 2, 32, 32) float32, scaled by the range of the days that are not the test."""
        return from_numpy(self._values[self._places(indices)])

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

    def _places(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self._starts[indices][:, None] + np.arange(self.frames_in + self.frames_out))


def _parts(days: np.ndarray) -> np.ndarray:
    """Part of each of the whole days, (D,) text."""
    parts = np.full(len(days), "train", dtype="U10")
    parts[-TEST_DAYS:] = "test"
    left = len(days) - TEST_DAYS
    for week in range(VALIDATION_WEEKS):
        middle = (2 * week + 1) * left // (2 * VALIDATION_WEEKS)
        parts[middle - 3 : middle + 4] = "validation"
    return parts


class ReadyClips(Clips):
    """Clips of `dataset.npz`: X and Y of a training and a test part, each (N, 4, 2, 32, 32), -1 to 1.

    They are taken to begin half an hour apart. The last tenth of the training clips is for validation, and as many
    before it are left out as would share frames with it.
    """

    step = HALF_HOUR

    def __init__(self, benchmark: Benchmark, part: Part, path: Path, frames_in: int, frames_out: int) -> None:
        split = "test" if part == "test" else "train"
        expected = {f"X_{split}": frames_in, f"Y_{split}": frames_out}
        try:
            with np.load(path, allow_pickle=False) as file:
                lost = [name for name in expected if name not in file]
                if lost:
                    raise _bad_npz(path, [f"expected {', '.join(lost)}, got {', '.join(file) or 'nothing'}"])
                arrays = [np.asarray(file[name], "f4") for name in expected]
        except SourceError:
            raise
        except Exception as error:  # of zipfile, zlib or numpy, by where the damage is
            raise _bad_npz(path, [f"it cannot be read: {error}"]) from error
        reasons = [
            f"{name}: expected (N, {frames}, 2, {SIZE[0]}, {SIZE[1]}), got {array.shape}"
            for (name, frames), array in zip(expected.items(), arrays, strict=True)
            if array.shape[1:] != (frames, 2, *SIZE)
        ]
        if not reasons and len(arrays[0]) != len(arrays[1]):
            reasons.append(f"expected as many inputs as targets, got {len(arrays[0])} and {len(arrays[1])}")
        if not reasons and max(float(np.abs(array).max()) for array in arrays) > 1:
            reasons.append("expected values between -1 and 1, got larger ones")
        if reasons:
            raise _bad_npz(path, reasons)
        values = (np.concatenate(arrays, axis=1) + 1) / 2
        count = len(values)
        last = count - count // 10
        bounds = {"train": (0, last - (frames_in + frames_out - 1)), "validation": (last, count), "test": (0, count)}
        first, stop = bounds[part]
        self._values = values[first:stop]
        origin = f"clips {first} to {stop - 1} of the {count:,} in X_{split} of {path.name}"
        super().__init__(benchmark, part, frames_in, frames_out, origin)

    def __len__(self) -> int:
        return len(self._values)

    def frames(self, indices: np.ndarray) -> Tensor:
        """Clips at `indices`, (B, L, 2, 32, 32) float32; the file's -1 to 1 are 0 to 1."""
        return from_numpy(self._values[indices])

    def name(self, index: int) -> str:
        """Number of the clip in its part."""
        return f"clip {index}"


def _bad_npz(path: Path, reasons: Sequence[str]) -> SourceError:
    return SourceError(f"TaxiBJ clips {path}", reasons, "fetch the file once more, or use the four HDF5 files")


@dataclass(frozen=True, kw_only=True)
class TaxiBJBenchmark(Benchmark):
    """TaxiBJ from the HDF5 files, or from `dataset.npz` where those are not there."""

    def present(self, root: Path | None = None) -> bool:
        """Whether either form is here."""
        folder = self.path(root)
        return bool(year_files(folder)) or (folder is not None and (folder / NPZ).is_file())

    def open(
        self,
        part: Part,
        *,
        root: Path | None = None,
        frames_out: int | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> Clips:
        """Clips of one part; nothing is generated, so `seed` and `device` change nothing."""
        folder, horizon = self.path(root), frames_out or self.frames_out
        files = year_files(folder)
        if files:
            return SeriesClips(self, part, open_years(files), self.frames_in, horizon)
        if folder is None or not (folder / NPZ).is_file():
            raise self.missing(root)
        return ReadyClips(self, part, folder / NPZ, self.frames_in, horizon)


TAXIBJ = TaxiBJBenchmark(
    name="taxibj",
    title="TaxiBJ: flow of taxis in and out of 32 x 32 cells of Beijing, every half hour",
    licence="for research; cite Zhang, Zheng, Qi, AAAI 2017",
    source=SOURCE,
    folder="taxibj",
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
