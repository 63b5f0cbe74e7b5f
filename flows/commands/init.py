"""`simvp init`: the first description of a data set, from a look at its files."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.store import disk
from pipelines.home import Home, slug
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal

if TYPE_CHECKING:
    from pipelines.description import Draft

SCHEMA = CHECKOUT / "docs" / "dataset.schema.json"


def init(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILES",
            help="The files: a path, a folder, a glob in quotes as 'rain/*.nc', or a URL; NetCDF, GRIB or Zarr.",
            show_default="needed, but for --schema",
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the data set, as rain-2km: lower case letters, digits, '.', '_' and '-'.",
            show_default="made from FILES",
        ),
    ] = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the file instead, for editors, and end.")
    ] = False,
) -> None:
    """Look at files, and write what is seen into NAME.toml, from which the other commands take it.

    What cannot be seen (units that the files do not state, one level of many, the step of a single frame) is asked for
    in a terminal; elsewhere it stands in the file as a line that begins with #?, which the next command names.

    Examples: simvp init '/data/rain/*.nc' rain; simvp init --schema
    """
    if schema:
        print(schema_text(), end="")
        return
    if not source:
        raise typer.BadParameter("expected the files of the data set", param_hint="FILES")
    name = name or slug(Path(source.rstrip("/*")).stem)
    Home.default().dataset(name)  # refuses what is no name
    path = Path(f"{name}.toml")
    if path.exists():
        raise ConfigError(str(path), ["it is there already"], "change it by hand, or move it away first")
    from pipelines.description import draft_of

    draft = draft_of(source)
    if sys.stdin.isatty() and sys.stdout.isatty():
        draft = _asked(draft)
    disk.write(path, draft.text(name, SCHEMA.as_uri()).encode())
    for what, words in draft.seen.items():
        print(f"{what:<10}{words}")
    print(f"{path} is written.")
    for key, question in draft.questions.items():
        print(f"Still to be answered in it: {key}: {question}")
    if not draft.questions:
        print(f"Next: simvp ingest {name}")


def schema_text() -> str:
    """The JSON schema of a description, as docs/dataset.schema.json has it."""
    from pipelines.description import Description

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Description.model_json_schema()}
    return json.dumps(schema, indent=1) + "\n"


def _asked(draft: "Draft") -> "Draft":
    """With what a person answers; an empty answer leaves a question for later."""
    left: set[str] = set()
    while waiting := [key for key in draft.questions if key not in left]:
        key = waiting[0]
        answer = input(f"{draft.questions[key]}\n{key} = ").strip()
        if not answer:
            left.add(key)
            continue
        try:
            draft = draft.answered(key, answer)
        except Refusal as refusal:
            print(refusal)
    return draft
