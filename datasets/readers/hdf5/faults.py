"""What is wrong with HDF5 files, asked line by line: a path in JSON comes in, what was found goes out.

A script that imports nothing of this project: whatever kills it kills nothing else. Arguments: bytes that a chunk may
take, bytes that the process may take, seconds for a file. Links are never followed out of a file.
"""

import json
import os
import resource
import signal
import sys
import zlib
from collections.abc import Hashable, Iterator
from contextlib import suppress
from typing import Any

import h5py
import netCDF4
import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5t, h5z

# Objects of a file, each counted as often as links lead to it; a group in which every link leads to the next one twice
# has 2 to the power of its depth. IMERG has 60 of them, a file with a group for each hour of a year 20,000.
OBJECTS = 50_000
DEPTH = 50
# Bytes of an attribute: the longest that are known, metadata of satellites as XML, have some hundred thousand.
ATTRIBUTE = 1 << 24
# Most that a byte of zlib can become (zlib's technical details); of a chunk that may become more than a quarter of the
# limit, a few are unpacked to see, and all that could exceed the limit by far.
DEFLATE, SAMPLE, FAR = 1032, 4, 16


class Found:
    """What a walk through a file finds.

    Attributes
    ----------
    faults, odd
        In words; numbers of a type that NetCDF has not.
    form
        What decides how the library reads the file, but for values and the length of axes.
    soft
        Soft links, to be followed when nothing leads out of the file.
    """

    def __init__(self, chunk: int, *, netcdf: bool) -> None:
        self.limit, self.netcdf = chunk, netcdf
        self.faults: list[str] = []
        self.odd: list[str] = []
        self.form: list[Hashable] = []
        self.soft: list[tuple[Any, bytes, tuple[Any, ...]]] = []
        self.objects = 0
        self.datasets = 0
        self.dims: list[tuple[str, int]] = []

    def walk(self, group: h5g.GroupID, around: tuple[Any, ...]) -> None:
        info = h5o.get_info(group)
        place = info.fileno, info.addr
        if place in around:
            self.faults.append(f"{_name(group)}: the group lies in itself, by a link; remove the link")
            return
        if len(around) > DEPTH:
            self.faults.append(f"{_name(group)[:80]}: groups lie in each other more than {DEPTH} deep")
            return
        self.attributes(group, _name(group).strip("/"), None)
        for name in group:
            self.objects += 1
            if self.objects > OBJECTS:
                return
            self.link(group, name, (*around, place))

    def link(self, group: h5g.GroupID, name: bytes, around: tuple[Any, ...]) -> None:
        kind = group.links.get_info(name).type
        if kind == h5l.TYPE_HARD:
            self.node(group, name, around)
        elif kind == h5l.TYPE_SOFT:
            self.soft.append((group, name, around))
        elif kind == h5l.TYPE_EXTERNAL:
            target = ":".join(_text(part) for part in group.links.get_val(name))
            self.faults.append(
                f"{_below(group, name)}: the link leads into another file ({target}), and is not followed; "
                "copy what is there into this one"
            )
        else:
            self.faults.append(f"{_below(group, name)}: a link of an unknown kind; remove it")

    def node(self, group: h5g.GroupID, name: bytes, around: tuple[Any, ...]) -> None:
        node = h5o.open(group, name)
        kind = h5i.get_type(node)
        self.form.append((name, kind))
        if kind == h5i.GROUP:
            self.walk(node, around)
        elif kind == h5i.DATASET:
            self.datasets += 1
            self.dataset(node, _below(group, name).lstrip("/"))

    def soft_links(self) -> None:
        """Those that lead nowhere, and what lies behind the others."""
        while self.soft and self.objects <= OBJECTS:
            group, name, around = self.soft.pop()
            self.objects += 1
            try:
                there = h5o.exists_by_name(group, name)
            except (KeyError, RuntimeError, ValueError):
                there = False
            if not there:
                target = _text(group.links.get_val(name))
                self.faults.append(f"{_below(group, name)}: the link leads nowhere, {target} is not there")
            else:
                self.node(group, name, around)

    def dataset(self, stored: h5d.DatasetID, name: str) -> None:
        made, shape, kind = stored.get_create_plist(), stored.shape, stored.get_type()
        self.numbers(name, kind)
        self.attributes(stored, name, shape)
        layout = made.get_layout()
        self.form.append((layout, None if shape is None else len(shape)))
        if layout == h5d.VIRTUAL:
            files = ", ".join(
                sorted({_text(made.get_virtual_filename(k)) for k in range(made.get_virtual_count())})[:3]
            )
            self.faults.append(
                f"{name}: a virtual dataset, whose values lie in other files ({files}), which are not opened; "
                "copy them into this one"
            )
        elif made.get_external_count():
            file = _text(made.get_external(0)[0])
            self.faults.append(
                f"{name}: its values lie in another file ({file}), which is not opened; copy them into this one"
            )
        elif layout == h5d.CHUNKED and shape is not None:
            self.chunks(stored, name, made, kind.get_size())

    def chunks(self, stored: h5d.DatasetID, name: str, made: Any, width: int) -> None:
        """Chunks that take too much, by what they say or by what is in them."""
        size = int(np.prod(made.get_chunk(), dtype=object)) * width
        if size > self.limit:
            self.faults.append(
                f"{name}: chunks of {made.get_chunk()} take {size >> 20} MiB each, {self.limit >> 20} are allowed; "
                "write it with smaller ones (nccopy -c, h5repack -l)"
            )
            return
        count = made.get_nfilters()
        if not count:
            return
        most = size + size // 256 + 4096  # what cannot be packed grows by a little
        suspects: list[tuple[int, tuple[int, ...]]] = []

        def look(chunk: Any) -> int | None:
            if chunk.size > most:
                self.faults.append(
                    f"{name}: a chunk takes {chunk.size} bytes in the file and says that it holds {size}: "
                    "it is damaged, or made to do harm; fetch the file again"
                )
                return 1
            if chunk.size * DEFLATE > self.limit // 4:
                suspects.append((chunk.size, chunk.chunk_offset))
            return None

        stored.chunk_iter(look)
        filters = [made.get_filter(k)[0] for k in range(count)]
        for number, (length, place) in enumerate(suspects):
            if number < SAMPLE or length * DEFLATE > FAR * self.limit:
                signal.alarm(seconds)
                if _longer(stored, place, filters, most):
                    self.faults.append(
                        f"{name}: a chunk unpacks to more than the {size} bytes that it says that it holds: "
                        "it is damaged, or made to do harm; fetch the file again"
                    )
                    return

    def numbers(self, name: str, kind: h5t.TypeID) -> None:
        self.form.append((kind.get_class(), kind.get_size()))
        self.odd += [f"{name} is {what}" for what in _odd(kind)]

    def attributes(self, node: Any, name: str, shape: tuple[int, ...] | None) -> None:
        def look(key: bytes, info: Any) -> None:
            self.form.append((key, info.data_size))
            if info.data_size > ATTRIBUTE:
                size = f"{info.data_size >> 20} MiB, {ATTRIBUTE >> 20} are allowed"
                self.faults.append(f"{name}:{_text(key)}: an attribute of {size}; remove it")
            elif self.netcdf and key in READ:
                read.append(key)

        read: list[bytes] = []
        h5a.iterate(node, look, info=True)
        for key in read:
            attribute, what = h5a.open(node, key), f"{name}:{_text(key)}"
            kind = attribute.get_type()
            if key in DECODING:
                self.odd += [f"{what} is {odd}" for odd in _odd(kind)]
            elif not self.private(attribute, key, kind, shape, what):
                self.faults.append(
                    f"{what}: an attribute by which NetCDF-4 keeps its dims, but not as it keeps them; "
                    "remove it, or write the file anew"
                )

    def private(self, attribute: Any, key: bytes, kind: Any, shape: tuple[int, ...] | None, what: str) -> bool:
        """Whether an attribute of the library's own, which it reads without a look, is what it expects."""
        of, length = kind.get_class(), attribute.shape
        count = 0 if length is None else int(np.prod(length, dtype=object))
        self.form.append((of, count))
        if key in TEXT:
            return bool(of == h5t.STRING and count == 1)
        rank = -1 if shape is None else len(shape)
        if key == b"DIMENSION_LIST":
            return bool(of == h5t.VLEN and kind.get_super().get_class() == h5t.REFERENCE and count == rank)
        if of != h5t.INTEGER or kind.get_size() not in (4, 8) or count != (1 if key == b"_Netcdf4Dimid" else rank):
            return False
        values = np.zeros(length, "i8")
        attribute.read(values)
        self.dims += [(what, value) for value in values.ravel().tolist()]
        return True

    def whole(self) -> None:
        """What can be told only when all was seen: dims that are none, too many objects."""
        for what, number in self.dims:
            if not 0 <= number < self.datasets:  # each dim has a dataset that keeps it
                self.faults.append(
                    f"{what}: names dim number {number}, of at most {self.datasets}; write the file anew"
                )
        if self.objects > OBJECTS:
            self.faults.append(
                f"more than {OBJECTS} variables and groups, or links that lead to the same ones; split it"
            )


