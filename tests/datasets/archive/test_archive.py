"""The archive against a slow, obvious oracle, refusals with their texts, and kills."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from datasets.archive import schema as schema_module
from datasets.archive.archive import Archive
from simvp import budget
from simvp.coords.steps import Step
from simvp.errors import ArchiveError
from simvp.version import __version__
from tests.support.files.repositories import plain, repository
from tests.support.killing import kill_everywhere
from tests.support.worlds import address_world

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("no_waiting_for_the_disk")]
START = np.datetime64("2020-02-28T20:00", "ns")
HOUR = np.timedelta64(3600, "s").astype("m8[ns]")
VARIABLES = ("t2m", "rain")
H, W = 2, 3


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    """Blocks of 6 frames in chunks of 3, so that short series have many."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        yield


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schema_module, "CHUNK_FRAMES", 3)
    patch.setattr(schema_module, "BLOCK_BYTES", 6 * len(VARIABLES) * H * W * 4)


def value(name: str, slot: Any, version: int = 0) -> np.ndarray:
    """Address of every point: variable, version, slot, row, column."""
    y, x = np.meshgrid(np.arange(H), np.arange(W), indexing="ij")
    number = 1e6 * (VARIABLES.index(name) + 1) + 1e5 * version
    return (number + np.asarray(slot)[..., None, None] * 100 + 10 * y + x).astype("f4")


def frames(slots: Sequence[int], version: int = 0, variables: Sequence[str] = VARIABLES) -> xr.Dataset:
    """Canonical frames of the address world."""
    at = np.asarray(slots, int)
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {n: (dims, value(n, at, version), {"units": "K" if n == "t2m" else "mm"}) for n in variables},
        coords={
            "time": ("time", START + at * HOUR, {"standard_name": "time"}),
            "latitude": ("latitude", [52.0, 51.0], {"units": "degrees_north"}),
            "longitude": ("longitude", [358.0, 359.0, 360.0], {"units": "degrees_east"}),
        },
        attrs={"title": "addresses"},
    )


def contents(path: Path) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """Everything that has to be equal between two archives: the store as plain xarray reads it, and the history."""
    log = [{**asdict(commit), "created": "", "snapshot": ""} for commit in Archive(path).log()]
    return plain(path).load(), log


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file() and f.suffix != ".lock"
    }


def made(path: Path, slots: Sequence[int] = range(10), **options: Any) -> Archive:
    archive = Archive(path)
    archive.append(frames(slots), **options)
    return archive


