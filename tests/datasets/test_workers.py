"""Work on the workers of a dask scheduler: real processes, the same results as here, refusals, and workers that die."""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from dask import config
from distributed import Client, LocalCluster

from datasets import workers as module
from datasets.archive import Archive, schema as schema_module
from datasets.readers import checksums, open_source
from datasets.simulated.worlds import SimulatedWeather
from datasets.store import Conflict, refuse_unseen
from datasets.workers import Shared, Workers, workers
from pipelines.forecast import forecast
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.score_store import ScoringRun
from pipelines.verify import verify
from simvp.budget import BUDGET
from simvp.errors import ConfigError, ContractError, Refusal
from tests.conftest import CHECKOUT
from tests.support.files.repositories import plain
from tests.support.wave_home import forecaster, wave_home

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
DAYS, BLOCK = 20, 40  # days of the source, and frames of a block


def cluster_of(count: int) -> LocalCluster:
    config.set({"distributed.admin.low-level-log-length": 100_000})  # in which `done` looks
    return LocalCluster(n_workers=count, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with cluster_of(2) as made:
        yield made


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Looks at the scheduler; nobody takes it for the process's own."""
    with Client(cluster.scheduler_address, set_as_default=False) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each day."""
    folder = tmp_path_factory.mktemp("source")
    world = SimulatedWeather(shape=(16, 16)).dataset(frames=24 * DAYS)
    for day in range(DAYS):
        path = folder / f"day{day:03}.nc"
        world.isel(time=slice(24 * day, 24 * day + 24)).to_netcdf(path)
        os.utime(path, (day, day))  # not of just now: a file that is still young is read again
    return folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_module, "CHUNK_FRAMES", BLOCK)
    monkeypatch.setattr(schema_module, "BLOCK_BYTES", 1)  # a chunk each


def done(client: Client) -> Counter[str]:
    """Pieces of work that were done on the scheduler's workers, by name."""

    def finished(dask_scheduler):
        return {str(entry[0]) for entry in dask_scheduler.transition_log if entry[2] == "memory"}

    return Counter(key.rpartition("-")[0] for key in client.run_on_scheduler(finished))


def same_store(one: Path | str, other: Path | str) -> None:
    xr.testing.assert_identical(plain(one).load(), plain(other).load())


def test_an_ingest_on_workers_is_the_one_of_this_process(
    tmp_path: Path, source: Path, cluster: LocalCluster, client: Client
) -> None:
    here, there = Home(tmp_path / "here"), Home(tmp_path / "there")
    before = done(client)
    # A hole that is filled late, in the middle of a chunk, and frames after the last.
    part = [str(source / f"day{day:03}.nc") for day in range(DAYS) if day not in (3, 4, 18, 19)]
    for files in (part, [str(source)]):
        alone = ingest(here, "weather", source=files)
        shared = ingest(there, "weather", source=files, scheduler=cluster.scheduler_address)
        assert (shared.commit, shared.appended, shared.filled) == (alone.commit, alone.appended, alone.filled)
        assert shared.values == alone.values
    assert shared.filled == 48
    assert shared.length == 24 * DAYS
    same_store(here.archive("weather"), there.archive("weather"))
    tasks = done(client) - before
    assert tasks["compared"] >= 24 * DAYS // BLOCK
    assert tasks["filled"] >= 24 * DAYS // BLOCK
    # The part on which the workers built is none of the history.
    commits = Archive(there.archive("weather")).log()
    assert [commit.message for commit in commits] == [c.message for c in Archive(here.archive("weather")).log()]
    again = ingest(there, "weather", source=str(source), replace=True, scheduler=cluster.scheduler_address)
    assert (again.commit, again.unchanged) == (shared.commit, 24 * DAYS)


def test_what_does_not_fit_in_memory_is_read_twice(
    tmp_path: Path, source: Path, cluster: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simvp.budget.BUDGET", 4 * 50 * 16 * 16 * 4)
    before, ds = done(client), open_source(str(source))
    with workers(cluster.scheduler_address) as team:
        found = Archive(tmp_path / "there.zarr").append(ds, workers=team)
    assert found.id == Archive(tmp_path / "here.zarr").append(ds).id
    tasks = done(client) - before
    assert tasks["looked_at"] == tasks["filled"] == 24 * DAYS // BLOCK
    assert not tasks["compared"]


def test_values_that_differ_are_refused_by_their_frames_and_nothing_is_written(
    tmp_path: Path, source: Path, cluster: LocalCluster
) -> None:
    archive = Archive(tmp_path / "archive.zarr")
    ds = open_source(str(source))
    commit = archive.append(ds)
    changed = ds.assign(t2m=ds["t2m"] + 1)
    with workers(cluster.scheduler_address) as team, pytest.raises(Refusal) as there:
        archive.append(changed, workers=team)
    with pytest.raises(Refusal) as here:
        archive.append(changed)
    assert str(there.value) == str(here.value)
    assert "values differ from the archived ones" in str(here.value)
    assert archive.head == Archive(archive.path).log()[-1]
    assert archive.head.id == commit.id


def test_frames_that_change_while_they_are_taken_are_refused(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simvp.budget.BUDGET", 1)  # all is read twice
    archive, world = Archive(tmp_path / "archive.zarr"), SimulatedWeather(shape=(16, 16)).dataset(frames=48).load()
    for day in range(2):
        world.isel(time=slice(24 * day, 24 * day + 24)).to_netcdf(tmp_path / f"day{day}.nc")
    ds = open_source(str(tmp_path / "day*.nc"))

    def swapped(frames: int, of: int) -> None:
        if frames == 24:  # all are compared
            (world.isel(time=slice(24, 48)) + 1).to_netcdf(tmp_path / "other.nc")
            (tmp_path / "other.nc").replace(tmp_path / "day1.nc")

    with workers(cluster.scheduler_address) as team, pytest.raises(Refusal, match="have changed in the source since"):
        archive.append(ds, workers=team, progress=swapped)
    assert not archive.exists


def test_a_worker_that_is_killed_costs_time_only(
    tmp_path: Path, source: Path, cluster: LocalCluster, client: Client
) -> None:
    ds, killed = open_source(str(source)), []

    def kill(frames: int, of: int) -> None:
        # One while frames are compared, which it keeps for the writing, and one while they are written.
        if len(killed) < (1 if frames < of // 2 else 2) and frames > of // 8:
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with workers(cluster.scheduler_address) as team:
        found = Archive(tmp_path / "there.zarr").append(ds, workers=team, progress=kill)
    assert len(set(killed)) == 2
    assert found.id == Archive(tmp_path / "here.zarr").append(ds).id
    same_store(tmp_path / "here.zarr", tmp_path / "there.zarr")


@pytest.mark.slow
def test_hindcasts_and_their_scores_are_those_of_this_process(
    tmp_path: Path, cluster: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScoringRun, "draw", lambda *arguments: ())  # takes most of the time
    here, there, before = Home(tmp_path / "here"), Home(tmp_path / "there"), done(client)
    model, interval = forecaster(0.5), ("2020-01-12T00", "2020-01-13T23")
    for home, scheduler in ((here, None), (there, cluster.scheduler_address)):
        wave_home(home)
        made = forecast(home, "waves", model=model, hindcast=interval, batch=8, scheduler=scheduler)
        scored = verify(home, "waves", kind="hindcasts", model=model, batch=8, scheduler=scheduler)
        assert len(made.issued) == scored.scored == 46
        assert len(forecast(home, "waves", model=model, scheduler=scheduler).issued) > 0
    for at in (lambda home: home.hindcasts("waves", "3h"), lambda home: home.scores("waves", "hindcasts-3h")):
        one, other = (plain(at(home)).load() for home in (here, there))
        own = ["created", "archive_snapshot"]
        xr.testing.assert_allclose(one.drop_vars(own).drop_attrs(), other.drop_vars(own).drop_attrs(), rtol=1e-5)
    tasks = done(client) - before
    assert tasks["made"] == 7
    assert tasks["scored"] == 6


def test_the_variable_and_the_own_client_say_where(
    cluster: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workers() as nobody:
        assert nobody is None
    with client.as_current(), workers() as own:
        assert own is not None
        assert list(own.each(divmod, [(7, 2), (8, 3)])) == [(3, 1), (2, 2)]
    assert client.status == "running"  # it is the caller's to close
    monkeypatch.setenv("SIMVP_DASK", cluster.scheduler_address)
    with workers() as named:
        assert named is not None
        assert named.count == 2
    monkeypatch.setenv("SIMVP_DASK", "tcp://127.0.0.1:1")
    with workers(cluster.scheduler_address) as named:  # what is stated goes before the variable
        assert named is not None


def refuses(what: str) -> None:
    raise ContractError(what, ["this", "and that"], "do something")


def test_a_refusal_arrives_as_it_was_raised(cluster: LocalCluster) -> None:
    with workers(cluster.scheduler_address) as team, pytest.raises(ContractError) as found:
        list(Shared("Something", team).each(refuses, [()]))
    assert str(found.value) == "Something:\n  - this\n  - and that\nTo mend it: do something"
    assert found.value.reasons == ("this", "and that")
    again = pickle.loads(pickle.dumps(Conflict("/a")))
    assert type(again) is Conflict
    assert str(again) == str(Conflict("/a"))


def test_checksums_are_made_by_the_workers(tmp_path: Path, cluster: LocalCluster) -> None:
    names = [tmp_path / f"{number:02}.nc" for number in range(20)]
    for number, name in enumerate(names):
        name.write_bytes(bytes([number]))
    with workers(cluster.scheduler_address) as team:
        assert team is not None
        before = team._client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
        found = checksums(names, team)
        after = team._client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
    assert found == checksums(names)
    assert list(found) == [str(name) for name in names]
    assert after > before


def test_a_scheduler_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for address in ("tcp://127.0.0.1:1", f"tcp://127.0.0.1:{port}", "nonsense"):
            with pytest.raises(ConfigError, match=f"Scheduler {address}: expected a scheduler of dask to answer"):
                workers(address).__enter__()


def test_a_scheduler_without_workers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ARRIVAL", 1)
    with cluster_of(0) as empty, pytest.raises(ConfigError, match="expected at least one worker, got none") as found:
        workers(empty.scheduler_address).__enter__()
    assert f'"python -m dask worker {empty.scheduler_address} --nworkers 2' in str(found.value)


@pytest.mark.slow
def test_workers_that_are_started_as_the_refusal_says_are_taken() -> None:
    with cluster_of(0) as empty:
        with pytest.raises(ConfigError) as refused:
            workers(empty.scheduler_address).__enter__()
        command = str(refused.value).rpartition('same environment: "')[2].rstrip('"\n').split()
        started = subprocess.Popen(
            [sys.executable, *command[1:], "--no-dashboard", "--host", "127.0.0.1"], cwd=CHECKOUT
        )
        try:
            with Client(empty.scheduler_address, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
            with workers(empty.scheduler_address) as team:
                assert team is not None
                assert team.count == 2
        finally:
            started.terminate()
            started.wait(30)


@pytest.mark.slow
def test_workers_with_other_versions_or_other_code_are_refused(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Client.get_versions

    def older(self: Client, **options):
        found = own(self, **options)
        next(iter(found["workers"].values()))["packages"]["numpy"] = "1.0"
        return found

    monkeypatch.setattr(Client, "get_versions", older)
    monkeypatch.setattr(module, "PACKAGES", ("simvp",))
    with pytest.raises(ConfigError) as found:
        workers(cluster.scheduler_address).__enter__()
    assert f"expected numpy {np.__version__}, got 1.0" in str(found.value)
    assert sum("expected this project's code as it is here" in reason for reason in found.value.reasons) == 2
    assert "in a checkout of the same commit" in str(found.value)


@pytest.mark.slow
def test_a_store_that_workers_do_not_see_is_refused(tmp_path: Path, cluster: LocalCluster) -> None:
    with workers(cluster.scheduler_address) as team:
        assert team is not None
        with pytest.raises(Refusal, match=r"a worker on .+ does not see it"):
            team.everywhere(refuse_unseen, tmp_path / "archive.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_any_number_of_workers_makes_the_same_archive(tmp_path: Path, source: Path, count: int) -> None:
    ds = open_source(str(source))
    with cluster_of(count) as cluster, workers(cluster.scheduler_address) as team:
        there = Archive(tmp_path / "there.zarr").append(ds, workers=team)
    assert there.id == Archive(tmp_path / "here.zarr").append(ds).id
    same_store(tmp_path / "here.zarr", tmp_path / "there.zarr")


def peak() -> int:
    """Bytes of memory that this process held at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.slow
def test_a_worker_stays_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # blocks as they are
    world = SimulatedWeather(shape=(256, 256)).dataset(frames=24 * 400)  # 5 GiB in two variables
    with (
        LocalCluster(n_workers=1, threads_per_worker=4, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster.scheduler_address, set_as_default=False) as client,
    ):
        client.run(load_all)
        before = max(client.run(peak).values())
        with workers(cluster.scheduler_address) as team:
            Archive(tmp_path / "archive.zarr").append(world, workers=team)
        assert max(client.run(peak).values()) - before < BUDGET


def load_all() -> None:
    """What a worker has loaded is no work."""
    import pipelines.forecast  # noqa: F401


@pytest.mark.slow
def test_a_cluster_that_goes_away_ends_the_work_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABANDONED", 5)
    with cluster_of(1) as cluster, workers(cluster.scheduler_address) as team:
        assert isinstance(team, Workers)
        future = team.start(signal.pause)
        cluster.scale(0)
        with pytest.raises(ConfigError, match="it has had no worker for 5 s"):
            team.result(future)
    with cluster_of(1) as cluster, workers(cluster.scheduler_address) as team:
        assert isinstance(team, Workers)
        with pytest.raises(ConfigError, match="workers have died at one piece of work"):
            team.result(team.start(kill_itself))


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