DECODING = (b"scale_factor", b"add_offset", b"_FillValue", b"missing_value")
TEXT = (b"NAME", b"CLASS")
READ = frozenset((*DECODING, *TEXT, b"DIMENSION_LIST", b"_Netcdf4Dimid", b"_Netcdf4Coordinates"))


def look(path: str, limit: int, known: set[Hashable], *, netcdf: bool) -> dict[str, Any]:
    """What is wrong with a file; as NetCDF one of a form that is not known is also opened as such."""
    found = Found(limit, netcdf=netcdf)
    try:
        with h5py.File(path, "r", locking=False) as file:
            conventions = _conventions(file)
            found.walk(h5g.open(file.id, b"/"), ())
            if not found.faults:
                found.soft_links()
            found.whole()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError):
        # Damaged: the library that reads it says what is wrong, if it survives.
        if netcdf:
            _open(path)
        return {}
    if not netcdf:
        return {"faults": found.faults}
    if conventions.startswith("ODIM"):
        return {"odim": True}
    form = tuple(found.form)
    if not found.faults and not found.odd and form not in known:
        _open(path)
        known.add(form)
    return {"faults": found.faults, "odd": found.odd}


def _open(path: str) -> None:
    """Read attributes and one value of each variable as NetCDF; what it raises is said where the file is opened."""
    try:
        with netCDF4.Dataset(path) as file:
            for group in _groups(file):
                for variable in group.variables.values():
                    variable.set_auto_maskandscale(False)
                    for key in variable.ncattrs():
                        variable.getncattr(key)
                    if all(variable.shape):
                        variable[(0,) * variable.ndim]
    except Exception:
        pass


