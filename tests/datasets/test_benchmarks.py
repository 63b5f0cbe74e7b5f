"""The benchmarks known by name, and that each is what the paper's table says."""

import pytest

from datasets.benchmarks import BENCHMARKS, find_benchmark
from datasets.catalog import find_source
from datasets.video.clips import PARTS
from simvp.errors import SourceError

# The paper's table: (C, H, W), T, T', further T', train, test. Fashion is of OpenSTL, with the numbers of Moving MNIST.
PAPER = {
    "moving-mnist": ((1, 64, 64), 10, 10, (), "10k", "10k"),
    "moving-fashion-mnist": ((1, 64, 64), 10, 10, (), "10k", "10k"),
    "taxibj": ((2, 32, 32), 4, 4, (), "19k", "1.3k"),
    "human36m": ((3, 128, 128), 4, 4, (), "2.6k", "1.1k"),
    "kitticaltech": ((3, 128, 160), 10, 1, (), "2k", "2k"),
    "kth": ((1, 128, 128), 10, 20, (40,), "5.2k", "3.1k"),
}


def test_they_are_those_of_the_paper() -> None:
    assert list(BENCHMARKS) == list(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_each_is_described_as_in_the_paper(name: str) -> None:
    benchmark = find_benchmark(name)
    shape, frames_in, frames_out, further, train, test = PAPER[name]
    assert benchmark.name == name
    assert (benchmark.shape, benchmark.frames_in, benchmark.frames_out) == (shape, frames_in, frames_out)
    assert tuple(h for h in benchmark.horizons if h != frames_out) == further
    assert dict(benchmark.paper_counts) == {"train": train, "test": test}
    assert list(benchmark.splits) == list(PARTS)
    assert all(
        [
            benchmark.title,
            benchmark.licence,
            benchmark.source,
            benchmark.folder,
            benchmark.files,
            *benchmark.splits.values(),
        ]
    )


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(SourceError) as caught:
        find_benchmark("moving-minst")
    assert str(caught.value) == (
        f"benchmark 'moving-minst': expected one of {', '.join(PAPER)} (did you mean 'moving-mnist'?)\n"
        "To mend it: name one of these"
    )
    with pytest.raises(SourceError) as caught:
        find_benchmark("simulated-weather")
    assert "did you mean" not in str(caught.value)


def test_taxibj_is_gridded_data_too() -> None:
    benchmark, source = find_benchmark("taxibj"), find_source("taxibj")
    assert source.states == tuple(benchmark.variables)
    assert (source.title, source.licence, source.shape) == (benchmark.title, benchmark.licence, benchmark.shape)
