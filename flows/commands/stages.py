"""The stages as commands: each runs in this process, at once, with a bar; no server is needed.

The deployments of the same names run the same stages under Prefect: on a schedule, tried again when a network is away,
with a page for each run. Both read the same files, archives and models.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from datasets.names import nearest
from flows.commands.options import Dataset, Quiet, Scheduler, Set, changed, described, print_json, working
from pipelines.home import Home
from simvp.cli import Exit, Json
from simvp.errors import ConfigError

if TYPE_CHECKING:
    import xarray as xr

    from flows.local import StageConsole
    from pipelines.drift import Drift


def ingest(
    name: Dataset,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take frames that differ from those in the archive; else they are refused."),
    ] = False,
    changes: Set = None,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Append what is new at the source of a data set to its archive; the first time, make the archive.

    Runs here and now; the deployment ingest/daily does the same under Prefect. It knows the settings of the first
    ingest, which the archive keeps. Files that were read before are not opened again.

    Examples: simvp ingest rain; simvp ingest rain --replace; simvp ingest era5-uk
    """
    dataset, description = described(name)
    settings = changed(description.ingest, changes, "simvp ingest --set")
    kept = "What the archive held before is there, and nothing of this ingest; the same command begins it anew."
    with working(kept, quiet=quiet) as (home, console):
        refuse_unknown(home, dataset, settings.source is not None)
        with console.stage("ingest"):
            from pipelines.ingest import ingest as stage

            report = stage(
                home, dataset, **settings.model_dump(), replace=replace, scheduler=scheduler, progress=console.progress
            )
        console.rows(report.table)
        _look_for_drift(home, console, dataset, once_a_day=True)


def train(name: Dataset, changes: Set = None, quiet: Quiet = False) -> None:
    """Train on the archive of a data set and register the model as challenger.

    Runs here and now; the deployment train/weekly does the same under Prefect. The same settings on the same archive,
    asked again, give the version that exists; a training that was cut off goes on.

    Examples: simvp train rain; simvp train rain --set epochs=3 --set size=none
    """
    dataset, description = described(name)
    settings = changed(description.train, changes, "simvp train --set")
    with working("The same command goes on from the last checkpoint.", quiet=quiet) as (home, console):
        refuse_absent(home, dataset)
        with console.stage("train"):
            from pipelines.train import train as stage
            from pipelines.training import TrainConfig

            stated = settings.model_dump(exclude_unset=True)
            report = stage(home, TrainConfig(dataset=dataset, **stated), progress=console.progress)
        console.lines(report.plan.text)
        suffix = ", which exists: nothing was trained again" if report.existing else ", challenger"
        console.say("train", f"simvp-{dataset} version {report.version}{suffix}")


def promote(
    name: Dataset,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", metavar="N", help="Number of the version to judge, as 3.", show_default="the challenger"
        ),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Give the alias champion back to the version before; nothing is judged.")
    ] = False,
    changes: Set = None,
    quiet: Quiet = False,
) -> None:
    """Let the gate judge the challenger; it becomes champion if it beats the baselines and the champion.

    Runs here and now; the deployment promote/manual does the same under Prefect. Ends with 3 where the gate lets it not
    pass, or cannot tell for lack of data: it says how much is missing.

    Examples: simvp promote rain; simvp promote rain --version 3; simvp promote rain --rollback
    """
    dataset, description = described(name)
    gate = changed(description.promote, changes, "simvp promote --set")
    if rollback and (version is not None or changes):
        raise ConfigError(
            f"promotion of {dataset}",
            ["a rollback judges nothing, but --version or --set is given"],
            "leave out either",
        )
    with working("The alias is where it was.", quiet=quiet) as (home, console):
        from pipelines.promote import promote as stage, rollback as give_back

        if rollback:
            console.say("promote", give_back(home, dataset).summary)
            return
        with console.stage("promote"):
            result = stage(
                home,
                dataset,
                version,
                gate=gate,
                **description.scores.model_dump(),
                progress=console.progress,
            )
        console.lines(result.summary)
    if result.outcome not in ("promote", "already"):
        raise typer.Exit(Exit.NOTHING)


