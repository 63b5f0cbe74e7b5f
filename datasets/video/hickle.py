"""One array, or one list of strings, in a hickle file: HDF5 in the layouts of hickle 1 to 5, read with h5py.

    array     a dataset at the root: `data_0` (hickle 2 and 3) or `data` (1, 4 and 5)
    strings   such a dataset of strings, one-dimensional (hickle 1 to 4); or a group `data` of one dataset an item,
              data0, data1, ..., each the characters (1, n) of a string, or a reference to the item that has the same
              string (hickle 5, which stores an object once)

What hickle cannot lay out so it stores as a pickle; a pickle runs code when it is loaded, and none is loaded here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from datasets.readers import refuse_pointers
from simvp.budget import BUDGET
from simvp.errors import SourceError

MOST, LONGEST = 1_000_000, 4096  # strings of a list, of which KITTI has 41,396; characters of one, which is a path
ROOTS = ("data_0", "data")


class HickledFrames:
    """The frames of a hickle file, (N, H, W, C) uint8; a slice is read when asked for.

    Raises
    ------
    SourceError
        Not HDF5, cut off, or without such an array.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        wanted = f"an array (N, {', '.join(map(str, shape))}) uint8"
        with _looked_at(path) as file:
            stored = _stored(path, file, wanted)
            fits = isinstance(stored, h5py.Dataset) and stored.dtype == np.uint8 and stored.shape[1:] == shape
            if not fits or not len(stored):
                raise _refused(path, f"expected {wanted}, got {_described(stored)}")
            self._name, self._count = stored.name, len(stored)

    def __len__(self) -> int:
        """N."""
        return self._count

    def read(self, positions: np.ndarray, first: int = 0) -> np.ndarray:
        """Frames at ascending positions (K,) after the `first`, as (K, H, W, C) uint8."""
        start, stop = int(positions[0]), int(positions[-1]) + 1
        with _opened(self.path) as file:
            block: np.ndarray = file[self._name][first + start : first + stop]  # h5py is slow at lists of positions
        return block[positions - start]


def hickled_strings(path: Path) -> list[str]:
    """The strings of a hickle file, in their order.

    Raises
    ------
    SourceError
        Not HDF5, cut off, or something else than a list of strings; a pickle is refused, not loaded.
    """
    with _looked_at(path) as file:
        stored = _stored(path, file, "a list of strings")
        strings: list[str] = []
        if isinstance(stored, h5py.Group):
            numbers = range(min(len(stored), MOST + 1))
            items = (stored.get(f"data{number}", stored.get(f"data_{number}", stored)) for number in numbers)
            strings = [_characters(path, file, item) for item in items]
        elif stored.ndim == 1 and h5py.check_string_dtype(stored.dtype) is not None and not _pickled(stored):
            size = len(stored) * stored.dtype.itemsize
            strings = [] if size > BUDGET // 64 else stored.asstr("utf-8", "replace")[()].tolist()
        if not 1 <= len(strings) <= MOST:
            raise _no_strings(path, stored)
    return strings


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; what HDF5 finds wrong with it becomes a refusal."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise _refused(path, f"expected a whole HDF5 file, got: {error}") from error


@contextmanager
def _looked_at(path: Path) -> Iterator[h5py.File]:
    """The same, the first time: nothing in it may lead into other files."""
    try:
        refuse_pointers(path)
    except SourceError as error:
        raise SourceError(f"hickle file {path}", error.reasons, "fetch the file again") from None
    with _opened(path) as file:
        yield file


def _stored(path: Path, file: h5py.File, wanted: str) -> h5py.Dataset | h5py.Group:
    for name in ROOTS:
        if name in file:
            return file[name]
    raise _refused(path, f"expected {wanted} under {' or '.join(ROOTS)}, got {', '.join(file) or 'an empty file'}")


def _characters(path: Path, file: h5py.File, item: h5py.Dataset | h5py.Group) -> str:
    """String of an item as hickle 5 stores it."""
    stored = item
    if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is h5py.Reference and item.shape == ():
        stored = file[item[()]]
    text = isinstance(stored, h5py.Dataset) and stored.dtype == "S1" and "str_type" in stored.attrs
    if not text or stored.size > LONGEST:
        raise _no_strings(path, item)
    return str(stored[()].tobytes(), "utf-8", "replace")


def _no_strings(path: Path, stored: h5py.Dataset | h5py.Group) -> SourceError:
    reason = f"expected a list of strings, got {_described(stored)}"
    return _refused(path, reason, "write it again with hickle, as a list of str")


def _pickled(stored: h5py.Dataset) -> bool:
    """Whether hickle stored a pickle: it says so, or, hickle 5, it says nothing at all about these bytes."""
    marks = [stored.attrs.get("base_type"), *np.ravel(stored.attrs.get("type", []))]
    bare = "HICKLE_VERSION" in stored.file.attrs and not {"type", "base_type"} & set(stored.attrs)
    return any(mark in ("pickle", b"pickle") for mark in marks) or (bare and stored.dtype == np.uint8)


def _described(stored: h5py.Dataset | h5py.Group) -> str:
    if isinstance(stored, h5py.Group):
        return f"a group {stored.name} of {len(stored)} items"
    what = "a pickle, which is never loaded here because it can run code: " if _pickled(stored) else ""
    return f"{what}{stored.name} {stored.shape} {stored.dtype}"


def _refused(path: Path, reason: str, remedy: str = "fetch the file again") -> SourceError:
    return SourceError(f"hickle file {path}", [reason], remedy)
