"""Human3.6M: colour video of actors before four cameras, one JPEG file a frame, and lists of the clips.

Ionescu, Papava, Olaru, Sminchisescu: Human3.6M, TPAMI 2014. The published lists are STRPM's, as OpenSTL uses them:
`train.txt` and `test.txt` with a line `prefix,begin` (a third number is passed over) for each clip; the clip is the
files prefix + begin, begin + 5, begin + 10, ..., in six digits.

Three things to know. The published lists are a random split of one set of windows: nearly every test clip (8,483 of
8,582) has frames that training clips have too; how many there are stands in `origin` of the test part. They hold
73,404 and 8,582 clips; the 2.6k and 1.1k of the paper are another selection (walking only, subjects S1, S5 to S8
for training, S9 and S11 for test). And the published code reads the channels as blue, green, red and shrinks with
cv2's INTER_CUBIC, which skips pixels; here they are red, green, blue, and Pillow's bicubic filter, which averages
over what it shrinks.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.video.clips import Part
from datasets.video.recordings import COLOURS, FrameFolders, ImageFiles, Recording, Window, held_out
from simvp.budget import BUDGET
from simvp.errors import SourceError, shortened

SHOWN = 5
LONGEST = BUDGET // 64  # bytes of a list; the longest published one has 5 MB
NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True)
class Listed:
    """A clip as a list gives it: the prefix of its files, and the number of the first."""

    prefix: str
    begin: int

    @property
    def scene(self) -> str:
        """Subject and action, without the camera: the four cameras saw the same movement."""
        return self.prefix.rpartition("/")[2].partition(".")[0]


class Human36MBenchmark(FrameFolders):
    """Human3.6M, read from `images/<subject>_<action>.<camera>_<NNNNNN>.jpg` and the lists of clips."""

    stride = 5  # from one frame of a clip to the next, in the numbers of the files

    def _absent(self, folder: Path) -> list[str] | None:
        lists = all((folder / name).is_file() for name in ("train.txt", "test.txt"))
        return None if lists and (folder / "images").is_dir() else []

    def _layout(self, folder: Path, part: Part, length: int) -> tuple[str, list[Window]]:
        """Clips that the list of a part names; every file is looked for."""
        training = _listed(folder / "train.txt")
        listed = _listed(folder / "test.txt") if part == "test" else training
        self._check(folder, folder / ("test.txt" if part == "test" else "train.txt"), listed, length)
        if part == "test":
            trained = {frame for clip in training for frame in self._frames(clip, length)}
            shared = sum(not trained.isdisjoint(self._frames(clip, length)) for clip in listed)
            origin = f"{len(listed)} clips of test.txt, {shared} of which have frames that clips of train.txt have too"
        else:
            # Whole scenes, for the windows of one scene share frames, and its cameras saw the same movement.
            held = held_out(Counter(clip.scene for clip in training))
            listed = [clip for clip in training if (clip.scene in held) == (part == "validation")]
            scenes = len({clip.scene for clip in listed})
            origin = f"{len(listed)} of {len(training)} clips of train.txt, of {scenes} scenes"
        return origin, self._windows(folder, listed, length)

    def _frames(self, clip: Listed, length: int) -> list[tuple[str, int]]:
        return [(clip.prefix, clip.begin + self.stride * number) for number in range(length)]

    def _check(self, path: Path, listing: Path, listed: Sequence[Listed], length: int) -> None:
        """Refuse frames that are not there; each folder is read once, as there are half a million files."""
        wanted = {f"{prefix}{number:06d}.jpg" for clip in listed for prefix, number in self._frames(clip, length)}
        there: set[str] = set()
        for folder in {clip.prefix[: clip.prefix.rfind("/") + 1] for clip in listed}:
            if (path / folder).is_dir():
                there.update(folder + name for name in os.listdir(path / folder))
        if absent := sorted(wanted - there):
            first = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
            reason = f"{listing} names {len(wanted)} frames for clips of {length}; {len(absent)} are not there: {first}"
            raise SourceError(f"benchmark {self.name}", [reason], "fetch them, or take their clips out of the list")

    def _windows(self, path: Path, listed: Sequence[Listed], length: int) -> list[Window]:
        """Clips by recording; frame numbers that are no multiple of the stride apart are never in one clip."""
        tracks: dict[tuple[str, int], set[int]] = defaultdict(set)
        for clip in listed:
            tracks[clip.prefix, clip.begin % self.stride].update(number for _, number in self._frames(clip, length))
        recordings = {key: self._recording(path, key[0], np.array(sorted(track))) for key, track in tracks.items()}
        clips = [(recordings[clip.prefix, clip.begin % self.stride], clip.begin) for clip in listed]
        return [(recording, int(np.searchsorted(recording.numbers, begin))) for recording, begin in clips]

    def _recording(self, path: Path, prefix: str, numbers: np.ndarray) -> Recording:
        folder, _, stem = prefix.rpartition("/")
        read = ImageFiles(path / folder, [f"{stem}{number:06d}.jpg" for number in numbers], self._pixels)
        return Recording(name=stem.rstrip("_"), numbers=numbers, read=read, digits=6)

    def _pixels(self, image: Image.Image) -> np.ndarray:
        """Frame (H, W, 3) uint8, red, green, blue."""
        H, W = self.size
        return np.asarray(image.convert("RGB").resize((W, H), Image.Resampling.BICUBIC))


def _listed(path: Path) -> list[Listed]:
    """Clips of a list, in its order."""
    clips, wrong = [], []
    if (size := path.stat().st_size) > LONGEST:
        raise SourceError(f"list {path}", [f"expected at most {LONGEST} bytes, got {size}"], "fetch the list again")
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        prefix, *numbers = line.strip().split(",")
        inside = prefix and not prefix.startswith("/") and ".." not in prefix.split("/")
        if inside and numbers and NUMBER.fullmatch(numbers[0].strip()):
            clips.append(Listed(prefix, int(numbers[0])))
        elif line.strip():
            wrong.append(f"line {number}: expected prefix,begin, got {line.strip()[:60]!r}")
    if not clips and not wrong:
        wrong.append("expected prefix,begin in each line, got an empty list")
    if wrong:
        raise SourceError(f"list {path}", shortened(wrong, SHOWN), "fetch the list again")
    return clips


HUMAN = Human36MBenchmark(
    name="human36m",
    title="Human3.6M",
    licence="academic use only, under the licence agreement of its site; no redistribution",
    source="http://vision.imar.ro/human3.6m/",
    folder="human",
    files="images/<subject>_<action>.<camera>_<NNNNNN>.jpg, train.txt and test.txt",
    variables=COLOURS,
    size=(128, 128),
    frames_in=4,
    frames_out=4,
    splits={
        "train": "clips of train.txt, without those of validation",
        "validation": "clips of train.txt of the last scenes (subject and action, sorted) that hold a tenth of them",
        "test": "clips of test.txt, which in the published lists share frames with train.txt",
    },
    paper_counts={"train": "2.6k", "test": "1.1k"},
)
