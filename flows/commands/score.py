"""`simvp score`: a forecast in a file against what was observed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.commands.options import print_json
from flows.commands.stages import skill_rows
from flows.local import skill_tables
from simvp.cli import Json
from simvp.errors import ContractError

if TYPE_CHECKING:
    import xarray as xr


def score(
    forecast: Annotated[
        str,
        typer.Argument(
            metavar="FORECAST", help="What simvp predict or export wrote, as tomorrow.nc; or a store of forecasts."
        ),
    ],
    observed: Annotated[
        str,
        typer.Argument(
            metavar="OBSERVED", help="What came to pass: a file as observed.nc, a folder, a glob, or an archive."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="The model that made it, whose baselines are scored beside it: a file, or a "
            "name in the registry as simvp-rain; OBSERVED has to hold its history too.",
            show_default="none: no baselines",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a forecast against observations, by variable and lead: RMSE, and that of the five baselines with a model.

    Leads that have not been observed yet are left out. Nothing is written.

    Examples: simvp score tomorrow.nc observed.nc; simvp score tomorrow.nc '2024-03-*.nc' -m simvp-rain --json
    """
    import simvp
    from pipelines.evaluation import score as score_beside, score_alone, skill_table
    from simvp.coords import Step, canonicalise
    from simvp.files import opened

    made = None if model is None else simvp.load(model)
    with opened(observed) as given, _labelled(forecast) as issued:
        truth, _ = canonicalise(given, list(map(str, issued.data_vars)))
        issued = _observed(issued, truth, forecast)
        if made is None:
            scores = score_alone(issued, truth, moving=(), step=Step.infer(truth["time"].values))
        else:
            scores = score_beside(issued, truth.load(), made.baselines)
        table = skill_table(scores)
    if as_json:
        print_json({"forecast": forecast, "observed": observed, "scores": skill_rows(table)})
        return
    console = Console(highlight=False)
    for shown in skill_tables(table, console.width):
        console.print(shown)


@contextmanager
def _labelled(place: str) -> Iterator["xr.Dataset"]:
    """A forecast by init time and lead: a store of them, or a file with the valid time as its axis."""
    import simvp
    from simvp.coords import canonicalise
    from simvp.files import is_repository, opened

    if is_repository(place):
        yield simvp.open_forecasts(place)
        return
    with opened(place) as ds:
        if {"init_time", "lead_time"} <= set(ds.dims):
            yield ds
            return
        if "forecast_reference_time" not in ds.coords:
            got = ", ".join(map(str, ds.dims))
            reason = f"expected a forecast_reference_time, or the axes init_time and lead_time, got {got}"
            raise ContractError(f"forecast {place}", [reason], "give what simvp predict -o or simvp export wrote")
        init = ds["forecast_reference_time"].values.reshape(-1)[:1]
        canonical, _ = canonicalise(ds.reset_coords(drop=True))
        valid = canonical["time"].values
        made = canonical.rename(time="lead_time").assign_coords(lead_time=valid - init)
        yield made.expand_dims(init_time=init).assign_coords(valid_time=(("init_time", "lead_time"), valid[None]))


def _observed(issued: "xr.Dataset", truth: "xr.Dataset", place: str) -> "xr.Dataset":
    """The leads that have been observed at every init time."""
    import numpy as np

    from simvp.times import name_time

    known = np.isin(issued["valid_time"].transpose("init_time", "lead_time").values, truth["time"].values).all(0)
    if not known.any():
        times = truth["time"].values
        span = f"{name_time(times[0])} .. {name_time(times[-1])}"
        reason = f"none of its valid times has been observed: the observations are of {span}"
        raise ContractError(f"forecast {place}", [reason], "give observations of its valid times")
    return issued.isel(lead_time=known).load()
