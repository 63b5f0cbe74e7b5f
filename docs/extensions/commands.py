"""The commands of `simvp`, as Typer's own help has them: ``command-list``, ``commands`` and ``exit-codes``."""

import re
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click
from typer.main import get_command

from simvp.cli import EXIT_CODES, MEANING, app

EXAMPLES = re.compile(r"^Examples?: (.+(?:\n.+)*)$", re.MULTILINE)


def setup(sphinx: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    sphinx.add_directive("command-list", CommandList)
    sphinx.add_directive("commands", Commands)
    sphinx.add_directive("exit-codes", ExitCodes)
    return {"parallel_read_safe": True, "version": "1"}


class CommandList(SphinxDirective):
    """A table of all commands; by itself, since MyST puts sections before all else that a directive gives."""

    def run(self) -> list[nodes.Node]:
        """One row for each command."""
        return self.parse_text_to_nodes(table())


class Commands(SphinxDirective):
    """Of each command a section: meaning, usage, arguments and options, examples."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        return self.parse_text_to_nodes(text(), allow_section_headings=True)


class ExitCodes(SphinxDirective):
    """A table of how commands end."""

    def run(self) -> list[nodes.Node]:
        """One row for each code."""
        rows = [f"| {code.value} | {words} |" for code, words in MEANING.items()]
        return self.parse_text_to_nodes("\n".join(["| code | meaning |", "| ---: | --- |", *rows]))


def named() -> dict[str, Any]:
    """Every command by its name, in the order of the help."""
    group: Any = get_command(app)
    context = typer.Context(group, info_name="simvp")
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def examples(command: Any) -> list[str]:
    """The lines of a command's help that show how it is typed."""
    found = EXAMPLES.search(command.help)
    return " ".join(found[1].split()).split("; ") if found else []


def table() -> str:
    """What each command does, in MyST."""
    rows = [f"| [`simvp {name}`](#simvp-{name}) | {_first(one.help)} |" for name, one in named().items()]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def text() -> str:
    """A section for each command, in MyST."""
    return "\n".join(_section(name, one) for name, one in named().items())


def _first(text: str) -> str:
    """The first sentence."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0].replace("\n", " ")


def _section(name: str, command: Any) -> str:
    """What Typer's own documentation says of a command, with its examples as they are typed."""
    context = typer.Context(command, info_name=f"simvp {name}")
    said = get_docs_for_click(obj=command, ctx=context, name=f"simvp {name}", indent=2).replace(EXIT_CODES, "")
    shown = "\n".join(f"$ {line}" for line in examples(command))
    # Typer's lists have two blanks and brackets before what else is to be said of an option.
    said = re.sub(r" <(?:str|path)>`", "`", said).replace("default: (", "default: ").replace(")]", "]")
    return EXAMPLES.sub(lambda _: f"```console\n{shown}\n```", said, count=1)
