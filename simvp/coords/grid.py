"""The horizontal grid of a canonical Dataset, and what it takes for two grids to be the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from simvp.coords.record import Record

Kind = Literal["latlon", "projected", "curvilinear", "index"]

GEOGRAPHIC = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
}
TOLERANCE = 1e-3  # of the spacing: float32 coordinates pass, a grid shifted by half a cell does not


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid(Record):
    """A horizontal grid: the dims, the coordinates and what is known of the projection.

    Parameters
    ----------
    kind
        "latlon": 1-D latitude and longitude (degrees). "projected": y and x of a map projection, in their own
        units. "curvilinear": index dims with 2-D latitude and longitude. "index": rows and columns.
    dims
        Names of the row and the column dim, ``("latitude", "longitude")`` or ``("y", "x")``.
    rows, columns
        Coordinate values, float64, shapes (H,) and (W,).
    latitude, longitude
        Degrees, float64 (H, W), where the grid has them beside its dims; else None.
    attrs
        Attributes of each coordinate, by name.
    mapping
        Name and attributes of the CF grid mapping variable, or None.
    """

    kind: Kind
    dims: tuple[str, str]
    rows: np.ndarray
    columns: np.ndarray
    latitude: np.ndarray | None = None
    longitude: np.ndarray | None = None
    attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mapping: tuple[str, Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, ds: xr.Dataset) -> "Grid":
        """Grid of a canonical Dataset (dims latitude and longitude, or y and x)."""
        dims = horizontal_dims(ds)
        variables = ds.variables  # as variables: a DataArray of each would take longer than all else here
        names = {str(variables[n].attrs["grid_mapping"]) for n in ds.data_vars if "grid_mapping" in variables[n].attrs}
        mapping = next(((n, dict(variables[n].attrs)) for n in sorted(names) if n in variables), None)
        plane = {n: np.asarray(variables[n], "f8") for n in GEOGRAPHIC if n in ds.coords and n not in dims}
        kind: Kind = "latlon"
        if dims == ("y", "x"):
            standard = str(variables["y"].attrs.get("standard_name", "")) if "y" in ds.coords else ""
            projected = mapping is not None or standard in ("projection_y_coordinate", "grid_latitude")
            kind = "projected" if projected else "curvilinear" if plane else "index"
        rows, columns = (
            np.asarray(variables[d], "f8") if d in ds.coords else np.arange(ds.sizes[d], dtype="f8") for d in dims
        )
        attrs = {n: dict(variables[n].attrs) for n in (*dims, *plane) if n in ds.coords}
        return cls(kind=kind, dims=dims, rows=rows, columns=columns, attrs=attrs, mapping=mapping, **plane)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.rows), len(self.columns)

    @property
    def axes(self) -> dict[str, np.ndarray]:
        """Rows and columns by the name of their dim."""
        return dict(zip(self.dims, (self.rows, self.columns), strict=True))

    def faults(self, ds: xr.Dataset) -> list[str]:
        """Every reason why the grid of `ds` (canonical) is not this one; the order of an axis is none."""
        other = Grid.of(ds)
        if other.dims != self.dims:
            return [f"grid: expected dims {self.dims}, got {other.dims}"]
        if other.shape != self.shape:
            return [f"grid: expected {_size(self)}, got {_size(other)}"]
        faults, orders = [], [_match(dim, mine, other.axes[dim]) for dim, mine in self.axes.items()]
        for (dim, mine), order in zip(self.axes.items(), orders, strict=True):
            spacing, theirs = _spacing(mine), other.axes[dim]
            off = np.abs(_modulo(dim, theirs[order] - mine))
            if off.max() > TOLERANCE * spacing:
                faults.append(
                    f"grid: {dim} differs by up to {off.max():.6g}, allowed is 1/1000 of the spacing "
                    f"({TOLERANCE * spacing:.3g}): expected {_span(mine)}, got {_span(theirs)}"
                )
        for name in GEOGRAPHIC:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None or faults:
                continue
            spacing = min(_spacing(axis) for axis in (mine[:, mine.shape[1] // 2], mine[mine.shape[0] // 2]))
            off = np.abs(_modulo(name, theirs[np.ix_(*orders)] - mine))
            if np.nanmax(off) > max(TOLERANCE * spacing, 1e-9):
                faults.append(f"grid: {name} of the points differs by up to {np.nanmax(off):.6g} degrees")
        return faults

    def align(self, ds: xr.Dataset) -> xr.Dataset:
        """`ds`, whose grid has no faults, in this grid's order and with this grid's coordinates."""
        ds = reordered(ds, Grid.of(ds).axes, self.axes)
        variables, ours = ds.variables, self.coords()
        kept = {n: variables[n] for n in ds.coords if n not in ours and n not in GEOGRAPHIC}
        if len(kept) + len(ours) == len(ds.coords) and all(v.identical(variables.get(n)) for n, v in ours.items()):
            return ds
        # Made at once: dropping and assigning take three times as long.
        return xr.Dataset({n: variables[n] for n in ds.data_vars}, kept | ours, ds.attrs)

    def coords(self) -> dict[str, xr.Variable]:
        """Coordinates to assign to a Dataset on this grid."""
        planes = {n: plane for n in GEOGRAPHIC if (plane := getattr(self, n)) is not None}
        coords = {
            n: xr.Variable(n if n in self.dims else self.dims, values, dict(self.attrs.get(n, {})))
            for n, values in (self.axes | planes).items()
        }
        if self.mapping is not None:
            coords[self.mapping[0]] = xr.Variable((), 0, dict(self.mapping[1]))
        return coords


def horizontal_dims(ds: xr.Dataset) -> tuple[str, str]:
    """("latitude", "longitude"), or ("y", "x")."""
    return ("latitude", "longitude") if "latitude" in ds.dims else ("y", "x")


def reordered(ds: xr.Dataset, labels: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> xr.Dataset:
    """`ds`, whose dims have these labels, in the order of those that are wanted."""
    orders = {dim: _match(dim, axis, labels[dim]) for dim, axis in wanted.items()}
    orders = {dim: order for dim, order in orders.items() if not np.array_equal(order, np.arange(len(order)))}
    return ds.isel(orders) if orders else ds


def _modulo(name: str, difference: np.ndarray) -> np.ndarray:
    return (difference + 180.0) % 360.0 - 180.0 if name == "longitude" else difference


def _match(dim: str, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Positions in `theirs` of the values of `mine`: by rank, longitudes turned to the same branch first."""
    if dim == "longitude" and np.ptp(mine) < 360.0:  # else its two ends are one meridian, which no turn keeps apart
        start = mine.min() - 0.5 * _spacing(mine)  # so that rounding does not send the first to the other end
        theirs = start + (theirs - start) % 360.0
    order = np.empty(len(mine), dtype=np.int64)
    order[np.argsort(mine, kind="stable")] = np.argsort(theirs, kind="stable")
    return order


def _spacing(axis: np.ndarray) -> float:
    return float(np.abs(np.diff(axis)).min()) if len(axis) > 1 else 1.0


def _size(grid: Grid) -> str:
    return f"{grid.shape[0]} {grid.dims[0]} x {grid.shape[1]} {grid.dims[1]}"


def _span(axis: np.ndarray) -> str:
    return f"{axis[0]:g} .. {axis[-1]:g} (spacing {_spacing(axis):g})"
