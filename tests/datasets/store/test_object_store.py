"""Stores on an object store: moto's server in the place of S3."""

import threading
import uuid
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import simvp
from datasets.archive import Archive
from datasets.location import names_in
from datasets.store.repository import INCOMING, Conflict
from datasets.store.store import Store
from pipelines.forecast import forecast
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.verify import verify
from simvp.coords import Step
from simvp.errors import ArchiveError, ConfigError
from simvp.places import open_repository
from tests.conftest import SECRET
from tests.datasets.store.test_store import forecasts, small
from tests.support.wave_home import forecaster, wave_home, world


def make(bucket: str) -> Store:
    store = Store(f"{bucket}/a.zarr")
    store.create(forecasts(0, 3), axis="init_time", chunks={"init_time": 4}, state={"kind": "forecasts"})
    return store


def test_a_store_grows_and_is_read_as_in_a_folder(bucket: str) -> None:
    store = make(bucket)
    lazy = store.dataset()
    store.append(forecasts(3, 9), {"kind": "forecasts"})
    store.rewrite(small(0, 9, version=1)[["t2m"]], 0, {"kind": "forecasts"})
    xr.testing.assert_equal(lazy.load(), forecasts(0, 3))
    expected = forecasts(0, 9).assign(t2m=lambda ds: ds.t2m + 1e5)
    for chunks in (None, "auto"):
        xr.testing.assert_equal(simvp.open_forecasts(store.path, chunks=chunks).load(), expected)
    assert names_in(bucket) == ["a.zarr"]
    assert names_in(f"{bucket}/none") == []


def test_of_two_writers_the_second_is_refused_and_looks_again(bucket: str) -> None:
    store, other = make(bucket), Store(f"{bucket}/a.zarr")
    with ExitStack() as refused:
        refused.enter_context(pytest.raises(Conflict, match="another writer has committed meanwhile"))
        refused.enter_context(other.write({"kind": "forecasts"})).append(forecasts(3, 9, version=1))
        store.append(forecasts(3, 5), {"kind": "forecasts"})
    xr.testing.assert_equal(store.dataset().load(), forecasts(0, 5))
    with pytest.raises(ArchiveError, match="init_time: expected rising values"):
        other.append(forecasts(3, 9, version=1), {"kind": "forecasts"})


def test_archives_of_several_writers_hold_the_frames_of_all(bucket: str, tmp_path: Path) -> None:
    """Two at once, each with days of its own; the content is that of one writer in order."""
    whole, address = world(8), f"{bucket}/waves/archive.zarr"
    Archive(address).append(whole.isel(time=slice(0, 24)), step=Step.parse("1h"))
    faults: list[Exception] = []

    def write(days: range) -> None:
        try:
            for day in days:
                Archive(address).append(whole.isel(time=slice(24 * day, 24 * day + 24)))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(range(start, 8, 2),)) for start in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    archive, alone = Archive(address), Archive(tmp_path / "alone.zarr")
    alone.append(whole)
    assert archive.head.id == alone.head.id
    assert [entry.sequence for entry in archive.log()] == list(range(1, 9))
    np.testing.assert_array_equal(archive.dataset()["t2m"], whole["t2m"])


def test_a_branch_of_another_writer_is_left_alone_until_its_lease_is_over(bucket: str) -> None:
    store = make(bucket)
    repository = open_repository(store.path)
    head = repository.lookup_branch("main")
    # 100 ns since 1582: of 2020, and of now.
    old, young = f"{INCOMING}2d4d1e00-2c35-11ea-8000-0123456789ab", f"{INCOMING}{uuid.uuid1()}"
    for branch in (old, young):
        repository.create_branch(branch, head)
    store.append(forecasts(3, 4), {"kind": "forecasts"})
    assert repository.list_branches() == {"main", young}


def test_from_ingest_to_verification(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIMVP_STORE", bucket)
    home, model = Home.default(), forecaster(0.25)
    local = Home(tmp_path / "local")
    wave_home(local)
    Archive(local.archive("waves")).dataset().drop_attrs(deep=False).drop_vars(["present", "digest"]).to_netcdf(
        tmp_path / "waves.nc"
    )
    report = ingest(home, "waves", source=tmp_path / "waves.nc")
    assert report.path == f"{bucket}/waves/archive.zarr"
    assert home.datasets == ("waves",)
    ds = simvp.open_archive(home.archive("waves"))
    assert ds.attrs["archive_commit"] == report.commit == Archive(local.archive("waves")).head.id
    assert set(model.predict(ds)["archive_commit"].values) == {report.commit}
    assert forecast(home, "waves", model=model).length == 4
    assert forecast(home, "waves", model=model).issued == ()
    assert horizons(home, "waves") == ("3h",)
    issued = simvp.open_forecasts(home.forecasts("waves", "3h"))
    assert set(issued["archive_snapshot"].values) == {ds.attrs["archive_snapshot"]}
    assert len(forecast(home, "waves", model=model, hindcast=("2020-01-12", "2020-01-13")).issued) > 20
    ours, theirs = (verify(at, "waves", model=model) for at in (home, _with_forecasts(local, model)))
    assert (ours.scored, ours.path) == (theirs.scored, f"{bucket}/waves/scores/forecasts-3h.zarr")
    xr.testing.assert_identical(ours.skill, theirs.skill)
    # Nothing but what is this machine's own lies here, and no folder is called s3.
    kept = {path.relative_to(tmp_path).parts for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert {"pictures"} < {parts[2] for parts in kept} <= {"read", "pictures", "skill-forecasts.csv"}
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    history = [str((info.message, info.metadata)) for info in Store(home.archive("waves")).history()]
    assert SECRET not in "".join(history)


def _with_forecasts(home: Home, model) -> Home:
    forecast(home, "waves", model=model)
    return home


def test_what_cannot_be_reached_or_read_is_said_without_secrets(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchiveError, match=r"s3://no-such-bucket-here/x cannot be reached: .*\n.*check address"):
        simvp.open_archive("s3://no-such-bucket-here/x")
    with pytest.raises(ArchiveError, match="there is none"):
        simvp.open_archive(f"{bucket}/none")
    with pytest.raises(ConfigError, match="no name, no password and no query") as refused:
        simvp.open_archive(f"s3://me:{SECRET}@bucket/x")
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError, match="expected a folder, or s3://, gs:// or az://"):
        simvp.open_archive("ftp://host/x")


def test_a_lost_branch_is_damage_and_no_empty_store(bucket: str) -> None:
    import boto3

    store = make(bucket)
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    with closing(boto3.client("s3")) as client:
        client.delete_object(Bucket=name, Key=f"{prefix}/a.zarr/refs/branch.main/ref.json")
    with pytest.raises(ArchiveError, match="is damaged: the branch main is not there"):
        store.create(forecasts(0, 1), axis="init_time", chunks={"init_time": 4}, state={})
