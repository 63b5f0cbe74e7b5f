"""Windows for training: how fast they come, in and out of memory, and whether training waits for them."""

import math
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from datasets.archive import Archive
from performance.report import Goal, Section, Table
from performance.timing import Process, Timing, alternate, in_process, ratios, said
from pipelines.training import Score, TrainConfig, TrainingLoop, build_network, keep_freed_memory
from pipelines.windows import Frames, Sequences, prefetched
from simvp.contract import FrameSpec
from simvp.coords import Step

T, LEADS, SIDE = 12, 12, 64
BATCH = 16
MEMORY = 24 << 20  # bytes, of 125 MiB
CHUNK = 64  # frames, of the plain store
BARE, ALIKE = "torch DataLoader over the array", "the same, normalised, with the time of day"
FAST = 2000  # windows a second that a GPU takes


def measure(folder: Path, *, short: bool = False) -> Section:
    """Windows a second of each way, memory of ours beyond memory, and the share of time that training waits."""
    frames = 400 if short else 8000
    ds = _world(frames)
    Archive(folder / "archive.zarr").append(ds, step=Step.parse("1h"))
    plain = folder / "plain.zarr"
    ds.chunk(time=CHUNK).to_zarr(plain, zarr_format=3, consolidated=False)
    memory = 1 << 20 if short else MEMORY
    ours, beyond = (_sequences(folder / "archive.zarr", size) for size in (2 << 30, memory))
    random = np.random.default_rng(0)
    starts = random.permutation(frames - T - LEADS + 1)
    ways: dict[str, Callable[[], Any]] = {
        "simvp, in memory": lambda: _pass(ours, 20 * BATCH if short else 4000),
        f"simvp, {memory >> 20} MiB of {ds.nbytes >> 20} MiB": lambda: _pass(beyond, len(beyond)),
        "RAM copy (NumPy)": lambda: _copies(ds["t2m"].values, starts[: 20 * BATCH if short else 4000]),
        BARE: lambda: _loader(_Windows(ds["t2m"].values), 8 if short else 100),
        ALIKE: lambda: _loader(_Prepared(ds["t2m"].values), 8 if short else 100),
        "xarray, one window at a time": lambda: _isel(plain, starts[: 4 * BATCH if short else 320]),
        "xbatcher, shuffled DataLoader": lambda: _xbatcher(plain, 4 if short else 20),
    }
    _check(ds, ours, beyond, plain)
    counts = {name: way() for name, way in ways.items()}
    timings = alternate(ways, repetitions=1 if short else 5)
    each = {name: Timing(tuple(s / counts[name] for s in timing.seconds)) for name, timing in timings.items()}
    speeds = {name: Timing(tuple(1 / s for s in timing.seconds)) for name, timing in each.items()}
    xbatcher = "xbatcher, shuffled DataLoader"
    rows = tuple((name, str(speed), str(ratios(each[xbatcher], each[name]))) for name, speed in speeds.items())
    inside, outside = list(speeds)[:2]
    times = ratios(each[xbatcher], each[outside])
    bare, alike = (ratios(each[name], each[inside]) for name in (BARE, ALIKE))
    fast = in_process(fast_network, str(folder / "archive.zarr"), 4 if short else 250)
    longer = folder / "longer.zarr"
    _append_blocks(longer, 4 * frames)
    peaks = [in_process(read_beyond, str(path), memory) for path in (folder / "archive.zarr", longer)]
    waits = {
        name: in_process(waiting, str(folder / "archive.zarr"), size, 3 if short else 60)
        for name, size in (("in memory", 2 << 30), ("beyond memory", memory))
    }
    shares = {name: done.value[0] / done.value[1] for name, done in waits.items()}
    return Section(
        title="Windows",
        text=(
            f"Windows of ({T + LEADS}, 1, {SIDE}, {SIDE}) float32 in random order, {BATCH} at a time, from {frames:,} "
            f"frames. *simvp*: `pipelines.windows.Sequences` on the archive, normalised, with the two channels of the "
            "time of day that the contract adds; in memory after the first pass over the frames, and as one whole pass "
            f"with {memory >> 20} MiB for frames. The others read a plain Zarr store in chunks of {CHUNK} frames "
            "without dask, or the array in memory, and do not normalise, but for the row that says so: with it a "
            "window has three channels instead of one, and twice the bytes. xbatcher as its documentation shows it: a "
            "`BatchGenerator`, its `MapDataset`, and a shuffled `DataLoader`. Before the timing: the same windows "
            "have the same values in all."
        ),
        tables=(
            Table(columns=("way", "windows a second", "times xbatcher"), rows=rows),
            Table(
                title="A pass beyond memory",
                columns=("frames", "peak memory above the start, MiB", "seconds"),
                rows=tuple(_peak_row(n, done) for n, done in zip((frames, 4 * frames), peaks, strict=True)),
            ),
            Table(
                title="Training of the `tiny` network, float32",
                columns=("frames", "seconds", "of these waiting for data", "share"),
                rows=tuple(
                    (name, said(done.value[1]), said(done.value[0]), f"{100 * shares[name]:.1f} %")
                    for name, done in waits.items()
                ),
            ),
        ),
        goals=(
            Goal(
                wanted="at least 4,000 windows a second in memory",
                found=str(speeds[inside]),
                met=speeds[inside].median >= 4000,
            ),
            Goal(
                wanted="in memory at least the rate of a plain DataLoader over the array, normalised and with forcings",
                found=f"{alike} times; of one that does neither {bare} times, with half the bytes",
                met=alike.median >= 1,
            ),
            Goal(
                wanted=f"a network that takes {FAST:,} windows a second waits less than 2 % of its time",
                found=f"{100 * fast.value[0] / fast.value[1]:.1f} %",
                met=fast.value[0] < 0.02 * fast.value[1],
            ),
            Goal(wanted="at least 3 times xbatcher beyond memory", found=f"{times} times", met=times.median >= 3),
            Goal(
                wanted="training waits for data less than 2 % of its time",
                found=", ".join(f"{100 * share:.1f} % {name}" for name, share in shares.items()),
                met=max(shares.values()) < 0.02,
            ),
        ),
    )


