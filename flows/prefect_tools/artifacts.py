"""What a flow run leaves on its page: tables, pictures, text, and a link to the MLflow run."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import prefect.artifacts

from simvp.settings import shown_address

__all__ = ["mlflow_run", "picture", "summary", "table"]


def _key(what: str, dataset: str) -> str:
    """Prefect allows lower case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what}-{dataset}").strip("-")


def _cell(value: Any) -> Any:
    """A value as JSON takes it: no NaN, no type of its own, no more digits than one reads."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    return value if isinstance(value, int | str | bool | None) else str(value)


def table(what: str, dataset: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table; every run adds a version under the same key, so that the UI shows its history."""
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    prefect.artifacts.create_table_artifact(table=cells, key=_key(what, dataset), description=description)


def summary(what: str, dataset: str, lines: Sequence[str]) -> None:
    """A few lines of markdown."""
    prefect.artifacts.create_markdown_artifact(markdown="\n\n".join(lines), key=_key(what, dataset))


def picture(what: str, dataset: str, path: Path) -> None:
    """A PNG file, inside the artifact, since the UI reads no files."""
    url = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    prefect.artifacts.create_image_artifact(image_url=url, key=_key(what, dataset), description=path.name)


def mlflow_run(dataset: str, tracking_uri: str, experiment_id: str, run_id: str) -> None:
    """The MLflow run: a link where a server shows it, else the database and the id."""
    address = shown_address(tracking_uri)
    if address.startswith("http"):
        link, text = f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}", f"MLflow run {run_id}"
        prefect.artifacts.create_link_artifact(link=link, link_text=text, key=_key("mlflow-run", dataset))
    else:
        summary("mlflow-run", dataset, [f"MLflow run `{run_id}` in `{address}`", "`make up` shows it."])
