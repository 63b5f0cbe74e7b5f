"""A Zarr store of which every object is looked at before it is unpacked."""

from collections.abc import Mapping
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from datasets.readers.zarr_store.unpacking import TELL, longer
from simvp.errors import SourceError
from simvp.settings import shown_address

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class Guarded(WrapperStore[Store]):
    """Reads a store, but no chunk that is, or becomes, more than its array says.

    Attributes
    ----------
    name
        As people see it.
    limits
        Bytes of a chunk, and the codecs that it was packed with, the last one first, by the path of its array; filled
        in when the arrays are known.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.limits: dict[str, tuple[int, list[str]]] = {}
        self.name = str(store)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The object; see `zarr.abc.store.Store.get`."""
        value = await super().get(key, prototype, byte_range)
        if value is not None and not key.endswith(METADATA):
            self._check(key, value)
        return value

    def _check(self, key: str, value: Buffer) -> None:
        path = key
        while path and path not in self.limits:
            path = path.rpartition("/")[0]
        size, codecs = self.limits.get(path, (0, []))
        if not size:
            return
        most = size + size // 256 + 4096  # what cannot be packed grows by a little
        if len(value) > most or (codecs and longer(codecs[0], value.to_bytes(), most)):
            raise SourceError(
                f"{self.name}: {key}",
                [f"a chunk takes or becomes more than the {size} bytes that its array says that it holds"],
                "it is damaged, or made to do harm; copy the store again",
            )


def guarded(place: str) -> Guarded:
    """The store in a folder or at an address."""
    there = "://" in place or "::" in place
    made = Guarded(FsspecStore.from_url(place, read_only=True) if there else LocalStore(place, read_only=True))
    made.name = shown_address(place)
    return made


def refuse_codecs(path: str, arrays: Mapping[str, "zarr.Array[Any]"]) -> None:
    """Refuse arrays that are packed in a way that runs code, or that hides how much they become; note the others.

    Raises
    ------
    SourceError
        With every array that is.
    """
    reasons = []
    for name, array in arrays.items():
        codecs, sharded = _codecs(array)
        if any("pickle" in codec for codec in codecs):
            reasons.append(f"{name}: stored as pickles, which run code when they are read; write it as numbers")
        packing = [codec for codec in codecs if codec.removeprefix("numcodecs.") in TELL]
        if len(packing) > 1:
            reasons.append(f"{name}: packed more than once ({', '.join(packing)}); write it with one of these")
        store = array.store
        if isinstance(store, Guarded):
            length = array.dtype.itemsize
            for size in array.chunks if array.shards is None else array.shards:
                length *= size
            # Texts of any length are packed as objects, whose size the array does not say.
            length = 0 if array.dtype.kind in "OT" else length
            store.limits[array.path] = length, [] if sharded else packing
    if reasons:
        raise SourceError(path, reasons)


def _codecs(array: "zarr.Array[Any]") -> tuple[list[str], bool]:
    """Names of the codecs of an array, the last one first, and whether chunks lie in shards."""
    metadata = array.metadata.to_dict()
    if array.metadata.zarr_format == 2:
        filters: Any = metadata.get("filters") or ()
        listed = [*filters, *([metadata["compressor"]] if metadata.get("compressor") else [])]
        return [
            str(codec.get("id") if isinstance(codec, dict) else codec.codec_id) for codec in reversed(listed)
        ], False
    codecs: Any = metadata["codecs"]
    names = [str(codec["name"]) for codec in reversed(codecs)]
    inner = [one for codec in codecs if codec["name"] == "sharding_indexed" for one in codec["configuration"]["codecs"]]
    return names + [str(codec["name"]) for codec in reversed(inner)], bool(inner)