def test_frames_come_back_on_a_regular_axis(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr", [0, 1, 2, 5, 17])
    ds = plain(archive.path).load()
    assert ds.sizes == {"time": 18, "latitude": 2, "longitude": 3}
    np.testing.assert_array_equal(ds.time.values, START + np.arange(18) * HOUR)
    assert np.flatnonzero(ds.present.values).tolist() == [0, 1, 2, 5, 17]
    for name in VARIABLES:
        for slot in range(18):
            expected = value(name, slot) if slot in (0, 1, 2, 5, 17) else np.full((H, W), np.nan)
            np.testing.assert_array_equal(ds[name].values[slot], expected)
    assert ds.t2m.attrs["units"] == "K"
    assert ds.attrs["title"] == "addresses"
    assert archive.dataset().attrs["archive_commit"] == archive.head.id
    assert str(archive.step) == "1 h"
    assert ds.t2m.encoding["chunks"] == (3, 2, 3)


def test_plain_xarray_has_the_commit_and_chunks_that_agree(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr", [0, 1, 2, 5, 17])
    for change in ({}, {"late": [3, 4]}, {"new": [18, 19]}):
        for slots in change.values():
            archive.append(frames(slots))
        ds = plain(archive.path)
        assert ds.attrs["archive_commit"] == archive.head.id == archive.dataset().attrs["archive_commit"]
        assert archive.dataset().attrs["archive_snapshot"] == archive.head.snapshot
    assert ds.chunks == {"time": (3,) * 6 + (2,), "latitude": (2,), "longitude": (3,)}
    archive.append(frames([19], version=1), replace=True)
    assert plain(archive.path).attrs["archive_commit"] == archive.head.id


def test_attributes_of_one_file_are_none_of_the_archive(tmp_path: Path) -> None:
    of_one_file = {
        "history": "cdo", "date_created": "2020-01-01", "time_coverage_start": "2020-01-01", "tracking_id": "a",
        "filename": "a.nc", "CDO": "1.9",
    }  # fmt: skip
    archive = Archive(tmp_path / "a.zarr")
    archive.append(frames(range(3)).assign_attrs(institution="KNMI", licence="CC-BY", **of_one_file))
    assert set(archive.dataset().attrs) == {"title", "institution", "licence", "archive_commit", "archive_snapshot"}


def test_what_has_changed_since_a_commit_is_told_by_the_log(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr", [0, 1, 2, 5, 9])
    first = archive.head.id
    assert archive.changed_since(first) == []
    archive.append(frames([10, 11]))
    assert archive.changed_since(first) == []
    archive.append(frames([3, 4, 7, 12]))
    filled = archive.head.id
    archive.append(frames([10], version=1), replace=True)
    spans = [
        ("2020-02-28T23:00:00", "2020-02-29T00:00:00"),
        ("2020-02-29T03:00:00", "2020-02-29T03:00:00"),
        ("2020-02-29T06:00:00", "2020-02-29T06:00:00"),
    ]
    assert archive.changed_since(first) == spans
    assert archive.changed_since(filled) == spans[2:]
    assert archive.changed_since(archive.head.id) == []
    assert archive.changed_since("of another archive") is None
    assert archive.changed_since("") is None


def test_equal_frames_change_nothing(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr")
    before = tree(tmp_path)
    commit = archive.append(frames(range(4, 10)), sources={"x.nc": "ff"})
    assert (commit.unchanged, commit.appended, commit.id) == (6, 0, archive.head.id)
    assert tree(tmp_path) == before


def test_late_frames_fill_their_slots_and_are_logged(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr", [0, 1, 8])
    commit = archive.append(frames([3, 7, 8, 9]), sources={"late.nc": "ab"})
    assert (commit.filled, commit.appended, commit.unchanged, commit.length) == (2, 1, 1, 10)
    assert np.flatnonzero(archive.present).tolist() == [0, 1, 3, 7, 8, 9]
    np.testing.assert_array_equal(archive.dataset().rain.values[[3, 7]], value("rain", [3, 7]))
    entries = [(c.sequence, c.appended, c.absent, c.filled, c.first, c.last) for c in archive.log()]
    assert entries == [
        (1, 3, 6, 0, "2020-02-28T20:00:00", "2020-02-29T04:00:00"),
        (2, 1, 0, 2, "2020-02-28T23:00:00", "2020-02-29T05:00:00"),
    ]
    assert [dict(c.sources) for c in archive.log()] == [{}, {"late.nc": "ab"}]
    # Who has only Icechunk reads the same.
    last = next(iter(repository(archive.path).ancestry(branch="main")))
    assert last.message == "1 appended, 2 filled: 2020-02-28T23:00:00 .. 2020-02-29T05:00:00"
    assert last.metadata["sources"] == {"late.nc": "ab"}
    assert last.metadata["code_version"] == __version__
    assert last.metadata["values"] == archive.head.values


def test_a_frame_that_differs_is_refused_or_replaced_on_request(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr")
    other = frames(range(8, 12))
    other["rain"].values[1, 1, 2] += 2.5
    before = tree(tmp_path)
    with pytest.raises(ArchiveError) as refused:
        archive.append(other)
    assert str(refused.value) == (
        "Archive a.zarr: these frames cannot be taken, and nothing was written: rain at 2020-02-29T05:00:00: 1 of 6 "
        "values differ from the archived ones, by up to 2.5\n"
        "To mend it: correct the source, or give replace=True to take the new values"
    )
    assert tree(tmp_path) == before
    commit = archive.append(other, replace=True)
    assert (commit.replaced, commit.unchanged, commit.appended) == (1, 1, 2)
    assert archive.dataset().rain.values[9, 1, 2] == value("rain", 9)[1, 2] + 2.5
    assert archive.absent == 0
    assert [(c.appended, c.replaced) for c in archive.log()] == [(10, 0), (2, 1)]


def test_missing_values_are_data_and_a_variable_that_came_late_fills(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    first = frames(range(4))
    first["t2m"][1, 0, 0] = np.nan  # one point: data
    first["rain"][2] = np.nan  # one variable of the frame: not there yet
    first["t2m"][3], first["rain"][3] = np.nan, np.nan  # the frame: absent
    assert archive.append(first).length == 4
    assert archive.present.tolist() == [True, True, True, False]
    assert np.isnan(archive.dataset().t2m.values[1, 0, 0])
    assert archive.append(first).unchanged == 3
    with pytest.raises(
        ArchiveError, match="t2m at 2020-02-28T21:00:00: 1 of 6 values differ from the archived ones, in"
    ):
        archive.append(frames([1]))
    assert archive.append(frames([2])).filled == 1
    np.testing.assert_array_equal(archive.dataset().rain.values[2], value("rain", 2))
    assert archive.append(first).unchanged == 3  # no rain among the candidates at 2 takes nothing away


def test_an_archive_ends_with_a_value_where_a_file_is_laid_out_in_advance(tmp_path: Path) -> None:
    laid_out = frames(range(60))
    for name in VARIABLES:
        laid_out[name][5:] = np.nan
    archive = Archive(tmp_path / "a.zarr")
    assert archive.append(laid_out).length == 5
    assert archive.append(laid_out.isel(time=slice(0, 50))).absent == 45  # of which as many may be late
    assert archive.present.tolist() == [True] * 5 + [False] * 45
    only = frames(range(50, 53)) * np.nan
    assert archive.append(only).length == 50


@settings(max_examples=12, deadline=None)
@given(
    appends=st.lists(
        st.tuples(
            st.lists(st.integers(-1, 25), min_size=1, max_size=12, unique=True),
            st.sampled_from([0, 0, 0, 1]),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_sequence_of_appends_holds_what_a_dictionary_holds(
    tmp_path_factory: pytest.TempPathFactory, appends: list[tuple[list[int], int, bool]]
) -> None:
    archive = made(tmp_path_factory.mktemp("oracle") / "a.zarr", [0, 1])
    held = {0: 0, 1: 0}  # slot: version
    for slots, version, replace in appends:
        differ = [s for s in slots if held.get(s, version) != version]
        head = archive.head.id
        if min(slots) < 0 or (differ and not replace):
            with pytest.raises(ArchiveError):
                archive.append(frames(slots, version), replace=replace)
            assert archive.head.id == head
            continue
        end = max(held)
        counts = {
            "appended": sum(s > end for s in slots),
            "filled": sum(s <= end and s not in held for s in slots),
            "replaced": len(differ),
            "unchanged": sum(held.get(s) == version for s in slots),
        }
        commit = archive.append(frames(slots, version), replace=replace)
        assert {name: getattr(commit, name) for name in counts} == counts
        assert (commit.id == head) == (counts["unchanged"] == len(slots))
        held.update(dict.fromkeys(slots, version))
    ds = plain(archive.path).load()
    assert ds.present.values.tolist() == [slot in held for slot in range(max(held) + 1)]
    assert archive.absent == max(held) + 1 - len(held)
    np.testing.assert_array_equal(ds.time.values, START + np.arange(max(held) + 1) * HOUR)
    for name in VARIABLES:
        for slot in range(max(held) + 1):
            expected = value(name, slot, held[slot]) if slot in held else np.full((H, W), np.nan)
            np.testing.assert_array_equal(ds[name].values[slot], expected)


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(1, 20), unique=True, max_size=3), seed=st.integers(0, 9))
def test_the_commit_id_does_not_depend_on_grouping_order_path_or_sources(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], seed: int
) -> None:
    slots = [0, 1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18, 19, 30, 31]
    whole = made(tmp_path_factory.mktemp("whole") / "a.zarr", slots, sources={"a": "1"})
    parts = Archive(tmp_path_factory.mktemp("parts") / "other-name.zarr")
    groups = [
        [s for s in slots if start <= s < stop]
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 99], strict=True)
    ]
    first, *others = [group for group in groups if group]
    for group in [first, *np.random.default_rng(seed).permutation(np.array(others, object)).tolist()]:
        parts.append(frames(group), step=Step.parse("1h"))
    if slots[3] not in first:  # a wrong value in between, which is put right, leaves no trace
        parts.append(frames(slots[3:4], version=1), replace=True)
        assert parts.head.id != whole.head.id
        parts.append(frames(slots[3:4]), replace=True)
    assert parts.head.id == whole.head.id
    xr.testing.assert_identical(parts.dataset().load().drop_attrs(), whole.dataset().load().drop_attrs())


def test_the_commit_id_does_not_depend_on_how_a_missing_value_is_written(tmp_path: Path) -> None:
    ids = set()
    for number, bits in enumerate((0x7FC00000, 0xFFC00001)):
        ds = frames(range(4))
        ds["rain"].values[1, 0, 0] = np.array(bits, "u4").view("f4")
        ids.add(Archive(tmp_path / f"{number}.zarr").append(ds).id)
    assert len(ids) == 1


def test_the_commit_id_tells_every_kind_of_content_apart(tmp_path: Path) -> None:
    ids = set()
    plain = frames(range(4))
    changed = plain.copy(deep=True)
    changed["t2m"].values[2, 1, 1] += 1
    worlds = {
        "plain": plain,
        "value": changed,
        "units": plain.assign(t2m=plain.t2m.assign_attrs(units="degC")),
        "name": plain.rename(t2m="t"),
        "later": plain.assign_coords(time=plain.time.values + HOUR),
        "grid": plain.assign_coords(latitude=plain.latitude + 1),
        "type": plain.astype("f8"),
        "hole": plain.isel(time=[0, 1, 3]),
        "calendar": plain.assign_coords(
            time=xr.date_range("2020-02-28T20", periods=4, freq="h", calendar="noleap", use_cftime=True)
        ),
        "step": plain.assign_coords(time=START + np.arange(4) * 2 * HOUR),
        "swap": plain.assign(t2m=plain.t2m.copy(data=plain.rain.values), rain=plain.rain.copy(data=plain.t2m.values)),
    }
    for name, ds in worlds.items():
        archive = Archive(tmp_path / f"{name}.zarr")
        ids.add(archive.append(ds).id)
    assert len(ids) == len(worlds)


def test_the_commit_id_is_made_of_the_digests_that_the_archive_keeps(tmp_path: Path) -> None:
    """By hand: sha256 of what the archive is, and of the sum of the digests of slots and values by name."""
    archive = made(tmp_path / "a.zarr", [0, 2], step=Step.parse("1h"))
    axes = {"rows": np.array([52.0, 51.0]), "columns": np.array([358.0, 359.0, 360.0])}
    record = {
        "variables": {"t2m": ["float32", "K"], "rain": ["float32", "mm"]},
        "grid": [
            "latlon",
            ["latitude", "longitude"],
            {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in axes.items()},
        ],
        "step": {"seconds": 3600},
        "calendar": "proleptic_gregorian",
        "origin": 1582920000,
    }
    digests = [0, 0, 0]
    for slot in (0, 2):
        data = f"{slot}".encode() + value("rain", slot).tobytes() + value("t2m", slot).tobytes()
        digests[slot] = int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
    assert archive.dataset()["digest"].values.tolist() == digests
    what = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    assert archive.head.id == hashlib.sha256(f"{what} {sum(digests) % 2**64}".encode()).hexdigest()[:16]


def _shift(ds: xr.Dataset, **by: float) -> xr.Dataset:
    return ds.assign_coords({name: ds[name] + value for name, value in by.items()})


NEW = frames(range(10, 13))
REFUSALS = {
    "units": (NEW.assign(t2m=NEW.t2m.assign_attrs(units="degC")), "t2m: expected units K, got degC"),
    "no units": (NEW.drop_attrs(), "t2m: expected units K, got no units; state the units of the source"),
    "missing": (NEW[["t2m"]], "variables: expected rain, t2m, got t2m; missing: rain"),
    "extra": (NEW.assign(u=NEW.t2m), "expected rain, t2m, got rain, t2m, u; not in the archive: u"),
    "quantity": (
        NEW.assign(t2m=NEW.t2m.assign_attrs(standard_name="air_pressure")),
        None,
    ),
    "shifted grid": (_shift(NEW, latitude=0.25), "grid: latitude differs by up to 0.25"),
    "smaller grid": (
        NEW.isel(longitude=[0, 1]),
        "grid: expected 2 latitude x 3 longitude, got 2 latitude x 2 longitude",
    ),
    "other dims": (
        NEW.transpose("latitude", "time", "longitude"),
        "t2m: expected dims ('time', 'latitude', 'longitude')",
    ),
    "before": (frames([-2, -1, 10]), "time: 2 frames lie before the archive's first, 2020-02-28T20:00:00"),
    "off step": (_shift(NEW, time=HOUR / 2), "expected steps of 1 h counted from"),
    "twice": (frames([10, 11, 10]), "time: expected each time once, got 1 of them repeatedly: 2020-02-29T06:00:00"),
    "calendar": (
        NEW.assign_coords(time=xr.date_range("2020-03-01", periods=3, freq="h", calendar="noleap", use_cftime=True)),
        "time: expected the proleptic_gregorian calendar, got noleap",
    ),
    "a century late": (
        frames([10, 24 * 36525]),
        "time: 2120-02-29T20:00:00 would leave 876589 absent frames after 2020-02-29T06:00:00; at most 8766 in a row",
    ),
    "no time": (
        NEW.assign_coords(time=[START, np.datetime64("NaT"), START + HOUR]),
        "time: 1 frames have no time (NaT)",
    ),
    "no frames": (NEW.isel(time=[]), "time: expected frames, got none"),
    "infinite": (NEW.where(NEW.t2m != value("t2m", 11)[0, 0], np.inf), "t2m at 2020-02-29T07:00:00: 1 infinite values"),
    "too large": (NEW.astype("f8") * 1e36, "t2m at 2020-02-29T06:00:00: 6 infinite values"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_in_words_and_writes_nothing(tmp_path: Path, case: str) -> None:
    ds, text = REFUSALS[case]
    archive = made(tmp_path / "a.zarr")
    before = tree(tmp_path)
    if text is None:
        first = frames(range(10))
        archive = Archive(tmp_path / "b.zarr")
        archive.append(first.assign(t2m=first.t2m.assign_attrs(standard_name="brightness_temperature")))
        before, text = tree(tmp_path), "t2m: expected standard_name brightness_temperature, got air_pressure"
    with pytest.raises(ArchiveError) as refused:
        archive.append(ds)
    assert text in str(refused.value)
    assert "nothing was written" in str(refused.value)
    assert tree(tmp_path) == before


def test_names_all_reasons_at_once(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr")
    ds = _shift(frames([-1, 12, 12]), latitude=0.5).assign_coords(level=850.0)
    ds["t2m"].attrs["units"] = "degC"
    with pytest.raises(ArchiveError) as refused:
        archive.append(ds.rename(rain="snow"), step=Step.parse("3h"))
    assert [reason.partition(":")[0] for reason in refused.value.reasons] == [
        "variables",
        "t2m",
        "grid",
        "step",
        "time",
        "time",
    ]


def test_another_level_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a.zarr")
    archive.append(frames(range(3)).assign_coords(level=850.0))
    with pytest.raises(ArchiveError, match="rain: expected level 850, got 500"):
        archive.append(frames([3]).assign_coords(level=500.0))
    assert archive.append(frames([3])).length == 4


def test_the_same_numbers_on_another_projection_are_refused(tmp_path: Path) -> None:
    """And the same places in kilometres are taken."""
    ds = address_world(("inflow",), frames=6, grid="projected")
    archive = Archive(tmp_path / "a.zarr")
    archive.append(ds.isel(time=slice(0, 2)))
    later = ds.isel(time=slice(2, None))
    for name, text in (("crs", "longitude_of_projection_origin expected 10.0, got 20.0"), ("x", "(spacing 1000) km")):
        attrs = {"longitude_of_projection_origin": 20.0} if name == "crs" else {"units": "km"}
        with pytest.raises(ArchiveError) as caught:
            archive.append(later.assign_coords({name: later[name].assign_attrs(attrs)}))
        assert text in str(caught.value)
    in_km = {n: (later[n] / 1000).assign_attrs(later[n].attrs | {"units": "km"}) for n in ("y", "x")}
    archive.append(later.assign_coords(in_km))
    archived = archive.dataset()
    np.testing.assert_array_equal(archived["inflow"], ds["inflow"])
    np.testing.assert_array_equal(archived["x"], ds["x"])
    assert archived["x"].attrs["units"] == "m"


def test_same_grid_in_another_order_is_put_in_order(tmp_path: Path) -> None:
    archive = made(tmp_path / "a.zarr")
    turned = frames(range(10, 13)).isel(latitude=[1, 0], longitude=[2, 0, 1], time=[2, 0, 1])
    turned = turned.assign_coords(longitude=[0.0, -2.0, -1.0], latitude=turned.latitude.astype("f4") + 1e-5)
    archive.append(turned)
    np.testing.assert_array_equal(archive.dataset().t2m.values[10:], value("t2m", [10, 11, 12]))
    assert archive.dataset().longitude.values.tolist() == [358.0, 359.0, 360.0]


@pytest.mark.parametrize(
    ("ds", "text"),
    [
        (frames([0]), "time step: two frames at least are needed to see it, got 1; state the step, such as 1h"),
        (frames([]), "time: expected frames, got none"),
        (frames([0, 1])[[]], "variables: expected one or more, got none"),
        (frames([0, 1, 1]), "time: expected each time once"),
        (frames([0, 2, 4, 5]), "time step: expected steps of 2 h counted from"),
        (frames([0, 1]) * np.nan, "expected frames with values, got missing values only"),
        (frames([0, 1]).isel(latitude=0), "t2m: expected numbers over ('time', 'y', 'x'), got float32"),
    ],
)
def test_a_refused_first_append_leaves_nothing(tmp_path: Path, ds: xr.Dataset, text: str) -> None:
    with pytest.raises(ArchiveError) as refused:
        Archive(tmp_path / "new" / "a.zarr").append(ds)
    assert text in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 2**22])
def test_a_fault_in_the_last_block_of_a_lazy_source_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    monkeypatch.setattr(budget, "BUDGET", keep)  # of which a source may take a quarter
    broken = frames(range(30)).chunk(time=4)

    def fail(block: np.ndarray) -> np.ndarray:
        raise OSError("file is cut off")

    late = broken.isel(time=slice(28, 30)).map(lambda v: v.copy(data=v.data.map_blocks(fail, meta=v.data._meta)))
    with pytest.raises(ArchiveError) as refused:
        Archive(tmp_path / "a.zarr").append(xr.concat([broken.isel(time=slice(0, 28)), late], "time"))
    assert "frames 2020-02-29T20:00:00 .. 2020-03-01T01:00:00 cannot be read: OSError: file is cut off" in str(
        refused.value
    )
    assert list(tmp_path.iterdir()) == []
    archive = Archive(tmp_path / "a.zarr")
    assert archive.append(broken).appended == 30
    assert len(archive.log()) == 1
    np.testing.assert_array_equal(archive.dataset().t2m.values, value("t2m", range(30)))


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (xr.date_range("2001-01-16", periods=14, freq="MS", calendar="360_day", use_cftime=True), None),
        (xr.date_range("2000-02-27", periods=8, freq="12h", calendar="noleap", use_cftime=True), None),
        (xr.date_range("2019-11-15", periods=8, freq="MS"), None),
        (xr.date_range("2019-01-01", periods=8, freq="YS"), None),
        (xr.date_range("2019-01-15", periods=1, freq="D"), "1 month"),
    ],
)
def test_calendars_and_months_have_a_regular_axis_too(tmp_path: Path, times: Any, step: str | None) -> None:
    ds = frames(range(len(times))).assign_coords(time=times)
    archive = Archive(tmp_path / "a.zarr")
    some = [i for i in range(len(times)) if i not in (2, 3)]
    archive.append(ds.isel(time=some), step=None if step is None else Step.parse(step))
    assert list(archive.times) == list(times.values)
    assert (archive.last, archive.schema.origin) == (times.values[-1], times.values[0])
    assert archive.present.tolist() == [i in some for i in range(len(times))]
    if len(times) > 3:
        assert archive.append(ds).filled == 2
        np.testing.assert_array_equal(archive.dataset().rain.values, value("rain", range(len(times))))


def test_progress_ends_at_the_number_of_frames(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    Archive(tmp_path / "a.zarr").append(frames(range(20)), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (20, 20)
    assert calls == sorted(calls)


def test_the_source_settings_and_many_sources_are_kept(tmp_path: Path) -> None:
    many = {f"{n}.nc": "f" * 64 for n in range(1000)}
    archive = made(tmp_path / "a.zarr", source_settings={"source": "x/*.nc"}, sources=many)
    archive.append(frames(range(10, 15)), sources=many, source_settings={"source": "y"})
    assert archive.source_settings == {"source": "x/*.nc"}
    assert len(archive.log()[-1].sources) == 1000


def work(folder: Path) -> None:
    """A creation in two blocks, late frames, a replacement and more frames, as a user would repeat them."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        archive = Archive(folder / "a.zarr")
        if not archive.exists:
            archive.append(frames([0, 1, 3, 4, 8]), sources={"a": "1"})
        archive.append(frames([2, 3, 5]), sources={"b": "1"})
        archive.append(frames([4], version=1), replace=True)
        archive.append(frames([9, 21]))


def look(folder: Path) -> None:
    """A reader: the archive opens, its length and its commit belong together."""
    archive = Archive(folder / "a.zarr")
    if archive.exists:
        ds = archive.dataset().load()
        assert ds.sizes["time"] == archive.head.length in (9, 10, 22)
        assert ds.attrs["archive_commit"] == archive.log()[-1].id
        np.testing.assert_array_equal(ds.t2m.values[0], value("t2m", 0))


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_and_started_again_is_the_archive_of_an_unkilled_run(tmp_path: Path, stride: int) -> None:
    folders = kill_everywhere(
        "tests.datasets.archive.test_archive:work", "tests.datasets.archive.test_archive:look", tmp_path, stride=stride
    )
    assert len(folders) > 5
    expected, log = contents(folders[-1] / "a.zarr")
    assert [c["length"] for c in log] == [9, 9, 9, 22]
    for folder in folders[:-1]:
        committed, entries = contents(folder / "a.zarr")
        xr.testing.assert_identical(committed, expected)
        assert entries == log
