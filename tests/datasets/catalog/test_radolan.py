"""Composites of the RADOLAN format, made here after its description."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyproj
import pytest

from datasets.archive.archive import Archive
from datasets.catalog.radolan import BLOCK, COLUMNS, MIDDLE, PROJECTION, ROWS, SOUTH, WEST, composite, read_radklim
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.coords import Grid
from simvp.errors import SourceError

RADARS = b"<boo,ros,emd,hnr,umd,pro,ess,fld,drs,neu,nhb,oft,eis,tur,isn,fbg,mem>"
NO_DATA = 0x29C4  # 2500 and bit 14, as the files have it


def write(numbers: np.ndarray, time: str = "010050", month: str = "0616", **changed: object) -> bytes:
    """A composite of the stored numbers, with the header that RADKLIM has; `changed` puts other things into it."""
    words: dict[str, object] = {
        "product": "RW",
        "minutes": 60,
        "grid": f"{len(numbers):4d}x{len(numbers.T):4d}",
        "power": "-01",
    }
    words |= changed
    data = numbers.astype("<u2").tobytes()
    head = f"{words['product']}{time}10000{month}BY{{}}VS 3SW   2.18.3PR E{words['power']}INT{words['minutes']:4}U0"
    head += f"GP{words['grid']}MF 00000001VR2017.002MS 69"
    size = len(head.format("0000000")) + len(RADARS) + 1 + len(data)
    return head.format(f"{size:7d}").encode() + RADARS + b"\x03" + data


def pack(path: Path, members: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def empty() -> np.ndarray:
    return np.full((ROWS, COLUMNS), NO_DATA, "u2")


def test_a_number_is_an_amount_a_sign_and_two_marks() -> None:
    numbers = empty()
    numbers[0, :6] = [0, 1, 62, 0x0FFF, 0x4000 | 5, 0x8000 | 7]
    numbers[-1, -1] = 0x1000 | 20  # bit 13, of values that were interpolated, changes nothing
    time, rain = composite(write(numbers, "312350", "1216"), "file")
    assert time == np.datetime64("2016-12-31T23:50")
    assert (rain.shape, rain.dtype) == ((1100, 900), np.float32)
    np.testing.assert_allclose(rain[0, :7], [0, 0.1, 6.2, 409.5, -0.5, np.nan, np.nan], rtol=1e-6)
    assert rain[-1, -1] == 2
    assert np.isfinite(rain).sum() == 6
    _, finer = composite(write(numbers, power="-02"), "file")
    np.testing.assert_allclose(finer[0, 2], 0.62, rtol=1e-6)
    _, part = composite(gzip.compress(write(numbers)), "file", (slice(0, 2), slice(1, 4)))
    np.testing.assert_allclose(part, rain[0:2, 1:4])


def test_the_corners_are_those_of_the_description() -> None:
    crs = pyproj.CRS.from_cf(PROJECTION)
    assert crs.geodetic_crs is not None
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    east, north = WEST + COLUMNS, SOUTH + ROWS
    corners = {
        (WEST, SOUTH): (4.6759, 46.1929),
        (east, SOUTH): (15.4801, 46.1827),
        (east, north): (17.1128, 55.5342),
        (WEST, north): (3.0889, 55.5482),
    }
    for (x, y), place in corners.items():
        np.testing.assert_allclose(to_degrees.transform(1000 * x, 1000 * y), place, atol=6e-5)


def test_a_month_becomes_frames_of_8_km(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    hours = [random.integers(0, 80, (ROWS, COLUMNS)).astype("u2") for _ in range(2)]
    first = MIDDLE[0].start, MIDDLE[1].start
    hours[1][first[0] : first[0] + BLOCK, first[1] : first[1] + BLOCK] = NO_DATA
    hours[1][first[0] + BLOCK, first[1]] = NO_DATA
    files = {
        "raa01-rw2017.002_10000-1606010150-dwd---bin": write(hours[1], "010150"),
        "raa01-rw2017.002_10000-1606010050-dwd---bin.gz": gzip.compress(write(hours[0], "010050")),
        "readme.txt": b"of another kind",
    }
    ds = read_radklim([pack(tmp_path / "month.tar.gz", files)])
    rain = ds["precipitation"].load()
    assert rain.shape == (2, 64, 64)
    np.testing.assert_array_equal(ds["time"], np.array(["2016-06-01T00:50", "2016-06-01T01:50"], "M8[ns]"))
    for time, row, column in [(0, 0, 0), (0, 0, 63), (0, 63, 0), (1, 1, 0), (1, 40, 7)]:
        rows, columns = (slice(f + BLOCK * n, f + BLOCK * (n + 1)) for f, n in zip(first, (row, column), strict=True))
        block = hours[time][rows, columns]
        np.testing.assert_allclose(rain[time, row, column], 0.1 * block[block != NO_DATA].mean(), rtol=1e-5)
    assert rain.isnull().sum() == 1
    assert bool(rain[1, 0, 0].isnull())
    # The first cell's centre: from the corner of the composite, in km.
    np.testing.assert_allclose(ds["y"][0], SOUTH + first[0] + BLOCK / 2)
    np.testing.assert_allclose(ds["x"][0], WEST + first[1] + BLOCK / 2)
    np.testing.assert_allclose(np.diff(ds["x"]), BLOCK)
    grid = Grid.of(ds)
    assert grid.kind == "projected"
    assert rain.attrs["units"] == "kg m-2"
    assert rain.attrs["cell_methods"] == "time: sum area: mean"


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_the_months_are_ingested_and_a_missing_hour_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "radklim-germany"
    folder.mkdir()
    dry = np.zeros((ROWS, COLUMNS), "u2")
    for month, times in {"06": ("302150", "302350"), "07": ("010050",)}.items():
        members = {f"raa01-rw-{time}-dwd---bin": write(dry + 3, time, f"{month}16") for time in times}
        pack(folder / f"RW2017.002_2016{month}.tar.gz", members)
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    home = Home(tmp_path / "home")
    report = ingest(home, "radklim-germany")
    assert (report.step, report.length, report.absent) == ("1 h", 4, 1)
    kept = Archive(home.archive("radklim-germany")).dataset()
    np.testing.assert_allclose(kept["precipitation"][0], 0.3, rtol=1e-6)
    assert kept.attrs["references"].startswith("https://opendata.dwd.de/")


def test_other_composites_are_refused_by_their_name(tmp_path: Path) -> None:
    numbers = empty()
    with pytest.raises(
        SourceError, match=r"file: expected product RW, 1100 x 900 cells, 60 min; got YW, 1100 x 900, 5 m"
    ):
        composite(write(numbers, product="YW", minutes=5), "file")
    with pytest.raises(SourceError, match=r"file: expected product RW, .*; got RW, 900 x 900, 60 min"):
        composite(write(numbers[:900]), "file")
    whole = write(numbers)
    with pytest.raises(SourceError) as caught:
        composite(whole[:-10], "file")
    assert str(caught.value) == f"file: expected {len(whole)} bytes, of them 1980000 of data, got {len(whole) - 10}"
    with pytest.raises(SourceError, match=r"file: expected a RADOLAN header, got b'CDF"):
        composite(b"CDF\x01 and more", "file")
    with pytest.raises(SourceError, match="file: expected gzip"):
        composite(gzip.compress(whole)[:100], "file")
    path = pack(tmp_path / "month.tar.gz", {"a-dwd---bin": whole, "b-dwd---bin": b"RW of another form"})
    with pytest.raises(SourceError, match=r"month\.tar\.gz: b-dwd---bin: expected a RADOLAN header"):
        read_radklim([path])


def test_what_is_no_tar_file_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "month.tar.gz", {"a-dwd---bin": write(empty())})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"month\.tar\.gz: expected a tar file"):
        read_radklim([path])
    path.write_text("<html>")
    with pytest.raises(
        SourceError, match=r"month\.tar\.gz: expected a tar file: .*\n.*remove it, so that it is fetched again"
    ):
        read_radklim([path])
    with pytest.raises(SourceError, match="no composite lies in it"):
        read_radklim([pack(tmp_path / "empty.tar", {"readme.txt": b"nothing"}, "w")])
