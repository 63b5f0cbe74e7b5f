"""HDF5 files that are not to be opened as NetCDF-4, though they look like it."""

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
        (github.com/Unidata/netcdf-c/issues/3439), and passes over attributes of such types, packing among them. Or
        ODIM, whose values only its own attributes explain.
    """
    if b"_NCProperties" in head and b",netcdf=" in head:
        return
    import h5py

    try:
        with h5py.File(path, "r") as file:
            conventions, odd = _text(file.attrs.get("Conventions", "")), _odd_types(file)
    except OSError:  # the NetCDF library says what is wrong
        return
    if conventions.startswith("ODIM"):
        reason = "ODIM HDF5 of weather radar is not read: its values are scaled bytes in groups (dataset1/data1) whose"
        remedy = "meaning, place and time stand in attributes of what and where; convert it to CF NetCDF first"
        raise SourceError("", [f"{reason} {remedy}"])
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


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
