"""Somebody's checkpoint on a benchmark: scored as our own networks are, on the test clips that are here."""

import hashlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from datasets.benchmarks import find_benchmark
from pipelines.benchmark.clip_batches import ClipBatches
from pipelines.benchmark.config import EVALUATION_SEED
from pipelines.benchmark.costs import costs_of
from pipelines.benchmark.rows import Row
from pipelines.benchmark.run import BenchmarkReport, keep_rows, report_of
from pipelines.benchmark.scores import NAMES, clip_files, compare, keep_files, processor, rolled_out, row_fields
from pipelines.home import Home
from pipelines.progress import Progress, silent
from pipelines.tracking import Run, open_run
from pipelines.training import choose_device
from simvp.errors import ConfigError
from simvp.networks import SimVP, from_pretrained

TRAINED = "whatever its authors trained it on"


def score_checkpoint(
    home: Home,
    data: str,
    path: Path,
    *,
    N_T: int | None = None,
    test_clips: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> BenchmarkReport:
    """Score a public checkpoint on the test clips of a benchmark, in float32, and add it to the report.

    Parameters
    ----------
    path, N_T
        As `simvp.from_pretrained` takes them; T and C have to be the benchmark's.
    test_clips
        Clips to score, at most; they lie evenly. By default all.
    device, progress
        As in `pipelines.benchmark.run.run_benchmark`.

    Raises
    ------
    SourceError
        No such benchmark, or a file that cannot be read or holds no network of the family.
    ConfigError
        A network for other frames or channels.
    """
    benchmark = find_benchmark(data)
    network, digest = _read(path, N_T)
    sizes = network.config
    expected, got = (benchmark.frames_in, benchmark.shape[0]), (sizes.frames_in, sizes.channels_in)
    if expected != got:
        reason = f"expected T = {expected[0]} frames of {expected[1]} channels, got T = {got[0]} and {got[1]} channels"
        raise ConfigError(f"Checkpoint {path} on {data}", [reason], "take the checkpoint of this benchmark")
    chosen = choose_device(device)
    horizons = dict.fromkeys([benchmark.frames_out, *benchmark.horizons])
    sets = [
        ClipBatches(benchmark.open("test", frames_out=horizon, seed=EVALUATION_SEED, device=str(chosen)), test_clips)
        for horizon in horizons
    ]
    key = hashlib.sha256(f"{digest} {sizes.N_T} {[(len(one), one.clips.origin) for one in sets]}".encode()).hexdigest()
    method = f"{NAMES[sizes.variant]}, checkpoint {path.name}"
    rows: list[Row] = []
    folder = home.benchmarks / benchmark.name
    with open_run(home, f"benchmark-{benchmark.name}", key) as run:
        run.log_settings({"checkpoint": path.name, "sha256": digest, "network": sizes.to_dict()}, {"benchmark": data})
        for batches in sets:
            horizon = batches.clips.frames_out
            progress(f"scoring {path.name}, T' = {horizon}", 0, 0)
            longer = rolled_out(network, horizon, chosen)
            rows += _rows(run, longer, batches, method, f"sha256 {digest[:8]}")
            if batches is sets[0]:
                keep_files(run, clip_files(longer, batches, method), folder / "pictures" / key[:16])
    finished = keep_rows(folder / "rows" / f"{key[:16]}.json", rows, run.run_id)
    return report_of(home, folder, key, finished, existing=False)


def _read(path: Path, N_T: int | None) -> tuple[SimVP, str]:
    """The network in a file, and the SHA-256 of the file that it was read from.

    Raises
    ------
    ConfigError
        The file changed while it was read.
    """
    before = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    network = from_pretrained(path, N_T=N_T)
    if hashlib.sha256(path.read_bytes()).hexdigest() != before:
        raise ConfigError(f"Checkpoint {path}", ["it changed while it was read"], "try again when it is whole")
    return network, before


def _rows(run: Run, network: SimVP, batches: ClipBatches, method: str, source: str) -> list[Row]:
    """The network's row, and that of persistence."""
    device = next(network.parameters()).device
    x, y, _ = (part.to(device) for part in batches.batch(np.array([0])))
    costs = costs_of(network, x, lambda predicted: ((predicted - y) ** 2).mean())
    scores = compare(run, network, batches, nullcontext)
    ours, still = (row_fields(batches, one, train=TRAINED, comparable=True) for one in scores)
    return [
        Row(
            method=method,
            selected_on="unknown",
            source=source,
            **vars(costs),
            device=processor(device, "float32"),
            **ours,
        ),
        Row(method="persistence", selected_on="nothing", source=f"run {run.run_id[:8]}", **still),
    ]
