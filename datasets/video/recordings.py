"""Clips out of recordings: which frames make a clip, how frames are read, and that each is decoded once.

`FrameFolders` reads a benchmark; KTH, Human3.6M and Caltech differ in the layout of their folders alone.

Letters: N frames of a recording, K of them asked for, h and w rows and columns as they are kept, c channels last;
B, L, C, H, W as in `datasets.video.clips`.
"""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.video.clips import Benchmark, Clips, Part
from simvp.budget import BUDGET
from simvp.errors import SourceError

# Of frames that stay decoded, in place of the frames that a training of gridded data keeps: a budget of its own.
MEMORY = 4 * BUDGET
COLOURS = {name: name for name in ("red", "green", "blue")}
PIXELS = BUDGET // 16 // 3  # of one picture, in three channels: what is read at once; the largest here have a million
# Pillow raises each of these on damaged files, and on pictures of absurd size.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)
REMEDY = "fetch the file again, or take the recording away"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Frames that one camera took one after another.

    Parameters
    ----------
    name
        Of the recording, as its files or folder name it.
    numbers
        Of the frames, (N,) int, ascending, as the files give them.
    read
        From positions (K,) in the recording to frames (K, h, w, c) uint8, each of the same size.
    digits
        Of a frame number as the files write it.
    """

    name: str
    numbers: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]
    digits: int = 1


Window = tuple[Recording, int]  # and the position of its first frame


class VideoClips(Clips):
    """Clips of L frames that follow each other in a recording.

    Frames are kept as they were read, in uint8; float32 values between 0 and 1 are made of them when asked for.
    Frames of another size than the benchmark's are resized then, as `resized` says.

    Parameters
    ----------
    windows
        Recording and position of the first frame, one a clip.
    memory
        Bytes of frames that are kept; each of these is decoded once. Frames beyond are decoded each time.

    Raises
    ------
    SourceError
        No window at all; later, files that cannot be decoded.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        part: Part,
        frames_out: int,
        origin: str,
        windows: Sequence[Window],
        memory: int = MEMORY,
    ) -> None:
        super().__init__(benchmark, part, frames_out, origin)
        if not windows:
            raise SourceError(
                f"benchmark {benchmark.name}, part {part}",
                [f"expected at least one run of {self.length} frames that follow each other, got none"],
                "ask for fewer frames, or fetch the recordings whole",
            )
        self.windows = windows
        self._left = memory
        self._kept: dict[Recording, dict[int, np.ndarray]] = {}

    def __len__(self) -> int:
        """Windows of the part."""
        return len(self.windows)

    def frames(self, indices: np.ndarray) -> Tensor:
        """Clips at `indices`, (B, L, C, H, W) float32 between 0 and 1."""
        return torch.stack([self._clip(*self.windows[int(index)]) for index in indices])

    def name(self, index: int) -> str:
        """Recording and number of the first frame."""
        recording, start = self.windows[index]
        return f"{recording.name} frame {recording.numbers[start]:0{recording.digits}d}"

    def numbers(self, index: int) -> np.ndarray:
        """Numbers of the frames of a clip, (L,), as the files give them."""
        recording, start = self.windows[index]
        return recording.numbers[start : start + self.length]

    def _clip(self, recording: Recording, start: int) -> Tensor:
        kept = self._kept.setdefault(recording, {})
        positions = range(start, start + self.length)
        absent = [position for position in positions if position not in kept]
        fresh = dict(zip(absent, recording.read(np.array(absent)), strict=True)) if absent else {}
        clip = torch.from_numpy(np.stack([kept[p] if p in kept else fresh[p] for p in positions]))  # (L, h, w, c)
        for position, frame in fresh.items():
            if frame.nbytes <= self._left:
                kept[position] = frame.copy()  # not a view, which would keep all that was read with it
                self._left -= frame.nbytes
        return resized(clip.permute(0, 3, 1, 2).float() / 255, self.benchmark.size)


