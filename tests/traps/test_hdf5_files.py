"""HDF5 that leads out of itself, promises or unpacks to too much, or that the NetCDF library does not survive."""

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest

from datasets.readers import open_source
from datasets.readers.hdf5 import inspector
from datasets.video.hickle import HickledFrames, hickled_strings
from datasets.video.taxibj import TAXIBJ
from simvp.errors import SourceError
from tests.support.files.small_files import hourly, maps, write

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]
FRAMES = (4, 3, 4)


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source, **options)
    return str(caught.value)


def made(folder: Path, change: Callable[[h5py.File], object]) -> Path:
    """A file of the NetCDF library, which says so at its beginning, that somebody changed."""
    path = write(folder / "a.nc", hourly("t", maps()))
    with h5py.File(path, "a") as file:
        change(file)
    return path


def secret(folder: Path) -> Path:
    with h5py.File(folder / "secret.h5", "w") as file:
        file["t"] = np.full(FRAMES, 299.0, "f4")
    return folder / "secret.h5"


def soft_behind_external(file: h5py.File) -> None:
    file["out"] = h5py.ExternalLink(str(Path(file.filename).parent / "secret.h5"), "/")
    file["soft"] = h5py.SoftLink("/out/t")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(FRAMES, "f4")
    layout[:] = h5py.VirtualSource(Path(file.filename).parent / "secret.h5", "t", FRAMES)
    file.create_group("deep").create_virtual_dataset("v", layout)


POINTERS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external link in a group": (
        lambda f: f.create_group("g").__setitem__("out", h5py.ExternalLink("secret.h5", "/t")),
        "/g/out: the link leads into another file (secret.h5:/t), and is not followed",
    ),
    "soft link through an external one": (soft_behind_external, "/out: the link leads into another file"),
    "virtual dataset in a group": (virtual, "deep/v: a virtual dataset, whose values lie in other files"),
    "external storage": (
        lambda f: f.create_dataset("raw", FRAMES, "f4", external=[("/etc/passwd", 0, 192)]),
        "raw: its values lie in another file (/etc/passwd), which is not opened",
    ),
}


@pytest.mark.parametrize("kind", POINTERS)
def test_what_leads_into_another_file_is_not_followed(kind: str, tmp_path: Path) -> None:
    secret(tmp_path)
    change, said = POINTERS[kind]
    assert said in refused(made(tmp_path, change))


def test_a_link_into_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = made(tmp_path, lambda f: f.__setitem__("out", h5py.ExternalLink("pipe", "/t")))
    assert "/out: the link leads into another file (pipe:/t)" in refused(path)


def test_the_vision_benchmarks_follow_none_either(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"], file["names"] = np.zeros((3, 2, 2, 3), "u1"), np.array([b"a"] * 3)
    for name in ("data", "names"):
        with h5py.File(tmp_path / f"{name}.hkl", "w") as file:
            file["data"] = h5py.ExternalLink("other.h5", f"/{name}")
    for read in (
        lambda: HickledFrames(tmp_path / "data.hkl", (2, 2, 3)),
        lambda: hickled_strings(tmp_path / "names.hkl"),
    ):
        with pytest.raises(SourceError, match=r"\.hkl: /data: the link leads into another file"):
            read()
    (tmp_path / "taxibj").mkdir()
    with h5py.File(tmp_path / "taxibj" / "BJ13_M32x32_T30_InOut.h5", "w") as file:
        file["data"], file["date"] = h5py.ExternalLink("/etc/passwd", "/data"), np.array([b"2013070101"])
    with pytest.raises(SourceError, match="/data: the link leads into another file"):
        TAXIBJ.open("train", root=tmp_path)


def promised(path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], **options: Any) -> Path:
    """A grid of which no value was written."""
    with h5py.File(path, "w") as file:
        for name, size, units in zip(
            ("time", "lat", "lon"), shape, ("hours since 2020-01-01", "degrees_north", "degrees_east"), strict=True
        ):
            values = np.linspace(0, 10, size) if name != "time" else np.arange(min(size, 48))
            axis = file.create_dataset(name, (size,), "f8", chunks=(min(size, 1 << 16),), compression="gzip")
            axis[: len(values)] = values
            axis.make_scale(name)
            axis.attrs["units"] = np.bytes_(units)
        field = file.create_dataset("t", shape, "f4", chunks=chunks, compression="gzip", **options)
        field.attrs["units"] = np.bytes_("K")
        for number, name in enumerate(("time", "lat", "lon")):
            field.dims[number].attach_scale(file[name])
    return path


@pytest.mark.parametrize(
    ("shape", "chunks", "said"),
    [
        ((48, 50_000, 50_000), (1, 1000, 1000), "t: one map of it has 50000 x 50000 values, 9.31 GiB, and 1 GiB is"),
        ((48, 8000, 8000), (1, 1000, 1000), "t: one map of it has 8000 x 8000 values, 244 MiB, and its file has"),
        ((10**10, 3, 4), (1000, 3, 4), "time: it has 10000000000 values, 74.5 GiB, and 1 GiB is the most"),
        ((48, 3000, 3000), (48, 3000, 3000), "t: chunks of (48, 3000, 3000) take 1647 MiB each, 1024 are allowed"),
    ],
)
def test_a_header_that_promises_too_much(shape: Any, chunks: Any, said: str, tmp_path: Path) -> None:
    assert said in refused(promised(tmp_path / "a.nc", shape, chunks))


def test_a_large_grid_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.sizes.SMALL", 1 << 10)
    path = promised(tmp_path / "a.nc", (2, 7000, 7000), (1, 500, 500))
    assert "t: one map of it has 7000 x 7000 values" in refused(path)
    with h5py.File(path, "a") as file:
        file["t"][0, :500] = np.random.default_rng(0).random((500, 7000)).astype("f4")
    assert open_source(path)["t"].shape == (2, 7000, 7000)


