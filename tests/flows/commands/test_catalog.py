"""The catalogue as records and as `simvp catalog` prints it."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pooch
import pytest

from datasets.benchmarks import BENCHMARKS
from datasets.catalog import SOURCES, published
from datasets.readers.taxibj_years import YEARS
from datasets.video.clips import PARTS
from flows.commands.entries import Entry, contents, entries, find_entry
from simvp.cli import Exit, main
from simvp.errors import SourceError
from tests.conftest import CHECKOUT
from tests.datasets.video.test_digits import pictures, write_idx
from tests.datasets.video.test_taxibj import counts_of, slots_of, write_year

NAMES = [*SOURCES, *(name for name in BENCHMARKS if name not in SOURCES)]
PACKAGED = "e1-north-america"


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a data directory nor a cache, whatever the machine has."""
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")


def by_name() -> dict[str, Entry]:
    return {entry.name: entry for entry in entries()}


def test_every_data_set_stands_there_once() -> None:
    assert [entry.name for entry in entries()] == NAMES
    assert len(set(NAMES)) == len(NAMES) == 15


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_empty_but_what_there_cannot_be(name: str) -> None:
    entry = find_entry(name)
    empty = {field.name for field in fields(entry) if not getattr(entry, field.name)}
    expected = {"files", "folder"} if entry.presence == "simulated" else set()
    expected |= {"counts"} if entry.kinds == ("gridded",) else set()
    expected |= {"span"} if entry.kinds == ("video",) else set()
    expected |= {"folder"} if name == PACKAGED else set()
    assert empty == expected
    assert list(entry.splits) == list(PARTS)
    assert all(entry.splits.values())
    assert all(extent > 0 for extent in entry.shape)


def test_kinds_shapes_and_frames() -> None:
    rows = {entry.name: (entry.kinds, entry.shape, entry.frames) for entry in entries()}
    assert rows == {
        "simulated-weather": (("gridded",), (1, 32, 32), "derived"),
        "simulated-traffic": (("gridded",), (2, 32, 32), "derived"),
        "era5-uk": (("gridded",), (1, 33, 49), "24 -> 12"),
        "ersst-pacific": (("gridded",), (1, 31, 86), "derived"),
        "nyc-taxi": (("gridded",), (1, 20, 10), "derived"),
        "nyc-uber": (("gridded",), (1, 20, 20), "derived"),
        "radar-brisbane": (("gridded",), (1, 64, 64), "derived"),
        "radklim-germany": (("gridded",), (1, 64, 64), "derived"),
        "e1-north-america": (("gridded",), (1, 37, 49), "derived"),
        "taxibj": (("gridded", "video"), (2, 32, 32), "4 -> 4"),
        "moving-mnist": (("video",), (1, 64, 64), "10 -> 10"),
        "moving-fashion-mnist": (("video",), (1, 64, 64), "10 -> 10"),
        "human36m": (("video",), (3, 128, 128), "4 -> 4"),
        "kitticaltech": (("video",), (3, 128, 160), "10 -> 1"),
        "kth": (("video",), (1, 128, 128), "10 -> 20, 40"),
    }
    assert by_name()["era5-uk"].splits["test"] == "2019-03-25T00:00 .. 2019-03-31T23:00, for good"
    assert by_name()["simulated-weather"].splits["test"] == "the end of the series"


def test_presence_follows_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = {"simulated-weather", "simulated-traffic"}
    debian = Path("/usr/share/datasets/fashion-mnist").is_dir()
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    others = set(NAMES) - simulated - ({"moving-fashion-mnist"} if debian else set())
    rows = by_name()
    assert {name for name, entry in rows.items() if entry.presence == "simulated"} == simulated
    assert {name for name in others if rows[name].presence == "no"} == others
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    write_idx(tmp_path / "moving_mnist", pictures(12), pictures(6))
    slots = slots_of("2013-07-01", 1)
    write_year(tmp_path / "taxibj" / YEARS[0], slots, counts_of(slots))
    (tmp_path / "era5-2mt-2019-03-uk.grib").write_bytes(b"GRIB 7777")
    (tmp_path / "nyc-taxi-2015-01.nc").write_bytes(b"CDF")
    (tmp_path / "nyc-uber").mkdir()
    (tmp_path / "nyc-uber" / "uber-raw-data-apr14.csv").write_bytes(b"one of six")
    present = {"moving-mnist", "taxibj", "era5-uk", "nyc-taxi"}
    assert {name for name in others if by_name()[name].presence == "yes"} == present
    assert by_name()["era5-uk"].folder == "./"
    assert by_name()["taxibj"].folder == "taxibj/"
    assert by_name()["nyc-uber"].folder == "nyc-uber/"


