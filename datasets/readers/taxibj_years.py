"""TaxiBJ as a gridded series: four HDF5 files, a year each, of `data` (N, 2, 32, 32), inflow then outflow, and `date`.

`date` (N) are bytes YYYYMMDDSS with the slot SS = 01 .. 48 of the day. Slots are missing: BJ16 has 7,220 of 7,776.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from datasets.readers.combine import along_time
from datasets.readers.files import recognise
from simvp.coords import Step
from simvp.errors import SourceError

YEARS = tuple(f"BJ{year}_M32x32_T30_InOut.h5" for year in (13, 14, 15, 16))
SLOTS = 48
MOST = 366 * SLOTS  # of a year
HALF_HOUR = Step(seconds=1800)
SIZE = (32, 32)
CHUNK_DAYS = 10  # 3.7 MiB of float32
VARIABLES = {
    "inflow": "taxis entering the cell in half an hour",
    "outflow": "taxis leaving the cell in half an hour",
}
SOURCE = "https://github.com/TolicWang/DeepST/tree/master/data/TaxiBJ"


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
        times that stand twice, there or in another file too.
    """
    parts: dict[str, xr.Dataset] = {}
    reasons: list[str] = []
    for file in files:
        try:
            parts[file.name] = _open_year(file)
        except SourceError as error:
            reasons += [f"{file.name}: {reason}" for reason in error.reasons]
    for (one, first), (other, second) in combinations(parts.items(), 2):
        both = np.intersect1d(first["time"].values, second["time"].values)
        if len(both):
            reasons.append(f"{other}: {len(both)} times are in {one} too, the first {both[0].astype('M8[m]')}")

    def close() -> None:
        for ds in parts.values():
            ds.close()

    if reasons:
        close()
        raise SourceError("TaxiBJ", reasons, f"fetch the files once more from {SOURCE}")
    whole = along_time(list(parts.values())).copy()  # so that its closing is not that of a part
    whole.set_close(close)
    return whole


def _open_year(file: Path) -> xr.Dataset:
    """One file.

    Raises
    ------
    SourceError
        With reasons alone.
    """
    try:
        recognise([file])
    except SourceError as error:
        raise SourceError("", [reason.removeprefix(f"{file}: ") for reason in error.reasons]) from None
    try:
        raw = xr.open_dataset(file, engine="h5netcdf", phony_dims="access")
    except Exception as error:  # of h5py, where a file is damaged inside; or it is NetCDF or GRIB, but no HDF5
        raise SourceError("", [f"cannot be opened as HDF5: {error}"]) from error
    try:
        return _series(raw)
    except SourceError:
        raw.close()
        raise


def _series(raw: xr.Dataset) -> xr.Dataset:
    lost = [name for name in ("data", "date") if name not in raw.variables]
    if lost:
        got = ", ".join(map(str, raw.variables)) or "nothing"
        raise SourceError("", [f"{name}: expected this dataset, got {got}" for name in lost])
    data, date = raw["data"], raw["date"]
    shaped = data.shape[1:] == (2, *SIZE) and date.shape == data.shape[:1] and len(data)
    if not shaped or data.dtype.kind not in "fiu":
        expected = f"data (N, 2, {SIZE[0]}, {SIZE[1]}) of numbers and date (N)"
        raise SourceError("", [f"expected {expected}, got data {data.shape} of {data.dtype} and date {date.shape}"])
    if len(data) > MOST:
        raise SourceError("", [f"expected the {MOST} half hours of a year or fewer, got {len(data)}"])
    try:
        dates = date.values
    except Exception as error:
        raise SourceError("", [f"date cannot be read: {error}"]) from error
    times = _times(dates)
    lazy = data.chunk({data.dims[0]: CHUNK_DAYS * SLOTS}).data
    fields = {
        name: xr.Variable(
            ("time", "y", "x"),
            lazy[:, number].astype("f4"),
            {"units": "1", "long_name": long_name, "cell_methods": "time: sum"},
        )
        for number, (name, long_name) in enumerate(VARIABLES.items())
    }
    coords = {
        "time": ("time", times, {"standard_name": "time", "axis": "T", "comment": "local time of Beijing"}),
        "y": ("y", np.arange(SIZE[0]), {"long_name": "row", "axis": "Y"}),
        "x": ("x", np.arange(SIZE[1]), {"long_name": "column", "axis": "X"}),
    }
    ds = xr.Dataset(fields, coords)
    ds.set_close(raw.close)
    return ds


def _times(dates: np.ndarray) -> np.ndarray:
    """Beginnings of the half hours YYYYMMDDSS, (N,) datetime64."""
    texts = pd.Series([d.decode("ascii", "replace") if isinstance(d, bytes) else str(d) for d in dates.tolist()])
    days = pd.to_datetime(texts.str[:8], format="%Y%m%d", errors="coerce")
    slots = pd.to_numeric(texts.str[8:], errors="coerce")
    wrong = texts[~texts.str.fullmatch(r"[0-9]{10}") | days.isna() | ~slots.between(1, SLOTS)]
    if len(wrong):
        expected = f"YYYYMMDDSS with SS from 01 to {SLOTS}"
        raise SourceError("", [f"date: expected {expected}, got {len(wrong)} others, the first {wrong.iloc[0]!r}"])
    times = (days + pd.to_timedelta((slots - 1) * HALF_HOUR.seconds, unit="s")).to_numpy("M8[ns]")
    once, counts = np.unique(times, return_counts=True)
    twice = once[counts > 1]
    if len(twice):
        raise SourceError("", [f"date: {len(twice)} times stand twice, the first {twice[0].astype('M8[m]')}"])
    return times
