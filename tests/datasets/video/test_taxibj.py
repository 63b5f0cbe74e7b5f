"""TaxiBJ from files in the exact original form: the series with its gaps, clips against brute force, and the npz."""

import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

from datasets.readers.taxibj_years import YEARS, open_years, year_files
from datasets.video.clips import PARTS, Clips, Part
from datasets.video.taxibj import NPZ, TAXIBJ, ReadyClips, SeriesClips
from simvp.coords.axes import canonicalise
from simvp.errors import SourceError

Slot = tuple[date, int]  # day, 1 .. 48
HALF_HOUR = timedelta(minutes=30)


def name_of(slot: Slot) -> bytes:
    return f"{slot[0]:%Y%m%d}{slot[1]:02d}".encode()


def time_of(slot: Slot) -> datetime:
    return datetime(slot[0].year, slot[0].month, slot[0].day) + (slot[1] - 1) * HALF_HOUR


def slots_of(first: str, days: int, missing: Iterable[tuple[int, int]] = ()) -> list[Slot]:
    """Slots of consecutive days, without those that are missing: (number of the day, slot)."""
    start, gone = date.fromisoformat(first), set(missing)
    return [(start + timedelta(d), s) for d in range(days) for s in range(1, 49) if (d, s) not in gone]


def counts_of(slots: list[Slot], most: int = 1292) -> np.ndarray:
    """Vehicles, (N, 2, 32, 32) float64 as in the original files: whole numbers, other ones in each slot and cell."""
    counts = np.stack(
        [np.random.default_rng(int(name_of(slot))).integers(0, most + 1, (2, 32, 32)) for slot in slots]
    ).astype("f8")
    return counts


