"""Drift on Prefect's side: a message, an artifact, an event for each alarm, and a training that follows from it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from flows.local.schedules import scheduled
from pipelines.drift.report import Drift, Finding
from pipelines.home import Home
from tests.conftest import CHECKOUT

TEXT = '[ingest]\nsource = "gone/*.nc"\n[schedule]\ntrain_when_skill_is_gone = true\n'


def alarm(test: str = "skill", version: str = "simvp-gone/1") -> Finding:
    return Finding(
        test=test,  # type: ignore[arg-type]
        variable="t2m",
        horizon="12h",
        version=version,
        begin="2024-03-01",
        found="2024-03-17",
        words=f"t2m 12h {test}: gone",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    return Home.default()


def found_by(monkeypatch: pytest.MonkeyPatch, *findings: Finding, dataset: str = "gone") -> None:
    drift = Drift(dataset=dataset, findings=findings, tests=5, days=40)
    monkeypatch.setattr("flows.prefect_tools.drift._find", lambda name, **options: drift)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr("flows.prefect_tools.drift.emit_event", lambda **event: events.append(event))
    return events


def test_an_alarm_is_sent_once_for_each_model(
    home: Home, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.prefect_tools.drift import _send

    drift = Drift(dataset="gone", findings=(alarm(), alarm("level")), tests=5)
    for _ in range(2):
        _send(drift)
    assert [event["event"] for event in sent] == ["simvp.drift.skill", "simvp.drift.level"]
    assert sent[0]["resource"]["prefect.resource.id"] == "simvp.dataset.gone"
    assert sent[0]["payload"]["dataset"] == "gone"
    assert sent[0]["payload"]["key"] == "skill/t2m/12h/simvp-gone/1"
    _send(Drift(dataset="gone", findings=(alarm(version="simvp-gone/2"),), tests=5))
    assert [event["payload"]["version"] for event in sent] == ["simvp-gone/1", "simvp-gone/1", "simvp-gone/2"]
    kept = json.loads((home.dataset("gone") / "drift-sent.json").read_text())
    assert kept == ["level/t2m/12h/simvp-gone/1", "skill/t2m/12h/simvp-gone/1", "skill/t2m/12h/simvp-gone/2"]


def test_what_could_not_be_sent_is_sent_by_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.prefect_tools.drift import _send

    def cut_off(**event: Any) -> None:
        raise KeyboardInterrupt

    drift = Drift(dataset="gone", findings=(alarm(),), tests=5)
    monkeypatch.setattr("flows.prefect_tools.drift.emit_event", cut_off)
    with pytest.raises(KeyboardInterrupt):
        _send(drift)
    again: list[Any] = []
    monkeypatch.setattr("flows.prefect_tools.drift.emit_event", lambda **event: again.append(event))
    _send(drift)
    assert len(again) == 1


def test_only_who_asks_gets_the_automation(tmp_path: Path) -> None:
    (tmp_path / "gone.toml").write_text(TEXT)
    (tmp_path / "calm.toml").write_text('[ingest]\nsource = "calm/*.nc"\n')
    made = {(one["entrypoint"], one["name"]): one["triggers"] for one in scheduled(tmp_path)}
    (trigger,) = made.pop(("flows.train.train", "gone"))
    assert trigger["expect"] == ["simvp.drift.skill"]
    assert trigger["match"] == {"prefect.resource.id": "simvp.dataset.gone"}
    assert all(triggers == [] for triggers in made.values())
    shipped = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    (own,) = [one["triggers"] for one in shipped if "triggers" in one]
    assert [one["enabled"] for one in own] == [False]


def test_the_state_of_a_flow_says_what_is_to_be_looked_at(
    server: None, home: Home, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.verify as module

    found_by(monkeypatch, alarm(), alarm("coverage"))
    monkeypatch.setattr(module, "horizons", lambda *arguments: ["12h"])
    report = type("Report", (), {"summary": "scored", "horizon": "12h", "pictures": (), "table": lambda self: ""})()
    monkeypatch.setattr(module, "_score", lambda *arguments, **named: report)
    monkeypatch.setattr(module, "status", lambda *arguments: type("S", (), {"markdown": lambda self: "fine"})())
    state = module.verify("gone", return_state=True)
    assert state.is_completed()
    assert state.message == "t2m 12h skill: gone\nt2m 12h coverage: gone"
    assert state.result() == [report]
    assert module.verify("gone") == [report]
    assert len(sent) == 2


def until(true: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return found


def automation(shipped: dict[str, Any], deployment: UUID) -> Any:
    """As `prefect deploy` makes it of what a deployment's file says."""
    from prefect.cli.deploy._triggers import _initialize_deployment_triggers

    (trigger,) = _initialize_deployment_triggers("train", [shipped])
    trigger.set_deployment_id(deployment)
    return trigger.as_automation()


def test_an_alarm_makes_prefect_train_once(
    server: None, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event of the flow, the automations that are shipped, and the run that Prefect's server makes of them."""
    from prefect.client.orchestration import get_client

    from flows.prefect_tools.drift import _send

    (tmp_path / "gone.toml").write_text(TEXT)
    described = next(one["triggers"][0] for one in scheduled(tmp_path) if one["triggers"])
    shipped = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    own = {**next(one["triggers"][0] for one in shipped if "triggers" in one), "enabled": True}
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("train")
        made = {
            "gone": client.create_deployment(flow_id=flow, name="gone", parameters={"dataset": "gone"}),
            "weekly": client.create_deployment(flow_id=flow, name="weekly", parameters={"dataset": "other"}),
        }
        for name, trigger in (("gone", described), ("weekly", own)):
            record = automation(dict(trigger), made[name]).model_dump(mode="json", exclude_unset=True)
            client.request("POST", "/automations/", json=record).raise_for_status()

        def runs(name: str) -> list[Any]:
            return [run for run in client.read_flow_runs() if run.deployment_id == made[name]]

        _send(Drift(dataset="elsewhere", findings=(alarm("level"),), tests=5))  # no skill, and another data set
        for _ in range(2):
            _send(Drift(dataset="gone", findings=(alarm(), alarm("level")), tests=5))
        (run,) = until(lambda: runs("gone"), 60)
        (other,) = until(lambda: runs("weekly"), 60)
        time.sleep(3)
        assert len(runs("gone")) == len(runs("weekly")) == 1
        assert run.parameters == other.parameters == {"dataset": "gone"}
