"""`simvp verify-archive`: whether everything that a data set has kept is whole; no server is needed."""

from typing import Annotated

import typer

from flows.commands.options import Quiet, described, working
from simvp.cli import Exit

DEFAULT = "simulated-weather"


def verify_archive(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The data set: a name, or the path of the file that describes it, as rain.toml."
        ),
    ] = DEFAULT,
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Make whole again what can be: frames from their sources, scores from forecasts."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Read archive, forecasts and scores of a data set whole, and say what is damaged.

    Ends with 1 where something is damaged. What was issued is never issued again.

    Examples: simvp verify-archive rain; simvp verify-archive rain --heal
    """
    from pipelines.verify_archive import verify_archive as stage

    dataset, _ = described(name)
    kept = "Nothing was healed by halves; the same command begins anew."
    with working(kept, quiet=quiet) as (home, console):
        with console.stage("verify-archive"):
            report = stage(home, dataset, heal=heal, progress=console.progress)
        console.rich.print(str(report), markup=False, soft_wrap=True)
        if not report.whole and not heal:
            console.rich.print("To mend what can be: the same with --heal.", markup=False)
    if not report.whole:
        raise typer.Exit(Exit.REFUSED)
