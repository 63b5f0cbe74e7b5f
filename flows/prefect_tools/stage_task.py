"""A stage as the task of a flow."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from flows.prefect_tools.progress import reporter
from pipelines.home import Home
from simvp.errors import Unavailable

__all__ = ["stage_task"]

P = ParamSpec("P")
R = TypeVar("R")

RETRY_SECONDS = (5, 15, 60, 300)  # before each further try: most servers are back in seconds


def _not_now(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether another try may do better: a network that is down may be back in a minute, all else stays as it is."""
    return isinstance(state.result(raise_on_failure=False), Unavailable)


def stage_task(name: str, stage: Callable[Concatenate[Home, P], R]) -> Task[P, R]:
    """The task that runs a stage in this process's home and reports its progress.

    What is unavailable is tried again, anything else is not. Nothing is cached by Prefect: the stages themselves find
    what exists, and Prefect would hash every parameter.

    Parameters
    ----------
    name
        As Prefect's pages show it.
    """

    @task(
        name=name,
        cache_policy=NO_CACHE,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=list(RETRY_SECONDS),
        retry_condition_fn=_not_now,
    )
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        progress = reporter()
        kwargs["progress"] = progress
        try:
            return stage(Home.default(), *args, **kwargs)
        except Unavailable as refusal:
            get_run_logger().warning("%s", refusal)
            progress(f"{name}: not now, {refusal.subject}; it is tried again", 0, 0)
            raise

    return run
