"""The page on data: what it quotes is what is said, provoked with small files, or else a text of the code."""

import ast
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import simvp
from datasets.readers import open_source
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.contract import FrameSpec
from simvp.coords import canonicalise
from simvp.errors import Refusal
from tests.conftest import CHECKOUT
from tests.support.files.grib import keep, maps as fields, message
from tests.support.files.odd_files import (
    BARE,
    HOURS,
    RUN,
    VALID,
    at_level,
    daily,
    holding,
    leads,
    levels,
    listed,
    many_years,
    numbered,
    on_earth,
    one,
    points,
    run,
    shifted,
    staggered,
    timed,
    turned,
    two_axes,
)
from tests.support.files.small_files import KELVIN, Variables, hourly, maps, write, write_zarr

PAGE = CHECKOUT / "docs" / "data.md"
QUOTES = [quote for quote in re.findall(r"`([^`\n]+)`", PAGE.read_text()) if "…" in quote]
COUNTS = np.arange(48, dtype="i2").reshape(4, 3, 4)
UNWRITTEN = netCDF4.default_fillvals["i4"]


def opened(folder: Path, *files: Variables, **options: Any) -> None:
    for number, variables in enumerate(files):
        write(folder / f"{number}.nc", variables)
    open_source(folder, **options)


def ingested(folder: Path, *files: Variables, **options: Any) -> None:
    """One file after the other."""
    for number, variables in enumerate(files):
        path = write(folder / f"{number}.nc", variables)
        ingest(Home(folder / "home"), "it", source=path, **options)


def as_zarr(folder: Path, version: int, filled: float, lost: str = "") -> None:
    path = write_zarr(folder / "a.zarr", one(), version=version, fills={"t": filled})
    if lost:
        (path / lost).unlink()
    open_source(path)


def predicted(number: float) -> None:
    """Frames that a model was fitted on, and then the same with another number among them."""
    time = np.datetime64("2020-01-01", "ns") + 3600 * np.arange(8) * np.timedelta64(1, "s")
    axes = {"latitude": [50.0, 49.0, 48.0], "longitude": [5.0, 6.0, 7.0, 8.0], "time": time}
    ds = xr.Dataset({"t": (("time", "latitude", "longitude"), maps(8, add=280.0), KELVIN)}, axes)
    spec = FrameSpec.fit(ds, frames_in=2, frames_out=1, train=[(time[0], time[-1])])
    ds["t"].values[...] = holding(number, 8)
    raise Refusal("data", spec.value_faults(ds))


def decoded(folder: Path) -> None:
    path = write(
        folder / "a.nc", timed(range(4), {"units": "hours since 2020-01-01 00:00:00 +9", "calendar": "noleap"})
    )
    with xr.open_dataset(path) as ds:
        canonicalise(ds)


def in_group(folder: Path, variables: list[str] | None) -> None:
    write(folder / "a.nc", one(), "inner/air")
    open_source(folder, variables=variables)


def hdf5(folder: Path, dtype: str, **attrs: Any) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs.update(attrs)
        file.create_dataset("t", data=maps().astype(dtype))
    open_source(folder / "a.h5")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.nc")
    open_source(folder)


