"""The store: what is written comes back through plain xarray, one commit at a time, whatever kills the writer."""

import logging
import subprocess
import sys
import threading
import uuid
import warnings
from contextlib import ExitStack
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings, strategies as st

from datasets.store.repository import INCOMING, Conflict
from datasets.store.store import Store
from simvp.errors import ArchiveError
from tests.support.files.repositories import branches, plain, repository
from tests.support.killing import CHECKOUT, kill_everywhere

HOUR = np.timedelta64(3600, "s").astype("m8[ns]")
pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("no_waiting_for_the_disk")]


def forecasts(start: int, stop: int, version: int = 0) -> xr.Dataset:
    """Forecasts of init times start .. stop - 1; each value tells its init time, lead, row, column and version."""
    inits = np.datetime64("2020-02-28T22", "ns") + np.arange(start, stop) * HOUR
    leads = np.arange(1, 4) * HOUR
    i, lead, y, x = np.ix_(np.arange(start, stop), np.arange(3), np.arange(2), np.arange(5))
    values = (version * 1e5 + i * 1000 + lead * 100 + y * 10 + x).astype("f4")
    ds = xr.Dataset(
        {
            "t2m": (("init_time", "lead_time", "y", "x"), values, {"units": "K", "grid_mapping": "crs"}),
            "count": (("init_time", "lead_time"), values[:, :, 0, 0].astype("i4")),
        },
        coords={
            "init_time": ("init_time", inits, {"standard_name": "forecast_reference_time"}),
            "lead_time": ("lead_time", leads, {"standard_name": "forecast_period"}),
            "valid_time": (("init_time", "lead_time"), inits[:, None] + leads, {"standard_name": "time"}),
            "created": ("init_time", inits + 2 * HOUR),
            "model_version": ("init_time", np.array([f"v{'é' * (n % 4)}{n}" for n in range(start, stop)])),
            "archive_commit": ("init_time", np.array([f"{n:016x}" for n in range(start, stop)], object)),
            "issued": ("init_time", np.arange(start, stop) % 3 > 0),
            "method": ("method", np.array(["model", "persistence"])),
            "latitude": (("y", "x"), np.arange(10.0).reshape(2, 5), {"units": "degrees_north"}),
            "crs": ((), 0, {"grid_mapping_name": "mercator"}),
            "height": 2.0,
        },
        attrs={"title": "test", "numbers": np.array([1, 2])},
    )
    return ds


def make(path: Path, stop: int = 3, chunk: int = 4) -> Store:
    store = Store(path)
    store.create(forecasts(0, stop), axis="init_time", chunks={"init_time": chunk}, state={"n": 1})
    return store


def assert_holds(path: Path, expected: xr.Dataset) -> None:
    """Both ways of reading give `expected`: values, dims, coordinates, attributes of variables."""
    for ds in (plain(path).load(), Store(path).dataset().load()):
        xr.testing.assert_equal(ds, expected)
        assert set(ds.coords) == set(expected.coords)
        for name in expected.variables:
            assert {k: v for k, v in ds[name].attrs.items() if k != "coordinates"} == expected[name].attrs


