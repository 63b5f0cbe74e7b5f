"""`simvp status`: where every data set stands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.commands.options import described, print_json
from flows.commands.stages import refuse_unknown
from pipelines.home import Home
from simvp.cli import Json
from simvp.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.status import Status


def status(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One data set, as rain.",
            show_default="all that this home has, or this folder describes",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the last frame, the last forecast, what is due, the champion, skill of 30 days, disk use and warnings.

    The bars are the model's RMSE over that of the best baseline, oldest first: half of it is the lowest bar, one and a
    half times it the highest. Nothing is written.

    Examples: simvp status; simvp status rain; simvp status --json
    """
    from pipelines.description import described_in

    home = Home.default()
    names = [name] if name else sorted({*home.datasets, *(path.stem for path in described_in(Path.cwd()))})
    if not names:
        reason = f"no data set has an archive in {home.store}, and no NAME.toml is in this folder"
        raise ConfigError("simvp status", [reason], "look at files: simvp init FILES NAME; or see simvp demo")
    found = [_found(home, one) for one in names]
    if as_json:
        print_json({"home": str(home.path), "datasets": [one.to_json() for one in found]})
        return
    console = Console(highlight=False)
    for one in found:
        console.print(table_of(one))


def _found(home: Home, name: str) -> "Status":
    from pipelines.status import status as stage

    dataset, description = described(name)
    refuse_unknown(home, dataset, description != type(description)())
    return stage(home, dataset, description)


def table_of(one: "Status") -> Table:
    """One data set; nothing in it is cut, at whatever width."""
    table = Table(title=one.dataset, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for what, words in one.rows:
        style = "yellow" if what == "warning" else ""
        table.add_row(Text("" if what == before else what, style), Text(words, style))
        before = what
    return table
