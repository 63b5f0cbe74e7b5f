"""Moving MNIST against a slow generator written another way, and the published test file in its exact layout."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings, strategies as st

from datasets.video import moving_mnist
from datasets.video.clips import PARTS
from datasets.video.digits import TEST_FILES, TRAIN_FILES, Digits
from datasets.video.moving_mnist import (
    CLIPS_PER_EPOCH,
    MOVING_FASHION_MNIST,
    MOVING_MNIST,
    FixedTestSet,
    MovingDigits,
    trajectories,
)
from simvp.errors import SourceError
from tests.datasets.video.test_digits import hashes, pictures, write_idx

EMPTY = Path("/nowhere")


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)


def walk(start: float, velocity: float, frames: int) -> list[float]:
    """Positions of one component: move, stop at the border, turn round; the first one step after the start."""
    path = []
    for _ in range(frames):
        start += velocity
        if start <= 0:
            start, velocity = 0.0, -velocity
        elif start >= 1:
            start, velocity = 1.0, -velocity
        path.append(start)
    return path


def drawn(images: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Frames (L, 64, 64) uint8 of pictures at places (number, L, 2), pixel by pixel."""
    field = np.zeros((places.shape[1], 64, 64), np.uint8)
    for image, place in zip(images, places.tolist(), strict=True):
        for frame, (top, left) in enumerate(place):
            for y, x in np.argwhere(image).tolist():
                field[frame, top + y, left + x] = max(field[frame, top + y, left + x], image[y, x])
    return field


def random_digits(count: int = 12, seed: int = 0) -> Digits:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 28, 28), np.uint8) * (random.random((count, 28, 28)) < 0.4)
    return Digits(images=images.astype(np.uint8), origin="random pictures", published=False)


def moving(part: str = "train", *, seed: int = 0, frames_out: int = 10, digits: Digits | None = None) -> MovingDigits:
    return MovingDigits(
        MOVING_MNIST,
        part,  # type: ignore[arg-type]
        frames_out,
        digits or random_digits(),
        seed=seed,
    )


class TestTrajectories:
    @settings(max_examples=200, deadline=None)
    @given(
        y=st.floats(0, 1),
        x=st.floats(0, 1),
        angle=st.floats(0, 2 * math.pi),
        frames=st.integers(1, 60),
    )
    def test_any_start_angle_and_length_as_step_by_step(self, y: float, x: float, angle: float, frames: int) -> None:
        places = trajectories(np.array([y, x]), np.array(angle), frames)
        down, right = 0.1 * np.sin(angle), 0.1 * np.cos(angle)
        expected = [
            [int(36 * a), int(36 * b)] for a, b in zip(walk(y, down, frames), walk(x, right, frames), strict=True)
        ]
        assert places.tolist() == expected
        assert places.dtype == np.int64
        assert places.min() >= 0
        assert places.max() <= 36

    def test_by_hand_to_the_right_wall_and_back(self) -> None:
        # x = 0.75 goes by 0.1: 0.85, 0.95, then 1 (stopped), and back: 0.9, 0.8; times 36: 30.6, 34.2, 36, 32.4, 28.8
        places = trajectories(np.array([0.5, 0.75]), np.array(0.0), 5)
        assert places.tolist() == [[18, 30], [18, 34], [18, 36], [18, 32], [18, 28]]

    def test_who_steps_onto_the_wall_turns_at_once(self) -> None:
        # 0.9 + 0.1 is 1 to the last bit: 1, 0.9, 0.8; times 36.
        places = trajectories(np.array([0.5, 0.9]), np.array(0.0), 3)
        assert places[:, 1].tolist() == [36, 32, 28]

    @pytest.mark.parametrize(
        ("angle", "component", "expected"),
        [
            (0, 1, [20, 24, 27, 31, 34, 36, 32, 28]),  # 0.57, 0.67, ... 0.97, 1 (stopped), 0.9, 0.8; times 36
            (math.pi, 1, [13, 9, 6, 2, 0, 3, 7, 10]),  # 0.37, 0.27, 0.17, 0.07, 0 (stopped), 0.1, 0.2, 0.3; times 36
            (math.pi / 2, 0, [20, 24, 27, 31, 34, 36, 32, 28]),
            (-math.pi / 2, 0, [13, 9, 6, 2, 0, 3, 7, 10]),
        ],
    )
    def test_every_wall_stops_and_turns(self, angle: float, component: int, expected: list[int]) -> None:
        places = trajectories(np.array([0.47, 0.47]), np.array(angle), 8)
        assert places[:, component].tolist() == expected
        assert places[:, 1 - component].tolist() == [16] * 8

    def test_batches_move_as_one_by_one(self) -> None:
        random = np.random.default_rng(0)
        start, angle = random.random((3, 2, 2)), random.uniform(0, 2 * np.pi, (3, 2))
        places = trajectories(start, angle, 20)
        assert places.shape == (3, 2, 20, 2)
        for clip in range(3):
            for digit in range(2):
                one = trajectories(start[clip, digit], angle[clip, digit], 20)
                np.testing.assert_array_equal(places[clip, digit], one)