def held(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    open_source(folder / name)


def cut(folder: Path) -> None:
    write(folder / "a.nc", one())
    held(folder, "b.nc", (folder / "a.nc").read_bytes()[:-60])


def grib(folder: Path, *messages: bytes, **options: Any) -> None:
    open_source(keep(folder / "a.grib2", messages), **options)


def rained(**keys: Any) -> bytes:
    of = {"shortName": "tp", "stepType": "accum"} | keys
    return message(fields(1)[0], productDefinitionTemplateNumber=8, **of)


FIELD = message(fields(1)[0])
SECOND = 20 * np.arange(8) % 7  # of scans that jitter
SCANS = 300 * np.arange(8)
SINCE = {"units": "seconds since 2020-01-01"}
EXPVER = (("time",), np.array(["0001", "0001", "0005", "0005"]), {})

# What each does stands on the page under a quote with these words.
SAID: dict[str, Callable[[Path], object]] = {
    "missing_value is the text": lambda at: opened(at, one(missing_value="see below")),
    "valid_range is": lambda at: opened(at, one(valid_range=np.float32(5))),
    "the lowest valid number is above": lambda at: opened(at, one(valid_min=350, valid_max=150)),
    "scale_factor is the text": lambda at: opened(at, one(COUNTS, scale_factor="tenth")),
    "expected one number, not 0": lambda at: opened(at, one(COUNTS, scale_factor=0.0)),
    "times are missing in": lambda at: opened(at, timed(np.array([0, 1, UNWRITTEN, UNWRITTEN], "i4"), BARE)),
    "may be a value, or stand for": lambda at: as_zarr(at, 2, 5.0),
    "chunks are not there": lambda at: as_zarr(at, 3, 0.0, "t/c/2/0/0"),
    "the radar saw nothing": lambda at: opened(at, one(undetect=-8.0, units="dBZ")),
    "missing values undeclared": lambda at: predicted(-9999.0),
    "lies between 20 and 5000 K": lambda at: ingested(at, one(holding(10.0))),
    "infinite values": lambda at: ingested(at, one(holding(np.inf))),
    "got missing values only": lambda at: ingested(at, one(np.full((4, 3, 4), np.nan, "f4"))),
    "where others lie from": lambda at: ingested(at, one(maps(8) - 150 * (np.arange(8) == 5)[:, None, None])),
    # time
    "is the init time of a forecast": lambda at: opened(at, timed(range(4), RUN)),
    "an axis of leads too": lambda at: opened(at, leads(VALID, [6, 12], HOURS), select={"lead": 6}),
    "lies on the same axis": lambda at: opened(
        at, timed(range(4), BARE, {"lead": (("time",), np.array([0, 6, 0, 6]), HOURS)})
    ),
    "choose one with select={…: ...}": lambda at: opened(at, levels()),
    "choose one lead": lambda at: opened(at, run(0), run(2)),
    "counts leads in months": lambda at: opened(at, timed(range(4), RUN, {"leadtime_month": ((), np.int32(1), {})})),
    "so neither are valid times": lambda at: opened(at, leads(BARE, [6, 12], {}, "step"), select={"step": 6}),
    "not among the values of": lambda at: opened(at, levels(), select={"plev": 300}),
    "is no date such as": lambda at: opened(at, timed(np.array(["201901", "201902"]), {})),
    "it has no odd numbers": lambda at: opened(
        at, timed(20190101 + np.arange(4, dtype="f4"), {"units": "day as %Y%m%d.%f"})
    ),
    "is no offset such as": lambda at: opened(at, timed(range(4), {"units": "hours since 2020-01-01 00:00 JST"})),
    "was decoded as": decoded,
    "holds numbers without dates": lambda at: opened(at, timed(np.arange(4.0), {"units": "frames"})),
    "is none of CF's": lambda at: opened(at, timed(range(4), {**BARE, "calendar": "mayan"})),
    "the start of each period": lambda at: opened(at, daily(bounds=True)),
    "ends each period is not told": lambda at: opened(at, daily(bounds=False)),
    "statistics of many years": lambda at: opened(at, many_years()),
    "frames are labelled with whole steps": lambda at: ingested(at, timed(SCANS + SECOND, SINCE), step="5min"),
    "state the step, such as": lambda at: ingested(at, timed(SCANS + 123 * (SECOND == 5), SINCE)),
    "give or take": lambda at: ingested(at, timed(SCANS, SINCE), timed([SCANS[-1] + 450], SINCE)),
    "times occur more than once": lambda at: opened(at, timed([0, 1, 1, 2], BARE)),
    "left out: …, on another axis": lambda at: opened(at, two_axes()),
    "lies on another axis of time": lambda at: opened(at, two_axes(), variables=["t", "rain"]),
    "a time axis of length 0": lambda at: opened(at, one(maps(0))),
    # grid
    "or another angle": lambda at: opened(
        at, shifted("lat", [50, 49, 48], {"standard_name": "latitude", "units": "m"})
    ),
    "latitude reaches from": lambda at: opened(at, shifted("lat", [91.0, 90, 89], {"units": "degrees_north"})),
    "values occur more than once": lambda at: opened(at, shifted("lon", [5.0, 6, 6, 7], {"units": "degrees_east"})),
    "another projection": lambda at: opened(at, turned(), turned(first=4, straight_vertical_longitude_from_pole=20.0)),
    "another earth": lambda at: opened(at, on_earth(6371229.0), on_earth(6378137.0, first=4)),
    "one of two has": lambda at: opened(at, turned(), turned(first=4, mapped=False)),
    "allowed is 1/1000 of the spacing": lambda at: opened(
        at, one(), shifted("lat", [50.1, 49.1, 48.1], {"units": "degrees_north"}, 4)
    ),
    "grid: …: expected units": lambda at: opened(at, turned(), turned(first=4, unit="degrees")),
    "latitude x … longitude": lambda at: opened(
        at,
        one(),
        one(maps(4, 4)[:, :2], first=4) | {"lat": (("lat",), np.array([50.0, 49.0]), {"units": "degrees_north"})},
    ),
    "such as a moving nest": lambda at: opened(at, points(nest=1.0)),
    "of the points differs by": lambda at: opened(at, points(), points(first=4, off=0.5)),
    "are both latitude": lambda at: opened(at, numbered()),
    "staggered; choose": lambda at: opened(at, staggered()),
    "an unstructured mesh": lambda at: opened(at, listed("cell")),
    "a swath": lambda at: opened(at, listed("time", "cell")),
    # levels
    "has plev": lambda at: opened(at, at_level(850.0), at_level(500.0, first=4)),
    "expected plev": lambda at: ingested(at, at_level(850.0), at_level(500.0, first=4)),
    "changes along": lambda at: opened(
        at, one(coordinates="plev") | {"plev": (("time",), np.array([850.0, 850, 500, 500]), {"units": "hPa"})}
    ),
    "the new frames do not say": lambda at: ingested(at, at_level(850.0), at_level(None, first=4)),
    "expected standard_name": lambda at: ingested(at, one(), one(first=4, standard_name="dew_point_temperature")),
    "has cell_methods": lambda at: opened(
        at, one(cell_methods="time: mean"), one(first=4, cell_methods="time: maximum")
    ),
    "have another expver": lambda at: opened(at, one(coordinates="expver") | {"expver": EXPVER}, select={"expver": 1}),
    # GRIB
    "promises … bytes": lambda at: grib(at, FIELD, FIELD[:-60]),
    "does not end with 7777": lambda at: grib(at, FIELD, FIELD[:-4] + b"7778", FIELD),
    "belong to no GRIB message": lambda at: grib(at, FIELD, b"x" * 140, message(fields(1)[0], hour=1)),
    "share their place": lambda at: grib(at, FIELD, message(fields(2)[1], subCentre=3)),
    "several kinds of messages": lambda at: grib(
        at,
        message(fields(1)[0], shortName="t", typeOfLevel="isobaricInhPa", level=850),
        message(fields(1)[0], shortName="t", typeOfLevel="surface", hour=1),
    ),
    "one parameter in several ways": lambda at: grib(
        at,
        FIELD,
        message(fields(1)[0], productDefinitionTemplateNumber=8, stepType="avg", stepRange="0-1", hour=1),
    ),
    "ecCodes calls": lambda at: grib(
        at,
        *(message(fields(1)[0], discipline=0, parameterCategory=20, parameterNumber=n) for n in (201, 202)),
    ),
    "is not one series (stepRange": lambda at: grib(at, *(rained(stepRange=f"0-{hour}") for hour in (1, 2))),
    "have no message, and no values": lambda at: grib(
        at,
        *(message(fields(1)[0], hour=hour, stepRange=step) for hour, step in ((0, 0), (0, 12), (24, 0))),
    ),
    # groups and containers
    "variables lie in groups": lambda at: in_group(at, None),
    "there is no group": lambda at: in_group(at, ["outer:t"]),
    "is named in two groups": lambda at: in_group(at, ["inner/air:t", "outer:t"]),
    "ODIM HDF5": lambda at: hdf5(at, "u1", Conventions="ODIM_H5/V2_3"),
    "is float16": lambda at: hdf5(at, "f2"),
    "a named pipe": pipe,
    "its header promises": cut,
    "got first bytes": lambda at: held(at, "a.nc", b"\x1f\x8b" + bytes(20)),
    # units
    "are no unit that is known": lambda at: opened(at, one(units="banana")),
    "got no units": lambda at: ingested(at, one(), hourly("t", maps(4, 4), {}, first=4)),
    "has units": lambda at: opened(at, one(), one(first=4, units="degC")),
    "as stated": lambda at: opened(at, one(), units={"t": "degC"}),
    # what leaves
    "expected an xarray Dataset": lambda at: simvp.predict(3),  # type: ignore[call-overload]
}


def said_by(quote: str, text: str) -> bool:
    """Whether a quote stands in a text, … for anything."""
    return re.search(".+?".join(map(re.escape, quote.split("…"))), text, re.DOTALL) is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", SAID)
def test_the_page_quotes_what_is_said(words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quotes = [quote for quote in QUOTES if words in quote]
    text = ""
    with caplog.at_level(logging.WARNING):
        try:
            SAID[words](tmp_path)
        except Refusal as refusal:
            text = str(refusal)
    text += caplog.text
    assert [quote for quote in quotes if said_by(quote, text)], f"{words}: not on the page as {text}"


def texts_of_the_code() -> Iterator[str]:
    for room in ("simvp", "datasets", "pipelines"):
        for path in (CHECKOUT / room).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text()))
            yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_every_other_quote_is_a_text_of_the_code() -> None:
    code = re.sub(r"%[sdr]", "\n", "\n".join(texts_of_the_code()))
    others = [quote for quote in QUOTES if not any(words in quote for words in SAID)]
    assert others
    pieces = {piece.strip(): quote for quote in others for piece in re.split("…|; ", quote)}
    assert not {quote: piece for piece, quote in pieces.items() if piece not in code}


def test_a_quote_says_more_than_what_differs() -> None:
    for quote in QUOTES:
        assert max(len(piece) for piece in quote.split("…")) > 8, quote


def test_links_lead_somewhere() -> None:
    text = PAGE.read_text()
    anchors = {re.sub(r"[^a-z ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)}
    for path, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        assert (PAGE.parent / path).exists(), path
        assert path or anchor in anchors, anchor