def _world(frames: int, first: int = 0) -> xr.Dataset:
    """Noise on a daily wave, hourly, on a regular grid."""
    hours = np.arange(first, first + frames)
    values = np.random.default_rng(first).standard_normal((frames, SIDE, SIDE), dtype=np.float32)
    values += 280 + 5 * np.sin(2 * np.pi * hours / 24).astype("f4")[:, None, None]
    times = np.datetime64("2020-01-01", "ns") + hours * np.timedelta64(1, "h")
    coords = {
        "time": times,
        "latitude": ("latitude", np.linspace(60, 44.25, SIDE), {"units": "degrees_north"}),
        "longitude": ("longitude", np.linspace(0, 15.75, SIDE), {"units": "degrees_east"}),
    }
    return xr.Dataset({"t2m": (("time", "latitude", "longitude"), values, {"units": "K"})}, coords)


def _append_blocks(path: Path, frames: int) -> None:
    for first in range(0, frames, 2000):
        Archive(path).append(_world(min(2000, frames - first), first), step=Step.parse("1h"))


def _spec(ds: xr.Dataset) -> FrameSpec:
    times = ds["time"].values
    return FrameSpec.fit(
        ds, frames_in=T, frames_out=LEADS, train=[(times[0], times[min(len(times), 240) - 1])], cycle=24
    )


def _sequences(path: Path, memory: int) -> Sequences:
    ds = Archive(path).dataset()
    spec = _spec(ds)
    return Sequences(Frames(ds, spec, memory=memory), np.arange(T - 1, ds.sizes["time"] - LEADS), spec)


def _pass(windows: Sequences, count: int) -> int:
    for indices in windows.shuffled(BATCH, seed=1, first=0, count=math.ceil(count / BATCH)):
        windows.batch(indices)
    return math.ceil(count / BATCH) * BATCH


def _copies(values: np.ndarray, starts: np.ndarray) -> int:
    for at in range(0, len(starts), BATCH):
        values[starts[at : at + BATCH, None] + np.arange(T + LEADS)]
    return len(starts)


class _Windows(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, values: np.ndarray) -> None:
        self.values = torch.from_numpy(values)

    def __len__(self) -> int:
        return len(self.values) - T - LEADS + 1

    def __getitem__(self, start: int) -> torch.Tensor:
        return self.values[start : start + T + LEADS]


