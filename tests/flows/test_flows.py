"""The flows, with a real Prefect server and a real MLflow database, on a small world."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.home import Home
from simvp.errors import ConfigError, SourceError
from tests.conftest import CHECKOUT
from tests.support.files.repositories import plain
from tests.support.small_home import write_source

DATASET = "walk"

DEPLOYMENTS = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
FLOWS = ("ingest", "train", "promote", "forecast", "verify")


# --- what needs no server ---------------------------------------------------------------------------------------------


def load(entrypoint: str) -> Any:
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(entrypoint)


def test_deployments_are_the_seven_with_schedules_that_are_off() -> None:
    names = {f"{load(one['entrypoint']).name}/{one['name']}" for one in DEPLOYMENTS}
    daily = {"ingest/daily", "forecast/daily", "verify/daily"}
    assert names == daily | {"train/weekly", "verify-archive/weekly", "promote/manual", "benchmark/manual"}
    for one in DEPLOYMENTS:
        # A file as entrypoint would put flows/ first on the path, where flows/ingest.py hides other modules.
        assert re.fullmatch(r"flows\.([a-z_]+)\.\1", one["entrypoint"])
        assert "work_pool" not in one  # one declaration for every pool: tests/flows/test_pools.py
        schedules = one.get("schedules", [])
        assert bool(schedules) == (one["name"] != "manual")
        assert all(schedule["active"] is False for schedule in schedules)


@pytest.mark.parametrize("name", [*FLOWS, "verify_archive", "benchmark"])
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


def test_catch_up_is_the_default_of_the_stage() -> None:
    import inspect

    from flows.forecast import MAX_CATCH_UP
    from pipelines.forecast import forecast

    assert inspect.signature(forecast).parameters["max_catch_up"].default == MAX_CATCH_UP


def test_processes_of_a_training_reach_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    stage_settings: list[Any] = []

    def stage(config: Any) -> None:
        stage_settings.append(config)
        raise Stop

    flow = load("flows.train.train")
    monkeypatch.setattr("flows.train._train", stage)
    for parameters in ({"processes": 2}, {"settings": {"processes": 2}}, {}):
        with pytest.raises(Stop):
            flow.fn("world", **parameters)
    assert [config.processes for config in stage_settings] == [2, 2, 1]


# --- with a server ----------------------------------------------------------------------------------------------------


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


@pytest.mark.slow
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
        "variable,lead_hours,n,weighting,model,unmixed,base,persistence,seasonal_persistence,climatology,"
        "anomaly_persistence,damped_anomaly,version,mae,bias,acc,crps,coverage_90,width_90"
    )
    assert [line.split(",")[1] for line in lines] == ["1", "2", "3"]
    hours = plain(walk.issued.path).init_time.dt.hour.values
    assert list(hours) == [0, 6, 12, 18]  # of the last day: the hours that are issued by default


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
    second = ingest(DATASET)
    assert (second.commit, second.appended) == (walk.ingested.commit, 0)
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
    assert "epoch: no setting of that name (did you mean 'epochs'?), got 3" in str(refused.value)
    assert "batch_size: expected greater than or equal to 1, got 0" in str(refused.value)


def test_flows_refuse_parameters_that_contradict(server: None, home: Home) -> None:
    from flows.forecast import forecast
    from flows.promote import promote

    with pytest.raises(ConfigError, match="leave out version and gate, or rollback"):
        promote(DATASET, version=1, rollback=True)
    with pytest.raises(ConfigError, match="give both, or none"):
        forecast(DATASET, hindcast_start="2020-01-01")
