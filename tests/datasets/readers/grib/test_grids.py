"""Where the values of a GRIB file are: scanning modes and grids, or a refusal that names the one or the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest
import xarray as xr

from datasets.readers.source import open_source
from simvp.coords import canonicalise
from simvp.errors import Refusal, SourceError
from tests.support.files.grib import (
    NORTH,
    WEST,
    assert_at_places,
    corners,
    keep,
    maps,
    message,
    of_sections,
    scanned,
    sections,
    times,
)

RADIUS, APART = 6371229.0, 100e3  # m


def refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(path)
    return str(caught.value)


# Edition 1 has no rows that run back.
@pytest.mark.parametrize(
    ("edition", "mode"),
    [*((2, mode) for mode in range(0x00, 0x100, 0x10)), *((1, mode) for mode in range(0x00, 0x100, 0x20))],
)
def test_every_scanning_mode(edition: int, mode: int, tmp_path: Path) -> None:
    values = maps(2, 5, 3)
    path = keep(tmp_path / "a", [message(v, hour=n, mode=mode, edition=edition) for n, v in enumerate(values)])
    ds = open_source(path)
    np.testing.assert_array_equal(ds["time"], times(0, 1))
    assert_at_places(ds["t2m"], values)


def test_messages_of_several_scanning_modes_in_one_file(tmp_path: Path) -> None:
    values = maps(4)
    modes = (0x00, 0x40, 0xA0, 0x70)
    path = keep(
        tmp_path / "a", [message(v, hour=n, mode=mode) for n, (v, mode) in enumerate(zip(values, modes, strict=True))]
    )
    assert_at_places(open_source(path)["t2m"], values)


def test_missing_points_keep_their_place_in_every_order(tmp_path: Path) -> None:
    values = maps(1)
    values[0, 2, 1] = 9999.0
    holed = np.where(values == 9999.0, np.nan, values)
    for mode in (0x00, 0x30, 0xF0):
        made = message(values[0], mode=mode, bitmapPresent=1, missingValue=9999.0)
        field = open_source(keep(tmp_path / f"{mode}", [made]))["t2m"]
        there = field.sel(latitude=NORTH - np.arange(3), longitude=WEST + np.arange(4))
        np.testing.assert_allclose(there, holed, atol=1e-4)


def rotated(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Geographic places of those on a sphere whose south pole is at 40 S, 10 E."""
    y, x = np.radians(latitude), np.radians(longitude)
    turn = np.radians(90.0 - 40.0)
    z = np.sin(y) * np.cos(turn) + np.cos(y) * np.cos(x) * np.sin(turn)
    east = np.arctan2(np.cos(y) * np.sin(x), np.cos(y) * np.cos(x) * np.cos(turn) - np.sin(y) * np.sin(turn))
    return np.degrees(np.arcsin(z)), 10.0 + np.degrees(east)


