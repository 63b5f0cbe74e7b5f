"""Flow `ingest`: what is new at the source of a data set goes into its archive."""

from typing import Any

from prefect import get_run_logger

from flows.prefect_tools import artifacts, find_drift, flow, one_writer, stage_task, warned
from pipelines.ingest import IngestReport, ingest as stage

_append = stage_task("read and append", stage)


@flow("ingest")
def ingest(
    dataset: str = "simulated-weather",
    source: str | list[str] | None = None,
    variables: list[str] | None = None,
    units: dict[str, str] | None = None,
    select: dict[str, str | int | float] | None = None,
    step: str | None = None,
    known: dict[str, dict[str, Any]] | None = None,
    replace: bool = False,
    scheduler: str | None = None,
) -> IngestReport:
    """Append what is new at the source of a data set to its archive; the first time, make the archive.

    Files that were read before are known by size and time of change, and not opened again. Then look for drift: input
    that is not what the model was fitted on, and a source that is late.

    Args:
        dataset: Name of the data set: simulated-weather, simulated-traffic, era5-uk, taxibj, or a name of your own
            together with a source.
        source: Files to read: a path, a folder, a glob or a URL, or a list of them. Leave it out to read the source
            of the first ingest again, or that of the catalogue.
        variables: Names of the variables to keep, as the files call them, those in a group as "Grid:precipitation".
            Leave it out to keep all that have a time and two spatial axes.
        units: Units of variables whose files state none, or a text that is none, as {"t2m": "K"}. Files that state
            others are refused.
        select: One value of every further axis, as {"level": 850} or {"lead": "12h"}.
        step: Words such as "1h", "30min", "1D" or "1 month". Needed only where the first source has a single frame, or
            times that jitter too much to tell.
        known: Sources of known future inputs by a name of your own, each with source, variables, units and select, as
            {"calendar": {"source": "holidays.csv", "units": {"holiday": "1"}}}. Leave it out to read those again
            that were read before.
        replace: Take frames that differ from those in the archive, of all files. Otherwise they are refused.
        scheduler: Address of a dask scheduler whose workers read and write, as "tcp://10.0.0.5:8786". Where it is left
            out, that of the variable SIMVP_DASK; else this process does it.
    """
    files = [source] if isinstance(source, str) else source
    with one_writer(dataset, "archive"):
        report = _append(
            dataset,
            source=files,
            variables=variables,
            units=units,
            select=select,
            step=step,
            known=known,
            replace=replace,
            scheduler=scheduler,
        )
    get_run_logger().info("%s", report)
    artifacts.table("ingest", dataset, report.table, f"Archive of {dataset} after this ingest")
    return warned(report, find_drift(dataset, once_a_day=True))
