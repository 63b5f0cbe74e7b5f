"""Ingest of many small NetCDF files, against plain xarray; and one more day into an archive of ten years."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import xarray as xr

from datasets.archive import Archive, stamps_of
from datasets.catalog import FileSource
from performance.report import Goal, Section, Table
from performance.timing import Process, Timing, in_process, ratios, said
from pipelines.home import Home
from pipelines.ingest import ingest

DATASET = "hourly"
SMALL = (4, 6)
START = np.datetime64("2015-01-01", "ns")
HOUR = np.timedelta64(3600, "s").astype("m8[ns]")
EPOCH = int((START - np.datetime64("1900-01-01")) // HOUR)  # the files count in hours from then, as ERA5 does
SCALE, OFFSET = 0.002, 280.0
GIB = 2**30
Run = Callable[..., Process]


def measure(folder: Path, *, short: bool = False) -> Section:
    """Ours and xarray's in turn, each in a fresh process; memory for ten times the files; appends of a day."""
    files, shape, rounds = (24, (9, 12), 1) if short else (1000, (181, 360), 3)
    few, many = folder / "few", folder / "many"
    run = _here if short else in_process
    write_files(few, range(files), shape)
    run(check, str(few), str(folder / "out"))
    ours, theirs, experts = _in_turn(run, few, folder, rounds)
    shutil.rmtree(few)
    write_files(many, range(10 * files), shape)
    most = run(by_ingest, str(many), str(folder / "out"))
    shutil.rmtree(many)
    shutil.rmtree(folder / "out")
    decoded = files * shape[0] * shape[1] * 4
    faster, beside = (ratios(_seconds(other), _seconds(ours)) for other in (theirs, experts))
    peak = max(done.peak for done in ours)
    appends, table = _appends(run, folder, (10, 15) if short else (240, 87_600), 1 if short else 3)
    ten_days, ten_years, whole_folder = appends
    return Section(
        title="Ingest",
        text=TEXT.format(files=files, height=shape[0], width=shape[1], megabytes=decoded / 1e6),
        tables=(
            Table(
                title=f"{files:,} files into a new store",
                columns=("way", "s", "MB/s decoded", "files/s", "peak memory, MiB", "store, MB"),
                rows=(
                    _row("ingest", ours, files, decoded),
                    _row("open_mfdataset, to_zarr", theirs, files, decoded),
                    _row("the same in chunks of 64 times", experts, files, decoded),
                ),
            ),
            Table(
                title="Memory of ingest; the longer source once",
                columns=("files", "s", "MB/s decoded", "files/s", "peak memory, MiB", "store, MB"),
                rows=(
                    _row(f"{files:,}", ours, files, decoded),
                    _row(f"{10 * files:,}", [most], 10 * files, 10 * decoded),
                ),
            ),
            table,
        ),
        goals=(
            Goal(
                wanted="at least 4 times open_mfdataset(...).to_zarr(...) in MB/s",
                found=f"{faster} times",
                met=faster.median >= 4,
            ),
            Goal(
                wanted="at least 2 times what an expert writes, in chunks of 64 times",
                found=f"{beside} times",
                met=beside.median >= 2,
            ),
            Goal(
                wanted="peak memory under 1 GiB, and flat when the files are ten times as many",
                found=f"{peak >> 20} MiB, and {most.peak >> 20} MiB",
                met=max(peak, most.peak) < GIB and most.peak < 1.1 * peak,
            ),
            Goal(
                wanted="one more day costs the same after ten days and after ten years",
                found=(
                    f"{said(ten_days.median)} s and {said(ten_years.median)} s; where all files of the ten years still "
                    f"lie in the folder, {said(whole_folder.median)} s, for the size and time of each are looked at"
                ),
                met=ten_years.median < 1.25 * ten_days.median,
            ),
        ),
        notes=NOTES,
    )


def by_ingest(source: str, out: str) -> int:
    """The whole ingest: listed, recognised, checked, hashed, committed and synced. Returns bytes on the disk."""
    ingest(Home(out), DATASET, source=source)
    return _size(out)


def by_xarray(source: str, out: str) -> int:
    """What a user would write."""
    with xr.open_mfdataset(sorted(map(str, Path(source).iterdir()))) as ds:
        ds.to_zarr(out)
    return _size(out)


def by_expert(source: str, out: str) -> int:
    """What who knows Zarr would write: chunks that a training can read, and the encoding of the files left behind."""
    with xr.open_mfdataset(sorted(map(str, Path(source).iterdir()))) as ds:
        ds.chunk(time=64).drop_encoding().to_zarr(out)
    return _size(out)