def test_plain_xarray_reads_back_what_was_appended(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr")
    store.append(forecasts(3, 12), {"n": 2})
    assert_holds(store.path, forecasts(0, 12))
    ds = plain(store.path)
    assert ds.lead_time.dtype == "m8[ns]"
    assert ds.valid_time.dtype == "M8[ns]"
    assert ds.issued.dtype == bool
    assert ds.t2m.encoding["chunks"] == (4, 3, 2, 5)
    assert ds.attrs["numbers"] == [1, 2]
    assert (store.state, store.length) == ({"n": 2}, 12)
    assert store.dataset().model_version.dtype.kind == "U"


NEXT_DAY = np.datetime64("2020-03-05", "ns")
USES = {
    "combine_first": lambda ds: ds.isel(init_time=[0]).combine_first(ds.isel(init_time=[1])),
    "reindex backwards": lambda ds: ds.reindex(init_time=ds["init_time"].values[::-1]),
    "reindex beyond": lambda ds: ds.reindex(init_time=np.append(ds["init_time"].values, NEXT_DAY)),
    "concat": lambda ds: xr.concat([ds, ds.assign_coords(init_time=ds["init_time"] + 365 * 24 * HOUR)], "init_time"),
    "concat outer": lambda ds: xr.concat([ds.isel(init_time=[0]), ds.isel(init_time=[1])], "run", join="outer"),
    "merge": lambda ds: xr.merge(
        [ds.isel(init_time=[0]), ds.isel(init_time=[1])], compat="no_conflicts", join="outer", combine_attrs="override"
    ),
    "align": lambda ds: xr.align(ds.isel(init_time=slice(0, 2)), ds.isel(init_time=slice(1, 3)), join="outer")[0],
    "where": lambda ds: ds.where(ds["issued"]),
    "shift": lambda ds: ds.reset_coords("model_version").shift(init_time=1),
    "chunk auto": lambda ds: ds.chunk("auto"),
    "unify chunks": lambda ds: ds.unify_chunks(),
    "sortby": lambda ds: ds.sortby("model_version"),
    "groupby": lambda ds: ds["t2m"].load().groupby(ds["archive_commit"].load()).mean(),
}


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("use", list(USES))
def test_plain_xarray_works_with_it(tmp_path: Path, use: str, loaded: bool) -> None:
    path = make(tmp_path / "a.zarr", 10).path
    for ds in (plain(path), Store(path).dataset()):
        made = USES[use](ds.load() if loaded else ds)
        assert made.load().sizes


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_chunks_of_fields_and_coordinates_agree(tmp_path: Path, chunk: int) -> None:
    store = make(tmp_path / "a.zarr", 3, chunk)
    store.append(forecasts(3, 150), {"n": 2})
    sizes = plain(store.path).chunks
    assert sizes["init_time"] == (chunk,) * (150 // chunk) + ((150 % chunk,) if 150 % chunk else ())
    assert (sizes["lead_time"], sizes["y"], sizes["x"]) == ((3,), (2,), (5,))
    assert store.head.arrays["init_time"].chunks == (2**14,)  # read whole at every opening


def test_what_is_copied_to_other_formats_is_the_same(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zarr").path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's words on texts of fixed width, which xarray writes
        plain(path).to_zarr(tmp_path / "b.zarr", consolidated=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "b.zarr", consolidated=False).load(), forecasts(0, 3))
    Store(path).dataset().drop_attrs(deep=False).to_netcdf(tmp_path / "c.nc")
    with xr.open_dataset(tmp_path / "c.nc", decode_timedelta=True) as copied:
        xr.testing.assert_equal(copied.load(), forecasts(0, 3))
        assert [name for name in copied.coords if "_FillValue" in copied[name].encoding] == []


def test_attributes_of_a_commit_are_those_of_the_store(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr")
    assert "commit" not in plain(store.path).attrs
    store.append(forecasts(3, 5), {"n": 2, "attrs": {"commit": "abc"}})
    assert plain(store.path).attrs["commit"] == "abc"
    assert store.dataset().attrs["commit"] == "abc"
    store.rewrite(forecasts(0, 1)[["t2m"]].drop_vars(["valid_time", "created"]), 0, {"attrs": {"commit": "def"}})
    assert plain(store.path).attrs["commit"] == "def"


def test_times_are_stored_as_seconds_so_that_any_later_time_fits(tmp_path: Path) -> None:
    # A first axis of whole hours, or days, must not decide the unit in which later half hours are stored.
    store = Store(tmp_path / "a.zarr")
    day = xr.Dataset({"v": ("time", [1.0])}, coords={"time": np.array(["2020-01-01"], "M8[ns]")})
    store.create(day, axis="time", chunks={"time": 8}, state={})
    later = np.array(["2020-01-03T00:30:01"], "M8[ns]")
    store.append(day.assign_coords(time=later), {})
    assert plain(store.path).time.values[1] == later[0]
    stored = store.head.arrays["time"]
    assert stored.dtype == "int64"
    assert stored.attrs["units"] == "seconds since 1970-01-01"


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "julian", "standard"])
def test_other_calendars_come_back(tmp_path: Path, calendar: str) -> None:
    start = "1200-02-28" if calendar == "standard" else "2000-02-28"
    times = xr.date_range(start, periods=5, freq="12h", calendar=calendar, use_cftime=True)
    ds = xr.Dataset({"v": ("time", np.arange(5.0))}, coords={"time": times})
    store = Store(tmp_path / "a.zarr")
    store.create(ds.isel(time=[0, 1]), axis="time", chunks={"time": 2}, state={})
    store.append(ds.isel(time=[2, 3, 4]), {})
    assert list(store.dataset().time.values) == list(times.values)
    if calendar != "standard":  # xarray warns that datetime64 cannot hold the year 1200
        assert list(plain(store.path).time.values) == list(times.values)
    with pytest.raises(ArchiveError, match=f"time: expected calendar {calendar}, got proleptic_gregorian"):
        store.append(ds.isel(time=[0]).assign_coords(time=np.array(["2030-01-01"], "M8[ns]")), {})


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 6), min_size=1, max_size=5), chunk=st.integers(1, 7))
def test_any_grouping_of_appends_gives_one_store(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("grouping") / "a.zarr"
    store = make(path, cuts[0], chunk)
    end = cuts[0]
    for size in cuts[1:]:
        store.append(forecasts(end, end + size), {"n": end})
        end += size
    xr.testing.assert_equal(store.dataset().load(), forecasts(0, end))


def test_absent_chunks_read_as_missing_values(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.zarr")
    ds = xr.Dataset(
        {"v": ("time", np.full(4, np.nan))}, coords={"time": np.arange(4) * HOUR + np.datetime64("1970-01-01", "ns")}
    )
    store.create(ds, axis="time", chunks={"time": 2}, state={})
    xr.testing.assert_equal(plain(store.path).load(), ds)


def test_rewrite_changes_only_what_it_is_given(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr", 10)
    part = forecasts(3, 6, version=1)[["t2m", "model_version"]].drop_vars(["valid_time", "created", "issued"])
    store.rewrite(part.assign_coords(model_version=("init_time", ["ä", "b", "c"])), 3, {"n": 2})
    expected = forecasts(0, 10)
    expected["t2m"][3:6] += 1e5
    versions = expected["model_version"].values.astype(object)
    versions[3:6] = ["ä", "b", "c"]
    xr.testing.assert_equal(store.dataset().load(), expected.assign_coords(model_version=("init_time", versions)))
    assert store.state == {"n": 2}
    with pytest.raises(ArchiveError, match="expected frames within the 10 committed, got 9 and after"):
        store.rewrite(forecasts(9, 11), 9, {})


def test_a_reader_keeps_its_commit_while_frames_are_appended(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr", 3, 4)
    lazy = plain(store.path)
    store.append(forecasts(3, 9), {"n": 2})
    xr.testing.assert_equal(lazy.load(), forecasts(0, 3))


def test_readers_see_whole_commits_only(tmp_path: Path) -> None:
    """Threads open the store as fast as they can, while another process appends."""
    store = make(tmp_path / "a.zarr", 3)
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from datasets.store.store import Store\n"
            "from tests.datasets.store.test_store import forecasts\n"
            "store = Store(sys.argv[1])\n"
            "for n in range(3, 33, 3): store.append(forecasts(n, n + 3), {'n': n + 3})",
            str(store.path),
        ],
        cwd=CHECKOUT,
    )
    seen: set[int] = set()
    faults: list[str] = []

    def read() -> None:
        while writer.poll() is None and not faults:
            try:
                ds, state = Store(store.path).snapshot()
                n = ds.sizes["init_time"]
                seen.add(n)
                if n % 3 or state["n"] not in (1, n) or not ds.load().equals(forecasts(0, n)):
                    faults.append(f"{n} frames, state {state}")
            except Exception as error:
                faults.append(repr(error))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert writer.wait() == 0
    assert len(seen) > 2
    assert_holds(store.path, forecasts(0, 33))


def small(start: int, stop: int, version: int = 0) -> xr.Dataset:
    """Three arrays of `forecasts`."""
    ds = forecasts(start, stop, version)[["t2m"]]
    return ds.drop_vars(["valid_time", "created", "archive_commit", "issued", "latitude", "crs", "height"])


def work(folder: Path) -> None:
    """Make a store, append, replace, append; what has been done is not done again."""
    store = Store(folder / "a.zarr")
    if not store.exists:
        store.create(small(0, 3), axis="init_time", chunks={"init_time": 2}, state={"done": 1})
    with store.lock():
        if store.state == {"done": 1}:
            store.append(small(3, 8), {"done": 2})
        if store.state == {"done": 2}:
            store.rewrite(small(1, 7, version=1), 1, {"done": 3})
        if store.state == {"done": 3}:
            store.append(small(8, 11), {"done": 4})


def look(folder: Path) -> None:
    """A reader sees one commit, whole."""
    store = Store(folder / "a.zarr")
    if store.exists:
        ds, state = store.snapshot()
        n = ds.sizes["init_time"]
        assert n == {1: 3, 2: 8, 3: 8, 4: 11}[state["done"]]
        version = (ds.load().t2m >= 1e5).any(("lead_time", "y", "x")).values
        expected = small(0, n)
        expected["t2m"][version] += 1e5
        xr.testing.assert_equal(ds, expected)
        xr.testing.assert_equal(plain(store.path).load(), expected)
        replaced = [1 <= i < 7 for i in range(n)]
        assert version.tolist() == (replaced if state["done"] > 2 else [False] * n)


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_and_started_again(tmp_path: Path, stride: int) -> None:
    folders = kill_everywhere(
        "tests.datasets.store.test_store:work", "tests.datasets.store.test_store:look", tmp_path, stride=stride
    )
    assert len(folders) > 5
    expected = small(0, 11)
    expected["t2m"][1:7] += 1e5
    for folder in folders:
        assert_holds(folder / "a.zarr", expected)
        assert Store(folder / "a.zarr").state == {"done": 4}
        assert sorted(path.name for path in folder.iterdir()) == ["a.zarr", "a.zarr.lock"]
        assert branches(folder / "a.zarr") == {"main"}


def test_a_lazy_reader_keeps_its_commit_when_frames_are_replaced(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr", 10)
    for chunks in (None, {}):
        lazy, state = store.snapshot(chunks)
        store.rewrite(small(0, 10, version=state["n"])[["t2m"]], 0, {"n": state["n"] + 1})
        values = forecasts(0, 10)["t2m"] + (0 if state["n"] == 1 else 1e5)
        np.testing.assert_array_equal(lazy["t2m"], values)
    # Both are read in one computation of dask, which tells its arrays apart by name.
    before, after = lazy, store.dataset({})
    assert float((after["t2m"] - before["t2m"]).max()) == 1e5


def test_what_is_built_takes_the_place_of_all_at_once(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr")
    building = Store(store.path).building()
    assert not building.exists
    other = forecasts(0, 2)[["count"]].drop_vars(["latitude", "crs", "height"], errors="ignore")
    building.create(other, axis="init_time", chunks={"init_time": 2}, state={"n": 7})
    building.append(forecasts(2, 4)[["count"]].drop_vars(["latitude", "crs", "height"], errors="ignore"), {"n": 8})
    assert_holds(store.path, forecasts(0, 3))
    assert (building.length, Store(store.path).building().state) == (4, {"n": 8})
    building.publish()
    assert_holds(store.path, forecasts(0, 4)[["count"]].drop_vars(["latitude", "crs", "height"], errors="ignore"))
    assert store.state == {"n": 8}
    assert branches(store.path) == {"main"}
    building.create(other, axis="init_time", chunks={"init_time": 2}, state={"n": 9})
    building.discard()
    building.discard()
    assert (building.exists, store.state) == (False, {"n": 8})


def test_what_a_killed_writer_left_is_dropped_by_the_next(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr", 3, 4)
    made, left = repository(store.path), f"{INCOMING}{uuid.uuid1()}"
    made.create_branch(left, made.lookup_branch("main"))
    session = made.writable_session(left)
    zarr.open_array(session.store, path="t2m", mode="r+").resize((20, 3, 2, 5))
    session.commit("killed before main moved")
    assert len(branches(store.path)) == 2
    assert_holds(store.path, forecasts(0, 3))
    store.append(forecasts(3, 5), {"n": 2})
    assert_holds(store.path, forecasts(0, 5))
    assert branches(store.path) == {"main"}


def test_main_never_moves_away_from_what_another_writer_committed(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr")
    other = Store(store.path)
    store._lock = other._lock = None  # as on an object store
    with ExitStack() as refused:
        refused.enter_context(pytest.raises(Conflict, match="another writer has committed meanwhile"))
        refused.enter_context(other.write({"n": 9})).append(forecasts(3, 9, version=1))
        store.append(forecasts(3, 5), {"n": 2})
    assert_holds(store.path, forecasts(0, 5))
    with pytest.raises(Conflict), other.write({"n": 9}, base=next(iter(list(store.history())[1:])).id):
        pass
    assert store.state == {"n": 2}


def test_refuses_frames_that_do_not_fit_with_every_reason(tmp_path: Path) -> None:
    store = make(tmp_path / "a.zarr")
    before = {f: f.read_bytes() for f in store.path.rglob("*") if f.is_file()}
    bad = forecasts(3, 5).drop_vars("count").isel(x=[0, 1]).assign(extra=("init_time", [1, 2]))
    bad = bad.assign_coords(
        model_version=("init_time", [1, 2]),
        height=10.0,
        valid_time=bad.valid_time.where(bad.valid_time > bad.valid_time.min()),
    )
    with pytest.raises(ArchiveError) as refused:
        store.append(bad, {})
    assert list(refused.value.reasons) == [
        "extra: not in the store, which has archive_commit, count, created, init_time, issued, model_version, t2m, "
        "valid_time",
        "count: expected in every append, is missing",
        "latitude: differs from the stored one, which never changes",
        "height: differs from the stored one, which never changes",
        "model_version: expected texts, got int64",
        "t2m: expected (init_time: 2, lead_time: 3, y: 2, x: 5), got (init_time: 2, lead_time: 3, y: 2, x: 2)",
        "valid_time: expected times, got NaT",
    ]
    assert {f: f.read_bytes() for f in store.path.rglob("*") if f.is_file()} == before


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        (forecasts(2, 4), "expected rising values after 2020-02-29T00:00:00.000000000, got 2020-02-29T00"),
        (forecasts(5, 7).isel(init_time=[1, 0]), "expected rising values after 2020-02-29T04:00"),
        (forecasts(5, 5), "expected frames along init_time, got none"),
        (forecasts(5, 7).assign_coords(init_time=("init_time", [1, 2])), "init_time: expected times, got int64"),
        (forecasts(5, 7).assign(t2m=lambda d: d.t2m.assign_attrs(units="degC")), "t2m: expected units K, got degC"),
        (forecasts(5, 7).assign(count=lambda d: d["count"] + 0.5), "count: expected int32, got float64"),
        (forecasts(5, 7).assign(count=("init_time", ["a", "b"])), "count: expected "),
        (
            forecasts(5, 7).assign_coords(model_version=("init_time", ["short", "x" * 65])),
            "model_version: expected texts of 64 characters at most, got 65: 'xxx",
        ),
    ],
)
def test_refuses_times_units_and_types(tmp_path: Path, frames: xr.Dataset, text: str) -> None:
    store = make(tmp_path / "a.zarr")
    with pytest.raises(ArchiveError, match=text):
        store.append(frames, {})
    assert_holds(store.path, forecasts(0, 3))


def test_refuses_to_be_made_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "mine.txt").write_text("x")
    with pytest.raises(ArchiveError, match="expected nothing there yet, got a file or a folder"):
        make(tmp_path / "a.zarr")
    with pytest.raises(ArchiveError, match="expected a first frame along init_time, got none"):
        make(tmp_path / "b.zarr", 0)
    assert not (tmp_path / "b.zarr").exists()


def test_refuses_stores_that_are_absent_or_foreign(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is none"):
        Store(tmp_path / "none.zarr").dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's own words on consolidated metadata
        xr.Dataset({"v": ("time", [1.0])}).to_zarr(tmp_path / "foreign.zarr")
    for use in (Store.dataset, lambda store: store.exists, lambda store: store.append(forecasts(0, 1), {})):
        with pytest.raises(ArchiveError, match="expected an Icechunk repository, got a Zarr store, such as earlier"):
            use(Store(tmp_path / "foreign.zarr"))
    made = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "other")))
    session = made.writable_session("main")
    zarr.create_group(session.store)
    session.commit("of somebody else")
    with pytest.raises(ArchiveError, match="an Icechunk repository that was not made here"):
        Store(tmp_path / "other").append(forecasts(0, 1), {})


def test_a_second_writer_waits_says_so_and_gives_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make(tmp_path / "a.zarr")
    other = Store(store.path, lock_timeout=0.1)
    refused: list[ArchiveError] = []

    def write() -> None:
        try:
            other.append(forecasts(3, 4), {"n": 2})
        except ArchiveError as error:
            refused.append(error)

    for held in (True, False):
        thread = threading.Thread(target=write)
        if held:
            with caplog.at_level(logging.WARNING), store.lock(), store.lock():
                thread.start()
                thread.join()
        else:
            thread.start()
            thread.join()
    assert "waiting for another writer" in caplog.text
    assert [str(e).partition("expected")[2] for e in refused] == [
        " to get it within 0.1 s, but another writer still holds it\nTo mend it: wait until the other ingest or "
        "forecast has ended, or end it; a killed one leaves no lock behind"
    ]
    assert store.length == 4
