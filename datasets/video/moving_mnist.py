"""Moving MNIST and Moving Fashion-MNIST: generated from pictures of 28 x 28, or the published test file.

Srivastava, Mansimov, Salakhutdinov: "Unsupervised Learning of Video Representations using LSTMs", ICML 2015 (arXiv
1502.04681), in the form in which later work generates it: two pictures on a black field of 64 x 64. Each starts
anywhere in the free range (64 - 28 pixels) and moves on a straight line in any direction by 0.1 of that range per
frame; a step that leaves the range ends at its border and turns that component round. Positions are cut to whole
pixels, and where the pictures overlap the brighter one shows.

A clip depends on part, seed and number alone, so that training clips come without end and never have to be stored.
The parts have no picture in common, so no clip can be in two of them, whatever the seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.video.clips import PARTS, Benchmark, Clips, Part
from datasets.video.digits import SIZE, TEST_FILES, TRAIN_FILES, Digits, idx_file, read_digits, substitute_digits
from simvp.errors import SourceError

FIELD = 64
FREE = FIELD - SIZE
OBJECTS = 2
SPEED = 0.1  # of the free range per frame
FIXED_FRAMES = 20
# 10,000 an epoch and 10,000 to test on, as in the table of the SimVP paper (arXiv 2206.05099).
CLIPS_PER_EPOCH: Mapping[Part, int] = {"train": 10_000, "validation": 2_000, "test": 10_000}


def trajectories(start: np.ndarray, angle: np.ndarray, frames: int) -> np.ndarray:
    """Whole-pixel positions of pictures that move and bounce.

    Parameters
    ----------
    start
        (..., 2), y and x in [0, 1] of the free range, before the first step.
    angle
        (...) direction; the velocity is SPEED * (sin, cos).

    Returns
    -------
    np.ndarray
        (..., frames, 2) int64, upper left corners y and x, 0 to 36. The first frame is one step after the start.
    """
    position = np.asarray(start, np.float64).copy()
    velocity = SPEED * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    path = np.empty((*position.shape[:-1], frames, 2))
    for frame in range(frames):
        position = position + velocity
        outside = (position <= 0) | (position >= 1)
        position = position.clip(0, 1)
        velocity = np.where(outside, -velocity, velocity)
        path[..., frame, :] = position
    return (FREE * path).astype(np.int64)


class MovingDigits(Clips):
    """Clips made when they are asked for, on the device where they are needed.

    Any index of 0 or more is a clip of its own; `len` is the number that one epoch takes.

    Parameters
    ----------
    digits
        The pictures.
    seed
        Another seed, other clips.
    device
        Where the frames are drawn.
    """

    endless = True

    def __init__(
        self, benchmark: Benchmark, part: Part, frames_out: int, digits: Digits, *, seed: int = 0, device: str = "cpu"
    ) -> None:
        super().__init__(benchmark, part, frames_out, f"generated with seed {seed} from {digits.origin}")
        self.comparable = digits.published and part != "test"  # published results stand for the test file
        self.seed = seed
        self._count = len(digits.images)
        # A margin as wide as the free range on every side: a field is then a window into the picture.
        padded = torch.nn.functional.pad(torch.tensor(digits.images), (FREE,) * 4)
        self._padded = padded.to(device)  # (N, 100, 100) uint8
        # Looked up, not divided: a GPU divides by multiplying with the reciprocal, which is off in the last bit.
        self._levels = (torch.arange(256) / 255).to(device)

    def __len__(self) -> int:
        return CLIPS_PER_EPOCH[self.part]

    def draw(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which pictures, (B, 2), and where they are in each frame, (B, 2, L, 2), y and x."""
        B = len(indices)
        which, start, angle = np.empty((B, OBJECTS), np.int64), np.empty((B, OBJECTS, 2)), np.empty((B, OBJECTS))
        for row, index in enumerate(np.asarray(indices).tolist()):
            random = np.random.default_rng([PARTS.index(self.part), self.seed, index])
            which[row] = random.integers(self._count, size=OBJECTS)
            start[row] = random.random((OBJECTS, 2))
            angle[row] = random.uniform(0, 2 * np.pi, OBJECTS)
        return which, trajectories(start, angle, self.length)

    def frames(self, indices: np.ndarray) -> Tensor:
        """Clips at `indices`, (B, L, 1, 64, 64) float32 between 0 and 1, on the device."""
        which, places = (torch.from_numpy(drawn).to(self._padded.device) for drawn in self.draw(indices))
        pictures = []
        for number in range(OBJECTS):
            picture = self._padded[which[:, number]]  # (B, 100, 100)
            windows = picture.unfold(1, FIELD, 1).unfold(2, FIELD, 1)  # (B, 37, 37, 64, 64), a view
            rows = torch.arange(len(picture), device=picture.device)[:, None]
            y, x = places[:, number, :, 0], places[:, number, :, 1]  # (B, L)
            pictures.append(windows[rows, FREE - y, FREE - x])  # (B, L, 64, 64)
        return self._levels[torch.maximum(*pictures).unsqueeze(2).int()]