@pytest.fixture(scope="module")
def gigabyte() -> bytes:
    """A GiB of zeros, packed: one block again and again."""
    packing = zlib.compressobj(9)
    first, block = (packing.compress(bytes(1 << 24)) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + 63 * block + packing.flush()


@pytest.mark.parametrize("columns", [4, 1200])
def test_a_chunk_that_becomes_more_than_it_says(columns: int, gigabyte: bytes, tmp_path: Path) -> None:
    """Its chunks say that they hold 48 bytes, or as many as the packed bomb has."""
    path = promised(
        tmp_path / "a.nc", (4, 3 if columns == 4 else 1200, columns), (1, 3 if columns == 4 else 1200, columns)
    )
    with h5py.File(path, "a") as file:
        file["t"].id.write_direct_chunk((1, 0, 0), gigabyte)
    assert "a.nc: t: a chunk" in refused(path)


def test_a_damaged_chunk_is_said_where_it_is_read(tmp_path: Path) -> None:
    path = promised(tmp_path / "a.nc", FRAMES, (1, 3, 4))
    with h5py.File(path, "a") as file:
        file["t"].id.write_direct_chunk((1, 0, 0), b"no zlib")
    with pytest.raises(SourceError, match=r"a\.nc: t: its values cannot be read: RuntimeError: NetCDF: "):
        open_source(path).load()


def test_an_attribute_of_absurd_size(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(1 << 25)
        h5py.h5a.create(file["t"].id, b"history", kind, h5py.h5s.create(h5py.h5s.SCALAR))

    path = tmp_path / "a.nc"
    with h5py.File(path, "w", libver="latest") as file:  # where attributes may be larger than 64 KiB
        file["t"] = maps()
        change(file)
    assert "t:history: an attribute of 32 MiB, 16 are allowed; remove it" in refused(path)


def groups(count: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        inner: Any = file
        for number in range(count):
            inner = inner.create_group(f"g{number}")

    return change


def doubled(file: h5py.File) -> None:
    """Each group has two links to the next: 2 ** 40 ways, and a megabyte of file."""
    each = [file.create_group(f"g{number}") for number in range(40)]
    for outer, inner in pairwise(each):
        outer["a"] = outer["b"] = inner


def test_groups_without_end(tmp_path: Path) -> None:
    assert "groups lie in each other more than 50 deep" in refused(made(tmp_path, groups(2000)))
    (tmp_path / "a.nc").unlink()
    assert "or links that lead to the same ones; split it" in refused(made(tmp_path, doubled))


# What NetCDF-C reads without a look: each of these ended the interpreter, or read memory that was not its own.
FATAL: dict[str, Callable[[h5py.File], object]] = {
    "NAME of numbers": lambda f: f["lat"].attrs.__setitem__("NAME", np.arange(4)),
    "DIMENSION_LIST of float16": lambda f: f["t"].attrs.__setitem__("DIMENSION_LIST", np.zeros(50, "f2")),
    "dim number": lambda f: f["lat"].attrs.__setitem__("_Netcdf4Dimid", np.int32(2**31 - 1)),
    "dim numbers": lambda f: f["t"].attrs.__setitem__("_Netcdf4Coordinates", np.array([7, 8, 2**30], "i4")),
    "more dim numbers than dims": lambda f: f["t"].attrs.__setitem__("_Netcdf4Coordinates", np.arange(5000)),
}


@pytest.mark.parametrize("kind", FATAL)
def test_an_attribute_of_the_library_s_own(kind: str, tmp_path: Path) -> None:
    said = refused(made(tmp_path, FATAL[kind]))
    assert "an attribute by which NetCDF-4 keeps its dims" in said or "names dim number" in said


@pytest.mark.parametrize("inner", [[("a", "f2")], [("a", "f2", (3,))], [("a", np.longdouble)]])
def test_odd_floats_inside_of_other_types(inner: Any, tmp_path: Path) -> None:
    path = made(tmp_path, lambda f: f.create_dataset("w", (3,), np.dtype(inner)))
    assert "NetCDF has no such type; store float32 instead" in refused(path)


def test_what_kills_the_library_kills_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a script in whose place any other fault of the libraries could be."""
    path = write(tmp_path / "a.nc", hourly("t", maps()))
    for ending, said in (
        (f"os.kill(os.getpid(), {signal.SIGSEGV})", "was killed by it (SIGSEGV): it is damaged"),
        ("sys.exit(3)", "ended with it (exit code 3)"),
        ("signal.alarm(1); time.sleep(9)", "does not come to an end with this file"),
    ):
        script = tmp_path / "ends.py"
        script.write_text(f"import os, signal, sys, time\nsys.stdin.readline()\n{ending}\n")
        with monkeypatch.context() as patch:
            patch.setattr(inspector, "SCRIPT", script)
            patch.setattr(inspector, "_free", type(inspector._free)())
            assert said in refused(path)
    np.testing.assert_array_equal(open_source(path)["t"], maps())


def test_many_files_are_asked_about_in_turn_and_nothing_is_left_behind(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / f"{number:02}.nc", hourly("t", maps(first=4 * number), first=4 * number))
    with netCDF4.Dataset(tmp_path / "13.nc", "a") as file:
        file["t"].units = "K"
    with h5py.File(tmp_path / "35.nc", "a") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "/t")
    assert "35.nc: /out: the link leads into another file" in refused(tmp_path)
    code = f"""
import psutil
from datasets.readers import open_source
open_source({str(tmp_path / "00.nc")!r})
print(psutil.Process().children()[0].pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not Path(f"/proc/{done.stdout.strip()}").exists()
