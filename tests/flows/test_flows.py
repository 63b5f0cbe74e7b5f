"""The flows, with a real Prefect server and a real MLflow database, on a small world."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import xarray as xr
import yaml

from flows.commands.demo import parse
from flows.local.console import chosen_leads
from flows.local.services import Addresses, free_port, offline_environment, running
from pipelines.home import Home
from simvp.errors import ConfigError, SourceError
from tests.conftest import CHECKOUT
from tests.support.small_home import write_source

DATASET = "walk"

# Read once, when prefect is first imported, which every test here does late: the tests leave no trace in the checkout.
PREFECT_FOLDER = tempfile.TemporaryDirectory(prefix="simvp-prefect-")
os.environ["PREFECT_HOME"] = PREFECT_FOLDER.name
DEPLOYMENTS = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
FLOWS = ("ingest", "train", "promote", "forecast", "verify")


# --- what needs no server ---------------------------------------------------------------------------------------------


def load(entrypoint: str) -> Any:
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(entrypoint)


def test_deployments_are_the_six_with_schedules_that_are_off() -> None:
    names = {f"{load(one['entrypoint']).name}/{one['name']}" for one in DEPLOYMENTS}
    daily = {"ingest/daily", "forecast/daily", "verify/daily"}
    assert names == daily | {"train/weekly", "promote/manual", "benchmark/manual"}
    for one in DEPLOYMENTS:
        # A file as entrypoint would put flows/ first on the path, where flows/ingest.py hides other modules.
        assert re.fullmatch(r"flows\.([a-z]+)\.\1", one["entrypoint"])
        assert one["work_pool"] == {"name": "local"}
        assert "pull" not in one
        schedules = one.get("schedules", [])
        assert bool(schedules) == (one["name"] != "manual")
        assert all(schedule["active"] is False for schedule in schedules)


@pytest.mark.parametrize("name", [*FLOWS, "benchmark"])
def test_every_parameter_is_described_and_typed(name: str) -> None:
    schema = load(f"flows.{name}.{name}").parameters
    assert schema.required == []
    first, default = ("data", "moving-mnist") if name == "benchmark" else ("dataset", "simulated-weather")
    assert schema.properties[first]["default"] == default
    for parameter, entry in schema.properties.items():
        assert len(entry.get("description", "")) > 10, parameter
        assert {"type", "anyOf", "$ref", "allOf", "enum"} & set(entry), parameter
    assert load(f"flows.{name}.{name}").description


def test_the_form_describes_what_a_challenger_has_to_show() -> None:
    gate = load("flows.promote.promote").parameters.definitions["Gate"]["properties"]
    assert all(entry.get("description") for entry in gate.values())


def test_catch_up_is_what_the_stage_does_unasked() -> None:
    import inspect

    from flows.forecast import MAX_CATCH_UP
    from pipelines.forecast import forecast

    assert inspect.signature(forecast).parameters["max_catch_up"].default == MAX_CATCH_UP


def test_ports_come_from_the_environment() -> None:
    assert Addresses.from_environment({}) == Addresses(prefect_port=4200, mlflow_port=5000)
    given = Addresses.from_environment({"PREFECT_PORT": "4300", "MLFLOW_PORT": "5100"})
    assert given.prefect_api == "http://127.0.0.1:4300/api"
    assert given.mlflow == "http://127.0.0.1:5100"
    with pytest.raises(ConfigError) as refused:
        Addresses.from_environment({"PREFECT_PORT": "many", "MLFLOW_PORT": "80"})
    assert "PREFECT_PORT: expected a number from 1024 to 65535, got 'many'" in str(refused.value)
    assert "MLFLOW_PORT: expected a number from 1024 to 65535, got '80'" in str(refused.value)
    with pytest.raises(ConfigError, match="both 4300"):
        Addresses.from_environment({"PREFECT_PORT": "4300", "MLFLOW_PORT": "4300"})


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"MLFLOW_PORT {port}: something listens there already"):
            Addresses(prefect_port=free_port(), mlflow_port=port).check_free()
    Addresses(prefect_port=free_port(), mlflow_port=free_port()).check_free()


def test_a_home_whose_servers_are_gone_is_not_served(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert running(home) is None
    offline_environment(home)
    (home.prefect / "running.json").write_text(json.dumps({"prefect_port": free_port(), "mlflow_port": 5000}))
    assert running(home) is None


def test_second_terminal_is_told_only_what_differs_from_the_usual() -> None:
    usual = (CHECKOUT / "prefect.toml").read_text()
    assert f'url = "{Addresses().prefect_api}"' in usual
    assert 'home = ".simvp/prefect"' in usual


def test_demo_settings() -> None:
    assert parse([]).dataset == "simulated-weather"
    assert parse(["--data", "era5-uk"]).dataset == "era5-uk"
    given = parse(["--source", "/data/Rain 2020/*.nc", "--variables", "a, b", "--units", "a:K,b:m s-1"])
    assert given.source == "/data/Rain 2020/*.nc"
    assert given.variables == ["a", "b"]
    assert given.units == {"a": "K", "b": "m s-1"}
    given = parse(["--source", "x.grib", "--name", "mine", "--select", "level:850,member:r1", "--frames-in", "8"])
    assert (given.dataset, given.select, given.frames_in) == ("mine", {"level": 850, "member": "r1"}, 8)


def test_data_sets_of_different_sources_have_different_names() -> None:
    names = [parse(["--source", source]).dataset for source in ("/a/rain/*.nc", "/b/rain/*.nc", "/a/wind/*.nc")]
    assert len(set(names)) == 3
    assert parse(["--source", "/a/rain/*.nc"]).dataset == names[0]
    assert names[0].startswith("rain-nc-")
    assert parse(["--source", "/a/rain/*.nc", "--variables", "a"]).dataset != names[0]
    assert Home("/home").dataset(parse(["--source", f"/{'long' * 40}.nc"]).dataset).name


def test_demo_settings_that_contradict_are_refused_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(["--data", "era5-uk", "--source", "x.nc", "--units", "a", "--epochs", "few"])
    text = str(refused.value)
    assert "expected one of them, got both" in text
    assert "UNITS: expected pairs like t2m:K,rain:mm, got 'a'" in text
    assert "EPOCHS: expected a whole number, got 'few'" in text
    with pytest.raises(ConfigError, match="VARIABLES describes files, but no SOURCE is given"):
        parse(["--variables", "a"])


def test_demo_refuses_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.demo", "--data", "era5-uk", "--source", "x.nc"],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "expected one of them, got both" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_table_shows_first_and_last_lead() -> None:
    assert chosen_leads(3) == [0, 1, 2]
    assert chosen_leads(12) == list(range(12))
    assert (chosen_leads(48)[0], chosen_leads(48)[-1], len(chosen_leads(48))) == (0, 47, 12)


# --- with a server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """A Prefect server for this session; without heartbeats, whose thread costs a second per flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMVP_HOME", str(tmp_path_factory.mktemp("flows") / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Home.default()