class _Prepared(_Windows):
    """What a training needs of it: standardised, and with sine and cosine of the time of day beside it.

    In NumPy: PyTorch would share so small a sum among threads, and wait for them.
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)
        self.fields, self.mean, self.deviation = values, values.mean(), values.std()
        turn = 2 * np.pi * (np.arange(len(values))[:, None] / 24 + np.linspace(0, 15.75, SIDE) / 360)
        self.waves = np.stack([np.sin(turn), np.cos(turn)], 1).astype("f4")[:, :, None]  # (N, 2, 1, W)

    def __getitem__(self, start: int) -> torch.Tensor:
        window = np.empty((T + LEADS, 3, SIDE, SIDE), "f4")
        window[:, 0] = (self.fields[start : start + T + LEADS] - self.mean) / self.deviation
        window[:, 1:] = self.waves[start : start + T + LEADS]
        return torch.from_numpy(window)


def _loader(windows: _Windows, batches: int) -> int:
    loader = iter(torch.utils.data.DataLoader(windows, batch_size=BATCH, shuffle=True))
    return sum(len(next(loader)) for _ in range(batches))


def _isel(path: Path, starts: np.ndarray) -> int:
    field = xr.open_zarr(path, chunks=None, consolidated=False)["t2m"]
    for start in starts:
        field.isel(time=slice(int(start), int(start) + T + LEADS)).values  # noqa: B018
    return len(starts)


def _generator(path: Path) -> Any:
    import xbatcher

    ds = xr.open_zarr(path, chunks=None, consolidated=False)
    sizes = {"time": T + LEADS, "latitude": SIDE, "longitude": SIDE}
    return xbatcher.BatchGenerator(ds, input_dims=sizes, input_overlap={"time": T + LEADS - 1})


def _xbatcher(path: Path, batches: int) -> int:
    from xbatcher.loaders.torch import MapDataset

    loader = iter(torch.utils.data.DataLoader(MapDataset(_generator(path)), batch_size=BATCH, shuffle=True))
    return sum(len(next(loader)) for _ in range(batches))


def _check(ds: xr.Dataset, ours: Sequences, beyond: Sequences, plain: Path) -> None:
    """All ways give the same windows."""
    generator, values = _generator(plain), ds["t2m"].values
    spec = ours._spec
    for start in (0, 37, len(ours) - 1):
        expected = values[start : start + T + LEADS]
        x, y, _ = ours.batch(np.array([start]))
        for one, other in zip(ours.batch(np.array([start])), beyond.batch(np.array([start])), strict=True):
            assert np.array_equal(one, other), "windows in and beyond memory differ"
        window = np.concatenate([x[0, :, 0], y[0, :, 0]])
        times = ds["time"].values[start : start + T + LEADS]
        assert np.allclose(spec.state_channels[0].denormalise(window, times), expected, atol=1e-3), "our windows differ"
        assert np.array_equal(generator[start]["t2m"].values.squeeze(), expected), "xbatcher's windows differ"
        assert np.array_equal(_Windows(values)[start].numpy(), expected), "the loader's windows differ"


def read_beyond(path: str, memory: int) -> int:
    """One pass over all windows."""
    windows = _sequences(Path(path), memory)
    return _pass(windows, len(windows))


def waiting(path: str, memory: int, updates: int) -> list[float]:
    """Seconds that updates waited for batches, and their seconds in all."""
    windows = _sequences(Path(path), memory)
    config = TrainConfig(dataset="windows", size="tiny", epochs=1, epoch_updates=updates, batch_size=BATCH)
    spec = windows._spec
    loop = TrainingLoop(build_network(spec, config), config, windows, spec.weights, precision="float32")
    marks: list[float] = []
    loop.run(lambda average: Score(loss=0.0), on_batch=lambda loop: marks.append(time.perf_counter()))
    # Since the first batch was there: before it nothing could be done ahead.
    first = statistics.median(np.diff(marks))
    return [loop.waited, marks[-1] - marks[0] + float(first)]


def fast_network(path: str, batches: int) -> list[float]:
    """Seconds that a network waits for its batches which takes each of them `FAST` windows a second, and all seconds.

    It sleeps, as a processor does that waits for a GPU.
    """
    windows = _sequences(Path(path), 2 << 30)
    keep_freed_memory()  # as in every training
    order = windows.shuffled(BATCH, seed=1, first=0, count=batches)
    waited = 0.0
    with closing(prefetched(partial(windows.batch, indices) for indices in order)) as ready:
        next(ready)  # before it nothing could be done ahead
        start = time.perf_counter()
        for _ in range(batches - 1):
            time.sleep(BATCH / FAST)
            mark = time.perf_counter()
            next(ready)
            waited += time.perf_counter() - mark
    return [waited, time.perf_counter() - start]


def _peak_row(frames: int, done: Process) -> tuple[str, str, str]:
    return f"{frames:,}", f"{(done.peak - done.before) / 2**20:.0f}", said(done.seconds)
