"""The entries of the catalogue: every data set, gridded or video, and how a terminal shows them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.archive import shown
from datasets.benchmarks import BENCHMARKS, find_benchmark
from datasets.catalog import DEFAULT, SOURCES, NamedSource, SimulatedSource
from datasets.names import look_up
from datasets.video import DATA_VARIABLE, PARTS, Benchmark, Part

Kind = Literal["gridded", "video"]
Presence = Literal["yes", "simulated", "no"]
DERIVED = "derived"  # T and T', which follow from the step of an archive unless they are given
PERIODS: Mapping[Part, str] = {
    "train": "the frames outside of the other two",
    "validation": "blocks within the series before the test",
    "test": "the end of the series",
}
NOTES = """\
periods, derived: as the archive and its step suggest, unless they are given at training.
clips of the paper: those of validation are taken out of the training part here.
here: where it says no, the files belong into that folder of the directory that {variable} names ({directory}).
Gridded ones: simvp demo NAME, by default {default}. One of them whole: simvp catalog NAME"""


def show(name: str, console: Console) -> None:
    """Print the table, or one data set whole.

    Raises
    ------
    SourceError
        No such name; files of it that are damaged, after what is known without them.
    """
    if name:
        _whole(find_entry(name), console)
    else:
        console.print(_table(entries()))
        console.print(NOTES.format(variable=DATA_VARIABLE, directory=_directory(), default=DEFAULT), markup=False)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set of the catalogue.

    Parameters
    ----------
    name
        As the command line takes it.
    kinds
        "gridded": it can be ingested, trained on and forecast. "video": it is a benchmark of clips.
    title, licence, source
        For people; `source` is the address that the data come from.
    shape
        (C, H, W).
    frames
        T -> T' of the benchmark or of the study, with further horizons; `DERIVED` where an archive decides.
    splits
        In words, what makes up each part.
    counts
        Clips by part, as the paper's table rounds them; none where there is no paper.
    span
        In words, how long the series is, and its step; empty where there is no series.
    files, folder
        In words, which files are looked for, and in which folder of the directory that SIMVP_DATA names ("./" is that
        directory itself); empty where none are, or where they are in a package.
    presence
        Whether they are here.
    """

    name: str
    kinds: tuple[Kind, ...]
    title: str
    shape: tuple[int, int, int]
    frames: str
    splits: Mapping[Part, str]
    counts: Mapping[Part, str]
    span: str
    licence: str
    source: str
    files: str
    folder: str
    presence: Presence


def entries() -> list[Entry]:
    """Every data set once: the gridded ones, then those that are benchmarks alone."""
    both: Mapping[str, NamedSource | Benchmark] = {**SOURCES, **BENCHMARKS}
    return [
        _of_benchmark(entry, SOURCES.get(name)) if isinstance(entry, Benchmark) else _of_source(name, entry)
        for name, entry in both.items()
    ]


def find_entry(name: str) -> Entry:
    """Data set of that name, or a `SourceError` that lists those there are."""
    return look_up("data set", name, {entry.name: entry for entry in entries()}, "name one of these")


def contents(entry: Entry) -> Iterator[tuple[str, str]]:
    """What is here of a data set, read one after the other: frames of the series, clips of each part.

    Raises
    ------
    SourceError
        Files that are missing, damaged or of another form.
    """
    if "gridded" in entry.kinds:
        with SOURCES[entry.name].open() as ds:
            first, last = (shown(ds["time"].values[place])[:16] for place in (0, -1))  # to the minute
            yield "series", f"{ds.sizes['time']:,} frames, {first} .. {last}"
    if "video" in entry.kinds:
        for part in PARTS:
            clips = find_benchmark(entry.name).open(part)
            published = "" if clips.comparable else "; not what published results stand for"
            yield part, f"{len(clips):,} clips: {clips.origin}{published}"


def _of_source(name: str, source: NamedSource) -> Entry:
    assert source.shape is not None
    study, simulated = source.study, isinstance(source, SimulatedSource)
    fixed: dict[Part, str] = {} if study is None else {"test": f"{study.held_out[0]} .. {study.held_out[1]}, for good"}
    return Entry(
        name=name,
        kinds=("gridded",),
        title=source.title,
        shape=source.shape,
        frames=DERIVED if study is None else f"{study.frames_in} -> {study.frames_out}",
        splits={**PERIODS, **fixed},
        counts={},
        span=source.span,
        licence=source.licence,
        source=source.references or "computed here",
        files=source.wanted,
        folder=source.folder,
        presence="simulated" if simulated else "yes" if source.present() else "no",
    )


def _of_benchmark(benchmark: Benchmark, source: NamedSource | None) -> Entry:
    horizons = sorted({benchmark.frames_out, *benchmark.horizons})
    return Entry(
        name=benchmark.name,
        kinds=("video",) if source is None else ("gridded", "video"),
        title=benchmark.title,
        shape=benchmark.shape,
        frames=f"{benchmark.frames_in} -> {', '.join(map(str, horizons))}",
        splits=benchmark.splits,
        counts=benchmark.paper_counts,
        span=source.span if source is not None else "",
        licence=benchmark.licence,
        source=benchmark.source,
        files=benchmark.files if source is None else f"{benchmark.files}; as gridded data, {source.wanted}",
        folder=f"{benchmark.folder}/",
        presence="yes" if benchmark.present() else "no",
    )


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
            Text(row.presence if row.presence != "no" else f"no: {row.folder or 'a package'}"),
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
        "series": row.span,
        **{str(part): text for part, text in row.splits.items()},
        "in the paper": ", ".join(f"{part} {count}" for part, count in row.counts.items()),
        "licence": row.licence,
        "from": row.source,
        "files": f"{row.files}; in {into} that {DATA_VARIABLE} names ({_directory()})" if row.folder else row.files,
        "here": row.presence,
    }
    _print(lines, console)
    if row.presence != "no":
        for name, text in contents(row):
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


def _directory() -> str:
    return os.environ.get(DATA_VARIABLE) or "not set"
