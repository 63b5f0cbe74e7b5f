"""`simvp catalog`: every data set, gridded or video, in one table, or one of them whole."""

from typing import Annotated

import typer
from rich.console import Console

from flows.commands.options import print_json
from simvp.cli import Json


def catalog(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One data set, as nyc-taxi: whole, with what is found of it here.",
            show_default="all, in a table",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Print every data set that is known by name: shape, T and T', splits, licence, source, and whether it is here.

    Examples: simvp catalog; simvp catalog nyc-taxi; simvp catalog --json
    """
    from flows.commands.entries import entries, find_entry, show

    if as_json:
        print_json({"datasets": [vars(entry) for entry in ([find_entry(name)] if name else entries())]})
    else:
        show(name, Console(highlight=False))
