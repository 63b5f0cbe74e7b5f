"""What labels, checks and scaling cost beside the network, for one window and for many; memory on large maps."""

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch
import xarray as xr
from torch import Tensor

from performance.report import Goal, Section, Table
from performance.timing import Process, alternate, in_process, ratios, said
from pipelines.training import SIZES, Size
from simvp.contract import Climatology, Forcing, FrameSpec, State, what_was_seen
from simvp.coords import Grid, Step, canonicalise
from simvp.errors import Refusal
from simvp.inference import Forecaster
from simvp.networks import GriddedConfig, GriddedSimVP, SimVPConfig, peak, refuse_beyond, simvp
from simvp.scoring import Baselines

HOUR = Step(seconds=3600)
FORCINGS = ("time_of_day_sin", "time_of_day_cos", "time_of_year_sin", "time_of_year_cos")
PUBLISHED: dict[str, Any] = {"hid_S": 64, "hid_T": 512, "N_S": 4, "N_T": 8}
BARE, PREDICT = "bare network", "simvp.predict"
MANY = 32
SPARE = 1.05  # of the bare network's time
TOLERANCE = 1e-4  # of a departure's standard deviation
WHOLE, PARTS = "all frames at once", "frames in parts"


def measure(folder: Path, *, short: bool = False) -> Section:
    """One window, 32 init times, and domains up to 2,000 x 2,000."""
    published = Case("published", 10, (64, 64), PUBLISHED, forcings=())
    gridded = Case("small", 12, (73, 144), sizes_of("small"), forcings=FORCINGS)
    if short:
        published, gridded = (Case(c.name, 4, (12, 16), sizes_of("tiny"), c.forcings) for c in (published, gridded))
    windows, goals = [], []
    for case, rounds, many_rounds in ((published, 40, 3), (gridded, 40, 5)):
        for inits, count in ((1, rounds), (MANY, many_rounds)):
            row, goal = _beside_the_network(case, 2 if short else inits, 1 if short else count)
            windows.append(row)
            goals += [goal] if case is published else []
    domains, bounded = _large(short)
    return Section(
        title="Predict",
        text=(
            f"`simvp.predict(ds, forecaster)` from a labelled Dataset in memory to a labelled Dataset: checks of "
            "names, units, grid, step, missing and implausible values, scaling, network, scaling back, labels. *Bare "
            "network*: the same float32 network, called in inference mode on the tensor that was prepared "
            f"beforehand. The published network ({_words(PUBLISHED)}) forecasts 10 frames of 1 channel on 64 x 64 from "
            f"10, the `small` one of the gridded pipeline 12 hourly frames on 73 x 144 from 12 with {len(FORCINGS)} "
            f"forcings. {MANY} init times are {MANY} successive ones, whose histories overlap. Weights are random. "
            "Before the timing: both ways give the same values."
        ),
        tables=(
            Table(
                columns=("network", "init times", f"{BARE}, s", f"{PREDICT}, s", "predict / bare", "more per init, ms"),
                rows=tuple(windows),
            ),
            domains,
        ),
        goals=(*goals, bounded),
        notes=(
            "What is left beside the network is mostly xarray: about forty Datasets and variables are made, whatever "
            "their size, so the share falls as the network grows. The weights are hashed for the fingerprint once, "
            "not for every forecast.",
            "Group normalisation sees the whole map, so tiles with an overlap would not give the untiled result. But "
            "encoder and decoder see every frame on its own: without a gradient they take a few frames at a time, one "
            "at 2,000 x 2,000, and the decoder recomputes the spatial shortcut rather than keeping it for all frames. "
            "What needs most then is the translator, at a quarter of the rows and columns, or one frame in the decoder."
            " On grids of more than a few thousand points that is faster too, for the features stay in the cache.",
            f"A domain that does not fit is refused before it is begun: {_refused(short)}",
        ),
    )