class FrameFolders(Benchmark):
    """A benchmark of recordings whose frames lie in folders; a subclass knows their layout."""

    def present(self, root: Path | None = None) -> bool:
        """Whether the layout's files are there."""
        folder = self.path(root)
        return folder is not None and self._absent(folder) is None

    def _clips(self, part: Part, root: Path | None, frames_out: int, seed: int, device: str) -> VideoClips:
        folder = self.path(root)
        absent = [] if folder is None else self._absent(folder)
        if folder is None or absent is not None:
            raise self.missing(root, absent or [])
        return VideoClips(self, part, frames_out, *self._layout(folder, part, self.frames_in + frames_out))

    @abstractmethod
    def _absent(self, folder: Path) -> list[str] | None:
        """None where the files are there; else what is missing, in words, where that can be told."""

    @abstractmethod
    def _layout(self, folder: Path, part: Part, length: int) -> tuple[str, list[Window]]:
        """What the clips of L frames are made of, in words, and the clips. No frame is decoded.

        Raises
        ------
        SourceError
            Files that are missing within the layout, cut off, of another form, or that do not fit together.
        """


class ImageFiles:
    """Reads a recording that has one image file a frame, all of one size.

    Parameters
    ----------
    folder, names
        Of the files, in the order of the frames.
    pixels
        From an open image to a frame (h, w, c) uint8; a ValueError says what it expected.

    Raises
    ------
    SourceError
        On reading: a file that is gone, cut off, no image, or of another size than the first that was read.
    """

    def __init__(self, folder: Path, names: Sequence[str], pixels: Callable[[Image.Image], np.ndarray]) -> None:
        self.folder, self.names, self.pixels = folder, names, pixels
        self._first: tuple[str, tuple[int, int]] | None = None

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Frames at `positions`, (K, h, w, c) uint8."""
        return np.stack([self._frame(self.names[position]) for position in positions.tolist()])

    def _frame(self, name: str) -> np.ndarray:
        path = self.folder / name
        try:
            if not path.is_file() and path.exists():
                raise ValueError("no regular file")
            with opened(path) as image:
                size = image.size
                first, expected = self._first = self._first or (name, size)
                frame = self.pixels(image) if size == expected else None  # decoded only if it is as large as the first
        except BROKEN as error:
            got = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise SourceError(f"image {path}", [f"expected a whole image, got: {got}"], REMEDY) from error
        if frame is None:
            reason = f"expected {expected[0]} x {expected[1]} pixels, as {first} has, got {size[0]} x {size[1]}"
            raise SourceError(f"image {path}", [reason], REMEDY)
        return frame


@contextmanager
def opened(place: Path | IO[bytes], formats: tuple[str, ...] = ("JPEG", "PNG")) -> Iterator[Image.Image]:
    """A picture whose pixels are not decoded yet.

    No other format is tried, whatever a file is called: Pillow hands PostScript to another program. Raises one of
    `BROKEN`, also for a picture that is larger than those of any recording.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(place, formats=formats)
    with image:
        if image.width * image.height > PIXELS:
            size = f"{image.width} x {image.height}"
            raise ValueError(f"{size} pixels, more than the {PIXELS:,} that are decoded; make smaller ones")
        yield image


def resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (L, C, h, w) at another size, (L, C, *size), by the rule of cv2.resize's default.

    Bilinear between pixel centres, without smoothing where it shrinks; float32 all the way, nothing is rounded to
    whole grey levels. On random frames of four sizes equal to OpenCV 5.0 within 1.2e-7.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    return torch.nn.functional.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)


def held_out(sizes: Mapping[str, int]) -> set[str]:
    """Names that make up a validation part: the last ones, sorted, until they hold a tenth of the sum of sizes."""
    held: set[str] = set()
    for name in sorted(sizes, reverse=True):
        if sum(sizes[one] for one in held) * 10 >= sum(sizes.values()):
            break
        held.add(name)
    return held
