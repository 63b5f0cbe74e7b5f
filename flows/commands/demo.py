"""`make demo`: the whole road once, through the flows, on the simulated weather, a named source or your own files.

Nothing has to run beforehand: where no `make up` serves this home, a Prefect server is started for the demo alone.
Nothing is done twice: asked again, the demo finds archive, model and forecasts, and ends in the same table.
"""

import argparse
import atexit
import hashlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from flows.local import Addresses, Screen, Services, free_port, offline_environment, running
from pipelines.home import Home, slug
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal

if TYPE_CHECKING:
    from pipelines.training import Plan

DEFAULT = "simulated-weather"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Settings from the command line; `dataset` is the name that follows from them.

    Raises
    ------
    ConfigError
        If settings contradict each other or cannot be read, with every reason.
    """
    parser = argparse.ArgumentParser(prog="make demo", allow_abbrev=False)
    for name in ("data", "source", "variables", "units", "select", "step", "name"):
        parser.add_argument(f"--{name}", default="")
    for name in ("frames-in", "frames-out", "cycle", "epochs"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    reasons: list[str] = []
    if given.data and given.source:
        reasons.append("DATA names a known source and SOURCE gives files: expected one of them, got both")
    if not given.source:
        reasons += [
            f"{name.upper()} describes files, but no SOURCE is given"
            for name in ("variables", "units", "select", "step", "name")
            if getattr(given, name)
        ]
    given.variables = [name.strip() for name in given.variables.split(",") if name.strip()] or None
    given.units = _pairs("UNITS", given.units, "t2m:K,rain:mm", reasons)
    select = _pairs("SELECT", given.select, "level:850", reasons)
    given.select = select and {name: _number(value) for name, value in select.items()}
    for name in ("frames_in", "frames_out", "cycle", "epochs"):
        text = getattr(given, name)
        if text and not text.isdecimal():
            reasons.append(f"{name.upper()}: expected a whole number, got {text!r}")
        elif text:
            setattr(given, name, int(text))
        else:
            setattr(given, name, None)
    if reasons:
        raise ConfigError("make demo", reasons, "see 'Your own data' in the README")
    given.dataset = given.name or (_name_of(given) if given.source else given.data or DEFAULT)
    given.source = given.source or None
    return given


def _name_of(given: argparse.Namespace) -> str:
    """The same name for the same files and selection, another for any other: the end of the path, and a digest."""
    source = given.source if "://" in given.source else os.path.abspath(given.source)
    digest = hashlib.sha256(repr((source, given.variables, given.select)).encode()).hexdigest()
    return f"{slug('-'.join(Path(source).parts[-2:]))[-50:].lstrip('-')}-{digest[:6]}"


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


def _server(home: Home) -> Services | None:
    """Set the environment of prefect and mlflow, and start a server for the demo where no `make up` serves this home.

    The server is still starting when this returns; `Services.wait` waits for it.
    """
    os.environ.update(offline_environment(home))
    # What goes wrong is shown once, by us; Prefect keeps the whole of it in the log of the run.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    addresses = running(home)
    if addresses is not None:
        os.environ.update(PREFECT_API_URL=addresses.prefect_api, MLFLOW_TRACKING_URI=addresses.mlflow)
        return None
    services = Services(home=home, addresses=Addresses(prefect_port=free_port()), root=CHECKOUT, temporary=True)
    os.environ["PREFECT_API_URL"] = services.addresses.prefect_api
    # Exit functions run last in, first out: prefect, imported later, sends its last events to a server still there.
    atexit.register(services.stop)
    services.start_prefect()
    return services


def run(given: argparse.Namespace, home: Home, screen: Screen) -> Path:
    """All five flows on one data set; returns the path of the skill table."""
    # These import prefect, which reads its settings once: the environment had to be there first.
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.forecast import forecast
    from flows.ingest import ingest
    from flows.prefect_tools import listen
    from flows.promote import promote
    from flows.train import train
    from flows.verify import verify
    from pipelines.ingest import complete
    from pipelines.promote import Promotion

    dataset = given.dataset
    with ExitStack() as stack:
        stack.enter_context(listen(screen.progress))
        # Ending its thread costs every flow a second, and nobody watches for the heartbeats of a demo.
        stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        if given.source is None and complete(home, dataset):
            # A simulated source has a next day whenever it is asked; the demo is about the first span.
            screen.say("ingest", "the archive is there; prefect deployment run ingest/daily appends what is new")
        else:
            with screen.stage("ingest"):
                archived = ingest(
                    dataset,
                    source=given.source,
                    variables=given.variables,
                    units=given.units,
                    select=given.select,
                    step=given.step or None,
                )
            screen.rows(archived.table)
        with screen.stage("train"):
            trained = train(
                dataset,
                frames_in=given.frames_in,
                frames_out=given.frames_out,
                cycle=given.cycle or "auto",
                epochs=given.epochs,
            )
        screen.lines(trained.plan.text)
        known = ", which exists: nothing was trained again" if trained.existing else ""
        screen.say("train", f"version {trained.version}{known}")
        champion, verdict = False, ""
        with screen.stage("promote"):
            try:
                promotion = promote(dataset)
                assert isinstance(promotion, Promotion)
                champion, verdict = promotion.outcome in ("promote", "already"), promotion.summary
            except Refusal as refusal:
                verdict = str(refusal)
        said = (
            "the model is champion" if champion else "not promoted (why: below); the demo goes on with the challenger"
        )
        screen.say("promote", said)
        model = None if champion else "challenger"
        with screen.stage("forecast"):
            issued = forecast(dataset, model=model)
            start, end = _held_out(trained.plan)
            afterwards = forecast(dataset, model=model, hindcast_start=start, hindcast_end=end)
        screen.lines(issued.summary)
        screen.lines(afterwards.summary)
        with screen.stage("verify"):
            (scored,) = verify(dataset, kind="hindcasts", horizon=afterwards.horizon)
    screen.skill(scored)
    screen.note("Gate", verdict)
    screen.paths(
        {
            "archive": home.archive(dataset),
            "forecasts": issued.path,
            "hindcasts": afterwards.path,
            "scores": scored.path,
            "pictures": home.pictures(dataset),
            "models and runs": home.mlflow,
        }
    )
    screen.next_steps(home, dataset, promoted=champion)
    assert scored.csv is not None
    return scored.csv


def _held_out(plan: "Plan") -> tuple[str, str]:
    start, end = plan.periods.held_out
    return start, end


class _Stop(BaseException):
    """A signal asked for the end."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # who asks twice is not kept waiting
    raise _Stop


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 2 after a refusal, whose text is all that is printed."""
    os.chdir(CHECKOUT)
    for number in SIGNALS:
        signal.signal(number, _stop)
    console = Console(highlight=False)
    try:
        given = parse(sys.argv[1:] if arguments is None else arguments)
        home = Home.default()
        home.dataset(given.dataset)
        services = _server(home)
        with Screen(console) as screen:
            if services is not None:
                with screen.stage("server"):
                    services.wait()
            path = run(given, home, screen)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except _Stop:
        print("Stopped. make demo goes on from what is there.", file=sys.stderr)
        return 130
    print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