@dataclass(frozen=True)
class Case:
    """A forecaster with random weights, whose contract is written down rather than fitted, and data for it."""

    name: str
    frames: int
    shape: tuple[int, int]
    sizes: Mapping[str, Any]
    forcings: tuple[str, ...]

    def dataset(self, inits: int) -> xr.Dataset:
        """Hours of noise around 280 K, as many as `inits` successive init times need."""
        random, count = np.random.default_rng(0), self.frames + inits - 1
        values = np.empty((count, *self.shape), np.float32)
        for frame in values:
            frame[:] = 280 + random.standard_normal(self.shape, np.float32)
        rows, columns = np.linspace(60, 40, self.shape[0]), np.linspace(0, 30, self.shape[1])
        return xr.Dataset(
            {"t2m": (("time", "latitude", "longitude"), values, {"units": "K"})},
            {
                "time": np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(1, "h"),
                "latitude": ("latitude", rows, {"units": "degrees_north"}),
                "longitude": ("longitude", columns, {"units": "degrees_east"}),
            },
        )

    def forecaster(self, ds: xr.Dataset) -> Forecaster:
        """Contract with a climatology by hour, network and baselines."""
        maps = np.full((1, 24, *self.shape), 280, np.float32)
        climatology = Climatology(period="day", step=HOUR, values=maps)
        state = State(
            name="t2m",
            units="K",
            climatology=climatology,
            valid=np.ones(self.shape, bool),
            seen=what_was_seen(ds["t2m"].values[0]),
        )
        spec = FrameSpec(
            state_channels=(state,),
            forcing_channels=tuple(Forcing(name=name) for name in self.forcings),
            grid=Grid.of(canonicalise(ds)[0]),
            step=HOUR,
            calendar="proleptic_gregorian",
            frames_in=self.frames,
            frames_out=self.frames,
            cycle=24,
            lag=None,
            fitted_on={},
        )
        frames: dict[str, Any] = {"frames_in": self.frames, "frames_out": self.frames, "channels_in": spec.n_channels}
        torch.manual_seed(0)
        network = GriddedSimVP(GriddedConfig(network=SimVPConfig(**frames, **self.sizes), states=1)).eval()
        torch.nn.init.normal_(network.network.decoder.readout.weight, std=0.1)  # new, it forecasts nothing
        baselines = Baselines(
            variables=("t2m",),
            step=HOUR,
            cycle=24,
            climatology={"t2m": climatology},
            damping=np.ones((1, self.frames)),
            period="none",
        )
        return Forecaster(spec=spec, network=network, baselines=baselines)


def sizes_of(name: Size) -> dict[str, Any]:
    """Sizes of a network of the gridded pipeline, by name."""
    return dict(zip(("hid_S", "hid_T", "N_S", "N_T", "kernels", "groups"), SIZES[name], strict=True))