class FixedTestSet(Clips):
    """The published test file: uint8 (20, N, 64, 64), time first.

    Raises
    ------
    SourceError
        Another shape or type, a file that is cut off, or fewer frames than T + T'.
    """

    def __init__(self, benchmark: Benchmark, path: Path, frames_out: int) -> None:
        try:
            self._file = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError, OSError) as error:
            raise SourceError(f"test file {path}", [f"it cannot be read: {error}"], "fetch it once more") from error
        shape, dtype = self._file.shape, self._file.dtype
        expected = (FIXED_FRAMES, *shape[1:2], FIELD, FIELD)
        if shape != expected or 0 in shape or dtype != np.uint8:
            reason = f"expected uint8 ({FIXED_FRAMES}, clips, {FIELD}, {FIELD}), got {dtype} {shape}"
            raise SourceError(f"test file {path}", [reason], "fetch it once more")
        super().__init__(benchmark, "test", frames_out, f"the published file {path.name}, {shape[1]:,} clips")
        if self.length > FIXED_FRAMES:
            reason = f"expected T + T' of {FIXED_FRAMES} frames at most, got {self.frames_in} + {frames_out}"
            remedy = "ask for a shorter T', or for another seed than 0, with which test clips are generated"
            raise SourceError(f"test file {path}", [reason], remedy)

    def __len__(self) -> int:
        return int(self._file.shape[1])

    def frames(self, indices: np.ndarray) -> Tensor:
        """Clips at `indices`, (B, L, 1, 64, 64) float32 between 0 and 1."""
        chosen = self._file[: self.length, indices]  # (L, B, 64, 64)
        return torch.from_numpy(np.ascontiguousarray(chosen.swapaxes(0, 1))).unsqueeze(2).float() / 255


@dataclass(frozen=True, kw_only=True)
class MovingMNIST(Benchmark):
    """Moving pictures of one kind.

    Parameters
    ----------
    kind
        What moves, in words.
    fixed
        Name of the published test file.
    others
        Further places where the IDX files are looked for: folders beside `folder`, or absolute ones.
    substitute
        Whether scikit-learn's digits stand in where there are no files.
    """

    kind: str
    fixed: str
    others: tuple[str, ...]
    substitute: bool = False

    def present(self, root: Path | None = None) -> bool:
        """Whether there are pictures to train on, and pictures or the published file to test on."""
        folders = self._folders(root)
        tests = (*TEST_FILES, self.fixed)
        return idx_file(folders, TRAIN_FILES) is not None and idx_file(folders, tests) is not None

    def _clips(self, part: Part, root: Path | None, frames_out: int, seed: int, device: str) -> Clips:
        """Clips of one part; the published test file where it is there and no other seed than 0 is asked for.

        Digits stand in only where no file is there at all; training without anything to test on is refused as well.
        """
        folders = self._folders(root)
        train, test = idx_file(folders, TRAIN_FILES), idx_file(folders, TEST_FILES)
        fixed = idx_file(folders, (self.fixed,))
        there = [path for path in (train, test, fixed) if path is not None]
        if not there and self.substitute:
            return MovingDigits(self, part, frames_out, substitute_digits(part), seed=seed, device=device)
        if part == "test" and fixed is not None and seed == 0:
            return FixedTestSet(self, fixed, frames_out)
        lacking = [TRAIN_FILES[0]] if train is None else []
        lacking += [TEST_FILES[0]] if test is None and (fixed is None or part == "test") else []
        pictures = test if part == "test" else train
        if lacking or pictures is None:
            reason = f"found {', '.join(map(str, there))}, but no {' and no '.join(lacking)}"
            raise self.missing(root, [reason] if there else [])
        digits = read_digits(pictures, part, self.kind)
        return MovingDigits(self, part, frames_out, digits, seed=seed, device=device)

    def _folders(self, root: Path | None) -> list[Path]:
        own = self.path(root)
        beside = [] if own is None else [own, *(own.parent / name for name in self.others)]
        return beside or [Path(name) for name in self.others if name.startswith("/")]


_IDX = "train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz"

MOVING_MNIST = MovingMNIST(
    name="moving-mnist",
    title="Moving MNIST: two handwritten digits that move and bounce",
    licence="MNIST: CC BY-SA 3.0 (LeCun, Cortes); generated clips are ours",
    source="http://yann.lecun.com/exdb/mnist/ (digits) and "
    "http://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy (test file)",
    folder="moving_mnist",
    files=f"{_IDX} (digits), and mnist_test_seq.npy to compare with published results; where none of them is there, "
    "digits of scikit-learn stand in",
    variables={"intensity": "brightness, 0 black to 1 white"},
    size=(FIELD, FIELD),
    frames_in=10,
    frames_out=10,
    splits={
        "train": "clips without end from the first 5/6 of the training pictures, 10,000 an epoch",
        "validation": "2,000 clips from the last 1/6 of the training pictures",
        "test": "the published file, 10,000 clips; where it is not there, as many from the test pictures",
    },
    paper_counts={"train": "10k", "test": "10k"},
    kind="MNIST digits",
    fixed="mnist_test_seq.npy",
    others=("mnist",),
    substitute=True,
)
MOVING_FASHION_MNIST = replace(
    MOVING_MNIST,
    name="moving-fashion-mnist",
    title="Moving Fashion-MNIST: two pieces of clothing that move and bounce",
    licence="Fashion-MNIST: MIT (Zalando SE); generated clips are ours",
    source="https://github.com/zalandoresearch/fashion-mnist (Debian: the package dataset-fashion-mnist)",
    folder="moving_fmnist",
    files=f"{_IDX} (Fashion-MNIST), and fmnist_test_seq.npy to compare with published results",
    kind="Fashion-MNIST pictures",
    fixed="fmnist_test_seq.npy",
    others=("fashion-mnist", "/usr/share/datasets/fashion-mnist"),
    substitute=False,
)
