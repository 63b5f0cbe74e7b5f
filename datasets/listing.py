"""The catalogue as records: every data set, gridded or video, what it is, whence it comes and whether it is here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from datasets.benchmarks import BENCHMARKS, find_benchmark
from datasets.catalog import SOURCES, NamedSource, SimulatedSource, look_up
from datasets.video import PARTS, Benchmark, Part

Kind = Literal["gridded", "video"]
Presence = Literal["yes", "simulated", "no"]
DERIVED = "derived"  # T and T', which follow from the step of an archive unless they are given
PERIODS: Mapping[Part, str] = {
    "train": "the frames outside of the other two",
    "validation": "blocks within the series before the test",
    "test": "the end of the series",
}


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
    files, folder
        In words, which files are looked for, and in which folder of the directory that SIMVP_DATA names ("./" is that
        directory itself); empty where none are.
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
    licence: str
    source: str
    files: str
    folder: str
    presence: Presence


def entries() -> list[Entry]:
    """Every data set once: the gridded ones, then those that are benchmarks alone."""
    gridded = [
        _of_benchmark(BENCHMARKS[name], source) if name in BENCHMARKS else _of_source(name, source)
        for name, source in SOURCES.items()
    ]
    return [*gridded, *(_of_benchmark(made, None) for name, made in BENCHMARKS.items() if name not in SOURCES)]


def find_entry(name: str) -> Entry:
    """Data set of that name.

    Raises
    ------
    SourceError
        No such name; lists those there are.
    """
    return look_up("data set", name, {entry.name: entry for entry in entries()}, "name one of these")


def found(entry: Entry) -> Iterator[tuple[str, str]]:
    """What is here of a data set, read one after the other: frames of the series, clips of each part.

    Raises
    ------
    SourceError
        Files that are missing, damaged or of another form.
    """
    if "gridded" in entry.kinds:
        with SOURCES[entry.name].open() as ds:
            first, last = (str(ds["time"].values[place].astype("M8[m]")) for place in (0, -1))
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
        licence=source.licence,
        source=source.references or "computed here",
        files=source.wanted,
        folder="./" if source.wanted else "",
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
        licence=benchmark.licence,
        source=benchmark.source,
        files=benchmark.files if source is None else f"{benchmark.files}; as gridded data, {source.wanted}",
        folder=f"{benchmark.folder}/",
        presence="yes" if benchmark.present() else "no",
    )
