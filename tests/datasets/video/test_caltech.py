"""KITTI to Caltech Pedestrian in both of its forms: windows, parts, sizes, numbers, and files that do not fit."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.video.caltech import KITTI_CALTECH, SETS
from datasets.video.clips import PARTS
from datasets.video.seq import SeqFile
from simvp.errors import SourceError
from tests.support.files.footage import TOLERANCE, flat, jpeg, write_hickle, write_seq

H, W = KITTI_CALTECH.size
# KITTI recordings in the order of the file, with their numbers of frames.
KITTI = {"city-a_sync": 30, "road-b_sync": 12, "residential-c_sync": 25, "city-d_sync": 5}
NAMES = [name for name, count in KITTI.items() for _ in range(count)]
SEQ_FRAMES = 70  # 23 of them count: 2, 5, ..., 68


def kitti_frames(count: int) -> np.ndarray:
    """Frame i of the file: red i, green constant, blue a ramp over the columns."""
    frames = np.empty((count, H, W, 3), dtype=np.uint8)
    frames[..., 0] = np.arange(count)[:, None, None]
    frames[..., 1] = 99
    frames[..., 2] = np.arange(W)
    return frames


def seq_colour(number: int, frame: int) -> tuple[int, int, int]:
    return 25 * number + 30, 3 * frame + 20, 128


def make_original(root: Path, version: int = 2, sets: tuple[str, ...] = SETS) -> Path:
    write_hickle(root / "kitti_hkl/X_train.hkl", kitti_frames(len(NAMES)), version)
    write_hickle(root / "kitti_hkl/sources_train.hkl", NAMES, version)
    for number, name in enumerate(sets):
        frames = [jpeg(flat(*seq_colour(number, frame), 24, 32)) for frame in range(SEQ_FRAMES)]
        write_seq(root / "caltech" / name / "V000.seq", frames, h=24, w=32)
    (root / "caltech/set06/V000.vbb").write_bytes(b"passed over")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_original(tmp_path_factory.mktemp("original"))


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "copy"))


def described(root: Path, part: Any, **options: Any) -> list[str]:
    clips = KITTI_CALTECH.open(part, root=root, **options)
    return [clips.name(index) for index in range(len(clips))]


def test_training_windows_end_where_recordings_end(root: Path) -> None:
    # city-a 30 = 8 + 11 + 11, residential-c 25 = 3 + 11 + 11 frames; road-b, the last by name, is validation
    assert described(root, "train") == [
        "city-a_sync frame 8",
        "city-a_sync frame 19",
        "residential-c_sync frame 3",
        "residential-c_sync frame 14",
    ]
    assert described(root, "validation") == ["road-b_sync frame 1"]
    assert described(root, "train", frames_out=10) == ["city-a_sync frame 10", "residential-c_sync frame 5"]


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_frames_of_kitti_are_at_their_place(tmp_path: Path, version: int) -> None:
    write_hickle(tmp_path / "kitti_hkl/X_train.hkl", kitti_frames(len(NAMES)), version)
    write_hickle(tmp_path / "kitti_hkl/sources_train.hkl", NAMES, version)
    for name in SETS:
        (tmp_path / "caltech" / name).mkdir(parents=True)
        (tmp_path / "caltech" / name / "V000.seq").touch()  # nothing of the test part is read for training
    clips = KITTI_CALTECH.open("train", root=tmp_path)
    values = clips.frames(np.array([3, 0]))
    assert values.dtype == torch.float32
    assert values.shape == (2, 11, 3, H, W)
    for place, first in enumerate([30 + 12 + 14, 8]):
        for step in range(11):
            assert (values[place, step, 0] * 255).round().unique().tolist() == [first + step]
        assert torch.equal(values[place, 4, 2, 7], torch.arange(W) / 255)
    assert clips.numbers(3).tolist() == list(range(14, 25))


def test_x_val_is_validation_where_it_is_there(copy: Path) -> None:
    write_hickle(copy / "kitti_hkl/X_val.hkl", kitti_frames(13)[::-1], 2)
    write_hickle(copy / "kitti_hkl/sources_val.hkl", ["city-e_sync"] * 13, 2)
    assert described(copy, "validation") == ["city-e_sync frame 2"]
    assert "road-b_sync frame 1" in described(copy, "train")
    clips = KITTI_CALTECH.open("validation", root=copy)
    assert (clips.frames(np.array([0]))[0, :, 0, 0, 0] * 255).round().tolist() == list(range(10, -1, -1))
    assert clips.origin == "1 KITTI recordings of kitti_hkl/X_val.hkl"
    (copy / "kitti_hkl/sources_val.hkl").unlink()
    with pytest.raises(SourceError, match=r"folder \S+kitti_hkl: X_val.hkl is there, sources_val.hkl is not"):
        KITTI_CALTECH.open("train", root=copy)


def test_every_third_frame_of_caltech(root: Path) -> None:
    clips = KITTI_CALTECH.open("test", root=root)
    # 23 frames that count, 2, 5, ..., 68; two windows of 11, the first from 2 + 3 = 5
    names = [clips.name(index) for index in range(len(clips))]
    assert names == [f"{name}/V000 frame {first}" for name in SETS for first in ("0005", "0038")]
    values = clips.frames(np.arange(10)).numpy()
    assert values.shape == (10, 11, 3, H, W)
    for index in range(10):
        assert clips.numbers(index).tolist() == list(range((5, 38)[index % 2], 69, 3))[:11]
        for place, frame in enumerate(clips.numbers(index).tolist()):
            wanted = np.array(seq_colour(index // 2, frame))[:, None, None] / 255
            assert np.abs(values[index, place] - wanted).max() <= TOLERANCE
    assert clips.origin == "5 Caltech Pedestrian recordings of set06 to set10, every third frame"


def test_the_middle_of_the_frames_of_caltech_is_kept(copy: Path) -> None:
    ramp = np.zeros((480, 640, 3), dtype=np.uint8)
    ramp[..., 0] = np.arange(640) * 255 // 639
    ramp[..., 1] = np.arange(480)[:, None] * 255 // 479
    write_seq(copy / "caltech/set06/V000.seq", [jpeg(ramp)] * 33, h=480, w=640)
    red, green, _ = KITTI_CALTECH.open("test", root=copy).frames(np.array([0]))[0, 0].numpy() * 255
    # 640 x 480 becomes 171 x 128; of 171 columns, 5 to 164 are kept; a pixel is 3.74 columns, 3.75 rows of the file
    columns = (np.arange(5, 165) + 0.5) * 640 / 171 - 0.5
    rows = (np.arange(128) + 0.5) * 480 / 128 - 0.5
    np.testing.assert_allclose(red[64], columns * 255 / 639, atol=2)
    np.testing.assert_allclose(green[:, 80], rows * 255 / 479, atol=2)


def test_parts_share_no_recording(root: Path) -> None:
    recordings = [{name.split()[0] for name in described(root, part)} for part in PARTS]
    assert len(set.union(*recordings)) == sum(len(one) for one in recordings) == 2 + 1 + 5


def test_opening_decodes_nothing_and_reading_each_frame_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[str, int]] = []
    real = SeqFile.frame

    def counted(self: SeqFile, index: int) -> np.ndarray:
        decoded.append((str(self.path), index))
        return real(self, index)

    monkeypatch.setattr(SeqFile, "frame", counted)
    clips = KITTI_CALTECH.open("test", root=root)
    assert decoded == []
    for _ in range(2):
        clips.frames(np.arange(len(clips)))
    assert len(decoded) == len(set(decoded)) == 5 * 22


def test_the_dataset_of_a_clip(root: Path) -> None:
    ds = KITTI_CALTECH.open("test", root=root).labelled(1)
    assert list(ds.data_vars) == ["red", "green", "blue"]
    assert dict(ds.sizes) == {"time": 11, "y": H, "x": W}
    assert ds["frame"].values.tolist() == list(range(38, 69, 3))
    assert ds["clip"].item() == "set06/V000 frame 0038"


def test_missing_files_are_all_named(root: Path, tmp_path: Path, copy: Path) -> None:
    assert KITTI_CALTECH.present(root)
    assert not KITTI_CALTECH.present(tmp_path)
    shutil.rmtree(copy / "caltech/set09")
    (copy / "caltech/set07/V000.seq").unlink()
    (copy / "kitti_hkl/sources_train.hkl").unlink()
    assert not KITTI_CALTECH.present(copy)
    with pytest.raises(SourceError) as refusal:
        KITTI_CALTECH.open("train", root=copy)
    assert refusal.value.reasons[1:] == (
        f"there is no {copy}/kitti_hkl/sources_train.hkl",
        f"there is no V*.seq in {copy}/caltech/set07",
        f"there is no V*.seq in {copy}/caltech/set09",
    )
    assert "https://data.caltech.edu/records/f6rph-90m20 into a directory, and set SIMVP_DATA to that" in str(
        refusal.value
    )


def sources(names: list[str]) -> Callable[[Path], object]:
    return lambda root: write_hickle(root / "kitti_hkl/sources_train.hkl", names, 2)


def frames_of(size: tuple[int, int]) -> Callable[[Path], object]:
    return lambda root: write_hickle(root / "kitti_hkl/X_train.hkl", np.zeros((72, *size, 3), dtype=np.uint8), 2)


def upright(root: Path) -> Path:
    return write_seq(root / "caltech/set08/V000.seq", [jpeg(flat(1, 2, 3, 32, 24))] * 33, h=32, w=24)


def cut_off(root: Path) -> None:
    path = root / "caltech/set10/V000.seq"
    path.write_bytes(path.read_bytes()[:-30])


ODD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "names of fewer frames": ("train", sources(NAMES[1:]), "for each of 72 frames of X_train.hkl, got 71"),
    "another size": (
        "train",
        frames_of((64, 160)),
        r"\(N, 128, 160, 3\) uint8, got /data_0 \(72, 64, 160, 3\)",
    ),
    "one recording": ("train", sources(["city-a_sync"] * 72), "part train: expected at least one run of 11 frames"),
    "upright frames": ("test", upright, r"set08/V000.seq: expected frames at least as wide as 160 : 128, got 24 x 32"),
    "cut off": ("test", cut_off, r"set10/V000.seq: expected 70 frames, as its header promises, got 69 whole"),
}


@pytest.mark.parametrize("case", ODD)
def test_files_that_do_not_fit_are_refused_when_opened(copy: Path, case: str) -> None:
    part, damage, message = ODD[case]
    damage(copy)
    with pytest.raises(SourceError, match=message):
        KITTI_CALTECH.open(part, root=copy)  # type: ignore[arg-type]


# The other form: arrays of frames, and the starts of their windows.

COUNT = 250
STARTS = list(range(7, 230, 20))  # 12 of them, 20 frames apart as in the published file


def make_arrays(root: Path, dtype: str = "f4", starts: list[int] | None = None, count: int = COUNT) -> Path:
    folder = root / "kitticaltech_npy"
    folder.mkdir(parents=True)
    shuffled = random.Random(2).sample(starts or STARTS, len(starts or STARTS))
    frames = kitti_frames(count)
    for part in ("train", "test"):
        frames[..., 1] = 10 if part == "train" else 20
        scaled = frames if dtype == "u1" else frames.astype(dtype) / np.array(255, dtype)
        np.save(folder / f"{part}_data.npy", scaled)
        np.save(folder / f"{part}_idx.npy", np.array(shuffled, dtype=np.int32))
    return root


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_arrays(tmp_path_factory.mktemp("arrays"))


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_windows_and_frames_of_arrays(tmp_path: Path, dtype: str) -> None:
    root = make_arrays(tmp_path, dtype, starts=[3, 14, 25], count=40)
    assert KITTI_CALTECH.present(root)
    clips = KITTI_CALTECH.open("test", root=root)
    assert [clips.name(index) for index in range(3)] == [f"test_data frame {start}" for start in (3, 14, 25)]
    values = clips.frames(np.array([2, 0]))
    assert values.shape == (2, 11, 3, H, W)
    wanted = torch.from_numpy(kitti_frames(40)[[*range(25, 36), *range(3, 14)]]).permute(0, 3, 1, 2) / 255
    wanted[:, 1] = 20 / 255
    assert torch.equal(values.reshape(22, 3, H, W), wanted)
    assert clips.numbers(2).tolist() == list(range(25, 36))
    train = KITTI_CALTECH.open("train", root=root)
    assert [train.name(index) for index in range(len(train))] == ["train_data frame 3", "train_data frame 14"]
    assert (train.frames(np.array([0]))[:, :, 1] * 255).round().unique().tolist() == [10]


def test_floats_are_rounded_to_eight_bits(tmp_path: Path) -> None:
    root = make_arrays(tmp_path, "f4", starts=[0, 11], count=22)
    folder = root / "kitticaltech_npy"
    np.save(folder / "test_data.npy", np.full((22, H, W, 3), 100.6 / 255))
    values = KITTI_CALTECH.open("test", root=root).frames(np.array([0, 1]))
    assert values.unique().tolist() == [torch.tensor(101 / 255).item()]


def test_the_last_tenth_of_the_windows_is_validation(arrays: Path) -> None:
    parts = {part: KITTI_CALTECH.open(part, root=arrays) for part in PARTS}
    starts = {part: [int(clips.numbers(i)[0]) for i in range(len(clips))] for part, clips in parts.items()}
    assert starts == {"train": STARTS[:10], "validation": STARTS[10:], "test": STARTS}
    assert parts["validation"].origin == "train_data.npy and train_idx.npy of kitticaltech_npy, last 2 windows"


def test_validation_windows_that_reach_into_training_are_dropped(tmp_path: Path) -> None:
    root = make_arrays(tmp_path, "u1", starts=list(range(0, 200, 5)))  # windows of 11 frames, 5 apart
    training = KITTI_CALTECH.open("train", root=root)
    validation = KITTI_CALTECH.open("validation", root=root)
    used = {number for index in range(len(training)) for number in training.numbers(index)}
    assert len(training) == 36
    assert [int(validation.numbers(index)[0]) for index in range(len(validation))] == [190, 195]  # not 180, 185
    assert all(used.isdisjoint(validation.numbers(index)) for index in range(len(validation)))


def test_the_original_form_is_read_where_both_are_there(root: Path, tmp_path: Path) -> None:
    both = Path(shutil.copytree(root, tmp_path / "both"))
    make_arrays(both, "u1", starts=[0, 11], count=22)
    assert described(both, "validation") == ["road-b_sync frame 1"]
    shutil.rmtree(both / "caltech/set06")
    assert described(both, "validation") == ["train_data frame 11"]


def test_longer_clips_of_arrays_need_starts_as_far_apart(arrays: Path) -> None:
    assert len(KITTI_CALTECH.open("test", root=arrays, frames_out=10)) == 12
    with pytest.raises(SourceError, match="expected starts 21 frames apart, got 20: the file does not say where"):
        KITTI_CALTECH.open("test", root=arrays, frames_out=11)


def saved(name: str, array: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, array, allow_pickle=True)


def shortened(folder: Path) -> None:
    path = folder / "test_data.npy"
    path.write_bytes(path.read_bytes()[:-100])


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "another size": (
        saved("test_data.npy", np.zeros((40, 64, 160, 3))),
        r"test_data.npy: expected \(N, 128, 160, 3\) of floats or uint8, got \(40, 64, 160, 3\) of float64",
    ),
    "channels first": (saved("test_data.npy", np.zeros((4, 3, H, W), "u1")), r"got \(4, 3, 128, 160\) of uint8"),
    "whole numbers": (saved("test_data.npy", np.zeros((4, H, W, 3), "i2")), r"got \(4, 128, 160, 3\) of int16"),
    "cut off": (shortened, r"test_data.npy: expected a whole .npy file of numbers, got: mmap length"),
    "objects": (saved("test_idx.npy", np.array([1, "a"], dtype=object)), r"test_idx.npy: expected a whole .npy file"),
    "no npy": (lambda folder: (folder / "test_idx.npy").write_text("<html>"), r"test_idx.npy: expected a whole .npy"),
    "starts of another shape": (saved("test_idx.npy", np.zeros((3, 2), int)), r"got \(3, 2\) of int64"),
    "starts that are no numbers of frames": (saved("test_idx.npy", np.array([0.5])), r"got \(1,\) of float64"),
    "no starts": (saved("test_idx.npy", np.array([], int)), r"got \(0,\) of int64"),
    "starts past the end": (
        saved("test_idx.npy", np.array([0, 30])),
        "test_idx.npy: expected windows of 11 frames within 40 of test_data.npy, got starts 0 to 30",
    ),
    "starts before the first": (saved("test_idx.npy", np.array([-1, 3])), "got starts -1 to 3"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_arrays_that_do_not_fit_are_refused_when_opened(tmp_path: Path, case: str) -> None:
    root = make_arrays(tmp_path, "u1", starts=[3, 14, 25], count=40)
    damage, message = UNFIT[case]
    damage(root / "kitticaltech_npy")
    with pytest.raises(SourceError, match=message):
        KITTI_CALTECH.open("test", root=root)
    assert len(KITTI_CALTECH.open("train", root=root)) == 2


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_floats_outside_0_and_1_are_refused_when_read(tmp_path: Path, value: float) -> None:
    root = make_arrays(tmp_path, "f4", starts=[3, 14, 25], count=40)
    path = root / "kitticaltech_npy" / "test_data.npy"
    frames = np.load(path)
    frames[30, 5, 5, 0] = value
    np.save(path, frames)
    clips = KITTI_CALTECH.open("test", root=root)
    clips.frames(np.array([0, 1]))
    with pytest.raises(SourceError, match=r"test_data.npy: frames 25 to 35: expected floats between 0 and 1, got"):
        clips.frames(np.array([2]))


@pytest.mark.skipif(not KITTI_CALTECH.present(), reason="SIMVP_DATA holds no KITTI and Caltech Pedestrian")
def test_the_real_files_give_the_paper_s_counts() -> None:
    counts = {part: len(KITTI_CALTECH.open(part, frames_out=10)) for part in PARTS}  # which the paper's counts are of
    path = KITTI_CALTECH.path()
    assert path is not None
    apart = (path / "kitti_hkl/X_val.hkl").is_file()
    published = {"train": counts["train"] + (0 if apart else counts["validation"]), "test": counts["test"]}
    assert {part: f"{count / 1000:.0f}k" for part, count in published.items()} == KITTI_CALTECH.paper_counts
