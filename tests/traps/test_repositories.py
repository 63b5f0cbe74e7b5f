"""Icechunk repositories that somebody made: no chunk of theirs lies in another file, and what they say is checked."""

import json
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr

from simvp.errors import ArchiveError
from simvp.stores import ATTRIBUTE, open_archive

NOTE = {"axis": "time", "variables": ["t"], "state": {"kind": "archive"}}


def repository(path: Path, note: Any, elsewhere: Path | None = None) -> Path:
    """A repository with the note of an archive, its only chunk in another file if one is given."""
    config = icechunk.RepositoryConfig.default()
    if elsewhere is not None:
        folder = icechunk.local_filesystem_store(str(elsewhere.parent))
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(f"file://{elsewhere.parent}/", folder))
    made = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)), config)
    made.save_config()
    session = made.writable_session("main")
    root = zarr.open_group(session.store, mode="w")
    time = root.create_array("time", shape=(1,), dtype="i8", dimension_names=["time"])
    time[:] = 0
    time.attrs["units"] = "hours since 2020-01-01"
    root.create_array(
        "t", shape=(1, 3, 4), chunks=(1, 3, 4), dtype="f4", compressors=None, dimension_names=["time", "y", "x"]
    )
    root.attrs[ATTRIBUTE] = note if isinstance(note, str) else json.dumps(note)
    if elsewhere is not None:
        session.store.set_virtual_ref("t/c/0/0/0", f"file://{elsewhere}", offset=0, length=48, validate_container=False)
    session.commit("made")
    return path


def test_a_chunk_in_another_file_is_not_read(tmp_path: Path) -> None:
    """Icechunk fetches none that its opener has not allowed, whatever the repository says of itself."""
    secret = tmp_path / "outside" / "secret.bin"
    secret.parent.mkdir()
    np.full(12, 7, "f4").tofile(secret)
    ds = open_archive(repository(tmp_path / "a.zarr", NOTE, secret))
    with pytest.raises(ArchiveError, match="a virtual chunk in this repository resolves to the url prefix"):
        ds["t"].load()


@pytest.mark.parametrize(
    ("note", "said"),
    [
        ("[" * 100_000 + "]" * 100_000, "cannot be read: lists or objects in each other"),
        ("nonsense", "what its root says of the last commit cannot be read"),
        ("[]", "what its root says of the last commit cannot be read"),
        ({}, "what its root says of the last commit cannot be read"),
        ({**NOTE, "variables": 3}, "what its root says of the last commit cannot be read"),
        ({**NOTE, "axis": "t2", "variables": ["u"]}, "what its root names is not there: t2, u"),
    ],
)
def test_what_it_says_of_itself(note: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=said):
        open_archive(repository(tmp_path / "a.zarr", note))
