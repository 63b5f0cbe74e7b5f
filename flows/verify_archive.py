"""Flow `verify-archive`: read everything that a data set has kept, and say what is damaged."""

from prefect import get_run_logger

from flows.prefect_tools import artifacts, flow, stage_task
from pipelines.verify_archive import ArchiveReport, verify_archive as stage
from simvp.errors import ArchiveError

_read = stage_task("read all", stage)


@flow("verify-archive")
def verify_archive(dataset: str = "simulated-weather", heal: bool = False) -> ArchiveReport:
    """Read archive, forecasts and scores of a data set whole; the run fails where something is damaged.

    Args:
        dataset: Name of the data set.
        heal: Make whole again what can be: frames from their sources, scores from forecasts. What was issued is never
            issued again. Otherwise nothing is written.
    """
    report = _read(dataset, heal=heal)
    get_run_logger().info("%s", report)
    artifacts.table("verify-archive", dataset, report.table, str(report).partition("\n")[0])
    if not report.whole:
        raise ArchiveError(
            f"Data set {dataset} is damaged", str(report).splitlines()[1:], "run it with heal=True, or as it says"
        )
    return report