class TestGenerated:
    def test_frames_are_those_of_a_slow_renderer(self) -> None:
        digits = random_digits()
        clips = moving(digits=digits)
        indices = np.array([0, 7, 123_456_789])
        which, places = clips.draw(indices)
        frames = clips.frames(indices)
        assert frames.shape == (3, 20, 1, 64, 64)
        assert frames.dtype == torch.float32
        overlaps = 0
        for row in range(3):
            slow = drawn([digits.images[number] for number in which[row]], places[row])
            expected = slow.astype(np.float32) / np.float32(255)
            np.testing.assert_array_equal(frames[row, :, 0].numpy(), expected)
            apart = np.abs(places[row, 0] - places[row, 1]).max(axis=1)
            overlaps += int((apart < 28).sum())
        assert overlaps > 10  # so that the brighter one has been seen to win

    def test_statistics_are_those_of_the_published_generator(self) -> None:
        clips = moving()
        which, places = clips.draw(np.arange(3000))
        assert which.shape == (3000, 2)
        assert places.shape == (3000, 2, 20, 2)
        assert set(which.ravel().tolist()) == set(range(12))
        assert np.bincount(which.ravel()).min() > 400  # 500 each, standard deviation 21
        assert (places.min(), places.max()) == (0, 36)
        # Away from walls a step is 3.6 pixels long, cut to whole ones in y and x: off by less than sqrt(2).
        steps = np.diff(places, axis=2)
        inside = ((places[:, :, :-1] > 3) & (places[:, :, :-1] < 32)).all(axis=-1)
        lengths = np.hypot(*np.moveaxis(steps[inside], -1, 0))
        assert 3.6 - math.sqrt(2) < lengths.min() <= lengths.max() < 3.6 + math.sqrt(2)
        # Cut in y and x, by rests that are uniform at both ends, a step is right on average in either direction.
        free = steps[inside]
        assert np.sqrt((free**2).sum(axis=-1).mean()) == pytest.approx(math.sqrt(3.6**2 + 2 / 6), abs=0.02)
        assert np.abs(free.mean(axis=0)).max() < 0.05
        for wall in (0, 36):
            for component in (0, 1):
                assert (places[..., component] == wall).any()

    @pytest.mark.parametrize("component", [0, 1])
    def test_the_first_frame_is_one_step_after_a_uniform_start(self, component: int) -> None:
        _, places = moving().draw(np.arange(4000))
        first = np.sort(places[:, :, 0, component].ravel())
        # P(stopped at the far wall) = E[max(0, 0.1 cos a)] = 0.1 / pi; the mean stays in the middle.
        assert (first == 36).mean() == pytest.approx(0.1 / math.pi, abs=0.006)
        assert first.mean() == pytest.approx(36 * 0.5 - 0.5 * (1 - 0.2 / math.pi), abs=0.4)

    def test_the_same_whatever_the_batch(self) -> None:
        clips = moving()
        batch = clips.frames(np.arange(20, 40))
        torch.testing.assert_close(clips.frames(np.array([33])), batch[13:14], rtol=0, atol=0)
        torch.testing.assert_close(moving().frames(np.array([39, 20])), batch[[19, 0]], rtol=0, atol=0)

    def test_no_two_clips_alike_over_seeds_parts_and_numbers(self) -> None:
        batches = [moving(part, seed=seed).frames(np.arange(8)) for part in PARTS for seed in (0, 1, 2)]
        seen = {hashlib.sha256(clip.numpy().tobytes()).hexdigest() for clip in torch.cat(batches)}
        assert len(seen) == 9 * 8

    def test_longer_clips_begin_like_shorter_ones(self) -> None:
        long, short = moving(frames_out=30), moving()
        torch.testing.assert_close(long.frames(np.arange(3))[:, :20], short.frames(np.arange(3)), rtol=0, atol=0)
        assert long.labelled(0).sizes["time"] == 40

    def test_endless_and_as_long_as_an_epoch(self) -> None:
        assert {part: len(moving(part)) for part in PARTS} == {"train": 10_000, "validation": 2_000, "test": 10_000}
        assert dict(CLIPS_PER_EPOCH) == {part: len(moving(part)) for part in PARTS}
        assert moving().endless
        assert moving().frames(np.array([10**12])).max() > 0

    @pytest.mark.parametrize("part", PARTS)
    def test_only_a_test_that_was_published_can_be_compared(self, part: str) -> None:
        published = Digits(images=random_digits().images, origin="all of MNIST", published=True)
        assert moving(part, digits=published).comparable == (part != "test")
        assert not moving(part).comparable

    def test_a_clip_comes_labelled(self) -> None:
        clips = moving(seed=3)
        ds = clips.labelled(5)
        assert list(ds.data_vars) == ["intensity"]
        assert ds["intensity"].dims == ("time", "y", "x")
        assert ds["intensity"].attrs == {"units": "1", "long_name": "brightness, 0 black to 1 white"}
        np.testing.assert_array_equal(ds["intensity"].values, clips.frames(np.array([5]))[0, :, 0].numpy())
        np.testing.assert_array_equal(ds["time"].values, np.datetime64("2000-01-01", "s") + np.arange(20))
        np.testing.assert_array_equal(ds["y"].values, np.arange(64))
        np.testing.assert_array_equal(ds["x"].values, np.arange(64))
        np.testing.assert_array_equal(ds["frame"].values, np.arange(20))
        assert ds["clip"].item() == "clip 5"
        assert ds.attrs == {
            "title": MOVING_MNIST.title,
            "source": MOVING_MNIST.source,
            "license": MOVING_MNIST.licence,
            "origin": "generated with seed 3 from random pictures",
        }

    @pytest.mark.cuda
    def test_a_gpu_draws_the_same_clips(self) -> None:
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        there = MovingDigits(MOVING_MNIST, "train", 10, random_digits(), device="cuda")
        there_frames = there.frames(np.arange(50))
        assert there_frames.is_cuda
        torch.testing.assert_close(there_frames.cpu(), moving().frames(np.arange(50)), rtol=0, atol=0)


