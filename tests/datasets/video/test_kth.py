"""KTH from its images: the persons of each part, the windows of each action, every frame at its place."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.video.clips import PARTS
from datasets.video.kth import EVERY, KTH
from simvp.errors import SourceError
from tests.support.files.footage import address, jpeg, opened_images, quarters

ACTIONS = list(EVERY)
SHORT = [1, 2, 3, 4, 5, 6]
# Numbers of the frames of the few recordings that are long enough for T + T' = 30 and 50.
LONG = {
    (1, "walking"): range(1, 32),
    (15, "running"): range(11, 44),
    (17, "boxing"): [*range(1, 41), *range(42, 96)],  # frame 41 is missing: runs of 40 and 54
    (17, "jogging"): range(1, 37),
}


def levels(person: int, action: str, number: int) -> list[int]:
    """Address of a frame: person, action, and its number in two digits of base 32."""
    return [9 * person + 4, 30 * ACTIONS.index(action) + 20, 7 * (number % 32) + 10, 40 * (number // 32) + 10]


def make(root: Path) -> Path:
    """All 25 persons and six actions, each with one recording; frames are 32 x 24, of which 128 x 128 are made."""
    for person in range(1, 26):
        for action in ACTIONS:
            folder = root / "kth" / action / f"person{person:02d}_{action}_d1_uncomp"
            folder.mkdir(parents=True)
            (folder / "Thumbs.db").write_bytes(b"passed over")
            for number in LONG.get((person, action), SHORT):
                grey = quarters(levels(person, action, number))
                content = grey if person % 2 else np.stack([grey, 255 - grey, grey], axis=-1)  # one channel or three
                (folder / f"image_{number:04d}.jpg").write_bytes(jpeg(content))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("kth"))


def test_windows_of_each_part_at_the_paper_s_t_and_horizons(root: Path) -> None:
    names = {
        part: [clips.name(i) for i in range(len(clips))] for part in PARTS for clips in [KTH.open(part, root=root)]
    }
    assert names == {
        "train": ["person01_walking_d1 frame 0002"],
        "validation": ["person15_running_d1 frame 0011", "person15_running_d1 frame 0014"],
        "test": [
            "person17_boxing_d1 frame 0011",  # to 0040, where the run ends
            "person17_boxing_d1 frame 0066",
            "person17_jogging_d1 frame 0001",
            "person17_jogging_d1 frame 0004",
            "person17_jogging_d1 frame 0007",
        ],
    }
    far = KTH.open("test", root=root, frames_out=40)
    assert [far.name(i) for i in range(len(far))] == ["person17_boxing_d1 frame 0046"]
    assert far.frames(np.array([0])).shape == (1, 50, 1, 128, 128)


def test_every_frame_is_at_its_place(root: Path) -> None:
    clips = KTH.open("test", root=root)
    values = clips.frames(np.arange(len(clips)))
    assert values.dtype == torch.float32
    assert values.shape == (5, 30, 1, 128, 128)
    for index, action in enumerate(["boxing"] * 2 + ["jogging"] * 3):
        for place, number in enumerate(clips.numbers(index).tolist()):
            levels_read = np.array(address(values[index, place, 0].numpy()))
            assert np.abs(levels_read - levels(17, action, number)).max() <= 2, (action, number)


def test_three_channels_give_the_first(root: Path) -> None:
    clips = replace(KTH, frames_in=1, frames_out=1).open("train", root=root)
    index = next(i for i in range(len(clips)) if clips.name(i) == "person14_handwaving_d1 frame 0005")
    levels_read = address(clips.frames(np.array([index]))[0, 1, 0].numpy())
    assert np.abs(np.array(levels_read) - levels(14, "handwaving", 6)).max() <= 3


def test_parts_share_no_person_and_cover_all(root: Path) -> None:
    short = replace(KTH, frames_in=2, frames_out=3)
    persons = {}
    for part in PARTS:
        clips = short.open(part, root=root)
        names = [clips.name(index) for index in range(len(clips))]
        persons[part] = {int(name[6:8]) for name in names}
        assert {name.split("_")[1] for name in names} == set(ACTIONS)
        assert f"{len(persons[part]) * 6} recordings" in clips.origin
    assert persons == {"train": set(range(1, 15)), "validation": {15, 16}, "test": set(range(17, 26))}


def test_opening_decodes_nothing_and_reading_each_frame_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opened_images(monkeypatch)
    clips = KTH.open("test", root=root)
    assert opened == []
    for _ in range(2):
        clips.frames(np.arange(len(clips)))
    assert len(opened) == len(set(opened)) == 30 + 30 + 36


def test_the_dataset_of_a_clip(root: Path) -> None:
    ds = KTH.open("test", root=root).labelled(1)
    assert ds["frame"].values.tolist() == list(range(66, 96))
    assert ds["clip"].item() == "person17_boxing_d1 frame 0066"
    assert dict(ds["intensity"].sizes) == {"time": 30, "y": 128, "x": 128}
    assert ds.attrs["origin"] == "54 recordings of persons 17 to 25, all six actions"


def test_missing_files_are_refused_with_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert not KTH.present()
    with pytest.raises(SourceError, match=r"benchmark kth: expected the videos as images.*SIMVP_DATA is not set"):
        KTH.open("train")
    for action in ACTIONS[:-1]:
        (tmp_path / "kth" / action).mkdir(parents=True)
    assert not KTH.present(tmp_path)
    with pytest.raises(SourceError, match=r"no folder \S+kth/running") as refusal:
        KTH.open("train", root=tmp_path)
    assert "https://www.csc.kth.se/cvap/actions/ into the folder kth" in str(refusal.value)


def test_persons_and_frames_that_are_missing_are_refused_together(tmp_path: Path) -> None:
    for action in ACTIONS:
        for person in (15, 16):
            folder = tmp_path / "kth" / action / f"person{person}_{action}_d1_uncomp"
            folder.mkdir(parents=True)
            (folder / "image_0001.jpg").write_bytes(b"")
    shutil.rmtree(tmp_path / "kth/boxing/person16_boxing_d1_uncomp")
    (tmp_path / "kth/walking/person15_walking_d1_uncomp/image_0001.jpg").unlink()
    assert KTH.present(tmp_path)
    with pytest.raises(SourceError) as refusal:
        KTH.open("validation", root=tmp_path)
    assert len(refusal.value.reasons) == 2
    assert "kth/boxing: expected folders of each person, got none of 16" in str(refusal.value)
    assert "person15_walking_d1_uncomp: expected image_<NNNN>.jpg, got none" in str(refusal.value)


def test_recordings_too_short_for_the_horizon_are_refused(root: Path) -> None:
    with pytest.raises(SourceError, match="benchmark kth, part train: expected at least one run of 110 frames"):
        KTH.open("train", root=root, frames_out=100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def other_size(path: Path) -> None:
    path.write_bytes(jpeg(quarters([9] * 4, h=48)))


def four_channels(path: Path) -> None:
    Image.new("CMYK", (32, 24)).save(path)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (cut, "expected a whole image, got: .*[Tt]runcated"),
    "another size": (other_size, "expected 32 x 24 pixels, as image_0001.jpg has, got 32 x 48"),
    "four channels": (four_channels, "an image of mode CMYK, where grey or RGB was expected"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_jpeg_is_refused_when_it_is_read(root: Path, tmp_path: Path, case: str) -> None:
    shutil.copytree(root / "kth", tmp_path / "kth", ignore=lambda folder, names: [n for n in names if "person0" in n])
    damage, message = DAMAGES[case]
    damage(tmp_path / "kth/jogging/person17_jogging_d1_uncomp/image_0036.jpg")
    clips = KTH.open("test", root=tmp_path)
    clips.frames(np.array([2, 3]))
    with pytest.raises(SourceError, match=rf"person17_jogging_d1_uncomp/image_0036.jpg: .*{message}"):
        clips.frames(np.array([4]))


@pytest.mark.skipif(not KTH.present(), reason="SIMVP_DATA holds no KTH")
def test_the_real_images_give_the_paper_s_counts() -> None:
    counts = {part: len(KTH.open(part)) for part in PARTS}
    published = {"train": counts["train"] + counts["validation"], "test": counts["test"]}
    assert {part: f"{count // 100 / 10}k" for part, count in published.items()} == KTH.paper_counts