def _words(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _beside_the_network(case: Case, inits: int, rounds: int) -> tuple[tuple[str, ...], Goal]:
    """A row of the table, and whether predict stays within its share."""
    ds = case.dataset(inits)
    forecaster = case.forecaster(ds)
    frames = forecaster.spec.to_frames(forecaster.spec.check(ds))
    network = forecaster.network
    assert network is not None
    x = torch.from_numpy(np.stack([frames[start : start + case.frames] for start in range(inits)]))

    def bare() -> Tensor:
        with torch.inference_mode():
            return network(x)

    def predict() -> xr.Dataset:
        return forecaster.predict(ds, init_time=None if inits == 1 else "all")

    departures, forecast = bare().numpy()[:, :, 0], predict()["t2m"].values
    assert np.allclose(forecast, 280 + departures, rtol=0, atol=TOLERANCE), (
        "predict does not give what the network gives"
    )
    timings = alternate({BARE: bare, PREDICT: predict}, repetitions=rounds)
    share = ratios(timings[PREDICT], timings[BARE])
    more = statistics.median(a - b for a, b in zip(timings[PREDICT].seconds, timings[BARE].seconds, strict=True))
    row = (case.name, str(inits), str(timings[BARE]), str(timings[PREDICT]), str(share), f"{more / inits * 1e3:.1f}")
    what = "one window" if inits == 1 else f"{inits} init times at once"
    return row, Goal(
        wanted=f"{case.name}, {what}: at most {SPARE:g} times the bare network",
        found=f"{share} times",
        met=share.median <= SPARE,
    )


def domain(size: Size, side: int, way: str) -> dict[str, float]:
    """For `in_process`: one forecast on side x side; seconds, and bytes held before it and said to be needed."""
    case = Case(size, 12, (side, side), sizes_of(size), FORCINGS)
    ds = case.dataset(1)
    forecaster = case.forecaster(ds)
    window = (1, case.frames, forecaster.spec.n_channels, side, side)
    assert forecaster.network is not None
    expected = peak(forecaster.network, window, torch.device("cpu")) + 2 * 4 * prod((case.frames, side, side))
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    with _taking(way):
        forecaster.predict(ds)
    return {"seconds": time.perf_counter() - start, "before": before, "expected": expected}


@contextmanager
def _taking(way: str) -> Iterator[None]:
    """The network as it is, or with encoder and decoder taking all frames at once."""
    at_once, shortcuts = ({"cpu": 1 << 60}, 1 << 60) if way == WHOLE else ({}, simvp.SHORTCUTS)
    with mock.patch.dict(simvp.AT_ONCE, at_once), mock.patch.object(simvp, "SHORTCUTS", shortcuts):
        yield


def _large(short: bool) -> tuple[Table, Goal]:
    """Domains in processes of their own; the two ways agree on one that has an odd number of rows and columns."""
    case = Case("base", 12, (201, 303), sizes_of("tiny" if short else "base"), FORCINGS)
    ds = case.dataset(1)
    forecaster = case.forecaster(ds)
    forecasts = {}
    for way in (WHOLE, PARTS):
        with _taking(way):
            forecasts[way] = forecaster.predict(ds)["t2m"].values
    away = float(np.abs(forecasts[WHOLE] - forecasts[PARTS]).max())
    assert away <= TOLERANCE, f"frames in parts differ by {away}"

    cases: list[tuple[Size, int, str]] = [("tiny", 40, WHOLE), ("tiny", 40, PARTS)]
    if not short:
        cases = [("small", 1000, WHOLE), ("small", 1000, PARTS), ("small", 2000, PARTS), ("base", 2000, PARTS)]
    done = [(*one, in_process(domain, *one)) for one in cases]
    rows = [
        (f"{size}, {side:,} x {side:,}, {way}", said(process.value["seconds"]), *_gigabytes(process))
        for size, side, way, process in done
    ]
    size, side, _, last = done[-1]
    free = psutil.virtual_memory().total
    took = last.peak - last.value["before"]
    return Table(
        title="Memory of one forecast, 12 frames of 1 channel from 12 frames with 4 forcings, each in its own process",
        columns=("network, domain", "seconds", "data and model, GiB", "more at its peak, GiB", "said beforehand, GiB"),
        rows=tuple(rows),
    ), Goal(
        wanted="2,000 x 2,000 in bounded memory, without a seam: equal to the whole result to 1e-4",
        found=f"{size} on {side:,} x {side:,} takes {took / 2**30:.2f} GiB; all frames at once differ by {away:.1g}",
        met=side >= 2000 and took < free and took <= last.value["expected"],
    )


def _gigabytes(process: Process) -> tuple[str, str, str]:
    before, expected = process.value["before"], process.value["expected"]
    return tuple(f"{value / 2**30:.2f}" for value in (before, process.peak - before, expected))  # type: ignore[return-value]


def _refused(short: bool) -> str:
    """The words for a domain that no machine holds."""
    case = Case("paper", 12, (8, 8), sizes_of("tiny" if short else "paper"), FORCINGS)
    forecaster, side = case.forecaster(case.dataset(1)), 40_000
    assert forecaster.network is not None
    try:
        refuse_beyond(forecaster.network, (1, 12, 5, side, side), (1, 12, 1, side, side), torch.device("cpu"))
    except Refusal as refusal:
        return f"*{'. '.join(line.strip() for line in str(refusal).splitlines())}*"
    raise AssertionError(f"{side} x {side} was not refused")