def fixed(path: Path, clips: int = 6, frames: int = 20) -> np.ndarray:
    """A test file, (frames, clips, 64, 64): each clip and frame has its own grey, in one corner of its own."""
    stored = np.zeros((frames, clips, 64, 64), np.uint8)
    for frame in range(frames):
        for clip in range(clips):
            stored[frame, clip, frame, 2 * clip] = 10 * frame + clip + 1
            stored[frame, clip, 63, 63] = 255
    np.save(path, stored)
    return stored


class TestFixedFile:
    def test_time_is_first_and_clips_second(self, tmp_path: Path) -> None:
        fixed(tmp_path / "mnist_test_seq.npy")
        clips = FixedTestSet(MOVING_MNIST, tmp_path / "mnist_test_seq.npy", frames_out=10)
        assert len(clips) == 6
        assert (clips.comparable, clips.endless) == (True, False)
        assert clips.origin == "the published file mnist_test_seq.npy, 6 clips"
        frames = clips.frames(np.array([4, 0]))
        assert frames.shape == (2, 20, 1, 64, 64)
        for row, clip in enumerate((4, 0)):
            for frame in range(20):
                lit = torch.nonzero(frames[row, frame, 0]).tolist()
                assert lit == [[frame, 2 * clip], [63, 63]]
                assert frames[row, frame, 0, frame, 2 * clip] == np.float32(10 * frame + clip + 1) / np.float32(255)
        assert frames.max() == 1
        ds = clips.labelled(4)
        assert ds["clip"].item() == "clip 4"
        np.testing.assert_array_equal(ds["intensity"].values, frames[0, :, 0].numpy())

    def test_shorter_clips_are_its_beginning(self, tmp_path: Path) -> None:
        stored = fixed(tmp_path / "a.npy")
        clips = FixedTestSet(MOVING_MNIST, tmp_path / "a.npy", frames_out=3)
        assert clips.frames(np.arange(6)).shape == (6, 13, 1, 64, 64)
        np.testing.assert_array_equal((clips.frames(np.array([2]))[0, :, 0] * 255).round(), stored[:13, 2])

    def test_longer_clips_are_refused(self, tmp_path: Path) -> None:
        fixed(tmp_path / "a.npy")
        with pytest.raises(SourceError) as caught:
            FixedTestSet(MOVING_MNIST, tmp_path / "a.npy", frames_out=11)
        text = str(caught.value)
        assert f"test file {tmp_path / 'a.npy'}: expected T + T' of 20 frames at most, got 10 + 11" in text
        assert "ask for a shorter T', or for another seed than 0" in text

    @pytest.mark.parametrize(
        ("array", "got"),
        [
            (np.zeros((6, 20, 64, 64), np.uint8), "got uint8 (6, 20, 64, 64)"),  # clips first
            (np.zeros((20, 6, 64, 64), np.float32), "got float32 (20, 6, 64, 64)"),
            (np.zeros((20, 6, 32, 32), np.uint8), "got uint8 (20, 6, 32, 32)"),
            (np.zeros((20, 6, 64, 64, 1), np.uint8), "got uint8 (20, 6, 64, 64, 1)"),
            (np.zeros((20, 0, 64, 64), np.uint8), "got uint8 (20, 0, 64, 64)"),
            (np.zeros(20, np.uint8), "got uint8 (20,)"),
        ],
    )
    def test_other_shapes_and_types_are_refused(self, tmp_path: Path, array: np.ndarray, got: str) -> None:
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(SourceError) as caught:
            FixedTestSet(MOVING_MNIST, tmp_path / "a.npy", frames_out=10)
        assert f"expected uint8 (20, clips, 64, 64), {got}" in str(caught.value)

    def test_damaged_files_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        fixed(path)
        whole = path.read_bytes()
        objects = tmp_path / "objects.npy"
        np.save(objects, np.array([{}], object), allow_pickle=True)
        packed = tmp_path / "packed.npz"
        np.savez(packed, a=np.zeros(3))
        cases = {
            "cut off": whole[: len(whole) // 2],
            "in the header": whole[:50],
            "empty": b"",
            "web page": b"<html>404</html>",
            "objects": objects.read_bytes(),
            "zip": packed.read_bytes(),
        }
        for name, content in cases.items():
            path.write_bytes(content)
            with pytest.raises(SourceError, match="it cannot be read: ") as caught:
                FixedTestSet(MOVING_MNIST, path, frames_out=10)
            assert str(caught.value).startswith(f"test file {path}: "), name
            assert "fetch it once more" in str(caught.value), name


class TestOpen:
    def test_without_files_digits_of_scikit_learn_move(self, tmp_path: Path) -> None:
        for root in (None, tmp_path):
            assert not MOVING_MNIST.present(root)
            for part in PARTS:
                clips = MOVING_MNIST.open(part, root=root)
                assert not clips.comparable
                assert "handwritten digits of scikit-learn" in clips.origin
                assert clips.frames(np.arange(2)).shape == (2, 20, 1, 64, 64)

    def test_fashion_has_no_stand_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(moving_mnist, "idx_file", lambda folders, names: None)  # Debian's package may be installed
        assert not MOVING_FASHION_MNIST.present(tmp_path)
        with pytest.raises(SourceError) as caught:
            MOVING_FASHION_MNIST.open("train", root=tmp_path)
        text = str(caught.value)
        assert "expected train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz (Fashion-MNIST)" in text
        assert f"{tmp_path / 'moving_fmnist'} does not hold them" in text
        assert "fetch them from https://github.com/zalandoresearch/fashion-mnist" in text
        assert "into the folder moving_fmnist of a directory, and set SIMVP_DATA to that directory" in text
        with pytest.raises(SourceError, match="SIMVP_DATA is not set"):
            MOVING_FASHION_MNIST.open("test")

    def test_idx_files_are_found_by_the_environment_in_either_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
        write_idx(tmp_path / "mnist", pictures(12), pictures(6, first=500))
        assert MOVING_MNIST.present()
        assert MOVING_MNIST.open("train").origin == (
            "generated with seed 0 from the first 10 MNIST digits of train-images-idx3-ubyte.gz"
        )
        write_idx(tmp_path / "moving_mnist", pictures(18), pictures(6, first=500))
        assert "the first 15 MNIST digits" in MOVING_MNIST.open("train").origin

    @pytest.mark.parametrize(
        ("kept", "lacking"),
        [(TRAIN_FILES[0], TEST_FILES[0]), (TEST_FILES[0], TRAIN_FILES[0])],
    )
    def test_one_of_two_idx_files_is_refused_and_the_other_named(self, tmp_path: Path, kept: str, lacking: str) -> None:
        folder = write_idx(tmp_path / "moving_mnist", pictures(12), pictures(12))
        (folder / lacking).unlink()
        assert not MOVING_MNIST.present(tmp_path)
        for part in PARTS:
            with pytest.raises(SourceError) as caught:
                MOVING_MNIST.open(part, root=tmp_path)
            assert f"found {folder / kept}, but no {lacking}" in str(caught.value)

    def test_the_published_file_stands_in_for_the_test_pictures(self, tmp_path: Path) -> None:
        folder = write_idx(tmp_path / "moving_mnist", pictures(12), pictures(12))
        (folder / TEST_FILES[0]).unlink()
        fixed(folder / "mnist_test_seq.npy")
        assert MOVING_MNIST.present(tmp_path)
        assert isinstance(MOVING_MNIST.open("train", root=tmp_path), MovingDigits)
        assert isinstance(MOVING_MNIST.open("test", root=tmp_path), FixedTestSet)
        with pytest.raises(SourceError, match=r"but no t10k-images-idx3-ubyte\.gz"):
            MOVING_MNIST.open("test", root=tmp_path, seed=1)

    def test_the_published_file_alone_is_nothing_to_train_on(self, tmp_path: Path) -> None:
        (tmp_path / "moving_mnist").mkdir()
        fixed(tmp_path / "moving_mnist" / "mnist_test_seq.npy")
        assert not MOVING_MNIST.present(tmp_path)
        assert MOVING_MNIST.open("test", root=tmp_path).comparable
        with pytest.raises(SourceError, match=r"mnist_test_seq\.npy, but no train-images-idx3-ubyte\.gz"):
            MOVING_MNIST.open("train", root=tmp_path)

    def test_seed_0_is_the_published_file_and_any_other_is_generated(self, tmp_path: Path) -> None:
        folder = write_idx(tmp_path / "moving_mnist", pictures(12), pictures(12))
        without = MOVING_MNIST.open("test", root=tmp_path)
        assert isinstance(without, MovingDigits)
        assert not without.comparable
        fixed(folder / "mnist_test_seq.npy")
        assert MOVING_MNIST.open("test", root=tmp_path).comparable
        assert isinstance(MOVING_MNIST.open("test", root=tmp_path, seed=1), MovingDigits)
        assert MOVING_MNIST.open("test", root=tmp_path, frames_out=5).frames(np.arange(2)).shape[1] == 15

    def test_what_is_tested_on_does_not_depend_on_the_seed_of_training(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "mnist", random_digits(60, 1).images, random_digits(12, 2).images)
        test = MOVING_MNIST.open("test", root=tmp_path).frames(np.arange(6))
        for seed in (0, 1, 7):
            train = MOVING_MNIST.open("train", root=tmp_path, seed=seed).frames(np.arange(6))
            again = MOVING_MNIST.open("test", root=tmp_path).frames(np.arange(6))
            torch.testing.assert_close(again, test, rtol=0, atol=0)
            assert not hashes(train.numpy()) & hashes(test.numpy())

    def test_a_whole_training_file_is_the_published_one(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "mnist", pictures(60_000), pictures(6))
        assert MOVING_MNIST.open("train", root=tmp_path).comparable
        assert not MOVING_MNIST.open("test", root=tmp_path).comparable

    def test_the_real_digits_move(self, shared: Path) -> None:
        clips = MOVING_MNIST.open("validation", root=shared / "data")
        assert clips.origin == (
            "generated with seed 0 from the last 1,666 MNIST digits of train-images-10k-idx3-ubyte.gz"
        )
        frames = clips.frames(np.arange(200))
        assert (frames.min(), frames.max()) == (0, 1)
        # Two digits of mean 33.3 / 255 on 28 x 28 of 64 x 64 pixels: 0.050; less where they overlap.
        assert 0.9 < float(frames.mean()) / (2 * 0.1307 * 28**2 / 64**2) < 1
        ds = clips.labelled(0)
        assert isinstance(ds, xr.Dataset)
        assert float(ds["intensity"].max()) <= 1