def equal_area(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of Lambert's azimuthal equal-area projection about 52 N, 10 E (Snyder 1987, 20-14 and 24-16)."""
    rho = np.hypot(x, y)
    c = 2 * np.arcsin(rho / (2 * RADIUS))
    centre, s = np.radians(52.0), np.where(rho == 0, 1.0, np.sin(c) / np.where(rho == 0, 1.0, rho))
    latitude = np.arcsin(np.cos(c) * np.sin(centre) + y * s * np.cos(centre))
    return np.degrees(latitude), 10 + np.degrees(np.arctan2(x * s, np.cos(centre) * np.cos(c) - y * s * np.sin(centre)))


def conformal_conic(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of Lambert's conformal conic projection, true at 45 N, about 10 E (Snyder 1987, 14-4 to 15-5)."""
    n, standard = np.sin(np.radians(45.0)), np.radians(45.0)
    scale = np.cos(standard) * np.tan(np.pi / 4 + standard / 2) ** n / n
    origin = RADIUS * scale / np.tan(np.pi / 4 + standard / 2) ** n
    rho = np.hypot(x, origin - y)
    latitude = 2 * np.arctan((RADIUS * scale / rho) ** (1 / n)) - np.pi / 2
    return np.degrees(latitude), 10 + np.degrees(np.arctan2(x, origin - y) / n)


def stereographic(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of the north polar stereographic projection, true at 60 N, 10 E downwards (Snyder 1987, 21-15)."""
    true = RADIUS * (1 + np.sin(np.radians(60.0))) / 2
    return 90 - np.degrees(2 * np.arctan(np.hypot(x, y) / (2 * true))), 10 + np.degrees(np.arctan2(x, -y))


CURVES: dict[str, tuple[Callable[..., Any], float, float, float, dict[str, Any]]] = {
    "rotated_ll": (
        rotated,
        2.0,
        1.0,
        1.0,
        {
            "sample": "rotated_ll_sfc_grib2",
            "latitudeOfSouthernPoleInDegrees": -40.0,
            "longitudeOfSouthernPoleInDegrees": 10.0,
        },
    ),
    "lambert_azimuthal_equal_area": (
        equal_area,
        1e5,
        -2e5,
        APART,
        {
            "gridType": "lambert_azimuthal_equal_area",
            "standardParallelInDegrees": 52.0,
            "centralLongitudeInDegrees": 10.0,
        },
    ),
    "lambert": (
        conformal_conic,
        1e5,
        -2e5,
        APART,
        {
            "gridType": "lambert",
            "Latin1InDegrees": 45.0,
            "Latin2InDegrees": 45.0,
            "LaDInDegrees": 45.0,
            "LoVInDegrees": 10.0,
        },
    ),
    "polar_stereographic": (
        stereographic,
        -28e5,
        -2e5,
        APART,
        {
            "sample": "polar_stereographic_sfc_grib2",
            "LaDInDegrees": 60.0,
            "orientationOfTheGridInDegrees": 10.0,
        },
    ),
}


def curved(kind: str, mode: int, rows: int, columns: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Keys of a grid, and the places of its points (rows from the top, columns from the left)."""
    inverse, top, left, apart, keys = CURVES[kind]
    y, x = np.meshgrid(top - apart * np.arange(rows), left + apart * np.arange(columns), indexing="ij")
    latitude, longitude = inverse(y, x)
    j, i = (rows - 1 if mode & 0x40 else 0), (columns - 1 if mode & 0x80 else 0)
    if kind == "rotated_ll":
        ends = (y[j, 0], y[rows - 1 - j, 0], x[0, i], x[0, columns - 1 - i])
        names = ("latitudeOfFirst", "latitudeOfLast", "longitudeOfFirst", "longitudeOfLast")
        place = {f"{name}GridPointInDegrees": end for name, end in zip(names, ends, strict=True)}
        place |= {"Ni": columns, "Nj": rows, "iDirectionIncrementInDegrees": 1.0, "jDirectionIncrementInDegrees": 1.0}
    else:
        place = {"shapeOfTheEarth": 6, "Nx": columns, "Ny": rows, "DxInMetres": apart, "DyInMetres": apart}
        place |= {"latitudeOfFirstGridPointInDegrees": latitude[j, i]}
        place |= {"longitudeOfFirstGridPointInDegrees": longitude[j, i] % 360}
    return {**keys, **place}, latitude, longitude


@pytest.mark.parametrize("mode", range(0x00, 0x100, 0x10))
@pytest.mark.parametrize("kind", list(CURVES))
def test_scanning_modes_of_curved_grids(kind: str, mode: int, tmp_path: Path) -> None:
    """Each value at its place, and neighbours in the file's map are neighbours on the grid; or refused by the mode."""
    values = maps(1, 5, 3)
    grid, latitude, longitude = curved(kind, mode, 5, 3)
    path = keep(tmp_path / "a", [message(values[0], mode=mode, grid=grid)])
    if kind in ("lambert", "polar_stereographic") and mode & 0xC0 != 0x40:
        assert f"scanning mode {mode:08b} of gridType {kind} is placed wrongly by ecCodes" in refused(path)
        return
    ds = open_source(path)
    turned = (slice(None, None, -1 if mode & 0x40 else 1), slice(None, None, -1 if mode & 0x80 else 1))
    np.testing.assert_array_equal(ds["t2m"][0], values[0][turned].astype("f4"))
    np.testing.assert_allclose(ds["latitude"], latitude[turned], atol=1e-3)
    np.testing.assert_allclose(ds["longitude"] % 360, longitude[turned] % 360, atol=1e-3)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ("reduced_gg_sfc_grib2", "a reduced Gaussian grid (reduced_gg)"),
        ("reduced_gg_sfc_grib1", "a reduced Gaussian grid (reduced_gg)"),
        ("reduced_ll_sfc_grib2", "a reduced latitude-longitude grid (reduced_ll)"),
        ("rotated_gg_sfc_grib2", "a rotated Gaussian grid (rotated_gg)"),
        ("sh_ml_grib2", "spherical harmonics (sh)"),
    ],
)
def test_grids_that_are_not_read(sample: str, words: str, tmp_path: Path) -> None:
    handle = eccodes.codes_grib_new_from_samples(sample)
    path = keep(tmp_path / "a", [eccodes.codes_get_message(handle)])
    eccodes.codes_release(handle)
    text = refused(path)
    assert words in text
    assert "bring it onto a regular one first (cdo -R or remapbil), or read other variables or another gridType" in text
    with path.open("ab") as file:
        file.write(message(maps(1)[0], hour=3))
    assert_at_places(open_source(path, select={"gridType": "regular_ll"})["t2m"], maps(1))


def test_mercator_is_not_read(tmp_path: Path) -> None:
    grid = {
        "gridType": "mercator",
        "Ni": 4,
        "Nj": 3,
        "DiInMetres": 1e4,
        "DjInMetres": 1e4,
        "LaDInDegrees": 20.0,
        "latitudeOfFirstGridPointInDegrees": 48.0,
        "latitudeOfLastGridPointInDegrees": 50.0,
        "longitudeOfFirstGridPointInDegrees": 5.0,
        "longitudeOfLastGridPointInDegrees": 8.0,
    }
    path = keep(tmp_path / "a", [message(maps(1)[0], grid=grid)])
    assert "t2m: on a Mercator grid (mercator), which is not read" in refused(path)


@pytest.mark.parametrize("mode", [0x00, 0x40, 0x20, 0x90, 0xF0])
def test_a_regular_gaussian_grid(mode: int, tmp_path: Path) -> None:
    values = np.arange(64 * 128, dtype="f8").reshape(64, 128)
    handle = eccodes.codes_grib_new_from_samples("regular_gg_sfc_grib2")
    north, east = (
        eccodes.codes_get(handle, f"{key}GridPointInDegrees") for key in ("latitudeOfFirst", "longitudeOfLast")
    )
    settings = {
        "shortName": "2t",
        "packingType": "grid_ieee",
        "latitudeOfFirstGridPointInDegrees": -north if mode & 0x40 else north,
        "latitudeOfLastGridPointInDegrees": north if mode & 0x40 else -north,
        "longitudeOfFirstGridPointInDegrees": east if mode & 0x80 else 0.0,
        "longitudeOfLastGridPointInDegrees": 0.0 if mode & 0x80 else east,
        "iScansNegatively": mode >> 7 & 1,
        "jScansPositively": mode >> 6 & 1,
        "jPointsAreConsecutive": mode >> 5 & 1,
        "alternativeRowScanning": mode >> 4 & 1,
    }
    for key, value in settings.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, scanned(values, mode))
    path = keep(tmp_path / "a", [eccodes.codes_get_message(handle)])
    eccodes.codes_release(handle)
    field = open_source(path)["t2m"][0].sortby("latitude", ascending=False).sortby("longitude")
    np.testing.assert_array_equal(field, values)
    assert float(field["latitude"][0]) == pytest.approx(87.8638, abs=1e-4)  # the northernmost of N32
    np.testing.assert_allclose(field["longitude"], 2.8125 * np.arange(128), atol=1e-4)


