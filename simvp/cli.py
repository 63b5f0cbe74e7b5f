"""The command `simvp`: predict, inspect and export, and whatever an installation of the checkout adds to them.

The wheel holds this module and its three commands. Those of the checkout (ingest, train, ...) are entry points of the
group `simvp.commands`; they are looked up by name, so that asking for one loads no other. Where the checkout is not
there, as beside an installed wheel, such a command says so.
"""

import json
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from glob import has_magic
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from simvp.errors import ArchiveError, Refusal, fault_around
from simvp.places import is_address

GROUP = "simvp.commands"
PANEL = "Of the checkout"  # what the help calls them
CHECKOUT = Path(__file__).resolve().parents[1]
DATA = (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".zarr", ".grib", ".grib2", ".grb", ".grb2")


class Exit(IntEnum):
    """How a command ends, for scripts; `MEANING` says it in words."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOTHING = 3
    STOPPED = 130


MEANING = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused; why, and what to do, is on the error output",
    Exit.USAGE: "no such command or option",
    Exit.NOTHING: "not skilful enough (promote), or nothing due (forecast, verify)",
    Exit.STOPPED: "stopped by Ctrl-C or a signal; what is kept is said",
}
# A line each: the empty ones between them keep them apart in the help.
EXIT_CODES = "Exit codes:\n\n" + "\n\n".join(f"{code.value}  {words}" for code, words in MEANING.items())

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing else.")]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]


class Commands(TyperGroup):
    """The commands of this module, and those of the group `simvp.commands`, loaded when they are asked for."""

    @cached_property
    def _declared(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=GROUP)}

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, as the help lists them; without those whose code is not here."""
        return [*super().list_commands(ctx), *(name for name, entry in self._declared.items() if _is_here(entry))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None."""
        entry = self._declared.get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry is None else _loaded(entry)


def _is_here(entry: EntryPoint) -> bool:
    """Whether the module of a command lies beside this package."""
    return CHECKOUT.joinpath(*entry.module.split(".")).with_suffix(".py").is_file()


def _loaded(entry: EntryPoint) -> TyperCommand:
    """A command of the checkout, with its help; where there is none, a command that says so."""
    alone = typer.Typer(add_completion=False)
    if _is_here(entry):
        # An editable installation of the wheel's package puts neither flows nor pipelines on the path.
        if str(CHECKOUT) not in sys.path:
            sys.path.insert(0, str(CHECKOUT))
        alone.command(entry.name, epilog=EXIT_CODES, rich_help_panel=PANEL)(entry.load())
    else:

        def absent(words: Annotated[list[str] | None, typer.Argument()] = None) -> NoReturn:
            reason = f"it lives in the checkout, of which this installation has the library alone ({CHECKOUT})"
            raise Refusal(f"simvp {entry.name}", [reason], "clone the repository, and run make in it")

        lenient = {"ignore_unknown_options": True, "allow_extra_args": True}
        alone.command(entry.name, context_settings=lenient, add_help_option=False)(absent)
    return get_command(alone)  # type: ignore[return-value]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


@app.callback()
def simvp(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    """Forecasts of gridded data: from raw files to a scored, labelled forecast.

    COMMAND --help says what a command takes, with examples. Settings that hold for all of them are variables:
    SIMVP_HOME, SIMVP_STORE, SIMVP_DATA, MLFLOW_TRACKING_URI (default: .simvp in the working folder).
    """
    if version:
        from simvp.version import __version__

        print(f"simvp {__version__}")
        raise typer.Exit


@app.command(epilog=EXIT_CODES)
def predict(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Data to forecast from, as yesterday.nc: a NetCDF, Zarr or GRIB file, a glob, or an archive.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A model file, or a name in the registry: simvp-rain, simvp-rain@challenger, models:/simvp-rain/3.",
            show_default="the one champion that accepts the data",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to write, as tomorrow.nc; or a folder, as tomorrow.zarr.",
            show_default="nowhere: what it would be is printed",
        ),
    ] = None,
    init_time: Annotated[
        list[str] | None,
        typer.Option(
            "--init-time",
            metavar="TIME",
            help="Time of the last frame to use, as 2024-03-01T06; several times for several "
            "forecasts; all for every possible one.",
            show_default="the last frame of the data",
        ),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            "--horizon",
            metavar="LENGTH",
            help="How far: a number of steps as 12, or words as 48h or '6 months'.",
            show_default="as far as the model was trained for",
        ),
    ] = None,
    known: Annotated[
        str | None,
        typer.Option(
            "--known",
            metavar="FILE",
            help="File of the known future inputs that the model was trained with, for the valid times too.",
            show_default="none",
        ),
    ] = None,
    members: Annotated[
        int,
        typer.Option(
            "--members",
            min=0,
            metavar="N",
            help="Members of an ensemble beside the forecast, as 20.",
            show_default="none",
        ),
    ] = 0,
    level: Annotated[
        list[float] | None,
        typer.Option(
            "--level",
            metavar="P",
            help="A quantile of bounds beside the forecast, as 0.05; several times for several.",
            show_default="none",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a labelled forecast from labelled data.

    Examples: simvp predict yesterday.nc -m simvp-rain -o tomorrow.nc; simvp predict yesterday.nc --level 0.05 --level
    0.95 --members 20 -o tomorrow.nc
    """
    import simvp
    from simvp.files import forecast_contents, lines

    times: Any = init_time[0] if init_time and len(init_time) == 1 else init_time or None
    forecast = simvp.predict(
        source,
        model,
        init_time=times,
        horizon=_steps(horizon),
        known=known,
        members=members,
        levels=level or (),
    )
    form: Literal["zarr3", "netcdf"] = "zarr3" if out is not None and out.suffix == ".zarr" else "netcdf"
    written = [] if out is None else simvp.export(forecast, out, format=form, overwrite=overwrite)
    found = forecast_contents(forecast)
    if as_json:
        print(json.dumps({**found, "files": list(map(str, written))}))
    else:
        print("\n".join(map(str, written) if written else lines(found)))


@app.command(epilog=EXIT_CODES)
def inspect(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_FILE",
            help="A model file, or a name in the registry as simvp-rain@champion; or a NetCDF, Zarr or "
            "GRIB file, an archive or a store of forecasts.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say what a model needs and gives, or what a file holds: variables, units, grid, step.

    Example: simvp inspect simvp-rain@champion; simvp inspect yesterday.nc
    """
    from simvp.files import lines, model_contents

    if _is_data(what):
        found = _data_contents(what)
        print(json.dumps(found) if as_json else "\n".join(lines(found)))
        return
    import simvp

    forecaster = simvp.load(what)
    print(json.dumps(model_contents(forecaster)) if as_json else forecaster)


@app.command(epilog=EXIT_CODES)
def export(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="A store of forecasts, as forecasts/12h.zarr of a home, or a file that a forecast was written to.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A file, as tomorrow.nc, for one init time; else a folder, as out, for a file of each."
        ),
    ],
    form: Annotated[
        Literal["netcdf", "zarr2", "zarr3"],
        typer.Option(
            "--format", help="netcdf: CF files, valid time as their time axis; zarr2, zarr3: a plain Zarr store."
        ),
    ] = "netcdf",
    init_time: Annotated[
        list[str] | None,
        typer.Option(
            "--init-time",
            metavar="TIME",
            help="An init time to write, as 2024-03-01T06; several times for several.",
            show_default="all in the store",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write issued forecasts as files that other tools read: xarray, CDO, GDAL.

    Example: simvp export .simvp/rain/forecasts/12h.zarr out/ --init-time 2024-03-01T06
    """
    import simvp

    written = simvp.export(store, out, format=form, init_time=init_time or None, overwrite=overwrite)
    print("\n".join(map(str, written)))


def _is_data(what: str) -> bool:
    """Whether files are meant; else it is a model, in a file, in a folder or in the registry."""
    path = Path(what).expanduser()
    if path.suffix == ".safetensors" or what.startswith("models:/"):
        return False
    if path.is_dir():
        return not any(path.glob("*.safetensors"))
    return path.exists() or is_address(what) or has_magic(what) or path.suffix in DATA or os.sep in what


def _data_contents(what: str) -> dict[str, Any]:
    import simvp
    from simvp.files import contents, forecast_contents, opened

    try:
        with opened(what) as ds:
            return forecast_contents(ds) if {"init_time", "lead_time"} <= set(ds.dims) else contents(ds)
    except ArchiveError as refusal:
        try:  # a repository that is no archive
            return forecast_contents(simvp.open_forecasts(what))
        except ArchiveError:
            raise refusal from None


def _steps(horizon: str | None) -> int | str | None:
    return int(horizon) if horizon is not None and horizon.isdecimal() else horizon


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code, of which `Exit` lists the meanings.

    A refusal is its message on the error output, without a traceback; anything else that is raised is a fault of the
    code and keeps its own.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="simvp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.DONE if end.code is None else Exit.REFUSED
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return Exit.REFUSED
    except BrokenPipeError:  # whoever reads has seen enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except ImportError as error:
        if error.name != "flows" or error.path:  # flows says in words what is too old
            raise
        print(error, file=sys.stderr)
        return Exit.REFUSED
    except OSError as error:
        fault = fault_around(error, "simvp")
        if fault is None:
            raise
        print(fault, file=sys.stderr)
        return Exit.REFUSED
    return Exit.DONE
