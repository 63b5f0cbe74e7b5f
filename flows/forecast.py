"""Flow `forecast`: issue the forecasts of every init time since the last one."""

from prefect import get_run_logger

from flows.prefect_tools import artifacts, flow, one_writer, stage_task
from pipelines.forecast import forecast as stage
from pipelines.issuing import ForecastReport
from simvp.errors import ConfigError

MAX_CATCH_UP = 56


_issue = stage_task("issue", stage)


@flow("forecast")
def forecast(
    dataset: str = "simulated-weather",
    model: int | str | None = None,
    init_hours: list[int] | None = None,
    horizon: int | str | None = None,
    max_catch_up: int = MAX_CATCH_UP,
    members: int = 0,
    levels: list[float] | None = None,
    export: str | None = None,
    hindcast_start: str | None = None,
    hindcast_end: str | None = None,
    scheduler: str | None = None,
) -> ForecastReport:
    """Issue the forecasts of every init time since the last one; each init time is issued once.

    Args:
        dataset: Name of the data set.
        model: challenger, the number of a version, or the path of a saved model; the champion where it is left out.
        init_hours: Hours of the day (UTC) whose frames start a forecast, as [0, 12]. Where it is left out, 0, 6, 12
            and 18 for steps below a day, and every frame for longer ones.
        horizon: How far to forecast: steps as a number, or words such as "48h" or "3D". As far as the model was
            trained for where it is left out; further rolls out.
        max_catch_up: Init times to issue at most; older ones that were missed are left out.
        members: Members of an ensemble to issue beside each forecast; a store of forecasts keeps the number that it
            began with.
        levels: Quantiles of bounds to issue beside each forecast, as [0.05, 0.95]; none where they are left out.
        export: Folder for NetCDF files (CF), one for each init time, for tools such as CDO, GDAL and QGIS; none is
            written where it is left out.
        hindcast_start: First time to forecast afterwards, as "2019-03-25T00". Together with hindcast_end this goes
            into the hindcast store and leaves the operational one alone.
        hindcast_end: Last time to forecast afterwards.
        scheduler: Address of a dask scheduler whose workers make the forecasts, as "tcp://10.0.0.5:8786". Where it is
            left out, that of the variable SIMVP_DASK; else this process does it.
    """
    if (hindcast_start is None) != (hindcast_end is None):
        raise ConfigError(
            f"hindcasts of {dataset}",
            [f"expected first and last time, got {hindcast_start} and {hindcast_end}"],
            "give both, or none for the operational forecast",
        )
    hindcast = None if hindcast_start is None or hindcast_end is None else (hindcast_start, hindcast_end)
    with one_writer(dataset, "hindcasts" if hindcast else "forecasts"):
        report = _issue(
            dataset,
            model=model,
            init_hours=init_hours,
            horizon=horizon,
            max_catch_up=max_catch_up,
            members=members,
            levels=tuple(levels or ()),
            export=export,
            hindcast=hindcast,
            scheduler=scheduler,
        )
    get_run_logger().info("%s", report.summary)
    # The init times of a hindcast are a whole period: their number is enough.
    listed = [report.table()] if report.kind == "forecasts" else []
    artifacts.summary(report.kind, dataset, [report.summary, *listed])
    return report
