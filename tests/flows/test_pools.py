"""The pools' templates against Prefect's own schemas, and what its workers make of them; no container is started."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
import yaml

from flows.local.services import POOLS
from tests.conftest import CHECKOUT

TYPES = {"process": "prefect", "docker": "prefect-docker", "kubernetes": "prefect-kubernetes"}
SITE = {
    "MLFLOW_TRACKING_URI": "http://tracking.example:5000",
    "SIMVP_STORE": "s3://fields/simvp",
    "SIMVP_DASK": "tcp://scheduler.example:8786",
    "AWS_SECRET_ACCESS_KEY": "not-for-prefect",
}


def template(kind: str) -> dict[str, Any]:
    return json.loads((POOLS / f"{kind}.json").read_text())


def published(kind: str) -> dict[str, Any]:
    """What Prefect itself makes of a pool of a type, as its server hands it out for workers that are not installed."""
    import prefect.server.api

    path = Path(prefect.server.api.__file__).parent / "collections_data/views/aggregate-worker-metadata.json"
    return json.loads(path.read_text())[TYPES[kind]][kind]["default_base_job_configuration"]


def defaults(kind: str) -> dict[str, Any]:
    properties = template(kind)["variables"]["properties"]
    return {name: entry["default"] for name, entry in properties.items() if "default" in entry}


def rendered(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """The job as a worker of the pool fills it in, before it hands it to its engine."""
    from prefect.workers.base import BaseJobConfiguration

    class Job(BaseJobConfiguration, extra="allow"):
        pass

    made = asyncio.run(Job.from_template_and_values(template(kind), values, client=object()))  # type: ignore[arg-type]
    return made.model_dump()


def test_there_is_a_template_for_every_type_and_for_no_other() -> None:
    assert {path.stem for path in POOLS.glob("*.json")} == set(TYPES)


@pytest.mark.parametrize("kind", TYPES)
def test_a_template_is_what_prefect_takes(kind: str) -> None:
    from prefect.server.schemas.actions import WorkPoolCreate

    own, theirs = template(kind), published(kind)
    WorkPoolCreate(name=kind, type=kind, base_job_template=own)  # every placeholder is a variable
    jsonschema.Draft202012Validator.check_schema(own["variables"])
    jsonschema.validate(defaults(kind), own["variables"])
    # Nothing that the worker does not know: it would be passed over without a word.
    assert set(own["job_configuration"]) <= set(theirs["job_configuration"])
    for name, entry in own["variables"]["properties"].items():
        assert len(entry.get("description", "")) > 5, name
        known = theirs["variables"]["properties"].get(name)
        if known is not None:
            assert entry["type"] == known["type"], name
            jsonschema.validate({name: entry.get("default")} if "default" in entry else {}, theirs["variables"])
    assert (kind, set(own["variables"]["properties"]) - set(theirs["variables"]["properties"])) in (
        ("process", set()),
        ("docker", {"$MLFLOW_TRACKING_URI", "$SIMVP_DASK", "$SIMVP_STORE"}),
        ("kubernetes", set()),
    )


# What a run could use to start something else than the flow, or elsewhere, or with other people's secrets.
POWERS = {
    *("command", "env", "image", "working_dir", "volumes", "network_mode", "privileged", "container_create_kwargs"),
    *(
        "job_manifest",
        "namespace",
        "service_account_name",
        "secret",
        "home_claim",
        "image_pull_policy",
        "registry_credentials",
    ),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_run_chooses_no_command_image_variables_or_mounts(kind: str) -> None:
    own = template(kind)
    assert not POWERS & set(own["variables"]["properties"])
    for name in POWERS:
        assert f"{{{{ {name} }}}}" not in json.dumps(own["job_configuration"])
        # What Prefect's server asks before it takes a run or a deployment.
        with pytest.raises(jsonschema.ValidationError, match="Additional properties are not allowed"):
            jsonschema.validate({name: "x"}, own["variables"])
    asked = {name: {"PATH": "/tmp"} if name == "job_manifest" else "else" for name in POWERS - {"env"}}
    assert rendered(kind, asked) == rendered(kind, {})


@pytest.mark.parametrize("name", ["$MLFLOW_TRACKING_URI", "$SIMVP_DASK", "$SIMVP_STORE"])
def test_a_run_does_not_say_where_models_and_stores_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name[1:], "of the worker")
    assert rendered("docker", {name: "of the run"})["env"][name[1:]] == "of the worker"
    with pytest.raises(jsonschema.ValidationError, match="expected to be empty"):
        jsonschema.validate({name: "of the run"}, template("docker")["variables"])


def test_a_process_runs_in_the_worker_s_folder_and_nobody_else_chooses_the_command() -> None:
    asked = {"command": "rm -rf /", "working_dir": "/", "env": {"PATH": "/tmp"}, "image": "else", "name": "a"}
    job = rendered("process", asked)
    assert (job["command"], job["working_dir"], job["env"]) == ("python -m prefect.engine", ".", {})


def test_the_process_worker_takes_its_template() -> None:
    from prefect.workers.process import ProcessJobConfiguration

    job = asyncio.run(ProcessJobConfiguration.from_template_and_values(template("process"), {}, client=object()))  # type: ignore[arg-type]
    assert job.command == "python -m prefect.engine"
    assert job.working_dir == Path()


def test_a_container_gets_image_home_and_addresses_of_the_worker_s_own_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SITE.items():
        monkeypatch.setenv(name, value)
    job = rendered("docker", {})
    assert job["volumes"] == ["simvp-home:/var/lib/simvp"]
    assert job["env"]["SIMVP_HOME"] == "/var/lib/simvp"
    assert job["env"]["MLFLOW_TRACKING_URI"] == SITE["MLFLOW_TRACKING_URI"]
    assert job["env"]["SIMVP_STORE"] == SITE["SIMVP_STORE"]
    assert job["env"]["SIMVP_DASK"] == SITE["SIMVP_DASK"]
    assert "not-for-prefect" not in json.dumps(job, default=str)
    assert job["command"] is None  # Prefect's own
    assert job["image"] == "simvp:latest"


def test_what_a_worker_does_not_have_is_empty_in_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SITE:
        monkeypatch.delenv(name, raising=False)
    environment = rendered("docker", {})["env"]
    assert (environment["MLFLOW_TRACKING_URI"], environment["SIMVP_STORE"]) == ("", "")


def test_a_job_of_kubernetes_is_a_pod_without_root_and_secrets_pass_prefect_by(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SITE.items():
        monkeypatch.setenv(name, value)
    job = rendered("kubernetes", {"memory_request": "4Gi", "cpu_request": "2"})
    manifest = job["job_manifest"]
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert manifest["metadata"]["namespace"] == "simvp"
    assert manifest["spec"]["ttlSecondsAfterFinished"] == 86400
    assert container["image"] == "simvp:latest"
    assert job["env"]["SIMVP_HOME"] == "/var/lib/simvp"
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {}}
    assert container["envFrom"] == [{"secretRef": {"name": "simvp", "optional": True}}]
    assert pod["volumes"] == [{"name": "home", "persistentVolumeClaim": {"claimName": "simvp-home"}}]
    assert container["volumeMounts"] == [{"name": "home", "mountPath": "/var/lib/simvp"}]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for value in SITE.values():  # what stands in the job itself would come before what the secret says
        assert value not in json.dumps(manifest)


def flow_run() -> Any:
    from prefect.client.schemas.objects import FlowRun

    return FlowRun(flow_id=uuid4(), name="a-run")


def test_the_docker_worker_takes_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = pytest.importorskip("prefect_docker.worker", reason="prefect-docker is not installed")
    monkeypatch.setenv("SIMVP_STORE", SITE["SIMVP_STORE"])
    job = asyncio.run(
        worker.DockerWorkerJobConfiguration.from_template_and_values(template("docker"), {}, client=object())
    )
    job.prepare_for_flow_run(flow_run())
    assert job.command == "prefect flow-run execute"
    assert (job.image, job.network_mode, job.auto_remove) == ("simvp:latest", "host", True)
    assert job.env["SIMVP_STORE"] == SITE["SIMVP_STORE"]
    assert job.env["PREFECT_HOME"] == "/var/lib/simvp/prefect"


def test_the_kubernetes_worker_takes_its_template() -> None:
    worker = pytest.importorskip("prefect_kubernetes.worker", reason="prefect-kubernetes is not installed")
    job = asyncio.run(
        worker.KubernetesWorkerJobConfiguration.from_template_and_values(template("kubernetes"), {}, client=object())
    )
    job.prepare_for_flow_run(flow_run())
    (container,) = job.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert {"name": "SIMVP_HOME", "value": "/var/lib/simvp"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "simvp", "optional": True}}]


@pytest.mark.slow
def test_one_declaration_serves_every_pool(server: None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.settings import get_current_settings

    with get_client(sync_client=True) as client:
        client.create_work_pool(
            WorkPoolCreate(name="cluster", type="kubernetes", base_job_template=template("kubernetes"))
        )
        environment = {
            **os.environ,
            **get_current_settings().to_environment_variables(exclude_unset=True),
            "PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": "cluster",
        }
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        made = client.read_deployments()
        answer = client.request("POST", "/automations/filter", json={})
    automations = {one["name"]: one for one in answer.json()}
    own = automations["train when skill is gone"]
    assert own["enabled"] is False
    (action,) = own["actions"]
    assert action["parameters"] == {"dataset": "{{ event.payload.dataset }}"}
    assert action["deployment_id"] in {str(one.id) for one in made if one.entrypoint == "flows.train.train"}
    declared = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    assert sorted(one.entrypoint for one in made) == sorted(one["entrypoint"] for one in declared)
    for one in made:
        assert one.work_pool_name == "cluster"
        assert not one.pull_steps  # the code is in the image
        assert one.job_variables == {}
        assert one.path is None
