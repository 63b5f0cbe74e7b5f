"""What a commit costs after few and after many: in a folder, on an object store, and beside plain xarray."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import xarray as xr

import simvp
from datasets.archive import Archive
from performance.ingest import frames
from performance.report import Goal, Section, Table
from performance.timing import Timing, alternate, said
from simvp.coords import Step

KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
COLUMNS = ("commits", "open, ms", "open and read one frame, ms", "list of all commits, ms", "one frame more, ms")


def measure(folder: Path, *, short: bool = False) -> Section:
    """Archives of 10, 1,000 and 10,000 commits of a frame each; then what one more costs, and elsewhere."""
    counts, repetitions = ((2, 4), 1) if short else ((10, 1_000, 10_000), 9)
    archives = {count: grown(folder / f"{count}.zarr", count) for count in counts}
    rows, opened = [], {}
    for count, archive in archives.items():
        assert len(archive.log()) == count, "not every append was a commit"
        timed = alternate(_ways(archive), repetitions=repetitions)
        opened[count] = timed["open"]
        rows.append((f"{count:,}", *map(_ms, timed.values())))
    few, many = counts[0], counts[-1]
    return Section(
        title="Commits",
        text=TEXT,
        tables=(
            Table(title="Archive in a folder", columns=COLUMNS, rows=tuple(rows)),
            Table(
                title=f"One frame more, after {few:,}",
                columns=("way", "ms"),
                rows=tuple((way, _ms(timing)) for way, timing in _elsewhere(folder, few, repetitions).items()),
            ),
        ),
        goals=(
            Goal(
                wanted=f"opening after {many:,} commits takes no more than 50 ms longer than after {few:,}",
                found=f"{_ms(opened[few])} and {_ms(opened[many])} ms",
                met=opened[many].median < opened[few].median + 0.05,
            ),
        ),
        notes=NOTES,
    )


def grown(place: Path | str, count: int) -> Archive:
    """An archive that took `count` commits of a frame each."""
    archive = Archive(place)
    archive.append(frames(range(1)), step=Step.parse("1h"))
    for hour in range(1, count):
        archive.append(frames(range(hour, hour + 1)))
    return archive


def _ways(archive: Archive) -> dict[str, Callable[[], object]]:
    place = archive.path
    return {
        "open": lambda: simvp.open_archive(place),
        "read": lambda: simvp.open_archive(place)["t2m"][-1].values,
        "log": lambda: Archive(place).log(),
        "append": _appends(place),
    }


def _appends(place: Path | str) -> Callable[[], object]:
    """What appends the hour that comes next, again and again."""
    return lambda: Archive(place).append(frames(_next(simvp.open_archive(place))))


def _next(ds: xr.Dataset) -> range:
    return range(ds.sizes["time"], ds.sizes["time"] + 1)


def _elsewhere(folder: Path, count: int, repetitions: int) -> dict[str, Timing]:
    """The same append in a folder, to a plain Zarr store, and to a bucket."""
    plain = folder / "plain.zarr"
    frames(range(count)).to_zarr(plain, consolidated=False)

    def to_zarr() -> None:
        with xr.open_zarr(plain, consolidated=False) as ds:
            new = frames(_next(ds))
        new.drop_attrs().to_zarr(plain, append_dim="time", consolidated=False)

    here = grown(folder / "here.zarr", count)
    with _bucket() as address:
        there = grown(f"{address}/there.zarr", count)
        ways = {
            "archive in a folder": _appends(here.path),
            "to_zarr(append_dim=...), nothing checked or synced": to_zarr,
            "archive in a bucket of moto's server on this machine": _appends(there.path),
        }
        timed = alternate(ways, repetitions=repetitions)
        kept = simvp.open_archive(there.path)["t2m"].values
    assert np.array_equal(kept, xr.open_zarr(plain, consolidated=False)["t2m"].values), "the stores differ"
    return timed


@contextmanager
def _bucket() -> Iterator[str]:
    """The address of a bucket on moto's server."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with mock.patch.dict(os.environ, {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}):
        boto3.client("s3").create_bucket(Bucket="bench")
        yield "s3://bench"
    server.stop()


def _ms(timing: Timing) -> str:
    each = [said(1e3 * seconds) for seconds in (timing.median, min(timing.seconds), max(timing.seconds))]
    return "{} ({} .. {})".format(*each)


TEXT = (
    "Archives of hourly maps of 4 x 6 that took one frame with each commit. *open*: `simvp.open_archive`. *one frame "
    "more*: opened, checked, digested, committed and synced. In one process, after a first time that does not count."
)
NOTES = (
    "A commit writes a snapshot, a log of what changed, the lists of the chunks that it touches and these chunks: the "
    "last chunk of each array, in which the frame comes to lie, is read and written again. What opens a repository "
    "reads what main points to and that snapshot, however many lie before it; the list of all commits is what grows.",
)
