"""Deployments of data sets that files describe: their flows take the parameters, and Prefect can read the file."""

from pathlib import Path

import pytest
import yaml

from flows.local.schedules import scheduled, write_deployments
from simvp.errors import ConfigError

TEXT = """
[ingest]
source = "rain/*.nc"
units.rain = "mm"
[train]
frames_in = 6
size = "none"
[promote]
margin = 0.1
[scores]
thresholds = {rain = [1, 5]}
[forecast]
init_hours = [0, 12]
[schedule]
ingest = "0 5 * * *"
train = "0 8 * * 0"
promote = "30 8 * * 0"
forecast = "0 6 * * *"
verify = "0 7 * * *"
"""


def test_every_stage_of_a_described_data_set_gets_a_deployment_that_its_flow_takes(tmp_path: Path) -> None:
    from prefect.flows import load_flow_from_entrypoint

    (tmp_path / "rain.toml").write_text(TEXT)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    (tmp_path / "wind.toml").write_text('[ingest]\nsource = "wind/*.nc"\n')
    every = scheduled(tmp_path)
    stages = ["ingest", "train", "promote", "forecast", "verify"]
    assert [(one["entrypoint"].split(".")[1], one["name"]) for one in every] == [
        (stage, name) for name in ("rain", "wind") for stage in stages
    ]
    assert [one["schedules"] for one in every if one["name"] == "wind"] == [[]] * 5
    found = {one["entrypoint"].split(".")[1]: one for one in every if one["name"] == "rain"}
    for one in found.values():
        assert one["name"] == one["parameters"]["dataset"] == "rain"
        load_flow_from_entrypoint(one["entrypoint"]).validate_parameters(one["parameters"])
    assert found["ingest"]["parameters"]["source"] == str(tmp_path / "rain" / "*.nc")
    assert found["train"]["parameters"]["settings"] == {"frames_in": 6, "size": "none"}
    for stage in ("promote", "verify"):
        assert found[stage]["parameters"]["thresholds"] == {"rain": [1.0, 5.0]}
    assert found["forecast"]["parameters"]["init_hours"] == [0, 12]
    assert found["verify"]["schedules"] == [{"cron": "0 7 * * *", "timezone": "UTC", "active": True}]
    write_deployments(list(found.values()), tmp_path / "described.yaml")
    assert yaml.safe_load((tmp_path / "described.yaml").read_text())["deployments"] == list(found.values())


def test_a_description_that_is_wrong_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "rain.toml").write_text('[ingest]\n#? step = ""  # the step\n')
    with pytest.raises(ConfigError, match=r"rain.toml: line 2: step"):
        scheduled(tmp_path)


def test_prefect_makes_the_runs_of_a_schedule(server: None) -> None:
    """By the same query as its scheduler, which fails in the log of the server alone, and nothing ever runs."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 5 * * *", timezone="UTC"), active=True)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("ingest")
        deployment = client.create_deployment(flow_id=flow, name="rain", schedules=[schedule])
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={}).raise_for_status()
        runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment]
    times = sorted(run.expected_start_time for run in runs if run.expected_start_time)
    assert len(times) > 1
    assert {(time.hour, time.minute) for time in times} == {(5, 0)}
    assert all(run.state is not None and run.state.is_scheduled() for run in runs)
