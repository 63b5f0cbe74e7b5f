"""`simvp demo`: all five flows once, from frames to a skill table: simulated weather, a named source or your files.

Nothing has to run beforehand: where no `simvp up` serves this home, a Prefect server is started for the demo alone.
Nothing is done twice: asked again, the demo finds archive, model and forecasts, and ends in the same table.
"""

import atexit
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from datasets.credentials import refuse_secrets
from datasets.workers import workers
from flows.commands.options import Quiet, described
from flows.local import (
    Addresses,
    Services,
    StageConsole,
    Stop,
    free_port,
    offline_environment,
    running,
    stopped_by_signals,
)
from pipelines.home import Home, slug
from pipelines.machine import faults_in_words, refuse_unusable
from pipelines.tracking import CHECKOUT
from simvp.cli import Exit, main
from simvp.errors import ConfigError, Refusal, Unavailable
from simvp.inference import registry_exists
from simvp.settings import number_of, shown_address

if TYPE_CHECKING:
    from pipelines.description import Description, IngestSettings

DEFAULT = "simulated-weather"
OF_FILES = ("variables", "units", "select", "step")
COUNTED = ("frames_in", "frames_out", "cycle", "epochs")


def demo(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A data set: a name of the catalogue (simvp catalog), or one that NAME.toml "
            "of the working folder describes.",
            show_default=DEFAULT,
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="FILES",
            help="Files of your own: a path, a folder, a glob as 'rain/*.nc', a URL.",
            show_default="none: DATA says",
        ),
    ] = "",
    variables: Annotated[
        str,
        typer.Option(
            "--variables",
            metavar="NAMES",
            help="Which of their variables, as t2m,rain.",
            show_default="all that are maps",
        ),
    ] = "",
    units: Annotated[
        str,
        typer.Option(
            "--units",
            metavar="NAME:UNITS",
            help="Units of variables whose files state none, as t2m:K,rain:mm.",
            show_default="as the files state",
        ),
    ] = "",
    select: Annotated[
        str,
        typer.Option(
            "--select",
            metavar="AXIS:VALUE",
            help="One value of each further axis, as level:850,lead:12h.",
            show_default="none: further axes are refused",
        ),
    ] = "",
    step: Annotated[
        str,
        typer.Option(
            "--step",
            metavar="LENGTH",
            help="Time from frame to frame where it cannot be seen, as 1h or '1 month'.",
            show_default="as the files have it",
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Name of the data set, as rain-2km.", show_default="made from the source"
        ),
    ] = "",
    frames_in: Annotated[
        str,
        typer.Option(
            "--frames-in", metavar="T", help="Number of frames that the model sees, as 24.", show_default="by the step"
        ),
    ] = "",
    frames_out: Annotated[
        str,
        typer.Option(
            "--frames-out", metavar="T'", help="Number of frames that it predicts, as 12.", show_default="half of T"
        ),
    ] = "",
    cycle: Annotated[
        str,
        typer.Option(
            "--cycle",
            metavar="STEPS",
            help="Steps of the seasonal cycle, as 24 for hourly data; none for data without one.",
            show_default="looked for in the data",
        ),
    ] = "",
    epochs: Annotated[
        str,
        typer.Option("--epochs", metavar="N", help="Epochs of the training at most, as 3.", show_default="10"),
    ] = "",
    quiet: Quiet = False,
) -> None:
    """Run every stage once: ingest, train, promote, forecast, verify; end with the skill table.

    Unlike the commands of the stages it runs their flows, so that the runs are in Prefect's pages (simvp up).

    Examples: simvp demo; simvp demo era5-uk; simvp demo rain.toml; simvp demo --source 'rain/*.nc'
    """
    words = dict(zip(OF_FILES, (variables, units, select, step), strict=True))
    counts = dict(zip(COUNTED, (frames_in, frames_out, cycle, epochs), strict=True))
    try:
        with stopped_by_signals():
            _demonstrate(*settings(data, source, name, words, counts), quiet=quiet)
    except Stop:
        print("Stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(Exit.STOPPED) from None


def parse(words: Sequence[str]) -> "IngestSettings":
    """What the words of a command line say of files: the section [ingest], for scripts that take the demo's options.

    Raises
    ------
    typer.exceptions.TyperException
        An option that the demo has not.
    SourceError, ConfigError
        As `settings`.
    """
    from typer.main import get_command

    app = typer.Typer(add_completion=False)
    app.command()(demo)
    given = get_command(app).make_context("demo", list(words)).params
    of_files, counted = ({key: given[key] for key in keys} for keys in (OF_FILES, COUNTED))
    return settings(given["data"], given["source"], given["name"], of_files, counted)[1].ingest


def settings(
    data: str = "",
    source: str = "",
    name: str = "",
    words: Mapping[str, str] = MappingProxyType({}),
    counts: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, "Description"]:
    """Name of a data set and its description, from the command line and the file that describes it, if there is one.

    Parameters
    ----------
    data, source, name
        A data set by its name; or files, and how they shall be called.
    words
        What describes files, by the names of the section [ingest].
    counts
        Settings of the section [train].

    Raises
    ------
    SourceError
        A source with a password in its address: it would be a parameter, which Prefect keeps.
    ConfigError
        If settings contradict each other or cannot be read, with every reason.
    """
    from pipelines.description import Description

    refuse_secrets(source)
    reasons: list[str] = []
    if data and source:
        reasons.append("DATA names a known source and SOURCE gives files: expected one of them, got both")
    if not source:
        stray = [*(key for key in OF_FILES if words.get(key)), *(["name"] if name else [])]
        reasons += [f"{key.upper()} describes files, but no SOURCE is given" for key in stray]
    variables = [one.strip() for one in words.get("variables", "").split(",") if one.strip()] or None
    units = _pairs("UNITS", words.get("units", ""), "t2m:K,rain:mm", reasons)
    positions = _pairs("SELECT", words.get("select", ""), "level:850", reasons) or {}
    select = {key: number_of(value) for key, value in positions.items()} or None
    numbers = {key: _count(key, text, reasons) for key, text in counts.items() if text}
    dataset, description = described(data) if data and not reasons else (DEFAULT, Description())
    if source:
        dataset = name or _dataset_name(source, variables, select)
        place = source if "://" in source else os.path.abspath(source)
        files = {"source": place, "variables": variables, "units": units, "select": select, "step": words.get("step")}
        description = _with("ingest", description, {key: value for key, value in files.items() if value}, reasons)
    description = _with("train", description, {key: n for key, n in numbers.items() if n is not None}, reasons)
    if reasons:
        raise ConfigError("simvp demo", reasons, "see 'Your own data' in the README")
    return dataset, description


def _with(section: str, description: "Description", changes: Mapping[str, Any], reasons: list[str]) -> "Description":
    """A description with some settings of a section changed; what is wrong with them is added to the reasons."""
    if not changes:
        return description
    record = getattr(description, section)
    try:
        return description.replace(**{section: record.replace(**changes)})
    except ConfigError as refusal:
        reasons += [f"{key.upper()}:{words}" for key, _, words in (one.partition(":") for one in refusal.reasons)]
        return description


def _count(name: str, text: str, reasons: list[str]) -> int | float | str | None:
    if text.isdecimal() or name == "cycle":  # which has words, too: the record knows them
        return number_of(text)
    reasons.append(f"{name.upper()}: expected a whole number, got {text!r}")
    return None


def _dataset_name(source: str, variables: list[str] | None, select: dict[str, int | float | str] | None) -> str:
    """The same name for the same files and selection, another for any other: the end of the path, and a digest."""
    place = source if "://" in source else os.path.abspath(source)
    digest = hashlib.sha256(repr((place, variables, select)).encode()).hexdigest()
    return f"{slug('-'.join(Path(shown_address(place)).parts[-2:]))[-50:].lstrip('-')}-{digest[:6]}"


def _pairs(setting: str, text: str, example: str, reasons: list[str]) -> dict[str, str] | None:
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, value = part.partition(":")
        if not (name.strip() and colon and value.strip()):
            reasons.append(f"{setting}: expected pairs like {example}, got {part!r}")
        pairs[name.strip()] = value.strip()
    return pairs or None


def _look_into_source(dataset: str, description: "Description", home: Home) -> None:
    """Have the files of a named source and the headers of given ones: what is refused is so before a server starts."""
    from datasets.catalog import find_source
    from pipelines.ingest import refuse_unreadable

    if description.ingest.source is not None:
        # Of a network that is down, the flow tries again.
        with suppress(Unavailable):
            refuse_unreadable(home, dataset, **description.ingest.model_dump())
    elif dataset not in home.datasets:
        find_source(dataset).files()


def _server(home: Home) -> Services | None:
    """Set the environment of prefect and mlflow; the server to start, None where a `make up` serves this home."""
    os.environ.update(offline_environment(home))
    # What goes wrong is shown once, by us; Prefect keeps the whole of it in the log of the run.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    addresses = running(home)
    if addresses is not None:
        os.environ["PREFECT_API_URL"] = addresses.prefect_api
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            os.environ["MLFLOW_TRACKING_URI"] = addresses.mlflow
        return None
    services = Services(home=home, addresses=Addresses(prefect_port=free_port()), temporary=True)
    os.environ["PREFECT_API_URL"] = services.addresses.prefect_api
    # Exit functions run last in, first out: prefect, imported later, sends its last events to a server still there.
    atexit.register(services.stop)
    return services


def run(dataset: str, description: "Description", home: Home, console: StageConsole) -> Path:
    """All five flows on one data set; returns the path of the skill table."""
    # These import prefect, which reads its settings once: the environment had to be there first.
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.forecast import forecast
    from flows.ingest import ingest
    from flows.prefect_tools import end_dead_runs, listen, of_this_process
    from flows.promote import promote
    from flows.train import train
    from flows.verify import verify
    from pipelines.promote import Promotion

    with ExitStack() as stack:
        end_dead_runs(home)
        stack.enter_context(of_this_process(home))
        stack.enter_context(listen(console.progress))
        # Ending its thread costs every flow a second, and nobody watches for the heartbeats of a demo.
        stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        if description.ingest.source is None and dataset in home.datasets:
            # A simulated source has a next day whenever it is asked; the demo is about the first span.
            console.say("ingest", "the archive is there; prefect deployment run ingest/daily appends what is new")
        else:
            with console.stage("ingest"):
                archived = ingest(dataset, **description.ingest.model_dump())
            console.rows(archived.table)
        with console.stage("train"):
            trained = train(dataset, settings=description.train.model_dump(mode="json", exclude_unset=True))
        console.lines(trained.plan.text)
        suffix = ", which exists: nothing was trained again" if trained.existing else ""
        console.say("train", f"version {trained.version}{suffix}")
        with console.stage("promote"):
            try:
                promotion = promote(dataset, gate=description.promote, **description.scores.model_dump())
                assert isinstance(promotion, Promotion)
                champion, verdict = promotion.outcome in ("promote", "already"), promotion.summary
            except Refusal as refusal:
                champion, verdict = False, str(refusal)
        otherwise = "not promoted (why: below); the demo goes on with the challenger"
        console.say("promote", "the model is champion" if champion else otherwise)
        model = None if champion else "challenger"
        with console.stage("forecast"):
            issued = forecast(dataset, model=model, **description.forecast.model_dump())
            horizon, (start, end) = description.forecast.horizon, trained.plan.periods.held_out
            afterwards = forecast(dataset, model=model, horizon=horizon, hindcast_start=start, hindcast_end=end)
        console.lines(issued.summary)
        console.lines(afterwards.summary)
        with console.stage("verify"):
            (scored,) = verify(dataset, kind="hindcasts", horizon=afterwards.horizon, **description.scores.model_dump())
    console.skill(scored)
    console.note("Gate", verdict)
    console.paths(
        {
            "archive": home.archive(dataset),
            "forecasts": issued.path,
            "hindcasts": afterwards.path,
            "scores": scored.path,
            "pictures": home.pictures(dataset),
            "models and runs": shown_address(home.tracking_uri),
        }
    )
    console.next_steps(home, dataset, promoted=champion)
    assert scored.csv is not None
    return scored.csv


def _demonstrate(dataset: str, description: "Description", *, quiet: bool) -> None:
    home = Home.default()
    # Prefect reads its settings from the working folder, and children take the home from the environment.
    os.environ["SIMVP_HOME"] = str(home.path)
    os.chdir(CHECKOUT)
    with faults_in_words(home):
        # All that can be refused is refused before a server is started and before anything is written.
        home.dataset(dataset)
        refuse_unusable(home)
        registry_exists(home.tracking_uri)
        _look_into_source(dataset, description, home)
        with workers():
            pass
        services = _server(home)
        with StageConsole(Console(highlight=False, quiet=quiet)) as console:
            if services is not None:
                with console.stage("server"):
                    services.make_databases()
                    services.start_prefect()
                    # What `run` needs, while the server starts on another core: it takes nearly as long.
                    for stage in ("ingest", "train", "promote", "forecast", "verify"):
                        import_module(f"flows.{stage}")
                    services.wait()
            path = run(dataset, description, home, console)
    print(path, flush=True)


if __name__ == "__main__":
    # The data set was the option --data before it was an argument, and scripts still say so.
    sys.exit(main(["demo", *(word for word in sys.argv[1:] if word != "--data")]))