def test_staggered_rows_are_refused(tmp_path: Path) -> None:
    parts = [bytearray(part) for _, part in sections(message(maps(1)[0]))]
    parts[1][71] = 0x08  # octet 72 of template 3.0
    path = keep(tmp_path / "a", [of_sections([bytes(part) for part in parts])])
    assert "scanning mode 00001000 of gridType regular_ll staggers rows or columns" in refused(path)


@pytest.mark.parametrize(
    ("mode", "west", "words"),
    [
        (0x20, 5.0, "GRIB_jPointsAreConsecutive 1, which cfgrib reads in the wrong order"),
        (0x30, 5.0, "GRIB_jPointsAreConsecutive 1, which cfgrib reads in the wrong order"),
        (0x00, 358.0, "longitude begins at 1, the values at 358"),
        (0x00, 5.0, ""),
        (0x10, 5.0, ""),
        (0x80, 5.0, "longitude begins at 5, the values at 8"),
        (0x90, 5.0, "longitude begins at 5, the values at 8"),
    ],
)
def test_what_cfgrib_misplaces_is_refused_where_it_was_used_by_the_caller(
    mode: int, west: float, words: str, tmp_path: Path
) -> None:
    values = maps(2)
    grid = corners(3, 4, mode, west=west)
    grid |= {key: value % 360 for key, value in grid.items() if key.startswith("longitude")}
    path = keep(tmp_path / "a.grib2", [message(v, hour=n, mode=mode, grid=grid) for n, v in enumerate(values)])
    own = open_source(path)
    there = own["t2m"].sel(latitude=NORTH - np.arange(3)).sortby("longitude")
    np.testing.assert_array_equal(there, values.astype("f4"))
    raw = xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""})
    if words:
        with pytest.raises(Refusal, match=words):
            canonicalise(raw)
    else:
        xr.testing.assert_equal(canonicalise(raw)[0]["t2m"], own["t2m"])
