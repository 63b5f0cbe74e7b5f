"""How time and memory of every stage grow with the length of the archive."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.archive import Archive
from datasets.simulated import SimulatedWeather
from performance.report import Goal, Section, Table
from performance.timing import Process, Timing, in_process, said
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.tracking import CHECKOUT
from pipelines.training import Score, TrainConfig, TrainingLoop, build_network, fit_start
from pipelines.verify import verify
from pipelines.windows import Frames, Sequences, find_windows
from simvp.contract import FrameSpec
from simvp.inference import Forecaster
from simvp.scoring import Baselines

DATASET = "growth"
SHAPE = (16, 16)
DAYS = 10  # at 1x, one file each
FRAMES_IN, FRAMES_OUT = 12, 6
MEMORY = 32 << 20  # for frames in training, bytes: 100x does not fit
BATCH = 32
PICTURE = "benchmark-growth.png"
STEEP = 1.1  # an exponent up to this is called linear


def measure(folder: Path, *, short: bool = False) -> Section:
    """Every stage at 1x, 10x and 100x frames, each in a process of its own."""
    scales = {1: 1, 2: 1} if short else {1: 3, 10: 3, 100: 2}
    processes: dict[str, dict[int, list[Process]]] = {stage.__name__: {} for stage in STAGES}
    for number in range(max(scales.values())):
        for scale, rounds in scales.items():
            if number < rounds:
                root = folder / f"{scale}-{number}"
                write_days(root / "source", scale * DAYS)
                for stage in STAGES:
                    done = in_process(stage, str(root))
                    processes[stage.__name__].setdefault(scale, []).append(done)
    if not short:
        _draw(processes, CHECKOUT / "docs" / PICTURE)
    base, most = list(scales)[-2:]
    slopes = {name: _slope(by, base, most) for name, by in processes.items()}
    rows = [
        (name.replace("_", " "), *(_cell(by[scale]) for scale in scales), f"{slopes[name]:.2f}")
        for name, by in processes.items()
    ]
    steepest = max(slopes, key=lambda name: slopes[name])
    flat = max(_peak(by[most]) - _peak(by[base]) for by in processes.values())
    return Section(
        title="Growth with the archive",
        text=(
            f"Simulated hourly weather, {SHAPE[0]} x {SHAPE[1]}, one NetCDF file a day: {DAYS * 24} frames (1x) and "
            "multiples. *ingested*: all files into a new archive. *windows*: contract, frames and list of windows, "
            f"and every window read once in random order, {BATCH} at a time, frames in at most {MEMORY >> 20} MiB. "
            "*epoch*: the same, and as many updates of the `tiny` network as there are batches. "
            f"*forecasts*: hindcasts of {FRAMES_OUT} h from "
            "two init times a day. *verification*: their scores, those of the five baselines, table and pictures. "
            "Seconds of the stage, and peak memory of its process."
        ),
        tables=(
            Table(columns=("stage", *(f"{scale}x" for scale in scales), "exponent of the last step"), rows=tuple(rows)),
        ),
        goals=(
            Goal(
                wanted=f"no stage grows faster than linearly (exponent {STEEP} or less)",
                found=f"steepest {steepest.replace('_', ' ')}, {slopes[steepest]:.2f}",
                met=slopes[steepest] <= STEEP,
            ),
            Goal(
                wanted=f"peak memory from {base}x to {most}x grows by less than 200 MiB in every stage",
                found=f"at most {flat / 2**20:.0f} MiB",
                met=flat < 200 * 2**20,
            ),
        ),
        pictures={} if short else {PICTURE: "Time and memory of every stage against the number of frames, log-log"},
    )


def write_days(folder: Path, days: int) -> None:
    """One file a day."""
    world = SimulatedWeather(shape=SHAPE, noise_std=0.2).dataset(frames=24 * days)
    folder.mkdir(parents=True)
    for start in range(0, days, 100):
        block = world.isel(time=slice(24 * start, 24 * (start + 100))).load()
        for day in range(block.sizes["time"] // 24):
            block.isel(time=slice(24 * day, 24 * day + 24)).to_netcdf(folder / f"day{start + day:05}.nc")


def ingested(root: str) -> None:
    """All files into a new archive."""
    ingest(Home(Path(root) / "home"), DATASET, source=Path(root) / "source")


def windows(root: str) -> int:
    """Every window read once."""
    _, training = _windows(root)
    for indices in training.shuffled(BATCH, seed=0, first=0, count=math.ceil(len(training) / BATCH)):
        training.batch(indices)
    return len(training)


def epoch(root: str) -> None:
    """As many updates as there are batches."""
    spec, training = _windows(root)
    config = TrainConfig(
        dataset=DATASET, size="tiny", epochs=1, batch_size=BATCH, epoch_updates=math.ceil(len(training) / BATCH)
    )
    network = build_network(spec, config)
    fit_start(network, training, spec, BATCH)
    loop = TrainingLoop(network, config, training, spec.weights, precision="float32")
    loop.run(lambda average: Score(loss=0.0))


def forecasts(root: str) -> None:
    """Hindcasts from two init times a day, by a network with random weights."""
    home = Home(Path(root) / "home")
    ds = Archive(home.archive(DATASET)).dataset()
    spec = _spec(ds)
    network = build_network(spec, TrainConfig(dataset=DATASET, size="tiny"))
    baselines = Baselines.fit(
        ds.isel(time=slice(0, 24 * DAYS)),
        variables=spec.states,
        step=spec.step,
        cycle=spec.cycle,
        leads=FRAMES_OUT,
        period=_period(ds),
        weights=spec.weights,
    )
    Forecaster(spec=spec, network=network.eval(), baselines=baselines).save(_model(root))
    times = ds["time"].values
    forecast(home, DATASET, model=_model(root), hindcast=(times[0], times[-1]), init_hours=[0, 12])


def verification(root: str) -> None:
    """Scores of the hindcasts."""
    verify(Home(Path(root) / "home"), DATASET, kind="hindcasts", model=_model(root))


STAGES = (ingested, windows, epoch, forecasts, verification)


def _model(root: str) -> Path:
    return Path(root) / "model.safetensors"


def _period(ds: Any) -> list[tuple[Any, Any]]:
    times = ds["time"].values
    return [(times[0], times[24 * DAYS - 1])]


def _spec(ds: Any) -> FrameSpec:
    """Of the first days, whatever follows them."""
    return FrameSpec.fit(ds, frames_in=FRAMES_IN, frames_out=FRAMES_OUT, train=_period(ds), cycle=24)


def _windows(root: str) -> tuple[FrameSpec, Sequences]:
    torch.manual_seed(0)
    ds = Archive(Home(Path(root) / "home").archive(DATASET)).dataset()
    spec = _spec(ds)
    frames = Frames(ds, spec, memory=MEMORY)
    times = ds["time"].values
    inits, _ = find_windows(
        times,
        np.asarray(ds["present"].values, bool),
        spec.step,
        FRAMES_IN,
        FRAMES_OUT,
        [(times[0], times[-1])],
        "train",
        complete=frames.usable,
    )
    return spec, Sequences(frames, inits, spec)


def _seconds(done: list[Process]) -> float:
    return statistics.median(one.seconds for one in done)


def _peak(done: list[Process]) -> float:
    return statistics.median(one.peak for one in done)


def _cell(done: list[Process]) -> str:
    return f"{Timing(tuple(one.seconds for one in done))} s, {said(_peak(done) / 2**20)} MiB"


def _slope(by: dict[int, list[Process]], base: int, most: int) -> float:
    """Exponent p of time ~ frames ** p between two scales."""
    return math.log(_seconds(by[most]) / _seconds(by[base])) / math.log(most / base)


def _draw(processes: dict[str, dict[int, list[Process]]], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, by in processes.items():
        frames = [scale * DAYS * 24 for scale in by]
        left.plot(frames, [_seconds(done) for done in by.values()], "o-", label=name)
        right.plot(frames, [_peak(done) / 2**20 for done in by.values()], "o-", label=name)
    ends = np.array([min(frames), max(frames)])
    left.plot(ends, ends / ends[0] * 0.1, "k:", label="linear")
    for axes, label in ((left, "seconds"), (right, "peak memory, MiB")):
        axes.set(xscale="log", yscale="log", xlabel="frames", ylabel=label)
        axes.grid(which="both", alpha=0.3)
    right.set_ylim(bottom=100)
    right.yaxis.set_major_formatter(ScalarFormatter())
    right.yaxis.set_minor_formatter(ScalarFormatter())
    left.legend(fontsize="small")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
