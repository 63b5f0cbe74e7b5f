"""The horizontal grid of a canonical Dataset: what it takes for two grids to be the same, and areas of points."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from simvp.coords.mapping import alike, difference, measured, metres_apart, same_earth
from simvp.record import Record, plain

logger = logging.getLogger(__name__)

Kind = Literal["latlon", "projected", "curvilinear", "index"]

GEOGRAPHIC = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
}
POLE = 90.0
METRES = 111_195.0  # of a degree
SINGLE = 2e-5  # degrees: what single precision leaves of a longitude
TOLERANCE = 1e-3  # of the spacing: what rounding in files of other tools makes, and a shift of half a cell does not
ROUNDED = 0.05  # of the spacing, where single precision leaves less: longitude 350 in steps of 0.01, metres of UTM


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
        """Every reason why the grid of `ds` (canonical) is not this one, as places on the earth.

        The order of an axis is no reason, nor are kilometres instead of metres, nor another mapping that leads to the
        same places. Where one of the two has no mapping, and points without latitude and longitude, the numbers along
        y and x decide, and a line in the log says so.
        """
        other = Grid.of(ds)
        if other.dims != self.dims:
            return [f"grid: expected dims {self.dims}, got {other.dims}"]
        if other.shape != self.shape:
            return [f"grid: expected {_size(self)}, got {_size(other)}"]
        orders, faults = self._axis_faults(other)
        faults = self._mapping_faults(other, orders, faults)
        return faults or self._plane_faults(other, orders)

    def identical(self, other: "Grid") -> bool:
        """Whether another grid is this one to the last bit and word, as most of an archive's are."""
        mine, theirs = self.arrays(), other.arrays()
        return (
            self.dims == other.dims
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[k], theirs[k], equal_nan=True) for k in mine)
            and [self._units(dim) for dim in self.dims] == [other._units(dim) for dim in self.dims]
            and plain(self.mapping) == plain(other.mapping)
        )

    def _units(self, dim: str) -> str:
        return str(self.attrs.get(dim, {}).get("units", "")).strip()

    def _measured(self) -> dict[str, tuple[np.ndarray, str]]:
        """Rows and columns in metres or degrees, or in whatever they are."""
        if self.kind == "latlon":
            return {dim: (axis, "degree") for dim, axis in self.axes.items()}
        mapping = self.mapping and self.mapping[1]
        return {dim: measured(axis, self._units(dim), mapping) for dim, axis in self.axes.items()}

    def _axis_faults(self, other: "Grid") -> tuple[list[np.ndarray], list[str]]:
        """Positions of this grid's rows and columns among those of the other, and how their numbers differ."""
        orders, faults = [], []
        measured_there = other._measured()
        for dim, (mine, unit) in self._measured().items():
            theirs, other_unit = measured_there[dim]
            turning = dim == "longitude" or (dim == self.dims[1] and unit == other_unit == "degree")
            orders.append(_match(turning, mine, theirs))
            units = self._units(dim), other._units(dim)
            if unit and other_unit and unit != other_unit:
                faults.append(f"grid: {dim}: expected units {units[0]}, got {units[1]}")
                continue
            spacing = _spacing(mine)
            off = _difference(turning, theirs[orders[-1]], mine)
            if off > (allowed := max(TOLERANCE * spacing, _rounding(mine, theirs, spacing))):
                words = [f" {text or 'without units'}" if units[0] != units[1] else "" for text in units]
                converted = "" if mine is self.axes[dim] and theirs is other.axes[dim] else f" {unit}"
                faults.append(
                    f"grid: {dim} differs by up to {off:.6g}{converted}, "
                    f"allowed is 1/{spacing / allowed:.0f} of the spacing ({allowed:.3g}): "
                    f"expected {_span(self.axes[dim])}{words[0]}, got {_span(other.axes[dim])}{words[1]}"
                )
        return orders, faults

    def _mapping_faults(self, other: "Grid", orders: list[np.ndarray], faults: list[str]) -> list[str]:
        """Those faults of the axes that remain once the mappings are known, and those of the mappings."""
        if self.mapping is None or other.mapping is None:
            if not faults and self.kind != "latlon" and self._placed_otherwise(other):
                logger.warning(
                    "grid: one of two has %s, the other has not; taken to be in the same place, as y and x are equal",
                    "a grid_mapping" if self.mapping is not other.mapping else "latitude and longitude",
                )
            return faults
        (name, mine), (_, theirs) = self.mapping, other.mapping
        if self.kind == "latlon":
            same = same_earth(mine, theirs)
            return (
                faults if same else [*faults, f"grid: another earth (grid_mapping {name}): {difference(mine, theirs)}"]
            )
        if alike(mine, theirs):
            return faults
        (y, unit), (x, _) = self._measured().values()
        rows, columns = (axis[order] for (axis, _), order in zip(other._measured().values(), orders, strict=True))
        apart = metres_apart(mine, theirs, _sampled(y, x), _sampled(rows, columns))
        spacing = min(_spacing(y), _spacing(x)) * (METRES if unit == "degree" else 1.0)
        if apart is not None and apart <= TOLERANCE * spacing:
            return []
        far = f"; the points lie up to {apart / 1000:.4g} km apart" if apart else ""
        return [*faults, f"grid: another projection (grid_mapping {name}): {difference(mine, theirs)}{far}"]

    def _placed_otherwise(self, other: "Grid") -> bool:
        """Whether only one of the two says where on the earth it is, or each in a way of its own."""
        both = self.latitude is not None and other.latitude is not None
        either = any(g.latitude is not None or g.mapping is not None for g in (self, other))
        return either and not both

    def _plane_faults(self, other: "Grid", orders: list[np.ndarray]) -> list[str]:
        faults = []
        for name in GEOGRAPHIC:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None:
                continue
            # Along one of the two axes it may hardly change.
            steps = [np.nan_to_num(np.abs(np.diff(mine, axis=axis))) for axis in (0, 1)]
            spacing = max(float(np.median(step)) if step.size else 0.0 for step in steps)
            off = _difference(name == "longitude", theirs[np.ix_(*orders)], mine)
            if off > max(TOLERANCE * spacing, SINGLE):
                faults.append(f"grid: {name} of the points differs by up to {off:.6g} degrees")
        return faults

    def align(self, ds: xr.Dataset) -> xr.Dataset:
        """`ds`, whose grid has no faults, in this grid's order and with this grid's coordinates."""
        other = Grid.of(ds)
        orders = dict(zip(self.dims, self._axis_faults(other)[0], strict=True))
        ds = _taken(ds, orders)
        variables, ours = ds.variables, self.coords()
        own = {*GEOGRAPHIC, *(grid.mapping[0] for grid in (self, other) if grid.mapping is not None)}
        kept = {n: variables[n] for n in ds.coords if n not in ours and n not in own}
        if len(kept) + len(ours) == len(ds.coords) and all(v.identical(variables.get(n)) for n, v in ours.items()):
            return ds
        fields = {n: variables[n] for n in ds.data_vars}
        if self.mapping is not None and other.mapping is not None and other.mapping[0] != self.mapping[0]:
            for name, var in fields.items():
                fields[name] = var.copy(deep=False)
                fields[name].attrs["grid_mapping"] = self.mapping[0]
        # Made at once: dropping and assigning take three times as long.
        return xr.Dataset(fields, kept | ours, ds.attrs)

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
    units = {dim: str(ds.variables[dim].attrs.get("units", "")) if dim in ds.variables else "" for dim in wanted}
    turning = {dim: dim == "longitude" or (dim == "x" and "degree" in units[dim]) for dim in wanted}
    return _taken(ds, {dim: _match(turning[dim], axis, labels[dim]) for dim, axis in wanted.items()})


