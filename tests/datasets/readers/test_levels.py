"""One series is of one level, one member and one quantity; files of another are refused by what they say."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from datasets.archive import Archive
from datasets.readers import open_source, source
from datasets.readers.concat import Family
from simvp.errors import ArchiveError, SourceError
from tests.support.files.small_files import KELVIN, Variables, fill, hourly, maps, write

PRESSURE = {"standard_name": "air_pressure", "units": "hPa"}


def scalar(name: str, value: Any, **attrs: Any) -> Callable[[int], Variables]:
    """Files at a scalar coordinate that the variable names."""

    def made(first: int) -> Variables:
        where = {name: ((), np.asarray(value), attrs)}
        return hourly("t", maps(2, first), {**KELVIN, "coordinates": name}, first=first, **where)

    return made


def axis(name: str, value: Any, **attrs: Any) -> Callable[[int], Variables]:
    """Files with an axis of one value."""

    def made(first: int) -> Variables:
        files = hourly("t", maps(2, first), first=first, **{name: ((name,), np.array([value]), attrs)})
        files["t"] = (("time", name, "lat", "lon"), maps(2, first)[:, None], KELVIN)
        return files

    return made


def saying(**attrs: Any) -> Callable[[int], Variables]:
    """Files whose variable has these attributes."""
    return lambda first: hourly("t", maps(2, first), {**KELVIN, **attrs}, first=first)


OTHERS: list[tuple[Callable[[int], Variables], Callable[[int], Variables], str]] = [
    (scalar("plev", 850.0, **PRESSURE), scalar("plev", 500.0, **PRESSURE), "plev|850 hPa|500 hPa"),
    (axis("plev", 850.0, **PRESSURE), axis("plev", 500.0, **PRESSURE), "plev|850 hPa|500 hPa"),
    (axis("lev", np.int32(3)), axis("lev", np.int32(4)), "lev|3|4"),
    (scalar("plev", 850.0, **PRESSURE), axis("plev", 500.0, **PRESSURE), "plev|850 hPa|500 hPa"),
    (scalar("depth", 0.5, units="m"), scalar("depth", 9.6, units="m"), "depth|0.5 m|9.6 m"),
    (scalar("height", 2.0, units="m"), scalar("height", 10.0, units="m"), "height|2 m|10 m"),
    (axis("sigma", 0.995), axis("sigma", 0.85), "sigma|0.995|0.85"),
    (axis("member", np.int32(1)), axis("member", np.int32(2)), "member|1|2"),
    (scalar("realization", 1), scalar("realization", 2), "realization|1|2"),
    (scalar("station", "north"), scalar("station", "south"), "station|north|south"),
    (axis("experiment", "control"), axis("experiment", "warming"), "experiment|control|warming"),
    (saying(level="850 mb"), saying(level="500 mb"), "level|850 mb|500 mb"),
    (saying(), saying(standard_name="dew_point_temperature"), "standard_name|air_temperature|dew_point_temperature"),
    (saying(cell_methods="time: mean"), saying(cell_methods="time: maximum"), "cell_methods|time: mean|time: maximum"),
]
IDS = [f"{number} {text.partition('|')[0]}" for number, (_, _, text) in enumerate(OTHERS)]
others = pytest.mark.parametrize(("one", "other", "words"), OTHERS, ids=IDS)


def two(folder: Path, one: Callable[[int], Variables], other: Callable[[int], Variables]) -> list[Path]:
    return [write(folder / "a.nc", one(0)), write(folder / "b.nc", other(2))]


@others
def test_two_files_of_a_source(one: Any, other: Any, words: str, tmp_path: Path) -> None:
    what, mine, theirs = words.split("|")
    paths = two(tmp_path, one, other)
    with pytest.raises(SourceError) as refused:
        open_source(paths)
    assert f"{paths[1]}: t has {what} {theirs}, but {what} {mine} in {paths[0]}" in str(refused.value)


@others
def test_a_file_after_the_archive(one: Any, other: Any, words: str, tmp_path: Path) -> None:
    what, mine, theirs = words.split("|")
    archive = Archive(tmp_path / "archive.zarr")
    paths = two(tmp_path, one, other)
    archive.append(open_source(paths[0]))
    with pytest.raises(ArchiveError, match=f"t: expected {what} {mine}, got {theirs}"):
        archive.append(open_source(paths[1]))
    assert archive.append(open_source(write(tmp_path / "c.nc", one(2)))).length == 4


@others
def test_the_same_twice_is_one_series(one: Any, other: Any, words: str, tmp_path: Path) -> None:
    for made in (one, other):
        folder = tmp_path / words.partition("|")[2 if made is other else 0].replace("|", "-").replace("/", "-")
        folder.mkdir()
        np.testing.assert_array_equal(open_source(two(folder, made, made))["t"], maps())


def test_files_like_each_other_are_still_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level is compared in the headers; only files of another level make another family."""
    for number in range(4):
        write(tmp_path / f"{number}.nc", axis("plev", 850.0, **PRESSURE)(2 * number))
    seen: list[Family] = []
    plain = source.joined
    monkeypatch.setattr(source, "joined", lambda family, first: seen.append(family) or plain(family, first))
    ds = open_source(tmp_path)
    assert [len(family.files) for family in seen] == [4]
    np.testing.assert_array_equal(ds["t"], maps(8))
    assert json.loads(ds["t"].attrs["fixed_at"]) == {"plev": "850 hPa"}
    write(tmp_path / "9.nc", axis("plev", 500.0, **PRESSURE)(8))
    with pytest.raises(SourceError, match=r"9\.nc: t has plev 500 hPa, but plev 850 hPa in .*0\.nc"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["variant_label", "realization", "driving_model_ensemble_member"])
