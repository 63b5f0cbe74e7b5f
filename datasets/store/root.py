"""The root of a store: one object that holds the metadata of every array, and what the last commit says of itself."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from simvp.errors import ArchiveError

ATTRIBUTE = "simvp_store"


class Root(NamedTuple):
    """A root as it was read.

    Parameters
    ----------
    document
        All of it.
    arrays
        Metadata document of each array; part of `document`.
    axis, length
        Dim along which the store grows, and committed frames.
    state
        What the commit recorded.
    digest
        SHA-256 of the object.
    """

    document: dict[str, Any]
    arrays: dict[str, dict[str, Any]]
    axis: str
    length: int
    state: dict[str, Any]
    digest: str

    @classmethod
    def read(cls, store: Path) -> "Root":
        """The root of the store at that path, as it is now.

        Raises
        ------
        ArchiveError
            No store, or a Zarr store that was not made here.
        """
        try:
            data = (store / "zarr.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ArchiveError(f"Store {store}", ["there is none"], "check the path, or ingest first") from None
        document = json.loads(data)
        note = document.get("attributes", {}).get(ATTRIBUTE)
        if note is None or not document.get("consolidated_metadata"):
            raise ArchiveError(
                f"Store {store}",
                ["a Zarr store that was not made here, or whose root another program has written"],
                "write to a store of its own; any Zarr store can be read as a source",
            )
        note, arrays = json.loads(note), document["consolidated_metadata"]["metadata"]
        length = arrays[note["axis"]]["shape"][0]
        return cls(document, arrays, note["axis"], length, note["state"], hashlib.sha256(data).hexdigest())

    def committed(self, state: Mapping[str, Any]) -> bytes:
        """The object that makes the lengths in `arrays`, and `state`, a commit."""
        self.document["attributes"] |= commit_attributes(self.axis, state)
        return as_bytes(self.document)

    @property
    def coder(self) -> xr.coders.CFDatetimeCoder:
        """How times are decoded.

        The standard calendar is stored for cftime alone: times that datetime64[ns] cannot hold.
        """
        calendar = self.arrays[self.axis]["attributes"].get("calendar")
        return xr.coders.CFDatetimeCoder(use_cftime=True if calendar in ("standard", "gregorian") else None)


def commit_attributes(axis: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a root that every commit writes anew: those in `state["attrs"]`, and the state itself."""
    return {**state.get("attrs", {}), ATTRIBUTE: json.dumps({"axis": axis, "state": dict(state)})}


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """A metadata document as it is stored."""
    return json.dumps(document, indent=1).encode()
