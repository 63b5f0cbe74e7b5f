"""What a section of the report says: tables, and goals with what was found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


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
