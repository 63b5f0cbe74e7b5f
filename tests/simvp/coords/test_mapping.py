"""Where numbers lie on the earth: degrees of any kind, meridians, and mappings that say the same in other words."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from simvp.c_libraries import import_apart
from simvp.coords.mapping import (
    alike,
    beyond,
    degrees,
    difference,
    first_on_meridian,
    measured,
    metres_apart,
    reference_texts,
    same_earth,
)

pyproj = import_apart("pyproj")
LAEA = {
    "grid_mapping_name": "lambert_azimuthal_equal_area",
    "latitude_of_projection_origin": 52.0,
    "longitude_of_projection_origin": 10.0,
}
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
PLAIN = {"grid_mapping_name": "latitude_longitude"}
WKT = pyproj.CRS.from_cf(LAEA).to_wkt()
PLANE = (np.array([9e3, 7e3, -2e5]), np.array([2e3, 5e3, 4e5]))
TURNED = (np.array([2.0, 0.0, -11.0]), np.array([1.0, 4.0, 17.0]))


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        *(
            (text, 2.0)
            for text in ("degrees_north", "degree_N", "degreesE", "degrees", "deg", "Degrees East", "DEGREES", "1")
        ),
        *((text, 2.0) for text in ("", None, "°", "decimal degrees")),
        *(
            (text, -2.0)
            for text in ("degrees_south", "degree_west", "degrees_W", "degreeS", "degreesS", "Degrees West")
        ),
        *((text, np.rad2deg(2.0)) for text in ("radian", "radians", "rad", "radians_north")),
        ("radians_west", -np.rad2deg(2.0)),
        ("arcmin", 2 / 60),
        ("gon", 1.8),
    ],
)
def test_latitude_and_longitude_in_any_unit_become_degrees_of_north_and_east(units: Any, expected: float) -> None:
    np.testing.assert_allclose(degrees(np.array([2.0]), units), [expected], rtol=1e-14)


def test_degrees_stay_the_array_that_they_are() -> None:
    values = np.array([1.0, 2.0], "f4")
    assert degrees(values, "degrees_north") is values


@pytest.mark.parametrize("units", ["m", "K", "level", "hours"])
def test_what_is_no_angle_is_no_latitude(units: str) -> None:
    with pytest.raises(ValueError, match=f"expected degrees or another angle, got units '{units}'"):
        degrees(np.array([1.0]), units)


@pytest.mark.parametrize(
    ("role", "values", "text"),
    [
        ("latitude", [89.0, 90.0, 91.0], "latitude reaches from 89 to 91 degrees, expected -90 .. 90"),
        ("latitude", [-152.5, np.nan], "latitude reaches from -152.5 to -152.5 degrees, expected -90 .. 90"),
        ("latitude", [90.0001, -90.0001], ""),
        ("latitude", [np.nan], ""),
        ("longitude", [-180.0, 360.0, 541.0], ""),
        ("longitude", [0.0, 9.97e36], "longitude reaches from 0 to 9.97e+36 degrees, expected -360 .. 720"),
    ],
)
def test_degrees_that_are_nowhere_on_the_earth(role: str, values: list[float], text: str) -> None:
    assert beyond(role, np.array(values)) == text


@pytest.mark.parametrize(
    ("longitudes", "first"),
    [
        ([0, 90, 180, 270, 360], [0, 1, 2, 3, 0]),
        ([-180, -90, 0, 90, 180], [0, 1, 2, 3, 0]),
        ([360, 270, 180, 90, 0], [0, 1, 2, 3, 0]),
        ([0, 120, 240, 360, 480], [0, 1, 2, 0, 1]),
        ([-0.00001, 120, 240, 359.99999], [0, 1, 2, 0]),
        ([0.00001, 120, 240, 359.99999], [0, 1, 2, 0]),
        ([0, 90, 180, 270], [0, 1, 2, 3]),
        ([358, 359, 0, 1], [0, 1, 2, 3]),
        ([5], [0]),
    ],
)
def test_columns_of_one_meridian_are_known(longitudes: list[float], first: list[int]) -> None:
    np.testing.assert_array_equal(first_on_meridian(np.array(longitudes, "f8")), first)


@pytest.mark.parametrize(
    ("units", "expected", "base"),
    [
        ("km", 2000.0, "m"),
        ("kilometres", 2000.0, "m"),
        ("1000 m", 2000.0, "m"),
        ("m", 2.0, "m"),
        ("degrees", 2.0, "degree"),
        ("rad", np.rad2deg(2.0), "degree"),
        ("1", 2.0, ""),
        ("", 2.0, ""),
        ("pixels", 2.0, ""),
    ],
)
def test_numbers_of_an_axis_in_metres_or_degrees(units: str, expected: float, base: str) -> None:
    values, got = measured(np.array([2.0]), units)
    np.testing.assert_allclose(values, [expected], rtol=1e-14)
    assert got == base


def test_angles_of_a_satellite_are_metres_by_its_height() -> None:
    mapping = {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0}
    values, base = measured(np.array([0.05]), "rad", mapping)
    assert base == "m"
    np.testing.assert_allclose(values, [0.05 * 35786023.0])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (LAEA, {**LAEA, "false_easting": 0, "long_name": "projection of the radar network"}),
        (LAEA, {**LAEA, "latitude_of_projection_origin": np.float32(52.0)}),
        (LAEA, {"crs_wkt": WKT}),
        ({"spatial_ref": WKT}, {"crs_wkt": WKT, "GeoTransform": "0 1 0 0 0 1"}),
        (LAEA, {"proj4": "+proj=laea +lat_0=52 +lon_0=10"}),
        ({"spatial_ref": pyproj.CRS(3035).to_wkt()}, {"epsg_code": "EPSG:3035"}),
        ({"epsg": 3035}, {"crs": "EPSG:3035"}),
        (ROTATED, {**ROTATED, "north_pole_grid_longitude": 0.0}),
        (
            {"grid_mapping_name": "healpix", "order": 5},
            {"grid_mapping_name": "healpix", "order": 5, "comment": "nested"},
        ),
    ],
)
def test_one_mapping_in_other_words(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert alike(mine, theirs)
    assert alike(theirs, mine)


SAME_PLACES = [
    (LAEA, {**LAEA, "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}, PLANE, PLANE),  # WGS 84
    (LAEA, {**LAEA, "false_easting": 1e6}, PLANE, (PLANE[0], PLANE[1] + 1e6)),
    (LAEA, {"proj4": "+proj=laea +lat_0=52 +lon_0=10 +units=km"}, PLANE, PLANE),
    (ROTATED, {**ROTATED, "grid_north_pole_longitude": 198.0}, TURNED, TURNED),
    (ROTATED, {**ROTATED, "earth_radius": 6371229.0}, TURNED, TURNED),  # the pole needs none
    (
        {**LAEA, "latitude_of_projection_origin": np.float32(52.1)},
        {**LAEA, "latitude_of_projection_origin": 52.1},
        PLANE,
        PLANE,
    ),
]


@pytest.mark.parametrize(("mine", "theirs", "points", "others"), SAME_PLACES)
def test_other_numbers_may_be_the_same_places(mine: Any, theirs: Any, points: Any, others: Any) -> None:
    apart = metres_apart(mine, theirs, points, others)
    assert apart is not None
    assert apart < 0.5


OTHER_PLACES = [
    ({**LAEA, "longitude_of_projection_origin": 20.0}, PLANE, "longitude_of_projection_origin expected 10.0, got 20.0"),
    ({**LAEA, "false_northing": 3e4}, PLANE, "false_northing expected none, got 30000.0"),
    ({"proj4": "+proj=laea +lat_0=52 +lon_0=11"}, PLANE, "longitude_of_projection_origin expected 10.0, got 11.0"),
    ({**LAEA, "grid_mapping_name": "azimuthal_equidistant"}, PLANE, "got azimuthal_equidistant"),
]


@pytest.mark.parametrize(("theirs", "points", "text"), OTHER_PLACES)
def test_another_mapping_is_elsewhere_and_says_what_differs(theirs: dict[str, Any], points: Any, text: str) -> None:
    assert not alike(LAEA, theirs)
    assert metres_apart(LAEA, theirs, points, points) > 10.0  # type: ignore[operator]
    assert text in difference(LAEA, theirs)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (LAEA, {**LAEA, "earth_radius": 6371229.0}),
        ({**LAEA, "earth_radius": 6371229.0}, {**LAEA, "earth_radius": 6371200.0}),
        (LAEA, {"proj4": "+proj=laea +lat_0=52 +lon_0=10 +ellps=bessel"}),
        ({**ROTATED, "earth_radius": 6371229.0}, {**ROTATED, "earth_radius": 6370000.0}),
        ({"grid_mapping_name": "healpix", "order": 5}, {"grid_mapping_name": "healpix", "order": 6}),
        ({**LAEA, "lat_0": 52.0}, {**LAEA, "lat_0": 53.0}),  # no attribute of CF: PROJ would not look at it
    ],
)
def test_what_cannot_be_compared_by_places_is_not_the_same(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert not alike(mine, theirs)
    assert metres_apart(mine, theirs, TURNED, TURNED) is None
    assert "expected" in difference(mine, theirs)


def test_what_differs_between_texts_is_named_by_attributes() -> None:
    grs80 = "+proj=laea +lat_0=52 +lon_0=11 +ellps=GRS80"
    said = difference({"crs_wkt": WKT}, {"proj4": grs80})
    assert said.startswith("longitude_of_projection_origin expected 10.0, got 11.0; ")
    assert "semi_minor_axis" not in said


def test_latitude_and_longitude_are_of_one_earth_as_far_as_both_say() -> None:
    sphere, ellipsoid = (
        {**PLAIN, "earth_radius": 6371229.0},
        {**PLAIN, "semi_major_axis": 6378137.0, "inverse_flattening": 298.257},
    )
    assert same_earth(sphere, PLAIN)
    assert same_earth(ellipsoid, {"spatial_ref": pyproj.CRS(4326).to_wkt()})
    assert not same_earth(sphere, ellipsoid)
    assert not same_earth(
        {**PLAIN, "longitude_of_prime_meridian": 2.337}, {**PLAIN, "longitude_of_prime_meridian": 0.0}
    )


def test_texts_count_where_proj_reads_one() -> None:
    assert reference_texts({"title": "radar", "proj4": "+proj=laea +lat_0=52"}) == {"proj4": "+proj=laea +lat_0=52"}
    assert reference_texts({"crs": "our own"}, {"title": "radar"}) == {}


def test_proj_works_beside_the_one_that_eccodes_brings() -> None:
    """In a fresh interpreter, which would end with a corrupted heap."""
    program = (
        "import eccodes; eccodes.codes_get_api_version()\n"
        "from simvp.coords.mapping import alike\n"
        "print(alike({'epsg_code': 'EPSG:3035'}, {'crs_wkt': 'EPSG:3035'}), alike({'epsg': 3035}, {'epsg': 3857}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "False"]), done.stderr
