"""`simvp docs`: the documentation, built and opened."""

import subprocess
import sys
import webbrowser
from typing import Annotated

import typer

from pipelines.tracking import CHECKOUT
from simvp.errors import Refusal

BUILT = CHECKOUT / "docs" / "_build" / "html" / "index.html"


def docs(
    build: Annotated[bool, typer.Option("--build", help="Build it again first, although it is there.")] = False,
    browse: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False,
) -> None:
    """Build the documentation where it is not built yet, and say where it lies.

    Example: simvp docs --open
    """
    if build or not BUILT.is_file():
        command = [sys.executable, "-m", "sphinx", "-b", "html", "docs", "docs/_build/html"]
        done = subprocess.run(command, cwd=CHECKOUT, check=False)
        if done.returncode:
            raise Refusal("simvp docs", ["the documentation cannot be built; why is said above"], "make docs")
    print(BUILT)
    if browse:
        webbrowser.open(BUILT.as_uri())
