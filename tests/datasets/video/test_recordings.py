"""Windows are those of the published codes, every frame is decoded once, and what is broken is named."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.video.clips import windows
from datasets.video.kth import KTH
from datasets.video.recordings import ImageFiles, Recording, VideoClips, held_out, resized
from simvp.errors import SourceError
from tests.support.files.footage import jpeg, quarters

TINY = replace(KTH, size=(2, 3), frames_in=2, frames_out=1)


def walked_back(recordings: list[np.ndarray], length: int, every: list[int], step: int) -> list[tuple[int, int]]:
    """Recording and position of each start by the published rule: from the last frame of all recordings backwards."""
    row = [(which, at, number) for which, numbers in enumerate(recordings) for at, number in enumerate(numbers)]
    starts, last = [], len(row) - 1
    while last >= length - 1:
        first = row[last - length + 1]
        whole = first[0] == row[last][0] and row[last][2] - first[2] == (length - 1) * step
        if whole:
            starts.append(first[:2])
        last -= every[row[last][0]] if whole else 1
    return sorted(starts)


@pytest.mark.parametrize("step", [1, 3])
def test_windows_are_those_of_the_walk_from_the_end(step: int) -> None:
    rng = random.Random(step)
    for _ in range(300):
        length = rng.randint(3, 8)
        every = [rng.choice([length, 3]) for _ in range(4)]
        recordings = []
        for _ in every:
            kept = [number for number in range(rng.randint(1, 60)) if rng.random() > 0.06] or [0]
            recordings.append(np.array(kept) * step + rng.randint(0, 9))
        ours = [
            (which, start)
            for which, numbers in enumerate(recordings)
            for start in windows(numbers, length, every[which], step)
        ]
        assert ours == walked_back(recordings, length, every, step)


def test_windows_end_where_a_run_ends() -> None:
    assert windows(np.array([1, 2, 3, 4, 5, 6, 7, 9, 10, 11]), 3, 3) == [1, 4, 7]
    assert windows(np.array([1, 2, 3, 4, 5, 6]), 4, 3) == [2]
    assert windows(np.array([1, 2, 4, 5]), 3, 3) == []
    assert windows(np.array([], dtype=int), 3, 3) == []


def test_held_out_are_the_last_that_hold_a_tenth() -> None:
    assert held_out({"c": 4, "a": 90, "b": 6}) == {"b", "c"}
    assert held_out({"c": 10, "a": 84, "b": 6}) == {"c"}
    assert held_out({"a": 3}) == {"a"}


class Counted:
    """A recording in memory that counts what is read of it."""

    def __init__(self, count: int, h: int = 2, w: int = 3) -> None:
        self.pixels = np.random.default_rng(count).integers(0, 256, (count, h, w, 1), dtype=np.uint8)
        self.read: list[int] = []
        self.recording = Recording(name=f"of {count}", numbers=np.arange(count) + 7, read=self.frames, digits=4)

    def frames(self, positions: np.ndarray) -> np.ndarray:
        self.read += positions.tolist()
        return self.pixels[positions]


def clips_of(*counted: Counted, memory: int = 1 << 20) -> VideoClips:
    starts = [(one.recording, start) for one in counted for start in range(len(one.pixels) - 2)]
    return VideoClips(TINY, "test", 1, "made here", windows=starts, memory=memory)


def test_frames_are_the_windows_between_0_and_1_and_decoded_once() -> None:
    one, two = Counted(5), Counted(4)
    clips = clips_of(one, two)
    assert len(clips) == 5
    assert one.read == []
    for _ in range(2):
        values = clips.frames(np.array([4, 0, 1, 2]))
        assert values.dtype == torch.float32
        assert values.shape == (4, 3, 1, 2, 3)
        for place, (source, start) in enumerate([(two, 1), (one, 0), (one, 1), (one, 2)]):
            truth = source.pixels[start : start + 3].transpose(0, 3, 1, 2) / np.float32(255)
            assert np.array_equal(values[place].numpy(), truth)
    assert sorted(one.read) == [0, 1, 2, 3, 4]
    assert sorted(two.read) == [1, 2, 3]
    assert clips.name(1) == "of 5 frame 0008"
    assert clips.numbers(4).tolist() == [8, 9, 10]


def test_frames_beyond_the_memory_are_decoded_again_and_are_the_same() -> None:
    one = Counted(6)
    clips, whole = clips_of(one, memory=2 * 6 + 5), clips_of(Counted(6))  # two frames of six bytes, not three
    first = clips.frames(np.arange(4))
    assert one.read == [0, 1, 2, 2, 3, 2, 3, 4, 3, 4, 5]
    assert torch.equal(clips.frames(np.arange(4)), first)
    assert torch.equal(whole.frames(np.arange(4)), first)
    assert 0 not in one.read[11:]
    assert 1 not in one.read[11:]


def test_the_dataset_of_a_clip_has_the_numbers_of_the_files() -> None:
    one = Counted(4)
    ds = clips_of(one).labelled(1)
    assert ds["frame"].values.tolist() == [8, 9, 10]
    assert ds["clip"].item() == "of 4 frame 0008"
    assert dict(ds.sizes) == {"time": 3, "y": 2, "x": 3}
    np.testing.assert_allclose(ds["intensity"].values, one.pixels[1:4, ..., 0] / 255, rtol=1e-6)
    assert ds.attrs["license"] == KTH.licence
    assert ds.attrs["origin"] == "made here"


def test_no_window_is_refused() -> None:
    with pytest.raises(SourceError, match=r"part test: expected at least one run of 3 frames .* got none"):
        VideoClips(TINY, "test", 1, "", windows=[])


def test_resizing_is_bilinear_between_pixel_centres_without_smoothing() -> None:
    frames = torch.tensor([[0.0, 0.2, 0.4, 1.0]]).reshape(1, 1, 1, 4)
    assert torch.equal(resized(frames, (1, 4)), frames)
    # centres of 2 pixels over 4: 0.5 and 2.5, half way between neighbours: smoothing would let 1.0 into the first
    torch.testing.assert_close(resized(frames, (1, 2)).flatten(), torch.tensor([0.1, 0.7]))
    # of 8 over 4: -0.25 (held at 0), 0.25, 0.75, ...
    wanted = torch.tensor([0.0, 0.05, 0.15, 0.25, 0.35, 0.55, 0.85, 1.0])
    torch.testing.assert_close(resized(frames, (1, 8)).flatten(), wanted)
    assert resized(torch.ones(1, 1, 120, 160), (128, 128)).max() <= 1


def test_frames_of_another_size_are_resized_when_asked_for() -> None:
    one = Counted(3, h=4, w=6)
    values = clips_of(one).frames(np.array([0]))
    assert values.shape == (1, 3, 1, 2, 3)
    means = one.pixels[..., 0].reshape(3, 2, 2, 3, 2).mean((2, 4)) / 255  # a whole factor of 2: means of four
    np.testing.assert_allclose(values[0, :, 0].numpy(), means, atol=1e-6)


def images(folder: Path, count: int = 3) -> ImageFiles:
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(jpeg(quarters([40 * number] * 4)))
    return ImageFiles(folder, [f"{number}.jpg" for number in range(count)], np.asarray)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def other_size(path: Path) -> None:
    path.write_bytes(jpeg(quarters([0] * 4, h=12)))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, "expected a whole image, got: .*[Tt]runcated"),
    "no image": (lambda path: path.write_text("<html>"), "expected a whole image, got: cannot identify"),
    "gone": (Path.unlink, "expected a whole image, got: No such file"),
    "another size": (other_size, "expected 32 x 24 pixels, as 0.jpg has, got 32 x 12"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_image_is_refused_by_its_path_when_it_is_read(tmp_path: Path, case: str) -> None:
    damage, message = BROKEN[case]
    read = images(tmp_path)
    damage(tmp_path / "2.jpg")
    assert read(np.array([0, 1])).shape == (2, 24, 32)
    with pytest.raises(SourceError, match=rf"image \S+2.jpg: {message}") as refusal:
        read(np.array([1, 2]))
    assert "fetch the file again" in str(refusal.value)


def test_what_the_reader_of_pixels_expected_is_said(tmp_path: Path) -> None:
    def grey_only(image: Image.Image) -> np.ndarray:
        raise ValueError(f"an image of mode {image.mode}")

    read = images(tmp_path)
    read.pixels = grey_only
    with pytest.raises(SourceError, match=r"0.jpg: expected a whole image, got: an image of mode L"):
        read(np.array([0]))
