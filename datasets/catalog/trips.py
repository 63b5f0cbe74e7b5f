"""Trips of a city as counts on a grid: how many began in each cell in each time slot.

Cells are equal in degrees. A trip belongs to the cell whose southern and western edges it may lie on; one on the
northern or eastern edge of the grid, or outside it, is not counted. A slot without any trip counts 0: records that are
lost cannot be told from a city that stands still. Times are local, as the records have them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from datasets.readers import open_source
from datasets.sizes import refuse_unpacked
from simvp.budget import BUDGET
from simvp.errors import SourceError

logger = logging.getLogger(__name__)

TAXI_SLOTS, TAXI_STEP = 1488, np.timedelta64(30, "m")
UBER_STEP = np.timedelta64(60, "m")
UBER_FORMAT = "%m/%d/%Y %H:%M:%S"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A grid of cells; row 0 in the south, column 0 in the west.

    Parameters
    ----------
    south, north, west, east
        Its edges, in degrees.
    shape
        (H, W).
    """

    south: float
    north: float
    west: float
    east: float
    shape: tuple[int, int]

    @property
    def latitude(self) -> np.ndarray:
        """Centres of the rows, (H,), degrees north."""
        return self.south + (np.arange(self.shape[0]) + 0.5) * (self.north - self.south) / self.shape[0]

    @property
    def longitude(self) -> np.ndarray:
        """Centres of the columns, (W,), degrees east."""
        return self.west + (np.arange(self.shape[1]) + 0.5) * (self.east - self.west) / self.shape[1]

    def number(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        """Number of the cell of each point, row by row from the south-west corner, (N,) int; -1 outside."""
        rows, columns = self.shape
        # Compared with the edges themselves: a quotient underflows to 0 just outside one, or rounds to the next cell.
        inside = (latitude >= self.south) & (latitude < self.north)
        inside &= (longitude >= self.west) & (longitude < self.east)  # false where a coordinate is missing
        row = np.floor((latitude - self.south) / (self.north - self.south) * rows)
        column = np.floor((longitude - self.west) / (self.east - self.west) * columns)
        number = np.clip(row, 0, rows - 1) * columns + np.clip(column, 0, columns - 1)
        return np.where(inside, np.nan_to_num(number), -1).astype(np.int64)

    def count(self, slot: np.ndarray, number: np.ndarray, slots: int) -> np.ndarray:
        """Points by slot and cell, (slots, H, W) float32, of slots (N,) and numbers of cells (N,).

        Points outside the grid, or in no slot from 0 to `slots` - 1, are not counted.
        """
        size = self.shape[0] * self.shape[1]
        inside = (number >= 0) & (slot >= 0) & (slot < slots)
        counts = np.bincount(slot[inside] * size + number[inside], minlength=slots * size)
        return counts.reshape(slots, *self.shape).astype(np.float32)


# The cells of the taxi counts; those of the Uber pick-ups divide them into two, so that they are nearly square.
NEW_YORK = Cells(south=40.63, north=40.85, west=-74.05, east=-73.75, shape=(20, 10))
NEW_YORK_SQUARE = Cells(south=40.63, north=40.85, west=-74.05, east=-73.75, shape=(20, 20))


def labelled(
    counts: np.ndarray, cells: Cells, first: np.datetime64, step: np.timedelta64, name: str, long_name: str
) -> xr.Dataset:
    """Counts (N, H, W) as a canonical Dataset; each is labelled with the beginning of its slot, local time."""
    times = first.astype("M8[ns]") + np.arange(len(counts)) * step
    attrs = {"units": "1", "long_name": long_name, "cell_methods": "time: sum area: sum"}
    latitude = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
    longitude = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
    ds = xr.Dataset(
        {name: (("time", "latitude", "longitude"), counts.astype(np.float32), attrs)},
        coords={
            "time": ("time", times, {"standard_name": "time", "axis": "T", "comment": "local time of New York"}),
            "latitude": ("latitude", cells.latitude, latitude),
            "longitude": ("longitude", cells.longitude, longitude),
        },
    )
    return ds.chunk()


def read_taxi(files: Sequence[Path]) -> xr.Dataset:
    """Pick-ups of yellow taxis in January 2015, (1488, 20, 10).

    Parameters
    ----------
    files
        The two parts of the series, as npz with an array `volume` (N, columns, rows, 1); or one NetCDF file with
        `pickups` (time, y, x).

    Raises
    ------
    SourceError
        Files of another form.
    """
    if files[0].suffix == ".nc":
        counts = open_source(files[0])["pickups"].values
    else:
        counts = np.concatenate([_volume(file) for file in files])
    expected = (TAXI_SLOTS, *NEW_YORK.shape)
    if counts.shape != expected:
        raise SourceError(", ".join(map(str, files)), [f"expected counts {expected}, got {counts.shape}"])
    first = np.datetime64("2015-01-01")
    return labelled(counts, NEW_YORK, first, TAXI_STEP, "pickups", "yellow taxi pick-ups in half an hour")


def _volume(file: Path) -> np.ndarray:
    """Counts (N, H, W) of one part."""
    try:
        refuse_unpacked(file, BUDGET // 16)  # a series has 2 MiB
        with np.load(file, allow_pickle=False) as arrays:
            names = list(arrays)
            volume = arrays["volume"] if "volume" in names else None
    except SourceError as error:
        raise SourceError(f"file {file}", [f"expected npz: {reason}" for reason in error.reasons]) from None
    except Exception as error:  # of zipfile, zlib or numpy, by where the damage is
        raise SourceError(f"file {file}", [f"expected npz: {error}"]) from error
    if volume is None:
        raise SourceError(f"file {file}", [f"expected an array volume, got {', '.join(names) or 'nothing'}"])
    if volume.ndim != 4:
        raise SourceError(f"file {file}", [f"expected volume (N, columns, rows, 1), got {volume.shape}"])
    return np.asarray(volume[..., 0].transpose(0, 2, 1))


def read_uber(files: Sequence[Path]) -> xr.Dataset:
    """Uber pick-ups from April to September 2014 by hour, (4392, 20, 20).

    Parameters
    ----------
    files
        Text with commas, a line for each pick-up: `Date/Time` as "4/1/2014 0:11:00", `Lat`, `Lon`.

    Raises
    ------
    SourceError
        Files of another form, with every reason.
    """
    first, end = np.datetime64("2014-04-01", "s"), np.datetime64("2014-10-01", "s")
    slots = int((end - first) / UBER_STEP)
    counts = np.zeros((slots, *NEW_YORK_SQUARE.shape), np.float32)
    lines, reasons = 0, []
    for file in files:
        try:
            times, latitude, longitude = _points(file)
        except SourceError as error:
            reasons += [f"{file}: {reason}" for reason in error.reasons]
            continue
        lines += len(times)
        slot = (times - first) // UBER_STEP
        counts += NEW_YORK_SQUARE.count(slot, NEW_YORK_SQUARE.number(latitude, longitude), slots)
    if reasons:
        raise SourceError("pick-ups", reasons, "fetch these files again")
    logger.info("%d of %d pick-ups lie on the grid", int(counts.sum(dtype=np.float64)), lines)
    return labelled(counts, NEW_YORK_SQUARE, first, UBER_STEP, "pickups", "Uber pick-ups in an hour")


def _points(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (N,) datetime64[s], latitudes and longitudes (N,) of one file."""
    wanted = ["Date/Time", "Lat", "Lon"]
    try:
        table = pd.read_csv(file, usecols=lambda name: name in wanted, dtype={"Date/Time": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise SourceError("", [f"expected text with commas: {error}"]) from error
    if lost := [name for name in wanted if name not in table]:
        raise SourceError("", [f"expected columns {', '.join(wanted)}; {', '.join(lost)} missing"])
    times = pd.to_datetime(table["Date/Time"], format=UBER_FORMAT, errors="coerce")
    places = [pd.to_numeric(table[name], errors="coerce") for name in ("Lat", "Lon")]
    wrong = times.isna() | places[0].isna() | places[1].isna()
    if wrong.any():
        row = table[wrong].iloc[0]
        got = ", ".join(str(row[name]) for name in wanted)
        lines = f"{int(wrong.sum())} of {len(table)} lines"
        raise SourceError("", [f"expected times as 4/1/2014 0:11:00, and two numbers; {lines} have others, as {got}"])
    return times.to_numpy("M8[s]"), places[0].to_numpy(), places[1].to_numpy()
