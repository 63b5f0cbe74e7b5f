"""Rain composites of the German weather service in its binary RADOLAN format, a month of them in one tar file.

The format, after DWD, "Beschreibung des Kompositformats" (RADOLAN/RADVOR-OP): a header in ASCII, closed by the byte 3,
then two bytes for each cell, low byte first, rows from south to north. Bits 1 to 12 are the amount in units of the
precision (PR) that the header states; bit 14 marks a cell without data, bit 15 a negative number, bit 16 clutter.
"""

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr

from simvp.errors import SourceError

HEADER = re.compile(
    rb"(?P<product>[A-Z]{2})(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)\d{5}(?P<month>\d\d)(?P<year>\d\d)"
    rb"BY *(?P<bytes>\d+)VS.*?PR *E(?P<power>[+-]\d\d)INT *(?P<minutes>\d+)(?:U\d)?GP *(?P<rows>\d+)x *(?P<columns>\d+)"
)
ETX = b"\x03"
VALUE, MISSING, NEGATIVE, CLUTTER = 0x0FFF, 0x2000, 0x4000, 0x8000

# The composite of RADKLIM: cells of 1 km, and where its south-western corner lies, in km (DWD, table of the corners).
ROWS, COLUMNS = 1100, 900
# Members of the tar file of a month, which has 744 hours; bytes of one: a composite with its header.
MEMBERS, LARGEST = 1000, 2 * ROWS * COLUMNS + 4096
WEST, SOUTH = -443.4622, -4758.645
PROJECTION = {
    "grid_mapping_name": "polar_stereographic",
    "straight_vertical_longitude_from_pole": 10.0,
    "latitude_of_projection_origin": 90.0,
    "standard_parallel": 60.0,
    "earth_radius": 6370040.0,
    "false_easting": 0.0,
    "false_northing": 0.0,
}
BLOCK = 8  # cells in a row of a block
# Rows and columns that are kept, 512 km x 512 km. RADKLIM has values over Germany alone: in the composite that was
# looked at (31 December 2017, 8:50), 5 % of this square were missing, and 56 % of the whole.
MIDDLE = (slice(360, 872), slice(204, 716))


def read_radklim(files: Sequence[Path]) -> xr.Dataset:
    """Hourly rain of RADKLIM over the middle of Germany, means over 8 km, (N, 64, 64), each labelled with its end.

    Parameters
    ----------
    files
        A tar file, gzipped or not, with a composite an hour, each of them gzipped or not.

    Raises
    ------
    SourceError
        No such files, or composites of another product, grid or interval.
    """
    frames: dict[np.datetime64, np.ndarray] = {}
    for file in files:
        try:
            with _unpacked(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
                for count, member in enumerate(archive):
                    if count > MEMBERS or member.size > LARGEST:
                        raise tarfile.TarError(f"more than {MEMBERS} members, or one of more than {LARGEST} bytes")
                    if not member.isreg() or "-dwd-" not in member.name:  # nothing is unpacked to the disk
                        continue
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file
                    time, rain = composite(content.read(), f"{file}: {member.name}", MIDDLE)
                    frames[time] = _block_means(rain)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            first = str(error).partition("\n")[0].rstrip(":")
            raise SourceError(
                f"file {file}", [f"expected a tar file: {first}"], "remove it, so that it is fetched again"
            ) from error
    if not frames:
        raise SourceError(", ".join(map(str, files)), ["no composite lies in it"])
    return _labelled(frames)


class _Bounded(io.BufferedReader):
    """A file that gives no more at a time than a composite has: the header of a member may ask for any length."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= 2 * LARGEST:
            raise tarfile.TarError(f"a header of {size} bytes")
        return super().read(size)


@contextmanager
def _unpacked(file: Path) -> Iterator[IO[bytes]]:
    """A file as it was before it was gzipped, if it is."""
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        whole: Any = gzip.GzipFile(fileobj=raw) if packed else nullcontext(raw)
        with whole as unpacked, _Bounded(unpacked) as stream:
            yield stream


def composite(
    content: bytes, name: str, part: tuple[slice, slice] = (slice(None), slice(None))
) -> tuple[np.datetime64, np.ndarray]:
    """One composite: time (UTC) at which the hour ends, and rain in mm, (rows, columns) float32, rows from the south.

    Parameters
    ----------
    content
        Of the file, gzipped or not.
    name
        Of the file, for refusals.
    part
        Rows and columns that are wanted.

    Raises
    ------
    SourceError
        Another format, product, grid or interval, or a file that is cut off.
    """
    try:
        if content.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(LARGEST + 1)  # one more shows that it is too long
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(name, [f"expected gzip: {error}"]) from error
    head, _, data = content.partition(ETX)
    found = HEADER.match(head)
    if found is None:
        raise SourceError(name, [f"expected a RADOLAN header, got {head[:40]!r}"])
    product, rows, columns, minutes = (
        found["product"].decode(),
        *(int(found[k]) for k in ("rows", "columns", "minutes")),
    )
    faults = []
    if (product, rows, columns, minutes) != ("RW", ROWS, COLUMNS, 60):
        got = f"{product}, {rows} x {columns}, {minutes} min"
        faults.append(f"expected product RW, {ROWS} x {COLUMNS} cells, 60 min; got {got}")
    if len(content) != int(found["bytes"]) or len(data) != 2 * rows * columns:
        faults.append(f"expected {int(found['bytes'])} bytes, of them {2 * rows * columns} of data, got {len(content)}")
    if faults:
        raise SourceError(name, faults)
    numbers = np.frombuffer(data, "<u2").reshape(rows, columns)[part]
    rain = (numbers & VALUE) * np.float32(10.0 ** int(found["power"]))
    rain[(numbers & NEGATIVE) != 0] *= -1
    rain[(numbers & (MISSING | CLUTTER)) != 0] = np.nan
    year, month, day, hour, minute = (found[key].decode() for key in ("year", "month", "day", "hour", "minute"))
    return np.datetime64(f"20{year}-{month}-{day}T{hour}:{minute}", "ns"), rain


def _block_means(rain: np.ndarray) -> np.ndarray:
    """Means of the values that are there over blocks of `BLOCK` x `BLOCK` cells; NaN where there is none."""
    rows, columns = (extent // BLOCK for extent in rain.shape)
    blocks = rain.reshape(rows, BLOCK, columns, BLOCK)
    there = np.isfinite(blocks)
    count = there.sum((1, 3))
    total = np.where(there, blocks, 0).sum((1, 3), dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _labelled(frames: dict[np.datetime64, np.ndarray]) -> xr.Dataset:
    times = np.array(sorted(frames))
    rain = {
        "standard_name": "precipitation_amount",
        "long_name": "rain in the hour before",
        "units": "kg m-2",
        "cell_methods": "time: sum area: mean",
        "grid_mapping": "proj",
    }
    axes = {}
    for name, corner, part in (("y", SOUTH, MIDDLE[0]), ("x", WEST, MIDDLE[1])):
        centres = corner + part.start + BLOCK * (np.arange((part.stop - part.start) // BLOCK) + 0.5)
        attrs = {"standard_name": f"projection_{name}_coordinate", "units": "km", "axis": name.upper()}
        axes[name] = (name, centres, attrs)
    ds = xr.Dataset(
        {"precipitation": (("time", "y", "x"), np.stack([frames[time] for time in times]), rain)},
        coords={
            "time": ("time", times, {"standard_name": "time", "axis": "T"}),
            **axes,
            "proj": ((), 0, PROJECTION),
        },
    )
    return ds.chunk()
