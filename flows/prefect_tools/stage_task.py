"""A stage as the task of a flow."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from flows.prefect_tools.progress import reporter
from pipelines.home import Home

__all__ = ["stage_task"]

P = ParamSpec("P")
R = TypeVar("R")


def stage_task(name: str, stage: Callable[Concatenate[Home, P], R], **options: Any) -> Task[P, R]:
    """The task that runs a stage in this process's home and reports its progress.

    Nothing is cached by Prefect: the stages themselves find what exists, and Prefect would hash every parameter.

    Parameters
    ----------
    name
        As Prefect's pages show it.
    options
        Of Prefect's `task`: retries and the like.
    """

    @task(name=name, cache_policy=NO_CACHE, **options)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        kwargs["progress"] = reporter()
        return stage(Home.default(), *args, **kwargs)

    return run
