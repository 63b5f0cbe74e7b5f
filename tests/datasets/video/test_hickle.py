"""Arrays and strings come out of every layout of hickle, and no pickle is ever loaded."""

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.video.hickle import HickledFrames, hickled_strings
from simvp.errors import SourceError
from tests.support.files.footage import write_hickle

VERSIONS = (1, 2, 3, 4, 5)
SHAPE = (4, 5, 3)
FRAMES = np.random.default_rng(1).integers(0, 256, (7, *SHAPE), dtype=np.uint8)
NAMES = ["city-2011_09_26_drive_0001_sync"] * 3 + ["road-é"] * 2 + ["city-2011_09_26_drive_0001_sync", "residential"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}])
def test_frames_of_every_layout(tmp_path: Path, version: int, storage: dict[str, str]) -> None:
    frames = HickledFrames(write_hickle(tmp_path / "X.hkl", FRAMES, version, **storage), SHAPE)
    assert len(frames) == 7
    for positions in [[0, 1, 2], [6], [2, 3, 6]]:
        read = frames.read(np.array(positions))
        assert read.dtype == np.uint8
        assert np.array_equal(read, FRAMES[positions])


@pytest.mark.parametrize("version", VERSIONS)
def test_strings_of_every_layout(tmp_path: Path, version: int) -> None:
    names = [name.replace("é", "e") for name in NAMES] if version < 3 else NAMES
    assert hickled_strings(write_hickle(tmp_path / "sources.hkl", names, version)) == names


def test_an_array_of_strings_counts_as_a_list(tmp_path: Path) -> None:
    path = write_hickle(tmp_path / "sources.hkl", np.array([b"city-a", b"road"]), 4)
    assert hickled_strings(path) == ["city-a", "road"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (FRAMES.astype("f4"), r"expected an array \(N, 4, 5, 3\) uint8, got /data(_0)? \(7, 4, 5, 3\) float32"),
        (FRAMES[:, :3], r"got /data(_0)? \(7, 3, 5, 3\) uint8"),
        (FRAMES[0], r"got /data(_0)? \(4, 5, 3\) uint8"),
        (FRAMES[:0], r"got /data(_0)? \(0, 4, 5, 3\) uint8"),
    ],
)
def test_another_array_is_refused(tmp_path: Path, version: int, array: np.ndarray, message: str) -> None:
    path = write_hickle(tmp_path / "X_train.hkl", array, version)
    with pytest.raises(SourceError, match=rf"hickle file \S+X_train.hkl: .*{message}"):
        HickledFrames(path, SHAPE)


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_are_no_names_and_names_no_frames(tmp_path: Path, version: int) -> None:
    with pytest.raises(SourceError, match=r"expected a list of strings, got /data(_0)? \(7, 4, 5, 3\) uint8"):
        hickled_strings(write_hickle(tmp_path / "a.hkl", FRAMES, version))
    with pytest.raises(SourceError, match=r"expected an array \(N, 4, 5, 3\) uint8, got (/data|a group /data of 2)"):
        HickledFrames(write_hickle(tmp_path / "b.hkl", ["a", "b"], version), SHAPE)


class Trap:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def as_pickle(file: h5py.File, content: bytes, version: int) -> None:
    """As hickle lays out what it has no layout for: at the root, and, from version 4, in a list."""
    if version == 3:
        file.create_dataset("data_0", data=np.array([content])).attrs["type"] = [b"pickle"]
    elif version == 4:
        file.create_dataset("data", data=np.bytes_(content)).attrs["base_type"] = b"pickle"
    elif version == 5:
        file.attrs["HICKLE_VERSION"] = "5.0.3"
        file.create_dataset("data", data=np.frombuffer(content, "u1"))


def in_a_list(file: h5py.File, content: bytes, version: int) -> None:
    file.attrs["HICKLE_VERSION"] = f"{version}.0.3"
    group = file.create_group("data")
    name = "data_0" if version == 4 else "data0"
    data = np.bytes_(content) if version == 4 else np.frombuffer(content, "u1")
    stored = group.create_dataset(name, data=data)
    if version == 4:
        stored.attrs["base_type"] = b"pickle"


@pytest.mark.parametrize(
    ("write", "version"), [(as_pickle, 3), (as_pickle, 4), (as_pickle, 5), (in_a_list, 4), (in_a_list, 5)]
)
def test_a_pickle_is_refused_and_not_loaded(
    tmp_path: Path, write: Callable[[h5py.File, bytes, int], None], version: int
) -> None:
    trap = tmp_path / "the trap was sprung"
    content = pickle.dumps(Trap(trap))
    with h5py.File(tmp_path / "sources_train.hkl", "w") as file:
        write(file, content, version)
    with pytest.raises(
        SourceError, match="got a pickle, which is never loaded here because it can run code"
    ) as refusal:
        hickled_strings(tmp_path / "sources_train.hkl")
    assert "because it can run code" in str(refusal.value)
    assert "write it again with hickle, as a list of str" in str(refusal.value)
    with pytest.raises(SourceError, match="expected an array"):
        HickledFrames(tmp_path / "sources_train.hkl", SHAPE)
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists(), "the trap does not work"


def test_mixed_items_are_refused(tmp_path: Path) -> None:
    path = write_hickle(tmp_path / "a.hkl", ["a", "b"], 5)
    with h5py.File(path, "a") as file:
        file["data"].create_dataset("data2", data=3)
    with pytest.raises(SourceError, match=r"expected a list of strings, got /data/data2 \(\) int64"):
        hickled_strings(path)


def test_nothing_under_the_known_names_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frames"] = FRAMES
    with pytest.raises(SourceError, match=r"a.h5: expected an array .* under data_0 or data, got frames"):
        HickledFrames(tmp_path / "a.h5", SHAPE)


def test_what_is_no_whole_hdf5_is_refused(tmp_path: Path) -> None:
    path = write_hickle(tmp_path / "X.hkl", FRAMES, 2)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"X.hkl: expected a whole HDF5 file, got: .*truncated file"):
        HickledFrames(path, SHAPE)
    path.write_text("<html>")
    with pytest.raises(SourceError, match=r"X.hkl: expected a whole HDF5 file, got: "):
        hickled_strings(path)


def test_a_damaged_chunk_is_refused_when_it_is_read_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "X.hkl"
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("data_0", data=FRAMES, chunks=(2, *SHAPE), compression="gzip")
        place = stored.id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    frames = HickledFrames(path, SHAPE)
    assert np.array_equal(frames.read(np.array([0, 1])), FRAMES[:2])
    with pytest.raises(SourceError, match=r"X.hkl: expected a whole HDF5 file, got: "):
        frames.read(np.array([1, 2]))