def check(source: str, out: str) -> None:
    """All ways once: they give the same values."""
    by_ingest(source, f"{out}/ours")
    by_xarray(source, f"{out}/theirs")
    by_expert(source, f"{out}/expert")
    ours = Archive(Home(f"{out}/ours").archive(DATASET)).dataset()
    for theirs in (xr.open_zarr(f"{out}/theirs"), xr.open_zarr(f"{out}/expert")):
        assert np.array_equal(ours["time"], theirs["time"]), "the stores differ in their times"
        for at in range(0, ours.sizes["time"], 100):
            mine, other = (ds["t2m"][at : at + 100].values for ds in (ours, theirs))
            assert np.allclose(mine, other, rtol=2e-7, atol=0), "the stores differ by more than float32 rounds"
    shutil.rmtree(out)


def days(root: str, count: int) -> list[float]:
    """Seconds of one more day of files in the folder, again and again, and then of a look that finds nothing new."""
    home, source = Home(Path(root) / "home"), Path(root) / "source"
    waiting = sorted((Path(root) / "waiting").iterdir())
    seconds = []
    for day in range(count):
        for file in waiting[24 * day : 24 * (day + 1)]:
            file.rename(source / file.name)
        seconds.append(_timed(lambda: ingest(home, DATASET)))
    return [*seconds, _timed(lambda: ingest(home, DATASET))]


def write_files(folder: Path, hours: range, shape: tuple[int, int]) -> None:
    """Hourly files as ERA5 comes, one time each, packed: one is written, and times and values are put into copies."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / _name(0)
    with netCDF4.Dataset(model, "w") as file:
        _describe(file, shape)
        file["t2m"][:] = 1
    with h5py.File(model) as file:
        at_time, at_values = (file[name].id.get_offset() for name in ("time", "t2m"))
    data = bytearray(model.read_bytes())
    model.unlink()
    for hour, values in zip(hours, _values(hours, shape), strict=True):
        data[at_time : at_time + 4] = np.array(EPOCH + hour, "<i4").tobytes()
        data[at_values : at_values + values.nbytes] = values.tobytes()
        (folder / _name(hour)).write_bytes(data)
        os.utime(folder / _name(hour), (hour, hour))  # not of just now: a file that is still young is read again


def _in_turn(run: Run, source: Path, folder: Path, rounds: int) -> list[list[Process]]:
    """What each way took: ours, a user's, an expert's."""
    done: dict[Callable[..., int], list[Process]] = {by_ingest: [], by_xarray: [], by_expert: []}
    for number in range(rounds):
        for way in list(done) if number % 2 == 0 else reversed(done):
            done[way].append(run(way, str(source), str(folder / "out")))
            shutil.rmtree(folder / "out")
    return list(done.values())


def _appends(run: Run, folder: Path, lengths: tuple[int, int], rounds: int) -> tuple[list[Timing], Table]:
    short, long = lengths
    cases = {"ten days": (short, short), "ten years": (long, short), "ten years, all files in the folder": (long, long)}
    count = 2 if rounds == 1 else 3
    for number, (length, files) in enumerate(cases.values()):
        _grown(folder / str(number), length, files, waiting=24 * count * rounds)
    spent: list[list[float]] = [[] for _ in cases]
    looks: list[list[float]] = [[] for _ in cases]
    for turn in range(rounds):
        for number in range(len(cases)) if turn % 2 == 0 else reversed(range(len(cases))):
            _, *timed, look = run(days, str(folder / str(number)), count).value
            spent[number] += timed
            looks[number].append(look)
    for number, (length, _) in enumerate(cases.values()):
        kept = Archive(Home(folder / str(number) / "home").archive(DATASET)).dataset()["t2m"]
        expected = frames(range(length, length + 24 * count * rounds))["t2m"]
        assert np.array_equal(kept[length:], expected), "the appended days are not those of the files"
    rows = [
        (name, f"{length:,}", f"{files:,}", str(Timing(tuple(seconds))), str(Timing(tuple(look))))
        for (name, (length, files)), seconds, look in zip(cases.items(), spent, looks, strict=True)
    ]
    columns = ("archive", "frames", "files in the folder", "one more day, s", "nothing new, s")
    title = f"24 more files, {SMALL[0]} x {SMALL[1]}"
    return [Timing(tuple(seconds)) for seconds in spent], Table(title=title, columns=columns, rows=tuple(rows))


def _grown(root: Path, length: int, files: int, waiting: int) -> None:
    """An archive as daily ingests would have left it, without as many ingests; its last files, and files to come."""
    source = root / "source"
    write_files(source, range(length - files, length), SMALL)
    write_files(root / "waiting", range(length, length + waiting), SMALL)
    home = Home(root / "home")
    archive = Archive(home.archive(DATASET))
    head = archive.append(frames(range(length)), source_settings={"source": str(source)})
    taken_in = FileSource(source=str(source))
    archive.manifest(home.manifests(DATASET), taken_in.settings).add(stamps_of(taken_in.files()), {}, head)


def frames(hours: range) -> xr.Dataset:
    """What the small files of these hours hold, canonical."""
    packed = np.stack(list(_values(hours, SMALL)))
    latitude, longitude = _axes(SMALL)
    names = ("latitude", "longitude")
    attrs = {"latitude": {"units": "degrees_north"}, "longitude": {"units": "degrees_east"}}
    return xr.Dataset(
        {"t2m": (("time", *names), (packed * SCALE + OFFSET).astype("f4"), {"units": "K"})},
        coords={
            "time": START + np.array(hours) * HOUR,
            "latitude": ("latitude", latitude, attrs["latitude"]),
            "longitude": ("longitude", longitude, attrs["longitude"]),
        },
    )


def _describe(file: netCDF4.Dataset, shape: tuple[int, int]) -> None:
    latitude, longitude = _axes(shape)
    for name, size in zip(("time", "latitude", "longitude"), (1, *shape), strict=True):
        file.createDimension(name, size)
        variable = file.createVariable(name, "i4" if name == "time" else "f4", (name,))
        variable.long_name = name
    file["time"].setncatts({"units": "hours since 1900-01-01 00:00:00.0", "calendar": "gregorian"})
    file["latitude"].units, file["longitude"].units = "degrees_north", "degrees_east"
    file["time"][:], file["latitude"][:], file["longitude"][:] = 0, latitude, longitude
    variable = file.createVariable("t2m", "i2", ("time", "latitude", "longitude"), fill_value=-32767)
    variable.set_auto_maskandscale(False)
    variable.setncatts({"scale_factor": SCALE, "add_offset": OFFSET, "missing_value": np.int16(-32767)})
    variable.setncatts({"units": "K", "long_name": "2 metre temperature"})


def _axes(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    height, width = shape
    return np.linspace(90, -90, height, dtype="f4"), np.linspace(0, 360, width, endpoint=False, dtype="f4")


def _values(hours: range, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) int16 of each hour: warm at the equator, a daily wave, and noise of 0.3 K."""
    latitude, longitude = (np.deg2rad(axis) for axis in _axes(shape))
    noise = np.random.default_rng(0).normal(scale=0.3, size=(97, *shape))
    for hour in hours:
        wave = 5 * np.cos(longitude - 2 * np.pi * hour / 24) * np.cos(latitude)[:, None]
        field = 25 * np.cos(latitude)[:, None] - 15 + wave + noise[hour % 97]
        yield np.rint(field / SCALE).astype("<i2")


