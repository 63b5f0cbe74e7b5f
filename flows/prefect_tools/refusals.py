"""Flows whose refusals end as a Failed state with the refusal's own text, and as nothing else.

Whatever else a flow raises is a fault of the code: Prefect logs it with its traceback.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Failed

from datasets.credentials import refusal, secret_reasons
from pipelines.home import Home
from pipelines.machine import faults_in_words
from simvp.errors import ConfigError, Refusal

__all__ = ["flow"]

P = ParamSpec("P")
R = TypeVar("R")


def flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Prefect's decorator, for functions that refuse.

    A refusal is logged once, in its own words, and is the message of the Failed state, which the run's page, `--watch`
    and the worker's log show. Who calls the flow from Python gets the refusal itself.

    Parameters
    ----------
    name
        As Prefect's pages show it.
    """

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                with faults_in_words(Home.default()):
                    return function(*args, **kwargs)
            except Refusal as refusal:
                get_run_logger().error("%s", refusal)
                return Failed(message=str(refusal), data=refusal)

        return _PlainFlow(run, name=name)

    return decorate


class _PlainFlow(Flow[P, R]):
    """A flow that is begun neither without a server nor with a password among its parameters.

    Without one Prefect would start a server of its own, which has no doors; a password it would keep in its database.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it on the server that `PREFECT_API_URL` names.

        Raises
        ------
        ConfigError
            It names none.
        """
        if not PREFECT_API_URL.value():
            raise ConfigError(
                f"Flow {self.name}",
                [
                    "PREFECT_API_URL names no Prefect server, and none is started for a single flow: it would answer "
                    "every page that is open on this machine"
                ],
                "run `make up` and set PREFECT_API_URL=http://127.0.0.1:4200/api, or call the stage, which needs no "
                "server: its function in `pipelines`",
            )
        return super().__call__(*args, **kwargs)

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What Prefect is to keep, when a run is made.

        Raises
        ------
        SourceError
            Addresses with passwords or signatures.
        """
        kept = super().serialize_parameters(parameters)
        if reasons := secret_reasons(kept):
            raise refusal(reasons)
        return kept


class _SaidAlready(logging.Filter):
    """Leaves out what Prefect logs where a refusal passes by: three times, each with a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], Refusal))


for _logger in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
    logging.getLogger(_logger).addFilter(_SaidAlready())
