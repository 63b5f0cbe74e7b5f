"""From KITTI to Caltech Pedestrian: colour video out of two cars, trained on the one and tested on the other.

Geiger et al.: Vision meets Robotics, IJRR 2013; Dollar et al.: Pedestrian Detection, CVPR 2009; prepared as by PredNet
(Lotter et al., ICLR 2017): resized to 128 rows with the aspect kept, 160 columns out of the centre.

Two forms of the files circulate. The original: KITTI as PredNet's hickle files, Caltech's test recordings as `.seq`,
of which every third frame counts. And `kitticaltech_npy`: frames and the starts of their windows, without
recordings. Where both are there, the original is read.

Differences from the published codes: Caltech frames are decoded and resized by Pillow (bilinear, averaging over what
it shrinks, as PredNet did with KITTI), not by OpenCV and scikit-image; on a public recording of that kind a pixel
differs by 0.8 and 0.6 grey levels of 255 on average. They are kept in 8 bits, and so are the floats of
`kitticaltech_npy`, which moves a value by 1/510 at most.

The counts of the paper (2,042 and 1,983) are those of windows of 20 frames, 10 + 10; windows of 10 + 1 frames, which
the task and OpenSTL's code say, are nearly twice as many (3,738 for training, OpenSTL issue 12).
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.video.clips import Part, windows
from datasets.video.hickle import HickledFrames, hickled_strings
from datasets.video.recordings import COLOURS, FrameFolders, Recording, Window, held_out
from datasets.video.seq import SeqFile
from simvp.errors import SourceError

SETS = ("set06", "set07", "set08", "set09", "set10")
THIRD = 3
ARRAYS = tuple(f"kitticaltech_npy/{part}_{what}.npy" for part in ("train", "test") for what in ("data", "idx"))
FETCH = "fetch the file again"


class KittiCaltechBenchmark(FrameFolders):
    """KITTI for training and Caltech Pedestrian for test, in either of their two forms."""

    def _absent(self, folder: Path) -> list[str] | None:
        arrays = all((folder / name).is_file() for name in ARRAYS)
        return None if arrays else _absent_originals(folder) or None

    def _layout(self, folder: Path, part: Part, length: int) -> tuple[str, list[Window]]:
        """Windows of either form; the original is taken where both are there."""
        if _absent_originals(folder):
            return self._from_arrays(folder / "kitticaltech_npy", part, length)
        recordings, origin, step = self._caltech(folder) if part == "test" else self._kitti(folder, part)
        return origin, [(one, start) for one in recordings for start in windows(one.numbers, length, length, step)]

    def _kitti(self, path: Path, part: Part) -> tuple[list[Recording], str, int]:
        """Recordings of training or validation; X_val.hkl is validation where it is there."""
        folder, name = path / "kitti_hkl", "train"
        there = [(folder / f"{kind}_val.hkl").is_file() for kind in ("X", "sources")]
        if any(there) and not all(there):
            kinds = ("X_val.hkl", "sources_val.hkl") if there[0] else ("sources_val.hkl", "X_val.hkl")
            reason = f"{kinds[0]} is there, {kinds[1]} is not"
            raise SourceError(f"folder {folder}", [reason], f"fetch {kinds[1]} too, or take {kinds[0]} away")
        if all(there) and part == "validation":
            name = "val"
        recordings = self._hickled(folder / f"X_{name}.hkl", folder / f"sources_{name}.hkl")
        if not all(there):
            held = held_out(Counter(one.name for one in recordings for _ in one.numbers))  # the same for every T'
            recordings = [one for one in recordings if (one.name in held) == (part == "validation")]
        return recordings, f"{len(recordings)} KITTI recordings of kitti_hkl/X_{name}.hkl", 1

    def _hickled(self, frames: Path, sources: Path) -> list[Recording]:
        """Recordings of a hickle file; frames are numbered from 0 in each, as KITTI's files are."""
        H, W = self.size
        stored, names = HickledFrames(frames, (H, W, 3)), hickled_strings(sources)
        if len(stored) != len(names):
            reason = f"expected a recording for each of {len(stored)} frames of {frames.name}, got {len(names)}"
            raise SourceError(f"hickle file {sources}", [reason], "fetch both files again")
        recordings, first = [], 0
        for name, run in groupby(names):
            numbers = np.arange(len(list(run)))
            recordings.append(Recording(name=name, numbers=numbers, read=partial(stored.read, first=first)))
            first += len(numbers)
        return recordings

    def _caltech(self, path: Path) -> tuple[list[Recording], str, int]:
        """Test recordings, every third frame, numbered from 0 as in the container."""
        recordings = []
        for file in _sequences(path):
            seq = SeqFile(file)
            if _width(seq.height, seq.width, self.size) < self.size[1]:
                reason = f"expected frames at least as wide as {self.size[1]} : {self.size[0]}"
                raise SourceError(f"recording {file}", [f"{reason}, got {seq.width} x {seq.height} pixels"], FETCH)
            kept = np.arange(THIRD - 1, len(seq), THIRD)  # the published code counts from 1 and keeps 3, 6, 9, ...
            name = f"{file.parent.name}/{file.stem}"
            recordings.append(Recording(name=name, numbers=kept, read=partial(self._third, seq), digits=4))
        origin = f"{len(recordings)} Caltech Pedestrian recordings of {SETS[0]} to {SETS[-1]}, every third frame"
        return recordings, origin, THIRD

    def _third(self, seq: SeqFile, positions: np.ndarray) -> np.ndarray:
        return np.stack([_cropped(seq.frame(THIRD * p + THIRD - 1), self.size) for p in positions.tolist()])

    def _from_arrays(self, folder: Path, part: Part, length: int) -> tuple[str, list[Window]]:
        """Clips of the arrays; the last tenth of the training windows, in the order of frames, is validation."""
        name = "test" if part == "test" else "train"
        source = folder / f"{name}_data.npy"
        H, W = self.size
        frames = _mapped(source)
        if frames.shape[1:] != (H, W, 3) or not (frames.dtype == np.uint8 or frames.dtype.kind == "f"):
            raise _unfit(source, f"(N, {H}, {W}, 3) of floats or uint8", frames)
        starts = _mapped(folder / f"{name}_idx.npy")
        if starts.ndim != 1 or starts.dtype.kind not in "iu" or not 1 <= len(starts) <= len(frames):
            wanted = f"starts of windows, (K,) of whole numbers, one for each of {len(frames)} frames at most"
            raise _unfit(folder / f"{name}_idx.npy", wanted, starts)
        starts = np.sort(np.asarray(starts, dtype=np.int64))
        reasons = []
        if starts[0] < 0 or starts[-1] + length > len(frames):
            got = f"starts {starts[0]} to {starts[-1]}"
            reasons.append(f"expected windows of {length} frames within {len(frames)} of {name}_data.npy, got {got}")
        apart = int(np.diff(starts).min(initial=length))
        if length > self.frames_in + self.frames_out and apart < length:
            reason = f"expected starts {length} frames apart, got {apart}"
            reasons.append(f"{reason}: the file does not say where recordings end")
        if reasons:
            raise SourceError(f"array {folder / f'{name}_idx.npy'}", reasons, f"{FETCH}, or ask for fewer frames")
        origin = f"{name}_data.npy and {name}_idx.npy of kitticaltech_npy"
        if part != "test":
            cut = len(starts) - -(-len(starts) // 10)
            training, rest = starts[:cut], starts[cut:]
            # starts are ascending, so that only the last of training can reach into validation
            validation = rest[rest >= training[-1] + length] if len(training) else rest
            starts = training if part == "train" else validation
            origin += f", {'first' if part == 'train' else 'last'} {len(starts)} windows"
        read = partial(_eight_bits, frames, source)
        recording = Recording(name=f"{name}_data", numbers=np.arange(len(frames)), read=read)
        return origin, [(recording, start) for start in starts.tolist()]


def _absent_originals(path: Path) -> list[str]:
    """What is missing of the original files, in words."""
    names = [f"kitti_hkl/{name}" for name in ("X_train.hkl", "sources_train.hkl")]
    reasons = [f"there is no {path / name}" for name in names if not (path / name).is_file()]
    there = {file.parent.name for file in _sequences(path)}
    return reasons + [f"there is no V*.seq in {path / 'caltech' / name}" for name in SETS if name not in there]


def _sequences(path: Path) -> Iterator[Path]:
    for name in SETS:
        yield from sorted((path / "caltech" / name).glob("V*.seq"))


def _cropped(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frame (h, w, 3) resized to H rows, its aspect kept, and W columns of it out of the centre, as PredNet does."""
    H, W = size
    width = _width(frame.shape[0], frame.shape[1], size)
    left = (width - W) // 2
    return np.asarray(Image.fromarray(frame).resize((width, H), Image.Resampling.BILINEAR))[:, left : left + W]


def _width(h: int, w: int, size: tuple[int, int]) -> int:
    """Columns of a frame of h rows and w columns that is resized to H rows with its aspect kept."""
    return round(size[0] / h * w)


def _mapped(path: Path) -> np.ndarray:
    """A .npy file, mapped, so that a slice is read when asked for."""
    try:
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:  # no such format, objects, or fewer bytes than the header promises
        raise SourceError(f"array {path}", [f"expected a whole .npy file of numbers, got: {error}"], FETCH) from error
    return array


def _unfit(path: Path, wanted: str, array: np.ndarray) -> SourceError:
    return SourceError(f"array {path}", [f"expected {wanted}, got {array.shape} of {array.dtype}"], FETCH)


def _eight_bits(frames: np.ndarray, path: Path, positions: np.ndarray) -> np.ndarray:
    """Frames at positions (K,), (K, H, W, C) uint8; floats between 0 and 1 are rounded."""
    block = np.asarray(frames[positions])
    if block.dtype == np.uint8:
        return block
    if not (block.min() >= 0 and block.max() <= 1):  # NaN fails both
        reason = f"frames {positions[0]} to {positions[-1]}: expected floats between 0 and 1"
        raise SourceError(f"array {path}", [f"{reason}, got {block.min()} to {block.max()}"], FETCH)
    return np.rint(block * 255).astype(np.uint8)


KITTI_CALTECH = KittiCaltechBenchmark(
    name="kitticaltech",
    title="KITTI to Caltech Pedestrian",
    licence="KITTI: CC BY-NC-SA 3.0; Caltech Pedestrian: see its page",
    source="https://www.cvlibs.net/datasets/kitti/ and https://data.caltech.edu/records/f6rph-90m20",
    files=(
        "kitti_hkl/X_train.hkl and sources_train.hkl (and X_val.hkl, sources_val.hkl) as PredNet prepares KITTI, with "
        "caltech/set06 to set10/V<NNN>.seq; or kitticaltech_npy/{train,test}_{data,idx}.npy"
    ),
    variables=COLOURS,
    size=(128, 160),
    frames_in=10,
    frames_out=1,
    folder=".",
    splits={
        "train": "KITTI recordings of X_train.hkl; of kitticaltech_npy, the first nine tenths of train_idx.npy",
        "validation": (
            "KITTI recordings of X_val.hkl, or else the last recordings of X_train.hkl, sorted, that hold a tenth of "
            "its frames; of kitticaltech_npy, the last tenth of train_idx.npy"
        ),
        "test": "Caltech Pedestrian set06 to set10, every third frame; or test_idx.npy",
    },
    paper_counts={"train": "2k", "test": "2k"},
)
