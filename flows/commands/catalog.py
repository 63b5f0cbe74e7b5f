"""`make catalog`: every data set in one table, or one of them whole."""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.listing import Entry, entries, find_entry, found
from datasets.video import DATA_VARIABLE
from simvp.errors import Refusal

NOTES = """\
periods, derived: as the archive and its step suggest, unless they are given at training.
clips of the paper: those of validation are taken out of the training part here.
here: where it says no, the files belong into that folder of the directory that {variable} names ({given}).
One of them whole: make catalog NAME=..."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the catalogue; 2 after a refusal, whose text goes to the error output."""
    parser = argparse.ArgumentParser(prog="make catalog", allow_abbrev=False)
    parser.add_argument("--name", default="", help="one data set, whole, with what is found of it here")
    name = parser.parse_args(arguments).name
    console = Console(highlight=False)
    try:
        if name:
            _whole(find_entry(name), console)
        else:
            console.print(_table(entries()))
            console.print(NOTES.format(variable=DATA_VARIABLE, given=_given()), markup=False)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


def _table(rows: Sequence[Entry]) -> Table:
    """Narrow enough for 80 columns."""
    table = Table(box=SIMPLE_HEAD, show_lines=True, padding=0)
    table.add_column("data set", no_wrap=True)
    table.add_column("C x H x W\nT -> T'", no_wrap=True)
    table.add_column("clips of\nthe paper", no_wrap=True)
    table.add_column("licence\nfrom", min_width=18, overflow="fold")
    table.add_column("here", overflow="fold")
    for row in rows:
        table.add_row(
            Text.assemble((row.name, "bold"), f"\n{' and '.join(row.kinds)}"),
            f"{_shape(row)}\n{row.frames}",
            "\n".join(f"{part} {count}" for part, count in row.counts.items()) or "periods",
            Text(f"{row.licence}\n{_hosts(row.source)}"),
            Text(row.presence if row.presence != "no" else f"no: {row.folder}"),
        )
    return table


def _hosts(source: str) -> str:
    """The hosts of the addresses in a text; the text where it has none."""
    hosts = dict.fromkeys(re.findall(r"https?://(?:www\.)?([^/\s)]+)", source))
    return ", ".join(hosts) or source


def _whole(row: Entry, console: Console) -> None:
    """One data set; what is found of it is read last, for that may be refused."""
    into = "the directory" if row.folder == "./" else f"the folder {row.folder} of the directory"
    lines = {
        row.name: row.title,
        "kind": " and ".join(row.kinds),
        "C x H x W": _shape(row),
        "T -> T'": row.frames,
        **{str(part): text for part, text in row.splits.items()},
        "in the paper": ", ".join(f"{part} {count}" for part, count in row.counts.items()),
        "licence": row.licence,
        "from": row.source,
        "files": row.files and f"{row.files}; in {into} that {DATA_VARIABLE} names ({_given()})",
        "here": row.presence,
    }
    _print(lines, console)
    if row.presence != "no":
        for name, text in found(row):
            _print({f"found: {name}": text}, console)


def _print(lines: Mapping[str, str], console: Console) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, width=20)
    table.add_column(overflow="fold")
    for name, text in lines.items():
        if text:
            table.add_row(name, Text(text))
    console.print(table)


def _shape(row: Entry) -> str:
    return " x ".join(map(str, row.shape))


def _given() -> str:
    return os.environ.get(DATA_VARIABLE) or "not set"


if __name__ == "__main__":
    sys.exit(main())
