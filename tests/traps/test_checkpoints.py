"""Checkpoints that take all memory: packed, or of values that are not there, or by what they call."""

import codecs
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.training import checkpoint
from simvp.errors import ConfigError, Refusal, SourceError
from simvp.networks import SimVP, SimVPConfig, from_pretrained, refuse_packed
from tests.simvp.networks.test_pretrained import SMALL, public_state

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]
WEIGHT = "enc.enc.0.conv.conv.weight"


def refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        from_pretrained(path)
    return str(caught.value)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    content = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(path, "w", packing, compresslevel=1) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return path


def test_one_that_is_packed(tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return bytes(1 << 28) if name.endswith("/data/0") else content

    path = rewritten(saved(tmp_path / "a.pth", {WEIGHT: torch.zeros(16)}), change, zipfile.ZIP_DEFLATED)
    assert "expected nothing packed in it, got " in refused(path)
    path.rename(tmp_path / checkpoint.NAME)
    with pytest.raises(SourceError, match="expected nothing packed in it"):
        refuse_packed(tmp_path / checkpoint.NAME)
    read = None
    with suppress(Refusal):  # or it is set aside
        read = checkpoint.load(tmp_path)
    assert read is None


def test_one_whose_members_share_their_bytes(tmp_path: Path) -> None:
    """As in bombs that do not pack one archive into another: every entry of the directory names the same bytes."""
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 20))
        last = archive.infolist()[-1]
        for number in range(1, 2000):
            twin = zipfile.ZipInfo(f"archive/data/{number}")
            twin.CRC, twin.compress_size, twin.file_size = last.CRC, last.compress_size, last.file_size
            twin.header_offset = last.header_offset
            archive.filelist.append(twin)
    assert "expected at most its" in refused(path)


def test_tensors_that_show_few_values_many_times(tmp_path: Path) -> None:
    small = torch.as_strided(torch.zeros(1), (100_000, 100_000), (0, 0))
    assert "holds no SimVP" in refused(saved(tmp_path / "a.pth", {WEIGHT: small}))
    state = public_state(SimVP(SMALL))
    with torch.device("meta"):
        wide = {name: tuple(value.shape) for name, value in public_state(SimVP(SMALL.replace(hid_T=4096))).items()}
    shown = {name: torch.zeros(1).expand(shape) for name, shape in wide.items()}
    assert shown.keys() == state.keys()
    said = refused(saved(tmp_path / "b.pth", shown))
    assert "weights: " in said
    assert "bytes, of which the file has " in said


class Call:
    """Pickled as a call of something."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Call(bytearray, 1 << 40), "it calls what may take any memory: bytearray"),
        (Call(codecs.encode, Call(codecs.encode, b"ab", "hex"), "hex"), "any memory: the codec hex"),
        (Call(codecs.encode, b"ab", "zlib_codec"), "any memory: the codec zlib_codec"),
        (Call(torch.FloatTensor, 1 << 26), "holds no SimVP"),
    ],
)
def test_one_that_calls_what_grows(call: Call, said: str, tmp_path: Path) -> None:
    assert said in refused(saved(tmp_path / "a.pth", {WEIGHT: torch.zeros(16), "more": call, **{WEIGHT: call}}))


@pytest.mark.parametrize("length", [1 << 31, 1 << 60])
def test_one_of_the_old_format_with_a_false_length(length: int, tmp_path: Path) -> None:
    torch.save({WEIGHT: torch.zeros(16)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pth").read_bytes()
    at = content.rfind(struct.pack("<q", 16))
    (tmp_path / "a.pth").write_bytes(content[:at] + struct.pack("<q", length) + content[at + 8 :])
    assert "a.pth" in refused(tmp_path / "a.pth")


def test_our_own_checkpoints_are_read(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(4.0)}, "epoch": 3, "text": "hexes", "random": torch.get_rng_state()}
    checkpoint.save(tmp_path, state)
    read = checkpoint.load(tmp_path)
    assert read is not None
    assert read["epoch"] == 3
    torch.testing.assert_close(read["weights"]["a"], torch.arange(4.0))


@pytest.mark.parametrize(
    "sizes", [{"N_T": 10**6}, {"hid_T": 2**40}, {"hid_S": 2**40}, {"kernels": (3,) * 10**4}, {"N_S": 10**6}]
)
def test_sizes_beyond_any_machine(sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r" or less, got "):
        SimVPConfig(**sizes)
