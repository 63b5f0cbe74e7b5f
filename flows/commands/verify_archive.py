"""`make verify-archive`: whether everything that a data set has kept is whole; no server is needed."""

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from flows.local import StageConsole
from pipelines.home import Home
from pipelines.tracking import CHECKOUT
from pipelines.verify_archive import verify_archive
from simvp.errors import Refusal

DEFAULT = "simulated-weather"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 where everything is whole, 1 where something is damaged, 2 where it cannot be said."""
    os.chdir(CHECKOUT)
    parser = argparse.ArgumentParser(prog="make verify-archive", allow_abbrev=False)
    parser.add_argument("--name", default="")
    parser.add_argument("--data", default="")
    parser.add_argument("--heal", default="", choices=("", "yes", "no"))
    words = parser.parse_args(arguments)
    dataset, heal = words.name or words.data or DEFAULT, words.heal == "yes"
    try:
        with StageConsole(Console(highlight=False)) as console, console.stage("verify-archive"):
            report = verify_archive(Home.default(), dataset, heal=heal, progress=console.progress)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    console.rich.print(str(report), markup=False, soft_wrap=True)
    if not report.whole and not heal:
        console.rich.print("To mend what can be: the same with HEAL=yes.", markup=False)
    return 0 if report.whole else 1


if __name__ == "__main__":
    sys.exit(main())
