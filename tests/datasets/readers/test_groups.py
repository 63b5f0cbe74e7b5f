"""Variables in groups are named as group:name, and listed where they are not."""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from datasets.readers import open_source, source
from datasets.readers.concat import Family
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import SourceError
from tests.support.files.small_files import KELVIN, fill, hourly, maps, write, write_zarr

RAIN = {"units": "mm/hr"}


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(path, **options)
    return str(caught.value)


def imerg(path: Path, first: int = 0) -> Path:
    """As IMERG has it: all in one group, longitude before latitude, an inner group of more maps."""
    variables = hourly("precipitation", maps(2, first), RAIN, first=first)
    variables["precipitation"] = (("time", "lon", "lat"), maps(2, first).transpose(0, 2, 1), RAIN)
    write(path, variables, "Grid")
    return write(path, {"weight": (("time", "lon", "lat"), np.ones((2, 4, 3), "i2"), {})}, "Grid/Intermediate")


@pytest.mark.parametrize("group", ["Grid", "science/air", "a/b/c"])
@pytest.mark.parametrize("form", ["netcdf", 2, 3])
def test_a_group_is_named_or_listed(group: str, form: Any, tmp_path: Path) -> None:
    path, variables = tmp_path / "data", hourly("t", maps())
    write(path, variables, group) if form == "netcdf" else write_zarr(path, variables, group, version=form)
    text = refused(path)
    assert f"variables lie in groups: {group}:t (time, lat, lon), and none in the root" in text
    assert f"name those to read as group:name, such as variables=['{group}:t']" in text
    ds = open_source(path, variables=[f"{group}:t"])
    np.testing.assert_array_equal(ds["t"], maps())
    assert ds["t"].attrs == KELVIN
    assert f"groups hold {group}:t (time, lat, lon), which are named as group:name" in refused(path, variables=["t"])


@pytest.mark.parametrize("form", ["netcdf", 3])
def test_beside_the_root_it_is_named_and_not_passed_over(form: Any, tmp_path: Path) -> None:
    path, root, inner = tmp_path / "data", hourly("t", maps()), hourly("rr", maps(add=1.0), {"units": "mm"})
    if form == "netcdf":
        write(write(path, root), inner, "rain")
    else:
        write_zarr(write_zarr(path, root), inner, "rain")
    text = refused(path)
    assert "variables lie in groups: rain:rr (time, lat, lon), beside t in the root" in text
    assert "such as variables=['t', 'rain:rr']" in text
    assert list(open_source(path, variables=["t"]).data_vars) == ["t"]
    ds = open_source(path, variables=["t", "rain:rr"], units={"rr": "mm"})
    np.testing.assert_array_equal(ds["t"], maps())
    np.testing.assert_array_equal(ds["rr"], maps(add=1.0))


def test_a_group_without_maps_is_none_to_ask_about(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", hourly("t", maps()))
    write(path, {"version": ((), np.int32(7), {}), "log": (("n",), np.arange(5), {})}, "history")
    np.testing.assert_array_equal(open_source(path)["t"], maps())


def test_files_of_one_kind_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        imerg(tmp_path / f"{number}.HDF5", 2 * number)
    seen: list[Family] = []
    plain = source.joined
    monkeypatch.setattr(source, "joined", lambda family, first: seen.append(family) or plain(family, first))
    ds = open_source(tmp_path, variables=["Grid:precipitation"])
    assert [len(family.files) for family in seen] == [3]
    np.testing.assert_array_equal(ds["precipitation"], maps(6))
    assert "Grid:precipitation (time, lon, lat), Grid/Intermediate:weight (time, lon, lat)" in refused(tmp_path)


def scoped(path: Path, first: int = 0, level: float = 850.0) -> Path:
    """Dims and coordinates in the root, the field two groups down, as NetCDF-4 allows."""
    world = hourly("t", maps(2, first), first=first)
    with netCDF4.Dataset(path, "w") as file:
        fill(file, {name: world[name] for name in ("time", "lat", "lon")})
        fill(file, {"plev": ((), np.float64(level), {"units": "hPa"})})
        field = file.createGroup("upper").createGroup("air").createVariable("t", "f4", ("time", "lat", "lon"))
        field.setncatts({**KELVIN, "coordinates": "plev"})
        field[...] = maps(2, first)
    return path


def test_coordinates_of_the_groups_around_it_are_its_own(tmp_path: Path) -> None:
    scoped(tmp_path / "0.nc")
    ds = open_source(tmp_path / "0.nc", variables=["upper/air:t"])
    np.testing.assert_array_equal(ds["t"], maps(2))
    assert ds["t"].attrs["fixed_at"] == '{"plev": "850 hPa"}'
    scoped(tmp_path / "1.nc", 2)
    np.testing.assert_array_equal(open_source(tmp_path, variables=["upper/air:t"])["t"], maps(4))
    scoped(tmp_path / "1.nc", 2, level=500.0)
    assert "1.nc (group upper/air): t has plev 500 hPa, but plev 850 hPa in" in refused(
        tmp_path, variables=["upper/air:t"]
    )


def test_what_is_not_there_or_there_twice(tmp_path: Path) -> None:
    path = imerg(tmp_path / "a.HDF5")
    text = refused(path, variables=["Grid:rain"])
    assert "variable 'rain' is not there" in text
    assert "groups hold Grid:precipitation" in text
    text = refused(path, variables=["Gird:precipitation"])
    assert "there is no group 'Gird' of maps; groups hold Grid:precipitation (time, lon, lat)" in text
    text = refused(path, variables=["Grid:t", "other:t"])
    assert "'t' is named in two groups, 'Grid:t' and 'other:t'" in text


def test_coordinates_in_a_group_beside_it_are_named(tmp_path: Path) -> None:
    variables = hourly("t", maps())
    write(tmp_path / "a.nc", {name: variables[name] for name in ("time", "lat", "lon")}, "place")
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        for dim, size in (("time", 4), ("y", 3), ("x", 4)):
            file.createDimension(dim, size)
        file.createVariable("data/t", "f4", ("time", "y", "x"))[...] = maps()
        file.createVariable("place/lat2d", "f4", ("y", "x"))[...] = 50.0
    said = refused(tmp_path / "a.nc", variables=["data:t"])
    assert "coordinates are those of data and of the groups around it" in said
    assert "groups hold place:lat2d (y, x), data:t (time, y, x)" in said


def test_a_group_is_ingested_and_grows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    imerg(tmp_path / "in" / "0.HDF5")
    home = Home(tmp_path / "home")
    report = ingest(home, "imerg", source=tmp_path / "in", variables=["Grid:precipitation"])
    assert (report.length, report.variables) == (2, ("precipitation",))
    imerg(tmp_path / "in" / "1.HDF5", 2)
    assert ingest(home, "imerg").length == 4