def test_what_is_found_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    write_idx(tmp_path / "moving_mnist", pictures(12), pictures(6))
    parts = dict(contents(find_entry("moving-mnist")))
    assert list(parts) == list(PARTS)
    assert parts["train"] == (
        "10,000 clips: generated with seed 0 from the first 10 MNIST digits of train-images-idx3-ubyte.gz; "
        "not what published results stand for"
    )
    series = ("series", "2,688 frames, 2021-03-01T00:00 .. 2021-04-25T23:30")
    assert list(contents(find_entry("simulated-traffic"))) == [series]


def test_a_series_of_another_calendar_is_counted() -> None:
    pytest.importorskip("iris_sample_data")
    series = ("series", "240 frames, 1860-06-01T00:00 .. 2099-06-01T00:00")
    assert list(contents(find_entry(PACKAGED))) == [series]


def test_an_unknown_name() -> None:
    with pytest.raises(SourceError, match=r"data set 'kht': expected one of .*, kth \(did you mean 'kth'\?\)"):
        find_entry("kht")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["catalog", *arguments]) == Exit.DONE
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_is_plain_and_whole_at_any_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys)
    assert "\x1b" not in text  # no colours where nobody looks
    assert "\u2026" not in text  # nothing was cut off
    assert max(map(len, text.splitlines())) <= width
    for entry in entries():
        (line,) = (line for line in text.splitlines() if line.strip().startswith(f"{entry.name} "))
        assert " x ".join(map(str, entry.shape)) in line
        assert all(f"{part} {count}" in text for part, count in entry.counts.items())
    for heading in ("data set", "C x H x W", "T -> T'", "clips of", "licence", "from", "here"):
        assert heading in text
    assert "gridded and video" in text
    assert "10 -> 20, 40" in text


def test_the_table_says_what_is_here_and_where_the_rest_belongs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")

    def here(text: str) -> dict[str, str]:
        lines = [line.split() for line in text.splitlines()]
        return {line[0]: re.split(r"\s{2,}", " ".join(line))[-1] for line in lines if line and line[0] in NAMES}

    monkeypatch.setattr(published, "find_spec", lambda name: None)
    text = printed(capsys)
    assert "the directory that SIMVP_DATA names (not set)" in " ".join(text.split())
    assert here(text)["taxibj"].endswith("no: taxibj/")
    assert here(text)["kth"].endswith("no: kth/")
    assert here(text)["era5-uk"].endswith("no: ./")
    assert here(text)["simulated-weather"].endswith("simulated")
    assert here(text)[PACKAGED].endswith("no: a package")
    assert "by default simulated-weather" in text
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    slots = slots_of("2013-07-01", 1)
    write_year(tmp_path / "taxibj" / YEARS[0], slots, counts_of(slots))
    text = printed(capsys)
    assert here(text)["taxibj"].endswith("yes")
    assert here(text)["kth"].endswith("no: kth/")
    assert str(tmp_path) in "".join(text.split())


def test_one_of_them_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = " ".join(printed(capsys, "taxibj").split())
    entry = find_entry("taxibj")
    for part in (entry.title, entry.licence, entry.source, *entry.splits.values(), "2 x 32 x 32", "4 -> 4"):
        assert part in text
    assert "in the paper train 19k, test 1.3k" in text
    assert entry.files.endswith(", or dataset.npz; as gridded data, the HDF5 files, of as many years as there are")
    assert f"{entry.files}; in the folder taxibj/ of the directory that SIMVP_DATA names (not set)" in text
    assert text.endswith("here no")
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    text = " ".join(printed(capsys, PACKAGED).split())
    assert f"{PACKAGED} Air temperature" in text
    assert "series 240 years (86,400 days of a calendar with 360 a year), every 360 d" in text
    assert text.endswith("files E1_north_america.nc of the Python package iris-sample-data here no")
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    write_idx(tmp_path / "mnist", pictures(12), pictures(6))
    text = " ".join(printed(capsys, "moving-mnist").split())
    assert "here yes found: train 10,000 clips: generated with seed 0" in text
    assert "found: validation 2,000 clips" in text
    assert "found: test 10,000 clips" in text


def test_refusals_go_to_the_error_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["catalog", "kht"]) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    assert "data set 'kht': expected one of " in err
    # What is known is printed, and what is found, up to what is wrong with the files that are here.
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    (tmp_path / "taxibj").mkdir()
    (tmp_path / "taxibj" / YEARS[0]).write_bytes(b"nothing")
    assert main(["catalog", "taxibj"]) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert "T -> T'" in out
    assert f"{YEARS[0]}: expected NetCDF, GRIB or Zarr by content" in err
    slots = slots_of("2013-07-01", 1)
    write_year(tmp_path / "taxibj" / YEARS[0], slots, counts_of(slots))
    assert main(["catalog", "taxibj"]) == Exit.REFUSED
    out, err = capsys.readouterr()
    assert "48 frames, 2013-07-01T00:00 .. 2013-07-01T23:30" in " ".join(out.split())
    assert "expected 84 or more days with all 48 slots, got 1 of 1" in err


def test_the_command_starts_without_prefect() -> None:
    code = "import flows.commands.entries, sys; print(*{'prefect', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
