"""Ingest: catalogue and files into an archive, again and again, and after kills."""

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.archive import schema as schema_module
from datasets.archive.archive import Archive
from pipelines.home import Home
from pipelines.ingest import ingest
from simvp.errors import ConfigError, Refusal, SourceError, Unavailable
from tests.support.files.repositories import plain
from tests.support.files.small_files import hourly, write, write_zarr
from tests.support.killing import kill_everywhere

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("no_waiting_for_the_disk")]


def write_files(folder: Path, hours: range, *, per_file: int = 6, units: str | None = "K", offset: float = 0.0) -> None:
    """Hourly NetCDF files of t2m with a value per point, under names that are not in the order of time."""
    folder.mkdir(exist_ok=True)
    for start in range(hours.start, hours.stop, per_file):
        hour = np.arange(start, min(start + per_file, hours.stop))
        values = 1000.0 * hour[:, None, None] + np.arange(12).reshape(3, 4) + offset
        attrs = {} if units is None else {"units": units}
        ds = xr.Dataset(
            {"t2m": (("time", "lat", "lon"), values.astype("f4"), attrs)},
            coords={
                "time": np.datetime64("2020-01-01", "ns") + hour * np.timedelta64(3600, "s").astype("m8[ns]"),
                "lat": ("lat", [50.0, 51.0, 52.0], {"units": "degrees_north", "standard_name": "latitude"}),
                "lon": ("lon", [0.0, 1.0, 2.0, 3.0], {"units": "degrees_east", "standard_name": "longitude"}),
            },
        )
        ds.to_netcdf(folder / f"part-{(start * 7) % 100:02d}.nc")