def forecast(
    name: Dataset,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Which model, as challenger, 3 (the number of a version), or the path of a model file.",
            show_default="the champion",
        ),
    ] = None,
    hindcast: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--hindcast",
            metavar="FIRST LAST",
            help="First and last time to forecast afterwards, as 2024-03-01 "
            "2024-03-31; they go into a store of their own.",
            show_default="none: what is due is issued",
        ),
    ] = None,
    changes: Set = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Issue the forecasts of every init time since the last one; each init time is issued once.

    Runs here and now; the deployment forecast/daily does the same under Prefect. Ends with 3 where nothing is due.

    Examples: simvp forecast rain; simvp forecast rain --set horizon=48h --set "init_hours=[0, 12]"
    """
    dataset, description = described(name)
    settings = changed(description.forecast, changes, "simvp forecast --set")
    kept = "Every init time that was issued is kept; the same command issues the others."
    with working(kept, quiet=quiet, as_json=as_json) as (home, console):
        refuse_absent(home, dataset)
        with console.stage("forecast"):
            from pipelines.forecast import forecast as stage

            report = stage(
                home,
                dataset,
                model=int(model) if model and model.isdecimal() else model,
                **settings.model_dump(),
                hindcast=hindcast,
                scheduler=scheduler,
                progress=console.progress,
            )
        console.lines(report.summary)
    if as_json:
        print_json(report)
    if not report.issued:
        raise typer.Exit(Exit.NOTHING)


def verify(
    name: Dataset,
    kind: Annotated[
        Literal["forecasts", "hindcasts"],
        typer.Option("--kind", help="forecasts: issued in operation; hindcasts: computed afterwards."),
    ] = "forecasts",
    horizon: Annotated[
        str | None,
        typer.Option("--horizon", metavar="NAME", help="Which store of forecasts, as 12h.", show_default="every one"),
    ] = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score the forecasts whose valid times have been observed since, beside the five baselines.

    Runs here and now; the deployment verify/daily does the same under Prefect. Shows the skill table also where nothing
    new was scored, and ends with 3 then.

    Examples: simvp verify rain; simvp verify rain --kind hindcasts --json
    """
    dataset, description = described(name)
    kept = "Every score that was committed is kept; the same command goes on."
    reports: list[Any] = []
    with working(kept, quiet=quiet, as_json=as_json) as (home, console):
        refuse_absent(home, dataset)
        from pipelines.forecast_store import horizons
        from pipelines.verify import verify as stage

        stored = horizons(home, dataset, kind)
        # With no store at all the stage is called: it says in words what is missing.
        for chosen in [horizon] if horizon or not stored else stored:
            with console.stage("verify"):
                report = stage(
                    home,
                    dataset,
                    kind=kind,
                    horizon=chosen,
                    **description.scores.model_dump(),
                    scheduler=scheduler,
                    progress=console.progress,
                )
            reports.append(report)
            if report.skill is None:
                console.lines(report.summary)
            else:
                console.skill(report)
        found = _look_for_drift(home, console, dataset, draw=True) if kind == "forecasts" else None
    if as_json:
        listed = [
            {**vars(report), "skills": {version: skill_rows(table) for version, table in report.skills.items()}}
            for report in reports
        ]
        print_json({"dataset": dataset, "reports": listed, "drift": found.to_json() if found else None})
    if not any(report.scored or report.rescored for report in reports):
        raise typer.Exit(Exit.NOTHING)


def _look_for_drift(
    home: Home, console: "StageConsole", dataset: str, *, once_a_day: bool = False, draw: bool = False
) -> "Drift":
    """Say what is not any more what it was when the model was trained."""
    from pipelines.drift import drift

    with console.stage("drift"):
        found = drift(home, dataset, once_a_day=once_a_day, draw=draw, progress=console.progress)
    console.lines(found.summary)
    return found


def skill_rows(table: "xr.Dataset") -> list[dict[str, Any]]:
    """A skill table line by line: variable, lead, maps, RMSE of every system; of all leads where lead_hours is None."""
    systems = table["system"].values.tolist()
    rows: list[dict[str, Any]] = []
    for name in table["variable"].values.tolist():
        own = table.sel(variable=name)
        for lead, hours in enumerate([*table["lead_hours"].values.tolist(), None]):
            suffix, one = ("_all", own) if hours is None else ("", own.isel(lead_time=lead))
            rmse = dict(zip(systems, one[f"rmse{suffix}"].values.tolist(), strict=True))
            n = int(one[f"n{suffix}"].sel(system="model"))
            rows.append({"variable": name, "lead_hours": hours, "n": n, "rmse": rmse})
    return rows


def refuse_absent(home: Home, dataset: str) -> None:
    """Refuse a data set that has no archive.

    Raises
    ------
    ConfigError
        With the name that was perhaps meant.
    """
    home.dataset(dataset)
    if dataset not in home.datasets:
        reason = f"there is no archive of it in {home.store}{nearest(dataset, home.datasets)}"
        raise ConfigError(
            f"data set {dataset}", [reason], f"simvp ingest {dataset}; or see what there is: simvp status"
        )


def refuse_unknown(home: Home, dataset: str, has_source: bool) -> None:
    """Refuse a data set of which nobody has said where it comes from.

    Raises
    ------
    ConfigError
        No source, no archive, and no source of that name in the catalogue.
    """
    from datasets.catalog import SOURCES

    home.dataset(dataset)
    if has_source or dataset in SOURCES or dataset in home.datasets:
        return
    near = nearest(dataset, [*SOURCES, *home.datasets])
    raise ConfigError(
        f"data set {dataset}",
        [
            f"there is no {dataset}.toml in this folder, no archive of it in {home.store}, and no such name in the "
            f"catalogue{near}"
        ],
        f"describe it: simvp init FILES {dataset}; or see the names: simvp catalog",
    )
