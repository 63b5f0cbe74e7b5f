"""Zarr stores whose chunks become more than they say, that lead out of themselves, or that hold pickles."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec

from datasets.readers import open_source
from datasets.readers.zarr_store.unpacking import longer
from simvp.errors import SourceError
from tests.support.files.small_files import KELVIN, hourly, maps, write_zarr

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]
GIGABYTE = 1 << 30


def store(path: Path, version: int = 3, **options: Any) -> Path:
    """The usual store, its field packed as the options say."""
    write_zarr(path, {name: var for name, var in hourly("t", maps()).items() if name != "t"}, version=version)
    dims = ("time", "lat", "lon")
    named: Any = {"dimension_names": dims} if version == 3 else {}
    root = zarr.open_group(path, mode="r+", zarr_format=version, use_consolidated=False)  # type: ignore[arg-type]
    field = root.create_array(
        "t", shape=(4, 3, 4), chunks=(1, 3, 4), dtype="f4", fill_value=float("nan"), **named, **options
    )
    field[...] = maps()
    field.attrs.update({**KELVIN, **({} if version == 3 else {"_ARRAY_DIMENSIONS": list(dims)})})
    return path


def chunk(path: Path, version: int = 3) -> Path:
    return path / "t" / ("c/1/0/0" if version == 3 else "1.0.0")


def read_refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(path).load()
    return str(caught.value)


FORMS: dict[str, dict[str, Any]] = {
    "as zarr does": {},
    "gzip": {"compressors": [GzipCodec()]},
    "zstd and a checksum": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "sharded": {"shards": (2, 3, 4)},
    "bare": {"compressors": None},
    "format 2": {"version": 2},
    "format 2, zlib": {"version": 2, "compressors": numcodecs.Zlib()},
    "format 2, lz4": {"version": 2, "compressors": numcodecs.LZ4()},
    "format 2, bz2": {"version": 2, "compressors": numcodecs.BZ2()},
    "format 2, lzma": {"version": 2, "compressors": numcodecs.LZMA()},
    "format 2, delta and blosc": {
        "version": 2,
        "filters": [numcodecs.Delta("f4")],
        "compressors": numcodecs.Blosc(),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_honest_chunks_are_read(form: str, tmp_path: Path) -> None:
    ds = open_source(store(tmp_path / "a.zarr", **FORMS[form]))
    np.testing.assert_allclose(ds["t"], maps(), rtol=1e-6)


def zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), compresslevel=1)


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("as zarr does", lambda: numcodecs.Zstd().encode(bytes(1 << 28)) * 4),
        ("as zarr does", lambda: numcodecs.Zstd().encode(bytes(1 << 20))),  # 50 bytes
        ("gzip", lambda: zeros(1 << 28) * 4),
        ("format 2", lambda: numcodecs.Zstd().encode(bytes(1 << 28))),
        ("format 2, delta and blosc", lambda: numcodecs.Blosc().encode(bytes(1 << 28))),
        ("format 2, lz4", lambda: numcodecs.LZ4().encode(bytes(1 << 28))),
        ("format 2, bz2", lambda: bz2.compress(bytes(1 << 26))),
        ("format 2, lzma", lambda: lzma.compress(bytes(1 << 26))),
        ("bare", lambda: bytes(1 << 20)),
        ("sharded", lambda: bytes(1 << 20)),
    ],
)
def test_a_chunk_that_becomes_more_than_it_says(form: str, content: Any, tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", **FORMS[form])
    version = FORMS[form].get("version", 3)
    (path / "t" / "c/0/0/0" if form == "sharded" else chunk(path, version)).write_bytes(content())
    said = read_refused(path)
    assert "a chunk takes or becomes more than the" in said
    assert str(path) in said


@pytest.mark.parametrize("codec", ["zstd", "zlib", "gzip", "bz2", "lzma", "blosc", "lz4"])
@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 1 << 20])
def test_what_a_chunk_becomes_is_told_without_unpacking_it(codec: str, size: int) -> None:
    packer = numcodecs.get_codec({"id": codec})
    for values in (bytes(size), np.random.default_rng(0).bytes(size)):
        packed = bytes(packer.encode(values)) if size or codec in ("zlib", "gzip", "bz2", "lzma") else b""
        assert not longer(codec, packed, size)
        if size > 1 and codec not in ("zlib", "gzip"):
            assert longer(codec, packed, size - 1)
    if codec in ("zlib", "gzip"):  # only where it could matter
        packed = bytes(packer.encode(bytes(1 << 27)))
        assert longer(codec, packed, (1 << 27) - 1)
        assert not longer(codec, packed, 1 << 27)
    longer(codec, b"\x28\xb5\x2f\xfd\xff" + bytes(30), 1)  # whatever it says, it ends


def test_a_damaged_chunk_is_said_where_it_is_read(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr")
    chunk(path).write_bytes(b"no zstd")
    assert "a.zarr: t: its values cannot be read" in read_refused(path)


def test_a_chunk_in_another_file_is_not_read(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", compressors=None)
    chunk(path).unlink()
    chunk(path).symlink_to("/etc/passwd")
    assert f"{chunk(path)} is a link that leads out of the store, to /etc/passwd, which is not read" in read_refused(
        path
    )
    chunk(path).unlink()
    shutil.move(path / "t" / "c", tmp_path / "elsewhere")
    (path / "t" / "c").symlink_to(tmp_path / "elsewhere")
    assert "is a link that leads out of the store" in read_refused(path)


def test_a_link_to_a_store_and_one_inside_of_it_are_followed(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr")
    chunk(path).rename(path / "t" / "first")
    chunk(path).symlink_to(path / "t" / "first")
    (tmp_path / "b.zarr").symlink_to(path)
    np.testing.assert_array_equal(open_source(tmp_path / "b.zarr")["t"], maps())


def test_a_pipe_in_a_folder_behind_a_link(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr")
    os.mkfifo(path / "t" / "pipe")
    chunk(path).unlink()
    chunk(path).symlink_to(path / "t" / "pipe")
    assert f"{path / 't' / 'pipe'} is no regular file" in read_refused(path)


class Planted:
    def __reduce__(self) -> Any:
        return os.mkdir, (str(Path(os.environ["PLANTED"])),)


@pytest.mark.parametrize("where", ["compressor", "filters"])
def test_a_pickle_as_a_codec(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of numcodecs, which it refuses to decode unless an environment variable allows it."""
    monkeypatch.setenv("PLANTED", str(tmp_path / "ran"))
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True)
    path = store(tmp_path / "a.zarr", 2)
    known = json.loads((path / "t" / ".zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    known |= {"compressor": codec} if where == "compressor" else {"compressor": None, "filters": [codec]}
    (path / "t" / ".zarray").write_text(json.dumps(known))
    chunk(path, 2).write_bytes(pickle.dumps(Planted()))
    said = read_refused(path)
    assert "pickle" in said
    assert not (tmp_path / "ran").exists()


def test_packed_twice(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", compressors=[GzipCodec(), ZstdCodec()])
    assert "t: packed more than once (zstd, gzip)" in read_refused(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_that_promises_too_much(version: int, tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", version)
    file = path / "t" / (".zarray" if version == 2 else "zarr.json")
    known = json.loads(file.read_text())
    if version == 2:
        known["chunks"] = [4, 300_000, 40_000]
    else:
        known["chunk_grid"]["configuration"]["chunk_shape"] = [4, 300_000, 40_000]
    file.write_text(json.dumps(known))
    assert "t: one chunk of it has 4 x 300000 x 40000 values, 179 GiB" in read_refused(path)


def test_metadata_without_end(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr")
    (path / "zarr.json").write_text('{"zarr_format": 3, "x": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "cannot be opened as zarr" in read_refused(path)


@pytest.mark.parametrize(
    ("address", "system"),
    [
        ("reference://?fo={}/refs.json", "reference"),
        ("reference::file://{}/refs.json", "reference"),
        ("simplecache::zip://a.nc::file://{}/a.zip", "zip"),
        ("tar://a.nc::file://{}/a.tar", "tar"),
    ],
)
def test_references_to_anywhere_and_archives_are_not_opened(address: str, system: str, tmp_path: Path) -> None:
    """As kerchunk and VirtualiZarr write them: a JSON file that may name any file and any address."""
    (tmp_path / "refs.json").write_text(json.dumps({"t/0.0.0": ["/etc/passwd", 0, 192]}))
    with pytest.raises(SourceError, match=f"{system} is not read: "):
        open_source(address.format(tmp_path))
