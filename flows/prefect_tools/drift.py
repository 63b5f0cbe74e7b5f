"""What is found of drift, as Prefect shows it: an artifact, the message of the state, and events for automations.

An event of an alarm is sent once, by the first run that finds it: `simvp.drift.skill`, `simvp.drift.level` and so on,
of the resource `simvp.dataset.<name>`. A model that is not replaced keeps its alarm, and no second event follows from
it; a new one is tested anew. Which were sent lies beside what was found. It is written after they are: a run that is
killed between sends them again, and none is lost.
"""

import json
from typing import TypeVar, cast

from prefect import get_run_logger
from prefect.events import emit_event
from prefect.states import Completed

from datasets.store import disk
from flows.prefect_tools import artifacts
from flows.prefect_tools.stage_task import stage_task
from pipelines.drift import Drift, drift as stage
from pipelines.home import Home

__all__ = ["find_drift", "warned"]

R = TypeVar("R")
RESOURCE = "simvp.dataset."

_find = stage_task("drift", stage)


def find_drift(dataset: str, *, once_a_day: bool = False, draw: bool = False) -> Drift:
    """Look for drift of a data set, and tell Prefect of it."""
    found = _find(dataset, once_a_day=once_a_day, draw=draw)
    get_run_logger().info("%s", found.summary or "Drift: nothing to compare yet")
    artifacts.summary("drift", dataset, [found.summary or "Nothing to compare yet."])
    if found.picture:
        artifacts.picture("drift-evidence", dataset, found.picture)
    _send(found)
    return found


def warned(result: R, found: Drift | None) -> R:
    """The result of a flow, whose state says what is to be looked at; who calls it from Python gets the result."""
    if found is None or not found.warnings:
        return result
    return cast(R, Completed(message="\n".join(found.warnings), data=result))


def _send(found: Drift) -> None:
    place = Home.default().drift(found.dataset).with_name("drift-sent.json")
    try:
        sent = set(json.loads(place.read_bytes()))
    except (FileNotFoundError, ValueError):
        sent = set[str]()
    new = [finding for finding in found.findings if finding.key not in sent]
    for finding in new:
        emit_event(
            event=f"simvp.drift.{finding.test}",
            resource={
                "prefect.resource.id": RESOURCE + found.dataset,
                "prefect.resource.name": found.dataset,
                "simvp.dataset": found.dataset,
            },
            payload={"dataset": found.dataset, **vars(finding), "key": finding.key},
        )
    if new:
        keys = sorted({*sent, *(finding.key for finding in new)})
        disk.write(place, json.dumps(keys, indent=1).encode())
