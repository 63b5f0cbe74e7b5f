"""Flow `promote`: the gate judges a challenger and moves the alias champion, or gives it back."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.prefect_tools import artifacts, flow, one_writer, stage_task
from pipelines.evaluation import Gate
from pipelines.home import Home
from pipelines.promote import Promotion, Rollback, promote as judge, rollback as give_back
from simvp.errors import ConfigError

_judge = stage_task("judge", judge)


# Never tried again: a second rollback would go back one champion further.
@task(name="roll back", cache_policy=NO_CACHE)
def _roll_back(dataset: str) -> Rollback:
    return give_back(Home.default(), dataset)


@flow("promote")
def promote(
    dataset: str = "simulated-weather",
    version: int | None = None,
    gate: Gate | None = None,
    thresholds: dict[str, list[float]] | None = None,
    rollback: bool = False,
) -> Promotion | Rollback:
    """Let the gate judge a challenger; it becomes champion if it is better than the baselines and the champion.

    A refusal is a result, not a failure: the run completes, and its artifact says why.

    Args:
        dataset: Name of the data set.
        version: Number of the version to judge; the one with the alias challenger where it is left out.
        gate: What a challenger has to show; the defaults where it is left out.
        thresholds: By variable, in its units: values that are reached or not, for scores as CSI.
        rollback: Give the alias champion back to the version that had it before; nothing is judged.
    """
    if rollback and (version is not None or gate is not None):
        raise ConfigError(
            f"promotion of {dataset}",
            ["a rollback goes back to the champion before and judges nothing, but version or gate is given"],
            "leave out version and gate, or rollback",
        )
    with one_writer(dataset, "aliases"):
        result = _roll_back(dataset) if rollback else _judge(dataset, version, gate=gate, thresholds=thresholds)
    get_run_logger().info("%s", result.summary)
    table = [result.table()] if isinstance(result, Promotion) else []
    artifacts.summary("promotion", dataset, [result.summary, *table])
    return result