@dataclass(frozen=True)
class Walk:
    """What each flow returned, and what was heard of its progress."""

    source: str
    ingested: Any
    trained: Any
    promotion: Any
    issued: Any
    afterwards: Any
    scored: Any
    heard: set[str]


def train_small() -> Any:
    from flows.train import train

    return train(DATASET, frames_in=6, frames_out=3, size="tiny", epochs=1, device="cpu", settings={"threads": 1})


@pytest.fixture(scope="module")
def walk(server: None, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    from flows.forecast import forecast
    from flows.ingest import ingest
    from flows.prefect_tools.progress import listen
    from flows.promote import promote
    from flows.verify import verify

    source = str(write_source(tmp_path_factory.mktemp("source")))
    heard: set[str] = set()
    with listen(lambda what, done, total: heard.add(what)):
        ingested = ingest(DATASET, source=source)
        trained = train_small()
        promotion = promote(DATASET)
        issued = forecast(DATASET, model="challenger")
        start, end = trained.plan.periods.held_out
        afterwards = forecast(DATASET, model="challenger", hindcast_start=start, hindcast_end=end)
        scored = verify(DATASET, kind="hindcasts")
    return Walk(source, ingested, trained, promotion, issued, afterwards, scored, heard)


def artifacts(key: str) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


def test_a_benchmark_leaves_its_rows_and_pictures_on_the_page_of_its_run(
    walk: Walk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.benchmark import benchmark

    monkeypatch.delenv("SIMVP_DATA", raising=False)
    settings = {
        "hid_S": 4, "hid_T": 16, "N_S": 2, "N_T": 2, "groups": 4, "kernels": [3], "batch_size": 2, "epoch_updates": 2,
        "validation_clips": 2, "test_clips": 2, "device": "cpu", "threads": 1,
    }  # fmt: skip
    report = benchmark("moving-mnist", preset="quick", epochs=1, settings=settings)
    assert report.version == "simvp-benchmark-moving-mnist/1"
    assert report.path == home.benchmarks / "report.md"
    (table,) = artifacts("benchmark-moving-mnist")
    assert "persistence" in str(table.data)
    assert report.rows[0].test in table.description
    assert artifacts("benchmark-strip-0-moving-mnist")


def test_walk_from_files_to_skill(walk: Walk, home: Home) -> None:
    assert walk.ingested.length == 16 * 24
    assert walk.trained.existing is False
    assert walk.promotion.outcome in ("promote", "refuse", "insufficient")
    assert walk.issued.kind == "forecasts"
    assert walk.afterwards.kind == "hindcasts"
    (scored,) = walk.scored
    assert scored.csv == home.skill_csv(DATASET)
    header, *lines = scored.csv.read_text().splitlines()
    assert header == (
        "variable,lead_hours,n,weighting,model,persistence,seasonal_persistence,climatology,anomaly_persistence,"
        "damped_anomaly"
    )
    assert [line.split(",")[1] for line in lines] == ["1", "2", "3"]
    hours = xr.open_zarr(walk.issued.path).init_time.dt.hour.values
    assert list(hours) == [0, 6, 12, 18]  # of the last day: the hours that are issued unasked


def test_progress_of_every_stage_is_heard(walk: Walk) -> None:
    assert "ingest" in walk.heard
    assert any(what.startswith("training") for what in walk.heard)
    assert len(walk.heard) > 4


def test_each_flow_leaves_artifacts(walk: Walk) -> None:
    (table,) = artifacts(f"ingest-{DATASET}")
    rows = {row["what"]: row["value"] for row in json.loads(table.data)}
    assert rows["appended"] == str(16 * 24)
    (windows,) = artifacts(f"windows-{DATASET}")
    assert [row["part"] for row in json.loads(windows.data)] == ["train", "validation", "held_out"]
    (run,) = artifacts(f"mlflow-run-{DATASET}")
    assert walk.trained.run_id in run.data
    (promotion,) = artifacts(f"promotion-{DATASET}")
    assert walk.promotion.summary in promotion.data
    (skill,) = artifacts(f"skill-hindcasts-3h-{DATASET}")
    assert "seasonal persistence" in skill.data
    pictures = [artifacts(re.sub("[^a-z0-9]+", "-", f"{p.stem}-{DATASET}")) for p in walk.scored[0].pictures]
    assert pictures
    assert all(one.type == "image" and one.data.startswith("data:image/png;base64,") for (one,) in pictures)


def test_asked_again_nothing_is_done_twice(walk: Walk, home: Home) -> None:
    from flows.forecast import forecast
    from flows.ingest import ingest
    from flows.verify import verify

    table = home.skill_csv(DATASET).read_bytes()
    again = ingest(DATASET)
    assert (again.commit, again.appended) == (walk.ingested.commit, 0)
    trained = train_small()
    assert trained.existing is True
    assert trained.version == walk.trained.version
    assert len(forecast(DATASET, model="challenger").issued) == 0
    start, end = trained.plan.periods.held_out
    assert len(forecast(DATASET, model="challenger", hindcast_start=start, hindcast_end=end).issued) == 0
    verify(DATASET, kind="hindcasts")
    assert home.skill_csv(DATASET).read_bytes() == table


def test_what_is_refused_is_not_tried_again(server: None, home: Home, tmp_path: Path) -> None:
    from flows.ingest import ingest

    start = time.monotonic()
    with pytest.raises(SourceError):
        ingest("elsewhere", source=str(tmp_path / "none" / "*.nc"))
    assert time.monotonic() - start < 10  # the first retry would wait for 10 s
    assert not home.dataset("elsewhere").exists()


def test_settings_are_refused_with_every_reason(server: None, home: Home) -> None:
    from flows.train import train

    with pytest.raises(ConfigError) as refused:
        train(DATASET, settings={"epoch": 3, "batch_size": 0})
    assert "epoch: Extra inputs are not permitted, got 3" in str(refused.value)
    assert "batch_size" in str(refused.value)


def test_flows_refuse_parameters_that_contradict(server: None, home: Home) -> None:
    from flows.forecast import forecast
    from flows.promote import promote

    with pytest.raises(ConfigError, match="leave out version and gate, or rollback"):
        promote(DATASET, version=1, rollback=True)
    with pytest.raises(ConfigError, match="give both, or none"):
        forecast(DATASET, hindcast_start="2020-01-01")


def test_one_writer_holds_the_place_only_in_runs_of_a_deployment(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.prefect_tools.limits import one_writer

    name = f"set{uuid4().hex[:8]}"
    with get_client(sync_client=True) as client:
        with one_writer(name, "archive"), pytest.raises(ObjectNotFound):
            client.read_global_concurrency_limit_by_name(f"{name}-archive")
        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))
        for _ in range(2):
            with one_writer(name, "archive"):
                limit = client.read_global_concurrency_limit_by_name(f"{name}-archive")
                assert (limit.limit, limit.active_slots) == (1, 1)
        assert client.read_global_concurrency_limit_by_name(f"{name}-archive").active_slots == 0


# --- with processes ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_on_files_ends_with_the_path_of_the_table(tmp_path: Path) -> None:
    source = str(write_source(tmp_path / "source"))
    command = [sys.executable, "-m", "flows.commands.demo", "--source", source, "--name", "mine"]
    command += ["--frames-in", "6", "--frames-out", "3", "--epochs", "1"]
    environment = {**os.environ, "SIMVP_HOME": str(tmp_path / "home")}
    tables = []
    for _ in range(2):
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(tmp_path / "home" / "mine" / "skill.csv")
        tables.append((tmp_path / "home" / "mine" / "skill.csv").read_bytes())
    assert "nothing was trained again" in done.stdout
    assert tables[0] == tables[1]
    missing = [*command[:4], str(tmp_path / "nothing.nc")]
    done = subprocess.run(missing, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "nothing.nc" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
def test_up_serves_a_second_terminal_and_leaves_no_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ports = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    environment = {**os.environ, **ports, "SIMVP_HOME": str(home.path)}
    source = str(write_source(tmp_path / "source", days=2))
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "flows.local.up"], cwd=CHECKOUT, env=environment, stdout=log, stderr=log
        )
    family: list[psutil.Process] = []
    try:
        end = time.monotonic() + 240
        while "Worker 'local' started" not in (tmp_path / "up.log").read_text():
            assert up.poll() is None, (tmp_path / "up.log").read_text()
            assert time.monotonic() < end
            time.sleep(1)
        addresses = running(home)
        assert addresses == Addresses.from_environment(ports)
        second = {
            **os.environ,
            "PREFECT_API_URL": addresses.prefect_api,
            "PREFECT_HOME": str(home.prefect),
        }
        run = [sys.executable, "-m", "prefect", "deployment", "run", "ingest/daily", "--watch"]
        run += ["--param", f"dataset={DATASET}", "--param", f"source={source}"]
        done = subprocess.run(run, cwd=CHECKOUT, env=second, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Completed" in done.stdout
        assert xr.open_zarr(home.archive(DATASET)).sizes["time"] == 48
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 3
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    assert up.returncode == 0
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert running(home) is None
    assert {path.name for path in tmp_path.iterdir()} == {"home", "up.log", "source"}
