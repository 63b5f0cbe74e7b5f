"""Deployments of the data sets that NAME.toml files describe: each stage, with its schedule where there is one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.store import disk

if TYPE_CHECKING:
    from pipelines.description import Description

__all__ = ["scheduled", "write_deployments"]

ENTRYPOINTS = {stage: f"flows.{stage}.{stage}" for stage in ("ingest", "train", "promote", "forecast", "verify")}


def scheduled(folder: Path) -> list[dict[str, Any]]:
    """Deployments of the data sets described in a folder, as prefect.yaml has them: `<stage>/<data set>`.

    Raises
    ------
    ConfigError
        A description that is wrong, or has questions left.
    """
    from pipelines.description import described_in, read_description

    return [one for path in described_in(folder) for one in _deployments(path.stem, read_description(path))]


def write_deployments(deployments: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write them as Prefect reads them: JSON is YAML too."""
    disk.write(path, json.dumps({"pull": [], "deployments": list(deployments)}, indent=1).encode(), private=True)


def _deployments(dataset: str, description: "Description") -> list[dict[str, Any]]:
    scores = description.scores.model_dump(mode="json")
    parameters: Mapping[str, dict[str, Any]] = {
        "ingest": description.ingest.model_dump(mode="json", exclude_none=True),
        "train": {"settings": description.train.model_dump(mode="json", exclude_unset=True)},
        "promote": {"gate": description.promote.model_dump(mode="json"), **scores},
        "forecast": description.forecast.model_dump(mode="json", exclude_none=True),
        "verify": scores,
    }
    times = description.schedule
    return [
        {
            "name": dataset,
            "entrypoint": ENTRYPOINTS[stage],
            "description": f"{stage.capitalize()} of {dataset}, as {dataset}.toml says.",
            "tags": ["simvp"],
            "parameters": {"dataset": dataset, **parameters[stage]},
            # An empty list takes away a schedule that the file had before.
            "schedules": [
                {"cron": cron, "timezone": "UTC", "active": True} for cron in [getattr(times, stage)] if cron
            ],
            # So does an empty list with an automation.
            "triggers": [_when_skill_is_gone(dataset)] if stage == "train" and times.train_when_skill_is_gone else [],
        }
        for stage in ENTRYPOINTS
    ]


def _when_skill_is_gone(dataset: str) -> dict[str, Any]:
    """The automation that runs a deployment once for each alarm: see `flows.prefect_tools.drift`."""
    return {
        "name": f"train {dataset} when its skill is gone",
        "match": {"prefect.resource.id": f"simvp.dataset.{dataset}"},
        "expect": ["simvp.drift.skill"],
    }
