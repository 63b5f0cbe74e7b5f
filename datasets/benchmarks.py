"""The vision benchmarks known by name."""

from collections.abc import Mapping

from datasets.caltech import KITTI_CALTECH
from datasets.catalog import look_up
from datasets.clips import Benchmark
from datasets.human36m import HUMAN
from datasets.kth import KTH
from datasets.moving_mnist import MOVING_FASHION_MNIST, MOVING_MNIST
from datasets.taxibj import TAXIBJ

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (MOVING_MNIST, MOVING_FASHION_MNIST, TAXIBJ, HUMAN, KITTI_CALTECH, KTH)
}


def find_benchmark(name: str) -> Benchmark:
    """Benchmark of that name.

    Raises
    ------
    SourceError
        No such name; lists those there are.
    """
    return look_up("benchmark", name, BENCHMARKS, "name one of these")
