"""Flow `verify`: score the forecasts whose valid times have been observed since."""

from typing import Literal

from prefect import get_run_logger

from flows.prefect_tools import artifacts, find_drift, flow, one_writer, stage_task, warned
from pipelines.forecast_store import horizons
from pipelines.home import Home
from pipelines.status import status
from pipelines.verify import VerifyReport, verify as stage

_score = stage_task("score", stage)


@flow("verify")
def verify(
    dataset: str = "simulated-weather",
    kind: Literal["forecasts", "hindcasts"] = "forecasts",
    horizon: str | None = None,
    thresholds: dict[str, list[float]] | None = None,
    scheduler: str | None = None,
) -> list[VerifyReport]:
    """Score the forecasts whose valid times have been observed since, beside the five baselines.

    Then look for drift: skill that is gone, bounds that do not hold, input that is not what the model was fitted on.

    Args:
        dataset: Name of the data set.
        kind: forecasts: what was issued in operation; hindcasts: what was computed afterwards.
        horizon: Horizon of the forecasts, as the store is called ("12h"); every horizon where it is left out.
        thresholds: By variable, in its units: values that are reached or not, for scores as CSI.
        scheduler: Address of a dask scheduler whose workers score, as "tcp://10.0.0.5:8786". Where it is left out, that
            of the variable SIMVP_DASK; else this process does it.
    """
    stored = horizons(Home.default(), dataset, kind)
    reports = []
    # With no store at all the stage is called: it says in words what is missing.
    for chosen in [horizon] if horizon or not stored else stored:
        with one_writer(dataset, f"scores-{kind}"):
            report = _score(dataset, kind=kind, horizon=chosen, thresholds=thresholds, scheduler=scheduler)
        get_run_logger().info("%s", report.summary)
        artifacts.summary(f"skill-{kind}-{report.horizon}", dataset, [report.summary, report.table()])
        for picture in report.pictures:
            artifacts.picture(picture.stem, dataset, picture)
        reports.append(report)
    found = find_drift(dataset, draw=True) if kind == "forecasts" else None
    artifacts.summary("status", dataset, [status(Home.default(), dataset).markdown()])
    return warned(reports, found)
