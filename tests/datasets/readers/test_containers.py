"""What is no file, what only looks like NetCDF, and Zarr whose metadata are old: read right, or refused by name."""

import os
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import zarr
from zarr.errors import ZarrUserWarning

from datasets.readers import file_of, open_source
from simvp.errors import SourceError
from tests.support.files.small_files import KELVIN, hourly, maps, write, write_zarr


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source, **options)
    return str(caught.value)


# ---- no regular file


@pytest.mark.timeout(30)
def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b.nc")
    said = "b.nc: no regular file (a named pipe)"
    assert said in refused(tmp_path / "b.nc")
    write(tmp_path / "a.nc", hourly("t", maps()))
    for source in (tmp_path, str(tmp_path / "*.nc"), [tmp_path / "a.nc", tmp_path / "b.nc"]):
        assert said in refused(source)
    (tmp_path / "b.nc").rename(tmp_path / "control")  # nothing says that this is data
    np.testing.assert_array_equal(open_source(tmp_path)["t"], maps())
    (tmp_path / "c.nc").symlink_to(tmp_path / "control")
    assert "c.nc: no regular file (a named pipe)" in refused(tmp_path)


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.nc"))
        yield tmp_path / "s.nc"


def test_a_socket_and_a_device(bound: Path) -> None:
    assert "no regular file (a socket)" in refused(bound)
    assert "no regular file (a character device)" in refused("/dev/zero")


def test_a_link_to_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", hourly("t", maps()))
    (tmp_path / "b.nc").symlink_to(tmp_path / "gone.nc")
    assert "b.nc: cannot be opened: No such file" in refused(tmp_path)


@pytest.mark.timeout(30)
def test_a_pipe_among_the_chunks_of_a_store(tmp_path: Path) -> None:
    write_zarr(tmp_path / "a.zarr", hourly("t", maps()), version=2)
    chunk = next(path for path in sorted((tmp_path / "a.zarr" / "t").iterdir()) if not path.name.startswith("."))
    chunk.unlink()
    os.mkfifo(chunk)
    assert f"{chunk} is no regular file" in refused(tmp_path / "a.zarr")


