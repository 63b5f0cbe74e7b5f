"""Flow `verify`: score the forecasts whose valid times have been observed since."""

from typing import Literal

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.prefect_tools import artifacts, one_writer, reporter
from pipelines.home import Home
from pipelines.verify import VerifyReport, horizons, verify as stage


@task(name="score", cache_policy=NO_CACHE)
def _score(dataset: str, kind: Literal["forecasts", "hindcasts"], horizon: str | None) -> VerifyReport:
    return stage(Home.default(), dataset, kind=kind, horizon=horizon, progress=reporter())


@flow(name="verify")
def verify(
    dataset: str = "simulated-weather",
    kind: Literal["forecasts", "hindcasts"] = "forecasts",
    horizon: str | None = None,
) -> list[VerifyReport]:
    """Score the forecasts whose valid times have been observed since, beside the five baselines.

    Args:
        dataset: Name of the data set.
        kind: forecasts: what was issued in operation; hindcasts: what was computed afterwards.
        horizon: Horizon of the forecasts, as the store is called ("12h"); every horizon where it is left out.
    """
    found = horizons(Home.default(), dataset, kind)
    reports = []
    for one in [horizon] if horizon or not found else found:
        with one_writer(dataset, f"scores-{kind}"):
            report = _score(dataset, kind, one)
        get_run_logger().info("%s", report.summary)
        artifacts.summary(f"skill-{kind}-{report.horizon}", dataset, [report.summary, report.table()])
        for picture in report.pictures:
            artifacts.picture(picture.stem, dataset, picture)
        reports.append(report)
    return reports
