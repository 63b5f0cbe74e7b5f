"""What the commands of the checkout have in common: options, the file that describes a data set, how one ends."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from flows.local import StageConsole, Stop, stopped_by_signals
from pipelines.home import Home
from pipelines.machine import faults_in_words, refuse_unusable
from simvp.cli import Exit
from simvp.errors import ConfigError
from simvp.record import from_json, plain
from simvp.settings import Settings

if TYPE_CHECKING:
    from pipelines.description import Description

Section = TypeVar("Section", bound=Settings)

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The data set: a name, described by NAME.toml of the working folder where there "
        "is one; or the path of such a file, as rain.toml.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but refusals.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another setting of this stage than the file has, as epochs=3; several times for several.",
        show_default="none: what NAME.toml says, and what the stage has by default",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        envvar="SIMVP_DASK",
        help="Address of a dask scheduler whose workers do the work, as tcp://10.0.0.5:8786.",
        show_default="this process does it",
    ),
]


@contextmanager
def working(kept: str, *, quiet: bool = False, as_json: bool = False) -> Iterator[tuple[Home, StageConsole]]:
    """The home and the console of a command while its stages run.

    Beside JSON, what people see goes to the error output.

    Parameters
    ----------
    kept
        What a person who stops it is told of what is there then, and how to go on.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        with stopped_by_signals():
            home = Home.default()
            refuse_unusable(home)
            rich = Console(highlight=False, quiet=quiet, stderr=as_json)
            with StageConsole(rich) as console, faults_in_words(home):
                yield home, console
    except (Stop, KeyboardInterrupt):
        print(f"Stopped. {kept}", file=sys.stderr)
        raise typer.Exit(Exit.STOPPED) from None


def described(name: str) -> tuple[str, "Description"]:
    """Name of a data set and its description, by the file of the working folder."""
    # Records of all stages: they take longer to load than the help of a command to read.
    from pipelines.description import find_description

    return find_description(name, Path.cwd())


def changed(section: Section, words: Sequence[str] | None, title: str) -> Section:
    """Settings with those in their place that the command line states as NAME=VALUE."""
    changes = pairs(words or [], title)
    return section.replace(**changes) if changes else section


def pairs(words: Sequence[str], title: str) -> dict[str, Any]:
    """Settings by name, of words as "batch_size=8" or, several in one, "batch_size=8; kernels=[3, 5]".

    Raises
    ------
    ConfigError
        A word that is no pair.
    """
    found = {}
    for pair in filter(None, (part.strip() for word in words for part in word.split(";"))):
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise ConfigError(title, [f"expected pairs as batch_size=8 or kernels=[3, 5], got {pair!r}"])
        found[name.strip()] = value_of(value.strip())
    return found


def value_of(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them; anything else is a word."""
    try:
        return from_json(text)
    except ValueError:
        return text


def print_json(record: Any, **more: Any) -> None:
    """One JSON object: the fields of a report, and what else there is."""
    fields = asdict(record) if is_dataclass(record) and not isinstance(record, type) else dict(record)
    print(json.dumps(plain({**fields, **more}), default=str))
