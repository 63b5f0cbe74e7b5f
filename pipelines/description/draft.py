"""The first description of a data set, from a look at its files: what is seen is written down, what is not is asked."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from datasets.credentials import refuse_secrets
from datasets.readers import open_source
from pipelines.description.description import QUESTION
from simvp.coords import Grid, Step
from simvp.errors import Refusal, SourceError
from simvp.files import grid_words
from simvp.settings import number_of, shown_address
from simvp.times import name_time

_CHOICE = re.compile(r"choose one with select=\{'([^']+)'")
"""How `open_source` asks for one value of a further axis, in whatever format."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known of a data set so far.

    Parameters
    ----------
    source
        A path, a folder, a glob or an address.
    variables
        Names, with their units; "" where the files state none.
    choose
        Axes of which one value has to be chosen, with the words in which the reader asks for it.
    select, units
        What has been answered.
    step
        As the files have it; "" where it cannot be seen.
    answered_step
        What has been answered.
    seen
        What else is known, in words, for people.
    """

    source: str
    variables: Mapping[str, str] = field(default_factory=dict)
    choose: Mapping[str, str] = field(default_factory=dict)
    select: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    step: str = ""
    answered_step: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def questions(self) -> dict[str, str]:
        """What is still to be answered, by key of the section [ingest], with the question in words."""
        asked = {f"select.{axis}": words for axis, words in self.choose.items()}
        asked |= {
            f"units.{name}": f"units of {name}, of which the files state none ('1' for a pure number)"
            for name, units in self.variables.items()
            if not units and name not in self.units
        }
        if self.variables and not self.step and not self.answered_step:
            asked["step"] = "the step, which a single frame does not show: '1h', '1 month'"
        return asked

    def answered(self, key: str, answer: str) -> "Draft":
        """With the answer to one of the questions; an axis that was chosen from is opened again.

        Raises
        ------
        Refusal
            No such value of the axis, units that are none, a step that is none.
        """
        section, _, name = key.partition(".")
        if section == "select":
            return draft_of(self.source, {**self.select, name: number_of(answer)})
        if section == "units":
            return replace(self, units={**self.units, name: answer})
        return replace(self, answered_step=str(Step.parse(answer)))

    def text(self, name: str, schema: str = "") -> str:
        """The description as TOML, with every open question as a line that begins with `QUESTION`."""
        return "\n".join(_lines(self, name, schema)) + "\n"


def draft_of(source: str, select: Mapping[str, Any] | None = None) -> Draft:
    """A draft from a look at the headers of the files; nothing is written.

    Parameters
    ----------
    source
        A path, a folder, a glob or an address.
    select
        Values of axes that have been chosen.

    Raises
    ------
    SourceError
        Files that cannot be read, whatever is answered.
    """
    refuse_secrets(source)
    source = source if "://" in source else os.path.abspath(os.path.expanduser(source))
    try:
        with open_source(source, select=select) as ds:
            return _seen(source, ds, select or {})
    except SourceError as refusal:
        asked = {found[1]: reason for reason in refusal.reasons if (found := _CHOICE.search(reason))}
        if not asked or any(not _CHOICE.search(reason) for reason in refusal.reasons):
            raise
        return Draft(source=source, choose=asked, select=select or {})


def _seen(source: str, ds: xr.Dataset, select: Mapping[str, Any]) -> Draft:
    times = ds["time"].values
    try:
        step = str(Step.infer(times))
    except Refusal:
        step = ""
    count = f"{len(times)}, {name_time(times[0])} .. {name_time(times[-1])}"
    return Draft(
        source=source,
        variables={str(name): str(var.attrs.get("units", "")) for name, var in ds.data_vars.items()},
        select=select,
        step=step,
        seen={"grid": grid_words(Grid.of(ds)), "frames": count},
    )


def _lines(draft: Draft, name: str, schema: str) -> Iterator[str]:
    yield from [f"#:schema {schema}"] * bool(schema)
    yield f"# The data set {name}: what the stages are told of it. What is left out has the default of its stage."
    yield from (f"# {what}: {words}" for what, words in draft.seen.items())
    yield from ("", "[ingest]", f"source = {_quoted(shown_address(draft.source))}")
    if draft.variables:
        yield f"variables = [{', '.join(map(_quoted, draft.variables))}]"
    if draft.answered_step:
        yield f"step = {_quoted(draft.answered_step)}"
    elif draft.step:
        yield f"# step: {draft.step}, as the files have it"
    for key, words in draft.questions.items():
        yield f'{QUESTION} {key} = ""  # {words}'
    for key, values in (("units", draft.units), ("select", draft.select)):
        yield from (f"{key}.{_key(inner)} = {_value(value)}" for inner, value in values.items())
    yield from (f"# units of {one}: {units}" for one, units in draft.variables.items() if units)
    yield from (
        "",
        "# [ingest.known.calendar]  # known future inputs, a section for each source: docs/how-to/known-inputs.md",
        '# source = "holidays.csv"',
        '# units.holiday = "1"',
        "",
        "[train]",
        "# frames_in = 24   # T, frames that the model sees; derived from the step",
        "# frames_out = 12  # T', frames that it predicts at once; half of T",
        '# cycle = 24       # steps of the seasonal cycle, or "none"; looked for in the data',
        '# size = "small"   # tiny, small, base, paper; none: the base forecast alone',
        "# epochs = 10      # at most",
        '# static.source = "orography.nc"  # maps for the network that never change',
        "",
        "[promote]",
        "# confidence = 0.9  # of the bound above which a challenger has to be better than baselines and champion",
        "# margin = 0.05     # share by which it may be worse at a single lead",
        "",
        "[forecast]",
        "# init_hours = [0, 12]  # hours of the day (UTC) whose frames start a forecast",
        '# horizon = "24h"       # how far',
        "# levels = [0.05, 0.95]  # bounds to issue beside each forecast",
        "# members = 20           # of an ensemble beside each forecast",
        '# export = "forecasts"   # folder for CF NetCDF, a file for each init time',
        "",
        "[schedule]",
        '# ingest = "0 5 * * *"  # cron, UTC; for simvp up, started in this folder',
        '# forecast = "0 6 * * *"',
        '# verify = "0 7 * * *"',
        '# train = "0 8 * * 0"',
    )


def _quoted(text: str) -> str:
    """A TOML string."""
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 else c for c in text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _quoted(name)


def _value(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else _quoted(str(value))
