"""Flow `benchmark`: train and score a network of the family on a vision benchmark, wherever Prefect places it."""

from typing import Any

from prefect import get_run_logger

from flows.prefect_tools import artifacts, flow, stage_task
from pipelines.benchmark import BenchmarkReport, PresetName, plan_benchmark, run_benchmark
from simvp.networks import Variant

_run = stage_task("train and score", run_benchmark)


@flow("benchmark")
def benchmark(
    data: str = "moving-mnist",
    variant: Variant = "simvp",
    preset: PresetName | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    settings: dict[str, Any] | None = None,
) -> BenchmarkReport:
    """Train on a vision benchmark, score it on the test part, and add a row to the report.

    The same settings on the same files, asked again, return the rows that exist; a run that was cut off goes on.

    Args:
        data: Name of the benchmark: moving-mnist, moving-fashion-mnist, taxibj, human36m, kitticaltech or kth.
        variant: Network: simvp (the paper's), incepu, gsta or tau.
        preset: quick for minutes on a CPU, full for the published sizes; full where there is a CUDA device.
        epochs: Epochs; the preset's where it is left out.
        seed: Seed of the weights and of the clips that are generated.
        settings: Any further field of BenchmarkConfig or SimVPConfig by name, as {"batch_size": 32}.
    """
    parameters = {name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    config = plan_benchmark(data, variant=variant, preset=preset, changes={**(settings or {}), **parameters})
    report = _run(config)
    get_run_logger().info("%s", report.summary)
    rows = [
        {"method": row.method, "chosen on": row.selected_on, "T'": row.horizon, **row.scores} for row in report.rows
    ]
    artifacts.table("benchmark", data, rows, report.summary)
    for path in report.pictures:
        if path.suffix == ".png":
            artifacts.picture(f"benchmark-{path.stem}", data, path)
    return report
