"""A page of sections that were measured one by one, each with where and when: BENCHMARKS.md, docs/skill.md.

What a section says are tables, and goals with what was found.
"""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("torch", "xarray", "zarr", "dask", "netCDF4", "prefect", "mlflow", "xbatcher")
# What decides how fast a CPU multiplies; the rest of its flags does not matter here.
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")

HEAD = """# Benchmarks

Written by `make bench`, which measures everything below side by side in one run on one machine; `make bench
ONLY=ingest` measures a section again. A figure is the median of several alternating repetitions after a warm-up, with
the smallest and the largest in brackets; a ratio is taken round by round. Before anything is timed, the ways that are
compared are checked to give the same result. These are figures of one machine, which stands below each heading, with
what its processor has for arithmetic: on another a ratio may be another, or turn round. The plain network is the
published code (github.com/A4Bio/SimVP), operation by operation.
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows by column, all as text; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""

    def markdown(self) -> str:
        """As a Markdown table, numbers to the right."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += ["| " + " | ".join(self.columns) + " |", "| --- |" + " ---: |" * (len(self.columns) - 1)]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows])


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One thing that was wanted, in words, what was found, and whether that is enough; None: not measured here."""

    wanted: str
    found: str
    met: bool | None

    def markdown(self) -> str:
        """One line of a list."""
        verdict = {True: "met", False: "**not met**", None: "not measured"}[self.met]
        return f"* {self.wanted}: {self.found} ({verdict})"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report.

    Parameters
    ----------
    title, text
        Heading, and how it was measured, in Markdown.
    tables, goals
        What was found.
    notes
        What it means, and what limits it; one paragraph each.
    pictures
        Alternative text by file name below ``docs/``.
    summary
        Its rows in the table on top of a report that has one.
    """

    title: str
    text: str
    tables: tuple[Table, ...] = ()
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: Mapping[str, str] | None = None
    summary: Table | None = None

    def markdown(self) -> str:
        """The section as it stands in the report."""
        parts = [f"## {self.title}", self.text]
        parts += [table.markdown() for table in self.tables]
        parts += ["\n".join(goal.markdown() for goal in self.goals)] if self.goals else []
        parts += list(self.notes)
        parts += [f"![{words}](docs/{name})" for name, words in (self.pictures or {}).items()]
        return "\n\n".join(parts)

    def save(self, path: Path, where: Mapping[str, Any]) -> None:
        """Keep the section, and where and when it was measured, so that the report can be put together."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"section": asdict(self), "where": dict(where)}, indent=1))


def load(path: Path) -> tuple[Section, dict[str, Any]]:
    """Inverse of `Section.save`."""
    kept = json.loads(path.read_text())
    section, summary = kept["section"], kept["section"].get("summary")
    return (
        Section(
            **{
                **section,
                "tables": tuple(map(_table, section["tables"])),
                "goals": tuple(Goal(**goal) for goal in section["goals"]),
                "notes": tuple(section["notes"]),
                "summary": None if summary is None else _table(summary),
            }
        ),
        kept["where"],
    )


def _table(kept: Mapping[str, Any]) -> Table:
    rows: Sequence[Sequence[str]] = kept["rows"]
    return Table(columns=tuple(kept["columns"]), rows=tuple(map(tuple, rows)), title=kept["title"])


def where(code: Mapping[str, Any]) -> dict[str, Any]:
    """Machine, versions, commit and time, of code in the state `pipelines.tracking.provenance.git_state`."""
    return {
        "machine": _machine(),
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
        "commit": f"{str(code['commit'])[:12]}{' with changes' if code['dirty'] else ''}",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _versions() -> list[str]:
    """Of the packages that are there: a machine with a GPU may have no more than it takes."""
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def write(path: Path, sections: Sequence[Path], head: str = HEAD) -> None:
    """Put the page together from the sections that have been measured, in this order, their summaries in one table."""
    found = [load(file) for file in sections]
    if not found:
        return
    summaries = [section.summary for section, _ in found if section.summary is not None]
    together = [replace(summaries[0], rows=tuple(row for one in summaries for row in one.rows))] if summaries else []
    parts = [head, *(table.markdown() for table in together)]
    for section, measured in found:
        title, _, rest = section.markdown().partition("\n")
        line = "; ".join(measured[name] for name in ("date", "commit", "versions"))
        parts.append(f"{title}\n\n*On {measured['machine']}.*\n{rest}\n\n<sub>Measured {line}.</sub>")
    path.write_text("\n".join(part if part.endswith("\n") else part + "\n" for part in parts))


def _machine() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", text, re.MULTILINE)
    features = set(flags[1].split()) if flags else set()
    has = ", ".join(flag for flag in FLAGS if flag in features) or "none of note"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{name[1] if name else platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, "
        f"{memory:.0f} GiB, CPU flags {has}, {device}"
    )
