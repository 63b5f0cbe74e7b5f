"""What the stages are told of a data set, as a TOML file: a section for each stage, checked by the stage's own record.

::

    [ingest]
    source = "/data/rain/*.nc"
    variables = ["rain"]

    [train]
    frames_in = 12

What is left out has the default of the stage. A line that begins with ``#?`` is a question that only a person can
answer; while there is one, no stage runs.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from datasets.credentials import refuse_secrets
from pipelines.evaluation import Gate, ScoreSettings
from pipelines.training import SourceSettings, TrainSettings
from simvp.coords import Step
from simvp.errors import ConfigError, Refusal
from simvp.settings import Settings

SUFFIX = ".toml"
QUESTION = "#?"


def _checked_step(text: str | None) -> str | None:
    try:
        if text is not None:
            Step.parse(text)
    except Refusal:
        raise ValueError("expected words as 1h, 30min, 1D or 1 month") from None
    return text


def _checked_cron(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[\d*,/A-Za-z#-]+( [\d*,/A-Za-z#-]+){4}", text):
        raise ValueError("expected the five fields of cron (minute, hour, day, month, weekday), as '0 5 * * *'")
    return text


Cron = Annotated[str | None, AfterValidator(_checked_cron)]


class IngestSettings(Settings):
    """Where the frames come from, and how their files are read."""

    subject: ClassVar[str] = "settings of the ingest"

    source: str | list[str] | None = Field(
        default=None,
        description="A path, a folder, a glob, a URL, or a list of them; paths begin at the folder of this file. "
        "Left out: that of the first ingest, or that of the catalogue.",
    )
    variables: list[str] | None = Field(
        default=None, description='Variables to keep, in a group as "Grid:rain"; all that have a time and two axes.'
    )
    units: dict[str, str] | None = Field(
        default=None, description="Units of variables whose files state none, or a text that is none, by variable."
    )
    select: dict[str, str | int | float] | None = Field(
        default=None, description='One value of every further axis, as level = 850 or lead = "12h".'
    )
    step: Annotated[str | None, AfterValidator(_checked_step)] = Field(
        default=None, description='Time from frame to frame, as "1h" or "1 month", where it cannot be seen.'
    )
    known: dict[str, SourceSettings] | None = Field(
        default=None,
        description="Known future inputs (a numerical forecast, a calendar of holidays): a section [ingest.known.NAME] "
        "for each source.",
    )


class ForecastSettings(Settings):
    """Which forecasts are issued."""

    subject: ClassVar[str] = "settings of the forecast"

    init_hours: list[Annotated[int, Field(ge=0, le=23)]] | None = Field(
        default=None, description="Hours of the day (UTC) whose frames start a forecast; 0, 6, 12 and 18 by default."
    )
    horizon: int | str | None = Field(
        default=None, description='How far: steps, or words as "48h"; as far as the model was trained for by default.'
    )
    max_catch_up: int = Field(default=56, ge=1, description="Init times to issue at most in one run; the newest.")
    export: str | None = Field(
        default=None, description="Folder for CF NetCDF, a file for each init time; none is written by default."
    )
    members: int = Field(default=0, ge=0, description="Members of an ensemble to issue beside each forecast.")
    levels: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[], description="Quantiles of bounds to issue beside each forecast, rising, as [0.05, 0.95]."
    )


class Schedule(Settings):
    """When `simvp up` runs the stages: cron, in UTC. What is left out runs when somebody asks for it."""

    subject: ClassVar[str] = "schedule"

    ingest: Cron = Field(default=None, description='As "0 5 * * *": every day at five.')
    train: Cron = Field(default=None, description='As "0 8 * * 0": every Sunday at eight.')
    promote: Cron = Field(default=None, description="After the training.")
    forecast: Cron = Field(default=None, description="After the ingest.")
    verify: Cron = Field(default=None, description="After the forecast.")
    train_when_skill_is_gone: bool = Field(
        default=False, description="Train, too, when forecasts are not better any more than the best baseline."
    )


class Description(Settings):
    """All that the stages are told of a data set."""

    subject: ClassVar[str] = "description of a data set"

    ingest: IngestSettings = Field(
        default=IngestSettings(), description="Where frames come from, and how they are read."
    )
    train: TrainSettings = Field(default=TrainSettings(), description="T, T', sizes, periods and the training itself.")
    promote: Gate = Field(default=Gate(), description="Thresholds: what a challenger has to show.")
    scores: ScoreSettings = Field(
        default=ScoreSettings(), description="What forecasts are scored by beside their errors."
    )
    forecast: ForecastSettings = Field(default=ForecastSettings(), description="Which forecasts are issued.")
    schedule: Schedule = Field(default=Schedule(), description="When `simvp up` runs the stages.")


def find_description(name: str, folder: Path) -> tuple[str, Description]:
    """Name of a data set and its description; an empty one where no file describes it.

    Parameters
    ----------
    name
        The name of a data set, described by NAME.toml of the folder if there is one; or the path of such a file.
    folder
        The working folder.

    Raises
    ------
    ConfigError
        As `read_description`; or a path that leads to no file.
    """
    path = folder / name
    if path.suffix != SUFFIX:
        path = folder / f"{name}{SUFFIX}"
        if "/" in name or not path.is_file():
            return name, Description()
    return path.stem, read_description(path)


def read_description(path: Path) -> Description:
    """What a file says; relative sources, and where forecasts are exported to, are taken from its folder on.

    Raises
    ------
    ConfigError
        No such file, no TOML, unknown names, values that do not fit, questions without an answer: every reason.
    SourceError
        A source with a password in its address.
    """
    try:
        text = path.read_text()
        values = tomllib.loads(text)
    except (OSError, ValueError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ConfigError(str(path), [why], "see docs/commands.md, or have one written: simvp init") from None
    open_questions = [
        f"line {number}: {line.removeprefix(QUESTION).strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if line.startswith(QUESTION)
    ]
    if open_questions:
        raise ConfigError(str(path), open_questions, f"answer it in the file, and take away {QUESTION!r}")
    try:
        description = Description(**values)
    except Refusal as refusal:
        raise ConfigError(str(path), refusal.reasons, refusal.remedy) from None
    folder, ingest = path.absolute().parent, description.ingest
    if description.forecast.export is not None:
        export = str(folder / Path(description.forecast.export).expanduser())
        description = description.replace(forecast=description.forecast.replace(export=export))
    if (static := description.train.static) is not None:
        update = {"static": static.replace(source=_from(folder, static.source))}
        description = description.replace(train=description.train.model_copy(update=update))  # knows what was set
    if ingest.known is not None:
        known = {name: one.replace(source=_from(folder, one.source)) for name, one in ingest.known.items()}
        ingest = ingest.replace(known=known)
    if ingest.source is not None:
        ingest = ingest.replace(source=_from(folder, ingest.source))
    return description.replace(ingest=ingest)


def _from(folder: Path, source: str | list[str]) -> str | list[str]:
    """A source whose paths begin at a folder.

    Raises
    ------
    SourceError
        With a password in its address.
    """
    refuse_secrets(source)
    if not isinstance(source, str):
        return [str(_from(folder, one)) for one in source]
    return source if "://" in source else str(folder / Path(source).expanduser())


def described_in(folder: Path) -> list[Path]:
    """The files of a folder that describe data sets; others of the kind (pyproject.toml) have other sections."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if _is_description(path)]


def _is_description(path: Path) -> bool:
    try:
        sections = set(tomllib.loads(path.read_text()))
    except (OSError, ValueError):
        return False
    return bool(sections) and sections <= set(Description.model_fields)