def test_each_further_ingest_of_a_simulated_source_yields_the_next_day(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = ingest(home, "simulated-traffic")
    second = ingest(home, "simulated-traffic")
    third = ingest(home, "simulated-traffic")
    assert (first.step, second.appended, third.appended) == ("30 min", 48, 48)
    assert third.length == first.length + 96
    assert third.absent == 0
    archive = Archive(home.archive("simulated-traffic"))
    assert archive.present.all()
    assert third.last == str(archive.times[-1].astype("M8[s]"))
    assert third.last.endswith("23:30:00")
    assert [c.id for c in archive.log()][-1] == third.commit
    assert archive.source_settings["catalog"] == "simulated-traffic"


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was just written is young, on however busy a machine."""
    monkeypatch.setattr("datasets.archive.manifest.YOUNG", 3600 * 10**9)


def test_files_are_ingested_once_and_new_ones_by_the_kept_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_clock: None
) -> None:
    home = Home(tmp_path / "home")
    write_files(tmp_path / "files", range(0, 18), units=None)
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[str, int, int]] = []
    report = ingest(home, "mine", source="files/*.nc", units={"t2m": "K"}, progress=lambda *call: calls.append(call))
    assert (report.offered, report.appended, report.length, report.absent) == (18, 18, 18, 0)
    assert calls[-1] == ("ingest", 18, 18)
    monkeypatch.chdir(tmp_path.parent)  # the settings hold in another working directory
    again = ingest(home, "mine")
    assert (again.offered, again.appended, again.unchanged, again.commit) == (18, 0, 18, report.commit)
    write_files(tmp_path / "files", range(18, 20), units=None)
    write_files(tmp_path / "files", range(24, 27), units=None)
    more = ingest(home, "mine")
    assert (more.appended, more.unchanged, more.length, more.absent) == (5, 18, 27, 4)
    late = tmp_path / "late"
    write_files(late, range(20, 23), units=None)
    filled = ingest(home, "mine", source=late)
    assert (filled.filled, filled.absent) == (3, 1)
    assert ingest(home, "mine").unchanged == 23  # and the settings are still those of the first ingest
    archive = Archive(home.archive("mine"))
    assert archive.source_settings["source"] == str(tmp_path / "files" / "*.nc")
    assert set(archive.head.sources) == {str(f) for f in late.iterdir()}
    assert archive.dataset().t2m.attrs["units_source"] == "stated"
    np.testing.assert_array_equal(archive.dataset().t2m.values[21, :, 0], 21000 + np.array([0, 4, 8]))


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, there: bool) -> None:
    """The log must not hold the checksum of other values than those that were taken."""
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 6))
    if there:
        ingest(home, "mine", source=files)
    archive = Archive(home.archive("mine"))
    before = archive.head.id if there else None
    write_files(files, range(6, 12))
    (new,) = set(files.iterdir()) - {files / "part-00.nc"}

    def replaced(*call: object) -> None:
        write_files(tmp_path / "other", range(6, 12), offset=0.5)
        os.replace(tmp_path / "other" / new.name, new)

    (tmp_path / "other").mkdir()
    with pytest.raises(SourceError) as refused:
        ingest(home, "mine", source=files, progress=replaced)
    assert str(refused.value) == (
        f"source changed while it was read, and no frame was committed: {new}: expected it as it was when it was opened"
        "\nTo mend it: wait until nobody writes it any more, then ingest again"
    )
    assert archive.exists == there
    assert (archive.head.id if there else None) == before
    assert ingest(home, "mine", source=files).length == 12
    np.testing.assert_array_equal(archive.dataset().t2m.values[6, 0, 0], 6000.5)


def test_the_report_can_be_read(tmp_path: Path) -> None:
    write_files(tmp_path / "files", range(0, 6))
    report = ingest(Home(tmp_path / "home"), "mine", source=tmp_path / "files")
    shown = dict(line.split("  ", 1) for line in str(report).splitlines())
    assert {k: v.strip() for k, v in shown.items()} == {
        "archive": str(tmp_path / "home" / "mine" / "archive.zarr"),
        "variables": "t2m",
        "time span": "2020-01-01T00:00:00 .. 2020-01-01T05:00:00, every 1 h",
        "frames": "6 of 6 (0 absent)",
        "files read": "1 of 1",
        "offered": "6",
        "appended": "6",
        "filled late": "0",
        "replaced": "0",
        "unchanged": "0",
        "values of t2m": "0 to 5011 K, mean 2505.5, none missing",
        "commit": f"{report.commit} (number 1)",
    }
    assert [row["what"] for row in report.table] == list(shown)


def air(folder: Path, hours: range, *, mark: float | None = None, colder: float = 0.0) -> Path:
    """Air temperatures around 280 K, a file an hour; of each a value in another place is `mark`."""
    folder.mkdir(exist_ok=True)
    attrs = {"units": "K", "standard_name": "air_temperature"}
    for hour in hours:
        values = (280 + hour / 8 + np.arange(12).reshape(1, 3, 4) / 4 - colder).astype("f4")
        if mark is not None:
            values[0, hour % 3, 0] = mark
        write(folder / f"{hour:02d}.nc", hourly("t2m", values, attrs, first=hour))
    return folder


def test_marks_that_no_attribute_declares_are_missing_and_reported(tmp_path: Path) -> None:
    report = ingest(Home(tmp_path / "home"), "mine", source=air(tmp_path / "files", range(4), mark=-9999.0))
    assert report.values["t2m"]["marks"] == {"-9999": 4}
    assert "280.125 to 283.125 K, mean 281.6" in str(report)
    assert "8.33 % missing, -9999 taken for missing (4 values)" in str(report)
    archive = Archive(report.path)
    assert np.isnan(archive.dataset().t2m.values).sum() == 4
    assert archive.head.values["t2m"]["lowest"] == report.values["t2m"]["lowest"] == 280.125
    assert archive.head.values["t2m"]["missing"] == pytest.approx(1 / 12)


def test_values_that_their_unit_rules_out_are_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(Refusal) as refused:
        ingest(home, "mine", source=air(tmp_path / "files", range(4), colder=270.0))
    assert "t2m: 48 values of 10 .. 13.125 K, where air_temperature lies between 20 and 5000 K" in str(refused.value)
    assert "frames 2020-01-01T00:00:00 .. 2020-01-01T03:00:00" in str(refused.value)
    assert not home.path.exists()


def test_frames_that_jump_are_named_with_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    air(files, range(24))
    air(files, range(5, 6), colder=100.0)
    report = ingest(home, "mine", source=files)
    line = f"t2m at 2020-01-01T05:00:00 in {files}/05.nc: mean 182, where others lie from 281.438 to 284.188"
    assert report.jumps == (line,)
    assert line in str(report)
    assert line in caplog.text
    air(files, range(24, 25), colder=250.0)
    assert f"in {files}/24.nc: mean 34.375, where others lie from 180.625 to 285.625" in ingest(home, "mine").jumps[0]


def test_a_lost_chunk_of_temperatures_is_a_missing_frame(tmp_path: Path) -> None:
    values = (280 + np.arange(48).reshape(4, 3, 4) / 4).astype("f4")
    attrs = {"units": "K", "standard_name": "air_temperature"}
    path = write_zarr(tmp_path / "a.zarr", hourly("t", values, attrs), fills={"t": 0.0})
    (path / "t" / "c" / "2" / "0" / "0").unlink()
    report = ingest(Home(tmp_path / "home"), "mine", source=path)
    assert (report.appended, report.absent) == (3, 1)
    assert report.values["t"]["marks"] == {"0": 12}


def test_one_frame_needs_a_step(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    write_files(tmp_path / "files", range(0, 1))
    with pytest.raises(Refusal, match="state the step, such as 1h"):
        ingest(home, "mine", source=tmp_path / "files")
    assert not home.path.exists()
    assert ingest(home, "mine", source=tmp_path / "files", step="1h").step == "1 h"
    write_files(tmp_path / "files", range(1, 3))
    assert ingest(home, "mine").appended == 2


def test_values_that_differ_are_replaced_on_request(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    write_files(tmp_path / "files", range(0, 12))
    ingest(home, "mine", source=tmp_path / "files")
    write_files(tmp_path / "files", range(6, 12), offset=0.5)
    with pytest.raises(Refusal, match="t2m at 2020-01-01T06:00:00: 12 of 12 values differ from the archived ones"):
        ingest(home, "mine")
    report = ingest(home, "mine", replace=True)
    assert (report.replaced, report.unchanged) == (6, 6)


def test_refusals_write_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(SourceError, match="expected one of simulated-weather, simulated-traffic, era5-uk"):
        ingest(home, "unknown")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        ingest(home, "mine", source=tmp_path / "empty")
    with pytest.raises(ConfigError, match="variables, units and select are for files, and no source of files is given"):
        ingest(home, "simulated-weather", variables=["t2m"])
    write_files(tmp_path / "files", range(0, 6))
    with pytest.raises(SourceError, match="nothing_like_it"):
        ingest(home, "mine", source=tmp_path / "files", variables=["nothing_like_it"])
    with pytest.raises(Refusal, match="data set name"):
        ingest(home, "../mine", source=tmp_path / "files")
    whole = (tmp_path / "files" / "part-00.nc").read_bytes()
    (tmp_path / "files" / "part-99.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"part-99\.nc"):
        ingest(home, "mine", source=tmp_path / "files")
    assert not home.path.exists()


def test_the_real_file(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_DATA", str(shared / "data"))
    report = ingest(Home(tmp_path), "era5-uk")
    assert (report.length, report.absent, report.step) == (744, 0, "1 h")
    ds = Archive(report.path).dataset()
    assert ds.t2m.shape == (744, 33, 49)
    assert ds.latitude.values[0] == 58.0
    assert float(ds.t2m.mean()) == pytest.approx(280.5, abs=3)


def settle(folder: Path) -> None:
    """Make the files of a folder old enough for their times of change to tell them apart."""
    for number, file in enumerate(sorted(folder.iterdir())):
        os.utime(file, (number, number))


def spoil(file: Path) -> None:
    """Other bytes, of the same size and time of change: whoever opens the file, fails."""
    times = file.stat()
    file.write_bytes(bytes(times.st_size))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_that_was_read_and_has_not_changed_is_not_opened_again(tmp_path: Path, slow_clock: None) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 18))
    settle(files)
    first = ingest(home, "mine", source=files)
    assert (first.files_read, first.files_known) == (3, 0)
    last = max(files.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    for file in set(files.iterdir()) - {last}:
        spoil(file)
    again = ingest(home, "mine")
    assert (again.files_read, again.files_known, again.offered, again.unchanged) == (0, 3, 0, 0)
    assert (again.commit, again.sequence, again.length, again.last) == (
        first.commit, first.sequence, 18, "2020-01-01T17:00:00",
    )  # fmt: skip
    assert dict(row.values() for row in again.table)["files read"] == "0 of 3"
    write_files(files, range(18, 24))
    more = ingest(home, "mine")
    assert (more.files_read, more.files_known, more.appended, more.unchanged) == (1, 3, 6, 0)
    archive = Archive(home.archive("mine"))
    assert list(archive.head.sources) == [str(files / "part-26.nc")]
    np.testing.assert_array_equal(archive.dataset().t2m.values[:, 0, 0], 1000.0 * np.arange(24))
    # The new file changed just now, so that its time of change cannot vouch for it yet.
    assert (ingest(home, "mine").files_read, ingest(home, "mine").unchanged) == (1, 6)
    settle(files)
    with pytest.raises(SourceError, match=r"part-00\.nc: expected NetCDF, GRIB or Zarr by content"):
        ingest(home, "mine")


@pytest.mark.parametrize(
    "options",
    [{"replace": True}, {"step": "2h"}, {"variables": ["t2m"]}, {"units": {"t2m": "K"}}, {"select": {"level": 1}}],
)
def test_files_are_read_again_when_more_is_asked(tmp_path: Path, options: dict[str, Any]) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 12))
    settle(files)
    ingest(home, "mine", source=files)
    assert ingest(home, "mine", step="60 min").files_known == 2  # the step that it has
    if "step" in options or "select" in options:
        with pytest.raises(Refusal, match=r"step: expected 1 h, got 2 h|there is no such axis"):
            ingest(home, "mine", **options)
    else:
        report = ingest(home, "mine", **options)
        assert (report.files_read, report.files_known, report.unchanged) == (2, 0, 12)
        assert ingest(home, "mine", **options).files_known == (0 if "replace" in options else 2)


def test_a_file_that_changed_is_compared(tmp_path: Path) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 18))
    settle(files)
    ingest(home, "mine", source=files)
    write_files(files, range(6, 12), offset=0.5)
    os.utime(files / "part-42.nc", (99, 99))
    with pytest.raises(Refusal, match="t2m at 2020-01-01T06:00:00: 12 of 12 values differ from the archived ones"):
        ingest(home, "mine")
    report = ingest(home, "mine", replace=True)
    assert (report.files_read, report.replaced, report.unchanged) == (3, 6, 12)
    os.utime(files / "part-42.nc", (100, 100))
    assert (ingest(home, "mine").files_read, ingest(home, "mine").files_read) == (1, 0)


def test_a_new_file_has_to_be_of_one_series_with_those_that_were_read(tmp_path: Path) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 18))
    settle(files)
    ingest(home, "mine", source=files)
    write_files(files, range(18, 24))
    good = xr.load_dataset(files / "part-26.nc").drop_encoding()
    earlier = good.time - np.timedelta64(6, "h")
    shifted = good.lat + 0.25
    celsius = good.t2m.assign_attrs(units="degC")
    wrong = {
        r"not on the grid of .*part-26\.nc: grid: latitude differs by up to 0\.25": good.assign_coords(lat=shifted),
        r"part-84\.nc: t2m has units 'K', but 'degC' in .*part-26\.nc": good.assign(t2m=celsius),
        r"6 times, first .*T12:00:00.*, are both in .*part-26\.nc and in": good.assign_coords(time=earlier),
    }
    for text, ds in wrong.items():
        ds.to_netcdf(files / "part-26.nc")
        with pytest.raises(SourceError, match=text):
            ingest(home, "mine")


def test_variables_in_files_of_their_own_may_come_at_different_times(tmp_path: Path) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"

    def write(name: str, hour: int) -> None:
        write_files(tmp_path / "one", range(hour, hour + 1))
        ds = xr.load_dataset(tmp_path / "one" / f"part-{hour * 7 % 100:02d}.nc")
        ds.rename(t2m=name).to_netcdf(files / f"{name}-{hour}.nc")
        os.utime(files / f"{name}-{hour}.nc", (hour, hour))

    files.mkdir()
    for hour in range(12):
        write("t2m", hour)
        write("rain", hour)
    ingest(home, "mine", source=files)
    write("t2m", 12)
    report = ingest(home, "mine")
    assert (report.files_read, report.offered, report.appended, report.unchanged) == (1, 1, 1, 0)
    write("rain", 12)
    report = ingest(home, "mine")
    assert (report.files_read, report.offered, report.filled, report.length) == (1, 1, 1, 13)
    ds = Archive(home.archive("mine")).dataset()
    np.testing.assert_array_equal(ds.t2m, ds.rain)
    both = ds.isel(time=[12]).drop_vars("present").load()
    both.assign_coords(time=both.time + np.timedelta64(1, "h")).to_netcdf(files / "both-13.nc")
    with pytest.raises(SourceError, match=r"rain-12\.nc: has no t2m, which .*both-13\.nc has"):
        ingest(home, "mine")


@pytest.mark.parametrize("where", ["datasets.archive.archive.Archive.append", "datasets.archive.manifest.Manifest.add"])
def test_files_are_noted_when_they_have_been_taken_in_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 12))
    settle(files)
    ingest(home, "mine", source=files)
    write_files(files, range(12, 18))
    settle(files)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, killed)
        with pytest.raises(KeyboardInterrupt):
            ingest(home, "mine")
    report = ingest(home, "mine")
    taken = {"appended": 6, "unchanged": 0} if where.endswith("append") else {"appended": 0, "unchanged": 6}
    assert (report.files_read, {name: getattr(report, name) for name in taken}) == (1, taken)
    assert ingest(home, "mine").files_read == 0


def test_an_older_archive_that_is_put_back_is_filled_again(tmp_path: Path) -> None:
    home, files = Home(tmp_path / "home"), tmp_path / "files"
    write_files(files, range(0, 6))
    settle(files)
    ingest(home, "mine", source=files)
    archive = home.archive("mine")
    shutil.copytree(archive, tmp_path / "older")
    write_files(files, range(6, 12))
    settle(files)
    assert ingest(home, "mine").length == 12
    shutil.rmtree(archive)
    shutil.copytree(tmp_path / "older", archive)
    report = ingest(home, "mine")
    assert (report.files_read, report.length) == (2, 12)
    shutil.rmtree(home.archive("mine"))
    assert ingest(home, "mine", source=files).appended == 12


def work(folder: Path) -> None:
    """Ingest of files in blocks of four frames; asked again, it finishes what a kill left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_module, "CHUNK_FRAMES", 4)
        patch.setattr(schema_module, "BLOCK_BYTES", 4 * 12 * 4)
        ingest(Home(folder / "home"), "mine", source=folder.parent / "files")