def _groups(file: netCDF4.Dataset) -> Iterator[netCDF4.Dataset]:
    yield file
    for inner in file.groups.values():
        yield from _groups(inner)


def _longer(stored: h5d.DatasetID, place: tuple[int, ...], filters: list[int], most: int) -> bool:
    """Whether a chunk that zlib packed last, but for a checksum, unpacks to more than `most` bytes."""
    last = [number for number in filters if number != h5z.FILTER_FLETCHER32][-1:]
    if last != [h5z.FILTER_DEFLATE]:
        return False
    mask, packed = stored.read_direct_chunk(place)
    if mask:
        return False
    try:
        return len(zlib.decompressobj().decompress(packed, most + 1)) > most
    except zlib.error:
        return False


def _odd(kind: h5t.TypeID) -> Iterator[str]:
    """Floating-point numbers of other sizes than NetCDF's, also inside of other types."""
    of = kind.get_class()
    if of == h5t.FLOAT and kind.get_size() not in (4, 8):
        yield f"float{8 * kind.get_size()}"
    elif of == h5t.COMPOUND:
        for number in range(kind.get_nmembers()):
            yield from _odd(kind.get_member_type(number))
    elif of in (h5t.ARRAY, h5t.VLEN):
        yield from _odd(kind.get_super())


def _conventions(file: h5py.File) -> str:
    if "Conventions" not in file.attrs or file.attrs.get_id("Conventions").get_storage_size() > ATTRIBUTE:
        return ""
    value = file.attrs["Conventions"]
    value = value.flat[0] if getattr(value, "size", 0) else value  # an array of one text
    return _text(value)


def _name(group: Any) -> str:
    return _text(h5i.get_name(group) or b"/")


def _below(group: Any, name: bytes) -> str:
    return f"{_name(group).rstrip('/')}/{_text(name)}"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    limit, memory, seconds = map(int, sys.argv[1:])
    with suppress(ValueError, OSError):  # of systems that have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The libraries' own words, and those of a dying C library, go nowhere.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    forms: set[Hashable] = set()
    for line in sys.stdin:
        path, netcdf = json.loads(line)
        signal.alarm(seconds)
        print(json.dumps(look(path, limit, forms, netcdf=netcdf)), file=answers, flush=True)
        signal.alarm(0)
