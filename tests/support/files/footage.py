"""Small recordings in the formats of the vision benchmarks; every frame carries its address in its levels."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

TOLERANCE = 1.5 / 255  # of a flat JPEG of high quality
# The bytes that hickle 4 and 5 put beside an array or a list to name its type; they are never loaded.
TYPE = b"\x80\x04\x95\x15\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\x04list\x94\x93\x94."


def quarters(levels: Sequence[int], h: int = 24, w: int = 32) -> np.ndarray:
    """Grey frame (h, w) whose quarters (upper left, upper right, lower left, lower right) have these levels."""
    small = np.array(levels, dtype=np.uint8).reshape(2, 2)
    return small.repeat(h // 2, axis=0).repeat(w // 2, axis=1)


def address(frame: np.ndarray) -> list[int]:
    """Levels of the four quarters of a frame (H, W) between 0 and 1."""
    H, W = frame.shape
    rows, columns = (H // 4, 3 * H // 4), (W // 4, 3 * W // 4)
    return [round(float(frame[y, x]) * 255) for y in rows for x in columns]


def flat(red: int, green: int, blue: int, h: int = 16, w: int = 16) -> np.ndarray:
    """Colour frame (h, w, 3) of one colour."""
    return np.full((h, w, 3), (red, green, blue), dtype=np.uint8)


def jpeg(frame: np.ndarray) -> bytes:
    """A frame as a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "JPEG", quality=97, subsampling=0)
    return content.getvalue()


def opened_images(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the images that Pillow opens from now on, one a call."""
    opened: list[str] = []
    real = Image.open

    def counted(path: Any, *arguments: Any, **options: Any) -> Image.Image:
        opened.append(str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Image, "open", counted)
    return opened


def write_seq(
    path: Path, frames: Sequence[bytes], *, h: int, w: int, promised: int | None = None, form: int = 201, empty: int = 8
) -> Path:
    """A Norpix sequence of JPEG files; `promised` frames in its header, `empty` bytes after the time of a frame."""
    count = len(frames) if promised is None else promised
    header = struct.pack("<I", 0xFEED) + "Norpix seq\0\0".encode("utf-16-le") + struct.pack("<iI", 3, 1024)
    header += "No Description".encode("utf-16-le").ljust(512, b"\0")
    header += struct.pack("<9Id", w, h, 24, 8, 3 * h * w, form, count, 0, 3 * h * w + 512, 30.0)
    content = b"".join(
        struct.pack("<I", len(one) + 4) + one + struct.pack("<iH", 1200 + number, 33) + bytes(2 + empty)
        for number, one in enumerate(frames)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.ljust(1024, b"\0") + content)
    return path


def write_hickle(path: Path, value: np.ndarray | Sequence[str], version: int, **storage: str) -> Path:
    """An array, or a list of strings, in the layout of a version of hickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = isinstance(value, np.ndarray)
    kind = "ndarray" if array else "<class 'list'>" if version > 2 else "<type 'list'>"
    with h5py.File(path, "w") as file:
        if version == 1:  # written by Python 2, whose strings are bytes of one length
            file.create_dataset("data", data=value if array else np.array(value, dtype="S"), **storage)
            file.create_dataset("type", data=np.array(["ndarray" if array else "list"], dtype="S"))
        elif version in (2, 3):
            file.attrs["CLASS"], file.attrs["VERSION"] = b"hickle", 3 if version == 2 else "3.4.9"
            file.attrs["type"] = [b"hickle"]
            strings = value if array else np.array(value, dtype="S" if version == 2 else h5py.string_dtype())
            made = file.create_dataset("data_0", data=strings, **storage)
            made.attrs["type"] = [kind.encode()]
            if version == 3 and not array:
                made.attrs["py3_string_type"] = [b"<class 'str'>"]
        else:
            file.attrs["HICKLE_VERSION"], file.attrs["HICKLE_PYTHON_VERSION"] = f"{version}.0.4", "3.11.7"
            if version == 5:
                _hickle_5(file, value, storage)
            else:
                made = file.create_dataset(
                    "data", data=value if array else np.array(value, dtype=h5py.string_dtype()), **storage
                )
                made.attrs["base_type"], made.attrs["type"] = "ndarray" if array else "list", np.bytes_(TYPE)
                made.attrs["np_dtype" if array else "str_type"] = str(value.dtype) if array else "str"
    return path


def _hickle_5(file: h5py.File, value: np.ndarray | Sequence[str], storage: dict[str, str]) -> None:
    """Each type is kept once in a table, each equal string once in the list; the rest are references."""
    table = file.create_group("hickle_types_table")
    kind = table.create_dataset("0", data=np.frombuffer(TYPE, "S1").reshape(1, -1))
    if isinstance(value, np.ndarray):
        made = file.create_dataset("data", data=value, **storage)
        made.attrs["np_dtype"], made.attrs["type"] = value.dtype.str, kind.ref
        return
    group = file.create_group("data")
    group.attrs["num_items"], group.attrs["type"] = len(value), kind.ref
    first: dict[str, h5py.Dataset] = {}
    for number, text in enumerate(value):
        name = f"data{number}"
        if text in first:
            made = group.create_dataset(name, data=first[text].ref, dtype=h5py.ref_dtype)
        else:
            characters = np.frombuffer(text.encode(), "S1").reshape(1, -1)
            made = first[text] = group.create_dataset(name, data=characters)
            made.attrs["str_type"], made.attrs["type"] = "str", kind.ref
        made.attrs["item_index"] = number