def look(folder: Path) -> None:
    if Archive(folder / "home" / "mine" / "archive.zarr").exists:
        ds = plain(folder / "home" / "mine" / "archive.zarr").load()
        assert ds.sizes["time"] == 12
        assert ds.t2m.values[:, 0, 0].tolist() == [1000.0 * hour for hour in range(ds.sizes["time"])]


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_and_started_again(tmp_path: Path, stride: int) -> None:
    write_files(tmp_path / "files", range(0, 12))
    folders = kill_everywhere(
        "tests.pipelines.test_ingest:work", "tests.pipelines.test_ingest:look", tmp_path, stride=stride
    )
    assert len(folders) > 3
    stores = [folder / "home" / "mine" / "archive.zarr" for folder in folders]
    logs = [[{**asdict(c), "created": "", "snapshot": ""} for c in Archive(store).log()] for store in stores]
    for store, log in zip(stores, logs, strict=True):
        xr.testing.assert_identical(plain(store).load(), plain(stores[-1]).load())
        assert log == logs[-1]
        assert len(log[0]["sources"]) == 2


def test_how_a_source_was_read_is_for_its_owner_alone(tmp_path: Path) -> None:
    """An address may hold a password."""
    home = Home(tmp_path / "home")
    write_files(tmp_path / "in", range(6))
    ingest(home, "own", source=str(tmp_path / "in"))
    assert (home.manifests("own") / "archive.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["x.nc", "*.nc"])
def test_a_source_that_does_not_answer_is_refused_for_now(tmp_path: Path, path: str) -> None:
    with pytest.raises(Unavailable, match=rf"http://127\.0\.0\.1:1/{path.replace('*', '[*]')}"):
        ingest(Home(tmp_path), "own", source=f"http://127.0.0.1:1/{path}")
