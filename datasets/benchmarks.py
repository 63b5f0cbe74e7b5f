"""The vision benchmarks known by name."""

from collections.abc import Mapping

from datasets.names import look_up
from datasets.video import HUMAN, KITTI_CALTECH, KTH, MOVING_FASHION_MNIST, MOVING_MNIST, TAXIBJ, Benchmark

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (MOVING_MNIST, MOVING_FASHION_MNIST, TAXIBJ, HUMAN, KITTI_CALTECH, KTH)
}


def find_benchmark(name: str) -> Benchmark:
    """Benchmark of that name, or a `SourceError` that lists those there are."""
    return look_up("benchmark", name, BENCHMARKS, "name one of these")
