"""GRIB and classic NetCDF whose headers promise what is not there."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cfgrib  # noqa: F401  before memory is limited
import eccodes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from datasets.readers import open_source
from datasets.readers.formats import format_of
from simvp.errors import SourceError
from tests.support.files.small_files import hourly, maps, write

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("little_memory")]


def refused(source: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(source)
    return str(caught.value)


def message(edition: int = 2, packing: str = "grid_simple", *, constant: bool = False) -> bytearray:
    """8 x 8 points of a temperature."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    keys = {"shortName": "2t", "dataDate": 20210101, "dataTime": 0, "Ni": 8, "Nj": 8, "packingType": packing}
    keys |= {"latitudeOfFirstGridPointInDegrees": 60, "latitudeOfLastGridPointInDegrees": 53}
    keys |= {"longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 7}
    keys |= {"iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1}
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    values = np.full(64, 280.0) if constant else 280 + np.random.default_rng(0).random(64)
    eccodes.codes_set_values(handle, values)
    whole = bytearray(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    return whole


def section(whole: bytearray, number: int) -> int:
    at = 16
    while whole[at + 4] != number:
        at += int.from_bytes(whole[at : at + 4])
    return at


def of_size(n: int) -> bytearray:
    """A constant field of n x n points, which takes no more bytes than one of 8 x 8."""
    whole = message(constant=True)
    grid, packing = section(whole, 3), section(whole, 5)
    whole[grid + 6 : grid + 10] = whole[packing + 5 : packing + 9] = struct.pack(">I", n * n)
    whole[grid + 30 : grid + 38] = struct.pack(">II", n, n)
    return whole


def of_size_1(n: int) -> bytearray:
    whole = message(1, constant=True)
    at = whole.find(struct.pack(">HH", 8, 8))
    whole[at : at + 4] = struct.pack(">HH", n, n)
    return whole


def picture_of_size(n: int) -> bytearray:
    whole = message(packing="grid_jpeg")
    at = whole.find(b"\xff\x4f\xff\x51")
    whole[at + 8 : at + 16] = struct.pack(">II", n, n)
    return whole


def groups(count: int) -> bytearray:
    whole = message(packing="grid_complex")
    at = section(whole, 5)
    whole[at + 31 : at + 35] = struct.pack(">I", count)
    return whole


def bits(count: int) -> bytearray:
    whole = message()
    whole[section(whole, 5) + 19] = count
    return whole


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: of_size(60_000), "one map of it has 3600000000 values, 13.4 GiB, and 1 GiB is the most"),
        (lambda: of_size(8000), "one map of it has 64000000 values, 244 MiB, and its file has 179 bytes"),
        (lambda: of_size_1(65_000), "one map of it has 4225000000 values"),
        (lambda: picture_of_size(50_000), "its picture has 2500000000 points for 64 values"),
        (lambda: groups(1 << 31), "it has 2147483648 groups of 64 values"),
        (lambda: bits(255), "bytes for 64 values of 255 bits"),
    ],
)
def test_grib_that_promises_too_much(made: Callable[[], bytearray], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.grib").write_bytes(made())
    assert said in refused(tmp_path / "a.grib")


@pytest.mark.parametrize("packing", ["grid_simple", "grid_jpeg", "grid_complex", "grid_ccsds"])
def test_honest_packings_are_read(packing: str, tmp_path: Path) -> None:
    (tmp_path / "a.grib").write_bytes(whole := message(packing=packing))
    handle = eccodes.codes_new_from_message(bytes(whole))
    np.testing.assert_allclose(open_source(tmp_path / "a.grib")["t2m"].values.ravel(), eccodes.codes_get_values(handle))
    eccodes.codes_release(handle)


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@given(data=st.data())
@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_header_of_a_classic_file_always_comes_to_an_end(
    form: Any, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Counts that are negative go back in the file, and large ones on without end."""
    folder = tmp_path_factory.getbasetemp()
    whole = folder / f"{form}.nc"
    if not whole.exists():
        write(whole, hourly("t", maps()), form=form)
        assert format_of(str(whole)) == "netcdf"
    content = bytearray(whole.read_bytes())
    changes = st.lists(st.tuples(st.integers(4, 300), st.sampled_from([0, 1, 127, 128, 255])), min_size=1, max_size=4)
    for at, value in data.draw(changes):
        content[at] = value
    (folder / "changed.nc").write_bytes(content)
    with suppress(SourceError):
        format_of(str(folder / "changed.nc"))


def test_a_negative_count_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", hourly("t", maps()), form="NETCDF3_CLASSIC")
    content = bytearray(path.read_bytes())
    content[12:16] = struct.pack(">i", -8)
    path.write_bytes(content)
    assert "its header is damaged: a count of -8" in refused(path)
