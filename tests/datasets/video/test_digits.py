"""Pictures in IDX files: what is read, what is refused, and that no picture is in two parts."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from datasets.video.clips import PARTS, Part
from datasets.video.digits import TEST_FILES, TRAIN_FILES, idx_file, read_digits, read_idx, substitute_digits
from simvp.errors import SourceError


def pictures(count: int, first: int = 0) -> np.ndarray:
    """(count, 28, 28) uint8, no two alike: the number of the picture stands in its first four pixels."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, :4] = np.arange(first, first + count).astype(">u4").view(np.uint8).reshape(count, 4)
    images[:, 1:] = 7
    return images


def idx_bytes(images: np.ndarray, magic: int = 2051) -> bytes:
    """The format as its authors describe it, written another way than it is read."""
    header = b"".join(number.to_bytes(4, "big") for number in (magic, *images.shape))
    return header + images.tobytes()


def write_idx(folder: Path, train: np.ndarray, test: np.ndarray) -> Path:
    """Both files under their original names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRAIN_FILES[0]).write_bytes(gzip.compress(idx_bytes(train), 1))
    (folder / TEST_FILES[0]).write_bytes(gzip.compress(idx_bytes(test), 1))
    return folder


def hashes(images: np.ndarray) -> set[str]:
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in images}


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_pictures_come_as_they_were_written(tmp_path: Path, pack: type[bytes]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(images)))
    np.testing.assert_array_equal(read_idx(path), images)


def test_what_is_no_idx_file_is_refused_in_words(tmp_path: Path) -> None:
    good = idx_bytes(pictures(10))
    packed = gzip.compress(good)
    flipped = bytearray(packed)
    flipped[-8] ^= 0xFF  # the checksum at the end
    cases = {
        "magic": (idx_bytes(pictures(10), magic=2049), "expected the magic number 2051 (unsigned bytes, three dims)"),
        "little endian": (struct.pack("<4i", 2051, 10, 28, 28) + good[16:], "expected the magic number 2051"),
        "other size": (struct.pack(">4i", 2051, 10, 32, 32) + bytes(10240), "pictures of 28 x 28, got 32 x 32"),
        "cut off": (good[:-392], "its header promises 10 pictures, got 9.5"),
        "longer": (good + bytes(784), "its header promises 10 pictures, got more"),
        "none": (struct.pack(">4i", 2051, 0, 28, 28), "expected 1 to 107,374 pictures, got 0"),
        "empty": (b"", "expected a header of 16 bytes, got 0 bytes"),
        "header": (good[:10], "expected a header of 16 bytes, got 10 bytes"),
        "gzip cut off": (packed[: len(packed) // 2], "it does not unpack: Compressed file ended before"),
        "gzip damaged": (bytes(flipped), "it does not unpack: CRC check failed"),
        "web page": (b"<!DOCTYPE html><html>not found</html>", "got 1008813135"),
    }
    for name, (content, reason) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SourceError) as caught:
            read_idx(path)
        text = str(caught.value)
        assert text.startswith(f"IDX file {path}: "), name
        assert reason in text, name
        assert text.endswith("To mend it: fetch the file once more"), name


def test_parts_of_idx_files_share_no_picture_and_lose_none(tmp_path: Path) -> None:
    train, test = pictures(61), pictures(20, first=1000)
    folder = write_idx(tmp_path, train, test)
    files: dict[Part, Path] = {
        "train": folder / TRAIN_FILES[0],
        "validation": folder / TRAIN_FILES[0],
        "test": folder / TEST_FILES[0],
    }
    of_part = {part: read_digits(path, part, "digits") for part, path in files.items()}
    assert {part: len(one.images) for part, one in of_part.items()} == {"train": 51, "validation": 10, "test": 20}
    np.testing.assert_array_equal(np.concatenate([of_part["train"].images, of_part["validation"].images]), train)
    np.testing.assert_array_equal(of_part["test"].images, test)
    assert [one.origin for one in of_part.values()] == [
        "the first 51 digits of train-images-idx3-ubyte.gz",
        "the last 10 digits of train-images-idx3-ubyte.gz",
        "20 digits of t10k-images-idx3-ubyte.gz",
    ]
    assert not any(one.published for one in of_part.values())  # not all 60,000 and 10,000


def test_whole_files_are_the_published_ones(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, pictures(60_000), pictures(10_000))
    assert read_digits(folder / TRAIN_FILES[0], "train", "digits").published
    validation = read_digits(folder / TRAIN_FILES[0], "validation", "digits")
    assert (validation.published, len(validation.images)) == (True, 10_000)
    assert read_digits(folder / TEST_FILES[0], "test", "digits").published


def test_too_few_to_take_a_sixth_out(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, pictures(5), pictures(5))
    with pytest.raises(SourceError, match="expected 6 pictures or more, got 5"):
        read_digits(folder / TRAIN_FILES[0], "validation", "digits")


def test_substitute_digits_share_no_picture() -> None:
    of_part = {part: substitute_digits(part) for part in PARTS}
    seen = {part: hashes(one.images) for part, one in of_part.items()}
    assert {part: len(some) for part, some in seen.items()} == {"train": 1197, "validation": 300, "test": 300}
    assert len(set.union(*seen.values())) == 1797
    for part, one in of_part.items():
        assert one.origin == f"{len(one.images):,} handwritten digits of scikit-learn, 8 x 8 enlarged"
        assert not one.published
        assert one.images.shape[1:] == (28, 28)
        assert one.images.dtype == np.uint8
        margin = one.images.copy()
        margin[:, 4:-4, 4:-4] = 0
        assert not margin.any(), part
        assert one.images[:, 4:-4, 4:-4].max(axis=(1, 2)).min() > 200  # every digit is there, and bright


def test_the_real_digits_share_no_picture(shared: Path) -> None:
    folder = shared / "data" / "mnist"
    train, test = idx_file([folder], TRAIN_FILES), idx_file([folder], TEST_FILES)
    assert train is not None
    assert test is not None
    assert train.name == "train-images-10k-idx3-ubyte.gz"
    parts = [read_digits(test if part == "test" else train, part, "MNIST digits") for part in PARTS]
    assert [len(hashes(one.images)) for one in parts] == [8334, 1666, 10_000]
    assert len(set.union(*(hashes(one.images) for one in parts))) == 20_000
    assert [one.published for one in parts] == [False, False, True]  # 10,000 of the 60,000 are not the training file
    for one in parts:
        assert one.images.mean() == pytest.approx(0.1307 * 255, abs=1)  # the mean that everybody scales MNIST with


def test_the_first_folder_that_has_a_file_wins(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write_idx(one, pictures(6), pictures(6))
    write_idx(other, pictures(6), pictures(6))
    assert idx_file([one, other], TRAIN_FILES) == one / TRAIN_FILES[0]
    (one / TRAIN_FILES[0]).unlink()
    assert idx_file([one, other], TRAIN_FILES) == other / TRAIN_FILES[0]
    (other / TRAIN_FILES[0]).rename(other / TRAIN_FILES[1])
    assert idx_file([one, other], TRAIN_FILES) == other / TRAIN_FILES[1]
    assert idx_file([one], TRAIN_FILES) is None
    assert idx_file([tmp_path / "nowhere"], TRAIN_FILES) is None