def _taken(ds: xr.Dataset, orders: Mapping[str, np.ndarray]) -> xr.Dataset:
    orders = {dim: order for dim, order in orders.items() if not np.array_equal(order, np.arange(ds.sizes[dim]))}
    return ds.isel(orders) if orders else ds


def _difference(turning: bool, a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, of longitudes round the globe."""
    off = (a - b + 180.0) % 360.0 - 180.0 if turning else a - b
    return float(np.nanmax(np.abs(off)))


def _match(turning: bool, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Positions in `theirs` of the values of `mine`: by rank, longitudes turned to the same branch first."""
    if turning and np.ptp(mine) < 360.0:  # else its two ends are one meridian, which no turn keeps apart
        start = mine.min() - 0.5 * _spacing(mine)  # so that rounding does not send the first to the other end
        theirs = start + (theirs - start) % 360.0
    order = np.empty(len(mine), dtype=np.int64)
    order[np.argsort(mine, kind="stable")] = np.argsort(theirs, kind="stable")
    return order


def _sampled(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners, middle, and middles of the edges of a grid, (y, x): smooth mappings that agree there agree between."""
    picked = (axis[[0, len(axis) // 2, -1]] for axis in (rows, columns))
    y, x = np.meshgrid(*picked, indexing="ij")
    return y.ravel(), x.ravel()


def _spacing(axis: np.ndarray) -> float:
    return float(np.abs(np.diff(axis)).min()) if len(axis) > 1 else 1.0


def _rounding(mine: np.ndarray, theirs: np.ndarray, spacing: float) -> float:
    """What is lost of numbers of which some are stored in single precision, to a part of the spacing at most."""
    if not any(np.array_equal(axis, axis.astype("f4")) for axis in (mine, theirs)):
        return 0.0
    return min(float(np.spacing(np.abs(mine).max(initial=0.0).astype("f4"))), ROUNDED * spacing)


def _size(grid: Grid) -> str:
    return f"{grid.shape[0]} {grid.dims[0]} x {grid.shape[1]} {grid.dims[1]}"


def _span(axis: np.ndarray) -> str:
    return f"{axis[0]:g} .. {axis[-1]:g} (spacing {_spacing(axis):g})"


def area_weights(grid: Grid) -> tuple[np.ndarray, str]:
    """Share of the area that every point of a grid stands for.

    On latitude and longitude the weight is cos(latitude), unless the grid reaches a pole: there the cosine is
    zero on a row that does have an area, and the weight is the integral of cos(latitude) over the cell, whose
    edges lie half way between the rows and at the pole. A grid reaches a pole when no further row would fit
    between its outermost row and the pole. Longitudes are taken to be evenly spaced. On projected,
    curvilinear and index grids every point counts alike.

    Returns
    -------
    weights
        (H, W) float64 with mean one.
    name
        "cos_latitude", "cell_area" or "uniform".
    """
    if grid.kind != "latlon":
        return np.ones(grid.shape), "uniform"
    rows, name = _row_weights(grid.rows)
    return np.repeat(rows[:, None] / rows.mean(), grid.shape[1], axis=1), name


def _row_weights(latitude: np.ndarray) -> tuple[np.ndarray, str]:
    """Weight of every row of a latitude axis (H,), which is strictly monotone, in degrees."""
    cosine = np.cos(np.deg2rad(latitude))
    if latitude.size < 2:
        return np.maximum(cosine, np.finfo(np.float64).tiny), "cos_latitude"
    rising = latitude if latitude[0] < latitude[-1] else latitude[::-1]
    # A hair less than a whole spacing, so that a grid that merely stops one row short is a regional one.
    south = rising[0] + POLE < 0.999 * (rising[1] - rising[0])
    north = POLE - rising[-1] < 0.999 * (rising[-1] - rising[-2])
    if not (south or north):
        return cosine, "cos_latitude"
    middle = (rising[1:] + rising[:-1]) / 2
    lowest = -POLE if south else max(-POLE, rising[0] - (rising[1] - rising[0]) / 2)
    highest = POLE if north else min(POLE, rising[-1] + (rising[-1] - rising[-2]) / 2)
    cells = np.diff(np.sin(np.deg2rad(np.concatenate([[lowest], middle, [highest]]))))
    return (cells if latitude[0] < latitude[-1] else cells[::-1]), "cell_area"