def test_members_that_global_attributes_tell(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a.nc", hourly("t", maps(2)), **{name: "r1i1p1f1"})
    write(tmp_path / "b.nc", hourly("t", maps(2, 2), first=2), **{name: "r2i1p1f1"})
    with pytest.raises(SourceError, match=rf"b\.nc: t has {name} r2i1p1f1, but {name} r1i1p1f1 in"):
        open_source(tmp_path)


def test_a_level_that_is_there_twice(tmp_path: Path) -> None:
    both = {**hourly("t", maps()), "plev": (("plev",), np.array([850.0, 850.0]), PRESSURE)}
    both["t"] = (("time", "plev", "lat", "lon"), np.stack([maps(), maps(add=300.0)], axis=1), KELVIN)
    write(tmp_path / "a.nc", both)
    with pytest.raises(SourceError, match=r"select plev=850: plev has it 2 times: 850\.0, 850\.0 hPa"):
        open_source(tmp_path / "a.nc", select={"plev": 850})


def test_levels_in_other_words_are_the_same(tmp_path: Path) -> None:
    one, other = axis("plev", 850.0, **PRESSURE), scalar("level", 85000.0, units="Pa", positive="down")
    np.testing.assert_array_equal(open_source(two(tmp_path, one, other))["t"], maps())


def test_a_file_that_does_not_say_its_level_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = two(tmp_path, scalar("plev", 850.0, **PRESSURE), saying())
    with caplog.at_level(logging.WARNING):
        open_source(paths)
    assert f"t: plev 850 hPa is not said in every file: {paths[1]}" in caplog.text
    archive = Archive(tmp_path / "archive.zarr")
    archive.append(open_source(paths[0]))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        archive.append(open_source(paths[1]))
    assert "t: the archive is of plev 850 hPa; the new frames do not say" in caplog.text


def test_a_level_that_was_chosen_is_the_archives(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        variables = hourly("t", maps(2), plev=(("plev",), np.array([850.0, 500.0]), PRESSURE))
        variables["t"] = (("time", "plev", "lat", "lon"), np.stack([maps(2), maps(2) - 50], axis=1), KELVIN)
        fill(file, variables)
    archive = Archive(tmp_path / "archive.zarr")
    archive.append(open_source(tmp_path / "a.nc", select={"level": 850}))
    assert archive.dataset()["t"].attrs["fixed_at"] == '{"plev": "850 hPa"}'
    other = open_source(write(tmp_path / "b.nc", scalar("plev", 500.0, **PRESSURE)(2)))
    with pytest.raises(ArchiveError, match="t: expected plev 850 hPa, got 500 hPa"):
        archive.append(other)


def test_each_variable_has_a_level_of_its_own(tmp_path: Path) -> None:
    """Temperature at 2 m and wind at 10 m, both called height, are no contradiction."""
    write(tmp_path / "t.nc", scalar("height", 2.0, units="m")(0))
    wind = scalar("height", 10.0, units="m")(0)
    wind["u"] = wind.pop("t")
    write(tmp_path / "u.nc", wind)
    ds = open_source(tmp_path)
    assert [json.loads(ds[name].attrs["fixed_at"]) for name in ("t", "u")] == [{"height": "2 m"}, {"height": "10 m"}]
    archive = Archive(tmp_path / "archive.zarr")
    archive.append(ds)
    swapped = ds.assign_coords(time=ds["time"] + np.timedelta64(2, "h"))
    swapped["u"].attrs["fixed_at"] = swapped["t"].attrs["fixed_at"]
    with pytest.raises(ArchiveError, match="u: expected height 10 m, got 2 m"):
        archive.append(swapped)


def test_an_archive_from_before_takes_what_says_its_level(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.zarr")
    archive.append(open_source(write(tmp_path / "a.nc", hourly("t", maps(2)))))
    assert "fixed_at" not in archive.dataset()["t"].attrs
    later = write(tmp_path / "b.nc", scalar("plev", 850.0, **PRESSURE)(2))
    assert archive.append(open_source(later)).length == 4


GRIB: list[tuple[Mapping[str, Any], Mapping[str, Any], str]] = [
    (
        {"shortName": "t", "typeOfLevel": "isobaricInhPa", "level": 850},
        {"shortName": "t", "typeOfLevel": "isobaricInhPa", "level": 500},
        "t: expected isobaricInhPa 850 hPa, got 500 hPa",
    ),
    (
        {"productDefinitionTemplateNumber": 1, "shortName": "2t", "perturbationNumber": 1},
        {"productDefinitionTemplateNumber": 1, "shortName": "2t", "perturbationNumber": 2},
        "t2m: expected number 1, got 2",
    ),
]


@pytest.mark.parametrize(("one", "other", "text"), GRIB, ids=["level", "member"])
def test_grib_of_another_level_or_member(
    one: Mapping[str, Any], other: Mapping[str, Any], text: str, tmp_path: Path
) -> None:
    import eccodes

    archive = Archive(tmp_path / "archive.zarr")
    for number, keys in enumerate((one, other)):
        with (tmp_path / f"{number}.grib2").open("wb") as file:
            for hour in (2 * number, 2 * number + 1):
                message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
                for key, value in {"dataDate": 20200101, "dataTime": 100 * hour, **keys}.items():
                    eccodes.codes_set(message, key, value)
                eccodes.codes_set_values(message, np.linspace(250.0, 300.0, eccodes.codes_get_size(message, "values")))
                eccodes.codes_write(message, file)
                eccodes.codes_release(message)
    archive.append(open_source(tmp_path / "0.grib2"))
    with pytest.raises(ArchiveError, match=text):
        archive.append(open_source(tmp_path / "1.grib2"))
