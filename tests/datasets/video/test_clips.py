"""What every benchmark and its clips share: labels, parts, folders, the refusal of what is missing, runs of numbers."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from datasets.video.clips import PARTS, Benchmark, Clips, Part, consecutive_runs
from simvp.coords.axes import canonicalise
from simvp.coords.steps import Step
from simvp.errors import SourceError


class AddressClips(Clips):
    """Each value is its own: clip, frame, channel, row and column, scaled to stay below 1."""

    scale, offset, step = 1000.0, -5.0, Step(seconds=60)

    def __len__(self) -> int:
        return 4

    def frames(self, indices: np.ndarray) -> Tensor:
        clip, frame, channel, y, x = np.ix_(indices, range(5), range(2), range(3), range(4))
        return torch.from_numpy(((((clip * 5 + frame) * 2 + channel) * 3 + y) * 4 + x) / 1000).float()

    def name(self, index: int) -> str:
        return f"road {index}"

    def numbers(self, index: int) -> np.ndarray:
        return 10 * index + np.arange(5)


class AddressBenchmark(Benchmark):
    def present(self, root: Path | None = None) -> bool:
        return True

    def _clips(self, part: Part, root: Path | None, frames_out: int, seed: int, device: str) -> Clips:
        return AddressClips(self, part, self.frames_out, "addresses")


ROADS = AddressBenchmark(
    name="roads",
    title="Roads",
    licence="free",
    source="https://roads.example",
    variables={"cars": "cars in a cell", "bikes": "bikes in a cell"},
    units="m-2",
    files="roads.bin",
    size=(3, 4),
    frames_in=2,
    frames_out=3,
    splits=dict.fromkeys(PARTS, "some"),
    paper_counts={},
)


def test_a_clip_is_labelled_by_channel_time_row_and_column() -> None:
    ds = ROADS.open("test").labelled(2)
    assert list(ds.data_vars) == ["cars", "bikes"]
    for channel, name in enumerate(("cars", "bikes")):
        assert ds[name].dims == ("time", "y", "x")
        assert ds[name].dtype == np.float32
        assert ds[name].attrs == {"units": "m-2", "long_name": f"{name} in a cell"}
        for frame in range(5):
            for y in range(3):
                for x in range(4):
                    address = (((2 * 5 + frame) * 2 + channel) * 3 + y) * 4 + x
                    assert float(ds[name][frame, y, x]) == pytest.approx(address - 5, abs=1e-3)
    times = [str(time)[:19] for time in ds["time"].values]
    assert times == [f"2000-01-01T00:0{minute}:00" for minute in range(5)]
    assert ds["frame"].values.tolist() == [20, 21, 22, 23, 24]
    assert ds["frame"].dims == ("time",)
    assert ds["clip"].item() == "road 2"
    assert ds["y"].values.tolist() == [0, 1, 2]
    assert ds["x"].values.tolist() == [0, 1, 2, 3]
    assert ds.attrs == {"title": "Roads", "source": "https://roads.example", "license": "free", "origin": "addresses"}


def test_a_labelled_clip_is_canonical() -> None:
    ds = ROADS.open("train").labelled(0)
    canonical, axes = canonicalise(ds.drop_vars(["frame", "clip"]))
    assert axes.kind == "index"
    np.testing.assert_array_equal(canonical["bikes"].values, ds["bikes"].values)
    assert canonical["cars"].attrs == ds["cars"].attrs


def test_clips_are_of_published_files_and_end_unless_they_say_otherwise() -> None:
    clips = ROADS.open("train")
    assert (clips.comparable, clips.endless) == (True, False)
    assert (clips.part, clips.frames_in, clips.frames_out, clips.benchmark) == ("train", 2, 3, ROADS)


def test_a_benchmark_has_a_shape_and_cannot_be_changed() -> None:
    assert ROADS.shape == (2, 3, 4)
    assert ROADS.horizons == ()
    with pytest.raises(FrozenInstanceError):
        ROADS.frames_in = 3  # type: ignore[misc]


def test_the_folder_is_under_the_given_root_or_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert ROADS.path() is None
    monkeypatch.setenv("SIMVP_DATA", "")
    assert ROADS.path() is None
    monkeypatch.setenv("SIMVP_DATA", "/data")
    assert ROADS.path() == Path("/data/roads")
    assert ROADS.path(tmp_path) == tmp_path / "roads"


def test_what_is_missing_is_said_with_where_to_get_it_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    error = ROADS.missing()
    assert isinstance(error, SourceError)
    assert str(error) == (
        "benchmark roads: expected roads.bin; SIMVP_DATA is not set\n"
        "To mend it: fetch them from https://roads.example into the folder roads of a directory, and set SIMVP_DATA to "
        "that directory"
    )
    assert str(ROADS.missing(tmp_path, ["no folder a", "no folder b"])).splitlines()[:4] == [
        "benchmark roads:",
        f"  - expected roads.bin; {tmp_path / 'roads'} does not hold them",
        "  - no folder a",
        "  - no folder b",
    ]


@given(steps=st.lists(st.integers(1, 4), max_size=30), first=st.integers(0, 100), step=st.integers(1, 3))
def test_runs_are_the_longest_pieces_without_a_gap(steps: list[int], first: int, step: int) -> None:
    numbers = np.cumsum([first, *steps])
    runs = list(consecutive_runs(numbers, step))
    # Every position is in one run, in order; inside a run each number follows; between two runs none does.
    assert [place for start, stop in runs for place in range(start, stop)] == list(range(len(numbers)))
    for start, stop in runs:
        assert all(numbers[place + 1] - numbers[place] == step for place in range(start, stop - 1))
    assert all(numbers[start] - numbers[start - 1] != step for start, _ in runs[1:])


def test_runs_by_hand() -> None:
    assert list(consecutive_runs(np.array([], int))) == []
    assert list(consecutive_runs(np.array([7]))) == [(0, 1)]
    assert list(consecutive_runs(np.array([1, 2, 3, 5, 6, 9]))) == [(0, 3), (3, 5), (5, 6)]
    assert list(consecutive_runs(np.array([0, 3, 6, 8, 11]), 3)) == [(0, 3), (3, 5)]
    assert list(consecutive_runs(np.array([5, 5, 6]))) == [(0, 1), (1, 3)]