def write_year(path: Path, slots: list[Slot], data: np.ndarray, dates: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["data"] = data
        file["date"] = np.array([name_of(slot) for slot in slots], "S10") if dates is None else dates
    return path


class City(NamedTuple):
    """A folder of four files, and the frame of each slot in them."""

    root: Path
    frames: Mapping[Slot, np.ndarray]
    whole: list[date]

    @property
    def folder(self) -> Path:
        return self.root / "taxibj"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """26, 25, 25 and 25 days in four years; five of them lack slots, at night, in the middle and at the end."""
    root = tmp_path_factory.mktemp("city")
    years = {
        YEARS[0]: slots_of("2013-07-01", 26, [(0, 1), (9, 20), (9, 21), (9, 22)]),
        YEARS[1]: slots_of("2014-03-01", 25, [(12, 48)]),
        YEARS[2]: slots_of("2015-03-01", 25, [(24, s) for s in range(2, 49)]),
        YEARS[3]: slots_of("2015-11-01", 25, [(3, 24)]),
    }
    frames: dict[Slot, np.ndarray] = {}
    for name, slots in years.items():
        # Only the last file, whose days are all for the test, has cells with more than 1,292 vehicles.
        data = counts_of(slots, 2000 if name == YEARS[3] else 1292)
        write_year(root / "taxibj" / name, slots, data)
        frames |= dict(zip(slots, data, strict=True))
    per_day = {day: sum(1 for slot in frames if slot[0] == day) for day in {slot[0] for slot in frames}}
    return City(root, frames, sorted(day for day, count in per_day.items() if count == 48))


class TestSeries:
    def test_every_slot_stands_at_its_time_and_place(self, city: City) -> None:
        files = year_files(city.folder)
        assert [file.name for file in files] == list(YEARS)
        with open_years(files) as ds:
            assert {name: ds[name].chunks is not None for name in ds.data_vars} == {"inflow": True, "outflow": True}
            assert dict(ds.sizes) == {"time": len(city.frames), "y": 32, "x": 32}
            assert ds["inflow"].dtype == np.float32
            expected = np.array([time_of(slot) for slot in sorted(city.frames)], "M8[ns]")
            np.testing.assert_array_equal(ds["time"].values, expected)
            values = np.stack([city.frames[slot] for slot in sorted(city.frames)])
            assert np.array_equal(ds["inflow"].values, values[:, 0])
            assert np.array_equal(ds["outflow"].values, values[:, 1])
            for name, long_name in (("inflow", "taxis entering"), ("outflow", "taxis leaving")):
                assert ds[name].attrs["units"] == "1"
                assert ds[name].attrs["long_name"].startswith(long_name)

    def test_slots_are_half_hours_from_midnight(self, tmp_path: Path) -> None:
        day = date(2014, 2, 28)
        slots = [(day, 1), (day, 2), (day, 25), (day, 48), (date(2014, 3, 1), 1)]
        with open_years([write_year(tmp_path / "a.h5", slots, counts_of(slots))]) as ds:
            shown = [str(time.astype("M8[m]")) for time in ds["time"].values]
        assert shown == [f"2014-02-28T{clock}" for clock in ("00:00", "00:30", "12:00", "23:30")] + ["2014-03-01T00:00"]

    def test_gaps_are_not_filled(self, city: City) -> None:
        with open_years(year_files(city.folder)) as ds:
            steps = np.diff(ds["time"].values) / np.timedelta64(30, "m")
        # Three missing slots; 218 days from slot 48 to slot 1; slot 48; 341 days; 221 days from slot 1 to 1; slot 24.
        assert steps[steps != 1].astype(int).tolist() == [4, 218 * 48 - 47, 2, 341 * 48 - 47, 221 * 48, 2]

    def test_it_is_canonical(self, city: City) -> None:
        with open_years(year_files(city.folder)) as ds:
            canonical, axes = canonicalise(ds)
            assert axes.kind == "index"
            assert list(canonical.data_vars) == ["inflow", "outflow"]
            xr.testing.assert_equal(canonical, ds)

    @pytest.mark.parametrize(
        "dates",
        [
            lambda names: np.array(names, "S10"),
            lambda names: np.array(names, "S16"),
            lambda names: np.array(names, h5py.string_dtype("ascii")),
            lambda names: np.array(names, h5py.string_dtype("utf-8")),
            lambda names: np.array([int(name) for name in names]),
        ],
        ids=["fixed", "padded", "ascii", "utf-8", "numbers"],
    )
    def test_dates_of_every_type(self, tmp_path: Path, dates: object) -> None:
        slots = slots_of("2013-07-01", 1)[:32]  # as many as rows and columns: sizes tell the axes apart no more
        path = write_year(tmp_path / "a.h5", slots, counts_of(slots), dates([name_of(slot) for slot in slots]))  # type: ignore[operator]
        with open_years([path]) as ds:
            np.testing.assert_array_equal(ds["time"].values, np.array([time_of(slot) for slot in slots], "M8[ns]"))
            np.testing.assert_array_equal(ds["outflow"].values, counts_of(slots)[:, 1])

    def test_slots_in_any_order_and_compressed(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 2)
        order = np.random.default_rng(0).permutation(len(slots))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("data", data=counts_of(slots)[order], chunks=(7, 1, 32, 32), compression="gzip")
            file["date"] = np.array([name_of(slots[number]) for number in order], "S10")
        with open_years([tmp_path / "a.h5"]) as ds:
            np.testing.assert_array_equal(ds["inflow"].values, counts_of(slots)[:, 0])

    def test_files_that_are_not_there_are_left_out(self, tmp_path: Path) -> None:
        assert year_files(None) == []
        assert year_files(tmp_path) == []
        slots = slots_of("2015-03-01", 1)
        write_year(tmp_path / YEARS[2], slots, counts_of(slots))
        (tmp_path / "BJ_Meteorology.h5").write_bytes(b"another file of the same folder")
        assert year_files(tmp_path) == [tmp_path / YEARS[2]]


def refusal_of(files: list[Path]) -> str:
    with pytest.raises(SourceError) as caught:
        open_years(files)
    assert "To mend it: fetch the files once more from https://" in str(caught.value)
    return str(caught.value)


class TestRefusals:
    def test_impossible_dates(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 1)
        for wrong in (
            "2013070100",
            "2013070149",
            "2013130101",
            "2013023001",
            "20130701",
            "2013-07-01",
            "\x00",
            "x" * 10,
        ):
            names = [name_of(slot) for slot in slots]
            names[5] = wrong.encode()
            path = write_year(tmp_path / YEARS[0], slots, np.zeros((48, 2, 32, 32)), np.array(names, "S10"))
            text = refusal_of([path])
            shown = wrong.rstrip("\x00")
            assert (
                f"{YEARS[0]}: date: expected YYYYMMDDSS with SS from 01 to 48, got 1 others, the first {shown!r}"
                in text
            )

    def test_times_that_stand_twice(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 1)
        data = np.zeros((48, 2, 32, 32))
        path = write_year(tmp_path / YEARS[0], [*slots[:-1], slots[0]], data)
        assert f"{YEARS[0]}: date: 1 times stand twice, the first 2013-07-01T00:00" in refusal_of([path])
        write_year(path, slots, data)
        copy = write_year(tmp_path / YEARS[1], slots_of("2013-06-30", 1)[:10] + slots[10:], data)
        expected = f"{YEARS[1]}: 38 times are in {YEARS[0]} too, the first 2013-07-01T05:00"
        assert expected in refusal_of([path, copy])

    def test_other_shapes(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 1)
        expected = "expected data (N, 2, 32, 32) of numbers and date (N), got data"
        for data, dates, got in [
            (np.zeros((48, 2, 16, 16)), None, "(48, 2, 16, 16) of float64 and date (48,)"),
            (np.zeros((48, 32, 32, 2)), None, "(48, 32, 32, 2) of float64 and date (48,)"),
            (np.zeros((47, 2, 32, 32)), None, "(47, 2, 32, 32) of float64 and date (48,)"),
            (np.zeros((48, 2, 1024)), None, "(48, 2, 1024) of float64 and date (48,)"),
            (np.zeros(()), None, "() of float64 and date (48,)"),
            (np.full((48, 2, 32, 32), b"12"), None, "(48, 2, 32, 32) of |S2 and date (48,)"),
            (np.zeros((0, 2, 32, 32)), np.zeros(0, "S10"), "(0, 2, 32, 32) of float64 and date (0,)"),
        ]:
            path = write_year(tmp_path / YEARS[0], slots, data, dates)
            assert f"{YEARS[0]}: {expected} {got}" in refusal_of([path])

    def test_every_faulty_file_is_named_at_once(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 1)
        paths = [write_year(tmp_path / name, slots, counts_of(slots)) for name in YEARS]
        whole = paths[0].read_bytes()
        paths[0].write_bytes(whole[: len(whole) // 2])
        with h5py.File(paths[1], "w") as file:
            file["data"] = counts_of(slots)
        with h5py.File(paths[2], "w") as file:
            file.create_group("nothing")
        paths[3].write_bytes(b"<html>404 not found</html>")
        text = refusal_of(paths)
        assert f"{YEARS[0]}: the file is cut off: its header promises {len(whole)} bytes, got {len(whole) // 2}" in text
        assert f"{YEARS[1]}: date: expected this dataset, got data" in text
        assert f"{YEARS[2]}: data: expected this dataset, got nothing" in text
        assert f"{YEARS[2]}: date: expected this dataset, got nothing" in text
        assert f"{YEARS[3]}: expected NetCDF, GRIB or Zarr by content; got first bytes b'<html>40' (HTML" in text
        assert str(tmp_path) not in text

    def test_netcdf_of_another_kind(self, tmp_path: Path) -> None:
        xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / YEARS[0], engine="netcdf4", format="NETCDF3_CLASSIC")
        assert f"{YEARS[0]}: cannot be opened as HDF5: " in refusal_of([tmp_path / YEARS[0]])

    def test_damage_inside(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 1)
        path = write_year(tmp_path / YEARS[0], slots, counts_of(slots))
        content = bytearray(path.read_bytes())
        content[96:2048] = bytes(1952)  # what follows the superblock
        path.write_bytes(content)
        assert f"{YEARS[0]}: cannot be opened as HDF5: " in refusal_of([path])

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        assert "a.h5: cannot be opened: No such file or directory" in refusal_of([tmp_path / "a.h5"])


def brute_force(city: City, frames_out: int = 4) -> dict[str, list[datetime]]:
    """First times of the clips of each part, looked for one by one."""
    part_of = {}
    for number, day in enumerate(city.whole):
        # 96 whole days, 68 before the test. Middles of their four quarters: 8, 25, 42, 59; a week around each.
        part_of[day] = "train"
        if number in (*range(5, 12), *range(22, 29), *range(39, 46), *range(56, 63)):
            part_of[day] = "validation"
        if number >= 68:
            part_of[day] = "test"
    day_of = {time_of(slot): slot[0] for slot in city.frames if slot[0] in part_of}
    firsts: dict[str, list[datetime]] = {part: [] for part in PARTS}
    for first in sorted(day_of):
        times = [first + HALF_HOUR * lead for lead in range(4 + frames_out)]
        if all(time in day_of for time in times):
            parts = {part_of[day_of[time]] for time in times[4:]}
            if len(parts) == 1:
                firsts[parts.pop()].append(first)
    return firsts


@pytest.fixture(scope="module")
def clips(city: City) -> dict[Part, Clips]:
    return {part: TAXIBJ.open(part, root=city.root) for part in PARTS}


class TestSeriesClips:
    def test_they_are_those_found_one_by_one(self, city: City, clips: dict[Part, Clips]) -> None:
        assert len(city.whole) == 96
        for part, expected in brute_force(city).items():
            part_clips = clips[part]  # type: ignore[index]
            assert len(part_clips) == len(expected), part
            firsts = [part_clips.times(index)[0] for index in range(len(part_clips))]
            np.testing.assert_array_equal(firsts, np.array(expected, "M8[ns]"))

    def test_longer_horizons_too(self, city: City) -> None:
        expected = brute_force(city, frames_out=12)["validation"]
        part_clips = TAXIBJ.open("validation", root=city.root, frames_out=12)
        assert [part_clips.times(index)[0].astype("M8[s]").item() for index in range(len(part_clips))] == expected
        assert part_clips.frames(np.array([0])).shape == (1, 16, 2, 32, 32)

    def test_frames_are_those_of_the_files(self, city: City, clips: dict[Part, Clips]) -> None:
        slot_at = {time_of(slot): slot for slot in city.frames}
        for part_clips in clips.values():
            for index in (0, len(part_clips) // 2, len(part_clips) - 1):
                times = part_clips.times(index)
                assert (np.diff(times) == np.timedelta64(30, "m")).all()
                slots = [slot_at[time] for time in times.astype("M8[s]").tolist()]
                values = part_clips.frames(np.array([index]))
                assert values.dtype == torch.float32
                vehicles = values[0].double() * part_clips.scale + part_clips.offset
                np.testing.assert_allclose(vehicles, [city.frames[slot] for slot in slots], atol=1e-3)
                assert part_clips.numbers(index).tolist() == [slot[1] for slot in slots]
                assert part_clips.name(index) == f"from {times[0].astype('M8[m]')}"

    def test_a_batch_is_its_clips_in_order(self, clips: dict[Part, Clips]) -> None:
        part_clips = clips["train"]
        batch = part_clips.frames(np.array([9, 3, 1000]))
        for row, index in enumerate((9, 3, 1000)):
            torch.testing.assert_close(batch[row], part_clips.frames(np.array([index]))[0], rtol=0, atol=0)

    def test_no_target_is_in_two_parts(self, clips: dict[Part, Clips]) -> None:
        targets = {
            part: {time for index in range(len(part_clips)) for time in part_clips.times(index)[4:].tolist()}
            for part, part_clips in clips.items()
        }
        assert sum(map(len, targets.values())) == len(set.union(*targets.values()))

    def test_values_are_scaled_by_what_comes_before_the_test(self, clips: dict[Part, Clips]) -> None:
        for part_clips in clips.values():
            assert (part_clips.offset, part_clips.scale) == (0, 1292)
        assert clips["train"].frames(np.arange(300)).max() == 1
        assert clips["train"].frames(np.arange(300)).min() == 0
        assert float(clips["test"].frames(np.arange(900)).max()) == pytest.approx(2000 / 1292)

    def test_a_clip_comes_labelled_in_vehicles(self, city: City, clips: dict[Part, Clips]) -> None:
        part_clips = clips["test"]
        ds = part_clips.labelled(17)
        first = ds["time"].values[0].astype("M8[s]").item()
        assert first == brute_force(city)["test"][17]
        assert dict(ds.sizes) == {"time": 8, "y": 32, "x": 32}
        expected = city.frames[first.date(), 2 * first.hour + first.minute // 30 + 1]
        np.testing.assert_allclose(ds["inflow"].values[0], expected[0], atol=1e-3)
        np.testing.assert_allclose(ds["outflow"].values[0], expected[1], atol=1e-3)
        assert ds["inflow"].attrs == {"units": "1", "long_name": "taxis entering the cell in half an hour"}
        assert ds.attrs["title"] == TAXIBJ.title
        assert ds.attrs["origin"] == "28 of 96 whole days (2013-07-02 to 2015-11-25) of 4 HDF5 files"
        canonicalise(ds.drop_vars(["clip", "frame"]))

    def test_all_four_years_are_what_published_results_stand_for(
        self, city: City, clips: dict[Part, Clips], tmp_path: Path
    ) -> None:
        assert all(part_clips.comparable for part_clips in clips.values())
        folder = tmp_path / "taxibj"
        folder.mkdir()
        for name in YEARS[:2]:
            os.symlink(city.folder / name, folder / name)
        with pytest.raises(SourceError) as caught:
            TAXIBJ.open("train", root=tmp_path)
        assert "expected 84 or more days with all 48 slots, got 48 of 51" in str(caught.value)
        os.symlink(city.folder / YEARS[3], folder / YEARS[3])
        os.symlink(city.folder / YEARS[2], folder / "another name.h5")
        with pytest.raises(SourceError, match="got 72 of 76"):
            TAXIBJ.open("train", root=tmp_path)

    def test_three_years_are_not(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 90)
        write_year(tmp_path / "taxibj" / YEARS[0], slots, np.arange(90 * 48 * 2048).reshape(-1, 2, 32, 32) % 100)
        part_clips = TAXIBJ.open("test", root=tmp_path)
        assert not part_clips.comparable
        assert part_clips.origin.endswith("of 1 HDF5 files")
        assert len(part_clips) == 28 * 48 - 3  # the inputs of the first three reach back into the day before

    def test_an_empty_city_is_refused(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 90)
        write_year(tmp_path / "taxibj" / YEARS[0], slots, np.zeros((len(slots), 2, 32, 32), "f4"))
        with pytest.raises(SourceError, match="expected numbers of vehicles, got 0 in every cell before the test"):
            TAXIBJ.open("train", root=tmp_path)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_missing_values_are_refused(self, tmp_path: Path, value: float) -> None:
        slots = slots_of("2013-07-01", 90)
        data = np.ones((len(slots), 2, 32, 32), "f4")
        data[50, 1, 2, 3] = value
        write_year(tmp_path / "taxibj" / YEARS[0], slots, data)
        with pytest.raises(SourceError, match="1 slots have missing values, the first 2013-07-02T01:00"):
            TAXIBJ.open("train", root=tmp_path)

    def test_values_that_cannot_be_read_are_refused(self, tmp_path: Path) -> None:
        slots = slots_of("2013-07-01", 90)
        path = tmp_path / "taxibj" / YEARS[0]
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            data = file.create_dataset(
                "data", (len(slots), 2, 32, 32), "f4", chunks=(480, 2, 32, 32), compression="gzip", fillvalue=1
            )
            data[0:480] = np.arange(480 * 2048).reshape(480, 2, 32, 32)
            file["date"] = np.array([name_of(slot) for slot in slots], "S10")
            place = data.id.get_chunk_info(0)
        content = bytearray(path.read_bytes())
        content[place.byte_offset + 100 : place.byte_offset + 200] = bytes(100)
        path.write_bytes(content)
        with pytest.raises(SourceError, match="TaxiBJ: data cannot be read: "):
            TAXIBJ.open("train", root=tmp_path)


def ready(train: int = 120, test: int = 15) -> dict[str, np.ndarray]:
    """Arrays of the npz, each value its own between -1 and 1 by clip, frame, channel and column."""
    arrays = {}
    for offset, (name, count, first) in enumerate(
        [("X_train", train, 0), ("Y_train", train, 4), ("X_test", test, 0), ("Y_test", test, 4)]
    ):
        clip, frame, channel, _, x = np.ogrid[:count, first : first + 4, :2, :32, :32]
        number = ((clip + (200 if offset > 1 else 0)) * 8 + frame) * 2 + channel
        arrays[name] = np.broadcast_to((number * 32 + x) / 65536 - 1, (count, 4, 2, 32, 32))
    return arrays


def write_npz(root: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    path = root / "taxibj" / NPZ
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


class TestReadyClips:
    def test_inputs_come_before_targets_and_values_are_halved(self, tmp_path: Path) -> None:
        arrays = ready()
        arrays["X_train"] = arrays["X_train"].copy()
        arrays["X_train"][7, 0, 0, 5, 5], arrays["X_train"][7, 0, 1, 5, 5] = -1, 1
        write_npz(tmp_path, arrays)
        for part, split, first in (("train", "train", 0), ("validation", "train", 108), ("test", "test", 0)):
            part_clips = TAXIBJ.open(part, root=tmp_path)  # type: ignore[arg-type]
            assert isinstance(part_clips, ReadyClips)
            assert part_clips.comparable
            indices = np.array([3, 7, 0])
            frames = part_clips.frames(indices)
            both = np.concatenate([arrays[f"X_{split}"], arrays[f"Y_{split}"]], axis=1)
            np.testing.assert_array_equal(frames, ((both[first + indices].astype("f4") + 1) / 2))
            assert frames.dtype == torch.float32
        part_clips = TAXIBJ.open("train", root=tmp_path)
        assert part_clips.frames(np.array([7]))[0, 0, :, 5, 5].tolist() == [0, 1]

    def test_validation_shares_no_frame_with_training(self, tmp_path: Path) -> None:
        # 120 clips begin half an hour apart: clip n has the half hours n .. n + 7, the last twelve are validation.
        write_npz(tmp_path, ready())
        parts = {part: TAXIBJ.open(part, root=tmp_path) for part in PARTS}
        assert {part: len(one) for part, one in parts.items()} == {"train": 101, "validation": 12, "test": 15}
        assert 100 + 7 < 108
        assert parts["train"].origin == "clips 0 to 100 of the 120 in X_train of dataset.npz, scaled, not vehicles"
        assert parts["validation"].origin.startswith("clips 108 to 119 of the 120")
        assert parts["test"].origin.startswith("clips 0 to 14 of the 15 in X_test")

    def test_the_hdf5_files_go_first(self, city: City, tmp_path: Path) -> None:
        write_npz(tmp_path, ready())
        assert TAXIBJ.present(tmp_path)
        assert isinstance(TAXIBJ.open("test", root=tmp_path), ReadyClips)
        for name in YEARS:
            os.symlink(city.folder / name, tmp_path / "taxibj" / name)
        assert isinstance(TAXIBJ.open("test", root=tmp_path), SeriesClips)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"Y_train": None}, "expected Y_train, got X_train, X_test, Y_test"),
            ({"X_train": None, "Y_train": None}, "expected X_train, Y_train, got X_test, Y_test"),
            ({"Y_train": np.zeros((119, 4, 2, 32, 32))}, "expected as many inputs as targets, got 120 and 119"),
            (
                {"Y_train": np.zeros((120, 3, 2, 32, 32))},
                "Y_train: expected (N, 4, 2, 32, 32), got (120, 3, 2, 32, 32)",
            ),
            (
                {"X_train": np.zeros((120, 4, 32, 32, 2))},
                "X_train: expected (N, 4, 2, 32, 32), got (120, 4, 32, 32, 2)",
            ),
            ({"X_train": np.full((120, 4, 2, 32, 32), 1.5)}, "expected values between -1 and 1, got larger or missing"),
            ({"X_train": np.full((120, 4, 2, 32, 32), np.nan)}, "expected values between -1 and 1, got larger or miss"),
            (
                {"X_train": np.zeros((99, 4, 2, 32, 32)), "Y_train": np.zeros((99, 4, 2, 32, 32))},
                "expected 100 clips or",
            ),
            ({"X_train": np.array([{}], object)}, "it cannot be read: Object arrays cannot be loaded"),
        ],
    )
    def test_other_arrays_are_refused(
        self, tmp_path: Path, change: Mapping[str, np.ndarray | None], reason: str
    ) -> None:
        arrays = {name: array for name, array in (ready() | change).items() if array is not None}
        path = write_npz(tmp_path, arrays)
        with pytest.raises(SourceError) as caught:
            TAXIBJ.open("train", root=tmp_path)
        text = str(caught.value)
        assert f"TaxiBJ clips {path}: " in text
        assert reason in text
        assert "fetch the file once more, or use the four HDF5 files" in text

    def test_damaged_files_are_refused(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path, ready())
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 3] ^= 0xFF
        for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"<html>", whole[:30]):
            path.write_bytes(content)
            with pytest.raises(SourceError, match="it cannot be read: "):
                TAXIBJ.open("train", root=tmp_path)

    def test_longer_horizons_need_the_series(self, tmp_path: Path) -> None:
        write_npz(tmp_path, ready())
        with pytest.raises(SourceError, match=r"Y_test: expected \(N, 8, 2, 32, 32\), got \(15, 4, 2, 32, 32\)"):
            TAXIBJ.open("test", root=tmp_path, frames_out=8)


def test_nothing_there_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_DATA", raising=False)
    assert not TAXIBJ.present()
    assert not TAXIBJ.present(tmp_path)
    with pytest.raises(SourceError) as caught:
        TAXIBJ.open("train", root=tmp_path)
    text = str(caught.value)
    assert f"expected {YEARS[0]} to {YEARS[3]}, or dataset.npz; {tmp_path / 'taxibj'} does not hold them" in text
    assert "into the folder taxibj of a directory, and set SIMVP_DATA to that directory" in text


def test_the_real_files_give_the_counts_of_the_paper() -> None:
    folder = TAXIBJ.path()
    files = year_files(folder)
    if len(files) < len(YEARS):
        pytest.skip(f"the four files of TaxiBJ are not in {folder}; set SIMVP_DATA to the directory above their folder")
    with open_years(files[3:]) as ds:
        assert ds.sizes["time"] == 7220
        assert str(ds["time"].values[0])[:10] == "2015-11-01"
        assert str(ds["time"].values[-1])[:10] == "2016-04-10"
    parts = {part: len(TAXIBJ.open(part)) for part in PARTS}
    assert round(parts["test"] / 1000, 1) == 1.3
    assert 18_500 <= parts["train"] + parts["validation"] < 20_000  # the paper trains on both
