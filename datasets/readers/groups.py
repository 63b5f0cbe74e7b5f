"""Variables in groups of NetCDF-4, HDF5 and Zarr, which are named as ``group:name``, and metadata of Zarr that are old.

A group without a name is the root. Where nobody names variables, those of the root are read, and a file with maps in
groups too is refused with their names: which of them is wanted cannot be guessed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import netCDF4
import xarray as xr
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from datasets.readers.files import SourceFile, is_address
from simvp.errors import SourceError, shortened

SHOWN = 12
Names = Mapping[str, Sequence[str]]


def by_group(variables: Sequence[str]) -> Names:
    """Names of variables by their group; "" is the root.

    Raises
    ------
    SourceError
        One name in two groups: a data set has one variable of a name.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    places: dict[str, str] = {}
    for text in variables:
        group, _, name = text.rpartition(":")
        if places.setdefault(name, text) != text:
            reason = f"{name!r} is named in two groups, {places[name]!r} and {text!r}"
            raise SourceError("variables", [reason], "read them as two data sets")
        groups[group.strip("/")].append(name)
    return dict(groups)


def not_there(file: SourceFile) -> str:
    """What to say where a file lacks the group that is asked of it; empty where it has it."""
    maps = maps_in_groups(file)
    if not file.group or file.group in {name.rpartition(":")[0] for name in maps}:
        return ""
    return f"there is no group {file.group!r} of maps; {holding(maps)}"


def holding(maps: Mapping[str, str]) -> str:
    """The maps in groups of a file, for a message."""
    listed = shortened([f"{name} {dims}" for name, dims in maps.items()], SHOWN)
    return f"groups hold {', '.join(listed) or 'none'}, which are named as group:name"


def left_out(maps: Mapping[str, str], there: Sequence[str]) -> str:
    """What to say of a file with maps in groups, beside the variables `there` in its root."""
    listed = ", ".join(shortened([f"{name} {dims}" for name, dims in maps.items()], SHOWN))
    first = [*there[:1], next(iter(maps))]
    beside = f"beside {', '.join(there[:SHOWN])} in the root" if there else "and none in the root"
    return f"variables lie in groups: {listed}, {beside}; name those to read as group:name, such as variables={first}"


def maps_in_groups(file: SourceFile) -> dict[str, str]:
    """Dims of the numeric variables of two axes or more in the groups of a file, by ``group:name``."""
    if file.format == "zarr":
        arrays = {path: array for path, array in _arrays(file.path).items() if "/" in path}
        dims = {path: _zarr_dims(array) for path, array in arrays.items() if array.dtype.kind in "iufb"}
        return {":".join(path.rsplit("/", 1)): own for path, own in dims.items() if own.count(",") >= 1}
    if file.format != "netcdf":
        return {}
    with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(file.path) as opened:
        return dict(_maps_below(opened))


def _maps_below(group: netCDF4.Dataset) -> Iterator[tuple[str, str]]:
    for inner in group.groups.values():
        described = {str(var.getncattr("bounds")) for var in inner.variables.values() if "bounds" in var.ncattrs()}
        for name, var in inner.variables.items():
            numeric = getattr(var.dtype, "kind", "") in "iuf" and var.dtype is not str
            if numeric and var.ndim > 1 and name not in described and not name.endswith(("_bnds", "_bounds")):
                yield f"{inner.path.strip('/')}:{name}", f"({', '.join(var.dimensions)})"
        yield from _maps_below(inner)


def with_parents(ds: xr.Dataset, above: Sequence[xr.Dataset]) -> xr.Dataset:
    """A group with the coordinates of the groups around it that it lacks, the nearest first (CF 2.7, NetCDF-4)."""
    listed = {n for var in ds.variables.values() for n in str(var.encoding.get("coordinates") or "").split()}
    listed |= {str(var.attrs.get("grid_mapping") or var.encoding.get("grid_mapping")) for var in ds.variables.values()}
    for parent in above:
        found = {
            name: var
            for name, var in parent.variables.items()
            if name not in ds.variables
            and all(ds.sizes.get(dim) == size for dim, size in var.sizes.items())
            and (var.dims in ((), (name,)) or name in listed)
        }
        ds = ds.assign_coords(found)
    return ds


def parents(group: str) -> list[str]:
    """Groups around a group, the nearest first, the root last; none of the root."""
    parts = group.split("/") if group else []
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, -1, -1)]


def consolidated(path: str) -> bool:
    """Whether to open a Zarr store by its consolidated metadata, which are a copy that may be old.

    A local store is read by the metadata of its arrays. One behind an address may not even list them, so there the copy
    is compared with them.

    Raises
    ------
    SourceError
        The copy is old: an array has another shape, type or attributes by its own metadata.
    """
    import zarr

    if not is_address(path):
        return False
    copy = zarr.open_group(path, mode="r").metadata.consolidated_metadata
    if copy is None:
        return False
    known = {name: of.to_dict() for name, of in copy.flattened_metadata.items() if "shape" in of.to_dict()}
    with ThreadPoolExecutor(8) as threads:
        own = threads.map(lambda name: zarr.open_array(path, path=name, mode="r").metadata.to_dict(), known)
        both = {name: (known[name], of) for name, of in zip(known, own, strict=True)}
    stale = [f"{name} {_changed(copied, of)}" for name, (copied, of) in both.items() if copied != of]
    if stale:
        listed = "; ".join(shortened(stale, 3))
        remedy = "consolidate them again: zarr.consolidate_metadata(store)"
        raise SourceError(path, [f"its consolidated metadata are older than those of its arrays: {listed}; {remedy}"])
    return True


def _changed(known: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    key = next((key for key in ("shape", *known) if known.get(key) != own.get(key)), "shape")
    return f"has {key} {own.get(key)}, not {known.get(key)}"


def _arrays(path: str) -> dict[str, Any]:
    import zarr

    root = zarr.open_group(path, mode="r", use_consolidated=None if is_address(path) else False)
    if not is_address(path) and not any(True for _ in root.groups()):
        return {}
    return {name: node for name, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}


def _zarr_dims(array: Any) -> str:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or array.shape
    return f"({', '.join(map(str, names))})"
