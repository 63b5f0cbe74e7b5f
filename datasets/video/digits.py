"""Pictures of 28 x 28 that move in Moving MNIST: MNIST or Fashion-MNIST in IDX files, or scikit-learn's digits."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.video.clips import PARTS, Part
from simvp.budget import BUDGET
from simvp.errors import SourceError

SIZE = 28
MAGIC = 2051  # IDX: unsigned bytes (8), three dims (3)
TRAIN_FILES = ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte", "train-images-10k-idx3-ubyte.gz")
TEST_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte")
TRAIN_COUNT, TEST_COUNT = 60_000, 10_000  # of MNIST and of Fashion-MNIST, as they were published
# Pictures of a file: MovingDigits keeps each with a margin, 100 x 100 bytes, and these fill the budget.
MOST = BUDGET // 100**2
VALIDATION_SHARE = 6  # the last sixth of the training pictures, as MNIST's 60,000 are often split


@dataclass(frozen=True, kw_only=True, eq=False)
class Digits:
    """The pictures of one part; no picture is in two parts.

    Parameters
    ----------
    images
        (N, 28, 28) uint8.
    origin
        In words: how many of which.
    published
        Whether they are those that published results stand for.
    """

    images: np.ndarray
    origin: str
    published: bool


def idx_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first file of these names in the first of the folders that has one; None where none has."""
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def read_digits(path: Path, part: Part, kind: str) -> Digits:
    """Pictures of one part from the IDX file of the training or the test pictures.

    Parameters
    ----------
    kind
        What the pictures are, in words ("MNIST digits").

    Raises
    ------
    SourceError
        A file that is no IDX file of 28 x 28 pictures, or is cut off, or holds too few to take a sixth out.
    """
    images = read_idx(path)
    if part == "test":
        which, chosen, published = "", images, TEST_COUNT
    elif len(images) < VALIDATION_SHARE:
        raise _damaged(path, f"expected {VALIDATION_SHARE} pictures or more, got {len(images)}")
    else:
        cut, published = len(images) - len(images) // VALIDATION_SHARE, TRAIN_COUNT
        which, chosen = ("the first ", images[:cut]) if part == "train" else ("the last ", images[cut:])
    origin = f"{which}{len(chosen):,} {kind} of {path.name}"
    return Digits(images=chosen, origin=origin, published=len(images) == published)


def substitute_digits(part: Part) -> Digits:
    """Handwritten digits that come with scikit-learn, for where no file is at hand; nothing published stands for them.

    1,797 pictures of 8 x 8 (Alpaydin and Kaynak, UCI), enlarged to 20 x 20 in a margin of 4, as MNIST's digits are.
    The last 300 are for the test, the 300 before for validation.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    small = np.asarray(load_digits().images * (255 / 16), np.float32)
    large = [np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC)) for image in small]
    images = np.pad(np.clip(np.round(large), 0, 255).astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
    bounds = [0, len(images) - 600, len(images) - 300, len(images)]
    chosen = images[slice(*bounds[PARTS.index(part) :][:2])]
    origin = f"{len(chosen):,} handwritten digits of scikit-learn, 8 x 8 enlarged"
    return Digits(images=chosen, origin=origin, published=False)


def read_idx(path: Path) -> np.ndarray:
    """Pictures of an IDX file, gzip or not, (N, 28, 28) uint8.

    The format: magic number, N, rows and columns as big-endian int32, then the bytes (LeCun, Cortes, Burges: MNIST).

    Raises
    ------
    SourceError
        Another magic number, another size of the pictures, another length, or gzip that does not unpack.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            count = _promised(path, file.read(16))
            wanted = count * SIZE * SIZE
            content = file.read(wanted + 1)  # no more, however much there is
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"it does not unpack: {error}") from error
    if len(content) != wanted:
        got = "more" if len(content) > wanted else f"{len(content) / SIZE**2:g}"
        raise _damaged(path, f"its header promises {count} pictures, got {got}")
    return np.frombuffer(content, np.uint8).reshape(count, SIZE, SIZE)


def _promised(path: Path, header: bytes) -> int:
    """Number of pictures in a header."""
    if len(header) < 16:
        raise _damaged(path, f"expected a header of 16 bytes, got {len(header)} bytes")
    magic, count, rows, columns = struct.unpack(">iiii", header)
    if magic != MAGIC:
        raise _damaged(path, f"expected the magic number {MAGIC} (unsigned bytes, three dims), got {magic}")
    if (rows, columns) != (SIZE, SIZE):
        raise _damaged(path, f"expected pictures of {SIZE} x {SIZE}, got {rows} x {columns}")
    if not 1 <= count <= MOST:
        raise _damaged(path, f"expected 1 to {MOST:,} pictures, got {count}; of more, make a file of a part")
    return int(count)


def _damaged(path: Path, reason: str) -> SourceError:
    return SourceError(f"IDX file {path}", [reason], "fetch the file once more")
