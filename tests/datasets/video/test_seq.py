"""The Norpix container: every frame where it lies, in each of its paddings, and every fault by its file."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.video.seq import SeqFile
from simvp.errors import SourceError
from tests.support.files.footage import flat, jpeg, write_seq

H, W = 24, 32


def frames(count: int) -> list[bytes]:
    """JPEG files of unlike lengths: a flat colour with the frame's number in red, and stripes in some."""
    jpegs = []
    for number in range(count):
        frame = flat(10 * number + 5, 60, 200, H, W)
        frame[: 4 * (number % 5)] = 0
        jpegs.append(jpeg(frame))
    return jpegs


@pytest.mark.parametrize("empty", [0, 8])
def test_every_frame_is_found(tmp_path: Path, empty: int) -> None:
    seq = SeqFile(write_seq(tmp_path / "V000.seq", frames(12), h=H, w=W, empty=empty))
    assert (len(seq), seq.height, seq.width, seq.frame_rate) == (12, H, W, 30.0)
    for number in [11, 0, *range(12)]:
        frame = seq.frame(number)
        assert frame.shape == (H, W, 3)
        assert frame.dtype == np.uint8
        assert np.abs(frame[-1, -1].astype(int) - (10 * number + 5, 60, 200)).max() <= 2


def test_the_header_is_where_the_readers_of_others_look(tmp_path: Path) -> None:
    content = write_seq(tmp_path / "V000.seq", frames(2), h=H, w=W).read_bytes()
    assert content[:4] == b"\xed\xfe\0\0"
    assert content[4:24].decode("utf-16-le") == "Norpix seq"
    assert struct.unpack_from("<II", content, 548) == (W, H)
    assert struct.unpack_from("<II", content, 568) == (201, 2)
    assert content[1028:1030] == b"\xff\xd8"


@pytest.mark.parametrize("promised", [0, 3])
def test_the_header_s_number_of_frames(tmp_path: Path, promised: int) -> None:
    """Frames beyond it do not count; 0 stands in files whose header was never filled in, and all count."""
    seq = SeqFile(write_seq(tmp_path / "V000.seq", frames(5), h=H, w=W, promised=promised))
    assert len(seq) == (promised or 5)


def test_grey_frames_are_given_three_channels(tmp_path: Path) -> None:
    grey = jpeg(np.full((H, W), 77, dtype=np.uint8))
    seq = SeqFile(write_seq(tmp_path / "V000.seq", [grey], h=H, w=W, form=102))
    assert np.abs(seq.frame(0).astype(int) - 77).max() <= 1
    assert seq.frame(0).shape == (H, W, 3)


def edited(offset: int, content: bytes) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[:offset] + content + whole[offset + len(content) :])

    return edit


def shortened(to: int) -> Callable[[Path], None]:
    def shorten(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:to])

    return shorten


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another magic": (
        edited(0, b"RIFF"),
        r"expected a Norpix sequence \(0xFEED, 'Norpix seq'\), got first bytes b'RI",
    ),
    "another title": (edited(4, b"\0\0"), "expected a Norpix sequence"),
    "empty": (shortened(0), "expected a Norpix sequence .* got first bytes b''"),
    "header cut off": (shortened(900), "expected a header of 1024 bytes, got a file of 900"),
    "another header": (edited(32, struct.pack("<I", 8192)), "expected a header of 1024 bytes, got 8192"),
    "raw": (edited(568, struct.pack("<I", 100)), r"expected image format 102 or 201 \(JPEG\), got 100 \(uncompressed"),
    "unknown": (edited(568, struct.pack("<I", 77)), r"expected image format 102 or 201 \(JPEG\), got 77$"),
    "cut off": (shortened(-25), "expected 6 frames, as its header promises, got 5 whole"),
    "no frames": (shortened(1024), "expected 6 frames, as its header promises, got 0 whole"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_refused_when_it_is_opened(tmp_path: Path, case: str) -> None:
    damage, message = FAULTS[case]
    path = write_seq(tmp_path / "V007.seq", frames(6), h=H, w=W)
    damage(path)
    with pytest.raises(SourceError) as refusal:
        SeqFile(path)
    assert refusal.value.subject == f"recording {path}"
    assert len(refusal.value.reasons) == 1
    assert re.search(message, refusal.value.reasons[0])
    assert refusal.value.remedy == "fetch the file again"


def test_a_promise_of_no_number_needs_one_frame(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected at least 1 frames, as its header promises, got 0 whole"):
        SeqFile(write_seq(tmp_path / "V000.seq", [], h=H, w=W))


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"V000.seq: cannot be read: No such file"):
        SeqFile(tmp_path / "V000.seq")


def test_frames_that_are_damaged_are_refused_when_they_are_read(tmp_path: Path) -> None:
    good, other = frames(1)[0], jpeg(flat(1, 2, 3, 48, 64))
    seq = SeqFile(write_seq(tmp_path / "V000.seq", [good, good[:-40], other, b"no JPEG at all"], h=H, w=W))
    assert seq.frame(0).shape == (H, W, 3)
    with pytest.raises(SourceError, match=r"V000.seq: frame 1: expected a whole JPEG, got: "):
        seq.frame(1)
    with pytest.raises(SourceError, match=r"frame 2: expected 32 x 24 pixels, as its header says, got 64 x 48"):
        seq.frame(2)
    with pytest.raises(SourceError, match=r"frame 3: expected a whole JPEG, got: cannot identify image file"):
        seq.frame(3)