def _row(name: str, done: Sequence[Process], files: int, decoded: int) -> tuple[str, ...]:
    seconds = _seconds(done)
    peak = statistics.median(one.peak for one in done)
    return (
        name,
        str(seconds),
        said(decoded / 1e6 / seconds.median),
        said(files / seconds.median),
        said(peak / 2**20),
        said(done[0].value / 1e6),
    )


def _seconds(done: Sequence[Process]) -> Timing:
    return Timing(tuple(one.seconds for one in done))


def _here(call: Callable[..., object], *arguments: object) -> Process:
    """As `in_process`, in this one."""
    start = time.perf_counter()
    value = call(*arguments)
    return Process(seconds=time.perf_counter() - start, peak=0, before=0, value=value)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _name(hour: int) -> str:
    return f"t2m_{hour:06d}.nc"


TEXT = (
    "Hourly NetCDF4 files as ERA5 comes: one time each, {height} x {width}, int16 with `scale_factor`, `add_offset` "
    "and a fill value, the same in all files; {files:,} of them, {megabytes:.0f} MB when decoded to float32. *ingest* "
    "is all that the flow does: a new archive, every value checked, every file and every frame hashed (SHA-256), "
    "committed in blocks that are synced to the disk. *open_mfdataset, to_zarr* is "
    "`xr.open_mfdataset(paths).to_zarr(path)` with default settings, which syncs and checks nothing; an expert's "
    "version of it has `.chunk(time=64).drop_encoding()` in between. Each run in a fresh process, in turn, after one "
    "of each that does not count and that shows all stores to hold the same values to float32 rounding. The files "
    "were in the page cache. One more day: 24 files appear in a folder of which "
    "all others were taken in, and `ingest` is asked again; the archives of ten days and ten years were made by long "
    "appends, and their files noted as read, instead of by as many ingests."
)
NOTES = (
    "The stores differ. Ours holds float32, since packed files may each have a scale of their own, in chunks of up to "
    "64 frames and 2 MiB (Blosc: shuffle, LZ4). xarray packs again to int16 by the scale of the first file, one time a "
    "chunk (zstd); files with other scales would lose digits, or wrap around.",
    "What limits ours: a file is opened twice by the NetCDF library, once for its header, times and grid and once for "
    "its values; decoding, hashing, compressing and syncing are most of the rest. A source of up to 256 MiB is kept in"
    " memory between its check and its writing; a longer one is read twice, and needs less memory.",
    "What grows with the folder is a look at the size and the time of change of each file, and the reading of the "
    "manifest.",
)
