"""`simvp score`: a forecast in a file against what was observed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.options import print_json
from flows.commands.stages import skill_rows
from flows.local import score_table, skill_tables
from simvp.cli import Json
from simvp.errors import ConfigError, ContractError

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = {"rmse": "RMSE", "mae": "MAE", "bias": "bias", "crps": "CRPS of members (fair)", "n": "maps"}


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
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="NAME=VALUE",
            help="A value that is reached or not, in the units of the variable, as rain=0.1: CSI, ETS, frequency bias "
            "and FSS by scale; several times for several.",
            show_default="none",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a forecast against observations by variable and lead, as simvp.score does; with a model its baselines too.

    RMSE, MAE and bias; of members the CRPS, of bounds how much they hold. Leads that have not been observed yet are
    left out. Nothing is written.

    Examples: simvp score tomorrow.nc observed.nc; simvp score tomorrow.nc '2024-03-*.nc' -m simvp-rain --json
    """
    import simvp
    from pipelines.evaluation import lead_hours, score as score_beside, skill_table
    from simvp.coords import canonicalise, single_maps
    from simvp.files import opened

    limits = _limits(threshold or [])
    made = None if model is None else simvp.load(model)
    with opened(observed) as given, _labelled(forecast) as issued:
        truth, _ = canonicalise(given, [str(name) for name in single_maps(issued).data_vars])
        issued = _observed(issued, truth, forecast)
        hours = lead_hours(issued).tolist()
        by_lead = simvp.score(issued, truth, thresholds=limits)
        overall = simvp.score(issued, truth, thresholds=limits, by="all")
        beside = (
            None
            if made is None
            else skill_table(score_beside(single_maps(issued), truth.load(), made.baselines, thresholds=limits))
        )
    if as_json:
        rows = list(_rows(by_lead, overall, hours))
        for row, others in zip(rows, [] if beside is None else skill_rows(beside), strict=beside is not None):
            row["rmse"] = others["rmse"]
        print_json({"forecast": forecast, "observed": observed, "scores": rows})
        return
    console = Console(highlight=False)
    for shown in _tables(by_lead, overall, hours, console.width):
        console.print(shown)
    for shown in () if beside is None else skill_tables(beside, console.width):
        console.print(shown)


def _limits(texts: list[str]) -> dict[str, list[float]]:
    """Thresholds by variable, rising.

    Raises
    ------
    ConfigError
        What is not NAME=VALUE.
    """
    limits: dict[str, list[float]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name] = sorted({*limits.get(name, []), float(value)})
        except ValueError:
            raise ConfigError("simvp score", [f"--threshold: expected NAME=VALUE as rain=0.1, got {text}"]) from None
    return limits


def _rows(by_lead: "xr.Dataset", overall: "xr.Dataset", hours: Sequence[float]) -> Iterator[dict[str, Any]]:
    """A line for each variable and lead; of all leads where lead_hours is None."""
    for name in by_lead["variable"].values.tolist():
        for number, lead in enumerate([*hours, None]):
            one = (overall if lead is None else by_lead.isel(lead_time=number)).sel(variable=name)
            row = {"variable": name, "lead_hours": lead, "n": int(one["n"]), "rmse": {"model": float(one["rmse"])}}
            yield row | dict(_named(one, name))


def _named(one: "xr.Dataset", name: str) -> Iterator[tuple[str, float]]:
    """Every other score of a variable that is a number, by a name that says of what."""
    yield from ((key, float(one[key])) for key in ("mae", "bias", "crps", "spread", "member_rmse") if key in one)
    if "coverage" in one:
        for lower in one["lower"].values.tolist():
            at = one.sel(lower=lower)
            yield f"coverage_{1 - 2 * lower:.2g}", float(at["coverage"])
            yield f"width_{1 - 2 * lower:.2g}", float(at["width"])
    if "csi" in one and name in one["thresholded"].values:
        own = one.sel(thresholded=name)
        for rank, edge in enumerate(own["threshold"].values.tolist()):
            if edge == edge:
                at = own.isel(rank_of_threshold=rank)
                yield from ((f"{key}_at_{edge:g}", float(at[key])) for key in ("csi", "ets", "frequency_bias"))
                sides = at["scale"].values.tolist()
                yield from ((f"fss_at_{edge:g}_scale_{side}", float(at["fss"].sel(scale=side))) for side in sides)


def _tables(by_lead: "xr.Dataset", overall: "xr.Dataset", hours: Sequence[float], width: int) -> Iterator[Table]:
    """Scores by lead and over all of them, a table for each variable."""
    for name in by_lead["variable"].values.tolist():
        rows: dict[str, list[float]] = {}
        columns = [by_lead.sel(variable=name).isel(lead_time=n) for n in range(by_lead.sizes["lead_time"])]
        for one in (*columns, overall.sel(variable=name)):
            found: Mapping[str, float] = {"rmse": float(one["rmse"]), **dict(_named(one, name)), "n": int(one["n"])}
            for key, value in found.items():
                rows.setdefault(_SHOWN.get(key, key.replace("_", " ")), []).append(value)
        units = str(by_lead["units"].sel(variable=name).values)
        yield score_table(f"{name} ({units})" if units else name, hours, rows, width)


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
