"""Grids: when two are the same, and how one is brought into the order of the other."""

import numpy as np
import pytest
import xarray as xr

from simvp.coords.grid import Grid
from tests.support.worlds import address_world

KINDS = ["latlon", "projected", "curvilinear", "index"]


@pytest.fixture(params=KINDS)
def ds(request) -> xr.Dataset:
    return address_world(frames=2, grid=request.param)


def test_kind_is_seen_and_survives_the_file(ds, request):
    grid = Grid.of(ds)
    assert grid.kind == request.node.callspec.params["ds"]
    again = Grid.from_header(grid.to_header(), grid.arrays())
    assert again.faults(ds) == []
    xr.testing.assert_identical(again.align(ds), grid.align(ds))


@pytest.mark.parametrize("kind", ["latlon", "projected"])
def test_mirrored_axes_are_put_back_by_label(kind):
    ds = address_world(frames=2, grid=kind)
    grid = Grid.of(ds)
    mirrored = ds.isel({grid.dims[0]: slice(None, None, -1), grid.dims[1]: slice(None, None, -1)})
    assert grid.faults(mirrored) == []
    xr.testing.assert_equal(grid.align(mirrored), ds)
    assert grid.align(ds) is ds  # nothing to do
    rows = ds[grid.dims[0]]
    xr.testing.assert_identical(grid.align(ds.assign_coords({rows.name: rows.assign_attrs(comment="another")})), ds)


def test_float32_coordinates_are_the_same_grid_and_get_the_reference_values():
    ds = address_world(frames=2, shape=(7, 9))
    rounded = ds.assign_coords(longitude=ds.longitude.astype("f4") + np.float32(0.1) - np.float32(0.1))
    assert Grid.of(ds).faults(rounded) == []
    assert np.array_equal(Grid.of(ds).align(rounded).longitude, ds.longitude)


def test_longitudes_are_compared_on_the_circle():
    ds = address_world(frames=2)
    turned = ds.assign_coords(longitude=ds.longitude % 360)
    assert Grid.of(ds).faults(turned) == []
    xr.testing.assert_equal(Grid.of(ds).align(turned.sortby("longitude")), ds)


@pytest.mark.parametrize("dim", ["latitude", "longitude"])
def test_half_a_cell_is_another_grid(dim):
    ds = address_world(frames=2)
    spacing = abs(float(ds[dim][1] - ds[dim][0]))
    (fault,) = Grid.of(ds).faults(ds.assign_coords({dim: ds[dim] + spacing / 2}))
    assert (
        f"grid: {dim} differs by up to {spacing / 2:g}, allowed is 1/1000 of the spacing ({spacing / 1000:g})" in fault
    )


def test_size_comes_first():
    ds = address_world(frames=2, shape=(6, 8))
    (fault,) = Grid.of(ds).faults(ds.isel(latitude=slice(1, None)))
    assert fault == "grid: expected 6 latitude x 8 longitude, got 5 latitude x 8 longitude"


def test_same_number_of_points_on_a_turned_grid_is_refused():
    ds = address_world(frames=2, shape=(6, 8))
    (fault,) = Grid.of(ds).faults(address_world(frames=2, shape=(8, 6)))
    assert "expected 6 latitude x 8 longitude, got 8 latitude x 6 longitude" in fault


def test_a_moved_curvilinear_grid_is_refused():
    ds = address_world(frames=2, grid="curvilinear")
    moved = ds.assign_coords(latitude=ds.latitude + 0.1)
    assert "grid: latitude of the points differs by up to 0.1 degrees" in Grid.of(ds).faults(moved)


def test_other_dims_are_refused():
    (fault,) = Grid.of(address_world(frames=2)).faults(address_world(frames=2, grid="index"))
    assert fault == "grid: expected dims ('latitude', 'longitude'), got ('y', 'x')"


def test_a_globe_whose_last_meridian_is_its_first_stays_in_order():
    ds = address_world(frames=2, shape=(6, 9)).assign_coords(longitude=np.linspace(-180.0, 180.0, 9))
    moved = ds.assign_coords(longitude=ds.longitude + 1e-3)
    assert Grid.of(ds).faults(moved) == []
    for other in (ds, moved):
        np.testing.assert_array_equal(Grid.of(ds).align(other)["t2m"], ds["t2m"])


def test_mappings_and_units_are_part_of_a_grid():
    ds = address_world(frames=2, grid="projected")
    grid = Grid.of(ds)
    assert grid.identical(Grid.of(ds))
    again = Grid.from_header(grid.to_header(), grid.arrays())
    moved = ds.assign_coords(crs=ds.crs.assign_attrs(latitude_of_projection_origin=50.0))
    in_km = ds.assign_coords(y=(ds.y / 1000).assign_attrs(units="km"), x=(ds.x / 1000).assign_attrs(units="km"))
    for other, faults in ((moved, 1), (in_km, 0)):
        assert not grid.identical(Grid.of(other))
        assert not again.identical(Grid.of(other))
        assert len(grid.faults(other)) == len(again.faults(other)) == faults
    assert "latitude_of_projection_origin expected 52.0, got 50.0; the points lie up to " in grid.faults(moved)[0]
    xr.testing.assert_identical(grid.align(in_km), ds)


def test_earths_of_latitude_and_longitude():
    ds = address_world(frames=2)
    ds = ds.assign({name: var.assign_attrs(grid_mapping="crs") for name, var in ds.data_vars.items()})
    sphere, ellipsoid = (
        ds.assign_coords(crs=((), 0, {"grid_mapping_name": "latitude_longitude", **earth}))
        for earth in ({"earth_radius": 6371229.0}, {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257})
    )
    (fault,) = Grid.of(sphere).faults(ellipsoid)
    assert fault.startswith("grid: another earth (grid_mapping crs): earth_radius expected 6371229.0, got none")
    assert Grid.of(sphere).faults(ds) == Grid.of(ds).faults(ellipsoid) == Grid.of(sphere).faults(sphere) == []


@pytest.mark.parametrize("kind", ["projected", "curvilinear"])
def test_a_grid_that_says_nothing_of_its_places_is_taken_with_a_warning(kind, caplog):
    ds = address_world(frames=2, grid=kind)
    bare = ds.drop_vars(["crs", "latitude", "longitude"], errors="ignore")
    assert Grid.of(ds).faults(bare) == Grid.of(bare).faults(ds) == []
    what = "a grid_mapping" if kind == "projected" else "latitude and longitude"
    assert caplog.text.count(f"one of two has {what}, the other has not") == 2


def test_curvilinear_grids_are_the_same_up_to_single_precision_and_gaps():
    ds = address_world(frames=2, grid="curvilinear")
    ds = ds.assign_coords(latitude=ds.latitude - 0.05 * ds.x)  # constant along the rows
    ds = ds.assign_coords(longitude=ds.longitude.where(ds.y > 0))
    rounded = ds.assign_coords(latitude=ds.latitude.astype("f4") + np.float32(0.1) - np.float32(0.1))
    assert Grid.of(ds).faults(rounded) == []
    moved = ds.assign_coords(longitude=ds.longitude + 0.1)
    assert Grid.of(ds).faults(moved) == ["grid: longitude of the points differs by up to 0.1 degrees"]