def test_links_that_turn_in_a_circle(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.nc", hourly("t", maps()))
    (folder / "around").symlink_to(folder)
    (folder / "latest").symlink_to(folder / "latest")
    ds = open_source(folder)
    np.testing.assert_array_equal(ds["t"], maps())
    assert file_of(ds, "t", ds["time"].values[0]) == str(folder / "a.nc")
    (folder / "b.nc").symlink_to(folder / "b.nc")
    assert "b.nc: cannot be opened: Too many levels" in refused(folder)


# ---- HDF5 that is no NetCDF-4


def hdf5(path: Path, dtype: Any = "f4", **attrs: Any) -> Path:
    """A file with dimension scales, as h5py writes it."""
    with h5py.File(path, "w") as file:
        file.attrs.update(attrs)
        for name, (dims, values, of) in hourly("t", maps()).items():
            made = file.create_dataset(name, data=np.asarray(values).astype(dtype if name == "t" else values.dtype))
            made.attrs.update(of)
            if dims == (name,):
                made.make_scale(name)
        for axis, name in enumerate(("time", "lat", "lon")):
            file["t"].dims[axis].attach_scale(file[name])
    return path


def test_hdf5_of_another_writer_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(open_source(hdf5(tmp_path / "a.h5"))["t"], maps())


@pytest.mark.parametrize(("dtype", "name"), [("f2", "float16"), (np.longdouble, "float128")])
def test_floats_that_netcdf_has_not_are_refused_before_it_opens_them(dtype: Any, name: str, tmp_path: Path) -> None:
    assert f"a.h5: t is {name}: NetCDF has no such type; store float32 instead" in refused(
        hdf5(tmp_path / "a.h5", dtype)
    )


def test_packing_that_netcdf_would_pass_over(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", "i2")
    with h5py.File(path, "a") as file:
        file["t"].attrs["scale_factor"] = np.float16(0.5)
    assert "a.h5: t:scale_factor is float16: NetCDF has no such type" in refused(path)


def test_one_of_them_in_a_group_or_among_many_files(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.nc", hourly("t", maps(first=4 * number), first=4 * number))
    with h5py.File(tmp_path / "8.nc", "w") as file:
        file.create_dataset("deep/inside/x", data=np.zeros((2, 2), "f2"))
    text = refused(tmp_path)
    assert "8.nc: deep/inside/x is float16" in text
    assert "0.nc" not in text


def test_odim_is_known(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "radar.h5", "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_4")
        file.create_group("what").attrs.update({"object": "COMP", "date": "20200101", "time": "000000"})
        file.create_group("dataset1/data1").create_dataset("data", data=np.zeros((3, 4), "u1"))
    for options in ({}, {"variables": ["dataset1/data1:data"]}):
        text = refused(tmp_path / "radar.h5", **options)
        assert "radar.h5: ODIM HDF5 of weather radar is not read: its values are scaled bytes in groups" in text


@pytest.mark.timeout(30)
@pytest.mark.parametrize("soft", [True, False])
def test_a_group_that_lies_in_itself(soft: bool, tmp_path: Path) -> None:
    with h5py.File(hdf5(tmp_path / "a.h5"), "a") as file:
        inner = file.create_group("outer/inner")
        inner["up"] = h5py.SoftLink("/outer") if soft else file["outer"]
    assert "/outer/inner/up: the group lies in itself, by a link" in refused(tmp_path / "a.h5")


def test_a_group_of_two_names_is_read(tmp_path: Path) -> None:
    with h5py.File(hdf5(tmp_path / "a.h5"), "a") as file:
        file["second"] = file.create_group("first")
    np.testing.assert_array_equal(open_source(tmp_path / "a.h5")["t"], maps())


@pytest.mark.parametrize("target", ["/g", "/d"])
def test_links_into_other_files(target: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["g/x"] = file["d"] = np.arange(3.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["outside"] = h5py.ExternalLink("other.h5", target)
    said = f"/outside: the link leads into another file (other.h5:{target}), and is not followed"
    assert said in refused(tmp_path / "a.h5")


def test_links_to_nothing_in_hdf5(tmp_path: Path) -> None:
    with h5py.File(hdf5(tmp_path / "a.h5"), "a") as file:
        file["lost"] = h5py.SoftLink("/nowhere")
    assert "/lost: the link leads nowhere, /nowhere is not there" in refused(tmp_path / "a.h5")


def test_a_virtual_dataset(tmp_path: Path) -> None:
    """It reads whatever file it names, and a fill value where that is gone."""
    layout = h5py.VirtualLayout(shape=(4, 3, 4), dtype="f4")
    for number, values in enumerate(maps()):
        with h5py.File(tmp_path / f"{number}.part", "w") as part:
            part["of"] = values
        layout[number] = h5py.VirtualSource(f"{number}.part", "of", shape=(3, 4))
    with h5py.File(hdf5(tmp_path / "a.h5"), "a") as file:
        del file["t"]
        file.create_virtual_dataset("t", layout, fillvalue=0.0).attrs.update(KELVIN)
        for axis, name in enumerate(("time", "lat", "lon")):
            file["t"].dims[axis].attach_scale(file[name])
    said = "t: a virtual dataset, whose values lie in other files (0.part, 1.part, 2.part), which are not opened"
    assert said in refused(tmp_path / "a.h5")


def test_values_in_a_file_beside(tmp_path: Path) -> None:
    raw = tmp_path / "values.raw"
    maps().tofile(raw)
    with h5py.File(hdf5(tmp_path / "a.h5"), "a") as file:
        del file["t"]
        made = file.create_dataset("t", (4, 3, 4), "f4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
        made.attrs.update(KELVIN)
        for axis, name in enumerate(("time", "lat", "lon")):
            made.dims[axis].attach_scale(file[name])
    assert f"t: its values lie in another file ({raw}), which is not opened" in refused(tmp_path / "a.h5")


def test_hdf5_with_groups_and_no_dims_lists_them(tmp_path: Path) -> None:
    """As KNMI writes its radar images."""
    with h5py.File(tmp_path / "knmi.h5", "w") as file:
        file.create_group("overview").attrs["products_missing"] = "na"
        file.create_group("image1").create_dataset("image_data", data=np.zeros((3, 4), "u1"))
    text = refused(tmp_path / "knmi.h5")
    assert "variables lie in groups: image1:image_data (" in text
    assert "no time axis" in refused(tmp_path / "knmi.h5", variables=["image1:image_data"])


def test_an_enumerated_type_is_read_as_its_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", hourly("t", maps()))
    with netCDF4.Dataset(path, "a") as file:
        kind = file.createEnumType(np.uint8, "weather", {"dry": 0, "rain": 1, "snow": 2})
        file.createVariable("w", kind, ("time", "lat", "lon"))[...] = np.arange(48, dtype="u1").reshape(4, 3, 4) % 3
    ds = open_source(path)
    np.testing.assert_array_equal(ds["t"], maps())
    np.testing.assert_array_equal(ds["w"], np.arange(48).reshape(4, 3, 4) % 3)


def test_lists_in_each_place_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.nc", hourly("t", maps()))
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file.createVariable("drops", file.createVLType(np.int32, "list"), ("time", "lat", "lon"))
        file.createVariable("station", str, ())[...] = np.array("De Bilt", object)
    ds = open_source(tmp_path / "a.nc")
    np.testing.assert_array_equal(ds["t"], maps())
    assert list(ds.data_vars) == ["t"]
    assert "left out, with a list in each place (vlen): drops" in caplog.text


@pytest.mark.parametrize("version", [2, 3])
def test_float16_in_zarr_is_read(version: int, tmp_path: Path) -> None:
    ds = open_source(write_zarr(tmp_path / "a.zarr", hourly("t", maps(add=0.0).astype("f2")), version=version))
    np.testing.assert_array_equal(ds["t"], maps(add=0.0).astype("f2").astype("f4"))


# ---- Zarr whose consolidated metadata are a copy from before


def consolidate(path: Path, version: int) -> None:
    """As their writers do; of format 3 zarr warns them that other programs may not know it."""
    with pytest.warns(ZarrUserWarning) if version == 3 else nullcontext():
        zarr.consolidate_metadata(path, zarr_format=version)


def grown(path: Path, version: int) -> Path:
    """A store that grew by two frames after its metadata were consolidated, and whose units were corrected."""
    write_zarr(path, hourly("t", maps(), {**KELVIN, "units": "degC"}), version=version)
    consolidate(path, version)
    root = zarr.open_group(path, mode="r+", zarr_format=version, use_consolidated=False)
    for name, values in (("time", np.arange(6)), ("t", maps(6))):
        root[name].resize(np.shape(values))
        root[name][...] = values
    root["t"].attrs["units"] = "K"
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("version", [2, 3])
def test_a_local_store_is_read_by_the_metadata_of_its_arrays(version: int, tmp_path: Path) -> None:
    ds = open_source(grown(tmp_path / "a.zarr", version))
    np.testing.assert_array_equal(ds["t"], maps(6))
    assert ds["t"].attrs["units"] == "K"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("version", [2, 3])
def test_a_remote_store_is_compared_with_them(version: int, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(grown(tmp_path / "a.zarr", version)), "/bucket/a.zarr", recursive=True)
    try:
        text = refused("memory://bucket/a.zarr")
        assert "its consolidated metadata are older than those of its arrays" in text
        assert "time has shape" in text
        assert "zarr.consolidate_metadata" in text
        consolidate(tmp_path / "a.zarr", version)
        memory.put(str(tmp_path / "a.zarr"), "/bucket/b.zarr", recursive=True)
        np.testing.assert_array_equal(open_source("memory://bucket/b.zarr")["t"], maps(6))
    finally:
        memory.rm("/bucket", recursive=True)
