"""Human3.6M from its images and lists: the clips that a list names, in its order, and nothing that is not there."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.video.clips import PARTS
from datasets.video.human36m import HUMAN
from simvp.errors import SourceError
from tests.support.files.footage import TOLERANCE, flat, jpeg, opened_images

SMALL = replace(HUMAN, size=(16, 16))
# Ten scenes of one camera each but the last, which two cameras saw; sorted, S9_Walking is the last.
SCENES = ["S1_Directions", "S11_Eating_1", *(f"S5_Sitting_{n}" for n in range(1, 8)), "S9_Walking"]
PREFIXES = [*(f"images/{scene}.54138969_" for scene in SCENES), "images/S9_Walking.60457274_"]
FRAMES = range(1, 72, 5)  # 15 files a recording; begins 1 to 36 fit


def colour(prefix: str, number: int) -> tuple[int, int, int]:
    return 20 * PREFIXES.index(prefix) + 20, 3 * number + 20, 130


def make(root: Path, training: Sequence[str], test: Sequence[str]) -> Path:
    folder = root / "human"
    (folder / "images").mkdir(parents=True)
    for prefix in PREFIXES:
        for number in FRAMES:
            (folder / f"{prefix}{number:06d}.jpg").write_bytes(jpeg(flat(*colour(prefix, number))))
    (folder / "train.txt").write_text("\n".join(training) + "\n")
    (folder / "test.txt").write_text("\n".join(test))
    return root


@pytest.fixture(scope="module")
def training() -> list[str]:
    """Every window that fits into a recording, without those of the test, shuffled as the published lists are."""
    lines = [f"{prefix},{begin},{begin + 70}" for prefix in PREFIXES for begin in range(1, 37, 5)]
    random.Random(5).shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def listed() -> list[str]:
    return [f"{PREFIXES[3]},16,86", f"{PREFIXES[0]},1", f"{PREFIXES[3]},36,106"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, training: list[str], listed: list[str]) -> Path:
    kept = [line for line in training if PREFIXES[0] not in line or ",36," in line]
    return make(tmp_path_factory.mktemp("human"), kept, listed)


def test_clips_of_the_test_list_in_its_order(root: Path) -> None:
    clips = SMALL.open("test", root=root)
    assert [clips.name(i) for i in range(len(clips))] == [
        "S5_Sitting_2.54138969 frame 000016",
        "S1_Directions.54138969 frame 000001",
        "S5_Sitting_2.54138969 frame 000036",
    ]
    assert clips.numbers(0).tolist() == [16, 21, 26, 31, 36, 41, 46, 51]
    values = clips.frames(np.array([0, 1, 2])).numpy()
    assert values.shape == (3, 8, 3, 16, 16)
    for index, prefix in enumerate([PREFIXES[3], PREFIXES[0], PREFIXES[3]]):
        for place, number in enumerate(clips.numbers(index).tolist()):
            wanted = np.array(colour(prefix, number))[:, None, None] / 255
            assert np.abs(values[index, place] - wanted).max() <= TOLERANCE, (prefix, number)


def test_the_origin_of_the_test_part_says_how_many_clips_were_trained_on(root: Path) -> None:
    # the first recording has only begin 36 in training (36, 41, ..., 71), which meets 1, 6, ..., 36 in one frame
    assert "3 clips of test.txt, 3 of which have frames" in SMALL.open("test", root=root).origin
    shorter = SMALL.open("test", root=root, frames_out=3)  # 1, 6, ..., 31
    assert "3 clips of test.txt, 2 of which have frames" in shorter.origin


def test_validation_is_the_last_scenes_of_all_their_cameras(root: Path) -> None:
    parts = {part: SMALL.open(part, root=root) for part in PARTS}
    names = {part: [clips.name(index) for index in range(len(clips))] for part, clips in parts.items()}
    scenes = {part: {name.partition(".")[0] for name in names[part]} for part in PARTS}
    assert scenes["validation"] == {"S9_Walking"}
    assert scenes["train"] == set(SCENES) - {"S9_Walking"}
    assert {name.split()[0] for name in names["validation"]} == {"S9_Walking.54138969", "S9_Walking.60457274"}
    assert (len(names["train"]), len(names["validation"])) == (1 + 8 * 8, 16)
    assert parts["train"].origin == "65 of 81 clips of train.txt, of 9 scenes"


def test_begins_that_are_no_step_apart_do_not_mix(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{PREFIXES[0]},1"], [f"{PREFIXES[0]},1", f"{PREFIXES[0]},3", f"{PREFIXES[0]},31"])
    for number in range(3, 39, 5):
        (root / "human" / f"{PREFIXES[0]}{number:06d}.jpg").write_bytes(jpeg(flat(*colour(PREFIXES[0], number))))
    clips = SMALL.open("test", root=root)
    assert clips.numbers(1).tolist() == [3, 8, 13, 18, 23, 28, 33, 38]
    green = clips.frames(np.array([0, 1, 2]))[:, :, 1].mean((2, 3)).numpy() * 255
    wanted = [[3 * number + 20 for number in clips.numbers(index)] for index in range(3)]
    np.testing.assert_allclose(green, wanted, atol=1.5)


def test_another_size_and_what_shrinking_averages(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{PREFIXES[0]},1"], [f"{PREFIXES[0]},1"])
    stripes = flat(0, 0, 0, 64, 64)
    stripes[:, ::4] = 240  # one column of four is bright: sampling would see 0 or 240, averaging sees 60
    for number in FRAMES:
        (root / "human" / f"{PREFIXES[0]}{number:06d}.jpg").write_bytes(jpeg(stripes))
    for size in [(16, 16), (8, 8)]:
        values = replace(HUMAN, size=size).open("test", root=root).frames(np.array([0]))
        assert values.shape == (1, 8, 3, *size)
        np.testing.assert_allclose(values[..., 2:-2].numpy(), 60 / 255, atol=4 / 255)
    same = replace(HUMAN, size=(64, 64)).open("test", root=root).frames(np.array([0]))
    np.testing.assert_allclose(same[0, 0, 0].numpy() * 255, stripes[..., 0], atol=12)


def test_opening_decodes_nothing_and_reading_each_frame_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = opened_images(monkeypatch)
    clips = SMALL.open("test", root=root)
    assert opened == []
    for _ in range(2):
        clips.frames(np.array([0, 2]))  # 16 to 51 and 36 to 71: four frames in both
    assert len(opened) == len(set(opened)) == 12


def test_the_dataset_of_a_clip(root: Path) -> None:
    ds = SMALL.open("test", root=root).labelled(0)
    assert list(ds.data_vars) == ["red", "green", "blue"]
    assert ds["frame"].values.tolist() == [16, 21, 26, 31, 36, 41, 46, 51]
    assert abs(float(ds["red"].mean()) - 80 / 255) < TOLERANCE
    assert abs(float(ds["blue"].mean()) - 130 / 255) < TOLERANCE


def test_missing_files_are_refused_with_the_address(tmp_path: Path) -> None:
    (tmp_path / "human" / "images").mkdir(parents=True)
    assert not HUMAN.present(tmp_path)
    with pytest.raises(SourceError, match=r"benchmark human36m: expected images/.*train.txt and test.txt") as refusal:
        HUMAN.open("test", root=tmp_path)
    assert "fetch them from http://vision.imar.ro/human3.6m/ into the folder human" in str(refusal.value)


def test_a_list_that_names_absent_frames_is_refused_once_with_the_first(tmp_path: Path) -> None:
    root = make(tmp_path, [f"{PREFIXES[0]},1"], [f"{PREFIXES[0]},51", f"{PREFIXES[1]},1", "images/S2_None.1_,1"])
    (root / "human" / f"{PREFIXES[1]}000001.jpg").unlink()
    with pytest.raises(SourceError) as refusal:
        SMALL.open("test", root=root)
    # 76, 81, 86 of the first, 1 of the second, all eight of the third
    assert len(refusal.value.reasons) == 1
    assert "human/test.txt names 24 frames for clips of 8; 12 are not there: images/S11_Eating_1" in str(refusal.value)
    assert "images/S1_Directions.54138969_000076.jpg" in str(refusal.value)
    assert str(refusal.value).count(".jpg") == 5
    assert len(SMALL.open("train", root=make(tmp_path / "b", [f"{PREFIXES[n]},1" for n in (0, 9)], ["x,1"]))) == 1


def test_lines_that_are_no_clips_are_refused_together(tmp_path: Path) -> None:
    root = make(tmp_path, ["images/a_,x", "", "images/b_", f"{PREFIXES[0]},1"], [""])
    with pytest.raises(SourceError) as refusal:
        SMALL.open("train", root=root)
    assert refusal.value.reasons == (
        "line 1: expected prefix,begin, got 'images/a_,x'",
        "line 3: expected prefix,begin, got 'images/b_'",
    )
    (root / "human" / "train.txt").write_text(f"{PREFIXES[0]},1")
    with pytest.raises(SourceError, match=r"list \S+test.txt: expected prefix,begin in each line, got an empty list"):
        SMALL.open("test", root=root)


def test_a_damaged_jpeg_is_refused_when_it_is_read(tmp_path: Path) -> None:
    own = make(tmp_path, [f"{PREFIXES[0]},1"], [f"{PREFIXES[0]},1", f"{PREFIXES[1]},1"])
    path = own / "human" / f"{PREFIXES[0]}000036.jpg"
    path.write_bytes(path.read_bytes()[:-15])
    clips = SMALL.open("test", root=own)
    clips.frames(np.array([1]))
    with pytest.raises(SourceError, match=r"S1_Directions.54138969_000036.jpg: expected a whole image"):
        clips.frames(np.array([0]))


@pytest.mark.skipif(not HUMAN.present(), reason="SIMVP_DATA holds no Human3.6M")
def test_the_real_lists_are_read_whole() -> None:
    folder = HUMAN.path()
    assert folder is not None
    lines = {name: len((folder / f"{name}.txt").read_text().split()) for name in ("train", "test")}
    counts = {part: len(HUMAN.open(part)) for part in PARTS}
    assert counts["train"] + counts["validation"] == lines["train"]
    assert counts["test"] == lines["test"]
    assert 0.1 <= counts["validation"] / lines["train"] < 0.12
