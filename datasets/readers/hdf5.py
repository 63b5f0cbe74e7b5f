"""HDF5 files that are not to be opened as NetCDF-4, though they look like it."""

import os
from collections.abc import Iterator
from typing import Any

from simvp.errors import SourceError

SHOWN = 6
DECODING = ("scale_factor", "add_offset", "_FillValue", "missing_value")


def refuse_foreign(path: str, head: bytes) -> None:
    """Refuse an HDF5 file that cannot be read as NetCDF-4, or would be read wrong; its values are not read.

    Parameters
    ----------
    head
        The first bytes of the file. What the NetCDF library wrote, by the attribute that it begins a file with, is not
        looked into: it holds nothing that this library cannot read.

    Raises
    ------
    SourceError
        Numbers of a type that NetCDF has none for: netCDF-C kills the interpreter when it reads float16 or float128
        (github.com/Unidata/netcdf-c/issues/3439), and passes over attributes of such types, packing among them. Links
        that lead nowhere, into other files, or back to a group around them, which it follows for ever. Values in other
        files that are absent or cut off, which HDF5 reads as the fill value. Or ODIM, whose values only its own
        attributes explain.
    """
    if b"_NCProperties" in head and b",netcdf=" in head:
        return
    import h5py

    try:
        with h5py.File(path, "r") as file:
            conventions, odd, faults = _text(file.attrs.get("Conventions", "")), _odd_types(file), [*_link_faults(file)]
            faults += [] if faults else _absent_parts(file, os.path.dirname(path))
    except OSError:  # the NetCDF library says what is wrong
        return
    if conventions.startswith("ODIM"):
        reason = "ODIM HDF5 of weather radar is not read: its values are scaled bytes in groups (dataset1/data1) whose"
        remedy = "meaning, place and time stand in attributes of what and where; convert it to CF NetCDF first"
        raise SourceError("", [f"{reason} {remedy}"])
    if faults:
        raise SourceError("", faults[:SHOWN])
    if odd:
        listed = ", ".join(odd[:SHOWN]) + (f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else "")
        raise SourceError("", [f"{listed}: NetCDF has no such type; store float32 instead"])


def _odd_types(file: Any) -> list[str]:
    import h5py

    odd: list[str] = []

    def look(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            of_attributes = {f"{name}:{key}": node.attrs.get_id(key) for key in DECODING if key in node.attrs}
            for what, stored in {name: node.id, **of_attributes}.items():
                kind = stored.get_type()
                if kind.get_class() == h5py.h5t.FLOAT and kind.get_size() not in (4, 8):
                    odd.append(f"{what} is float{8 * kind.get_size()}")

    file.visititems(look)
    return odd


def _link_faults(group: Any, around: tuple[Any, ...] = ()) -> Iterator[str]:
    import h5py

    info = h5py.h5o.get_info(group.id)
    if (place := (info.fileno, info.addr)) in around:
        yield f"{group.name}: the group lies in itself, by a link; remove the link"
        return
    for name in group:
        try:
            kind = group.get(name, getclass=True)
        except (KeyError, OSError, RuntimeError):  # in a file that is not there
            kind = None
        link = group.get(name, getlink=True)
        target = ":".join(filter(None, (getattr(link, "filename", ""), getattr(link, "path", ""))))
        if kind is None:
            yield f"{group.name.rstrip('/')}/{name}: the link leads nowhere, {target} is not there"
        elif isinstance(link, h5py.ExternalLink):
            said = f"the link leads into another file ({target}), which the NetCDF library does not follow"
            yield f"{group.name.rstrip('/')}/{name}: {said}; copy what is there into this one"
        elif kind is h5py.Group:
            yield from _link_faults(group[name], (*around, place))


def _absent_parts(file: Any, folder: str) -> list[str]:
    """What is absent of the files that hold values of others: the sources of virtual datasets, and raw data."""
    import h5py

    faults: list[str] = []

    def look(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        parts = {source.file_name for source in node.virtual_sources()} if node.is_virtual else set()
        for part in sorted(part for part in parts if part != "." and "%" not in part):  # "%b" stands for many
            # HDF5 looks for them beside the file too, be it that an absolute path is named (H5Pset_virtual).
            places = (part, os.path.join(folder, part), os.path.join(folder, os.path.basename(part)))
            if not any(map(os.path.exists, places)):
                faults.append(f"{name}: values of this virtual dataset lie in {part}, which is not there")
        for part, offset, size in node.external or ():
            there = os.path.getsize(part) - offset if os.path.exists(part) else 0
            if there < (size := min(size, node.nbytes)):
                faults.append(f"{name}: its values lie in {part}, which holds {max(there, 0)} of {size} bytes of them")

    file.visititems(look)
    return faults


def _text(value: Any) -> str:
    value = value.flat[0] if getattr(value, "size", 0) else value  # an array of one text
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
