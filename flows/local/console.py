"""What a command shows: the stage at work, what each stage found, and the skill table at the end."""

import math
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.local.progress_bar import ProgressBar
from pipelines.home import Home

if TYPE_CHECKING:
    import xarray as xr

    from pipelines.verify import VerifyReport

__all__ = ["StageConsole", "chosen_leads", "score_table", "skill_tables"]

INDENT = " " * 12  # of what belongs to the stage in the line above
LEADS_SHOWN = 12  # as many as a screen of 200 columns has room for, and a person looks at
LEAD_WIDTH, SYSTEM_WIDTH = 8, 23  # columns of a lead, and of the name of a system


def chosen_leads(count: int, most: int = LEADS_SHOWN) -> list[int]:
    """Positions of the leads that the table shows, the first and the last among them; the file has all."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def skill_tables(skill: "xr.Dataset", width: int) -> Iterator[Table]:
    """RMSE by lead of model, its parts and every baseline, a table for each variable; CSI where there is rain.

    Parameters
    ----------
    skill
        From `pipelines.evaluation.skill_table`.
    width
        Columns of the screen: as many leads are shown as fit, so that nothing is cut.
    """
    leads = _shown(skill.sizes["lead_time"], width)
    for name in map(str, skill["variable"].values):
        yield _skill_table(skill.sel(variable=name), name, leads)
    yield from _rain_tables(skill)


def score_table(title: str, hours: Sequence[float], rows: Mapping[str, Sequence[float]], width: int) -> Table:
    """Scores by lead, and of all leads, which come last in each row; as many leads as fit are shown."""
    leads = _shown(len(hours), width, LEAD_WIDTH + 2)  # a bias has a sign, and may be small
    table = _of_leads(title, [hours[lead] for lead in leads])
    for name, values in rows.items():
        table.add_row(name, *map(_digits, [*(values[lead] for lead in leads), values[-1]]))
    return table


class StageConsole:
    """What a command says, stage by stage, with the bar of the stage at work below.

    Parameters
    ----------
    console
        rich's, to which everything goes; also for what has no method here.
    """

    def __init__(self, console: Console) -> None:
        self.rich = console
        self.progress = ProgressBar(console)

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.__exit__()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A bar while the block runs; a line with the seconds it took when it has ended well."""
        start = time.monotonic()
        with self.progress.stage(name):
            yield
        self.say(name, f"{time.monotonic() - start:.1f} s")

    def say(self, name: str, text: str) -> None:
        """One line of a stage."""
        # In one piece: what stands in a line that is not ended goes when the bar below it is drawn again.
        self.rich.print(Text.assemble((f"{name:>10}", "bold green"), f"  {text}"), soft_wrap=True)

    def lines(self, text: str) -> None:
        """Some lines that belong to the stage before."""
        self.prose(str(text).strip(), INDENT)

    def prose(self, text: str, indent: str = "") -> None:
        """Lines that a screen breaks between words; a pipe gets each as it is, for `grep`."""
        for line in text.splitlines():
            for part in _broken(indent + line, self.rich.width) if self.rich.is_terminal else [indent + line]:
                self.rich.print(part, markup=False, soft_wrap=True)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of two columns."""
        for row in rows:
            first, second = row.values()
            self.lines(f"{first:<14}{second}")

    def skill(self, report: "VerifyReport") -> None:
        """The skill table of every variable, how the model compares, and what share nobody can predict."""
        assert report.skill is not None
        for table in skill_tables(report.skill, self.rich.width):
            self.rich.print(table)
        if "csi" in report.skill:
            from pipelines.evaluation import note

            self.prose(note(report.skill))
        self.prose(report.summary)
        for name in map(str, report.skill["variable"].values):
            if name not in report.unpredictable:
                self.prose(f"{name}: what share of the error nobody can predict is not known for this source.")

    def note(self, name: str, text: str) -> None:
        """A paragraph with a name."""
        self.rich.print()
        self.prose(f"{name}: {text}")

    def paths(self, paths: Mapping[str, str | Path]) -> None:
        """Where everything was written."""
        self.rich.print("\nWritten:")
        for name, path in paths.items():
            self.rich.print(f"  {name:<16}{path}", markup=False, soft_wrap=True)

    def next_steps(self, home: Home, dataset: str, *, promoted: bool) -> None:
        """What a user would do next."""
        model = "" if promoted else f', "simvp-{dataset}@challenger"'
        lines = [
            "Next:",
            "  simvp up              Prefect, MLflow and a worker on this machine",
            f"  simvp status {dataset}",
            "  .venv/bin/python      a forecast in Python:",
            "    >>> import simvp",
            f'    >>> ds = simvp.open_archive("{home.archive(dataset)}")',
            f"    >>> simvp.predict(ds{model})",
        ]
        self.rich.print("\n".join(["", *lines]), markup=False, soft_wrap=True)


def _rain_tables(skill: "xr.Dataset") -> Iterator[Table]:
    """CSI over all leads, of every variable with thresholds: hits among what reached one or was said to."""
    if "csi" not in skill:
        return
    from pipelines.evaluation import csi_lines

    overall = [(name, least, scores) for name, least, lead, scores in csi_lines(skill) if lead == "all"]
    for name in dict.fromkeys(name for name, *_ in overall):
        columns = {least: scores for other, least, scores in overall if other == name}
        table = Table(title=f"CSI of {name}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("over all leads")
        for least in columns:
            table.add_column(f"at least {least}", justify="right")
        for contender, *scores in zip(skill["contender"].values.tolist(), *columns.values(), strict=True):
            table.add_row(contender.replace("_", " "), *map(_digits, scores), style="bold" * (contender == "sharp"))
        yield table


def _skill_table(scores: "xr.Dataset", name: str, leads: Sequence[int]) -> Table:
    unit = str(scores["units"].item())
    title = f"RMSE of {name}" + (f" ({unit})" if unit else "")
    table = _of_leads(title, scores["lead_hours"].values[leads].tolist())
    for system in map(str, scores["system"].values):
        one = scores.sel(system=system)
        values = [*one["rmse"].values[leads].tolist(), float(one["rmse_all"])]
        table.add_row(system.replace("_", " "), *map(_digits, values), style="bold" if system == "model" else "")
    table.add_section()
    model = scores.sel(system="model")
    table.add_row("n", *map(str, [*model["n"].values[leads].astype(int).tolist(), int(model["n_all"])]))
    return table


def _of_leads(title: str, hours: Sequence[float]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("lead", no_wrap=True)
    for lead in hours:
        table.add_column(_lead(lead), justify="right", no_wrap=True)
    table.add_column("all", justify="right", no_wrap=True)
    return table


def _shown(count: int, width: int, column: int = LEAD_WIDTH) -> list[int]:
    """Positions of the leads that fit into a screen, given the width of a column."""
    return chosen_leads(count, max(2, min(LEADS_SHOWN, (width - SYSTEM_WIDTH) // column - 1)))


def _broken(line: str, width: int) -> list[str]:
    """A line in parts that fit, the later ones under its words, or under those behind its label.

    What has no blanks (a path) is never broken: it could not be copied.
    """
    label = re.match(r" *(?:\S+ )*\S+ {2,}", line)
    under = " " * (label.end() if label else len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=under, break_long_words=False, break_on_hyphens=False) or [line]


def _lead(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.4g} min"
    return f"{hours:.4g} h" if hours < 96 else f"{hours / 24:g} d"


def _digits(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
