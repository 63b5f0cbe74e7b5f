"""Pictures, arrays and lists of the vision benchmarks, and files of the catalogue, that take all memory or hang."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from datasets.catalog.radolan import read_radklim
from datasets.catalog.trips import read_taxi
from datasets.video.caltech import _mapped
from datasets.video.digits import MOST, read_idx
from datasets.video.hickle import hickled_strings
from datasets.video.human36m import _listed
from datasets.video.recordings import ImageFiles
from datasets.video.seq import SeqFile
from datasets.video.taxibj import TAXIBJ
from simvp.errors import SourceError
from tests.support.files.footage import flat, jpeg, write_seq

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]


def idx(path: Path, promised: int, there: int) -> Path:
    """A file that was packed in parts, as gzip allows."""
    header, part = (gzip.compress(one, 1) for one in (struct.pack(">iiii", 2051, promised, 28, 28), bytes(1 << 20)))
    path.write_bytes(header + (there >> 20) * part)
    return path


@pytest.mark.parametrize(
    ("promised", "there", "said"),
    [
        (100, 1 << 30, "its header promises 100 pictures, got more"),
        (3_800_000, 1 << 20, f"expected 1 to {MOST:,} pictures, got 3800000; of more, make a file of a part"),
        (-5, 1 << 20, "pictures, got -5"),
    ],
)
def test_pictures_that_unpack_to_more(promised: int, there: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=said.replace("(", r"\(")):
        read_idx(idx(tmp_path / "train.gz", promised, there))


def jpeg_of_size(size: int) -> bytes:
    """A JPEG file whose header says that it is larger than it is."""
    content = bytearray(jpeg(flat(1, 2, 3)))
    at = content.find(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", size, size)
    return bytes(content)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("size", [6000, 12_000, 65_000])
def test_pictures_larger_than_any(size: int, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_of_size(size))
    with pytest.raises(SourceError, match=r"image .*a\.jpg: expected a whole image, got: "):
        ImageFiles(tmp_path, ["a.jpg"], pixels)(np.array([0]))
    seq = SeqFile(write_seq(tmp_path / "V000.seq", [jpeg(flat(1, 2, 3)), jpeg_of_size(size)], h=16, w=16))
    with pytest.raises(SourceError, match="frame 1: expected"):
        seq.frame(1)


def test_a_picture_of_another_format_is_not_handed_to_its_program(tmp_path: Path) -> None:
    """PostScript runs in Ghostscript, whatever the file is called."""
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n")
    with pytest.raises(SourceError, match="cannot identify image file"):
        ImageFiles(tmp_path, ["a.jpg"], pixels)(np.array([0]))


def test_pipes_are_never_opened(tmp_path: Path) -> None:
    for name in ("a.jpg", "V000.seq"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match="no regular file"):
        ImageFiles(tmp_path, ["a.jpg"], pixels)(np.array([0]))
    with pytest.raises(SourceError, match="no regular file"):
        SeqFile(tmp_path / "V000.seq")


def test_a_list_of_paths_that_lead_elsewhere_or_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("/etc/,1\nimages/../../x_,1\nimages/a_," + "9" * 5000 + "\nimages/a_,1\n")
    with pytest.raises(SourceError) as caught:
        _listed(path)
    assert [reason.partition(":")[0] for reason in caught.value.reasons] == ["line 1", "line 2", "line 3"]
    os.truncate(path, 1 << 40)  # takes no place on the disk
    with pytest.raises(SourceError, match="expected at most 16777216 bytes, got 1099511627776"):
        _listed(path)


def zipped(path: Path, name: str, header: bytes, zeros: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as file:
        file.write(header)
        for _ in range(zeros // (1 << 24)):
            file.write(bytes(1 << 24))
    return path


def npy_header(shape: tuple[int, ...]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return content.getvalue()


def test_arrays_that_unpack_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "volume.npz", "volume.npy", npy_header((1 << 20, 10, 20, 1)), 1 << 28)
    with pytest.raises(SourceError, match=r"expected npz: it unpacks to 256 MiB, at most 64 MiB are expected"):
        read_taxi([path])
    monkeypatch.setattr("datasets.video.taxibj.MOST", 1 << 27)
    zipped(tmp_path / "taxibj" / "dataset.npz", "X_train.npy", npy_header((1 << 13, 4, 2, 32, 32)), 1 << 28)
    with pytest.raises(SourceError, match="it unpacks to 256 MiB, at most 128 MiB are expected"):
        TAXIBJ.open("train", root=tmp_path)


def test_an_archive_that_is_called_an_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(SourceError, match=r"expected a whole \.npy file of numbers"):
        _mapped(tmp_path / "a.npy")


def test_strings_without_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "sources.hkl", "w") as file:
        file.create_dataset("data", (10**10,), "S100", chunks=(1000,), compression="gzip")
    with pytest.raises(SourceError, match="expected a list of strings, got /data"):
        hickled_strings(tmp_path / "sources.hkl")


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def linked(name: str, to: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


def test_a_month_of_composites_that_unpacks_to_more(tmp_path: Path) -> None:
    name = "raa01-rw_10000-dwd---bin"
    bomb = gzip.compress(bytes(1 << 28), compresslevel=1)
    cases: dict[str, Any] = {
        "large": [(tarfile.TarInfo(name), bytes(1 << 26))],
        "packed": [(tarfile.TarInfo(name), bomb)],
        "links in a circle": [linked("a-dwd-", "b-dwd-", tarfile.SYMTYPE), linked("b-dwd-", "a-dwd-", tarfile.SYMTYPE)],
        "link to a file of this machine": [linked(name, "/etc/passwd", tarfile.SYMTYPE)],
        "device": [linked(name, "", tarfile.CHRTYPE)],
        "many": [(tarfile.TarInfo(f"{number}"), b"") for number in range(1200)],
    }
    for case, members in cases.items():
        with pytest.raises(SourceError) as caught:
            read_radklim([tar(tmp_path / "a.tar.gz", *members)])
        assert str(tmp_path) in str(caught.value), case
    whole = bytearray(tarfile.TarInfo("././@PaxHeader").tobuf())
    whole[156:157] = tarfile.XHDTYPE
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(1 << 26), compresslevel=1))
    with pytest.raises(SourceError, match="a header of 1073741824 bytes"):
        read_radklim([tmp_path / "b.tar.gz"])
