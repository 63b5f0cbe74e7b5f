"""`make demo`: all five flows once, from frames to a skill table: simulated weather, a named source or your files.

Nothing has to run beforehand: where no `make up` serves this home, a Prefect server is started for the demo alone.
Nothing is done twice: asked again, the demo finds archive, model and forecasts, and ends in the same table.
"""

import argparse
import atexit
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from datasets.credentials import refuse_secrets
from flows.local import (
    Addresses,
    Services,
    StageConsole,
    Stop,
    free_port,
    offline_environment,
    running,
    stop_on_signals,
)
from pipelines.home import Home, slug
from pipelines.machine import faults_in_words, refuse_unusable
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal, Unavailable
from simvp.inference import registry_exists
from simvp.settings import Settings, shown_address

DEFAULT = "simulated-weather"
COUNTED = ("frames_in", "frames_out", "cycle", "epochs")


class DemoSettings(Settings):
    """What the demo is told; what is None follows from the data."""

    subject: ClassVar[str] = "make demo"

    dataset: str
    source: str | None
    variables: list[str] | None
    units: dict[str, str] | None
    select: dict[str, int | float | str] | None
    step: str | None
    frames_in: int | None = None
    frames_out: int | None = None
    cycle: int | None = None
    epochs: int | None = None


def parse(arguments: Sequence[str]) -> DemoSettings:
    """Settings from the command line; `dataset` is the name that follows from them.

    Raises
    ------
    SourceError
        A source with a password in its address: it would be a parameter, which Prefect keeps.
    ConfigError
        If settings contradict each other or cannot be read, with every reason.
    """
    parser = argparse.ArgumentParser(prog="make demo", allow_abbrev=False)
    texts = ("variables", "units", "select", "step", "name")
    for option in ("data", "source", *texts, *COUNTED):
        parser.add_argument(f"--{option.replace('_', '-')}", default="")
    words = parser.parse_args(arguments)
    refuse_secrets(words.source)
    reasons: list[str] = []
    if words.data and words.source:
        reasons.append("DATA names a known source and SOURCE gives files: expected one of them, got both")
    if not words.source:
        described = (option.upper() for option in texts if getattr(words, option))
        reasons += [f"{option} describes files, but no SOURCE is given" for option in described]
    variables = [name.strip() for name in words.variables.split(",") if name.strip()] or None
    units = _pairs("UNITS", words.units, "t2m:K,rain:mm", reasons)
    positions = _pairs("SELECT", words.select, "level:850", reasons) or {}
    select = {name: _number(value) for name, value in positions.items()} or None
    counts: dict[str, int] = {}
    for option in COUNTED:
        text = getattr(words, option)
        if text.isdecimal():
            counts[option] = int(text)
        elif text:
            reasons.append(f"{option.upper()}: expected a whole number, got {text!r}")
    reasons += _refused_counts(counts)
    if reasons:
        raise ConfigError(DemoSettings.subject, reasons, "see 'Your own data' in the README")
    derived = _dataset_name(words.source, variables, select) if words.source else words.data or DEFAULT
    name, source, step = words.name or derived, words.source or None, words.step or None
    return DemoSettings(
        dataset=name, source=source, variables=variables, units=units, select=select, step=step, **counts
    )


def _refused_counts(counts: Mapping[str, Any]) -> list[str]:
    """What a training would say of them, under the names that they have here."""
    from pipelines.training import TrainConfig

    try:
        TrainConfig(dataset=DEFAULT, **counts)
    except ConfigError as refusal:
        return [f"{name.upper()}:{words}" for name, _, words in (one.partition(":") for one in refusal.reasons)]
    return []


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


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _look_into_source(settings: DemoSettings, home: Home) -> None:
    """Have the files of a named source and the headers of given ones: what is refused is so before a server starts."""
    from datasets.catalog import find_source
    from pipelines.ingest import refuse_unreadable

    if settings.source is not None:
        # Of a network that is down, the flow tries again.
        with suppress(Unavailable):
            refuse_unreadable(home, **settings.model_dump(exclude=set(COUNTED)))
    elif settings.dataset not in home.datasets:
        find_source(settings.dataset).files()


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


def run(settings: DemoSettings, home: Home, console: StageConsole) -> Path:
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

    dataset = settings.dataset
    with ExitStack() as stack:
        end_dead_runs(home)
        stack.enter_context(of_this_process(home))
        stack.enter_context(listen(console.progress))
        # Ending its thread costs every flow a second, and nobody watches for the heartbeats of a demo.
        stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        if settings.source is None and dataset in home.datasets:
            # A simulated source has a next day whenever it is asked; the demo is about the first span.
            console.say("ingest", "the archive is there; prefect deployment run ingest/daily appends what is new")
        else:
            with console.stage("ingest"):
                archived = ingest(**settings.model_dump(exclude=set(COUNTED)))
            console.rows(archived.table)
        with console.stage("train"):
            counts = settings.model_dump(include=set(COUNTED))
            trained = train(dataset, **{**counts, "cycle": settings.cycle or "auto"})
        console.lines(trained.plan.text)
        suffix = ", which exists: nothing was trained again" if trained.existing else ""
        console.say("train", f"version {trained.version}{suffix}")
        with console.stage("promote"):
            try:
                promotion = promote(dataset)
                assert isinstance(promotion, Promotion)
                champion, verdict = promotion.outcome in ("promote", "already"), promotion.summary
            except Refusal as refusal:
                champion, verdict = False, str(refusal)
        otherwise = "not promoted (why: below); the demo goes on with the challenger"
        console.say("promote", "the model is champion" if champion else otherwise)
        model = None if champion else "challenger"
        with console.stage("forecast"):
            issued = forecast(dataset, model=model)
            start, end = trained.plan.periods.held_out
            afterwards = forecast(dataset, model=model, hindcast_start=start, hindcast_end=end)
        console.lines(issued.summary)
        console.lines(afterwards.summary)
        with console.stage("verify"):
            (scored,) = verify(dataset, kind="hindcasts", horizon=afterwards.horizon)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 2 after a refusal, whose text is all that is printed."""
    os.chdir(CHECKOUT)
    stop_on_signals()
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        home = Home.default()
        with faults_in_words(home):
            # All that can be refused is refused before a server is started and before anything is written.
            home.dataset(settings.dataset)
            refuse_unusable(home)
            registry_exists(home.tracking_uri)
            _look_into_source(settings, home)
            services = _server(home)
            with StageConsole(Console(highlight=False)) as console:
                if services is not None:
                    with console.stage("server"):
                        services.make_databases()
                        services.start_prefect()
                        services.wait()
                path = run(settings, home, console)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except Stop:
        print("Stopped. make demo goes on from what is there.", file=sys.stderr)
        return 130
    print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
